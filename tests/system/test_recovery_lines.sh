#!/bin/sh
# What the log says of a start with many partitions: one sum after an unclean one, no line for each;
# nothing after a clean one, which reads no records; nothing again after a kill with the zone in
# place.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/python.sh"

lines() {
	sed -n "/takhin .* starting/h;//!H;\${x;p}" "$tk_tmp/a/log" | grep -c "$1"
}

tk_start "$tk_tmp/a" 'worker_processes = 1;'
tk_python test_many_partitions.py create 300
tk_python test_many_partitions.py append 300 1

kill -KILL "$tk_pid"
tk_within 10 tk_ended "$tk_pid" || fail "kill"
wait "$tk_pid" 2>/dev/null
sleep 1 # the children go with the master
rm "$tk_tmp/a/run/zone.0"
: >"$tk_tmp/a/log"
tk_start "$tk_tmp/a" 'worker_processes = 1;'
grep -Eq 'recovered ".*/data": 301 partitions, [1-9][0-9]+ bytes read, 0 bytes cut off, 0 damaged stretches, in [0-9]+\.[0-9]{3} s$' \
	"$tk_tmp/a/log" || fail "no sum"
test "$(grep -c 'recover' "$tk_tmp/a/log")" -le 3 || fail "a line for each partition"
tk_python test_many_partitions.py check 300 1

# The same processes' kill, with the zone.
kill -KILL "$tk_pid"
tk_within 10 tk_ended "$tk_pid" || fail "kill"
wait "$tk_pid" 2>/dev/null
sleep 1
: >"$tk_tmp/a/log"
tk_start "$tk_tmp/a" 'worker_processes = 1;'
grep -q 'bytes read' "$tk_tmp/a/log" && fail "recovered though the zone was there"
tk_python test_many_partitions.py check 300 1

# After a clean stop nothing of a log is read, with the zone and without.
for zone in kept lost; do
	tk_stop "$tk_tmp/a"
	test "$tk_status" -eq 0 || fail "exit status $tk_status"
	test $zone = kept || rm "$tk_tmp/a/run/zone.0"
	: >"$tk_tmp/a/log"
	if command -v strace >/dev/null && strace -o /dev/null true 2>/dev/null; then
		tk_under="strace -D -f -qq -y -e trace=read,pread64,preadv,preadv2,readv,mmap -o $tk_tmp/calls"
	fi
	tk_start "$tk_tmp/a" 'worker_processes = 1;'
	grep -q 'bytes read' "$tk_tmp/a/log" && fail "recovered though it was stopped cleanly"
	tk_python test_many_partitions.py check 0 0 # it serves
	if test -n "${tk_under:-}"; then
		grep -q '^[0-9]* *p*read' "$tk_tmp/calls" || fail "strace saw nothing"
		grep -E '/many-[0-9]+/[0-9]+\.log' "$tk_tmp/calls" && fail "records were read ($zone)"
	fi
	tk_under=
	tk_python test_many_partitions.py check 300 1
done
tk_stop "$tk_tmp/a"
test "$tk_status" -eq 0 || fail "exit status $tk_status"
