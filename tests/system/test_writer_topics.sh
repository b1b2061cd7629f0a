#!/bin/sh
# Topics are made, deleted and made again under load: a topic that stays notices nothing, one that
# was made again has none of its ghost's records, and what was deleted leaves the disk.
. "$(dirname "$0")/lib.sh"
command -v kcat >/dev/null || skip "kcat was not found: install Debian's kcat"
pkg-config --exists rdkafka || skip "librdkafka was not found: install Debian's librdkafka-dev"
source=${TAKHIN_SOURCE_DIR:-$(dirname "$0")/../..}
${CC:-cc} -std=gnu11 -O1 -o "$tk_tmp/topic" "$source/tests/compat/topic.c" \
	$(pkg-config --cflags --libs rdkafka) || fail "could not compile topic.c"
tk_start "$tk_tmp/a" 'worker_processes = 2;' 'auto_create_topics_enable = false;' \
	'log_segment_delete_delay_ms = "1s";'

topic() {
	timeout 60 "$tk_tmp/topic" "$tk_bootstrap" "$@"
}

topic create stays 2 || fail "create"
seq 1 3000000 >"$tk_tmp/lines"
kcat -q -b "$tk_bootstrap" -P -t stays -p 0 -X enable.idempotence=true <"$tk_tmp/lines" &
steady=$!

for i in $(seq 1 15); do
	topic create churn 3 file.delete.delay.ms=500 || fail "create $i"
	# Somebody produces to it until it is gone, and is told so.
	yes "life $i" | timeout 20 kcat -q -b "$tk_bootstrap" -P -t churn -X message.timeout.ms=3000 \
		>/dev/null 2>&1 &
	ghost=$!
	sleep 0.1
	topic delete churn || fail "delete $i"
	kill $ghost 2>/dev/null
	wait $ghost 2>/dev/null
done

# The last life: only its own records, from offset 0.
topic create last 1 || fail "create"
topic delete last || fail "delete"
topic create last 1 || fail "create again"
echo second | kcat -q -b "$tk_bootstrap" -P -t last -p 0 || fail "produce"
test "$(timeout 20 kcat -q -b "$tk_bootstrap" -C -t last -p 0 -o beginning -e -f '%o %s')" = "0 second" ||
	fail "a ghost is in \"last\""

# A wide topic does not hold up the steady producer.
topic create wide 1000 || fail "wide"
echo x | kcat -q -b "$tk_bootstrap" -P -t wide -p 999 || fail "the last partition of \"wide\""
wait $steady || fail "the steady producer failed"
topic delete wide || fail "delete wide"
timeout 120 kcat -q -b "$tk_bootstrap" -C -t stays -p 0 -o beginning -e | cmp - "$tk_tmp/lines" ||
	fail "\"stays\" has lost lines"

gone() {
	test -z "$(find "$tk_tmp/a" -name 'churn-*' -o -name 'wide-*')"
}
tk_within 20 gone || fail "left on the disk: $(find "$tk_tmp/a" -name 'churn-*' | head -n 3)"
grep -E 'was killed by|panic|took the slot' "$tk_tmp/a/log" && fail "somebody died"
tk_stop "$tk_tmp/a"
test "$tk_status" -eq 0 || fail "exit status $tk_status"
tk_start "$tk_tmp/a"
test "$(timeout 20 kcat -q -b "$tk_bootstrap" -C -t last -p 0 -o beginning -e)" = second ||
	fail "\"last\" after a restart"
grep 'left alone' "$tk_tmp/a/log" && fail "stray partitions"
tk_stop "$tk_tmp/a"
