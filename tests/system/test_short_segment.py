"""The part of test_short_segment.sh that speaks to the broker."""
import os
import struct

import broker
import wire
from broker import check, say

TOLD = "could not send records of a log, a connection is closed: its file is shorter"
LARGE, SMALL = 300000, 2000

conn = wire.Conn(broker.PORT)


def cut(name, size):
    os.truncate("%s/data/%s-0/00000000000000000000.log" % (broker.DIR, name), size)


def broken(name, size):
    """All that comes of the reply is its beginning, with the size it should have had."""
    other = wire.Conn(broker.PORT)
    other.send("Fetch", 11, wire.fetch_message([(name, 0, 0)]))
    got = b""
    try:
        while True:
            piece = other.socket.recv(1 << 20)
            if not piece:
                break
            got += piece
    except ConnectionResetError:
        pass
    other.close()
    check(not got or len(got) - 4 < struct.unpack(">i", got[:4])[0], "%s: a whole reply" % name)
    check(len(got) < size, "%s: %d bytes of %d that are left" % (name, len(got), size))


def test_cut():
    for name, size in (("large", LARGE), ("small", SMALL), ("whole", LARGE)):
        wire.create_topic(conn, name)
        check(wire.produce(conn, name, 0, wire.batch([b"v" * size]))["ErrorCode"] == 0, "Produce")
        check(len(wire.fetch(conn, name, 0, 0)["Records"]) > size, "Fetch")
    cut("large", 100000)
    broken("large", 100000 + 1000)
    broker.within(5, lambda: TOLD in broker.log_text(), "a line in the log")
    cut("small", 1000)
    for _ in range(20):
        broken("small", 1000 + 1000)
    check(broker.log_text().count(TOLD) <= 6, "the log is flooded")
    check(list(wire.values(wire.fetch(conn, "whole", 0, 0)["Records"])) == [(0, b"v" * LARGE)],
          "another topic")


broker.run([test_cut])
say("all good")
