"""What the admin interface says to an operator who asks why: /explain, /log-level."""
import re

from harness import poll_until
from resilience import DEAD, ResilienceCase
from test_admin import RFC3339

CLOCK = r"\d\d:\d\d:\d\d UTC"


class ExplainTest(ResilienceCase):
    def explain(self, server="fake"):
        e = self.json("/explain?server=" + server)
        self.assertEqual(set(e), {"server", "health", "mode", "breaker", "summary", "next", "events"})
        self.assertEqual(e["server"], server)
        status = self.status(server)
        for event in e["events"]:
            self.assertEqual(set(event), {"time", "level", "slot", "reason", "message"})
            self.assertRegex(event["time"], RFC3339)
            self.assertIn(event["level"], ("info", "notice", "warning", "error"))
        self.assertEqual([x["time"] for x in e["events"]], sorted(x["time"] for x in e["events"]))
        for sentence in [e["summary"]] + e["next"]:
            self.assertNotRegex(sentence, r"[\x00-\x1f]|^$")
        self.assertEqual(e["mode"], status["mode"])
        return e

    def when_explained(self, what, **members):
        """The first explanation whose members match these patterns; `next`: one of the sentences does."""
        def look():
            e = self.explain()
            texts = {key: e[key] if key == "next" else [e[key]] for key in members}
            return e if all(any(re.search(p, t) for t in texts[key]) for key, p in members.items()) else None
        return poll_until(look, lambda: "%s: %s" % (what, self.json("/explain?server=fake")))

    def test_a_server_that_is_well(self):
        self.begin()
        e = self.when_explained("health", health="^healthy$")
        self.assertRegex(e["summary"], "^healthy since %s: 1 of 1 connection is ready; 0 calls running, 0 waiting$" % CLOCK)
        self.assertEqual((e["mode"], e["breaker"], e["next"]), ("active", "closed", ["calls that come now are sent at once"]))
        ready = [x for x in e["events"] if "handshake -> ready" in x["message"]]
        self.assertEqual([(x["level"], x["slot"], x["reason"]) for x in ready], [("notice", 0, None)])

    def test_a_server_that_dies_at_once(self):
        self.mood(*DEAD)
        self.begin(backoff_base=30, max_backoff_delay=60, queue_timeout=20, circuit_breaker_threshold=1,
                   circuit_breaker_timeout=40)
        e = self.when_explained("failure", breaker="^open$", next="attempt 2 in")
        self.assertRegex(e["summary"], r"^unhealthy since %s: 1 of 1 connection failed, the last because: the server process "
                                       r"exited with status 1 \(upstream_lost\); the breaker is open since %s after 1 failure; "
                                       "0 calls running, 0 waiting$" % (CLOCK, CLOCK))
        self.assertEqual(len(e["next"]), 4)
        self.assertRegex(e["next"][0], r"^slot 0: attempt 2 in [0-9.]+ s$")
        self.assertRegex(e["next"][1], "^breaker open: calls are refused until the next handshake succeeds or a trial, at %s$"
                         % CLOCK)
        self.assertRegex(e["next"][2], "^if nothing comes back, recovery by force at ")
        self.assertEqual(e["next"][3], "calls that come now are refused at once (breaker_open)")
        self.assertIn(("warning", 0, "upstream_lost"), [(x["level"], x["slot"], x["reason"]) for x in e["events"]])

    def test_what_the_sentences_promise_of_calls_is_true(self):
        self.begin(queue_timeout=0.2)
        c = self.http("fake")
        self.json("/drain?server=fake", "POST")
        e = self.explain()
        self.assertEqual((e["mode"], e["next"][-1]),
                         ("drain", "calls that come now wait for an operator to resume the server, up to 0.2 s"))
        self.assertNotEqual(c.start_tool("record", {"nonce": "a"}).error().code, 0)
        self.json("/maint?server=fake", "POST")
        e = self.explain()
        self.assertRegex(e["summary"], "^taken out of service by an operator; ")
        self.assertRegex(e["next"][-1], r"are refused at once \(maintenance\)")
        self.assert_error(c.start_tool("record", {"nonce": "b"}).error(), -32603, "maintenance", "no", "fake")
        self.json("/resume?server=fake", "POST")
        self.when_explained("resumed", next="^calls that come now are sent at once$")
        self.assertEqual(c.tool("record", {"nonce": "c"}), "c")
        self.assertEqual((self.runs("a"), self.runs("b"), self.runs("c")), (0, 0, 1))

    def test_calls_in_flight_and_in_line_are_told(self):
        self.begin(limits={"max_in_flight_per_connection": 1})
        c, other = self.http("fake"), self.http("fake")
        held, _ = self.hold(c)
        waiting = other.start_tool("record", {"nonce": "w"})
        self.when_explained("a line", summary="1 call running, 1 waiting$",
                            next="^calls that come now wait for their turn behind 1 other, up to 20.0 s$")
        c.cancel(held)
        self.assertEqual(waiting.text(), "w")

    def test_events_of_one_server_do_not_wash_away_those_of_another(self):
        self.mood(*DEAD, server="bad")
        self.begin(servers={"fake": self.moody(), "bad": self.moody(server="bad")}, backoff_base=0.01, max_backoff_delay=0.01)
        self.when_explained("health", health="^healthy$")

        def many():
            return len(self.explain("bad")["events"]) == 64
        poll_until(many, "many events")
        self.assertTrue([x for x in self.explain()["events"] if "handshake -> ready" in x["message"]])

    def test_events_kept_per_server_bound_the_history(self):
        self.mood(*DEAD)
        self.begin(limits={"events_kept_per_server": 5}, backoff_base=0.01, max_backoff_delay=0.01)
        self.wait_lines("attempt \\d+ failed", 4)
        e = self.explain()
        self.assertEqual(len(e["events"]), 5)
        self.daemon.stop()
        self.mood()
        self.begin(limits={"events_kept_per_server": 0})
        self.when_explained("health", health="^healthy$")
        self.assertEqual(self.explain()["events"], [])

    def test_wrong_questions(self):
        self.begin()
        self.assertIn("server=NAME", self.json("/explain", status=400)["error"])
        self.assertIn("server=NAME", self.json("/logs", status=400)["error"])
        self.assertIn("nobody", self.json("/explain?server=nobody", status=404)["error"])
        self.assertIn("GET", self.json("/explain?server=fake", "POST", 405)["error"])
        index = self.ask("/").body.decode()
        for path in ("/explain?server=NAME", "/logs?server=NAME", "GET  /log-level ", "POST /log-level?level=LEVEL"):
            self.assertIn(path, index)


