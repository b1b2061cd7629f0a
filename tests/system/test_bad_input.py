"""The hostile clients of test_bad_input.sh."""
import random
import socket
import struct
import time

import broker
import wire
from broker import check, say

TOPIC = "bad-input"
MEBIBYTE = 1 << 20
HUGE = (1 << 31) - 1

SMALL, LARGE = wire.batch([b"small"]), wire.batch([b"large" * 50000])

random.seed(7)
witnesses = []
pids = {}


def new():
    return wire.Conn(broker.PORT)


def worker_memory():
    return {pid: broker.resident(pid) for pid in broker.workers()}


def undisturbed():
    """The same processes, and connections made before all this are served at once."""
    check(broker.processes() == pids, "processes were %s and are %s" % (pids, broker.processes()))
    begun = time.monotonic()
    for one in witnesses:
        one.send("ApiVersions", 0, {})
        one.send("Fetch", 11, wire.fetch_message([(TOPIC, 0, 0)]))
    for one in witnesses:
        check(one.receive()["ErrorCode"] == 0, "ApiVersions of another connection")
        part = wire.fetched(one.receive())[(TOPIC, 0)]
        check(next(wire.values(part["Records"]))[1] == b"first", "Fetch of another connection")
    check(time.monotonic() - begun < 1, "others wait %.2f s" % (time.monotonic() - begun))


def outcome(one, seconds=5.0):
    """"closed", or "answered": that what was sent before does not keep a request from its answer."""
    try:
        one.send("ApiVersions", 0, {})
        one.pending.clear()
        one.socket.settimeout(seconds)
        while struct.unpack(">i", one.read_frame()[:4])[0] != one.correlation:
            pass
        return "answered"
    except wire.Closed:
        return "closed"
    finally:
        one.close()


def sent(data):
    one = new()
    try:
        one.raw(data)
    except wire.Closed:
        pass
    return one


def closes(data, what):
    one = sent(data)
    check(one.is_closed(), "not closed: " + what)
    one.close()


def advertised():
    got = witnesses[0].call("ApiVersions", 3, {"ClientSoftwareName": "raw", "ClientSoftwareVersion": "1"})
    check(got["ErrorCode"] == 0, "ApiVersions v3")
    return {row["ApiKey"]: (row["MinVersion"], row["MaxVersion"]) for row in got["ApiKeys"]}


def served():
    """(API, version) of what is served; Produce 0 to 2 are only told of."""
    for key, (low, high) in sorted(advertised().items()):
        for version in range(max(low, 3) if key == 0 else low, high + 1):
            yield wire.APIS[key], version


def test_make():
    first = new()
    wire.create_topic(first, TOPIC)
    wire.create_topic(first, "bad-prompt")
    wire.produce(first, TOPIC, 0, wire.batch([b"first"]))
    first.close()
    pids.update(broker.processes())
    check(len(pids) == 7, "processes: %s" % pids)
    # One connection to each worker at least.
    seen = set()
    while len(seen) < 4:
        witnesses.append(new())
        seen.add(broker.owner(witnesses[-1]))
    undisturbed()


# ---- frames ----

def test_sizes():
    limit = 100 * MEBIBYTE
    for size in (-1, -2, -(1 << 31), limit + 1, HUGE, 0, 1, 2, 3, 4, 5, 6, 7):
        closes(struct.pack(">i", size), "a frame of size %d" % size)
        closes(struct.pack(">i", size) + b"\0\x12\0\0\0\0\0\0" * 2, "a frame of size %d, and bytes" % size)
    for text in (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
                 b"SSH-2.0-OpenSSH_9.2\r\n"):
        closes(text, "%r" % text[:8])
    # A header that ends early, in every place.
    for size in range(8, 13):
        closes(wire.framed((b"\0\x03\0\x09" + bytes(4) + b"\0\x04raw")[:size]), "a header of %d bytes" % size)
    for length in (-2, -32768, 5, 32767):
        closes(wire.framed(struct.pack(">hhih", 18, 0, 1, length)), "a client id of %d bytes" % length)


