"""Lists of definitions that a server gives: too long ones, and ones that change (security.md S18, S20)."""
import json
import os
import tempfile

from harness import DaemonCase, RpcError, SINGLE, demo, fake

MIB = 1 << 20


class DefinitionsTest(DaemonCase):
    servers = {"demo": demo()}
    config = {"resilience": SINGLE, "limits": {"max_response_bytes": 2 * MIB, "stream_above": "64KiB"}}

    def test_S18_a_list_beyond_the_limit_is_refused_and_the_server_stays(self):
        self.daemon.stop()
        tools = [{"name": "tool-%d" % i, "inputSchema": {"type": "object"}} for i in range(100000)]
        self.start({"fake": fake("--set-result", "tools/list", "@" + self.file(json.dumps({"tools": tools})))})
        for c in self.every_way_in("fake"):
            with self.assertRaises(RpcError) as caught:
                c.request("tools/list")
            self.assert_error(caught.exception, -32603, "response_too_large", "maybe", "fake")
            self.assertEqual(c.request("ping"), {})
            self.assertEqual(self.daemon.log.matching("connection lost"), [])

    def test_S20_a_changed_definition_is_noticed_with_both_hashes(self):
        c = self.http()
        c.request("tools/list")
        c.request("tools/list")
        self.assertEqual(self.daemon.log.matching("tool definitions have changed"), [])
        c.tool("change", {"what": "tools"})
        c.request("tools/list")
        _, m = self.daemon.log.wait(r"server=demo .*tool definitions have changed: sha256 (\w{32}) -> (\w{32})$")
        self.assertNotEqual(m.group(1), m.group(2))
        c.request("tools/list")
        self.assertEqual(len(self.daemon.log.matching("tool definitions have changed")), 1)

    def file(self, text):
        fd, path = tempfile.mkstemp(prefix="mcpool-test-")
        self.addCleanup(os.unlink, path)
        with open(fd, "w", encoding="utf-8") as f:
            f.write(text)
        return path
