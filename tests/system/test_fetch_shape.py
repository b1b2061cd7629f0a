"""The Fetch part of test_fetch_shape.sh."""
import threading
import time

import broker
import wire
from broker import check, say

TOPICS = (("shape-a", 10), ("shape-b", 10), ("shape-c", 20))
PARTS = [(name, partition) for name, count in TOPICS for partition in range(count)]
VERSIONS = range(4, 19)
NO_ERROR, OUT_OF_RANGE, UNKNOWN_TOPIC = 0, 1, 3
SESSION_NOT_FOUND, SESSION_EPOCH, FENCED_EPOCH, UNKNOWN_EPOCH, UNKNOWN_ID = 70, 71, 74, 75, 100

conn = wire.Conn(broker.PORT)
ids = {}


def value_of(name, partition, number):
    """Sizes on both sides of what sendfile serves; some partitions stay empty."""
    if partition % 7 == 6:
        return None
    return b"%s-%d-%d " % (name.encode(), partition, number) + b"x" * (partition % 5 * 5000)


def key_of(name, version):
    return ids[name] if version >= 13 else name


def fetch_parts(parts, version, on=None, **more):
    got = (on or conn).call("Fetch", version, wire.fetch_message(parts, **more))
    check(got.get("ErrorCode", 0) == 0, "Fetch v%d: error %s" % (version, got.get("ErrorCode")))
    return wire.fetched(got)


def bad_part(part, error, version):
    check(part["ErrorCode"] == error, "v%d: error %d instead of %d" % (version, part["ErrorCode"], error))
    check(part["Records"] == b"", "v%d: records beside error %d" % (version, error))
    check(part["HighWatermark"] == -1, "v%d: a high watermark beside error %d" % (version, error))


def test_make():
    for name, count in TOPICS:
        ids[name] = wire.create_topic(conn, name, count)
    for name, partition in PARTS:
        for number in range(3):
            value = value_of(name, partition, number)
            if value is not None:
                got = wire.produce(conn, name, partition, wire.batch([value]))
                check((got["ErrorCode"], got["BaseOffset"]) == (0, number), "Produce: %s" % got)


def test_forty_partitions():
    for version in VERSIONS:
        parts = [(key_of(name, version), partition, 0) for name, partition in PARTS]
        got = fetch_parts(parts, version)
        check(len(got) == 40, "v%d tells of %d partitions" % (version, len(got)))
        for name, partition in PARTS:
            part = got[(key_of(name, version), partition)]
            expected = [(i, value_of(name, partition, i)) for i in range(3)]
            expected = [] if expected[0][1] is None else expected
            check(list(wire.values(part["Records"])) == expected,
                  "v%d: %s-%d has other records" % (version, name, partition))
            check(part["ErrorCode"] == 0 and part["HighWatermark"] == len(expected) and
                  part["LastStableOffset"] == len(expected) and
                  part.get("LogStartOffset", 0) == 0 and part["AbortedTransactions"] is None and
                  part.get("PreferredReadReplica", -1) == -1, "v%d: %s" % (version, part))


