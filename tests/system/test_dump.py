"""takhin-dump: printing, --verify, --rebuild, --export, and random damage with a seed."""
import glob
import os
import random
import shutil
import subprocess
import sys

from broker import BUILD, DIR, PORT, check, read_file, run

DUMP = BUILD + "/takhin-dump"
DATA = DIR + "/data"
CODECS = ("none", "gzip", "snappy", "lz4", "zstd")
LINES = ["line %d %s" % (i, "x" * (i % 97)) for i in range(3000)]
BASE = "/00000000000000000000"
ROUNDS = int(os.environ.get("TAKHIN_FUZZ_ROUNDS", "60"))


def kcat(*arguments, stdin=None):
    done = subprocess.run(["kcat", "-q", "-b", "127.0.0.1:%d" % PORT, *arguments], input=stdin, timeout=60,
                          capture_output=True, check=False)
    check(done.returncode == 0, "kcat %s: %s" % (" ".join(arguments), done.stderr[-300:]))
    return done.stdout


def dump(*arguments, codes=(0,)):
    done = subprocess.run([DUMP, *arguments], capture_output=True, timeout=120, check=False)
    check(done.returncode in codes, "takhin-dump %s: %d: %s" % (
        " ".join(arguments), done.returncode, (done.stderr + done.stdout)[-600:]))
    return done.stdout.decode() + done.stderr.decode()


def partition(name):
    return "%s/%s-0" % (DATA, name)


def make():
    for codec in CODECS:
        kcat("-P", "-t", codec, "-p", "0", "-z", codec, "-X", "batch.num.messages=100", "-X", "linger.ms=5",
             "-X", "enable.idempotence=true", stdin="\n".join(LINES).encode())


def copy(name):
    path = DIR + "/lab/copy-0"
    shutil.rmtree(DIR + "/lab", ignore_errors=True)
    os.mkdir(DIR + "/lab")
    shutil.copy(DATA + "/meta.properties", DIR + "/lab")
    shutil.copytree(partition(name), path)
    return path


def test_records():
    for codec in CODECS:
        text = dump("--records", partition(codec) + BASE + ".log")
        values = [line.split('value "', 1)[1][:-1] for line in text.splitlines() if line.startswith("  offset")]
        check(values == LINES, "%s: the records are not those that were sent" % codec)
    text = dump(*glob.glob(DATA + "/*checkpoint"), *glob.glob(DATA + "/none-0/*[!g]"), DATA + "/meta.properties")
    for what in ('"none-0": offset 3000', "topic id ", "cluster id ", "position", "producer ", "last epoch 0"):
        check(what in text, "%s is not printed" % what)
    text = dump("--records", DATA + "/__metadata-0" + BASE + ".log")
    for what in ('"topic/zstd" revision ', "1 partitions", '"partition/zstd/0"', "next producer id"):
        check(what in text, "%s is not in the journal" % what)


def test_sound():
    check(dump("--verify", DATA) == "", "something is found where nothing is wrong")
    check(dump("--verify", partition("none"), partition("zstd") + BASE + ".log") == "", "something is found")


def spoil(path, at, data):
    with open(path, "r+b") as file:
        file.seek(at, 2 if at < 0 else 0)
        file.write(data)


def finds(path, what):
    text = dump("--verify", path, codes=(1,))
    check(what in text, "\"%s\" is not found, but: %s" % (what, text[-400:]))


def test_findings():
    end = lambda path: spoil(path + ".log", os.path.getsize(path + ".log"), b"torn")
    for what, harm in (
            ("are a batch with a wrong checksum", lambda path: spoil(path + ".log", 300, b"\xff\xfe")),
            ("are no batch; a good one follows", lambda path: spoil(path + ".log", 16, b"\x01")),
            ("are no batch, and none follows", end),
            ("no batch begins at position", lambda path: spoil(path + ".index", 7, b"\x01")),
            ("does not hold offset", lambda path: spoil(path + ".index", 2, b"\x00\x00")),
            ("does not rise", lambda path: spoil(path + ".index", 8, bytes(7) + b"\x01")),
            ("is behind the segment's end", lambda path: spoil(path + ".index", -4, b"\x70")),
            ("bytes are behind the last whole entry", lambda path: os.truncate(path + ".index", 13)),
            ("has timestamp", lambda path: spoil(path + ".timeindex", 0, bytes(7) + b"\x01")),
            ("it cannot be read: No such file", lambda path: os.unlink(path + ".timeindex")),
            ("partition.metadata: it cannot be read",
             lambda path: os.truncate(os.path.dirname(path) + "/partition.metadata", 3)),
            (".snapshot: it cannot be read: it is not such a file, or damaged",
             lambda path: spoil(glob.glob(os.path.dirname(path) + "/*.snapshot")[0], 12, b"\x99"))):
        path = copy("none")
        # Another segment behind, so that this one is closed.
        for suffix in (".log", ".index", ".timeindex"):
            open(path + "/00000000000000003000" + suffix, "wb").close()
        check(dump("--verify", path) == "", "something is found in a copy")
        harm(path + BASE)
        finds(path, what)


