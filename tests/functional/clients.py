"""MCP clients over the three ways in: Streamable HTTP, HTTP+SSE, and lines on a unix socket.

All three look alike to a test: start() sends a request and returns a Call, result() waits for its answer, and whatever
else the server says lands in `inbox` in order of arrival. A client reads all its streams while it waits, on
one thread, so the order of things is under the test's control.

Rules that hold for every message are checked here, once: JSON-RPC shape, no null id, event ids unique
within a stream, and for HTTP the status discipline: a client that holds a session sees 200, 202 or 404."""
import json
import os
import select
import subprocess

from daemon import DEADLINE, Clock
from wire import HttpConn, Response, Socket

LATEST = "2025-11-25"
OLDEST = "2024-11-05"
VERSIONS = (OLDEST, "2025-03-26", "2025-06-18", LATEST)
ALL_CAPABILITIES = {"sampling": {}, "elicitation": {}, "roots": {}}
UNSET = object()


class RpcError(Exception):
    def __init__(self, error):
        super().__init__(json.dumps(error))
        self.code, self.message, self.data = error["code"], error["message"], error.get("data")


class Message(dict):
    """A JSON-RPC message together with the bytes it came in."""
    raw = b""
    where = None  # the Post, GetStream or client that it arrived on
    event_id = None


def parse_message(raw):
    raw = raw.encode() if isinstance(raw, str) else bytes(raw)
    value = json.loads(raw)
    assert isinstance(value, dict), "not a JSON-RPC message: %r" % raw[:300]
    m = Message(value)
    m.raw = raw
    assert m.get("jsonrpc") == "2.0", "no jsonrpc 2.0: %r" % raw[:300]
    assert m.get("id", UNSET) is not None, "null id: %r" % raw[:300]
    kinds = [k for k in ("method", "result", "error") if k in m]
    assert len(kinds) == 1, "neither request nor response: %r" % raw[:300]
    if "error" in m:
        assert isinstance(m["error"].get("code"), int) and isinstance(m["error"].get("message"), str), raw[:300]
    return m


def key_of(id):
    """Ids of different types are different: 1 and "1"."""
    return json.dumps(id)


class Call:
    """A request on its way."""

    def __init__(self, client, id, post=None):
        self.client, self.id, self.post = client, id, post

    def done(self):
        return key_of(self.id) in self.client.responses

    def response(self):
        """The whole response message."""
        self.client.wait(self._settled, "an answer to %r" % (self.id,))
        assert self.done(), "the stream of request %r ended without its answer" % (self.id,)
        answers = self.client.responses.pop(key_of(self.id))
        assert len(answers) == 1, "request %r was answered %d times" % (self.id, len(answers))
        return answers[0]

    def _settled(self):
        return self.done() or (self.post is not None and self.post.ended and not self.post.cut)

    def result(self):
        m = self.response()
        if "error" in m:
            raise RpcError(m["error"])
        return m["result"]

    def text(self):
        return text_of(self.result())

    def error(self):
        m = self.response()
        assert "error" in m, "an error was expected, not %r" % m.raw[:300]
        return RpcError(m["error"])


def text_of(result):
    assert not result.get("isError"), result
    return result["content"][0]["text"]


