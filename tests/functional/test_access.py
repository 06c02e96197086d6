"""Who may connect over TCP: tokens, the servers that they open, and what is told of them (security.md C08, F40-F42)."""
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import unittest

from harness import DEMO, INITIALIZE, MCPOOLD, SINGLE, Clock, DaemonCase, HttpConn, demo, fake, poll_until
from manager import activation

ALICE, BOB, CAROL = "alice-" + "A" * 20, "bob-" + "B" * 20, "carol-" + "C" * 20
SSE = [("Accept", "text/event-stream")]


def bearer(secret):
    return [("Authorization", "Bearer " + secret)]


class TokenCase(DaemonCase):
    """Three clients: one for all servers, one for one, and one whose secret the service manager passes."""
    servers = {"fake": fake(), "other": fake()}
    limits = {"auth_failure_delay": 0}
    top = {}

    def setUp(self):
        self.place = tempfile.mkdtemp(prefix="mcpool-tokens-")
        self.addCleanup(shutil.rmtree, self.place)
        self.write("alice", ALICE)
        self.write("bob", BOB)
        self.write("credential-carol", CAROL, mode=0o644)
        self.config = {"resilience": SINGLE, "log_level": "debug", "limits": self.limits, "tokens": self.tokens(), **self.top}
        super().setUp()

    def tokens(self):
        return {"alice": {"file": self.path("alice")}, "bob": {"file": self.path("bob"), "servers": ["fake"]},
                "carol": {"credential": "credential-carol"}}

    def start(self, *args, **more):
        return super().start(*args, env={"CREDENTIALS_DIRECTORY": self.place}, **more)

    def path(self, name):
        return os.path.join(self.place, name)

    def write(self, name, *lines, mode=0o600):
        with open(self.path(name), "w") as f:
            f.write("\n".join(lines) + "\n")
        os.chmod(self.path(name), mode)

    def post(self, headers=(), path="/mcp/fake"):
        return self.exchange(INITIALIZE, path=path, headers=headers)

    def check_401(self, r, error):
        self.assertEqual(r.status, 401)
        self.assertEqual(r.headers.get("WWW-Authenticate"),
                         'Bearer realm="mcpool"' + (', error="invalid_token"' if error else ""))
        body = json.loads(bytes(r.body))
        self.assertEqual((body["error"]["code"], body["error"]["data"]["reason"]), (-32600, "unauthorized"))


