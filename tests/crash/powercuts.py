#!/usr/bin/python3
"""The power fails: what brokers find on the disk afterwards, many times over.  See README.md.

    powercuts.py [--cuts N] [--seed N] [--flush MODE] [--build DIRECTORY] [--keep] [--only N]
"""
import argparse
import filecmp
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import image  # noqa: E402
import kills  # noqa: E402
import load  # noqa: E402
import records  # noqa: E402
import wire  # noqa: E402
from history import Broken, History  # noqa: E402
from kills import say  # noqa: E402
from process import Broker, free_port  # noqa: E402

CUTS_OF_A_RECORD = 100
TOPICS = (("plain", 3, {"segment.bytes": "6000"}), ("large", 2, {}))
NAMES = ("lost", "kept", "prefix", "any")
DATA = ("lost", "kept", "prefix", "blocks", "torn", "mixed")


def settings_of(flush):
    rows = ["worker_processes = 1;", 'data_directories = ( "data/d0", "data/d1" );',
            'log_segment_delete_delay_ms = "50ms";', 'log_index_interval_bytes = "512B";']
    return rows + (['flush = "%s";' % flush] if flush else [])


class Recorded(History):
    """Its marks go into the record, in order with what the broker does."""

    def __init__(self, path):
        super().__init__()
        self.fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def mark(self, kind, **what):
        os.write(self.fd, image.mark_bytes(json.dumps(dict(what, kind=kind)).encode()))


class Record:
    """A short life of a broker, written down."""

    def __init__(self, args, seed):
        self.args, self.seed = args, seed
        self.rng = random.Random(seed)
        self.folder = tempfile.mkdtemp(prefix="takhin-power.")
        os.mkdir(self.folder + "/data")
        self.root_inode = os.stat(self.folder + "/data").st_ino
        with open(self.folder + "/boot_id", "w", encoding="ascii") as file:
            file.write("00000000-0000-4000-8000-%012x\n" % seed)
        self.history = Recorded(self.folder + "/record")
        self.epoch = [0]
        self.broker = Broker(args.build, self.folder, free_port(random.Random()), settings_of(args.flush), {
            "LD_PRELOAD": args.shim, "TAKHIN_SHIM_ROOT": self.folder + "/data",
            "TAKHIN_SHIM_LOG": self.folder + "/record", "TAKHIN_SHIM_BOOT_ID": self.folder + "/boot_id"})
        self.loaders = []

    def created(self):
        conn = wire.Conn(self.broker.port, timeout=30)
        for name, count, configs in TOPICS:
            wire.create_topic(conn, name, count, configs)
            self.history.mark("topic", name=name, state="created")
            self.history.add_topic(name, count)
        conn.close()

    def begin(self):
        """Loaders live as long as a broker: none sees it stop, and all they sent is acknowledged."""
        life = "%d" % self.epoch[0]
        self.loaders = [load.Producer("p%s.%d" % (life, n), self.broker.port, self.history, self.epoch,
                                      pause=0.01) for n in range(2)]
        self.loaders.append(load.Admin("scratch" + life, self.broker.port, self.history, self.epoch,
                                       pause=0.02, keep=0.4))
        for loader in self.loaders:
            loader.rng = random.Random(self.rng.random())
            loader.start()

    def end(self):
        for loader in self.loaders:
            loader.ending = True
        for loader in self.loaders:
            loader.join(60)
        if self.history.error is not None:
            raise self.history.error

    def stop(self):
        if self.broker.stop() != 0:
            raise Broken("a clean stop failed: " + self.broker.text()[-400:])
        self.history.mark("stopped")

    def run(self):
        self.broker.start()
        self.created()
        for _ in range(3):
            self.begin()
            time.sleep(0.5)
            self.end()
            self.epoch[0] += 1
            if self.rng.random() < 0.6:
                self.stop()
            else:
                self.broker.kill_all()
            self.broker.start()
        load.Reader(self.broker.port, self.history).read_all()
        self.stop()
        self.entries = image.load(self.folder + "/record")
        self.compare()

    def compare(self):
        """The record tells all of it: put together whole, it is what the directory is."""
        whole = self.folder + "/whole"
        os.mkdir(whole)
        disk = image.Disk(self.root_inode)
        for entry in self.entries:
            if entry.what != image.MARK:
                disk.take(entry)
        image.write(disk, self.rng, whole, "kept", "kept")
        got = subprocess.run(["diff", "-r", self.folder + "/data", whole], check=False,
                             capture_output=True).stdout.decode()
        if got:
            raise AssertionError("the record is not what was done: " + got[:1000])
        shutil.rmtree(whole)

    def close(self, keep):
        for loader in self.loaders:
            loader.ending = True
        if self.broker.process is not None and self.broker.process.poll() is None:
            self.broker.kill_all()
        os.close(self.history.fd)
        if keep:
            say("kept: " + self.folder)
        else:
            shutil.rmtree(self.folder, ignore_errors=True)


