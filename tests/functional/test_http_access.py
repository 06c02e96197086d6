"""Who may talk to the HTTP front and in which form (security.md F01-F09, F32-F34, F37-F42)."""
import json

from harness import INITIALIZE, SINGLE, DaemonCase, HttpClient, demo, fake


class HostTest(DaemonCase):
    def status(self, host=None, headers=(), **more):
        r = self.exchange(INITIALIZE, host=host, headers=headers, **more)
        if r.status == 403:
            error = json.loads(bytes(r.body))
            self.assertEqual(error["error"]["code"], -32600)
            self.assertNotIn("id", error)
        return r.status

    def test_F01_no_origin_and_a_loopback_host(self):
        for host in ("127.0.0.1:%d" % self.daemon.port, "localhost:%d" % self.daemon.port, "localhost", "127.0.0.1",
                     "[::1]", "[::1]:80"):
            with self.subTest(host):
                self.assertEqual(self.status(host), 200)

    def test_F02_foreign_origins_have_no_effect(self):
        for origin in ("http://evil.test", "https://evil.test", "http://localhost.evil.test", "http://evil.test/localhost",
                       "http://localhost@evil.test", "file://", "http://", "localhost.", "http://127.0.0.1.nip.io", "x"):
            with self.subTest(origin):
                self.assertEqual(self.status(headers=[("Origin", origin)]), 403)

    def test_F02_loopback_origins_are_allowed(self):
        for origin in ("http://localhost", "http://localhost:3000", "http://127.0.0.1:8080", "https://localhost",
                       "http://[::1]:5000"):
            with self.subTest(origin):
                self.assertEqual(self.status(headers=[("Origin", origin)]), 200)

    def test_F03_the_origin_null(self):
        self.assertEqual(self.status(headers=[("Origin", "null")]), 403)

    def test_F03_an_empty_origin_or_two(self):
        self.assertIn(self.status(headers=[("Origin", "")]), (400, 403))
        self.assertIn(self.exchange(INITIALIZE, headers=[("Origin", "http://localhost"), ("Origin", "http://evil.test")])
                      .status, (400, 403))

    def test_F04_rebinding_hosts(self):
        for host in ("attacker.test", "attacker.test:80", "192.0.2.1", "0.0.0.0", "127.0.0.2", "2130706433", "0x7f.1"):
            with self.subTest(host):
                self.assertEqual(self.status(host), 403)

    def test_F06_two_hosts(self):
        for a, b in (("127.0.0.1", "127.0.0.1"), ("127.0.0.1", "evil.test")):
            self.assertEqual(self.exchange(INITIALIZE, host=a, headers=[("Host", b)]).status, 400)

    def test_F07_no_host(self):
        self.assertEqual(self.exchange(INITIALIZE, drop=("Host",)).status, 400)

    def test_F08_hosts_that_only_look_allowed(self):
        for host in ("localhost.attacker.test", "127.0.0.1.nip.io", "localhost.", "127.0.0.1.", "xlocalhost", "localhost:",
                     "localhost:x", "localhost:99999", "localhost:80:80", "[::1", "::1", "[::1]x", "localhost/", "a@localhost",
                     "localhost,evil.test", "local host", ""):
            with self.subTest(host):
                self.assertIn(self.exchange(INITIALIZE, host=None, drop=("Host",), headers=[("Host", host)]).status,
                              (400, 403))
        for host in ("LOCALHOST", "LocalHost:80"):
            self.assertEqual(self.status(host), 200)

    def test_F34_methods(self):
        for method in ("PUT", "PATCH", "HEAD", "OPTIONS", "PROPFIND"):
            with self.subTest(method):
                r = self.exchange(method=method)
                self.assertIn(r.status, (405, 501))
                if r.status == 405:
                    self.assertEqual({m.strip() for m in r.headers.get("Allow").split(",")}, {"GET", "POST", "DELETE"})

    def test_F34_no_permission_for_browsers_is_ever_given(self):
        origin = [("Origin", "http://localhost:3000"), ("Access-Control-Request-Method", "POST"),
                  ("Access-Control-Request-Private-Network", "true")]
        for method, body in (("OPTIONS", b""), ("POST", INITIALIZE), ("GET", b""), ("DELETE", b"")):
            r = self.exchange(body, method=method, headers=origin)
            self.assertEqual([n for n, _ in r.headers if n.lower().startswith("access-control-")], [])

    def test_GET_and_DELETE_without_a_session(self):
        sse = [("Accept", "text/event-stream")]
        self.assertEqual(self.exchange(method="GET", headers=sse).status, 400)
        self.assertEqual(self.exchange(method="DELETE").status, 400)

    def test_F42_authorization_goes_nowhere(self):
        self.daemon.stop()
        self.start({"fake": fake()}, {"log_level": "debug", "resilience": SINGLE})
        c = HttpClient(self.daemon, "fake", headers=[("Authorization", "Bearer s3cr3t-t0ken"), ("Cookie", "c00kie=1")])
        c.initialize()
        c.tool("record", {"nonce": "n"})
        seen = json.dumps(self.daemon.ledger("fake")) + c.tool("report")
        c.close()
        seen += "\n".join(self.daemon.stop())
        self.assertNotIn("s3cr3t", seen)
        self.assertNotIn("c00kie", seen)


