"""The admin interface: what it tells while servers live and die, recovery by force, and whom it lets in."""
import base64
import hashlib
import json
import os
import random
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import unittest

from daemon import ROOT
from harness import DEMO, SINGLE, Clock, DaemonCase, HttpConn, demo, fake, is_sanitized, poll_until

RFC3339 = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")
MIB = 1 << 20


class AdminCase(DaemonCase):
    def admin(self):
        c = HttpConn(self.daemon.socket_path("admin"))
        self.clients.append(c)
        return c

    def ask(self, path, method="GET", conn=None):
        c = conn or self.admin()
        r = c.exchange(("%s %s HTTP/1.1\r\nHost: admin\r\n\r\n" % (method, path)).encode(), method)
        if not conn:
            c.close()
        return r

    def json(self, path, method="GET", status=200):
        r = self.ask(path, method)
        self.assertEqual((r.status, r.media_type), (status, "application/json"), r.body)
        self.assertTrue(r.clean)
        return json.loads(r.body)

    def status(self, server):
        found = self.json("/status?server=" + server)["servers"]
        self.assertEqual([s["name"] for s in found], [server])
        return found[0]

    def when(self, server, condition, what):
        """The first status of the server for which the condition holds."""
        def look():
            s = self.status(server)
            return s if condition(s) else None
        return poll_until(look, "%s of %s" % (what, server))

    def when_health(self, server, health):
        return self.when(server, lambda s: s["health_status"] == health, health)

    def pid_of(self, server):
        return self.daemon.wait_ledger(server, "start")[-1]["pid"]

    def metrics(self):
        """Strictly parsed: {name: {labels: value}}, the labels sorted."""
        r = self.ask("/metrics")
        self.assertEqual(r.status, 200)
        self.assertEqual(r.headers.get("Content-Type"),
                         "application/openmetrics-text; version=1.0.0; charset=utf-8")
        lines = r.body.decode().split("\n")
        self.assertEqual(lines[-2:], ["# EOF", ""])
        samples = {}
        for line in lines[:-2]:
            if line.startswith("#"):
                self.assertRegex(line, r"^# (TYPE|UNIT|HELP) [a-z_]+ \S")
                continue
            m = re.match(r'^([a-z_]+)(?:\{((?:[a-z]+="[^"\\]*",?)+)\})? ([0-9.e+-]+)$', line)
            self.assertTrue(m, line)
            labels = tuple(sorted(re.findall(r'([a-z]+)="([^"\\]*)"', m.group(2) or "")))
            family = samples.setdefault(m.group(1), {})
            self.assertNotIn(labels, family, line)
            family[labels] = float(m.group(3))
        return samples


