"""The load: producers with several batches under way, and one who creates and deletes topics.

Each is a thread with a connection of its own.  An error that clients may try again after is tried again,
the same batches in the same order; any other breaks the rules.
"""
import collections
import os
import random
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "system"))
import records  # noqa: E402
import wire  # noqa: E402
from history import Broken  # noqa: E402

UNDERWAY = 5           # batches of a producer in a partition
OUT_OF_ORDER = 45
AGAIN = (6, 7)         # NOT_LEADER_OR_FOLLOWER, REQUEST_TIMED_OUT
COORDINATOR_AGAIN = (7, 14, 15, 16, 41)
GONE = (wire.Closed, OSError)


class Loader(threading.Thread):
    """What runs until it is told to end, over a broker that comes and goes."""

    def __init__(self, name, port, history, epoch):
        super().__init__(name=name, daemon=True)
        self.port, self.history, self.epoch = port, history, epoch
        self.rng = random.Random()
        self.conn = None
        self.ending = False
        self.settled = 0  # the newest epoch whose work is done

    def connected(self):
        if self.conn is None:
            self.conn = wire.Conn(self.port, timeout=30)
        return self.conn

    def disconnect(self):
        if self.conn is not None:
            self.conn.close()
        self.conn = None

    def run(self):
        try:
            while not self.ending:
                try:
                    self.turn()
                except GONE:
                    self.disconnect()
                    time.sleep(0.01)
        except Exception as error:  # of a thread: the main one tells it
            self.history.fail(error)
            if not isinstance(error, Broken):
                import traceback
                traceback.print_exc()
        self.disconnect()


Sent = collections.namedtuple("Sent", "raw values zones")


class Producer(Loader):
    def __init__(self, name, port, history, epoch, idempotent=True, pause=0.02):
        super().__init__(name, port, history, epoch)
        self.idempotent, self.pause = idempotent, pause
        self.id = (-1, -1)
        self.life = 0
        self.forget()

    def forget(self):
        self.queues = {part: collections.deque() for part in self.history.parts}
        self.numbers = dict.fromkeys(self.history.parts, 0)

    def new_id(self):
        """Another producer from here on: what the former one has under way is unknown for ever."""
        got = self.connected().call("InitProducerId", 4, {
            "TransactionalId": None, "TransactionTimeoutMs": 60000, "ProducerId": -1, "ProducerEpoch": -1})
        if got["ErrorCode"] in COORDINATOR_AGAIN:
            time.sleep(0.005)
            return False
        if got["ErrorCode"] != 0:
            raise Broken("InitProducerId: error %d" % got["ErrorCode"])
        self.history.new_producer_id(got["ProducerId"])
        self.id = got["ProducerId"], got["ProducerEpoch"]
        self.forget()
        return True

    def make_one(self, part):
        count = self.rng.choice((1, 1, 2, 5, 20))
        first = self.numbers[part]
        self.numbers[part] += count
        values = [b"%s/%d/%d/%d " % (self.name.encode(), self.life, part.index, first + n) +
                  self.rng.randbytes(self.rng.choice((0, 8, 60))) * self.rng.choice((1, 3))
                  for n in range(count)]
        producer = self.id + (first,) if self.idempotent else (-1, -1, -1)
        return Sent(records.make(values, producer, self.rng.choice(records.USABLE)), values,
                    self.history.zones)

    def make_some(self):
        for _ in range(self.rng.randint(1, 6)):
            part = self.rng.choice(self.history.parts)
            if len(self.queues[part]) < UNDERWAY:
                self.queues[part].append(self.make_one(part))

    def turn(self):
        conn = self.connected()
        if (self.idempotent and (self.id[0] < 0 or self.rng.random() < 0.003)) or not self.numbers:
            self.life += 1
            if not self.new_id():
                return
        epoch = self.epoch[0]
        self.make_some()
        order = [(part, sent) for part, queue in self.queues.items() for sent in queue]
        for part, sent in order:
            conn.send("Produce", 7, wire.produce_message(part.topic, part.index, sent.raw))
        failed = set()
        for part, sent in order:
            self.answered(part, sent, conn.receive(), failed)
        if not failed:
            self.settled = epoch
        time.sleep(self.pause if not failed else 0.004)

    def answered(self, part, sent, message, failed):
        got = message["Responses"][0]["PartitionResponses"][0]
        error = got["ErrorCode"]
        if error == 0:
            self.queues[part].remove(sent)
            part.acknowledged(got["BaseOffset"], sent.values)
        elif error in AGAIN or (error == OUT_OF_ORDER and part in failed):
            failed.add(part)
        elif error == OUT_OF_ORDER and sent.zones != self.history.zones:
            # A snapshot knows a producer's last batch only; one before it that was under way when the
            # run directory went is not recognised, in Kafka neither.  Its client gives up, so do we.
            failed.add(part)
            self.id = (-1, -1)
        else:
            raise Broken("%s: produce of %s has error %d" % (part, sent.values[0][:40], error))