class LogLevelTest(ResilienceCase):
    def test_the_level_is_shown_and_changed_and_the_change_is_logged(self):
        self.begin()
        log = self.daemon.log
        self.ready()
        self.assertEqual(self.json("/log-level"), {"log_level": "info"})
        self.assertEqual(self.json("/log-level?level=debug", "POST"), {"log_level": "debug", "was": "info"})
        log.wait(r" notice log level info -> debug, asked for by uid \d+ \(pid \d+\)$")
        self.shoot()
        log.wait(" debug server=fake ")
        self.ready()
        self.assertEqual(self.json("/log-level?level=error", "POST"), {"log_level": "error", "was": "debug"})
        mark = log.wait(r" notice log level debug -> error, ")[0]
        self.shoot()
        self.when("fake", lambda s: s["metrics"]["successful_recoveries"] == 2, "second recovery")
        self.assertEqual(self.json("/log-level"), {"log_level": "error"})
        self.assertEqual(self.json("/log-level?level=info", "POST"), {"log_level": "info", "was": "error"})
        found = log.wait(r" notice log level error -> info, ")[0]
        self.assertEqual(found, mark + 1)
        # What was not logged is in the history all the same.
        events = [e["message"] for e in self.json("/explain?server=fake")["events"]]
        self.assertEqual(len([e for e in events if "connection lost after" in e]), 2)

    def test_other_levels_are_refused(self):
        self.begin()
        for query in ("", "?level=", "?level=loud", "?level=INFO", "?lvl=info", "?level=info&x=1"):
            self.assertTrue(self.json("/log-level" + query, "POST", 400)["error"])
        r = self.ask("/log-level", "DELETE")
        self.assertEqual((r.status, r.headers.get("Allow")), (405, "GET, HEAD, POST"))
        self.assertEqual(self.json("/log-level"), {"log_level": "info"})
