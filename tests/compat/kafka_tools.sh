#!/bin/sh
# kafka-configs --describe, kafka-get-offsets, kafka-cluster cluster-id and kafka-broker-api-versions of the
# newest Apache Kafka 4.x.
# Install: kafka-tools and kafka_2.13 from Maven Central, with Debian's openjdk-17-jdk-headless and maven.
. "$(dirname "$0")/lib.sh"
java_tools

says() {
	grep -Eq -- "$1" "$tmp/out" || fail "\"$1\" is not in: $(cut -c1-300 "$tmp/out" | head -20)"
}
ran() {
	test $? -eq 0 || fail "$1: $(cat "$tmp/out" "$tmp/java.log" | head -3)"
}

make_topic "$topic" 2 retention.ms=3600000
printf 'a\nb\nc\n' | kcat -P -b "$bootstrap" -t "$topic" -p 1
kafka_tool GetOffsetShell --topic "$topic" >"$tmp/out" || ran kafka-get-offsets
printf '%s:0:0\n%s:1:3\n' "$topic" "$topic" | cmp - "$tmp/out" || fail "kafka-get-offsets: $(cat "$tmp/out")"
kafka_tool GetOffsetShell --topic "$topic" --time earliest >"$tmp/out" || ran kafka-get-offsets
says "$topic:1:0"

java_run org.apache.kafka.tools.ClusterTool cluster-id --bootstrap-server "$bootstrap" >"$tmp/out" || ran kafka-cluster
says "Cluster ID: [A-Za-z0-9_-]{4,}"

kafka_tool BrokerApiVersionsCommand >"$tmp/out" || ran kafka-broker-api-versions
says "id: [0-9]+"
says "Produce\(0\): [0-9]+ to [0-9]+ \[usable: "
says "Fetch\(1\): [0-9]+ to [0-9]+ \[usable: "
grep -E '\[usable' "$tmp/out" | sed 's/^[ \t]*//'

# kafka-configs lives in the broker's own artifact up to 4.3 and in kafka-tools from 4.4.
node=$(kcat -L -b "$bootstrap" | sed -n 's/^ *broker \([0-9]*\) at.*/\1/p')
config_class=org.apache.kafka.tools.ConfigCommand
if ! unzip -l "$work/java/tools/$tools_version.jar" | grep -q org/apache/kafka/tools/ConfigCommand.class; then
	maven_jars core kafka_2.13 "${tools_version#kafka-tools-}"
	classpath="$work/java/core/*"
	config_class=kafka.admin.ConfigCommand
fi
configs() {
	java_run $config_class --bootstrap-server "$bootstrap" --describe "$@" >"$tmp/out" || ran "kafka-configs $*"
}
configs --entity-type topics --entity-name "$topic"
says "retention.ms=3600000 .*synonyms=\{DYNAMIC_TOPIC_CONFIG:retention.ms=3600000"
configs --entity-type topics --entity-name "$topic" --all
says "segment.bytes=1073741824 sensitive=false synonyms=\{.*DEFAULT_CONFIG:log.segment.bytes=1073741824"
configs --entity-type brokers --entity-name "$node" --all
says "num.partitions="