class Admin(Loader):
    """Creates a topic, writes to it, reads that, deletes it; now and then leaves one there."""

    def __init__(self, name, port, history, epoch, pause=0.1, keep=0.03):
        super().__init__(name, port, history, epoch)
        self.pause, self.keep = pause, keep
        self.topics = {}  # name -> "created" or "deleted" for certain, "unsure"
        self.steps = iter(())
        self.number = 0

    def ask(self, api, version, message, good, again):
        """Until it is answered for certain; an answer may have got lost before."""
        while not self.ending:
            try:
                error = message(self.connected()) if callable(message) else None
                if error is None:
                    got = self.connected().call(api, version, message)
                    rows = got.get("Topics") or got.get("Responses")
                    error = rows[0]["ErrorCode"]
            except GONE:
                self.disconnect()
                error = 7
            if error in good:
                return True
            if error not in again:
                raise Broken("%s: error %d" % (api, error))
            time.sleep(0.005)
        return False

    def created(self, name):
        topic = {"Name": name, "NumPartitions": 2, "ReplicationFactor": 1}
        return self.ask("CreateTopics", 5, {"Topics": [topic], "timeoutMs": 10000}, (0, 36),
                        COORDINATOR_AGAIN)

    def deleted(self, name):
        return self.ask("DeleteTopics", 4, {"TopicNames": [name], "TimeoutMs": 10000}, (0, 3),
                        COORDINATOR_AGAIN)

    def written(self, name):
        def produce(conn):
            return wire.produce(conn, name, 1, records.make([name.encode()]))["ErrorCode"]
        return self.ask("Produce", 7, produce, (0,), AGAIN)

    def read(self, name):
        def fetch(conn):
            got = wire.fetch(conn, name, 1, 0)
            if got["ErrorCode"] == 0:
                batch = next(records.take_apart(got["Records"]), None)
                if batch is None or batch.values != [name.encode()]:
                    raise Broken("%s: what was acknowledged is not there: %s" % (name, batch))
            return got["ErrorCode"]
        return self.ask("Fetch", 11, fetch, (0,), AGAIN)

    def became(self, name, state):
        self.topics[name] = state
        self.history.mark("topic", name=name, state=state)

    def turn(self):
        epoch = self.epoch[0]
        self.number += 1
        name = "%s-%d" % (self.name, self.number)
        self.became(name, "unsure")
        if self.created(name):
            self.became(name, "created")
            if self.written(name) and self.read(name) and self.rng.random() >= self.keep:
                self.became(name, "unsure")
                if self.deleted(name):
                    self.became(name, "deleted")
        if not self.ending:
            self.settled = epoch
        time.sleep(self.pause)

    def check(self, conn):
        before = dict(self.topics)
        got = conn.call("Metadata", 8, {"Topics": None, "AllowAutoTopicCreation": False})
        after = dict(self.topics)
        there = {topic["Name"]: topic for topic in got["Topics"]}
        for name, state in before.items():
            if after[name] != state or state == "unsure":
                continue
            if (name in there) != (state == "created"):
                raise Broken("topic %s was %s, and is %s" % (name, state,
                                                             "there" if name in there else "not there"))
        for name, topic in there.items():
            if topic["ErrorCode"] != 0:
                raise Broken("topic %s: error %d" % (name, topic["ErrorCode"]))


# ---- reading ----

class Reader:
    """Reads everything, or what is new and a little before; in the main thread."""

    def __init__(self, port, history):
        self.port, self.history = port, history
        self.conn = None

    def fetch(self, part, offset, until):
        """A Fetch that may be tried again until then."""
        while True:
            try:
                self.conn = self.conn or wire.Conn(self.port, timeout=30)
                got = wire.fetch(self.conn, part.topic, part.index, offset, part_bytes=1 << 18)
                error = got["ErrorCode"]
                if error == 0 or (error == 1 and part.trimmed):
                    return got
            except GONE as gone:
                if self.conn is not None:
                    self.conn.close()
                self.conn, error = None, gone
            if time.monotonic() > until or error == 1:
                raise Broken("%s: a Fetch at %d has error %s" % (part, offset, error))
            time.sleep(0.01)

    def earliest(self, part, until):
        """Asked for after an answer that the offset is out of range, and so past it or broken."""
        while True:
            try:
                self.conn = self.conn or wire.Conn(self.port, timeout=30)
                got = self.conn.call("ListOffsets", 5, {"ReplicaId": -1, "Topics": [{
                    "Name": part.topic, "Partitions": [{"PartitionIndex": part.index, "Timestamp": -2}]}]})
                row = got["Topics"][0]["Partitions"][0]
                if row["ErrorCode"] == 0:
                    part.began(row["Offset"])
                    return row["Offset"]
                error = row["ErrorCode"]
            except GONE as gone:
                self.conn.close()
                self.conn, error = None, gone
            if time.monotonic() > until:
                raise Broken("%s: ListOffsets has error %s" % (part, error))
            time.sleep(0.01)

    def read(self, part, back=None, seconds=20):
        acks = part.acks
        at = part.start if back is None else max(part.start, part.next - back)
        if back is not None:
            at = max((base for base in part.batches if base <= at), default=part.start)
        until = time.monotonic() + seconds
        while True:
            got = self.fetch(part, at, until)
            if got["ErrorCode"] == 1:  # deleted meanwhile
                at = max(at, self.earliest(part, until))
                continue
            part.began(got["LogStartOffset"])
            after = part.took(got["Records"] or b"", at)
            if after == at:
                break
            at = after
        if at < got["HighWatermark"]:
            raise Broken("%s: nothing at %d of %d" % (part, at, got["HighWatermark"]))
        part.ended(at, acks)

    def read_all(self, back=None):
        for part in self.history.parts:
            self.read(part, back)
