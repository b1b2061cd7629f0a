"""What the disk may hold after a power cut, put together from a record of shim.c.

A file system owes us only what was synced: a file's bytes and size as of the last sync of it that had
begun by then and was done, a directory's names likewise.  Of all later changes any may be there or not: bytes
by blocks of 4 KiB (torn at 512), a size, a name made, moved or removed.  Journalling file systems
keep a better order than that; those that do not, and disks that lie a little, are what this is for.
"""
import collections
import os
import struct

(MADE, WROTE, CUT, SYNC_BEGUN, SYNCED, RENAMED, UNLINKED, LINKED, MADE_DIR, SYNCED_ALL) = range(1, 11)
MARK = 100
ENTRY = struct.Struct("<IIQQQqII")
BLOCK, SECTOR = 4096, 512

Entry = collections.namedtuple("Entry", "what inode dir other_dir at name other data")


def mark_bytes(data):
    return ENTRY.pack(ENTRY.size + len(data), MARK, 0, 0, 0, 0, 0, 0) + data


def load(path):
    with open(path, "rb") as file:
        data = file.read()
    entries, at = [], 0
    while at < len(data):
        size, what, inode, parent, other_dir, where, name, other = ENTRY.unpack_from(data, at)
        names = at + ENTRY.size
        entries.append(Entry(what, inode, parent, other_dir, where,
                             data[names:names + name].decode(),
                             data[names + name:names + name + other].decode(),
                             data[names + name + other:at + size]))
        at += size
    return entries


class Node:
    """A file or a directory; durable is how many of its changes are on the disk for certain."""

    def __init__(self, is_dir):
        self.is_dir = is_dir
        self.changes = []
        self.durable = 0
        self.begun = collections.deque()  # syncs: how many changes each will have brought to the disk

    def changed(self, change):
        self.changes.append(change)

    def sync_begun(self):
        self.begun.append(len(self.changes))

    def synced(self):
        # Of two at a time the one that began first is taken: the lesser promise.
        self.durable = max(self.durable, self.begun.popleft())


class Name:
    """A change of names; of a move, both directories have it."""

    def __init__(self, what, node, places):
        self.what, self.node, self.places = what, node, places  # (directory, name) each
        for directory in {id(directory): directory for directory, _ in places}.values():
            directory.changed(self)

    def is_durable(self):
        return all(any(change is self for change in directory.changes[:directory.durable])
                   for directory, _ in self.places)


class Disk:
    """All that was done up to some entry, and what of it is certain."""

    def __init__(self, root_inode):
        self.root = Node(True)
        self.nodes = {root_inode: self.root}
        self.names = []

    def node(self, inode):
        return self.nodes[inode]

    def _name(self, entry, node):
        self.names.append(Name(entry.what, node, [(self.node(entry.dir), entry.name)]))

    def take(self, entry):
        what = entry.what
        if what in (MADE, MADE_DIR):
            self.nodes[entry.inode] = Node(what == MADE_DIR)
            self._name(entry, self.node(entry.inode))
        elif what in (UNLINKED, LINKED):
            self._name(entry, self.node(entry.inode))
        elif what == RENAMED:
            self.names.append(Name(what, self.node(entry.inode), [
                (self.node(entry.dir), entry.name), (self.node(entry.other_dir), entry.other)]))
        elif what == WROTE:
            self.node(entry.inode).changed((entry.at, entry.data))
        elif what == CUT:
            self.node(entry.inode).changed((entry.at, None))
        elif what == SYNC_BEGUN:
            for node in [self.node(entry.inode)] if entry.inode else set(self.nodes.values()):
                node.sync_begun()
        elif what == SYNCED:
            self.node(entry.inode).synced()
        elif what == SYNCED_ALL:
            for node in set(self.nodes.values()):
                if node.begun:
                    node.synced()


# ---- what may be there ----

def apply(content, change):
    at, data = change
    if data is None:
        if at < len(content):
            del content[at:]
        else:
            content.extend(bytes(at - len(content)))
        return
    if at > len(content):
        content.extend(bytes(at - len(content)))
    content[at:at + len(data)] = data


def content_after(node, count):
    content = bytearray()
    for change in node.changes[:count]:
        apply(content, change)
    return content


def _blocks(node, rng, step):
    """Each piece of the file as it was after some change of its own choice, and so its size."""
    count = len(node.changes)
    content = content_after(node, node.durable)
    sizes = [len(content)]
    versions = [bytes(content)]
    for change in node.changes[node.durable:]:
        apply(content, change)
        sizes.append(len(content))
        versions.append(bytes(content))
    size = rng.choice(sizes) if rng.random() < 0.5 else sizes[-1]
    out = bytearray()
    for at in range(0, size, step):
        piece = versions[rng.randint(0, count - node.durable)][at:at + step]
        out += piece + bytes(min(step, size - at) - len(piece[:size - at]))
    return bytes(out[:size])


def some_content(node, rng, how):
    count = len(node.changes)
    if how == "mixed":
        how = rng.choice(("lost", "kept", "prefix", "blocks", "torn"))
    if how == "lost" or count == node.durable:
        return bytes(content_after(node, node.durable))
    if how == "kept":
        return bytes(content_after(node, count))
    if how == "prefix":
        return bytes(content_after(node, rng.randint(node.durable, count)))
    # The versions of a long file would take too much: of most of its changes, all or nothing.
    if count - node.durable > 40:
        short = Node(False)
        short.durable = rng.randint(node.durable, count - 40)
        short.changes = node.changes[:short.durable + 40]
        node = short
    return _blocks(node, rng, BLOCK if how == "blocks" else SECTOR)


def some_names(disk, rng, how):
    """{directory: {name: node}}"""
    tree = collections.defaultdict(dict)
    limit = rng.randint(0, len(disk.names))
    for number, change in enumerate(disk.names):
        there = {"lost": False, "kept": True, "prefix": number < limit,
                 "any": rng.random() < 0.5}[how]
        if not there and not change.is_durable():
            continue
        (directory, name), (to, new_name) = change.places[0], change.places[-1]
        if change.what == UNLINKED:
            if tree[directory].get(name) is change.node:
                del tree[directory][name]
        elif change.what != RENAMED:
            tree[directory][name] = change.node
        elif tree[directory].get(name) is change.node:
            del tree[directory][name]
            tree[to][new_name] = change.node
    return tree


def write(disk, rng, path, names, data):
    """One of the images that a cut may leave, as files below path, which is there and empty."""
    tree = some_names(disk, rng, names)

    def put(node, here):
        for name, child in tree[node].items():
            below = os.path.join(here, name)
            if child.is_dir:
                os.mkdir(below)
                put(child, below)
                continue
            with open(below, "wb") as file:
                file.write(some_content(child, rng, data))
    put(disk.root, path)


def describe(disk):
    return "%d names, %d of them certain" % (
        len(disk.names), sum(change.is_durable() for change in disk.names))
