"""What becomes of calls, sessions, subscriptions and lists when a server is down (resilience.md 1, 4 and 5)."""
import json
import os
import signal
import time

from harness import fake, poll_until
from resilience import DEAD, ResilienceCase

HARMLESS = {"tools": [{"name": "hold", "inputSchema": {"type": "object"}, "annotations": {"readOnlyHint": True}},
                      {"name": "later", "inputSchema": {"type": "object"}, "annotations": {"idempotentHint": True}},
                      {"name": "late", "inputSchema": {"type": "object"}, "annotations": {"readOnlyHint": False}},
                      {"name": "ask", "inputSchema": {"type": "object"}, "annotations": {"readOnlyHint": True}},
                      {"name": "record", "inputSchema": {"type": "object"}}]}


class TimeTest(ResilienceCase):
    def test_call_timeout_is_how_long_a_call_may_take_at_its_server(self):
        self.begin(call_timeout=0.4)
        for c in self.every_way_in("fake"):
            call, message = self.hold(c, key=c.__class__.__name__)
            self.assert_error(call.error(), -32603, "timeout", "maybe", "fake")
            poll_until(lambda: message["id"] in [m["params"]["requestId"] for m in
                       self.daemon.received("fake", "notifications/cancelled")], "cancellation at the server")
        self.assertEqual(self.metric("mcpool_call_failures_total", reason="timeout"), 3)
        self.assertEqual(self.status("fake")["calls"]["failed"], 3)
        self.assertEqual(self.status("fake")["metrics"]["total_lost"], 0)  # it answered pings, so it was only slow

    def test_call_timeout_of_one_call_beside_others_that_are_answered_is_no_failure_of_the_server(self):
        self.begin(call_timeout=0.4, circuit_breaker_threshold=1)
        c = self.http("fake")
        call, _ = self.hold(c)
        self.assertEqual(c.tool("record", {"nonce": "n"}), "n")
        self.assert_error(call.error(), -32603, "timeout", "maybe", "fake")
        self.daemon.wait_received("fake", "notifications/cancelled")
        self.assertEqual(c.tool("record", {"nonce": "n"}), "n")
        self.assertEqual(self.daemon.received("fake", "ping"), [])
        s = self.status("fake")
        self.assertEqual((s["circuit_breaker"]["state"], s["circuit_breaker"]["failure_count"]), ("closed", 0))
        self.assertIs(s["pools"][0]["slots"][0]["suspect"], False)

    def test_call_timeout_starts_again_with_progress(self):
        self.begin(call_timeout=1)
        c = self.http("fake")
        self.assertEqual(c.tool("later", {"nonce": "n", "seconds": 1.6, "steps": 8}, token="t"), "n")
        values = [m["params"]["progress"] for m in c.taken("notifications/progress")]
        self.assertEqual(values, sorted(set(values)))
        self.assertGreaterEqual(len(values), 4)
        self.assertEqual((self.metric("mcpool_call_failures_total", reason="timeout"), len(self.pids())), (0, 1))

    def test_call_timeout_does_not_count_the_time_in_the_queue(self):
        self.begin(call_timeout=0.5, max_backoff_delay=0.2)
        c = self.http("fake")
        self.run_down(c)
        call = c.start_tool("record", {"nonce": "n"})
        self.wait_lines(r"attempt \d+ failed", 6)  # 0.1 + 4 × 0.2 s
        self.assertEqual(self.status("fake")["calls"]["waiting"], 1)
        self.mood()
        self.assertEqual(call.text(), "n")
        self.assertEqual(self.runs("n"), 1)
        self.assertGreater(self.metric("mcpool_queue_wait_seconds_sum", outcome="sent"), 0.5)

    def test_queue_timeout_refuses_what_found_no_connection(self):
        self.begin(queue_timeout=0.3, limits={"max_in_flight_per_connection": 1})
        c = self.http("fake")
        held, _ = self.hold(c)
        error = c.start_tool("record", {"nonce": "refused"}).error()
        self.assert_error(error, -32603, "overloaded", "no", "fake")
        self.assertIs(error.data["retryable"], True)
        c.cancel(held)
        self.assertEqual(c.tool("record", {"nonce": "n"}), "n")
        self.assertEqual((self.runs("refused"), self.runs("n")), (0, 1))
        self.assertEqual(self.metric("mcpool_call_failures_total", reason="overloaded"), 1)

    def test_queue_timeout_refuses_what_waits_for_a_server_that_is_down(self):
        self.begin(queue_timeout=0.5, max_backoff_delay=0.2)
        c = self.http("fake")
        self.run_down(c)
        error = c.start_tool("record", {"nonce": "refused"}).error()
        self.assert_error(error, -32603, "upstream_unavailable", "no", "fake")
        self.assertIs(error.data["retryable"], True)
        self.assertGreater(error.data.get("retryAfterMs", 1), 0)  # not known while an attempt is under way
        self.assertEqual(self.metric("mcpool_call_failures_total", reason="upstream_unavailable"), 1)
        self.assertEqual(self.status("fake")["calls"]["waiting"], 0)
        self.mood()
        self.ready()
        self.assertEqual((c.tool("record", {"nonce": "n"}), self.runs("refused")), ("n", 0))

    def test_queue_timeout_is_not_waited_for_without_hope(self):
        """The next attempt comes after the end of every patience: refused at once, with the time of that attempt."""
        self.begin(queue_timeout="10m", backoff_base=1200, max_backoff_delay=1200)
        c = self.http("fake")
        self.run_down(c)
        self.waits(2)
        error = c.start_tool("record", {"nonce": "refused"}).error()
        self.assert_error(error, -32603, "upstream_unavailable", "no", "fake")
        self.assertTrue(600000 < error.data["retryAfterMs"] <= 1200000, error)

    def test_queue_length_bounds_how_many_wait(self):
        self.begin(limits={"max_in_flight_per_connection": 1, "queue_length": 2})
        c = self.http("fake")
        held, _ = self.hold(c)
        waiting = [c.start_tool("record", {"nonce": "w%d" % i}) for i in range(2)]
        self.when("fake", lambda s: s["queue"]["length"] == 2, "queue")
        self.assert_error(c.start_tool("record", {"nonce": "refused"}).error(), -32603, "overloaded", "no", "fake")
        self.assertEqual(self.metric("mcpool_calls_waiting"), 2)
        c.cancel(held)
        self.assertEqual([w.text() for w in waiting], ["w0", "w1"])
        self.assertEqual((self.runs("refused"), self.metric("mcpool_call_failures_total", reason="overloaded")), (0, 1))

    def test_queue_serves_sessions_in_turn(self):
        self.begin(limits={"max_in_flight_per_connection": 1})
        a, b = self.http("fake"), self.http("fake")
        held, _ = self.hold(a)
        calls = [a.start_tool("record", {"nonce": "a%d" % i}) for i in range(3)]
        self.when("fake", lambda s: s["queue"]["length"] == 3, "queue")
        calls.append(b.start_tool("record", {"nonce": "b"}))
        self.when("fake", lambda s: s["queue"]["length"] == 4, "queue")
        a.cancel(held)
        for call in calls:
            call.text()
        ran = [e["nonce"] for e in self.daemon.ledger("fake", "run", tool="record")]
        self.assertEqual(ran, ["a0", "b", "a1", "a2"])

    def test_queue_bytes_bound_how_much_waits(self):
        self.begin(limits={"max_in_flight_per_connection": 1, "queue_bytes": "4KiB"})
        c = self.http("fake")
        held, _ = self.hold(c)
        first = c.start_tool("record", {"nonce": "1" * 3000})
        s = self.when("fake", lambda s: s["queue"]["length"] == 1, "queue")
        self.assertTrue(3000 < s["queue"]["bytes"] < 4096, s["queue"])
        self.assert_error(c.start_tool("record", {"nonce": "2" * 3000}).error(), -32603, "overloaded", "no", "fake")
        small = c.start_tool("record", {"nonce": "small"})
        c.cancel(held)
        self.assertEqual((first.text(), small.text()), ("1" * 3000, "small"))
        held, _ = self.hold(c)
        alone = c.start_tool("record", {"nonce": "3" * 9000})  # larger than all of it, but there is nobody else
        self.when("fake", lambda s: s["queue"]["bytes"] > 9000, "queue")
        c.cancel(held)
        self.assertEqual(alone.text(), "3" * 9000)
        self.assertEqual(self.runs("2" * 3000), 0)
        self.assertEqual(self.metric("mcpool_call_failures_total", reason="overloaded"), 1)


