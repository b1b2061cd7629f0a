#!/bin/sh
# kafka-console-producer and kafka-console-consumer --partition of the newest Apache Kafka 4.x, with 10 MB
# of the package index.
# Install: kafka-tools from Maven Central, with Debian's openjdk-17-jdk-headless and maven.
. "$(dirname "$0")/lib.sh"
java_tools
real_input 10000000
count=$(wc -l <"$input")

make_topic "$topic" 1
kafka_tool ConsoleProducer --topic "$topic" --compression-codec zstd <"$input" || fail "$(tail -3 "$tmp/java.log")"
stored_as "$topic" 1 zstd
kafka_tool consumer.ConsoleConsumer --topic "$topic" --partition 0 --offset earliest \
	--max-messages "$count" --timeout-ms 20000 >"$tmp/out" || fail "$(tail -3 "$tmp/java.log")"
same_records "$tmp/out" 1

make_topic "$topic-8" 8
kafka_tool ConsoleProducer --topic "$topic-8" <"$input" || fail "$(tail -3 "$tmp/java.log")"
batches "$topic-8" 8 | awk '{ n[$1] += $3 - $2 + 1 } END { for (p in n) print p, n[p] }' >"$tmp/partitions"
: >"$tmp/out"
while read -r partition count; do
	kafka_tool consumer.ConsoleConsumer --topic "$topic-8" --partition "$partition" --offset 0 \
		--max-messages "$count" --timeout-ms 20000 >>"$tmp/out" || fail "$(tail -3 "$tmp/java.log")"
done <"$tmp/partitions"
same_records "$tmp/out" 8
echo "$(wc -l <"$tmp/partitions") of 8 partitions were filled"