class Client:
    def __init__(self, version=LATEST, capabilities=None):
        self.asked_version, self.capabilities = version, {} if capabilities is None else capabilities
        self.version = None
        self.server = None     # result of initialize
        self.next_id = 0
        self.inbox = []
        self.responses = {}

    # what a transport provides: _send(message) -> Post or None, _sockets(), _readable(sock)

    def _send(self, message):
        raise NotImplementedError

    def initialize(self):
        call = self.start("initialize", {"protocolVersion": self.asked_version, "capabilities": self.capabilities,
                                         "clientInfo": {"name": "test", "version": "1"}})
        self.server = call.result()
        self.version = self.server["protocolVersion"]
        self._on_initialized(call)
        self.notify("notifications/initialized")
        return self

    def _on_initialized(self, call):
        pass

    def start(self, method, params=None, id=UNSET, token=UNSET):
        if id is UNSET:
            id, self.next_id = self.next_id, self.next_id + 1
        message = {"jsonrpc": "2.0", "id": id, "method": method}
        if params is not None or token is not UNSET:
            message["params"] = dict(params or {})
        if token is not UNSET:
            message["params"]["_meta"] = {"progressToken": token}
        return Call(self, id, self._send(message))

    def start_tool(self, name, arguments=None, **more):
        return self.start("tools/call", {"name": name, "arguments": arguments or {}}, **more)

    def request(self, method, params=None, **more):
        return self.start(method, params, **more).result()

    def tool(self, name, arguments=None, **more):
        """Calls a tool; returns the text of its answer."""
        return self.start_tool(name, arguments, **more).text()

    def notify(self, method, params=None):
        message = {"jsonrpc": "2.0", "method": method}
        if params is not None:
            message["params"] = params
        self._send(message)

    def cancel(self, call, reason=None):
        params = {"requestId": call.id}
        if reason:
            params["reason"] = reason
        self.notify("notifications/cancelled", params)

    def respond(self, ask, result=None, error=None):
        body = {"error": error} if error else {"result": result}
        self._send({"jsonrpc": "2.0", "id": ask["id"], **body})

    # --- receiving ---

    def _take(self, raw, where, event_id=None):
        m = parse_message(raw)
        m.where, m.event_id = where, event_id
        if "method" in m:
            self.inbox.append(m)
        elif "id" in m:
            self.responses.setdefault(key_of(m["id"]), []).append(m)
        else:
            self.inbox.append(m)  # an error that belongs to no request
        return m

    def wait(self, condition, what):
        clock = Clock()
        while True:
            value = condition()
            if value:
                return value
            self._pump(clock, what)

    def _pump(self, clock, what):
        sockets = self._sockets()
        assert sockets, "nothing is open that could bring " + what
        clock.check(lambda: "%s; the inbox holds %r" % (what, self.inbox[:20]))
        for s in select.select(sockets, [], [], clock.left())[0]:
            self._readable(s)

    def _find(self, method):
        for i, m in enumerate(self.inbox):
            if m.get("method") == method:
                return i
        return None

    def wait_message(self, method):
        """The oldest request or notification with this method; it is taken out of the inbox."""
        self.wait(lambda: self._find(method) is not None, method)
        return self.inbox.pop(self._find(method))

    def wait_error(self):
        """The oldest error that carries no id."""
        def find():
            return next((i for i, m in enumerate(self.inbox) if "error" in m), None)
        self.wait(lambda: find() is not None, "an error without id")
        return RpcError(self.inbox.pop(find())["error"])

    def taken(self, method):
        """All messages with this method that have arrived already, taken out of the inbox."""
        found = [m for m in self.inbox if m.get("method") == method]
        self.inbox = [m for m in self.inbox if m.get("method") != method]
        return found

    def barrier(self):
        """When this returns, everything the server said before now on this way in has been read."""
        self.request("ping")


class Lines(Client):
    """What the two line-framed transports share."""

    def __init__(self, **more):
        super().__init__(**more)
        self.buffer = bytearray()
        self.scanned = 0

    def _send(self, message):
        self.send_line(json.dumps(message).encode())

    def send_line(self, data):
        raise NotImplementedError

    def _take_bytes(self, data):
        self.buffer += data
        while True:
            end = self.buffer.find(b"\n", self.scanned)
            if end < 0:
                self.scanned = len(self.buffer)
                return
            line = bytes(self.buffer[:end])
            del self.buffer[:end + 1]
            self.scanned = 0
            self._take(line, self)


class LineClient(Lines):
    """Newline-delimited JSON-RPC on a unix socket."""

    def __init__(self, daemon, server="demo", **more):
        super().__init__(**more)
        self.sock = Socket(daemon.socket_path(server))

    def send_line(self, data):
        self.sock.send(data + b"\n")

    def _sockets(self):
        return [] if self.sock.closed_by_peer else [self.sock]

    def _readable(self, sock):
        self._take_bytes(sock.recv_now() or b"")

    def wait_closed(self):
        self.wait(lambda: self.sock.closed_by_peer, "the daemon to close the connection")
        assert not self.buffer, "half a line at the end: %r" % bytes(self.buffer[:200])

    def close(self):
        self.sock.close()


class StdioClient(Lines):
    """A server as its own child: how things are without a daemon in between."""

    def __init__(self, command, **more):
        super().__init__(**more)
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
        self.ended = False

    def send_line(self, data):
        self.send_bytes(data + b"\n")

    def send_bytes(self, data):
        self.process.stdin.write(data)

    def _sockets(self):
        return [] if self.ended else [self.process.stdout]

    def _readable(self, pipe):
        data = os.read(pipe.fileno(), 1 << 20)
        self.ended = not data
        self._take_bytes(data)

    def wait_exit(self):
        """Closes the server's input, reads what it still says; returns its exit status."""
        if not self.process.stdin.closed:
            self.process.stdin.close()
        self.wait(lambda: self.ended, "the end of the server's output")
        return self.process.wait(DEADLINE)

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