class TokenTest(TokenCase):
    def test_tokens_let_their_clients_in(self):
        for secret in (ALICE, BOB, CAROL):
            for make in (self.http, self.sse):
                self.assertIn("pid", json.loads(make("fake", headers=bearer(secret)).tool("report")))
        self.assertEqual(self.daemon.log.matching("valid token"), [])
        for name in ("alice", "bob", "carol"):
            self.daemon.log.wait(r" principal=token:%s session opened" % name)

    def test_tokens_stand_in_the_command_that_is_shown_to_try(self):
        self.daemon.log.wait("-H 'Authorization: Bearer A-SECRET-OF-YOURS'")

    def test_tokens_are_not_asked_for_on_unix_sockets(self):
        self.assertIn("pid", json.loads(self.line("fake").tool("report")))
        c = self.http("fake", unix=True)
        self.assertIn("pid", json.loads(c.tool("report")))
        c.headers = bearer("of no use at all")
        self.assertIn("pid", json.loads(c.tool("report")))

    def test_F41_no_token(self):
        for headers in ([], [("Authorization", "Basic YWxpY2U6cGFzcw==")], [("X-Authorization", "Bearer " + ALICE)],
                        [("Authorization", "")]):
            self.check_401(self.post(headers), error=False)

    def test_F41_wrong_tokens(self):
        wrong = [ALICE[:-1], ALICE + "A", ALICE.lower(), ALICE[1:], "x", BOB + "," + ALICE, ALICE + " " + ALICE, '"%s"' % ALICE,
                 "", "Bearer " + ALICE, "A" * 5000, "token:alice", "alice", "\xe4" * 30]
        for secret in wrong:
            with self.subTest(secret[:40]):
                self.check_401(self.post(bearer(secret)), error=True)
        self.assertEqual(self.post(bearer(ALICE)).status, 200)

    def test_F41_two_authorization_fields(self):
        for a, b in ((ALICE, ALICE), (ALICE, "wrong"), ("wrong", ALICE)):
            self.assertEqual(self.post(bearer(a) + bearer(b)).status, 400)

    def test_F41_every_way_needs_it_before_anything_else_is_told(self):
        for method, path, body in (("POST", "/mcp/fake", INITIALIZE), ("POST", "/mcp/nobody", INITIALIZE), ("POST", "/mcp", INITIALIZE),
                                   ("GET", "/mcp/fake", b""), ("DELETE", "/mcp/fake", b""), ("PUT", "/mcp/fake", b""),
                                   ("GET", "/sse/fake", b""), ("GET", "/sse/nobody", b""),
                                   ("POST", "/messages/fake?sessionId=x", b"{}"), ("POST", "/mcp/fake", b"no JSON")):
            with self.subTest(method + " " + path):
                self.check_401(self.exchange(body, method=method, path=path), error=False)
        # What no configuration has is told to everybody: clients look there for an authorization server.
        for path in ("/.well-known/oauth-protected-resource", "/.well-known/oauth-authorization-server", "/nothing"):
            self.assertEqual(self.exchange(method="GET", path=path).status, 404)
        self.assertEqual(self.exchange(method="GET", path="/healthz", headers=SSE).status, 200)

    def test_F41_a_server_that_the_token_does_not_open(self):
        self.assertEqual(self.post(bearer(BOB)).status, 200)
        refused = [self.post(bearer(BOB), path="/mcp/" + name) for name in ("other", "nobody")]
        refused += [self.exchange(method="GET", path="/sse/" + name, headers=SSE + bearer(BOB)) for name in ("other", "nobody")]
        for r in refused:
            self.assertEqual(r.status, 403)
            self.assertEqual(json.loads(bytes(r.body))["error"]["data"]["reason"], "forbidden")
            self.assertEqual(bytes(r.body), bytes(refused[0].body), "an unknown server is told from a forbidden one")
        self.assertLessEqual(len(self.daemon.ledger("other", "start")), 1, "a refused client reached the server")
        self.assertEqual(self.post(bearer(ALICE), path="/mcp/other").status, 200)
        self.assertEqual(self.post(bearer(ALICE), path="/mcp/nobody").status, 404)

    def test_F40_a_session_belongs_to_its_token(self):
        alice = self.http("fake", headers=bearer(ALICE))
        stranger = self.exchange(b'{"jsonrpc":"2.0","id":1,"method":"ping"}', path="/mcp/fake",
                                 headers=bearer(BOB) + [("Mcp-Session-Id", alice.session_id)])
        unknown = self.exchange(b'{"jsonrpc":"2.0","id":1,"method":"ping"}', path="/mcp/fake",
                                headers=bearer(BOB) + [("Mcp-Session-Id", "A" * len(alice.session_id))])
        self.assertEqual((stranger.status, bytes(stranger.body)), (404, bytes(unknown.body)))
        for method in ("GET", "DELETE"):
            r = self.exchange(method=method, path="/mcp/fake", headers=SSE + bearer(BOB) + [("Mcp-Session-Id", alice.session_id)])
            self.assertEqual(r.status, 404)
        local = self.http("fake", unix=True, initialize=False)
        local.session_id = alice.session_id
        self.assertEqual(local.post(b'{"jsonrpc":"2.0","id":1,"method":"ping"}').wait_end().status, 404)
        self.assertEqual(alice.request("ping"), {})

    def test_F40_an_event_stream_belongs_to_its_token(self):
        alice = self.sse("fake", headers=bearer(ALICE))
        bob = self.sse("fake", headers=bearer(BOB))
        bob.endpoint, own = alice.endpoint, bob.endpoint
        self.assertEqual(bob.post(b'{"jsonrpc":"2.0","id":1,"method":"ping"}'), 404)
        bob.endpoint = own
        self.assertEqual(bob.request("ping"), {})
        alice.headers = []
        self.assertEqual(alice.post(b'{"jsonrpc":"2.0","id":1,"method":"ping"}'), 401)

    def test_clients_of_different_tokens_share_no_connection(self):
        pids = [json.loads(self.http("fake", headers=bearer(s)).tool("report"))["pid"] for s in (ALICE, BOB, ALICE)]
        self.assertNotEqual(pids[0], pids[1])
        self.assertEqual(pids[0], pids[2])

    def test_one_connection_may_speak_for_several_clients(self):
        """As that of a reverse proxy does."""
        c = self.conn()
        for secret, status in ((ALICE, 200), ("wrong" * 5, 401), (BOB, 200), (CAROL, 200)):
            r = c.exchange(self.request_bytes(INITIALIZE, path="/mcp/fake", headers=bearer(secret)))
            self.assertEqual(r.status, status)

    def test_F41_a_secret_that_is_remembered_lets_nothing_else_in(self):
        """A connection knows its latest secret again, and no other one for it."""
        c = self.conn()

        def status(secret, path="/mcp/fake"):
            return c.exchange(self.request_bytes(INITIALIZE, path=path, headers=bearer(secret))).status
        self.assertEqual([status(ALICE), status(ALICE)], [200, 200])
        for i in range(len(ALICE)):
            self.assertEqual(status(ALICE[:i] + "z" + ALICE[i + 1:]), 401, "byte %d" % i)
        for wrong in (ALICE[:-1], ALICE + "A", ALICE[1:], "x"):
            self.assertEqual(status(wrong), 401)
        self.assertEqual(c.exchange(self.request_bytes(INITIALIZE, path="/mcp/fake")).status, 401)
        self.assertEqual(status(ALICE, "/mcp/other"), 200)
        self.assertEqual(status(BOB, "/mcp/other"), 403)
        self.assertEqual([status(BOB), status(BOB, "/mcp/other"), status(ALICE, "/mcp/other")], [200, 403, 200])

    def test_F42_C08_no_secret_is_told_anywhere(self):
        self.daemon.log.wait(" ready$")
        c = self.http("fake", headers=bearer(ALICE) + [("Proxy-Authorization", "Bearer pr0xy-s3cret")])
        c.tool("record", {"nonce": "n"})
        self.check_401(self.post(bearer("wr0ng-s3cret-of-somebody")), error=True)
        with open("/proc/%d/cmdline" % self.daemon.process.pid, "rb") as f:
            seen = f.read().decode()
        admin = self.http("admin", unix=True, initialize=False).connection()
        for path in ("/status", "/metrics", "/readyz"):
            seen += bytes(admin.exchange(b"GET " + path.encode() + b" HTTP/1.1\r\nHost: x\r\n\r\n", "GET").body).decode()
        seen += json.dumps(self.daemon.ledger("fake")) + c.tool("report")
        admin.close()
        c.close()
        seen += "\n".join(self.daemon.stop())
        for secret in (ALICE, BOB, CAROL, "pr0xy", "wr0ng"):
            self.assertNotIn(secret, seen)

    @unittest.skipUnless(os.geteuid() == 0, "only root can look into the daemon")
    def test_C08_the_memory_of_the_daemon_holds_no_secret(self):
        """Not even where it was freed. Before the first request, which brings one along."""
        pid = self.daemon.process.pid
        found, seen = [], False
        with open("/proc/%d/maps" % pid) as maps, open("/proc/%d/mem" % pid, "rb", buffering=0) as mem:
            for line in maps:
                m = re.match(r"([0-9a-f]+)-([0-9a-f]+) rw", line)
                if not m or "[v" in line or int(m.group(2), 16) - int(m.group(1), 16) > 1 << 28:
                    continue
                mem.seek(int(m.group(1), 16))
                try:
                    data = mem.read(int(m.group(2), 16) - int(m.group(1), 16))
                except OSError:
                    continue
                found += [s for s in (ALICE, BOB, CAROL) if s.encode() in data]
                seen = seen or b"token:alice" in data
        self.assertTrue(seen, "this is not what was meant to be looked at")
        self.assertEqual(found, [])


