#!/bin/sh
# Segments that Apache Kafka's broker of the newest 4.x wrote, laid under a topic of a Takhin of ours, are
# served: Kafka stopped and killed; with indexes and snapshots and without; believed and not.
# Install: kafka_2.13 and kafka-tools from Maven Central, with Debian's openjdk-17-jdk-headless, maven and kcat.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/own_broker.sh"
. "$(dirname "$0")/kafka_broker.sh"
trap 'own_exit=$?; kafka_cleanup; made_topics=; cleanup; (exit $own_exit); tk_cleanup' EXIT
need kcat kcat
java_tools
kafka_jars
real_input 2000000
kafka=$tmp/kafka
log=laid-0

# kafka_produce CODEC [OPTION...]: the input once more, which is then expected once more.
kafka_produce() {
	codec=$1
	shift
	kcat -q -b "$kafka_bootstrap" -P -t laid -p 0 -z "$codec" -X linger.ms=5 -X batch.num.messages=200 "$@" \
		<"$input" || fail "could not produce to Kafka"
	cat "$input" >>"$tmp/expected"
}

# consume TOPIC: all of its partition 0 by kcat.
consume() {
	timeout 60 kcat -q -b "$bootstrap" -C -t "$1" -p 0 -o beginning -e >"$tmp/out" || fail "$2: kcat"
}

# served HOW: by kcat and Java, and appended to.
served() {
	consume laid "$1"
	cmp "$tmp/expected" "$tmp/out" || fail "$1: records differ"
	kafka_tool consumer.ConsoleConsumer --topic laid --partition 0 --offset earliest \
		--max-messages "$(wc -l <"$tmp/expected")" --timeout-ms 20000 >"$tmp/out" ||
		fail "$1: $(tail -3 "$tmp/java.log")"
	cmp "$tmp/expected" "$tmp/out" || fail "$1: records differ for Java"
	printf 'one\ntwo\n' | kcat -q -b "$bootstrap" -P -t laid -p 0 -X enable.idempotence=true || fail "$1: no append"
	printf 'one\ntwo\n' | cat "$tmp/expected" - >"$tmp/longer"
	consume laid "$1"
	cmp "$tmp/longer" "$tmp/out" || fail "$1: records differ after an append"
	consume other "$1"
	printf 'a\nb\n' | cmp - "$tmp/out" || fail "$1: another topic is not what it was"
	echo "$1: $(grep -c '' "$tmp/longer") records of $(find "$data/$log" -name '*.log' | wc -l) segments"
}

# lay FROM: Kafka's files in place of ours; whose topic it is stays ours.
lay() {
	find "$data/$log" -type f ! -name partition.metadata -exec rm '{}' +
	find "$1" -type f ! -name partition.metadata -exec cp '{}' "$data/$log" ';'
}

# variant NAME FROM [unmarked|unknown|bare|snapless...]
variant() {
	name=$1
	cp -r "$tmp/ours" "$tmp/a"
	own_folder=$tmp/a
	data=$tmp/a/data
	lay "$2"
	shift 2
	for how in "$@"; do
		case $how in
		bare) find "$data/$log" -name '*index' -exec rm '{}' + ;;
		snapless) find "$data/$log" -name '*.snapshot' -exec rm '{}' + ;;
		unmarked) rm "$data/.kafka_cleanshutdown" ;;
		unknown) rm -rf "$tmp/a/run" ;;
		esac
	done
	own_start "$tmp/a"
	served "$name"
	own_stop TERM
	own_start "$tmp/a"
	consume laid "$name"
	cmp "$tmp/longer" "$tmp/out" || fail "$name: records differ after a restart"
	own_stop TERM
	rm -r "$tmp/a"
}

kafka_start "$kafka"
bootstrap=$kafka_bootstrap
make_topic laid 1 segment.bytes=1048576 index.interval.bytes=1024
for codec in none gzip snappy lz4 zstd; do
	kafka_produce "$codec" -X enable.idempotence=true
done
kafka_produce none
kafka_stop KILL
cp -r "$kafka_data/$log" "$tmp/killed"
cp "$tmp/expected" "$tmp/expected-killed"
kafka_start "$kafka"
kafka_produce zstd
kafka_stop TERM
cp -r "$kafka_data/$log" "$tmp/stopped"
cp "$tmp/expected" "$tmp/expected-stopped"
test "$(find "$tmp/stopped" -name '*.log' | wc -l)" -ge 4 || fail "Kafka rolled nothing"

own_start "$tmp/ours"
make_topic laid 1 segment.bytes=1048576
make_topic other 1
printf 'a\nb\n' | kcat -q -b "$bootstrap" -P -t other -p 0
own_stop TERM

cp "$tmp/expected-stopped" "$tmp/expected"
variant "stopped, zone there" "$tmp/stopped"
variant "stopped, zone unknown" "$tmp/stopped" unknown
variant "stopped, no marker" "$tmp/stopped" unknown unmarked
variant "stopped, no indexes" "$tmp/stopped" bare unknown
variant "stopped, no snapshots" "$tmp/stopped" snapless unknown
variant "stopped, no indexes, snapshots or marker" "$tmp/stopped" bare snapless unknown unmarked
cp "$tmp/expected-killed" "$tmp/expected"
variant "killed, zone there" "$tmp/killed"
variant "killed, zone unknown" "$tmp/killed" unknown
variant "killed, no marker" "$tmp/killed" unknown unmarked
variant "killed, no indexes" "$tmp/killed" bare unmarked
