#!/bin/sh
# What administers logs, in every version: AlterConfigs under load, bounds of timestamps, DeleteRecords that survive kills and
# a lost run directory, OffsetForLeaderEpoch with a history, DescribeLogDirs of two directories.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/python.sh"
start() {
	tk_start "$tk_tmp/a" 'worker_processes = 2;' "data_directories = [ \"$tk_tmp/a/data\", \"$tk_tmp/a/data2\" ];"
}
# Nobody may stop in good order because the master is gone.
kill_all() {
	tk_python test_admin.py die
	tk_stop "$tk_tmp/a" KILL
}
start
tk_python test_admin.py configs
tk_python test_admin.py timestamps
tk_python test_admin.py delete_records

# All killed and the zone lost: the checkpoint alone knows the starts.  Killed, and the zone is there.
kill_all
rm -rf "$tk_tmp/a/run"
start
tk_python test_admin.py deleted
kill_all
start
tk_python test_admin.py deleted
tk_python test_admin.py log_dirs

# The writers die: what is asked meanwhile is asked of the next ones.
tk_python test_admin.py writer_dies
tk_stop "$tk_tmp/a"
test "$tk_status" -eq 0 || fail "exit status $tk_status"

# A clean stop, and another broker's epochs 2 and 5 before we have it again, with no zone of ours.
where=$(ls -d "$tk_tmp"/a/data*/epochs-0) || fail "no partition epochs-0"
printf '0\n3\n1 0\n2 3\n5 7\n' >"$where/leader-epoch-checkpoint"
rm -rf "$tk_tmp/a/run"
start
tk_python test_admin.py deleted
tk_python test_admin.py epochs
tk_stop "$tk_tmp/a"
test "$tk_status" -eq 0 || fail "exit status $tk_status"