class FailureTest(TokenCase):
    limits = {"auth_failure_delay": "60s"}

    def test_auth_failure_delay_holds_up_only_who_guesses(self):
        """The one who guesses gets no answer before those who came after him got theirs."""
        guess = self.conn()
        guess.send(self.request_bytes(INITIALIZE, path="/mcp/fake", headers=bearer("guess" * 5)))
        self.daemon.log.wait("a request from 127.0.0.1 was refused")
        for _ in range(5):
            self.assertEqual(self.post(bearer(ALICE)).status, 200)
            self.check_401(self.post(), error=False)
        self.assertIsNone(guess.recv_now())

    def test_refusals_are_summed_up_in_the_log(self):
        for _ in range(50):
            self.check_401(self.post(), error=False)
        _, m = self.daemon.log.wait(r"([0-9]+) more requests without a valid token .*127\.0\.0\.1")
        self.assertLessEqual(int(m.group(1)), 49)
        self.assertLess(len(self.daemon.log.matching("valid token")), 10)


class DelayTest(TokenCase):
    limits = {"auth_failure_delay": "10ms"}

    def test_auth_failure_delay_ends_with_the_answer(self):
        c = self.conn()
        for _ in range(3):  # on one connection, which goes on
            self.check_401(c.exchange(self.request_bytes(INITIALIZE, path="/mcp/fake", headers=bearer("guess" * 5))), error=True)
        self.assertEqual(c.exchange(self.request_bytes(INITIALIZE, path="/mcp/fake", headers=bearer(ALICE))).status, 200)
        big = self.request_bytes(path="/mcp/fake", headers=bearer("guess" * 5) + [("Content-Length", str(1 << 30))],
                                 drop=("Content-Length",))
        self.check_401(self.conn().exchange(big), error=True)
        expecting = self.request_bytes(path="/mcp/fake", headers=bearer("guess" * 5) + [("Content-Length", "9"),
                                                                                       ("Expect", "100-continue")],
                                       drop=("Content-Length",))
        r = self.conn().exchange(expecting)
        self.check_401(r, error=True)
        self.assertEqual(r.interim, [])

    def test_auth_failure_delay_and_clients_that_do_not_wait(self):
        for _ in range(20):
            c = self.conn()
            c.send(self.request_bytes(INITIALIZE, path="/mcp/fake", headers=bearer("guess" * 5)) * 3)
            c.close()
        self.assertEqual(self.post(bearer(ALICE)).status, 200)


