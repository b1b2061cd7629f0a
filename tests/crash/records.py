"""Record batches of Kafka's format (magic 2), made and taken apart here: nothing of the broker's is used.

Compression is that of the libraries themselves, by ctypes; each of our records has a value and no key.
"""
import collections
import ctypes
import ctypes.util
import gzip
import struct
import time

HEAD = struct.Struct(">qiibIhiqqqhii")
CODECS = ("none", "gzip", "snappy", "lz4", "zstd")
ROOM = 1 << 20  # of an inflated batch: ours are far smaller


class Bad(Exception):
    """Bytes that are no record batch."""


def _table():
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    return table


_TABLE = _table()


def crc32c(data):
    crc, table = 0xFFFFFFFF, _TABLE
    for byte in data:
        crc = crc >> 8 ^ table[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


# ---- compression ----

def _library(name, soname):
    try:
        return ctypes.CDLL(soname)
    except OSError:
        found = ctypes.util.find_library(name)
        return ctypes.CDLL(found) if found else None


def _sized(library, names):
    for name in names:
        getattr(library, name).restype = ctypes.c_size_t


_ZSTD = _library("zstd", "libzstd.so.1")
_LZ4 = _library("lz4", "liblz4.so.1")
_SNAPPY = _library("snappy", "libsnappy.so.1")
if _ZSTD:
    _sized(_ZSTD, ("ZSTD_compress", "ZSTD_decompress"))
if _LZ4:
    _sized(_LZ4, ("LZ4F_compressFrame", "LZ4F_decompress", "LZ4F_createDecompressionContext"))


def _size(count):
    return ctypes.c_size_t(count)


def _filled(buffer, count, what):
    if count > len(buffer):
        raise Bad("%s: error %d" % (what, count - (1 << 64)))
    return buffer.raw[:count]


def _zstd(data):
    out = ctypes.create_string_buffer(len(data) + 512)
    return _filled(out, _ZSTD.ZSTD_compress(out, _size(len(out)), data, _size(len(data)), 1), "zstd")


def _unzstd(data):
    out = ctypes.create_string_buffer(ROOM)
    return _filled(out, _ZSTD.ZSTD_decompress(out, _size(ROOM), data, _size(len(data))), "zstd")


def _lz4(data):
    out = ctypes.create_string_buffer(len(data) + 512)
    return _filled(out, _LZ4.LZ4F_compressFrame(out, _size(len(out)), data, _size(len(data)), None), "lz4")


def _unlz4(data):
    context = ctypes.c_void_p()
    _LZ4.LZ4F_createDecompressionContext(ctypes.byref(context), 100)
    out = ctypes.create_string_buffer(ROOM)
    made, used = ctypes.c_size_t(ROOM), ctypes.c_size_t(len(data))
    left = _LZ4.LZ4F_decompress(context, out, ctypes.byref(made), data, ctypes.byref(used), None)
    _LZ4.LZ4F_freeDecompressionContext(context)
    if left != 0:
        raise Bad("lz4: %d bytes are missing" % left)
    return out.raw[:made.value]


def _snappy(data):
    out = ctypes.create_string_buffer(2 * len(data) + 512)
    made = ctypes.c_size_t(len(out))
    if _SNAPPY.snappy_compress(data, _size(len(data)), out, ctypes.byref(made)) != 0:
        raise Bad("snappy")
    return out.raw[:made.value]


def _unsnappy(data):
    out = ctypes.create_string_buffer(ROOM)
    made = ctypes.c_size_t(ROOM)
    if _SNAPPY.snappy_uncompress(data, _size(len(data)), out, ctypes.byref(made)) != 0:
        raise Bad("snappy")
    return out.raw[:made.value]


_DEFLATE = (bytes, lambda data: gzip.compress(data, 1), _snappy, _lz4, _zstd)
_INFLATE = (bytes, gzip.decompress, _unsnappy, _unlz4, _unzstd)
USABLE = tuple(n for n, there in enumerate((True, True, _SNAPPY, _LZ4, _ZSTD)) if there)


# ---- making ----

def varint(value):
    value = value << 1 ^ value >> 63
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def make(values, producer=(-1, -1, -1), codec=0, timestamp=None):
    rows = []
    for delta, value in enumerate(values):
        row = b"\0\0" + varint(delta) + varint(-1) + varint(len(value)) + value + b"\0"
        rows.append(varint(len(row)) + row)
    timestamp = int(time.time() * 1000) if timestamp is None else timestamp
    rest = struct.pack(">hiqqqhii", codec, len(values) - 1, timestamp, timestamp, *producer,
                       len(values)) + _DEFLATE[codec](b"".join(rows))
    return struct.pack(">qiibI", 0, 9 + len(rest), -1, 2, crc32c(rest)) + rest


# ---- taking apart ----

Batch = collections.namedtuple("Batch", "base last producer epoch sequence raw values")


def _varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value >> 1 ^ -(value & 1), at
        shift += 7


def _values(data, count):
    out, at = [], 0
    for delta in range(count):
        size, at = _varint(data, at)
        end = at + size
        _, at = _varint(data, at + 1)
        got, at = _varint(data, at)
        key, at = _varint(data, at)
        size, at = _varint(data, at)
        if got != delta or key != -1 or size < 0 or at + size + 1 != end:
            raise Bad("record %d is no record of ours" % delta)
        out.append(bytes(data[at:at + size]))
        at = end
    if at != len(data):
        raise Bad("%d bytes behind the last record" % (len(data) - at))
    return out


def offsets(raw):
    """First and last, as the header says."""
    base, = struct.unpack_from(">q", raw)
    return base, base + struct.unpack_from(">i", raw, 23)[0]


def one(raw):
    (base, size, _, magic, crc, attributes, last_delta, _, _, producer, epoch, sequence,
     count) = HEAD.unpack_from(raw)
    if magic != 2 or size + 12 != len(raw):
        raise Bad("magic %d, size %d of %d at offset %d" % (magic, size + 12, len(raw), base))
    if crc32c(raw[21:]) != crc:
        raise Bad("the checksum at offset %d is wrong" % base)
    if attributes & ~7 or attributes > 4 or last_delta != count - 1:
        raise Bad("attributes %d, %d records, last %d at offset %d" % (
            attributes, count, last_delta, base))
    try:
        values = _values(_INFLATE[attributes](raw[HEAD.size:]), count)
    except (IndexError, OSError, EOFError) as error:
        raise Bad("%s at offset %d" % (error, base)) from error
    return Batch(base, base + last_delta, producer, epoch, sequence, raw, values)


def pieces(data):
    """The bytes of each batch that is there whole; a Fetch may cut the last one."""
    at = 0
    while len(data) - at >= HEAD.size:
        size = 12 + struct.unpack_from(">i", data, at + 8)[0]
        if size < HEAD.size:
            raise Bad("a batch of %d bytes" % size)
        if at + size > len(data):
            return
        yield bytes(data[at:at + size])
        at += size


def take_apart(data):
    for raw in pieces(data):
        yield one(raw)