def test_truncated():
    good = new().frame("Metadata", 9, {"Topics": [{"Name": TOPIC}]})
    for linger in (False, True):
        for size in list(range(len(good))):
            one = sent(good[:size])
            if linger:  # so that close() resets
                one.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            one.close()
        undisturbed()


def test_pieces():
    """Requests arrive in any pieces."""
    one = new()
    requests = [("ApiVersions", 0, {}), ("Metadata", 9, {"Topics": [{"Name": TOPIC}]}),
                ("Produce", 7, wire.produce_message(TOPIC, 0, wire.batch([b"piece"]))),
                ("Fetch", 12, wire.fetch_message([(TOPIC, 0, 0)])),
                ("ListOffsets", 5, {"ReplicaId": -1, "Topics": [
                    {"Name": TOPIC, "Partitions": [{"Timestamp": -1}]}]})]
    for request in requests:
        for byte in one.frame(*request):
            one.raw(bytes((byte,)))
        one.pending.append(request[:2] + (one.correlation,))
        one.receive()
    for _ in range(20):
        stream = b""
        for request in requests * 3:
            stream += one.frame(*request)
            one.pending.append(request[:2] + (one.correlation,))
        while stream:
            size = random.choice((1, 2, 3, 5, 8, 100, 1000))
            one.raw(stream[:size])
            stream = stream[size:]
        for _ in range(len(one.pending)):
            one.receive()
    one.close()


def test_pipelined():
    one = new()
    frames = b""
    for _ in range(1000):
        frames += one.frame("ApiVersions", 2, {})
        one.pending.append(("ApiVersions", 2, one.correlation))
    one.raw(frames)
    for _ in range(1000):
        check(one.receive()["ErrorCode"] == 0, "one of 1000")
    # What is in front of a bad one is answered, what is behind it is not.
    good = one.frame("ApiVersions", 0, {})
    one.raw(good * 3 + wire.framed(b"\x7f\xff\0\0\0\0\0\1\0\0") + good * 3)
    for _ in range(3):
        one.read_frame()
    check(one.is_closed(), "an unknown API between others")
    one.close()


def test_apis_and_versions():
    ranges = advertised()
    for key in list(range(0, 100)) + [127, 128, 255, 1000, 32767, -1, -32768]:
        if key not in ranges:
            closes(wire.framed(struct.pack(">hhih", key, 0, 1, -1) + bytes(50)), "API %d" % key)
    for key, (low, high) in ranges.items():
        if key == 18:
            continue
        bad = [high + 1, high + 2, 100, 32767, -1, -32768, low - 1] + ([0, 1, 2] if key == 0 else [])
        for version in bad:
            closes(wire.framed(struct.pack(">hhih", key, version, 1, -1) + bytes(50)),
                   "API %d version %d" % (key, version))
    for version in (5, 6, 99, 32767, -1, -32768):
        one = sent(wire.framed(struct.pack(">hhih", 18, version, 9, -1) + b"\xff" * 20))
        correlation, got = wire.answer("ApiVersions", 0, one.read_frame())
        check(correlation == 9 and got["ErrorCode"] == 35, "ApiVersions v%d: %s" % (version, got))
        check(got["ApiKeys"] == [{"ApiKey": 18, "MinVersion": 0, "MaxVersion": ranges[18][1]}],
              "ApiVersions v%d: %s" % (version, got))
        check(outcome(one) == "answered", "ApiVersions v%d closes" % version)
    for name in ("", "-a", "a-", "a b", "a" * 70 + "!", "\u00e9"):
        got = witnesses[0].call("ApiVersions", 3, {"ClientSoftwareName": name, "ClientSoftwareVersion": "1"})
        check(got["ErrorCode"] == 42, "a client called %r: %s" % (name, got["ErrorCode"]))
    # Tags that nobody knows are skipped, a null client id is none.
    frame = struct.pack(">hhih", 3, 9, 5, -1) + b"\1\x63\2ab" + b"\1\0\0\0" + b"\1\x21\1z"
    one = sent(wire.framed(frame))
    check(wire.answer("Metadata", 9, one.read_frame())[0] == 5, "unknown tags")
    one.close()