class Owed:
    """What is certain at a cut: topics, and where each partition's log must reach."""

    def __init__(self, flush):
        self.flush = flush
        self.topics, self.acked, self.ends = {}, {}, {}

    def take(self, mark):
        if mark["kind"] == "topic":
            self.topics[mark["name"]] = mark["state"]
        elif mark["kind"] == "acked":
            self.acked[mark["part"]] = max(self.acked.get(mark["part"], 0), mark["end"])
            if self.flush == "commit":
                self.ends[mark["part"]] = self.acked[mark["part"]]
        elif mark["kind"] == "stopped":
            self.ends = dict(self.acked)


class Cut:
    def __init__(self, record, number):
        self.record, self.number = record, number
        self.rng = random.Random("%d/%d" % (record.seed, number))
        entries = record.entries
        if self.rng.random() < 0.5:
            self.at = self.rng.randint(0, len(entries))
        else:
            near = [n for n, entry in enumerate(entries, 1) if entry.what in (
                image.MARK, image.RENAMED, image.SYNCED, image.MADE, image.MADE_DIR, image.CUT)]
            self.at = self.rng.choice(near)
        self.names, self.data = self.rng.choice(NAMES), self.rng.choice(DATA)
        self.folder = record.folder + "/cut%d" % number
        self.owed = Owed(record.args.flush)
        self.damaged = self.holes = 0

    def __str__(self):
        return "cut %d after entry %d of %d, unsynced names %s, unsynced data %s" % (
            self.number, self.at, len(self.record.entries), self.names, self.data)

    def make(self):
        disk = image.Disk(self.record.root_inode)
        for entry in self.record.entries[:self.at]:
            if entry.what == image.MARK:
                self.owed.take(json.loads(entry.data))
            else:
                disk.take(entry)
        os.makedirs(self.folder + "/data")
        image.write(disk, self.rng, self.folder + "/data", self.names, self.data)

    def check_topics(self, conn):
        got = conn.call("Metadata", 8, {"Topics": None, "AllowAutoTopicCreation": False})
        there = {topic["Name"]: topic for topic in got["Topics"]}
        for name, state in self.owed.topics.items():
            if state != "unsure" and (name in there) != (state == "created"):
                raise Broken("topic %s was %s and is %s" % (
                    name, state, "there" if name in there else "not there"))
        for name, topic in there.items():
            if topic["ErrorCode"] or any(part["ErrorCode"] for part in topic["Partitions"]):
                raise Broken("topic %s: %s" % (name, topic))
        return there

    def one(self, part, data, at):
        """The offset behind what was got at offset at."""
        for raw in records.pieces(data):
            base, last = records.offsets(raw)
            if base != at:
                # The tail of an unsynced segment that a later one follows.
                if base < at or at < self.owed.ends.get(str(part), 0):
                    raise Broken("%s: offset %d is missing: %d follows" % (part, at, base))
                self.holes += 1
            at = last + 1
            try:
                values = records.one(raw).values
            except records.Bad as bad:
                # Kept and told by recovery; its reader sees the checksum.  Nothing promised is there.
                if base < self.owed.ends.get(str(part), 0):
                    raise Broken("%s: what was promised is damaged: %s" % (part, bad)) from bad
                self.damaged += 1
                continue
            for offset, value in enumerate(values, base):
                if part.values.get(offset) != value:
                    raise Broken("%s: offset %d is %s, was %s" % (part, offset, value[:40],
                                                                  part.values.get(offset, b"")[:40]))
        return at

    @staticmethod
    def earliest(conn, part):
        """Of a log whose first segment was lost before another."""
        got = conn.call("ListOffsets", 5, {"ReplicaId": -1, "Topics": [{
            "Name": part.topic, "Partitions": [{"PartitionIndex": part.index, "Timestamp": -2}]}]})
        row = got["Topics"][0]["Partitions"][0]
        if row["ErrorCode"] != 0 or row["Offset"] <= 0:
            raise Broken("%s: offset 0 is out of range, the first is %s" % (part, row))
        return row["Offset"]

    def check_part(self, conn, part):
        at = 0
        while True:
            got = wire.fetch(conn, part.topic, part.index, at, part_bytes=1 << 18)
            if got["ErrorCode"] == 1 and at == 0 and self.owed.ends.get(str(part), 0) == 0:
                at = self.earliest(conn, part)
                self.holes += 1
                continue
            if got["ErrorCode"] != 0:
                raise Broken("%s: a Fetch at %d has error %d" % (part, at, got["ErrorCode"]))
            after = self.one(part, got["Records"] or b"", at)
            if after == at:
                break
            at = after
        if at < got["HighWatermark"] or at < self.owed.ends.get(str(part), 0):
            raise Broken("%s: ends at %d, its high watermark is %d, promised is %d" % (
                part, at, got["HighWatermark"], self.owed.ends.get(str(part), 0)))
        return at

    def check_serves(self, conn, part, end):
        got = wire.produce(conn, part.topic, part.index, records.make([b"after"]))
        if got["ErrorCode"] != 0 or got["BaseOffset"] != end:
            raise Broken("%s: ends at %d, then produced: %s" % (part, end, got))
        got = wire.fetch(conn, part.topic, part.index, end)
        if [batch.values for batch in records.take_apart(got["Records"])] != [[b"after"]]:
            raise Broken("%s: what was produced at %d is not there" % (part, end))

    def run(self):
        self.make()
        broker = Broker(self.record.args.build, self.folder, free_port(self.rng),
                        settings_of(self.record.args.flush))
        try:
            broker.start()
            conn = wire.Conn(broker.port, timeout=30)
            there = self.check_topics(conn)
            for part in self.record.history.parts:
                if part.topic in there and part.index < len(there[part.topic]["Partitions"]):
                    self.check_serves(conn, part, self.check_part(conn, part))
            conn.close()
        except Exception:
            say(str(self))
            print(broker.text(0)[-3000:])
            raise
        finally:
            if broker.process is not None and broker.process.poll() is None:
                broker.kill_all()
        shutil.rmtree(self.folder)


