#!/bin/sh
# Bytes that no client sends: each gets the answer Kafka gives or a closed connection, no process
# ends, no other connection notices, and memory does not follow what is merely declared.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/python.sh"
tk_start "$tk_tmp/a" 'worker_processes = 4;' 'log_level = "debug";'
tk_python test_bad_input.py
tk_stop "$tk_tmp/a"
test "$tk_status" -eq 0 || fail "exit status $tk_status"
