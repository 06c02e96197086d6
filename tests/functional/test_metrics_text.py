"""GET /metrics: held against a parser of OpenMetrics that is not ours, against the table, and against what happened."""
import os
import re
import shutil
import subprocess
import tempfile
import time

from daemon import ROOT
from harness import SINGLE, DaemonCase, HttpConn, RpcError, demo, fake, poll_until
from prometheus_client.openmetrics.parser import text_string_to_metric_families

CONTENT_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"
PROMETHEUS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
REQUEST = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n%s\r\n"
SAMPLE = re.compile(r"^([a-z_]+(?:\{.*\})?) (\S+)$")
ROW = re.compile(r'X\((\w+), (COUNTER|GAUGE|HISTOGRAM|INFO), (SERVER|PROCESS), "(\w+)", "(\w*)",')


def rows():
    """Every family of the table: {name: (type, scope, unit)}."""
    with open(os.path.join(ROOT, "include", "metrics", "metrics.h"), encoding="utf-8") as f:
        text = re.sub(r"\s*\\\n\s*", " ", f.read())
    found = {name: (kind.lower(), scope, unit) for _, kind, scope, name, unit in ROW.findall(text)}
    assert len(found) == text.count(', SERVER, "') + text.count(', PROCESS, "'), "a row that this pattern does not know"
    return found


class MetricsCase(DaemonCase):
    servers = {"demo": demo(), "fake": fake()}
    config = {"resilience": SINGLE}

    def fetch(self, accept=None):
        conn = HttpConn(os.path.join(self.daemon.runtime_dir, "admin.sock"))
        field = b"" if accept is None else b"Accept: " + accept + b"\r\n"
        try:
            response = conn.exchange(REQUEST % field, "GET")
        finally:
            conn.close()
        self.assertEqual(response.status, 200)
        self.assertEqual(response.headers.get("Vary"), "Accept")
        return response

    def scrape(self):
        """Every family, by its name."""
        response = self.fetch()
        self.assertEqual(response.headers.get("Content-Type"), CONTENT_TYPE)
        text = bytes(response.body).decode("utf-8")
        self.assertTrue(text.endswith("\n# EOF\n"))
        families = list(text_string_to_metric_families(text))  # raises ValueError for what the specification forbids
        self.assertEqual(len({f.name for f in families}), len(families))
        return {f.name: f for f in families}

    @staticmethod
    def value(families, sample, **labels):
        """The sum of the samples of that name that have these labels."""
        found = [s.value for f in families.values() for s in f.samples
                 if s.name == sample and labels.items() <= s.labels.items()]
        assert found, "no sample %s %s" % (sample, labels)
        return sum(found)