class StatusTest(AdminCase):
    servers = {"fake": fake(), "missing": {"command": "/no/such/program", "args": ["--password", "s3cret"],
                                           "env": {"TOKEN": "s3cret"}}}

    NAMES = {
        "server_config": {"name": str, "command": str, "transport": str},
        "pool_status": {"available": int, "max_size": int, "min_size": int},
        "circuit_breaker": {"state": str, "failure_count": int},
        "metrics": {"total_created": int, "total_destroyed": int, "recovery_attempts": int,
                    "successful_recoveries": int, "last_recovery_attempt": (str, type(None)),
                    "last_successful_recovery": (str, type(None))},
    }

    def test_every_promised_name_is_there(self):
        top = self.json("/status")
        for name in ("version", "pid", "uptime_seconds", "started_at", "sessions"):
            self.assertIn(name, top)
        self.assertEqual(top["pid"], self.daemon.process.pid)
        self.assertEqual(top["connections"], 0)
        self.assertGreater(top["rss_bytes"], MIB)
        self.assertRegex(top["started_at"], RFC3339)
        for _ in range(50):
            self.assertEqual(self.json("/status")["started_at"], top["started_at"])
        self.assertEqual([s["name"] for s in top["servers"]], ["fake", "missing"])
        for s in top["servers"]:
            for group, names in self.NAMES.items():
                for name, kind in names.items():
                    self.assertIsInstance(s[group][name], kind, (group, name))
            self.assertIsInstance(s["failed_connections"], int)
            self.assertIn(s["health_status"], ("healthy", "degraded", "unhealthy", "unknown"))
            self.assertEqual(s["resilience"]["max_connections"], 1)
            self.assertEqual(s["resilience"]["circuit_breaker_threshold"], 5)

    def test_a_killed_server_is_counted_and_comes_back(self):
        c = self.http("fake")
        c.tool("report")
        before = self.when_health("fake", "healthy")
        self.assertEqual(before["metrics"]["total_created"], 1)
        self.assertEqual(before["metrics"]["total_destroyed"], 0)
        self.assertIsNone(before["metrics"]["last_recovery_attempt"])
        self.assertEqual(before["pools"][0]["slots"][0]["epoch"], 1)
        self.kill(c)
        after = self.when("fake", lambda s: s["metrics"]["successful_recoveries"] == 1, "recovery")
        self.assertEqual(after["metrics"]["total_created"], 2)
        self.assertEqual(after["metrics"]["total_destroyed"], 1)
        self.assertGreaterEqual(after["metrics"]["recovery_attempts"], 1)
        self.assertRegex(after["metrics"]["last_recovery_attempt"], RFC3339)
        self.assertRegex(after["metrics"]["last_successful_recovery"], RFC3339)
        self.assertEqual(after["metrics"]["recovery_audit_repairs"], 0)
        self.assertEqual(after["pool_status"], {"available": 1, "max_size": 1, "min_size": 1})
        self.assertEqual(after["failed_connections"], 0)
        self.assertGreater(after["pools"][0]["slots"][0]["epoch"], 1)
        self.assertEqual(after["health_status"], "healthy")

    def test_a_program_that_does_not_exist(self):
        s = self.when_health("missing", "unhealthy")
        self.assertEqual(s["failed_connections"], 1)
        self.assertEqual(s["pool_status"], {"available": 0, "max_size": 1, "min_size": 1})
        slot = s["pools"][0]["slots"][0]
        self.assertEqual(slot["state"], "waiting")
        self.assertGreater(slot["next_attempt_ms"], 0)
        self.assertLessEqual(slot["next_attempt_ms"], 65000)
        self.assertIn("No such file", slot["last_error"])
        self.assertEqual(s["metrics"]["total_created"], 0)

    def test_nothing_that_may_be_secret_is_told(self):
        for path in ("/status", "/metrics", "/readyz"):
            body = self.ask(path).body
            self.assertNotIn(b"s3cret", body)
            self.assertNotIn(b"password", body)

    def test_one_bad_server_does_not_make_the_daemon_unready(self):
        def ready():
            r = self.ask("/readyz")
            self.assertIn(r.status, (200, 503))
            body = json.loads(r.body)
            self.assertEqual(body["ready"], r.status == 200)
            return body if body["ready"] else None
        body = poll_until(ready, "readiness")
        self.assertEqual([(s["name"], s["tried"]) for s in body["servers"]], [("fake", True), ("missing", True)])
        bad = body["servers"][1]
        self.assertEqual((bad["health_status"], bad["mode"], bad["circuit_breaker"], bad["available"], bad["failed_connections"]),
                         ("unhealthy", "active", "closed", 0, 1))
        self.assertEqual(body["servers"][0]["available"], 1)
        self.assertEqual(self.ask("/healthz").body, b"ok\n")

    def test_the_metrics_say_what_the_status_says(self):
        self.when_health("missing", "unhealthy")
        c = self.http("fake")
        for _ in range(3):
            c.tool("report")
        call, _ = self.hold(c)
        s, m = self.status("fake"), self.metrics()
        self.assertGreaterEqual(self.json("/status")["connections"], 1)
        self.assertEqual(sum(s["call_duration"]["counts"]),
                         sum(m["mcpool_call_duration_seconds_count"][k] for k in m["mcpool_call_duration_seconds_count"]
                             if ("server", "fake") in k))

        def value(name, server="fake", **labels):
            return m[name][tuple(sorted({"server": server, **labels}.items()))]
        self.assertEqual(value("mcpool_pool_slots", state="ready"), 1)
        self.assertEqual(value("mcpool_pool_slots", "missing", state="waiting"), 1)
        self.assertEqual(value("mcpool_server_health", state="healthy"), 1)
        self.assertEqual(value("mcpool_server_health", "missing", state="unhealthy"), 1)
        self.assertEqual(value("mcpool_breaker_state", state="closed"), 1)
        self.assertEqual(value("mcpool_calls_running"), 1)
        self.assertEqual(s["calls"]["running"], 1)
        self.assertEqual(value("mcpool_calls_total", outcome="result"), s["calls"]["result"])
        self.assertEqual(value("mcpool_connections_opened_total"), s["metrics"]["total_created"])
        self.assertEqual(m["mcpool_sessions"][()], 1)
        for server in ("fake", "missing"):
            self.assertEqual(value("mcpool_recovery_audit_repairs_total", server), 0)
        self.release(c)
        call.result()


