#!/usr/bin/env python3
"""Prints the record batches of a topic as the broker hands them out, one line each:

    partition first_offset last_offset codec bytes producer_id producer_epoch first_sequence

    batches.py HOST:PORT TOPIC PARTITIONS

Its own Fetch v4 and nothing but Python's standard library, so that it sees what clients hide: the
codec a batch is kept in and the producer's sequence.
"""
import socket
import struct
import sys

CODECS = ("none", "gzip", "snappy", "lz4", "zstd")
HEADER = struct.Struct(">qiibIhiqqqhii")


class Broker:
    def __init__(self, address):
        host, port = address.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)), timeout=30)

    def read(self, size):
        data = bytearray()
        while len(data) < size:
            piece = self.socket.recv(size - len(data))
            if not piece:
                sys.exit("the broker closed the connection")
            data += piece
        return bytes(data)

    def fetch(self, topic, partition, offset):
        """Error code, high watermark, record bytes."""
        name = topic.encode()
        body = struct.pack(">hhih", 1, 4, 7, 3) + b"raw"
        body += struct.pack(">iiiibi", -1, 0, 1, 8 << 20, 0, 1)
        body += struct.pack(">h", len(name)) + name
        body += struct.pack(">iiqi", 1, partition, offset, 8 << 20)
        self.socket.sendall(struct.pack(">i", len(body)) + body)
        answer = self.read(struct.unpack(">i", self.read(4))[0])
        at = 4 + 4 + 4 + 2 + len(name) + 4
        _, error, end, _, aborted = struct.unpack_from(">ihqqi", answer, at)
        at += 26 + 16 * max(aborted, 0)
        (size,) = struct.unpack_from(">i", answer, at)
        at += 4
        if at + max(size, 0) != len(answer):
            sys.exit("the answer has %d bytes too many" % (len(answer) - at - size))
        return error, end, answer[at:at + max(size, 0)]


def print_partition(broker, topic, partition):
    offset = 0
    while True:
        error, end, records = broker.fetch(topic, partition, offset)
        if error:
            sys.exit("partition %d: error %d" % (partition, error))
        if offset >= end:
            return
        at = 0
        while len(records) - at >= HEADER.size:
            (base, size, _, magic, _, attributes, last_delta, _, _,
             producer, epoch, sequence, _) = HEADER.unpack_from(records, at)
            if magic != 2:
                sys.exit("magic is %d at offset %d" % (magic, base))
            if at + 12 + size > len(records):
                break
            print(partition, base, base + last_delta, CODECS[attributes & 7], size + 12,
                  producer, epoch, sequence)
            offset = base + last_delta + 1
            at += 12 + size
        if at == 0:
            sys.exit("no whole batch at offset %d of partition %d" % (offset, partition))


def main():
    broker = Broker(sys.argv[1])
    for partition in range(int(sys.argv[3])):
        print_partition(broker, sys.argv[2], partition)


main()
