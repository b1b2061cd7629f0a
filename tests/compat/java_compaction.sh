#!/bin/sh
# Compacted segments, as Apache Kafka's own DumpLogSegments and console consumer of the newest 4.x read
# them: records of all codecs, marks of deletion with their horizon, indexes.  Needs files, so it starts
# a broker of its own from TAKHIN_BUILD_DIR.
# Install: kafka-tools and kafka_2.13 from Maven Central, with Debian's openjdk-17-jdk-headless and maven.
. "$(dirname "$0")/lib.sh"
java_tools
need kcat kcat
takhin=${TAKHIN_BUILD_DIR:-.}/takhin
test -x "$takhin" || skip "\"$takhin\" was not built"

port=$((10000 + $$ * 11 % 20000))
while grep -qi "$(printf ':%04X 0' $port)" /proc/net/tcp; do
	port=$((port + 1))
done
bootstrap=127.0.0.1:$port
mkdir "$tmp/broker"
cat >"$tmp/broker/takhin.conf" <<END
listeners = ( { name = "PLAINTEXT"; port = $port; } );
worker_processes = 1;
log_cleaner_backoff_ms = "100ms";
END
"$takhin" -p "$tmp/broker" >"$tmp/log" 2>&1 </dev/null &
broker=$!
stop() {
	kill "$broker" 2>/dev/null || return 0
	wait "$broker" || fail "the broker has ended with $?: $(tail -n 1 "$tmp/log")"
	made_topics=
}
trap 'kill "$broker" 2>/dev/null || true; wait "$broker" || true; made_topics=; cleanup' EXIT
tries=0
until grep -q ': ready$' "$tmp/log"; do
	tries=$((tries + 1))
	test $tries -lt 400 || fail "no broker: $(tail -n 1 "$tmp/log")"
	sleep 0.05
done

keyed() {
	seq 1 200 | awk -v round="$1" '{ printf "key%d:%d %050d\n", $1, round, $1 }'
}
produce() {
	kcat -q -b "$bootstrap" -P -t "$1" -p 0 -K : -Z -z "$2" -X batch.num.messages=7 || fail "produce to $1"
}
wait_compacted() {
	tries=0
	until timeout 60 kcat -q -b "$bootstrap" -C -t "$1" -p 0 -o beginning -e -f '%k:%s\n' |
		sed '/^push/d' | sort >"$tmp/got" && cmp -s "$tmp/got" "$tmp/want"; do
		tries=$((tries + 1))
		test $tries -lt 200 || fail "$1 is not compacted: $(diff "$tmp/want" "$tmp/got" | head -3)"
		sleep 0.1
	done
}

# 50 keys are deleted at last; their marks stay for a day.
{ keyed 5 | awk -F'[y:]' '$2 + 0 > 50' && seq 1 50 | sed 's/.*/key&:/'; } | sort >"$tmp/want"
for codec in none gzip snappy lz4 zstd; do
	make_topic "t-$codec" 1 cleanup.policy=compact segment.bytes=4000 min.cleanable.dirty.ratio=0.01
	{
		for round in 1 2 3 4 5; do
			keyed $round
		done
		seq 1 50 | sed 's/.*/key&:/'
	} | produce "t-$codec" $codec
	for n in 1 2; do
		printf 'push:%03000d\n' $n | produce "t-$codec" none
	done
done
for codec in none gzip snappy lz4 zstd; do
	wait_compacted "t-$codec"
	timeout 60 kcat -q -b "$bootstrap" -C -t "t-$codec" -p 0 -o beginning -e -f '%k\n' |
		wc -l >"$tmp/count"
	kafka_tool consumer.ConsoleConsumer --topic "t-$codec" --partition 0 --offset earliest \
		--formatter-property print.key=true --max-messages "$(cat "$tmp/count")" \
		--timeout-ms 20000 >"$tmp/out" || fail "$codec: $(tail -3 "$tmp/java.log")"
	test "$(grep -c '^key' "$tmp/out")" -eq 200 ||
		fail "$codec: the Java consumer reads $(grep -c '^key' "$tmp/out") keys"
done
stop

maven_jars core kafka_2.13 "${tools_version#kafka-tools-}"
classpath="$work/java/core/*"
dump=kafka.tools.DumpLogSegments
for jar in "$work"/java/core/kafka-tools-*.jar "$work/java/tools/$tools_version.jar"; do
	test -e "$jar" || continue
	unzip -l "$jar" | grep -q org/apache/kafka/tools/DumpLogSegments.class || continue
	dump=org.apache.kafka.tools.DumpLogSegments
	classpath="$classpath:$work/java/tools/*"
	break
done
horizons=0 segments=0
for codec in none gzip snappy lz4 zstd; do
	for file in "$tmp/broker/data/t-$codec-0"/*.log; do
		files="$file,${file%.log}.index,${file%.log}.timeindex"
		java_run $dump --deep-iteration --print-data-log --files "$files" >"$tmp/dump" 2>&1 ||
			fail "$codec: DumpLogSegments: $(cat "$tmp/java.log" | head -3)"
		! grep -Eq 'isvalid: false|Exception|Mismatch|mismatch|Found' "$tmp/dump" ||
			fail "$codec: $(grep -E 'isvalid: false|Exception|ismatch|Found' "$tmp/dump" | head -3)"
		segments=$((segments + 1))
		horizons=$((horizons + $(grep -c 'deleteHorizonMs: OptionalLong\[' "$tmp/dump" || true)))
	done
done
test "$horizons" -gt 0 || fail "no batch has a delete horizon"
echo "$segments segments in five codecs, $horizons batches with a delete horizon"
