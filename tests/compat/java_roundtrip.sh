#!/bin/sh
# The Java client of the newest Apache Kafka 4.x takes the package index in each codec to topics of 1 and
# of 8 partitions and back by assign(); its producer is idempotent by default.
# Install: kafka-clients from Maven Central, with Debian's openjdk-17-jdk-headless and maven.
. "$(dirname "$0")/lib.sh"
java_client
real_input
java_tier=4 java_heap=1500m java_run RoundTrip "$bootstrap" "$topic" "$input" >"$tmp/topics" ||
	fail "$(tail -3 "$tmp/java.log")"
build_c topic
made_topics=$(cut -d' ' -f1 "$tmp/topics" | tr '\n' ' ')
while read -r t partitions codec; do
	stored_as "$t" "$partitions" "$codec"
	stored_idempotent "$t" "$partitions"
done <"$tmp/topics"
test "$(wc -l <"$tmp/topics")" -eq 5
