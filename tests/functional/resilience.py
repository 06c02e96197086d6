"""What the tests of test_resilience_*.py share: a fake server whose moods change, and the three places where an operator
sees a rule at work: the status, the metrics and the log.

    class SomeTest(ResilienceCase):
        def test_backoff_base_is_the_first_delay(self):
            self.begin(backoff_base=0.2)
            ...
"""
import json
import os
import re
import shutil
import signal
import tempfile
from datetime import datetime

from harness import fake, poll_until
from test_admin import AdminCase

# Everything that a test does not look at is out of its way: no jitter, no breaker, no watchdog, no probes.
CALM = {"min_connections": 1, "max_connections": 1, "backoff_base": 0.1, "recovery_jitter_max": 0, "recovery_interval": 0.1,
        "health_check_interval": "1h", "circuit_breaker_threshold": 1000, "circuit_breaker_failure_rate": 0,
        "circuit_breaker_timeout": "1h", "circuit_breaker_ramp": 0, "force_recovery_interval": "1h",
        "adaptive_backoff": "off"}
DEAD = ("--exit-at-start", "1")
NEXT = re.compile(r"-> waiting \(next attempt in ([0-9.]+) s, number (\d+)\)$")
# A line that names its call, but is no JSON: a failure of a connection that lives on. A short one would be skipped.
GARBAGE = '{"jsonrpc":"2.0","id":$ID,"result":{"x":"%s\udcff"}}' % ("y" * 200000)


class ResilienceCase(AdminCase):
    servers = None

    def setUp(self):
        super().setUp()
        self.place = tempfile.mkdtemp(prefix="mcpool-moods-")
        self.addCleanup(shutil.rmtree, self.place)

    # --- the server ---

    def mood(self, *options, server="fake"):
        """What processes of that server are like which start from now on: further options of the fake server."""
        path = os.path.join(self.place, server)
        with open(path + ".new", "w") as f:
            json.dump(options, f)
        os.rename(path + ".new", path)

    def moody(self, *options, server="fake", **entry):
        return fake("--mood", os.path.join(self.place, server), *options, **entry)

    def begin(self, *options, entry=None, limits=None, top=None, servers=None, **rules):
        """A daemon with one fake server, or those that are given, and these rules."""
        limits = {"stream_above": "4KiB", "drain_timeout": 1, **(limits or {})}
        self.start(servers or {"fake": self.moody(*options, **(entry or {}))},
                   {"resilience": {**CALM, **rules}, "limits": limits, **(top or {})})
        self.daemon.allow_error(r" breaker [a-z_]+ -> open ")
        return self.daemon

    def pids(self, server="fake"):
        """Of all processes that this server ever had."""
        return [e["pid"] for e in self.daemon.ledger(server, "start")]

    def shoot(self, server="fake", sig=signal.SIGKILL):
        """A signal to the latest process; nothing is said to it, so it dies without having answered anything."""
        pid = self.pids(server)[-1]
        os.kill(pid, sig)
        return pid

    def stop_process(self, server="fake"):
        """It goes on existing and does nothing any more, and has read nothing that is sent from now on."""
        pid = self.shoot(server, signal.SIGSTOP)

        def is_stopped():
            with open("/proc/%d/stat" % pid) as f:
                return f.read().rpartition(")")[2].split()[0] == "T"
        poll_until(is_stopped, "the process to stop")
        return pid

    def ready(self, server="fake", count=1):
        return self.when(server, lambda s: s["pool_status"]["available"] == count, "%d connections" % count)

    def run_down(self, client, *mood, server="fake"):
        """Its process dies, and those that follow have this mood (default: they exit at once). Returns when the daemon
        has noticed."""
        self.mood(*(mood or DEAD), server=server)
        mark = self.daemon.log.mark()
        self.kill(client, server)
        self.wait_log("connection lost after", server, mark)

    def garbage(self, client):
        """One answer that is none; the process that gave it lives on."""
        error = client.start_tool("emit", {"lines": [GARBAGE]}).error()
        self.assert_error(error, -32603, "upstream_protocol", "maybe", "fake")

    # --- looking at it ---

    def slot(self, server="fake", n=0):
        return self.status(server)["pools"][0]["slots"][n]

    def metric(self, name, server="fake", **labels):
        if server:
            labels["server"] = server
        return self.metrics()[name][tuple(sorted(labels.items()))]

    def lines(self, pattern, server="fake", start=0):
        """Log lines about that server."""
        return [line for line in self.daemon.log.lines[start:] if " server=%s " % server in line and re.search(pattern, line)]

    def wait_lines(self, pattern, count, server="fake", start=0):
        def enough():
            found = self.lines(pattern, server, start)
            return (found,) if len(found) >= count else None
        return poll_until(enough, lambda: "%d times %r in the log:\n%s" % (count, pattern, self.daemon.log.text()))[0]

    def wait_log(self, pattern, server="fake", start=0):
        return self.wait_lines(pattern, 1, server, start)[0]

    def waits(self, count, server="fake", start=0):
        """The first so many waits of the recovery queue, as the log tells them: [(seconds, number of the attempt)]."""
        found = self.wait_lines(NEXT, count, server, start)[:count]
        return [(float(m.group(1)), int(m.group(2))) for m in map(NEXT.search, found)]

    def breaker_steps(self, count=0, server="fake"):
        """[(from, to, why)] of its breaker, from the log, as soon as it has made so many."""
        return [re.search(r"breaker (\w+) -> (\w+) \((.*?)\)", line).groups()
                for line in self.wait_lines(r" breaker \w+ -> ", count, server)]

    def runs(self, nonce, server="fake"):
        return len(self.daemon.ledger(server, "run", nonce=nonce))


def when(line):
    """The time of a log line, in seconds."""
    return datetime.fromisoformat(line.split(" ", 1)[0].replace("Z", "+00:00")).timestamp()


def gaps(lines):
    """The seconds between log lines that follow each other."""
    times = [when(line) for line in lines]
    return [b - a for a, b in zip(times, times[1:])]
