"""Single messages on their way: ids, bytes, progress, cancellation (protocol.md 1.5, 1.6, 3.10; security.md J)."""
import json

from harness import SINGLE, DaemonCase, answer_line, demo, fake, key_of

ALL_WAYS = ("http", "sse", "line")


class Raw(DaemonCase):
    servers = {"fake": fake(), "demo": demo()}

    def send(self, c, text):
        """Sends a message as these very bytes."""
        data = text if isinstance(text, bytes) else text.encode("utf-8", "surrogateescape")
        if hasattr(c, "send_line"):
            c.send_line(data)
        elif c.__class__.__name__ == "SseClient":
            self.assertEqual(c.post(data), 202)
        else:
            c.post(data)

    def answers(self, c, count=1):
        c.wait(lambda: sum(map(len, c.responses.values())) >= count, "%d answers" % count)
        found = [m for answers in c.responses.values() for m in answers]
        c.responses.clear()
        return found


class IdTest(Raw):
    def test_J09_ids_come_back_byte_for_byte(self):
        for c in self.every_way_in():
            for id in ("0", "1", "-7", "9007199254740993", "9223372036854775808", "123456789012345678901234567890", '"1"',
                       '""', '"a\\u0062\\/"', '"\u00e9\U0001f600"', '"\\ud800"', '"%s"' % ("x" * 200)):
                with self.subTest(id):
                    self.send(c, '{"jsonrpc":"2.0","id":%s,"method":"tools/call","params":{"name":"echo",'
                                 '"arguments":{"text":"t"}}}' % id)
                    (m,) = self.answers(c)
                    self.assertIn(('"id":%s' % id).encode(), m.raw)
                    self.assertEqual(m["result"]["content"][0]["text"], "t")

    def test_J09_ids_come_back_byte_for_byte_when_the_server_writes_them_last(self):
        self.daemon.stop()
        self.start({"demo": demo("--id-last")})
        for c in self.every_way_in():
            for id in ("0", '"1"', "9007199254740993"):
                self.send(c, '{"method":"ping","params":{},"id":%s,"jsonrpc":"2.0"}' % id)
                self.send(c, '{"method":"tools/call","params":{"arguments":{"text":"%s"},"name":"echo"},"id":%s,"jsonrpc":"2.0"}'
                          % ("y" * 300000, id.replace("1", "2")))
                ids = {b'"id":' + id.encode(), b'"id":' + id.replace("1", "2").encode()}
                raws = [m.raw for m in self.answers(c, 2)]
                self.assertTrue(all(any(i in raw[-300:] + raw[:300] for raw in raws) for i in ids))

    def test_J09_what_is_no_id(self):
        for c in self.every_way_in():
            for id in ("null", "1.5", "true", "{}", "[]", '"%s"' % ("x" * 10000)):
                with self.subTest(id):
                    text = '{"jsonrpc":"2.0","id":%s,"method":"ping"}' % id
                    if hasattr(c, "session_id"):
                        r = self.exchange(text.encode(), headers=[("Mcp-Session-Id", c.session_id)])
                        self.assertIn(r.status, (200, 400))
                        error = json.loads(bytes(r.body))
                    elif hasattr(c, "send_line"):
                        self.send(c, text)
                        c.wait(lambda: c.inbox or c.responses, "an error")
                        error = c.inbox.pop() if c.inbox else self.answers(c)[0]
                    else:
                        self.assertIn(c.post(text.encode()), (202, 400))
                        continue
                    self.assertEqual(error["error"]["code"], -32600)
                    self.assertNotEqual(error.get("id", 0), None)
            self.assertEqual(c.request("ping"), {})

    def test_J08_numbers_that_are_no_integers_are_never_altered(self):
        c = self.line()
        for id in ("1.0", "1e0", "-0"):
            self.send(c, '{"jsonrpc":"2.0","id":%s,"method":"ping"}' % id)
            c.wait(lambda: c.inbox or c.responses, "an answer")
            m = c.inbox.pop() if c.inbox else self.answers(c)[0]
            if "result" in m:
                self.assertIn(('"id":%s' % id).encode(), m.raw)
            else:
                self.assertEqual(m["error"]["code"], -32600)

    def test_J09_one_as_number_and_as_string_are_two_requests(self):
        for c in self.every_way_in("fake"):
            number = c.start_tool("hold", {"key": "n"}, id=1)
            string = c.start_tool("hold", {"key": "s"}, id="1")
            self.daemon.wait_received("fake", "tools/call", 2)
            c.next_id = 10
            self.release(c, "s")
            self.assertEqual(string.text(), "released")
            self.assertFalse(number.done())
            self.release(c, "n")
            self.assertEqual(number.text(), "released")

    def test_equal_ids_of_many_clients_are_never_crossed(self):
        for way in ALL_WAYS:
            clients = [getattr(self, way)() for _ in range(8)]
            for turn in range(10):
                calls = [c.start_tool("sleep" if n % 3 == 0 else "echo",
                                      {"seconds": 0.01, "text": "%s %d %d" % (way, turn, n)}, id=turn + 100)
                         for n, c in enumerate(clients)]
                for n, call in enumerate(calls):
                    want = "slept 0.010 s" if n % 3 == 0 else "%s %d %d" % (way, turn, n)
                    self.assertEqual(call.text(), want)

    def test_J10_an_id_in_use_is_refused_and_the_first_unaffected(self):
        for c in self.every_way_in("fake"):
            key = type(c).__name__
            first, _ = self.hold(c, key, id="x")
            second = c.start_tool("record", {"nonce": "dup"}, id="x")
            c.wait(second.done, "a refusal")
            (refusal,) = c.responses.pop(key_of("x"))
            self.assertEqual(refusal["error"]["code"], -32600)
            self.release(c, key)
            self.assertEqual(first.text(), "released")
            self.assertEqual(self.daemon.ledger("fake", "run", nonce="dup"), [])

    def test_an_id_may_be_used_again_after_its_answer(self):
        for c in self.every_way_in():
            for _ in range(3):
                self.assertEqual(c.request("ping", id=1), {})


