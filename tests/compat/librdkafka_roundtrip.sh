#!/bin/sh
# librdkafka from C takes the package index to a topic of 1 partition and back, and as an
# idempotent producer to one of 8.
# Install: Debian's librdkafka-dev.
. "$(dirname "$0")/lib.sh"
build_c librdkafka_client
echo "librdkafka $(pkg-config --modversion rdkafka)"
real_input
client="$work/librdkafka_client $bootstrap"

# round_trip PARTITIONS CODEC IDEMPOTENCE
round_trip() {
	t=$topic-$1
	make_topic "$t" $1
	$client produce "$t" $1 "$input" compression.codec=$2 enable.idempotence=$3 || fail "producing failed"
	stored_as "$t" $1 $2
	test $3 = false || stored_idempotent "$t" $1
	$client consume "$tmp/out" "$t:$1" enable.partition.eof=true check.crcs=true \
		queued.min.messages=10000000 || fail "consuming failed"
	same_records "$tmp/out" $1
	rm "$tmp/out"
}
round_trip 1 none false
round_trip 8 snappy true
