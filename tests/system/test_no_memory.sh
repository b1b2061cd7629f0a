#!/bin/sh
# Every allocation of a request fails once, of a worker, of the coordinator and of a writer: the client is
# answered with an error or its connection closes, the worker lives, the next client is served, and nothing that
# was acknowledged is lost.  A coordinator or writer that lacks memory to follow the metadata ends in good
# order and is replaced at once; nobody dies of a signal.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/python.sh"
command -v "${CC:-cc}" >/dev/null || skip "no C compiler was found: install Debian's build-essential"
ldd "$tk_takhin" | grep -q libasan && skip "a sanitizer's library has to be loaded first"
"${CC:-cc}" -shared -fPIC -O1 -o "$tk_tmp/no_memory.so" "$tk_here/test_no_memory.c" ||
	fail "could not build the allocator that fails"
TK_NO_MEMORY=$tk_tmp/no_memory
LD_PRELOAD=$tk_tmp/no_memory.so
head -c 8 /dev/zero >"$TK_NO_MEMORY"
export TK_NO_MEMORY LD_PRELOAD
tk_start "$tk_tmp/a" 'worker_processes = 1;'
unset LD_PRELOAD
tk_python test_no_memory.py "$TK_NO_MEMORY"
grep -E 'was killed by|panic' "$tk_tmp/a/log" && fail "somebody died"
tk_stop "$tk_tmp/a"
test "$tk_status" -eq 0 || fail "exit status $tk_status"
