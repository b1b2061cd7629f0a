#!/bin/sh
# Idempotent producers: memory for them is bounded, idle ones expire, and duplicates are known after
# every way a broker can end.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/python.sh"

# Every process of the broker at once, as a power failure would have it; the run directory with
# what it knows goes too if $2 is "lost".
kill_all() {
	all="$tk_pid $(ps -o pid= --ppid "$tk_pid")"
	# shellcheck disable=SC2086
	kill -KILL $all 2>/dev/null
	for pid in $all; do
		tk_within 10 tk_ended "$pid" || fail "$pid goes on"
	done
	wait "$tk_pid" 2>/dev/null
	tk_started=$(echo "$tk_started" | sed "s| $tk_pid:[^ ]*||")
	test "$2" = kept || rm -r "$1/run"
}

tk_start "$tk_tmp/bounded" 'worker_processes = 1;' 'producer_state_max_bytes = "64KiB";'
tk_python test_producers.py bounded
# More room by a reload; and idle ones expire from then on.
{
	echo "listeners = ( { name = \"PLAINTEXT\"; port = $tk_port; } );"
	echo 'worker_processes = 1;'
	echo 'producer_id_expiration_ms = "500ms";'
	echo 'producer_id_expiration_check_interval_ms = "50ms";'
} >"$tk_dir/takhin.conf"
"$tk_takhin" -p "$tk_dir" -s reload || fail "no reload"
tk_python test_producers.py expired
tk_stop "$tk_tmp/bounded"
test "$tk_status" -eq 0 || fail "exit status $tk_status"

for run in kept lost; do
	tk_start "$tk_tmp/$run" 'worker_processes = 1;'
	tk_python test_producers.py send
	kill_all "$tk_tmp/$run" $run
	tk_start "$tk_tmp/$run"
	tk_python test_producers.py resend5
	kill_all "$tk_tmp/$run" $run
done

# Stopped cleanly and moved to another machine: Kafka's snapshot has one batch of each.
tk_start "$tk_tmp/moved" 'worker_processes = 1;'
tk_python test_producers.py send
tk_stop "$tk_tmp/moved"
rm -r "$tk_tmp/moved/run"
tk_start "$tk_tmp/moved"
tk_python test_producers.py resend1
tk_stop "$tk_tmp/moved"

# That snapshot damaged: it is removed, and the batches' headers say all five.
tk_start "$tk_tmp/damaged" 'worker_processes = 1;'
tk_python test_producers.py send
tk_stop "$tk_tmp/damaged"
rm -r "$tk_tmp/damaged/run"
snapshot=$(echo "$tk_tmp"/damaged/data/sent-0/*72.snapshot)
test -s "$snapshot" || fail "there is no snapshot: $(ls "$tk_tmp/damaged/data/sent-0")"
printf x | dd of="$snapshot" bs=1 seek=20 conv=notrunc 2>/dev/null
tk_start "$tk_tmp/damaged"
tk_python test_producers.py resend5
grep -q 'snapshot" is damaged and not used' "$tk_tmp/damaged/log" || fail "not told"
tk_stop "$tk_tmp/damaged"
