"""What the processes of a server wrote for people, and what the log has of it: /logs, and the limits of both."""
import os
import re

from harness import demo, poll_until
from resilience import DEAD, ResilienceCase
from test_admin import RFC3339
from test_events import EventsCase as _EventsCase


class TailTest(ResilienceCase):
    def logs(self, server="fake"):
        doc = self.json("/logs?server=" + server)
        self.assertEqual(set(doc), {"server", "lines", "dropped"})
        self.assertEqual(doc["server"], server)
        for line in doc["lines"]:
            self.assertEqual(set(line), {"time", "pid", "text"})
            self.assertRegex(line["time"], RFC3339)
            self.assertNotRegex(line["text"], "[\x00-\x1f\x7f]")
        return doc

    def when_logged(self, last, server="fake"):
        def there():
            doc = self.logs(server)
            return doc if doc["lines"] and doc["lines"][-1]["text"].endswith(last) else None
        return poll_until(there, lambda: "%r, last of %s" % (last, self.logs(server)))

    def test_lines_with_their_process(self):
        self.begin(servers={"fake": self.moody(), "other": self.moody(server="other")})
        c = self.http("fake")
        self.assertEqual(self.logs(), {"server": "fake", "lines": [], "dropped": 0})
        c.tool("stderr", {"text": "first\nsecond \x1b[31mred\n"})
        doc = self.when_logged("red")
        self.assertEqual([(x["pid"], x["text"]) for x in doc["lines"]],
                         [(self.pids()[0], "first"), (self.pids()[0], "second \\x1b[31mred")])
        self.emit(c, "a banner")
        self.when_logged("a banner")
        self.assertEqual(self.logs("other")["lines"], [])

    def test_they_outlive_the_process(self):
        self.begin()
        c = self.http("fake")
        c.tool("stderr", {"text": "last words"})
        self.shoot()
        doc = self.when_logged("last words")
        self.assertEqual(doc["lines"][-1]["pid"], self.pids()[0])
        self.ready()
        c.tool("stderr", {"text": "of the next\n"})
        doc = self.when_logged("of the next")
        self.assertEqual([x["pid"] for x in doc["lines"]], self.pids())

    def test_they_are_kept_when_the_log_gets_none(self):
        self.begin(entry={"stderr": "discard"})
        c = self.http("fake")
        c.tool("stderr", {"text": "not for the log\n"})
        self.when_logged("not for the log")
        self.assertEqual(self.daemon.log.matching("not for the log"), [])

    def test_they_are_kept_when_there_are_too_many_for_the_log(self):
        self.begin(limits={"stderr_lines_per_second": 2, "stderr_tail_lines": 1000})
        c = self.http("fake")
        c.tool("stderr", {"text": "".join("line %d\n" % i for i in range(500))})
        doc = self.when_logged("line 499")
        self.assertEqual([x["text"] for x in doc["lines"]], ["line %d" % i for i in range(500)])
        self.assertEqual(doc["dropped"], 0)

        def all_told():  # without a further line
            told = [int(m.group(1)) for m in (re.search(r"(\d+) lines of output were not logged", x)
                                              for x in self.daemon.log.matching("output were not logged"))]
            return sum(told) + len(self.daemon.log.matching("stderr: line ")) == 500
        poll_until(all_told, "every line to be logged or counted")

    def test_stderr_tail_lines_bound_what_is_kept(self):
        self.begin(limits={"stderr_tail_lines": 3})
        c = self.http("fake")
        c.tool("stderr", {"text": "".join("line %d\n" % i for i in range(50))})
        doc = self.when_logged("line 49")
        self.assertEqual([x["text"] for x in doc["lines"]], ["line 47", "line 48", "line 49"])
        self.assertEqual(doc["dropped"], 47)
        self.daemon.stop()
        self.begin(limits={"stderr_tail_lines": 0})
        c = self.http("fake")
        c.tool("stderr", {"text": "x\ny\n"})
        poll_until(lambda: self.logs()["dropped"] == 2, "both lines to be dropped")
        self.assertEqual(self.logs()["lines"], [])

    def test_J21_bytes_are_bounded_whatever_is_written(self):
        self.begin(limits={"stderr_tail_lines": 10000, "stderr_line_bytes": "1MiB", "stderr_lines_per_second": 1})
        c = self.http("fake")
        for _ in range(4):
            c.tool("stderr", {"text": ("\x01" * 100000 + "\n") * 2 + "\n" * 100 + "z\n" * 3000})
        c.tool("stderr", {"text": "the end\n"})
        doc = self.when_logged("the end")
        r = self.ask("/logs?server=fake")
        self.assertLess(len(r.body), 4 << 20)
        self.assertGreater(len(doc["lines"]), 1000)
        self.assertLess(sum(len(x["text"]) for x in doc["lines"]), 256 * 1024)
        self.assertGreater(doc["dropped"], 0)

    def test_a_server_that_dies_at_once_says_why(self):
        place = self.place + "/why"
        with open(place, "w") as f:
            f.write("#!/bin/sh\necho 'cannot open the database' >&2\nexit 3\n")
        os.chmod(place, 0o755)
        self.begin(servers={"fake": {"command": place}})
        doc = self.when_logged("cannot open the database")
        self.assertGreater(doc["lines"][0]["pid"], 0)


