"""Each rule of section `resilience` by its name: its default, and what it does (resilience.md 1).

The rest of the rules: test_resilience_breaker.py, test_resilience_calls.py."""
import importlib
import os
import re
import subprocess
import time

from harness import DEMO, MCPOOLD, fake
from resilience import DEAD, ResilienceCase, gaps, when

# Durations in seconds. A rule that is added without a row here fails the tests below, and so does one that has no
# test of its name.
RULES = {
    "min_connections": 1, "max_connections": 10, "backoff_base": 1, "max_backoff_delay": 60, "recovery_jitter_max": 5,
    "max_retry_attempts": 10, "recovery_interval": 10, "health_check_interval": 30, "circuit_breaker_threshold": 5,
    "circuit_breaker_timeout": 60, "operation_timeout": 30, "call_timeout": 300, "queue_timeout": 20,
    "force_recovery_interval": 300, "stable_after": 10, "circuit_breaker_window": 30, "circuit_breaker_volume": 10,
    "circuit_breaker_failure_rate": 50, "circuit_breaker_trial_timeout": 5, "circuit_breaker_successes": 2,
    "circuit_breaker_ramp": 10, "adaptive_backoff": "on", "replay_budget": 10,
}
# Rules of other sections, as the reference tells them.
ELSEWHERE = {
    "replay": ("defaults", '"reads"'), "wait_for_ready": ("defaults", "false"), "queue_length": ("limits", "256"),
    "queue_bytes": ("limits", '"16MiB"'), "start_rate": ("limits", "10"), "start_burst": ("limits", "10"),
}
FILES = ("test_resilience_rules", "test_resilience_breaker", "test_resilience_calls")


def reference():
    """{(section, key): default} of all that can be configured."""
    text = subprocess.run([MCPOOLD, "--config-reference"], capture_output=True, check=True, text=True).stdout
    found, section, key = {}, None, None
    for line in text.split("\n"):
        m = re.match(r"(##|###) (?:Section )?`(\w+)`$", line)
        if m and m.group(1) == "##":
            section = m.group(2)
        elif m:
            key = m.group(2)
        elif line.startswith("* Default: ") and section:
            found[section, key] = line.removeprefix("* Default: ").strip("`")
    return found


class DefaultsTest(ResilienceCase):
    def test_every_rule_has_the_default_of_the_design(self):
        self.start({"demo": {"command": DEMO}}, {})
        s = self.status("demo")
        self.assertEqual(s["resilience"], RULES)
        self.assertEqual(s["pool_status"]["max_size"], RULES["max_connections"])
        self.assertEqual(s["pool_status"]["min_size"], RULES["min_connections"])
        self.assertEqual(s["adaptive_backoff"]["mode"], "on")
        self.assertEqual((s["replay"]["mode"], s["replay"]["budget"], s["replay"]["budget_left"]), ("reads", 10, 10))
        told = reference()
        self.assertEqual({k: told.get((section, k)) for k, (section, _) in ELSEWHERE.items()},
                         {k: default for k, (_, default) in ELSEWHERE.items()})
        self.assertEqual({k for section, k in told if section == "resilience"}, set(RULES))

    def test_every_rule_is_shown_by_a_test_of_its_name(self):
        names = []
        for module in map(importlib.import_module, FILES):
            for thing in vars(module).values():
                if isinstance(thing, type) and issubclass(thing, ResilienceCase):
                    names += [n for n in vars(thing) if n.startswith("test_")]
        without = [rule for rule in (*RULES, *ELSEWHERE) if not any(n.startswith("test_%s_" % rule) for n in names)]
        self.assertEqual(without, [])

    def test_every_rule_holds_globally_and_per_server(self):
        common = {k: v + 1 if isinstance(v, int) else "off" for k, v in RULES.items()}
        own = {k: v + 2 if isinstance(v, int) else "observe" for k, v in RULES.items()}
        self.start({"common": {"command": DEMO}, "own": {"command": DEMO, "resilience": own},
                    "half": {"command": DEMO, "resilience": {"call_timeout": "7s"}}}, {"resilience": common})
        self.assertEqual(self.status("common")["resilience"], common)
        self.assertEqual(self.status("own")["resilience"], own)
        self.assertEqual(self.status("half")["resilience"], {**common, "call_timeout": 7})


