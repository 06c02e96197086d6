"""What systemd's journal gets: every kind of event with its MESSAGE_ID and its fields, in a real journald that runs in a mount
namespace of its own. And the catalog that explains each kind."""
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import unittest

from harness import DEADLINE, HttpConn, demo, fake, poll_until
from daemon import ROOT
from resilience import DEAD, ResilienceCase

IDS_H = os.path.join(ROOT, "include/base/log_ids.h")
CATALOG = os.path.join(ROOT, "systemd/mcpool.catalog")
JOURNALD = "/lib/systemd/systemd-journald"

# Kinds that no test here provokes, and why.
ELSEWHERE = {
    "RECOVERY_AUDIT": "cannot happen; tests/unit/proxy plants it",
    "WATCHDOG": "cannot happen; a daemon that stands still says nothing",
    "EXPOSED": "needs a kernel that refuses prctl",
    "HANDED_OVER": "needs the descriptor store of a service manager",
}


def ids():
    """{name: (id, subject)} of the table."""
    with open(IDS_H) as f:
        found = re.findall(r'X\((\w+),\s*"([0-9a-f]{32})",\s*\\?\s*"([^"]*)"\)', f.read())
    return {name: (id, subject) for name, id, subject in found}


IDS = ids()


class CatalogTest(unittest.TestCase):
    def test_every_kind_of_event_is_explained_and_nothing_else(self):
        with open(CATALOG) as f:
            head, *entries = re.split(r"^-- ", f.read(), flags=re.M)
        self.assertTrue(all(line.startswith("#") for line in head.split("\n") if line))
        table = {id: subject for id, subject in IDS.values()}
        self.assertEqual(len(table), len(IDS))
        self.assertGreater(len(IDS), 40)
        seen = set()
        for entry in entries:
            fields, _, text = entry.partition("\n\n")
            id, *fields = fields.split("\n")
            self.assertNotIn(id, seen)
            seen.add(id)
            self.assertIn(id, table)
            self.assertEqual(fields, ["Subject: " + table[id], "Defined-By: mcpool", "Documentation: man:mcpoold(8)"])
            self.assertGreater(len(text.strip()), 60, id)
            for name in re.findall(r"@(\w+)@", entry):
                self.assertIn(name, ("SERVER", "SLOT", "EPOCH", "SESSION", "PRINCIPAL", "METHOD", "DURATION_USEC",
                                     "DELIVERED", "REASON"))
            self.assertTrue(all(len(line) <= 80 for line in text.split("\n")), id)
        self.assertEqual(seen, set(table))

    @unittest.skipUnless(shutil.which("journalctl"), "journalctl is not installed")
    def test_journalctl_compiles_the_catalog(self):
        with tempfile.TemporaryDirectory() as root:
            place = os.path.join(root, "usr/lib/systemd/catalog")
            os.makedirs(place)
            shutil.copy(CATALOG, place)
            subprocess.run(["journalctl", "--update-catalog", "--root=" + root], check=True, capture_output=True)
            listed = subprocess.run(["journalctl", "--list-catalog", "--root=" + root], check=True, capture_output=True,
                                    text=True).stdout.strip().split("\n")
        self.assertEqual(sorted(listed), sorted("%s mcpool: %s" % entry for entry in IDS.values()))

    def test_every_kind_of_event_is_provoked_by_a_test(self):
        with open(__file__) as f:
            provoked = set(re.findall(r'self\.one\("(\w+)"', f.read()))
        self.assertEqual(provoked | set(ELSEWHERE), set(IDS))
        self.assertEqual(provoked & set(ELSEWHERE), set())


def why_not():
    if os.geteuid() != 0:
        return "needs root for a journald of its own"
    for program in ("unshare", "nsenter", "journalctl", "systemd-cat", "prlimit"):
        if not shutil.which(program):
            return program + " is not installed"
    if not os.access(JOURNALD, os.X_OK):
        return "systemd-journald is not installed"
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode:
        return "mount namespaces are not allowed here"
    return None


