#!/bin/sh
# Started as root with `user`: binds a low port, then every process is that user, and reload, reopen
# and stop work as before.
. "$(dirname "$0")/master_lib.sh"
test "$(id -u)" -eq 0 || skip "this takes root"
id nobody >/dev/null 2>&1 || skip "there is no user \"nobody\""
port=700
while listening $port; do
	port=$((port + 1))
done
chmod 755 "$tmp"
mkdir "$dir"
chmod 755 "$dir"
configure 'user = "nobody";' 'group = "nogroup";' "error_log = \"$tmp/broker.log\";"
touch "$log"
"$takhin" -p "$dir" >>"$log" 2>&1 </dev/null &
master=$!
started="$started $master"
log=$tmp/broker.log
touch "$log"
within 20 is_ready || fail "the broker does not get ready"
! is_gone $master || fail "the broker did not start"
for pid in $master $(children); do
	ids=$(awk '/^[UG]id:/ { print $2, $3, $4, $5 }' "/proc/$pid/status" | tr '\n' ' ')
	want="$(id -u nobody)"
	group=$(getent group nogroup | cut -d: -f3)
	test "$ids" = "$want $want $want $want $group $group $group $group " ||
		fail "process $pid has ids $ids"
	grep -q '^CapEff:.*0000000000000000$' "/proc/$pid/status" || fail "process $pid has privileges"
done
listening $port || fail "nobody listens on the low port"
for path in run data run/takhin.sock run/takhin.pid; do
	test "$(stat -c %U "$dir/$path")" = nobody || fail "$path belongs to $(stat -c %U "$dir/$path")"
done
"$takhinctl" -p "$dir" reload >"$tmp/out" 2>&1 || fail "reload: $(cat "$tmp/out")"
kill -KILL "$(children 'writer process 0')"
serves_again() {
	test "$(grep -c 'writer 0 .*: serves ' "$log")" -eq 2
}
within 20 serves_again || fail "the killed writer is not replaced"
kill -USR1 $master
within 5 logged 'error log reopened' || fail "reopen"
"$takhinctl" -p "$dir" status >"$tmp/out" || fail "status"
stop QUIT
test $status -eq 0 || fail "exit status $status"
test -e "$dir/data/.kafka_cleanshutdown" || fail "no marker"

configure 'user = "no such user";'
"$takhin" -p "$dir" >"$tmp/out" 2>&1 && fail "an unknown user: success"
grep -q 'user "no such user" was not found' "$tmp/out" || fail "$(cat "$tmp/out")"
