"""Sockets that the service manager opened: which are used for what, and that they outlive the daemon."""
import json
import os
import shutil
import signal
import socket
import tempfile

from harness import INITIALIZE, SINGLE, DaemonCase, HttpConn, LineClient, demo, fake
from manager import Manager, activation, listening


class ActivationCase(DaemonCase):
    servers = None
    config = {"resilience": SINGLE, "limits": {"shutdown_grace": 0.3}}

    def setUp(self):
        super().setUp()
        self.place = tempfile.mkdtemp(prefix="mcpool-sockets-")
        self.addCleanup(shutil.rmtree, self.place)
        self.sockets = []
        self.addCleanup(lambda: [s.close() for _, s in self.sockets])

    def pass_inet(self, name):
        self.sockets.append((name, listening(("127.0.0.1", 0))))
        return self.sockets[-1][1]

    def path(self, name):
        return os.path.join(self.place, name)

    def pass_unix(self, name, file, kind=socket.SOCK_STREAM):
        s = listening(self.path(file), socket.AF_UNIX, kind)
        self.sockets.append((name, s))
        return s

    def begin(self, servers=None, config=None, **more):
        self.start(servers or {"demo": demo()}, {**self.config, **(config or {})}, **activation(self.sockets), **more)
        return self.daemon

    def listens_at(self):
        return [line.split("listening on ")[1] for line in self.daemon.log.matching("notice listening on")]

    def line_at(self, path):
        class There:
            def socket_path(self, _):
                return path
        return self._made(LineClient(There()), True)


class ActivationTest(ActivationCase):
    def test_http_sockets_stand_in_for_the_addresses_of_the_configuration(self):
        addresses = ["127.0.0.1:%d" % self.pass_inet("http").getsockname()[1] for _ in range(2)]
        os.set_blocking(self.sockets[0][1].fileno(), True)
        self.begin(config={"listen": ["127.0.0.1:1", addresses[1]]})
        self.assertEqual(self.listens_at()[:2], ["http://%s (inherited)" % a for a in addresses])
        self.assertEqual(len(self.daemon.log.matching("not listening on")), 1)
        self.daemon.log.wait("not listening on 127.0.0.1:1 of the configuration")
        for a in addresses:
            self.daemon.host, port = a.split(":")
            self.daemon.port = int(port)
            self.assertEqual(self.http().tool("echo", {"text": a}), a)
        self.assertFalse(os.get_blocking(self.sockets[0][1].fileno()))

    def test_an_inherited_address_that_others_reach_needs_tokens_as_well(self):
        self.sockets.append(("http", listening(("0.0.0.0", 0))))
        self.begin(wait=False)
        self.daemon.allow_error("other machines can reach")
        self.daemon.log.wait("error cannot listen on http: other machines can reach it")
        self.daemon.join(expect_status=1)
        self.begin(config={"allow_unauthenticated": True})
        self.daemon.host = "127.0.0.1"
        self.assert_alive()

    def test_a_reload_leaves_them_alone(self):
        address = self.pass_inet("http").getsockname()
        self.pass_unix("demo", "door")
        d = self.begin()
        c = self.line_at(self.path("door"))
        d.config["listen"] = ["127.0.0.1:1"]
        d.config["mcpServers"]["more"] = d.config["mcpServers"]["demo"]
        with open(d.config_path, "w") as f:
            json.dump(d.config, f)
        d.process.send_signal(signal.SIGHUP)
        d.log.wait("listening on unix:.*/more.sock$")
        self.assertEqual((d.host, d.port), address)
        self.assertEqual(self.http("more").tool("echo", {"text": "x"}), "x")
        self.assertEqual(c.tool("echo", {"text": "y"}), "y")
        self.assertEqual(self.line_at(self.path("door")).tool("echo", {"text": "z"}), "z")

    def test_a_unix_http_socket_stands_beside_the_addresses(self):
        self.pass_unix("http", "http.sock")
        self.begin()
        self.assertEqual(self.line_at(self.path("http.sock")).tool("echo", {"text": "x"}), "x")
        self.assertEqual(self.http().tool("echo", {"text": "y"}), "y")

    def test_doors_of_servers_by_name_and_by_path(self):
        servers = {name: demo() for name in ("a", "b", "c")}
        self.pass_unix("a.sock", "one")
        self.pass_unix("b", "two")
        self.begin(servers)
        self.assertEqual([a.split("/")[-1] for a in self.listens_at()[1:]], ["one (inherited)", "two (inherited)", "c.sock"])
        for path in (self.path("one"), self.path("two"), self.daemon.socket_path("c")):
            self.assertEqual(self.line_at(path).tool("echo", {"text": path}), path)
        self.daemon.stop()
        # Files of the manager's sockets are the manager's.
        self.assertEqual(sorted(os.listdir(self.place)), ["one", "two"])

    def test_doors_in_their_own_places_need_no_name(self):
        self.pass_unix("unknown", "demo.sock")
        self.pass_unix("x", "mcp.sock")
        self.pass_unix("y", "listen.sock")
        self.pass_unix("z", "admin.sock")
        os.chmod(self.place, 0o700)
        self.begin(config={"runtime_dir": self.place, "listen": ["unix:" + self.path("listen.sock")]})
        for name in ("demo", "mcp", "listen"):
            self.assertEqual(self.line_at(self.path(name + ".sock")).tool("echo", {"text": name}), name)
        self.assertEqual(self.admin(self.path("admin.sock"))["sessions"], 3)
        self.daemon.stop()
        self.assertEqual(len(os.listdir(self.place)), 4)

    def admin(self, path):
        c = HttpConn(path)
        self.clients.append(c)
        return json.loads(c.exchange(b"GET /status HTTP/1.1\r\nHost: x\r\n\r\n", "GET").body)

    def test_the_admin_socket_by_name(self):
        self.pass_unix("admin", "operators")
        self.begin()
        self.assertEqual(self.admin(self.path("operators"))["servers"][0]["name"], "demo")
        self.assertFalse(os.path.exists(self.daemon.socket_path("admin")))

    def test_what_nobody_knows_is_closed_and_the_manager_told(self):
        manager = Manager(self.place)
        self.addCleanup(manager.close)
        self.pass_inet("nobody")
        self.pass_unix("admin", "datagrams", socket.SOCK_DGRAM)
        self.sockets.append(("http", socket.socket()))  # does not listen
        kept = self.pass_unix("demo", "door")
        self.begin(env=manager.env)
        for name, what in (("nobody", "a listening socket"), ("admin", "not a stream socket"),
                           ("http", "a socket that does not listen")):
            self.daemon.log.wait(r'warning closing what the service manager passed as "%s" \(%s\)' % (name, what))
            manager.wait(lambda m: m.get("FDSTOREREMOVE") == "1" and m["FDNAME"] == name)
        self.assertEqual(len(self.daemon.log.matching("closing what")), 3)
        # Ours are the only copies: one that the daemon had kept would go on listening.
        for name, s in self.sockets:
            s.close()
        self.sockets.clear()
        self.assertEqual(self.line_at(self.path("door")).tool("echo", {"text": "x"}), "x")
        self.assertLess(kept.fileno(), 0)
        self.assertEqual(self.http().tool("echo", {"text": "x"}), "x")  # at the address of the configuration

    def test_servers_get_none_of_it(self):
        manager = Manager(self.place)
        self.addCleanup(manager.close)
        self.pass_inet("http")
        self.begin({"fake": fake()}, env=manager.env)
        report = json.loads(self.http("fake").tool("report"))
        self.assertEqual([k for k in report["env"] if k.startswith(("LISTEN_", "NOTIFY_", "WATCHDOG_"))], [])
        ours = {os.fstat(s.fileno()).st_ino for _, s in self.sockets}
        given = {os.stat("/proc/%d/fd/%s" % (report["pid"], fd)).st_ino for fd in os.listdir("/proc/%d/fd" % report["pid"])}
        self.assertEqual(ours & given, set())

    def test_variables_of_another_process_mean_nothing(self):
        self.start({"demo": demo()}, self.config, env={"LISTEN_PID": "1", "LISTEN_FDS": "3"})
        self.assertEqual(self.daemon.log.matching("closing what|inherited"), [])
        self.assert_alive()


