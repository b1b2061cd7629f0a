"""The parts of test_admin.sh, one an argument."""
import os
import signal
import sys
import threading
import time
import zlib

import broker
import wire
from broker import check, within

OUT_OF_RANGE, UNKNOWN_TOPIC, TOO_LARGE, TIMED_OUT, POLICY_VIOLATION = 1, 3, 10, 7, 44
INVALID_REQUEST, INVALID_CONFIG, UNSUPPORTED_VERSION = 42, 40, 35
INVALID_TIMESTAMP, INVALID_RECORD = 32, 87
FENCED_EPOCH, UNKNOWN_EPOCH = 74, 75

conn = wire.Conn(broker.PORT, timeout=40)


def delete(parts, version=2, on=None, timeout_ms=10000):
    """parts: {(topic, partition): offset}; {(topic, partition): (error, low watermark)}."""
    topics = [{"Name": name, "Partitions": [{"PartitionIndex": partition, "Offset": offset}]}
              for (name, partition), offset in parts.items()]
    got = (on or conn).call("DeleteRecords", version, {"Topics": topics, "TimeoutMs": timeout_ms})
    return {(topic["Name"], part["PartitionIndex"]): (part["ErrorCode"], part["LowWatermark"])
            for topic in got["Topics"] for part in topic["Partitions"]}


def offset(name, partition, timestamp, version=11, epoch=-1):
    got = conn.call("ListOffsets", version, {"ReplicaId": -1, "Topics": [
        {"Name": name, "Partitions": [{"PartitionIndex": partition, "Timestamp": timestamp,
                                       "CurrentLeaderEpoch": epoch}]}]})
    return got["Topics"][0]["Partitions"][0]


def first(name):
    part = offset(name, 0, -2)
    check(part["ErrorCode"] == 0, "ListOffsets: %s" % part)
    return part["Offset"]


def fill(name, count, partition=0, size=100):
    for number in range(count):
        got = wire.produce(conn, name, partition, wire.batch([b"%0*d" % (size, number)]))
        check(got["ErrorCode"] == 0, "Produce: %s" % got)


def alter(name, changes, version=1, kind=2, validate_only=False):
    """changes: [(key, operation, value)]; the error."""
    got = conn.call("IncrementalAlterConfigs", version, {
        "ValidateOnly": validate_only, "Resources": [{
            "ResourceType": kind, "ResourceName": name, "Configs": [
                {"Name": k, "ConfigOperation": op, "Value": v} for k, op, v in changes]}]})
    check(len(got["Responses"]) == 1 and got["Responses"][0]["ResourceName"] == name, "answer: %s" % got)
    return got["Responses"][0]["ErrorCode"]


# ---- configurations ----

def produces(name, size):
    return wire.produce(conn, name, 0, wire.batch([b"x" * size]))["ErrorCode"]


