#!/bin/sh
# kafka-python 2.0.2 (kafka_python.py says what it does) with 10 MB of the package index.
# Install: Debian's python3-kafka, python3-lz4, python3-snappy.
. "$(dirname "$0")/lib.sh"
need /usr/bin/python3 python3
/usr/bin/python3 -c 'import kafka, lz4.frame, snappy' 2>"$tmp/err" ||
	skip_package "$(tail -1 "$tmp/err")" python3-kafka python3-lz4 python3-snappy
real_input 10000000
/usr/bin/python3 "$compat/kafka_python.py" "$bootstrap" "$topic" "$input" || fail "kafka-python: see above"
