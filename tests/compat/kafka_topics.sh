#!/bin/sh
# kafka-topics of the newest Apache Kafka 4.x: create, list, describe, alter, delete, and its refusals.
# Install: kafka-tools from Maven Central, with Debian's openjdk-17-jdk-headless and maven.
. "$(dirname "$0")/lib.sh"
java_tools

topics() {
	kafka_tool TopicCommand "$@" >"$tmp/out" || fail "kafka-topics $*: $(cat "$tmp/out" "$tmp/java.log" | head -3)"
}
says() {
	grep -Eq -- "$1" "$tmp/out" || fail "\"$1\" is not in: $(cat "$tmp/out")"
}
refused() {
	what=$1
	shift
	kafka_tool TopicCommand "$@" >"$tmp/out" && fail "kafka-topics $* was not refused"
	cat "$tmp/java.log" >>"$tmp/out"
	says "$what"
}

topics --create --topic "$topic" --partitions 3 --replication-factor 1 --config retention.ms=3600000
says "Created topic $topic"
topics --create --topic "$topic" --partitions 3 --if-not-exists
topics --list
says "^$topic\$"
topics --describe --topic "$topic"
says "Topic: $topic.*TopicId: [A-Za-z0-9_-]{22}.*PartitionCount: 3.*ReplicationFactor: 1.*Configs: .*retention.ms=3600000"
says "Topic: $topic.*Partition: 2.*Leader: [0-9]+.*Replicas: [0-9]+.*Isr: [0-9]+"
topics --alter --topic "$topic" --partitions 5
topics --describe --topic "$topic"
says "PartitionCount: 5"
says "Partition: 4"
topics --describe --under-replicated-partitions
test ! -s "$tmp/out" || fail "under-replicated partitions: $(cat "$tmp/out")"
refused "TopicExistsException: Topic '$topic' already exists" --create --topic "$topic"
refused "InvalidReplicationFactorException" --create --topic "$topic-2" --replication-factor 2
refused "InvalidPartitionsException" --alter --topic "$topic" --partitions 2
refused "InvalidConfigurationException|Unknown topic config name" --create --topic "$topic-2" --config no.such.key=1
refused "does not exist as expected" --describe --topic "$topic-2"
topics --delete --topic "$topic"
topics --list
! grep -q "^$topic\$" "$tmp/out" || fail "a deleted topic is listed"
refused "does not exist as expected" --delete --topic "$topic"
