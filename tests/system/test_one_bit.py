"""Flips single bits in copies of a data directory and looks at what a broker serves from them.

A batch that is served is known by its bytes from behind the checksum on: Kafka's checksum covers those,
and neither base offset nor leader epoch.  What differs from all that was produced must have a checksum
that a client refuses.
"""
import glob
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time

import wire
from broker import BUILD, DIR, PORT, check, read_file, say

FULL = os.environ.get("TAKHIN_FULL") == "1"
SEED = int(os.environ.get("TAKHIN_SEED", "1"))
BITS = int(os.environ.get("TAKHIN_BITS", "60"))
BATCHES, RECORDS, MORE = 10, 3, 2
TOPICS = ("a", "b")
NOT_SERVED = (2, 56)  # CORRUPT_MESSAGE, KAFKA_STORAGE_ERROR
HEADER = 61


def values(topic, number):
    return [b"%s %d %d " % (topic.encode(), number, i) + b"%c" % (97 + number) * 700 * (1 + number % 4)
            for i in range(RECORDS)]


def fill(first, last):
    conn = wire.Conn(PORT)
    got = conn.call("InitProducerId", 4, {"TransactionalId": None, "TransactionTimeoutMs": 60000,
                                          "ProducerId": -1, "ProducerEpoch": -1})
    for topic in TOPICS:
        if first == 0:
            wire.create_topic(conn, topic)
        for number in range(first, last):
            producer = (got["ProducerId"], got["ProducerEpoch"], (number - first) * RECORDS)
            records = wire.batch(values(topic, number), producer=producer, timestamp=1700000000000 + number)
            got_one = wire.produce(conn, topic, 0, records)
            check(got_one["ErrorCode"] == 0, "produce: %s" % got_one)


def make():
    fill(0, BATCHES)


def more():
    fill(BATCHES, BATCHES + MORE)