class ConnectionsTest(ResilienceCase):
    def test_min_connections_are_kept_alive_whether_used_or_not(self):
        self.begin(min_connections=3, max_connections=5)
        s = self.ready(count=3)
        self.assertEqual(s["pool_status"], {"available": 3, "max_size": 5, "min_size": 3})
        self.assertEqual(len(self.lines(" handshake -> ready ")), 3)
        gone = self.shoot()
        self.when("fake", lambda s: s["metrics"]["successful_recoveries"] == 1, "recovery")
        s = self.ready(count=3)
        self.assertEqual(s["pools"][0]["slots_never_used"], 2)
        self.assertEqual(self.metric("mcpool_pool_slots", state="ready"), 3)
        self.assertEqual(self.metric("mcpool_connections_opened_total"), 4)
        self.assertEqual((len(self.pids()), len(set(self.pids()) - {gone})), (4, 3))

    def test_min_connections_of_zero_start_nothing_before_it_is_needed(self):
        self.begin(min_connections=0)
        s = self.status("fake")
        self.assertEqual((s["health_status"], s["pool_status"]), ("unknown", {"available": 0, "max_size": 1, "min_size": 0}))
        self.assertEqual((self.pids(), self.lines("started "), self.metric("mcpool_connections_opened_total")), ([], [], 0))
        self.assertEqual(self.http("fake").tool("record", {"nonce": "n"}), "n")
        self.assertEqual(len(self.pids()), 1)

    def test_max_connections_bound_how_far_a_pool_grows(self):
        self.begin(max_connections=3, limits={"max_in_flight_per_connection": 1})
        clients = [self.http("fake") for _ in range(5)]
        calls = [c.start_tool("hold", {"key": "k", "nonce": "n"}) for c in clients]
        s = self.when("fake", lambda s: s["calls"]["running"] == 3, "three calls")
        self.assertEqual((s["calls"]["waiting"], s["pool_status"]["max_size"]), (2, 3))
        self.assertEqual(self.metric("mcpool_pool_slots", state="ready"), 3)
        self.assertEqual(self.metric("mcpool_calls_waiting"), 2)
        self.assertEqual(len(self.wait_lines(" handshake -> ready ", 3)), 3)
        for c, call in zip(clients, calls):
            c.cancel(call)
        self.when("fake", lambda s: s["calls"]["cancelled"] == 5, "end of all calls")
        self.assertEqual(len(self.pids()), 3)