# ---- bodies ----

def test_garbage():
    counts = {"closed": 0, "answered": 0}
    for api, version in served():
        good = wire.body(api.name, version, wire.sample(api.request, version))
        bodies = [b"", bytes(40), b"\xff" * 40, b"\x7f" * 40, random.randbytes(10), random.randbytes(300)]
        bodies += [good[:random.randrange(len(good))] for _ in range(3) if good]
        for _ in range(4):
            changed = bytearray(good)
            if changed:
                changed[random.randrange(len(changed))] ^= 1 << random.randrange(8)
            bodies.append(bytes(changed))
        for body in bodies:
            one = sent(wire.framed(wire.header(api.name, version, 1) + body))
            counts[outcome(one)] += 1
        undisturbed()
    say("garbage: %(closed)d closed, %(answered)d answered" % counts)


def test_declared_lengths():
    """A count or a length larger than what is left, and null where it may not be, in every field."""
    before = worker_memory()
    tried = 0
    for api, version in served():
        for path, field in wire.places(api.request, version):
            if field.tag is not None or not (field.array or field.type in ("string", "bytes", "records")):
                continue
            may_be_null = field.nullable and field.nullable[0] <= version <= field.nullable[1]
            for value in [wire.Declared(HUGE), wire.Declared(1 << 24)] + ([] if may_be_null else [None]):
                if version >= api.flexible and value is not None and value.count == HUGE:
                    value = wire.Declared((1 << 32) - 2)
                message = wire.sample(api.request, version)
                wire.put_at(message, path, value)
                closes(wire.framed(wire.header(api.name, version, 1) + wire.body(api.name, version, message)),
                       "%s v%d, %s is %s" % (api.name, version, ".".join(path), value and value.count))
                tried += 1
        undisturbed()
    # Lengths of more bits than there are.
    for tail in (b"\xff" * 9 + b"\1", b"\xff" * 5, b"\x80" * 20, b"\xff\xff\xff\xff\x0f", b"\xff\xff\xff\xff\x7f"):
        closes(wire.framed(wire.header("Metadata", 9, 1) + tail), "a varint %r" % tail)
    grown(before, 20 * MEBIBYTE, "counts that are only declared")
    say("declared: %d" % tried)