class ReplayCase(ResilienceCase):
    def mute(self, *methods):
        """Requests with these methods are read and not answered."""
        return [word for m in methods for word in ("--unanswered", m)]

    def begin_mute(self, *methods, **rules):
        self.mood(*self.mute(*methods))
        self.begin(**rules)

    def start_all(self, client, *requests):
        """All of them are at the server when this returns."""
        before = {m: len(self.daemon.received("fake", m)) for m, _ in requests}
        calls = [client.start(m, params) for m, params in requests]
        for m, n in before.items():
            self.daemon.wait_received("fake", m, n + len([r for r in requests if r[0] == m]))
        return calls

    def replay(self):
        r = self.status("fake")["replay"]
        self.assertEqual(self.metric("mcpool_calls_replayed_total"), r["replayed"])
        self.assertEqual(self.metric("mcpool_replays_denied_total"), r["denied"])
        return r

    def reads(self, n=1):
        return [("resources/read", {"uri": "x://%d" % i}) for i in range(n)]


class ReplayTest(ReplayCase):
    def test_replay_of_reads_sends_them_once_more(self):
        """Two executions at most, one answer."""
        requests = [*self.reads(), ("tools/list", {}), ("completion/complete", {"ref": {}, "argument": {}})]
        for way in (self.http, self.sse, self.line):
            self.begin_mute(*(m for m, _ in requests))
            c = way("fake")
            read, tools, completion = self.start_all(c, *requests)
            self.mood()
            asked = [e["pid"] for e in self.daemon.ledger("fake", "recv") if e["message"]["method"] == "resources/read"]
            os.kill(asked[0], signal.SIGKILL)
            self.assertEqual(read.result()["contents"][0]["uri"], "x://0")
            self.assertEqual([t["name"] for t in tools.result()["tools"]], ["record"])
            self.assertEqual(completion.error().code, -32601)  # an error of the server is an answer
            c.barrier()
            self.assertEqual(c.responses, {})
            self.assertEqual([len(self.daemon.received("fake", m)) for m, _ in requests], [2, 2, 2])
            self.assertEqual((self.replay()["replayed"], self.replay()["budget_left"]), (3, 7))
            self.assertEqual(len(self.lines("connection lost after")), 1)
            c.close()
            self.daemon.stop()

    def test_replay_happens_once(self):
        self.begin_mute("resources/read")
        c = self.http("fake")
        read, = self.start_all(c, *self.reads())
        self.shoot()
        self.daemon.wait_received("fake", "resources/read", 2)
        self.shoot()
        self.assert_error(read.error(), -32603, "upstream_lost", "maybe", "fake")
        self.assertEqual(c.tool("record", {"nonce": "n"}), "n")
        self.assertEqual(len(self.daemon.received("fake", "resources/read")), 2)
        self.assertEqual(self.replay()["replayed"], 1)

    def test_replay_has_the_time_that_the_first_one_had(self):
        """A call at another server tells the time: 2 s from the start are over before its 2.6 s, 2 s from the kill are not."""
        self.mood(*self.mute("resources/read"))
        self.begin(servers={"fake": self.moody(), "clock": fake(resilience={"call_timeout": 2.6})}, call_timeout=2)
        c, clock = self.http("fake"), self.http("clock")
        read, = self.start_all(c, *self.reads())
        tick, _ = self.hold(clock, server="clock")
        time.sleep(1)
        self.shoot()
        self.assert_error(read.error(), -32603, "timeout", "maybe", "fake")
        self.assertEqual(self.status("clock")["calls"]["running"], 1)
        self.assertEqual((self.replay()["replayed"], len(self.daemon.received("fake", "resources/read"))), (1, 2))
        clock.cancel(tick)

    def test_replay_that_finds_no_connection_may_have_run(self):
        self.begin_mute("resources/read", queue_timeout=0.3, max_backoff_delay=0.1)
        c = self.http("fake")
        read, = self.start_all(c, *self.reads())
        self.mood(*DEAD)
        self.shoot()
        error = read.error()
        self.assert_error(error, -32603, delivered="maybe", server="fake")
        self.assertIs(error.data["retryable"], False)
        self.assertEqual(len(self.daemon.received("fake", "resources/read")), 1)

    def test_replay_of_reads_leaves_calls_of_tools_alone(self):
        self.begin("--set-result", "tools/list", json.dumps(HARMLESS))
        c = self.http("fake")
        c.request("tools/list")
        call, _ = self.hold(c)
        self.shoot()
        self.assert_error(call.error(), -32603, "upstream_lost", "maybe", "fake")
        self.assertEqual(c.tool("record", {"nonce": "n"}), "n")
        self.assertEqual((self.runs("k"), self.replay()["replayed"]), (1, 0))

    def test_replay_of_annotated_tools_sends_harmless_calls_once_more(self):
        self.begin("--set-result", "tools/list", json.dumps(HARMLESS), entry={"replay": "annotated"})
        c = self.http("fake")
        c.request("tools/list")
        harmless, harmful = [c.start_tool(n, {"key": "k", "nonce": n}) for n in ("hold", "late")]
        moved_on = c.start_tool("later", {"nonce": "later", "seconds": 60, "steps": 600}, token="t")
        c.wait_message("notifications/progress")
        for n in ("hold", "late", "later"):
            self.daemon.wait_ledger("fake", "run", nonce=n)
        self.shoot()
        self.assert_error(harmful.error(), -32603, "upstream_lost", "maybe", "fake")
        self.assert_error(moved_on.error(), -32603, "upstream_lost", "maybe", "fake")  # it had shown progress
        poll_until(lambda: self.runs("hold") == 2, "the harmless call to run again")
        self.release(c)
        self.assertEqual(harmless.text(), "released")
        c.barrier()
        self.assertEqual((c.responses, self.runs("hold"), self.runs("late"), self.runs("later")), ({}, 2, 1, 1))
        self.assertEqual((self.replay()["replayed"], self.replay()["mode"]), (1, "annotated"))

    def test_replay_of_annotated_tools_needs_their_definitions(self):
        self.begin("--set-result", "tools/list", json.dumps(HARMLESS), entry={"replay": "annotated"})
        call, _ = self.hold(self.http("fake"))  # nobody has asked for the list
        self.shoot()
        self.assert_error(call.error(), -32603, "upstream_lost", "maybe", "fake")
        self.assertEqual((self.runs("k"), self.replay()["replayed"]), (1, 0))

    def test_replay_leaves_alone_what_continues_a_conversation(self):
        self.mood(*self.mute("resources/read"))
        self.begin("--set-result", "tools/list", json.dumps(HARMLESS), entry={"replay": "annotated"})
        c = self.line("fake", capabilities={"elicitation": {}})
        c.request("tools/list")
        calls = self.start_all(c, ("resources/read", {"uri": "x://1", "requestState": "s"}),
                               ("resources/read", {"uri": "x://2", "inputResponses": {}}))
        calls.append(c.start_tool("ask", {"method": "elicitation/create", "params": {"message": "?"}, "nonce": "asked"}))
        c.wait_message("elicitation/create")
        self.mood()
        os.kill(self.daemon.ledger("fake", "run", nonce="asked")[0]["pid"], signal.SIGKILL)
        for call in calls:
            self.assert_error(call.error(), -32603, "upstream_lost", "maybe", "fake")
        self.assertEqual((len(self.daemon.received("fake", "resources/read")), self.runs("asked")), (2, 1))
        self.assertEqual(self.replay()["replayed"], 0)

    def test_replay_off_sends_nothing_again(self):
        self.begin_mute("resources/read", entry={"replay": "off"})
        c = self.http("fake")
        read, = self.start_all(c, *self.reads())
        self.mood()
        self.shoot()
        self.assert_error(read.error(), -32603, "upstream_lost", "maybe", "fake")
        self.assertEqual(c.tool("record", {"nonce": "n"}), "n")
        self.assertEqual(len(self.daemon.received("fake", "resources/read")), 1)
        self.assertEqual((self.replay()["mode"], self.replay()["replayed"]), ("off", 0))

    def test_replay_budget_bounds_them_and_is_earned_back(self):
        self.begin_mute("resources/read", replay_budget=2)
        c = self.http("fake")
        calls = self.start_all(c, *self.reads(3))
        self.mood()
        self.shoot()
        answers = [call.response() for call in calls]
        denied = [a["error"]["data"] for a in answers if "error" in a]
        self.assertEqual([(d["reason"], d["delivered"]) for d in denied], [("upstream_lost", "maybe")])
        self.assertEqual(len(self.daemon.received("fake", "resources/read")), 5)
        r = self.replay()
        self.assertEqual((r["budget"], r["budget_left"], r["replayed"], r["denied"]), (2, 0, 2, 1))
        while self.replay()["budget_left"] == 0:
            self.assertLess(len(self.daemon.ledger("fake", "run")), 10)
            c.tool("record", {"nonce": "n"})
        self.assertEqual(self.replay()["budget_left"], 1)

    def test_replay_is_not_needed_for_what_was_never_read(self):
        """A server that does not read dies: what it left in its pipe goes to the next one, and ran once."""
        self.begin(entry={"replay": "off"}, replay_budget=0)
        c = self.http("fake")
        c.tool("report")
        self.stop_process()
        calls = [c.start_tool("record", {"nonce": "n%d" % i}) for i in range(5)]
        self.when("fake", lambda s: s["calls"]["running"] == 5, "five calls")
        self.shoot()
        self.assertEqual([call.text() for call in calls], ["n%d" % i for i in range(5)])
        self.assertEqual([self.runs("n%d" % i) for i in range(5)], [1] * 5)
        self.assertEqual(self.metric("mcpool_calls_moved_total"), 5)
        self.assertEqual((self.status("fake")["calls"]["moved"], self.replay()["replayed"]), (5, 0))


