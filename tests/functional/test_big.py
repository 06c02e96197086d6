"""Large messages: they arrive whole, and the daemon stays small (protocol.md 8.2, issue "limits and back-pressure")."""
import hashlib
import json

from harness import SINGLE, DaemonCase, demo, fake, is_sanitized
from material import big_text

KIB, MIB = 1 << 10, 1 << 20


def digest(text):
    return hashlib.sha256(text.encode()).hexdigest()


class BigTest(DaemonCase):
    servers = {"demo": demo(), "fake": fake()}
    config = {"limits": {"max_response_bytes": 80 * MIB, "max_request_bytes": 4 * MIB}, "resilience": SINGLE}

    def test_sizes_around_every_boundary(self):
        for c in self.every_way_in():
            for size in (0, 1, 4095, 4096, 16383, 65535, 65536, 262143, 262144, 262145, MIB, 5 * MIB):
                for off in (-60, 0):
                    n = max(0, size + off)
                    self.assertEqual(digest(c.tool("big", {"bytes": n})), digest(big_text(n)), n)

    def test_small_and_big_results_have_the_same_head(self):
        http, heads = self.http(), []
        for size in (1, 100 * KIB):
            call = http.start_tool("big", {"bytes": size})
            call.text()
            r = call.post.r
            heads.append((r.status, r.reason, [(k, v if k != "Content-Length" else None) for k, v in r.headers]))
        self.assertEqual(heads[0], (200, "OK", [("Content-Type", "application/json"), ("Content-Length", None)]))
        self.assertEqual(heads[0], heads[1])

    def test_64_MiB_stream_through_in_little_memory(self):
        want = digest(big_text(64 * MIB))
        for c in self.every_way_in():
            self.assertEqual(digest(c.tool("big", {"bytes": 64 * MIB})), want)
            if not is_sanitized():
                self.assertLess(self.daemon.rss_kb(), 64 * KIB)

    def test_64_MiB_for_two_at_once(self):
        a, b = self.http(), self.http()
        calls = [c.start_tool("big", {"bytes": 64 * MIB}) for c in (a, b)]
        want = digest(big_text(64 * MIB))
        self.assertEqual([digest(call.text()) for call in calls], [want, want])
        if not is_sanitized():
            self.assertLess(self.daemon.rss_kb(), 64 * KIB)

    def test_big_results_whose_id_comes_last(self):
        self.daemon.stop()
        self.start({"demo": demo("--id-last")})
        for c in self.every_way_in():
            self.assertEqual(digest(c.tool("big", {"bytes": 20 * MIB}, id="last")), digest(big_text(20 * MIB)))

    def test_big_requests(self):
        text = "\u00e9" * (MIB // 2)
        for c in self.every_way_in():
            self.assertEqual(digest(c.tool("echo", {"text": text})), digest(text))

    def test_big_results_do_not_hold_up_small_ones_of_others(self):
        a, b = self.line(), self.line()
        call = a.start_tool("big", {"bytes": 40 * MIB})
        for i in range(50):
            self.assertEqual(b.tool("echo", {"text": str(i)}), str(i))
        self.assertEqual(len(call.text()), 40 * MIB)

    def test_a_client_that_leaves_in_the_middle_of_a_big_result(self):
        for way in (self.http, self.sse, self.line):
            for _ in range(3):
                c = way()
                c.start_tool("big", {"bytes": 20 * MIB})
                if way == self.http:
                    c.wait(lambda: c.streams[0].status, "the first bytes")
                c.close()
                self.clients.remove(c)
        self.assertEqual(self.http().tool("echo", {"text": "x"}), "x")

    def test_an_invalid_big_result_is_not_delivered_as_a_result(self):
        c = self.http("fake")
        bad = '{"jsonrpc":"2.0","id":$ID,"result":{"content":[{"type":"text","text":"%s' % ("x" * MIB)
        for end in ('"}]}', '\x01"}]}}', '"}]}}}', '\udcff"}]}}'):
            call = c.start_tool("emit", {"lines": [bad + end, '{"jsonrpc":"2.0","id":$ID,"result":{"content":[]}}']})
            m = call.response()
            if "result" in m:
                self.assertEqual(m["result"], {"content": []})
            else:
                self.assertEqual(m["error"]["data"]["reason"], "upstream_protocol")

    def test_memory_returns_after_big_results(self):
        c = self.http()
        c.tool("big", {"bytes": MIB})
        before = self.daemon.rss_kb()
        for _ in range(20):
            c.tool("big", {"bytes": 20 * MIB})
        if not is_sanitized():
            self.assertLess(self.daemon.rss_kb(), before + 8 * KIB)

    def test_a_long_list(self):
        self.daemon.stop()
        tools = [{"name": "tool %d" % i, "inputSchema": {"type": "object"}} for i in range(1000)]
        self.start({"fake": fake("--set-result", "tools/list", json.dumps({"tools": tools}))})
        for c in self.every_way_in("fake"):
            self.assertEqual(c.request("tools/list")["tools"], tools)
