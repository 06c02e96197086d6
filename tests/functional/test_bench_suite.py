"""The benchmark suite as a whole, in a run too short to say anything: every figure is where it should be, none is judged."""
import json
import os
import signal
import subprocess
import sys
import tempfile
import unittest
import uuid

from daemon import DEADLINE, MCPOOLD, ROOT, poll_until
from harness import DaemonCase, demo

sys.path.insert(0, os.path.join(ROOT, "tests", "bench"))

import plot  # noqa: E402
import report  # noqa: E402
from rows import CALLS, CPU, P99, Bound, Metric, Ratio, Row, load_rows  # noqa: E402
from rows_life import life_rows  # noqa: E402

SSE_LOAD = os.path.join(ROOT, "tests", "bench", "peers", "sse_load.py")
SUITE = os.path.join(ROOT, "tests", "bench", "bench.py")


class FakeTarget:
    def __init__(self, key):
        self.key = self.label = key


def results_of(rounds, ratios, metrics=(CALLS, CPU), failed=None):
    """What the JSON holds of a row with these runs."""
    row = Row("name", "A title", (), metrics=metrics, ratios=ratios)
    keys = sorted({key for results in rounds for key in results} | set(failed or {}))
    return report.row_results(row, [FakeTarget(key) for key in keys], rounds, failed or {}, [])


def whole(row):
    """The JSON of a run that had only this row."""
    return {"machine": {"cpu": "x" * 200, "cpus": 2, "virtual": True, "kernel": "6.1", "load_average": [0.5, 0, 0]},
            "versions": {"mcpoold": "mcpoold 0.1.0", "haproxy": "HAProxy version 2.6.12-1+deb12u4 2026/10/17 - https://haproxy.org/"},
            "options": {"runs": 3, "cpus": [0, 1], "peers": False}, "rows": [row]}


