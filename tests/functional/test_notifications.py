"""What servers tell: log messages, updates and list changes reach who asked for them and nobody else
(protocol.md 1.4, 3.9; security.md S17)."""

from harness import SINGLE, DaemonCase, demo, fake

URI = "demo://note/1"


def log_line(level, data="x"):
    return {"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": level, "data": data}}


class LogLevelTest(DaemonCase):
    servers = {"demo": demo(), "fake": fake()}
    config = {"resilience": SINGLE}

    def test_without_a_level_the_server_decides(self):
        for c in self.every_way_in():
            c.tool("log", {"level": "debug", "text": "no"})  # the demo server begins with info
            c.tool("log", {"level": "info", "text": "yes"})
            self.assertEqual([m["params"]["data"] for m in c.taken("notifications/message")], ["yes"])

    def test_messages_obey_the_level_of_the_client(self):
        for c in self.every_way_in():
            self.assertEqual(c.request("logging/setLevel", {"level": "error"}), {})
            for level in ("debug", "warning", "error", "emergency"):
                c.tool("log", {"level": level, "text": level})
            self.assertEqual([m["params"]["data"] for m in c.taken("notifications/message")], ["error", "emergency"])

    def test_the_server_hears_the_most_talkative_level(self):
        a, b = self.http("fake"), self.http("fake")
        def levels():
            return [m["params"]["level"] for m in self.daemon.received("fake", "logging/setLevel")]
        for c, level in ((a, "error"), (b, "warning"), (a, "debug"), (a, "notice"), (b, "warning")):
            self.assertEqual(c.request("logging/setLevel", {"level": level}), {})
            c.tool("record", {"nonce": "n"})  # whatever was sent before has arrived now
        self.assertEqual(levels(), ["error", "warning", "debug", "notice"])
        a.delete()
        b.tool("record", {"nonce": "n"})
        self.assertIn(levels()[4:], ([], ["warning"]))

    def test_each_client_is_filtered_by_its_own_level(self):
        a, b = self.line("fake"), self.line("fake")
        a.request("logging/setLevel", {"level": "debug"})
        b.request("logging/setLevel", {"level": "error"})
        for c, want in ((a, ["debug", "error"]), (b, ["error"])):
            self.emit(c, log_line("debug", "debug"), log_line("error", "error"))
            c.barrier()
            self.assertEqual([m["params"]["data"] for m in c.taken("notifications/message")], want)

    def test_a_message_that_two_calls_may_have_caused_goes_to_neither(self):
        a, b = self.line("fake"), self.line("fake")
        for c in (a, b):
            c.request("logging/setLevel", {"level": "debug"})
        self.hold(a)
        self.emit(b, log_line("error", "whose?"))
        a.barrier()
        b.barrier()
        self.assertEqual((a.taken("notifications/message"), b.taken("notifications/message")), ([], []))

    def test_messages_travel_on_the_stream_of_the_call(self):
        c = self.http()
        c.open_get()
        c.request("logging/setLevel", {"level": "debug"})
        call = c.start_tool("log", {"level": "info", "text": "x"})
        call.text()
        self.assertIs(c.wait_message("notifications/message").where, call.post)

    def test_unknown_levels(self):
        for c in self.every_way_in():
            for level in ("loud", "", "ERROR", 5, None):
                self.assertEqual(c.start("logging/setLevel", {"level": level}).error().code, -32602)
            self.assertEqual(c.start("logging/setLevel", {}).error().code, -32602)

    def test_servers_without_logging(self):
        self.daemon.stop()
        self.start({"fake": fake("--capabilities", '{"tools":{}}')})
        c = self.http("fake")
        self.assertEqual(c.start("logging/setLevel", {"level": "debug"}).error().code, -32601)
        self.assertEqual(self.daemon.received("fake", "logging/setLevel"), [])