class ByteTest(Raw):
    PARAMS = ('{"name":"record" , "arguments":{"nonce":"n","z":12345678901234567890123,"a":1e+2,"\\u00e9":"\\ud800\\/",'
              '"":{"__proto__":[1.0,-0]},"b":true}}')

    def test_parameters_reach_the_server_byte_for_byte(self):
        for c in self.every_way_in("fake"):
            self.send(c, '{"jsonrpc":"2.0","id":1000,"method":"tools/call","params":%s}' % self.PARAMS)
            self.answers(c)
            raw = [e["raw"] for e in self.daemon.ledger("fake", "recv") if e["message"].get("method") == "tools/call"][-1]
            self.assertIn(self.PARAMS, raw)
            self.assertNotIn('"id":1000', raw.replace(" ", ""))

    def test_results_reach_the_client_byte_for_byte(self):
        result = ('{"content":[ ] , "n":1.0e+2,"big":123456789012345678901234567890,"s":"\\u00e9\\ud800","":{},'
                  '"__proto__":null,"k":"\u00e9"}')
        for c in self.every_way_in("fake"):
            for line in ('{"jsonrpc":"2.0","id":$ID,"result":%s}', '{"result":%s,"jsonrpc":"2.0","id":$ID}',
                         ' { "id" : $ID , "result" : %s , "jsonrpc" : "2.0" } '):
                m = c.start_tool("emit", {"lines": [line % result]}).response()
                self.assertIn(result.encode(), m.raw)

    def test_errors_of_the_server_reach_the_client_byte_for_byte(self):
        error = '{"code":-32002,"message":"not \\u0066ound","data":{"uri":"x","n":1e2}}'
        for c in self.every_way_in("fake"):
            m = c.start_tool("emit", {"lines": ['{"jsonrpc":"2.0","id":$ID,"error":%s}' % error]}).response()
            self.assertIn(error.encode(), m.raw)

    def test_pretty_printed_requests_become_one_line(self):
        text = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call",
                           "params": {"name": "record", "arguments": {"nonce": "line\nbreak"}}}, indent=2)
        c = self.http("fake")
        for body in (text, text.replace("\n", "\r\n"), text.replace("\n", "\r"), "\ufeff" + text):
            c.post(body.encode())
            (m,) = self.answers(c)
            self.assertEqual(m["result"]["content"][0]["text"], "line\nbreak")

    def test_unknown_methods_are_left_to_the_server(self):
        for c in self.every_way_in("fake"):
            self.assertEqual(c.start("vendor/thing", {"x": 1}).error().message, "Method not found")
            self.assertEqual(self.daemon.received("fake", "vendor/thing")[-1]["params"], {"x": 1})

    def test_pings_are_answered_here(self):
        for c in self.every_way_in("fake"):
            self.assertEqual(c.request("ping"), {})
            self.assertEqual(c.request("ping", {"_meta": {"x": 1}}), {})
        self.assertEqual(self.daemon.received("fake", "ping"), [])

    def test_pings_of_the_server_are_answered_too(self):
        c = self.http("fake")
        self.assertEqual(json.loads(c.tool("ask", {"method": "ping"})), {"result": {}})

    def test_J16_forged_meta_harms_nobody(self):
        prefix = "io.modelcontextprotocol/"
        meta = {prefix + "subscriptionId": "x", prefix + "related-task": {"taskId": "t"}, "traceparent": "00-1-2-03",
                "vendor.example/k": [1], "mcpool/x": 1}
        for c in self.every_way_in("fake"):
            result = c.request("tools/call", {"name": "record", "arguments": {"nonce": "n"}, "_meta": meta})
            self.assertEqual(result["content"][0]["text"], "n")
            got = self.daemon.received("fake", "tools/call")[-1]["params"]["_meta"]
            self.assertEqual((got["traceparent"], got["vendor.example/k"]), ("00-1-2-03", [1]))

    def test_J12_responses_to_nothing_are_ignored(self):
        for c in self.every_way_in():
            for id in (0, 1, "x", 2 ** 53 + 1):
                c._send({"jsonrpc": "2.0", "id": id, "result": {}})
                c._send({"jsonrpc": "2.0", "id": id, "error": {"code": 1, "message": "x"}})
            self.assertEqual(c.tool("echo", {"text": "x"}), "x")

    def test_J12_methods_of_servers_are_not_for_clients(self):
        for c in self.every_way_in():
            for method in ("roots/list", "sampling/createMessage", "elicitation/create"):
                self.assertIn(c.start(method, {}).error().code, (-32601, -32600))

    def test_malformed_messages_do_not_reach_the_server(self):
        c = self.http("fake")
        for body in (b'{"jsonrpc":"2.0","id":1,"method":"tools/call","method":"x","params":{}}',
                     b'{"jsonrpc":"2.0","id":1,"id":2,"method":"vendor/dup"}',
                     b'{"jsonrpc":"2.0","id":1,"method":"vendor/dup","params":{"name":"a","name":"b"}}',
                     b'{"jsonrpc":"2.0","id":1,"method":"tools/call\\u0000x"}', b'{"jsonrpc":"2.0","id":1,"method":5}',
                     b'{"jsonrpc":"2.0","id":1,"method":"vendor/arr","params":[1]}', b'{"id":1,"method":"vendor/no"}',
                     b'{"jsonrpc":"2.1","id":1,"method":"vendor/no"}', b'{"jsonrpc":"2.0","id":1,"Method":"ping"}',
                     b'{"jsonrpc":"2.0","id":1,"method":"vendor/deep","params":' + b'{"a":' * 200 + b"1" + b"}" * 201):
            with self.subTest(body[:60]):
                r = self.exchange(body, path="/mcp/fake", headers=[("Mcp-Session-Id", c.session_id)])
                self.assertIn(r.status, (200, 202, 400))
                if r.status != 202:
                    self.assertEqual(json.loads(bytes(r.body))["error"]["code"], -32600)
        for body in (b"{", b"", b"x", b'{"jsonrpc":"2.0","id":1,"method":"ping"} x', b'{"a":"\xff"}', b'{"a":"\xc0\xaf"}',
                     b'{"a":"\n"}', b'{"a":01}', b"{'a':1}", b'{"a":1,}', b'{"jsonrpc":"2.0","id":1,"method":"ping"}\x00'):
            with self.subTest(body):
                r = self.exchange(body, path="/mcp/fake", headers=[("Mcp-Session-Id", c.session_id)])
                self.assertEqual(r.status, 400)
                error = json.loads(bytes(r.body))
                self.assertEqual(error["error"]["code"], -32700)
                self.assertNotIn("id", error)
        self.assertEqual(c.tool("record", {"nonce": "n"}), "n")
        self.assertEqual([m for m in self.daemon.ledger("fake", "recv") if "vendor" in m["raw"]], [])


