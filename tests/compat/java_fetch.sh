#!/bin/sh
# The Java client of the newest Apache Kafka 4.x reads 40 partitions of 3 topics by one Fetch, and batches
# larger than every limit it sets (java/Fetches.java).
# Install: kafka-clients from Maven Central, with Debian's openjdk-17-jdk-headless and maven.
. "$(dirname "$0")/lib.sh"
java_client
java_log="warn -Dorg.slf4j.simpleLogger.log.org.apache.kafka.clients.FetchSessionHandler=debug" \
	java_run Fetches "$bootstrap" "$topic" || fail "$(grep -v FetchSessionHandler "$tmp/java.log" | tail -3)"
grep -q 'Built full fetch .* with 40 partition' "$tmp/java.log" || fail "no Fetch asked for all 40 partitions"
echo "$(grep -c 'Built incremental fetch' "$tmp/java.log") incremental and $(grep -c 'Built full fetch' "$tmp/java.log") full fetches"
