"""What a service manager is to the daemon: a socket that it tells things, and descriptors that it is given."""
import os
import select
import socket
import struct

from daemon import DEADLINE, ROOT, Clock

LISTEN_FDS = os.path.join(ROOT, "tests", "helpers", "listen_fds.py")


class Manager:
    """Takes notifications (sd_notify(3)), in order, with the process that sent each."""

    def __init__(self, directory, abstract=False):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        path = os.path.join(directory, "notify")
        self.sock.bind("\0" + path if abstract else path)
        self.env = {"NOTIFY_SOCKET": "@" + path if abstract else path}
        self.messages = []  # dictionaries of variables; "pid" is the sender's

    def _take(self):
        text, control, _, _ = self.sock.recvmsg(1 << 16, 1 << 12)
        message = dict(line.split("=", 1) for line in text.decode().splitlines())
        for level, kind, data in control:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_CREDENTIALS):
                message["pid"] = struct.unpack("3i", data)[0]
        self.messages.append(message)

    def drain(self):
        """Takes what is there already."""
        while select.select([self.sock], [], [], 0)[0]:
            self._take()

    def wait(self, what, start=0):
        """The index behind the first message, from start on, of which what(message) holds; and that message."""
        clock = Clock()
        while True:
            for i in range(start, len(self.messages)):
                if what(self.messages[i]):
                    return i + 1, self.messages[i]
            start = len(self.messages)
            clock.check(lambda: "a notification; there were %r" % (self.messages,))
            if select.select([self.sock], [], [], clock.left())[0]:
                self._take()

    def wait_for(self, name, value=None, start=0):
        return self.wait(lambda m: name in m and value in (None, m[name]), start)

    def close(self):
        self.sock.close()


def activation(sockets):
    """For Daemon.start: how a daemon is given these sockets, a list of (name, socket)."""
    pairs = ",".join("%s=%d" % (name, s.fileno()) for name, s in sockets)
    return {"prefix": (LISTEN_FDS, pairs), "pass_fds": [s.fileno() for _, s in sockets]}


def listening(address, family=socket.AF_INET, kind=socket.SOCK_STREAM):
    s = socket.socket(family, kind)
    s.bind(address)
    if kind == socket.SOCK_STREAM:
        s.listen(64)
    s.settimeout(DEADLINE)
    return s