class ProgressTest(Raw):
    config = {"resilience": SINGLE}

    def test_twenty_events_arrive_in_order_with_the_token_as_it_was(self):
        for c in self.every_way_in():
            for token in (0, 1, "1", "", "t\u00e9", 2 ** 53 + 1):
                with self.subTest(token):
                    call = c.start_tool("progress", {"steps": 20, "interval_ms": 2}, token=token)
                    self.assertEqual(call.text(), "20 steps done")
                    events = c.taken("notifications/progress")
                    self.assertEqual([e["params"]["progress"] for e in events], list(range(1, 21)))
                    for e in events:
                        self.assertEqual(key_of(e["params"]["progressToken"]), key_of(token))
                        self.assertEqual(e["params"]["message"], "step %d of 20" % e["params"]["progress"])

    def test_progress_travels_on_the_stream_of_its_request(self):
        c = self.http()
        c.open_get()
        call = c.start_tool("progress", {"steps": 3, "interval_ms": 1}, token=1)
        call.text()
        self.assertEqual({e.where for e in c.taken("notifications/progress")}, {call.post})

    def test_no_token_is_invented(self):
        c = self.http("fake")
        c.tool("record", {"nonce": "n"})
        self.assertNotIn("progressToken", self.daemon.received("fake", "tools/call")[-1]["params"].get("_meta", {}))

    def test_J17_equal_tokens_of_two_clients_stay_apart(self):
        for way in ALL_WAYS:
            a, b = getattr(self, way)(), getattr(self, way)()
            one = a.start_tool("progress", {"steps": 7, "interval_ms": 3}, token="same", id=1)
            two = b.start_tool("progress", {"steps": 11, "interval_ms": 2}, token="same", id=1)
            self.assertEqual((one.text(), two.text()), ("7 steps done", "11 steps done"))
            self.assertEqual({e["params"]["total"] for e in a.taken("notifications/progress")}, {7})
            self.assertEqual({e["params"]["total"] for e in b.taken("notifications/progress")}, {11})

    def test_progress_only_rises(self):
        line = '{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":$TOKEN,"progress":%s}}'
        for c in self.every_way_in("fake"):
            values = ("1", "2", "2", "1.5", "2.5", "-1", "3", "1e1", "9")
            self.assertEqual(c.tool("emit", {"lines": [line % v for v in values] + [answer_line()]}, token="t"), "emitted")
            self.assertEqual([e["params"]["progress"] for e in c.taken("notifications/progress")], [1, 2, 2.5, 3, 10])

    def test_progress_of_others_and_of_finished_calls_is_dropped(self):
        line = '{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":%s,"progress":1}}'
        for c in self.every_way_in("fake"):
            c.tool("emit", {"lines": [line % t for t in ('"t"', "999999", "-1", "null", "{}", '"1"')] + [answer_line()]},
                   token="t")
            c.tool("emit", {"lines": [answer_line(), line % "$TOKEN"]}, token="t")
            c.tool("record", {"nonce": "n"})
            c.barrier()
            self.assertEqual(c.taken("notifications/progress"), [])


