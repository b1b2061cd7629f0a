#!/bin/sh
# The Java admin client of the newest Apache Kafka 4.x: topics, partitions, configurations, offsets, and
# what must be refused with which error (java/AdminCalls.java).
# Install: kafka-clients from Maven Central, with Debian's openjdk-17-jdk-headless and maven.
. "$(dirname "$0")/lib.sh"
java_client
java_run AdminCalls "$bootstrap" "$topic" || {
	cat "$tmp/java.log"
	fail "$(grep -E '^[a-z ]+: .*(Exception|Error)' "$tmp/java.log" | tr '\n' ';')"
}
