"""Messages of revision 2026-07-28: answered as a server that knows only the older ones, so that clients of both eras
fall back by themselves (protocol.md 2.3, 2.11)."""
import json

from harness import LATEST, DaemonCase, demo, fake

MODERN = "2026-07-28"
P = "io.modelcontextprotocol/"
ENVELOPE = {P + "protocolVersion": MODERN, P + "clientInfo": {"name": "t", "version": "1"}, P + "clientCapabilities": {}}


def enveloped(method, id="server-discover-probe-0", **params):
    return {"jsonrpc": "2.0", "id": id, "method": method, "params": {**params, "_meta": ENVELOPE}}


def verdict(status, body):
    """What the clients conclude from an answer to server/discover over HTTP: 'modern', 'legacy' or 'broken'."""
    if status in (401, 403, 408, 429) or status >= 500:
        return "broken"
    if status == 200:
        if "result" in body:
            return "modern" if MODERN in body["result"].get("supportedVersions", []) else "legacy"
        if body["error"]["code"] == -32022 and MODERN in (body["error"].get("data") or {}).get("supported", []):
            return "modern"
        return "legacy"
    return "legacy" if 400 <= status < 500 else "broken"


class ModernTest(DaemonCase):
    servers = {"demo": demo(), "fake": fake()}
    HEADERS = [("MCP-Protocol-Version", MODERN), ("Mcp-Method", "server/discover")]

    def probe(self, message=None, headers=None, path="/mcp/demo"):
        r = self.exchange(json.dumps(message or enveloped("server/discover")).encode(), path=path,
                          headers=self.HEADERS if headers is None else headers)
        return r, json.loads(bytes(r.body))

    def test_discover_means_legacy(self):
        r, body = self.probe()
        self.assertEqual(verdict(r.status, body), "legacy")
        self.assertIn("error", body)
        self.assertNotIn(body["error"]["code"], (-32020, -32021))
        self.assertEqual(body.get("id"), "server-discover-probe-0")
        self.assertIsNone(r.headers.get("Mcp-Session-Id"))

    def test_a_dual_era_client_falls_back_and_works(self):
        self.probe()
        c = self.http()
        self.assertEqual((c.version, c.tool("echo", {"text": "x"})), (LATEST, "x"))

    def test_other_enveloped_requests_are_refused_in_a_way_that_means_legacy(self):
        for method in ("tools/list", "tools/call", "subscriptions/listen", "initialize", "ping"):
            with self.subTest(method):
                r, body = self.probe(enveloped(method, name="echo"), [("MCP-Protocol-Version", MODERN), ("Mcp-Method", method)])
                self.assertIn("error", body)
                self.assertEqual(verdict(r.status, body), "legacy")
                self.assertIsNone(r.headers.get("Mcp-Session-Id"))

    def test_nothing_modern_reaches_a_server(self):
        for method in ("server/discover", "tools/call", "tools/list"):
            self.probe(enveloped(method, name="record", arguments={"nonce": "n"}), path="/mcp/fake",
                       headers=[("MCP-Protocol-Version", MODERN), ("Mcp-Method", method)])
        c = self.http("fake")
        c.tool("record", {"nonce": "marker"})
        methods = [(e["message"].get("method"), e["message"].get("params", {}).get("arguments"))
                   for e in self.daemon.ledger("fake", "recv")]
        self.assertEqual([m for m in methods if m[0] not in ("initialize", "notifications/initialized")],
                         [("tools/call", {"nonce": "marker"})])

    def test_enveloped_notifications_are_taken_and_dropped(self):
        message = {"jsonrpc": "2.0", "method": "notifications/cancelled",
                   "params": {"requestId": "listen:0", "_meta": ENVELOPE}}
        r = self.exchange(json.dumps(message).encode(), headers=[("MCP-Protocol-Version", MODERN)])
        self.assertIn(r.status, (202, 400))

    def test_a_modern_header_without_an_envelope(self):
        r, body = self.probe({"jsonrpc": "2.0", "id": 1, "method": "tools/list"}, [("MCP-Protocol-Version", MODERN)])
        self.assertEqual(r.status, 400)
        self.assertIn("error", body)

    def test_a_plain_initialize_that_asks_for_the_modern_revision(self):
        c = self.http(version=MODERN)
        self.assertEqual(c.version, LATEST)

    def test_discover_on_lines_and_sse(self):
        for way in (self.line, self.sse):
            c = way(initialize=False)
            c._send(enveloped("server/discover", id=77))
            c.wait(lambda: "77" in c.responses, "an answer to discover")
            self.assertIn("error", c.responses.pop("77")[0])
            c.notify("notifications/roots/list_changed")
            c.initialize()
            self.assertEqual(c.tool("echo", {"text": "x"}), "x")

    def test_a_probe_of_a_dead_server_costs_no_wait(self):
        self.daemon.stop()
        self.start({"demo": {"command": "/nonexistent/program"}})
        self.daemon.allow_error("demo")
        r, _ = self.probe()
        self.assertIn(r.status, (200, 400, 404, 503))
