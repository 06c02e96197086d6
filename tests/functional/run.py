#!/usr/bin/python3
"""Runs the functional tests: one process per file, two at a time, a line per test.

    run.py                      everything
    run.py -k F12               tests whose name contains F12 (shell patterns work too)
    run.py -v                   with the time of each test
    run.py test_http_parsing.py only this file

Tests that fail are run once more, alone, when all others are through: one that passes then was disturbed by a busy machine, is
shown as "unsteady" at the end, with what it said before, and fails nothing as long as there are at most UNSTEADY_MAX of them.

MCPOOLD names the daemon to test (default build/mcpoold), TEST_DEADLINE the longest wait in seconds (20)."""
import argparse
import fnmatch
import glob
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
import traceback
import unittest

sys.dont_write_bytecode = True  # a test run leaves nothing in the tree
HERE = os.path.dirname(os.path.abspath(__file__))
UNSTEADY_MAX = 3
TEST_LIMIT = 120  # seconds; a test that takes longer hangs


def flatten(suite):
    for item in suite:
        if isinstance(item, unittest.TestSuite):
            yield from flatten(item)
        else:
            yield item


def wanted(test, patterns):
    """Patterns, or "=NAME" for that one alone."""
    name = "%s.%s" % (type(test).__name__, getattr(test, "_testMethodName", test))
    return not patterns or any(name == p[1:] if p.startswith("=") else
                               fnmatch.fnmatchcase(name, p if "*" in p else "*" + p + "*") for p in patterns)


class Reporter(unittest.TestResult):
    """Writes one JSON object per finished test to the parent."""

    def startTest(self, test):
        super().startTest(test)
        self.began = time.monotonic()
        self.outcome, self.detail = "pass", ""
        signal.alarm(TEST_LIMIT)

    def stopTest(self, test):
        signal.alarm(0)
        self.emit(test, self.outcome, self.detail, time.monotonic() - self.began)
        super().stopTest(test)

    def emit(self, test, outcome, detail, seconds):
        name = "%s.%s" % (type(test).__name__, getattr(test, "_testMethodName", test))
        print(json.dumps({"name": name, "outcome": outcome, "detail": detail, "seconds": seconds}), flush=True)

    def _fail(self, test, err):
        text = "".join(traceback.format_exception(*err))
        if not hasattr(test, "_testMethodName"):  # setUpClass and the like
            self.emit(test, "fail", text, 0)
            return
        self.outcome, self.detail = "fail", self.detail + text

    def addError(self, test, err):
        super().addError(test, err)
        self._fail(test, err)

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self._fail(test, err)

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err is not None:
            self.outcome = "fail"
            self.detail += "[%s]\n%s" % (subtest._subDescription(), "".join(traceback.format_exception(*err)))

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self.outcome, self.detail = "skip", reason


def worker(path, patterns):
    """Runs one file and reports on standard output."""
    def on_alarm(*_):
        raise AssertionError("the test hangs: %d s" % TEST_LIMIT)
    signal.signal(signal.SIGALRM, on_alarm)
    sys.path[:0] = [os.path.dirname(os.path.abspath(path)), HERE]
    loader = unittest.TestLoader()
    suite = loader.loadTestsFromName(os.path.basename(path)[:-3])
    tests = [t for t in flatten(suite) if wanted(t, patterns)]
    unittest.TestSuite(tests).run(Reporter())
    return 0


class Runner:
    def __init__(self, options):
        self.options = options
        self.counts = {"pass": 0, "fail": 0, "skip": 0}
        self.failures = []  # (line, file, name, detail)
        self.unsteady = []  # what to say of each
        self.lock = threading.Lock()

    def report(self, file, entry):
        with self.lock:
            self.counts[entry["outcome"]] += 1
            line = "%-4s %s: %s" % ({"pass": "ok", "fail": "FAIL", "skip": "skip"}[entry["outcome"]],
                                    os.path.basename(file)[:-3], entry["name"])
            if entry["outcome"] == "skip":
                line += " (%s)" % entry["detail"]
            if self.options.verbose:
                line += "  %.2f s" % entry["seconds"]
            print(line, flush=True)
            if entry["outcome"] == "fail":
                self.failures.append((line, file, entry["name"], entry["detail"]))
                print(entry["detail"], flush=True)

    def run_file(self, file, patterns=None):
        command = [sys.executable, os.path.abspath(__file__), "--worker", file]
        for p in patterns or self.options.k:
            command += ["-k", p]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        stderr = []
        reader = threading.Thread(target=lambda: stderr.append(child.stderr.read()))
        reader.start()
        for line in child.stdout:
            try:
                self.report(file, json.loads(line))
            except ValueError:
                stderr.append(line)
        reader.join()
        status = child.wait()
        if status != 0:
            detail = "".join(stderr) + "exit status %d" % status
            self.report(file, {"name": "(file)", "outcome": "fail", "detail": detail, "seconds": 0})

    def run_again(self):
        """What failed, one after the other, unless it is too much for chance."""
        first, self.failures = self.failures, []
        if len(first) > UNSTEADY_MAX or any(name == "(file)" for _, _, name, _ in first):
            self.failures = first
            return
        for line, file, name, detail in first:
            print("again, alone: " + name, flush=True)
            self.counts["fail"] -= 1
            before = self.counts["pass"]
            self.run_file(file, ["=" + name])
            if self.counts["pass"] > before:
                self.unsteady.append("unsteady%s\n%s" % (line[4:], detail))

    def run(self, files):
        todo = queue.Queue()
        # The largest files first, so that the last process does not start with the longest work.
        for f in sorted(files, key=os.path.getsize, reverse=True):
            todo.put(f)

        def work():
            while True:
                try:
                    self.run_file(todo.get_nowait())
                except queue.Empty:
                    return
        threads = [threading.Thread(target=work) for _ in range(self.options.jobs)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("files", nargs="*", help="test files; all of them when none is given")
    p.add_argument("-k", metavar="PATTERN", action="append", default=[], help="only tests whose name matches")
    p.add_argument("-v", "--verbose", action="store_true")
    p.add_argument("-j", "--jobs", type=int, default=2, metavar="N", help="files at a time (2)")
    p.add_argument("--worker", metavar="FILE", help=argparse.SUPPRESS)
    options = p.parse_args()
    if options.worker:
        return worker(options.worker, options.k)

    sys.path.insert(0, HERE)
    from daemon import DEMO, MCPOOLD
    for program in (MCPOOLD, DEMO):
        if not os.access(program, os.X_OK):
            print("%s is not there: run make first" % program, file=sys.stderr)
            return 2
    files = [os.path.abspath(f if os.path.exists(f) else os.path.join(HERE, f)) for f in options.files] or glob.glob(os.path.join(HERE, "test_*.py"))
    unknown = [f for f in files if not os.path.exists(f)]
    if unknown:
        print("there is no %s" % ", ".join(unknown), file=sys.stderr)
        return 2
    runner = Runner(options)
    runner.run(files)
    runner.run_again()
    for line in runner.unsteady + [f[0] for f in runner.failures]:
        print(line)
    c = runner.counts
    print("%d passed, %d failed, %d skipped" % (c["pass"], c["fail"], c["skip"]))
    if sum(c.values()) == 0:
        print("no test matches", file=sys.stderr)
        return 2
    return 1 if c["fail"] else 0


if __name__ == "__main__":
    sys.exit(main())
