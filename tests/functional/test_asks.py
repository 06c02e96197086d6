"""What servers ask of clients: it reaches exactly the client whose call caused it, or nobody (protocol.md 1.2, 1.7)."""
import json

from harness import ALL_CAPABILITIES, SINGLE, DaemonCase, demo, fake, poll_until

FEATURES = {"client_features": ["elicitation", "sampling", "roots"]}
METHODS = {"elicitation": "elicitation/create", "sampling": "sampling/createMessage"}
SAMPLE = {"role": "assistant", "content": {"type": "text", "text": "hi"}, "model": "m"}
ELICIT = {"message": "?", "requestedSchema": {"type": "object", "properties": {}}}


class AskTest(DaemonCase):
    servers = {"demo": demo(), "fake": fake()}
    config = {"resilience": SINGLE, "defaults": FEATURES}

    def everybody(self, server):
        return self.every_way_in(server, version="2025-11-25", capabilities=ALL_CAPABILITIES)

    def test_each_kind_reaches_the_client_and_its_answer_the_server(self):
        for c in self.everybody("demo"):
            for kind, method in METHODS.items():
                with self.subTest(kind):
                    call = c.start_tool("ask", {"kind": kind, "text": "why \u00e9?"})
                    ask = c.wait_message(method)
                    if call.post:
                        self.assertIs(ask.where, call.post)
                    if kind == "elicitation":
                        self.assertEqual(ask["params"]["message"], "why \u00e9?")
                    c.respond(ask, {"kind": kind, "n": 1})
                    self.assertEqual(json.loads(call.text()), {"kind": kind, "n": 1})
            self.assertTrue(c.request("tools/call", {"name": "ask", "arguments": {"kind": "roots"}})["isError"])

    def test_an_answer_reaches_the_server_byte_for_byte(self):
        c = self.line("demo", capabilities=ALL_CAPABILITIES)
        call = c.start_tool("ask", {"kind": "sampling"})
        ask = c.wait_message("sampling/createMessage")
        result = '{ "n":1.0e+2 , "big":12345678901234567890123,"s":"\\u00e9\\ud800"}'
        c.send_line(('{"result":%s,"id":%s,"jsonrpc":"2.0"}' % (result, json.dumps(ask["id"]))).encode())
        self.assertEqual(call.text(), result)

    def test_an_error_of_the_client_reaches_the_server(self):
        for c in self.everybody("fake"):
            call = c.start_tool("ask", {"method": "sampling/createMessage", "params": {"messages": [], "maxTokens": 1}})
            c.respond(c.wait_message("sampling/createMessage"), error={"code": -1, "message": "user said no", "data": [1]})
            self.assertEqual(json.loads(call.text()), {"error": {"code": -1, "message": "user said no", "data": [1]}})

    def test_equal_ask_ids_of_two_servers_do_not_meet(self):
        for way in (self.http, self.line):
            a = way("demo", capabilities=ALL_CAPABILITIES)
            b = way("fake", capabilities=ALL_CAPABILITIES)
            one = a.start_tool("ask", {"kind": "sampling"})
            two = b.start_tool("ask", {"method": "sampling/createMessage", "params": {}})
            ask_a, ask_b = a.wait_message("sampling/createMessage"), b.wait_message("sampling/createMessage")
            b.respond(ask_b, {"for": "b"})
            a.respond(ask_a, {"for": "a"})
            self.assertEqual(json.loads(one.text()), {"for": "a"})
            self.assertEqual(json.loads(two.text()), {"result": {"for": "b"}})

    def test_without_the_capability_it_is_refused(self):
        for capabilities in ({}, {"roots": {}}):
            for c in self.every_way_in("fake", capabilities=capabilities):
                answer = json.loads(c.tool("ask", {"method": "elicitation/create", "params": ELICIT}))
                self.assertEqual(answer["error"]["code"], -32601)
                self.assertEqual(c.inbox, [])

    def test_only_what_the_client_can_is_declared_to_the_server(self):
        for declared in ({}, {"sampling": {}}, {"elicitation": {}}, {"sampling": {}, "elicitation": {}}):
            with self.subTest(declared):
                c = self.http("fake", capabilities=declared)
                pid = json.loads(c.tool("report"))["pid"]
                (init,) = [e["message"] for e in self.daemon.ledger("fake", "recv", pid=pid)
                           if e["message"].get("method") == "initialize"]
                self.assertEqual(set(init["params"]["capabilities"]) & set(ALL_CAPABILITIES), set(declared))

    def test_roots_are_never_declared_on_a_shared_connection(self):
        """They are one client's own."""
        c = self.http("fake", capabilities=ALL_CAPABILITIES)
        c.tool("record", {"nonce": "n"})
        inits = [m["params"]["capabilities"] for m in self.daemon.received("fake", "initialize")]
        self.assertEqual([i for i in inits if "roots" in i], [])
        answer = json.loads(c.tool("ask", {"method": "roots/list"}))
        self.assertEqual(answer["error"]["code"], -32601)

    def test_outside_any_call_it_is_refused(self):
        for c in self.everybody("fake"):
            c.tool("ask_late", {"method": "sampling/createMessage", "params": {}})
            def answers():
                return json.loads(c.tool("last_answers"))
            answer = json.loads(poll_until(answers, "an answer to the server")[0])
            self.assertIn(answer["error"]["code"], (-32603, -32601))
            self.assertEqual(c.inbox, [])

    def test_asking_right_after_initialized_is_refused_and_no_harm(self):
        self.daemon.stop()
        self.start({"fake": fake("--ask-at-start", "roots/list")})
        c = self.http("fake", capabilities=ALL_CAPABILITIES)
        self.assertEqual(c.tool("record", {"nonce": "n"}), "n")
        self.assertEqual(c.inbox, [])

    def test_two_candidates_are_none_and_then_calls_take_turns(self):
        a = self.http("fake", capabilities=ALL_CAPABILITIES)
        b = self.http("fake", capabilities=ALL_CAPABILITIES)
        held, _ = self.hold(b)
        answer = json.loads(a.tool("ask", {"method": "elicitation/create", "params": ELICIT}))
        self.assertEqual(answer["error"]["code"], -32603)
        self.assertEqual((a.inbox, b.inbox), ([], []))
        # From now on the server is known to ask: the next call waits until it is alone.
        call = a.start_tool("ask", {"method": "elicitation/create", "params": ELICIT})
        self.assertEqual(a.request("tools/list")["tools"][0]["name"], "record")  # lists take no turns
        self.assertFalse(call.done())
        b.cancel(held)
        ask = a.wait_message("elicitation/create")
        a.respond(ask, {"action": "accept", "content": {}})
        self.assertEqual(json.loads(call.text()), {"result": {"action": "accept", "content": {}}})
        self.assertEqual(b.inbox, [])

    def test_a_server_known_to_ask_serves_one_call_at_a_time(self):
        self.daemon.stop()
        self.start(config={"resilience": SINGLE, "defaults": {**FEATURES, "server_asks": "yes"}})
        clients = [self.line("demo", capabilities=ALL_CAPABILITIES) for _ in range(4)]
        calls = []
        for c in clients:
            calls.append(c.start_tool("ask", {"kind": "sampling"}))
            c.barrier()  # so that they queue in this order
        for n, c in enumerate(clients):
            c.respond(c.wait_message("sampling/createMessage"), {"client": n})
            self.assertEqual(json.loads(calls[n].text()), {"client": n})

    def test_an_answer_from_another_session_is_ignored(self):
        for way in (self.http, self.line, self.sse):
            with self.subTest(way.__name__):
                victim = way("demo", capabilities=ALL_CAPABILITIES)
                thief = way("demo", capabilities=ALL_CAPABILITIES)
                call = victim.start_tool("ask", {"kind": "sampling"})
                ask = victim.wait_message("sampling/createMessage")
                for id in (ask["id"], str(ask["id"]), 0):
                    thief.respond({"id": id}, {"stolen": True})
                thief.barrier()
                victim.respond(ask, {"mine": True})
                self.assertEqual(json.loads(call.text()), {"mine": True})

    def test_the_second_answer_is_ignored(self):
        c = self.http("demo", capabilities=ALL_CAPABILITIES)
        call = c.start_tool("ask", {"kind": "sampling"})
        ask = c.wait_message("sampling/createMessage")
        for n in range(3):
            c.respond(ask, {"n": n})
        self.assertEqual(json.loads(call.text()), {"n": 0})
        self.assertEqual(c.tool("echo", {"text": "x"}), "x")

    def test_a_client_that_leaves_answers_for_itself(self):
        c = self.line("fake", capabilities=ALL_CAPABILITIES)
        c.start_tool("ask", {"method": "elicitation/create", "params": ELICIT})
        c.wait_message("elicitation/create")
        c.sock.reset()
        def heard():
            return [e["message"] for e in self.daemon.ledger("fake", "recv")
                    if e["message"].get("method") is None and "result" in e["message"]]
        self.assertEqual(poll_until(heard, "the answer for the client that left")[0]["result"], {"action": "cancel"})

    def test_a_server_may_take_its_ask_back(self):
        # A connection each: where a call was given up, the asks of others are refused for a while.
        self.daemon.stop()
        self.start(config={"defaults": {**FEATURES, "sharing": "session"}})
        for c in self.everybody("demo"):
            call = c.start_tool("ask", {"kind": "sampling"})
            ask = c.wait_message("sampling/createMessage")
            c.cancel(call)  # the demo server then withdraws what it asked
            gone = c.wait_message("notifications/cancelled")
            self.assertEqual(gone["params"]["requestId"], ask["id"])
            c.respond(ask, SAMPLE)
            self.assertEqual(c.tool("echo", {"text": "x"}), "x")

    def test_a_client_that_takes_only_json_is_never_asked(self):
        c = self.http("fake", accept="application/json", capabilities=ALL_CAPABILITIES)
        answer = json.loads(c.tool("ask", {"method": "sampling/createMessage", "params": {}}))
        self.assertIn(answer["error"]["code"], (-32603, -32601))

    def test_progress_about_an_ask_finds_the_server(self):
        c = self.http("fake", capabilities=ALL_CAPABILITIES)
        params = {"messages": [], "maxTokens": 1, "_meta": {"progressToken": "server token"}}
        call = c.start_tool("ask", {"method": "sampling/createMessage", "params": params})
        ask = c.wait_message("sampling/createMessage")
        token = ask["params"]["_meta"]["progressToken"]
        c.notify("notifications/progress", {"progressToken": token, "progress": 1})
        c.notify("notifications/progress", {"progressToken": "unknown", "progress": 1})
        got = self.daemon.wait_received("fake", "notifications/progress")
        self.assertEqual([g["params"] for g in got], [{"progressToken": "server token", "progress": 1}])
        c.respond(ask, SAMPLE)
        call.text()

    def test_unknown_requests_of_the_server_are_refused(self):
        c = self.http("fake", capabilities=ALL_CAPABILITIES)
        answer = json.loads(c.tool("ask", {"method": "vendor/whatever", "params": {}}))
        self.assertEqual(answer["error"]["code"], -32601)


