"""Streamable HTTP sessions: how they begin, what they demand, how they end (protocol.md 2.2, 2.6, 3.1, 7.1)."""
import json
import time

from harness import (DEADLINE, INITIALIZE, LATEST, SINGLE, VERSIONS, DaemonCase, Timeout, answer_line, demo, fake,
                     poll_until)

PING = b'{"jsonrpc":"2.0","id":5,"method":"ping"}'


class InitializeTest(DaemonCase):
    def test_each_revision_is_negotiated_everywhere(self):
        for version in VERSIONS:
            for c in self.every_way_in(version=version):
                self.assertEqual(c.version, version)

    def test_unknown_and_modern_revisions_get_the_latest_legacy_one(self):
        for version in ("2026-07-28", "2099-01-01", "1.0", "", "2024-11-06"):
            for make in (self.http, self.line):
                self.assertEqual(make(version=version).version, LATEST)

    def test_the_result_is_that_of_the_server(self):
        c = self.http()
        self.assertEqual(c.server["serverInfo"]["name"], "mcpool-demo")
        self.assertIn("instructions", c.server)
        self.assertLessEqual({"tools", "prompts", "resources", "logging"}, set(c.server["capabilities"]))
        self.assertNotIn("resultType", c.server)

    def test_initialize_without_its_parameters(self):
        for params in (None, {}, {"protocolVersion": 5, "capabilities": {}, "clientInfo": {"name": "x", "version": "1"}}):
            message = {"jsonrpc": "2.0", "id": 1, "method": "initialize"}
            if params is not None:
                message["params"] = params
            r = self.exchange(json.dumps(message).encode())
            self.assertIn(r.status, (200, 400))
            answer = json.loads(bytes(r.body))
            if "error" in answer:
                self.assertIn(answer["error"]["code"], (-32602, -32600))
            else:
                self.assertEqual(answer["result"]["protocolVersion"], LATEST)

    def test_a_session_id_sent_with_initialize_is_ignored(self):
        first = self.http()
        for offered in (first.session_id, "nonsense"):
            r = self.exchange(INITIALIZE, headers=[("Mcp-Session-Id", offered)])
            self.assertEqual(r.status, 200)
            self.assertNotIn(r.headers.get("Mcp-Session-Id"), (None, offered))
        self.assertEqual(first.request("ping"), {})

    def test_the_session_id_stands_on_the_answer_to_initialize_only(self):
        c = self.http()
        for call in (c.start("ping"), c.start("tools/list"), c.start_tool("progress", {"steps": 2}, token=1)):
            call.result()
            self.assertIsNone(call.post.r.headers.get("Mcp-Session-Id"))
        self.assertIsNone(c.open_get().r.headers.get("Mcp-Session-Id"))

    def test_the_same_process_serves_many_sessions(self):
        pids = {json.loads(self.http().tool("whoami"))["pid"] for _ in range(10)}
        self.assertEqual(len(pids), 1)

    def test_one_server_is_also_reached_at_the_bare_path(self):
        c = self.http(path="/mcp")
        self.assertEqual(c.tool("echo", {"text": "x"}), "x")


class TwoServersTest(DaemonCase):
    servers = {"one": demo(), "two": demo()}

    def test_servers_are_told_apart_by_path(self):
        one, two = self.http("one"), self.http("two")
        self.assertNotEqual(json.loads(one.tool("whoami"))["pid"], json.loads(two.tool("whoami"))["pid"])

    def test_without_aggregation_the_bare_path_is_unknown(self):
        r = self.exchange(INITIALIZE, path="/mcp")
        self.assertEqual(r.status, 404)
        self.assertNotIn(b"jsonrpc", r.body)


