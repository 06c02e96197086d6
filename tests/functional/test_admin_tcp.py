"""The port of the admin interface: for this machine, for reading, and apart from the socket (security.md A08)."""
import json
import os
import socket
import subprocess
import tempfile

from harness import MCPOOLD, SINGLE, HttpConn, demo, fake
from test_admin import AdminCase

PAGES = ("/", "/status", "/metrics", "/healthz", "/readyz")


class PortCase(AdminCase):
    config = {"admin_listen": "127.0.0.1:0", "resilience": SINGLE}

    def start(self, *args, **more):
        daemon = super().start(*args, **more)
        _, m = daemon.log.wait(r"admin interface, read-only, on http://(\S+):(\d+)")
        self.port = (m.group(1).strip("[]"), int(m.group(2)))
        return daemon

    def port_conn(self):
        c = HttpConn(self.port)
        self.clients.append(c)
        return c

    def read(self, path, method="GET", host=None, headers=(), conn=None):
        c = conn or self.port_conn()
        head = "%s %s HTTP/1.1\r\nHost: %s\r\n" % (method, path, host or "%s:%d" % self.port)
        head += "".join("%s: %s\r\n" % h for h in headers)
        r = c.exchange(head.encode() + b"\r\n", method)
        if not conn:
            c.close()
        return r


