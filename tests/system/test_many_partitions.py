"""The topic "many" of the tests that have many partitions.

create COUNT          makes it
append COUNT ROUNDS   a batch to each partition, ROUNDS times, all at once, from several connections
check COUNT EACH      each partition has EACH records, read by several connections at once
"""
import sys
import threading

import broker
import wire
from broker import check

CONNECTIONS = 4
WINDOW = 16  # requests under way on one connection


def values(partition, rounds):
    return [b"%d of %d" % (turn, partition) for turn in range(rounds)]


def append(conn, partitions, rounds):
    for turn in range(rounds):
        for at in range(0, len(partitions), WINDOW):
            some = partitions[at:at + WINDOW]
            for partition in some:
                conn.send("Produce", 7, wire.produce_message(
                    "many", partition, wire.batch([values(partition, rounds)[turn]])))
            for partition in some:
                got = conn.receive()["Responses"][0]["PartitionResponses"][0]
                check(got["ErrorCode"] == 0, "append to %d: %s" % (partition, got))


def read(conn, partitions, each):
    for partition in partitions:
        rows = wire.read_all(conn, "many", partition)
        check([value for _, value in rows] == values(partition, each),
              "partition %d has %s" % (partition, rows))


def together(what, count, rounds):
    failed = []

    def run(number):
        try:
            what(wire.Conn(broker.PORT, timeout=60), list(range(number, count, CONNECTIONS)), rounds)
        except Exception as error:  # told below
            failed.append(error)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    check(not failed, "%s" % failed[:3])


command, number = sys.argv[1], int(sys.argv[2])
if command == "create":
    wire.create_topic(wire.Conn(broker.PORT, timeout=60), "many", number)
elif command == "append":
    together(append, number, int(sys.argv[3]))
else:
    together(read, number, int(sys.argv[3]))
