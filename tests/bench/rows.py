"""The rows of the table that `load` measures: calls, latency, large results, events, sessions opened and closed.

A row is a set of targets, each measured in turn, over and over; what is compared with what stands beside it. rows_life.py
has the rows about memory, starts and recovery. README.md says how to add one."""
from driver import load
from peers import PEERS
from processes import memory, reset_peak
from targets import (Floor, FloorUnix, Haproxy, HttpServer, Mcpool, McpoolServers, McpoolUnix, Nginx, Straight)

MIB = 1 << 20


class Metric:
    """A column: its key in the JSON, its heading, its unit (report.py says how each is shown)."""

    def __init__(self, key, heading, unit):
        self.key, self.heading, self.unit = key, heading, unit


CALLS = Metric("calls_per_second", "calls/s", "rate")
P50 = Metric("p50_us", "p50", "us")
P99 = Metric("p99_us", "p99", "us")
CPU = Metric("cpu_us_per_call", "CPU a call", "us")
PEAK = Metric("peak_bytes", "peak RSS", "bytes")


class Ratio:
    """One value over another of the same round, with the target of the suite if there is one. Where single rounds may come
    out at nothing, it is the ratio of the medians instead."""

    def __init__(self, metric, of, to, at_most=None, at_least=None, of_medians=False):
        # pylint: disable=too-many-arguments
        self.metric, self.of, self.to, self.at_most, self.at_least = metric, of, to, at_most, at_least
        self.of_medians = of_medians


class Bound:
    """A value over a bound that no other target sets."""

    def __init__(self, metric, of, bound, text=None):
        self.metric, self.of, self.bound, self.text = metric, of, bound, text
        self.at_most, self.at_least = 1.0, None


class Row:
    """A row as most are: some way of calling `load`. The others derive from it."""
    alone = False  # everything on one processor
    together = True  # the targets are started once, for all rounds

    def __init__(self, name, title, targets, options=None, metrics=(CALLS, P50, P99, CPU), ratios=()):
        # pylint: disable=too-many-arguments
        self.name, self.title, self.kinds = name, title, targets
        self.options, self.metrics, self.ratios = options or {}, metrics, ratios
        self.note = None

    def targets(self, bench):
        return [kind(bench) for kind in self.kinds]

    def begin(self, bench, targets):
        """After the targets were started, before the first round."""

    def measure(self, bench, target):
        """One run of one target: its metrics by key, and under "load" what `load` printed."""
        return figures(load(target, **self.settings(bench, target)), target)

    def settings(self, bench, target):
        options = {"seconds": bench.seconds * target.patience, "warmup": target.warmup, **self.options}
        if target.key == "straight" and not options.get("window"):
            # There is one pipe, so what others have in flight in many sessions is in flight in this one.
            options["window"] = options.pop("sessions", 1)
        return options

    def finish(self, results):
        """Completes a round, in which values may come of those of several targets."""


def figures(said, target):
    """The metrics in what `load` has printed."""
    cpu = said.get("cpu_us_per_call") or {}
    return {
        "calls_per_second": said["calls_per_second"], "p50_us": said["latency_us"]["p50"],
        "p99_us": said["latency_us"]["p99"], "cpu_us_per_call": cpu.get(str(target.pid)) if target.pid else None,
        "load": said}


class OneCpu(Row):
    """With one call in flight everything is on one processor: waking another one costs more than the call, and how much
    more depends on where the scheduler puts whom."""
    alone = True

    def begin(self, bench, targets):
        self.note = "a message through a pipe and one back, without anything else: %.1f µs" % (1e6 / bench.probe("pipe"))


class HalfLoad(Row):
    """Latency at half of the load that haproxy can take at most: an open loop, the same rate for all. What is added is the
    99th percentile less that of the server without anything in between, at the same rate."""
    ADDED = Metric("added_p99_us", "p99 added", "us")
    TIMES = 2  # as long as others: the 99th percentile needs many calls
    rate = None

    def __init__(self, name, sessions):
        super().__init__(
            name, "Latency at half of haproxy's highest load, %d sessions" % sessions,
            (Straight, HttpServer, Floor, Mcpool, Haproxy, Nginx), {"sessions": sessions},
            metrics=(P50, P99, self.ADDED, CPU),
            ratios=(Ratio(self.ADDED, "mcpool", "haproxy", at_most=2.0, of_medians=True),
                    Ratio(P99, "mcpool", "haproxy"), Ratio(P99, "floor", "haproxy")))

    def begin(self, bench, targets):
        self.rate, self.note = None, "nothing to show without haproxy, which sets the rate"
        for target in targets:
            if target.key == "haproxy":
                highest = sorted(load(target, seconds=bench.seconds, **self.options)["calls_per_second"] for _ in range(3))[1]
                self.rate = max(1, int(highest / 2))
                self.note = "%s calls/s, half of %s" % (format(self.rate, ","), format(int(highest), ","))

    def measure(self, bench, target):
        if not self.rate:
            return None
        options = self.settings(bench, target)
        options["seconds"] *= self.TIMES
        return figures(load(target, rate=self.rate, **options), target)

    def finish(self, results):
        for key, result in results.items():
            direct = results.get("straight" if key in ("mcpool", "floor") else "http-server")
            if key not in ("straight", "http-server") and direct:
                result["added_p99_us"] = result["p99_us"] - direct["p99_us"]