class BackoffTest(ResilienceCase):
    def test_backoff_base_is_the_first_delay_and_doubles(self):
        self.mood(*DEAD)
        self.begin(backoff_base=0.1, max_backoff_delay=1)
        self.assertEqual(self.waits(5), [(0.1, 2), (0.2, 3), (0.4, 4), (0.8, 5), (1.0, 6)])
        attempts = self.lines(r"connection attempt \d+ failed")
        for gap, delay in zip(gaps(attempts), (0.1, 0.2, 0.4, 0.8)):
            self.assertGreater(gap, delay - 0.02)
        s = self.status("fake")
        self.assertEqual((s["failed_connections"], s["health_status"]), (1, "unhealthy"))
        self.assertEqual(s["pools"][0]["slots"][0]["attempts"], 5)
        # The first attempt was no recovery: nothing had been lost.
        self.assertEqual(s["metrics"]["recovery_attempts"], 4)
        self.assertEqual(self.metric("mcpool_recovery_attempts_total", outcome="failure"), 4)
        self.mood()
        self.ready()
        self.assertEqual(self.metric("mcpool_recovery_attempts_total", outcome="success"), 1)

    def test_backoff_base_begins_with_the_second_attempt_after_a_stable_connection(self):
        self.begin(backoff_base=0.1)
        c = self.http("fake")
        self.run_down(c)
        self.assertEqual(self.waits(3), [(0.0, 1), (0.1, 2), (0.2, 3)])
        self.mood()
        self.assertEqual(c.tool("record", {"nonce": "n"}), "n")
        mark = self.daemon.log.mark()
        self.run_down(c)
        self.assertEqual(self.waits(2, start=mark), [(0.0, 1), (0.1, 2)])  # success has put it back to base
        s = self.status("fake")
        self.assertEqual(self.metric("mcpool_connections_lost_total", reason="upstream_lost"), 2)
        self.assertEqual(s["metrics"]["total_lost"], 2)

    def test_max_backoff_delay_is_the_cap(self):
        self.mood(*DEAD)
        self.begin(backoff_base=0.1, max_backoff_delay=0.3)
        self.assertEqual([delay for delay, _ in self.waits(5)], [0.1, 0.2, 0.3, 0.3, 0.3])
        self.assertLessEqual(self.slot()["next_attempt_ms"] or 0, 300)
        self.assertEqual(self.metric("mcpool_server_health", state="unhealthy"), 1)

    def test_max_backoff_delay_is_what_a_fatal_error_waits_for_and_no_more(self):
        late = os.path.join(self.place, "late")
        self.begin(servers={"late": {"command": late}}, backoff_base=0.1, max_backoff_delay=0.6)
        self.assertEqual(self.waits(2, "late"), [(0.6, 2), (0.6, 3)])
        slot = self.slot("late")
        self.assertIs(slot["fatal"], True)
        self.assertIn("No such file", slot["last_error"])
        os.symlink(DEMO, late)
        self.ready("late")
        self.assertEqual(self.metric("mcpool_recovery_attempts_total", "late", outcome="success"), 1)

    def test_recovery_jitter_max_is_added_to_each_delay(self):
        self.mood(*DEAD)
        self.begin(min_connections=10, max_connections=10, backoff_base=20, recovery_jitter_max=10)
        delays = [delay for delay, _ in self.waits(10)]
        for delay in delays:
            self.assertTrue(20 <= delay <= 30, delays)
        self.assertGreater(len(set(delays)), 1, "ten connections would come back at once")
        slots = self.status("fake")["pools"][0]["slots"]
        self.assertEqual([s["state"] for s in slots], ["waiting"] * 10)
        self.assertEqual(len([s for s in slots if 0 < s["next_attempt_ms"] <= 30000]), 10)
        self.assertEqual(self.metric("mcpool_pool_slots", state="waiting"), 10)

    def test_recovery_jitter_max_does_not_more_than_double_a_short_delay(self):
        self.mood(*DEAD)
        self.begin(min_connections=10, max_connections=10, backoff_base=0.5, recovery_jitter_max=3600)
        delays = [delay for delay, number in self.waits(10) if number == 2]
        self.assertTrue(delays and 0.5 <= min(delays) and max(delays) <= 1.0, delays)
        self.assertTrue(all((s["next_attempt_ms"] or 0) <= 4000 for s in self.status("fake")["pools"][0]["slots"]))

    def test_max_retry_attempts_end_a_cycle_and_begin_the_next(self):
        self.mood(*DEAD)
        self.begin(backoff_base=0.1, max_backoff_delay=0.4, max_retry_attempts=2)
        # Not 0.2 after the second attempt: a new cycle goes on at the cap.
        self.assertEqual(self.waits(6), [(0.1, 2), (0.4, 1), (0.4, 2), (0.4, 1), (0.4, 2), (0.4, 1)])
        slot = self.slot()
        self.assertIn((slot["cycles"], slot["attempts"]), ((3, 0), (3, 1)))
        self.assertEqual(self.metric("mcpool_recovery_cycles_total"), 3)
        self.assertEqual(self.status("fake")["metrics"]["recovery_cycles"], 3)
        self.assertEqual(len(self.lines("warning .* 2 attempts failed; the next cycle goes on at the longest delay")), 3)
        self.mood()
        self.ready()

    def test_stable_after_tells_a_connection_that_died_young(self):
        for seconds, first in ((3600, (0.1, 1)), (0.01, (0.0, 1))):
            self.begin(stable_after=seconds)
            self.ready()
            time.sleep(0.02)
            self.shoot()
            self.assertEqual(self.waits(1), [first])
            s = self.when("fake", lambda s: s["metrics"]["successful_recoveries"] == 1, "recovery")
            self.assertEqual(s["pools"][0]["slots"][0]["failures"], 1 if seconds > 1 else 0)
            self.assertEqual(self.metric("mcpool_connections_lost_total", reason="upstream_lost"), 1)
            self.daemon.stop()

    def test_stable_after_does_not_matter_to_one_that_gave_a_real_answer(self):
        self.begin(stable_after=3600)
        self.kill(self.http("fake"))
        self.assertEqual(self.waits(1), [(0.0, 1)])

    def test_stable_after_keeps_accept_then_die_from_becoming_a_hot_loop(self):
        self.mood("--die-when-ready")
        self.begin(max_backoff_delay=0.4)
        self.assertEqual([d for d, _ in self.waits(5)], [0.1, 0.2, 0.4, 0.4, 0.4])
        lost = self.lines("connection lost after")
        for gap, delay in zip(gaps(lost), (0.1, 0.2, 0.4)):
            self.assertGreater(gap, delay - 0.02)
        self.assertGreaterEqual(self.status("fake")["metrics"]["total_lost"], 5)
        self.assertGreaterEqual(self.slot()["failures"], 5)
        self.assertGreaterEqual(self.metric("mcpool_connections_opened_total"), 5)
        self.mood()
        self.assertEqual(self.http("fake").tool("record", {"nonce": "n"}), "n")

    def test_adaptive_backoff_learns_how_long_outages_are(self):
        """Three servers that always were back at once are away for longer; the delay is at its cap."""
        modes = ("on", "observe", "off")
        self.begin(servers={m: self.moody(server=m, resilience={"adaptive_backoff": m}) for m in modes},
                   max_backoff_delay=600, max_retry_attempts=1)
        for m in modes:
            c = self.http(m)
            for n in range(3):
                self.kill(c, m)
                self.when(m, lambda s: s["metrics"]["successful_recoveries"] == n + 1, "recovery")
            self.run_down(c, server=m)
        for m in modes:
            used = self.waits(5, m)[4][0]  # after 3 at once, one at once that failed, and the end of its cycle
            s = self.status(m)["adaptive_backoff"]
            self.assertEqual((s["mode"], s["samples"]), (m, 3))
            self.assertLess(s["suggested_cap_seconds"], 60)
            self.assertEqual(s["cap_seconds"], s["suggested_cap_seconds"] if m == "on" else 600)
            self.assertEqual(used < 60, m == "on", used)
            self.assertEqual(self.metric("mcpool_recovery_time_seconds_count", m), 3)
        for m in modes:
            self.mood(server=m)
        self.ready("on")
        self.assertEqual([self.slot(m)["state"] for m in modes[1:]], ["waiting"] * 2)


