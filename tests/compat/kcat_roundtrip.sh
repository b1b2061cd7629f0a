#!/bin/sh
# kcat produces the package index in each codec to topics of 1 and of 8 partitions and reads it back.
# Install: Debian's kcat (topics are made with librdkafka-dev).
. "$(dirname "$0")/lib.sh"
kcat_version
real_input

for codec in none gzip snappy lz4 zstd; do
	for partitions in 1 8; do
		t=$topic-$codec-$partitions
		make_topic "$t" $partitions
		kcat -P -b "$bootstrap" -t "$t" -z $codec -l "$input" || fail "kcat -P -z $codec failed"
		stored_as "$t" $partitions "$(librdkafka_codec $codec)"
		kcat -C -b "$bootstrap" -t "$t" -o beginning -e -q -X check.crcs=true \
			-X queued.min.messages=10000000 >"$tmp/out" ||
			fail "kcat -C failed"
		same_records "$tmp/out" $partitions
		rm "$tmp/out"
		echo "$codec (stored as $(librdkafka_codec $codec)), $partitions partitions: $(wc -l <"$tmp/batches") batches, $(awk '{ n += $5 } END { print n }' "$tmp/batches") bytes"
		"$work/topic" "$bootstrap" delete "$t"
	done
done

# The same as an idempotent producer.
t=$topic-idempotent
make_topic "$t" 8
kcat -P -b "$bootstrap" -t "$t" -z snappy -X enable.idempotence=true -l "$input" || fail "kcat failed"
stored_idempotent "$t" 8
kcat -C -b "$bootstrap" -t "$t" -o beginning -e -q -X check.crcs=true \
	-X queued.min.messages=10000000 >"$tmp/out"
same_records "$tmp/out" 8