class ReloadTest(TokenCase):
    """Tokens come and go while their clients are there."""

    def tokens(self):
        return {"alice": {"file": self.path("alice")}, "bob": {"file": self.path("bob")}}

    def reload(self, status=200, **changes):
        """Returns when the daemon has read its configuration again, with these keys changed."""
        self.daemon.config.update(changes)
        with open(self.daemon.config_path, "w") as f:
            json.dump(self.daemon.config, f)
        c = HttpConn(self.daemon.socket_path("admin"))
        r = c.exchange(b"POST /reload HTTP/1.1\r\nHost: x\r\n\r\n", "POST")
        c.close()
        self.assertEqual(r.status, status, bytes(r.body))
        return json.loads(bytes(r.body))

    def held(self, secret, make):
        c = make("fake", headers=bearer(secret))
        if c.__class__.__name__ == "HttpClient":
            c.open_get()
        return c

    def get_conn(self, client):
        return client.conn if hasattr(client, "conn") else client.get_stream.conn

    def test_tokens_of_another_reload_open_and_close(self):
        self.write("dave", "dave-" + "D" * 20)
        self.assertEqual(self.post(bearer("dave-" + "D" * 20)).status, 401)
        said = self.reload(tokens={**self.tokens(), "dave": {"file": self.path("dave")}})
        self.assertEqual(said["changes"], [{"key": "tokens", "effect": "live"}])
        self.assertEqual(self.post(bearer("dave-" + "D" * 20)).status, 200)
        self.reload(tokens=self.tokens())
        self.assertEqual(self.post(bearer("dave-" + "D" * 20)).status, 401)
        self.assertEqual(self.post(bearer(ALICE)).status, 200)

    def test_a_token_that_goes_takes_its_sessions_and_streams_along(self):
        alice = [self.held(ALICE, make) for make in (self.http, self.sse)]
        bob = [self.held(BOB, make) for make in (self.http, self.sse)]
        calls = [c.start_tool("hold", {"key": "k%d" % i}) for i, c in enumerate(alice)]
        self.daemon.wait_ledger("fake", "run", tool="hold")
        del self.daemon.config["tokens"]["alice"]
        self.reload()
        for c in alice:
            self.assertIsNotNone(self.get_conn(c).wait_closed())
        for c in bob:
            self.assertEqual(c.request("ping"), {})
        self.daemon.wait_received("fake", "notifications/cancelled")
        poll_until(lambda: len(self.daemon.log.matching("principal=token:alice session ended")) == 2, "the end of both sessions")
        self.assertEqual(self.daemon.log.matching("principal=token:bob session ended"), [])
        self.reload(tokens=self.tokens())
        r = self.exchange(b'{"jsonrpc":"2.0","id":1,"method":"ping"}', path="/mcp/fake",
                          headers=bearer(ALICE) + [("Mcp-Session-Id", alice[0].session_id)])
        self.assertEqual(r.status, 404, "the session has ended for good")
        self.assertFalse(any(c.done() for c in calls))

    def test_a_server_that_goes_from_the_list_of_a_token(self):
        fake_one, other = self.http("fake", headers=bearer(ALICE)), self.http("other", headers=bearer(ALICE))
        tokens = self.tokens()
        tokens["alice"]["servers"] = ["fake"]
        self.reload(tokens=tokens)
        self.assertEqual(fake_one.request("ping"), {})
        self.assertEqual(self.post(bearer(ALICE), path="/mcp/other").status, 403)
        self.reload(tokens=self.tokens())
        r = self.exchange(b'{"jsonrpc":"2.0","id":1,"method":"ping"}', path="/mcp/other",
                          headers=bearer(ALICE) + [("Mcp-Session-Id", other.session_id)])
        self.assertEqual(r.status, 404)

    def test_a_secret_is_exchanged_without_a_gap(self):
        new = "alice-" + "N" * 20
        c = self.held(ALICE, self.http)
        self.write("alice", ALICE, new)
        self.reload()
        self.assertEqual(c.request("ping"), {})
        c.headers = bearer(new)
        self.assertEqual(c.request("ping"), {})
        self.write("alice", new)
        self.reload()
        # The stream was opened with the secret that is void now; the session is the same client's and goes on.
        self.assertIsNotNone(self.get_conn(c).wait_closed())
        self.assertEqual(c.request("ping"), {})
        self.assertEqual(self.post(bearer(ALICE)).status, 401)
        self.assertEqual(self.daemon.log.matching("session ended"), [])

    def test_a_secret_that_is_remembered_is_judged_anew(self):
        c, new = self.conn(), "alice-" + "N" * 20

        def status(secret, path="/mcp/fake"):
            return c.exchange(self.request_bytes(INITIALIZE, path=path, headers=bearer(secret))).status
        self.assertEqual([status(ALICE), status(ALICE)], [200, 200])
        self.reload(tokens={"bob": self.tokens()["bob"]})
        self.assertEqual([status(ALICE), status(ALICE)], [401, 401])
        self.reload(tokens=self.tokens())
        self.assertEqual([status(ALICE), status(ALICE, "/mcp/other")], [200, 200])
        self.reload(tokens={"alice": {"file": self.path("alice"), "servers": ["fake"]}})
        self.assertEqual([status(ALICE, "/mcp/other"), status(ALICE)], [403, 200])
        self.write("alice", new)
        self.reload()
        self.assertEqual([status(ALICE), status(new), status(new), status(ALICE)], [401, 200, 200, 401])

    def test_a_reload_while_a_request_arrives(self):
        """Who asks was settled when the head was there; a token that goes meanwhile takes the request along."""
        whole = self.request_bytes(INITIALIZE, path="/mcp/fake", headers=bearer(ALICE))
        first, later = self.conn(), self.conn()
        for c in (first, later):
            self.assertEqual(c.exchange(whole).status, 200)  # so that the token is remembered
            c.send(whole[:-30])
        both = self.tokens()
        for tokens in (both, {**both, "carol": {"file": self.path("bob-too")}}, both):
            self.write("bob-too", "bob-too-" + "B" * 20)
            self.reload(tokens=tokens)
        first.send(whole[-30:])
        self.assertEqual(first.read_response().status, 200)
        self.daemon.log.wait(r" principal=token:alice session opened")
        self.assertEqual(first.exchange(whole).status, 200)
        self.reload(tokens={"bob": both["bob"]})
        self.assertIsNotNone(later.wait_closed())
        self.assertEqual(first.exchange(whole).status, 401)

    def test_first_tokens_end_what_was_begun_without(self):
        self.reload(tokens={})
        c, local = self.http("fake"), self.line("fake")
        self.assertEqual(c.request("ping"), {})
        self.reload(tokens=self.tokens())
        self.check_401(self.post(), error=False)
        self.daemon.log.wait("session ended")
        self.assertEqual(local.request("ping"), {})
        c.session_id, c.headers, c.version = None, bearer(ALICE), None
        self.assertEqual(c.initialize().request("ping"), {})

    def test_a_bad_token_file_changes_nothing(self):
        self.daemon.allow_error("not changed|can be used by others")
        os.chmod(self.path("alice"), 0o644)
        said = self.reload(status=422)
        self.assertIn("can be used by others", said["errors"][0])
        self.assertEqual(self.post(bearer(ALICE)).status, 200)

    def test_the_last_token_does_not_go_while_others_can_reach_us(self):
        self.daemon.stop()
        self.start(config={**self.config, "listen": ["0.0.0.0:0"]})
        self.daemon.allow_error("not changed|can be reached from other machines")
        said = self.reload(status=422, tokens={})
        self.assertIn("can be reached from other machines", said["errors"][0])
        self.assertEqual(self.post().status, 401)
        self.reload(tokens={}, allow_unauthenticated=True)
        self.assertEqual(self.post().status, 200)


