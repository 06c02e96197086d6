"""What a functional test builds on: one daemon per test, clients that are closed with it, and its end checked.

    class EchoTest(DaemonCase):
        def test_echo_returns_the_text(self):
            self.assertEqual(self.http().tool("echo", {"text": "x"}), "x")
"""
import json
import os
import signal
import unittest

from clients import (ALL_CAPABILITIES, LATEST, OLDEST, VERSIONS, HttpClient, LineClient, Lines, RpcError, SseClient,  # noqa
                     StdioClient, key_of, parse_message, text_of)
from daemon import (DEADLINE, DEMO, FAKE, MCPOOLD, Clock, Daemon, Timeout, demo, fake, is_sanitized,  # noqa
                    poll_until)
from wire import Event, Headers, HttpConn, Malformed, Response, Socket, SseParser  # noqa

# One connection per server: then a test knows which process it talks to.
SINGLE = {"min_connections": 1, "max_connections": 1}


class DaemonCase(unittest.TestCase):
    servers = {"demo": demo()}
    config = {"resilience": SINGLE}
    way_in = None  # which kind of client every_way_in made last

    def setUp(self):
        self.clients = []
        self.daemon = None
        if self.servers is not None:
            self.start()

    def start(self, servers=None, config=None, **more):
        """Starts this test's daemon. Values are those of the class unless given."""
        self.daemon = Daemon(self.servers if servers is None else servers, self.config if config is None else config)
        self.addCleanup(self._finish, self.daemon)
        return self.daemon.start(**more)

    def _finish(self, daemon):
        for c in self.clients:
            c.close()
        try:
            if daemon.process and daemon.process.poll() is None:
                daemon.stop()
            elif daemon.process and not daemon.joined:
                daemon.join()  # it died on its own
        finally:
            daemon.discard()

    # --- clients ---

    def _made(self, client, initialize):
        self.clients.append(client)
        return client.initialize() if initialize else client

    def http(self, server="demo", initialize=True, **more):
        return self._made(HttpClient(self.daemon, server, **more), initialize)

    def line(self, server="demo", initialize=True, **more):
        return self._made(LineClient(self.daemon, server, **more), initialize)

    def sse(self, server="demo", initialize=True, **more):
        more.setdefault("version", OLDEST)
        return self._made(SseClient(self.daemon, server, **more), initialize)

    def every_way_in(self, server="demo", **more):
        """A client of each kind, one after the other."""
        for make in (self.http, self.sse, self.line):
            self.way_in = make.__name__
            yield make(server, **more)
        self.way_in = None

    def _callTestMethod(self, method):
        try:
            method()
        except Exception as e:
            if self.way_in:
                e.add_note("the way in was " + self.way_in)
            raise

    def conn(self):
        """A bare connection to the HTTP listener."""
        c = HttpConn((self.daemon.host, self.daemon.port))
        self.clients.append(c)
        return c

    # --- bare HTTP ---

    def request_bytes(self, body=b"", method="POST", path="/mcp/demo", headers=(), host=None, version="HTTP/1.1",
                      drop=()):
        """A well-formed request, to be spoiled by the test. drop: default headers to leave out."""
        lines = ["%s %s %s" % (method, path, version)]
        default = [("Host", host or "%s:%d" % (self.daemon.host, self.daemon.port))]
        if method == "POST":
            default += [("Content-Type", "application/json"), ("Accept", "application/json, text/event-stream"),
                        ("Content-Length", str(len(body)))]
        lines += ["%s: %s" % h for h in default if h[0] not in drop]
        lines += ["%s: %s" % h for h in headers]
        return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body

    def exchange(self, *args, **more):
        """One bare request on a connection of its own; its response, or None when it was closed."""
        c = self.conn()
        r = c.exchange(self.request_bytes(*args, **more), more.get("method", "POST"))
        c.close()
        return r

    # --- the fake server ---

    def emit(self, client, *messages):
        """Has the fake server say these messages (objects or literal lines), then answer this very call."""
        lines = [m if isinstance(m, str) else json.dumps(m) for m in messages]
        return client.tool("emit", {"lines": lines + [answer_line()]})

    def hold(self, client, key="k", server="fake", **more):
        """Starts a call that stays open; waits until the fake server runs it. Returns (call, upstream message)."""
        before = len(self.daemon.ledger(server, "run", tool="hold", nonce=key))
        call = client.start_tool("hold", {"key": key, "nonce": key}, **more)

        def running():
            return self.daemon.ledger(server, "run", tool="hold", nonce=key)[before:]
        run = poll_until(running, "the call to be held")[0]
        return call, [e["message"] for e in self.daemon.ledger(server, "recv", pid=run["pid"])
                      if e["message"].get("id") == run["id"] and e["message"].get("method") == "tools/call"][-1]

    def release(self, client, key="k"):
        self.assertEqual(client.tool("release", {"key": key}), "ok")

    def die(self, client, server="fake", **arguments):
        """Ends the server's process while nothing is in flight; returns when its successor runs."""
        mark = len(self.daemon.ledger(server))
        self.assertEqual(client.tool("die", {"after": True, **arguments}), "bye")
        self.wait_successor(mark, server)

    def kill(self, client, server="fake"):
        """Kills the process that serves the client. Returns the length of the ledger at that moment."""
        pid = json.loads(client.tool("report"))["pid"]
        mark = len(self.daemon.ledger(server))
        os.kill(pid, signal.SIGKILL)
        return mark

    def wait_successor(self, mark, server="fake"):
        """Returns when a process of that server began after the ledger had `mark` entries."""
        poll_until(lambda: [e for e in self.daemon.ledger(server)[mark:] if e["event"] == "start"],
                   "a new process of " + server)

    def assert_alive(self, server="demo"):
        """The daemon serves new clients: whatever came before did no harm."""
        self.assertEqual(self.http(server).request("ping"), {})

    def assert_error(self, error, code=None, reason=None, delivered=None, server=None):
        """The form of an error that the daemon itself gives."""
        if code is not None:
            self.assertEqual(error.code, code, error)
        data = error.data or {}
        if reason is not None:
            self.assertEqual(data.get("reason"), reason, error)
        if delivered is not None:
            self.assertEqual(data.get("delivered"), delivered, error)
        if server is not None:
            self.assertEqual(data.get("server"), server, error)


def answer_line(text="emitted"):
    """For the fake server's tool `emit`: the answer to the call itself."""
    return '{"jsonrpc":"2.0","id":$ID,"result":{"content":[{"type":"text","text":%s}]}}' % json.dumps(text)


INITIALIZE = (b'{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25",'
              b'"capabilities":{},"clientInfo":{"name":"t","version":"1"}}}')
