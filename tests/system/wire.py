"""Kafka's protocol for the system tests: what real clients hide, and what they would never send.

Nothing but Python's standard library.  wire.txt has the messages; a request is a dict of its fields,
those left out have their defaults, and an answer is a dict again.  Frames may also be given as bytes.
"""
import collections
import os
import re
import select
import socket
import struct
import time

INTS = {"bool": ">?", "int8": ">b", "int16": ">h", "uint16": ">H", "int32": ">i", "uint32": ">I",
        "int64": ">q", "float64": ">d"}
NOBODY = bytes(16)


def _versions(text):
    low, plus, high = re.match(r"(\d+)(\+|-)?(\d+)?$", text).groups()
    return int(low), (99 if plus == "+" else int(high) if plus else int(low))


def _within(bounds, version):
    return bounds is not None and bounds[0] <= version <= bounds[1]


class Field:
    def __init__(self, line):
        name, rest = line.split(": ", 1)
        words = rest.split()
        self.name = name.strip()
        self.array = words[0].startswith("[]")
        self.type = words[0].replace("[]", "")
        self.versions = _versions(words[1])
        self.nullable, self.tag, self.default = None, None, None
        self.fields = []
        for word in words[2:]:
            if word == "null":
                self.nullable = self.versions
            elif word.startswith("null="):
                self.nullable = _versions(word[5:])
            elif word.startswith("tag="):
                self.tag = int(word[4:])
            elif word.startswith("="):
                self.default = self._parse_default(word[1:])
        if self.default is None:
            self.default = self._zero()

    def _parse_default(self, text):
        if text == "null":
            return Ellipsis  # null is a default of its own, told from "none given"
        if text in ("true", "false"):
            return text == "true"
        return "" if text == '""' else int(text, 0)

    def _zero(self):
        if self.array:
            return []
        if self.type in INTS:
            return False if self.type == "bool" else 0
        return {"string": "", "bytes": b"", "records": b"", "uuid": NOBODY}.get(self.type, Ellipsis)

    def value_of(self, message):
        value = message.get(self.name, self.default)
        return None if value is Ellipsis else value


class Api:
    def __init__(self, key, name, flexible):
        self.key, self.name, self.flexible = key, name, flexible
        self.request, self.response = [], []


def _load():
    apis = {}
    stack = None
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "wire.txt")
    with open(path, encoding="ascii") as lines:
        for line in lines:
            line = line.rstrip("\n")
            if not line or line.startswith("#"):
                continue
            if line.startswith("== "):
                _, key, name, _, flexible = line.split()
                flexible = flexible.split("=")[1]
                api = Api(int(key), name, 99 if flexible == "none" else int(flexible.rstrip("+")))
                apis[api.name] = apis[api.key] = api
            elif line in ("request", "response"):
                stack = [getattr(api, line)]
            else:
                depth = (len(line) - len(line.lstrip())) // 2
                field = Field(line)
                del stack[depth:]
                stack[-1].append(field)
                stack.append(field.fields)
    return apis


APIS = _load()


# ---- encoding ----

def uvarint(value):
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def varint(value):
    return uvarint((value << 1) ^ (value >> 63))


class Declared:
    """In place of a string, bytes or an array: a length that nothing follows."""

    def __init__(self, count):
        self.count = count


def _length(count, flexible, short):
    if flexible:
        return uvarint(count + 1)
    return struct.pack(">h" if short else ">i", min(count, 32767) if short else count)


def _put_value(field, value, version, flexible):
    if field.type in INTS:
        return struct.pack(INTS[field.type], value)
    if field.type == "uuid":
        return value
    if field.type in ("string", "bytes", "records"):
        if value is None or isinstance(value, Declared):
            return _length(-1 if value is None else value.count, flexible, field.type == "string")
        data = value.encode() if isinstance(value, str) else value
        return _length(len(data), flexible, field.type == "string") + data
    return _put_struct(field.fields, value, version, flexible)


