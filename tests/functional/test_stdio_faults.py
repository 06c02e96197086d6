"""Servers that misbehave over their pipes (security.md S01-S08, J21)."""
import json
import re

from harness import SINGLE, DaemonCase, RpcError, answer_line, demo, fake, is_sanitized, poll_until

MIB = 1 << 20
QUICK = {**SINGLE, "backoff_base": 0.05, "recovery_jitter_max": 0, "recovery_interval": 0.05,
         "circuit_breaker_threshold": 100, "operation_timeout": 5, "queue_timeout": 20}


class FaultCase(DaemonCase):
    servers = {"fake": fake(), "demo": demo()}
    config = {"resilience": QUICK}

    def pid(self, c):
        return json.loads(c.tool("report"))["pid"]

    def assert_lost(self, call, reason="upstream_lost"):
        """The call ended with the one honest error; a new process serves the next one."""
        error = call.error()
        self.assert_error(error, -32603, reason, "maybe", "fake")
        return error

    def assert_recovers(self, c):
        self.assertEqual(c.tool("record", {"nonce": "again"}), "again")


class OutputTest(FaultCase):
    def test_S01_garbage_lines_are_skipped(self):
        self.start_with("--stdout-noise", "--print-first", "Listening on stdio...")
        c = self.http("fake")
        for i in range(5):
            self.assertEqual(c.tool("record", {"nonce": str(i)}), str(i))
        self.assertEqual(len(self.daemon.ledger("fake", "start")), 1)

    def start_with(self, *args, **limits):
        self.daemon.stop()
        self.start({"fake": fake(*args)}, {"resilience": QUICK, "limits": limits})

    def test_S01_binary_output_is_skipped(self):
        c = self.http("fake")
        self.assertEqual(c.tool("binary"), "ok")
        self.assert_recovers(c)
        self.assertEqual(len(self.daemon.ledger("fake", "start")), 1)

    def test_S01_json_that_is_no_message_is_skipped(self):
        lines = ("{}", "[]", "null", "5", '"x"', '{"jsonrpc":"2.0"}', '{"jsonrpc":"1.0","id":$ID,"result":{}}',
                 '{"jsonrpc":"2.0","id":$ID}', '{"jsonrpc":"2.0","id":null,"result":{}}', '{"jsonrpc":"2.0","id":[],"result":{}}',
                 '{"jsonrpc":"2.0","id":$ID,"result":{"a":}}', '{"jsonrpc":"2.0","method":5}', "", " ", "[" * 300,
                 '{"jsonrpc":"2.0","method":"notifications/progress"}',
                 '{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{}}',
                 '{"jsonrpc":"2.0","method":"notifications/message","params":{"level":7}}')
        c = self.http("fake")
        call = c.start_tool("emit", {"lines": list(lines) + [answer_line()]}, token=1)
        m = call.response()  # either skipped, or the call failed honestly where its own id was named
        self.assertTrue("result" in m or m["error"]["data"]["reason"] == "upstream_protocol", m)
        self.assert_recovers(c)

    def test_S01_an_answer_that_is_no_json_fails_its_call(self):
        c = self.http("fake")
        for line in ('{"jsonrpc":"2.0","id":$ID,"result":{"x":"\udcff"}}', '{"jsonrpc":"2.0","id":$ID,"result":{"a":}}',
                     '{"jsonrpc":"2.0","id":$ID,"resuWARNING: something else', '{"jsonrpc":"2.0","id":$ID}'):
            call = c.start_tool("emit", {"lines": [line]})
            m = call.response()
            self.assertNotIn(b"\xff", m.raw)
            self.assert_error(RpcError(m["error"]), -32603, "upstream_protocol", "maybe", "fake")
        self.assert_recovers(c)

    def test_S01_noise_that_names_an_id_fails_no_call(self):
        lines = ('{"level":30,"id":$ID,"msg":"started"}', '{"id":$ID,"pid":5', '{"jsonrpc":"2.0","id":$ID,"method":5}')
        self.assertEqual(self.http("fake").tool("emit", {"lines": list(lines) + [answer_line("right")]}), "right")

    def test_S01_an_endless_line_replaces_the_process(self):
        self.start_with("x", max_response_bytes=8 * MIB)
        c = self.http("fake")
        self.daemon.allow_error("fake")
        call = c.start_tool("fill", {"bytes": 64 * MIB})
        error = call.error()
        self.assertEqual(error.code, -32603)
        self.assertIn(error.data["reason"], ("upstream_lost", "upstream_protocol", "response_too_large"))
        self.assert_recovers(c)
        if not is_sanitized():
            self.assertLess(self.daemon.rss_kb(), 32 * 1024)

    def test_an_answer_too_large_fails_only_its_call(self):
        self.daemon.stop()
        self.start(config={"resilience": QUICK, "limits": {"max_response_bytes": MIB}})
        c, other = self.http(), self.http()
        pid = json.loads(c.tool("whoami"))["pid"]
        waiting = other.start_tool("sleep", {"seconds": 0.5})
        error = c.start_tool("big", {"bytes": 3 * MIB}).error()
        self.assert_error(error, -32603, "response_too_large", server="demo")
        self.assertEqual(c.tool("echo", {"text": "x"}), "x")
        self.assertEqual(waiting.text(), "slept 0.500 s")
        self.assertEqual(json.loads(c.tool("whoami"))["pid"], pid)

    def test_S02_death_in_the_middle_of_a_line(self):
        c = self.http("fake")
        pid = self.pid(c)
        self.assert_lost(c.start_tool("die_mid_line"))
        self.assert_recovers(c)
        self.assertNotEqual(self.pid(c), pid)

    def test_S03_answers_to_unknown_ids_are_dropped(self):
        self.start_with("--wrong-ids")
        a, b = self.line("fake"), self.line("fake")
        for i in range(10):
            self.assertEqual(a.tool("record", {"nonce": "a%d" % i}), "a%d" % i)
            self.assertEqual(b.tool("record", {"nonce": "b%d" % i}), "b%d" % i)
        a.barrier()
        self.assertEqual((a.inbox, a.responses, b.inbox, b.responses), ([], {}, [], {}))

    def test_S03_an_answer_to_the_id_of_another_call_is_that_calls_answer(self):
        a, b = self.line("fake"), self.line("fake")
        call, message = self.hold(a)
        self.emit(b, {"jsonrpc": "2.0", "id": message["id"], "result": {"content": [{"type": "text", "text": "by id"}]}})
        self.assertEqual(call.text(), "by id")
        self.release(b)  # its own answer is now one too many
        a.barrier()
        self.assertEqual(a.responses, {})

    def test_S04_second_answers_are_dropped(self):
        self.start_with("--duplicate-responses")
        for c in self.every_way_in("fake"):
            for i in range(5):
                self.assertEqual(c.tool("record", {"nonce": str(i)}), str(i))
            c.barrier()
            self.assertEqual(c.responses, {})

    def test_S05_an_id_of_another_type_is_no_answer(self):
        c = self.line("fake")
        text = c.tool("emit", {"lines": [answer_line("wrong").replace("$ID", "$STRID"), answer_line("right")]})
        self.assertEqual(text, "right")
        c.barrier()
        self.assertEqual(c.responses, {})

    def test_S05_a_server_with_string_ids_only_is_reported_as_dead(self):
        self.daemon.stop()
        self.start({"fake": fake("--string-ids")}, {"resilience": {**QUICK, "operation_timeout": 0.5, "queue_timeout": 1}})
        self.daemon.allow_error("fake")
        c = self.line("fake", initialize=False)
        call = c.start("initialize", {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "x", "version": "1"}})
        error = call.error()
        self.assertEqual(error.code, -32603)

    def test_lines_may_arrive_byte_by_byte_and_end_in_CRLF(self):
        self.start_with("--byte-by-byte", "--crlf")
        c = self.http("fake")
        for i in range(5):
            self.assertEqual(c.tool("record", {"nonce": "n%d" % i}), "n%d" % i)


