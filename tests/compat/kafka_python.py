#!/usr/bin/env python3
"""The kafka-python side of kafka_python.sh (Debian: python3-kafka, python3-lz4, python3-snappy).

    kafka_python.py HOST:PORT TOPIC INPUT

Round trips without a group, a Fetch over 40 partitions of 3 topics, batches above the limits, offsets.
"""
import sys
import time

import kafka
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient, NewPartitions, NewTopic
from kafka.errors import (InvalidReplicationFactorError, InvalidTopicError, MessageSizeTooLargeError,
                          OffsetOutOfRangeError, TopicAlreadyExistsError, UnknownTopicOrPartitionError)

bootstrap, topic, path = sys.argv[1:]
admin = KafkaAdminClient(bootstrap_servers=bootstrap)


def create(name, partitions, **configs):
    topics = [NewTopic(name, partitions, 1, topic_configs=configs)]
    assert admin.create_topics(topics).topic_errors[0][1] == 0
    return [TopicPartition(name, i) for i in range(partitions)]


def produce(partitions, values, **configs):
    producer = KafkaProducer(bootstrap_servers=bootstrap, linger_ms=20, **configs)
    results = []
    for i, value in enumerate(values):
        p = partitions[i % len(partitions)]
        results.append(producer.send(p.topic, value, partition=p.partition))
    producer.flush(60)
    for result in results:
        result.get(timeout=0)
    producer.close()


def consume(partitions, **configs):
    """The values of each partition, from the first to the end, offsets checked."""
    consumer = KafkaConsumer(bootstrap_servers=bootstrap, group_id=None, auto_offset_reset="none", **configs)
    consumer.assign(partitions)
    ends = consumer.end_offsets(partitions)
    consumer.seek_to_beginning()
    got = {p: [] for p in partitions}
    deadline = time.time() + 60
    while any(len(got[p]) < ends[p] for p in partitions):
        assert time.time() < deadline, "not at the end after a minute"
        for p, records in consumer.poll(1000).items():
            for r in records:
                assert r.offset == len(got[p]), "%s: offset %d, not %d" % (p, r.offset, len(got[p]))
                got[p].append(r.value)
    consumer.close()
    return got


def by_turns(values, count):
    return [values[i::count] for i in range(count)]


def round_trip(values, codec, count):
    partitions = create("%s-%s-%d" % (topic, codec, count), count)
    produce(partitions, values, compression_type=codec, batch_size=100000)
    got = consume(partitions)
    assert [got[p] for p in partitions] == by_turns(values, count), "records differ: " + str(codec)


def wide_fetch(values):
    partitions = create(topic + "-a", 20) + create(topic + "-b", 17) + create(topic + "-c", 3)
    for codec in (None, "gzip", "snappy", "lz4"):
        produce(partitions[:35], values, compression_type=codec)
    for limit in (1 << 20, 3000):
        got = consume(partitions, max_partition_fetch_bytes=limit)
        assert [got[p] for p in partitions] == [4 * v for v in by_turns(values, 35)] + [[]] * 5


def large_batches():
    partitions = create(topic + "-large", 3)
    values = [bytes([i]) * 900000 for i in range(6)]
    produce(partitions, values, max_request_size=1 << 20)
    got = consume(partitions, max_partition_fetch_bytes=1000, fetch_max_bytes=1000)
    assert [got[p] for p in partitions] == by_turns(values, 3)
    fails(MessageSizeTooLargeError, produce, partitions, [b"x" * 1100000], max_request_size=1 << 22)


def fails(error, call, *args, **configs):
    try:
        call(*args, **configs)
    except error:
        return
    raise AssertionError("%s did not come from %r" % (error.__name__, args))


def refusals_and_offsets():
    (p,) = partitions = create(topic + "-one", 1)
    fails(TopicAlreadyExistsError, create, p.topic, 1)
    fails(InvalidTopicError, create, "a/b", 1)
    fails(InvalidReplicationFactorError, admin.create_topics, [NewTopic(topic + "-two", 1, 2)])
    fails(UnknownTopicOrPartitionError, admin.delete_topics, [topic + "-unknown"])
    admin.create_partitions({p.topic: NewPartitions(2)})
    before = int(time.time() * 1000)
    produce(partitions, [b"%d" % i for i in range(100)])
    consumer = KafkaConsumer(bootstrap_servers=bootstrap, group_id=None, auto_offset_reset="none")
    assert consumer.partitions_for_topic(p.topic) == {0, 1}
    assert consumer.beginning_offsets(partitions)[p] == 0 and consumer.end_offsets(partitions)[p] == 100
    assert consumer.offsets_for_times({p: before})[p].offset == 0
    assert consumer.offsets_for_times({p: before + 1000000})[p] is None
    consumer.assign(partitions)
    consumer.seek(p, 98)
    assert [r.value for r in consumer.poll(5000)[p]] == [b"98", b"99"]
    consumer.seek(p, 1000)
    fails(OffsetOutOfRangeError, consumer.poll, 5000)
    consumer.close()


def configurations():
    """AlterConfigs replaces all that was set."""
    create(topic + "-configs", 1, **{"segment.bytes": "1000000"})

    def alter(name, **configs):
        got = admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, name, configs=configs)])
        return got.resources[0][0]

    def described():
        (got,) = admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic + "-configs")])
        return {entry[0]: entry[1] for entry in got.resources[0][4]}

    assert described()["segment.bytes"] == "1000000"
    assert alter(topic + "-configs", **{"retention.ms": "7200000"}) == 0
    assert described()["retention.ms"] == "7200000" and described()["segment.bytes"] == "1073741824"
    assert alter(topic + "-configs", **{"retention.ms": "soon"}) == 40
    assert alter(topic + "-configs", **{"no.such.key": "1"}) == 40
    assert alter(topic + "-unknown", **{"retention.ms": "1"}) == 3
    assert described()["retention.ms"] == "7200000"


lines = open(path, "rb").read().splitlines()
print("kafka-python", kafka.__version__, "takes the broker for", admin.config["api_version"])
round_trip(lines, "gzip", 8)
round_trip(lines, None, 1)
for name in ("snappy", "lz4"):
    round_trip(lines[:20000], name, 1)
wide_fetch(lines[:10000])
large_batches()
refusals_and_offsets()
configurations()
names = [t for t in admin.list_topics() if t.startswith(topic)]
assert len(names) == 10, names
admin.delete_topics(names)
assert not [t for t in admin.list_topics() if t.startswith(topic)]
