#!/bin/sh
# A worker whose descriptor table is full: who is connected is served on, who comes waits, it says so
# once in a while, does not spin, and goes on when there is room again.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/python.sh"
tk_start "$tk_tmp/a" 'worker_processes = 1;'
tk_python test_worker_files.py
grep -E 'worker process 0 .*(was killed by|exited)|panic|assertion' "$tk_tmp/a/log" && fail "the worker died"
tk_stop "$tk_tmp/a"
test "$tk_status" -eq 0 || fail "exit status $tk_status"
