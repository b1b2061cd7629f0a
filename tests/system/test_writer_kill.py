"""The part of test_writer_kill.sh that looks at the clock: appends resume within 100 ms."""
import os
import signal
import statistics
import threading
import time

import broker
import wire
from broker import check, say

RETRIABLE = (6, 7)  # NOT_LEADER_OR_FOLLOWER, REQUEST_TIMED_OUT
KILLS = 9


class Producer:
    """Idempotent, one batch at a time; an error means the same batch again, at once."""

    def __init__(self, name):
        self.name = name
        self.conn = wire.Conn(broker.PORT)
        wire.create_topic(self.conn, name)
        got = self.conn.call("InitProducerId", 4, {
            "TransactionalId": None, "TransactionTimeoutMs": 60000, "ProducerId": -1,
            "ProducerEpoch": -1})
        check(got["ErrorCode"] == 0, "InitProducerId: %s" % got)
        self.id = got["ProducerId"], got["ProducerEpoch"]
        self.sent = 0
        self.acked_at = time.monotonic()
        self.enough = False

    def one(self):
        records = wire.batch([b"%d" % self.sent], producer=self.id + (self.sent,))
        while True:
            got = wire.produce(self.conn, self.name, 0, records)
            if got["ErrorCode"] == 0:
                break
            check(got["ErrorCode"] in RETRIABLE, "produce: %s" % got)
        check(got["BaseOffset"] == self.sent, "batch %d is at %d" % (self.sent, got["BaseOffset"]))
        self.sent += 1
        self.acked_at = time.monotonic()

    def run(self):
        while not self.enough:
            self.one()


def appends_resume():
    producer = Producer("resume")
    thread = threading.Thread(target=producer.run)
    thread.start()
    gaps = []
    for _ in range(KILLS):
        time.sleep(0.15)
        pid = broker.pid_of("writer 0")
        os.kill(pid, signal.SIGKILL)
        killed_at = time.monotonic()
        time.sleep(0.002)
        broker.within(5, lambda: producer.acked_at > killed_at + 0.002, "appends resume", 0.001)
        gaps.append(1000 * (producer.acked_at - killed_at))
        check(thread.is_alive(), "the producer gave up")
    producer.enough = True
    thread.join()
    say("appends resume after %s ms" % ", ".join("%.0f" % gap for gap in gaps))
    check(statistics.median(gaps) < 100, "appends do not resume within 100 ms")
    rows = wire.read_all(producer.conn, producer.name, 0)
    check(rows == [(n, b"%d" % n) for n in range(producer.sent)], "lost, doubled or out of order")


def waiting_fetch_survives():
    """A long poll that waits while the writer dies is answered by what the next one appends."""
    conn, other = wire.Conn(broker.PORT), wire.Conn(broker.PORT)
    wire.create_topic(conn, "poll")
    conn.send("Fetch", 11, wire.fetch_message([("poll", 0, 0)], max_wait_ms=20000))
    time.sleep(0.1)
    os.kill(broker.pid_of("writer 0"), signal.SIGKILL)
    time.sleep(0.2)
    while wire.produce(other, "poll", 0, wire.batch([b"woken"]))["ErrorCode"] in RETRIABLE:
        continue
    begun = time.monotonic()
    part = wire.fetched(conn.receive())[("poll", 0)]
    check(list(wire.values(part["Records"])) == [(0, b"woken")], "the poll got %s" % part)
    check(time.monotonic() - begun < 1, "the poll waited %g s" % (time.monotonic() - begun))


broker.run([appends_resume, waiting_fetch_survives])