class CancelTest(Raw):
    servers = {"fake": fake()}
    config = {"resilience": SINGLE, "limits": {"sse_grace": 0.2}}

    def test_a_cancel_reaches_the_server_under_its_own_id(self):
        for n, c in enumerate(self.every_way_in("fake")):
            key = type(c).__name__
            call, message = self.hold(c, key, id="mine")
            c.cancel(call, "no longer wanted")
            got = self.daemon.wait_received("fake", "notifications/cancelled", n + 1)[-1]["params"]
            self.assertEqual(got, {"requestId": message["id"], "reason": "no longer wanted"})
            if call.post:
                call.post.wait_end()
                self.assertEqual((call.post.status, call.post.messages), (200, []))
                self.assertEqual(call.post.r.media_type, "text/event-stream")
            c.barrier()
            self.assertFalse(call.done())
            self.release(c, key)

    def test_a_late_answer_is_dropped(self):
        for c in self.every_way_in("fake"):
            call = c.start_tool("late", {"nonce": type(c).__name__}, token="t")
            self.daemon.wait_ledger("fake", "run", nonce=type(c).__name__)
            c.cancel(call)
            self.assertEqual(c.tool("record", {"nonce": "after"}), "after")
            c.barrier()
            self.assertFalse(call.done())
            self.assertEqual(c.inbox, [])

    def test_cancels_of_nothing_are_ignored(self):
        for c in self.every_way_in("fake"):
            answered = c.start_tool("record", {"nonce": "n"}, id="done")
            answered.text()
            c.cancel(answered)
            for params in ({"requestId": 12345}, {"requestId": "nope"}, {"requestId": None}, {}, {"requestId": {}}):
                c.notify("notifications/cancelled", params)
            self.assertEqual(c.tool("record", {"nonce": "n"}), "n")
        self.assertEqual(self.daemon.received("fake", "notifications/cancelled"), [])

    def test_the_type_of_the_id_counts(self):
        c = self.http("fake")
        c.next_id = 10
        call, _ = self.hold(c, id=1)
        c.notify("notifications/cancelled", {"requestId": "1"})
        self.release(c)
        self.assertEqual(call.text(), "released")

    def test_J18_nobody_cancels_the_calls_of_others(self):
        victim, other = self.http("fake"), self.http("fake")
        call, message = self.hold(victim, id=1)
        for id in (1, message["id"], "1"):
            other.notify("notifications/cancelled", {"requestId": id})
        self.release(other)
        self.assertEqual(call.text(), "released")
        self.assertEqual(self.daemon.received("fake", "notifications/cancelled"), [])

    def test_a_broken_post_is_no_cancel(self):
        c, other = self.http("fake"), self.http("fake")
        call, _ = self.hold(c)
        call.post.cut_off()
        self.assertEqual(other.tool("record", {"nonce": "n"}), "n")
        self.release(other)
        self.assertEqual(c.tool("record", {"nonce": "m"}), "m")
        self.assertEqual(self.daemon.received("fake", "notifications/cancelled"), [])

    def test_delete_cancels(self):
        c = self.http("fake")
        call, message = self.hold(c)
        c.delete()
        got = self.daemon.wait_received("fake", "notifications/cancelled")[-1]
        self.assertEqual(got["params"]["requestId"], message["id"])
        call.post.wait_end()

    def test_a_client_gone_for_good_cancels(self):
        for way in ("line", "sse"):
            with self.subTest(way):
                c = getattr(self, way)("fake")
                call, message = self.hold(c, way)
                c.sock.reset() if way == "line" else c.cut_off()
                got = self.daemon.wait_received("fake", "notifications/cancelled", 1 if way == "line" else 2)[-1]
                self.assertEqual(got["params"]["requestId"], message["id"])

    def test_initialize_cannot_be_cancelled(self):
        c = self.http("fake")
        c.notify("notifications/cancelled", {"requestId": 0})
        self.assertEqual(c.request("ping"), {})