class Broker:
    """A broker over a folder that is a copy."""

    def __init__(self, folder):
        self.folder = folder
        with open(folder + "/log", "wb"):
            pass
        self.process = subprocess.Popen([BUILD + "/takhin", "-p", folder], stdin=subprocess.DEVNULL,
                                        stdout=open(folder + "/log", "ab"), stderr=subprocess.STDOUT)
        self.refused = False

    def log(self):
        return read_file(self.folder + "/log").decode("utf-8", "replace")

    def ready(self):
        until = time.monotonic() + 20
        while self.process.poll() is None:
            if "]: ready\n" in self.log():
                return True
            check(time.monotonic() < until, "the broker does not get ready, but after %g s: %s" % (time.monotonic() - until + 20, self.log()[-2500:]))
            time.sleep(0.005)
        return False

    def end(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(10)


class Original:
    """What was produced, from the files before any harm."""

    def __init__(self, folder):
        self.batches = {}
        for topic in TOPICS:
            data = read_file(glob.glob(folder + "/data/%s-0/*.log" % topic)[0])
            self.batches[topic] = [(head.base, head.last, data[head.at + 21:head.at + head.bytes], head.at)
                                   for head in wire.heads(data)]
        self.places = [place for path in sorted(glob.glob(folder + "/data/**", recursive=True) +
                                                glob.glob(folder + "/data/.[a-z]*"))
                       for place in self.places_in(folder, path)]

    def places_in(self, folder, path):
        """(file, byte) worth flipping."""
        name = os.path.relpath(path, folder)
        if not os.path.isfile(path) or name.endswith("/.lock"):
            return
        data = read_file(path)
        if name.endswith(".log"):
            for head in wire.heads(data):
                for at in range(head.at, head.at + HEADER + 3):
                    yield name, at
        else:
            yield from ((name, at) for at in range(len(data)))


def consume(conn, topic, original):
    """Numbers of the batches that are served good, of those shifted, and how many errors there were."""
    bodies = {body: number for number, (_, _, body, _) in enumerate(original)}
    good, shifted, errors = set(), set(), 0
    for number, (base, last, _, _) in enumerate(original):
        if number in good:
            continue
        for offset in (base, last):
            got = wire.fetch(conn, topic, 0, offset)
            if got["ErrorCode"] != 0:
                check(got["ErrorCode"] in NOT_SERVED + (1,), "%s: error %d" % (topic, got["ErrorCode"]))
                errors += 1
                continue
            records = got["Records"] or b""
            for head in wire.heads(records):
                if not head.whole:
                    break
                body = records[head.at + 21:head.at + head.bytes]
                if body in bodies:
                    which = bodies[body]
                    (good if head.base == original[which][0] else shifted).add(which)
                    continue
                crc = int.from_bytes(records[head.at + 17:head.at + 21], "big")
                check(wire.crc32c(body) != crc, "%s: a batch is served that was not produced" % topic)
                errors += 1
                break  # no client goes on behind it by itself
            if number in good:
                break
    return good, shifted, errors


def hit(name, at, original):
    """(topic, number) of the batch that a byte of a .log belongs to."""
    topic = name.split("/")[1].rsplit("-", 1)[0]
    if not name.endswith(".log") or topic not in TOPICS:
        return topic, None
    return topic, max(n for n, batch in enumerate(original.batches[topic]) if batch[3] <= at)


def judge_served(state, name, at, original, broker):
    topic_hit, number_hit = hit(name, at, original)
    conn = wire.Conn(PORT)
    for topic in TOPICS:
        batches = original.batches[topic]
        good, shifted, errors = consume(conn, topic, batches)
        missing = set(range(len(batches))) - good
        allowed = {number_hit} if topic == topic_hit else set()
        check(missing <= allowed, "%s: batches %s are not served" % (topic, sorted(missing)))
        check(shifted <= allowed, "%s: batches %s are at another offset" % (topic, sorted(shifted)))
        check(not errors or topic == topic_hit, "%s: %d errors, though it was not hit" % (topic, errors))
        if missing and state == "killed":
            check("damage" in broker.log() or "torn" in broker.log(), "the log says nothing of it")
    conn.close()


def journal_is_hit(name):
    return name.startswith("data/__metadata-0/") and name.endswith(".log")


def one(source, state, name, at, bit, original):
    folder = DIR
    shutil.rmtree(folder)
    shutil.copytree(source, folder, ignore=shutil.ignore_patterns("*.sock"))
    with open(folder + "/" + name, "r+b") as file:
        file.seek(at)
        byte = file.read(1)[0] ^ 1 << bit
        file.seek(at)
        file.write(bytes((byte,)))
    broker = Broker(folder)
    try:
        broker.refused = not broker.ready()
        if broker.refused:
            # Whose directory it is and which topics there are nobody can guess: it says so, and leaves
            # all as it is.
            what = "metadata journal" if journal_is_hit(name) else "meta.properties"
            check(name == "data/meta.properties" or journal_is_hit(name), "the broker does not start")
            check(what in broker.log(), "the broker does not say why it does not start")
            check(len(glob.glob(folder + "/data/*-stray")) == 0, "a partition was set aside")
            return "refused"
        check("panic" not in broker.log() and "was killed by" not in broker.log(), "a process died")
        if name != "data/meta.properties" and not journal_is_hit(name):
            judge_served(state, name, at, original, broker)
        check("panic" not in broker.log() and "was killed by" not in broker.log(), "a process died")
        return "served"
    except (AssertionError, wire.Closed, OSError) as error:
        raise AssertionError("%s: bit %d of byte %d of \"%s\": %s\n%s" % (
            state, bit, at, name, error, broker.log()[-3000:])) from error
    finally:
        broker.end()


def sample(places, rng, count):
    """Some of each file, so that small ones are not left out."""
    files = {}
    for place in places:
        files.setdefault(place[0], []).append(place)
    picked = []
    while len(picked) < count:
        picked.append(rng.choice(files[rng.choice(sorted(files))]))
    return picked


def judge(*sources):
    rng = random.Random(SEED)
    failed = []
    for source in sources:
        state = os.path.basename(source)
        original = Original(source)
        results = {}
        if FULL:
            todo = [(name, at, bit) for name, at in original.places for bit in range(8)]
        else:
            todo = [(name, at, rng.randrange(8))
                    for name, at in sample(original.places, rng, BITS // len(sources))]
        for name, at, bit in todo:
            try:
                result = one(source, state, name, at, bit, original)
            except AssertionError as error:
                failed.append(str(error))
                result = "wrong"
                say(str(error).split("\n", maxsplit=1)[0])
            results[result] = results.get(result, 0) + 1
        say("%s, %d bits of %d files: %s" % (state, len(todo), len({name for name, _ in original.places}),
                                             json.dumps(results)))
    check(not failed, "%d of them are wrong; the first: %s" % (len(failed), failed[0] if failed else ""))


globals()[sys.argv[1]](*sys.argv[2:])
