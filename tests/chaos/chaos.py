#!/usr/bin/python3
"""Chaos on the real daemon: real clients, real server processes, faults of every kind at random, and an oracle.

    chaos.py                          1000 faults with a new seed
    chaos.py --faults 60 --seed 7     so many, with that schedule
    chaos.py --kinds kill,freeze      only these kinds; --list shows all

MCPOOLD names the daemon to test (default build/mcpoold). Faults come in rounds; after each, when the faults have stopped,
every server must answer every kind of client again. In the end the ledgers that the servers kept are held against
what the clients were told, and the daemon must have returned to where it began.

A seed fixes what is done, to whom and when. It cannot fix how processes interleave, so a failing seed is worth several
runs. A failing run keeps its directory: the log of the daemon, the events, the ledgers."""
import argparse
import collections
import heapq
import os
import random
import select
import signal
import sys
import time
import traceback

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "functional")]

import oracle  # noqa: E402
from arena import MIB, SERVERS, STEADY, Arena  # noqa: E402
from daemon import MCPOOLD, Timeout, describe  # noqa: E402
from faults import CATALOGUE, deck  # noqa: E402
from players import Player  # noqa: E402

LOST_AFTER = 30       # every wait in the configuration together is less
RECOVERY_BOUND = 75   # I9
RSS_BOUND = 48 * MIB  # what allocators keep and buffers that only grow are no leak
RESTARTS = 10
CHECKS = ("lost", "duplicated", "crossed", "late", "executed", "delivered", "stray", "error", "status", "client",
          "bulkhead", "recovery", "baseline", "orphans", "exit", "log")


