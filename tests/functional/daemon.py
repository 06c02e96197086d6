"""Starts the real daemon in a directory of its own, watches its log, and checks what it leaves behind."""
import fcntl
import json
import os
import re
import select
import shutil
import signal
import subprocess
import tempfile
import threading
import time
import unittest
import uuid

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
BUILD = os.path.join(ROOT, os.environ.get("O", "build"))
MCPOOLD = os.path.abspath(os.environ.get("MCPOOLD", os.path.join(BUILD, "mcpoold")))
DEMO = os.path.abspath(os.environ.get("MCPOOL_DEMO", os.path.join(os.path.dirname(MCPOOLD), "mcpool-demo")))
FAKE = os.path.join(ROOT, "tests", "helpers", "fake_server.py")

# Every wait has this end. It is generous on purpose: it is the difference between a failing test and a test
# that hangs, never a statement about speed.
DEADLINE = float(os.environ.get("TEST_DEADLINE", "20"))

SANITIZER = re.compile(r"(ERROR: (Address|Leak|Memory|Thread)Sanitizer|runtime error:|SUMMARY: \w+Sanitizer)")
LOG_LINE = re.compile(r"^\S+Z (debug|info|notice|warning|error|critical) (.*)$")


class Timeout(AssertionError):
    pass


class Clock:
    """The time left of one wait."""

    def __init__(self, seconds=None):
        self.end = time.monotonic() + (DEADLINE if seconds is None else seconds)

    def left(self):
        return max(0.0, self.end - time.monotonic())

    def check(self, what):
        if self.left() <= 0:
            raise Timeout("timed out waiting for " + (what() if callable(what) else what))


def whole_lines(f):
    """The lines of a file that is being appended to, without one that is not finished. Not by iterating: that would go on
    after the unfinished line and take the rest of it for a line of its own."""
    return f.read().split("\n")[:-1]


def poll_until(condition, what, clock=None):
    """For things that announce themselves to nobody, such as a file or a process of somebody else."""
    clock = clock or Clock()
    while True:
        value = condition()
        if value:
            return value
        clock.check(what)
        time.sleep(0.005)


class Log:
    """The daemon's standard error, line by line. The daemon writes a line before it goes on, and whoever looks here takes
    what is in the pipe first: of all that a test has seen happen, the log is there, however slow this process is."""

    def __init__(self, pipe):
        self.changed = threading.Condition()
        self.closed = False
        self._lines, self._rest, self._pipe = [], b"", pipe
        os.set_blocking(pipe.fileno(), False)
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self):
        readable = select.poll()
        readable.register(self._pipe, select.POLLIN)
        with self._pipe:
            while not self.closed:
                readable.poll()
                self._take()

    def _take(self):
        with self.changed:
            while not self.closed:
                try:
                    data = os.read(self._pipe.fileno(), 1 << 16)
                except BlockingIOError:
                    return
                *whole, self._rest = (self._rest + data).split(b"\n")
                if not data and self._rest:
                    whole.append(self._rest)
                self._lines += [raw.decode("utf-8", "backslashreplace") for raw in whole]
                self.closed = not data
                self.changed.notify_all()

    @property
    def lines(self):
        self._take()
        return self._lines

    def wait(self, pattern, start=0):
        """The first line from index start on that matches; returns (index, match)."""
        clock, regex = Clock(), re.compile(pattern)
        with self.changed:
            at = start
            while True:
                lines = self.lines
                for i in range(at, len(lines)):
                    m = regex.search(lines[i])
                    if m:
                        return i, m
                at = len(lines)
                if self.closed or clock.left() <= 0:
                    raise Timeout("no log line matches %r; the log says:\n%s" % (pattern, self.text()))
                self.changed.wait(clock.left())

    def matching(self, pattern):
        regex = re.compile(pattern)
        with self.changed:
            return [line for line in self.lines if regex.search(line)]

    def mark(self):
        with self.changed:
            return len(self.lines)

    def text(self):
        return "\n".join(self.lines[-200:])


def demo(*args, **more):
    return {"command": DEMO, "args": list(args), **more}


def fake(*args, **more):
    return {"command": FAKE, "args": list(args), **more}


