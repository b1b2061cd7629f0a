#!/bin/sh
# A process that is killed is back at once, one that keeps dying is held back, and a master that is
# killed takes all with it.
. "$(dirname "$0")/master_lib.sh"
free_port
configure 'log_level = "debug";'
start

# Milliseconds from the death of $1 to the next READY of a process called $2, by the log.
back_after() {
	awk -v pid="(pid $1)" -v name="$2 is ready" '
		function ms(t,  p) {
			split(t, p, /[:.]/)
			return ((p[1] * 60 + p[2]) * 60 + p[3]) * 1000 + p[4]
		}
		index($0, pid) && /was killed by signal/ { died = ms($2); seen = 1 }
		seen && index($0, name) { print ms($2) - died; found = 1; exit }
		END { if (!found) print 99999 }' "$log"
}

is_back() {
	test "$(back_after "$1" "$2")" -lt 99999
}

for name in 'worker process 0' 'worker process 1' 'writer process 0' 'coordinator process' \
	'cleaner process'; do
	best=99999
	# The machine may be busy with other things: the best of three is what it can do.
	for try in 1 2 3; do
		pid=$(children "$name")
		kill -KILL "$pid" || fail "there is no $name"
		within 10 is_back "$pid" "$name" || fail "$name is not back"
		took=$(back_after "$pid" "$name")
		test "$took" -ge "$best" || best=$took
		test "$best" -ge 100 || break
	done
	echo "$name: back after $best ms"
	test "$best" -lt 100 || fail "$name is back only after $best ms"
	grep -q "$name (pid $pid) was killed by signal 9 (Killed)" "$log" || fail "how $name died"
done
grep -q 'started again in' "$log" && fail "SIGKILL was held against somebody"
"$takhinctl" -p "$dir" status >"$tmp/out" || fail "status"
grep -q "cleaner process (pid $pid) was killed by signal 9 (Killed)" "$tmp/out" ||
	fail "status does not know of deaths"
test "$(children | wc -l)" -eq 5 || fail "there are $(children | wc -l) processes"
for i in 1 2 3 4 5 6; do
	kill -KILL $(children worker)
	sleep 0.02
done

# Its own fault, within a second of READY or before it: 100 ms, then twice as long each time.
test ! -e "$dir/run/zone.0" || mv "$dir/run/zone.0" "$tmp/zone"
kill -SEGV "$(children 'worker process 1')"
for delay in 100 200 400; do
	within 10 logged "worker process 1 is started again in $delay ms" || fail "no $delay ms"
	test -e "$tmp/zone" || break
done
test ! -e "$tmp/zone" || mv "$tmp/zone" "$dir/run/zone.0"
is_there() {
	test -n "$(children "$1")"
}
sleep 1
within 10 is_there 'worker process 1' || fail "worker 1 is not back after its fault"
is_there 'worker process 0' || fail "worker 0 was hurt"

# A writer that stands still: who is born and dies meanwhile it hears when it goes on.
writer=$(children 'writer process')
kill -STOP "$writer"
for i in $(seq 150); do
	kill -KILL $(children worker) 2>/dev/null
done
kill -CONT "$writer"
sleep 0.5
test "$(children 'writer process')" = "$writer" || fail "the writer that stood still was killed"
within 10 is_there 'worker process 0' || fail "worker 0 is not back"
within 10 is_there 'worker process 1' || fail "worker 1 is not back"
"$takhinctl" -p "$dir" reload >"$tmp/out" 2>&1 || fail "reload: $(cat "$tmp/out")"

stop TERM
test $status -eq 0 || fail "exit status $status"

# The master is killed: all are gone within a second, and the next start has it all.
for round in 1 2 3; do
	start
	all=$(children)
	kill -KILL $master
	killed=$(now_ms)
	for pid in $all; do
		within 5 is_gone $pid || fail "process $pid survived the master"
	done
	took=$(($(now_ms) - killed))
	echo "all gone $took ms after the master"
	test $took -lt 1000 || fail "all are gone only after $took ms"
done
start
kill -KILL $master # and the next start does not wait for the dying
start
test "$(children | wc -l)" -eq 5 || fail "after the master's death"
stop QUIT
test $status -eq 0 || fail "exit status $status"
test -e "$dir/data/.kafka_cleanshutdown" || fail "no marker"
