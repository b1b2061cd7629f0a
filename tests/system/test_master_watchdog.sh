#!/bin/sh
# A process that stands still is aborted, killed and replaced, and clients go on; one that is idle,
# busy, stopped together with the master, or not watched at all survives.
. "$(dirname "$0")/master_lib.sh"
command -v kcat >/dev/null || skip "kcat was not found: install Debian's kcat"
free_port
configure 'watchdog_timeout_ms = "2s";'
start
everybody=$(children)

kcat_produce() {
	seq 1 "${1:-10}" | kcat -P -q -b "127.0.0.1:$port" -t t -X message.timeout.ms=30000
}

same_children() {
	test "$(children)" = "$everybody" || fail "$1: $(children | xargs), not $(echo $everybody)"
	! logged 'stands still' || test "$(grep -c 'stands still' "$log")" -eq "${2:-0}" || fail "$1"
}

# The worker that $1 names is another process than $2, and there.
replaced() {
	new=$(children "$1")
	test -n "$new" && test "$new" != "$2"
}

# stands_still NAME: it is stopped, and replaced.
stands_still() {
	pid=$(children "$1")
	kill -STOP "$pid" || fail "there is no $1"
	within 30 logged "$1 (pid $pid) stands still" || fail "$1 is not missed"
	within 20 replaced "$1" "$pid" || fail "$1 is not replaced"
	grep -Eq "$1 \(pid $pid\) was killed by signal (6|9) " "$log" || fail "how $1 ended"
	within 20 kcat_produce || fail "clients do not go on without $1"
}

# Idle for longer than it takes, and busy.
kcat_produce || fail "produce"
sleep 4
same_children "idle"
until=$(($(now_ms) + 4000))
while test "$(now_ms)" -lt $until; do
	kcat_produce 20000 || fail "produce"
done
same_children "busy"

# All of them stop, as in a machine that sleeps.  The master last, and it goes on first.
kill -STOP $everybody
kill -STOP "$master"
sleep 5
kill -CONT "$master"
kill -CONT $everybody
sleep 3
same_children "slept"

for name in 'worker process 0' 'writer process 0' 'coordinator process' 'cleaner process'; do
	stands_still "$name"
done
test "$(grep -c 'stands still' "$log")" -eq 4 || fail "somebody else was missed"
"$takhinctl" -p "$dir" status >"$tmp/out" || fail "status"
test "$(kcat -C -q -e -b "127.0.0.1:$port" -t t | wc -l)" -gt 20000 || fail "records are missing"

# Nobody is watched, and then again.
configure 'watchdog_timeout_ms = "0";'
"$takhinctl" -p "$dir" reload >"$tmp/out" 2>&1 || fail "reload: $(cat "$tmp/out")"
everybody=$(children)
writer=$(children 'writer process 0')
kill -STOP "$writer"
sleep 5
same_children "not watched" 4
kill -CONT "$writer"
configure 'watchdog_timeout_ms = "2s";'
"$takhinctl" -p "$dir" reload >"$tmp/out" 2>&1 || fail "reload: $(cat "$tmp/out")"
stands_still 'worker process 1'

stop TERM
test "$status" -eq 0 || fail "exit status $status"