class InheritedTest(TokenCase):
    """A socket that the service manager opened, of which the configuration knows nothing."""
    servers = None

    def setUp(self):
        super().setUp()
        self.socket = socket.create_server(("0.0.0.0", 0))
        self.addCleanup(self.socket.close)

    reload = ReloadTest.reload

    def test_an_inherited_socket_is_no_way_around_tokens(self):
        self.start({"demo": demo()}, {}, wait=False, **activation([("http", self.socket)]))
        self.daemon.allow_error("cannot listen on")
        self.daemon.join(expect_status=1)
        self.assertEqual(len(self.daemon.log.matching('error .*other machines can reach it, and there are no "tokens"')), 1)

    def test_the_last_token_does_not_go_while_others_reach_an_inherited_socket(self):
        self.start({"demo": demo()}, {"tokens": self.tokens_of_alice()}, **activation([("http", self.socket)]))
        self.daemon.allow_error("other machines can reach it")
        address = ("127.0.0.1", self.socket.getsockname()[1])
        said = self.reload(status=422, tokens={})
        self.assertIn("other machines can reach it", said["error"])
        self.daemon.host, self.daemon.port = address
        self.assertEqual(self.exchange(INITIALIZE).status, 401)
        self.reload(tokens={}, allow_unauthenticated=True)
        self.assertEqual(self.exchange(INITIALIZE).status, 200)

    def tokens_of_alice(self):
        return {"alice": {"file": self.path("alice")}}


