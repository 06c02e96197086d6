"""The HTTP+SSE transport of 2024-11-05 (protocol.md 2.8)."""

from harness import OLDEST, SINGLE, VERSIONS, DaemonCase, HttpConn, demo, fake, poll_until


class SseTest(DaemonCase):
    servers = {"demo": demo(), "fake": fake()}
    config = {"resilience": SINGLE, "limits": {"sse_grace": 20, "keepalive_interval": 0.2}}
    CHANGED = {"jsonrpc": "2.0", "method": "notifications/tools/list_changed"}

    def test_the_endpoint_comes_first_and_is_relative(self):
        c = self.sse(initialize=False)
        self.assertRegex(c.endpoint, r"^/[^/].*\?sessionId=[\x21-\x7e]{22,}$")
        self.assertEqual(c.r.headers.get("Content-Type").split(";")[0], "text/event-stream")

    def test_any_legacy_revision_may_be_negotiated(self):
        for version in VERSIONS:
            c = self.sse(version=version)
            self.assertEqual((c.version, c.tool("echo", {"text": version})), (version, version))

    def test_posts_are_acknowledged_and_answered_on_the_stream(self):
        c = self.sse()
        body = b'{"jsonrpc":"2.0","id":"x","method":"ping"}'
        conn = HttpConn(c.address)
        r = conn.exchange(b"POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
                          % (c.endpoint.encode(), len(body)) + body)
        self.assertEqual((r.status, bytes(r.body)), (202, b"Accepted"))
        conn.close()
        c.wait(lambda: '"x"' in c.responses, "the answer")

    def test_unknown_sessions_and_bad_bodies(self):
        c = self.sse()
        path = c.endpoint
        self.assertEqual(c.post(b"{"), 400)
        self.assertEqual(c.post(b"\xff"), 400)
        for bad in (path + "x", path.split("?")[0] + "?sessionId=nope", path.split("?")[0]):
            c.endpoint = bad
            self.assertIn(c.post(b'{"jsonrpc":"2.0","id":1,"method":"ping"}'), (404,) if "=" in bad else (400, 404))
        c.endpoint = path
        self.assertEqual(c.request("ping"), {})

    def test_every_event_has_an_id(self):
        c = self.sse()
        seen = []
        for _ in range(5):
            c.start("ping").response()
            seen.append(c.last_event_id)
        self.assertEqual(len(set(seen)), 5)

    def test_a_reconnecting_stream_keeps_its_session_and_misses_nothing(self):
        c, other = self.sse("fake"), self.sse("fake")
        call, _ = self.hold(c)
        first = c.endpoint
        c.cut_off()
        other.request("ping")
        self.emit(other, self.CHANGED)
        self.release(other)
        c.connect()
        self.assertEqual(c.endpoint, first)
        self.assertEqual(call.text(), "released")
        c.wait_message("notifications/tools/list_changed")
        self.assertEqual(c.tool("record", {"nonce": "n"}), "n")
        self.assertEqual(c.responses, {})
        self.assertEqual(self.daemon.received("fake", "notifications/cancelled"), [])

    def test_a_request_posted_while_the_stream_is_down_is_answered_later(self):
        c = self.sse()
        c.cut_off()
        call = c.start_tool("echo", {"text": "x"})
        c.connect()
        self.assertEqual(call.text(), "x")

    def test_without_a_known_event_id_it_is_a_new_session(self):
        c = self.sse()
        first = c.endpoint
        c.cut_off()
        c.last_event_id = "nonsense.0"
        c.connect()
        self.assertNotEqual(c.endpoint, first)
        self.assertEqual(c.start("tools/list").error().code, -32600)

    def test_event_ids_of_another_session_do_not_open_it_over_another_server(self):
        c = self.sse("demo")
        thief = self.sse("fake", initialize=False)
        first = thief.endpoint
        thief.cut_off()
        thief.last_event_id = c.last_event_id
        thief.connect()
        self.assertNotIn(thief.endpoint, (first, c.endpoint))

    def test_a_session_ends_after_the_grace(self):
        self.daemon.stop()
        self.start(config={"resilience": SINGLE, "limits": {"sse_grace": 0.1}})
        c = self.sse()
        c.cut_off()
        poll_until(lambda: c.post(b'{"jsonrpc":"2.0","method":"notifications/x"}') == 404, "the end of the session")
        self.assert_alive()

    def test_silence_is_filled_with_comments(self):
        c = self.sse()
        seen = []
        while len(seen) < 2:
            e = c.conn.next_event(c.r, comments=True)
            if e.comment is not None:
                seen.append(e)

    def test_a_second_initialize_is_refused(self):
        c = self.sse()
        self.assertEqual(c.start("initialize", {"protocolVersion": OLDEST, "capabilities": {},
                                                "clientInfo": {"name": "x", "version": "1"}}).error().code, -32600)
        self.assertEqual(c.request("ping"), {})

    def test_requests_before_initialize(self):
        c = self.sse(initialize=False)
        self.assertEqual(c.start("tools/list").error().code, -32600)
        self.assertEqual(c.request("ping"), {})
        c.initialize()
        self.assertEqual(c.tool("echo", {"text": "x"}), "x")

    def test_a_body_too_large(self):
        self.daemon.stop()
        self.start(config={"limits": {"max_request_bytes": 65536}})
        c = self.sse()
        status = c.post(b'{"jsonrpc":"2.0","id":9,"method":"tools/call","params":{"name":"' + b"x" * 100000 + b'"}}')
        self.assertIn(status, (202, 413))
        if status == 202:
            c.wait(lambda: "9" in c.responses, "an error")
            self.assertEqual(c.responses.pop("9")[0]["error"]["data"]["reason"], "too_large")
        c.posts.close()
        c.posts = None
        self.assertEqual(c.request("ping"), {})

    def test_foreign_hosts_and_origins(self):
        for headers in ([("Origin", "http://evil.test")],):
            r = self.exchange(method="GET", path="/sse/demo", headers=headers)
            self.assertEqual(r.status, 403)
        self.assertEqual(self.exchange(method="GET", path="/sse/demo", host="evil.test").status, 403)
        self.assertEqual(self.exchange(method="GET", path="/sse/nope").status, 404)
