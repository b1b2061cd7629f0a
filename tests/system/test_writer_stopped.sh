#!/bin/sh
# A process that stands still (SIGSTOP) holds up its own clients alone: a worker, the coordinator, the
# cleaner, a writer, one after the other, while clients of the rest go on.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/python.sh"
tk_start "$tk_tmp/a" 'worker_processes = 4;' \
	"data_directories = [ \"$tk_tmp/a/data0\", \"$tk_tmp/a/data1\" ];"
tk_python test_writer_stopped.py
grep -E 'was killed by|panic' "$tk_tmp/a/log" && fail "somebody died"
tk_stop "$tk_tmp/a"
test "$tk_status" -eq 0 || fail "exit status $tk_status"
