#!/bin/sh
# Clients that ask for much and do not read it, or a little at a time: others are served meanwhile by
# the same worker, its memory stays bounded, and what the slow ones read in the end is right, though
# the topic is gone by then.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/python.sh"
for sendfile in true false; do
	tk_start "$tk_tmp/$sendfile" 'worker_processes = 1;' "sendfile = $sendfile;"
	tk_python test_slow_readers.py
	grep -E 'worker process 0 .*(was killed by|exited)|panic|assertion' "$tk_dir/log" && fail "the worker died"
	tk_stop "$tk_dir"
	test "$tk_status" -eq 0 || fail "exit status $tk_status"
done
