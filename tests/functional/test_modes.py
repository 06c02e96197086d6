"""What operators do to one server: drain, maint, resume and restart, while clients of every kind go on."""
import os
import signal

from harness import fake, poll_until
from resilience import DEAD, ResilienceCase

URI = "x://1"


class ModesCase(ResilienceCase):
    def order(self, what, server="fake", status=200):
        return self.json("/%s?server=%s" % (what, server), "POST", status)

    def hold_outside(self, client, key, server="fake"):
        """A call that runs until let_go, which needs no way through the daemon. Returns when it runs."""
        call = client.start_tool("until", {"path": os.path.join(self.place, key), "nonce": key})
        self.daemon.wait_ledger(server, "run", nonce=key)
        return call

    def let_go(self, key):
        open(os.path.join(self.place, key), "w").close()

    def slots(self, server="fake"):
        return sorted(s["state"] for p in self.status(server)["pools"] for s in p["slots"])

    def wait_closed(self, server="fake"):
        poll_until(lambda: set(self.slots(server)) == {"idle"}, lambda: "all connections to close: %s" % self.slots(server))

    def assert_maintenance(self, error):
        self.assert_error(error, -32603, "maintenance", "no", "fake")
        self.assertNotIn("retryAfterMs", error.data)
        self.assertIn('"fake"', error.message)

    def waiting(self, count):
        self.when("fake", lambda s: s["calls"]["waiting"] == count, "%d in line" % count)


class RestartTest(ModesCase):
    def test_a_restart_under_load_loses_nothing(self):
        for sharing, most in (("shared", 4), ("shared", 1), ("exclusive", 4), ("session", 8)):
            with self.subTest(sharing=sharing, max_connections=most):
                self.begin(entry={"sharing": sharing}, max_connections=most, queue_timeout=60,
                           limits={"drain_timeout": 60})
                clients = [self.http("fake"), self.http("fake"), self.line("fake"), self.sse("fake")]
                calls, n = [], 0
                for _ in range(6):
                    for c in clients * 2:
                        nonce = "n%d" % n
                        calls.append((nonce, c.start_tool("later", {"seconds": 0.02 * (n % 3), "nonce": nonce})))
                        n += 1
                    if n % 16 == 0:
                        self.order("restart")
                for nonce, call in calls:
                    self.assertEqual(call.text(), nonce)
                    self.assertEqual(self.runs(nonce), 1, nonce)
                s = self.status("fake")
                self.assertEqual((s["mode"], s["circuit_breaker"]["state"]), ("active", "closed"))
                self.assertEqual(self.metrics().get("mcpool_connections_lost_total", {}).get(
                    (("reason", "upstream_lost"), ("server", "fake"))), 0)
                self.assertGreater(len(set(self.pids())), 3)
                self.daemon.stop()

    def test_a_long_call_keeps_its_process_and_others_have_the_next(self):
        self.begin(max_connections=2, limits={"drain_timeout": 600})
        c = self.http("fake")
        call = self.hold_outside(c, "long")
        old = self.pids()[-1]
        self.assertEqual(self.order("restart"), {"server": "fake", "mode": "active", "running": 1, "waiting": 0})
        self.assertEqual(c.tool("record", {"nonce": "next"}), "next")
        self.assertNotEqual(self.daemon.ledger("fake", "run", nonce="next")[0]["pid"], old)
        self.assertFalse(call.done())
        self.let_go("long")
        self.assertEqual(call.text(), "released")
        self.when("fake", lambda s: sorted(x["state"] for x in s["pools"][0]["slots"]) == ["idle", "ready"], "the old one to go")

    def test_drain_timeout_bounds_what_a_restart_waits_for(self):
        self.begin(max_connections=1, limits={"drain_timeout": 0.3})
        c = self.http("fake")
        call = self.hold_outside(c, "for ever")
        self.order("restart")
        self.assert_error(call.error(), -32603, "upstream_lost", "maybe", "fake")
        self.assertEqual(c.tool("record", {"nonce": "next"}), "next")
        self.assertEqual(self.runs("for ever"), 1)
        self.wait_log("drain_timeout")

    def test_subscriptions_and_own_connections_come_back(self):
        for sharing in ("shared", "session"):
            with self.subTest(sharing=sharing):
                self.begin(entry={"sharing": sharing}, max_connections=3)
                c = self.http("fake")
                c.request("resources/subscribe", {"uri": URI})
                c.open_get()
                before = len(self.daemon.received("fake", "resources/subscribe"))
                self.order("restart")
                self.assertEqual(c.wait_message("notifications/resources/updated")["params"], {"uri": URI})
                self.assertEqual(len(self.daemon.received("fake", "resources/subscribe")), before + 1)
                self.assertEqual(c.tool("record", {"nonce": "n"}), "n")
                self.daemon.stop()

    def test_a_restart_of_a_dead_server_tries_at_once(self):
        self.begin(backoff_base="1h", max_backoff_delay="1h")
        c = self.http("fake")
        c.tool("record", {"nonce": "first"})
        self.run_down(c)
        self.assertEqual(self.waits(2)[1][0], 3600)
        self.mood()
        self.order("restart")
        self.assertEqual(c.tool("record", {"nonce": "n"}), "n")


