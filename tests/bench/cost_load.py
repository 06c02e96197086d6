"""The load of cost.py: sessions that send the same bytes in the same order in every run, and check every answer.

A round is: each session sends its calls in one piece, then all answers are read. While several sessions send, the daemon is
stopped: it finds them all at once, as on a busy machine, whoever gets the processor when."""
import contextlib
import json
import os
import signal

from clients import LATEST
from daemon import poll_until
from wire import HttpConn, Socket

TEXT = "x" * 100
TOKEN = "a-secret-of-the-cost-suite"
PER_CONNECTION = 16  # max_in_flight_per_connection, the daemon's default
INITIALIZE = {"protocolVersion": LATEST, "capabilities": {}, "clientInfo": {"name": "cost", "version": "1"}}


class Wrong(Exception):
    """An answer that is not the one to the call."""


def message(method, params=None, id=None):
    m = {"jsonrpc": "2.0"}
    if id is not None:
        m["id"] = id
    m["method"] = method
    if params is not None:
        m["params"] = params
    return json.dumps(m, separators=(",", ":")).encode()


def expect(truth, what, got):
    if not truth:
        raise Wrong("%s; what came is %.300r" % (what, got))


def finish(sock):
    """Returns when the daemon is through with the connection, so that the next one does not share a turn with its end."""
    sock.half_close()
    rest = sock.wait_closed()
    expect(not rest, "more came than was asked for", rest)
    sock.close()


class Calls:
    """The calls of a session, and what must come back."""

    def __init__(self, progress):
        self.progress, self.sent, self.read = progress, 0, 0

    def next(self):
        self.sent += 1
        if not self.progress:
            return message("tools/call", {"name": "echo", "arguments": {"text": TEXT}}, self.sent)
        return message("tools/call", {"name": "progress", "arguments": {"steps": self.progress, "interval_ms": 0},
                                      "_meta": {"progressToken": self.sent}}, self.sent)

    def check_next(self, take):
        """take() gives the messages that belong to the next call, one after the other."""
        self.read += 1
        for step in range(1, self.progress + 1):
            m = json.loads(take())
            expect(m.get("method") == "notifications/progress" and m["params"]["progressToken"] == self.read and
                   m["params"]["progress"] == step, "step %d of call %d is missing" % (step, self.read), m)
        m = json.loads(take())
        expect(m.get("id") == self.read and "result" in m, "call %d has no answer" % self.read, m)
        text = m["result"]["content"][0]["text"]
        expect(text == ("%d steps done" % self.progress if self.progress else TEXT), "the text is another one", m)


class Line:
    """A client on a unix socket, a message a line."""

    def __init__(self, daemon, token=None, progress=0):
        expect(token is None, "unix sockets know no tokens", token)
        self.sock, self.calls, self.rest = Socket(daemon.socket_path("demo")), Calls(progress), b""
        self.sock.send(message("initialize", INITIALIZE, 0) + b"\n")
        m = json.loads(self._take())
        expect(m.get("id") == 0 and "result" in m, "no session", m)
        self.sock.send(message("notifications/initialized") + b"\n")

    def _take(self):
        while b"\n" not in self.rest:
            data = self.sock.recv(what="an answer on the unix socket")
            expect(data, "the daemon closed the connection", self.rest)
            self.rest += data
        line, self.rest = self.rest.split(b"\n", 1)
        return line

    def send(self, window):
        self.sock.send(b"".join(self.calls.next() + b"\n" for _ in range(window)))

    def receive(self, window):
        answers = [self._take() for _ in range(window * (1 + self.calls.progress))]
        expect(not self.rest, "more came than was asked for", self.rest)
        answers = iter(answers)
        for _ in range(window):
            self.calls.check_next(lambda: next(answers))

    def close(self):
        finish(self.sock)


