# What a shell test needs to run brokers of its own; sourced as `. "$(dirname "$0")/lib.sh"`.
#
# TAKHIN_BUILD_DIR is where takhin was built (default: here).  A broker is known by its folder:
#
#	tk_start "$tk_tmp/a" ["SETTING = VALUE;"...]	starts one, waits until it serves, sets
#							$tk_pid, $tk_port and $tk_bootstrap
#	tk_stop "$tk_tmp/a" [SIGNAL]			ends it (TERM), sets $tk_status
#
# Started again in the same folder it has the same port.  Only processes started here are ever ended;
# at exit those that are left, and $tk_tmp, go.  A test exits 0 (passed), 77 (skipped) or else (failed).
set -u
export LC_ALL=C

tk_build=$(cd "${TAKHIN_BUILD_DIR:-.}" && pwd)
tk_takhin=$tk_build/takhin
tk_tmp=$(mktemp -d "${TMPDIR:-/tmp}/takhin-test.XXXXXX") || exit 99
tk_started=
tk_next_port=$((10000 + $$ * 7 % 20000))
trap 'tk_cleanup' EXIT
trap 'exit 1' HUP INT TERM

fail() {
	echo "FAIL: $*"
	exit 1
}

skip() {
	echo "SKIP: $*"
	exit 77
}

tk_cleanup() {
	tk_exit=$?
	for tk_row in $tk_started; do
		kill -KILL "${tk_row%%:*}" 2>/dev/null || true
		wait "${tk_row%%:*}" 2>/dev/null || true
		case $tk_exit in
		0 | 77) ;;
		*) echo "--- the end of ${tk_row#*:}/log:" && tail -n 40 "${tk_row#*:}/log" ;;
		esac
	done
	rm -rf "$tk_tmp"
	exit $tk_exit
}

# tk_within SECONDS COMMAND...: true as soon as the command is, false after that time.
tk_within() {
	tk_until=$(($(date +%s%3N) + $1 * 1000))
	shift
	until "$@"; do
		test "$(date +%s%3N)" -lt "$tk_until" || return 1
		sleep 0.02
	done
}

tk_listening() {
	awk -v port="$(printf ':%04X' "$1")" '
		$4 == "0A" && substr($2, length($2) - 4) == port { found = 1 }
		END { exit !found }' /proc/net/tcp /proc/net/tcp6 2>/dev/null
}

# Sets $tk_port to one that nobody listens on, below the range of outgoing connections.
tk_free_port() {
	tk_next_port=$((tk_next_port + 1))
	while tk_listening "$tk_next_port"; do
		tk_next_port=$((tk_next_port + 1))
	done
	tk_port=$tk_next_port
}

# A child that has ended is a zombie until it is waited for.
tk_ended() {
	! grep -qs '^State:[^ZX]*$' "/proc/$1/status"
}

tk_is_ready() {
	grep -q "master \[$tk_pid\]: ready\$" "$tk_dir/log" || tk_ended "$tk_pid"
}

tk_start() {
	tk_dir=$1
	shift
	test -x "$tk_takhin" || fail "\"$tk_takhin\" was not built"
	mkdir -p "$tk_dir"
	test -s "$tk_dir/port" || { tk_free_port && echo "$tk_port" >"$tk_dir/port"; }
	tk_port=$(cat "$tk_dir/port")
	tk_bootstrap=127.0.0.1:$tk_port
	{
		echo "listeners = ( { name = \"PLAINTEXT\"; port = $tk_port; } );"
		printf '%s\n' "$@"
	} >"$tk_dir/takhin.conf"
	${tk_under:-} "$tk_takhin" -p "$tk_dir" >>"$tk_dir/log" 2>&1 </dev/null &
	tk_pid=$!
	tk_started="$tk_started $tk_pid:$tk_dir"
	tk_within 20 tk_is_ready && ! tk_ended "$tk_pid" || fail "no broker: $(tail -n 1 "$tk_dir/log")"
	test "$(cat "$tk_dir/run/takhin.pid")" = "$tk_pid" || fail "the pid file is not that of $tk_pid"
}

tk_stop() {
	for tk_row in $tk_started; do
		test "${tk_row#*:}" = "$1" || continue
		tk_pid=${tk_row%%:*}
	done
	kill -"${2:-TERM}" "$tk_pid" || fail "no broker in \"$1\""
	tk_within 30 tk_ended "$tk_pid" || fail "SIG${2:-TERM} does not end the broker in \"$1\""
	tk_status=0
	wait "$tk_pid" || tk_status=$?
	tk_started=$(echo "$tk_started" | sed "s| $tk_pid:[^ ]*||")
}
