"""How long a broker is away: tests/bench/restart [GIB [PARTITIONS [MANY [CROWD]]]] (default 20, 100, 10000,
50000).

Starts brokers of its own in a temporary folder on 127.0.0.1 and prints, for a topic of PARTITIONS with GIB
GiB of records:

  - kill -9 of all processes, started again in the same boot: ms until the first Produce is acknowledged;
  - the same without the run directory, which is what another boot leaves: the same, and the bytes read;

then for MANY empty partitions a start after a clean stop and after kill -9; then what an append costs with
and without preallocated segments, in pairs; then CROWD partitions under a limit of 1024 descriptors, one
record in each.  Nothing here fails for being slow.
"""
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "system"))
import broker as procfs  # noqa: E402
import wire  # noqa: E402

BUILD = os.environ.get("TAKHIN_BUILD_DIR", ".")
PAIRS = 7
STARTED = []  # processes, to be ended whatever happens


class Broker:
    def __init__(self, folder):
        self.folder, self.process = folder, None
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        os.makedirs(folder)
        with open(os.path.join(folder, "takhin.conf"), "w", encoding="ascii") as conf:
            conf.write('listeners = ( { name = "PLAINTEXT"; port = %d; } );\nworker_processes = 2;\n' % self.port)

    def start(self, descriptors=0):
        limit = (lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors))) if descriptors else None
        self.started = time.monotonic()
        self.log = open(os.path.join(self.folder, "log"), "ab")
        self.process = subprocess.Popen([os.path.join(BUILD, "takhin"), "-p", self.folder],
                                        stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log,
                                        preexec_fn=limit)
        STARTED.append(self.process)

    def tree(self):
        pid = self.process.pid
        with open("/proc/%d/task/%d/children" % (pid, pid), encoding="ascii") as children:
            return [pid] + [int(child) for child in children.read().split()]

    def kill(self):
        pids = self.tree()
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        self.process.wait()
        procfs.within(10, lambda: not any(procfs.alive(pid) for pid in pids), "all processes end")

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        if self.process.wait() != 0:
            sys.exit("the broker did not stop cleanly")

    def connect(self, seconds=600):
        until = time.monotonic() + seconds
        while True:
            try:
                return wire.Conn(self.port, timeout=60)
            except ConnectionRefusedError:
                if self.process.poll() is not None or time.monotonic() > until:
                    sys.exit("the broker is not there")
                time.sleep(0.001)

    def first_produce_ms(self, topic):
        """From the start of the process to the first acknowledgement."""
        while True:
            try:
                conn = self.connect()
                if wire.produce(conn, topic, 0, wire.batch([b"first"]))["ErrorCode"] == 0:
                    return (time.monotonic() - self.started) * 1000
            except wire.Closed:
                pass
            time.sleep(0.001)

    def bytes_read(self):
        total = 0
        for pid in self.tree():
            with open("/proc/%d/io" % pid, encoding="ascii") as io:
                total += int(io.readline().split()[1])
        return total

    def cpu_seconds(self):
        ticks = 0
        for pid in self.tree():
            with open("/proc/%d/stat" % pid, encoding="ascii") as stat:
                fields = stat.read().rsplit(")", 1)[1].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")


def say(text):
    print(text, flush=True)