class SubscriptionTest(DaemonCase):
    servers = {"demo": demo(), "fake": fake()}
    config = {"resilience": SINGLE}

    def updated(self, uri):
        return {"jsonrpc": "2.0", "method": "notifications/resources/updated", "params": {"uri": uri}}

    def uris(self, c):
        c.barrier()
        return [m["params"]["uri"] for m in c.taken("notifications/resources/updated")]

    def test_updates_reach_the_subscriber(self):
        for c in self.every_way_in():
            if hasattr(c, "open_get"):
                c.open_get()
            c.tool("touch", {"uri": URI})
            self.assertEqual(c.request("resources/subscribe", {"uri": URI}), {})
            c.tool("touch", {"uri": URI})
            self.assertEqual(c.wait_message("notifications/resources/updated")["params"]["uri"], URI)
            self.assertEqual(c.request("resources/unsubscribe", {"uri": URI}), {})
            self.assertEqual(c.tool("touch", {"uri": URI}), "nobody is subscribed")
            c.close()

    def test_subscriptions_are_counted(self):
        clients = [self.line("fake") for _ in range(3)]
        for c in clients:
            c.request("resources/subscribe", {"uri": "x://1"})
            c.request("resources/subscribe", {"uri": "x://1"})
        clients[0].request("resources/unsubscribe", {"uri": "x://1"})
        clients[1].request("resources/unsubscribe", {"uri": "x://1"})
        clients[2].tool("record", {"nonce": "n"})
        self.assertEqual(len(self.daemon.received("fake", "resources/subscribe")), 1)
        self.assertEqual(self.daemon.received("fake", "resources/unsubscribe"), [])
        self.emit(clients[0], self.updated("x://1"))
        self.assertEqual([self.uris(c) for c in clients], [[], [], ["x://1"]])
        clients[2].request("resources/unsubscribe", {"uri": "x://1"})
        clients[2].tool("record", {"nonce": "n"})
        self.assertEqual([m["params"] for m in self.daemon.received("fake", "resources/unsubscribe")], [{"uri": "x://1"}])

    def test_a_client_that_leaves_gives_its_subscriptions_back(self):
        leaves, stays = self.line("fake"), self.line("fake")
        for c in (leaves, stays):
            c.request("resources/subscribe", {"uri": "x://both"})
        leaves.request("resources/subscribe", {"uri": "x://one"})
        leaves.sock.close()
        got = self.daemon.wait_received("fake", "resources/unsubscribe")
        self.assertEqual([m["params"]["uri"] for m in got], ["x://one"])
        self.emit(stays, self.updated("x://both"))
        self.assertEqual(self.uris(stays), ["x://both"])

    def test_parts_of_a_subscribed_resource(self):
        c = self.line("fake")
        c.request("resources/subscribe", {"uri": "x://dir/"})
        self.emit(c, self.updated("x://dir/a"), self.updated("x://dirt"), self.updated("x://other"), self.updated("x://dir/"))
        self.assertEqual(self.uris(c), ["x://dir/a", "x://dir/"])

    def test_a_subscription_that_the_server_refuses(self):
        c = self.http()
        self.assertEqual(c.start("resources/subscribe", {"uri": "demo://nope"}).error().code, -32002)
        self.assertEqual(c.start("resources/subscribe", {}).error().code, -32602)
        self.assertEqual(c.request("resources/subscribe", {"uri": URI}), {})

    def test_concurrent_first_subscriptions_share_one_request(self):
        self.daemon.stop()
        self.start({"fake": fake("--unanswered", "resources/subscribe")},
                   {"resilience": {**SINGLE, "operation_timeout": 1}})
        a, b = self.line("fake"), self.line("fake")
        calls = [c.start("resources/subscribe", {"uri": "x://1"}) for c in (a, b)]
        for call in calls:
            self.assertEqual(call.error().code, -32603)
        self.assertEqual(len(self.daemon.received("fake", "resources/subscribe")), 1)


class ListChangedTest(DaemonCase):
    servers = {"demo": demo(), "fake": fake()}
    config = {"resilience": SINGLE}

    def test_everybody_is_told(self):
        for way in (self.http, self.sse, self.line):
            clients = [way() for _ in range(4)]
            for c in clients:
                if hasattr(c, "open_get"):
                    c.open_get()
            before = clients[1].request("tools/list")["tools"]
            clients[0].tool("change", {"what": "tools"})
            for c in clients:
                c.wait_message("notifications/tools/list_changed")
            self.assertNotEqual(clients[1].request("tools/list")["tools"], before)
            clients[0].tool("change", {"what": "tools"})

    def test_S17_a_storm_becomes_a_few(self):
        for way in (self.sse, self.line):
            clients = [way("fake") for _ in range(3)]
            clients[0].tool("storm", {"count": 10000})
            for c in clients:
                c.wait_message("notifications/tools/list_changed")
                c.barrier()
                self.assertLess(len(c.taken("notifications/tools/list_changed")), 20)
            # The last change must not get lost: it is announced after the storm.
            clients[1].tool("storm", {"count": 1})
            for c in clients:
                c.wait_message("notifications/tools/list_changed")

    def test_S17_a_storm_over_http(self):
        c, other = self.http("fake"), self.http("fake")
        c.open_get()
        other.tool("storm", {"count": 10000})
        c.wait_message("notifications/tools/list_changed")
        c.barrier()
        self.assertLess(len(c.taken("notifications/tools/list_changed")), 20)

    def test_kinds_are_not_mixed_up(self):
        c = self.line("fake")
        for what in ("tools", "prompts", "resources"):
            self.emit(c, {"jsonrpc": "2.0", "method": "notifications/%s/list_changed" % what})
            c.wait_message("notifications/%s/list_changed" % what)
        self.assertEqual(c.inbox, [])

    def test_what_was_not_declared_is_not_announced(self):
        self.daemon.stop()
        self.start({"fake": fake("--capabilities", '{"tools":{},"prompts":{"listChanged":true}}')}, {"resilience": SINGLE})
        c = self.line("fake")
        self.emit(c, {"jsonrpc": "2.0", "method": "notifications/tools/list_changed"},
                  {"jsonrpc": "2.0", "method": "notifications/prompts/list_changed"})
        c.wait_message("notifications/prompts/list_changed")
        c.barrier()
        self.assertEqual(c.inbox, [])

    def test_other_notifications_of_a_shared_server_reach_nobody(self):
        a, b = self.line("fake"), self.line("fake")
        self.emit(a, {"jsonrpc": "2.0", "method": "notifications/vendor", "params": {"secret": 1}},
                  {"jsonrpc": "2.0", "method": "notifications/initialized"},
                  {"jsonrpc": "2.0", "method": "notifications/elicitation/complete", "params": {"elicitationId": "e"}})
        a.barrier()
        b.barrier()
        self.assertEqual((a.inbox, b.inbox), ([], []))

    def test_changes_before_the_handshake_are_tolerated(self):
        self.daemon.stop()
        self.start({"fake": fake("--early-list-changed", "--print-first", "Server v1 starting ...")})
        self.assertEqual(self.http("fake").tool("record", {"nonce": "n"}), "n")
