# What the tests of this folder share; sourced as `. "$(dirname "$0")/lib.sh"`.
#
# Every test is called as NAME.sh HOST:PORT, asks for nothing else of the broker, makes topics with
# names of its own and deletes them.  It exits 0 (passed), 77 (skipped) or anything else (failed); the
# last line it prints is the reason.  TAKHIN_COMPAT_WORKDIR keeps what is installed between tests.
set -eu
export LC_ALL=C

compat=$(cd "$(dirname "$0")" && pwd)
bootstrap=${1:?usage: $0 HOST:PORT}
work=${TAKHIN_COMPAT_WORKDIR:-$compat/../../build/compat}
mkdir -p "$work"
work=$(cd "$work" && pwd)
tmp=$(mktemp -d "$work/tmp.XXXXXX")
topic=$(basename "$0" .sh)-$(date +%s)-$$
made_topics=
trap 'cleanup' EXIT
trap 'exit 1' HUP INT TERM

cleanup() {
	test -z "$made_topics" || "$work/topic" "$bootstrap" delete $made_topics >/dev/null 2>&1 || true
	rm -rf "$tmp"
}

fail() {
	echo "FAIL: $*"
	exit 1
}

skip() {
	echo "SKIP: $*"
	exit 77
}

# skip_package WHAT PACKAGE...: contrib/check.sh sets TAKHIN_UNREACHABLE where it could not ask for them.
skip_package() {
	test -z "${TAKHIN_UNREACHABLE-}" || skip "registry unreachable: $TAKHIN_UNREACHABLE ($1 was not found)"
	missing=$1
	shift
	skip "$missing was not found: install Debian's $*"
}

# need PROGRAM PACKAGE...: the program, or a skip that names Debian's packages.
need() {
	command -v "$1" >/dev/null 2>&1 || skip_package "$@"
}

# install_failed REGISTRY LOG: a skip only when nothing answers there, otherwise a failure.
install_failed() {
	cat "$2"
	echo
	if grep -Eq 'ENOTFOUND|ECONNREFUSED|ETIMEDOUT|EAI_AGAIN|ENETUNREACH|EHOSTUNREACH|Unknown host|Name or service not known|Temporary failure in name|Connection refused|[Cc]onnect(ion)? timed out|Network is unreachable|No route to host' "$2"; then
		skip "registry unreachable: $1"
	fi
	fail "could not install from $1"
}

# build_c NAME: compiles NAME.c with librdkafka into the work folder.
build_c() {
	need cc build-essential
	need pkg-config pkg-config
	pkg-config --exists rdkafka || skip_package librdkafka librdkafka-dev
	test "$work/$1" -nt "$compat/$1.c" && return
	cc -std=gnu11 -Wall -Wextra -O2 -o "$work/$1.new" "$compat/$1.c" $(pkg-config --cflags --libs rdkafka)
	mv "$work/$1.new" "$work/$1"
}

# make_topic NAME PARTITIONS [CONFIG=VALUE...]: deleted again when the test ends.
make_topic() {
	build_c topic
	made_topics="$made_topics $1"
	"$work/topic" "$bootstrap" create "$@"
}

