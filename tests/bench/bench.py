#!/usr/bin/python3
"""Where mcpool stands: its cost beside what is possible, measured in turn on this machine. Prints a table; README.md explains it.

Judges nothing: the exit status is 1 only when something could not be measured."""
import argparse
import datetime
import json
import os
import signal
import subprocess
import sys
import time

sys.dont_write_bytecode = True

import plot  # noqa: E402
import report  # noqa: E402
from machine import machine, versions  # noqa: E402
from peers import install  # noqa: E402
from processes import Failure, Workshop  # noqa: E402
from rows import load_rows  # noqa: E402
from rows_life import allow_descriptors, life_rows  # noqa: E402

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
RUNS, SECONDS = 5, 0.4
QUICK_RUNS, QUICK_SECONDS = 1, 0.1


class Bench:
    """What rows and targets need to know of this run."""

    def __init__(self, options, workshop):
        self.workshop = workshop
        self.mcpoold, self.programs = os.path.abspath(options.mcpoold), os.path.abspath(options.programs)
        self.seconds, self.runs = options.seconds, options.runs
        self.peers, self.without = options.peers, set(options.without)
        self.cpus = options.cpus

    def program(self, name):
        path = os.path.join(self.programs, name)
        if not os.access(path, os.X_OK):
            raise Failure("%s is not there: make bench-programs builds it" % path)
        return path

    def probe(self, what):
        """What the machine itself does: bytes copied a second, or round trips through pipes."""
        out = subprocess.run([self.program("probe"), what], stdout=subprocess.PIPE, check=False, timeout=60)
        if out.returncode:
            raise Failure("probe %s ended with status %d" % (what, out.returncode))
        return next(v for k, v in json.loads(out.stdout).items() if k.endswith("_per_second"))


class Screen:
    """What happens, on standard error, while it happens."""

    def __init__(self, quiet):
        self.quiet, self.began, self.begun_line = quiet, time.monotonic(), False

    def line(self, text):
        if not self.quiet:
            print("%s[%4.0f s] %s" % ("\n" if self.begun_line else "", time.monotonic() - self.began, text),
                  end="", file=sys.stderr, flush=True)
            self.begun_line = True

    def word(self, text):
        if not self.quiet:
            print(" " + text, end="", file=sys.stderr, flush=True)

    def close(self):
        if self.begun_line:
            print(file=sys.stderr, flush=True)


def measured(bench, row, target):
    """One run of one target, started for it if the row wants that; what went wrong as {"failed": sentence}."""
    try:
        return row.measure(bench, target)
    except (Failure, OSError, ValueError) as e:
        return {"failed": "%s" % e}
    finally:
        if not row.together:
            target.stop()


def started(row, targets, failed):
    """Those that start, of a row whose targets run all the time."""
    if not row.together:
        return targets
    up = []
    for target in targets:
        try:
            target.start()
            up.append(target)
        except (Failure, OSError) as e:
            failed[target.key] = str(e)
    return up


def turned(targets, number):
    """Each round begins with another target, so that none always has the same one before it."""
    at = number % max(1, len(targets))
    return targets[at:] + targets[:at]


def run_row(bench, row, screen):
    """All rounds of a row. Returns what stands of it in the JSON."""
    os.sched_setaffinity(0, bench.cpus[:1] if row.alone else bench.cpus)
    targets = [t for t in row.targets(bench) if t.wanted()]
    absent = sorted(t.key for t in targets if t.key in bench.without or t.missing())
    targets = [t for t in targets if t.key not in absent]
    rounds, failed = [], {}
    try:
        up = started(row, targets, failed)
        row.begin(bench, up)
        for number in range(bench.runs):
            screen.line("%s: run %d of %d:" % (row.name, number + 1, bench.runs))
            results = {}
            for target in turned(up, number):
                screen.word(target.key)
                result = measured(bench, row, target)
                if result and "failed" in result:
                    failed.setdefault(target.key, result["failed"])
                    screen.word("(%s)" % result["failed"])
                elif result:
                    results[target.key] = result
            row.finish(results)
            rounds.append(results)
    finally:
        for target in targets:
            target.stop()
    return report.row_results(row, targets, rounds, failed, absent)


