# What the tests of the master share; sourced as `. "$(dirname "$0")/master_lib.sh"`.
#
# TAKHIN_BUILD_DIR is where takhin and takhinctl were built (default: here).  Each test has folders
# and ports of its own and ends the brokers that it started, by their pids.  Exit 0: passed, 77:
# skipped, else failed.
set -u
export LC_ALL=C

build=$(cd "${TAKHIN_BUILD_DIR:-.}" && pwd)
takhin=$build/takhin
takhinctl=$build/takhinctl
tmp=$(mktemp -d "${TMPDIR:-/tmp}/takhin-test.XXXXXX") || exit 99
dir=$tmp/broker
log=$tmp/log
master=
started=
touch "$log"
trap 'cleanup' EXIT
trap 'exit 1' HUP INT TERM

cleanup() {
	status=$?
	for pid in $started; do
		kill -KILL "$pid" 2>/dev/null && sleep 0.2
	done
	if test $status -ne 0 && test $status -ne 77 && test -s "$log"; then
		echo "--- the broker's log:"
		tail -n 60 "$log"
	fi
	rm -rf "$tmp"
}

fail() {
	echo "FAIL: $*"
	exit 1
}

skip() {
	echo "SKIP: $*"
	exit 77
}

command -v ps >/dev/null 2>&1 || skip "ps was not found: install Debian's procps"
test -x "$takhin" || fail "\"$takhin\" was not built"

# listening PORT: true if somebody listens there.
listening() {
	awk -v port="$(printf ':%04X' "$1")" '
		$4 == "0A" && substr($2, length($2) - 4) == port { found = 1 }
		END { exit !found }' /proc/net/tcp /proc/net/tcp6 2>/dev/null
}

# Sets $port to one nobody listens on, outside the range of outgoing connections.
port_next=$((10000 + $$ % 20000))
free_port() {
	port_next=$((port_next + 1))
	while listening $port_next; do
		port_next=$((port_next + 1))
	done
	port=$port_next
}

# configure [LINE...]: writes $dir/takhin.conf, one listener at $port.
configure() {
	mkdir -p "$dir"
	{
		echo "listeners = ( { name = \"PLAINTEXT\"; port = $port; } );"
		echo "worker_processes = 2;"
		for line in "$@"; do
			echo "$line"
		done
	} >"$dir/takhin.conf"
}

# now_ms: milliseconds since 1970.
now_ms() {
	date +%s%3N
}

# within SECONDS COMMAND...: true if the command is, in that time.
within() {
	until_ms=$(($(now_ms) + $1 * 1000))
	shift
	while ! "$@"; do
		test "$(now_ms)" -lt $until_ms || return 1
		sleep 0.02
	done
}

# is_gone PID: true also for what only waits to be reaped.
is_gone() {
	read -r stat 2>/dev/null <"/proc/$1/stat" || return 0
	case ${stat##*) } in
	Z* | X*) return 0 ;;
	esac
	return 1
}

logged() {
	grep -q -- "$1" "$log"
}

is_ready() {
	logged "master \[$master\]: ready" || is_gone $master
}

# start [ARGUMENT...]: starts a broker in $dir and waits until it serves; sets $master.
start() {
	"$takhin" -p "$dir" "$@" >>"$log" 2>&1 </dev/null &
	master=$!
	started="$started $master"
	within 20 is_ready || fail "the broker does not get ready"
	! is_gone $master || fail "the broker did not start"
}

# stop SIGNAL: sends it and sets $status to the exit status.
stop() {
	kill -"$1" "$master"
	within 30 is_gone "$master" || fail "SIG$1 does not end the broker"
	wait "$master"
	status=$?
}

# children [WORD]: pids of the master's living children with this word in their title.
children() {
	ps -o pid=,stat=,args= --ppid "$master" | awk -v word="${1-takhin:}" '
		$2 !~ /^Z/ && index($0, word) { print $1 }'
}