class RecoverTest(AdminCase):
    servers = None

    def setUp(self):
        """A server whose program is not there before the test puts it there."""
        super().setUp()
        place = tempfile.mkdtemp(prefix="mcpool-late-")
        self.addCleanup(shutil.rmtree, place)
        self.program = os.path.join(place, "late")
        self.start({"fake": fake(), "late": {"command": self.program}})

    def test_a_recovery_brings_the_attempt_forward(self):
        s = self.when_health("late", "unhealthy")
        self.assertGreater(s["pools"][0]["slots"][0]["next_attempt_ms"], 30000)
        os.symlink(DEMO, self.program)
        mark = self.daemon.log.mark()
        answer = self.json("/recover?server=late", "POST")["servers"]
        self.assertEqual([a["name"] for a in answer], ["late"])
        self.assertEqual(answer[0]["reset"], 1)
        self.assertEqual(answer[0]["ready"], 0)
        s = self.when_health("late", "healthy")
        self.assertEqual(s["failed_connections"], 0)
        self.assertEqual(s["metrics"]["forced_recoveries"], 1)
        self.assertRegex(s["metrics"]["last_forced_recovery"], RFC3339)
        self.daemon.log.wait(r" notice server=late recovery .* by force, asked for by uid %d" % os.geteuid(), mark)

    def test_all_servers_at_once(self):
        self.when_health("late", "unhealthy")
        self.when_health("fake", "healthy")
        pid = self.pid_of("fake")
        answer = self.json("/recover", "POST")["servers"]
        self.assertEqual([a["name"] for a in answer], ["fake", "late"])
        self.assertEqual((answer[0]["ready"], answer[0]["torn_down"], answer[0]["started"]), (1, 0, 0))
        self.assertEqual((answer[1]["ready"], answer[1]["reset"]), (0, 1))
        self.assertEqual(self.pid_of("fake"), pid, "a connection that is well was touched")

    def test_A05_recoveries_do_not_touch_calls_that_run(self):
        c = self.http("fake")
        call, _ = self.hold(c)
        pid = self.pid_of("fake")
        for _ in range(20):
            self.json("/recover", "POST")
        self.release(c)
        self.assertEqual(call.result()["content"][0]["type"], "text")
        self.assertEqual(self.pid_of("fake"), pid)
        self.assertEqual(self.status("fake")["metrics"]["total_destroyed"], 0)

    def test_A06_what_names_no_server_recovers_none(self):
        mark = self.daemon.log.mark()
        self.assertIn("nobody", self.json("/recover?server=nobody", "POST", 404)["error"])
        for query in ("?server=", "?sever=late", "?server=late&x", "?late"):
            self.assertIn("?server=NAME", self.json("/recover" + query, "POST", 400)["error"])
        c = self.admin()
        r = c.exchange(b"POST /recover HTTP/1.1\r\nHost: x\r\nContent-Length: 17\r\n\r\n{\"server\":\"late\"}")
        self.assertEqual(r.status, 400)
        self.assertEqual(self.status("late")["metrics"]["forced_recoveries"], 0)
        self.assertEqual([line for line in self.daemon.log.lines[mark:] if "by force" in line], [])


