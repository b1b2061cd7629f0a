#!/bin/sh
# The control socket: what is sent by whom does not matter to anybody else.
. "$(dirname "$0")/master_lib.sh"
command -v python3 >/dev/null 2>&1 || skip "python3 was not found: install Debian's python3"
free_port
configure
start
python3 - "$dir/run/takhin.sock" <<'PYTHON' || fail "see above"
import json, socket, sys, time

path = sys.argv[1]

def connect():
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(20)
    s.connect(path)
    return s

def lines(s):
    return s.makefile("r", encoding="utf-8")

def ask(text):
    s = connect()
    s.sendall(text)
    answer = lines(s).readline()
    s.close()
    return json.loads(answer)

status = b'{"command":"status"}\n'
answer = ask(status)
assert answer["ok"] and answer["state"] == "running", answer
roles = sorted(p["role"] for p in answer["processes"])
assert roles == ["cleaner", "coordinator", "worker", "worker", "writer"], roles
assert all(p["state"] == "ready" and p["pid"] > 1 for p in answer["processes"])
assert any(c["name"] == "sendfile_bytes" and c["help"] for c in answer["counters"])
assert answer["listeners"][0]["name"] == "PLAINTEXT" and len(answer["directories"]) == 1

for bad in (b"\n", b"nonsense\n", b"{}\n", b"[]\n", b'{"command":7}\n', b'{"command":"dance"}\n',
            b'{"command":"status"\n', b"\xff\xfe\n", b"\0\n", b'"status"\n'):
    answer = ask(bad)
    assert answer["ok"] is False and answer["error"], (bad, answer)

# Many lines at once, and by single bytes.
s = connect()
s.sendall(status * 50)
reader = lines(s)
assert all(json.loads(reader.readline())["ok"] for i in range(50))
for byte in status:
    s.send(bytes([byte]))
assert json.loads(reader.readline())["ok"]
s.shutdown(socket.SHUT_WR)
assert reader.readline() == ""

# The end comes with the question.
s = connect()
s.sendall(status)
s.shutdown(socket.SHUT_WR)
assert json.loads(lines(s).readline())["ok"]

# A line without an end.
s = connect()
try:
    s.sendall(b"x" * 100000)
except OSError:
    pass
try:
    answer = lines(s).readline()
    assert answer == "" or json.loads(answer)["ok"] is False, answer
except OSError:
    pass

# One that does not read, and more clients than there are places: others are served.
deaf = connect()
deaf.setblocking(False)
try:
    for i in range(100000):
        deaf.send(status)
except BlockingIOError:
    pass
assert ask(status)["ok"]
crowd = []
for i in range(100):
    try:
        crowd.append(connect())
    except OSError:
        time.sleep(0.02)
time.sleep(0.2)
for s in crowd:
    s.close()
deaf.close()
for i in range(50):
    try:
        assert ask(status)["ok"]
        break
    except (OSError, ValueError):
        time.sleep(0.1)
else:
    raise AssertionError("nobody is served after the crowd")

# A reload is told to who asked, also where the asker goes away; the next line waits for it.
s = connect()
s.sendall(b'{"command":"reload"}\n' + status)
reader = lines(s)
answer = json.loads(reader.readline())
assert answer["ok"] and answer["generation"] == 2, answer
assert json.loads(reader.readline())["generation"] == 2
for i in range(10):
    s = connect()
    s.sendall(b'{"command":"reload"}\n')
    s.close()
time.sleep(1)
answer = ask(status)
assert answer["state"] == "running" and answer["generation"] > 2, answer
two = [connect(), connect()]
for s in two:
    s.sendall(b'{"command":"reload"}\n')
answers = [json.loads(lines(s).readline()) for s in two]
assert any(a["ok"] for a in answers), answers
PYTHON
stop TERM
test $status -eq 0 || fail "exit status $status"