class HostListTest(DaemonCase):
    def test_F05_an_allowed_name_at_the_wrong_port(self):
        self.daemon.stop()
        self.start(config={"http": {"allowed_hosts": ["localhost:7777"]}})
        self.assertEqual(self.exchange(INITIALIZE, host="localhost:7777").status, 200)
        for host in ("localhost:7778", "localhost", "127.0.0.1:7777", "localhost:77770"):
            self.assertEqual(self.exchange(INITIALIZE, host=host).status, 403)

    def test_F09_empty_lists_allow_nothing(self):
        self.daemon.stop()
        self.start(config={"http": {"allowed_hosts": [], "allowed_origins": []}})
        self.assertEqual(self.exchange(INITIALIZE, host="localhost").status, 403)
        c = self.http(unix=True, initialize=False)
        c.headers = [("Origin", "http://localhost")]
        self.assertEqual(c.post(INITIALIZE).wait_end().status, 403)

    def test_configured_origins(self):
        self.daemon.stop()
        self.start(config={"http": {"allowed_origins": ["https://app.example"]}})
        self.assertEqual(self.exchange(INITIALIZE, headers=[("Origin", "https://app.example")]).status, 200)
        for origin in ("http://app.example", "https://app.example:8443", "https://app.example.evil.test", "http://localhost"):
            self.assertEqual(self.exchange(INITIALIZE, headers=[("Origin", origin)]).status, 403)


class ContentTest(DaemonCase):
    def post(self, content_type=None, accept=None, extra=(), body=INITIALIZE):
        headers = list(extra)
        headers += [("Content-Type", content_type)] if content_type is not None else []
        headers += [("Accept", accept)] if accept is not None else []
        return self.exchange(body, headers=headers, drop=("Content-Type", "Accept"))

    def test_F32_content_types(self):
        for good in ("application/json", "application/json; charset=utf-8", "Application/JSON;charset=\"UTF-8\"",
                     "application/json;x=y"):
            with self.subTest(good):
                self.assertEqual(self.post(good).status, 200)
        for bad in (None, "", "text/plain", "application/jsonx", "xapplication/json", "application/json-rpc", "application/*",
                    "text/plain; application/json", "application/json; charset=utf-16", "multipart/form-data",
                    "application/x-www-form-urlencoded"):
            with self.subTest(bad):
                r = self.post(bad)
                self.assertEqual(r.status, 415)
                self.assertEqual(json.loads(bytes(r.body))["error"]["code"], -32600)

    def test_content_encodings(self):
        self.assertEqual(self.post("application/json", extra=[("Content-Encoding", "identity")]).status, 200)
        for coding in ("gzip", "br", "deflate", "gzip, identity"):
            self.assertEqual(self.post("application/json", extra=[("Content-Encoding", coding)]).status, 415)

    def test_F33_lenient_accept(self):
        for accept in (None, "*/*", "application/json", "text/event-stream", "application/*", "text/*",
                       "application/json;q=0.5, text/event-stream;q=0.1", "text/html, */*;q=0.1", "APPLICATION/JSON"):
            with self.subTest(accept):
                self.assertEqual(self.post("application/json", accept).status, 200)
        for accept in ("text/html", "image/*", "application/xml"):
            with self.subTest(accept):
                r = self.post("application/json", accept)
                self.assertEqual(r.status, 406)
                self.assertEqual(json.loads(bytes(r.body))["error"]["code"], -32600)

    def test_F33_the_answer_has_an_accepted_type(self):
        self.assertEqual(self.post("application/json", "text/event-stream").media_type, "text/event-stream")
        self.assertEqual(self.post("application/json", "application/json").media_type, "application/json")

    def test_F33_json_only_clients_get_json_however_talkative_the_server(self):
        c = self.http(accept="application/json")
        call = c.start_tool("progress", {"steps": 5, "interval_ms": 1}, token=1)
        self.assertEqual(call.text(), "5 steps done")
        self.assertEqual(call.post.r.media_type, "application/json")

    def test_F33_strict_accept(self):
        self.daemon.stop()
        self.start(config={"http": {"strict_accept": True}})
        both = "application/json, text/event-stream"
        r = self.post("application/json", both)
        self.assertEqual(r.status, 200)
        for accept in (None, "application/json", "text/event-stream"):
            with self.subTest(accept):
                self.assertEqual(self.post("application/json", accept).status, 406)
        session = [("Mcp-Session-Id", r.headers.get("Mcp-Session-Id"))]
        self.assertEqual(self.exchange(method="GET", headers=session + [("Accept", "application/json")]).status, 406)


