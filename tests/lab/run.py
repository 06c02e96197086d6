#!/usr/bin/python3
"""Runs the lab tests: the built programs and units as a service of a real systemd, which runs in namespaces of its own.

    run.py                      everything
    run.py -k watchdog          tests whose name contains watchdog (shell patterns work too)
    run.py --shell              a shell in the lab instead

Needs root and systemd; says so and succeeds where there is neither. MCPOOLD names the daemon to test (default
build/mcpoold); its neighbours mcpoolctl and mcpool-demo are installed with it. LAB_LIMIT is the longest that all of it may
take, in seconds (300)."""
import argparse
import fnmatch
import glob
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import unittest

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
SYSTEMD = "/lib/systemd/systemd"
INSIDE = "/opt/mcpool/tests/lab/run.py"
LIMIT = float(os.environ.get("LAB_LIMIT", "300"))
TEST_LIMIT = 60

# What a package installs, and from where in this repository.
UNITS = {
    "systemd/mcpool.service": "usr/lib/systemd/system/mcpool.service",
    "systemd/mcpool.socket": "usr/lib/systemd/system/mcpool.socket",
    "systemd/mcpool.sysusers": "usr/lib/sysusers.d/mcpool.conf",
    "systemd/mcpool.tmpfiles": "usr/lib/tmpfiles.d/mcpool.conf",
    "systemd/mcpool.catalog": "usr/lib/systemd/catalog/mcpool.catalog",
}


# --- outside ---

def missing():
    """Why there can be no lab here; None when there can."""
    if os.geteuid() != 0:
        return "only root can make namespaces for it"
    if not os.access(SYSTEMD, os.X_OK):
        return "there is no " + SYSTEMD
    for tool in ("unshare", "nsenter", "setpriv", "pivot_root", "ip"):
        if not shutil.which(tool):
            return "%s is not installed" % tool
    if "overlay" not in open("/proc/filesystems").read():
        return "the kernel has no overlay file system"
    if subprocess.run(["unshare", *NAMESPACES, "true"], capture_output=True).returncode != 0:
        return "this kernel or container lets nobody make namespaces"
    return None


NAMESPACES = ("--pid", "--mount", "--uts", "--ipc", "--net", "--cgroup", "--fork", "--kill-child")


def stage(tree, daemon):
    """Lays out below tree what is tested, as a package would install it."""
    programs = {os.path.join(os.path.dirname(daemon), name): "usr/bin/" + name
                for name in (os.path.basename(daemon), "mcpoolctl", "mcpool-demo")}
    for source, target in {**programs, **UNITS}.items():
        source, target = os.path.join(ROOT, source), os.path.join(tree, target)
        if os.path.exists(source):
            os.makedirs(os.path.dirname(target), exist_ok=True)
            shutil.copy(source, target)
            os.chmod(target, 0o755 if source in programs else 0o644)


class Lab:
    def __init__(self, daemon):
        self.place = tempfile.mkdtemp(prefix="mcpool-lab-")
        self.tree, self.work = os.path.join(self.place, "tree"), os.path.join(self.place, "work")
        os.mkdir(self.tree)
        os.chmod(self.tree, 0o755)
        os.mkdir(self.work)
        stage(self.tree, daemon)
        self.console = open(os.path.join(self.place, "console"), "w+")
        # Whatever ends this process ends the lab.
        self.outer = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", "unshare", *NAMESPACES,
                                       os.path.join(HERE, "boot"), self.work, self.tree, ROOT],
                                      stdin=subprocess.DEVNULL, stdout=self.console, stderr=subprocess.STDOUT)
        self.init = None

    def boot(self):
        end = time.monotonic() + 60
        while time.monotonic() < end and self.outer.poll() is None:
            self.init = self.init or self._child()
            if self.init and self.run("systemctl", "is-active", "--quiet", "multi-user.target", quiet=True) == 0:
                return
            time.sleep(0.1)
        self.console.seek(0)
        raise SystemExit("the lab does not boot; its console says:\n" + self.console.read())

    def _child(self):
        with open("/proc/%d/task/%d/children" % (self.outer.pid, self.outer.pid)) as f:
            pids = f.read().split()
        return int(pids[0]) if pids else None

    def run(self, *command, quiet=False, limit=LIMIT):
        """Runs a command in the lab; its exit status."""
        enter = ["nsenter", "-t", str(self.init), "-m", "-p", "-u", "-i", "-n", "-C", "--root", "--wd",
                 "env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8", "HOME=" + pwd.getpwuid(0).pw_dir,
                 "TERM=" + os.environ.get("TERM", "dumb")]
        more = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL} if quiet else {}
        try:
            return subprocess.run([*enter, *command], timeout=limit, **more).returncode
        except subprocess.TimeoutExpired:
            print("the lab was given up after %d s" % limit, file=sys.stderr)
            return 1

    def end(self):
        """Process 1 takes every process of its namespace with it."""
        if self.init and self.outer.poll() is None:
            os.kill(self.init, signal.SIGKILL)
        else:
            self.outer.kill()
        self.outer.wait()
        self.console.close()
        shutil.rmtree(self.place, ignore_errors=True)


