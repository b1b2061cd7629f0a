#!/bin/sh
# SIGHUP: good settings are taken into use without a gap, bad ones change nothing, and whoever asked
# is told.
. "$(dirname "$0")/master_lib.sh"
free_port
configure
start
cp "$dir/takhin.conf" "$tmp/good.conf"

generation() {
	"$takhinctl" -p "$dir" status --json | sed -n 's/^  "generation": \([0-9]*\),*$/\1/p'
}

has_generation() {
	test "$(generation)" = "$1"
}

count_is() {
	test "$(children "$1" | wc -l)" -eq "$2"
}

# Bad: every error with its line, nothing changes.
before=$(children)
{
	cat "$tmp/good.conf"
	echo 'num_partitions = -3;'
	echo 'nonsense = true;'
} >"$dir/takhin.conf"
kill -HUP $master
within 5 logged 'could not reload: nothing was changed' || fail "a bad file is not refused"
logged "takhin.conf:3: " || fail "no file:line of the first error"
logged "takhin.conf:4: " || fail "no file:line of the second error"
"$takhinctl" -s "$dir/run/takhin.sock" reload 2>"$tmp/err" && fail "a bad file: success"
grep -q "takhin.conf:3: " "$tmp/err" || fail "whoever asked is not told: $(cat "$tmp/err")"
grep -q "takhin.conf:4: " "$tmp/err" || fail "whoever asked is not told all: $(cat "$tmp/err")"
"$takhin" -p "$dir" -s reload 2>"$tmp/err" && fail "-s reload, a bad file: success"
cp "$tmp/good.conf" "$dir/takhin.conf"
has_generation 1 || fail "a bad file made a generation"
test "$(children)" = "$before" || fail "a bad file changed processes"

# What takes a restart is refused by name.
{
	cat "$tmp/good.conf"
	echo 'node_id = 9;'
	echo 'rack = "r9";'
} >"$dir/takhin.conf"
"$takhinctl" -p "$dir" reload 2>"$tmp/err" && fail "node_id: success"
grep -q '"node_id" cannot change without a restart' "$tmp/err" || fail "$(cat "$tmp/err")"
grep -q rack "$tmp/err" && fail "rack can change"
has_generation 1 || fail "node_id made a generation"

# A port that another holds.
first=$port
free_port
other=$port
port=$first
mkdir "$tmp/other"
one=$master
"$takhin" -p "$tmp/other" -g "listeners = ( { port = $other; } ); worker_processes = 1;" \
	>>"$tmp/other.log" 2>&1 &
holder=$!
started="$started $holder"
within 10 listening $other || fail "the other broker does not start"
echo "listeners = ( { name = \"A\"; port = $port; }, { name = \"B\"; port = $other; } );
	worker_processes = 2;" >"$dir/takhin.conf"
"$takhinctl" -p "$dir" reload 2>"$tmp/err" && fail "a port in use: success"
grep -q "could not listen on 127.0.0.1:$other: Address already in use by process" "$tmp/err" ||
	fail "a port in use: $(cat "$tmp/err")"
test "$(children)" = "$before" || fail "a port in use changed processes"
kill -TERM $holder
wait $holder

# Good: the new listener, the old one's socket kept, other workers, the same others.
socket_of() {
	awk -v port="$(printf ':%04X' "$1")" '
		$4 == "0A" && substr($2, length($2) - 4) == port { print $10 }' /proc/net/tcp
}
inode=$(socket_of $port)
stay=$(children writer; children coordinator; children cleaner)
workers=$(children worker)
sed -i 's/worker_processes = 2/worker_processes = 3/' "$dir/takhin.conf"
"$takhinctl" -p "$dir" reload >"$tmp/out" 2>"$tmp/err" || fail "good: $(cat "$tmp/err")"
grep -q 'settings generation 2 is in force' "$tmp/out" || fail "good: $(cat "$tmp/out")"
listening $other || fail "the new listener is not there"
test "$(socket_of $port)" = "$inode" || fail "the old listener is another socket"
within 10 count_is worker 3 || fail "workers: $(children worker)"
for pid in $workers; do
	within 10 is_gone $pid || fail "worker $pid did not retire"
done
test "$(children writer; children coordinator; children cleaner)" = "$stay" ||
	fail "a reload changed more than workers"

# A listener taken away; the log elsewhere, in processes that stay as well.
configure "error_log = \"$tmp/new.log\";" 'log_level = "debug";'
kill -HUP $master
within 5 has_generation 3 || fail "SIGHUP does not reload"
within 5 count_is worker 2 || fail "workers: $(children worker)"
! listening $other || fail "the removed listener is still there"
test "$(socket_of $port)" = "$inode" || fail "the listener that stayed is another socket"
for pid in $(children); do
	ls -l "/proc/$pid/fd" | grep -q "$tmp/new.log" || fail "process $pid logs elsewhere"
done

# The log's file moved away and opened again.
mv "$tmp/new.log" "$tmp/old.log"
kill -USR1 $master
within 5 test -e "$tmp/new.log" || fail "SIGUSR1 does not reopen the log"
sleep 0.2
for pid in $master $(children); do
	ls -l "/proc/$pid/fd" | grep -q "$tmp/old.log" && fail "process $pid holds the old log"
done

# Many at once end in one state.
for i in 1 2 3 4 5 6 7 8; do
	kill -HUP $master
	kill -KILL $(children worker | head -n 1) 2>/dev/null
	sleep 0.05
done
sleep 0.5
within 10 count_is worker 2 || fail "after many: $(children worker)"
"$takhinctl" -p "$dir" reload >"$tmp/out" 2>&1 || fail "after many: $(cat "$tmp/out")"
within 10 count_is worker 2 || fail "after many: $(children worker)"
log=$tmp/new.log
stop QUIT
test $status -eq 0 || fail "exit status $status"
