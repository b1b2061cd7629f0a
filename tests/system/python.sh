# Runs the Python part of a test against the broker that tk_start started last; sourced after lib.sh.
#
#	tk_python NAME.py [ARGUMENT...]
#
# Debian's python3 and its standard library are all that is needed.
tk_here=$(cd "$(dirname "$0")" && pwd)
test -x /usr/bin/python3 || skip "/usr/bin/python3 was not found: install Debian's python3"

tk_python() {
	tk_script=$1
	shift
	TK_PORT=$tk_port TK_PID=$tk_pid TK_DIR=$tk_dir TK_BUILD=$tk_build \
		/usr/bin/python3 -B "$tk_here/$tk_script" "$@" || fail "$tk_script $*"
}
