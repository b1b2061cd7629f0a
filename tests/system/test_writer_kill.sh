#!/bin/sh
# A writer is killed under load: appends resume within 100 ms, nothing that was acknowledged is lost,
# and what an idempotent producer sends is there once and in order.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/python.sh"
command -v kcat >/dev/null || skip "kcat was not found: install Debian's kcat"
tk_start "$tk_tmp/a" 'worker_processes = 2;'

writer() {
	ps -o pid=,args= --ppid "$tk_pid" | awk '/takhin: writer process 0/ { print $1 }'
}

# A line each few milliseconds, for as long as the file is there.
feed() {
	i=0
	while test -e "$tk_tmp/feeding"; do
		i=$((i + 1))
		echo $i
		sleep 0.003
	done
}

# produce TOPIC [OPTION...]: what it reads; fails unless every line was acknowledged.
produce() {
	topic=$1
	shift
	kcat -q -b "$tk_bootstrap" -P -t "$topic" -p 0 -X retry.backoff.ms=1 -X linger.ms=0 \
		-X reconnect.backoff.ms=1 "$@"
}

consume() {
	timeout 60 kcat -q -b "$tk_bootstrap" -C -t "$1" -p 0 -o beginning -e
}

tk_python test_writer_kill.py

# Lines at a time, killed at leisure.
echo 0 | produce slow || fail "no topic"
touch "$tk_tmp/feeding"
feed | tee "$tk_tmp/fed" | produce slow -X enable.idempotence=true &
producer=$!
for i in 1 2 3 4 5; do
	sleep 0.7
	pid=$(writer)
	kill -KILL "$pid" || fail "there is no writer"
done
sleep 0.7
rm "$tk_tmp/feeding"
wait $producer || fail "a line was not acknowledged"
consume slow | tail -n +2 >"$tk_tmp/got" || fail "could not consume"
cmp "$tk_tmp/fed" "$tk_tmp/got" || fail "lines are lost, doubled or out of order"
# As fast as it goes, idempotent and not.
seq 1 1000000 >"$tk_tmp/lines"
for idempotent in true false; do
	produce "fast-$idempotent" -X enable.idempotence=$idempotent -X linger.ms=5 <"$tk_tmp/lines" &
	producer=$!
	for i in 1 2 3 4 5 6 7 8; do
		sleep 0.1
		kill -KILL "$(writer)" 2>/dev/null
	done
	wait $producer || fail "a line was not acknowledged"
	consume "fast-$idempotent" >"$tk_tmp/got" || fail "could not consume"
	if test $idempotent = true; then
		cmp "$tk_tmp/lines" "$tk_tmp/got" || fail "lines are lost, doubled or out of order"
	else
		sort -n -u "$tk_tmp/got" | cmp - "$tk_tmp/lines" || fail "lines are lost"
	fi
done

# And what it left is a sound log for the next start, clean or not.
tk_stop "$tk_tmp/a"
test "$tk_status" -eq 0 || fail "exit status $tk_status"
tk_start "$tk_tmp/a"
consume fast-true | cmp - "$tk_tmp/lines" || fail "not the same after a restart"
tk_stop "$tk_tmp/a"