class StderrTest(FaultCase):
    def test_S06_a_flood_is_drained_and_the_log_stays_small(self):
        self.daemon.stop()
        self.start({"fake": fake("--stderr-flood")}, {"resilience": QUICK})
        c = self.http("fake")
        for i in range(200):
            self.assertEqual(c.tool("record", {"nonce": str(i)}), str(i))
        lines = self.daemon.log.matching("flood flood")
        self.assertGreater(len(lines), 0)
        self.assertLess(len(lines), 5000)

    def test_S06_much_at_once_does_not_block_the_call(self):
        c = self.http("fake")
        self.assertEqual(c.tool("stderr", {"text": "x" * 1000 + "\n", "count": 20000}), "ok")

    def test_stderr_can_be_discarded(self):
        self.daemon.stop()
        self.start({"fake": fake(stderr="discard")}, {"resilience": QUICK})
        c = self.http("fake")
        c.tool("stderr", {"text": "discard me\n"})
        c.close()
        self.assertNotIn("discard me", "\n".join(self.daemon.stop()))

    def test_stderr_lines_appear_with_the_name_of_the_server(self):
        c = self.http("fake")
        c.tool("stderr", {"text": "a line of text\nunfinished"})
        _, m = self.daemon.log.wait(".*a line of text")
        self.assertIn("server=fake", m.group(0))

    def test_J21_hostile_text_is_escaped_in_the_log(self):
        c = self.http("fake")
        hostile = ("\x1b[2Jcleared\x07 \x1b]0;title\x07 %n%s%x\r2026-01-01T00:00:00.000Z critical forged\x08\x7f "
                   "\u202egnp.exe\u2028 \udcff\udcfe end-of-hostile\n")
        c.tool("stderr", {"text": hostile})
        c.tool("stderr", {"text": "y" * MIB + "\n"})
        c.tool("stderr", {"text": "marker\n"})
        self.emit(c, "stdout noise \x1b[31m %n%n\r forged")
        c.start_tool("\x1b[31mtool %n").error()
        c.start("\x1b[31mmethod%n/x").error()
        self.daemon.log.wait("marker")
        self.daemon.log.wait("end-of-hostile")
        for line in self.daemon.log.lines:
            self.assertLessEqual(len(line.encode()), 4096)
            self.assertIsNone(re.search("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2028\u2029]", line), ascii(line))
            self.assertNotRegex(line, r"^\S+Z critical forged")


