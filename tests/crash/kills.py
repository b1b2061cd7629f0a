#!/usr/bin/python3
"""kill -9 of everything, at random moments and at named places, under load.  See README.md.

    kills.py [--kills N] [--seed N] [--flush MODE] [--build DIRECTORY] [--keep]
"""
import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import load  # noqa: E402
import wire  # noqa: E402
from history import Broken, History  # noqa: E402
from process import Broker, free_port, is_alive, send, within  # noqa: E402

ROUND = 100  # kills of one broker; then a new one, with empty directories
SETTLE_SECONDS = 30

# Where a running writer gets to under this load, and how often within a moment.
RUNNING = {"before_pwritev": 20, "after_pwritev": 20, "before_publish": 20, "after_publish": 20,
           "before_index": 10, "after_index": 10, "before_append": 20, "after_answer_queued": 20,
           "roll_sealed": 2, "roll_log_made": 2, "roll_made": 2, "roll_published": 2,
           "create_dir": 1, "create_done": 1, "delete_published": 1, "delete_renamed": 1,
           "start_published": 1}
# Where one gets to when it starts: after a writer's death, and where the zone is not believed.
STARTING = ("trust_before_marker", "trust_next_nonce", "trust_nonce_written", "cut_log")
UNTRUSTING = STARTING + ("trust_cleared", "recovery_done", "checkpoint_announced", "checkpoint_renamed")
AFTER_CLEAN = ("trust_before_marker", "trust_marker_taken", "trust_next_nonce", "trust_nonce_written")

CHILDREN = ("writer 0", "writer 1", "worker 0", "worker 1", "coordinator", "cleaner")
KINDS = (("child", 6), ("point", 8), ("start_point", 2), ("untrusted_point", 1), ("clean_point", 1), ("master", 1),
         ("all", 2), ("all_zone", 1), ("stopped", 3), ("two", 2), ("clean", 0.5), ("stopping", 0.5))


def say(text):
    print("%8.2f %s" % (time.monotonic() - say.began, text), flush=True)


say.began = time.monotonic()


# ---- the schedule ----

class Kill:
    """One row of the schedule: all of it is drawn before anything runs."""

    def __init__(self, rng):
        names, weights = zip(*KINDS)
        self.kind = rng.choices(names, weights)[0]
        self.delay = rng.choice((0, 0.005, 0.02, 0.05)) * rng.random()
        self.target = rng.choice(CHILDREN[:2] * 2 + CHILDREN)
        self.other = rng.choice(CHILDREN)
        self.stopped = rng.choice(CHILDREN + ("master",))
        self.writer = "writer %d" % rng.randrange(2)
        self.pause = rng.choice((0.005, 0.03, 0.15)) * rng.random()
        self.killing = rng.random() < 0.5
        self.settles = rng.random() < 0.8
        points = {"start_point": STARTING, "untrusted_point": UNTRUSTING,
                  "clean_point": AFTER_CLEAN}.get(self.kind, tuple(RUNNING))
        self.point = rng.choice(points)
        self.visits = rng.randint(1, RUNNING.get(self.point, 1))
        self.times = rng.randint(1, 2)

    def __str__(self):
        return {
            "child": self.target,
            "point": "%s at %s:%d" % (self.writer, self.point, self.visits),
            "start_point": "%s, and at its start at %s" % (self.writer, self.point),
            "untrusted_point": "all, zone gone, at the start at %s" % self.point,
            "clean_point": "at the start after a clean stop at %s" % self.point,
            "all_zone": "all, and the zone is gone",
            "stopped": "%s stopped for %.0f ms%s" % (
                self.stopped, 1000 * self.pause, ", %s killed" % self.target if self.killing else ""),
            "two": "%s and %s" % (self.target, self.other),
            "clean": "none: a clean stop",
            "stopping": "%s in a clean stop" % self.target,
        }.get(self.kind, self.kind) + ("" if self.settles else ", no rest")


# ---- a round: one broker and its load ----

