"""The broker under test as the operating system sees it: its processes, their files, their memory.

tests/system/python.sh says in the environment which broker it is.
"""
import json
import os
import re
import signal
import subprocess
import time

PORT = int(os.environ.get("TK_PORT", "0"))
MASTER = int(os.environ.get("TK_PID", "0"))
DIR = os.environ.get("TK_DIR", "")
BUILD = os.environ.get("TK_BUILD", "")
STARTED = time.monotonic()


def say(text):
    print("%7.3f %s" % (time.monotonic() - STARTED, text), flush=True)


def check(good, text):
    if not good:
        raise AssertionError(text)


def within(seconds, what, text, step=0.01):
    """Waits until what() is true; its value."""
    until = time.monotonic() + seconds
    while True:
        value = what()
        if value:
            return value
        if time.monotonic() > until:
            raise AssertionError("not within %g s: %s" % (seconds, text))
        time.sleep(step)


def read_file(path):
    try:
        with open(path, "rb") as file:
            return file.read()
    except (FileNotFoundError, ProcessLookupError):
        return b""


def stat_of(pid):
    """(state, parent) or None."""
    text = read_file("/proc/%d/stat" % pid)
    if not text:
        return None
    fields = text[text.rindex(b")") + 2:].split()
    return fields[0].decode(), int(fields[1])


def alive(pid):
    stat = stat_of(pid)
    return stat is not None and stat[0] not in "ZX"


def processes():
    """{"worker 0": pid, "writer 0": pid, "coordinator": pid, ..} of what lives and has its title."""
    found = {}
    for pid in map(int, filter(str.isdigit, os.listdir("/proc"))):
        state, parent = stat_of(pid) or ("X", 0)
        if parent != MASTER or state in "ZX":
            continue
        title = read_file("/proc/%d/cmdline" % pid).replace(b"\0", b" ").decode().strip()
        match = re.match(r"takhin: (\w+) process ?(\d*)$", title)
        if match:
            found[("%s %s" % match.groups()).strip()] = pid
    return found


def pid_of(name):
    return processes()[name]


def workers():
    return sorted(pid for name, pid in processes().items() if name.startswith("worker"))


def status():
    return json.loads(subprocess.run([BUILD + "/takhinctl", "-p", DIR, "status", "--json"],
                                     check=True, capture_output=True, timeout=20).stdout)


def counters(pid=None):
    """Of one process, or of all together."""
    got = status()
    if pid is None:
        return {row["name"]: row["value"] for row in got["counters"]}
    for process in got["processes"]:
        if process["pid"] == pid:
            return process["counters"]
    raise AssertionError("status does not know process %d" % pid)


def resident(pid, field="VmRSS"):
    """Bytes."""
    match = re.search(rb"^%s:\s+(\d+) kB" % field.encode(), read_file("/proc/%d/status" % pid), re.M)
    return int(match.group(1)) * 1024 if match else 0


def descriptors(pid):
    """{fd: where it points}"""
    found = {}
    for fd in os.listdir("/proc/%d/fd" % pid):
        try:
            found[int(fd)] = os.readlink("/proc/%d/fd/%s" % (pid, fd))
        except FileNotFoundError:
            pass
    return found


def sockets_of(pid):
    """Inodes."""
    return {int(to[8:-1]) for to in descriptors(pid).values() if to.startswith("socket:[")}


def tcp_table():
    """{inode: (local port, state)}; state "0A" listens, "01" is connected."""
    found = {}
    for path in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in read_file(path).decode().splitlines()[1:]:
            fields = line.split()
            found[int(fields[9])] = int(fields[1].rsplit(":", 1)[1], 16), fields[3]
    return found


def connections_of(pid, table=None):
    """How many clients' connections a process holds."""
    table = tcp_table() if table is None else table
    return sum(1 for inode in sockets_of(pid) if table.get(inode, (0, ""))[1] not in ("", "0A"))


def owner(conn):
    """The pid of the worker that serves a connection of ours; it may still have to accept it."""
    return within(5, lambda: _owner(conn), "a worker serves the connection")


def _owner(conn):
    mine = "%04X" % conn.socket.getsockname()[1]
    for line in read_file("/proc/net/tcp").decode().splitlines()[1:]:
        fields = line.split()
        if fields[1].endswith(":%04X" % PORT) and fields[2].endswith(":" + mine):
            for pid in workers():
                if int(fields[9]) in sockets_of(pid):
                    return pid
    return None


def log_text():
    return read_file(DIR + "/log").decode()


class Stopped:
    """with Stopped(pid): the process is stopped (SIGSTOP) as long."""

    def __init__(self, pid):
        self.pid = pid

    def __enter__(self):
        os.kill(self.pid, signal.SIGSTOP)
        within(5, lambda: (stat_of(self.pid) or "T")[0] in "Tt", "the process stops")
        return self

    def __exit__(self, *_):
        if alive(self.pid):
            os.kill(self.pid, signal.SIGCONT)


def run(tests):
    """Calls each and says how long it took; the first that fails ends all, and says why."""
    for test in tests:
        begun = time.monotonic()
        test()
        say("%s: good, %.2f s" % (test.__name__, time.monotonic() - begun))
