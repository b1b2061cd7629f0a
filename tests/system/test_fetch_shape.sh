#!/bin/sh
# What a Fetch answers, byte for byte: every version over 40 partitions, limits, ends, long poll,
# sessions, topics that go away.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/python.sh"
tk_start "$tk_tmp/a" 'worker_processes = 4;'
tk_python test_fetch_shape.py
tk_stop "$tk_tmp/a"
test "$tk_status" -eq 0 || fail "exit status $tk_status"
