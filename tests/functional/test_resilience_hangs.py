"""Servers that hang instead of dying, operators who lose patience, and a daemon that is killed (resilience.md 1 and 6)."""
import os
import signal

from harness import DEADLINE, poll_until
from resilience import ResilienceCase


class HangCase(ResilienceCase):
    # operation_timeout bounds a handshake too, so below it is never shorter than the start of a Python server may take.

    def freeze(self, client):
        """A call stops its process, which keeps it and says no more."""
        pid = self.pids()[-1]
        self.assert_error(client.start_tool("freeze", {"nonce": "frozen"}).error(), -32603, "timeout", "maybe", "fake")
        self.assertEqual(self.runs("frozen"), 1)
        return pid

    def gone(self, pid):
        poll_until(lambda: pid not in self.daemon.children(), "the end of the old process")

    def pid_that_serves(self, client):
        client.tool("record", {"nonce": "who"})
        return self.daemon.ledger("fake", "run", nonce="who")[-1]["pid"]


class StoppedTest(HangCase):
    def test_a_stopped_server_is_given_up_pinged_and_replaced(self):
        self.begin(call_timeout=0.3, operation_timeout=1)
        c = self.http("fake")
        frozen = self.freeze(c)
        self.assertEqual(self.slot()["suspect"], True)  # for now there is only the ping
        self.wait_log(r" warning .*reason=timeout stuck: silent for \S+ s with a request overdue")
        self.wait_log(r"reason=timeout connection lost after \S+ s: it had stopped answering")
        self.gone(frozen)
        self.assertNotEqual(self.pid_that_serves(c), frozen)
        self.assertEqual(self.metric("mcpool_connections_drained_total"), 1)
        self.assertEqual(self.metric("mcpool_probes_total", outcome="missed"), 1)
        self.assertEqual(self.metric("mcpool_connections_lost_total", reason="timeout"), 1)
        s = self.status("fake")
        self.assertEqual((s["metrics"]["total_lost"], s["health_status"], self.runs("frozen")), (1, "healthy", 1))

    def test_other_sessions_get_another_connection_meanwhile(self):
        self.begin(call_timeout=0.3, operation_timeout=60, max_connections=2)
        c, other = self.http("fake"), self.http("fake")
        self.assertEqual(self.pid_that_serves(other), self.pids()[0])
        frozen = self.freeze(c)
        for session in (other, c):
            self.assertNotEqual(self.pid_that_serves(session), frozen)
        s = self.status("fake")
        self.assertEqual(s["pool_status"]["available"], 1)
        self.assertEqual([x["suspect"] for x in s["pools"][0]["slots"]], [True, False])
        # It says that it is alive: the ping is answered, and nothing was lost.
        os.kill(frozen, signal.SIGCONT)
        self.wait_log(r"slot=0 epoch=1 heard again")
        s = self.ready(count=2)
        self.assertEqual((s["metrics"]["total_lost"], len(self.pids())), (0, 2))
        self.daemon.wait_received("fake", "notifications/cancelled")
        self.assertEqual(self.metric("mcpool_probes_total", outcome="answered"), 1)

    def test_a_server_that_was_only_long_at_it_is_not_killed(self):
        """It reads nothing for a while. Then it finds the cancellation and the ping, and its answer comes too late."""
        self.begin(call_timeout=0.3, operation_timeout=60)
        c = self.http("fake")
        self.assert_error(c.start_tool("nap", {"nonce": "late", "seconds": 1}).error(), -32603, "timeout", "maybe", "fake")
        self.wait_log("heard again")
        self.daemon.wait_received("fake", "ping")
        self.assertEqual(len(self.daemon.wait_received("fake", "notifications/cancelled")), 1)
        self.assertEqual(c.tool("record", {"nonce": "n"}), "n")
        c.barrier()
        self.assertEqual((c.responses, len(self.pids())), ({}, 1))
        self.assertEqual(self.metric("mcpool_late_answers_total"), 1)
        self.assertEqual(self.metric("mcpool_connections_drained_total"), 0)
        self.assertEqual(self.status("fake")["circuit_breaker"]["state"], "closed")

    def test_a_silent_server_with_a_call_in_flight_is_not_killed_for_missing_pings(self):
        self.begin(health_check_interval=0.1, operation_timeout=1)
        c = self.http("fake")
        self.daemon.wait_received("fake", "ping")
        call = c.start_tool("nap", {"nonce": "n", "seconds": 2})
        self.wait_log("no answer to a ping, 1 requests in flight: no new requests while there is another place")
        self.assertEqual(call.text(), "n")
        self.wait_log("heard again")
        self.assertGreaterEqual(self.metric("mcpool_probes_total", outcome="missed"), 1)
        self.assertEqual(self.status("fake")["metrics"]["total_lost"], 0)

    def test_a_slow_server_that_shows_progress_is_not_killed(self):
        self.begin(health_check_interval=0.1, operation_timeout=1, call_timeout=1)
        c = self.http("fake")
        self.assertEqual(c.tool("later", {"nonce": "n", "seconds": 1.5, "steps": 10}, token=1), "n")
        self.assertEqual(self.status("fake")["metrics"]["total_lost"], 0)
        self.assertEqual(self.metric("mcpool_connections_drained_total"), 0)

    def test_a_server_that_never_answers_a_ping_is_not_killed(self):
        self.begin("--unanswered", "ping", health_check_interval=0.1, operation_timeout=0.7)
        c = self.http("fake")
        call, _ = self.hold(c)
        self.daemon.wait_received("fake", "ping", 4)
        self.assertGreaterEqual(self.metric("mcpool_probes_total", outcome="missed"), 3)
        self.release(c)
        self.assertEqual(call.text(), "released")
        self.daemon.wait_received("fake", "ping", 6)  # and idle neither
        s = self.status("fake")
        self.assertEqual((s["metrics"]["total_lost"], s["pool_status"]["available"]), (0, 1))
        self.assertEqual(self.lines("no answer to a ping|stuck"), [])

    def test_a_server_that_does_not_answer_pings_any_more_is_replaced(self):
        self.begin(health_check_interval=0.1, operation_timeout=1)
        self.when("fake", lambda s: s["pools"][0]["slots"][0]["probe"]["ever_answered"], "answered ping")
        frozen = self.stop_process()
        self.wait_log("connection lost after .*: it was idle and did not answer pings any more")
        self.when("fake", lambda s: s["metrics"]["successful_recoveries"] == 1, "recovery")
        self.gone(frozen)
        self.assertGreaterEqual(self.metric("mcpool_probes_total", outcome="missed"), 2)
        self.assertNotEqual(self.pid_that_serves(self.http("fake")), frozen)

    def test_a_ping_whose_server_died_is_neither_answered_nor_missed(self):
        self.begin("--unanswered", "ping", health_check_interval=0.1, operation_timeout=60)
        self.daemon.wait_received("fake", "ping")
        self.shoot()
        self.when("fake", lambda s: s["metrics"]["successful_recoveries"] == 1, "recovery")
        self.assertEqual([self.metric("mcpool_probes_total", outcome=o) for o in ("answered", "missed", "lost")], [0, 0, 1])