class OwnConnectionTest(DaemonCase):
    servers = {"fake": fake()}
    config = {"defaults": {**FEATURES, "sharing": "session"}}

    def test_with_a_connection_of_its_own_a_session_gets_every_ask(self):
        for c in self.every_way_in("fake", version="2025-11-25", capabilities=ALL_CAPABILITIES):
            if hasattr(c, "open_get"):
                c.open_get()
            c.tool("ask_late", {"method": "sampling/createMessage", "params": {}})
            c.respond(c.wait_message("sampling/createMessage"), SAMPLE)
            def answers():
                return json.loads(c.tool("last_answers"))
            self.assertEqual(json.loads(poll_until(answers, "the answer at the server")[0]), {"result": SAMPLE})

    def test_roots_are_those_of_the_one_client(self):
        for n, c in enumerate(self.every_way_in("fake", version="2025-11-25", capabilities=ALL_CAPABILITIES)):
            call = c.start_tool("ask", {"method": "roots/list"})
            roots = {"roots": [{"uri": "file:///%d" % n}]}
            c.respond(c.wait_message("roots/list"), roots)
            self.assertEqual(json.loads(call.text()), {"result": roots})

    def test_sessions_have_processes_of_their_own(self):
        a, b = self.http("fake"), self.http("fake")
        pids = [json.loads(c.tool("report"))["pid"] for c in (a, b, a, b)]
        self.assertEqual((pids[0], pids[1]), (pids[2], pids[3]))
        self.assertNotEqual(pids[0], pids[1])
        held, _ = self.hold(a)
        self.assertEqual(json.loads(b.tool("ask", {"method": "ping"})), {"result": {}})
        self.release(a)
        held.text()
