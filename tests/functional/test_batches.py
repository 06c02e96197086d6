"""JSON-RPC batches: revision 2025-03-26 and nothing else (security.md J11, protocol.md 1.8)."""
import json

from harness import LATEST, OLDEST, SINGLE, DaemonCase, demo

L1 = "2025-03-26"


def echo(id, text):
    return {"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {"name": "echo", "arguments": {"text": text}}}


INITIALIZED = {"jsonrpc": "2.0", "method": "notifications/initialized"}


class BatchTest(DaemonCase):
    def post(self, c, batch):
        body = batch if isinstance(batch, bytes) else json.dumps(batch).encode()
        return c.post(body, wait=True)

    def texts(self, c):
        found = {}
        for key, answers in c.responses.items():
            self.assertEqual(len(answers), 1, key)
            found[key] = answers[0]["result"]["content"][0]["text"]
        c.responses.clear()
        return found

    def test_J11_a_batch_is_answered_element_by_element(self):
        c = self.http(version=L1)
        post = self.post(c, [echo(1, "one"), INITIALIZED, echo("1", "string one"), echo(2, "two")])
        self.assertEqual(post.status, 200)
        self.assertEqual(self.texts(c), {"1": "one", '"1"': "string one", "2": "two"})

    def test_J11_as_an_array_for_clients_that_take_only_json(self):
        c = self.http(version=L1, accept="application/json")
        post = self.post(c, [echo(1, "one"), echo(2, "two")])
        self.assertEqual((post.status, post.r.media_type), (200, "application/json"))
        answers = json.loads(bytes(post.r.body))
        self.assertEqual(sorted(a["id"] for a in answers), [1, 2])

    def test_J11_results_do_not_wait_for_each_other(self):
        c = self.http(version=L1)
        sleep = {"jsonrpc": "2.0", "id": "slow", "method": "tools/call",
                 "params": {"name": "sleep", "arguments": {"seconds": 0.5}}}
        c.post(json.dumps([sleep, echo("fast", "x")]).encode())
        c.wait(lambda: '"fast"' in c.responses, "the fast answer")
        self.assertNotIn('"slow"', c.responses)
        c.wait(lambda: '"slow"' in c.responses, "the slow answer")

    def test_J11_without_a_request_there_is_nothing_to_answer(self):
        c = self.http(version=L1)
        for batch in ([INITIALIZED, INITIALIZED], [{"jsonrpc": "2.0", "id": 77, "result": {}}]):
            post = self.post(c, batch)
            self.assertEqual((post.status, bytes(post.r.body)), (202, b""))

    def assert_whole_refusal(self, r, status=400):
        self.assertEqual(r.status, status)
        value = json.loads(bytes(r.body))
        self.assertEqual(value["error"]["code"], -32600)
        self.assertNotIn("id", value)

    def bare(self, c, body):
        """Posted past the client, whose rule about statuses has an exception here: no id can be named."""
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.exchange(body, headers=[("Mcp-Session-Id", c.session_id), ("MCP-Protocol-Version", c.version)])

    def test_J11_the_empty_batch(self):
        self.assert_whole_refusal(self.bare(self.http(version=L1), b"[]"))

    def test_J11_other_revisions_know_no_batches(self):
        for version in (OLDEST, "2025-06-18", LATEST):
            with self.subTest(version):
                self.assert_whole_refusal(self.bare(self.http(version=version), [echo(1, "x")]))

    def test_J11_initialize_in_a_batch(self):
        init = {"jsonrpc": "2.0", "id": 1, "method": "initialize",
                "params": {"protocolVersion": L1, "capabilities": {}, "clientInfo": {"name": "x", "version": "1"}}}
        r = self.exchange(json.dumps([init]).encode())
        self.assertIn(r.status, (200, 400))
        value = json.loads(bytes(r.body))
        value = value[0] if isinstance(value, list) else value
        self.assertEqual(value["error"]["code"], -32600)
        self.assertIsNone(r.headers.get("Mcp-Session-Id"))

    def test_J11_nested_batches(self):
        c = self.http(version=L1)
        r = self.bare(c, [[echo(1, "x")]])
        self.assertIn(r.status, (200, 400))
        self.assertNotIn(b'"content"', bytes(r.body))
        c = self.http(version=L1)
        self.assertEqual(c.request("ping"), {})

    def test_J11_too_long_a_batch(self):
        c = self.http(version=L1)
        self.assert_whole_refusal(self.bare(c, [echo(i, "x") for i in range(10000)]))
        self.assert_whole_refusal(self.bare(c, [INITIALIZED] * 65))
        self.assertEqual(self.bare(c, [INITIALIZED] * 64).status, 202)
        self.assertEqual(json.loads(c.tool("whoami"))["calls"], 1)

    def test_J11_a_bad_element_spoils_only_itself(self):
        c = self.http(version=L1)
        post = self.post(c, [echo(1, "one"), 5, {"jsonrpc": "1.0", "id": 2, "method": "ping"}, echo(3, "three")])
        self.assertEqual(post.status, 200)
        answered = {k: a[0] for k, a in c.responses.items()}
        self.assertEqual(answered["1"]["result"]["content"][0]["text"], "one")
        self.assertEqual(answered["3"]["result"]["content"][0]["text"], "three")
        self.assertEqual(answered["2"]["error"]["code"], -32600)
        self.assertEqual(set(answered), {"1", "2", "3"})
        self.assertEqual([m["error"]["code"] for m in c.inbox], [-32600])

    def test_J11_on_lines(self):
        c = self.line(version=L1)
        c.send_line(json.dumps([echo(1, "one"), INITIALIZED, echo(2, "two")]).encode())
        c.wait(lambda: len(c.responses) == 2, "two answers")
        self.assertEqual(self.texts(c), {"1": "one", "2": "two"})
        c.send_line(b"[]")
        self.assertEqual(c.wait_error().code, -32600)
        c = self.line(version=LATEST)
        c.send_line(json.dumps([echo(1, "one")]).encode())
        self.assertEqual(c.wait_error().code, -32600)
        self.assertEqual(c.request("ping"), {})

    def test_J11_elements_count_against_the_limit_in_flight(self):
        self.daemon.stop()
        self.start({"demo": demo()}, {"limits": {"max_in_flight_per_session": 4}, "resilience": SINGLE})
        c = self.http(version=L1)
        sleep = {"jsonrpc": "2.0", "method": "tools/call", "params": {"name": "sleep", "arguments": {"seconds": 0.3}}}
        self.post(c, [dict(sleep, id=i) for i in range(10)])
        refused = [a[0] for a in c.responses.values() if "error" in a[0]]
        self.assertEqual(len(refused), 6)
        self.assertEqual({a["error"]["data"]["reason"] for a in refused}, {"overloaded"})
