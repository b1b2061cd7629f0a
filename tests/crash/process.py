"""A broker as something to kill: its processes, and the kill points inside them.

A kill point is armed in a running process by writing to its memory (/proc/PID/mem): the name's address
into tk_killpoint_armed, the number of visits into visits_left, both found by the program's symbols.  The
broker has no interface for it and goes on as it is.  What is armed in the master, its children inherit.
"""
import os
import re
import signal
import socket
import struct
import subprocess
import time


class Elf:
    """Addresses of a 64-bit program's symbols and strings."""

    def __init__(self, path):
        with open(path, "rb") as file:
            self.data = file.read()
        self.relocated = struct.unpack_from("<H", self.data, 16)[0] == 3
        at, = struct.unpack_from("<Q", self.data, 32)
        size, count = struct.unpack_from("<HH", self.data, 54)
        self.loads = []
        for n in range(count):
            kind, _, offset, address, _, length = struct.unpack_from("<IIQQQQ", self.data, at + n * size)
            if kind == 1:
                self.loads.append((offset, address, length))
        self.symbols = self._symbols()

    def _symbols(self):
        at, = struct.unpack_from("<Q", self.data, 40)
        size, count = struct.unpack_from("<HH", self.data, 58)
        rows = [struct.unpack_from("<IIQQQQIIQQ", self.data, at + n * size) for n in range(count)]
        found = {}
        for row in rows:
            if row[1] != 2:  # SHT_SYMTAB
                continue
            names = rows[row[6]][4]
            for here in range(row[4], row[4] + row[5], 24):
                name, _, _, _, value, _ = struct.unpack_from("<IBBHQQ", self.data, here)
                end = self.data.index(b"\0", names + name)
                found[self.data[names + name:end].decode()] = value
        return found

    def string(self, text):
        at = self.data.find(b"\0" + text.encode() + b"\0")
        for offset, address, length in self.loads:
            if at >= 0 and offset <= at + 1 < offset + length:
                return address + at + 1 - offset
        return None


def free_port(rng):
    while True:
        port = rng.randrange(10000, 30000)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue


def text_of(path):
    try:
        with open(path, "rb") as file:
            return file.read()
    except (FileNotFoundError, ProcessLookupError):
        return b""


def is_alive(pid):
    text = text_of("/proc/%d/stat" % pid)
    return bool(text) and text[text.rindex(b")") + 2:].split()[0] not in (b"Z", b"X")


def within(seconds, what, text, step=0.004):
    until = time.monotonic() + seconds
    while True:
        value = what()
        if value:
            return value
        if time.monotonic() > until:
            raise AssertionError("not within %g s: %s" % (seconds, text))
        time.sleep(step)


class Broker:
    """One that lives in a folder, with two data directories; started as often as it takes."""

    def __init__(self, build, folder, port, settings, environment=None):
        self.program = os.path.join(build, "takhin")
        self.folder, self.port = folder, port
        self.environment = environment or {}
        self.master = None
        self.process = None
        self.elf = Elf(self.program)
        os.makedirs(folder, exist_ok=True)
        with open(folder + "/takhin.conf", "w", encoding="ascii") as file:
            file.write('listeners = ( { name = "PLAINTEXT"; port = %d; } );\n' % port)
            file.write("".join(row + "\n" for row in settings))

    # ---- life ----

    def launch(self, **environment):
        env = dict(os.environ, **self.environment, **environment)
        self.log = open(self.folder + "/log", "ab")
        self.mark = self.log.tell()
        self.process = subprocess.Popen([self.program, "-p", self.folder], stdin=subprocess.DEVNULL,
                                        stdout=self.log, stderr=self.log, env=env)
        self.log.close()
        self.master = self.process.pid

    def text(self, at=None):
        with open(self.folder + "/log", "rb") as file:
            file.seek(self.mark if at is None else at)
            return file.read().decode(errors="replace")

    def log_end(self):
        return os.path.getsize(self.folder + "/log")

    def deaths(self, at):
        return self.text(at).count("was killed by signal 9")

    def _is_ready(self):
        if self.process.poll() is not None:
            raise AssertionError("the broker does not start: " + self.text()[-600:])
        return "master [%d]: ready" % self.master in self.text()

    def wait_ready(self):
        within(30, self._is_ready, "the broker is ready", 0.01)

    def start(self, **environment):
        self.launch(**environment)
        self.wait_ready()

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=60)

    def children(self):
        """{"writer 0": pid, ...} of those that live."""
        found = {}
        path = "/proc/%d/task/%d/children" % (self.master, self.master)
        for pid in map(int, text_of(path).split()):
            title = text_of("/proc/%d/cmdline" % pid).replace(b"\0", b" ").decode().strip()
            match = re.match(r"takhin: (\w+) process ?(\d*)$", title)
            if match and is_alive(pid):
                found[("%s %s" % match.groups()).strip()] = pid
        return found

    def pid_of(self, name):
        """Of what lives now, or is born in a moment."""
        if name == "master":
            return self.master
        return within(20, lambda: self.children().get(name), "there is a " + name)

    def kill_all(self):
        """As far as processes can be, at once: stopped first, so that none sees another die."""
        pids = [self.master] + list(self.children().values())
        for sent in (signal.SIGSTOP, signal.SIGKILL):
            for pid in pids:
                send(pid, sent)
        self.process.wait()
        self.wait_gone(pids)

    def kill_master(self):
        pids = list(self.children().values())
        send(self.master, signal.SIGKILL)
        self.process.wait()
        return pids

    @staticmethod
    def wait_gone(pids):
        within(30, lambda: not any(map(is_alive, pids)), "children of a dead master go")

    # ---- kill points ----

    def can_arm(self):
        return "tk_killpoint_armed" in self.elf.symbols and "visits_left" in self.elf.symbols

    def _base(self, pid):
        if not self.elf.relocated:
            return 0
        for line in text_of("/proc/%d/maps" % pid).decode().splitlines():
            if line.endswith("/takhin"):
                words = line.split()
                return int(words[0].split("-")[0], 16) - int(words[2], 16)
        raise ProcessLookupError(pid)

    def arm(self, pid, name, visits=1):
        """name None disarms; OSError if there is no such process any more."""
        base = self._base(pid)
        where = 0
        if name is not None:
            where = self.elf.string(name)
            if where is None:
                raise AssertionError("there is no kill point \"%s\"" % name)
            where += base
        with open("/proc/%d/mem" % pid, "r+b", buffering=0) as memory:
            memory.seek(base + self.elf.symbols["visits_left"])
            memory.write(struct.pack("<Q", visits))
            memory.seek(base + self.elf.symbols["tk_killpoint_armed"])
            memory.write(struct.pack("<Q", where))


def send(pid, number):
    try:
        os.kill(pid, number)
        return True
    except ProcessLookupError:
        return False
