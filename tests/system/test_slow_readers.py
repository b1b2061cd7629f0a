"""The part of test_slow_readers.sh that speaks to the broker."""
import hashlib
import os
import time

import broker
import wire
from broker import check, say

BIG_PARTS, BIG_BATCHES, BIG_VALUE = 4, 8, 32000 * 8
SMALL_PARTS, SMALL_VALUE = 60, 7000  # below sendfile_min_bytes: these are copied
SLOW, PAIRS = 8, 150
PIPELINED = {"big": 2, "small": 15}
UNKNOWN_TOPIC = 3

# What slow clients may cost together, beside what their sockets hold: of each one reply's small
# ranges, which are half a MiB, and its requests.
BOUND = 4 * SLOW * (1 << 19) + (4 << 20)

conn = wire.Conn(broker.PORT, timeout=60)
worker = broker.workers()[0]
asked = {
    "big": wire.fetch_message([("big", p, 0) for p in range(BIG_PARTS)], part_bytes=4 << 20),
    "small": wire.fetch_message([("small", p, 0) for p in range(SMALL_PARTS)]),
}
expected = {}
slow = []


def value_of(name, partition, number, size):
    return hashlib.sha256(b"%s %d %d" % (name.encode(), partition, number)).digest() * (size // 32)


def test_make():
    for name, parts, batches, size in (("big", BIG_PARTS, BIG_BATCHES, BIG_VALUE),
                                       ("small", SMALL_PARTS, 1, SMALL_VALUE)):
        wire.create_topic(conn, name, parts)
        for partition in range(parts):
            for number in range(batches):
                one = wire.batch([value_of(name, partition, number, size)])
                check(wire.produce(conn, name, partition, one)["ErrorCode"] == 0, "Produce")
        expected[name] = conn.call("Fetch", 12, asked[name])
        for (_, partition), part in wire.fetched(expected[name]).items():
            check(list(wire.values(part["Records"])) == [
                (n, value_of(name, partition, n, size)) for n in range(batches)], "what was produced")
    wire.create_topic(conn, "fast")


class Slow:
    """Has asked for several replies; reads a KiB a second, or nothing."""

    def __init__(self, name, drips):
        self.name, self.drips = name, drips
        self.conn = wire.Conn(broker.PORT, timeout=60, receive_buffer=4096)
        self.early, self.read_at = b"", 0.0
        for _ in range(PIPELINED[name]):
            self.conn.send("Fetch", 12, asked[name])

    def drip(self):
        if self.drips and time.monotonic() - self.read_at >= 1:
            self.read_at = time.monotonic()
            self.early += self.conn.socket.recv(1024)

    def finish(self):
        """Reads on, and all of it is right."""
        inner, early = self.conn.read, self.early

        def read(size):
            nonlocal early
            piece, early = early[:size], early[size:]
            return piece + inner(size - len(piece))
        self.conn.read = read
        for turn in range(PIPELINED[self.name]):
            got = self.conn.receive()
            if self.name == "big" and turn > 0 and got != expected[self.name]:
                check(all(part["ErrorCode"] == UNKNOWN_TOPIC and not part["Records"]
                          for part in wire.fetched(got).values()), "a topic that is gone: %s" % got)
            else:
                check(got == expected[self.name], "reply %d of %s is wrong" % (turn, self.name))
        self.conn.close()


def cpu_seconds():
    text = broker.read_file("/proc/%d/stat" % worker)
    fields = text[text.rindex(b")") + 2:].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def make_slow():
    for name in ("big", "small"):
        for drips in (False, True):
            slow.extend(Slow(name, drips) for _ in range(SLOW))


def run_pair():
    """A producer, and a consumer that waits for each of its records."""
    reader = wire.Conn(broker.PORT, timeout=60)
    most = 0
    for number in range(PAIRS):
        reader.send("Fetch", 12, wire.fetch_message([("fast", 0, number)], max_wait_ms=50000))
        got = wire.produce(conn, "fast", 0, wire.batch([b"%d" % number * 1000]))
        check((got["ErrorCode"], got["BaseOffset"]) == (0, number), "Produce: %s" % got)
        part = wire.fetched(reader.receive())["fast", 0]
        check(list(wire.values(part["Records"])) == [(number, b"%d" % number * 1000)], "the consumer")
        most = max(most, broker.resident(worker))
        for one in slow:
            one.drip()
    reader.close()
    return most


def test_pair():
    before = run_warm()
    make_slow()
    broker.within(30, blocked, "the slow ones' sockets are full")
    check(broker.connections_of(worker) == len(slow) + 1, "somebody was closed")
    begun = time.monotonic()
    most = run_pair()
    say("%d rounds of the pair beside %d slow clients in %.2f s" % (PAIRS, len(slow),
                                                                  time.monotonic() - begun))
    say("resident: %d KiB before, at most %d KiB" % (before >> 10, most >> 10))
    # AddressSanitizer keeps what was freed for a while, and reserves terabytes of addresses.
    kept = 256 << 20 if broker.resident(worker, "VmSize") > 1 << 40 else 0
    check(most - before <= BOUND + kept, "memory grew by %d KiB" % ((most - before) >> 10))


def run_warm():
    """What the worker's memory is where somebody reads all that."""
    for name in ("big", "small"):
        check(conn.call("Fetch", 12, asked[name]) == expected[name], "a Fetch of %s" % name)
    return broker.resident(worker)


def blocked():
    """Nothing more leaves: the counters of what was sent stand still."""
    before = broker.counters(worker)["bytes_out"]
    time.sleep(0.1)
    return broker.counters(worker)["bytes_out"] == before


def test_quiet():
    """Nobody reads, nobody asks: nothing is done."""
    begun, spent = time.monotonic(), cpu_seconds()
    time.sleep(1)
    took, spent = time.monotonic() - begun, cpu_seconds() - spent
    say("%.2f s of CPU in %.2f s" % (spent, took))
    check(spent < took / 4, "the worker spins: %.2f s of CPU in %.2f s" % (spent, took))


def test_read_on():
    """What a reply has begun to send outlives its topic; requests behind it are told of the end."""
    got = conn.call("DeleteTopics", 1, {"TopicNames": ["big"], "TimeoutMs": 10000})
    check(got["Responses"][0]["ErrorCode"] == 0, "DeleteTopics: %s" % got)
    for one in slow:
        one.finish()
    say("resident: %d KiB at the end" % (broker.resident(worker) >> 10))


broker.run([test_make, test_pair, test_quiet, test_read_on])
say("all good")
