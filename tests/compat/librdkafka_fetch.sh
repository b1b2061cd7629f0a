#!/bin/sh
# librdkafka from C reads 40 partitions of 3 topics by one Fetch, some of them empty, in mixed codecs;
# and batches larger than every limit it sets.
# Install: Debian's librdkafka-dev.
. "$(dirname "$0")/lib.sh"
build_c librdkafka_client
echo "librdkafka $(pkg-config --modversion rdkafka)"
real_input 2000000
client="$work/librdkafka_client $bootstrap"

make_topic "$topic-a" 20
make_topic "$topic-b" 17
make_topic "$topic-c" 3
for codec in none gzip snappy lz4 zstd; do
	$client produce "$topic-a" 15 "$input" compression.codec=$codec batch.num.messages=40 || fail "producing failed"
	$client produce "$topic-b" 17 "$input" compression.codec=$codec batch.num.messages=90 || fail "producing failed"
done
for n in 1 2 3 4 5 6 7 8 9 10; do cat "$input"; done | sort >"$tmp/expected"
for limit in 1048576 5000 1; do
	$client consume "$tmp/out" "$topic-a:20,$topic-b:17,$topic-c:3" enable.partition.eof=true check.crcs=true \
		fetch.message.max.bytes=$limit debug=fetch 2>"$tmp/log" || fail "$(grep -v FETCH "$tmp/log")"
	sort "$tmp/out" | cmp "$tmp/expected" - || fail "records differ with fetch.message.max.bytes=$limit"
	grep -q 'Fetch 40/40/40 toppar' "$tmp/log" || fail "no Fetch asked for all 40 partitions"
done

make_topic "$topic-big" 3
{ tr '\n' ' ' <"$input" | fold -b -w 900000 && echo; } >"$tmp/big"
$client produce "$topic-big" 3 "$tmp/big" || fail "producing failed"
$client consume "$tmp/out" "$topic-big:3" enable.partition.eof=true check.crcs=true message.max.bytes=1000 \
	fetch.max.bytes=1000 fetch.message.max.bytes=1000 || fail "consuming failed"
sort "$tmp/big" >"$tmp/expected"
sort "$tmp/out" | cmp "$tmp/expected" - || fail "large records differ"