class SweepTest(ResilienceCase):
    def test_recovery_interval_sweeps_and_starts_three_at_a_time(self):
        self.mood(*DEAD)
        self.begin(min_connections=6, max_connections=6, recovery_interval=0.2, operation_timeout=60,
                   top={"log_level": "debug"}, limits={"start_rate": 0})
        self.wait_lines("connection attempt 1 failed", 6)
        self.mood("--hang-handshake")

        def full(s):
            return [x["state"] for x in s["pools"][0]["slots"]].count("handshake") == 3
        self.when("fake", full, "three attempts under way")
        mark = self.daemon.log.mark()
        # Three say so, twice a sweep at most: once each for the sweep and for the timer of their own.
        held = self.wait_lines(r"still waiting \(due, but enough attempts are under way\)", 13, start=mark)
        self.assertGreater(when(held[12]) - when(held[0]), 0.15)
        s = self.status("fake")
        self.assertTrue(full(s))
        rest = [x for x in s["pools"][0]["slots"] if x["state"] != "handshake"]
        self.assertEqual([(x["state"], x["next_attempt_ms"] <= 200) for x in rest], [("waiting", True)] * 3)
        self.assertEqual(self.metric("mcpool_pool_slots", state="waiting"), 3)
        self.assertEqual(self.metric("mcpool_pool_slots", state="handshake"), 3)
        self.mood()
        for pid in self.pids()[-3:]:
            os.kill(pid, 9)
        s = self.ready(count=6)
        self.assertEqual(s["metrics"]["recovery_audit_repairs"], 0)
        self.assertEqual(self.metric("mcpool_recovery_audit_repairs_total"), 0)

    def test_force_recovery_interval_ends_a_long_outage_by_force(self):
        self.mood(*DEAD)
        self.begin(force_recovery_interval=0.5, backoff_base=0.2, max_backoff_delay=60)
        self.wait_log(r" notice .*recovery by force \(watchdog\): 1 back-offs reset")
        forced = self.daemon.log.wait(r"by force \(watchdog\)")[0]
        self.assertEqual(self.waits(1, start=forced), [(0.2, 2)])  # back to base, count to 0
        self.assertGreater(when(self.daemon.log.lines[forced]) - when(self.lines("attempt 1 failed")[0]), 0.45)
        s = self.when("fake", lambda s: s["metrics"]["forced_recoveries"] >= 2, "another one")
        self.assertLessEqual(self.slot()["next_attempt_ms"] or 0, 500)
        self.assertIsNotNone(s["metrics"]["last_forced_recovery"])
        self.assertGreaterEqual(self.metric("mcpool_forced_recoveries_total", by="watchdog"), 2)
        self.assertEqual(self.metric("mcpool_forced_recoveries_total", by="operator"), 0)
        self.mood()
        self.ready()

    def test_force_recovery_interval_is_longer_than_any_wait(self):
        self.mood(*DEAD)
        self.begin(force_recovery_interval=0.5, backoff_base=60, max_backoff_delay=60, recovery_jitter_max=60)
        self.assertEqual([delay for delay, _ in self.waits(3)], [0.5] * 3)
        self.assertLessEqual(self.slot()["next_attempt_ms"] or 0, 500)
        self.assertEqual(self.metric("mcpool_recovery_audit_repairs_total"), 0)

    def test_health_check_interval_probes_connections_that_are_silent(self):
        self.begin(health_check_interval=0.1)
        self.daemon.wait_received("fake", "ping", 3)
        s = self.when("fake", lambda s: s["pools"][0]["slots"][0]["probe"]["ever_answered"], "answered ping")
        self.assertEqual((s["health_status"], len(self.pids())), ("healthy", 1))
        self.assertGreaterEqual(self.metric("mcpool_probes_total", outcome="answered"), 2)

    def test_health_check_interval_without_an_answer_is_no_good_health(self):
        self.begin("--unanswered", "ping", health_check_interval=0.2)
        c = self.http("fake")
        self.when_health("fake", "degraded")
        self.wait_log(r"health healthy -> degraded \(monitor\)")
        self.assertEqual(self.status("fake")["pool_status"]["available"], 1)
        self.assertEqual(self.metric("mcpool_server_health", state="degraded"), 1)
        c.tool("record", {"nonce": "n"})
        self.when_health("fake", "healthy")  # something real was answered
        self.assertEqual(len(self.pids()), 1)

    def test_operation_timeout_ends_a_handshake_that_hangs(self):
        self.mood("--hang-handshake")
        self.begin(operation_timeout=1)
        failed = self.wait_log(r"reason=timeout connection attempt 1 failed after [1-9]\S* s: the server did not "
                               r"answer initialize within operation_timeout")
        self.assertIn(" warning ", failed)
        self.mood()
        s = self.ready()
        self.assertIn("operation_timeout", s["pools"][0]["slots"][0]["last_error"])
        self.assertEqual(self.metric("mcpool_recovery_attempts_total", outcome="success"), 1)

    def test_operation_timeout_ends_lists(self):
        self.begin("--unanswered", "tools/list", operation_timeout=1, call_timeout=3600)
        error = self.http("fake").start("tools/list").error()
        self.assert_error(error, -32603, "timeout", "maybe", "fake")
        self.assertEqual(self.metric("mcpool_call_failures_total", reason="timeout"), 1)
        self.assertEqual(self.status("fake")["calls"]["failed"], 1)
        # It is alive, only this request had no answer.
        self.daemon.wait_received("fake", "ping")
        self.wait_log("heard again")
        self.assertEqual(self.status("fake")["metrics"]["total_lost"], 0)


