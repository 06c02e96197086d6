"""GET /events: what happens, told to those who watch."""
import json
import os
import re

from harness import DaemonCase, HttpConn, fake, is_sanitized, poll_until

READERS_MAX = 16


class EventsCase(DaemonCase):
    servers = {"fake": fake(), "missing": {"command": "/no/such/program"}}

    def admin(self):
        c = HttpConn(self.daemon.socket_path("admin"))
        self.clients.append(c)
        return c

    def ask(self, path, *fields, method="GET", conn=None, version="1.1"):
        c = conn or self.admin()
        head = "".join("%s\r\n" % f for f in ("Host: localhost",) + fields)
        c.send(("%s %s HTTP/%s\r\n%s\r\n" % (method, path, version, head)).encode())
        return c.read_response(method, whole=False)

    def listen(self, *fields, **more):
        """A reader: calls of what is returned give the next event."""
        c = self.admin()
        r = self.ask("/events", *fields, conn=c, **more)
        self.assertEqual((r.status, r.media_type), (200, "text/event-stream"))
        self.assertEqual(r.headers.get("Cache-Control"), "no-store")
        return lambda: c.next_event(r)

    def until(self, next_event, name, condition):
        """The next event of that name for which the condition holds, as (event, JSON)."""
        while True:
            e = next_event()
            self.assertIsNotNone(e, "the stream ended")
            self.assertIn(e.event, ("status", "log", "lost"))
            data = json.loads(e.data)
            if e.event == name and condition(data):
                return e, data

    @staticmethod
    def server(status, name):
        return next(s for s in status["servers"] if s["name"] == name)


class EventsTest(EventsCase):
    def test_the_first_event_is_the_status_and_more_follow(self):
        events = self.listen()
        first = events()
        self.assertEqual((first.event, first.id), ("status", None))
        told = json.loads(first.data)
        asked = json.loads(self.ask_whole("/status").body)
        self.assertEqual(told.keys(), asked.keys())
        self.assertEqual([s.keys() for s in told["servers"]], [s.keys() for s in asked["servers"]])
        _, later = self.until(events, "status", lambda s: s["uptime_seconds"] > told["uptime_seconds"])
        self.assertEqual(later["pid"], told["pid"])

    def ask_whole(self, path):
        c = self.admin()
        return c.exchange(("GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n" % path).encode(), "GET")

    def test_a_death_is_seen_as_it_happens(self):
        c = self.http("fake")
        c.tool("report")
        events = self.listen()
        self.until(events, "status", lambda s: self.server(s, "fake")["health_status"] == "healthy")
        self.kill(c)
        e, entry = self.until(events, "log", lambda e: e["server"] == "fake" and e["level"] in ("warning", "error"))
        self.assertRegex(e.id, r"^\d+-\d+$")
        self.assertRegex(entry["time"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")
        self.assertEqual(entry["slot"], 0)
        self.assertTrue(entry["message"])
        self.until(events, "status", lambda s: self.server(s, "fake")["metrics"]["successful_recoveries"] == 1)

    def test_the_log_is_told_whatever_level_is_logged(self):
        self.daemon.stop()
        self.start(config={"log_level": "error"}, wait=False)
        poll_until(lambda: os.path.exists(self.daemon.socket_path("admin")), "the admin socket")
        _, entry = self.until(self.listen(), "log", lambda e: e["server"] == "missing" and e["level"] == "warning")
        self.assertIn("No such file", entry["message"])
        self.assertEqual([line for line in self.daemon.log.lines if " warning " in line], [])

    def test_who_comes_back_hears_what_was_missed_and_nothing_twice(self):
        events = self.listen()
        last, _ = self.until(events, "log", lambda e: e["server"] == "missing")
        again = self.listen("Last-Event-ID: " + last.id)
        c = self.http("fake")
        c.tool("report")
        self.kill(c)
        number = int(last.id.split("-")[1])
        e, _ = self.until(again, "log", lambda e: True)
        self.assertEqual(int(e.id.split("-")[1]), number + 1)

    def test_an_id_of_another_process_hears_everything(self):
        poll_until(lambda: self.daemon.log.matching("server=missing"), "a log line")
        first, _ = self.until(self.listen(), "log", lambda e: True)
        self.daemon.stop()
        self.daemon.start()
        for foreign in (first.id, "x" * 100, "17"):
            e, entry = self.until(self.listen("Last-Event-ID: " + foreign), "log", lambda e: True)
            self.assertEqual(e.id.split("-")[1], "1")
            self.assertNotEqual(e.id, first.id)

    def test_old_clients_and_heads(self):
        r = self.ask("/events", method="HEAD")
        self.assertEqual((r.status, r.media_type), (200, "text/event-stream"))
        events = self.listen(version="1.0")
        self.assertEqual(events().event, "status")

    def test_readers_who_are_too_many_are_refused_and_others_served(self):
        readers = [self.listen() for _ in range(READERS_MAX)]
        r = self.ask("/events")
        self.assertEqual(r.status, 503)
        self.assertEqual(self.ask_whole("/status").status, 200)
        for events in readers:
            self.assertEqual(events().event, "status")
        for c in self.clients:
            c.close()

        def room():
            return self.ask("/events").status == 200
        poll_until(room, "room for another reader")

    def test_what_a_reader_sends_is_not_kept(self):
        c = self.admin()
        r = self.ask("/events", conn=c)
        before = self.daemon.rss_kb()
        for _ in range(64):
            c.send(b"x" * (1 << 18))
        self.assertEqual(c.next_event(r).event, "status")
        if not is_sanitized():
            self.assertLess(self.daemon.rss_kb() - before, 8 << 10)


class PortTest(EventsCase):
    config = {"admin_listen": "127.0.0.1:0", "resilience": {"min_connections": 1, "max_connections": 1}}

    def test_the_port_tells_the_status_and_not_the_log(self):
        (line,) = self.daemon.log.matching("read-only, on http://")
        host, port = re.search(r"http://(\S+):(\d+)", line).groups()
        self.until(self.listen(), "log", lambda e: e["server"] == "missing")
        c = HttpConn((host, int(port)))
        self.clients.append(c)
        r = self.ask("/events", conn=c)
        self.assertEqual(r.status, 200)
        told = []
        while len(told) < 3:
            told.append(c.next_event(r))
        self.assertEqual({e.event for e in told}, {"status"})
        self.assertEqual({json.loads(e.data)["read_only"] for e in told}, {True})


class SlowReaderTest(EventsCase):
    servers = {"s%03d" % i: {"command": "/no/such/program"} for i in range(300)}
    config = {"resilience": {"min_connections": 0}}

    def test_a_reader_that_does_not_read_costs_little_and_holds_up_nobody(self):
        quick = self.listen()
        lazy = [self.listen() for _ in range(10)]
        size = len(quick().data)
        self.assertGreater(size, 500_000)
        before = self.daemon.rss_kb()
        for _ in range(3):
            self.until(quick, "status", lambda s: len(s["servers"]) == 300)
        if not is_sanitized():
            self.assertLess(self.daemon.rss_kb() - before, 10 * size // 1024)
        self.assertEqual(lazy[0]().event, "status")