class Stream:
    """A response that may stream events: the answer to a POST, or a GET stream."""

    def __init__(self, client, conn, method):
        self.client, self.conn = client, conn
        self.r = Response(method)
        self.messages = []
        self.event_ids = []
        self.priming = []     # ids of events with empty data
        self.comments = 0
        self.retry = []
        self.cut = False      # this side cut the connection

    @property
    def status(self):
        return self.r.status

    @property
    def ended(self):
        return self.r.ended or self.cut

    def fileno(self):
        return self.conn.fileno()

    def on_readable(self):
        data = self.conn.recv_now()
        if data is None:
            return
        if data:
            self.conn.rest = self.r.feed(data)
        else:
            self.r.eof()
        self._collect()

    def _collect(self):
        events, self.r.events = self.r.events, []
        for e in events:
            if e.retry is not None:
                self.retry.append(int(e.retry))
            if e.id is not None:
                assert e.id not in self.event_ids, "event id %s came twice" % e.id
                self.event_ids.append(e.id)
            if e.data == "":
                self.priming.append(e.id)
            elif e.data is not None:
                assert e.event in (None, "message"), "event %r in a message stream" % e
                self.messages.append(self.client._take(e.data, self, e.id))
            elif e.comment is not None:
                self.comments += 1

    def wait_head(self):
        self.client.wait(lambda: self.status is not None or self.ended, "a status line")
        assert self.status is not None, "the connection closed without an answer"
        return self

    def wait_end(self):
        self.client.wait(lambda: self.ended, "the end of a response")
        return self

    def cut_off(self):
        """The client's network goes away."""
        self.cut = True
        self.conn.reset()
        self.client._forget(self)


class Post(Stream):
    def on_readable(self):
        super().on_readable()
        if self.status is not None and self.client.session_id is not None:
            assert self.status in (200, 202, 404), "status %d for a client with a session: %r" % (
                self.status, bytes(self.r.body[:300]))
        if self.r.ended:
            self.client._forget(self)
            if self.r.clean and not self.conn.closed_by_peer and self.r.headers.get("Connection") != "close":
                self.client.idle.append(self.conn)
            else:
                self.conn.close()
            self._check_whole()

    def _check_whole(self):
        if self.status == 202:
            assert not self.r.body, "202 with a body: %r" % bytes(self.r.body[:200])
        elif self.r.media_type == "application/json" and self.r.body:
            value = json.loads(bytes(self.r.body))
            for m in value if isinstance(value, list) else [value]:
                raw = self.r.body if value is m else json.dumps(m)
                self.messages.append(self.client._take(raw, self))

    def error(self):
        """Waits for a response that is a JSON-RPC error without an id, such as that of a lost session."""
        self.wait_end()
        value = json.loads(bytes(self.r.body))
        assert "id" not in value, value
        return RpcError(value["error"])


