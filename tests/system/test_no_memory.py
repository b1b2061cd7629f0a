"""The part of test_no_memory.sh that speaks to the broker."""
import mmap
import socket
import struct
import sys

import broker
import wire
from broker import check, say

with open(sys.argv[1], "r+b") as file:
    STATE = mmap.mmap(file.fileno(), 8)
MOST = 400  # allocations of one request, at the most

conn = wire.Conn(broker.PORT)
wire.create_topic(conn, "t", partitions=3)
told = {}


def arm(pid, count):
    STATE[:] = struct.pack("=ii", pid, count)


def fired():
    return struct.unpack("=ii", STATE[:])[1] == 0


def produce(one, text):
    got = wire.produce(one, "t", 0, wire.batch([text], producer=(-1, -1, -1)))
    if got["ErrorCode"] == 0:
        told[got["BaseOffset"]] = text


NUMBER = [0]


def next_name(prefix):
    NUMBER[0] += 1
    return "%s-%d" % (prefix, NUMBER[0])


REQUESTS = {
    "ApiVersions": lambda one: one.call("ApiVersions", 3, {
        "ClientSoftwareName": "test", "ClientSoftwareVersion": "1"}),
    "Metadata": lambda one: one.call("Metadata", 12, {"Topics": None}),
    "Produce": lambda one: produce(one, next_name("value").encode()),
    "Fetch": lambda one: wire.fetch(one, "t", 0, 0),
    "Fetch that waits": lambda one: wire.fetch(one, "t", 2, 0, max_wait_ms=5),
    "ListOffsets": lambda one: one.call("ListOffsets", 7, {"ReplicaId": -1, "Topics": [
        {"Name": "t", "Partitions": [{"PartitionIndex": 0, "Timestamp": 1, "CurrentLeaderEpoch": -1}]}]}),
    "CreateTopics": lambda one: one.call("CreateTopics", 7, {"timeoutMs": 2000, "Topics": [
        {"Name": next_name("made"), "NumPartitions": 1, "ReplicationFactor": 1}]}),
    "DeleteTopics": lambda one: one.call("DeleteTopics", 6, {"TimeoutMs": 2000, "Topics": [
        {"Name": "made-%d" % NUMBER[0]}]}),
    "InitProducerId": lambda one: one.call("InitProducerId", 4, {"TransactionalId": None}),
    "DescribeConfigs": lambda one: one.call("DescribeConfigs", 4, {"Resources": [
        {"ResourceType": 2, "ResourceName": "t", "ConfigurationKeys": None}]}),
    "DescribeTopicPartitions": lambda one: one.call("DescribeTopicPartitions", 0, {
        "Topics": [{"Name": "t"}], "ResponsePartitionLimit": 10, "Cursor": None}),
}


def served():
    """Somebody else, a moment later; true if all is well."""
    one = wire.Conn(broker.PORT)
    topics = one.call("Metadata", 1, {"Topics": None})["Topics"]
    error = wire.produce(one, "t", 1, wire.batch([b"next"]))["ErrorCode"]
    made = one.call("CreateTopics", 7, {"timeoutMs": 2000, "Topics": [
        {"Name": next_name("after"), "NumPartitions": 1, "ReplicationFactor": 1}]})["Topics"][0]["ErrorCode"]
    one.close()
    return topics and error == 0 and made == 0


def fail_each(process, name, request):
    """The first allocation fails, then the second..., until the request makes no more; how many."""
    pid = broker.pid_of(process)
    closed = 0
    for count in range(1, MOST):
        one = wire.Conn(broker.PORT, timeout=30)
        arm(pid, count)
        try:
            request(one)
        except (wire.Closed, wire.Short):
            closed += 1
        except socket.timeout:
            raise AssertionError("%s: no answer when allocation %d of the %s fails" % (name, count, process))
        done = not fired()
        arm(0, 0)
        one.close()
        if process == "worker 0":
            check(broker.alive(pid), "%s: the %s died of allocation %d" % (name, process, count))
        pid = broker.within(10, lambda: broker.processes().get(process), "a %s is there" % process)
        broker.within(10, served, "somebody else is served")
        if done:
            return count - 1, closed
    raise AssertionError("%s never ends" % name)


def main():
    for process in ("worker 0", "coordinator", "writer 0"):
        for name, request in REQUESTS.items():
            if process != "worker 0" and name not in ("Produce", "CreateTopics", "DeleteTopics", "InitProducerId"):
                continue
            say("%s, %s: %d allocations failed, %d connections closed" % (
                (process, name) + fail_each(process, name, request)))
    got = dict(wire.read_all(wire.Conn(broker.PORT), "t", 0))
    check(all(got.get(offset) == text for offset, text in told.items()), "records are lost")
    check(sorted(got) == list(range(len(got))), "offsets are missing")
    say("%d records acknowledged, %d there" % (len(told), len(got)))


main()