class SessionRuleTest(DaemonCase):
    def error(self, r):
        value = json.loads(bytes(r.body))
        self.assertEqual(value["jsonrpc"], "2.0")
        return value

    def test_a_request_without_session(self):
        r = self.exchange(PING)
        value = self.error(r)
        self.assertEqual((r.status, value["error"]["code"], value["id"]), (400, -32600, 5))
        self.assertEqual(value["error"]["data"]["reason"], "session_required")
        self.assertIn("Mcp-Session-Id", value["error"]["message"])

    def test_a_lost_session_is_404_in_the_form_that_hosts_look_for(self):
        for method, body in (("POST", PING), ("POST", b'{"jsonrpc":"2.0","method":"notifications/initialized"}'),
                             ("POST", b'{"jsonrpc":"2.0","id":1,"result":{}}'), ("GET", b""), ("DELETE", b"")):
            with self.subTest(method, body=body):
                r = self.exchange(body, method=method, headers=[("Mcp-Session-Id", "gone"), ("Accept", "text/event-stream")],
                                  drop=("Accept",))
                self.assertEqual(r.status, 404)
                value = self.error(r)
                self.assertEqual((value["error"]["code"], value["error"]["message"]), (-32001, "Session not found"))
                self.assertNotIn("id", value)

    def test_notifications_are_acknowledged_whatever_they_are(self):
        c = self.http()
        for m in ({"method": "notifications/initialized"}, {"method": "notifications/unheard_of", "params": {"x": 1}},
                  {"method": "notifications/cancelled", "params": {"requestId": 99}}, {"method": "notifications/cancelled"},
                  {"method": "notifications/progress", "params": {"progressToken": 1, "progress": 1}},
                  {"method": "notifications/roots/list_changed"}):
            with self.subTest(m):
                post = c.post(json.dumps({"jsonrpc": "2.0", **m}).encode(), is_request=False)
                self.assertEqual((post.status, bytes(post.r.body)), (202, b""))
        self.assertEqual(c.request("ping"), {})

    def test_what_cannot_be_tied_to_a_request_is_202_in_a_session(self):
        """Python v1 clients end their whole session on a 4xx (protocol.md 7.1)."""
        c = self.http()
        post = c.post(b'{"jsonrpc":"2.0","method":"x","params":[1]}', wait=True)
        self.assertEqual(post.status, 202)
        for body in (b'{"jsonrpc":"2.0","id":1,"result":{},"error":{"code":1,"message":"x"}}',):
            self.assertEqual(c.post(body, wait=True).status, 202)

    def test_the_version_header(self):
        c = self.http()
        session = [("Mcp-Session-Id", c.session_id)]
        def status(*versions):
            return self.exchange(PING, headers=session + [("MCP-Protocol-Version", v) for v in versions]).status
        self.assertEqual(status(), 200)
        self.assertEqual(status(LATEST), 200)
        self.assertEqual(status("1999-01-01"), 400)
        self.assertEqual(status("nonsense"), 400)
        self.assertEqual(status(LATEST, LATEST), 400)

    def test_requests_before_initialized_are_served(self):
        c = self.http(initialize=False)
        r = self.exchange(INITIALIZE)
        c.session_id = r.headers.get("Mcp-Session-Id")
        self.assertEqual(c.tool("echo", {"text": "early"}), "early")

    def test_delete(self):
        c = self.http()
        stream = c.open_get()
        r = c.delete()
        self.assertEqual((r.status, bytes(r.body)), (200, b""))
        stream.wait_end()
        self.assertTrue(stream.r.clean, "the GET stream was torn off")
        self.assertEqual(c.post(PING).wait_end().status, 404)
        self.assertEqual(c.delete().status, 404)
        c.open_get(expect=404)
        self.assert_alive()

    def test_sessions_expire_only_when_idle(self):
        self.daemon.stop()
        self.start(config={"limits": {"session_idle_timeout": 1}, "resilience": SINGLE})
        idle, listening, busy = self.http(), self.http(), self.http()
        listening.open_get()
        call = busy.start_tool("sleep", {"seconds": 3})
        pause = 1.5
        while True:
            time.sleep(pause)  # each request makes the session young again, so ask ever more rarely
            if idle.post(PING).wait_end().status == 404:
                break
            pause *= 2
            if pause > DEADLINE:
                raise Timeout("an idle session never ends")
        self.assertEqual(call.text(), "slept 3.000 s")
        self.assertEqual(listening.request("ping"), {})

    def test_too_many_sessions(self):
        self.daemon.stop()
        self.start(config={"limits": {"max_sessions": 3}})
        kept = [self.http() for _ in range(3)]
        r = self.exchange(INITIALIZE)
        self.assertIn(r.status, (200, 503))
        error = self.error(r)["error"]
        self.assertEqual((error["code"], error["data"]["reason"]), (-32603, "overloaded"))
        kept[0].delete()
        self.assertEqual(self.exchange(INITIALIZE).status, 200)
        self.assertEqual(kept[1].request("ping"), {})

    def test_too_many_requests_of_one_session(self):
        self.daemon.stop()
        self.start({"fake": fake()}, {"limits": {"max_in_flight_per_session": 3}, "resilience": SINGLE})
        c, other = self.http("fake"), self.http("fake")
        held = [self.hold(c, "k%d" % i)[0] for i in range(3)]
        error = c.start_tool("record", {"nonce": "refused"}).error()
        self.assert_error(error, -32603, "overloaded", "no")
        self.assertEqual(other.tool("record", {"nonce": "n"}), "n")
        for i in range(3):
            self.release(other, "k%d" % i)
        self.assertEqual([h.text() for h in held], ["released"] * 3)
        self.assertEqual(c.tool("record", {"nonce": "again"}), "again")
        self.assertEqual(self.daemon.ledger("fake", "run", nonce="refused"), [])

    def test_sessionless_requests_when_allowed(self):
        self.daemon.stop()
        self.start(config={"http": {"sessionless": True}, "resilience": SINGLE})
        r = self.exchange(b'{"jsonrpc":"2.0","id":1,"method":"tools/list"}')
        self.assertEqual(r.status, 200)
        self.assertIn("tools", json.loads(bytes(r.body))["result"])
        self.assertIsNone(r.headers.get("Mcp-Session-Id"))


