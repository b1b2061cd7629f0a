#!/bin/sh
# Fetches of many partitions at once, warm: strace counts that each range of records is one sendfile,
# that what stands between them is at most one sendmsg more than there are ranges, and that records
# are read by nobody.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/python.sh"
command -v strace >/dev/null || skip "strace was not found: install Debian's strace"
tk_start "$tk_tmp/a" 'worker_processes = 1;'
tk_python test_zero_copy_parts.py
tk_stop "$tk_tmp/a"
test "$tk_status" -eq 0 || fail "exit status $tk_status"
