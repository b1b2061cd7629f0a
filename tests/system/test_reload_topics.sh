#!/bin/sh
# A reload that changes what topics have by default takes effect everywhere at once: in new workers,
# in old ones that are left because the new ones do not get ready, and in the writers; clients that
# send all the while lose nothing.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/python.sh"
tk_start "$tk_tmp/a" 'worker_processes = 2;'
tk_python test_reload_topics.py
tk_stop "$tk_tmp/a"
test "$tk_status" -eq 0 || fail "exit status $tk_status"