def test_rebuild():
    shutil.rmtree(DIR + "/other", ignore_errors=True)
    shutil.copytree(DATA, DIR + "/other")
    path = DIR + "/other/none-0"
    for suffix in (".log", ".index", ".timeindex"):
        open(path + "/00000000000000003000" + suffix, "wb").close()
    was = [read_file(path + BASE + suffix) for suffix in (".index", ".timeindex")]
    check(all(was), "there are no entries")
    for suffix in (".index", ".timeindex"):
        os.unlink(path + BASE + suffix)
    check("indexes made anew" in dump("--rebuild", path), "nothing was rebuilt")
    check([read_file(path + BASE + suffix) for suffix in (".index", ".timeindex")] == was, "other indexes")
    spoil(path + BASE + ".index", 7, b"\x01")
    dump("--rebuild", DIR + "/other")
    check([read_file(path + BASE + suffix) for suffix in (".index", ".timeindex")] == was, "other indexes")
    check(not glob.glob(path + "/*.tmp"), "temporary files are left")
    check(dump("--verify", DIR + "/other") == "", "what was rebuilt is not sound")
    dump("--rebuild", DIR, codes=(1,))


def test_export():
    path = copy("zstd")
    log = path + BASE + ".log"
    size = os.path.getsize(log)
    spoil(log, size // 2, b"\xaa" * 8)
    spoil(log, 16, b"\x07")
    new = DIR + "/exported.log"
    text = dump("--export", new, log)
    check("left out" in text and os.path.getsize(new) < size, "nothing was left out: %s" % text)
    records = dump("--records", new)
    got = {line.split('value "', 1)[1][:-1] for line in records.splitlines() if line.startswith("  offset")}
    check(got < set(LINES) and len(got) > 2000, "%d records were saved" % len(got))
    check("File exists" in dump("--export", new, log, codes=(1,)), "it writes over a file")


def test_command_line():
    for arguments in ((), ("--verify",), ("--verify", "--rebuild", DATA), ("--export", "x"), ("--what", DATA),
                      ("--records", "--verify", DATA)):
        check("usage" in dump(*arguments, codes=(2,)), "no usage for %s" % (arguments,))
    for arguments in ((DATA,), (DIR + "/nothing",), ("--verify", DIR + "/nothing"), ("/dev/null",),
                      (DIR + "/takhin.conf",), ("--rebuild", DIR + "/takhin.conf")):
        dump(*arguments, codes=(1,))


def damage(rng, path):
    data = bytearray(read_file(path))
    for _ in range(rng.choice((1, 1, 3, 20))):
        at = rng.randrange(len(data) + 1)
        kind = rng.randrange(6)
        if kind == 0 and data:
            data[at % len(data)] ^= 1 << rng.randrange(8)
        elif kind == 1:
            del data[at:]
        elif kind == 2:
            data[at:at + 4] = rng.choice((b"\x7f\xff\xff\xff", b"\xff\xff\xff\xff", b"\x80\0\0\0", bytes(4)))
        elif kind == 3:
            data[at:at] = rng.randbytes(rng.randrange(1, 100))
        elif kind == 4:
            data[at:at + 8] = rng.randbytes(8)
        else:
            data[at:at + rng.randrange(4096)] = b""
    with open(path, "wb") as file:
        file.write(data)


def test_damage():
    """Exit status 0 or 1, whatever is in the files: no signal, no hang, no sanitizer."""
    for seed in range(ROUNDS):
        rng = random.Random(seed)
        path = copy(rng.choice(CODECS))
        if rng.randrange(8) == 0:
            shutil.rmtree(path)
            shutil.copytree(DATA + "/__metadata-0", path)
        for name in rng.sample(sorted(os.listdir(path)), 2):
            damage(rng, path + "/" + name)
        # The journal is told by its folder.
        inside = DIR + "/fuzz/__metadata-0"
        shutil.rmtree(DIR + "/fuzz", ignore_errors=True)
        shutil.copytree(path, inside)
        dump("--verify", path, codes=(0, 1))
        for one in (path, inside):
            dump("--records", *glob.glob(one + "/*"), codes=(0, 1))
        new = DIR + "/fuzz/exported"
        dump("--export", new, path + BASE + ".log", codes=(0, 1))
        check("wrong" not in dump("--verify", path, codes=(0, 1)) or os.path.exists(new), "not exported")
        dump("--rebuild", path, codes=(0, 1))


def served():
    for codec in CODECS:
        got = kcat("-C", "-t", codec, "-p", "0", "-o", "beginning", "-e").decode().splitlines()
        check(got == LINES, "%s: what was looked at is not what is served" % codec)


if sys.argv[1] == "judge":
    run((test_records, test_sound, test_findings, test_rebuild, test_export, test_command_line, test_damage))
else:
    globals()[sys.argv[1]]()
