"""The part of test_max_timestamp.sh that speaks to the broker."""
import gzip
import struct
import sys
import time

import broker
import wire
from broker import check, say

BASE = int(time.time() * 1000) - 86400000 if sys.argv[1] == "before" else None
STAMP = broker.DIR + "/base"
if BASE is None:
    with open(STAMP, encoding="ascii") as file:
        BASE = int(file.read())
else:
    with open(STAMP, "w", encoding="ascii") as file:
        file.write("%d" % BASE)

conn = wire.Conn(broker.PORT)


def lying(deltas, claimed, attributes=0, squeeze=bytes):
    """A batch with records at BASE + deltas, whose header says BASE + claimed; its checksum is right."""
    records = b"".join(wire.record(i, b"value %d" % i, timestamp_delta=delta)
                       for i, delta in enumerate(deltas))
    most = -1 if claimed is None else BASE + claimed
    rest = struct.pack(">hiqqqhii", attributes, len(deltas) - 1, BASE, most, -1, -1, -1,
                       len(deltas)) + squeeze(records)
    return struct.pack(">qiibI", 0, 9 + len(rest), -1, 2, wire.crc32c(rest)) + rest


def offset_at(name, timestamp, expected):
    got = conn.call("ListOffsets", 7, {"ReplicaId": -1, "Topics": [
        {"Name": name, "Partitions": [{"PartitionIndex": 0, "Timestamp": timestamp}]}]})
    part = got["Topics"][0]["Partitions"][0]
    check(part["ErrorCode"] == 0, "ListOffsets: %s" % part)
    got = part["Timestamp"] if part["Offset"] < 0 else part["Timestamp"] - BASE, part["Offset"]
    check(got == expected, "%s at %d: %s instead of %s" % (name, timestamp, got, expected))


def served(name, expected):
    """The largest timestamps of the batches, after BASE, with checksums that hold."""
    records = wire.fetch(conn, name, 0, 0)["Records"]
    found = []
    for head in wire.heads(records):
        one = records[head.at:head.at + head.bytes]
        check(struct.unpack_from(">I", one, 17)[0] == wire.crc32c(one[21:]), "%s: checksum" % name)
        most = struct.unpack_from(">q", one, 35)[0]
        found.append(most if most < 0 else most - BASE)
    check(found == expected, "%s: largest timestamps %s instead of %s" % (name, found, expected))


def test_produce():
    for name, configs in (("mended", {}), ("stamped", {"message.timestamp.type": "LogAppendTime"}),
                          ("packed", {})):
        wire.create_topic(conn, name, 1, configs)
    batches = [lying([0, 50, 20], 10), lying([100, 300], 10 ** 9), lying([400, 500], None),
               lying([600, 700], 700)]
    for one in batches:
        for name in ("mended", "stamped"):
            got = wire.produce(conn, name, 0, one)
            check(got["ErrorCode"] == 0, "Produce: %s" % got)
    # Nobody looks into a compressed batch: its header is believed.
    got = wire.produce(conn, "packed", 0, lying([0, 50], 10, 1, gzip.compress))
    check(got["ErrorCode"] == 0, "Produce: %s" % got)
    # One that was damaged on its way stays damaged.
    bad = bytearray(lying([0, 50], 10))
    bad[70] ^= 1
    check(wire.produce(conn, "mended", 0, bytes(bad))["ErrorCode"] != 0, "a damaged batch is taken")


def test_served():
    served("mended", [50, 300, 500, 700])
    served("packed", [10])
    records = wire.fetch(conn, "stamped", 0, 0)["Records"]
    for head in wire.heads(records):
        one = records[head.at:head.at + head.bytes]
        check(struct.unpack_from(">I", one, 17)[0] == wire.crc32c(one[21:]), "stamped: checksum")
        check(struct.unpack_from(">q", one, 35)[0] > BASE + 80000000, "not stamped")


def test_search():
    for after, expected in ((-5, (0, 0)), (0, (0, 0)), (1, (50, 1)), (50, (50, 1)), (51, (100, 3)),
                            (101, (300, 4)), (300, (300, 4)), (301, (400, 5)), (401, (500, 6)),
                            (700, (700, 8)), (701, (-1, -1))):
        offset_at("mended", BASE + after, expected)
    offset_at("mended", -3, (700, 8))


tests = [test_served, test_search]
broker.run([test_produce] + tests if sys.argv[1] == "before" else tests)
say("all good")