def _put_field(field, value, version, flexible):
    if field.array:
        if value is None or isinstance(value, Declared):
            return _length(-1 if value is None else value.count, flexible, False)
        return _length(len(value), flexible, False) + b"".join(
            _put_value(field, item, version, flexible) for item in value)
    if field.fields and field.tag is None and field.nullable is not None:
        if value is None:
            return b"\xff"
        return b"\x01" + _put_value(field, value, version, flexible)
    return _put_value(field, value, version, flexible)


def _put_struct(fields, message, version, flexible):
    out, tagged = [], []
    for field in fields:
        if not _within(field.versions, version):
            continue
        value = field.value_of(message)
        if field.tag is None:
            out.append(_put_field(field, value, version, flexible))
        elif field.name in message:
            data = _put_field(field, value, version, flexible)
            tagged.append((field.tag, uvarint(field.tag) + uvarint(len(data)) + data))
    if flexible:
        out.append(uvarint(len(tagged)) + b"".join(data for _, data in sorted(tagged)))
    return b"".join(out)


def body(api, version, message):
    api = APIS[api]
    return _put_struct(api.request, message, version, version >= api.flexible)


def header(api, version, correlation, client_id=b"raw"):
    key = APIS[api].key if api in APIS else api
    flexible = api in APIS and version >= APIS[api].flexible
    return struct.pack(">hhih", key, version, correlation, len(client_id)) + client_id + (
        b"\0" if flexible else b"")


def sample(fields, version):
    """A message with one of everything that the version has."""
    message = {}
    for field in fields:
        if not _within(field.versions, version):
            continue
        if field.fields:
            value = sample(field.fields, version)
        else:
            value = {"string": "sample", "bytes": b"b", "records": b"r", "uuid": NOBODY}.get(field.type, 0)
        message[field.name] = [value] if field.array else value
    return message


def places(fields, version, path=()):
    """(path, field) of all fields of a version, those of structs behind the struct."""
    for field in fields:
        if _within(field.versions, version):
            yield path + (field.name,), field
            yield from places(field.fields, version, path + (field.name,))


def put_at(message, path, value):
    for name in path[:-1]:
        message = message[name]
        if isinstance(message, list):
            message = message[0]
    message[path[-1]] = value


def framed(data):
    return struct.pack(">i", len(data)) + data


# ---- decoding ----

class Short(Exception):
    """An answer ends before its last field, or has bytes behind it."""


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, count):
        if count < 0 or self.at + count > len(self.data):
            raise Short("%d bytes at %d of %d" % (count, self.at, len(self.data)))
        self.at += count
        return self.data[self.at - count:self.at]

    def number(self, kind):
        return struct.unpack(INTS[kind], self.take(struct.calcsize(INTS[kind])))[0]

    def uvarint(self):
        value = shift = 0
        while True:
            byte = self.take(1)[0]
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7

    def length(self, flexible, short):
        return self.uvarint() - 1 if flexible else self.number("int16" if short else "int32")


def _get_value(reader, field, version, flexible):
    if field.type in INTS:
        return reader.number(field.type)
    if field.type == "uuid":
        return bytes(reader.take(16))
    if field.type in ("string", "bytes", "records"):
        count = reader.length(flexible, field.type == "string")
        if count < 0:
            return None
        data = bytes(reader.take(count))
        return data.decode() if field.type == "string" else data
    return _get_struct(reader, field.fields, version, flexible)


def _get_field(reader, field, version, flexible):
    if field.array:
        count = reader.length(flexible, False)
        if count < 0:
            return None
        return [_get_value(reader, field, version, flexible) for _ in range(count)]
    if field.fields and field.tag is None and field.nullable is not None:
        if reader.number("int8") < 0:
            return None
    return _get_value(reader, field, version, flexible)


def _get_struct(reader, fields, version, flexible):
    out, tagged = {}, {}
    for field in fields:
        if not _within(field.versions, version):
            continue
        if field.tag is not None:
            tagged[field.tag] = field
            out[field.name] = None if field.default is Ellipsis else field.default
            continue
        out[field.name] = _get_field(reader, field, version, flexible)
        if out[field.name] is None and not _within(field.nullable, version):
            raise Short("%s is null in version %d" % (field.name, version))
    if flexible:
        last = -1
        for _ in range(reader.uvarint()):
            tag = reader.uvarint()
            if tag <= last:
                raise Short("tag %d follows %d" % (tag, last))
            last = tag
            data = reader.take(reader.uvarint())
            if tag in tagged:
                out[tagged[tag].name] = _get_field(Reader(data), tagged[tag], version, flexible)
    return out