class FloodTest(AdminCase):
    servers = {"fake": fake("--hang-handshake")}
    config = {"resilience": {**SINGLE, "operation_timeout": "1h"}}

    def test_A05_a_flood_of_recoveries_is_one_attempt(self):
        self.daemon.wait_ledger("fake", "recv")
        crowd = [self.admin() for _ in range(20)]
        for _ in range(20):
            for c in crowd:
                c.send(b"POST /recover HTTP/1.1\r\nHost: x\r\n\r\n")
            for c in crowd:
                r = c.read_response("POST")
                self.assertEqual(r.status, 200)
                self.assertEqual(json.loads(r.body)["servers"][0]["torn_down"], 0)
        s = self.status("fake")
        self.assertEqual(s["metrics"]["forced_recoveries"], 400)
        self.assertEqual([x["state"] for x in s["pools"][0]["slots"]], ["handshake"])
        self.assertEqual(len(self.daemon.ledger("fake", "start")), 1)


class FloodOfDeadServersTest(AdminCase):
    servers = {"s%d" % i: {"command": "/no/such/program"} for i in range(5)}
    config = {"resilience": SINGLE, "limits": {"start_rate": 1, "start_burst": 1}}

    def test_A05_a_flood_of_recoveries_keeps_to_the_pace_of_starts(self):
        c = self.admin()
        rounds = 300
        for _ in range(rounds):
            self.assertEqual(self.ask("/recover", "POST", conn=c).status, 200)
        attempts = sum(self.metrics()["mcpool_recovery_attempts_total"].values())
        # One a second: far fewer than were asked for, on any machine that can do more than one request a second.
        self.assertLess(attempts, rounds)


class HangingTest(AdminCase):
    servers = {"mute": fake("--hang-handshake"), "deaf": fake("--no-read-stdin"), "frozen": fake(), "held": fake()}
    config = {"resilience": {**SINGLE, "operation_timeout": "1h", "call_timeout": "1h", "health_check_interval": "1h"},
              "limits": {"drain_timeout": 1, "shutdown_grace": 1}}

    def test_A07_status_while_every_server_hangs(self):
        """Nothing that an answer needs is asked of a server."""
        held = self.http("held")
        call, _ = self.hold(held, server="held")
        os.kill(self.pid_of("frozen"), signal.SIGSTOP)
        waiting = [self.http(name, initialize=False).start("initialize", {}) for name in ("mute", "deaf")]
        self.daemon.wait_ledger("mute", "recv")
        for _ in range(50):
            for path in ("/status", "/metrics", "/healthz", "/readyz"):
                self.assertIn(self.ask(path).status, (200, 503))
            self.assertEqual(sorted(s["name"] for s in self.json("/status")["servers"]), sorted(self.servers))
        self.assertFalse(any(w.done() for w in waiting) or call.done())
        self.release(held)
        call.result()