class DrainTest(ModesCase):
    def test_a_drain_waits_and_resume_goes_on(self):
        self.begin(max_connections=2, min_connections=2, queue_timeout=600)
        a, b = self.http("fake"), self.line("fake")
        running = self.hold_outside(a, "running")
        self.assertEqual(self.order("drain"), {"server": "fake", "mode": "drain", "running": 1, "waiting": 0})
        late = [a.start_tool("record", {"nonce": "a"}), b.start_tool("record", {"nonce": "b"})]
        self.waiting(2)
        self.let_go("running")
        self.assertEqual(running.text(), "released")
        self.wait_closed()
        poll_until(lambda: not self.daemon.children(), "the server's processes to be gone")
        s = self.status("fake")
        self.assertEqual((s["mode"], s["failed_connections"], s["health_status"]), ("drain", 0, "unknown"))
        self.assertEqual(self.metric("mcpool_server_mode", state="drain"), 1)
        self.assertEqual(self.metric("mcpool_server_mode", state="active"), 0)
        self.assertEqual((self.runs("a"), self.runs("b")), (0, 0))
        self.assertEqual(self.order("resume"), {"server": "fake", "mode": "active", "running": 0, "waiting": 2})
        self.assertEqual([c.text() for c in late], ["a", "b"])
        self.ready(count=4)  # two for each of the two users
        self.assertEqual((self.runs("a"), self.runs("b")), (1, 1))
        self.when_health("fake", "healthy")

    def test_queue_timeout_ends_the_wait_with_the_reason(self):
        self.begin(queue_timeout=0.2)
        c = self.http("fake")
        c.tool("record", {"nonce": "n"})
        self.order("drain")
        self.assert_maintenance(c.start_tool("record", {"nonce": "late"}).error())
        self.order("resume")
        self.when_health("fake", "healthy")
        self.assertEqual(c.tool("record", {"nonce": "again"}), "again")
        self.assertEqual(self.runs("late"), 0)

    def test_new_clients_come_in_while_it_is_drained(self):
        self.begin(queue_timeout=600)
        self.http("fake").tool("record", {"nonce": "n"})
        self.order("drain")
        for c in (self.http("fake"), self.line("fake"), self.sse("fake")):
            self.assertEqual(c.request("ping"), {})
            call = c.start_tool("record", {"nonce": "x"})
            self.waiting(1)
            self.order("resume")
            self.assertEqual(call.text(), "x")
            self.order("drain")

    def test_orders_may_be_given_twice(self):
        self.begin(queue_timeout=600)
        c = self.http("fake")
        for what in ("drain", "drain", "maint", "maint", "drain", "resume", "resume", "restart", "restart"):
            self.order(what)
        self.assertEqual(c.tool("record", {"nonce": "n"}), "n")
        self.ready()
        self.assertEqual(len(self.daemon.log.matching(r"server=fake mode \w+ -> \w+;")), 4)

    def test_the_log_says_who_asked(self):
        self.begin()
        self.order("drain")
        self.daemon.log.wait(r" notice server=fake drain, asked for by uid %d \(pid %d\)$" % (os.geteuid(), os.getpid()))
        self.daemon.log.wait(r" notice server=fake mode active -> drain; ")


class MaintenanceTest(ModesCase):
    def test_maintenance_refuses_honestly(self):
        self.begin(queue_timeout=600)
        c = self.http("fake")
        running = self.hold_outside(c, "running")
        self.order("drain")
        line = c.start_tool("record", {"nonce": "line"})
        self.waiting(1)
        self.assertEqual(self.order("maint"), {"server": "fake", "mode": "maint", "running": 1, "waiting": 0})
        self.assert_maintenance(line.error())
        for other in (c, self.line("fake"), self.sse("fake")):
            self.assert_maintenance(other.start_tool("record", {"nonce": "refused"}).error())
        self.assertFalse(running.done())
        self.let_go("running")
        self.assertEqual(running.text(), "released")
        self.wait_closed()
        self.assertEqual(self.metric("mcpool_call_failures_total", reason="maintenance"), 4)
        self.order("resume")
        self.assertEqual(c.tool("record", {"nonce": "after"}), "after")
        self.assertEqual((self.runs("line"), self.runs("refused"), self.runs("after")), (0, 0, 1))

    def test_a_server_that_never_answered_refuses_initialize_too(self):
        self.begin(queue_timeout=600)
        self.order("maint")
        self.daemon.stop()
        self.begin("--exit-at-start", "1")
        self.order("maint")
        c = self.http("fake", initialize=False)
        call = c.start("initialize", {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}})
        self.assert_maintenance(call.error())
        self.assertEqual(call.post.status, 503)
        self.assertEqual(self.json("/readyz")["ready"], True)

    def test_other_servers_do_not_notice(self):
        self.begin(servers={"fake": self.moody(), "other": fake()})
        c, o = self.http("fake"), self.http("other")
        pid = self.pid_of("other")
        self.order("maint")
        self.assert_maintenance(c.start_tool("record", {"nonce": "n"}).error())
        self.assertEqual(o.tool("record", {"nonce": "n"}), "n")
        self.assertEqual((self.status("other")["mode"], self.pid_of("other")), ("active", pid))