class MetricsTextTest(MetricsCase):
    def test_the_text_holds_every_family_of_the_table_and_no_other(self):
        families = self.scrape()
        self.assertEqual({n: (f.type, f.unit) for n, f in families.items()},
                         {n: (kind, unit) for n, (kind, _, unit) in rows().items()})
        for name, (_, scope, _) in rows().items():
            self.assertTrue(families[name].documentation, name)
            servers = {s.labels.get("server") for s in families[name].samples}
            self.assertEqual(servers, {"demo", "fake"} if scope == "SERVER" else {None}, name)

    def test_calls_are_counted_by_how_they_ended(self):
        c = self.http("demo")
        before = self.scrape()
        for _ in range(7):
            c.tool("echo", {"text": "x"})
        with self.assertRaises(RpcError):
            c.request("tools/call", {"name": "no such tool", "arguments": {}})
        after = self.scrape()

        def risen(sample, **labels):
            return self.value(after, sample, **labels) - self.value(before, sample, **labels)
        for server, outcome, want in (("demo", "result", 7), ("demo", "error", 1), ("demo", "failed", 0),
                                      ("demo", "cancelled", 0), ("fake", "result", 0)):
            labels = {"server": server, "outcome": outcome}
            self.assertEqual(risen("mcpool_calls_total", **labels), want, labels)
            self.assertEqual(risen("mcpool_call_duration_seconds_count", **labels), want, labels)
        self.assertEqual(risen("mcpool_call_duration_seconds_bucket", server="demo", outcome="result", le="+Inf"), 7)
        self.assertGreater(risen("mcpool_call_duration_seconds_sum", server="demo", outcome="result"), 0)
        self.assertEqual(self.value(after, "mcpool_calls_running", server="demo"), 0)

    def test_a_killed_server_shows_and_counters_never_fall(self):
        c = self.http("fake")
        before = self.scrape()
        call, _ = self.hold(c)
        self.assertEqual(self.value(self.scrape(), "mcpool_calls_running", server="fake"), 1)
        mark = self.kill(c)
        with self.assertRaises(RpcError):
            call.text()
        self.wait_successor(mark)
        after = poll_until(lambda: self.recovered(), "a measured recovery")
        self.assertEqual(self.value(after, "mcpool_call_failures_total", server="fake", reason="upstream_lost"), 1)
        self.assertEqual(self.value(after, "mcpool_call_failures_total", server="fake"),
                         self.value(after, "mcpool_calls_total", server="fake", outcome="failed"))
        self.assertEqual(self.value(after, "mcpool_connections_lost_total", server="fake"), 1)
        self.assertEqual(self.value(after, "mcpool_connections_lost_total", server="demo"), 0)
        self.assertEqual(self.value(after, "mcpool_pool_slots", server="fake", state="ready"), 1)
        self.assertEqual(self.value(after, "mcpool_calls_running", server="fake"), 0)
        for name, family in before.items():
            if family.type == "gauge":
                continue
            later = {(s.name, tuple(sorted(s.labels.items()))): s.value for s in after[name].samples}
            for s in family.samples:
                self.assertGreaterEqual(later[s.name, tuple(sorted(s.labels.items()))], s.value, s)

    def recovered(self):
        families = self.scrape()
        return families if self.value(families, "mcpool_recovery_time_seconds_count", server="fake") == 1 else None

    def test_waits_are_told_by_how_they_ended(self):
        self.daemon.stop()
        self.start({"hasty": fake(resilience={"queue_timeout": 0.3}), "patient": fake(resilience={"queue_timeout": 60})},
                   {"resilience": SINGLE, "limits": {"max_in_flight_per_connection": 1, "drain_timeout": 1}})
        hasty, patient = self.http("hasty"), self.http("patient")
        sent = self.value(self.scrape(), "mcpool_queue_wait_seconds_count", server="hasty", outcome="sent")
        for c, server in ((hasty, "hasty"), (patient, "patient")):
            self.hold(c, server=server)
        self.assertEqual(hasty.start_tool("report").error().data["delivered"], "no")
        cancelled = patient.start_tool("report")
        poll_until(lambda: self.value(self.scrape(), "mcpool_calls_waiting", server="patient") == 1, "a call in line")
        self.assertGreater(self.value(self.scrape(), "mcpool_queue_bytes", server="patient"), 0)
        patient.cancel(cancelled)
        poll_until(lambda: self.value(self.scrape(), "mcpool_calls_waiting", server="patient") == 0, "its end")
        families = self.scrape()

        def waits(server, outcome, what="count"):
            return self.value(families, "mcpool_queue_wait_seconds_" + what, server=server, outcome=outcome)
        self.assertEqual([waits("hasty", "sent") - sent, waits("hasty", "refused"), waits("hasty", "cancelled")], [1, 1, 0])
        self.assertEqual([waits("patient", "refused"), waits("patient", "cancelled")], [0, 1])
        self.assertGreaterEqual(waits("hasty", "refused", "sum"), 0.3)

    def test_attempts_are_timed(self):
        self.daemon.stop()
        self.start({"missing": {"command": "/no/such/program"}, "fake": fake()},
                   {"resilience": {**SINGLE, "backoff_base": 0.1, "max_backoff_delay": 0.1, "recovery_jitter_max": 0}})
        self.daemon.allow_error(" breaker ")

        def attempts(server, outcome):
            return self.value(self.scrape(), "mcpool_recovery_attempt_duration_seconds_count", server=server, outcome=outcome)
        poll_until(lambda: attempts("missing", "failure") >= 2, "attempts that failed")
        self.assertEqual(attempts("missing", "success"), 0)
        c = self.http("fake")
        self.kill(c)
        poll_until(lambda: attempts("fake", "success") == 1, "an attempt with success")
        families = self.scrape()
        for event, done in (("attempt", True), ("success", True), ("forced", False)):
            at = self.value(families, "mcpool_last_recovery_timestamp_seconds", server="fake", event=event)
            self.assertEqual(abs(at - time.time()) < 3600 if done else at == 0, True, (event, at))
        self.assertEqual(self.value(families, "mcpool_connections_failed", server="missing"), 1)
        self.assertEqual(self.value(families, "mcpool_pool_max_size", server="missing"), 1)

    def test_clients_and_the_process_are_counted(self):
        before = self.scrape()
        self.http("demo"), self.line("demo")
        after = self.scrape()
        for name, labels, rise in (("mcpool_client_connections", {"protocol": "lines"}, 1), ("mcpool_sessions", {}, 2)):
            self.assertEqual(self.value(after, name, **labels) - self.value(before, name, **labels), rise, name)
        self.assertGreaterEqual(self.value(after, "mcpool_client_connections", protocol="http"), 1)
        self.assertGreaterEqual(self.value(after, "mcpool_client_connections_accepted_total"), 2)
        self.assertAlmostEqual(self.value(after, "process_open_fds"), len(os.listdir("/proc/%d/fd" % self.daemon.process.pid)), delta=5)
        self.assertGreater(self.value(after, "process_resident_memory_bytes"), 1 << 20)
        self.assertGreater(self.value(after, "process_cpu_seconds_total"), 0)
        self.assertLess(abs(self.value(after, "process_start_time_seconds") - time.time()), 3600)
        self.assertRegex(after["mcpool_build"].samples[0].labels["version"], r"^\d+\.\d+\.\d+")

    def test_one_state_of_a_server_is_1_and_the_others_are_0(self):
        self.http("demo").tool("echo", {"text": "x"})
        families = self.scrape()
        for family, state in (("mcpool_breaker_state", "closed"), ("mcpool_server_health", "healthy")):
            self.assertEqual(self.value(families, family, server="demo"), 1, family)
            self.assertEqual(self.value(families, family, server="demo", state=state), 1, family)

    def test_the_format_is_the_one_that_the_scraper_asks_for(self):
        for accept, want in (
                (None, CONTENT_TYPE), (b"*/*", CONTENT_TYPE), (b"", CONTENT_TYPE), (b"text/html", CONTENT_TYPE),
                (b"application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.1", CONTENT_TYPE),
                (b"text/plain;version=0.0.4;q=1,*/*;q=0.1", PROMETHEUS_TYPE), (b"Text/Plain", PROMETHEUS_TYPE),
                (b"text/plainer", CONTENT_TYPE)):
            with self.subTest(accept=accept):
                self.assertEqual(self.fetch(accept).headers.get("Content-Type"), want)

    def test_both_formats_hold_the_same_samples(self):
        def names(text):
            return [m.group(1) for m in map(SAMPLE.match, text.split("\n")) if m]
        new, old = (bytes(self.fetch(accept).body).decode() for accept in (None, b"text/plain"))
        self.assertEqual(names(new), names(old))
        self.assertGreater(len(names(new)), 100)


