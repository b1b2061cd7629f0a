#!/bin/sh
# Workers are killed by -9 while an idempotent producer sends: connections of the other workers see
# nothing, the worker is back in under 100 ms, every record is there once and in order.
. "$(dirname "$0")/lib.sh"
command -v python3 >/dev/null || skip "python3 was not found: install Debian's python3"
command -v kcat >/dev/null || skip "kcat was not found: install Debian's kcat"

tk_start "$tk_tmp/broker" "worker_processes = 4;"
seq -f 'record %.0f of a producer that was told to send each of them once' 1 400000 >"$tk_tmp/input"
cat >"$tk_tmp/kill.py" <<'P'
import os, signal, socket, struct, subprocess, sys, time

port, master, producer = (int(arg) for arg in sys.argv[1:])

def workers():
    found = {}
    for pid in subprocess.run(["pgrep", "-P", str(master), "-f", "takhin: worker process"],
                              capture_output=True, text=True).stdout.split():
        found[int(pid)] = True
    return set(found)

def sockets(pid):
    inodes = set()
    for fd in os.listdir("/proc/%d/fd" % pid):
        try:
            inodes.add(os.readlink("/proc/%d/fd/%s" % (pid, fd)))
        except FileNotFoundError:
            pass
    return inodes

def ask(sock):
    sock.sendall(struct.pack(">ihhih", 10, 18, 0, 7, -1))
    size = sock.recv(4, socket.MSG_WAITALL)
    if len(size) < 4:
        raise ConnectionError("closed")
    sock.recv(struct.unpack(">i", size)[0], socket.MSG_WAITALL)

def owner(sock, pids):
    """The worker at the other end: it has the socket whose ports are ours turned round."""
    ours = sock.getsockname()[1]
    for row in open("/proc/net/tcp").readlines()[1:]:
        row = row.split()
        if int(row[2].split(":")[1], 16) == ours and int(row[1].split(":")[1], 16) == port:
            for pid in pids:
                if "socket:[%s]" % row[9] in sockets(pid):
                    return pid
    return None

slowest = 0
for turn in range(8):
    pids = workers()
    conns = [socket.create_connection(("127.0.0.1", port), timeout=10) for i in range(12)]
    for sock in conns:
        ask(sock)
    owners = {sock: owner(sock, pids) for sock in conns}
    victim = sorted(pids)[turn % len(pids)]
    start = time.monotonic()
    os.kill(victim, signal.SIGKILL)
    while True:
        new = workers() - pids
        if new and any("takhin: worker" in open("/proc/%d/cmdline" % pid).read() for pid in new):
            # Back means that it serves: its listening socket is polled once it is ready.
            break
        assert time.monotonic() - start < 5, "no new worker"
    slowest = max(slowest, time.monotonic() - start)
    for sock in conns:
        if owners[sock] != victim:
            ask(sock)
        sock.close()
    time.sleep(0.15)
print("8 workers killed; the slowest was back after %.0f ms" % (slowest * 1000))
assert os.path.exists("/proc/%d" % producer), "the producer had ended before: nothing was shown"
P
# -E: kcat goes on when its one broker is away for a moment.  About 4 s of records, so that the producer lives longer than the killing.
{
	while read -r line; do echo "$line"; done <"$tk_tmp/input"
} | kcat -E -b "$tk_bootstrap" -P -t killed -X enable.idempotence=true -X linger.ms=5 \
	-X batch.num.messages=200 -X message.timeout.ms=60000 &
producer=$!
sleep 0.5
python3 "$tk_tmp/kill.py" "$tk_port" "$tk_pid" $producer || fail "killing workers"
wait $producer || fail "the producer could not deliver"
kcat -b "$tk_bootstrap" -C -t killed -o beginning -e -q >"$tk_tmp/out" || fail "could not consume"
cmp "$tk_tmp/input" "$tk_tmp/out" || fail "records are missing, doubled or out of order"
tk_stop "$tk_tmp/broker"