class HttpTest(AdminCase):
    config = {"limits": {"header_timeout": "300ms"}, "resilience": SINGLE}

    def test_wrong_methods_are_told_the_right_one(self):
        for method, path, allow in (("GET", "/recover", "POST"), ("HEAD", "/recover", "POST"),
                                    ("POST", "/status", "GET, HEAD"), ("DELETE", "/metrics", "GET, HEAD"),
                                    ("BREW", "/", "GET, HEAD")):
            with self.subTest(method=method, path=path):
                r = self.ask(path, method)
                self.assertEqual((r.status, r.headers.get("Allow")), (405, allow))

    def test_A06_unknown_pages_and_servers_are_told_where_to_look(self):
        self.assertIn("GET /", self.json("/nothing", status=404)["error"])
        self.assertIn("/status", self.json("/status?server=nobody", status=404)["error"])
        self.assertIn(b"/recover", self.ask("/").body)
        for name in ("%1b[31m", "%0d%0aX:%20y", "a" * 500, "\"><script>", "caf\u00e9"):
            r = self.admin().exchange(("GET /status?server=%s HTTP/1.1\r\nHost: x\r\n\r\n" % name).encode(), "GET")
            self.assertIn(r.status, (400, 404))
            self.assertRegex(bytes(r.body).rstrip(b"\n"), rb"^[\x20-\x7e]+$")
            self.assertLess(len(r.body), 300)
        r = self.admin().exchange(b"GET /status?server=\x1b[31m HTTP/1.1\r\nHost: x\r\n\r\n", "GET")
        self.assertEqual(r.status, 400)
        self.assertNotIn(b"\x1b", r.body)

    def test_browsers_get_the_page_and_others_the_list(self):
        def index(accept):
            c = self.admin()
            r = c.exchange(b"GET / HTTP/1.1\r\nHost: localhost\r\n" + accept + b"\r\n", "GET")
            self.assertEqual((r.status, r.headers.get("Vary"), r.headers.get("X-Content-Type-Options")),
                             (200, "Accept", "nosniff"))
            return r
        for accept in (b"", b"Accept: */*\r\n", b"Accept: text/plain\r\n", b"Accept: application/json\r\n"):
            r = index(accept)
            self.assertEqual(r.media_type, "text/plain")
            self.assertIn(b"POST /recover", r.body)
        r = index(b"Accept: text/html,application/xhtml+xml;q=0.9,*/*;q=0.8\r\n")
        self.assertEqual(r.headers.get("Content-Type"), "text/html; charset=utf-8")
        self.assertEqual(r.headers.get("Cache-Control"), "no-store")
        with open(os.path.join(ROOT, "src", "front", "page", "index.html"), "rb") as f:
            page = f.read()
        self.assertEqual(bytes(r.body), page)
        policy = dict(d.split(" ", 1) for d in r.headers.get("Content-Security-Policy").split("; "))
        for tag, directive in (("script", "script-src"), ("style", "style-src")):
            (text,) = re.findall(b"<%s>(.*?)</%s>" % (tag.encode(), tag.encode()), page, re.DOTALL)
            digest = base64.urlsafe_b64encode(hashlib.sha256(text).digest()).decode()
            self.assertEqual(policy[directive], "'sha256-%s'" % digest)
        self.assertEqual(policy["default-src"], "'none'")
        self.assertEqual(policy["frame-ancestors"], "'none'")
        self.assertNotIn("unsafe", str(policy))
        for forbidden in (rb"<script[^>]", rb"<style[^>]", rb"\son[a-z]+=", rb"\sstyle=", rb"innerHTML", rb"https?://(?!www\.w3\.org/2000/svg|localhost)"):
            self.assertEqual(re.findall(forbidden, page), [], forbidden)

    def test_one_connection_serves_many_requests(self):
        c = self.admin()
        for path, method in (("/", "GET"), ("/status", "HEAD"), ("/status", "GET"), ("/metrics", "HEAD"),
                             ("/metrics", "GET"), ("/nothing", "GET"), ("/readyz", "GET")) * 3:
            r = self.ask(path, method, conn=c)
            self.assertTrue(r.clean)
            if method == "HEAD":
                self.assertEqual((r.status, bytes(r.body)), (200, b""))

    def test_A03_bytes_that_are_no_request(self):
        for junk in (b"\0" * 100, b"{\"jsonrpc\":\"2.0\"}\r\n\r\n", b"GET\r\n\r\n", b"GET /status HTTP/1.1\nHost: x\n\n",
                     b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"GET /status HTTP/1.1\r\n\r\n", random.Random(7).randbytes(4096)):
            with self.subTest(junk=junk[:20]):
                c = self.admin()
                r = c.exchange(junk)
                self.assertIn(r and r.status, (400, 431, 505, 414, None))
                c.wait_closed()
        c = self.admin()
        c.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
        self.assertEqual(c.wait_closed(), b"")  # TLS
        self.assertEqual(self.ask("/healthz").status, 200)

    def test_A03_a_head_that_does_not_end(self):
        c = self.admin()
        c.send(b"GET /status HTTP/1.1\r\n")
        self.assertEqual(c.read_response("GET").status, 408)
        c.wait_closed()

    def test_A03_an_oversized_head(self):
        for head in (b"GET /status HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 9000, b"GET /" + b"x" * 9000,
                     b"GET /status HTTP/1.1\r\nHost: x\r\n" + b"X: y\r\n" * 100 + b"\r\n"):
            c = self.admin()
            r = c.exchange(head + b"\r\n")
            self.assertIn(r and r.status, (431, 414))
            c.wait_closed()

    def test_curl(self):
        curl = shutil.which("curl")
        if not curl:
            self.skipTest("curl is not installed")

        def run(*args):
            return subprocess.run([curl, "-sS", "--fail-with-body", "--unix-socket", self.daemon.socket_path("admin"),
                                   *args], capture_output=True, timeout=20)
        r = run("http://mcpool/status")
        self.assertEqual((r.returncode, r.stderr), (0, b""))
        self.assertEqual(json.loads(r.stdout)["servers"][0]["name"], "demo")
        self.assertEqual(run("-X", "POST", "http://mcpool/recover?server=demo").returncode, 0)
        self.assertEqual(run("-d", "", "http://mcpool/recover").returncode, 0)
        self.assertEqual(run("-I", "http://mcpool/metrics").returncode, 0)
        self.assertEqual(run("http://mcpool/recover").returncode, 22)