def outside(options):
    daemon = os.path.abspath(os.environ.get("MCPOOLD", os.path.join(ROOT, os.environ.get("O", "build"), "mcpoold")))
    why = missing()
    if why:
        print("skipped: the lab tests, because %s" % why)
        print("0 passed, 0 failed, 0 skipped")
        return 0
    if not os.access(daemon, os.X_OK):
        print("%s is not there: run make first" % daemon, file=sys.stderr)
        return 2
    lab = Lab(daemon)
    try:
        lab.boot()
        if options.shell:
            return lab.run("/bin/bash", limit=None)
        patterns = [x for p in options.k for x in ("-k", p)]
        return lab.run("/usr/bin/python3", INSIDE, "--inside", *patterns)
    finally:
        lab.end()


# --- inside ---

class Reporter(unittest.TestResult):
    """A line per test."""

    def __init__(self):
        super().__init__()
        self.counts = {"ok": 0, "FAIL": 0, "skip": 0}

    def startTest(self, test):
        super().startTest(test)
        self.began, self.outcome, self.detail = time.monotonic(), "ok", ""
        signal.alarm(TEST_LIMIT)

    def stopTest(self, test):
        signal.alarm(0)
        self.say(name_of(test))
        super().stopTest(test)

    def say(self, name):
        self.counts[self.outcome] += 1
        print("%-4s %s  %.1f s%s" % (self.outcome, name, time.monotonic() - self.began,
                                     " (%s)" % self.detail if self.outcome == "skip" else ""), flush=True)
        if self.outcome == "FAIL":
            print(self.detail, flush=True)

    def _fail(self, test, err):
        begun = hasattr(test, "_testMethodName")
        if not begun:  # setUpClass and the like
            self.began, self.detail = time.monotonic(), ""
        self.outcome = "FAIL"
        self.detail += "".join(traceback.format_exception(*err))
        if not begun:
            self.say(str(test))

    def addError(self, test, err):
        self._fail(test, err)

    def addFailure(self, test, err):
        self._fail(test, err)

    def addSubTest(self, test, subtest, err):
        if err is not None:
            self._fail(test, err)

    def addSkip(self, test, reason):
        self.outcome, self.detail = "skip", reason


def name_of(test):
    return "%s: %s.%s" % (type(test).__module__, type(test).__name__, test._testMethodName)


def flatten(suite):
    for item in suite:
        if isinstance(item, unittest.TestSuite):
            yield from flatten(item)
        else:
            yield item


def inside(options):
    def on_alarm(*_):
        raise AssertionError("the test hangs: %d s" % TEST_LIMIT)
    signal.signal(signal.SIGALRM, on_alarm)
    sys.path[:0] = [HERE, os.path.join(ROOT, "tests", "functional")]
    reporter = Reporter()
    for file in sorted(glob.glob(os.path.join(HERE, "test_*.py"))):
        suite = unittest.defaultTestLoader.loadTestsFromName(os.path.basename(file)[:-3])
        unittest.TestSuite(t for t in flatten(suite) if not options.k or any(
            fnmatch.fnmatchcase(name_of(t), p if "*" in p else "*" + p + "*") for p in options.k)).run(reporter)
    c = reporter.counts
    print("%d passed, %d failed, %d skipped" % (c["ok"], c["FAIL"], c["skip"]))
    if sum(c.values()) == 0:
        print("no test matches", file=sys.stderr)
        return 2
    return 1 if c["FAIL"] else 0


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("-k", metavar="PATTERN", action="append", default=[], help="only tests whose name matches")
    p.add_argument("--shell", action="store_true", help="a shell in the lab instead of tests")
    p.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = p.parse_args()
    return inside(options) if options.inside else outside(options)


if __name__ == "__main__":
    sys.exit(main())