def configs():
    """What is answered is in force: from the next request on, by every connection."""
    wire.create_topic(conn, "limits", 2)
    others = [wire.Conn(broker.PORT) for _ in range(6)]
    for turn in range(20):
        small = turn % 2 == 0
        check(alter("limits", [("max.message.bytes", 0, "1000" if small else "100000")], turn % 2) == 0, "alter")
        for other in others:
            got = wire.produce(other, "limits", turn % 2, wire.batch([b"x" * 5000]))
            check(got["ErrorCode"] == (TOO_LARGE if small else 0), "turn %d: %s" % (turn, got))
    # Nothing is lost, and nothing comes twice, while settings change under a producer.
    wire.create_topic(conn, "busy", 1)
    stop, sent = threading.Event(), []

    def keep_producing():
        mine = wire.Conn(broker.PORT)
        while not stop.is_set():
            value = b"%d" % len(sent)
            got = wire.produce(mine, "busy", 0, wire.batch([value]))
            check((got["ErrorCode"], got["BaseOffset"]) == (0, len(sent)), "busy: %s" % got)
            sent.append(value)

    thread = threading.Thread(target=keep_producing)
    thread.start()
    for turn in range(60):
        check(alter("busy", [("segment.bytes", 0, str(5000 + turn))]) == 0, "alter busy")
    stop.set()
    thread.join()
    check([value for _, value in wire.read_all(conn, "busy", 0)] == sent, "records of \"busy\"")
    # AlterConfigs replaces all; every version.
    for version in range(3):
        got = conn.call("AlterConfigs", version, {"Resources": [
            {"ResourceType": 2, "ResourceName": "limits", "Configs": [{"Name": "retention.ms", "Value": "9"}]},
            {"ResourceType": 2, "ResourceName": "none", "Configs": []},
            {"ResourceType": 4, "ResourceName": "1", "Configs": [{"Name": "num.io.threads", "Value": "9"}]}]})
        check([r["ErrorCode"] for r in got["Responses"]] == [0, UNKNOWN_TOPIC, INVALID_REQUEST], str(got))
        check(produces("limits", 5000) == 0, "max.message.bytes is back")
    check(alter("limits", [("nope", 0, "1")]) == INVALID_CONFIG, "an unknown key")
    check(alter("limits", [("retention.ms", 1, None)]) == 0, "delete")


# ---- timestamps ----

def stamped(name, ago_ms, compressed=False):
    """The error of a record that old; gzip with a header that says it is new."""
    now = int(time.time() * 1000)
    if not compressed:
        return wire.produce(conn, name, 0, wire.batch([b"x"], timestamp=now - ago_ms))["ErrorCode"]
    records = zlib.compress(wire.record(0, b"x", timestamp_delta=-ago_ms), 9, 31)
    return wire.produce(conn, name, 0, wire.batch([b"x"], attributes=1, records=records, timestamp=now))["ErrorCode"]


def timestamps():
    hour = 3600 * 1000
    wire.create_topic(conn, "times", 1)
    check(stamped("times", 1000 * hour) == 0, "by default nothing is too old")
    check(stamped("times", 1000 * hour, True) == 0, "nor in a compressed batch")
    check(stamped("times", -hour + 60000) == 0, "an hour ahead is not too new")
    check(stamped("times", -hour - 60000) == INVALID_TIMESTAMP, "more than an hour is")
    check(alter("times", [("message.timestamp.before.max.ms", 0, "60000"),
                          ("message.timestamp.after.max.ms", 0, str(2 * hour))]) == 0, "alter")
    for compressed in (False, True):
        check(stamped("times", 30000, compressed) == 0, "half a minute")
        check(stamped("times", 120000, compressed) == INVALID_TIMESTAMP, "two minutes")
        check(stamped("times", -hour - 60000, compressed) == 0, "more than an hour ahead")
        check(stamped("times", -2 * hour - 60000, compressed) == INVALID_TIMESTAMP, "more than two hours ahead")
    # Bytes that are no records are seen where records are looked at.
    got = wire.produce(conn, "times", 0, wire.batch([b"x"], attributes=1, records=b"no gzip"))
    check(got["ErrorCode"] == INVALID_RECORD, "no gzip: %s" % got)
    check(alter("times", [("message.timestamp.type", 0, "LogAppendTime")]) == 0, "alter")
    check(stamped("times", 1000 * hour) == 0, "who stamps does not look")
    check(alter("times", [("message.timestamp.type", 1, None), ("message.timestamp.before.max.ms", 1, None),
                          ("message.timestamp.after.max.ms", 0, str(2 ** 63 - 1))]) == 0, "alter")
    check(stamped("times", -100000 * hour) == 0 and stamped("times", 1000 * hour) == 0, "no bounds")


# ---- DeleteRecords ----

def out_of_range(name, at):
    return wire.fetch(conn, name, 0, at)["ErrorCode"] == OUT_OF_RANGE


