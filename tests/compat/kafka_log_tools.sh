#!/bin/sh
# kafka-configs --alter, kafka-delete-records, kafka-log-dirs and kafka-get-offsets --time of the newest
# Apache Kafka 4.x.
# Install: kafka-tools and kafka_2.13 from Maven Central, with Debian's openjdk-17-jdk-headless and maven.
. "$(dirname "$0")/lib.sh"
java_tools

says() {
	grep -Eq -- "$1" "$tmp/out" || fail "\"$1\" is not in: $(cut -c1-300 "$tmp/out" | head -20)"
}
ran() {
	test $? -eq 0 || fail "$1: $(cat "$tmp/out" "$tmp/java.log" | head -3)"
}

make_topic "$topic" 2 segment.bytes=1000000
seq -f '%0100.0f' 1 1000 | kcat -P -b "$bootstrap" -t "$topic" -p 1
node=$(kcat -L -b "$bootstrap" | sed -n 's/^ *broker \([0-9]*\) at.*/\1/p')

# kafka-configs lives in the broker's own artifact up to 4.3 and in kafka-tools from 4.4.
config_class=org.apache.kafka.tools.ConfigCommand
if ! java_run $config_class --version >"$tmp/out"; then
	maven_jars core kafka_2.13 "${tools_version#kafka-tools-}"
	config_path="$work/java/core/*"
	config_class=kafka.admin.ConfigCommand
fi
configs() {
	(classpath=${config_path-$classpath}; java_run $config_class --bootstrap-server "$bootstrap" "$@") >"$tmp/out" 2>&1
}
configs --alter --entity-type topics --entity-name "$topic" --add-config retention.ms=3600000,cleanup.policy=delete ||
	ran "kafka-configs --alter"
says "Completed updating config for topic $topic"
configs --describe --entity-type topics --entity-name "$topic" || ran "kafka-configs --describe"
says "retention.ms=3600000 .*synonyms=\{DYNAMIC_TOPIC_CONFIG:retention.ms=3600000"
says "segment.bytes=1000000 "
configs --alter --entity-type topics --entity-name "$topic" --delete-config retention.ms || ran "kafka-configs --delete-config"
configs --describe --entity-type topics --entity-name "$topic" || ran "kafka-configs --describe"
! grep -q retention.ms= "$tmp/out" || fail "retention.ms is still set"
! configs --alter --entity-type topics --entity-name "$topic" --add-config no.such.key=1 || fail "an unknown key was taken"
! configs --alter --entity-type brokers --entity-name "$node" --add-config log.cleaner.threads=2 ||
	fail "a broker's setting was taken"
grep -q takhin.conf "$tmp/out" "$tmp/java.log" || fail "no word of takhin.conf: $(cat "$tmp/out" "$tmp/java.log" | head -5)"

# kafka-delete-records
printf '{"partitions": [{"topic": "%s", "partition": 1, "offset": 400}], "version": 1}' "$topic" >"$tmp/offsets.json"
kafka_tool DeleteRecordsCommand --offset-json-file "$tmp/offsets.json" >"$tmp/out" || ran kafka-delete-records
says "partition: $topic-1	low_watermark: 400"
for time in earliest:400 -2:400 -4:400 latest:1000 -1:1000; do
	kafka_tool GetOffsetShell --topic "$topic" --partitions 1 --time "${time%:*}" >"$tmp/out" || ran "kafka-get-offsets"
	says "^$topic:1:${time#*:}\$"
done
kafka_tool GetOffsetShell --topic "$topic" --partitions 1 --time -3 >"$tmp/out" || ran "kafka-get-offsets --time -3"
says "^$topic:1:[4-9][0-9]{2}\$"
kcat -C -q -b "$bootstrap" -t "$topic" -p 1 -o beginning -e >"$tmp/got"
seq -f '%0100.0f' 401 1000 | cmp - "$tmp/got" || fail "what was not deleted differs"
printf '{"partitions": [{"topic": "%s", "partition": 1, "offset": 1001}], "version": 1}' "$topic" >"$tmp/offsets.json"
kafka_tool DeleteRecordsCommand --offset-json-file "$tmp/offsets.json" >"$tmp/out" || true
says "OffsetOutOfRange"

# kafka-log-dirs
kafka_tool LogDirsCommand --describe --topic-list "$topic" >"$tmp/out" || ran kafka-log-dirs
says "\"broker\":$node"
says "\"partition\":\"$topic-1\",\"size\":1[0-9]{5},\"offsetLag\":0,\"isFuture\":false|\"size\":1[0-9]{5}.*\"partition\":\"$topic-1\""
kafka_tool LogDirsCommand --describe >"$tmp/out" || ran kafka-log-dirs
says "$topic-0"