# real_input [BYTES]: sets $input to the machine's package index, one record a line, or a piece of it.
real_input() {
	all=$work/packages
	if ! test -s "$all"; then
		need /usr/lib/apt/apt-helper apt
		/usr/lib/apt/apt-helper cat-file /var/lib/apt/lists/*Packages* | grep -v '^$' >"$tmp/packages"
		mv "$tmp/packages" "$all"
	fi
	test "$(wc -c <"$all")" -ge 10000000 ||
		fail "the package index has $(wc -c <"$all") bytes, 10 MB are needed: run apt-get update"
	input=$all
	if test $# -eq 1; then
		input=$work/packages-$1
		test -s "$input" || { head -c "$1" "$all" && echo; } | grep -v '^$' >"$input"
	fi
	sorted=$input.sorted
	test -s "$sorted" || { sort "$input" >"$tmp/sorted" && mv "$tmp/sorted" "$sorted"; }
}

# same_records OUTPUT PARTITIONS: what came back is what went in, in order where there is an order.
same_records() {
	if test "$2" -eq 1; then
		cmp "$input" "$1" || fail "records differ"
	else
		sort "$1" | cmp "$sorted" - || fail "records differ"
	fi
}

# batches TOPIC PARTITIONS: one line a batch as it is stored (see batches.py for the columns).
batches() {
	need /usr/bin/python3 python3
	/usr/bin/python3 "$compat/batches.py" "$bootstrap" "$1" "$2"
}

# stored_as TOPIC PARTITIONS CODEC: batches were kept in the codec and every partition has some.
stored_as() {
	batches "$1" "$2" >"$tmp/batches" || fail "the batches cannot be read"
	awk -v codec="$3" -v partitions="$2" '
		{ seen[$1] = 1; if ($4 == codec) good++; else other++ }
		END {
			for (i = 0; i < partitions; i++)
				if (!(i in seen)) { print "partition " i " has no batch"; bad = 1 }
			if (good + 0 < 9 * (other + 0) || good + 0 == 0) {
				print good + 0 " batches are " codec ", " other + 0 " are not"; bad = 1
			}
			exit bad
		}' "$tmp/batches" || fail "the batches are not stored as sent"
}

# librdkafka_codec CODEC: what librdkafka sends when told to use it.  Up to 2.11 it uses lz4 only with a
# broker that serves FindCoordinator, and sends such records as they are to any other; it says so itself.
librdkafka_codec() {
	if test "$1" = lz4 && kcat -b "$bootstrap" -L -d feature 2>&1 | grep -q 'Disabling feature LZ4'; then
		echo none
	else
		echo "$1"
	fi
}

# stored_idempotent TOPIC PARTITIONS: one producer id a partition, sequences without a gap.
stored_idempotent() {
	batches "$1" "$2" >"$tmp/batches" || fail "the batches cannot be read"
	awk '
		$6 < 0 { print "no producer id: " $0; exit 1 }
		$1 in next_sequence && ($8 != next_sequence[$1] || $6 != id[$1]) { print "gap: " $0; exit 1 }
		{ next_sequence[$1] = $8 + $3 - $2 + 1; id[$1] = $6; n++ }
		END { if (n == 0) exit 1 }' "$tmp/batches" || fail "the batches are not those of one idempotent producer"
}

kcat_version() {
	need kcat kcat
	kcat -V | grep -o 'Version.*'
}

# maven_jars FOLDER ARTIFACT VERSION [ARTIFACT VERSION...]: jars of org.apache.kafka and what they need,
# newest release of 4.x where the VERSION is "newest".
maven_jars() {
	folder=$work/java/$1
	shift
	test -d "$folder" && return
	need javac openjdk-17-jdk-headless
	need mvn maven
	mkdir -p "$tmp/maven"
	{
		echo '<project><modelVersion>4.0.0</modelVersion><groupId>takhin</groupId>'
		echo '<artifactId>compat</artifactId><version>1</version><dependencies>'
		while test $# -gt 0; do
			version=$2
			test "$version" != newest || version='[4.0.0,5.0.0-alpha)'
			echo "<dependency><groupId>org.apache.kafka</groupId><artifactId>$1</artifactId><version>$version</version></dependency>"
			shift 2
		done
		echo '<dependency><groupId>org.slf4j</groupId><artifactId>slf4j-simple</artifactId><version>1.7.36</version></dependency>'
		echo '</dependencies></project>'
	} >"$tmp/maven/pom.xml"
	mvn -B -ntp -q -U -Dstyle.color=never -f "$tmp/maven/pom.xml" \
		org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies -DincludeScope=runtime \
		-DoutputDirectory="$tmp/maven/jars" >"$tmp/maven/log" 2>&1 ||
		install_failed "Maven Central" "$tmp/maven/log"
	mkdir -p "$work/java"
	mv "$tmp/maven/jars" "$folder"
}

# java_client: the newest kafka-clients, and our programs in java/ compiled against it, in $classpath.
java_client() {
	need java openjdk-17-jre-headless
	maven_jars clients kafka-clients newest
	classpath="$work/java/classes:$work/java/clients/*"
	if test -z "$(find "$work/java/classes" -newer "$compat/java" 2>/dev/null)" ||
		test -n "$(find "$compat/java" -name '*.java' -newer "$work/java/classes/.done")"; then
		javac -Xlint:all -Werror -d "$work/java/classes" -cp "$work/java/clients/*" "$compat"/java/*.java
		touch "$work/java/classes/.done"
	fi
	basename "$work"/java/clients/kafka-clients-*.jar .jar
}

# java_run CLASS ARGUMENT...: the client's own log goes to $tmp/java.log, shown when it fails.
java_run() {
	java -XX:+UseSerialGC -XX:TieredStopAtLevel=${java_tier:-1} -Xmx${java_heap:-512m} \
		-Dorg.slf4j.simpleLogger.defaultLogLevel=${java_log:-warn} \
		-cp "$classpath" "$@" 2>"$tmp/java.log"
}

# java_tools: what Apache Kafka's shell scripts start, newest release of 4.x that is there.
java_tools() {
	need java openjdk-17-jre-headless
	maven_jars tools kafka-tools newest
	tools_version=$(basename "$work"/java/tools/kafka-tools-4*.jar .jar)
	classpath="$work/java/tools/*"
	echo "$tools_version"
}

# kafka_tool CLASS ARGUMENT...: one of them with the bootstrap address, as its shell script would run it.
kafka_tool() {
	class=$1
	shift
	java_run "org.apache.kafka.tools.$class" --bootstrap-server "$bootstrap" "$@"
}