class SuccessorTest(ActivationCase):
    def test_who_connects_during_the_drain_is_served_by_the_next_process(self):
        s = self.pass_inet("http")
        host = "%s:%d" % s.getsockname()
        first = self.begin({"fake": fake()})
        holder = self.line("fake")
        call, _ = self.hold(holder)
        first.process.terminate()
        first.log.wait("stopping: ")
        c = HttpConn(s.getsockname())
        self.clients.append(c)
        c.send(self.request_bytes(INITIALIZE, path="/mcp/fake", host=host))
        holder.cancel(call)
        first.join()
        self.begin({"fake": fake()})
        self.assertEqual(c.read_response().status, 200)

    def test_no_connection_is_refused_over_restarts(self):
        s = self.pass_inet("http")
        answered = 0
        for _ in range(3):
            d = self.begin()
            waiting = []
            for i in range(20):
                c = HttpConn(s.getsockname())
                c.send(self.request_bytes(INITIALIZE, host="%s:%d" % s.getsockname()))
                waiting.append(c)
                if i == 10:
                    d.process.terminate()
            d.join()
            self.begin()  # whoever was not accepted yet is answered now
            for c in waiting:
                r = c.read_response()
                answered += r is not None and r.status in (200, 503)
                c.close()
            self.daemon.stop()
        self.assertEqual(answered, 60)


class ToolTest(ActivationCase):
    def test_systemd_socket_activate(self):
        tool = shutil.which("systemd-socket-activate")
        if not tool:
            self.skipTest("systemd-socket-activate is not installed")
        free = listening(("127.0.0.1", 0))
        address = "127.0.0.1:%d" % free.getsockname()[1]
        free.close()
        self.start({"demo": demo()}, self.config, wait=False,
                   prefix=(tool, "-l", address, "-l", self.path("admin.sock"), "--fdname=http:admin"))
        self.daemon.log.wait("Listening on .*admin.sock")
        self.daemon.host, port = address.split(":")
        self.daemon.port = int(port)
        self.assertEqual(self.http().tool("echo", {"text": "x"}), "x")
        self.daemon.log.wait("admin interface on unix:" + self.path("admin.sock"))
