#!/bin/sh
# contrib/from-server-properties over samples: its settings are those of the .conf beside each, every
# other key is told on stderr and in comments, no secret is, and our own parser takes the result.
srcdir=${srcdir:-.}
samples=$srcdir/tests/system/test_from_server_properties.d
tool=$srcdir/contrib/from-server-properties
tmp=$(mktemp -d) || exit 99
trap 'rm -rf "$tmp"' EXIT
rc=0

fail() {
	echo "$*"
	rc=1
}

for sample in "$samples"/*.properties; do
	name=$(basename "$sample" .properties)
	"$tool" "$sample" >"$tmp/$name.conf" 2>"$tmp/$name.err" || fail "$name: failed"
	grep -v '^#' "$tmp/$name.conf" | grep . >"$tmp/$name.settings"
	diff "$samples/$name.conf" "$tmp/$name.settings" || fail "$name: other settings"
	sed -n 's/^#   //p' "$tmp/$name.conf" | cmp -s - "$tmp/$name.err" ||
		fail "$name: the comments are not what stderr has"
	grep -q hunter2 "$tmp/$name.conf" "$tmp/$name.err" && fail "$name: tells a password"
	src/tools/settings-doc check "$tmp/$name.conf" >"$tmp/$name.all" || fail "$name: refused"
	"$tool" <"$sample" 2>/dev/null | cmp -s - "$tmp/$name.conf" || fail "$name: stdin differs"
done

# Each key of a sample is either a setting or told.
told() {
	grep -q "$2" "$tmp/$1.err" || fail "$1: \"$2\" is not told"
}
told kraft '^no effect here: process.roles = broker,controller$'
told kraft '^not taken over: listener CONTROLLER (there are no controllers here)$'
told kraft '^changed: allow_anonymous = true was added'
told loopback '^no effect here: zookeeper.connect = localhost:2181$'
grep -q allow_anonymous "$tmp/loopback.err" && fail "loopback: was opened"
told production '^no effect here: broker.id = 3 (node.id is set)$'
told production '^no effect here: ssl.keystore.password = (hidden)$'
told production '^no effect here: log.retention.hours = 24 (log.retention.ms is set)$'
told production '^no effect here: default.replication.factor = 3 (this version keeps one copy)$'
told production '^not taken over: listener SECURE (this version has neither TLS nor SASL)$'
told production '^changed: listener EXTERNAL on "kafka3.example.net" is on every address'
told broken '^not taken over: node.id = x is no value for it$'
told broken '^not taken over: num.partitions = 99999999999 is no value for it$'
told broken '^not taken over: message.max.bytes = 1MB is no value for it$'
told broken '^not taken over: delete.topic.enable = maybe is no value for it$'
told broken '^not taken over: listener nonsense '
told broken '^no listener was taken over: the broker will be on 127.0.0.1, port 9092$'
told bare '^listeners is not set: the broker will be on 127.0.0.1, port 9092$'

"$tool" "$tmp/missing" >/dev/null 2>&1 && fail "a missing file is no error"
"$tool" a b >/dev/null 2>&1 && fail "two files are no error"
exit $rc
