#!/bin/sh
# Several hundred partitions under ulimit -n 256: all are appended to and read at the same time, no
# process comes near the limit, connections beyond the budget wait and take nobody's files; a
# recovery keeps to it as well.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/python.sh"
ulimit -n 256 || skip "the limit of open files cannot be set"
"$tk_takhin" -p "$tk_tmp" -T >"$tk_tmp/out" || fail "-T"
for words in 'connections  *95 ' 'open segments  *23 ' 'open partitions  *42 ' 'raised to  *256 '; do
	grep -q "^# .*$words" "$tk_tmp/out" || fail "-T does not print \"$words\": $(tail -n 14 "$tk_tmp/out")"
done

# Nobody has more than the limit leaves him, with room to spare.
bounded() {
	for pid in $(cat "/proc/$tk_pid/task/$tk_pid/children"); do
		count=$(ls "/proc/$pid/fd" | wc -l)
		echo "$(tr '\0' ' ' <"/proc/$pid/cmdline"): $count descriptors"
		test "$count" -lt 240 || fail "process $pid has $count descriptors"
	done
	grep -q 'Too many open files' "$tk_tmp/a/log" && fail "$(grep 'Too many' "$tk_tmp/a/log")"
}

tk_start "$tk_tmp/a" 'worker_processes = 1;'
tk_python test_many_partitions.py create 400
tk_python test_many_partitions.py append 400 3
tk_python test_many_partitions.py check 400 3
bounded
tk_python test_many_partitions.py crowd 400 3
bounded

kill -KILL "$tk_pid"
tk_within 10 tk_ended "$tk_pid" || fail "kill"
wait "$tk_pid" 2>/dev/null
sleep 1 # the children go with the master
rm "$tk_tmp/a/run/zone.0"
tk_start "$tk_tmp/a" 'worker_processes = 1;'
tk_python test_many_partitions.py check 400 3
bounded
tk_stop "$tk_tmp/a"
test "$tk_status" -eq 0 || fail "exit status $tk_status"
