#!/bin/sh
# Of each key of a compacted topic the last value stays; marks of deletion go; offsets stay.
. "$(dirname "$0")/lib.sh"
command -v kcat >/dev/null || skip "kcat was not found: install Debian's kcat"
pkg-config --exists rdkafka || skip "librdkafka was not found: install Debian's librdkafka-dev"
source=${TAKHIN_SOURCE_DIR:-$(dirname "$0")/../..}
${CC:-cc} -std=gnu11 -O1 -o "$tk_tmp/topic" "$source/tests/compat/topic.c" \
	$(pkg-config --cflags --libs rdkafka) || fail "could not compile topic.c"
start() {
	tk_start "$tk_tmp/a" 'worker_processes = 2;' 'log_cleaner_backoff_ms = "100ms";' \
		'log_retention_check_interval_ms = "300ms";' 'log_segment_delete_delay_ms = "1s";'
}
start
data=$tk_tmp/a/data

topic() {
	timeout 60 "$tk_tmp/topic" "$tk_bootstrap" "$@" || fail "topic $*"
}

# keyed ROUND: a value of ROUND for each of 200 keys, a batch each few.
keyed() {
	seq 1 200 | awk -v round="$1" '{ printf "key%d:%d %050d\n", $1, round, $1 }'
}

produce() {
	kcat -q -b "$tk_bootstrap" -P -t "$1" -p 0 -K : -Z -X batch.num.messages=7 ${2:+-z "$2"} ||
		fail "produce to \"$1\""
}

consume() {
	timeout 60 kcat -q -b "$tk_bootstrap" -C -t "$1" -p 0 -o beginning -e -f '%k:%s\n'
}

segments() {
	find "$data/$1-0" -name '*.log' | wc -l
}

# What a reader sees of TOPIC comes to FILE once all has been compacted but the active segment.
settled() {
	consume "$1" | sed '/^push/d' | sort >"$tk_tmp/got"
	cmp -s "$tk_tmp/got" "$2"
}

# A last record pushes everything before it out of the active segment.
push() {
	printf 'push:%s\n' "$(printf %03000d "$2")" | produce "$1"
}

for codec in none gzip snappy lz4 zstd; do
	topic create "t-$codec" 1 cleanup.policy=compact segment.bytes=4000 \
		min.cleanable.dirty.ratio=0.01 delete.retention.ms=0
	for round in 1 2 3 4 5; do
		keyed $round | produce "t-$codec" $codec
	done
	push "t-$codec" 1
	push "t-$codec" 2
done
keyed 5 | sort >"$tk_tmp/want"
for codec in none gzip snappy lz4 zstd; do
	tk_within 30 settled "t-$codec" "$tk_tmp/want" ||
		fail "$codec: $(diff "$tk_tmp/want" "$tk_tmp/got" | head -5) $(ls "$data/t-$codec-0")"
done

# The offsets are those of the records from the start; what was cut out is a gap.
timeout 60 kcat -q -b "$tk_bootstrap" -C -t t-none -p 0 -o beginning -e -f '%o %k\n' >"$tk_tmp/offsets"
awk '$2 ~ /^key/ && $1 != 800 + substr($2, 4) - 1 { bad = 1 } END { exit bad }' "$tk_tmp/offsets" ||
	fail "offsets have changed: $(head -3 "$tk_tmp/offsets")"

# A mark of deletion (-Z: an empty value) takes its key away, and goes itself.
seq 1 100 | sed 's/.*/key&:/' | produce t-none
push t-none 3
push t-none 4
keyed 5 | awk -F'[y:]' '$2 + 0 > 100' | sort >"$tk_tmp/want"
again() {
	push t-none 5
	settled t-none "$tk_tmp/want"
}
tk_within 30 again || fail "deleted: $(diff "$tk_tmp/want" "$tk_tmp/got" | head -5)"

# Without a key nothing is taken, compressed or not.
for codec in none zstd; do
	echo keyless | timeout 20 kcat -q -b "$tk_bootstrap" -P -t t-none -p 0 -z $codec 2>"$tk_tmp/err" &&
		fail "a record without a key was taken ($codec)"
done

# A restart, clean or not, changes nothing.
keyed 5 | sort >"$tk_tmp/want"
tk_stop "$tk_tmp/a"
test "$tk_status" -eq 0 || fail "exit status $tk_status"
start
settled t-zstd "$tk_tmp/want" || fail "after a restart"
tk_stop "$tk_tmp/a" KILL
start
settled t-zstd "$tk_tmp/want" || fail "after a kill"
grep -q "is damaged\|BUG\|not compacted" "$tk_tmp/a/log" && fail "$(grep "is damaged\|BUG\|not compacted" "$tk_tmp/a/log" | head -3)"
tk_stop "$tk_tmp/a"