class IdentityTest(DaemonCase):
    servers = {"demo": demo(), "other": demo()}

    def test_F37_local_failures_never_look_like_another_era(self):
        self.daemon.stop()
        self.start({"demo": {"command": "/nonexistent/program"}})
        self.daemon.allow_error("demo")
        r = self.exchange(INITIALIZE)
        self.assertEqual(r.status, 503)

    def test_F39_session_ids_that_are_none(self):
        for value in ("a b", "\x80\xff", "x" * 600, "x" * 5000, "\t", "a\tb"):
            with self.subTest(value[:10]):
                r = self.exchange(b'{"jsonrpc":"2.0","id":0,"method":"ping"}', headers=[("Mcp-Session-Id", value)])
                self.assertIn(r.status, (400, 404))
        r = self.exchange(b'{"jsonrpc":"2.0","id":0,"method":"ping"}', headers=[("Mcp-Session-Id", "a"), ("Mcp-Session-Id", "b")])
        self.assertEqual(r.status, 400)

    def test_F39_session_ids_are_long_and_never_alike(self):
        c = self.conn()
        ids = [c.exchange(self.request_bytes(INITIALIZE)).headers.get("Mcp-Session-Id") for _ in range(150)]
        self.assertEqual(len(set(ids)), len(ids))
        for i in ids:
            self.assertRegex(i, r"^[\x21-\x7e]{22,256}$")
        # 128 random bits leave no position of the random part fixed: most positions must vary a lot.
        varying = [p for p in range(min(map(len, ids))) if len({i[p] for i in ids}) > 20]
        self.assertGreaterEqual(len(varying), 21)

    def test_F40_a_foreign_session_looks_like_an_unknown_one(self):
        mine = self.http(unix=True)
        ping = b'{"jsonrpc":"2.0","id":0,"method":"ping"}'
        def answer(path, session):
            r = self.exchange(ping, path=path, headers=[("Mcp-Session-Id", session)])
            return r.status, bytes(r.body), [h for h in r.headers if h[0].lower() != "date"]
        unknown = answer("/mcp/demo", "no-such-session")
        self.assertEqual(unknown[0], 404)
        self.assertEqual(answer("/mcp/demo", mine.session_id), unknown)   # another principal
        theirs = self.http()
        self.assertEqual(answer("/mcp/other", theirs.session_id), unknown)  # another server
        changed = theirs.session_id[:-1] + ("A" if theirs.session_id[-1] != "A" else "B")
        self.assertEqual(answer("/mcp/demo", changed), unknown)
        self.assertEqual(theirs.request("ping"), {})
        self.assertEqual(mine.request("ping"), {})
