"""The circuit breaker: each of its rules by name, and what it does to calls and to recovery (resilience.md 1 and 2)."""
import re
import time

from resilience import DEAD, ResilienceCase, when

TRIAL_BY_PING = [("closed", "open", "it answers with something else"), ("open", "half_open", "time for a trial"),
                 ("half_open", "closed", "it answers")]


class BreakerCase(ResilienceCase):
    def assert_refused(self, error):
        """Refused at once, and such a call has never run."""
        self.assert_error(error, -32603, "breaker_open", "no", "fake")
        self.assertIs(error.data["retryable"], True)
        self.assertGreater(error.data["retryAfterMs"], 0)
        self.assertIn("fake", error.message)

    def breaker(self, **expected):
        b = self.status("fake")["circuit_breaker"]
        self.assertEqual({k: b[k] for k in expected}, expected)
        return b

    def when_breaker(self, state):
        return self.when("fake", lambda s: s["circuit_breaker"]["state"] == state, "breaker " + state)["circuit_breaker"]

    def transitions(self):
        return [self.metric("mcpool_breaker_transitions_total", to=to) for to in ("open", "half_open", "closed")]

    def die_over_a_call(self, client):
        """Fails once, with a request in flight; returns when the next process is up."""
        before = self.status("fake")["metrics"]["successful_recoveries"]
        self.assert_error(client.start_tool("die").error(), -32603, "upstream_lost", "maybe")
        self.when("fake", lambda s: s["metrics"]["successful_recoveries"] == before + 1, "successor")


