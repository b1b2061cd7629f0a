"""The part of test_worker_files.sh that speaks to the broker."""
import os
import resource
import signal
import time

import broker
import wire
from broker import check, say

NOT_LEADER, TIMED_OUT, STORAGE_ERROR = 6, 7, 56
TOLD = "could not accept a connection: Too many open files"

conn = wire.Conn(broker.PORT, timeout=30)
worker = broker.workers()[0]
limits = resource.prlimit(worker, resource.RLIMIT_NOFILE)


class Full:
    """with Full(free): the worker's table has `free` places left as long."""

    def __init__(self, free):
        self.free = free

    def __enter__(self):
        used = set(broker.descriptors(worker))
        places = [fd for fd in range(max(used) + self.free + 2) if fd not in used]
        limit = places[self.free]
        # A place is free below the limit, and what is open above it stays open.
        resource.prlimit(worker, resource.RLIMIT_NOFILE, (limit, limits[1]))
        return self

    def __exit__(self, *_):
        resource.prlimit(worker, resource.RLIMIT_NOFILE, limits)


def cpu_seconds():
    text = broker.read_file("/proc/%d/stat" % worker)
    fields = text[text.rindex(b")") + 2:].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def is_served(one):
    return one.call("ApiVersions", 0)["ErrorCode"] == 0


def appends(name, on=conn):
    got = wire.produce(on, name, 0, wire.batch([b"v"]))
    return got["ErrorCode"]


def told():
    return broker.log_text().count(TOLD)


def test_make():
    for name in ("cached", "fresh", "later"):
        wire.create_topic(conn, name)
        check(appends(name) == 0, "Produce")


def fetches(name):
    """How many bytes there are; without an error in any case."""
    part = wire.fetch(conn, name, 0, 0, max_wait_ms=100)
    check(part["ErrorCode"] == 0, "Fetch: %s" % part)
    return len(part["Records"])


def time_error(name):
    got = conn.call("ListOffsets", 7, {"ReplicaId": -1, "Topics": [
        {"Name": name, "Partitions": [{"PartitionIndex": 0, "Timestamp": 1000}]}]})
    return got["Topics"][0]["Partitions"][0]["ErrorCode"]


def test_nothing_to_spare():
    """
    Descriptors are needed and nobody has any to give: a Fetch finds nothing for now, ListOffsets has
    an error that clients retry.
    """
    for free in (0, 1):
        with Full(free):
            for _ in range(3):
                check(fetches("cached") == 0, "a Fetch with %d places" % free)
                check(time_error("cached") == STORAGE_ERROR, "ListOffsets with %d places" % free)
            check(appends("cached") == 0, "an append")
    check(len(wire.read_all(conn, "cached", 0)) == 3, "the Fetch after it")
    lines = broker.log_text().count('could not read "cached-0": Too many open files')
    check(1 <= lines <= 5, "%d lines in the log" % lines)


def test_connections():
    """Three find room, seven wait; all that were there before them go on."""
    with Full(3):
        conns = [wire.Conn(broker.PORT, timeout=30) for _ in range(10)]
        for one in conns:
            one.send("ApiVersions", 0, {})
        check(all(one.receive()["ErrorCode"] == 0 for one in conns[:3]), "those that found room")
        broker.within(10, lambda: told() > 0, "a line in the log")
        begun, spent, lines = time.monotonic(), cpu_seconds(), told()
        for _ in range(20):
            check(appends("cached") == 0, "an append over a connection that was there")
            check(wire.fetch(conn, "cached", 0, 0)["ErrorCode"] == 0, "a Fetch of an open segment")
            check(is_served(conns[1]), "one that found room")
            time.sleep(0.1)
        check(all(one.is_quiet() for one in conns[3:]), "served without a descriptor")
        took, spent = time.monotonic() - begun, cpu_seconds() - spent
        say("%d lines in the log; %.2f s of CPU in %.2f s" % (told(), spent, took))
        check(spent < took / 4, "the worker spins: %.2f s of CPU in %.2f s" % (spent, took))
        check(told() - lines <= took / 10 + 1, "%d lines in %.2f s" % (told() - lines, took))
        # Who goes makes room for who waits.
        for one in conns[:3]:
            one.close()
        check(all(one.receive()["ErrorCode"] == 0 for one in conns[3:6]), "those that waited")
        check(conns[6].is_quiet(0.2), "more than have room")
    check(all(one.receive()["ErrorCode"] == 0 for one in conns[6:]), "after the limit is gone")
    for one in conns[3:]:
        one.close()
    check(broker.workers() == [worker], "it is another worker")


def test_segments():
    """Segments that are open and not in use make room for one that is."""
    broker.within(10, lambda: broker.connections_of(worker) == 1, "the others are gone")
    with Full(0):
        for _ in range(3):
            for name in ("fresh", "cached", "later"):
                check(fetches(name) > 0, "a Fetch of %s" % name)
    with Full(0):
        check(time_error("fresh") == 0, "ListOffsets by time")


def test_writer_lost():
    """The descriptor of a writer that died may go to a client; the worker still finds the next one."""
    with Full(0):
        conns = [wire.Conn(broker.PORT, timeout=30) for _ in range(5)]
        for one in conns:
            one.send("ApiVersions", 0, {})
        before = broker.pid_of("writer 0")
        os.kill(before, signal.SIGKILL)
        broker.within(20, lambda: broker.processes().get("writer 0", before) != before, "a new writer")
        begun, spent = time.monotonic(), cpu_seconds()
        time.sleep(1.5)
        took, spent = time.monotonic() - begun, cpu_seconds() - spent
        say("%.2f s of CPU in %.2f s" % (spent, took))
        check(spent < took / 4, "the worker spins: %.2f s of CPU in %.2f s" % (spent, took))
        error = wire.produce(conn, "cached", 0, wire.batch([b"v"]), timeout_ms=300)["ErrorCode"]
        check(error in (0, NOT_LEADER, TIMED_OUT, STORAGE_ERROR), "Produce: error %d" % error)
        say("Produce has error %d" % error)
        for one in conns:
            one.close()
    broker.within(20, lambda: appends("cached") == 0, "appends go on")
    check(broker.workers() == [worker], "it is another worker")


broker.run([test_make, test_nothing_to_spare, test_connections, test_segments, test_writer_lost])
say("all good")