class Daemon:
    def __init__(self, servers, config=None):
        self.dir = tempfile.mkdtemp(prefix="mcpool-test-")
        self.mark = "MCPOOL_TEST_MARK=" + uuid.uuid4().hex
        self.runtime_dir = os.path.join(self.dir, "run")
        self.allowed_errors = []
        self.joined = False
        self.process = self.log = None
        self.host = self.port = None
        servers = {name: self._prepare(name, spec) for name, spec in servers.items()}
        os.mkdir(self.runtime_dir, 0o700)
        os.mkdir(os.path.join(self.dir, "state"), 0o700)
        self.config = {"listen": ["127.0.0.1:0"], "runtime_dir": self.runtime_dir,
                       "state_dir": os.path.join(self.dir, "state"), "mcpServers": servers, **(config or {})}
        self.config_path = os.path.join(self.dir, "mcpool.json")

    def _prepare(self, name, spec):
        """Gives a server its ledger and the mark by which its processes are found again."""
        spec = dict(spec)
        if spec.get("command") == FAKE:
            spec["args"] = ["--ledger", self.ledger_path(name)] + spec.get("args", [])
        if "command" in spec:
            key, value = self.mark.split("=")
            spec["env"] = {key: value, **spec.get("env", {})}
        return spec

    # --- life ---

    def start(self, env=None, wait=True, prefix=(), **popen):
        """prefix: a command that runs the daemon's; popen: more for Popen, such as pass_fds."""
        with open(self.config_path, "w") as f:
            json.dump(self.config, f, indent=1)
        os.chmod(self.config_path, 0o600)
        environment = dict(os.environ, **(env or {}))
        environment.setdefault("ASAN_OPTIONS", "detect_leaks=1:abort_on_error=0:exitcode=99")
        environment.setdefault("UBSAN_OPTIONS", "print_stacktrace=1")
        environment.pop("JOURNAL_STREAM", None)
        self.process = subprocess.Popen([*prefix, MCPOOLD, "--config", self.config_path], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment,
                                        start_new_session=True, **popen)
        # The daemon does not wait for who reads its log: a burst must find room although Python is slow.
        fcntl.fcntl(self.process.stderr, fcntl.F_SETPIPE_SZ, 1 << 20)
        self.log = Log(self.process.stderr)
        if wait:
            self.log.wait(r" notice ready$")
            for line in self.log.matching(r"listening on http://"):
                self.host, port = re.search(r"http://(\S+):(\d+)", line).groups()
                self.port = int(port)
        return self

    def kill(self):
        """For cleaning up after a failure: no checks."""
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for pid in self.children():
            os.kill(pid, signal.SIGKILL)

    def stop(self, expect_status=0):
        """SIGTERM, then everything that must hold of a daemon that ran well. Returns its log lines."""
        self.process.send_signal(signal.SIGTERM)
        return self.join(expect_status)

    def join(self, expect_status=0):
        try:
            status = self.process.wait(DEADLINE * 2)
        except subprocess.TimeoutExpired:
            raise Timeout("the daemon does not stop; its log says:\n" + self.log.text())
        self.joined = True
        self.log.thread.join(DEADLINE)
        problems = self.problems()
        if status != expect_status:
            problems.insert(0, "exit status %d instead of %d" % (status, expect_status))
        left = self.children()
        if left:
            problems.append("processes left behind: " + ", ".join(describe(p) for p in left))
        if os.path.isdir(self.runtime_dir) and os.listdir(self.runtime_dir):
            problems.append("left in the runtime directory: %s" % os.listdir(self.runtime_dir))
        if problems:
            raise AssertionError("%s\nthe log says:\n%s" % ("\n".join(problems), self.log.text()))
        return self.log.lines

    def problems(self, lines=None):
        """What must not be said, in these lines or the log's."""
        found = []
        for line in self.log.lines if lines is None else lines:
            m = LOG_LINE.match(line)
            if SANITIZER.search(line):
                found.append("sanitizer: " + line)
            elif m and m.group(1) == "critical":  # such as a repair by the audit of the recovery queue
                found.append("never: " + line)
            elif m and m.group(1) == "error":
                if not any(re.search(p, line) for p in self.allowed_errors):
                    found.append("unexpected: " + line)
        return found

    def allow_error(self, pattern):
        """The test provokes this error line; without this, any error line fails it. A critical one fails every test."""
        self.allowed_errors.append(pattern)

    def discard(self):
        self.kill()
        shutil.rmtree(self.dir, ignore_errors=True)

    # --- looking at it ---

    def socket_path(self, server):
        return os.path.join(self.runtime_dir, server + ".sock")

    def ledger_path(self, server):
        return os.path.join(self.dir, "ledger-" + server)

    def ledger(self, server, event=None, **match):
        try:
            with open(self.ledger_path(server)) as f:
                entries = [json.loads(line) for line in whole_lines(f)]
        except FileNotFoundError:
            return []
        return [e for e in entries if (event is None or e["event"] == event) and
                all(e.get(k) == v for k, v in match.items())]

    def received(self, server, method):
        """Messages with this method that the fake server read, oldest first."""
        return [e["message"] for e in self.ledger(server, "recv") if e["message"].get("method") == method]

    def wait_received(self, server, method, count=1):
        def enough():
            got = self.received(server, method)
            return got if len(got) >= count else None
        return poll_until(enough, "%d× %s at %s" % (count, method, server))

    def wait_ledger(self, server, event, **match):
        return poll_until(lambda: self.ledger(server, event, **match),
                          "%s %s in the ledger of %s" % (event, match, server))

    def children(self):
        """Live processes that carry our mark: servers and whatever they started."""
        return [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc")))
                if self._is_ours(pid)]

    def _is_ours(self, pid):
        try:
            with open("/proc/%d/environ" % pid, "rb") as f:
                return self.mark.encode() in f.read().split(b"\0")
        except OSError:
            return False

    def rss_kb(self):
        with open("/proc/%d/status" % self.process.pid) as f:
            return int(re.search(r"VmRSS:\s+(\d+)", f.read()).group(1))

    def fd_count(self):
        try:
            return len(os.listdir("/proc/%d/fd" % self.process.pid))
        except PermissionError:
            raise unittest.SkipTest("only root can look into the daemon")


def describe(pid):
    try:
        with open("/proc/%d/cmdline" % pid, "rb") as f:
            return "%d (%s)" % (pid, f.read().replace(b"\0", b" ").decode(errors="replace").strip())
    except OSError:
        return str(pid)


def is_sanitized():
    """Whether the daemon under test was built with a sanitizer: memory figures mean nothing then."""
    with open(MCPOOLD, "rb") as f:
        return b"__asan_init" in f.read()
