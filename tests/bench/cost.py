#!/usr/bin/python3
"""What a call costs the daemon, in user instructions (callgrind) and system calls (strace), held against ceilings.

These figures do not depend on how busy the machine is, so they can be judged. They do depend on the compiler, the C library
and what the processor can do: the ceilings are those of the build with the Makefile's flags on Debian 12 and amd64.

    cost.py                         every row; exit status 1 when one is above its ceiling
    cost.py --rows 'unix*' --calls 500
    cost.py --profile DIR           keeps the files of callgrind, for callgrind_annotate or kcachegrind
    cost.py --compare BUILD BUILD   rows of two builds (unix-1 and http-1), and which functions make the difference

MCPOOLD names the daemon (default build/mcpoold); mcpool-demo and bench/cost-marks.so lie beside it."""
import argparse
import collections
import fnmatch
import glob
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
os.environ.setdefault("TEST_DEADLINE", "120")  # of each wait: valgrind is slow, and so may be the machine
TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, "tests", "functional"))

import daemon as harness  # noqa: E402
from cost_load import TOKEN, Clients, Http, Line, Load, Wrong, await_state  # noqa: E402
from cost_profile import Profile, print_difference, print_top  # noqa: E402

BEGIN, END = signal.SIGRTMIN + 6, signal.SIGRTMIN + 7  # as in cost_marks.c
WARM_UP = 320  # calls before the measured ones, at least


class CannotMeasure(Exception):
    pass


class Instructions:
    """Counted by callgrind. What valgrind does itself is not in it, nor is the kernel."""
    unit = "instructions"

    def __init__(self, path):
        self.path = path

    def start(self, daemon):
        daemon.start(env={"LD_PRELOAD": marks()}, prefix=[
            "valgrind", "--quiet", "--vgdb=no", "--tool=callgrind", "--callgrind-out-file=" + self.path])

    @staticmethod
    def probe():
        return ["valgrind", "--quiet", "--vgdb=no", "--tool=none", "true"]

    def read(self):
        """What the daemon did between the marks; the rest, to its end, is in a file of its own."""
        os.replace(self.path + ".1", self.path)
        for rest in glob.glob(glob.escape(self.path) + ".*"):
            os.unlink(rest)
        self.profile = Profile(self.path)
        return self.profile.total

    def explain(self, calls):
        print_top(self.profile, calls)


class SystemCalls:
    """Counted by strace, which is the daemon's parent then: that needs no right that any user does not have."""
    unit = "system calls"

    def __init__(self, path):
        self.path = path

    def start(self, daemon):
        daemon.start(prefix=["strace", "-qq", "-s", "0", "-o", self.path, "-E", "LD_PRELOAD=" + marks()])

    @staticmethod
    def probe():
        return ["strace", "-qq", "-o", os.devnull, "true"]

    def read(self):
        """Those from the answer to the first signal to the second signal."""
        self.by_name = collections.Counter()
        begin, end = ("--- SIGRT_%d " % (s - 32) for s in (BEGIN, END))
        counting = ended = False
        with open(self.path, encoding="utf-8", errors="replace") as f:
            for line in f:
                ended |= line.startswith(end)
                if line.startswith(begin):
                    counting = any(handled.startswith("write(2,") for handled in f)
                elif counting and not ended and not line.startswith("--- "):  # a stop
                    m = re.match(r"(\w+)\(", line)
                    if not m:
                        raise CannotMeasure("strace says what is not understood: " + line)
                    self.by_name[m.group(1)] += 1
        if not ended:
            raise CannotMeasure("strace says nothing of the signal that ends the measured part")
        return sum(self.by_name.values())

    def explain(self, calls):
        for name, count in self.by_name.most_common():
            print("    %12.3f  %s" % (count / calls, name))


# meter; the load; the ceiling, None as long as it has none. per: what is counted. less: the row whose figure is taken away
# first, and parts: by how many the rest is divided. within: the row whose figure, times so much, is the ceiling.
Row = collections.namedtuple("Row", "name meter load ceiling per less parts within", defaults=(None, "call", None, 1, None))

ROWS = (
    Row("unix-1", Instructions, Load(Line), 9000),
    Row("unix-32", Instructions, Load(Line, sessions=32), 9000),
    Row("http-1", Instructions, Load(Http), 12000),
    Row("http-32", Instructions, Load(Http, sessions=32), 12000),
    Row("unix-1-syscalls", SystemCalls, Load(Line), 6.1),
    Row("unix-32-syscalls", SystemCalls, Load(Line, sessions=32), 3),
    Row("http-1-syscalls", SystemCalls, Load(Http), 6.1),
    Row("http-32-syscalls", SystemCalls, Load(Http, sessions=32), 3),
    Row("unix-window-64", Instructions, Load(Line, window=64), 6800),
    Row("unix-window-64-syscalls", SystemCalls, Load(Line, window=64), 0.12),
    Row("http-token", Instructions, Load(Http, token=True), 13100),
    Row("unix-progress", Instructions, Load(Line, progress=20), 3250, per="notification", less="unix-1", parts=20),
    Row("http-progress", Instructions, Load(Http, progress=20), 6350, per="notification", less="http-1", parts=20),
    Row("unix-session", Instructions, Load(Line, opens=True), 55500, per="session of one call"),
    Row("http-session", Instructions, Load(Http, opens=True), 129500, per="session of one call"),
    Row("unix-100-servers", Instructions, Load(Line, servers=100), within=("unix-1", 1.02)),
    Row("http-100-servers", Instructions, Load(Http, servers=100), within=("http-1", 1.02)),
)
BY_NAME = {r.name: r for r in ROWS}


