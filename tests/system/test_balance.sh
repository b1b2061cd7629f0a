#!/bin/sh
# Connections spread over the workers: while clients connect one by one no worker has more than one
# above the fewest; a stopped worker does not stop accepting; limits and idle time hold.
. "$(dirname "$0")/lib.sh"
command -v python3 >/dev/null || skip "python3 was not found: install Debian's python3"

tk_start "$tk_tmp/broker" "worker_processes = 4;"
cat >"$tk_tmp/balance.py" <<'P'
import os, signal, socket, struct, sys, time

port, workers = int(sys.argv[1]), [int(pid) for pid in sys.argv[2:]]

def ask(sock):
    """ApiVersions version 0, and its answer."""
    sock.sendall(struct.pack(">ihhih", 10, 18, 0, 7, -1))
    size = struct.unpack(">i", sock.recv(4, socket.MSG_WAITALL))[0]
    assert struct.unpack(">i", sock.recv(size, socket.MSG_WAITALL)[:4])[0] == 7

def client():
    sock = socket.create_connection(("127.0.0.1", port), timeout=10)
    ask(sock)
    return sock

def established(pid):
    """Connections of a process on our port."""
    inodes = set()
    for fd in os.listdir("/proc/%d/fd" % pid):
        try:
            target = os.readlink("/proc/%d/fd/%s" % (pid, fd))
        except FileNotFoundError:
            continue
        if target.startswith("socket:["):
            inodes.add(target[8:-1])
    rows = [line.split() for line in open("/proc/net/tcp").readlines()[1:]]
    # The kernel may list a socket twice while others come and go.
    return len({row[9] for row in rows if row[3] == "01" and row[9] in inodes
                and int(row[1].split(":")[1], 16) == port})

kept = []
for i in range(100):
    kept.append(client())
    if i % 10 == 9:
        counts = [established(pid) for pid in workers]
        assert sum(counts) == i + 1, counts
        assert max(counts) - min(counts) <= 1, "after %d clients: %s" % (i + 1, counts)
print("100 clients:", [established(pid) for pid in workers])

for sock in kept[:40]:
    sock.close()
time.sleep(0.3)
for i in range(20):
    kept.append(client())
counts = [established(pid) for pid in workers]
print("40 gone, 20 new:", counts)
kept = kept[40:]

os.kill(workers[0], signal.SIGSTOP)
try:
    slowest = 0
    for i in range(40):
        start = time.monotonic()
        kept.append(client())
        slowest = max(slowest, time.monotonic() - start)
    print("with a stopped worker the slowest of 40 clients took %.0f ms" % (slowest * 1000))
    assert slowest < 1
finally:
    os.kill(workers[0], signal.SIGCONT)
for sock in kept:
    try:
        ask(sock)
    except OSError as error:
        raise AssertionError("a connection was lost: %s" % error)
P
# shellcheck disable=SC2046
/usr/bin/env python3 "$tk_tmp/balance.py" "$tk_port" $(pgrep -P "$tk_pid" -f 'takhin: worker process') || fail "balance"
tk_stop "$tk_tmp/broker"

cat >"$tk_tmp/limits.py" <<'P'
import socket, struct, sys, time

port = int(sys.argv[1])

def refused():
    sock = socket.create_connection(("127.0.0.1", port), timeout=5)
    try:
        sock.sendall(struct.pack(">ihhih", 10, 18, 0, 7, -1))
        return sock, sock.recv(4) == b""
    except ConnectionResetError:
        return sock, True

kept = [refused() for i in range(5)]
assert not any(no for sock, no in kept), "a connection below the limit was refused"
assert refused()[1], "a connection above max_connections_per_ip was accepted"
kept.pop()[0].close()
time.sleep(0.3)
sock, no = refused()
assert not no, "the place of a closed connection is not free"
start = time.monotonic()
sock.recv(4096)
assert sock.recv(1) == b"", "an idle connection is not closed"
assert time.monotonic() - start < 10
P
tk_start "$tk_tmp/limits" "worker_processes = 3;" "max_connections_per_ip = 5;" "connections_max_idle_ms = \"2s\";"
/usr/bin/env python3 "$tk_tmp/limits.py" "$tk_port" || fail "limits"
tk_stop "$tk_tmp/limits"