class ReachTest(TokenCase):
    servers = None

    def run_check(self, **config):
        """What mcpoold says to that configuration, and what --check says."""
        path = self.path("mcpool.json")
        with open(path, "w") as f:
            json.dump({"runtime_dir": self.place, "state_dir": self.place, "mcpServers": {"demo": demo()}, **config}, f)
        os.chmod(path, 0o600)
        return [subprocess.run([MCPOOLD, "--config", path, *more], capture_output=True, text=True, timeout=60)
                for more in ((), ("--check",))]

    def test_other_addresses_are_refused_without_tokens(self):
        for address in ("0.0.0.0:0", "[::]:0", "192.0.2.1:0", "0:0"):
            with self.subTest(address):
                started, checked = self.run_check(listen=[address])
                self.assertEqual(started.returncode, 78)
                self.assertRegex(started.stderr, r"mcpool\.json:\d+:\d+: error: .*can be reached from other machines")
                self.assertIn("allow_unauthenticated", started.stderr)
                self.assertEqual(checked.returncode, 1)

    def test_A08_no_configuration_makes_the_admin_interface_reachable(self):
        for address in ("0.0.0.0:0", "[::]:0", "192.0.2.1:0"):
            for more in ({}, {"allow_unauthenticated": True}, {"tokens": self.tokens()}):
                started, checked = self.run_check(admin_listen=address, **more)
                self.assertEqual((started.returncode, checked.returncode), (78, 1))
                self.assertIn("no loopback address", started.stderr)
        started, checked = self.run_check(admin="tcp:127.0.0.1:1")
        self.assertEqual((started.returncode, checked.returncode), (78, 1))

    def test_allow_unauthenticated_opens_other_addresses(self):
        self.start({"demo": demo()}, {"listen": ["0.0.0.0:0"], "allow_unauthenticated": True})
        self.daemon.log.wait("warning: .*whoever reaches it can use every server")
        self.assertEqual(self.exchange(INITIALIZE).status, 200)

    def test_tokens_open_other_addresses(self):
        self.start({"demo": demo()}, {"listen": ["0.0.0.0:0"], "tokens": {"alice": {"file": self.path("alice")}}})
        self.daemon.log.wait("warning: .*no encryption")
        self.assertEqual(self.exchange(INITIALIZE).status, 401)
        self.assertEqual(self.exchange(INITIALIZE, headers=bearer(ALICE)).status, 200)

    def test_C08_a_token_in_the_open_works_with_a_warning(self):
        self.start({"demo": demo()}, {"tokens": {"x": {"token": ALICE}}})
        self.daemon.log.wait(r"mcpool\.json:\d+:\d+: warning: .*secret in the open")
        self.assertEqual(self.exchange(INITIALIZE, headers=bearer(ALICE)).status, 200)
        self.assertEqual(self.daemon.log.matching(ALICE), [])

    def test_C01_a_token_file_that_others_can_read_is_refused(self):
        os.chmod(self.path("alice"), 0o644)
        started, checked = self.run_check(tokens={"alice": {"file": self.path("alice")}})
        self.assertEqual((started.returncode, checked.returncode), (78, 1))
        for r in (started, checked):
            self.assertRegex(r.stderr + r.stdout, r"mcpool\.json:\d+:\d+: error: .*can be used by others")