class World:
    def __init__(self, options):
        self.options = options
        self.seed = options.seed
        self.rng = random.Random(self.seed)
        self.arena = Arena()
        self.arena_servers = SERVERS
        self.now = time.monotonic()
        self.calls = {}          # every request ever, by nonce where it has one
        self.last_nonce = 0
        self.players = []
        self.asking = False      # whether players ask by themselves
        self.closing = False     # whether the daemon is going down in good order
        self.pace = 0.15         # mean time between two requests of a player
        self.moody = set()       # servers that are spoiled at the moment
        self.future = []         # (when, number, function)
        self.future_count = 0
        self.found = []          # (kind, text)
        self.done = {}           # kind of fault → how often
        self.slowest = 0         # recovery after a round
        self.questions = 0       # that servers asked clients
        self.survived = 0        # sessions that outlived the daemon
        self.orphans = 0

    # --- what others use ---

    def wrong(self, kind, text, *args):
        text = text % args
        self.found.append((kind, text))
        self.arena.note("WRONG %s: %s", kind, text)
        if len(self.found) <= 20:
            print("chaos: %s: %s" % (kind, text), flush=True)

    def later(self, span, function):
        self.future_count += 1
        heapq.heappush(self.future, (time.monotonic() + span, self.future_count, function))

    # --- the loop ---

    def turn(self, longest=0.02):
        """Reads what has come, lets everybody act."""
        self.now = time.monotonic()
        while self.future and self.future[0][0] <= self.now:
            heapq.heappop(self.future)[2]()
        for p in self.players:
            self.guard(p, p.act)
        poll, readers = select.poll(), {}
        for p in self.players:
            if p.client is None or p.blind_until > self.now:
                continue
            for s in p.client._sockets():
                readers[s.fileno()] = (p, s)
                poll.register(s.fileno(), select.POLLIN)
        for fd, _ in poll.poll(longest * 1000):
            p, s = readers[fd]
            if p.client is not None and s in p.client._sockets():
                self.guard(p, p.client._readable, s)
        self.now = time.monotonic()
        for p in self.players:
            self.guard(p, p.look, LOST_AFTER)

    def guard(self, p, function, *args):
        """A client that finds something malformed, or that the daemon shuts out, is a finding; the run goes on."""
        try:
            function(*args)
        except (AssertionError, OSError, ValueError, KeyError) as e:
            if self.closing and isinstance(e, ConnectionError):
                self.arena.note("%s: %s, the daemon is going", p, e)
                return
            last = traceback.extract_tb(e.__traceback__)[-1]
            self.wrong("client", "%s: %s: %s (%s:%d)", p, type(e).__name__, e, os.path.basename(last.filename), last.lineno)
            try:
                p.part("broken")
            except (AssertionError, OSError) as again:
                self.arena.note("%s: %s", p, again)

    def run_until(self, condition, bound):
        """Turns the loop until the condition holds; False when that takes longer than the bound."""
        end = time.monotonic() + bound
        while not condition():
            if time.monotonic() > end:
                return False
            self.turn()
        return True

    def run_for(self, span):
        self.run_until(lambda: False, span)

    # --- phases ---

    def quiet(self):
        return not self.future and not any(r.state == "open" for p in self.players for r in p.waiting.values())

    def calm_down(self):
        """Faults have stopped: what is open comes to its end, and every server serves everybody again."""
        self.asking = False
        if not self.run_until(self.quiet, LOST_AFTER + 5):
            self.wrong("lost", "requests are still open: %s", [str(r) for p in self.players for r in p.open_requests()])
        began = time.monotonic()
        self.probe_all(began + RECOVERY_BOUND)
        if self.arena.has_admin() and not self.run_until(self.all_is_well, began + RECOVERY_BOUND - time.monotonic()):
            self.wrong("recovery", "%d s after the faults have stopped: %s", RECOVERY_BOUND, "; ".join(oracle.unwell(self)))
        self.slowest = max(self.slowest, time.monotonic() - began)
        self.arena.note("all is well again")

    def all_is_well(self):
        oracle.check_status(self)
        return not oracle.unwell(self)

    def probe_all(self, until):
        """Each server answers a client of each kind; they come through different pools."""
        probes = [Player(self, s, via, 100 + i, probe=True) for s in SERVERS for i, via in enumerate(("http", "line"))]
        mine, self.players = self.players, probes + self.players
        if not self.run_until(lambda: all(p.probed and p.probed.state == "answered" for p in probes),
                              until - time.monotonic()):
            self.wrong("recovery", "%d s after the faults have stopped these get no answer: %s", RECOVERY_BOUND,
                       ", ".join("%s (%s)" % (p, p.probed) for p in probes if not p.probed or p.probed.state != "answered"))
        for p in probes:
            self.guard(p, p.part, "was a probe", True)
        self.players = mine

    def round(self, kinds, count):
        self.asking = True
        next_at = time.monotonic()
        tries = 0
        while count > 0 and tries < 50:
            next_at = max(next_at, time.monotonic() - 1) + self.rng.expovariate(self.options.rate)
            self.run_until(lambda: time.monotonic() >= next_at, 60)
            kind = next(kinds)
            what = CATALOGUE[kind][1](self)
            if not what:
                tries += 1
                continue
            tries = 0
            self.arena.note("fault %s: %s", kind, what)
            self.done[kind] = self.done.get(kind, 0) + 1
            count -= 1
            if self.arena.has_admin() and count % 5 == 0:
                oracle.check_status(self)
        if count:
            self.wrong("client", "nobody is left that a fault could be done to")

    def people(self):
        number = 0
        for server in SERVERS:
            ways = ["http", "line"] if server == STEADY else ["http", "line", "http" if number % 2 else "sse"]
            for via in ways:
                number += 1
                self.players.append(Player(self, server, via, number))
                self.players[-1].can_answer = SERVERS[server].fake and server != STEADY and via != "sse"

    def warm_up(self):
        """Everything is used once, so that what is made on first use is there before the baseline is taken."""
        self.people()
        self.asking = True
        self.run_until(lambda: all(p.state == "ready" for p in self.players), 30)
        self.run_for(1)
        self.calm_down()
        self.everybody_leaves()
        self.baseline = self.settle()
        self.base_rss = self.arena.daemon.rss_kb() << 10
        self.arena.note("baseline: %s, %d processes, %d KiB", *self.baseline, self.base_rss >> 10)

    def everybody_leaves(self):
        for p in self.players:
            self.guard(p, p.part, "the end", True)
        self.players = []

    def figures(self):
        return self.arena.descriptors(), len(self.arena.daemon.children())

    def settle(self, like=None):
        """Descriptors and processes once they no longer change, or once they are `like` those."""
        last, since = self.figures(), time.monotonic()
        end = since + 60
        while time.monotonic() < end and (last != like if like else time.monotonic() - since < 2):
            time.sleep(0.05)
            now = self.figures()
            if now != last:
                last, since = now, time.monotonic()
        return last

    def check_baseline(self):
        """I10. Each server starts once more, so that what its processes had leaked must be gone as well."""
        for server in SERVERS:
            for pid in self.arena.processes(server):
                self.arena.signal(pid, signal.SIGKILL)
        now = self.settle(self.baseline)
        if now != self.baseline:
            self.wrong("baseline", "descriptors and processes are %s and were %s: %s", now, self.baseline,
                       [describe(pid) for pid in self.arena.daemon.children()])
        rss = self.arena.daemon.rss_kb() << 10
        self.arena.note("memory went from %d to %d KiB", self.base_rss >> 10, rss >> 10)
        if rss > self.base_rss + RSS_BOUND and not self.arena.sanitized:
            self.wrong("baseline", "memory went from %d to %d KiB", self.base_rss >> 10, rss >> 10)
        if self.arena.zombies():
            self.wrong("baseline", "zombies: %s", self.arena.zombies())

    def stop(self):
        daemon = self.arena.daemon
        daemon.process.send_signal(signal.SIGTERM)
        status = daemon.process.wait(60)
        daemon.log.thread.join(10)
        if status != 0:
            self.wrong("exit", "the daemon ended with status %d", status)
        left = daemon.children()
        self.orphans = len(left)
        if left:
            self.wrong("orphans", "left behind: %s", ", ".join(describe(pid) for pid in left))

    def run(self):
        kinds = deck(self.rng, self.options.kinds)
        self.arena.start()
        if not self.arena.has_admin():
            print("chaos: this daemon has no admin socket: nobody recovers by force, nobody looks at /status", flush=True)
        self.warm_up()
        self.people()
        left = self.options.faults
        while left > 0 and self.alive():
            some = min(left, self.options.round)
            self.round(kinds, some)
            self.calm_down()
            left -= some
        if self.alive():
            self.everybody_leaves()
            self.check_baseline()
            self.restarts()
            self.stop()
        oracle.check_executions(self)
        oracle.check_steady(self)
        oracle.check_log(self)

    def restart(self, end):
        """The daemon ends in the middle of its work and comes back. Its HTTP sessions do not notice."""
        self.asking = True
        self.run_for(self.rng.uniform(0.3, 1))
        self.asking = False
        end()
        kept = [(p, p.client) for p in self.players if p.survive()]
        self.arena.start_again()
        for p, _ in kept:
            self.guard(p, p.ask_something)
        self.calm_down()
        self.survived += sum(1 for p, client in kept if p.client is client)

    def end_in_order(self):
        """SIGTERM: whatever was asked before is answered, one way or the other, and nothing is left."""
        self.closing = True
        daemon = self.arena.daemon
        self.arena.note("SIGTERM for the daemon")
        daemon.process.terminate()
        if not self.run_until(lambda: daemon.process.poll() is not None, 30) or daemon.process.returncode != 0:
            self.wrong("exit", "after SIGTERM the daemon's status is %s", daemon.process.poll())
        self.run_for(0.1)  # what it still said
        for r in [r for p in self.players for r in p.open_requests()]:
            self.wrong("lost", "%s: the daemon ended in good order without a word on it", r)
        if daemon.children():
            self.wrong("orphans", "left behind: %s", ", ".join(describe(pid) for pid in daemon.children()))
        self.closing = False

    def restarts(self):
        ends = {"kill_the_daemon": self.arena.kill_daemon, "stop_the_daemon": self.end_in_order}
        self.people()
        for i in range(self.options.restarts):
            if not self.alive():
                return
            name = sorted(ends)[i % 2]
            self.restart(ends[name])
            self.done[name] = self.done.get(name, 0) + 1
        self.everybody_leaves()

    def alive(self):
        status = self.arena.daemon.process.poll()
        if status is not None and not any(kind == "exit" for kind, _ in self.found):
            self.wrong("exit", "the daemon died with status %d", status)
        return status is None

    # --- report ---

    def count(self, *kinds):
        return sum(1 for kind, _ in self.found if kind in kinds)

    def summary(self, seconds):
        calls = [r for r in self.calls.values() if r.method != "initialize"]
        failed = [r for r in calls if r.state == "failed"]
        no = sum(1 for r in failed if r.delivered == "no")
        counted = ("lost", "duplicated", "crossed", "orphans")
        return ("chaos: %d faults of %d kinds, %d calls, %d answered, %d errors (%d delivered no, %d maybe), "
                "%d given up by clients, %d questions, %d lost, %d duplicated, %d crossed, %d violations, %d orphans, "
                "%d sessions kept over %d ends of the daemon, slowest recovery %.1f s, %.0f s (seed %d)" % (
                    sum(self.done.values()), len(self.done), len(calls), sum(1 for r in calls if r.state == "answered"),
                    len(failed), no, len(failed) - no, sum(1 for r in calls if r.state in ("cancelled", "gone")),
                    self.questions,
                    self.count("lost"), self.count("duplicated"), self.count("crossed"),
                    sum(1 for kind, _ in self.found if kind not in counted), self.orphans,
                    self.survived, self.options.restarts, self.slowest, seconds, self.seed))

    def keep(self):
        """What somebody needs who looks into it."""
        with open(os.path.join(self.arena.dir, "events"), "w", encoding="utf-8") as f:
            f.write("\n".join(self.arena.events) + "\n")
        with open(os.path.join(self.arena.dir, "log"), "w", encoding="utf-8") as f:
            f.write("\n".join(self.arena.log_lines()) + "\n")
        print("\nThe last events:\n%s\n" % "\n".join(list(self.arena.events)[-60:]))
        print("The last lines of the log:\n%s\n" % "\n".join(self.arena.log_lines()[-60:]))
        print("All of it is in %s. The seed was %d." % (self.arena.dir, self.seed))


