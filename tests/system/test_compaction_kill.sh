#!/bin/sh
# Cleaner and writer are killed while topics are compacted: nothing is lost, nothing is left over, and
# compaction ends where it should.  A damaged partition, and one that cleaners die on, hold up no other.
. "$(dirname "$0")/lib.sh"
command -v kcat >/dev/null || skip "kcat was not found: install Debian's kcat"
pkg-config --exists rdkafka || skip "librdkafka was not found: install Debian's librdkafka-dev"
source=${TAKHIN_SOURCE_DIR:-$(dirname "$0")/../..}
${CC:-cc} -std=gnu11 -O1 -o "$tk_tmp/topic" "$source/tests/compat/topic.c" \
	$(pkg-config --cflags --libs rdkafka) || fail "could not compile topic.c"
start() {
	tk_start "$tk_tmp/$1" 'worker_processes = 1;' 'log_cleaner_backoff_ms = "1ms";' \
		'log_segment_delete_delay_ms = "100ms";'
	data=$tk_tmp/$1/data
}

topic() {
	timeout 60 "$tk_tmp/topic" "$tk_bootstrap" "$@" || fail "topic $*"
}

make() {
	topic create "$1" 1 cleanup.policy=compact segment.bytes=4000 min.cleanable.dirty.ratio=0.01
}

keyed() {
	seq 1 150 | awk -v round="$1" '{ printf "key%d:%d %050d\n", $1, round, $1 }'
}

produce() {
	kcat -q -b "$tk_bootstrap" -P -t "$1" -p 0 -K : -X batch.num.messages=7 \
		-X enable.idempotence=true || fail "produce to \"$1\""
}

push() {
	for n in 1 2; do
		printf 'push%s:%03000d\n' $n $n | produce "$1"
	done
}

read_all() {
	timeout 60 kcat -q -b "$tk_bootstrap" -C -t "$1" -p 0 -o beginning -e -f '%k:%s\n' |
		sed '/^push/d'
}

settled() {
	read_all "$1" | sort >"$tk_tmp/got"
	cmp -s "$tk_tmp/got" "$tk_tmp/want"
}

process() {
	ps -o pid=,args= --ppid "$tk_pid" | awk -v what="takhin: $1" 'index($0, what) { print $1; exit }'
}

kill_one() {
	victim=$(process "$1")
	test -z "$victim" || kill -KILL "$victim" 2>/dev/null || true
}

start a
make kills
for round in 1 2 3 4 5 6 7 8 9 10 11 12; do
	keyed $round | produce kills &
	producer=$!
	for n in 1 2 3; do
		sleep 0.0$((round * 7 % 10))
		kill_one 'cleaner process'
		sleep 0.0$((round * 3 % 10))
		kill_one 'writer process 0'
	done
	wait $producer || fail "the producer has failed in round $round"
	# Whatever was done up to here: the last value of each key is there.
	read_all kills | awk -F: '{ last[$1] = $0 } END { for (k in last) print last[k] }' | sort >"$tk_tmp/got"
	keyed $round | sort | cmp -s - "$tk_tmp/got" ||
		fail "round $round: $(keyed $round | sort | diff - "$tk_tmp/got" | head -4)"
done
push kills
keyed 12 | sort >"$tk_tmp/want"
tk_stop "$tk_tmp/a" KILL # a cleaner that was killed twice at it had it quarantined
start a
tk_within 30 settled kills || fail "not compacted: $(diff "$tk_tmp/want" "$tk_tmp/got" | head -4)"
clean() {
	test -z "$(find "$data/kills-0" -name '*.deleted' -o -name '*.swap' -o -name '*.cleaned')"
}
tk_within 20 clean || fail "left over: $(ls "$data/kills-0")"
grep -q "panic\|is damaged" "$tk_tmp/a/log" && fail "$(grep "panic\|is damaged" "$tk_tmp/a/log" | head -3)"

# A damaged batch: the partition is quarantined, said so, and others go on.
make bad
make good
for round in 1 2 3; do
	keyed $round | produce bad
	keyed $round | produce good
done
push good
keyed 3 | sort >"$tk_tmp/want"
push bad
tk_within 30 settled bad || fail "\"bad\" is not compacted"
tk_stop "$tk_tmp/a"
test "$tk_status" -eq 0 || fail "exit status $tk_status"
first=$(find "$data/bad-0" -name '*.log' | sort | head -n 1)
printf '\377' | dd of="$first" bs=1 seek=100 conv=notrunc 2>/dev/null
start a
keyed 4 | produce bad
keyed 4 | produce good
push bad
push good
keyed 4 | sort >"$tk_tmp/want"
tk_within 30 settled good || fail "\"good\" is not compacted beside a damaged one"
said() {
	"$tk_build/takhinctl" -p "$tk_tmp/a" status >"$tk_tmp/status" && grep -q "^$1  $2" "$tk_tmp/status"
}
tk_within 20 said bad-0 'a batch of it is damaged' || fail "status does not say so: $(tail -5 "$tk_tmp/status")"
grep -q 'partition "bad-0" is not compacted any more' "$tk_tmp/a/log" || fail "the log does not say so"

# Cleaners that die at it: after the second the partition is quarantined.
TAKHIN_KILLPOINT=compact_synced:1
export TAKHIN_KILLPOINT
start b
make deadly
for round in 1 2; do
	keyed $round | produce deadly
done
push deadly
tk_within 40 grep -q '"deadly-0" is not compacted any more: the cleaner died on it twice' "$tk_tmp/b/log" ||
	fail "not quarantined: $(tail -5 "$tk_tmp/b/log")"
said_b() {
	"$tk_build/takhinctl" -p "$tk_tmp/b" status | grep -q '^deadly-0  the cleaner died on it twice'
}
tk_within 20 said_b || fail "status does not say that cleaners died"
tk_stop "$tk_tmp/b"
tk_stop "$tk_tmp/a"
