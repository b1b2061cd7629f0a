"""The part of test_zero_copy_parts.sh that speaks to the broker."""
import hashlib
import re
import signal
import subprocess

import broker
import wire
from broker import check, say

PARTS, RANGES_MAX = 70, 64  # asked at most, and what one reply holds
VALUE = 940 * 32
TURN_BYTES = 1 << 20  # sent to one connection at once
FETCHES = 5
CALLS = "read,readv,pread64,preadv,preadv2,sendfile,sendmsg,sendto,write,writev,splice,vmsplice,mmap"

conn = wire.Conn(broker.PORT, timeout=60, receive_buffer=8 << 20)
worker = broker.workers()[0]
expected = {}


def test_make():
    wire.create_topic(conn, "warm", PARTS)
    for partition in range(PARTS):
        for number in range(2):
            seed = hashlib.sha256(b"%d %d" % (partition, number)).digest()
            one = wire.batch([seed * (VALUE // len(seed))])
            check(wire.produce(conn, "warm", partition, one)["ErrorCode"] == 0, "Produce")
            expected[partition, number] = seed * (VALUE // len(seed))


class Traced:
    """with Traced() as calls: what the worker asked of the kernel meanwhile is in calls afterwards."""

    def __enter__(self):
        path = broker.DIR + "/trace"
        self.path, self.calls = path, []
        self.tracer = subprocess.Popen(["strace", "-f", "-qq", "-yy", "-s", "0", "-e", "trace=" + CALLS,
                                        "-e", "signal=none", "-o", path, "-p", str(worker)])
        broker.within(20, self.attached, "strace attaches")
        return self.calls

    def attached(self):
        text = broker.read_file("/proc/%d/status" % worker)
        return re.search(rb"^TracerPid:\s+%d$" % self.tracer.pid, text, re.M)

    def __exit__(self, *_):
        self.tracer.send_signal(signal.SIGINT)
        self.tracer.wait()
        with open(self.path, encoding="ascii", errors="replace") as lines:
            for line in lines:
                match = re.match(r"\d+\s+(\w+)\((.*)\)\s+= (-?\d+)", line)
                if match:
                    name, arguments, result = match.groups()
                    self.calls.append((name, arguments, int(result)))


def socket_full(name, arguments, result):
    """A call that the socket did not take all of."""
    if result < 0:
        return True
    return name == "sendfile" and result < int(arguments.rsplit(",", 1)[1])


def fetch_all(count, offset, version):
    message = wire.fetch_message([("warm", partition, offset) for partition in range(count)],
                                 part_bytes=VALUE + 1000)
    return wire.fetched(conn.call("Fetch", version, message))


def served(got, count, offset):
    """How many partitions have records; all that have are right."""
    ranges = 0
    for partition in range(count):
        part = got["warm", partition]
        check(part["ErrorCode"] == 0, "partition %d: error %d" % (partition, part["ErrorCode"]))
        if not part["Records"]:
            continue
        ranges += 1
        check(list(wire.values(part["Records"])) == [(offset, expected[partition, offset])],
              "partition %d is not what was produced" % partition)
    return ranges


def counted(count, offset, version):
    ranges = min(count, RANGES_MAX)
    check(served(fetch_all(count, offset, version), count, offset) == ranges, "%d are asked" % count)
    with Traced() as calls:
        for _ in range(FETCHES):
            got = fetch_all(count, offset, version)
        conn.call("ApiVersions", 0)  # who is answered this is past its last sendfile
    check(served(got, count, offset) == ranges, "%d partitions are asked, traced" % count)
    out = [call for call in calls if call[0] in ("sendfile", "sendmsg") and "TCP" in call[1].split(",")[0]]
    full = sum(socket_full(*call) for call in out)
    files = [call for call in out if call[0] == "sendfile"]
    messages = len(out) - len(files)
    say("v%d, %d ranges, %d Fetches: %d sendfile, %d sendmsg, the socket was full %d times" % (
        version, ranges, FETCHES, len(files), messages, full))
    sent = sum(max(call[2], 0) for call in files)
    check(sent >= FETCHES * ranges * VALUE, "sendfile sent %d bytes" % sent)
    # A turn's end may cut one range as a full socket does; the last sendmsg is that of ApiVersions.
    cut = full + FETCHES * (sent // FETCHES // TURN_BYTES)
    check(FETCHES * ranges <= len(files) <= FETCHES * ranges + cut, "%d sendfile" % len(files))
    check(messages - 1 <= FETCHES * (ranges + 1) + cut, "%d sendmsg" % messages)
    check(not [call for call in calls if call[0] in ("splice", "vmsplice", "sendto", "write", "writev")
               and "TCP" in call[1].split(",")[0]], "something else sends")
    # Of the log nothing is read but a batch's header, where the Fetch does not know its place yet.
    reads = [call for call in calls if "read" in call[0] and ".log>" in call[1].split(",")[0]]
    check(all(call[2] < 1000 for call in reads), "records are read: %s" % reads)
    check(sum(call[2] for call in reads) <= FETCHES * ranges * 200, "much is read: %s" % reads)
    check(not [call for call in calls if call[0] == "mmap" and ".log>" in call[1]], "a log is mapped")
    return full


def test_counts():
    quiet = 0
    for version in (4, 12):
        for count in (1, 2, 5, 33, PARTS):
            for offset in (0, 1):
                quiet += counted(count, offset, version) == 0
    check(quiet > 0, "the socket was full every time: nothing was counted exactly")


broker.run([test_make, test_counts])
say("all good")
