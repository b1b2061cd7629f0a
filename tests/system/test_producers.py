"""The part of test_producers.sh that speaks to the broker: test_producers.py STEP."""
import json
import sys

import broker
import wire
from broker import check

OUT_OF_ORDER = 45
STATE = broker.DIR + "/sent"


def init_id(conn):
    got = conn.call("InitProducerId", 4, {
        "TransactionalId": None, "TransactionTimeoutMs": 60000, "ProducerId": -1,
        "ProducerEpoch": -1})
    check(got["ErrorCode"] == 0, "InitProducerId: %s" % got)
    return got["ProducerId"]


def produce(conn, topic, producer, sequence, records=1, epoch=0):
    return wire.produce(conn, topic, 0, wire.batch(
        [b"%d.%d" % (producer, sequence + i) for i in range(records)],
        producer=(producer, epoch, sequence)))


def expect(got, error, offset, what):
    check((got["ErrorCode"], got["BaseOffset"]) == (error, offset),
          "%s: error %d, offset %d" % (what, got["ErrorCode"], got["BaseOffset"]))


def bounded():
    """More producers than there is room for: one that stays busy is never forgotten."""
    conn = wire.Conn(broker.PORT)
    wire.create_topic(conn, "busy")
    wire.create_topic(conn, "crowd")
    busy, first = init_id(conn), init_id(conn)
    check(produce(conn, "crowd", first, 0)["ErrorCode"] == 0, "the first")
    for n in range(400):
        got = produce(conn, "crowd", init_id(conn), 0)
        check(got["ErrorCode"] == 0, "of the crowd: %s" % got)
        if n % 50 == 0:
            expect(produce(conn, "busy", busy, n // 50), 0, n // 50, "the busy one")
    for n in range(4, 8):
        expect(produce(conn, "busy", busy, n), 0, n, "the busy one's duplicate")
    expect(produce(conn, "busy", busy, 99), OUT_OF_ORDER, -1, "the busy one out of order")
    expect(produce(conn, "crowd", first, 7), 0, 401, "who was forgotten goes on")
    evicted = broker.counters()["producers_evicted"]
    check(100 < evicted < 402, "%d were forgotten" % evicted)
    lines = broker.log_text().count("no room for more than")
    check(1 <= lines <= 3, "%d lines say so" % lines)


def expired():
    conn = wire.Conn(broker.PORT)
    wire.create_topic(conn, "idle")
    producer = init_id(conn)
    expect(produce(conn, "idle", producer, 0), 0, 0, "the first")
    expect(produce(conn, "idle", producer, 5), OUT_OF_ORDER, -1, "known")
    # What is refused does not keep it alive; once it is unknown, any sequence will do.
    got = broker.within(10, lambda: (lambda got: got["ErrorCode"] == 0 and got)(
        produce(conn, "idle", producer, 5)), "it expires", 0.05)
    expect(got, 0, 1, "forgotten")
    check(broker.counters()["producers_expired"] > 0, "not counted")


def send():
    """What a client has sent, with the answers, for the step after the broker's end."""
    conn = wire.Conn(broker.PORT)
    wire.create_topic(conn, "sent", configs={"segment.bytes": "1048576"})
    sent = []
    for producer in [init_id(conn) for _ in range(3)]:
        for sequence in range(0, 24, 3):
            got = produce(conn, "sent", producer, sequence, records=3)
            check(got["ErrorCode"] == 0, "%s" % got)
            sent.append((producer, sequence, got["BaseOffset"]))
    with open(STATE, "w", encoding="ascii") as file:
        json.dump(sent, file)


def resend(known):
    """The last batches of each again: as many as the broker must know are duplicates."""
    conn = wire.Conn(broker.PORT)
    with open(STATE, encoding="ascii") as file:
        sent = json.load(file)
    end = sum(3 for _ in sent)
    producers = sorted({row[0] for row in sent})
    for producer in producers:
        rows = [row for row in sent if row[0] == producer]
        for _, sequence, offset in rows[-known:]:
            expect(produce(conn, "sent", producer, sequence, records=3), 0, offset,
                   "producer %d again from %d" % (producer, sequence))
        expect(produce(conn, "sent", producer, 25), OUT_OF_ORDER, -1, "a gap")
        expect(produce(conn, "sent", producer, 24), 0, end, "the next one")
        end += 1
    check(init_id(conn) > producers[-1], "a producer id is given out twice")
    rows = wire.read_all(conn, "sent", 0)
    check([row[0] for row in rows] == list(range(end)), "lost or doubled")
    check(len({row[1] for row in rows}) == end, "a record is there twice")


STEPS = {"bounded": bounded, "expired": expired, "send": send,
         "resend5": lambda: resend(5), "resend1": lambda: resend(1)}
STEPS[sys.argv[1]]()