class StartsTest(ResilienceCase):
    COUNT = 6

    def start_all(self, rate, burst):
        names = ["s%d" % i for i in range(self.COUNT)]
        self.begin(servers={n: fake() for n in names}, limits={"start_rate": rate, "start_burst": burst})
        return names

    def started(self):
        return [line for line in self.daemon.log.lines if re.search(r" slot=0 started ", line)]

    def test_start_rate_spreads_starts_over_all_servers(self):
        names = self.start_all(1, 2)
        self.assertEqual(len(self.daemon.log.matching("warning .* this one has to wait for its turn")), 4)
        last = self.status(names[-1])
        self.assertEqual((last["failed_connections"], last["health_status"]), (0, "unknown"))  # it has not failed
        self.assertEqual(last["pools"][0]["slots"][0]["state"], "waiting")
        self.assertGreater(last["next_attempt_ms"], 0)
        self.assertEqual(self.metric("mcpool_starts_delayed_total", None), 4)
        self.ready(names[2])
        first, _, third = self.started()[:3]
        self.assertGreater(when(third) - when(first), 0.9)

    def test_start_rate_of_zero_delays_nothing(self):
        for name in self.start_all(0, 1):
            self.ready(name)
        self.assertEqual(self.metric("mcpool_starts_delayed_total", None), 0)
        self.assertEqual(self.daemon.log.matching("wait for its turn"), [])

    def test_start_burst_may_start_at_once(self):
        for name in self.start_all(1, self.COUNT):
            self.ready(name)
        self.assertEqual(self.metric("mcpool_starts_delayed_total", None), 0)
        self.assertEqual(self.daemon.log.matching("wait for its turn"), [])
        self.assertEqual(len(self.started()), self.COUNT)
