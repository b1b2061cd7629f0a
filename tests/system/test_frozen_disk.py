"""The part of test_frozen_disk.sh that speaks to the broker."""
import os
import signal
import sys
import time

import broker
import wire
from broker import check, say

FLAG = sys.argv[1] + ".frozen"
LARGE = wire.batch([os.urandom(1000) for _ in range(500)])


class Frozen:
    def __enter__(self):
        open(FLAG, "wb").close()

    def __exit__(self, *_):
        if os.path.exists(FLAG):
            os.unlink(FLAG)


def topics():
    """(partition of the good disk, partition of the one that freezes)"""
    wire.create_topic(wire.Conn(broker.PORT), "t", partitions=8)
    good = [p for p in range(8) if os.path.isdir(broker.DIR + "/data0/t-%d" % p)]
    bad = [p for p in range(8) if p not in good]
    check(good and bad, "all partitions are on one disk")
    return good[0], bad[0]


GOOD, BAD = topics()
acknowledged = {GOOD: {}, BAD: {}}


def append(conn, partition, text):
    got = wire.produce(conn, "t", partition, wire.batch([text]))
    check(got["ErrorCode"] == 0, "produce: %s" % got)
    acknowledged[partition][got["BaseOffset"]] = text


def the_other_goes_on():
    """Appends and Fetches beside a backlog of 96 MB for the frozen disk."""
    for n in range(20):
        append(wire.Conn(broker.PORT), BAD, b"before %d" % n)
    readers = [wire.Conn(broker.PORT) for _ in range(4)]
    for reader in readers:
        check(len(wire.read_all(reader, "t", BAD)) == 20, "what is there is not read")
    memory = max(broker.resident(pid) for pid in broker.workers())
    with Frozen():
        waiting = [wire.Conn(broker.PORT, timeout=60) for _ in range(24)]
        for conn in waiting:
            conn.socket.setblocking(False)
            frames = b"".join(conn.frame("Produce", 7, wire.produce_message(
                "t", BAD, LARGE, timeout_ms=3000)) for _ in range(8))
            conn.socket.send(frames)  # as much of it as goes
        conn = wire.Conn(broker.PORT)
        slowest = 0
        for n in range(200):
            start = time.monotonic()
            append(conn, GOOD, b"beside %d" % n)
            slowest = max(slowest, time.monotonic() - start)
            if n % 20 == 0:
                rows = wire.read_all(readers[n // 20 % 4], "t", BAD)
                check(len(rows) == 20, "the frozen disk's records are not read")
        say("200 appends beside a frozen disk, the slowest took %.1f ms" % (slowest * 1000))
        say("the largest worker has %d KiB, %d before" % (
            max(broker.resident(pid) for pid in broker.workers()) // 1024, memory // 1024))
        refused = wire.Conn(broker.PORT, timeout=30)
        got = wire.produce(refused, "t", BAD, wire.batch([b"too late"]), timeout_ms=500)
        check(got["ErrorCode"] == 7, "an append to a frozen disk: %s" % got)
        for one in waiting:
            one.close()
    broker.within(20, lambda: wire.produce(
        wire.Conn(broker.PORT), "t", BAD, wire.batch([b"after"]))["ErrorCode"] == 0, "the disk is back")


def its_writer_is_killed():
    old = broker.pid_of("writer 1")
    with Frozen():
        held = wire.Conn(broker.PORT, timeout=60)
        held.send("Produce", 7, wire.produce_message("t", BAD, wire.batch([b"held"]), timeout_ms=2000))
        time.sleep(0.2)
        os.kill(old, signal.SIGKILL)
        check(held.receive()["Responses"][0]["PartitionResponses"][0]["ErrorCode"] != 0,
              "acknowledged by a dead writer")
        for n in range(50):
            append(wire.Conn(broker.PORT), GOOD, b"killed %d" % n)
    broker.within(20, lambda: wire.produce(
        wire.Conn(broker.PORT), "t", BAD, wire.batch([b"again"]))["ErrorCode"] == 0, "another writer serves")
    check(broker.pid_of("writer 1") != old, "the writer is still the old one")


broker.run([the_other_goes_on, its_writer_is_killed])
for partition, rows in acknowledged.items():
    got = dict(wire.read_all(wire.Conn(broker.PORT), "t", partition))
    check(all(got.get(offset) == text for offset, text in rows.items()), "t-%d lacks what was told" % partition)