def answer(api, version, frame):
    """The fields of a response frame (without its size), and its correlation id."""
    api = APIS[api]
    reader = Reader(frame)
    correlation = reader.number("int32")
    if version >= api.flexible and api.name != "ApiVersions":
        for _ in range(reader.uvarint()):
            reader.uvarint()
            reader.take(reader.uvarint())
    message = _get_struct(reader, api.response, version, version >= api.flexible)
    if reader.at != len(frame):
        raise Short("%d bytes behind %s v%d" % (len(frame) - reader.at, api.name, version))
    return correlation, message


# ---- record batches ----

def _crc_table():
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    return table


_CRC = _crc_table()


def crc32c(data):
    crc = 0xFFFFFFFF
    table = _CRC
    for byte in data:
        crc = crc >> 8 ^ table[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def record(delta, value, key=None, timestamp_delta=0):
    data = b"\0" + varint(timestamp_delta) + varint(delta)
    data += varint(-1) if key is None else varint(len(key)) + key
    data += varint(len(value)) + value + varint(0)
    return varint(len(data)) + data


def batch(values, base_offset=0, magic=2, attributes=0, producer=(-1, -1, -1), count=None,
          last_delta=None, crc=None, records=None, timestamp=None, size=None):
    """A record batch; what is given disagrees with the records on purpose."""
    if records is None:
        records = b"".join(record(i, value) for i, value in enumerate(values))
    if timestamp is None:
        timestamp = int(time.time() * 1000)
    count = len(values) if count is None else count
    last_delta = len(values) - 1 if last_delta is None else last_delta
    rest = struct.pack(">hiqqqhii", attributes, last_delta, timestamp, timestamp, *producer,
                       count) + records
    if crc is None:
        crc = crc32c(rest)
    size = 9 + len(rest) if size is None else size
    return struct.pack(">qiibI", base_offset, size, -1, magic, crc) + rest


BatchHead = collections.namedtuple("BatchHead", "base last bytes magic attributes producer epoch "
                                   "sequence count at whole")


def heads(records):
    """The headers of the batches in a Fetch's records, the last of which may be cut."""
    at = 0
    while len(records) - at >= 61:
        (base, size, _, magic, _, attributes, last, _, _, producer, epoch, sequence,
         count) = struct.unpack_from(">qiibIhiqqqhii", records, at)
        yield BatchHead(base, base + last, size + 12, magic, attributes, producer, epoch, sequence,
                        count, at, at + size + 12 <= len(records))
        at += 12 + size


def values(records):
    """(offset, value) of uncompressed whole batches."""
    for head in heads(records):
        if not head.whole:
            return
        reader = Reader(records[head.at + 61:head.at + head.bytes])
        for _ in range(head.count):
            reader.uvarint()
            reader.take(1)
            reader.uvarint()
            delta = reader.uvarint() >> 1
            if reader.uvarint() != 1:
                raise Short("a key, where these tests write none")
            size = reader.uvarint() >> 1
            yield head.base + delta, bytes(reader.take(size))
            reader.uvarint()


# ---- connections ----

class Closed(Exception):
    """The broker closed the connection."""


class Conn:
    def __init__(self, port, timeout=10, receive_buffer=None):
        self.socket = socket.socket()
        self.socket.settimeout(timeout)
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.connect(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.pending = collections.deque()
        self.correlation = 0

    def close(self):
        self.socket.close()

    def raw(self, data):
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError) as error:
            raise Closed() from error

    def frame(self, api, version, message):
        """A request as it goes on the wire; message is a dict or the body's bytes."""
        self.correlation += 1
        data = message if isinstance(message, bytes) else body(api, version, message)
        return framed(header(api, version, self.correlation) + data)

    def send(self, api, version, message):
        self.raw(self.frame(api, version, message))
        self.pending.append((api, version, self.correlation))

    def read(self, size):
        data = bytearray()
        while len(data) < size:
            try:
                piece = self.socket.recv(min(size - len(data), 1 << 20))
            except ConnectionResetError as error:
                raise Closed() from error
            if not piece:
                raise Closed()
            data += piece
        return bytes(data)

    def read_frame(self):
        return self.read(struct.unpack(">i", self.read(4))[0])

    def receive(self):
        api, version, correlation = self.pending.popleft()
        got, message = answer(api, version, self.read_frame())
        if got != correlation:
            raise Short("answer to %d instead of %d" % (got, correlation))
        return message

    def call(self, api, version, message=None):
        self.send(api, version, message or {})
        return self.receive()

    def is_quiet(self, seconds=0.0):
        return not select.select([self.socket], [], [], seconds)[0]

    def is_closed(self, seconds=5.0):
        """True if the broker closes this connection in that time without a byte of answer."""
        if not select.select([self.socket], [], [], seconds)[0]:
            return False
        try:
            return self.socket.recv(1) == b""
        except ConnectionResetError:
            return True


# ---- what tests do all the time ----

def create_topic(conn, name, partitions=1, configs=None):
    topic = {"Name": name, "NumPartitions": partitions, "ReplicationFactor": 1,
             "Configs": [{"Name": k, "Value": v} for k, v in (configs or {}).items()]}
    got = conn.call("CreateTopics", 7, {"Topics": [topic], "timeoutMs": 20000})["Topics"][0]
    if got["ErrorCode"] != 0:
        raise AssertionError("could not create %s: %s" % (name, got))
    return got["TopicId"]


def produce_message(name, partition, records, acks=-1, timeout_ms=10000):
    return {"Acks": acks, "TimeoutMs": timeout_ms, "TopicData": [
        {"Name": name, "PartitionData": [{"Index": partition, "Records": records}]}]}


def produce(conn, name, partition, records, acks=-1, version=7, timeout_ms=10000):
    got = conn.call("Produce", version, produce_message(name, partition, records, acks, timeout_ms))
    return got["Responses"][0]["PartitionResponses"][0]


def fetch_message(parts, max_wait_ms=0, min_bytes=1, max_bytes=50 << 20, part_bytes=1 << 20, **more):
    """parts: (topic or id, partition, offset[, max_bytes])."""
    topics = []
    for part in parts:
        key = "TopicId" if isinstance(part[0], bytes) else "Topic"
        if not topics or topics[-1].get(key) != part[0]:
            topics.append({key: part[0], "Partitions": []})
        topics[-1]["Partitions"].append({
            "Partition": part[1], "FetchOffset": part[2],
            "PartitionMaxBytes": part[3] if len(part) > 3 else part_bytes})
    return dict({"MaxWaitMs": max_wait_ms, "MinBytes": min_bytes, "MaxBytes": max_bytes,
                 "Topics": topics}, **more)


def fetched(got):
    """{(topic or id, partition): partition of the answer}"""
    return {(topic.get("Topic", topic.get("TopicId")), part["PartitionIndex"]): part
            for topic in got["Responses"] for part in topic["Partitions"]}


def fetch(conn, name, partition, offset, version=11, **more):
    got = conn.call("Fetch", version, fetch_message([(name, partition, offset)], **more))
    return fetched(got)[(name, partition)]


def read_all(conn, name, partition, offset=0):
    """All (offset, value) of a partition."""
    out = []
    while True:
        got = fetch(conn, name, partition, offset, part_bytes=8 << 20)
        if got["ErrorCode"] != 0:
            raise AssertionError("fetch of %s-%d at %d: %s" % (name, partition, offset, got["ErrorCode"]))
        piece = [row for row in values(got["Records"]) if row[0] >= offset]
        if not piece:
            if got["HighWatermark"] > offset:
                raise AssertionError("nothing at %d of %d" % (offset, got["HighWatermark"]))
            return out
        out += piece
        offset = piece[-1][0] + 1