class TroubleTest(ModesCase):
    def test_a_dead_server_rests_while_it_is_drained(self):
        self.begin(servers={"fake": self.moody(), "other": self.moody(server="other")}, circuit_breaker_threshold=1000,
                   backoff_base=0.05, max_backoff_delay=0.05)
        for name in ("fake", "other"):
            self.run_down(self.http(name), server=name)
            self.waits(2, server=name)
        self.order("drain")
        self.wait_closed()
        s = self.status("fake")
        self.assertEqual((s["failed_connections"], s["next_attempt_ms"]), (0, None))
        before, beside = (self.status(n)["metrics"]["recovery_attempts"] for n in ("fake", "other"))
        self.when("other", lambda s: s["metrics"]["recovery_attempts"] >= beside + 10, "ten attempts")
        s = self.status("fake")
        self.assertEqual((s["metrics"]["recovery_attempts"], s["metrics"]["recovery_audit_repairs"]), (before, 0))
        self.mood()
        self.order("resume")
        self.ready()

    def test_an_open_breaker_stays_as_it_is(self):
        self.begin(circuit_breaker_threshold=2, queue_timeout=600)
        c = self.http("fake")
        c.tool("record", {"nonce": "n"})
        self.run_down(c)
        self.when("fake", lambda s: s["circuit_breaker"]["state"] == "open", "open breaker")
        self.order("drain")
        self.wait_closed()
        b = self.status("fake")["circuit_breaker"]
        self.assertEqual(b["state"], "open")
        self.assert_error(c.start_tool("record", {"nonce": "x"}).error(), -32603, "breaker_open", "no", "fake")
        self.order("maint")
        self.assert_maintenance(c.start_tool("record", {"nonce": "x"}).error())
        self.assertEqual(self.status("fake")["circuit_breaker"]["failure_count"], b["failure_count"])
        self.mood()
        self.order("resume")
        self.when("fake", lambda s: s["circuit_breaker"]["state"] == "closed", "closed breaker")
        self.assertEqual(c.tool("record", {"nonce": "y"}), "y")
        self.assertEqual(self.runs("x"), 0)

    def test_a_call_that_its_process_took_with_it(self):
        self.begin(queue_timeout=600)
        c = self.http("fake")
        call = self.hold_outside(c, "lost")
        self.order("drain")
        os.kill(self.pids()[-1], signal.SIGKILL)
        self.assert_error(call.error(), -32603, "upstream_lost", "maybe", "fake")
        self.wait_closed()
        self.assertEqual(self.status("fake")["failed_connections"], 0)
        self.assertEqual(len(self.pids()), 1)

    def test_orders_to_nobody(self):
        self.begin()
        for what in ("drain", "maint", "resume", "restart"):
            self.assertIn('"nobody"', self.order(what, "nobody", 404)["error"])
            self.assertIn("?server=NAME", self.json("/" + what, "POST", 400)["error"])
            self.assertEqual(self.ask("/%s?server=fake" % what).status, 405)
        self.assertEqual(self.status("fake")["mode"], "active")

    def test_a_daemon_that_stops_takes_no_orders(self):
        self.begin(limits={"drain_timeout": 600})
        c = self.http("fake")
        call = self.hold_outside(c, "last")
        self.daemon.process.send_signal(signal.SIGTERM)
        poll_until(lambda: self.json("/status")["stopping"], "the daemon to stop")
        for what in ("drain", "maint", "resume", "restart"):
            self.assertIn("stopping", self.order(what, status=503)["error"])
        self.let_go("last")
        self.assertEqual(call.text(), "released")

    def test_a_drained_server_does_not_hold_up_the_end(self):
        self.begin(queue_timeout=600, limits={"drain_timeout": 0.2})
        c = self.http("fake")
        c.tool("record", {"nonce": "n"})
        self.order("drain")
        call = c.start_tool("record", {"nonce": "late"})
        self.waiting(1)
        self.daemon.process.send_signal(signal.SIGTERM)
        self.assert_error(call.error(), -32603, "shutting_down", "no")
        self.daemon.join()