class Round:
    def __init__(self, args, seed, count):
        self.rng = random.Random(seed)
        self.schedule = [Kill(self.rng) for _ in range(count)]
        self.seed = seed
        self.args = args
        self.folder = tempfile.mkdtemp(prefix="takhin-crash.")
        settings = ["worker_processes = 2;", 'data_directories = ( "d0", "d1" );',
                    "log_retention_check_interval_ms = \"100ms\";",
                    "log_segment_delete_delay_ms = \"200ms\";", "log_index_interval_bytes = \"512B\";"]
        if args.flush:
            settings.append('flush = "%s";' % args.flush)
        self.broker = Broker(args.build, self.folder, free_port(random.Random()), settings)
        self.history = History()
        self.epoch = [0]
        self.kills = self.missed = 0
        self.rested = True
        self.loaders = []

    def begin(self):
        self.broker.start()
        conn = wire.Conn(self.broker.port, timeout=30)
        for name, count, configs in (("plain", 4, {"segment.bytes": "20000"}),
                                     ("large", 2, {}),
                                     ("trimmed", 2, {"segment.bytes": "8000", "retention.bytes": "30000"})):
            wire.create_topic(conn, name, count, configs)
            self.history.add_topic(name, count, name == "trimmed")
        conn.close()
        rows = [load.Producer("p%d" % n, self.broker.port, self.history, self.epoch, idempotent=n != 0)
                for n in range(4)]
        self.admin = load.Admin("scratch", self.broker.port, self.history, self.epoch)
        self.loaders = rows + [self.admin]
        for loader in self.loaders:
            loader.rng = random.Random(self.rng.random())
            loader.start()
        self.reader = load.Reader(self.broker.port, self.history)

    def healthy(self):
        if self.history.error is not None:
            raise self.history.error
        if self.broker.process.poll() is not None:
            raise Broken("the broker has ended: " + self.broker.text()[-400:])
        return True

    def settle(self):
        """Every loader has got through what it had under way, and something begun since."""
        self.epoch[0] += 1
        wanted = self.epoch[0]
        within(SETTLE_SECONDS, lambda: self.healthy() and all(
            loader.settled >= wanted for loader in self.loaders), "producers and admin settle: %s" % [
                loader.name for loader in self.loaders if loader.settled < wanted])

    def verify(self, back=100):
        self.reader.read_all(back)
        conn = wire.Conn(self.broker.port, timeout=30)
        self.admin.check(conn)
        conn.close()

    # ---- kinds of kill ----

    def kill(self, name):
        pid = self.broker.pid_of(name)
        if not send(pid, signal.SIGKILL):
            return
        self.kills += 1
        if name == "master":
            self.broker.process.wait()

    def do_child(self, row):
        self.kill(row.target)

    def do_two(self, row):
        self.kill(row.target)
        time.sleep(row.pause / 10)
        self.kill(row.other)

    def do_point(self, row):
        """A running writer dies where it gets to that place; if it does not in time, as it stands."""
        pid = self.broker.pid_of(row.writer)
        try:
            self.broker.arm(pid, row.point, row.visits)
            within(1.0, lambda: not is_alive(pid), "it gets there")
            self.kills += 1
        except AssertionError:
            self.missed += 1
            self.kill(row.writer)
        except (OSError, ValueError):
            self.missed += 1  # it was being born

    def _die_at_start(self, row, at, times):
        """Writers die at the armed place until they have done so often enough, then live."""
        try:
            within(3, lambda: self.broker.deaths(at) >= times, "it gets there", 0.002)
            self.kills += times
        except AssertionError:
            self.missed += 1
        self.broker.arm(self.broker.master, None)
        # Those born while it was armed have it armed.
        for name, pid in self.broker.children().items():
            if name.startswith("writer"):
                try:
                    self.broker.arm(pid, None)
                except (OSError, ValueError):
                    pass

    def do_start_point(self, row):
        at = self.broker.log_end()
        self.broker.arm(self.broker.master, row.point, row.visits)
        self.kill(row.writer)
        self._die_at_start(row, at, 1 + row.times)

    def _start_at_point(self, row):
        self.broker.launch(TAKHIN_KILLPOINT=row.point)
        self._die_at_start(row, self.broker.mark, row.times)
        self.broker.wait_ready()

    def forget_zone(self):
        self.history.zones += 1
        shutil.rmtree(self.folder + "/run")

    def do_untrusted_point(self, row):
        self.broker.kill_all()
        self.forget_zone()
        self._start_at_point(row)

    def do_clean_point(self, row):
        self.clean_stop()
        if row.point == "trust_before_marker":
            self.history.zones += 1  # dying there, the zone is not believed again
        self._start_at_point(row)

    def do_master(self, row):
        pids = self.broker.kill_master()
        if row.killing:
            self.broker.wait_gone(pids)
        self.kills += 1
        self.broker.start()

    def do_all(self, row):
        self.broker.kill_all()
        self.kills += 1
        self.broker.start()

    def do_all_zone(self, row):
        self.broker.kill_all()
        self.kills += 1
        self.forget_zone()
        self.broker.start()

    def do_stopped(self, row):
        pid = self.broker.pid_of(row.stopped)
        send(pid, signal.SIGSTOP)
        time.sleep(row.pause / 2)
        if row.killing and row.target != row.stopped:
            target = self.broker.children().get(row.target)
            if target is not None and send(target, signal.SIGKILL):
                self.kills += 1
        time.sleep(row.pause / 2)
        send(pid, signal.SIGCONT)

    def clean_stop(self):
        """One that was asked for while a writer was still starting is not clean, and says so."""
        status = self.broker.stop()
        if status != 0 and (self.rested or status != 1 or "was not closed cleanly" not in self.broker.text()):
            raise Broken("a clean stop has exit status %d: %s" % (status, self.broker.text()[-400:]))

    def do_clean(self, row):
        self.clean_stop()
        self.broker.start()

    def do_stopping(self, row):
        pid = self.broker.pid_of(row.target)
        self.broker.process.send_signal(signal.SIGTERM)
        time.sleep(row.pause / 10)
        if send(pid, signal.SIGKILL):
            self.kills += 1
        self.broker.process.wait(timeout=60)
        self.broker.start()

    # ---- all of it ----

    def one(self, row):
        time.sleep(row.delay)
        if row.kind.endswith("point") and not self.broker.can_arm():
            self.do_child(row)
        else:
            getattr(self, "do_" + row.kind)(row)
        self.healthy()
        self.rested = row.settles
        if row.settles:
            self.settle()
            self.verify()

    def end(self):
        """Everything is read again, then once more after a clean stop."""
        self.settle()
        self.rested = True
        self.verify(None)
        for loader in self.loaders:
            loader.ending = True
        for loader in self.loaders:
            loader.join(60)
        self.clean_stop()
        self.broker.start()
        self.reader.conn = None
        self.verify(None)
        self.clean_stop()

    def run(self):
        self.begin()
        self.settle()
        for number, row in enumerate(self.schedule):
            began = time.monotonic()
            try:
                self.one(row)
            except Exception:
                say("seed %d, kill %d: %s" % (self.seed, number, row))
                raise
            if self.args.verbose:
                say("%d: %s: %.0f ms" % (number, row, 1000 * (time.monotonic() - began)))
        self.end()

    def close(self, keep):
        for loader in self.loaders:
            loader.ending = True
        if self.broker.process is not None and self.broker.process.poll() is None:
            self.broker.kill_all()
        if keep:
            say("kept: " + self.folder)
        else:
            shutil.rmtree(self.folder, ignore_errors=True)


