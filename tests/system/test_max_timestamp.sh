#!/bin/sh
# A batch whose header tells another largest timestamp than its records have is mended as Kafka mends
# it: ListOffsets by time finds the record, and what is served has the right header and checksum.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/python.sh"
tk_start "$tk_tmp/a" 'worker_processes = 1;'
tk_python test_max_timestamp.py before
tk_stop "$tk_tmp/a" KILL
tk_start "$tk_tmp/a" 'worker_processes = 1;'
tk_python test_max_timestamp.py after
tk_stop "$tk_tmp/a"
test "$tk_status" -eq 0 || fail "exit status $tk_status"