def delete_records():
    wire.create_topic(conn, "del", 1, {"segment.bytes": "1000", "retention.ms": "-1"})
    wire.create_topic(conn, "all", 1)
    wire.create_topic(conn, "keep", 1, {"segment.bytes": "1000"})
    wire.create_topic(conn, "last", 1)
    for name in ("del", "all", "keep", "last"):
        fill(name, 30)
    check(delete({("del", 0): 7}) == {("del", 0): (0, 7)}, "delete to 7")
    check(first("del") == 7 and out_of_range("del", 6) and out_of_range("del", 0), "it begins at 7")
    check(wire.read_all(conn, "del", 0, 7) == [(i, b"%0100d" % i) for i in range(7, 30)], "the rest is there")
    # Below the start: nothing moves.  Beyond the end, or no offset at all: refused.
    for version in range(3):
        check(delete({("del", 0): 3}, version) == {("del", 0): (0, 7)}, "delete to 3")
        check(delete({("del", 0): 31}, version) == {("del", 0): (OUT_OF_RANGE, -1)}, "delete beyond the end")
        check(delete({("del", 0): -2}, version) == {("del", 0): (OUT_OF_RANGE, -1)}, "delete to -2")
    got = delete({("del", 1): 1, ("none", 0): 1, ("__metadata", 0): -1, ("del", 0): 12})
    check(got == {("del", 1): (UNKNOWN_TOPIC, -1), ("none", 0): (UNKNOWN_TOPIC, -1),
                  ("__metadata", 0): (UNKNOWN_TOPIC, -1), ("del", 0): (0, 12)}, str(got))
    # What is only compacted is not deleted by anybody's wish.
    wire.create_topic(conn, "compacted", 1, {"cleanup.policy": "compact"})
    wire.create_topic(conn, "both", 1, {"cleanup.policy": "compact,delete"})
    check(delete({("compacted", 0): 9, ("both", 0): -1}) == {
        ("compacted", 0): (POLICY_VIOLATION, -1), ("both", 0): (0, 0)}, "delete what is compacted")
    # To the high watermark: an empty log whose offsets go on.
    check(delete({("all", 0): -1}) == {("all", 0): (0, 30)}, "delete all")
    check(first("all") == 30 and offset("all", 0, -1)["Offset"] == 30, "ends of \"all\"")
    check(wire.fetch(conn, "all", 0, 30)["Records"] == b"", "nothing to read")
    fill("all", 2)
    check(wire.read_all(conn, "all", 0, 30) == [(30, b"%0100d" % 0), (31, b"%0100d" % 1)], "what came after")
    # A time before the start finds the first record that is left.
    check(offset("del", 0, 1)["Offset"] == 12, "by time")
    deleted()
    # Of what was answered last nothing may be told by chance.
    check(delete({("last", 0): 3}) == {("last", 0): (0, 3)}, "delete to 3")


def deleted():
    """What was answered holds, and nothing else went."""
    starts = [first(name) for name in ("del", "all", "keep", "last")]
    check(starts == [12, 30, 0, 3 if sys.argv[1] != "delete_records" else 0], "starts are %s" % starts)
    check(out_of_range("del", 11) and out_of_range("all", 29), "what was deleted is read")
    check(wire.read_all(conn, "del", 0, 12) == [(i, b"%0100d" % i) for i in range(12, 30)], "\"del\"")
    check([o for o, _ in wire.read_all(conn, "all", 0, 30)] == [30, 31], "\"all\"")
    check(len(wire.read_all(conn, "keep", 0)) == 30, "\"keep\"")


def die():
    """Kills all processes of the broker, none of which has time to do anything."""
    os.kill(broker.MASTER, signal.SIGSTOP)
    for pid in broker.processes().values():
        os.kill(pid, signal.SIGKILL)


