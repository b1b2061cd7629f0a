#!/bin/sh
# The Java admin client and consumer of the newest Apache Kafka 4.x: configurations changed, records
# deleted, data directories described, ends of leader epochs (java/LogAdmin.java).
# Install: kafka-clients from Maven Central, with Debian's openjdk-17-jdk-headless and maven.
. "$(dirname "$0")/lib.sh"
java_client
java_run LogAdmin "$bootstrap" "$topic" || {
	cat "$tmp/java.log"
	fail "$(grep -E '(Exception|Error)' "$tmp/java.log" | head -1)"
}