class OpeningTest(BreakerCase):
    def test_circuit_breaker_threshold_opens_it_and_recovery_closes_it(self):
        self.begin(circuit_breaker_threshold=3, max_backoff_delay=0.2)
        c = self.http("fake")
        self.run_down(c)
        opened = self.daemon.log.wait(r" error server=fake breaker closed -> open \(attempts to connect fail\); ")[0]
        self.assertEqual(len([line for line in self.daemon.log.lines[:opened] if re.search(r"attempt \d failed", line)]), 3)
        b = self.breaker(state="open", failure_count=3, admits_calls=False, opened_count=1)
        self.assertIsNotNone(b["not_closed_since"])
        self.assertEqual(self.metric("mcpool_breaker_state", state="open"), 1)
        self.assertEqual(self.status("fake")["health_status"], "unhealthy")
        self.assert_refused(c.start_tool("record", {"nonce": "refused"}).error())
        self.assertEqual(self.metric("mcpool_call_failures_total", reason="breaker_open"), 1)
        # Recovery does not stop at the breaker: attempts go on, and the first that succeeds closes it.
        self.wait_lines(r"attempt \d failed", 1, start=opened)
        self.breaker(state="open", failure_count=3)
        self.mood()
        self.when_breaker("closed")
        self.assertEqual(self.breaker_steps(3)[1:], [("open", "half_open", "a connection came back"),
                                                     ("half_open", "closed", "handshake done")])
        self.assertEqual(self.transitions(), [1, 1, 1])
        self.assertEqual(c.tool("record", {"nonce": "n"}), "n")
        self.assertEqual((self.runs("refused"), self.runs("n")), (0, 1))

    def test_circuit_breaker_threshold_counts_failures_in_a_row(self):
        self.begin(circuit_breaker_threshold=2)
        c = self.http("fake")
        for _ in range(3):
            self.garbage(c)
            self.assertEqual(c.tool("record", {"nonce": "n"}), "n")
        self.assertEqual(self.breaker_steps(), [])
        self.breaker(state="closed", failure_count=0)
        # The server's own errors are answers.
        for _ in range(3):
            self.assertEqual(c.start_tool("no such tool").error().code, -32602)
        self.breaker(state="closed", failure_count=0)
        self.garbage(c)
        self.breaker(state="closed", failure_count=1)
        self.garbage(c)
        self.assertEqual(self.breaker_steps(1), TRIAL_BY_PING[:1])
        self.assertEqual(self.transitions(), [1, 0, 0])

    def test_circuit_breaker_volume_is_what_a_rate_needs(self):
        self.begin(circuit_breaker_failure_rate=50, circuit_breaker_volume=6)
        c = self.http("fake")
        for _ in range(3):
            self.assertEqual(self.transitions(), [0, 0, 0])
            self.assertEqual(c.tool("record", {"nonce": "n"}), "n")
            self.die_over_a_call(c)
        self.assertEqual(self.breaker_steps(3)[0], ("closed", "open", "it died over requests"))
        self.assertEqual(self.transitions(), [1, 1, 1])
        self.assertEqual(self.status("fake")["circuit_breaker"]["opened_count"], 1)

    def test_circuit_breaker_failure_rate_is_a_share_of_all_outcomes(self):
        for rate, opens in ((67, False), (66, True), (0, False)):
            self.begin(circuit_breaker_failure_rate=rate, circuit_breaker_volume=3)
            c = self.http("fake")
            c.tool("record", {"nonce": "n"})
            self.garbage(c)
            self.garbage(c)
            self.assertEqual([s[:2] for s in self.breaker_steps(opens)], [("closed", "open")] * opens, rate)
            self.breaker(state="open" if opens else "closed", failure_count=2)
            self.assertEqual(self.metric("mcpool_breaker_state", state="open"), opens)
            self.daemon.stop()

    def test_circuit_breaker_window_is_how_long_an_outcome_counts(self):
        for window, opens in ((0.1, False), (3600, True)):
            self.begin(circuit_breaker_failure_rate=100, circuit_breaker_volume=3, circuit_breaker_window=window)
            c = self.http("fake")
            for _ in range(3):
                self.assertEqual(self.transitions(), [0, 0, 0])
                self.garbage(c)
                time.sleep(0.15)  # longer than the shorter window, whatever else takes its time
            self.assertEqual([s[:2] for s in self.breaker_steps(opens)], [("closed", "open")] * opens, window)
            self.assertEqual(self.transitions(), [opens, 0, 0])
            self.breaker(state="open" if opens else "closed", failure_count=3)
            self.daemon.stop()

    def test_a_connection_beside_one_that_is_well_does_not_open_it(self):
        """A slot that cannot start is its own matter while the server answers elsewhere."""
        self.begin(min_connections=2, max_connections=2, circuit_breaker_threshold=2, health_check_interval=0.2)
        self.ready(count=2)
        self.mood(*DEAD)
        self.shoot()
        self.wait_lines(r"attempt \d failed", 4)
        self.breaker(state="closed", failure_count=0)
        self.assertEqual(self.http("fake").tool("record", {"nonce": "n"}), "n")
        self.assertEqual((self.status("fake")["health_status"], self.transitions()), ("degraded", [0, 0, 0]))


