#!/bin/sh
# kcat reads a topic of 40 partitions in mixed codecs at once, a batch larger than every limit it sets,
# and from given offsets and times.
# Install: Debian's kcat (topics are made with librdkafka-dev).
. "$(dirname "$0")/lib.sh"
kcat_version
real_input 2000000

make_topic "$topic-wide" 40
for codec in none gzip snappy lz4 zstd; do
	kcat -P -b "$bootstrap" -t "$topic-wide" -z $codec -X batch.num.messages=50 -l "$input"
done
for limit in 1048576 10000; do
	kcat -C -b "$bootstrap" -t "$topic-wide" -o beginning -e -q -X check.crcs=true \
		-X fetch.message.max.bytes=$limit -d fetch 2>"$tmp/log" | sort >"$tmp/out"
	for codec in none gzip snappy lz4 zstd; do cat "$input"; done | sort | cmp - "$tmp/out" ||
		fail "records differ with fetch.message.max.bytes=$limit"
	grep -q 'Fetch 40/40/40 toppar' "$tmp/log" || fail "no Fetch asked for all 40 partitions"
done
echo "$(grep -c 'Fetch .*/40 toppar' "$tmp/log") fetches with the small limit"

# One record of 900 kB: more than any limit, so it must come alone and whole.
make_topic "$topic-big" 2
head -c 900000 "$work/packages" | tr '\n' ' ' >"$tmp/big"
for partition in 0 1; do
	for i in 1 2 3; do
		kcat -P -b "$bootstrap" -t "$topic-big" -p $partition "$tmp/big"
		echo "small $i" | kcat -P -b "$bootstrap" -t "$topic-big" -p $partition
	done
done
kcat -C -b "$bootstrap" -t "$topic-big" -o beginning -e -q -X check.crcs=true -X message.max.bytes=1000 \
	-X fetch.max.bytes=1000 -X fetch.message.max.bytes=1000 -f '%S\n' | sort -n | uniq -c >"$tmp/out"
printf '      6 7\n      6 900000\n' | cmp - "$tmp/out" || fail "large batches came back as: $(cat "$tmp/out")"

# Offsets: from the middle of a batch, the last two, by time, and beyond the end.
make_topic "$topic-offsets" 1
seq 0 999 | kcat -P -b "$bootstrap" -t "$topic-offsets" -X batch.num.messages=100
offset_is() {
	first=$(kcat -C -b "$bootstrap" -t "$topic-offsets" -p 0 -o "$1" -c 1 -e -q -f '%o %s' 2>&1)
	test "$first" = "$2 $2" || fail "-o $1 starts at $first, not at $2"
}
offset_is 777 777
offset_is -2 998
sleep 0.1
now=$(date +%s%3N)
sleep 0.1
echo 1000 | kcat -P -b "$bootstrap" -t "$topic-offsets"
offset_is "s@$now" 1000
offset_is s@0 0
query_is() {
	kcat -Q -b "$bootstrap" -t "$topic-offsets:0:$1" >"$tmp/out" 2>&1
	grep -q "\[0\] offset $2\$" "$tmp/out" || fail "kcat -Q of $1 said $(cat "$tmp/out"), not $2"
}
query_is "$now" 1000
query_is -1 1001
query_is -2 0
kcat -C -b "$bootstrap" -t "$topic-offsets" -p 0 -o 5000000 -c 1 -e -q -X auto.offset.reset=error 2>"$tmp/err" &&
	fail "an offset beyond the end was served"
grep -q 'Offset out of range' "$tmp/err" || fail "an offset beyond the end: $(tail -1 "$tmp/err")"
first=$(kcat -C -b "$bootstrap" -t "$topic-offsets" -p 0 -o 5000000 -c 1 -e -q -X auto.offset.reset=earliest)
test "$first" = 0 || fail "out of range with auto.offset.reset=earliest starts at \"$first\""
