#!/bin/sh
# A worker that serves 1 MiB Fetches of warm data reads no record bytes: strace counts, over its whole
# life in between, what it read from files, and how many sendfile and sendmsg calls a Fetch took.
. "$(dirname "$0")/lib.sh"
command -v strace >/dev/null || skip "strace was not found: install Debian's strace"
command -v kcat >/dev/null || skip "kcat was not found: install Debian's kcat"

tk_start "$tk_tmp/broker" "worker_processes = 1;"
worker=$(pgrep -P "$tk_pid" -f 'takhin: worker process') || fail "there is no worker"
head -c 48000000 /dev/urandom | base64 -w 1000 >"$tk_tmp/input"
kcat -b "$tk_bootstrap" -P -t warm -X batch.size=900000 -X linger.ms=50 -l "$tk_tmp/input" || fail "could not produce"
fetch() {
	kcat -b "$tk_bootstrap" -C -t warm -o beginning -e -q -X fetch.message.max.bytes=1048576 \
		-X fetch.wait.max.ms=10 -X queued.max.messages.kbytes=1000000 >"$1" || fail "could not consume"
}
fetch "$tk_tmp/cold"
strace -f -qq -p "$worker" -e trace=read,pread64,preadv,preadv2,sendfile,sendmsg,write,writev,epoll_wait \
	-o "$tk_tmp/trace" &
tracer=$!
tk_within 5 grep -q . "$tk_tmp/trace" || sleep 0.3
fetch "$tk_tmp/warm"
kill "$tracer"
wait "$tracer" 2>/dev/null
cmp "$tk_tmp/input" "$tk_tmp/warm" || fail "what was consumed is not what was produced"

awk -v bytes="$(wc -c <"$tk_tmp/input")" '
	{ result = $NF }
	/ (read|pread64|preadv|preadv2)\(/ && result > 0 { preads++; read += result; if (result > largest) largest = result }
	/ sendfile\(.*= -1 EAGAIN/ { full++ }
	/ sendfile\(/ && result > 0 { files++; sent += result }
	/ sendmsg\(/ { messages++ }
	END {
		printf "%d bytes sent by %d sendfile calls, the socket was full %d times; %d sendmsg calls; %d reads of %d bytes, the largest of %d\n",
			sent, files, full, messages, preads, read, largest
		if (sent < bytes) { print "sendfile sent less than the records"; exit 1 }
		if (read > sent / 1000) { print "records were read"; exit 1 }
		# Of one range a Fetch: one sendfile and two sendmsg, unless the socket was full; and what
		# the client asks beside its Fetches.
		if (messages > 2 * files + 20) { print "too many sendmsg calls"; exit 1 }
	}' "$tk_tmp/trace" || fail "not by sendfile alone"

# The counters tell the same, and that copies are counted where sendfile is off.
"$tk_build/takhinctl" -p "$tk_tmp/broker" status --json >"$tk_tmp/status"
grep -Eq '"sendfile_bytes": *[0-9]{8}' "$tk_tmp/status" || fail "sendfile_bytes is not counted"
tk_stop "$tk_tmp/broker"
tk_start "$tk_tmp/broker" "worker_processes = 1;" "sendfile = false;"
fetch "$tk_tmp/copied"
cmp "$tk_tmp/input" "$tk_tmp/copied" || fail "copies are not what was produced"
"$tk_build/takhinctl" -p "$tk_tmp/broker" status >"$tk_tmp/table"
awk '$1 == "sendfile_calls" && $2 != 0 { bad = 1 } $1 == "copied_sendfile_off" && $2 > 0 { good = 1 }
	END { exit bad || !good }' "$tk_tmp/table" || fail "copies are not counted by their reason"
tk_stop "$tk_tmp/broker"
