#!/usr/bin/python3
"""What the limits cost: memory of the daemon with many idle sessions and while huge results pass.

Prints figures; exits 1 when one breaks its promise: the daemon at rest within 4 MiB; 10,000 idle sessions under 100 MB, with
and without an open stream each; a 64 MiB result with the daemon's memory bounded, also while its reader sleeps. Run it on a
build without sanitizers.
"""
import argparse
import hashlib
import json
import os
import resource
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True

import processes  # noqa: E402

MIB = 1 << 20
TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
INITIALIZE = json.dumps({
    "jsonrpc": "2.0", "id": 0, "method": "initialize",
    "params": {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "limits", "version": "1"}}})


class Daemon:
    def __init__(self, build):
        self.dir = tempfile.mkdtemp(prefix="mcpool-limits-")
        config = {
            "listen": ["127.0.0.1:0"], "runtime_dir": self.dir, "state_dir": self.dir,
            "limits": {"max_response_bytes": "128MiB", "max_sessions": 20000, "max_sessions_per_principal": 20000},
            "mcpServers": {"demo": {"command": os.path.join(build, "mcpool-demo")}}}
        path = os.path.join(self.dir, "mcpool.json")
        with open(path, "w", encoding="utf-8") as f:
            json.dump(config, f)
        os.chmod(path, 0o600)
        self.log = open(os.path.join(self.dir, "log"), "w+", encoding="utf-8")  # pylint: disable=consider-using-with
        self.process = subprocess.Popen(  # pylint: disable=consider-using-with
            [os.path.join(build, "mcpoold"), "--config", path], stderr=self.log)
        self.port = int(self.await_line("listening on http://").rsplit(":", 1)[1])
        self.await_line("ready")

    def await_line(self, part):
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            with open(self.log.name, encoding="utf-8") as f:
                for line in f:
                    if part in line:
                        return line.strip()
            time.sleep(0.02)
        raise SystemExit("the daemon did not say %r; its log is %s" % (part, self.log.name))

    def memory(self, key="VmRSS"):
        return processes.memory(self.process.pid, key)

    def reset_peak(self):
        processes.reset_peak(self.process.pid)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(60)
        self.log.close()
        shutil.rmtree(self.dir)
        if status:
            raise SystemExit("the daemon ended with status %d" % status)


def request(method, port, body="", session=None, accept="application/json, text/event-stream"):
    head = ["%s /mcp/demo HTTP/1.1" % method, "Host: 127.0.0.1:%d" % port, "Accept: " + accept]
    if session:
        head.append("Mcp-Session-Id: " + session)
    if method == "POST":
        head += ["Content-Type: application/json", "Content-Length: %d" % len(body)]
    return ("\r\n".join(head) + "\r\n\r\n" + body).encode()


def read_response(sock, pending=b""):
    """Head and body of a response with Content-Length."""
    data = pending
    while b"\r\n\r\n" not in data:
        data += received(sock)
    head, body = data.split(b"\r\n\r\n", 1)
    fields = {k.lower(): v for k, _, v in (line.partition(": ") for line in head.decode().split("\r\n")[1:])}
    length = int(fields.get("content-length", 0))
    chunks, have = [body], len(body)
    while have < length:
        chunks.append(received(sock))
        have += len(chunks[-1])
    return int(head.split()[1]), fields, b"".join(chunks)


def received(sock):
    data = sock.recv(MIB)
    if not data:
        raise SystemExit("the daemon closed the connection")
    return data


def open_session(sock, port):
    sock.sendall(request("POST", port, INITIALIZE))
    status, fields, body = read_response(sock)
    if status != 200:
        raise SystemExit("initialize: %d %s" % (status, body[:300]))
    return fields["mcp-session-id"]


def idle_sessions(daemon, count):
    before = daemon.memory()
    with socket.create_connection(("127.0.0.1", daemon.port)) as sock:
        ids = [open_session(sock, daemon.port) for _ in range(count)]
    return ids, before, daemon.memory()