class AccessTest(AdminCase):
    def test_A01_only_the_owner_can_open_the_socket(self):
        st = os.stat(self.daemon.socket_path("admin"))
        self.assertTrue(stat.S_ISSOCK(st.st_mode))
        self.assertEqual(stat.S_IMODE(st.st_mode), 0o600)
        self.assertEqual(st.st_uid, os.geteuid())

    @unittest.skipUnless(os.geteuid() == 0, "needs root to become somebody else")
    def test_A01_another_user_is_refused_even_when_the_file_lets_him_in(self):
        for path, mode in ((self.daemon.dir, 0o711), (self.daemon.runtime_dir, 0o711),
                           (self.daemon.socket_path("admin"), 0o666)):
            os.chmod(path, mode)
        script = ("import os,socket,sys\n"
                  "s=socket.socket(socket.AF_UNIX)\n"
                  "os.setgroups([]);os.setgid(65534);os.setuid(65534)\n"
                  "s.connect(sys.argv[1])\n"
                  "s.sendall(b'POST /recover HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n')\n"
                  "data=b''\n"
                  "while True:\n"
                  "    more=s.recv(4096)\n"
                  "    if not more: break\n"
                  "    data+=more\n"
                  "sys.stdout.buffer.write(data)\n")
        r = subprocess.run([sys.executable, "-c", script, self.daemon.socket_path("admin")], capture_output=True,
                           timeout=20)
        self.assertEqual(r.stderr, b"")
        self.assertTrue(r.stdout.startswith(b"HTTP/1.1 403 "), r.stdout)
        self.assertEqual(self.daemon.log.matching("by force"), [])
        self.daemon.log.wait(r" warning .*admin interface: uid 65534 \(pid \d+\) was refused")
        self.assertEqual(self.ask("/healthz").status, 200)

    def test_the_socket_may_lie_elsewhere(self):
        self.daemon.stop()
        place = tempfile.mkdtemp(prefix="mcpool-admin-")
        self.addCleanup(shutil.rmtree, place)
        path = os.path.join(place, "a.sock")
        self.start(config={"admin": "unix:" + path})
        self.assertFalse(os.path.exists(self.daemon.socket_path("admin")))
        c = HttpConn(path)
        self.clients.append(c)
        self.assertEqual(self.ask("/healthz", conn=c).body, b"ok\n")

    def test_A08_it_is_not_where_clients_connect(self):
        for path in ("/status", "/metrics", "/recover", "/readyz"):
            self.assertEqual(self.exchange(method="GET", path=path).status, 404)


class OriginTest(AdminCase):
    """Pages of other origins in a browser of this machine."""

    def ask_as(self, method, path, *fields):
        c = self.admin()
        c.send(("%s %s HTTP/1.1\r\n%s\r\n" % (method, path, "".join(f + "\r\n" for f in fields))).encode())
        r = c.read_response(method)
        c.close()
        return r

    def test_names_that_are_not_of_this_machine_are_refused(self):
        for host, status in (("localhost", 200), ("localhost:9000", 200), ("127.0.0.1:7333", 200), ("[::1]:7333", 200),
                             ("LOCALHOST", 200), ("mcpool", 200), ("attacker.test", 403), ("attacker.test:7333", 403),
                             ("localhost.attacker.test", 403), ("127.0.0.1.nip.io", 403), ("localhost.", 403)):
            for path in ("/status", "/", "/metrics"):
                with self.subTest(host=host, path=path):
                    self.assertEqual(self.ask_as("GET", path, "Host: " + host).status, status)

    def test_other_pages_cannot_post(self):
        for fields, status in (
                (("Host: localhost:9000", "Origin: http://localhost:9000"), 200),
                (("Host: localhost:9000", "Sec-Fetch-Site: same-origin"), 200), (("Host: mcpool",), 200),
                (("Host: localhost:9000", "Origin: http://localhost:9001"), 403),
                (("Host: localhost:9000", "Origin: https://attacker.test"), 403),
                (("Host: localhost:9000", "Origin: null"), 403), (("Host: localhost:9000", "Origin: "), 403),
                (("Host: localhost:9000", "Sec-Fetch-Site: cross-site"), 403),
                (("Host: localhost:9000", "Sec-Fetch-Site: same-site"), 403),
                (("Host: localhost", "Origin: http://localhost", "Origin: http://localhost"), 403)):
            with self.subTest(fields=fields):
                self.assertEqual(self.ask_as("POST", "/recover?server=demo", *fields).status, status)


