"""mcpool-demo by itself, over pipes: what the other tests take for granted about it."""
import hashlib
import json
import unittest

from harness import ALL_CAPABILITIES, DEMO, LATEST, VERSIONS, StdioClient, text_of
from material import big_text


class DemoTest(unittest.TestCase):
    def start(self, *args, initialize=True, **more):
        more.setdefault("capabilities", ALL_CAPABILITIES)
        c = StdioClient([DEMO, *args], **more)
        self.addCleanup(c.close)
        return c.initialize() if initialize else c

    def test_each_revision_is_negotiated(self):
        for version in VERSIONS:
            with self.subTest(version):
                self.assertEqual(self.start(version=version).version, version)

    def test_unknown_revisions_get_the_latest(self):
        for version in ("1999-01-01", "2026-07-28", "x"):
            self.assertEqual(self.start(version=version).version, LATEST)

    def test_only_ping_is_served_before_initialize(self):
        c = self.start(initialize=False)
        self.assertEqual(c.request("ping"), {})
        self.assertEqual(c.start("tools/list").error().code, -32600)
        c.initialize()
        self.assertEqual(c.start("initialize", {"protocolVersion": LATEST}).error().code, -32600)

    def test_every_listed_tool_has_an_object_schema(self):
        tools = self.start().request("tools/list")["tools"]
        self.assertLessEqual({"echo", "add", "sleep", "progress", "big", "log", "ask", "touch", "change", "whoami",
                              "crash"}, {t["name"] for t in tools})
        for t in tools:
            self.assertEqual(t["inputSchema"]["type"], "object")
            self.assertLessEqual(set(t["inputSchema"].get("required", [])), set(t["inputSchema"]["properties"]))

    def test_echo_returns_the_very_bytes(self):
        c = self.start()
        c.send_line(rb'{"id":"a\u0062","params":{"arguments":{"text":"\ud800 \/ \u00e9"},"name":"echo"},'
                    rb'"method":"tools/call","jsonrpc":"2.0"}')
        c.wait(lambda: c.responses, "an answer")
        (answer,), = c.responses.values()
        self.assertEqual(answer.raw, rb'{"jsonrpc":"2.0","id":"a\u0062","result":{"content":[{"type":"text",'
                                     rb'"text":"\ud800 \/ \u00e9"}]}}')

    def test_id_last_puts_the_id_behind_the_result(self):
        c = self.start("--id-last")
        self.assertRegex(c.start("ping", id=7).response().raw, rb'^\{"result":\{\},"jsonrpc":"2.0","id":7\}$')
        self.assertRegex(c.start("nope", id="x").response().raw, rb'^\{"error":.*,"jsonrpc":"2.0","id":"x"\}$')

    def test_add_gives_text_and_structure(self):
        result = self.start().request("tools/call", {"name": "add", "arguments": {"a": 1.5, "b": 2}})
        self.assertEqual((text_of(result), result["structuredContent"]), ("3.5", {"sum": 3.5}))
        old = self.start(version="2025-03-26").request("tools/call", {"name": "add", "arguments": {"a": 1, "b": 2}})
        self.assertNotIn("structuredContent", old)

    def test_wrong_arguments_are_refused_by_name(self):
        c = self.start()
        for name, arguments in (("echo", {}), ("echo", {"text": 1}), ("add", {"a": 1, "b": "2"}), ("big", {"bytes": -1}),
                                ("big", {"bytes": 1.5}), ("log", {"level": "loud", "text": "x"}), ("nope", {}),
                                ("extra", {}), ("add", {"a": 1e308, "b": 1e308})):
            with self.subTest(name=name, arguments=arguments):
                self.assertEqual(c.start_tool(name, arguments).error().code, -32602)

    def test_numbers_beyond_measure_are_refused(self):
        c = self.start()
        for number in (b"1e400", b"-1", b"9" * 400):
            c.send_line(b'{"jsonrpc":"2.0","id":"n","method":"tools/call","params":{"name":"sleep",'
                        b'"arguments":{"seconds":' + number + b'}}}')
            c.wait(lambda: c.responses, "an answer")
            self.assertEqual(c.responses.popitem()[1][0]["error"]["code"], -32602)

    def test_sleeping_calls_do_not_block_others_and_end_in_their_order(self):
        c = self.start()
        slow, fast = c.start_tool("sleep", {"seconds": 0.2}), c.start_tool("sleep", {"seconds": 0.01})
        self.assertEqual(c.tool("echo", {"text": "x"}), "x")
        self.assertEqual(fast.text(), "slept 0.010 s")
        self.assertFalse(slow.done())
        self.assertEqual(slow.text(), "slept 0.200 s")

    def test_cancelled_calls_are_never_answered(self):
        c = self.start()
        call = c.start_tool("sleep", {"seconds": 0.05}, id="x")
        c.cancel(call)
        self.assertEqual(c.tool("sleep", {"seconds": 0.1}), "slept 0.100 s")
        self.assertFalse(call.done())
        self.assertEqual(json.loads(c.tool("whoami"))["cancelled"], 1)

    def test_an_id_in_use_is_refused(self):
        c = self.start()
        c.start_tool("sleep", {"seconds": 0.1}, id=5)
        self.assertEqual(c.start("ping", id=5).error().code, -32600)
        self.assertEqual(c.start("ping", id="5").result(), {})

    def test_progress_carries_the_token_and_rises(self):
        for interval in (0, 1):
            c = self.start()
            self.assertEqual(c.tool("progress", {"steps": 20, "interval_ms": interval}, token="t"), "20 steps done")
            events = c.taken("notifications/progress")
            self.assertEqual([e["params"]["progress"] for e in events], list(range(1, 21)))
            self.assertEqual({e["params"]["progressToken"] for e in events}, {"t"})
            c.tool("progress", {"steps": 3, "interval_ms": interval})
            self.assertEqual(c.taken("notifications/progress"), [])

    def test_big_texts_have_numbered_blocks(self):
        c = self.start()
        for size in (0, 1, 63, 64, 65, 100000):
            self.assertEqual(c.tool("big", {"bytes": size}), big_text(size))

    def test_64_MiB_arrive_whole_however_slowly_they_are_read(self):
        c = self.start()
        size = 64 << 20
        call = c.start_tool("big", {"bytes": size})
        behind = c.start("ping")
        self.assertEqual(hashlib.sha256(call.text().encode()).digest(),
                         hashlib.sha256(big_text(size).encode()).digest())
        self.assertEqual(behind.result(), {})

    def test_log_messages_obey_the_level(self):
        c = self.start()
        c.request("logging/setLevel", {"level": "error"})
        c.tool("log", {"level": "warning", "text": "no"})
        c.tool("log", {"level": "error", "text": "yes"})
        self.assertEqual([m["params"]["data"] for m in c.taken("notifications/message")], ["yes"])
        self.assertEqual(c.start("logging/setLevel", {"level": "shrill"}).error().code, -32602)

    def test_asks_return_what_the_client_says(self):
        c = self.start()
        for kind, method in (("elicitation", "elicitation/create"), ("sampling", "sampling/createMessage"),
                             ("roots", "roots/list")):
            call = c.start_tool("ask", {"kind": kind})
            c.respond(c.wait_message(method), {"kind": kind})
            self.assertEqual(json.loads(call.text()), {"kind": kind})
        call = c.start_tool("ask", {"kind": "roots"})
        c.respond(c.wait_message("roots/list"), error={"code": -1, "message": "no"})
        self.assertTrue(call.result()["isError"])

    def test_asks_need_the_capability(self):
        c = self.start(capabilities={"roots": {}})
        self.assertTrue(c.request("tools/call", {"name": "ask", "arguments": {"kind": "sampling"}})["isError"])
        self.assertEqual(c.taken("sampling/createMessage"), [])

    def test_cancelling_a_call_withdraws_its_ask(self):
        c = self.start()
        call = c.start_tool("ask", {"kind": "sampling"})
        ask = c.wait_message("sampling/createMessage")
        c.cancel(call)
        self.assertEqual(c.wait_message("notifications/cancelled")["params"]["requestId"], ask["id"])
        c.respond(ask, {})
        c.barrier()
        self.assertFalse(call.done())

    def test_resources_come_in_pages(self):
        c = self.start()
        uris, cursor = [], None
        while True:
            page = c.request("resources/list", {"cursor": cursor} if cursor else None)
            uris += [r["uri"] for r in page["resources"]]
            cursor = page.get("nextCursor")
            if cursor is None:
                break
        self.assertEqual(uris, ["demo://note/%d" % n for n in range(1, 26)])
        for bad in ("0", "7", "10x", "30", "-10", 10):
            self.assertEqual(c.start("resources/list", {"cursor": bad}).error().code, -32602)

    def test_resources_can_be_read_and_watched(self):
        c = self.start()
        uri = "demo://note/3"
        self.assertEqual(c.request("resources/read", {"uri": uri})["contents"][0]["uri"], uri)
        error = c.start("resources/read", {"uri": "demo://note/26"}).error()
        self.assertEqual((error.code, error.data), (-32002, {"uri": "demo://note/26"}))
        c.tool("touch", {"uri": uri})
        self.assertEqual(c.taken("notifications/resources/updated"), [])
        c.request("resources/subscribe", {"uri": uri})
        c.tool("touch", {"uri": uri})
        self.assertEqual(len(c.taken("notifications/resources/updated")), 1)
        c.request("resources/unsubscribe", {"uri": uri})
        c.tool("touch", {"uri": uri})
        self.assertEqual(c.taken("notifications/resources/updated"), [])

    def test_lists_can_change(self):
        c = self.start()
        for what, method in (("tools", "tools/list"), ("prompts", "prompts/list")):
            before = c.request(method)[what]
            c.tool("change", {"what": what})
            self.assertEqual(len(c.taken("notifications/%s/list_changed" % what)), 1)
            self.assertEqual(len(c.request(method)[what]), len(before) + 1)
            c.tool("change", {"what": what})
            self.assertEqual(c.request(method)[what], before)

    def test_prompts_and_completion(self):
        c = self.start()
        message = c.request("prompts/get", {"name": "greeting", "arguments": {"name": "A\u00e9\""}})["messages"][0]
        self.assertEqual(message["content"]["text"], "Say hello to A\u00e9\"")
        self.assertEqual(c.start("prompts/get", {"name": "greeting"}).error().code, -32602)
        ref = {"type": "ref/prompt", "name": "greeting"}
        done = c.request("completion/complete", {"ref": ref, "argument": {"name": "name", "value": "A"}})["completion"]
        self.assertEqual(done["values"], ["Ada", "Alan"])
        done = c.request("completion/complete", {"ref": ref, "argument": {"name": "name", "value": ""}})["completion"]
        self.assertEqual(done["total"], 6)
        self.assertEqual(c.start("completion/complete", {"argument": 1}).error().code, -32602)

    def test_batches_only_in_2025_03_26(self):
        batch = (b'[{"jsonrpc":"2.0","id":1,"method":"ping"},{"jsonrpc":"2.0","method":"x"},'
                 b'{"jsonrpc":"2.0","id":2,"method":"ping"}]')
        c = self.start(version="2025-03-26")
        c.next_id = 10
        c.send_line(batch)
        c.barrier()
        self.assertEqual(sorted(c.responses), ["1", "2"])
        c.send_line(b"[]")
        self.assertEqual(c.wait_error().code, -32600)
        c = self.start(version=LATEST)
        c.send_line(batch)
        self.assertEqual(c.wait_error().code, -32600)
        self.assertEqual(c.responses, {})

    def test_bad_lines_get_an_error_and_harm_nothing(self):
        c = self.start()
        for line, code in ((b"{", -32700), (b'{"a":"\xff"}', -32700), (b'{"jsonrpc":"1.0","id":1,"method":"x"}', -32600),
                           (b"5", -32600), (b'"x"', -32600), (b"[" * 100000, -32700)):
            c.send_line(line)
            c.wait(lambda: c.inbox or c.responses, "an error")
            error = c.inbox.pop() if c.inbox else c.responses.popitem()[1][0]
            self.assertIn(error["error"]["code"], (code, -32600))
        c.send_bytes(b"\n\r\n  \n")
        c.barrier()

    def test_messages_may_arrive_in_any_pieces(self):
        c = self.start()
        message = b'{"jsonrpc":"2.0","id":99,"method":"tools/call","params":{"name":"echo","arguments":{"text":"x"}}}\r\n'
        for byte in message * 2:
            c.send_bytes(bytes([byte]))
        c.wait(lambda: len(c.responses.get("99", [])) == 2, "two answers")

    def test_end_of_input_ends_the_server_with_everything_said(self):
        c = self.start()
        size = 5 << 20
        call = c.start_tool("big", {"bytes": size})
        c.start_tool("sleep", {"seconds": 3600})
        self.assertEqual(c.wait_exit(), 0)
        self.assertEqual(len(call.text()), size)

    def test_crash_ends_it_without_an_answer(self):
        c = self.start()
        call = c.start_tool("crash")
        self.assertEqual(c.wait_exit(), 3)
        self.assertFalse(call.done())

    def test_a_client_that_goes_away_is_no_failure(self):
        c = self.start()
        c.start_tool("big", {"bytes": 10 << 20})
        c.process.stdout.close()
        c.process.stdin.close()
        self.assertEqual(c.process.wait(20), 0)

    def test_unknown_options_are_refused(self):
        c = self.start("--nope", initialize=False)
        c.process.stdin.close()
        self.assertEqual(c.process.wait(20), 2)
