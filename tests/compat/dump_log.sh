#!/bin/sh
# Apache Kafka's own kafka-dump-log of the newest 4.x over the files that a Takhin of ours has written: all
# codecs, idempotent and not, rolled segments, LogAppendTime; stopped, killed, killed and recovered.
# Install: kafka-tools from Maven Central, with Debian's openjdk-17-jdk-headless and maven.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/own_broker.sh"
java_tools
real_input 2000000
lines=$(wc -l <"$input")
own_start "$tmp/a"
expected="$tmp/expected"
: >"$expected"

# produced TOPIC LINES: adds to what the log has to hold.
produced() {
	echo "$1 $2" >>"$expected"
}

# java_produce TOPIC CODEC [PROPERTY...]: Java's producer, which is idempotent unless told otherwise.
java_produce() {
	to=$1 codec=$2
	shift 2
	kafka_tool ConsoleProducer --topic "$to" --compression-codec "$codec" "$@" <"$input" ||
		fail "$(tail -3 "$tmp/java.log")"
	produced "$to" "$lines"
}

# dump WHAT FILES OPTION...: one kafka-dump-log over many files; its output in $tmp/WHAT.
dump() {
	what=$1 files=$2
	shift 2
	test -n "$files" || fail "nothing to judge ($what)"
	java_run org.apache.kafka.tools.DumpLogSegments --files "$files" "$@" >"$tmp/$what" ||
		fail "kafka-dump-log ($what): $(tail -3 "$tmp/java.log")"
	# Whatever it complains of; the records themselves are behind "payload:".
	sed 's/ payload: .*//; s/ key: .*//' "$tmp/$what" |
		grep -Ei 'found|mismatch|corrupt|invalid|isvalid: false|error|exception|out of order|non-?consecutive|not match|unable|ignoring|could not' |
		head -5 >"$tmp/complaints" || true
	test ! -s "$tmp/complaints" || fail "kafka-dump-log ($what): $(cat "$tmp/complaints")"
	# The tool takes the offset before a segment for -1: it says so of each whose base is not 0.
	awk '/^SLF4J/ { next }
		/^Non-consecutive offsets in / { name = $NF; sub(/.*\//, "", name); sub(/\.log$/, "", name); pending = $0; next }
		/^ *-1 is followed by [0-9]+$/ && $NF == name + 0 { pending = ""; next }
		{ if (pending != "") print pending; pending = ""; print }
		END { if (pending != "") print pending }' "$tmp/java.log" >"$tmp/complaints"
	test ! -s "$tmp/complaints" || fail "kafka-dump-log ($what) says: $(head -3 "$tmp/complaints")"
}

files_of() {
	find "$data" -path '*-[0-9]*/*' -name "$1" | sort | paste -sd, -
}

# judge HOW: all files, all ways.
judge() {
	dump logs "$(files_of '*.log')" --deep-iteration --print-data-log
	dump indexes "$(files_of '*index')"
	dump sane "$(files_of '*index')" --index-sanity-check
	dump snapshots "$(files_of '*.snapshot')"
	awk -v root="$data/" '
		/^Dumping / { n = split($2, part, "/"); name = part[n - 1]; sub(/-[0-9]+$/, "", name) }
		/^\| offset: / { records[name]++ }
		END { for (name in records) if (name != "__metadata") print name, records[name] }' "$tmp/logs" |
		sort >"$tmp/counted"
	awk '{ n[$1] += $2 } END { for (name in n) print name, n[name] }' "$expected" | sort >"$tmp/told"
	cmp -s "$tmp/told" "$tmp/counted" || fail "$1: records are not those: $(diff "$tmp/told" "$tmp/counted" | head -5)"
	passed=$(grep -c 'passed sanity check' "$tmp/sane") || fail "$1: no index was looked at"
	echo "$1: $(grep -c '^Dumping' "$tmp/logs") logs, $(awk '{ n += $2 } END { print n }' "$tmp/counted") records, $passed indexes, $(grep -c '^Dumping' "$tmp/snapshots") snapshots, of which nothing is found"
}

for codec in none gzip snappy lz4 zstd; do
	make_topic "$codec" 2 segment.bytes=1048576 index.interval.bytes=512
	java_produce "$codec" "$codec"
	stored_as "$codec" 1 "$codec"
done
make_topic append-time 1 segment.bytes=1048576 message.timestamp.type=LogAppendTime
java_produce append-time none
java_produce append-time lz4
make_topic kcat 1 segment.bytes=1048576
for options in "-X enable.idempotence=true" "-z zstd" "-z gzip -X enable.idempotence=true"; do
	kcat -q -b "$bootstrap" -P -t kcat -p 0 -X linger.ms=5 -X batch.num.messages=50 $options <"$input" || fail "kcat $options"
	produced kcat "$lines"
done
segments=$(find "$data/none-0" "$data/none-1" "$data/append-time-0" -name '*.log' | wc -l)
test "$segments" -ge 5 || fail "$segments segments: nothing was rolled"
test -n "$(find "$data" -name '*.snapshot')" || fail "there are no snapshots"
judge running

own_stop TERM
judge stopped
own_start "$tmp/a"
java_produce append-time gzip
java_produce none none --command-property enable.idempotence=false
own_stop KILL
judge killed
own_start "$tmp/a"
java_produce zstd zstd
own_stop KILL
# Another boot, as far as the broker can tell: nothing is believed, all is recovered.
rm -r "$tmp/a/run"
own_start "$tmp/a"
java_produce snappy snappy
own_stop KILL
judge recovered
own_start "$tmp/a"
own_stop TERM
judge "stopped again"

# The judge does find things: an entry of an index that points elsewhere, a byte of a record that changed.
mkdir "$tmp/broken-0"
cp "$data/none-0/00000000000000000000".* "$tmp/broken-0"
printf '\001' | dd of="$tmp/broken-0/00000000000000000000.index" bs=1 seek=15 conv=notrunc 2>/dev/null
if (dump broken "$tmp/broken-0/00000000000000000000.index") >"$tmp/out"; then
	fail "a wrong index was not found"
fi
printf '\001' | dd of="$tmp/broken-0/00000000000000000000.log" bs=1 seek=100 conv=notrunc 2>/dev/null
if (dump broken "$tmp/broken-0/00000000000000000000.log" --deep-iteration) >"$tmp/out"; then
	fail "a wrong record was not found"
fi