class Http:
    """A client over Streamable HTTP, with the header lines that SDKs send, on one connection that is kept."""

    def __init__(self, daemon, token=None, progress=0):
        self.conn, self.calls = HttpConn((daemon.host, daemon.port)), Calls(progress)
        self.path = b"/mcp/demo HTTP/1.1\r\nHost: %s:%d\r\n" % (daemon.host.encode(), daemon.port)
        self.lines = b"User-Agent: cost/1\r\n"
        if token:
            self.lines += b"Authorization: Bearer %s\r\n" % token.encode()
        self._post(message("initialize", INITIALIZE, 0))
        r = self._response(200)
        m = json.loads(r.body)
        expect(m.get("id") == 0 and "result" in m, "no session", m)
        self.lines += b"Mcp-Session-Id: %s\r\nMcp-Protocol-Version: %s\r\n" % (
            r.headers.get("Mcp-Session-Id").encode(), LATEST.encode())
        self._post(message("notifications/initialized"))
        self._response(202)

    def _post(self, body):
        self.conn.send(b"POST %sAccept: application/json, text/event-stream\r\nContent-Type: application/json\r\n"
                       b"%sContent-Length: %d\r\n\r\n%s" % (self.path, self.lines, len(body), body))

    def _response(self, status, method="POST"):
        r = self.conn.read_response(method)
        expect(r is not None and r.ended and r.clean, "the daemon closed the connection", r)
        expect(r.status == status, "the status is not %d" % status, (r.status, bytes(r.body)))
        return r

    def send(self, window):
        expect(window == 1, "an HTTP session has one call in flight", window)
        self._post(self.calls.next())

    def receive(self, window):
        r = self._response(200)
        if r.is_sse:
            messages = [e.data for e in r.events if e.data]
        else:
            messages = [bytes(r.body)]
        expect(len(messages) == window * (1 + self.calls.progress), "not as many messages as there should be", messages)
        messages = iter(messages)
        self.calls.check_next(lambda: next(messages))

    def close(self):
        self.conn.send(b"DELETE %s%s\r\n" % (self.path, self.lines))
        self._response(200, "DELETE")
        finish(self.conn)


class Load:
    """What clients do. way: Line or Http. window: calls that a session sends at once. servers: how many are configured.
    progress: notifications before each answer. opens: each call is a session of its own, opened before and closed after."""

    def __init__(self, way, sessions=1, window=1, servers=1, token=False, progress=0, opens=False):
        self.way, self.sessions, self.window, self.servers = way, sessions, window, servers
        self.token, self.progress, self.opens = TOKEN if token else None, progress, opens

    def per_round(self):
        return self.sessions * self.window

    def per_connection(self):
        """The calls of one session go to one server: which of several answers first is chance."""
        return max(PER_CONNECTION, self.window)

    def connections(self):
        """To the server that is called: all that the calls of a round need, so that none is opened later."""
        return -(-self.per_round() // self.per_connection())

    def servers_config(self, server):
        called = dict(server, limits={"max_in_flight_per_connection": self.per_connection()},
                      resilience={"min_connections": self.connections(), "max_connections": self.connections()})
        return {"demo": called, **{"other%d" % i: server for i in range(1, self.servers)}}

    def config(self, directory):
        """What comes by the clock comes later than any run takes, each in the same proportion to the others as by default:
        which of two timers is due first is part of a call's cost. What is kept of streams has its size after few calls, so
        that it does not grow during the run. All else is as users have it."""
        config = {
            "resilience": {"recovery_interval": "3m", "health_check_interval": "6m", "force_recovery_interval": "1h",
                           "call_timeout": "1h"},
            "limits": {"progress_per_second": 1000000, "event_buffer_session_bytes": "128KiB"}}
        if self.token:
            config["tokens"] = {"cost": {"file": directory + "/token"}}
        return config


def await_state(pid, states):
    """S: the process sleeps, T or t: it is stopped."""
    def is_there():
        with open("/proc/%d/stat" % pid, encoding="ascii", errors="replace") as f:
            return f.read().rsplit(")", 1)[1].split()[0] in states
    poll_until(is_there, "the daemon to be in state " + states)


class Clients:
    """The clients of a load on a daemon."""

    def __init__(self, load, daemon, pid):
        self.load, self.daemon, self.pid = load, daemon, pid
        self.sessions = [] if load.opens else [self._client() for _ in range(load.sessions)]

    def _client(self):
        return self.load.way(self.daemon, self.load.token, self.load.progress)

    def await_servers(self):
        """Until the server processes that were started are all ready, and all are there that the calls of a round need."""
        def settled():
            started, ready = (len(self.daemon.log.matching(p)) for p in (r" started /", r" -> ready "))
            return started == ready and ready >= self.load.servers - 1 + self.load.connections()
        poll_until(settled, lambda: "the servers to be ready; the log says:\n" + self.daemon.log.text())

    def rounds(self, count):
        """Returns the number of calls."""
        for _ in range(count):
            sessions = self.sessions or [self._client()]
            with self._daemon_stopped() if len(sessions) > 1 else contextlib.nullcontext():
                for s in sessions:
                    s.send(self.load.window)
            for s in sessions:
                s.receive(self.load.window)
            if self.load.opens:
                sessions[0].close()
        return count * self.load.per_round()

    @contextlib.contextmanager
    def _daemon_stopped(self):
        """It sleeps before, so that the stop ends no turn half way: it costs one that finds nothing, a round."""
        await_state(self.pid, "S")
        os.kill(self.pid, signal.SIGSTOP)
        try:
            await_state(self.pid, "Tt")  # t: it is traced
            yield
        finally:
            os.kill(self.pid, signal.SIGCONT)

    def close(self):
        for s in self.sessions:
            s.close()
