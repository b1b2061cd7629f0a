#!/bin/sh
# The Java client of the newest Apache Kafka 4.x waits: long polls, fetch.min.bytes, the broker's time
# (java/Waits.java).
# Install: kafka-clients from Maven Central, with Debian's openjdk-17-jdk-headless and maven.
. "$(dirname "$0")/lib.sh"
java_client
java_run Waits "$bootstrap" "$topic" || fail "$(grep -v '^	' "$tmp/java.log" | tail -2)"