def writer_dies():
    """A question to a writer that stands still, then dies, is answered by the next one."""
    wire.create_topic(conn, "late", 2)
    for partition in (0, 1):
        fill("late", 5, partition)
    pids = [broker.pid_of("writer 0"), broker.pid_of("writer 1")]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    other = wire.Conn(broker.PORT, timeout=40)
    parts = {("late", 0): 3, ("late", 1): -1}
    check(delete(parts, timeout_ms=300) == {key: (TIMED_OUT, -1) for key in parts}, "nobody answers in time")
    topics = [{"Name": "late", "Partitions": [{"PartitionIndex": 0, "Offset": 4},
                                              {"PartitionIndex": 1, "Offset": -1}]}]
    other.send("DeleteRecords", 2, {"Topics": topics, "TimeoutMs": 30000})
    check(other.is_quiet(0.3), "an answer without a writer")
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    got = other.receive()["Topics"][0]["Partitions"]
    check([(p["ErrorCode"], p["LowWatermark"]) for p in got] == [(0, 4), (0, 5)], str(got))
    within(10, lambda: first("late") == 4, "it begins at 4")


# ---- DescribeLogDirs ----

def describe(version, topics=None):
    got = conn.call("DescribeLogDirs", version, {"Topics": topics})
    check(version < 3 or got["ErrorCode"] == 0, str(got))
    return {os.path.basename(result["LogDir"]): result for result in got["Results"]}


def bytes_of(directory, name, partition):
    path = "%s/%s/%s-%d" % (broker.DIR, directory, name, partition)
    return sum(os.path.getsize(path + "/" + file) for file in os.listdir(path) if file.endswith(".log"))


def log_dirs():
    wire.create_topic(conn, "wide", 6, {"segment.bytes": "2000"})
    for partition in range(5):
        fill("wide", 10 * partition + 1, partition)
    for version in range(1, 5):
        for topics in (None, [{"Topic": "wide", "Partitions": list(range(7))},
                              {"Topic": "none", "Partitions": [0]}]):
            got = describe(version, topics)
            check(sorted(got) == ["data", "data2"], "directories: %s" % sorted(got))
            seen = []
            for directory, result in got.items():
                check(result["ErrorCode"] == 0, str(result))
                if version >= 4:
                    free = os.statvfs(broker.DIR)
                    check(result["TotalBytes"] == free.f_blocks * free.f_frsize, "total bytes")
                    check(0 < result["UsableBytes"] <= result["TotalBytes"], "usable bytes")
                for topic in result["Topics"]:
                    check(topics is None or topic["Name"] == "wide", "not asked for: %s" % topic)
                    for part in topic["Partitions"]:
                        check(part["OffsetLag"] == 0 and not part["IsFutureKey"], str(part))
                        if topic["Name"] != "wide":
                            continue
                        seen.append(part["PartitionIndex"])
                        if part["PartitionIndex"] == 5:
                            check(part["PartitionSize"] == 0, "an empty partition has no size")
                        else:
                            check(part["PartitionSize"] == records_bytes("wide", part["PartitionIndex"]),
                                  "size of %s: %s" % (directory, part))
            check(sorted(seen) == list(range(6)), "partitions: %s" % seen)
    check(all(not result["Topics"] for result in describe(4, []).values()), "nothing was asked for")
    # A writer that does not answer has an error, not a size; the other directory is there.
    # (The time is fixed, so this is the slow one.)
    with broker.Stopped(broker.pid_of("writer 1")):
        got = describe(4)
        check((got["data"]["ErrorCode"], got["data2"]["ErrorCode"]) == (0, TIMED_OUT), str(got)[:200])


def records_bytes(name, partition):
    """All that a Fetch can give of a partition, in bytes."""
    at, total = 0, 0
    while True:
        records = wire.fetch(conn, name, partition, at)["Records"]
        if not records:
            return total
        for head in wire.heads(records):
            total += head.bytes
            at = head.last + 1


# ---- OffsetForLeaderEpoch ----