SETUP = """set -e
mount -t tmpfs -o mode=755 tmpfs /run
mount -t tmpfs tmpfs /var/log
mkdir -p /run/systemd/journald.conf.d /run/log/journal
printf '[Journal]\\nReadKMsg=no\\nAudit=no\\nStorage=volatile\\nRateLimitBurst=0\\nRuntimeMaxUse=8M\\n' >/run/systemd/journald.conf.d/t.conf
exec %s
""" % JOURNALD

# stderr is what the journal is said to be at the other end of, as under systemd.
ENTER = 'JOURNAL_STREAM=$(stat -L -c %d:%i /dev/stderr) exec "$@"'


class JournalCase(ResilienceCase):
    outer = ()

    def setUp(self):
        reason = why_not()
        if reason:
            self.skipTest(reason)
        super().setUp()
        self.journald = subprocess.Popen(["unshare", "--mount", "--propagation", "private", "sh", "-c", SETUP],
                                         stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(self._end_journald)
        self.enter = ["nsenter", "-t", str(self.journald.pid), "-m", "--"]
        poll_until(lambda: subprocess.run(self.enter + ["test", "-S", "/run/systemd/journal/socket"],
                                          capture_output=True).returncode == 0, "journald")

    def _end_journald(self):
        self.journald.kill()
        self.journald.wait()

    def start(self, servers=None, config=None, wait=True, prefix=(), **more):
        before = len(self.entries(MESSAGE_ID=IDS["READY"][0]))
        super().start(servers, config, wait=False, **self.inside(prefix), **more)
        if wait:
            self.wait_ready(before)
        return self.daemon

    def inside(self, prefix=()):
        return {"prefix": [*self.enter, *self.outer, "sh", "-c", ENTER, "sh", *prefix]}

    def wait_ready(self, before=0):
        poll_until(lambda: len(self.entries(MESSAGE_ID=IDS["READY"][0])) > before, "the daemon to be ready")
        where = [e["MESSAGE"] for e in self.entries(MESSAGE_ID=IDS["LISTENING"][0])]
        host, port = re.findall(r"http://(\S+):(\d+)", "\n".join(where))[-1]
        self.daemon.host, self.daemon.port = host, int(port)

    def entries(self, **match):
        done = subprocess.run(self.enter + ["journalctl", "--no-pager", "-q", "-o", "json", "SYSLOG_IDENTIFIER=mcpoold"] +
                              ["%s=%s" % m for m in match.items()], capture_output=True, text=True)
        return [json.loads(line) for line in done.stdout.splitlines()]

    def one(self, name, message=None, **fields):
        """The first entry of that kind with these fields, as journalctl finds it, and with that text. A value True: it is
        there; None: it is not."""
        exact = {k: str(v) for k, v in fields.items() if v is not None and v is not True}

        def look():
            for e in self.entries(MESSAGE_ID=IDS[name][0], **exact):
                there = all((k in e) == (v is not None) for k, v in fields.items())
                if there and (message is None or re.search(message, e["MESSAGE"])):
                    return e
            return None
        return poll_until(look, lambda: "%s %s in the journal:\n%s" % (
            name, fields, "\n".join(
                str({k: v for k, v in e.items() if k[0] != "_"}) for e in self.entries()[-40:])))


class ProcessTest(JournalCase):
    def test_the_life_of_the_daemon_and_its_servers(self):
        self.begin(servers={"fake": self.moody(), "off": demo(enabled=False)})
        self.one("STARTED", "mcpoold .* starts with .*mcpool.json$", PRIORITY=5, _PID=self.daemon.process.pid,
                 _TRANSPORT="journal")
        self.one("READY", "^ready$")
        self.one("LISTENING", r"^listening on http://127\.0\.0\.1:\d+$")
        self.one("LISTENING", "admin interface on ")
        self.one("SERVER_SKIPPED", SERVER="off")
        self.one("CHILD_STARTED", SERVER="fake", SLOT=0)
        self.one("CONN_READY", "handshake -> ready", SERVER="fake", SLOT=0, EPOCH=1)
        self.one("HEALTH", "health unknown -> healthy", SERVER="fake", SLOT=None)
        c = self.http("fake")
        handle = self.one("SESSION_OPENED", SERVER="fake", SESSION=True, PRINCIPAL="anonymous")["SESSION"]
        self.assertEqual(len(handle), 8)
        c.close()
        self.daemon.stop()
        self.one("STOPPING", "SIGTERM received")
        self.one("SESSION_ENDED", SESSION=handle, SERVER="fake")
        self.one("CHILD_EXIT", "process %d exited" % self.pids()[0], SERVER="fake", SLOT=0)
        self.one("STOPPED", "^stopped$")

    def test_what_keeps_it_from_starting(self):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            self.start({"fake": fake()}, {"listen": ["127.0.0.1:%d" % taken.getsockname()[1]]}, wait=False)
            self.assertEqual(self.daemon.process.wait(DEADLINE), 1)
            self.daemon.joined = True
            self.one("NOT_LISTENING", "Address already in use", PRIORITY=3)
        self.start({"fake": fake()}, {"runtime_dir": "/proc/nowhere"}, wait=False)
        self.assertEqual(self.daemon.process.wait(DEADLINE), 1)
        self.daemon.joined = True
        self.one("FATAL", "cannot create directory /proc/nowhere")

    def test_errors_of_the_configuration_are_events(self):
        self.start({"fake": fake()}, {"log_level": "inof"}, wait=False)
        self.assertEqual(self.daemon.process.wait(DEADLINE), 78)
        self.daemon.joined = True
        self.one("FATAL", r'^\S+/mcpool\.json:\d+:\d+: error: "log_level" is "inof"', PRIORITY=3)

    def test_state_that_cannot_be_saved(self):
        self.begin(top={"state_dir": "/proc/sys"})
        self.one("STATE_UNSAVED", "cannot create the session key")
        self.one("STATE_UNSAVED", "cannot save the state of sessions", PRIORITY=4)

    def test_a_service_manager_that_is_not_there(self):
        self.start({"fake": fake()}, {}, env={"NOTIFY_SOCKET": os.path.join(self.place, "nobody")})
        self.one("SERVICE_MANAGER", "cannot tell the service manager")

    def test_too_few_descriptors(self):
        self.start({"fake": fake()}, {}, prefix=["prlimit", "--nofile=40:40"])
        conns = [HttpConn((self.daemon.host, self.daemon.port)) for _ in range(60)]
        self.addCleanup(lambda: [c.close() for c in conns])
        self.one("SHORTAGE", "accepting on .* pauses: Too many open files")
        for c in conns:
            c.close()

    def test_the_log_level(self):
        self.begin()
        self.json("/log-level?level=error", "POST")
        self.one("LOG_LEVEL", "log level info -> error, asked for by uid 0", PRIORITY=5)

    def test_a_reload(self):
        self.begin()
        config = self.daemon.config
        config["mcpServers"]["new"] = demo()
        config["mcpServers"]["fake"]["replay"] = "off"
        self.reload()
        self.one("RELOADING", "SIGHUP received")
        self.one("RELOADED", r"servers: 1 added, 0 removed, 1 changed, 0 untouched")
        self.one("SERVER_ADDED", SERVER="new")
        new = self.json("/explain?server=new")["events"]
        self.assertRegex(new[0]["message"], "^added$")
        del config["mcpServers"]["new"]
        config["listen"] = []
        self.reload()
        self.one("SERVER_REMOVED", "removed from the configuration", SERVER="new")
        self.one("LISTENING_ENDED", "no longer listening on http://")
        self.assertIn("new", self.json("/explain?server=new", status=404)["error"])
        config["mcpServers"]["fake"]["replay"] = "nonsense"
        self.reload()
        self.one("RELOAD_REFUSED", "the configuration was not changed: 1 error", PRIORITY=3)

    def reload(self):
        with open(self.daemon.config_path, "w") as f:
            json.dump(self.daemon.config, f)
        self.daemon.process.send_signal(signal.SIGHUP)

    def test_sessions_of_an_earlier_process(self):
        self.begin()
        c = self.http("fake")
        self.daemon.process.kill()
        self.daemon.process.wait(DEADLINE)
        self.daemon.log.thread.join(DEADLINE)
        poll_until(lambda: not self.daemon.children(), "the servers to go with their daemon")
        for s in list(c.streams):
            s.cut_off()
        self.daemon.config["listen"] = ["%s:%d" % (self.daemon.host, self.daemon.port)]
        self.daemon.start(wait=False, **self.inside())
        self.wait_ready(1)
        self.assertEqual(c.request("ping"), {})
        self.one("SESSION_REVIVED", SERVER="fake", SESSION=True)


class ServerTest(JournalCase):
    def test_a_call_whose_server_dies(self):
        self.begin()
        c = self.http("fake")
        handle = self.one("SESSION_OPENED")["SESSION"]
        call, _ = self.hold(c)
        self.shoot()
        call.error()
        e = self.one("CALL_FAILED", "call failed: ", SERVER="fake", SLOT=0, EPOCH=1, SESSION=handle, PRINCIPAL="anonymous",
                     METHOD="tools/call", DELIVERED="maybe", REASON="upstream_lost", DURATION_USEC=True, PRIORITY=4)
        self.assertGreater(int(e["DURATION_USEC"]), 0)
        self.one("CONN_LOST", "connection lost after ", SERVER="fake", SLOT=0, EPOCH=1, REASON="upstream_lost",
                 DURATION_USEC=True)
        self.one("CHILD_EXIT", r"was killed by signal|SIGKILL|signal 9|Killed", SERVER="fake")
        self.one("CONN_WAITING", "next attempt in ", SERVER="fake", SLOT=0)
        self.one("RECOVERED", "recovered after ", SERVER="fake", SLOT=0, EPOCH=2, DURATION_USEC=True)
        # What an operator types first: everything about this server, and nothing else.
        about = self.entries(SERVER="fake")
        self.assertGreater(len(about), 8)
        self.assertEqual({e["SERVER"] for e in about}, {"fake"})
        self.assertTrue(all("MESSAGE_ID" in e for e in about), [e for e in about if "MESSAGE_ID" not in e])

    def test_a_server_that_does_not_start(self):
        self.mood(*DEAD)
        self.begin(max_retry_attempts=2, circuit_breaker_threshold=3, max_backoff_delay=0.1)
        self.one("ATTEMPT_FAILED", "attempt 1 failed after .* exited with status 1", SERVER="fake", SLOT=0, EPOCH=1,
                 REASON="upstream_lost", DURATION_USEC=True)
        self.one("CYCLE_END", "2 attempts failed", SERVER="fake", SLOT=0)
        self.one("BREAKER", "breaker closed -> open", SERVER="fake", PRIORITY=3)
        self.one("HEALTH", "-> unhealthy", SERVER="fake", PRIORITY=4)
        self.json("/recover?server=fake", "POST")
        self.one("FORCED_RECOVERY", r"recovery by force \(operator\)", SERVER="fake")
        self.one("FORCED_RECOVERY", "asked for by uid 0", SERVER="fake")

    def test_failed_calls_do_not_flood_the_journal(self):
        self.begin(limits={"call_errors_logged_per_second": 2}, circuit_breaker_threshold=1)
        c = self.http("fake")
        self.mood(*DEAD)
        self.shoot()
        self.when("fake", lambda s: s["circuit_breaker"]["state"] == "open", "open breaker")
        for _ in range(50):
            c.start_tool("record", {"nonce": "x"}).error()
        said = self.one("CALLS_SUPPRESSED", r"\d+ more failed calls were not logged", SERVER="fake")
        self.assertRegex(said["MESSAGE"], r"call_errors_logged_per_second 2\)$")

        def all_told():
            told = [e["MESSAGE"] for e in self.entries(MESSAGE_ID=IDS["CALLS_SUPPRESSED"][0])]
            return sum(int(re.search(r"(\d+) more", m).group(1)) for m in told) + \
                len(self.entries(MESSAGE_ID=IDS["CALL_FAILED"][0])) == 50
        poll_until(all_told, "all calls to be told of")
        self.one("CALL_FAILED", SERVER="fake", SLOT=None, EPOCH=None, REASON="breaker_open", DELIVERED="no")

    def test_a_silent_server(self):
        self.begin(health_check_interval=0.2, operation_timeout=2)
        c = self.http("fake")
        poll_until(lambda: self.metric("mcpool_probes_total", outcome="answered"), "an answered ping")
        self.hold(c)
        frozen = self.stop_process()
        self.one("CONN_SILENT", "no answer to a ping", SERVER="fake", SLOT=0, EPOCH=True)
        os.kill(frozen, signal.SIGCONT)
        self.one("CONN_SILENT", "heard again", SERVER="fake", SLOT=0, EPOCH=True)

    def test_what_its_processes_write(self):
        self.begin(limits={"stderr_lines_per_second": 3, "max_response_bytes": "8KiB"})
        c = self.http("fake")
        c.tool("stderr", {"text": "a line \x1b[2J\n"})
        self.one("CHILD_OUTPUT", r"stderr: a line \\x1b\[2J$", SERVER="fake", SLOT=0, PRIORITY=6)
        self.emit(c, "no message at all")
        self.one("CHILD_OUTPUT", "stdout is not JSON: no message at all", SERVER="fake")
        c.tool("stderr", {"text": "x\n", "count": 100})
        self.one("OUTPUT_SUPPRESSED", r"\d+ lines of output were not logged", SERVER="fake")
        c.start_tool("emit", {"lines": ['{"jsonrpc":"2.0","id":$ID,"result":{"x":"%s"}}' % ("y" * 20000)]}).error()
        self.one("BAD_MESSAGE", "thrown away: it is larger", SERVER="fake", REASON="response_too_large")

    def test_a_server_that_is_another(self):
        self.begin()
        self.http("fake")
        self.mood("--capabilities", '{"tools":{}}')
        self.shoot()
        self.one("SERVER_CHANGED", "the server is another than before", SERVER="fake", SLOT=0, EPOCH=2)

    def test_S20_tools_that_change(self):
        self.begin(servers={"demo": demo()})
        c = self.http()
        c.request("tools/list")
        c.tool("change", {"what": "tools"})
        c.request("tools/list")
        self.one("TOOLS_CHANGED", r"sha256 \w{32} -> \w{32}$", SERVER="demo", SLOT=0, EPOCH=1)

    def test_questions_that_fit_nobody(self):
        self.begin("--ask-at-start", "elicitation/create")
        self.http("fake", capabilities={"elicitation": {}})
        self.one("ASK_REFUSED", "cannot be attributed to a single client", SERVER="fake", METHOD="elicitation/create")
        self.one("SERVER_ASKS", SERVER="fake")

    def test_orders_of_the_operator(self):
        self.begin()
        self.json("/maint?server=fake", "POST")
        self.one("MODE", "mode active -> maint", SERVER="fake")
        self.json("/resume?server=fake", "POST")
        self.one("MODE", "mode maint -> active", SERVER="fake")
        self.json("/restart?server=fake", "POST")
        self.one("RENEWED", SERVER="fake")

    def test_refused_clients(self):
        self.begin(limits={"max_connections_per_peer": 2})
        conns = [HttpConn((self.daemon.host, self.daemon.port)) for _ in range(6)]
        self.addCleanup(lambda: [c.close() for c in conns])
        self.one("CLIENT_REFUSED", "max_connections_per_peer is reached", PRIORITY=4)
        for c in conns:
            c.close()


class StuckJournalTest(JournalCase):
    outer = ("systemd-cat",)  # stderr really is a stream of journald, so nobody reads that either

    def test_a_stopped_journald_holds_up_no_call(self):
        self.begin(limits={"stderr_lines_per_second": 0})
        c = self.http("fake")
        self.journald.send_signal(signal.SIGSTOP)
        self.addCleanup(self.journald.send_signal, signal.SIGCONT)
        for _ in range(20):
            c.tool("stderr", {"text": "x" * 500 + "\n", "count": 500})
        self.assertEqual(c.tool("record", {"nonce": "alive"}), "alive")
        self.journald.send_signal(signal.SIGCONT)

        def taken_again():
            c.tool("stderr", {"text": "heard again\n"})
            return [e for e in self.entries(MESSAGE_ID=IDS["CHILD_OUTPUT"][0]) if e["MESSAGE"].endswith("heard again")]
        poll_until(taken_again, "the journal to take lines again")
        lost = self.one("LOG_LOST", r"\d+ earlier lines of the log were lost")
        self.assertGreater(int(re.search(r"(\d+) earlier", lost["MESSAGE"]).group(1)), 100)