def flush_modes(build):
    """Those that the broker knows; None where it knows none."""
    with tempfile.TemporaryDirectory() as folder:
        text = subprocess.run([build + "/takhin", "-p", folder, "-T"], check=True,
                              capture_output=True).stdout.decode()
    known = any(line.split("=")[0].strip() == "flush" for line in text.splitlines())
    return ("none", "interval", "commit") if known else (None,)


def arguments():
    everything = os.environ.get("TAKHIN_REQUIRE_ALL") == "1" or os.environ.get("CI") == "true"
    count = 10000 if os.environ.get("TAKHIN_FULL") == "1" else 300 if everything else 40
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=count)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.add_argument("--flush")
    parser.add_argument("--build", default=os.environ.get("TAKHIN_BUILD_DIR", "."))
    parser.add_argument("--keep", action="store_true", help="keep the folder of what failed")
    parser.add_argument("--verbose", action="store_true")
    args = parser.parse_args()
    args.build = os.path.abspath(args.build)
    return args


def main():
    args = arguments()
    modes = (args.flush,) if args.flush else flush_modes(args.build)
    say("seed %d, %d kills; again with --seed %d --kills %d" % (args.seed, args.kills, args.seed, args.kills))
    each = min(ROUND, -(-args.kills // len(modes)))
    done, kills, missed, read, number = 0, 0, 0, 0, 0
    while done < args.kills:
        args.flush = modes[number % len(modes)]
        one = Round(args, args.seed + number, min(each, args.kills - done))
        number += 1
        failed = True
        try:
            one.run()
            failed = False
        except (Broken, AssertionError) as error:
            say("FAILED, seed %d, flush %s: %s" % (one.seed, args.flush, error))
            print(one.broker.text(0)[-3000:])
            return 1
        finally:
            one.close(args.keep and failed)
        done += len(one.schedule)
        kills += one.kills
        missed += one.missed
        read += sum(len(part.values) for part in one.history.parts)
    say("%d of the schedule done: %d kills, %d places not reached in time; %d records, all as promised" % (
        done, kills, missed, read))
    return 0


if __name__ == "__main__":
    sys.exit(main())