class HttpClient(Client):
    """Streamable HTTP."""

    def __init__(self, daemon, server="demo", path=None, unix=False, accept="application/json, text/event-stream",
                 headers=(), **more):
        super().__init__(**more)
        self.address = daemon.socket_path(server) if unix else (daemon.host, daemon.port)
        self.host = "localhost" if unix else "%s:%d" % self.address
        self.path = path or ("/mcp/" + server)
        self.accept, self.headers = accept, list(headers)
        self.session_id = None
        self.streams, self.idle = [], []
        self.get_stream = None

    def _on_initialized(self, call):
        ids = call.post.r.headers.all("Mcp-Session-Id")
        assert len(ids) == 1, "initialize was answered with %d session ids" % len(ids)
        self.session_id = ids[0]
        assert all(0x21 <= ord(c) <= 0x7e for c in self.session_id), self.session_id
        call.post.wait_end()

    def _send(self, message):
        return self.post(json.dumps(message).encode(), is_request="id" in message and "method" in message)

    def head(self, method, extra=()):
        lines = ["%s %s HTTP/1.1" % (method, self.path), "Host: " + self.host]
        lines += ["%s: %s" % h for h in self.headers]
        if self.session_id:
            lines.append("Mcp-Session-Id: " + self.session_id)
        if self.version:
            lines.append("MCP-Protocol-Version: " + self.version)
        return lines + ["%s: %s" % h for h in extra]

    def connection(self):
        while self.idle:
            conn = self.idle.pop()
            if conn.recv_now() is None:  # neither closed nor speaking out of turn
                return conn
            conn.close()
        return HttpConn(self.address)

    def post(self, body, is_request=True, wait=None, extra=()):
        """Sends a POST. What is no request is waited for: its 202 (or 404) is part of the exchange."""
        conn = self.connection()
        head = self.head("POST", [("Content-Type", "application/json"), ("Content-Length", str(len(body))), *extra])
        if self.accept is not None:
            head.append("Accept: " + self.accept)
        conn.send("\r\n".join(head).encode() + b"\r\n\r\n" + body)
        post = Post(self, conn, "POST")
        self.streams.append(post)
        if not is_request if wait is None else wait:
            post.wait_end()
            if not is_request:
                assert post.status in (202, 404), "status %d for a message that asks for no answer" % post.status
        return post

    def open_get(self, last_event_id=None, expect=200):
        """Opens a GET stream and waits for its head."""
        extra = [("Accept", "text/event-stream")]
        if last_event_id is not None:
            extra.append(("Last-Event-ID", last_event_id))
        conn = HttpConn(self.address)
        conn.send("\r\n".join(self.head("GET", extra)).encode() + b"\r\n\r\n")
        stream = Stream(self, conn, "GET")
        self.streams.append(stream)
        stream.wait_head()
        assert stream.status == expect, "GET answered %d" % stream.status
        if expect == 200:
            assert stream.r.media_type == "text/event-stream"
            self.get_stream = stream
        return stream

    def delete(self):
        conn = self.connection()
        r = conn.exchange("\r\n".join(self.head("DELETE")).encode() + b"\r\n\r\n", "DELETE")
        conn.close()
        return r

    def _sockets(self):
        return list(self.streams)

    def _readable(self, stream):
        stream.on_readable()
        if stream.ended:
            self._forget(stream)

    def _forget(self, stream):
        if stream in self.streams:
            self.streams.remove(stream)

    def close(self):
        for s in self.streams:
            s.conn.close()
        for conn in self.idle:
            conn.close()
        self.streams, self.idle = [], []


class SseClient(Client):
    """HTTP+SSE of 2024-11-05: one event stream for all answers, POSTs that are only acknowledged."""

    def __init__(self, daemon, server="demo", last_event_id=None, headers=(), **more):
        super().__init__(**more)
        self.headers = list(headers)
        self.address = (daemon.host, daemon.port)
        self.host = "%s:%d" % self.address
        self.path = "/sse/" + server
        self.endpoint = None
        self.endpoints = []
        self.last_event_id = last_event_id
        self.posts = None
        self.connect()

    def connect(self):
        """Opens the event stream; again with the last event id, as the browsers' EventSource does."""
        self.conn = HttpConn(self.address)
        head = ["GET %s HTTP/1.1" % self.path, "Host: " + self.host, "Accept: text/event-stream"]
        if self.last_event_id is not None:
            head.append("Last-Event-ID: " + self.last_event_id)
        head += ["%s: %s" % h for h in self.headers]
        self.conn.send("\r\n".join(head).encode() + b"\r\n\r\n")
        self.r = Response("GET")
        self.endpoint = None
        self.wait(lambda: self.endpoint or self.r.ended or self.r.status not in (None, 200), "the endpoint event")
        assert self.r.status == 200 and self.endpoint, "status %r" % self.r.status

    def _sockets(self):
        return [] if self.conn.closed_by_peer else [self.conn]

    def _readable(self, conn):
        data = conn.recv_now()
        if data is None:
            return
        if not data:
            self.r.eof()
            return
        self.r.feed(data)
        events, self.r.events = self.r.events, []
        for e in events:
            if e.id is not None:
                self.last_event_id = e.id
            if e.event == "endpoint":
                assert e.data.startswith("/") and "sessionId=" in e.data, e.data
                self.endpoint = e.data
                self.endpoints.append(e.data)
            elif e.data is not None:
                assert e.event in (None, "message"), e
                assert self.endpoint, "a message before the endpoint"
                self._take(e.data, self, e.id)

    def _send(self, message):
        status = self.post(json.dumps(message).encode())
        assert status == 202, "a message POST was answered %d" % status

    def post(self, body):
        if self.posts is None or self.posts.closed_by_peer:
            self.posts = HttpConn(self.address)
        head = "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n" % (
            self.endpoint, self.host, len(body))
        head += "".join("%s: %s\r\n" % h for h in self.headers)
        return self.posts.exchange(head.encode() + b"\r\n" + body).status

    def cut_off(self):
        self.conn.reset()
        self.conn.closed_by_peer = True

    def close(self):
        self.conn.close()
        if self.posts:
            self.posts.close()