class StrainTest(AdminCase):
    config = {"limits": {"max_client_connections": 3}, "resilience": SINGLE}

    def test_A04_clients_that_use_up_all_connections_do_not_lock_the_operator_out(self):
        for _ in range(6):
            self.clients.append(HttpConn((self.daemon.host, self.daemon.port)))
        self.assertEqual(self.json("/status")["servers"][0]["name"], "demo")

    def test_A04_more_connections_than_there_may_be(self):
        crowd = [self.admin() for _ in range(100)]  # the kernel holds those that are not accepted yet
        for c in crowd[:32]:
            self.assertEqual(self.ask("/healthz", conn=c).body, b"ok\n")
        r = crowd[32].read_response("GET")
        self.assertEqual(r.status, 503)
        for c in crowd:
            c.close()

        def free():
            r = self.ask("/healthz")
            return r and r.status == 200
        poll_until(free, "room for another connection")


class ThousandTest(AdminCase):
    """A thousand servers of which none runs: the longest answers that there are."""
    COUNT = 1000
    servers = {"s%03d" % i: demo() for i in range(COUNT)}
    config = {"resilience": {"min_connections": 0}}

    def test_a_long_status_is_whole(self):
        top = self.json("/status")
        self.assertEqual([s["name"] for s in top["servers"]], sorted(self.servers))
        self.assertEqual({s["health_status"] for s in top["servers"]}, {"unknown"})
        self.assertEqual(self.ask("/readyz").status, 200)
        self.assertEqual(len(self.json("/recover", "POST")["servers"]), self.COUNT)
        self.assertEqual(len({k for k in self.metrics()["mcpool_pool_slots"]}), self.COUNT * 6)

    def test_A03_readers_that_do_not_read_cost_little_and_hold_up_nobody(self):
        size = len(self.ask("/status").body)
        self.assertGreater(size, MIB)
        before = self.daemon.rss_kb()
        lazy = [self.small_window() for _ in range(20)]
        answers = []
        for c in lazy:
            c.send(b"GET /status HTTP/1.1\r\nHost: x\r\n\r\n")
            answers.append(c.read_response("GET", whole=False))
        for _ in range(3):
            self.assertEqual(self.ask("/healthz").status, 200)
            self.assertEqual(len(self.json("/status")["servers"]), self.COUNT)
        if not is_sanitized():
            self.assertLess(self.daemon.rss_kb() - before, 20 * size // 1024 // 4, "answers are held in memory")
        lazy[0].pump(answers[0], Clock(), lambda: answers[0].ended)
        self.assertTrue(answers[0].clean)
        self.assertEqual(len(json.loads(answers[0].body)["servers"]), self.COUNT)

    def small_window(self):
        c = self.admin()
        c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        return c


class StopTest(AdminCase):
    servers = {"fake": fake()}

    def test_A10_it_works_while_the_daemon_drains_and_until_a_second_signal(self):
        self.hold(self.http("fake"))
        self.daemon.process.send_signal(signal.SIGTERM)
        self.daemon.log.wait("stopping: ")
        top = self.json("/status")
        self.assertTrue(top["stopping"])
        self.assertEqual(top["servers"][0]["calls"]["running"], 1)
        self.assertFalse(self.json("/readyz", status=503)["ready"])
        self.assertIn("stopping", self.json("/recover", "POST", 503)["error"])
        self.daemon.process.send_signal(signal.SIGTERM)
        self.daemon.join()
        self.assertFalse(os.path.exists(self.daemon.socket_path("admin")))