class SessionTest(ResilienceCase):
    """What clients have asked for survives the server that they have asked (section 5)."""
    URIS = ["x://1", "x://2"]

    def listening(self, way):
        c = way("fake")
        if hasattr(c, "open_get"):
            c.open_get()
        return c

    def successor(self, client):
        """Kills its process; returns what its successor has read, method by method, when it is in use."""
        before = self.status("fake")["metrics"]["successful_recoveries"]
        self.kill(client)
        self.when("fake", lambda s: s["metrics"]["successful_recoveries"] == before + 1, "successor")
        self.assertEqual(client.tool("record", {"nonce": "n"}), "n")
        return self.daemon.ledger("fake", "run", nonce="n")[-1]["pid"]

    def read_by(self, pid, method):
        return [e["message"].get("params") for e in self.daemon.ledger("fake", "recv", pid=pid)
                if e["message"].get("method") == method]

    def test_level_and_subscriptions_are_made_again_and_each_subscriber_hears_of_it(self):
        self.begin()
        for way in (self.http, self.sse, self.line):
            c = self.listening(way)
            c.request("logging/setLevel", {"level": "warning"})
            for uri in (*self.URIS, "x://gone"):
                c.request("resources/subscribe", {"uri": uri})
            c.request("resources/unsubscribe", {"uri": "x://gone"})
            pid = self.successor(c)
            updated = [c.wait_message("notifications/resources/updated")["params"]["uri"] for _ in self.URIS]
            self.assertEqual(sorted(updated), self.URIS)
            self.assertEqual(sorted(p["uri"] for p in self.read_by(pid, "resources/subscribe")), self.URIS)
            self.assertEqual(self.read_by(pid, "logging/setLevel"), [{"level": "warning"}])
            c.barrier()
            self.assertEqual(c.taken("notifications/resources/updated"), [])
            for uri in self.URIS:  # the new ones work
                self.emit(c, {"jsonrpc": "2.0", "method": "notifications/resources/updated", "params": {"uri": uri}})
                self.assertEqual(c.wait_message("notifications/resources/updated")["params"], {"uri": uri})
            for uri in self.URIS:
                c.request("resources/unsubscribe", {"uri": uri})
            c.close()

    def test_two_subscribers_of_one_resource_hear_once_each(self):
        self.begin()
        a, b, c = [self.listening(self.line) for _ in range(3)]
        for x in (a, b):
            x.request("resources/subscribe", {"uri": "x://1"})
        pid = self.successor(c)
        for x in (a, b):
            self.assertEqual(x.wait_message("notifications/resources/updated")["params"], {"uri": "x://1"})
        self.assertEqual(len(self.read_by(pid, "resources/subscribe")), 1)
        for x in (a, b, c):
            x.barrier()
            self.assertEqual(x.taken("notifications/resources/updated"), [])

    def begin_with_tools(self, *names):
        self.tools(*names)
        self.begin("--set-result", "tools/list", "@" + os.path.join(self.place, "tools"))

    def tools(self, *names):
        with open(os.path.join(self.place, "tools"), "w") as f:
            json.dump({"tools": [{"name": n, "inputSchema": {"type": "object"}} for n in names]}, f)

    def test_the_same_tools_after_a_restart_are_no_news(self):
        self.begin_with_tools("a", "b")
        clients = [self.listening(way) for way in (self.http, self.http, self.sse)]
        for c in clients:
            c.request("tools/list")
        pid = self.successor(clients[0])
        poll_until(lambda: self.read_by(pid, "tools/list"), "comparison of the lists")
        self.assertEqual(clients[0].tool("record", {"nonce": "n"}), "n")  # after the answer to that
        for c in clients:
            c.barrier()
            self.assertEqual(c.inbox, [])
        self.assertEqual(len(self.read_by(pid, "tools/list")), 1)
        self.assertEqual(self.metric("mcpool_lists_changed_over_restart_total"), 0)

    def test_other_tools_after_a_restart_are_told_once(self):
        self.begin_with_tools("a", "b")
        clients = [self.listening(way) for way in (self.http, self.http, self.sse)]
        for c in clients:
            c.request("tools/list")
        self.tools("a", "c")
        pid = self.successor(clients[0])
        for c in clients:
            c.wait_message("notifications/tools/list_changed")
        # Later than anything that the server's return could still bring.
        self.assertEqual(clients[0].tool("record", {"nonce": "n"}), "n")
        for c in clients:
            c.barrier()
            self.assertEqual(c.inbox, [])
            self.assertEqual([t["name"] for t in c.request("tools/list")["tools"]], ["a", "c"])
        self.assertEqual(self.metric("mcpool_lists_changed_over_restart_total"), 1)
        # Known by now: the next restart is no news again.
        pid = self.successor(clients[0])
        poll_until(lambda: self.read_by(pid, "tools/list"), "comparison of the lists")
        self.assertEqual(clients[0].tool("record", {"nonce": "n"}), "n")
        for c in clients:
            c.barrier()
            self.assertEqual(c.inbox, [])