class PortTest(PortCase):
    servers = {"fake": fake()}

    def test_admin_listen_shows_what_the_socket_shows(self):
        self.when_health("fake", "healthy")
        for path in PAGES:
            with self.subTest(path):
                r = self.read(path)
                self.assertEqual(r.status, 200)
                self.assertEqual(r.headers.get("Content-Type"), self.ask(path).headers.get("Content-Type"))
                self.assertEqual([n for n, _ in r.headers if n.lower().startswith("access-control-")], [])
        s = json.loads(self.read("/status?server=fake").body)["servers"][0]
        self.assertEqual((s["name"], s["health_status"]), ("fake", "healthy"))
        self.assertIn(b"mcpool_pool_slots", self.read("/metrics").body)
        self.assertEqual(bytes(self.read("/status", "HEAD").body), b"")

    def test_A08_nothing_can_be_changed_through_the_port(self):
        c = self.http("fake")
        pid = json.loads(c.tool("report"))["pid"]
        for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS"):
            for path in ("/recover", "/recover?server=fake", "/status", "/drain?server=fake", "/reload", "/log-level?level=debug"):
                r = self.read(path, method)
                self.assertIn(r.status, (403, 404), (method, path))
                if r.status == 403:
                    self.assertIn(self.daemon.socket_path("admin"), json.loads(r.body)["error"])
        self.assertEqual(self.status("fake")["metrics"]["forced_recoveries"], 0)
        self.assertEqual(json.loads(c.tool("report"))["pid"], pid)

    def test_A08_what_servers_say_is_not_shown_on_the_port(self):
        for path in ("/explain?server=fake", "/logs?server=fake", "/log-level"):
            r = self.read(path)
            self.assertEqual(r.status, 403)
            self.assertIn(self.daemon.socket_path("admin"), json.loads(r.body)["error"])
            self.assertEqual(self.ask(path).status, 200)

    def test_A08_only_names_of_this_machine(self):
        for host in ("attacker.test", "attacker.test:%d" % self.port[1], "localhost.attacker.test", "192.0.2.1", "0.0.0.0",
                     "127.0.0.1.nip.io", "localhost.", "mcpool"):
            for path in PAGES:
                self.assertIn(self.read(path, host=host).status, (400, 403), host)
        for host in ("localhost", "LOCALHOST:%d" % self.port[1], "127.0.0.1", "[::1]:80"):
            self.assertEqual(self.read("/status", host=host).status, 200, host)
        for origin, status in (("http://attacker.test", 403), ("null", 403), ("http://localhost:3000", 403), ("http://localhost:%d" % self.port[1], 200)):
            self.assertEqual(self.read("/status", host="localhost:%d" % self.port[1], headers=[("Origin", origin)]).status, status)
        r = self.port_conn().exchange(b"GET /status HTTP/1.0\r\n\r\n", "GET")
        self.assertEqual(r.status, 403)

    def test_it_takes_no_bodies_and_no_junk(self):
        c = self.port_conn()
        r = c.exchange(b"GET /status HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello", "GET")
        self.assertEqual(r.status, 400)
        for junk in (b"\0" * 100, b"GET\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"x" * 20000 + b"\r\n\r\n"):
            c = self.port_conn()
            r = c.exchange(junk, "GET")
            self.assertIn(r and r.status, (400, 414, 431, 505, None))
        self.assertEqual(self.read("/healthz").status, 200)

    def test_it_ends_with_the_daemon(self):
        c = self.port_conn()
        self.assertEqual(self.read("/healthz", conn=c).status, 200)
        self.daemon.stop()
        self.assertEqual(c.wait_closed(), b"")
        with self.assertRaises(OSError):
            socket.create_connection(self.port, 5)


class SecretTest(PortCase):
    servers = {"chatty": {"command": "/bin/sh", "args": ["-c", "echo s3cret-on-stderr >&2; echo s3cret-on-stdout; exit 3"],
                          "env": {"PASSWORD": "s3cret-in-env"}}}

    def test_A08_nothing_that_servers_say_is_on_the_port(self):
        self.when_health("chatty", "unhealthy")
        self.assertIn(b"s3cret-on-stderr", self.ask("/logs?server=chatty").body)
        for path in PAGES + ("/status?server=chatty", "/explain?server=chatty", "/logs?server=chatty"):
            self.assertNotIn(b"s3cret", self.read(path).body)
            self.assertNotIn(b"s3cret", self.read(path, headers=[("Accept", "text/html")]).body)


class ApartTest(PortCase):
    def test_A04_who_uses_up_the_port_does_not_lock_the_operator_out(self):
        crowd = [self.port_conn() for _ in range(60)]
        for c in crowd[:16]:
            self.assertEqual(self.read("/healthz", conn=c).status, 200)
        self.assertEqual(crowd[16].read_response("GET").status, 503)
        operators = [self.admin() for _ in range(32)]
        for c in operators:
            self.assertEqual(self.ask("/healthz", conn=c).status, 200)
        for c in crowd:
            c.close()

    def test_clients_do_not_use_up_the_port_and_it_has_no_endpoint_of_theirs(self):
        for path in ("/mcp/demo", "/sse/demo", "/messages/demo"):
            self.assertEqual(self.read(path).status, 404)
        self.assertEqual(self.exchange(method="GET", path="/status").status, 404)


class AddressTest(PortCase):
    servers = None

    def test_admin_listen_on_other_loopback_addresses(self):
        self.start({"demo": demo()}, {"admin_listen": "127.0.0.2:0"})
        self.assertEqual(self.port[0], "127.0.0.2")
        self.assertEqual(self.read("/healthz").status, 200)
        with self.assertRaises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", self.port[1]), 5)

    def test_admin_listen_by_name(self):
        self.start({"demo": demo()}, {"admin_listen": "localhost:0"})
        self.assertEqual(self.read("/healthz", host="localhost").status, 200)

    def test_a_port_that_is_taken(self):
        taken = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(taken.close)
        with tempfile.TemporaryDirectory(prefix="mcpool-port-") as place:
            path = os.path.join(place, "mcpool.json")
            with open(path, "w") as f:
                json.dump({"runtime_dir": place + "/run", "state_dir": place, "listen": [], "mcpServers": {"demo": demo()},
                           "admin_listen": "127.0.0.1:%d" % taken.getsockname()[1]}, f)
            os.chmod(path, 0o600)
            r = subprocess.run([MCPOOLD, "--config", path], capture_output=True, text=True, timeout=60)
            self.assertEqual(r.returncode, 1)
            self.assertRegex(r.stderr, "error cannot open the admin port 127.0.0.1:.*Address already in use")
            self.assertEqual(os.listdir(place + "/run"), [], "a socket was left behind")

    def test_without_the_row_there_is_no_port(self):
        AdminCase.start(self, {"demo": demo()}, {})
        self.assertEqual(self.ask("/healthz").status, 200)
        self.assertEqual(self.daemon.log.matching("read-only"), [])