def chosen_rows(rows, names):
    for name in names:
        if not any(name == row.name for row in rows):
            raise SystemExit("bench: there is no row %s; there are: %s" % (name, " ".join(row.name for row in rows)))
    return [row for row in rows if not names or row.name in names]


def cpu_list(text):
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError("%r is not a list of processors such as 0,1" % text) from None


def options_of(argv):
    build = os.path.join(TOP, os.environ.get("O", "build"))
    built = os.environ.get("MCPOOLD") or os.path.join(build, "mcpoold")
    folder = os.path.join(os.path.dirname(os.path.abspath(built)), "bench")
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0], epilog="README.md explains the table.")
    parser.add_argument("--only", action="append", default=[], metavar="ROW[,ROW]", help="only this row; may be repeated")
    parser.add_argument("--without", action="append", default=[], metavar="KEY", help="leave out this target, such as nginx")
    parser.add_argument("--list", action="store_true", help="name the rows and their targets")
    parser.add_argument("--runs", type=int, help="rounds of each row (%d)" % RUNS)
    parser.add_argument("--seconds", type=float, help="how long a run of the load generator takes (%.1f)" % SECONDS)
    parser.add_argument("--quick", action="store_true", help="one short round of each: does everything work?")
    parser.add_argument("--peers", action="store_true", help="also the npm proxies (needs node and npm)")
    parser.add_argument("--cpus", type=cpu_list, help="processors that everything runs on (the first two allowed)")
    parser.add_argument("--out", default=folder, metavar="DIR",
                        help="where the JSON and the plots go (%s)" % os.path.relpath(folder))
    parser.add_argument("--json", metavar="FILE", help="the JSON, instead of bench.json there")
    parser.add_argument("--mcpoold", default=built, help="the daemon to measure")
    parser.add_argument("--programs", default=folder, metavar="DIR", help="where load, floor and the servers are")
    parser.add_argument("--quiet", action="store_true", help="no progress on standard error")
    o = parser.parse_args(argv)
    o.runs = o.runs or (QUICK_RUNS if o.quick else RUNS)
    o.seconds = o.seconds or (QUICK_SECONDS if o.quick else SECONDS)
    o.only = [name for part in o.only for name in part.split(",") if name]
    o.without = [name for part in o.without for name in part.split(",") if name]
    o.cpus = o.cpus or sorted(os.sched_getaffinity(0))[:2]
    o.json = o.json or os.path.join(o.out, "bench.json")
    return o


def interrupted(_signal, _frame):
    raise KeyboardInterrupt


def run_all(o, rows, screen):
    """Everything that the JSON holds."""
    began = datetime.datetime.now(datetime.timezone.utc)
    workshop = Workshop()
    try:
        bench = Bench(o, workshop)
        before = machine()
        results = [run_row(bench, row, screen) for row in rows]
    finally:
        screen.close()
        workshop.close()
    return {
        "format": 1, "began": began.isoformat(timespec="seconds"), "seconds": round(time.monotonic() - screen.began, 1),
        "options": {"runs": o.runs, "seconds": o.seconds, "cpus": o.cpus, "quick": o.quick, "peers": o.peers},
        "machine": before, "versions": versions(o.mcpoold, TOP, o.peers), "rows": results}


def main():
    rows = load_rows() + life_rows()
    o = options_of(sys.argv[1:])
    if o.list:
        for row in rows:
            print("%-16s %s" % (row.name, row.title))
        return 0
    rows = chosen_rows(rows, o.only)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupted)
    allow_descriptors()
    screen = Screen(o.quiet)
    try:
        if o.peers:
            install()
        results = run_all(o, rows, screen)
    except KeyboardInterrupt:
        print("bench: interrupted", file=sys.stderr)
        return 130
    except Failure as e:
        print("bench: %s" % e, file=sys.stderr)
        return 1
    os.makedirs(os.path.dirname(os.path.abspath(o.json)), exist_ok=True)
    with open(o.json, "w", encoding="utf-8") as f:
        json.dump(results, f, indent=1)
        f.write("\n")
    print(report.table(results), flush=True)
    print("Every run: %s" % os.path.relpath(o.json))
    for path in plot.draw(results, o.out):
        print("Plot:      %s" % os.path.relpath(path))
    return 1 if any(row["failed"] for row in results["rows"]) else 0


if __name__ == "__main__":
    sys.exit(main())