def grown(before, bound, what):
    after = worker_memory()
    for pid in before:
        check(after[pid] - before[pid] < bound, "%s: worker %d grew by %d KiB" %
              (what, pid, (after[pid] - before[pid]) // 1024))


def prompt(what, seconds=1.0):
    """A client that comes now is served."""
    begun = time.monotonic()
    for _ in range(8):
        one = new()
        check(one.call("ApiVersions", 0)["ErrorCode"] == 0, what)
        for records in (SMALL, LARGE):
            got = wire.produce(one, "bad-prompt", 0, records)
            check(got["ErrorCode"] == 0, "%s: Produce: %s" % (what, got))
        check(wire.fetch(one, TOPIC, 0, 0)["ErrorCode"] == 0, what)
        one.close()
    took = time.monotonic() - begun
    check(took < seconds, "%s: 8 clients take %.2f s" % (what, took))


def test_declared_frames():
    """All the room there is may be asked for, in any portions, by who sends nothing."""
    before = worker_memory()
    for connections, declared, sent_bytes in (
            (50, 90 << 20, 4), (50, 90 << 20, 10), (50, 90 << 20, 5000), (50, 90 << 20, 100000),
            (50, 64 << 20, 5000), (100, 28 << 20, 5000), (1000, 2 << 20, 13), (1000, 2 << 20, 5000),
            (1000, 300000, 5000)):
        what = "%d connections with %d of %d bytes" % (connections, sent_bytes, declared)
        data = (struct.pack(">ihhih", declared, 0, 7, 1, 3) + b"raw" + bytes(100000))[:sent_bytes]
        many = [sent(data) for _ in range(connections)]
        prompt(what)
        undisturbed()
        grown(before, 40 * MEBIBYTE, what)
        for one in many:
            check(one.is_quiet(), "one was answered or closed: " + what)
            one.close()
    many = []
    for size in [64 << 20] * 8 + [MEBIBYTE << i for i in (5, 4, 3, 2, 1, 0)] * 2 + [300000, 70000] * 4:
        many += [sent(struct.pack(">ihhih", size, 0, 7, 1, 3) + b"raw" + bytes(5000)) for _ in range(5)]
    prompt("connections that declare all that there is")
    undisturbed()
    for one in many:
        one.close()
    prompt("after them")


def test_really_large():
    """Bytes that do come: the largest frame there may be, and one byte more."""
    before = worker_memory()
    one = new()
    head = wire.header("Metadata", 4, 1)
    names = struct.pack(">i", -1) + b"\1"
    size = 100 * MEBIBYTE
    try:
        one.raw(struct.pack(">i", size) + head + names + bytes(1000))
        for _ in range(99):
            one.raw(bytes(MEBIBYTE))
        undisturbed()
        one.raw(bytes(size - 99 * MEBIBYTE - len(head) - len(names) - 1000))
    except wire.Closed:
        pass
    check(outcome(one) in ("closed", "answered"), "a frame of 100 MiB")
    # More partitions, names and topics than a request may take memory for.
    part = struct.pack(">iqi", 0, 0, 1)
    large = [
        ("Fetch", 4, struct.pack(">iiiibih", -1, 0, 1, 1000, 0, 1, len(TOPIC)) + TOPIC.encode(), part,
         (1000, 100000, 600000, 3000000)),
        ("Metadata", 4, b"", b"\0\1?", (1000, 100000, 1000000, 10000000)),
        ("ListOffsets", 1, struct.pack(">iih", -1, 1, len(TOPIC)) + TOPIC.encode(),
         struct.pack(">iq", 0, -1), (1000, 100000, 1000000, 5000000)),
        ("Produce", 3, struct.pack(">hhiih", -1, 1, 1000, 1, len(TOPIC)) + TOPIC.encode(),
         struct.pack(">ii", 0, -1), (1000, 100000, 1000000, 5000000)),
        ("DescribeConfigs", 1, b"", b"\2\0\1?\0\0\0\0", (1000, 100000, 1000000)),
        ("DeleteTopics", 1, b"", b"\0\1?", (1000, 100000, 300000, 1000000)),
        ("CreateTopics", 4, b"", b"\0\1?" + bytes(14), (1000, 50000, 1000000)),
        ("CreatePartitions", 1, b"", b"\0\1?" + bytes(8), (1000, 90000, 1000000)),
    ]
    tails = {"Metadata": b"\1", "DescribeConfigs": b"\0", "DeleteTopics": bytes(4),
             "CreateTopics": bytes(5), "CreatePartitions": bytes(5)}
    for api, version, first, item, counts in large:
        for count in counts:
            begun = time.monotonic()
            data = first + struct.pack(">i", count) + item * count + tails.get(api, b"")
            one = sent(wire.framed(wire.header(api, version, 1) + data))
            got = outcome(one, 10)
            say("%s of %d items: %s, %.2f s" % (api, count, got, time.monotonic() - begun))
            check(count > 1000 or got == "answered", "%s of %d items: %s" % (api, count, got))
            undisturbed()
    prompt("after large requests")
    broker.within(20, lambda: max(worker_memory()[pid] - before[pid] for pid in before) < 200 * MEBIBYTE,
                  "memory of large requests is given back", 0.2)


# ---- Produce ----

def expect(records, code, what, version=7, topic=TOPIC, partition=0, acks=-1):
    one = new()
    got = wire.produce(one, topic, partition, records, acks, version)
    check(got["ErrorCode"] == code, "%s: error %d instead of %d" % (what, got["ErrorCode"], code))
    check((got["BaseOffset"] == -1) == (code != 0), "%s: offset %d" % (what, got["BaseOffset"]))
    check(outcome(one) == "answered", what + ": the connection is closed")
    return got


def test_produce():
    good = wire.batch([b"a", b"b"])
    end = wire.fetch(witnesses[0], TOPIC, 0, 0)["HighWatermark"]
    for at in (21, 23, 30, 44, 61, len(good) - 1):  # behind the CRC's place; before it others refuse
        bad = bytearray(good)
        bad[at] ^= 4
        one = new()
        got = wire.produce(one, TOPIC, 0, bytes(bad))
        check(got["ErrorCode"] in (2, 87, 76, 32), "byte %d changed: error %d" % (at, got["ErrorCode"]))
        one.close()
    expect(wire.batch([b"a"], crc=0), 2, "a corrupt CRC")
    expect(good[:17] + struct.pack(">I", 0xDEADBEEF) + good[21:], 2, "another corrupt CRC")
    expect(wire.batch([b"a"], magic=0), 87, "magic 0")
    expect(wire.batch([b"a"], magic=1), 87, "magic 1")
    expect(wire.batch([b"a"], magic=3), 2, "magic 3")
    expect(wire.batch([b"a"], magic=-1), 2, "magic -1")
    for what, changes in (
            ("more records than are there", {"count": 3, "last_delta": 2}),
            ("fewer", {"count": 1, "last_delta": 0}),
            ("none", {"count": 0, "last_delta": -1}),
            ("a negative count", {"count": -1, "last_delta": -2}),
            ("2^31-1 records", {"count": HUGE, "last_delta": HUGE - 1}),
            ("a last delta that does not agree", {"last_delta": 5}),
            ("bytes behind the records", {"records": wire.record(0, b"a") + wire.record(1, b"b") + b"x"}),
            ("deltas that do not count", {"records": wire.record(0, b"a") + wire.record(2, b"b")}),
            ("a record that is longer than the batch", {"records": wire.varint(1000) + b"abc"}),
            ("a negative record length", {"records": wire.varint(-5) + b"abc"}),
            ("no record bytes", {"records": b""}),
            ("control records", {"attributes": 0x20}),
            ("a base offset", {"base_offset": 7})):
        expect(wire.batch([b"a", b"b"], **changes), 87, what)
    expect(good + good, 87, "two batches")
    expect(good + b"\0", 87, "a byte behind the batch")
    expect(good[:-1], 87, "a batch that is not whole")
    expect(b"", 87, "no batch")
    expect(None, 87, "null")
    for size in (1, 11, 12, 16, 17, 60):
        expect(good[:size], 87 if size > 11 else 87, "%d bytes" % size)
    expect(wire.batch([b"a"], size=-1), 2, "a length of -1")
    expect(wire.batch([b"a"], size=HUGE), 87, "a length of 2^31-1")
    expect(wire.batch([b"a"], attributes=5), 76, "codec 5")
    expect(wire.batch([b"a"], attributes=4), 76, "zstd in version 6", version=6)
    # What is compressed is not looked into: it is kept, and given back, as it came.
    wire.create_topic(witnesses[0], "bad-junk")
    for codec in (1, 2, 3, 4):
        junk = wire.batch([b"a"], attributes=codec, records=b"\x1f\x8b\x08" + b"junk" * 20)
        expect(junk, 0, "junk that claims codec %d" % codec, topic="bad-junk")
        got = wire.fetch(witnesses[0], "bad-junk", 0, codec - 1)
        check(got["Records"][17:] == junk[17:], "junk that claims codec %d has changed" % codec)
    expect(wire.batch([b"a"], attributes=8), 32, "LogAppendTime set by a producer")
    expect(wire.batch([b"a" * (1 << 20)]), 10, "a batch that is too large")
    expect(good, 3, "no such partition", partition=5)
    expect(good, 3, "no such partition", partition=-1)
    expect(good, 3, "no such topic", topic="bad-none")
    for acks in (2, -2, 32767, -32768):
        expect(good, 21, "acks = %d" % acks, acks=acks)
    expect(wire.batch([b"a"], producer=(-5, 0, 0)), 87, "a negative producer id")
    expect(wire.batch([b"a"], producer=(7000, -1, 0)), 87, "no producer epoch")
    expect(wire.batch([b"a"], producer=(7000, 0, -1)), 87, "no sequence")
    expect(wire.batch([b"a"], producer=(7000, 0, 0), attributes=0x10), 48, "a transaction")
    now = wire.fetch(witnesses[0], TOPIC, 0, 0)["HighWatermark"]
    check(now == end, "something of all that was appended: %d, then %d" % (end, now))
    got = wire.produce(new(), TOPIC, 0, good, version=3)
    check(got["ErrorCode"] == 0 and got["BaseOffset"] == end, "a good one: %s" % got)
    message = wire.produce_message(TOPIC, 0, good)
    del message["TopicData"][0]["Name"]
    message["TopicData"][0]["TopicId"] = b"\x55" * 16
    got = new().call("Produce", 13, message)["Responses"][0]["PartitionResponses"][0]
    check(got["ErrorCode"] == 100, "an unknown topic id: %s" % got)


def test_acks_none():
    """acks = 0 has no answer; an error closes, good ones in front of it are kept."""
    wire.create_topic(witnesses[0], "bad-acks")
    good, bad = wire.batch([b"a"]), wire.batch([b"a"], crc=0)

    def frame(one, records):
        return one.frame("Produce", 7, wire.produce_message("bad-acks", 0, records, acks=0))

    one = new()
    one.raw(frame(one, good) * 3)
    check(outcome(one) == "answered", "good ones with acks = 0")
    one = new()
    one.raw(frame(one, good) * 3 + frame(one, bad))
    check(one.is_closed(), "an error with acks = 0")
    one = new()
    one.raw(frame(one, good) * 3)
    one.close()
    broker.within(5, lambda: len(wire.read_all(witnesses[0], "bad-acks", 0)) == 9,
                  "nine records with acks = 0")


def test_idempotent():
    wire.create_topic(witnesses[0], "bad-sequence")
    got = witnesses[0].call("InitProducerId", 4, {"TransactionalId": None, "TransactionTimeoutMs": 0})
    check(got["ErrorCode"] == 0 and got["ProducerEpoch"] == 0, "InitProducerId: %s" % got)
    number = got["ProducerId"]

    def put(sequence, code, epoch=0, offset=None, count=1):
        records = wire.batch([b"x"] * count, producer=(number, epoch, sequence))
        got = expect(records, code, "sequence %d, epoch %d" % (sequence, epoch), topic="bad-sequence")
        check(offset is None or got["BaseOffset"] == offset, "sequence %d is at %s" % (sequence, got))

    put(5, 0, offset=0)                         # unknown to this partition: any will do
    for i in range(6):
        put(6 + i, 0, offset=1 + i)
    for i in range(1, 6):
        put(6 + i, 0, offset=1 + i)             # the last five are known
    put(13, 45)
    put(6, 45)                                  # too long ago: Kafka 4 says out of order
    put(11, 45, count=2)                        # begins like one of them and is another
    put(5, 45, epoch=1)                         # a new epoch begins with 0
    put(0, 0, epoch=1, offset=7)
    put(12, 47, epoch=0)
    put(1, 0, epoch=1, offset=8)
    check(len(wire.read_all(witnesses[0], "bad-sequence", 0)) == 9, "each once")


# ---- the rest ----

def test_fetch():
    limits = (0, 1, -1, -(1 << 31), HUGE)
    for max_bytes in limits:
        for min_bytes in limits:
            for part_bytes in limits:
                one = witnesses[random.randrange(4)]
                got = wire.fetch(one, TOPIC, 0, 0, max_bytes=max_bytes, min_bytes=min_bytes,
                                 part_bytes=part_bytes, max_wait_ms=1)
                check(got["ErrorCode"] == 0 and next(wire.heads(got["Records"])).whole,
                      "Fetch with %d, %d, %d" % (max_bytes, min_bytes, part_bytes))
    for field, value in (("IsolationLevel", 7), ("IsolationLevel", -1), ("ReplicaId", 5), ("ReplicaId", -2),
                         ("SessionId", -1), ("SessionEpoch", -2), ("SessionEpoch", -(1 << 31))):
        one = new()
        one.send("Fetch", 11, wire.fetch_message([(TOPIC, 0, 0)], **{field: value}))
        check(outcome(one) in ("answered", "closed"), "Fetch with %s = %d" % (field, value))


def test_list_offsets():
    def ask(version, timestamp, **more):
        got = witnesses[1].call("ListOffsets", version, {"ReplicaId": -1, "Topics": [
            {"Name": TOPIC, "Partitions": [dict({"Timestamp": timestamp}, **more)]}]})
        return got["Topics"][0]["Partitions"][0]

    end = wire.fetch(witnesses[0], TOPIC, 0, 0)["HighWatermark"]
    for version in range(1, 12):
        check(ask(version, -1)["Offset"] == end and ask(version, -2)["Offset"] == 0, "v%d" % version)
        check(ask(version, 0)["Offset"] == 0, "v%d: time 0" % version)
        for timestamp, least in ((-3, 7), (-4, 8), (-5, 9), (-6, 11), (-7, 99), (-100, 99), (-(1 << 63), 99)):
            got = ask(version, timestamp)
            check(got["ErrorCode"] == (0 if version >= least else 35),
                  "v%d, time %d: %s" % (version, timestamp, got))
            check(version >= least or got["Offset"] == -1, "v%d, time %d: %s" % (version, timestamp, got))
        check(ask(version, (1 << 63) - 1)["Offset"] == -1, "v%d: the end of time" % version)
        check(ask(version, -1, PartitionIndex=9)["ErrorCode"] == 3, "v%d: partition 9" % version)
        check(version < 4 or ask(version, -1, CurrentLeaderEpoch=99)["ErrorCode"] == 75, "v%d: epoch" % version)


def created(topics, version=5, validate=False, timeout_ms=20000):
    """Asks in a connection of its own; [error code]."""
    one = new()
    one.socket.settimeout(30)
    got = one.call("CreateTopics", version,
                   {"Topics": topics, "timeoutMs": timeout_ms, "validateOnly": validate})
    one.close()
    return [topic["ErrorCode"] for topic in got["Topics"]]


def test_create():
    def topic(name, partitions=1, replicas=1, **more):
        return dict({"Name": name, "NumPartitions": partitions, "ReplicationFactor": replicas}, **more)

    for name in ("", ".", "..", "a/b", "a\0b", "a" * 250, "\u00e9", "a b", "../x", "a\n", "a:b"):
        check(created([topic(name)]) == [17], "a topic called %r: %s" % (name, created([topic(name)])))
    for name in ("__consumer_offsets", "__metadata", "__cluster_metadata", "__transaction_state"):
        check(created([topic(name)])[0] != 0, "a topic called %s" % name)
    for partitions, code in ((0, 37), (-2, 37), (HUGE, 37), (-(1 << 31), 37), (70000, 37)):
        got = created([topic("bad-count", partitions)])
        check(got == [code] or (partitions > 65536 and got[0] in (37, 44, 89)),
              "%d partitions: %s" % (partitions, got))
    for replicas in (0, 2, -2, 32767, -32768):
        check(created([topic("bad-replicas", 1, replicas)]) == [38], "%d replicas" % replicas)
    check(created([topic("bad-twice"), topic("bad-twice")])[0] == 42, "the same name twice")
    check(created([topic(TOPIC)]) == [36], "a topic that exists")
    check(created([topic("bad-name_a")]) == [0] and created([topic("bad-name.a")]) == [17],
          "names that collide")
    for name, value in (("no.such.config", "1"), ("retention.ms", "x"), ("retention.ms", None),
                        ("segment.bytes", "1" * 400), ("retention.ms", "9" * 30)):
        got = created([topic("bad-config", Configs=[{"Name": name, "Value": value}])])
        check(got == [40], "%s = %s: %s" % (name, value, got))
    assigned = [{"PartitionIndex": 0, "BrokerIds": [1]}]
    check(created([topic("bad-both", Assignments=assigned)]) == [42], "both count and assignment")
    for ids, code in (([1, 1], 39), ([], 39), ([77], 39), ([-1], 39)):
        got = created([topic("bad-assigned", -1, -1, Assignments=[{"PartitionIndex": 0, "BrokerIds": ids}])])
        check(got[0] != 0, "assigned to %s: %s" % (ids, got))
    for indexes in ([1], [0, 2], [0, 0], [-1], [HUGE]):
        got = created([topic("bad-assigned", -1, -1, Assignments=[
            {"PartitionIndex": i, "BrokerIds": [1]} for i in indexes])])
        check(got[0] != 0, "assigned partitions %s: %s" % (indexes, got))
    # Very many: each is answered, or all are refused; nothing is made, nobody waits.
    begun = time.monotonic()
    for name in ("bad-%d", "bad/%d"):
        for validate in (False, True):
            got = created([topic(name % i, 1) for i in range(100000)], validate=validate)
            check(len(got) == 100000 and 0 not in got, "100000 topics: %s" % set(got))
            undisturbed()
    got = created([topic("bad/%d" % i) for i in range(30000)])
    check(set(got) in ({17}, {42}, {44}), "30000 invalid names: %s" % set(got))
    say("100000 topics four times, 30000 once: %.1f s" % (time.monotonic() - begun))
    got = created([topic("bad-%d" % i, 10000) for i in range(1000)], validate=True)
    check(set(got) <= {0, 37, 44, 89}, "10 million partitions: %s" % set(got))
    got = created([topic("bad-%d" % i, 100000) for i in range(100)])
    check(0 not in got, "too many partitions: %s" % set(got))
    names = [row["Name"] for row in witnesses[0].call("Metadata", 9, {"Topics": None})["Topics"]]
    check(not [name for name in names if name.startswith("bad-") and name[4:].isdigit()],
          "some were made: %d topics" % len(names))
    for count, code in ((0, 37), (1, 37), (-1, 37), (HUGE, 37), (-(1 << 31), 37)):
        got = new().call("CreatePartitions", 1, {"Topics": [{"Name": TOPIC, "Count": count,
                                                             "Assignments": None}], "TimeoutMs": 5000})
        check(got["Results"][0]["ErrorCode"] in (code, 44, 89), "growing to %d: %s" % (count, got))
    got = new().call("DeleteTopics", 5, {"TopicNames": ["bad-none", "", "a/b"], "TimeoutMs": 1000})
    check(all(row["ErrorCode"] in (3, 17) for row in got["Responses"]), "DeleteTopics: %s" % got)


def test_metadata():
    for name in ("", "a/b", "a" * 300, "..", "\0"):
        for version in (1, 4, 9, 12):
            got = new().call("Metadata", version, {"Topics": [{"Name": name}]})["Topics"][0]
            check(got["ErrorCode"] == 17, "Metadata of %r: %s" % (name, got))
    got = new().call("Metadata", 12, {"Topics": [{"Name": None, "TopicId": b"\x33" * 16}]})["Topics"][0]
    check(got["ErrorCode"] == 100, "an unknown id: %s" % got)
    got = new().call("Metadata", 10, {"Topics": [{"Name": None, "TopicId": b"\x33" * 16}]})
    check(got["Topics"][0]["ErrorCode"] != 0, "ids in version 10: %s" % got)
    # As many as clients really ask for are made by asking.
    names = ["bad-auto-%d" % i for i in range(200)]
    one = new()

    def made():
        got = one.call("Metadata", 9, {"Topics": [{"Name": name} for name in names]})["Topics"]
        return all(row["ErrorCode"] == 0 for row in got)

    broker.within(10, made, "200 topics made by asking for them", 0.1)
    got = one.call("DeleteTopics", 5, {"TopicNames": names, "TimeoutMs": 20000})
    check(all(row["ErrorCode"] == 0 for row in got["Responses"]), "deleting them")


def checked(test):
    def both():
        test()
        undisturbed()
    both.__name__ = test.__name__
    return both


broker.run([test_make] + [checked(test) for test in (
    test_sizes, test_truncated, test_pieces, test_pipelined, test_apis_and_versions, test_garbage,
    test_declared_lengths, test_declared_frames, test_produce, test_acks_none, test_idempotent, test_fetch,
    test_list_offsets, test_metadata, test_create, test_really_large)])
check("assertion" not in broker.log_text() and "was killed" not in broker.log_text(), "the log tells of deaths")
say("all good")
