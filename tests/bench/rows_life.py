"""The rows of the table about memory, starts and recovery: what is there once and stays, or happens rarely."""
import contextlib
import os
import resource
import signal
import socket
import subprocess
import time

from driver import HttpSession, Lines, UnixLines, held, load, until_answered
from peers import PEERS
from processes import START_DEADLINE, Failure, children, memory, settled_memory
from rows import Bound, Metric, Ratio, Row
from targets import Floor, FloorUnix, Haproxy, Mcpool, McpoolUnix, Nginx, Straight

KIB, MIB = 1 << 10, 1 << 20
STABLE = 0.3  # seconds after which a connection of mcpool counts as stable here, and some more


class Fresh(Row):
    """Rows whose targets are started anew for each run."""
    together = False


# --- memory ---

class Rest(Fresh):
    """Started, connected to its server, ten calls later."""
    RSS = Metric("rss_bytes", "RSS", "bytes")
    OWN = Metric("own_bytes", "of it not from files", "bytes")

    def __init__(self, name):
        super().__init__(name, "Memory at rest, after ten calls", (Floor, Mcpool, Haproxy, Nginx) + tuple(PEERS),
                         metrics=(self.RSS, self.OWN),
                         ratios=(Bound(self.RSS, "mcpool", 4 * MIB), Ratio(self.RSS, "mcpool", "haproxy"),
                                 Ratio(self.RSS, "mcpool", "floor")))

    def measure(self, bench, target):
        target.start()
        if target.loader()[0] == bench.program("load"):
            load(target, calls=10)
        else:
            load(target, seconds=0.01)
        return {"rss_bytes": settled_memory(target.pid), "own_bytes": memory(target.pid, "RssAnon")}


class Sessions(Fresh):
    """Sessions that were opened and do nothing, each with a connection of its own."""
    EACH = Metric("session_bytes", "RSS a session", "bytes")
    RSS = Metric("rss_bytes", "RSS with them", "bytes")

    def __init__(self, name, count, ratios=()):
        super().__init__(name, "%s idle sessions, each with its connection" % format(count, ","),
                         (Floor, FloorUnix, Mcpool, McpoolUnix), metrics=(self.EACH, self.RSS), ratios=ratios)
        self.count = count

    def measure(self, bench, target):
        target.start()
        load(target, calls=1)
        before = settled_memory(target.pid)
        with held(target, self.count) as said:
            after = settled_memory(target.pid)
        return {"session_bytes": (after - before) / self.count, "rss_bytes": after, "load": said}


class Connections(Fresh):
    """Connections over which a request has been answered, and then nothing more came."""
    EACH = Metric("connection_bytes", "RSS a connection", "bytes")
    COUNT = 2000

    def __init__(self, name):
        super().__init__(name, "%s idle HTTP connections, without sessions" % format(self.COUNT, ","),
                         (Floor, Mcpool, Haproxy, Nginx), metrics=(self.EACH,),
                         ratios=(Bound(self.EACH, "mcpool", 600), Ratio(self.EACH, "mcpool", "haproxy")))

    def targets(self, bench):
        return [kind(bench, self.COUNT + 100) for kind in self.kinds]

    def measure(self, bench, target):
        target.start()
        with contextlib.ExitStack() as stack:
            ask(stack, target.port)
            before = settled_memory(target.pid)
            for _ in range(self.COUNT):
                ask(stack, target.port)
            after = settled_memory(target.pid)
        return {"connection_bytes": (after - before) / self.COUNT, "rss_bytes": after}


def ask(stack, port):
    """A connection with one answered request, whatever the answer is; it stays open as long as the stack."""
    sock = stack.enter_context(socket.create_connection(("127.0.0.1", port), START_DEADLINE))
    sock.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n" % port)
    data = sock.recv(65536)
    if not data.startswith(b"HTTP/1.1 ") or b"connection: close" in data.lower():
        raise Failure("no connection that stays: %r" % data[:200])