class InputTest(FaultCase):
    def test_S07_a_server_that_never_reads_blocks_only_its_callers(self):
        self.daemon.stop()
        self.start({"fake": fake("--no-read-stdin"), "demo": demo()},
                   {"resilience": {**QUICK, "call_timeout": 1, "queue_timeout": 1}, "limits": {"max_request_bytes": 8 * MIB}})
        self.daemon.allow_error("fake")
        c, other = self.http("fake"), self.http("demo")
        calls = [c.start_tool("record", {"nonce": "x" * MIB}) for _ in range(12)]
        for i in range(20):
            self.assertEqual(other.tool("echo", {"text": str(i)}), str(i))
        for call in calls:
            error = call.error()
            self.assertEqual(error.code, -32603)
            self.assertIn(error.data["reason"], ("timeout", "upstream_unavailable", "overloaded", "upstream_lost"))
            self.assertIn(error.data["delivered"], ("no", "maybe"))
        self.assertEqual(self.daemon.ledger("fake", "run"), [])
        if not is_sanitized():
            self.assertLess(self.daemon.rss_kb(), 64 * 1024)

    def test_S08_a_server_that_closes_its_output_is_replaced(self):
        c = self.http("fake")
        pid = self.pid(c)
        self.assert_lost(c.start_tool("close_stdout"))
        self.assert_recovers(c)
        poll_until(lambda: pid not in self.daemon.children(), "the old process to end")

    def test_a_call_that_takes_too_long(self):
        self.daemon.stop()
        self.start(config={"resilience": {**QUICK, "call_timeout": 0.5}})
        c, other = self.http("fake"), self.http("fake")
        call = c.start_tool("hold", {"key": "k"})
        error = call.error()
        self.assert_error(error, -32603, "timeout", "maybe", "fake")
        got = self.daemon.wait_received("fake", "notifications/cancelled")
        hold = [m for m in self.daemon.received("fake", "tools/call") if m["params"]["name"] == "hold"]
        self.assertEqual(got[0]["params"]["requestId"], hold[0]["id"])
        self.assertEqual(other.tool("record", {"nonce": "n"}), "n")

    def test_progress_extends_the_time_of_a_call(self):
        self.daemon.stop()
        self.start(config={"resilience": {**QUICK, "call_timeout": 1}})
        c = self.http()
        self.assertEqual(c.tool("progress", {"steps": 10, "interval_ms": 250}, token=1), "10 steps done")

    def test_calls_before_and_after_a_death_are_told_apart(self):
        c = self.http("fake")
        calls = [self.hold(c, "k%d" % i)[0] for i in range(3)]
        killer = c.start_tool("die")
        for call in calls + [killer]:
            self.assert_lost(call)
        self.assert_recovers(c)
        for entry in ("k0", "k1", "k2"):
            self.assertEqual(len(self.daemon.ledger("fake", "run", nonce=entry)), 1, "a call was run again")

    def test_an_answer_given_before_death_counts(self):
        c = self.http("fake")
        for _ in range(5):
            self.die(c)
        self.assert_recovers(c)

    def test_a_server_that_dies_at_each_call_is_started_again_each_time(self):
        self.daemon.stop()
        self.start({"fake": fake("--die-on-call")}, {"resilience": QUICK})
        c = self.http("fake")
        for i in range(3):
            self.assert_lost(c.start_tool("record", {"nonce": "n%d" % i}))
        for i in range(3):
            self.assertEqual(len(self.daemon.ledger("fake", "run", nonce="n%d" % i)), 1)
