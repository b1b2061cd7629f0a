#!/bin/sh
# A disk that freezes under one data directory: who appends there waits, fills no more than that
# directory's share of anything, and is answered; the other directory's appends and all Fetches go on; the
# writer that is killed in there is replaced, and nothing that was acknowledged is lost.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/python.sh"
command -v "${CC:-cc}" >/dev/null || skip "no C compiler was found: install Debian's build-essential"
"${CC:-cc}" -shared -fPIC -O1 -o "$tk_tmp/frozen.so" "$tk_here/test_frozen_disk.c" -ldl ||
	fail "could not build the disk that freezes"
TK_FROZEN_DIR=$tk_tmp/a/data1
LD_PRELOAD=$tk_tmp/frozen.so
# A broker built with ASan wants to be the first that is loaded.
ldd "$tk_takhin" | grep -q libasan && skip "a sanitizer's library has to be loaded first"
export TK_FROZEN_DIR LD_PRELOAD
tk_start "$tk_tmp/a" 'worker_processes = 2;' \
	"data_directories = [ \"$tk_tmp/a/data0\", \"$tk_tmp/a/data1\" ];"
unset LD_PRELOAD
tk_python test_frozen_disk.py "$TK_FROZEN_DIR"
tk_stop "$tk_tmp/a"
test "$tk_status" -eq 0 || fail "exit status $tk_status"
