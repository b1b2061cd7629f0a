#!/bin/sh
# A data directory that is full: producers get errors, consumers do not, topics can still be made
# while min_free_bytes keeps some room, and all goes on by itself when there is room again.
. "$(dirname "$0")/lib.sh"
command -v kcat >/dev/null || skip "kcat was not found: install Debian's kcat"
mkdir "$tk_tmp/disk"
mount -t tmpfs -o size=24m tmpfs "$tk_tmp/disk" 2>/dev/null || skip "may not mount a tmpfs here"
trap 'umount -l "$tk_tmp/disk"; tk_cleanup' EXIT
settings='worker_processes = 1;'
directory="data_directories = ( \"$tk_tmp/disk/data\" );"

# produce TOPIC [OPTION...]: fails if a line is not acknowledged within 3 s.
produce() {
	topic=$1
	shift
	timeout 60 kcat -q -b "$tk_bootstrap" -P -t "$topic" -p 0 -X message.timeout.ms=3000 \
		-X retry.backoff.ms=50 "$@" 2>/dev/null
}

count() {
	timeout 60 kcat -q -b "$tk_bootstrap" -C -t "$1" -p 0 -o beginning -e | wc -l
}

fill_disk() {
	dd if=/dev/zero of="$tk_tmp/disk/filler" bs=64k 2>/dev/null
	dd if=/dev/zero of="$tk_tmp/disk/filler" bs=1k oflag=append conv=notrunc 2>/dev/null
	test "$(df --output=avail "$tk_tmp/disk" | tail -n 1)" -eq 0 || fail "the disk is not full"
}

# Full to the last byte.
tk_start "$tk_tmp/a" "$settings" "$directory" 'min_free_bytes = 0L;' 'flush = "commit";'
seq 1 1000 | produce full || fail "could not produce"
fill_disk
seq -f '%01000.0f' 1 200 | produce full && fail "a full disk took records"
grep -q 'could not append to .*No space left on device' "$tk_tmp/a/log" || fail "nothing was said"
before=$(count full)
test "$before" -ge 1000 || fail "reads do not go on: $before"
rm "$tk_tmp/disk/filler"
read_write() {
	grep -q 'partition "full-0" is online' "$tk_tmp/a/log"
}
tk_within 20 read_write || fail "the partition stays read-only"
seq 1 10 | produce full || fail "appends do not go on"
test "$(count full)" = $((before + 10)) || fail "$(count full) records, not $before and 10"
tk_stop "$tk_tmp/a"
test "$tk_status" = 0 || fail "it did not stop cleanly"

# Stopped before it is full.
tk_start "$tk_tmp/a" "$settings" "$directory" 'min_free_bytes = "4MiB";'
seq 1 10 | produce room || fail "could not produce"
dd if=/dev/zero of="$tk_tmp/disk/filler" bs=1M \
	count=$(($(df --output=avail "$tk_tmp/disk" | tail -n 1) / 1024 - 3)) 2>/dev/null
sleep 1.1
echo x | produce room && fail "a record was taken with less than min_free_bytes"
test "$(grep -c 'less than min_free_bytes' "$tk_tmp/a/log")" = 1 || fail "it was not said once"
echo x | produce another && fail "a record was taken with less than min_free_bytes"
kcat -q -b "$tk_bootstrap" -L | grep -q '"another"' || fail "a topic could not be made"
test "$(count room)" = 10 || fail "reads do not go on"
rm "$tk_tmp/disk/filler"
sleep 1.1
seq 1 5 | produce room || fail "appends do not go on"
test "$(count room)" = 15 || fail "there are $(count room) records, not 15"
tk_stop "$tk_tmp/a"
test "$tk_status" = 0 || fail "it did not stop cleanly"