def marks():
    """Of the build under test; when two builds are compared, one of them may be without it."""
    places = [os.path.join(b, "bench", "cost-marks.so") for b in (os.path.dirname(harness.MCPOOLD), harness.BUILD)]
    return next(filter(os.path.exists, places), places[0])


def check_programs():
    """A sentence for everything that is not as it must be."""
    for path in (harness.MCPOOLD, harness.DEMO, marks()):
        if not os.path.exists(path):
            raise CannotMeasure("%s is not there: `make bench-cost` builds it" % path)
    if harness.is_sanitized():
        raise CannotMeasure("%s is built with a sanitizer; what that costs is no cost of the daemon" % harness.MCPOOLD)


def check_tool(meter):
    command = meter.probe()
    if not shutil.which(command[0]):
        raise CannotMeasure("there is no %s: `scripts/deps cost` installs it" % command[0])
    try:
        said = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)
    except subprocess.TimeoutExpired:
        raise CannotMeasure("`%s` does not end" % " ".join(command)) from None
    if said.returncode:
        raise CannotMeasure("%s cannot run a program here%s: %s" % (
            command[0], ", which takes that ptrace is permitted" if command[0] == "strace" else "", said.stderr.strip()))


class Measured:
    """A daemon under a meter."""

    def __init__(self, meter, load):
        self.meter, self.load = meter, load
        self.daemon = harness.Daemon(load.servers_config(harness.demo()))
        self.daemon.config.update(load.config(self.daemon.dir))
        if load.token:
            path = os.path.join(self.daemon.dir, "token")
            with open(path, "w", opener=lambda p, flags: os.open(p, flags, 0o600), encoding="ascii") as f:
                f.write(TOKEN + "\n")

    @property
    def pid(self):
        """Of the daemon, whoever is its parent; None as long as it has not said so."""
        said = self.daemon.log.matching(r"^cost marks: in process ") if self.daemon.log else []
        return int(said[0].split()[-1]) if said else None

    def __enter__(self):
        return self

    def start(self):
        self.meter.start(self.daemon)
        if self.pid is None:
            raise CannotMeasure("the daemon runs without %s" % marks())
        threads = len(os.listdir("/proc/%d/task" % self.pid))
        if threads != 1:
            raise CannotMeasure("the daemon has %d threads, of which strace counts one" % threads)

    def mark(self, signo, answer):
        """The daemon notices when it sleeps: nothing else wakes it then."""
        await_state(self.pid, "S")
        start = self.daemon.log.mark()
        os.kill(self.pid, signo)
        self.daemon.log.wait("^cost marks: %s$" % answer, start)

    def stop(self):
        os.kill(self.pid, signal.SIGTERM)
        self.daemon.join()

    def __exit__(self, kind, error, _):
        if kind and self.pid and self.daemon.process and self.daemon.process.poll() is None:
            os.kill(self.pid, signal.SIGKILL)  # strace would leave it behind
        self.daemon.discard()
        if kind is Wrong:
            raise Wrong("%s; the log says:\n%s" % (error, self.daemon.log.text())) from error


