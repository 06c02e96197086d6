"""Bytes on a socket: an HTTP/1.1 response parser and an SSE parser that report as they go, and sockets with deadlines.

Nothing here is lenient. What the daemon sends must be exact, so a parser that meets something odd fails the test."""
import re
import select
import socket

from daemon import Clock, Timeout

TOKEN = re.compile(rb"^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$")


class Malformed(AssertionError):
    pass


class Event:
    """One SSE event, or a comment (then only `comment` is set)."""

    def __init__(self):
        self.event, self.id, self.data, self.retry, self.comment = None, None, None, None, None

    def __repr__(self):
        return "Event(%s)" % ", ".join("%s=%r" % i for i in self.__dict__.items() if i[1] is not None)


class SseParser:
    def __init__(self):
        self.rest = bytearray()
        self.scanned = 0
        self.lines = []

    def feed(self, data):
        """Returns the events that are complete now."""
        events = []
        self.rest += data
        while True:
            end = self.rest.find(b"\n", self.scanned)
            if end < 0:
                self.scanned = len(self.rest)
                return events
            line = bytes(self.rest[:end])
            del self.rest[:end + 1]
            self.scanned = 0
            if b"\r" in line:
                raise Malformed("carriage return in an event stream: %r" % line)
            if line:
                self.lines.append(line)
            elif self.lines:
                events.append(self._event(self.lines))
                self.lines = []

    @staticmethod
    def _event(lines):
        e, data = Event(), []
        for line in lines:
            if line.startswith(b":"):
                e.comment = line[1:].strip().decode()
                continue
            name, colon, value = line.partition(b":")
            value = value[1:] if value.startswith(b" ") else value
            if not colon or name not in (b"event", b"id", b"data", b"retry"):
                raise Malformed("strange line in an event stream: %r" % line)
            if name == b"data":
                data.append(value)
            elif getattr(e, name.decode()) is not None:
                raise Malformed("two %s fields in one event" % name.decode())
            else:
                setattr(e, name.decode(), value.decode())
        if data:
            e.data = b"\n".join(data).decode()
        return e


class Headers(list):
    def get(self, name, default=None):
        values = self.all(name)
        if len(values) > 1:
            raise Malformed("header %s stands %d times" % (name, len(values)))
        return values[0] if values else default

    def all(self, name):
        return [v for n, v in self if n.lower() == name.lower()]


class Response:
    """One HTTP response as far as it has arrived."""

    def __init__(self, request_method="POST"):
        self.method = request_method
        self.status = self.reason = None
        self.headers = Headers()
        self.interim = []        # status codes of 1xx responses that came first
        self.body = bytearray()  # not filled for event streams
        self.events = []         # event streams: not yet taken
        self.sse = None
        self.ended = False
        self.clean = False       # ended as its framing says, not by a closed connection
        self._state, self._left, self._buf = "head", 0, bytearray()

    @property
    def is_sse(self):
        return self.sse is not None

    @property
    def media_type(self):
        return (self.headers.get("Content-Type") or "").split(";")[0].strip()

    def feed(self, data):
        """Takes bytes; returns those that belong to what follows this response."""
        self._buf += data
        while not self.ended and getattr(self, "_" + self._state)():
            pass
        if self.ended:
            rest, self._buf = bytes(self._buf), bytearray()
            return rest
        return b""

    def eof(self):
        """The connection closed."""
        if self.ended:
            return
        if self._state == "until_close":
            self.clean = True
        self.ended = True

    def _line(self):
        end = self._buf.find(b"\r\n")
        if end < 0:
            if b"\n" in self._buf:
                raise Malformed("bare LF in a response: %r" % bytes(self._buf[:200]))
            return None
        line = bytes(self._buf[:end])
        del self._buf[:end + 2]
        return line

    def _head(self):
        end = self._buf.find(b"\r\n\r\n")
        if end < 0:
            if re.search(rb"(?<!\r)\n", self._buf):
                raise Malformed("bare LF in a head: %r" % bytes(self._buf[:200]))
            return False
        lines = bytes(self._buf[:end]).split(b"\r\n")
        del self._buf[:end + 4]
        m = re.match(rb"^HTTP/1\.[01] ([1-5][0-9][0-9]) ([\x20-\x7e]*)$", lines[0])
        if not m:
            raise Malformed("status line %r" % lines[0])
        status = int(m.group(1))
        headers = Headers()
        for line in lines[1:]:
            name, colon, value = line.partition(b":")
            if not colon or not TOKEN.match(name) or re.search(rb"[\x00-\x08\x0a-\x1f\x7f]", value):
                raise Malformed("header line %r" % line)
            headers.append((name.decode(), value.strip(b" \t").decode("latin-1")))
        if 100 <= status < 200:
            self.interim.append(status)
            return True
        self.status, self.reason, self.headers = status, m.group(2).decode(), headers
        if self.media_type == "text/event-stream":
            self.sse = SseParser()
        self._choose_framing()
        return True

    def _choose_framing(self):
        coding, length = self.headers.get("Transfer-Encoding"), self.headers.get("Content-Length")
        if coding is not None and length is not None:
            raise Malformed("both Content-Length and Transfer-Encoding in a response")
        if self.status in (204, 304) or self.method == "HEAD":
            if coding is not None:
                raise Malformed("Transfer-Encoding on a response without a body")
            self._finish()
        elif coding is not None:
            if coding != "chunked":
                raise Malformed("Transfer-Encoding: " + coding)
            self._state = "chunk_size"
        elif length is not None:
            if not length.isdigit():
                raise Malformed("Content-Length: " + length)
            self._left, self._state = int(length), "fixed"
            if self._left == 0:
                self._finish()
        else:
            self._state = "until_close"

    def _finish(self):
        self.ended = self.clean = True

    def _take(self, n):
        data = bytes(self._buf[:n])
        del self._buf[:n]
        if self.sse:
            self.events += self.sse.feed(data)
        else:
            self.body += data
        return len(data)

    def _fixed(self):
        self._left -= self._take(self._left)
        if self._left == 0:
            self._finish()
        return False

    def _until_close(self):
        self._take(len(self._buf))
        return False

    def _chunk_size(self):
        line = self._line()
        if line is None:
            return False
        if not re.match(rb"^[0-9A-Fa-f]{1,16}$", line):
            raise Malformed("chunk size line %r" % line)
        self._left = int(line, 16)
        self._state = "chunk" if self._left else "trailer"
        return True

    def _chunk(self):
        self._left -= self._take(self._left)
        if self._left:
            return False
        self._state = "chunk_end"
        return True

    def _chunk_end(self):
        if len(self._buf) < 2:
            return False
        if self._buf[:2] != b"\r\n":
            raise Malformed("no CRLF after a chunk")
        del self._buf[:2]
        self._state = "chunk_size"
        return True

    def _trailer(self):
        line = self._line()
        if line is None:
            return False
        if line:
            raise Malformed("trailer in a response: %r" % line)
        self._finish()
        return False


