"""The place where chaos happens: the daemon under test, its servers, and everything a fault needs to reach them.

Each server is started through a link of its own, so that a fault can take the program away, and asks a mood file how to
behave each time it starts. Servers that are fake_server.py keep a ledger; which process belongs to which server is read
from its environment."""
import collections
import json
import os
import re
import shutil
import signal
import tempfile
import time

from daemon import DEMO, FAKE, Daemon, is_sanitized, poll_until
from wire import HttpConn

KIB, MIB = 1 << 10, 1 << 20

# Short, so that a thousand faults with all their recoveries fit into minutes.
RESILIENCE = {
    "backoff_base": 0.05, "max_backoff_delay": 1, "recovery_jitter_max": 0.05, "recovery_interval": 0.1,
    "max_retry_attempts": 4, "health_check_interval": 0.5, "stable_after": 0.3, "force_recovery_interval": 10,
    "circuit_breaker_timeout": 1, "circuit_breaker_window": 2, "circuit_breaker_trial_timeout": 1,
    "circuit_breaker_ramp": 0.3, "operation_timeout": 2, "call_timeout": 3, "queue_timeout": 4,
}
LIMITS = {
    "keepalive_interval": 0.3, "shutdown_grace": 0.2, "idle_shrink": 1, "drain_timeout": 5, "sse_grace": 1,
    "max_response_bytes": MIB, "start_rate": 0,
}
# Nothing is ever done to this one: whatever happens beside it, each of its calls must be answered.
STEADY = "steady"
PATIENT = {"operation_timeout": 30, "call_timeout": 60, "queue_timeout": 60}

HASTY = {"queue_timeout": 0.3}


class Spec:
    """One server: what runs, and how clients share it."""

    def __init__(self, fake, sharing, connections, resilience=None):
        self.fake, self.sharing, self.connections, self.resilience = fake, sharing, connections, resilience or {}


SERVERS = {
    "one": Spec(True, "shared", (1, 1), HASTY),
    "many": Spec(True, "shared", (2, 3)),
    "turns": Spec(True, "exclusive", (1, 3)),
    "own": Spec(True, "session", (1, 6), HASTY),
    "demo": Spec(False, "shared", (1, 2)),
    "demo-turns": Spec(False, "exclusive", (1, 2)),
    STEADY: Spec(True, "shared", (1, 1), PATIENT),
}

# What a leaked grandchild of fake_server.py looks like.
GRANDCHILD = b"import signal,time"