def open_streams(daemon, ids):
    """A GET stream for each session; returns the sockets, kept open."""
    socks = []
    sel = selectors.DefaultSelector()
    for sid in ids:
        sock = socket.create_connection(("127.0.0.1", daemon.port))
        sock.sendall(request("GET", daemon.port, session=sid, accept="text/event-stream"))
        socks.append(sock)
        sel.register(sock, selectors.EVENT_READ)
    waiting = len(socks)
    while waiting:
        for key, _ in sel.select(30):
            if b" 200 " not in key.fileobj.recv(4096).split(b"\r\n")[0]:
                raise SystemExit("a GET stream was refused")
            sel.unregister(key.fileobj)
            waiting -= 1
    return socks


def big_call(ident, size):
    return json.dumps({"jsonrpc": "2.0", "id": ident, "method": "tools/call",
                       "params": {"name": "big", "arguments": {"bytes": size}}})


def text_of(body):
    return json.loads(body)["result"]["content"][0]["text"]


def big_result(daemon, size):
    """A result passes; then one whose reader sleeps while another client works."""
    with socket.create_connection(("127.0.0.1", daemon.port)) as sock:
        sid = open_session(sock, daemon.port)
        daemon.reset_peak()
        sock.sendall(request("POST", daemon.port, big_call(1, size), sid))
        status, _, body = read_response(sock)
        text = text_of(body)
        if status != 200 or len(text) != size:
            raise SystemExit("the big result came back with %d bytes of text" % len(text))
        digest = hashlib.sha256(text.encode()).hexdigest()
        passing = daemon.memory("VmHWM")

        daemon.reset_peak()
        sock.sendall(request("POST", daemon.port, big_call(2, size), sid))
        with socket.create_connection(("127.0.0.1", daemon.port)) as other:
            other_sid = open_session(other, daemon.port)
            for i in range(200):
                other.sendall(request("POST", daemon.port, big_call(i, 1000), other_sid))
                if read_response(other)[0] != 200:
                    raise SystemExit("a sleeping reader held up another client")
        status, _, body = read_response(sock)
        if hashlib.sha256(text_of(body).encode()).hexdigest() != digest:
            raise SystemExit("the two big results differ")
        return passing, daemon.memory("VmHWM")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    built = os.path.dirname(os.environ.get("MCPOOLD") or os.path.join(TOP, "build", "mcpoold"))
    parser.add_argument("--build", default=built, help="folder with mcpoold and mcpool-demo")
    parser.add_argument("--sessions", type=int, default=10000)
    parser.add_argument("--size", type=int, default=64 * MIB, help="bytes of the big result")
    o = parser.parse_args()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < o.sessions + 100:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, o.sessions + 1000), hard))
    failed = False

    def row(what, value, limit):
        nonlocal failed
        bad = limit is not None and value > limit
        failed |= bad
        print("%-58s %8.1f MiB%s" % (what, value / MIB, "" if limit is None else
                                      "   (limit %.0f)%s" % (limit / MIB, "  FAILED" if bad else "")), flush=True)

    daemon = Daemon(os.path.abspath(o.build))
    row("daemon at rest", daemon.memory(), 4 * MIB)
    passing, sleeping = big_result(daemon, o.size)
    row("peak while a result of %d MiB passes" % (o.size // MIB), passing, 24 * MIB)
    row("peak while its reader sleeps and others work", sleeping, 24 * MIB)
    ids, before, after = idle_sessions(daemon, o.sessions)
    row("with %d idle sessions" % o.sessions, after, 100 * 1000 * 1000)
    print("%-58s %8.0f bytes" % ("  that is, a session", (after - before) / o.sessions))
    room = max(resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 200, 0)
    socks = open_streams(daemon, ids[:room])
    streamed = daemon.memory()
    row("with an open stream for %d of them" % len(socks), streamed, 100 * 1000 * 1000)
    print("%-58s %8.0f bytes" % ("  that is, a stream", (streamed - after) / max(len(socks), 1)))
    for sock in socks:
        sock.close()
    daemon.stop()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
