#!/bin/sh
# One bit is flipped in the files of a broker that was stopped or killed: it starts, serves nothing that was
# not produced, everything else, and other partitions as if nothing were.  About 60 bits, all with
# TAKHIN_FULL=1; TAKHIN_SEED chooses others.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/python.sh"
tk_start "$tk_tmp/a"
tk_python test_one_bit.py make
tk_stop "$tk_tmp/a"
cp -r "$tk_tmp/a" "$tk_tmp/stopped"
tk_start "$tk_tmp/a"
tk_python test_one_bit.py more
tk_stop "$tk_tmp/a" KILL
cp -r "$tk_tmp/a" "$tk_tmp/killed"
tk_python test_one_bit.py judge "$tk_tmp/stopped" "$tk_tmp/killed"
