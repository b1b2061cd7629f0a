#!/bin/sh
# A log's file that somebody has cut under a running broker: a Fetch of what is gone ends its
# connection, never with other bytes in place of the records; the error log tells, others go on.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/python.sh"
for sendfile in true false; do
	tk_start "$tk_tmp/$sendfile" 'worker_processes = 1;' "sendfile = $sendfile;"
	tk_python test_short_segment.py
	grep -E 'worker process 0 .*(was killed by|exited)|panic|assertion' "$tk_dir/log" && fail "the worker died"
	tk_stop "$tk_dir" KILL
done