def allow_descriptors():
    """All that this user may have open, for the suite and what it starts."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


# --- starts ---

class Start(Fresh):
    """From exec to the answer of the first call. A client that finds nobody yet tries again at once. It is not the first start
    ever: that one makes a key, and waits for the disk to have it."""
    FIRST = Metric("first_ms", "first answer", "ms")
    BEYOND = Metric("beyond_ms", "less the server's own", "ms")

    def __init__(self, name):
        super().__init__(name, "From exec to the answer of the first call",
                         (Straight, FloorUnix, McpoolUnix, Mcpool) + tuple(p for p in PEERS if p.key != "mcp-hub"),
                         metrics=(self.FIRST, self.BEYOND),
                         ratios=(Bound(self.BEYOND, "mcpool-unix", 15), Bound(self.BEYOND, "mcpool", 15)))

    def measure(self, bench, target):
        if target.key == "straight":
            return {"first_ms": own_start_ms(bench)}
        target.configure()
        target.run_once_before()
        began = time.monotonic()
        target.run()
        until_answered(lambda: first_answer(target), target.process)
        return {"first_ms": 1000 * (time.monotonic() - began)}

    def finish(self, results):
        beyond_own(results, "first_ms")


def own_start_ms(bench):
    """The server alone, over its pipes."""
    began = time.monotonic()
    process = bench.workshop.start([bench.program("stdio-server")], "stdio-server", stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE)
    Lines(process.popen.stdout, process.popen.stdin).first_answer()
    took = 1000 * (time.monotonic() - began)
    bench.workshop.end(process)
    return took


def first_answer(target):
    """Tries once; an OSError says that it was too early."""
    if target.way()[0] == "--unix":
        client = UnixLines(target.path)
    else:
        client = HttpSession(target.port, "/" + target.way()[-1].split("/", 1)[1], target.mcp)
    with contextlib.closing(client):
        client.first_answer()


def beyond_own(results, key):
    own = results.get("straight")
    for name, result in results.items():
        if own and name != "straight":
            result["beyond_ms"] = result[key] - own[key]


# --- recovery ---

class KilledServer(Mcpool):
    key, label = "server-killed", "mcpool, server killed"


class KilledDaemon(Mcpool):
    key, label = "daemon-killed", "mcpool itself killed"


class Recovery(Row):
    """kill -9 while nothing is in flight, then calls in the same session until one is answered: of the server, which mcpool
    starts again, or of mcpool, which this suite starts again at once as a service manager would."""
    NEXT = Metric("next_ms", "next answer", "ms")
    BEYOND = Metric("beyond_ms", "less the server's own", "ms")

    def __init__(self, name):
        super().__init__(name, "From kill -9 to the next answered call of the same session",
                         (Straight, KilledServer, KilledDaemon), metrics=(self.NEXT, self.BEYOND),
                         ratios=(Bound(self.BEYOND, "server-killed", 50),))
        self.sessions = {}

    def begin(self, bench, targets):
        self.sessions = {}
        for target in targets:
            if target.pid:
                session = self.sessions[target.key] = HttpSession(target.port, "/mcp/s0")
                until_answered(session.first_answer, target.process)

    def measure(self, bench, target):
        if target.key == "straight":
            return {"next_ms": own_start_ms(bench)}
        session = self.sessions[target.key]
        time.sleep(STABLE)
        began = time.monotonic()
        if isinstance(target, KilledDaemon):
            target.process.kill()
            bench.workshop.end(target.process)
            target.run()
        else:
            old = children(target.pid)
            began = time.monotonic()
            for pid in old:
                os.kill(pid, signal.SIGKILL)
        lost = self.until_next(session, target)
        result = {"next_ms": 1000 * (time.monotonic() - began), "lost_calls": lost}
        if not isinstance(target, KilledDaemon) and set(old) & set(children(target.pid)):
            raise Failure("the killed server is still there")
        return result

    @staticmethod
    def until_next(session, target):
        """How many calls met the dying process and got an error before one was answered."""
        lost, end = 0, time.monotonic() + START_DEADLINE
        while True:
            try:
                until_answered(session.call, target.process)
                return lost
            except Failure:
                lost += 1
                if time.monotonic() > end:
                    raise

    def finish(self, results):
        beyond_own(results, "next_ms")


def life_rows():
    """All rows of this file, in the order of the table."""
    each = Sessions.EACH
    return [
        Rest("rest"),
        Sessions("sessions-1000", 1000, (Bound(each, "mcpool", 2.5 * KIB), Bound(each, "mcpool-unix", 2.5 * KIB),
                                         Ratio(each, "mcpool", "floor"))),
        Sessions("sessions-10000", 10000, (Ratio(each, "mcpool", "floor"), Ratio(each, "mcpool-unix", "floor-unix"))),
        Connections("connections"),
        Start("start"),
        Recovery("recovery"),
    ]
