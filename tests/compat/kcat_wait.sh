#!/bin/sh
# kcat waits at the end of a topic: the broker keeps its Fetch until there is something, then answers at
# once; acks of 0, 1 and all; a record that is too large is refused and the connection lives.
# Install: Debian's kcat (topics are made with librdkafka-dev).
. "$(dirname "$0")/lib.sh"
kcat_version

make_topic "$topic" 1 max.message.bytes=50000
kcat -C -b "$bootstrap" -t "$topic" -p 0 -o beginning -u -q -d fetch -X fetch.wait.max.ms=8000 \
	>"$tmp/out" 2>"$tmp/log" &
reader=$!
trap 'kill $reader 2>/dev/null || true; cleanup' EXIT
sleep 2.5
fetches=$(grep -c 'Fetch 1/1/1 toppar' "$tmp/log" || true)
test "$fetches" -ge 1 && test "$fetches" -le 3 || fail "$fetches fetches in 2.5 idle seconds that may each wait 8"

arrives() {
	tries=0
	until grep -q "^$1\$" "$tmp/out"; do
		tries=$((tries + 1))
		test $tries -le 20 || fail "\"$1\" did not reach the waiting consumer in a second"
		sleep 0.05
	done
}
for acks in 0 1 -1; do
	echo "acks $acks" | kcat -P -b "$bootstrap" -t "$topic" -X acks=$acks
	arrives "acks $acks"
done

head -c 200000 /dev/zero | tr '\0' x >"$tmp/large"
kcat -P -b "$bootstrap" -t "$topic" -p 0 "$tmp/large" 2>"$tmp/err" && fail "a batch above max.message.bytes was taken"
grep -q 'Message size too large' "$tmp/err" || fail "a batch above max.message.bytes: $(tail -1 "$tmp/err")"
kcat -P -b "$bootstrap" -t "$topic" -p 0 -z gzip "$tmp/large" || fail "the same, small when compressed, was refused"
echo last | kcat -P -b "$bootstrap" -t "$topic"
arrives last
test "$(wc -l <"$tmp/out")" -eq 5 || fail "$(wc -l <"$tmp/out") records instead of 5"
