#!/bin/sh
# Retention deletes old segments, whole, and only them; by size and by time, the active one last.
. "$(dirname "$0")/lib.sh"
command -v kcat >/dev/null || skip "kcat was not found: install Debian's kcat"
pkg-config --exists rdkafka || skip "librdkafka was not found: install Debian's librdkafka-dev"
source=${TAKHIN_SOURCE_DIR:-$(dirname "$0")/../..}
${CC:-cc} -std=gnu11 -O1 -o "$tk_tmp/topic" "$source/tests/compat/topic.c" \
	$(pkg-config --cflags --libs rdkafka) || fail "could not compile topic.c"
tk_start "$tk_tmp/a" 'worker_processes = 2;' 'log_retention_check_interval_ms = "300ms";' \
	'log_segment_delete_delay_ms = "1s";'
data=$tk_tmp/a/data

topic() {
	timeout 60 "$tk_tmp/topic" "$tk_bootstrap" "$@" || fail "topic $*"
}

# fill TOPIC: ten thousand lines of 100 bytes, a batch each ten.
fill() {
	seq -f '%099.0f' 1 10000 | kcat -q -b "$tk_bootstrap" -P -t "$1" -p 0 \
		-X batch.num.messages=10 || fail "produce to \"$1\""
}

first() {
	kcat -q -b "$tk_bootstrap" -Q -t "$1:0:-2" | sed 's/.*offset //'
}

last() {
	kcat -q -b "$tk_bootstrap" -Q -t "$1:0:-1" | sed 's/.*offset //'
}

segments() {
	ls "$data/$1-0" | grep -c '\.log$'
}

# offset_is COMMAND TOPIC OFFSET
offset_is() {
	test "$($1 "$2")" = "$3"
}

topic create forever 1 retention.ms=-1 retention.bytes=-1 segment.bytes=100000
topic create sized 1 retention.ms=-1 retention.bytes=300000 segment.bytes=100000
topic create timed 1 retention.ms=2000 segment.bytes=100000
topic create young 1 retention.ms=3600000 segment.bytes=100000
topic create active 1 retention.ms=1500
for name in forever sized timed young active; do
	fill $name
done
total=$(segments forever)
test "$total" -gt 10 || fail "\"forever\" has only $total segments"

# By size: what is left is the bound and at most one segment more; its first record is readable.
shrunk() {
	test "$(first sized)" -gt 0 && test "$(segments sized)" -le 5
}
tk_within 20 shrunk || fail "\"sized\" keeps $(segments sized) segments"
bytes=$(cat "$data"/sized-0/*.log | wc -c)
test "$bytes" -ge 300000 || fail "only $bytes bytes are left of \"sized\""
start=$(first sized)
test -e "$data/sized-0/$(printf %020d "$start").log" || fail "\"sized\" does not begin with a segment"
timeout 30 kcat -q -b "$tk_bootstrap" -C -t sized -p 0 -o beginning -e >"$tk_tmp/got" || fail "consume"
seq -f '%099.0f' $((start + 1)) 10000 | cmp - "$tk_tmp/got" || fail "\"sized\" has lost what it should keep"

# By time: everything goes, the active segment as well; the offsets go on.
tk_within 20 offset_is first timed 10000 || fail "\"timed\" begins at $(first timed)"
tk_within 20 offset_is first active 10000 || fail "\"active\" begins at $(first active)"
offset_is last timed 10000 || fail "\"timed\" ends at $(last timed)"
echo more | kcat -q -b "$tk_bootstrap" -P -t timed -p 0 || fail "produce after deletion"
test "$(timeout 20 kcat -q -b "$tk_bootstrap" -C -t timed -p 0 -o beginning -e -f '%o %s')" = "10000 more" ||
	fail "what was produced after deletion"
one_file() {
	test "$(segments timed)" -eq 1 && test -z "$(find "$data" -name '*.deleted')"
}
tk_within 20 one_file || fail "files are left: $(ls "$data/timed-0")"

# Nothing else was touched.
for name in forever young; do
	offset_is first $name 0 || fail "\"$name\" begins at $(first $name)"
done
test "$(segments forever)" -eq "$total" || fail "\"forever\" has lost segments"

# The cleaner dies, the writer dies: retention goes on.
for what in 'cleaner process' 'writer process 0'; do
	kill -KILL "$(ps -o pid=,args= --ppid "$tk_pid" | awk -v what="takhin: $what" 'index($0, what) { print $1 }')"
	tk_within 20 offset_is first timed "$(last timed)" || fail "no retention after the $what died"
	echo again | kcat -q -b "$tk_bootstrap" -P -t timed -p 0 || fail "produce"
done
tk_within 20 offset_is first timed "$(last timed)" || fail "no retention at the end"

# The start is where it was after a restart, also when all were killed.
start=$(first sized)
tk_stop "$tk_tmp/a"
test "$tk_status" -eq 0 || fail "exit status $tk_status"
tk_start "$tk_tmp/a"
offset_is first sized "$start" || fail "\"sized\" begins at $(first sized) after a restart, not $start"
offset_is first active 10000 || fail "\"active\" begins at $(first active) after a restart"
tk_stop "$tk_tmp/a" KILL
tk_start "$tk_tmp/a"
offset_is first sized "$start" || fail "\"sized\" begins at $(first sized) after a kill, not $start"
offset_is first forever 0 || fail "\"forever\" begins at $(first forever) after a kill"