class Arena:
    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="mcpool-chaos-")
        self.began = time.monotonic()
        self.events = collections.deque(maxlen=4000)
        self.old_lines = []      # what daemons that were killed had logged
        self.daemon = Daemon({name: self._server(name, spec) for name, spec in SERVERS.items()},
                             {"resilience": RESILIENCE, "limits": LIMITS, "log_level": "info"})
        self.daemon.allow_error(r"Z error ")  # only critical ones are forbidden
        self.sanitized = is_sanitized()

    def _server(self, name, spec):
        os.makedirs(os.path.join(self.dir, name))
        os.symlink(FAKE if spec.fake else DEMO, self.program(name))
        low, high = spec.connections
        return {
            "command": self.program(name),
            "args": ["--ledger", self.ledger_path(name), "--mood", self.mood_path(name)] if spec.fake else [],
            "env": {"CHAOS_SERVER": name}, "sharing": spec.sharing,
            "resilience": {"min_connections": low, "max_connections": high, **spec.resilience},
        }

    def program(self, server):
        return os.path.join(self.dir, server, "program")

    def mood_path(self, server):
        return os.path.join(self.dir, server, "mood")

    def ledger_path(self, server):
        return os.path.join(self.dir, server, "ledger")

    def note(self, text, *args):
        self.events.append("%9.3f %s" % (time.monotonic() - self.began, text % args))

    # --- the daemon ---

    def start(self):
        self.daemon.start()
        self.note("daemon %d is ready", self.daemon.process.pid)
        self.daemon.config["listen"] = ["%s:%d" % (self.daemon.host, self.daemon.port)]  # the same after a restart

    def kill_daemon(self):
        """kill -9 for the daemon itself. Its servers must die with it; only what they leaked may be left."""
        self.daemon.process.kill()
        self.daemon.process.wait()
        self.note("daemon killed")
        poll_until(lambda: all(is_grandchild(p) for p in self.daemon.children()), "the servers of a killed daemon to die")
        for pid in self.daemon.children():
            os.kill(pid, signal.SIGKILL)

    def start_again(self):
        self.daemon.log.thread.join()
        self.old_lines += self.daemon.log.lines
        self.daemon.start()
        self.note("daemon %d is ready", self.daemon.process.pid)

    def reload(self, text):
        """Has the daemon read this as its configuration."""
        path = self.daemon.config_path + ".new"
        with open(path, "w") as f:
            f.write(text)
        os.chmod(path, 0o600)
        os.rename(path, self.daemon.config_path)
        self.daemon.process.send_signal(signal.SIGHUP)

    def log_lines(self):
        return self.old_lines + self.daemon.log.lines

    def discard(self):
        self.daemon.discard()
        shutil.rmtree(self.dir, ignore_errors=True)

    def descriptors(self):
        """The daemon's open descriptors: how many of each kind. Only root may see them; for others there are none."""
        kinds = collections.Counter()
        folder = "/proc/%d/fd" % self.daemon.process.pid
        try:
            fds = os.listdir(folder)
        except PermissionError:
            fds = []
        for fd in fds:
            try:
                target = os.readlink(os.path.join(folder, fd))
                kinds["file" if target.startswith(self.daemon.dir) else re.sub(r":\[\d+\]$", "", target)] += 1
            except OSError:
                pass  # closed meanwhile
        return dict(sorted(kinds.items()))

    def zombies(self):
        return [pid for pid in self._children() if state_of(pid) == "Z"]

    # --- servers, for faults ---

    def _children(self):
        try:
            with open("/proc/%d/task/%d/children" % (2 * (self.daemon.process.pid,)), encoding="ascii") as f:
                return [int(pid) for pid in f.read().split()]
        except OSError:
            return []

    def processes(self, server):
        """The processes that the daemon runs for a server at this moment, in no order."""
        mark = b"CHAOS_SERVER=" + server.encode()
        return [pid for pid in self._children()
                if mark in environment_of(pid) and not is_grandchild(pid) and state_of(pid) != "Z"]

    def signal(self, pid, number):
        """Through a descriptor, so that it cannot hit whoever gets the number next. False: it was gone already."""
        try:
            fd = os.pidfd_open(pid)
        except ProcessLookupError:
            return False
        try:
            if self.daemon.mark.encode() not in environment_of(pid):
                return False
            signal.pidfd_send_signal(fd, number)
            return True
        except ProcessLookupError:
            return False
        finally:
            os.close(fd)

    def set_mood(self, server, options):
        """How the server behaves from its next start on; None: well."""
        if options is None:
            if os.path.exists(self.mood_path(server)):
                os.unlink(self.mood_path(server))
            return
        with open(self.mood_path(server) + ".new", "w", encoding="utf-8") as f:
            json.dump(options, f)
        os.rename(f.name, self.mood_path(server))

    def spoil_program(self, server, how):
        """missing: there is no such file; forbidden: it may not be executed; None: all is well again."""
        program = self.program(server)
        if os.path.lexists(program):
            os.unlink(program)
        if how is None:
            os.symlink(FAKE if SERVERS[server].fake else DEMO, program)
        elif how == "forbidden":
            with open(program, "w", encoding="utf-8"):
                os.chmod(program, 0o600)

    # --- the operator ---

    def admin_path(self):
        return os.path.join(self.daemon.runtime_dir, "admin.sock")

    def admin(self, method, path):
        """One exchange with the admin interface: the value that it answered."""
        conn = HttpConn(self.admin_path())
        r = conn.exchange(("%s %s HTTP/1.1\r\nHost: localhost\r\n\r\n" % (method, path)).encode(), method)
        conn.close()
        assert r is not None and r.status == 200, "%s %s was answered %s" % (method, path, r and r.status)
        return json.loads(bytes(r.body))

    def has_admin(self):
        return os.path.exists(self.admin_path())

    # --- afterwards ---

    def ledger(self, server):
        """What was recorded, oldest first."""
        try:
            with open(self.ledger_path(server), encoding="utf-8") as f:
                for line in f:
                    if line.endswith("\n"):
                        yield json.loads(line)
        except FileNotFoundError:
            return

    def bad_log_lines(self):
        """Reports of sanitizers, and lines of level critical."""
        return self.daemon.problems(self.log_lines())


def environment_of(pid):
    try:
        with open("/proc/%d/environ" % pid, "rb") as f:
            return f.read().split(b"\0")
    except OSError:
        return []


def state_of(pid):
    try:
        with open("/proc/%d/stat" % pid, encoding="ascii", errors="replace") as f:
            return re.match(r"\d+ \(.*\) (\S)", f.read(), re.S).group(1)
    except OSError:
        return None


def is_grandchild(pid):
    try:
        with open("/proc/%d/cmdline" % pid, "rb") as f:
            return GRANDCHILD in f.read()
    except OSError:
        return True  # gone
