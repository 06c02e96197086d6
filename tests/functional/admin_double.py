"""Stands in for the admin interface of a daemon: answers what the test says, and remembers what was asked."""
import json
import os
import socket
import tempfile
import threading


class AdminDouble:
    """answers: {(method, target without query): body or (status, body) or a function of the target}."""

    def __init__(self, answers):
        self.answers = answers
        self.asked = []
        self.directory = tempfile.TemporaryDirectory(prefix="mcpool-admin-")
        self.path = os.path.join(self.directory.name, "admin.sock")
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.bind(self.path)
        self.sock.listen(16)
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self):
        while True:
            try:
                peer = self.sock.accept()[0]
            except OSError:
                return
            with peer:
                self._answer(peer)

    def _answer(self, peer):
        data = b""
        while b"\r\n\r\n" not in data:
            more = peer.recv(65536)
            if not more:
                return
            data += more
        method, target = data.split(b" ", 2)[:2]
        method, target = method.decode(), target.decode()
        self.asked.append((method, target))
        found = self.answers.get((method, target.split("?")[0]), (404, {"error": "There is no such page."}))
        if callable(found):
            found = found(target)
        status, body = found if isinstance(found, tuple) else (200, found)
        body = body if isinstance(body, bytes) else json.dumps(body).encode() + b"\n"
        peer.sendall(b"HTTP/1.1 %d X\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
                     % (status, len(body)) + body)

    def close(self):
        self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()
        self.thread.join()
        self.directory.cleanup()
