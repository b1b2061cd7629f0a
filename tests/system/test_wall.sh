#!/bin/sh
# The wall between the network and the log, as /proc shows it and as seen from inside a worker: no
# descriptor and no mapping of the data or a zone that could be written, no listening end but its own,
# and the calls that would make one fail.
. "$(dirname "$0")/lib.sh"
command -v gdb >/dev/null || skip "gdb was not found: install Debian's gdb"
command -v kcat >/dev/null || skip "kcat was not found: install Debian's kcat"

tk_start "$tk_tmp/broker" "worker_processes = 2;"
dir=$tk_tmp/broker
seq 1 1000 | kcat -b "$tk_bootstrap" -P -t wall || fail "could not produce"
for i in 1 2 3 4; do
	kcat -b "$tk_bootstrap" -C -t wall -o beginning -e -q >/dev/null || fail "could not consume"
done

# Descriptors of $1 whose target matches $2 and that can be written (flags end in 1 or 2).
writable_fds() {
	for fd in /proc/"$1"/fd/*; do
		target=$(readlink "$fd" 2>/dev/null) || continue
		case $target in
		$2) ;;
		*) continue ;;
		esac
		flags=$(sed -n 's/^flags:[^0-9]*//p' "/proc/$1/fdinfo/$(basename "$fd")")
		case $flags in
		*[12]) echo "$target ($flags)" ;;
		esac
	done
}
listening() {
	for fd in /proc/"$1"/fd/*; do
		inode=$(readlink "$fd" 2>/dev/null | sed -n 's/^socket:\[\([0-9]*\)\]$/\1/p')
		test -n "$inode" || continue
		awk -v inode="$inode" '$10 == inode && $4 == "0A" { print "tcp " $2 }' /proc/net/tcp /proc/net/tcp6
		awk -v inode="$inode" '$7 == inode && $4 ~ /1....$/ { print "unix " $8 }' /proc/net/unix
	done
}

workers=$(pgrep -P "$tk_pid" -f 'takhin: worker process')
test -n "$workers" || fail "there is no worker"
for pid in $workers; do
	bad=$(writable_fds "$pid" "$dir/data/*")$(writable_fds "$pid" "$dir/run/zone*")
	test -z "$bad" || fail "a worker can write: $bad"
	bad=$(awk '$2 ~ /w/ && $2 ~ /s/ && /zone|\/data\// { print }' "/proc/$pid/maps")
	test -z "$bad" || fail "a worker has a writable mapping: $bad"
	# Its own page and its own arena, nothing else that is shared and writable.
	test "$(awk '$2 ~ /w/ && $2 ~ /s/' "/proc/$pid/maps" | wc -l)" -eq 2 ||
		fail "a worker maps more than its page and its arena for writing: $(awk '$2 ~ /w/ && $2 ~ /s/' "/proc/$pid/maps")"
	ends=$(listening "$pid" | sort -u)
	test "$(echo "$ends" | grep -c '^tcp')" -eq 1 || fail "listening ends of a worker: $ends"
	! echo "$ends" | grep -q '^unix' || fail "a worker listens for other processes: $ends"
done
for role in writer coordinator cleaner; do
	pid=$(pgrep -P "$tk_pid" -f "takhin: $role process")
	! listening "$pid" | grep '^tcp' || fail "the $role listens on the network"
done

# From inside: a segment or zone descriptor cannot be written, the zone's mapping cannot become so.
pid=$(echo "$workers" | head -n 1)
cat >"$tk_tmp/inside.gdb" <<'G'
set pagination off
set confirm off
define tryall
  set $fd = 3
  while $fd < 64
    set $rc = (long)ftruncate($fd, 0L)
    if $rc == 0
      printf "TRUNCATED %d\n", $fd
    end
    set $fd = $fd + 1
  end
end
G
zone=$(awk '/zone/ { sub(/-.*/, "", $1); print "0x" $1; exit }' "/proc/$pid/maps")
test -n "$zone" || fail "the worker does not map a zone"
# The arena's own descriptor is sealed, so no ftruncate may succeed on any descriptor.
gdb -q -batch -p "$pid" -x "$tk_tmp/inside.gdb" -ex 'tryall' \
	-ex "printf \"MPROTECT %d\\n\", (int)mprotect((void*)$zone, 4096UL, 3)" >"$tk_tmp/inside" 2>&1 ||
	skip "gdb could not look into a worker: $(tail -n 1 "$tk_tmp/inside")"
grep -q '^MPROTECT -1' "$tk_tmp/inside" || fail "a worker could make the zone writable: $(cat "$tk_tmp/inside")"
! grep '^TRUNCATED' "$tk_tmp/inside" || fail "a worker could truncate a file"
test "$(kcat -b "$tk_bootstrap" -C -t wall -o beginning -e -q | wc -l)" -eq 1000 || fail "records are missing"
tk_stop "$tk_tmp/broker"