class Socket:
    """A connected socket whose every wait ends at a deadline."""

    def __init__(self, address):
        family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
        self.sock = socket.socket(family, socket.SOCK_STREAM)
        self.sock.settimeout(20)
        self.sock.connect(address)
        if family == socket.AF_INET:
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock.setblocking(False)
        self.closed_by_peer = False

    def fileno(self):
        return self.sock.fileno()

    def close(self):
        self.sock.close()

    def reset(self):
        """Closes with RST, as a crashed host does."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.sock.close()

    def half_close(self):
        self.sock.shutdown(socket.SHUT_WR)

    def send(self, data, strict=True):
        """Sends everything. strict=False: a peer that refuses to take it all is no error."""
        clock, view = Clock(), memoryview(data)
        while view:
            try:
                view = view[self.sock.send(view):]
            except BlockingIOError:
                clock.check("the daemon to read")
                select.select([], [self.sock], [], min(clock.left(), 1))
            except (BrokenPipeError, ConnectionResetError):
                if strict:
                    raise
                return False
        return True

    def recv(self, clock=None, what="data"):
        """Some bytes; b"" once the peer closed."""
        clock = clock or Clock()
        while True:
            data = self.recv_now()
            if data is not None:
                return data
            clock.check(what)
            select.select([self.sock], [], [], clock.left())

    def recv_now(self, size=1 << 18):
        """Bytes that are here already, None when there are none, b"" once the peer closed."""
        try:
            data = self.sock.recv(size)
        except (BlockingIOError, InterruptedError):
            return None
        except ConnectionResetError:
            data = b""
        if not data:
            self.closed_by_peer = True
        return data

    def wait_closed(self):
        """Reads until the peer closes; returns what came."""
        clock, got = Clock(), bytearray()
        while True:
            data = self.recv(clock, "the daemon to close the connection")
            if not data:
                return bytes(got)
            got += data


class HttpConn(Socket):
    """One HTTP connection on which a test sends whatever bytes it likes."""

    def __init__(self, address):
        super().__init__(address)
        self.rest = b""

    def read_response(self, method="POST", whole=True):
        """The next response; whole=False returns as soon as its head is there."""
        r, clock = Response(method), Clock()
        self.pump(r, clock, lambda: r.ended or (not whole and r.status is not None))
        if r.status is None:
            return None  # closed without a word
        return r

    def pump(self, r, clock, done):
        while True:
            if self.rest:
                data, self.rest = self.rest, b""
                self.rest = r.feed(data)
            if done():
                return
            data = self.recv(clock, lambda: "a response; so far %r" % (r.status,))
            if not data:
                r.eof()
                if not done():
                    return
            self.rest += data

    def next_event(self, r, comments=False):
        """The next event of a streaming response; None at its end."""
        clock = Clock()
        while True:
            self.pump(r, clock, lambda: r.ended or r.events)
            if not r.events:
                return None
            e = r.events.pop(0)
            if comments or e.comment is None:
                return e

    def exchange(self, data, method="POST"):
        self.send(data, strict=False)
        return self.read_response(method)