class HalfOpenTest(BreakerCase):
    def open_by_garbage(self, **rules):
        """Open, though the connection is up; the trials are pings then."""
        self.begin(circuit_breaker_threshold=1, **rules)
        c = self.http("fake")
        self.garbage(c)
        return c

    def test_circuit_breaker_timeout_is_how_long_it_stays_open(self):
        c = self.open_by_garbage(circuit_breaker_timeout=0.5)
        b = self.breaker(state="open")
        self.assertLessEqual(b["next_change_ms"], 500)
        refused = c.start_tool("record", {"nonce": "refused"}).response()
        self.assertEqual(self.breaker_steps(3), TRIAL_BY_PING)
        opened, half = self.lines(r"breaker \w+ -> (open|half_open) ")
        self.assertIn("trial in 0.5 s", opened)
        self.assertGreater(when(half) - when(opened), 0.48)
        if "error" in refused:  # sooner than half a second, that is
            self.assertEqual(refused["error"]["data"]["reason"], "breaker_open")
            self.assertEqual(self.runs("refused"), 0)
        self.assertEqual(self.transitions(), [1, 1, 1])
        self.assertEqual((c.tool("record", {"nonce": "n"}), len(self.pids())), ("n", 1))

    def test_circuit_breaker_timeout_leads_to_half_open_also_without_anything_to_try(self):
        self.mood(*DEAD)
        self.begin(circuit_breaker_threshold=1, circuit_breaker_timeout=0.2, backoff_base=60, max_backoff_delay=60)
        self.when_breaker("half_open")
        self.assertEqual([s[:2] for s in self.breaker_steps(2)], [("closed", "open"), ("open", "half_open")])
        self.breaker(trial=False, trials_won=0, admits_calls=False)
        self.assertEqual(self.metric("mcpool_breaker_state", state="half_open"), 1)
        self.assertGreater(self.slot()["next_attempt_ms"], 10000)  # the delays of the recovery queue stand

    def test_circuit_breaker_successes_are_pings_and_close_it(self):
        for successes in (1, 3):
            c = self.open_by_garbage(circuit_breaker_timeout=0.1, circuit_breaker_successes=successes)
            self.when_breaker("closed")
            self.assertEqual(self.breaker_steps(3), TRIAL_BY_PING)
            self.assertEqual(len(self.daemon.received("fake", "ping")), successes)
            self.assertEqual(self.metric("mcpool_probes_total", outcome="answered"), successes)
            self.assertEqual(c.tool("record", {"nonce": "n"}), "n")
            self.daemon.stop()

    def test_circuit_breaker_trial_timeout_ends_a_trial_that_is_lost(self):
        """A ping that is never answered cannot pin the breaker; one trial at a time."""
        self.begin("--unanswered", "ping", circuit_breaker_threshold=1, circuit_breaker_timeout=0.1,
                   circuit_breaker_trial_timeout=0.2)
        c = self.http("fake")
        held, _ = self.hold(c)
        self.garbage(c)
        lost = ("half_open", "open", "the trial said nothing in time")
        self.assertEqual(self.breaker_steps(5)[:5], [*TRIAL_BY_PING[:2], lost, TRIAL_BY_PING[1], lost])
        halves = self.lines(r"breaker (open -> half_open|half_open -> open) ")
        self.assertGreater(when(halves[1]) - when(halves[0]), 0.18)
        self.assertGreaterEqual(self.status("fake")["circuit_breaker"]["failure_count"], 3)
        self.assertGreaterEqual(self.transitions()[0], 3)
        self.assertLessEqual(len(self.daemon.received("fake", "ping")), self.transitions()[1])
        self.assertEqual(self.status("fake")["metrics"]["total_lost"], 0)  # there is a call in flight
        c.cancel(held)
        # Some servers know no ping. A handshake is a question that they all answer.
        self.when_breaker("closed")
        self.wait_log("connection lost after .*: opened anew: the breaker needs an answer, and it gives none to pings")
        self.assertEqual((c.tool("record", {"nonce": "n"}), self.status("fake")["metrics"]["total_lost"]), ("n", 1))

    def test_circuit_breaker_trial_timeout_holds_for_attempts_too(self):
        self.mood(*DEAD)
        self.begin(circuit_breaker_threshold=1, circuit_breaker_timeout=0.2, circuit_breaker_trial_timeout=0.2,
                   operation_timeout="1h")
        self.wait_log("breaker closed -> open")
        self.mood("--hang-handshake")
        self.wait_log(r"breaker half_open -> open \(the trial said nothing in time\)")
        self.assertEqual(self.slot()["state"], "handshake")
        self.mood()
        self.shoot()
        self.when_breaker("closed")

    def test_circuit_breaker_ramp_lets_calls_on_one_by_one(self):
        c = self.open_by_garbage(circuit_breaker_timeout=0.1, circuit_breaker_ramp="1h")
        b = self.when_breaker("closed")
        self.assertGreater(b["ramp_ms"], 1000000)
        first, _ = self.hold(c, "first")
        second = c.start_tool("hold", {"key": "second", "nonce": "second"})
        s = self.when("fake", lambda s: s["calls"]["waiting"] == 1, "waiting call")
        self.assertEqual((s["calls"]["running"], self.runs("second")), (1, 0))
        self.assertEqual((self.metric("mcpool_calls_running"), self.metric("mcpool_calls_waiting")), (1, 1))
        c.cancel(first)
        self.daemon.wait_ledger("fake", "run", nonce="second")
        c.cancel(second)

    def test_circuit_breaker_ramp_of_zero_lets_all_on_at_once(self):
        c = self.open_by_garbage(circuit_breaker_timeout=0.1, circuit_breaker_ramp=0)
        self.assertIsNone(self.when_breaker("closed")["ramp_ms"])
        calls = [self.hold(c, "k%d" % i)[0] for i in range(4)]
        self.assertEqual(self.status("fake")["calls"]["running"], 4)
        for call in calls:
            c.cancel(call)

    def test_wait_for_ready_lets_calls_wait_while_it_is_open(self):
        self.begin(entry={"wait_for_ready": True}, circuit_breaker_threshold=1)
        c = self.http("fake")
        self.run_down(c)
        self.when_breaker("open")
        call = c.start_tool("record", {"nonce": "waited"})
        s = self.when("fake", lambda s: s["calls"]["waiting"] == 1, "waiting call")
        self.assertEqual((s["circuit_breaker"]["state"], self.metric("mcpool_calls_waiting")), ("open", 1))
        self.mood()
        self.assertEqual(call.text(), "waited")
        self.assertEqual([s[:2] for s in self.breaker_steps(3)],
                         [("closed", "open"), ("open", "half_open"), ("half_open", "closed")])
        self.assertEqual((self.runs("waited"), self.metric("mcpool_call_failures_total", reason="breaker_open")), (1, 0))

    def test_wait_for_ready_waits_no_longer_than_the_queue_does(self):
        self.begin(entry={"wait_for_ready": True}, circuit_breaker_threshold=1, queue_timeout=0.5, max_backoff_delay=0.1)
        c = self.http("fake")
        self.run_down(c)
        self.when_breaker("open")
        error = c.start_tool("record", {"nonce": "refused"}).error()
        self.assert_error(error, -32603, delivered="no", server="fake")
        # At the end of its time, or when no attempt was left within it.
        self.assertIn(error.data["reason"], ("breaker_open", "upstream_unavailable"))
        self.assertEqual(self.runs("refused"), 0)

    def test_force_recovery_interval_ends_a_breaker_that_stays_open(self):
        """Its connection has said nothing of use since it opened: by force, there is a new one."""
        c = self.open_by_garbage(circuit_breaker_timeout="1h", force_recovery_interval=0.4)
        self.when_breaker("closed")
        self.wait_log(r"recovery by force \(watchdog\)")
        self.assertEqual(self.breaker_steps(3), [TRIAL_BY_PING[0], ("open", "half_open", "recovery by force"),
                                                 ("half_open", "closed", "handshake done")])
        self.assertEqual(self.metric("mcpool_forced_recoveries_total", by="watchdog"), 1)
        self.assertEqual(self.status("fake")["metrics"]["forced_recoveries"], 1)
        self.assertEqual((c.tool("record", {"nonce": "n"}), len(self.pids())), ("n", 2))


class YoungTest(BreakerCase):
    def test_accept_then_die_opens_it_at_the_threshold(self):
        """Handshakes alone do not clear the count."""
        self.mood("--die-when-ready")
        self.begin(circuit_breaker_threshold=3, max_backoff_delay=0.1)
        opened = self.daemon.log.wait(r"breaker closed -> open \(it accepts connections and dies\)")[0]
        self.assertEqual(len([line for line in self.daemon.log.lines[:opened] if "connection lost after" in line]), 3)
        self.assertGreaterEqual(self.transitions()[0], 1)
        self.mood()
        self.when_breaker("closed")
        self.assertEqual(self.http("fake").tool("record", {"nonce": "n"}), "n")
        self.breaker(state="closed", failure_count=0)