class Big(Row):
    """Large results, one at a time."""
    SPEED = Metric("bytes_per_second", "bytes/s", "speed")

    def __init__(self, name, size, ratios=()):
        super().__init__(name, "Results of %d MiB, one at a time" % (size // MIB),
                         (Straight, Floor, FloorUnix, Mcpool, McpoolUnix, HttpServer, Haproxy, Nginx),
                         {"result_bytes": size, "warmup": 1}, metrics=(self.SPEED, PEAK, CPU), ratios=ratios)
        self.size = size

    def begin(self, bench, targets):
        self.note = "memcpy here: %.1f GB/s" % (bench.probe("memcpy") / 1e9)

    def measure(self, bench, target):
        if target.pid:
            reset_peak(target.pid)
        result = super().measure(bench, target)
        result["bytes_per_second"] = result["calls_per_second"] * self.size
        result["peak_bytes"] = memory(target.pid, "VmHWM") if target.pid else None
        return result


class Progress(Row):
    """Calls that report progress before they answer; over HTTP each is an event stream."""
    EVENTS = Metric("events_per_second", "events/s", "rate")
    COUNT = 20

    def __init__(self, name):
        super().__init__(
            name, "Calls with %d progress events each, 1 session" % self.COUNT, (Straight, Mcpool, McpoolUnix),
            {"progress": self.COUNT}, metrics=(self.EVENTS, P50, P99, CPU),
            ratios=(Ratio(self.EVENTS, "mcpool", "straight"), Ratio(self.EVENTS, "mcpool-unix", "straight")))

    def measure(self, bench, target):
        result = super().measure(bench, target)
        result["events_per_second"] = result["calls_per_second"] * self.COUNT
        return result


class Servers(Row):
    """The same calls with more and more servers configured and running beside the one that is called."""
    alone = True  # the steadiest there is, for what must be the same
    COUNTS = (1, 10, 100)

    def targets(self, bench):
        return [McpoolServers(bench, count) for count in self.COUNTS]


def call_rows():
    """tools/call of 100 bytes there and back."""
    rows = []
    through_http = (Straight, Floor, Mcpool, HttpServer, Haproxy, Nginx)
    for sessions in (1, 32, 256):
        kind = OneCpu if sessions == 1 else Row
        words = "%d session%s" % (sessions, "" if sessions == 1 else "s")
        main = sessions == 32
        peers = tuple(PEERS) if sessions <= 32 else ()
        ratios = [Ratio(CPU, "mcpool", "haproxy", at_most=0.5 if main else None), Ratio(CPU, "floor", "haproxy"),
                  Ratio(CALLS, "mcpool", "floor")]
        ratios += [Ratio(CALLS, "mcpool", peer.key, at_least=peer.at_least if main else None) for peer in peers]
        rows.append(kind("http-%d" % sessions, "Small calls, HTTP to stdio, " + words, through_http + peers,
                         {"sessions": sessions}, ratios=ratios))
    for sessions in (1, 32, 256):
        kind = OneCpu if sessions == 1 else Row
        words = "%d session%s" % (sessions, "" if sessions == 1 else "s")
        rows.append(kind("unix-%d" % sessions, "Small calls, unix socket to stdio, " + words,
                         (Straight, FloorUnix, McpoolUnix, Haproxy), {"sessions": sessions},
                         ratios=(Ratio(CPU, "mcpool-unix", "haproxy", at_most=0.35 if sessions == 32 else None),
                                 Ratio(CPU, "floor-unix", "haproxy"), Ratio(CALLS, "mcpool-unix", "floor-unix"))))
    return rows


def load_rows():
    """All rows of this file, in the order of the table."""
    speed, rounds = Big.SPEED, Metric("calls_per_second", "sessions/s", "rate")
    return call_rows() + [
        Row("pipelined", "Small calls, one unix connection, 64 in flight", (Straight, FloorUnix, McpoolUnix),
            {"window": 64}, ratios=(Ratio(CALLS, "mcpool-unix", "floor-unix", at_least=0.61),
                                    Ratio(CPU, "mcpool-unix", "floor-unix"))),
        HalfLoad("half-load", 32),
        Big("big-1m", MIB, (Ratio(speed, "mcpool", "floor"), Ratio(speed, "mcpool-unix", "floor-unix"))),
        Big("big-16m", 16 * MIB,
            (Ratio(speed, "mcpool", "floor", at_least=0.6), Ratio(speed, "mcpool-unix", "floor-unix", at_least=0.6),
             Bound(PEAK, "mcpool", 24 * MIB, "any result"), Bound(PEAK, "mcpool-unix", 24 * MIB, "any result"))),
        Progress("progress"),
        Row("churn", "Sessions opened, used for one call and closed, 32 at a time",
            (Floor, FloorUnix, Mcpool, McpoolUnix), {"mode": "churn", "sessions": 32},
            metrics=(rounds, P50, P99, Metric("cpu_us_per_call", "CPU a session", "us")),
            ratios=(Ratio(rounds, "mcpool", "floor"), Ratio(rounds, "mcpool-unix", "floor-unix"))),
        Servers("servers", "Small calls over HTTP at 32 sessions, with more servers configured", (), {"sessions": 32},
                ratios=(Ratio(CPU, "mcpool-10", "mcpool-1", at_most=1.1), Ratio(CPU, "mcpool-100", "mcpool-1", at_most=1.1))),
    ]