def fill(broker, topic, partitions, total_bytes):
    """Produces total_bytes in batches of 1 MiB, four under way, partition after partition."""
    value = os.urandom(1000)
    records = wire.batch([value] * 980)
    conn = broker.connect()
    frames = [conn.frame("Produce", 7, wire.produce_message(topic, p, records)) for p in range(partitions)]
    under_way = 0
    for i in range(total_bytes // len(records)):
        conn.raw(frames[i % partitions])
        under_way += 1
        if under_way == 4:
            conn.read_frame()
            under_way -= 1
    for _ in range(under_way):
        conn.read_frame()
    conn.close()


def restarts(folder, gib, partitions):
    broker = Broker(os.path.join(folder, "large"))
    broker.start()
    wire.create_topic(broker.connect(), "large", partitions)
    fill(broker, "large", partitions, gib << 30)
    what = "%d GiB in %d partitions" % (gib, partitions)
    for _ in range(3):
        broker.kill()
        broker.start()
        say("%s, all killed, same boot: first Produce after %.0f ms, %d bytes read by all processes" % (
            what, broker.first_produce_ms("large"), broker.bytes_read()))
    broker.kill()
    shutil.rmtree(os.path.join(broker.folder, "run"))
    broker.start()
    ms = broker.first_produce_ms("large")
    say("%s, all killed, as if from another boot: first Produce after %.0f ms, %d MiB read (page cache warm)" % (
        what, ms, broker.bytes_read() >> 20))
    broker.stop()
    shutil.rmtree(broker.folder)


def many(folder, partitions):
    broker = Broker(os.path.join(folder, "many"))
    broker.start()
    conn = broker.connect()
    wire.create_topic(conn, "many", partitions)
    wire.produce(conn, "many", 0, wire.batch([b"x"]))
    broker.stop()
    broker.start()
    say("%d partitions, clean stop: first Produce after %.0f ms" % (partitions, broker.first_produce_ms("many")))
    broker.kill()
    broker.start()
    say("%d partitions, all killed: first Produce after %.0f ms" % (partitions, broker.first_produce_ms("many")))
    broker.stop()
    shutil.rmtree(broker.folder)


def preallocation(folder):
    broker = Broker(os.path.join(folder, "pairs"))
    broker.start()
    conn = broker.connect()
    for name, value in (("without", "false"), ("with", "true")):
        wire.create_topic(conn, name, 1, {"preallocate": value})
        fill(broker, name, 1, 64 << 20)
    ratios = []
    for _ in range(PAIRS):
        costs = {}
        for name in ("without", "with"):
            before = broker.cpu_seconds()
            fill(broker, name, 1, 1 << 30)
            costs[name] = broker.cpu_seconds() - before
        ratios.append(costs["with"] / costs["without"])
        say("appends: %.2f CPU s/GiB with preallocated segments, %.2f without" % (costs["with"], costs["without"]))
    say("appends with preallocated segments beside without: median ratio %.2f" % sorted(ratios)[PAIRS // 2])
    broker.stop()
    shutil.rmtree(broker.folder)


def answered(conn):
    return conn.receive()["Responses"][0]["PartitionResponses"][0]["ErrorCode"] == 0


def crowd(folder, partitions):
    """One record to each of many partitions, with few descriptors; all of them read; a stop and a start."""
    each = 2000
    topics = ["crowd-%d" % i for i in range(max(partitions // each, 1))]
    broker = Broker(os.path.join(folder, "crowd"))
    broker.start(descriptors=1024)
    conn = broker.connect()
    conn.socket.settimeout(300)
    begun, good, read = time.monotonic(), 0, 0
    for topic in topics:
        wire.create_topic(conn, topic, each)
    made = time.monotonic()
    for topic in topics:
        for partition in range(each):
            conn.send("Produce", 7, wire.produce_message(topic, partition, wire.batch([b"x" * 100])))
            if len(conn.pending) == 16:
                good += answered(conn)
    while conn.pending:
        good += answered(conn)
    appended = time.monotonic()
    for topic in topics:
        for first in range(0, each, 50):
            got = wire.fetched(conn.call("Fetch", 11, wire.fetch_message(
                [(topic, partition, 0) for partition in range(first, first + 50)])))
            read += sum(1 for row in got.values() if row["ErrorCode"] == 0 and row["Records"])
    fetched = time.monotonic()
    broker.stop()
    stopped = time.monotonic()
    broker.start(descriptors=1024)
    say("%d partitions, 1024 descriptors: made in %.1f s, %d appended to in %.1f s, %d fetched from in %.1f s, stopped "
        "in %.1f s, started again: first Produce after %.0f ms" % (
            each * len(topics), made - begun, good, appended - made, read, fetched - appended, stopped - fetched,
            broker.first_produce_ms(topics[0])))
    broker.stop()
    shutil.rmtree(broker.folder)


def main():
    given = list(map(int, sys.argv[1:5]))
    gib, partitions, count, many_more = given + [20, 100, 10000, 50000][len(given):]
    folder = tempfile.mkdtemp(prefix="takhin-restart.")
    try:
        restarts(folder, gib, partitions)
        many(folder, count)
        preallocation(folder)
        crowd(folder, many_more)
    finally:
        for process in STARTED:
            if process.poll() is None:
                process.kill()  # the others notice their master's death
        shutil.rmtree(folder, ignore_errors=True)


main()