class FailedCallsTest(ResilienceCase):
    def test_call_errors_logged_per_second_bounds_the_lines(self):
        self.begin(limits={"call_errors_logged_per_second": 2}, circuit_breaker_threshold=1)
        c = self.http("fake")
        self.mood(*DEAD)
        self.shoot()
        self.when("fake", lambda s: s["circuit_breaker"]["state"] == "open", "open breaker")
        before = len(self.lines("call failed: "))
        for _ in range(40):
            c.start_tool("record", {"nonce": "x"}).error()

        def told():
            numbers = [int(re.search(r"(\d+) more failed calls were not logged", x).group(1))
                       for x in self.lines("more failed calls were not logged")]
            return len(self.lines("call failed: ")) - before + sum(numbers) == 40
        poll_until(told, "each failed call to be logged or counted")
        self.assertTrue(self.lines("more failed calls were not logged"))
        for line in self.lines(" method=tools/call .*call failed: ", start=before):
            self.assertRegex(line, r" warning server=fake session=[0-9a-f]{8} principal=anonymous method=tools/call "
                                   r"(duration=[0-9.]+s )?delivered=no reason=breaker_open call failed: Server \"fake\" is failing")

    def test_no_limit(self):
        self.begin(limits={"call_errors_logged_per_second": 0}, circuit_breaker_threshold=1)
        c = self.http("fake")
        self.mood(*DEAD)
        self.shoot()
        self.when("fake", lambda s: s["circuit_breaker"]["state"] == "open", "open breaker")
        for _ in range(40):
            c.start_tool("record", {"nonce": "x"}).error()
        self.wait_lines("reason=breaker_open call failed: ", 40)
        self.assertEqual(self.lines("were not logged"), [])


class EventsKeptTest(_EventsCase):
    servers = None

    def heard(self, limits):
        """What a reader is told who comes when all is quiet: the texts up to that of an event which it provokes."""
        self.start({"demo": demo()}, {"limits": limits})
        self.daemon.log.wait("health unknown -> healthy")
        events = self.listen()
        r = self.ask("/log-level?level=debug", method="POST")
        self.assertEqual(r.status, 200)
        texts = []
        self.until(events, "log", lambda e: texts.append(e["message"]) or e["message"].startswith("log level info -> debug"))
        self.daemon.stop()
        return texts

    def test_events_kept_bound_what_a_new_reader_hears(self):
        everything = self.heard({})
        self.assertIn("mcpoold", everything[0])
        self.assertGreater(len(everything), 8)
        few = self.heard({"events_kept": 3})
        self.assertIn(len(few), (3, 4))  # the new one takes a place, before or after all three were told
        self.assertIn("health unknown -> healthy", few[-2])
        self.assertLessEqual(len(self.heard({"events_kept": 1})), 2)