def test_offsets():
    wire.create_topic(conn, "shape-offsets")
    for first in (0, 10, 20):
        values = [b"%d" % i for i in range(first, first + 10)]
        wire.produce(conn, "shape-offsets", 0, wire.batch(values))
    for offset in range(31):
        part = wire.fetch(conn, "shape-offsets", 0, offset)
        bases = [head.base for head in wire.heads(part["Records"])]
        check(part["ErrorCode"] == 0 and bases == list(range(offset // 10 * 10, 30, 10)),
              "offset %d: batches at %s" % (offset, bases))
    for version in VERSIONS:
        key = "shape-offsets"
        if version >= 13:
            key = conn.call("Metadata", 12, {"Topics": [{"Name": key}]})["Topics"][0]["TopicId"]
        for offset in (31, -1, -2, 1 << 62, -1 << 63):
            bad_part(fetch_parts([(key, 0, offset)], version)[(key, 0)], OUT_OF_RANGE, version)
        check(fetch_parts([(key, 0, 30)], version)[(key, 0)]["Records"] == b"",
              "v%d: at the end there is something" % version)


def test_limits():
    """The first batch comes whole whatever the limits, later ones only if they fit."""
    wire.create_topic(conn, "shape-limits", 4)
    large, small = wire.batch([b"l" * 300000]), wire.batch([b"s" * 1000])
    for partition, batches in ((0, [large, small]), (1, [large]), (2, [small, small, small])):
        for one in batches:
            check(wire.produce(conn, "shape-limits", partition, one)["ErrorCode"] == 0, "Produce")

    def sizes(parts, **limits):
        got = fetch_parts([("shape-limits",) + part for part in parts], 11, **limits)
        check(all(part["ErrorCode"] == 0 for part in got.values()), "an error with %s" % limits)
        return [len(got[("shape-limits", part[0])]["Records"]) for part in parts]

    both = [(0, 0), (1, 0), (2, 0)]
    for total in (1000, 1, 0, -1, -(1 << 31), len(large)):
        check(sizes(both, max_bytes=total) == [len(large), 0, 0],
              "max_bytes=%d: %s" % (total, sizes(both, max_bytes=total)))
    for each in (1000, 1, 0, -1, -(1 << 31)):
        got = sizes(both, part_bytes=each)
        check(got[:2] == [len(large), 0] and got[2] in (0, each if each == 1000 else 0),
              "part_bytes=%d: %s" % (each, got))
    check(sizes([(3, 0), (1, 0), (0, 0)], max_bytes=5) == [0, len(large), 0],
          "an empty partition took the place of the first")
    check(sizes([(2, 0), (0, 0)], max_bytes=3 * len(small) + 5) == [3 * len(small), 0],
          "what is left does not hold the next partition's first")
    # The last may be cut or left out, never the first of a partition; half the limit is used.
    for total in range(len(small), 3 * len(small), 97):
        got = fetch_parts([("shape-limits", 2, 0)], 11, max_bytes=total)[("shape-limits", 2)]
        heads = list(wire.heads(got["Records"]))
        check(heads[0].whole and total / 2 <= len(got["Records"]) <= total,
              "max_bytes=%d: %d" % (total, len(got["Records"])))
    check(sizes([(0, 0), (1, 0), (2, 0)], max_bytes=1 << 31 - 1)[1:] == [len(large), 3 * len(small)],
          "everything fits")


def test_unknown():
    for version in VERSIONS:
        for name, partition in (("shape-a", 10), ("shape-a", -1), ("shape-a", 1 << 30)):
            key = key_of(name, version)
            got = fetch_parts([(key, 0, 0), (key, partition, 0)], version)
            bad_part(got[(key, partition)], UNKNOWN_TOPIC, version)
            check(len(got[(key, 0)]["Records"]) > 0, "v%d: a good partition beside it" % version)
        key = b"\x77" * 16 if version >= 13 else "shape-none"
        bad_part(fetch_parts([(key, 0, 0)], version)[(key, 0)],
                 UNKNOWN_ID if version >= 13 else UNKNOWN_TOPIC, version)
        for error, epoch in ((FENCED_EPOCH, -2), (UNKNOWN_EPOCH, 1 << 30), (NO_ERROR, -1), (NO_ERROR, 0)):
            if version < 9:
                continue
            key = key_of("shape-a", version)
            message = wire.fetch_message([(key, 1, 0)])
            message["Topics"][0]["Partitions"][0]["CurrentLeaderEpoch"] = epoch
            part = wire.fetched(conn.call("Fetch", version, message))[(key, 1)]
            if error:
                bad_part(part, error, version)
            else:
                check(part["ErrorCode"] == 0, "v%d: epoch %d" % (version, epoch))
    # Nothing may be asked for, or the same twice.
    check(fetch_parts([], 11, max_wait_ms=5000) == {}, "no partition")
    got = conn.call("Fetch", 11, wire.fetch_message([("shape-a", 1, 0), ("shape-a", 1, 1)]))
    check([len(list(wire.heads(part["Records"]))) for part in got["Responses"][0]["Partitions"]] == [3, 2],
          "one partition twice")


def timed(call):
    begun = time.monotonic()
    value = call()
    return value, (time.monotonic() - begun) * 1000


def test_long_poll():
    wire.create_topic(conn, "shape-poll", 2)
    other = wire.Conn(broker.PORT)
    small = wire.batch([b"p"])

    def poll(offset, wait_ms, min_bytes=1, parts=(0,), **more):
        return timed(lambda: fetch_parts([("shape-poll", p, offset) for p in parts], 11,
                                         max_wait_ms=wait_ms, min_bytes=min_bytes, **more))

    for wait_ms in (0, 1, 50, 300):
        got, took = poll(0, wait_ms)
        check(got[("shape-poll", 0)]["Records"] == b"", "something came of nothing")
        check(wait_ms - 1 <= took < wait_ms + 150, "max_wait %d ms took %d ms" % (wait_ms, took))
    for wait_ms in (-1, -(1 << 31)):
        check(poll(0, wait_ms)[1] < 150, "max_wait %d waits" % wait_ms)
    check(poll(0, 5000, min_bytes=0)[1] < 150 and poll(0, 5000, min_bytes=-5)[1] < 150,
          "min_bytes <= 0 waits")
    # An error answers at once.
    check(poll(7, 5000)[1] < 150 and poll(0, 5000, parts=(0, 9))[1] < 150, "an error waits")

    def later(seconds, partition, batches=1):
        def do():
            for _ in range(batches):
                time.sleep(seconds)
                wire.produce(other, "shape-poll", partition, small)
        thread = threading.Thread(target=do)
        thread.start()
        return thread

    # On either partition, from whichever worker.
    for number in range(6):
        partition = number % 2
        thread = later(0.1, partition)
        got, took = timed(lambda: fetch_parts(
            [("shape-poll", p, number // 2 + (p < partition)) for p in (0, 1)], 11, max_wait_ms=10000))
        thread.join()
        check(len(got[("shape-poll", partition)]["Records"]) == len(small), "data: %s" % got)
        check(90 <= took < 600, "data after 100 ms came after %d ms" % took)
    # min_bytes: three batches have to come, or the time has to pass.
    thread = later(0.1, 0, 3)
    got, took = poll(3, 10000, min_bytes=2 * len(small) + 1)
    thread.join()
    check(len(got[("shape-poll", 0)]["Records"]) == 3 * len(small) and 290 <= took < 900,
          "min_bytes of three: %d bytes after %d ms" % (len(got[("shape-poll", 0)]["Records"]), took))
    thread = later(0.05, 1)
    got, took = poll(3, 400, min_bytes=1 << 20, parts=(0, 1))
    thread.join()
    check(399 <= took < 700 and len(got[("shape-poll", 1)]["Records"]) == len(small),
          "min_bytes of a megabyte: after %d ms" % took)
    # Many wait for one record and all are told.
    waiting = [wire.Conn(broker.PORT) for _ in range(20)]
    for one in waiting:
        one.send("Fetch", 11, wire.fetch_message([("shape-poll", 0, 6)], max_wait_ms=10000))
    time.sleep(0.1)
    begun = time.monotonic()
    wire.produce(other, "shape-poll", 0, small)
    for one in waiting:
        check(len(wire.fetched(one.receive())[("shape-poll", 0)]["Records"]) == len(small), "20 wait")
        one.close()
    check(time.monotonic() - begun < 0.5, "20 that wait take %.2f s" % (time.monotonic() - begun))
    # One that goes away while it waits leaves nothing behind.
    for _ in range(20):
        one = wire.Conn(broker.PORT)
        one.send("Fetch", 11, wire.fetch_message([("shape-poll", 0, 7)], max_wait_ms=60000))
        one.close()
    wire.produce(other, "shape-poll", 0, small)
    check(len(wire.fetch(conn, "shape-poll", 0, 7)["Records"]) == len(small), "after those that left")
    other.close()


def session(version, on, session_id, epoch, parts=(), forget=(), **more):
    topic = "TopicId" if version >= 13 else "Topic"
    message = wire.fetch_message([(key_of(part[0], version),) + part[1:] for part in parts],
                                 SessionId=session_id, SessionEpoch=epoch, **more)
    message["ForgottenTopicsData"] = [{topic: key_of(name, version), "Partitions": [partition]}
                                      for name, partition in forget]
    got = on.call("Fetch", version, message)
    back = {value: key for key, value in ids.items()}
    return got["ErrorCode"], got["SessionId"], {
        (back.get(key[0], key[0]), key[1]): part for key, part in wire.fetched(got).items()}


def test_sessions():
    other = wire.Conn(broker.PORT)
    broker.within(5, lambda: elsewhere(other), "a connection to another worker")
    for version in (7, 11, 12, 13, 16, 18):
        name = "shape-s%d" % version
        ids[name] = wire.create_topic(conn, name, 4)
        small = wire.batch([b"s"])
        error, number, got = session(version, conn, 0, 0, [(name, p, 0) for p in range(4)])
        check(error == 0 and number > 0 and len(got) == 4, "v%d: no session: %d" % (version, error))
        error, same, got = session(version, conn, number, 1)
        check((error, same, got) == (0, number, {}), "v%d: news of nothing: %s" % (version, got))
        wire.produce(conn, name, 2, small)
        error, same, got = session(version, conn, number, 2, max_wait_ms=2000)
        check((error, same, list(got)) == (0, number, [(name, 2)]), "v%d: news: %s" % (version, got))
        check(got[(name, 2)]["Records"] != b"", "v%d: no records" % version)
        # The offset moves on, another partition is forgotten.
        error, _, got = session(version, conn, number, 3, [(name, 2, 1)], [(name, 0)])
        check(error == 0 and got == {}, "v%d: after moving on: %s" % (version, got))
        wire.produce(conn, name, 0, small)
        wire.produce(conn, name, 1, small)
        error, _, got = session(version, conn, number, 4, max_wait_ms=100, min_bytes=1000)
        check(error == 0 and list(got) == [(name, 1)], "v%d: a forgotten one is told of" % version)
        # Errors are told again each time, and once more when they are over.
        error, _, got = session(version, conn, number, 5, [(name, 1, 1), (name, 3, 77)])
        check(got[(name, 3)]["ErrorCode"] == OUT_OF_RANGE, "v%d: %s" % (version, got))
        error, _, got = session(version, conn, number, 6)
        check(list(got) == [(name, 3)], "v%d: an error is told once" % version)
        error, _, got = session(version, conn, number, 7, [(name, 3, 0)])
        check(error == 0 and list(got) == [(name, 3)] and got[(name, 3)]["ErrorCode"] == 0,
              "v%d: an error that is over: %s" % (version, got))
        # Not the next epoch; the session lives on.
        for epoch in (7, 9, 1 << 30):
            check(session(version, conn, number, epoch)[0] == SESSION_EPOCH, "v%d: epoch" % version)
        check(session(version, conn, number, 8)[0] == 0, "v%d: the session is gone" % version)
        check(session(version, conn, number ^ 1, 1)[0] == SESSION_NOT_FOUND, "v%d: unknown id" % version)
        # Another worker does not know it; what clients do then works.
        check(session(version, other, number, 9)[0] == SESSION_NOT_FOUND, "v%d: elsewhere" % version)
        error, fresh, got = session(version, other, 0, 0, [(name, p, 0) for p in range(4)])
        check(error == 0 and fresh != number and len(got) == 4, "v%d: a new one elsewhere" % version)
        # Epoch -1 ends it and is answered whole.
        error, none, got = session(version, conn, number, -1, [(name, p, 0) for p in range(4)])
        check((error, none, len(got)) == (0, 0, 4), "v%d: the end of a session" % version)
        check(session(version, conn, number, 9)[0] == SESSION_NOT_FOUND, "v%d: it lives on" % version)
    # A session by names is not one by ids.
    _, number, _ = session(12, conn, 0, 0, [("shape-s12", 0, 0)])
    check(session(13, conn, number, 1)[0] == 106, "a session of names goes on with ids")
    # While one request of a session waits, another connection cannot use it.
    _, number, _ = session(11, conn, 0, 0, [("shape-s11", 3, 0)])
    conn.send("Fetch", 11, wire.fetch_message([], max_wait_ms=1000, SessionId=number, SessionEpoch=1))
    others = [wire.Conn(broker.PORT)]
    while broker.owner(others[-1]) != broker.owner(conn):
        others.append(wire.Conn(broker.PORT))
    check(session(11, others[-1], number, 2)[0] == SESSION_EPOCH, "two in one session at a time")
    check(conn.receive()["ErrorCode"] == 0, "the first of two in one session")
    check(session(11, others[-1], number, 2)[0] == 0, "a session goes on from another connection")


def elsewhere(other):
    if broker.owner(other) != broker.owner(conn):
        return True
    other.close()
    other.__init__(broker.PORT)
    return False


def test_deleted():
    """Who waits on a topic that is deleted is told at once; made again it is another topic."""
    for version in (4, 11, 12, 13, 18):
        ids["shape-gone"] = wire.create_topic(conn, "shape-gone", 2)
        wire.produce(conn, "shape-gone", 0, wire.batch([b"old"]))
        key = key_of("shape-gone", version)
        other = wire.Conn(broker.PORT)
        other.send("Fetch", version, wire.fetch_message([(key, 0, 1), (key, 1, 0)], max_wait_ms=10000))
        time.sleep(0.1)
        begun = time.monotonic()
        got = conn.call("DeleteTopics", 1, {"TopicNames": ["shape-gone"], "TimeoutMs": 10000})
        check(got["Responses"][0]["ErrorCode"] == 0, "DeleteTopics: %s" % got)
        part = wire.fetched(other.receive())[(key, 0)]
        took = (time.monotonic() - begun) * 1000
        bad_part(part, UNKNOWN_ID if version >= 13 else UNKNOWN_TOPIC, version)
        check(took < 1000, "v%d: told of the deletion after %d ms" % (version, took))
        fresh = wire.create_topic(conn, "shape-gone", 1)
        wire.produce(conn, "shape-gone", 0, wire.batch([b"new"]))
        if version >= 13:
            bad_part(fetch_parts([(key, 0, 0)], version, other)[(key, 0)], UNKNOWN_ID, version)
            key = fresh
        part = fetch_parts([(key, 0, 0)], version, other)[(key, 0)]
        check(list(wire.values(part["Records"])) == [(0, b"new")], "v%d: %s" % (version, part))
        conn.call("DeleteTopics", 1, {"TopicNames": ["shape-gone"], "TimeoutMs": 10000})
        other.close()


broker.run([test_make, test_forty_partitions, test_offsets, test_limits, test_unknown, test_long_poll,
            test_sessions, test_deleted])
say("all good")
