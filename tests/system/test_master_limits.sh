#!/bin/sh
# A start that cannot have what it needs says so in one line and exits 1: a full descriptor table,
# folders that may not be made, a log that may not be opened.
. "$(dirname "$0")/master_lib.sh"
free_port
configure

# refused WORDS COMMAND...
refused() {
	words=$1
	shift
	"$@" >"$tmp/out" 2>&1 </dev/null
	got=$?
	test $got -eq 1 || fail "$*: exit status $got: $(cat "$tmp/out")"
	grep -q -- "$words" "$tmp/out" || fail "\"$words\" is not in: $(cat "$tmp/out")"
	! grep -q 'assertion failed' "$tmp/out" || fail "$(cat "$tmp/out")"
}

# Below this the program itself cannot be loaded.
for files in 5 6 7 8 9 10 11 12 14 16 18 20; do
	( ulimit -n $files && exec "$takhin" -p "$dir" ) >"$tmp/out" 2>&1 </dev/null &
	pid=$!
	started="$started $pid"
	within 25 is_gone $pid || fail "with $files descriptors nothing ends"
	wait $pid
	got=$?
	test $got -eq 1 || fail "with $files descriptors: exit status $got: $(cat "$tmp/out")"
	grep -q 'Too many open files\|Success' "$tmp/out" ||
		fail "with $files descriptors: $(cat "$tmp/out")"
	! grep -q 'Success\|assertion failed' "$tmp/out" ||
		fail "with $files descriptors: $(cat "$tmp/out")"
done

# A budget that the limit does not cover is told, and the broker serves all the same.
"$takhin" -p "$dir" -g 'worker_connections = 1048576;' -T | grep -q 'too low for worker_connections' ||
	echo "(no limit to run into here)"

touch "$tmp/file"
refused "could not make run directory \"$tmp/file/run\": Not a directory" \
	"$takhin" -p "$dir" -g "run_directory = \"$tmp/file/run\";"
refused "could not make data directory \"$tmp/file/data\": Not a directory" \
	"$takhin" -p "$dir" -g "data_directories = [ \"$tmp/file/data\" ];"
refused "could not open error log \"$tmp/no/log\": No such file" \
	"$takhin" -p "$dir" -g "error_log = \"$tmp/no/log\";"
refused "could not write pid file \"$tmp/no/pid\": No such file" \
	"$takhin" -p "$dir" -g "pid = \"$tmp/no/pid\";"
refused "could not listen on 192.0.2.1:$port: Cannot assign requested address" \
	"$takhin" -p "$dir" -g "allow_anonymous = true;
	listeners = ( { bind = \"192.0.2.1\"; port = $port; } );"

# Nothing of it is left.
start

# The master's own table gets full while it runs: it says so, tries again, and does not spin.
cpu_ticks() {
	awk '{ print $14 + $15 }' "/proc/$master/stat"
}
is_there() {
	test -n "$(children "$1")"
}
if command -v prlimit >/dev/null 2>&1; then
	prlimit --pid $master --nofile=4:"$(ulimit -Hn)" || fail "prlimit"
	kill -KILL "$(children 'worker process 0')"
	timeout 1 "$takhinctl" -p "$dir" status >/dev/null 2>&1 && fail "status without descriptors"
	before=$(cpu_ticks)
	within 5 logged 'could not start worker process 0: Too many open files' || fail "not told"
	sleep 2
	test $(($(cpu_ticks) - before)) -lt 50 || fail "the master spins"
	prlimit --pid $master --nofile=1024:"$(ulimit -Hn)"
	within 5 is_there 'worker process 0' || fail "worker 0 is not back"
	within 5 "$takhinctl" -p "$dir" status >/dev/null 2>&1 || fail "status"
fi
stop TERM
test $status -eq 0 || fail "exit status $status"
