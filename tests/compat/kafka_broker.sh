# Apache Kafka itself, a broker and controller in one JVM, newest release of 4.x; sourced after lib.sh.
#
#	kafka_start FOLDER	formats it if it is new; sets $kafka_bootstrap and $kafka_data
#	kafka_stop [SIGNAL]
#
# Bound to loopback, on ports that were free; ended at exit by who calls kafka_cleanup.
kafka_pid=

kafka_jars() {
	need java openjdk-17-jre-headless
	maven_jars core kafka_2.13 newest
	kafka_classpath="$work/java/core/*"
	basename "$work"/java/core/kafka_2.13-4*.jar .jar
}

kafka_java() {
	java -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Xmx512m -Dorg.slf4j.simpleLogger.defaultLogLevel=info \
		-cp "$kafka_classpath" "$@"
}

kafka_settings() {
	tk_free_port && kafka_port=$tk_port
	tk_free_port && controller_port=$tk_port
	cat >"$1/server.properties" <<-END
		process.roles=broker,controller
		node.id=1
		controller.quorum.voters=1@127.0.0.1:$controller_port
		listeners=PLAINTEXT://127.0.0.1:$kafka_port,CONTROLLER://127.0.0.1:$controller_port
		advertised.listeners=PLAINTEXT://127.0.0.1:$kafka_port
		controller.listener.names=CONTROLLER
		log.dirs=$1/data
		offsets.topic.replication.factor=1
		transaction.state.log.replication.factor=1
		transaction.state.log.min.isr=1
		group.initial.rebalance.delay.ms=0
	END
	kafka_java kafka.tools.StorageTool format -t MkU3OEVBNTcwNTJENDM2Qg -c "$1/server.properties" >"$1/log" 2>&1 ||
		fail "Kafka's storage tool: $(tail -2 "$1/log")"
}

kafka_is_ready() {
	grep -q 'Kafka Server started' "$kafka_folder/log" || tk_ended "$kafka_pid"
}

kafka_start() {
	kafka_folder=$1
	mkdir -p "$1"
	test -s "$1/server.properties" || kafka_settings "$1"
	: >"$1/log"
	java -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Xmx512m -Dorg.slf4j.simpleLogger.defaultLogLevel=info \
		-cp "$kafka_classpath" kafka.Kafka "$1/server.properties" >>"$1/log" 2>&1 </dev/null &
	kafka_pid=$!
	tk_within 60 kafka_is_ready && ! tk_ended "$kafka_pid" || fail "no Kafka: $(tail -n 3 "$1/log")"
	kafka_bootstrap=127.0.0.1:$(sed -n 's|^advertised.listeners=.*:||p' "$1/server.properties")
	kafka_data=$1/data
}

kafka_stop() {
	kill -"${1:-TERM}" "$kafka_pid" || fail "there is no Kafka"
	tk_within 60 tk_ended "$kafka_pid" || fail "Kafka does not end"
	wait "$kafka_pid" || true
	kafka_pid=
}

kafka_cleanup() {
	test -z "$kafka_pid" || kill -KILL "$kafka_pid" 2>/dev/null || true
	kafka_pid=
}
