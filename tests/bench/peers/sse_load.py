#!/usr/bin/python3
"""`load` for the HTTP+SSE transport of 2024-11-05, which mcp-hub alone among the measured proxies still needs: an event stream
for each session, whose first event names the address to POST to. It understands the options of `load` that the rows use, and
prints the same line. Python is slow, but it has a processor for itself while a Node proxy works on the other: what it
took is in load_cpu_us_per_call, beside what the proxy took."""
import argparse
import json
import os
import selectors
import socket
import sys
import time

INITIALIZE = {"protocolVersion": "2024-11-05", "capabilities": {}, "clientInfo": {"name": "bench", "version": "1"}}
DEADLINE = 60.0
LAST_CHUNK = b"\r\n0\r\n\r\n"


class Session:
    """Two connections: `stream` brings all messages, `post` takes the requests."""

    def __init__(self, address, path, body_of):
        self.address, self.body_of = address, body_of
        self.pending, self.posted = b"", b""
        self.ident, self.sent_at = 0, 0.0
        self.stream = socket.create_connection(address, DEADLINE)
        self.stream.sendall(b"GET %s HTTP/1.1\r\nHost: %s:%d\r\nAccept: text/event-stream\r\n\r\n" % (
            path.encode(), address[0].encode(), address[1]))
        self.pending = opened(self.stream)
        self.endpoint = self.next_event().decode()
        self.post = socket.create_connection(address, DEADLINE)
        self.post.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.send({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": INITIALIZE})
        self.answer()
        self.send({"jsonrpc": "2.0", "method": "notifications/initialized"})

    def send(self, message):
        body = json.dumps(message, separators=(",", ":")).encode()
        self.post.sendall(b"POST %s HTTP/1.1\r\nHost: %s:%d\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (
            self.endpoint.encode(), self.address[0].encode(), self.address[1], len(body), body))
        self.accepted()

    def accepted(self):
        """Reads the response to the POST, whose body, if any, says Accepted."""
        lines, self.posted = response(self.post, self.posted)
        if not lines[0].startswith(b"http/1.1 202"):
            raise SystemExit("sse_load: the POST got %s" % lines[0].decode())
        if b"transfer-encoding: chunked" in lines:
            self.skip(lambda data: data.find(LAST_CHUNK) + len(LAST_CHUNK) if LAST_CHUNK in data else None)
            return
        length = next((int(line.split(b":")[1]) for line in lines if line.startswith(b"content-length:")), 0)
        self.skip(lambda data: length if len(data) >= length else None)

    def skip(self, end_of):
        """Reads on until there is an end, and forgets what is before it."""
        while end_of(self.posted) is None:
            self.posted += received(self.post)
        self.posted = self.posted[end_of(self.posted):]

    def call(self):
        self.ident += 1
        self.sent_at = time.monotonic()
        self.send(self.body_of(self.ident))

    def event(self):
        """The data of the next event if it is here. The sizes of chunks in between are no lines that begin with data."""
        end = self.pending.find(b"\n\n")
        if end < 0:
            return None
        block, self.pending = self.pending[:end], self.pending[end + 2:]
        data = [line[5:].strip() for line in block.split(b"\n") if line.startswith(b"data:")]
        return data[0] if data else b""

    def next_event(self):
        while True:
            data = self.event()
            if data:
                return data
            if data is None:
                self.pending += received(self.stream)

    def answer(self):
        """The response to the last request; what else comes is not for us."""
        while True:
            message = json.loads(self.next_event())
            if "id" in message and "method" not in message:
                return message


def opened(stream):
    """What has come of the stream behind its head."""
    lines, rest = response(stream, b"")
    if not lines[0].startswith(b"http/1.1 200"):
        raise SystemExit("sse_load: the stream got %s" % lines[0].decode())
    return rest


def response(sock, data):
    """The lines of a response's head, in small letters, and what has come behind it."""
    while b"\r\n\r\n" not in data:
        data += received(sock)
    head, rest = data.split(b"\r\n\r\n", 1)
    return head.lower().split(b"\r\n"), rest


def received(sock):
    data = sock.recv(1 << 16)
    if not data:
        raise SystemExit("sse_load: the proxy closed a connection")
    return data


def check(session, message, size):
    text = message.get("result", {}).get("content", [{}])[0].get("text", "")
    if message["id"] != session.ident or len(text) != size:
        raise SystemExit("sse_load: wrong answer to %d: %.300s" % (session.ident, json.dumps(message)))


def run(sessions, seconds, size):
    """Each session calls as soon as it was answered. Returns the latencies and the time that it took."""
    selector = selectors.DefaultSelector()
    for session in sessions:
        selector.register(session.stream, selectors.EVENT_READ, session)
    began = time.monotonic()
    for session in sessions:
        session.call()
    latencies, busy = [], len(sessions)
    while busy:
        ready = selector.select(DEADLINE)
        if not ready:
            raise SystemExit("sse_load: no answer for %.0f s" % DEADLINE)
        for key, _ in ready:
            session = key.data
            session.pending += received(session.stream)
            while True:
                data = session.event()
                if data is None:
                    break
                if not data:
                    continue
                message = json.loads(data)
                if "id" not in message or "method" in message:
                    continue
                check(session, message, size)
                latencies.append(time.monotonic() - session.sent_at)
                if time.monotonic() - began < seconds:
                    session.call()
                else:
                    busy -= 1
    return latencies, time.monotonic() - began


def cpu_seconds(pid):
    with open("/proc/%d/stat" % pid, encoding="utf-8", errors="replace") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def at(ordered, share):
    return round(1e6 * ordered[min(len(ordered) - 1, int(share * len(ordered)))], 1)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--http", required=True, metavar="HOST:PORT/PATH")
    parser.add_argument("--tool", required=True)
    parser.add_argument("--sessions", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--args-bytes", type=int, default=100)
    parser.add_argument("--result-bytes", type=int, default=100)
    parser.add_argument("--warmup", type=int, default=100, help="calls before it measures (100)")
    parser.add_argument("--pid", type=int)
    o = parser.parse_args()
    place, path = o.http.split("/", 1)
    host, port = place.rsplit(":", 1)
    params = {"name": o.tool, "arguments": {"text": "x" * o.args_bytes, "bytes": o.result_bytes}}

    def body_of(ident):
        return {"jsonrpc": "2.0", "id": ident, "method": "tools/call", "params": params}
    sessions = [Session((host, int(port)), "/" + path, body_of) for _ in range(o.sessions)]
    warmed = 0
    while warmed < o.warmup:
        warmed += len(run(sessions, 0.1, o.result_bytes)[0])
    cpu, own = (cpu_seconds(o.pid) if o.pid else 0.0), time.process_time()
    latencies, took = run(sessions, o.seconds, o.result_bytes)
    count = len(latencies)
    own = time.process_time() - own
    cpu = cpu_seconds(o.pid) - cpu if o.pid else 0.0
    ordered = sorted(latencies)
    print(json.dumps({
        "calls": count, "errors": 0, "seconds": took, "calls_per_second": count / took,
        "latency_us": {"min": at(ordered, 0), "p50": at(ordered, 0.5), "p90": at(ordered, 0.9), "p99": at(ordered, 0.99),
                       "p999": at(ordered, 0.999), "max": at(ordered, 1)},
        "cpu_us_per_call": {str(o.pid): 1e6 * cpu / count} if o.pid else {}, "load_cpu_us_per_call": 1e6 * own / count}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