class ForceTest(HangCase):
    def test_recover_replaces_a_connection_that_does_not_answer(self):
        self.begin(call_timeout=0.3, operation_timeout="1h")
        c = self.http("fake")
        frozen = self.freeze(c)
        answer = self.json("/recover?server=fake", "POST")["servers"][0]
        self.assertEqual((answer["name"], answer["torn_down"], answer["ready"]), ("fake", 1, 0))
        self.wait_log("connection lost after .*: replaced by force: it does not answer")
        self.gone(frozen)
        self.assertNotEqual(self.pid_that_serves(c), frozen)
        self.assertEqual(self.status("fake")["metrics"]["forced_recoveries"], 1)
        self.assertEqual(self.metric("mcpool_forced_recoveries_total", by="operator"), 1)

    def test_recover_puts_delays_back_to_base_and_tries_at_once(self):
        self.mood("--exit-at-start", "1")
        self.begin(backoff_base=0.1, max_backoff_delay=600, max_retry_attempts=3)
        self.assertEqual(self.waits(3), [(0.1, 2), (0.2, 3), (600.0, 1)])
        mark = self.daemon.log.mark()
        self.assertEqual(self.json("/recover", "POST")["servers"][0]["reset"], 1)
        self.assertEqual(self.waits(3, start=mark), [(0.1, 2), (0.2, 3), (600.0, 1)])
        self.daemon.log.wait(r" notice recovery of all servers by force, asked for by uid %d " % os.geteuid(), mark)
        self.mood()
        self.json("/recover", "POST")
        s = self.ready()
        self.assertEqual((s["metrics"]["forced_recoveries"], s["pools"][0]["slots"][0]["cycles"]), (2, 0))

    def test_recover_half_opens_the_breaker_for_the_attempt_that_follows(self):
        self.mood("--exit-at-start", "1")
        self.begin(backoff_base=600, max_backoff_delay=600, circuit_breaker_threshold=1)
        self.wait_log("breaker closed -> open")
        self.mood()
        self.assertEqual(self.json("/recover", "POST")["servers"][0]["name"], "fake")
        self.ready()
        self.assertEqual(self.breaker_steps(3)[1:], [("open", "half_open", "recovery by force"),
                                                     ("half_open", "closed", "handshake done")])

    def test_recover_of_a_server_that_stays_dead_opens_it_again(self):
        self.mood("--exit-at-start", "1")
        self.begin(backoff_base=600, max_backoff_delay=600, circuit_breaker_threshold=1)
        self.wait_log("breaker closed -> open")
        self.json("/recover", "POST")
        self.assertEqual([s[:2] for s in self.breaker_steps(3)],
                         [("closed", "open"), ("open", "half_open"), ("half_open", "open")])
        self.assertEqual(self.waits(2), [(600.0, 2), (600.0, 2)])


class KilledDaemonTest(HangCase):
    def test_no_server_outlives_a_daemon_that_was_killed(self):
        kinds = {"plain": (), "stubborn": ("--ignore-term",), "deaf": ("--no-read-stdin", "--ignore-term"),
                 "opening": ("--hang-handshake", "--ignore-term"), "slow": ("--slow-start", "60", "--ignore-term")}
        self.begin(servers={name: self.moody(*options, server=name) for name, options in kinds.items()}, operation_timeout=60)
        for name in kinds:
            self.daemon.wait_ledger(name, "start")
        c = self.http("stubborn")
        self.hold(c, server="stubborn")
        self.assertEqual(len(self.daemon.children()), len(kinds))
        self.daemon.process.kill()
        self.daemon.process.wait(DEADLINE)
        self.daemon.joined = True  # nothing of it is left that could be checked
        poll_until(lambda: not self.daemon.children(), lambda: "the end of %s" % self.daemon.children())
