#!/bin/sh
# takhin-dump over the files of a broker: what it prints, what it finds, what it mends; and that no damage
# at all brings it down.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/python.sh"
command -v kcat >/dev/null || skip "kcat was not found: install Debian's kcat"
tk_start "$tk_tmp/a"
tk_python test_dump.py make
"$tk_build/takhin-dump" --verify "$tk_tmp/a/data" >"$tk_tmp/out" || fail "running: $(head -3 "$tk_tmp/out")"
"$tk_build/takhin-dump" --rebuild "$tk_tmp/a/data" >"$tk_tmp/out" && fail "it rebuilds under a running broker"
grep -q 'nothing was rebuilt: could not lock data directory .*: process [0-9]* (.*) holds it' "$tk_tmp/out" ||
	fail "it does not say who holds the lock: $(cat "$tk_tmp/out")"
tk_stop "$tk_tmp/a"
tk_python test_dump.py judge
tk_start "$tk_tmp/a"
tk_python test_dump.py served
tk_stop "$tk_tmp/a"
test "$tk_status" -eq 0 || fail "exit status $tk_status"
