#!/bin/sh
# What systemd is told: READY with the master's pid, RELOADING and READY again, STOPPING, and that the
# master is alive.
. "$(dirname "$0")/master_lib.sh"
"$takhin" -V | grep -q '^systemd notices: yes$' || skip "built without libsystemd"
command -v python3 >/dev/null 2>&1 || skip "python3 was not found: install Debian's python3"
free_port
configure
python3 - "$tmp/notify" >"$tmp/notices" <<'PYTHON' &
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1])
while True:
    print(s.recv(4096).decode().replace("\n", " "), flush=True)
PYTHON
started=$!
within 10 test -S "$tmp/notify" || fail "no notification socket"
export NOTIFY_SOCKET="$tmp/notify" WATCHDOG_USEC=1000000
start

told() {
	grep -q -- "$1" "$tmp/notices"
}

within 5 told "^READY=1 MAINPID=$master STATUS=ready" || fail "READY: $(cat "$tmp/notices")"
"$takhinctl" -p "$dir" reload >/dev/null || fail "reload"
told '^RELOADING=1 MONOTONIC_USEC=[0-9]' || fail "RELOADING: $(cat "$tmp/notices")"
test "$(grep -c '^READY=1' "$tmp/notices")" -eq 2 || fail "READY again: $(cat "$tmp/notices")"
echo 'nonsense' >"$dir/takhin.conf"
"$takhinctl" -s "$dir/run/takhin.sock" reload 2>/dev/null && fail "a bad file: success"
within 5 told 'the last reload failed' || fail "$(cat "$tmp/notices")"
sleep 1.2
test "$(grep -c '^WATCHDOG=1' "$tmp/notices")" -ge 2 || fail "WATCHDOG: $(cat "$tmp/notices")"
stop TERM
told '^STOPPING=1' || fail "STOPPING: $(cat "$tmp/notices")"
