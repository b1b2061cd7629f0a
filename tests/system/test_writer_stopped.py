"""The part of test_writer_stopped.sh that speaks to the broker."""
import os
import threading
import time

import broker
import wire
from broker import check, say

CLIENTS = 8


class Client:
    """Appends to a topic of its own, one batch at a time, on a connection of its own."""

    def __init__(self, number):
        self.name = "own-%d" % number
        self.conn = wire.Conn(broker.PORT, timeout=60)
        wire.create_topic(self.conn, self.name)
        self.worker = broker.owner(self.conn)
        self.directory = 0 if os.path.isdir(broker.DIR + "/data0/%s-0" % self.name) else 1
        self.sent = 0
        self.enough = False
        self.failed = None
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        try:
            while not self.enough:
                got = wire.produce(self.conn, self.name, 0, wire.batch([b"%d" % self.sent]))
                check(got["ErrorCode"] == 0, "produce: %s" % got)
                self.sent += 1
                time.sleep(0.003)
        except Exception as error:  # told by finish()
            self.failed = error

    def finish(self):
        self.enough = True
        self.thread.join()
        check(self.failed is None, "%s: %s" % (self.name, self.failed))
        rows = wire.read_all(wire.Conn(broker.PORT), self.name, 0)
        check(rows == [(n, b"%d" % n) for n in range(self.sent)], "%s is not whole" % self.name)


clients = [Client(number) for number in range(CLIENTS)]


def moving(some):
    """All of these get on."""
    before = {client: client.sent for client in some}
    broker.within(5, lambda: all(client.sent > before[client] + 3 for client in some),
                  "clients get on: %s" % [client.sent - before[client] for client in some])


def standing(some):
    """None of these does."""
    time.sleep(0.05)
    before = [client.sent for client in some]
    time.sleep(0.3)
    check(before == [client.sent for client in some], "somebody got on")


def a_worker():
    stopped = clients[0].worker
    mine = [client for client in clients if client.worker == stopped]
    others = [client for client in clients if client.worker != stopped]
    check(mine and others, "all clients have one worker")
    with broker.Stopped(stopped):
        standing(mine)
        moving(others)
    moving(clients)


def the_coordinator():
    conn = wire.Conn(broker.PORT, timeout=30)
    topic = {"Name": "late", "NumPartitions": 2, "ReplicationFactor": 1}
    with broker.Stopped(broker.pid_of("coordinator")):
        moving(clients)
        check(wire.read_all(wire.Conn(broker.PORT), "own-0", 0), "nothing to read")
        conn.send("CreateTopics", 7, {"Topics": [topic], "timeoutMs": 20000})
        check(conn.is_quiet(0.5), "somebody else made the topic")
    check(conn.receive()["Topics"][0]["ErrorCode"] == 0, "the topic is not made after all")


def the_cleaner():
    with broker.Stopped(broker.pid_of("cleaner")):
        moving(clients)


def a_writer():
    """
    What it has published is read on, by workers that know its segments; who appends there waits; the
    other directory goes on.
    """
    mine = [client for client in clients if client.directory == 1]
    others = [client for client in clients if client.directory == 0]
    check(mine and others, "all topics are in one directory")
    conn = wire.Conn(broker.PORT)
    wire.read_all(conn, mine[0].name, 0)
    with broker.Stopped(broker.pid_of("writer 1")):
        standing(mine)
        sent = mine[0].sent
        rows = wire.read_all(conn, mine[0].name, 0)
        check(len(rows) >= sent, "%d of %d rows are read" % (len(rows), sent))
        moving(others)
    moving(clients)


def its_backlog():
    """More than a writer takes at once waits for it, and none of it is lost or out of order."""
    conn = wire.Conn(broker.PORT, timeout=60)
    wire.create_topic(conn, "backlog", partitions=2)
    with broker.Stopped(broker.pid_of("writer 1")):
        with broker.Stopped(broker.pid_of("writer 0")):
            conns = [wire.Conn(broker.PORT, timeout=60) for _ in range(40)]
            for number, one in enumerate(conns):
                for turn in range(60):
                    one.send("Produce", 7, wire.produce_message(
                        "backlog", number % 2, wire.batch([b"%d %d" % (number, turn)]), timeout_ms=60000))
            time.sleep(0.3)
    offsets = {}
    for number, one in enumerate(conns):
        for turn in range(60):
            part = one.receive()["Responses"][0]["PartitionResponses"][0]
            check(part["ErrorCode"] == 0, "backlog: %s" % part)
            offsets[number % 2, part["BaseOffset"]] = b"%d %d" % (number, turn)
    for partition in range(2):
        for offset, value in wire.read_all(conn, "backlog", partition):
            check(offsets.pop((partition, offset)) == value, "not what was told at %d" % offset)
    check(not offsets, "%d rows are lost" % len(offsets))


try:
    broker.run([lambda: moving(clients), a_worker, the_coordinator, the_cleaner, a_writer, its_backlog])
finally:
    for client in clients:
        client.enough = True
for client in clients:
    client.finish()
say("%d appends" % sum(client.sent for client in clients))