class GetStreamTest(DaemonCase):
    servers = {"fake": fake()}
    config = {"limits": {"keepalive_interval": 0.2}, "resilience": SINGLE}
    CHANGED = {"jsonrpc": "2.0", "method": "notifications/tools/list_changed"}

    def test_unrelated_messages_come_on_the_get_stream(self):
        c, other = self.http("fake"), self.http("fake")
        stream = c.open_get()
        self.assertEqual((stream.r.headers.get("Cache-Control"), stream.r.headers.get("Content-Length")),
                         ("no-cache, no-transform", None))
        self.emit(other, self.CHANGED)
        self.assertIs(c.wait_message("notifications/tools/list_changed").where, stream)

    def test_a_second_stream_replaces_the_first(self):
        c, other = self.http("fake"), self.http("fake")
        first = c.open_get()
        second = c.open_get()
        first.wait_end()
        self.assertTrue(first.r.clean, "the first stream was torn off")
        self.emit(other, self.CHANGED)
        self.assertIs(c.wait_message("notifications/tools/list_changed").where, second)

    def test_messages_wait_for_a_stream(self):
        c, other = self.http("fake"), self.http("fake")
        for _ in range(3):
            self.emit(other, self.CHANGED)
        c.barrier()
        self.assertEqual(c.inbox, [])
        stream = c.open_get()
        self.assertIs(c.wait_message("notifications/tools/list_changed").where, stream)
        c.wait(lambda: stream.comments >= 2, "keep-alive comments")
        self.assertEqual(c.inbox, [], "equal notifications that waited are merged")

    def test_without_a_stream_they_come_with_an_answer(self):
        c, other = self.http("fake"), self.http("fake")
        self.emit(other, self.CHANGED)

        def arrived():
            call = c.start_tool("emit", {"lines": [
                '{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":$TOKEN,"progress":1}}',
                answer_line()]}, token="t")
            call.text()
            call.post.wait_end()
            return c.taken("notifications/tools/list_changed")
        self.assertEqual(len(poll_until(arrived, "the notification on a POST stream")), 1)

    def test_silent_streams_carry_comments(self):
        c = self.http("fake")
        stream = c.open_get()
        call, _ = self.hold(c)
        c.wait(lambda: stream.comments >= 2 and call.post.comments >= 2, "two comments on each stream")
        self.release(c)
        self.assertEqual(call.text(), "released")

    def test_a_stream_tells_the_reconnection_time_once(self):
        c = self.http("fake")
        stream = c.open_get()
        c.wait(lambda: stream.comments >= 1, "a comment")
        self.assertEqual(stream.retry, [3000])

    def test_a_stream_that_goes_away_is_noticed(self):
        c, other = self.http("fake"), self.http("fake")
        c.open_get().cut_off()
        c.barrier()
        self.emit(other, self.CHANGED)
        stream = c.open_get()
        self.assertIs(c.wait_message("notifications/tools/list_changed").where, stream)

    def test_get_needs_an_acceptable_stream(self):
        c = self.http("fake")
        r = self.exchange(method="GET", path="/mcp/fake", headers=[("Mcp-Session-Id", c.session_id),
                                                                   ("Accept", "application/json")])
        self.assertIn(r.status, (405, 406))