class ReportTest(unittest.TestCase):
    ROUNDS = [{"a": {"calls_per_second": 100.0, "cpu_us_per_call": 5.0}, "b": {"calls_per_second": 50.0, "cpu_us_per_call": None}},
              {"a": {"calls_per_second": 300.0, "cpu_us_per_call": 9.0}, "b": {"calls_per_second": 100.0}},
              {"a": {"calls_per_second": 120.0, "cpu_us_per_call": 6.0}, "b": {"calls_per_second": 20.0}}]

    def test_medians_and_extremes_are_of_the_runs_that_have_the_value(self):
        a, b = results_of(self.ROUNDS, ())["targets"]
        self.assertEqual(a["medians"]["calls_per_second"], {"median": 120, "min": 100, "max": 300})
        self.assertEqual(sorted(b["medians"]), ["calls_per_second"])

    def test_ratios_are_formed_in_each_round(self):
        # Of the medians it would be 120 / 50.
        r = results_of(self.ROUNDS, (Ratio(CALLS, "a", "b", at_least=3),))["ratios"][0]
        self.assertEqual((r["median"], r["min"], r["max"], r["reached"]), (3, 2, 6, True))

    def test_a_ratio_of_medians_is_one_where_rounds_come_out_at_nothing(self):
        rounds = [{"a": {"p99_us": 1.0}, "b": {"p99_us": -5.0}}, {"a": {"p99_us": 2.0}, "b": {"p99_us": 4.0}},
                  {"a": {"p99_us": 3.0}, "b": {"p99_us": 8.0}}]
        r = results_of(rounds, (Ratio(P99, "a", "b", at_most=0.4, of_medians=True),), (P99,))["ratios"][0]
        self.assertEqual((r["median"], r["reached"]), (0.5, False))

    def test_what_was_not_measured_is_not_compared(self):
        ratios = (Ratio(CPU, "a", "b", at_most=1), Ratio(CALLS, "a", "c", at_most=1), Ratio(CALLS, "c", "a", at_most=1))
        self.assertEqual(results_of(self.ROUNDS, ratios)["ratios"], [])

    def test_a_bound_needs_no_other_target(self):
        r = results_of(self.ROUNDS, (Bound(CPU, "a", 4.0),))["ratios"][0]
        self.assertEqual((r["median"], r["reached"], r["at_most"]), (1.5, False, 1))

    def test_a_ratio_without_target_has_no_verdict(self):
        r = results_of(self.ROUNDS, (Ratio(CALLS, "a", "b"),))["ratios"][0]
        self.assertNotIn("reached", r)
        self.assertEqual(report.targets_table([results_of(self.ROUNDS, (Ratio(CALLS, "a", "b"),))]), [])

    def test_the_table_fits_its_width(self):
        wide = {"x" * 23: {key: 123456.789 * n for key in ("calls_per_second", "p50_us", "p99_us", "cpu_us_per_call")} for n in (1,)}
        rounds = [wide, {k: {m: v * 9.99 for m, v in values.items()} for k, values in wide.items()}]
        row = results_of(rounds, (Bound(P99, "x" * 23, 10.0, "a bound with a long name"),), (CALLS, Metric("p50_us", "p50", "us"), P99, CPU),
                         {"b": "a sentence " * 30})
        text = report.table(whole(row))
        self.assertEqual([line for line in text.split("\n") if len(line) > report.WIDTH], [])
        self.assertIn("b could not be measured: a sentence", text)

    def test_amounts_have_three_digits_and_one_unit_a_cell(self):
        for value, unit, text in ((7.406, "us", "7.41 µs"), (12345, "us", "12.3 ms"), (1536, "bytes", "1,536 B"),
                                  (3.5 * (1 << 20), "bytes", "3.50 MiB"), (247123, "rate", "247 k"), (99.97, "ms", "100 ms"),
                                  (-0.25, "ms", "-0.25 ms"), (2.5e9, "speed", "2.50 GB/s"), (0, "us", "0.00 µs")):
            self.assertEqual(report.amount(value, unit), text)
        self.assertEqual(report.spread({"median": 12345, "min": 999, "max": 20000}, "us"), "12.3 ms (1.00-20.0)")

    def test_versions_are_found_in_what_programs_say(self):
        for said, version in (("HAProxy version 2.6.12-1+deb12u4 2026/10/17 - https://haproxy.org/", "2.6.12-1+deb12u4"),
                              ("nginx version: nginx/1.22.1", "1.22.1"), ("mcpoold 0.1.0", "0.1.0"), ("v24.21.0", "v24.21.0")):
            self.assertEqual(report.short("x", said), version)

    def test_plots_name_every_measured_target(self):
        row = dict(results_of([{"floor": {"calls_per_second": 2.0}, "mcpool": {"calls_per_second": 1.0}}],
                              (Ratio(CALLS, "mcpool", "floor", at_least=0.6),)), name="http-32")
        drawn = plot.panels(whole(row))
        self.assertEqual([panel.name for panel in drawn], ["http", "targets"])
        script = "\n".join(drawn[0].lines)
        for part in ('"floor"', '"mcpool"', "2 2 2", "1 1 1"):
            self.assertIn(part, script)
        self.assertIn('"http-32, calls/s of mcpool / floor" 1.2', "\n".join(drawn[1].lines))  # 0.6 was wanted, 0.5 is there

    def test_rows_compare_what_they_measure(self):
        class Bench:
            peers = True
        rows = load_rows() + life_rows()
        self.assertEqual(len({row.name for row in rows}), len(rows))
        for row in rows:
            keys = [target.key for target in row.targets(Bench())]
            self.assertEqual(len(set(keys)), len(keys), row.name)
            for ratio in row.ratios:
                self.assertIn(ratio.of, keys, row.name)
                self.assertIn(getattr(ratio, "to", ratio.of), keys, row.name)