class PromtoolTest(MetricsCase):
    """What the parsers of Prometheus say, after everything that can be counted has been."""

    def setUp(self):
        super().setUp()
        self.promtool = shutil.which("promtool")
        if not self.promtool:
            if os.environ.get("CI"):
                self.fail("promtool is not installed; scripts/deps test installs it")
            self.skipTest("promtool is not installed; scripts/deps test installs it")

    def make_busy(self):
        c = self.http("fake")
        with self.assertRaises(RpcError):
            c.request("tools/call", {"name": "no such tool", "arguments": {}})
        for way in self.every_way_in():
            way.tool("echo", {"text": "x"})
        call, _ = self.hold(c)
        mark = self.kill(c)
        with self.assertRaises(RpcError):
            call.text()
        self.wait_successor(mark)

    def run_promtool(self, *args, **more):
        r = subprocess.run([self.promtool, *args], capture_output=True, timeout=60, **more)
        return r.returncode, r.stdout.decode() + r.stderr.decode()

    def test_promtool_finds_nothing_to_object_to(self):
        self.make_busy()
        text = bytes(self.fetch(b"text/plain").body)
        self.assertEqual(self.run_promtool("check", "metrics", input=text), (0, ""))
        code, said = self.run_promtool("check", "metrics", input=text + b"mcpool_bad 1\n")
        self.assertNotEqual((code, said), (0, ""), "promtool does not look")

    def test_prometheus_stores_every_sample_of_the_openmetrics_text(self):
        """promtool check metrics knows the older format only; its import of OpenMetrics uses the parser of the
        server. It wants a timestamp on each sample, which a scrape does without."""
        self.make_busy()
        lines = bytes(self.fetch().body).decode().split("\n")
        stamp = " %d" % time.time()
        stamped = [line + stamp if line and not line.startswith("#") else line for line in lines]
        count = sum(1 for line in lines if line and not line.startswith("#"))
        with tempfile.TemporaryDirectory(prefix="mcpool-tsdb-") as place:
            source, blocks = os.path.join(place, "text"), os.path.join(place, "blocks")

            def store(text):
                with open(source, "w", encoding="utf-8") as f:
                    f.write(text)
                return self.run_promtool("tsdb", "create-blocks-from", "openmetrics", source, blocks)
            code, said = store("\n".join(stamped))
            self.assertEqual(code, 0, said)
            code, listed = self.run_promtool("tsdb", "list", blocks)
            self.assertEqual(code, 0, listed)
            self.assertEqual(listed.split("\n")[1].split()[4:7], [str(count)] * 3, listed)  # samples, chunks, series
            code, said = store("\n".join(stamped[:-2]))  # without "# EOF"
            self.assertNotEqual(code, 0, "promtool does not look")