def run(options):
    """One run; returns (whether all was well, the summary line, what was found)."""
    began = time.monotonic()
    world = World(options)
    try:
        world.run()
    except (AssertionError, Timeout, OSError) as e:
        traceback.print_exc()
        world.wrong("client", "the run broke off: %s", e)
    finally:
        world.arena.daemon.kill()
    text = world.summary(time.monotonic() - began)
    if world.found:
        world.keep()
        world.arena.daemon.discard()
    else:
        world.arena.discard()
    if options.verbose:
        reasons = collections.Counter("%s, delivered %s" % (r.why, r.delivered) for r in world.calls.values() if r.state == "failed")
        print("\n".join("  %-40s %5d" % reason for reason in sorted(reasons.items())))
        print("\n".join("  %-26s %5d" % kind for kind in sorted(world.done.items())))
    print(text, flush=True)
    return world, text


def parse(arguments=None):
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--faults", type=int, default=1000, metavar="N")
    p.add_argument("--seed", type=int, metavar="N")
    p.add_argument("--rate", type=float, default=12, metavar="N", help="faults a second (12)")
    p.add_argument("--round", type=int, default=100, metavar="N", help="faults between two recoveries (100)")
    p.add_argument("--restarts", type=int, default=RESTARTS, metavar="N",
                   help="times that the daemon itself is killed or stopped afterwards (%d)" % RESTARTS)
    p.add_argument("--kinds", metavar="LIST", help="only these, with commas between; all but these after a -")
    p.add_argument("--list", action="store_true", help="list the kinds of faults")
    p.add_argument("-v", "--verbose", action="store_true", help="say how often each kind came")
    o = p.parse_args(arguments)
    if o.seed is None:
        o.seed = int.from_bytes(os.urandom(3), "big")
    kinds = list(CATALOGUE)
    if o.kinds:
        some = o.kinds.lstrip("-").split(",")
        for k in some:
            if k not in CATALOGUE:
                p.error("no such kind: " + k)
        kinds = [k for k in kinds if k not in some] if o.kinds.startswith("-") else some
    o.kinds = kinds
    return o


def main():
    options = parse()
    if options.list:
        for name, (weight, function) in CATALOGUE.items():
            print("%-26s %d  %s" % (name, weight, function.__doc__ or ""))
        return 0
    if not os.access(MCPOOLD, os.X_OK):
        print("%s is not there: run make first" % MCPOOLD, file=sys.stderr)
        return 2
    world, _ = run(options)
    failed = {kind for kind, _ in world.found}
    print("%d passed, %d failed" % (len(CHECKS) - len(failed), len(failed)))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
