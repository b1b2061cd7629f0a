#!/bin/sh
# kcat -P to a topic that does not exist makes it; kcat -C and -L of another unknown topic do not.
# Install: Debian's kcat.
. "$(dirname "$0")/lib.sh"
kcat_version
build_c topic

listed() {
	kcat -L -b "$bootstrap" | grep -c "topic \"$1\" with" || true
}

made_topics=$topic
test "$(listed "$topic")" -eq 0 || fail "the topic is there already"
seq 1 1000 | kcat -P -b "$bootstrap" -t "$topic" || fail "kcat -P failed"
test "$(listed "$topic")" -eq 1 || fail "kcat -L does not list the topic that kcat -P made"
kcat -C -b "$bootstrap" -t "$topic" -o beginning -e -q | sort -n >"$tmp/out"
seq 1 1000 | cmp "$tmp/out" - || fail "records differ"

kcat -C -b "$bootstrap" -t "$topic-unknown" -o beginning -e -q >"$tmp/out" 2>"$tmp/err" &&
	fail "kcat -C of an unknown topic did not fail"
grep -q "Unknown topic" "$tmp/err" || fail "kcat -C said: $(tail -1 "$tmp/err")"
test "$(listed "$topic-unknown")" -eq 0 || fail "a consumer that did not ask for it made a topic"

# Partition 9 of a topic that has fewer.
echo x | kcat -P -b "$bootstrap" -t "$topic" -p 9 2>"$tmp/err" && fail "kcat -P to an unknown partition did not fail"
grep -qi "unknown partition" "$tmp/err" || fail "kcat -P to partition 9 said: $(tail -1 "$tmp/err")"

# One record of each kind that a tool may ask for: key, headers, null value, null key, offset, time.
kcat -P -b "$bootstrap" -t "$topic" -k k1 -H a=1 -H b= -p 0 <<EOF
with headers
EOF
printf 'k2:\n' | kcat -P -b "$bootstrap" -t "$topic" -K: -Z -p 0
kcat -C -b "$bootstrap" -t "$topic" -p 0 -o -2 -e -q -f '%k|%s|%S|%h\n' >"$tmp/out"
printf 'k1|with headers|12|a=1,b=\nk2||-1|\n' | cmp - "$tmp/out" || fail "keys or headers differ: $(cat "$tmp/out")"