class SecrecyTest(unittest.TestCase):
    def test_C08_other_processes_of_its_user_cannot_look_into_the_daemon(self):
        """A daemon of an ordinary user; its servers, which are others' programs, run as that user too."""
        place = tempfile.mkdtemp(prefix="mcpool-secrecy-")
        self.addCleanup(shutil.rmtree, place)
        user = {"user": 65534, "group": 65534, "extra_groups": []} if os.geteuid() == 0 else {}
        uid = 65534 if user else os.geteuid()
        path = os.path.join(place, "mcpool.json")
        with open(path, "w") as f:
            json.dump({"listen": [], "runtime_dir": place + "/run", "state_dir": place + "/state",
                       "mcpServers": {"demo": {"command": DEMO}}}, f)
        os.chmod(path, 0o644)
        os.chmod(place, 0o755)
        for name in ("run", "state"):
            os.mkdir(os.path.join(place, name), 0o700)
            os.chown(os.path.join(place, name), uid, -1)
        p = subprocess.Popen([MCPOOLD, "--config", path], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL, cwd="/", **user)
        try:
            child = poll_until(lambda: self.child_of(p), "a server")
            # What a process keeps from others of its user belongs to root: proc(5).
            self.assertEqual(os.stat("/proc/%d/mem" % p.pid).st_uid, 0)
            self.assertEqual(os.stat("/proc/%d/environ" % p.pid).st_uid, 0)
            poll_until(lambda: os.stat("/proc/%d/environ" % child).st_uid == uid, "a server that is like any process")
            p.send_signal(signal.SIGTERM)
            self.assertEqual(p.wait(Clock().left()), 0)
        finally:
            if p.poll() is None:
                p.kill()
                p.wait()

    def child_of(self, p):
        self.assertIsNone(p.poll(), "the daemon does not run")
        with open("/proc/%d/task/%d/children" % (p.pid, p.pid)) as f:
            children = f.read().split()
        return int(children[0]) if children else None
