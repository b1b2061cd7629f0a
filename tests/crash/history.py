"""What was sent, acknowledged and seen; and what must never be otherwise.

One lock over all of it: producers note what they send and what is acknowledged, the reader what it sees.
A rule that is broken raises Broken, which ends the run.
"""
import hashlib
import threading

import records


class Broken(Exception):
    """The broker broke a promise."""


def digest(raw):
    """Of a batch as it was stored: all its bytes."""
    return hashlib.blake2b(raw, digest_size=8).digest()


class Part:
    """One partition over the whole run."""

    def __init__(self, topic, index, trimmed, mark):
        self.topic, self.index, self.trimmed = topic, index, trimmed
        self.lock = threading.Lock()
        self.mark = mark
        self.next = 0       # nothing was seen at or past it
        self.start = 0      # of the log, as last seen: never falls
        self.values = {}    # offset -> value; all that was ever seen
        self.batches = {}   # base offset -> (last, digest)
        self.acked = {}     # offset -> value; acknowledged and not seen yet
        self.idempotent = {}  # producer id -> last number seen
        self.acks = 0
        self.skipped = False  # some were deleted before they were seen

    def __str__(self):
        return "%s-%d" % (self.topic, self.index)

    def broken(self, text, *args):
        raise Broken("%s: %s" % (self, text % args))

    # ---- from producers ----

    def acknowledged(self, base, values):
        with self.lock:
            self.acks += 1
            for offset, value in enumerate(values, base):
                seen = self.values.get(offset)
                if seen is None and offset < self.next and not self.trimmed:
                    self.broken("offset %d was acknowledged and is not there", offset)
                if seen is None:
                    self._acked_new(offset, value)
                elif seen != value:
                    self.broken("offset %d was acknowledged as %s and is %s", offset, value[:40], seen[:40])
        self.mark("acked", part=str(self), end=base + len(values))

    def _acked_new(self, offset, value):
        if self.acked.setdefault(offset, value) != value:
            self.broken("offset %d was acknowledged twice: %s and %s", offset, value[:40],
                        self.acked[offset][:40])

    # ---- from the reader ----

    def _expect_sequence(self, batch):
        if batch.producer < 0:
            return
        last = self.idempotent.get(batch.producer, batch.sequence - 1 if self.skipped else -1)
        if batch.sequence != last + 1:
            self.broken("producer %d's number %d at offset %d follows %d", batch.producer,
                        batch.sequence, batch.base, last)
        self.idempotent[batch.producer] = batch.sequence + len(batch.values) - 1

    def _take_new(self, batch):
        self._expect_sequence(batch)
        for offset, value in enumerate(batch.values, batch.base):
            if self.acked.pop(offset, value) != value:
                self.broken("offset %d was acknowledged and holds %s", offset, value[:40])
            self.values[offset] = value
        self.batches[batch.base] = batch.last, digest(batch.raw)
        self.next = batch.last + 1

    def _compare_old(self, base, last, raw):
        """What was taken apart and found good when it was new; the same bytes are as good."""
        got = last, digest(raw)
        if self.batches.get(base) != got:
            self.broken("what is at offset %d has changed: %s, was %s", base, got, self.batches.get(base))

    def took(self, data, at):
        """Batches as a Fetch from offset at gives them; the offset to go on from."""
        with self.lock:
            for raw in records.pieces(data):
                base, last = records.offsets(raw)
                if last < at:
                    self.broken("batch %d-%d came for offset %d", base, last, at)
                if base > at:
                    self.broken("offset %d is missing: %d follows", at, base)
                if base < self.next:
                    self._compare_old(base, last, raw)
                else:
                    self._take_new(records.one(raw))
                at = last + 1
        return at

    def began(self, start):
        """The log's start, as an answer said it."""
        with self.lock:
            if start < self.start:
                self.broken("the log's start went back from %d to %d", self.start, start)
            if start > 0 and not self.trimmed:
                self.broken("the log's start is %d", start)
            if start > self.next:  # never seen: so be it, where old records are deleted
                self.next = start
                self.idempotent = {}
                self.skipped = True
            self.start = start
            if self.trimmed:
                self.acked = {at: value for at, value in self.acked.items() if at >= start}

    def ended(self, end, acks):
        """All was read up to end, in answers asked for when acks acknowledgements were in."""
        with self.lock:
            if end < self.next:
                self.broken("the log ends at %d and was seen up to %d", end, self.next)
            lost = sorted(at for at in self.acked if at < end)
            if lost:
                self.broken("offsets %s were acknowledged and are not there", lost[:10])
            if acks == self.acks and self.acked:
                self.broken("acknowledged offsets %s are past the end %d", sorted(self.acked)[:10], end)


class History:
    def __init__(self):
        self.parts = []
        self.lock = threading.Lock()
        self.producer_ids = set()
        self.error = None
        self.zones = 0  # how often the run directory was lost

    def add_topic(self, name, count, trimmed=False):
        self.parts += [Part(name, index, trimmed, self.mark) for index in range(count)]

    def mark(self, kind, **what):
        """Something is certain from here on; powercuts.py wants to know when."""

    def new_producer_id(self, number):
        with self.lock:
            if number in self.producer_ids:
                raise Broken("producer id %d was given twice" % number)
            self.producer_ids.add(number)

    def fail(self, error):
        with self.lock:
            self.error = self.error or error