def arguments():
    everything = os.environ.get("TAKHIN_REQUIRE_ALL") == "1" or os.environ.get("CI") == "true"
    count = 10000 if os.environ.get("TAKHIN_FULL") == "1" else 300 if everything else 45
    parser = argparse.ArgumentParser()
    parser.add_argument("--cuts", type=int, default=count)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.add_argument("--flush")
    parser.add_argument("--build", default=os.environ.get("TAKHIN_BUILD_DIR", "."))
    parser.add_argument("--keep", action="store_true", help="keep the folder of what failed")
    args = parser.parse_args()
    args.build = os.path.abspath(args.build)
    args.shim = args.build + "/tests/crash/shim.so"
    return args


def main():
    args = arguments()
    modes = (args.flush,) if args.flush else kills.flush_modes(args.build)
    say("seed %d, %d power cuts" % (args.seed, args.cuts))
    each = min(CUTS_OF_A_RECORD, -(-args.cuts // len(modes)))
    done = number = damaged = holes = 0
    while done < args.cuts:
        args.flush = modes[number % len(modes)]
        record = Record(args, args.seed + number)
        failed = True
        try:
            record.run()
            for cut in range(min(each, args.cuts - done)):
                one = Cut(record, cut)
                one.run()
                done += 1
                damaged += one.damaged
                holes += one.holes
            failed = False
        except (Broken, AssertionError) as error:
            say("FAILED, seed %d, flush %s: %s" % (record.seed, args.flush, error))
            return 1
        finally:
            record.close(args.keep and failed)
        number += 1
    say("%d power cuts, %d records; all that was promised was there; of what was not, %d batches have a "
        "wrong checksum and %d holes are in front of others" % (done, number, damaged, holes))
    return 0


if __name__ == "__main__":
    sys.exit(main())
