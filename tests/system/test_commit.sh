#!/bin/sh
# flush = "commit": a writer killed under load loses nothing that was acknowledged, and shows nobody
# what it may lose; a reload changes the mode under load.
. "$(dirname "$0")/lib.sh"
command -v kcat >/dev/null || skip "kcat was not found: install Debian's kcat"
tk_start "$tk_tmp/a" 'worker_processes = 2;' 'flush = "commit";' 'log_segment_bytes = "256KiB";'

writer() {
	ps -o pid=,args= --ppid "$tk_pid" | awk '/takhin: writer process 0/ { print $1 }'
}

writer_serves() {
	test -n "$(writer)" && tail -n 1 "$tk_tmp/a/log" | grep -q 'serves'
}

produce() {
	topic=$1
	shift
	timeout 120 kcat -q -b "$tk_bootstrap" -P -t "$topic" -p 0 -X enable.idempotence=true \
		-X retry.backoff.ms=1 -X reconnect.backoff.ms=1 "$@"
}

consume() {
	timeout 60 kcat -q -b "$tk_bootstrap" -C -t "$1" -p 0 -o beginning -e
}

last() {
	kcat -q -b "$tk_bootstrap" -Q -t "$1:0:-1" | sed 's/.*offset //'
}

# A consumer waits at the end: it is woken by what the sync has made visible.
echo first | produce seen || fail "could not produce"
test "$(last seen)" = 1 || fail "the latest offset is $(last seen)"
timeout 30 kcat -q -b "$tk_bootstrap" -C -t seen -p 0 -o 1 -c 1 >"$tk_tmp/woken" &
consumer=$!
sleep 0.3
echo second | produce seen
wait $consumer || fail "the consumer was not woken"
test "$(cat "$tk_tmp/woken")" = second || fail "the consumer got \"$(cat "$tk_tmp/woken")\""
echo x | produce seen -X acks=1 -X enable.idempotence=false || fail "acks=1"

# Killed again and again; the mode changes in between.
seq 1 300000 >"$tk_tmp/lines"
produce killed -E -X batch.num.messages=50 -X linger.ms=1 <"$tk_tmp/lines" 2>"$tk_tmp/kcat.log" &
producer=$!
for i in 1 2 3 4 5 6; do
	sleep 0.15
	kill -KILL "$(writer)" 2>/dev/null
done
tk_within 10 writer_serves || fail "no writer"
sed -i 's/"commit"/"none"/' "$tk_tmp/a/takhin.conf"
kill -HUP "$tk_pid"
sleep 0.3
sed -i 's/"none"/"commit"/' "$tk_tmp/a/takhin.conf"
kill -HUP "$tk_pid"
wait $producer || fail "a line was not acknowledged: $(tail -n 3 "$tk_tmp/kcat.log")"
consume killed >"$tk_tmp/got" || fail "could not consume"
cmp "$tk_tmp/lines" "$tk_tmp/got" || fail "lines are lost, doubled or out of order"
test "$(last killed)" = 300000 || fail "the latest offset is $(last killed)"

tk_stop "$tk_tmp/a"
test "$tk_status" = 0 || fail "it did not stop cleanly"
test -e "$tk_tmp/a/data/.kafka_cleanshutdown" || fail "there is no clean marker"
tk_start "$tk_tmp/a" 'flush = "commit";'
consume killed | cmp - "$tk_tmp/lines" || fail "after a clean stop something is missing"
tk_stop "$tk_tmp/a"