class SuiteTest(unittest.TestCase):
    """The real thing, with what every machine has that can build mcpool."""
    ROWS = {"unix-1": {"straight", "floor-unix", "mcpool-unix"}, "half-load": {"straight", "http-server", "floor", "mcpool"},
            "churn": {"floor", "floor-unix", "mcpool", "mcpool-unix"}, "rest": {"floor", "mcpool"},
            "start": {"straight", "floor-unix", "mcpool-unix", "mcpool"}, "recovery": {"straight", "server-killed", "daemon-killed"}}

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="mcpool-test-")  # pylint: disable=consider-using-with
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.mark = "MCPOOL_TEST_MARK=" + uuid.uuid4().hex

    def suite(self, *args):
        name, value = self.mark.split("=")
        # Who runs the tests in the background of a shell has SIGINT ignored.
        p = subprocess.Popen(  # pylint: disable=consider-using-with
            ["env", "--default-signal=INT", sys.executable, SUITE, "--quick", "--mcpoold", MCPOOLD, "--out", self.folder,
             "--without", "haproxy,nginx", *args],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env=dict(os.environ, TMPDIR=self.folder, **{name: value}))
        self.addCleanup(self.end, p)
        return p

    @staticmethod
    def end(p):
        if p.poll() is None:
            p.terminate()
        p.communicate()

    def left(self):
        """Processes of the run that are still there, mcpool's included: all have its environment."""
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open("/proc/%s/environ" % pid, "rb") as f:
                    if self.mark.encode() in f.read().split(b"\0"):
                        found.append(pid)
            except OSError:
                continue
        return found

    def test_a_run_measures_everything_and_leaves_nothing(self):
        p = self.suite("--runs", "2", "--seconds", "0.05", "--only", ",".join(self.ROWS))
        table, progress = p.communicate(timeout=DEADLINE * 5)
        self.assertEqual(p.returncode, 0, progress)
        with open(os.path.join(self.folder, "bench.json"), encoding="utf-8") as f:
            results = json.load(f)
        self.assertEqual({row["name"] for row in results["rows"]}, set(self.ROWS))
        for row in results["rows"]:
            with self.subTest(row["name"]):
                self.check_row(row, table)
                self.assertIn("%s: run 2 of 2:" % row["name"], progress)
        self.assertIn("mcpoold", results["versions"])
        self.assertLessEqual({"cpu", "cpus", "kernel"}, set(results["machine"]))
        self.assertEqual([line for line in table.split("\n") if len(line) > report.WIDTH], [])
        poll_until(lambda: not self.left(), lambda: "the end of processes %s" % self.left())
        self.assertEqual([name for name in os.listdir(self.folder) if not name.startswith("bench.")], [])

    def check_row(self, row, table):
        self.assertEqual(row["failed"], {})
        self.assertEqual({t["key"] for t in row["targets"]}, self.ROWS[row["name"]])
        self.assertLessEqual(set(row["absent"]), {"haproxy", "nginx"})
        self.assertIn("\n%s: %s" % (row["name"], row["title"]), table)
        if row["name"] == "half-load":  # haproxy would have set the rate
            self.assertEqual([t["runs"] for t in row["targets"]], [[None, None]] * 4)
            return
        for target in row["targets"]:
            self.assertIn(target["label"], table)
            self.assertEqual(len(target["runs"]), 2)
            first = row["metrics"][0]["key"]
            for run in target["runs"]:
                self.assertGreater(run[first], 0)
                self.assertEqual(run.get("load", {}).get("errors", 0), 0)
            self.assertLessEqual({first}, set(target["medians"]))
        for ratio in row["ratios"]:
            self.assertLessEqual(ratio["min"], ratio["median"])
            self.assertLessEqual(ratio["median"], ratio["max"])

    def test_an_interrupt_ends_it_and_all_that_it_started(self):
        p = self.suite("--only", "unix-32", "--without", "straight", "--seconds", "600")
        said = ""
        while "floor-unix" not in said:  # its load runs, or is about to
            part = p.stderr.read(1)
            self.assertTrue(part, said)
            said += part
        poll_until(lambda: len(self.left()) > 3, "processes of the run")
        p.send_signal(signal.SIGINT)
        p.communicate(timeout=DEADLINE * 2)
        self.assertEqual(p.returncode, 130)
        poll_until(lambda: not self.left(), lambda: "the end of processes %s" % self.left())
        self.assertEqual(os.listdir(self.folder), [])

    def test_what_cannot_be_measured_is_said_and_counts(self):
        p = self.suite("--programs", self.folder, "--only", "rest")
        table, _ = p.communicate(timeout=DEADLINE * 2)
        self.assertEqual(p.returncode, 1)
        self.assertIn("mcpool could not be measured: %s/stdio-server is not there" % self.folder, table)

    def test_a_row_that_is_none_is_refused_with_the_names_of_all(self):
        p = self.suite("--only", "unix-1,nonsense")
        _, said = p.communicate(timeout=DEADLINE)
        self.assertEqual(p.returncode, 1)
        self.assertIn("there is no row nonsense; there are: http-1 ", said)

class SseLoadTest(DaemonCase):
    """The load generator for the transport that only mcp-hub needs, on mcpool, which has it too."""
    servers = {"demo": demo()}

    def load(self, *args):
        argv = [sys.executable, SSE_LOAD, "--http", "%s:%d/sse/demo" % (self.daemon.host, self.daemon.port), "--tool", "echo",
                "--seconds", "0.1", "--warmup", "1", *args]
        return subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=DEADLINE * 2, check=False)

    def test_it_says_what_load_says(self):
        p = self.load("--sessions", "3", "--pid", str(self.daemon.process.pid))
        self.assertEqual((p.returncode, p.stderr), (0, ""))
        said = json.loads(p.stdout)
        self.assertGreaterEqual(said["calls"], 3)
        self.assertEqual(said["errors"], 0)
        self.assertGreater(said["calls_per_second"], 0)
        self.assertEqual(list(said["cpu_us_per_call"]), [str(self.daemon.process.pid)])
        latencies = [said["latency_us"][name] for name in ("min", "p50", "p90", "p99", "p999", "max")]
        self.assertEqual(latencies, sorted(latencies))

    def test_a_wrong_answer_ends_it(self):
        p = self.load("--result-bytes", "99")  # the demo server echoes the 100 bytes that it was sent
        self.assertEqual((p.returncode, p.stdout), (1, ""))
        self.assertIn("wrong answer to 1", p.stderr)


if __name__ == "__main__":
    unittest.main()
