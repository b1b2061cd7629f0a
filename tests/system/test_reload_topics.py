"""The part of test_reload_topics.sh that speaks to the broker."""
import os
import signal
import subprocess
import threading
import time

import broker
import wire
from broker import check, say

CONF = broker.DIR + "/takhin.conf"
FIRST = open(CONF, encoding="ascii").read()
ZONE = broker.DIR + "/run/zone.0"
TOO_LARGE = 10
RETRIABLE = 6  # NOT_LEADER_OR_FOLLOWER


def configure(*lines):
    with open(CONF, "w", encoding="ascii") as file:
        file.write(FIRST + "\n".join(lines) + "\n")


def reload(*lines):
    configure(*lines)
    subprocess.run([broker.BUILD + "/takhinctl", "-p", broker.DIR, "reload"], check=True,
                   capture_output=True, timeout=60)


def send(conn, topic, size):
    return wire.produce(conn, topic, 0, wire.batch([b"x" * size]))["ErrorCode"]


conn = wire.Conn(broker.PORT)
wire.create_topic(conn, "t")
wire.create_topic(conn, "own", configs={"max.message.bytes": "5000"})
check(send(conn, "t", 2000) == 0, "a large one before")

say("new workers")
reload('message_max_bytes = "1000B";')
conn = wire.Conn(broker.PORT)
check(send(conn, "t", 2000) == TOO_LARGE, "the smaller limit")
check(send(conn, "t", 100) == 0, "a small one")
check(send(conn, "own", 2000) == 0, "a topic's own limit stands")

say("old workers that stay, by their old connections")
old = broker.workers()
os.rename(ZONE, ZONE + ".away")  # no new worker gets ready
configure('message_max_bytes = "3000B";')
os.kill(broker.MASTER, signal.SIGHUP)
broker.within(10, lambda: broker.status()["generation"] == 3, "the settings are in force")
check(send(conn, "t", 2000) == 0, "the larger limit, by an old worker")
check(send(conn, "t", 4000) == TOO_LARGE, "and no more")
check(send(conn, "own", 4000) == 0, "a topic's own limit still stands")
check(broker.owner(conn) in old, "it is an old worker")

say("they get ready at last")
os.rename(ZONE + ".away", ZONE)
broker.within(30, lambda: len(broker.workers()) == 2 and not set(old) & set(broker.workers()),
              "new workers")
conn = wire.Conn(broker.PORT)
check(send(conn, "t", 2000) == 0, "the larger limit, by a new worker")
check(send(conn, "t", 4000) == TOO_LARGE, "and no more")


class Client(threading.Thread):
    """Sends numbers; those not acknowledged once more."""

    def __init__(self, name):
        super().__init__()
        self.name, self.sent, self.again, self.enough, self.failed = name, 0, 0, False, None

    def run(self):
        try:
            mine = wire.Conn(broker.PORT)
            while not self.enough:
                try:
                    error = wire.produce(mine, self.name, 0,
                                         wire.batch([b"%d" % self.sent]))["ErrorCode"]
                except (OSError, wire.Closed):
                    mine, error = wire.Conn(broker.PORT), RETRIABLE
                check(error in (0, RETRIABLE), "error %d" % error)
                if error == 0:
                    self.sent += 1
                else:
                    self.again += 1
        except Exception as error:  # told at the end
            self.failed = error


say("reloads while clients send")
clients = [Client("client-%d" % i) for i in range(4)]
for client in clients:
    wire.create_topic(conn, client.name)
    client.start()
for turn in range(6):
    reload('log_segment_bytes = "%dMiB";' % (2 + turn))
    time.sleep(0.1)
for client in clients:
    client.enough = True
for client in clients:
    client.join()
    check(client.failed is None, "%s: %s" % (client.name, client.failed))
    rows = [int(value) for _, value in wire.read_all(wire.Conn(broker.PORT), client.name, 0)]
    check(sorted(set(rows)) == list(range(client.sent)) or
          sorted(set(rows)) == list(range(client.sent + 1)), "%s is not whole" % client.name)
    say("%s: %d sent, %d sent again" % (client.name, client.sent, client.again))
    check(client.again <= 30, "%s was sent back %d times" % (client.name, client.again))
