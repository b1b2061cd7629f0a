"""The topic "many" of the tests that have many partitions.

create COUNT          makes it
append COUNT ROUNDS   a batch to each partition, ROUNDS times, all at once, from several connections
check COUNT EACH      each partition has EACH records, read by several connections at once
crowd COUNT EACH      the same while more connections are asked for than one worker takes (95)
"""
import select
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


def crowd(count, each):
    """One connection reads all; of the rest those within the budget are served, others wait."""
    first = wire.Conn(broker.PORT, timeout=60)
    first.call("ApiVersions", 0)
    rest = [wire.Conn(broker.PORT, timeout=60) for _ in range(140)]
    for conn in rest:
        conn.send("ApiVersions", 0, {})

    def served():
        return len(select.select([conn.socket for conn in rest], [], [], 0)[0])

    broker.within(20, lambda: served() >= 94, "%d are served" % served())
    read(first, list(range(count)), each)
    check(served() == 94, "%d are served beyond the budget" % served())
    broker.say("%d of %d were served, the others wait" % (served(), len(rest)))
    ready = select.select([conn.socket for conn in rest], [], [], 0)[0]
    late = [conn for conn in rest if conn.socket not in ready]
    for conn in rest:
        if conn not in late:
            conn.close()
    for conn in late:
        conn.receive()


command, number = sys.argv[1], int(sys.argv[2])
if command == "create":
    wire.create_topic(wire.Conn(broker.PORT, timeout=60), "many", number)
elif command == "append":
    together(append, number, int(sys.argv[3]))
elif command == "crowd":
    crowd(number, int(sys.argv[3]))
else:
    together(read, number, int(sys.argv[3]))
