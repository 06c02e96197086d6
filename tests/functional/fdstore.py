"""The descriptor store of a service manager, as systemd keeps it: what a daemon gives away comes back to the next one."""
import fcntl
import json
import os
import re
import select
import socket
import subprocess
import threading

from daemon import MCPOOLD, Daemon, Log


class Store:
    """Takes FDSTORE and FDSTOREREMOVE messages on a thread of its own. Descriptors whose other end is gone are dropped."""

    def __init__(self, directory, size=256, limit=None):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.path = os.path.join(directory, "notify")
        self.sock.bind(self.path)
        self.size = size                            # what the daemon is told
        self.limit = size if limit is None else limit  # what is kept
        self.fds = []                               # (name, descriptor), oldest first
        self.puts = self.removals = self.refused = 0
        self.changed = threading.Condition()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        while True:
            data, fds, _, _ = socket.recv_fds(self.sock, 1 << 16, 253)
            if data == b"end":
                return
            words = dict(line.split("=", 1) for line in data.decode().splitlines() if line)
            with self.changed:
                self._take(words, fds)
                self.changed.notify_all()

    def _take(self, words, fds):
        name = words.get("FDNAME", "stored")
        assert name.isprintable() and ":" not in name and len(name) <= 255, name
        if words.get("FDSTORE") == "1":
            for fd in fds:
                if len(self.fds) >= self.limit:
                    self.refused += 1
                    os.close(fd)
                    continue
                self.puts += 1
                self.fds.append((name, fd))
        else:
            for fd in fds:
                os.close(fd)
        if words.get("FDSTOREREMOVE") == "1":
            self.removals += 1
            for n, fd in self.fds:
                if n == name:
                    os.close(fd)
            self.fds = [(n, fd) for n, fd in self.fds if n != name]

    def sync(self):
        """Returns when everything that was sent before now has been taken."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
            with self.changed:
                fence = self.removals
            s.sendto(b"FDSTOREREMOVE=1\nFDNAME=fence", self.path)
            with self.changed:
                if not self.changed.wait_for(lambda: self.removals > fence, 20):
                    raise AssertionError("the store does not listen")

    def wait(self, condition, what):
        with self.changed:
            if not self.changed.wait_for(lambda: condition(self), 20):
                raise AssertionError("timed out waiting for %s; the store holds %r" % (what, [n for n, _ in self.fds]))

    def wait_kept(self, count):
        """Until that many client connections are kept."""
        self.wait(lambda s: len(s.connections()) == count, "%d kept connections" % count)

    def connections(self):
        return [n for n, _ in self.fds if n.startswith("c-")]

    def drop_gone(self):
        poll = select.poll()
        for _, fd in self.fds:
            poll.register(fd, 0)
        gone = {fd for fd, what in poll.poll(0) if what & (select.POLLHUP | select.POLLERR)}
        for fd in gone:
            os.close(fd)
        self.fds = [(n, fd) for n, fd in self.fds if fd not in gone]

    def close(self):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
            s.sendto(b"end", self.path)
        self.thread.join(20)
        self.sock.close()
        for _, fd in self.fds:
            os.close(fd)
        self.fds = []


LAUNCH = """
import fcntl, os, sys
fds = [int(a) for a in sys.argv[1].split(",") if a]
high = [fcntl.fcntl(fd, fcntl.F_DUPFD, 500) for fd in fds]
for i, fd in enumerate(high):
    os.dup2(fd, 3 + i)
    os.close(fd)
os.environ["LISTEN_PID"] = str(os.getpid())
os.execv(sys.argv[2], sys.argv[2:])
"""


class KeptDaemon(Daemon):
    """A daemon with a descriptor store, which is its own however often it is started anew."""

    def __init__(self, servers, config=None, **store):
        super().__init__(servers, config)
        self.store = Store(self.dir, **store)

    def start(self, env=None, wait=True):
        self.joined = False
        with open(self.config_path, "w") as f:
            json.dump(self.config, f, indent=1)
        os.chmod(self.config_path, 0o600)
        with self.store.changed:
            self.store.drop_gone()
            given = list(self.store.fds)
            copies = [fcntl.fcntl(fd, fcntl.F_DUPFD, 100) for _, fd in given]
        environment = dict(os.environ, NOTIFY_SOCKET=self.store.path, FDSTORE=str(self.store.size), **(env or {}))
        environment.setdefault("ASAN_OPTIONS", "detect_leaks=1:abort_on_error=0:exitcode=99")
        environment.setdefault("UBSAN_OPTIONS", "print_stacktrace=1")
        environment.pop("JOURNAL_STREAM", None)
        if given:
            environment.update(LISTEN_FDS=str(len(given)), LISTEN_FDNAMES=":".join(n for n, _ in given))
        self.process = subprocess.Popen(
            ["/usr/bin/python3", "-ISc", LAUNCH, ",".join(map(str, copies)), MCPOOLD, "--config", self.config_path],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment,
            pass_fds=copies, start_new_session=True)
        for fd in copies:
            os.close(fd)
        self.log = Log(self.process.stderr)
        if wait:
            self.log.wait(r" notice ready$")
            for line in self.log.matching(r"listening on http://"):
                self.host, port = re.search(r"http://(\S+?):(\d+)", line).groups()
                self.port = int(port)
        return self

    def end(self, kill):
        """The process goes, by SIGKILL or by SIGTERM; what it left is checked."""
        if kill:
            self.process.kill()
        else:
            self.process.terminate()
        status = self.process.wait(60)
        self.log.thread.join(20)
        problems = self.problems()
        if not kill and status != 0:
            problems.append("exit status %d" % status)
        if problems:
            raise AssertionError("\n".join(problems) + "\n" + self.log.text())
        self.store.sync()

    def restart(self, kill):
        self.end(kill)
        return self.start()

    def stop(self, expect_status=0):
        """As `systemctl stop`: the store is dropped, and what is left of the sockets with it."""
        self.end(False)
        self.joined = True
        left = self.children()
        if left:
            raise AssertionError("processes left behind: %r" % left)

    def discard(self):
        self.store.close()
        super().discard()