def epoch_end(epoch, current=-1, version=4, name="epochs", partition=0):
    got = conn.call("OffsetForLeaderEpoch", version, {"ReplicaId": -1, "Topics": [
        {"Topic": name, "Partitions": [
            {"Partition": partition, "CurrentLeaderEpoch": current, "LeaderEpoch": epoch}]}]})
    part = got["Topics"][0]["Partitions"][0]
    check(part["Partition"] == partition, str(part))
    return part["ErrorCode"], part["LeaderEpoch"], part["EndOffset"]


def epochs():
    for version in range(2, 5):
        expected = {-1: (0, -1, -1), 0: (0, 0, 0), 1: (0, 1, 3), 2: (0, 2, 7), 3: (0, 2, 7), 4: (0, 2, 7),
                    5: (0, 5, 9), 6: (0, -1, -1), 2147483647: (0, -1, -1)}
        got = {epoch: epoch_end(epoch, version=version) for epoch in expected}
        check(got == expected, "v%d: %s" % (version, got))
        check(epoch_end(2, 5, version) == (0, 2, 7), "the epoch in force is known")
        check(epoch_end(2, 4, version) == (FENCED_EPOCH, -1, -1), "an older leader")
        check(epoch_end(2, 6, version) == (UNKNOWN_EPOCH, -1, -1), "a newer leader")
        check(epoch_end(0, name="none", version=version) == (UNKNOWN_TOPIC, -1, -1), "no topic")
        check(epoch_end(0, partition=1, version=version) == (UNKNOWN_TOPIC, -1, -1), "no partition")
        check(epoch_end(0, name="keep", version=version) == (0, 0, 30), "a topic with one epoch")
    check((offset("epochs", 0, -2)["LeaderEpoch"], offset("epochs", 0, -1)["LeaderEpoch"]) == (1, 5), "epochs of the ends")
    check(delete({("epochs", 0): 4}) == {("epochs", 0): (0, 4)} and offset("epochs", 0, -4)["LeaderEpoch"] == 2,
          "the epoch of the first record")
    check(offset("keep", 0, -2)["LeaderEpoch"] == 0, "a topic with one epoch")
    for timestamp, least in ((-3, 7), (-4, 8), (-5, 9), (-6, 11), (-7, 99)):
        for version in range(1, 12):
            part = offset("keep", 0, timestamp, version)
            good = {-3: part["Offset"] >= 0, -4: part["Offset"] == 0}.get(timestamp, part["Offset"] == -1)
            check((part["ErrorCode"], good) == (0, True) if version >= least else
                  part["ErrorCode"] == UNSUPPORTED_VERSION, "ListOffsets v%d %d: %s" % (version, timestamp, part))
    fill("epochs", 1)
    check(epoch_end(5) == (0, 5, 10) and epoch_end(2) == (0, 2, 7), "the end moves on")
    # A file that says nothing is an error, not an answer.
    path = [p for p in ("data/epochs-0", "data2/epochs-0") if os.path.isdir(broker.DIR + "/" + p)][0]
    file = "%s/%s/leader-epoch-checkpoint" % (broker.DIR, path)
    good = broker.read_file(file)
    for bad in (b"0\n3\n1 0\n2", b"0\n1\nx y\n", b"what\n", b"0\n1\n-1 -1\n", b"0\n1\n1 99999999999999999999\n"):
        with open(file, "wb") as out:
            out.write(bad)
        check(epoch_end(1)[0] == 56, "damaged: %s" % (epoch_end(1),))
    with open(file, "wb") as out:
        out.write(good)
    check(epoch_end(1) == (0, 1, 3), "good again")


# Made in the first part, so that the epochs of the last one have records.
def make_epochs():
    wire.create_topic(conn, "epochs", 1)
    fill("epochs", 9)


if sys.argv[1] == "configs":
    make_epochs()
broker.run([globals()[sys.argv[1]]])