def measure(row, calls, directory):
    """Runs the row's load; returns the number of calls, what they cost together, and the meter."""
    meter = row.meter(os.path.join(directory, row.name + (".callgrind" if row.meter is Instructions else ".strace")))
    with Measured(meter, row.load) as measured:
        measured.start()
        clients = Clients(row.load, measured.daemon, measured.pid)
        per_round = row.load.per_round()
        clients.rounds(1)  # brings up the servers
        clients.await_servers()
        clients.rounds(-(-WARM_UP // per_round))
        measured.mark(BEGIN, "begin")
        done = clients.rounds(-(-calls // per_round))
        measured.mark(END, "end")
        clients.close()
        measured.stop()
    return done, meter.read(), meter


class Figures:
    """The rows' figures, each measured once, when it is asked for."""

    def __init__(self, calls, directory):
        self.calls, self.directory, self.done = calls, directory, {}

    def of(self, name):
        """A call's cost, and what the report needs."""
        if name not in self.done:
            row = BY_NAME[name]
            calls, total, meter = measure(row, self.calls, self.directory)
            figure = total / calls
            if row.less:
                figure = (figure - self.of(row.less)[0]) / row.parts
            self.done[name] = figure, calls, meter
        return self.done[name]


def ceiling_of(row, figures, at_most):
    ceiling = row.ceiling
    if row.within:
        name, factor = row.within
        ceiling = figures.of(name)[0] * factor
    if at_most is not None:
        ceiling = at_most if ceiling is None else min(ceiling, at_most)
    return ceiling


def number(value, meter):
    return "-" if value is None else ("{:,.0f}" if meter is Instructions else "{:,.3f}").format(value)


def print_row(row, figure, ceiling):
    """Returns whether the figure is above its ceiling."""
    bad = ceiling is not None and figure > ceiling
    room = "-" if ceiling is None else "%.1f %%" % (100 * (ceiling - figure) / ceiling)
    print("%-26s %10s %10s %10s  %-6s  %s a %s" % (row.name, number(figure, row.meter), number(ceiling, row.meter), room,
                                                  "FAILED" if bad else "ok" if ceiling is not None else "", row.meter.unit, row.per), flush=True)
    return bad


def judge(rows, calls, directory, at_most):
    """Measures and prints the rows; returns the exit status."""
    figures, passed, failed, broken = Figures(calls, directory), 0, 0, []
    print("%-26s %10s %10s %10s" % ("row", "figure", "ceiling", "room"), flush=True)
    for row in rows:
        try:
            check_tool(row.meter)
            figure, done, meter = figures.of(row.name)
            ceiling = ceiling_of(row, figures, at_most)
        except (AssertionError, CannotMeasure, Wrong, OSError, LookupError, ValueError) as e:
            failed += 1
            print("%-26s FAILED: %s" % (row.name, e), flush=True)
            continue
        if print_row(row, figure, ceiling):
            failed += 1
            broken.append((row, done, meter))
        else:
            passed += ceiling is not None
    for row, done, meter in broken:
        print("\n%s, above its ceiling: where a call's %s are" % (row.name, row.meter.unit))
        meter.explain(done)
    print("\n%d passed, %d failed" % (passed, failed))
    return 1 if failed else 0


def compare(rows, calls, directory, builds):
    """Says what differs; judges nothing."""
    done = []
    for letter, build in zip("AB", builds):
        harness.MCPOOLD, harness.DEMO = (os.path.join(os.path.abspath(build), name) for name in ("mcpoold", "mcpool-demo"))
        check_programs()
        print("%s: %s" % (letter, build), flush=True)
        into = os.path.join(directory, letter)
        os.makedirs(into, exist_ok=True)
        done.append([measure(row, calls, into) for row in rows])
    for row, (calls_a, total_a, a), (calls_b, total_b, b) in zip(rows, *done):
        one, two = total_a / calls_a, total_b / calls_b
        print("\n%s: %s, then %s %s a call (%+.1f %%)" % (row.name, number(one, row.meter), number(two, row.meter),
                                                          row.meter.unit, 100 * (two - one) / one))
        if row.meter is Instructions:
            print_difference(a.profile, b.profile, calls_a, calls_b)
    return 0


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--rows", metavar="PATTERN", help="only rows whose names match; several with commas")
    p.add_argument("--calls", type=int, default=2000, metavar="N", help="measured calls of a row, at least (2000)")
    p.add_argument("--profile", metavar="DIR", help="keep what callgrind and strace write")
    p.add_argument("--at-most", type=float, metavar="N", help="hold every row to N where its ceiling is higher or missing")
    p.add_argument("--compare", nargs=2, metavar="BUILD", help="folders with mcpoold and mcpool-demo")
    p.add_argument("--list", action="store_true", help="the rows and their ceilings")
    o = p.parse_args()
    patterns = (o.rows or ("unix-1,http-1" if o.compare else "*")).split(",")
    rows = [r for r in ROWS if any(fnmatch.fnmatchcase(r.name, part) for part in patterns)]
    if not rows or o.calls < 1:
        p.error("no row is called like that" if not rows else "--calls is at least 1")
    if o.list:
        for r in rows:
            print("%-26s %10s  %s a %s" % (r.name, number(r.ceiling, r.meter), r.meter.unit, r.per))
        return 0
    directory = os.path.abspath(o.profile) if o.profile else tempfile.mkdtemp(prefix="mcpool-cost-")
    os.makedirs(directory, exist_ok=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that no process is left behind
    try:
        if o.compare:
            return compare(rows, o.calls, directory, o.compare)
        check_programs()
        return judge(rows, o.calls, directory, o.at_most)
    except CannotMeasure as e:
        print("%s\n\n0 passed, 1 failed" % e)
        return 1
    finally:
        if not o.profile:
            shutil.rmtree(directory)


if __name__ == "__main__":
    sys.exit(main())
