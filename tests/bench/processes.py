"""Processes of the benchmark suite: started, waited for, measured through /proc, and ended, whatever happens."""
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time

START_DEADLINE = 30.0  # a statement about hanging, not about speed
END_DEADLINE = 5.0


class Failure(Exception):
    """Something that could not be measured, with the sentence that says why."""


class Process:
    """A child with a log of its own. What it starts itself ends with it: they share a process group, or see their pipe
    closed."""

    def __init__(self, argv, folder, name, **more):
        self.name = name
        self.log_path = os.path.join(folder, name + ".log")
        more.setdefault("stdin", subprocess.DEVNULL)
        with open(self.log_path, "ab") as log:
            more.setdefault("stdout", log)
            try:
                self.popen = subprocess.Popen(  # pylint: disable=consider-using-with
                    argv, stderr=log, start_new_session=True, **more)
            except OSError as e:
                raise Failure("%s does not start: %s" % (argv[0], e)) from e
        self.pid = self.popen.pid

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as f:
            return f.read()

    def check(self):
        if self.popen.poll() is not None:
            said = self.log().strip().split("\n")[-1]
            raise Failure("%s ended with status %d: %s" % (self.name, self.popen.returncode, said or "it said nothing"))

    def until(self, condition, what, pause=0.005):
        """The first true value of the condition, while the process lives."""
        end = time.monotonic() + START_DEADLINE
        while True:
            value = condition()
            if value:
                return value
            self.check()
            if time.monotonic() > end:
                raise Failure("%s: no %s within %.0f s" % (self.name, what, START_DEADLINE))
            time.sleep(pause)

    def until_logged(self, part):
        def line_with():
            return next((line for line in self.log().split("\n")[:-1] if part in line), None)
        return self.until(line_with, "line %r in its log" % part)

    def until_open(self, port):
        self.until(lambda: can_connect(port), "open port %d" % port)

    def kill(self):
        """At once, and alone: for measuring what becomes of that."""
        self.popen.kill()
        self.popen.wait()

    def stop(self):
        for end in (signal.SIGTERM, signal.SIGKILL):
            if self.popen.poll() is None:
                self.popen.send_signal(end)
            try:
                self.popen.wait(END_DEADLINE)
            except subprocess.TimeoutExpired:
                continue
            break
        try:
            os.killpg(self.pid, signal.SIGKILL)  # whatever it has left behind
        except ProcessLookupError:
            pass
        for pipe in (self.popen.stdin, self.popen.stdout):
            if pipe:
                pipe.close()


class Workshop:
    """A temporary folder and the processes that run in it; both are gone when it closes."""

    def __init__(self):
        # Short, for the sake of the 107 bytes that the path of a unix socket may have.
        self.folder = tempfile.mkdtemp(prefix="mcpool-bench-")
        self.processes = []
        self.count = 0

    def place(self, name):
        """A path in the folder that nobody else was given."""
        self.count += 1
        return os.path.join(self.folder, "%d-%s" % (self.count, name))

    def start(self, argv, name, **more):
        self.count += 1
        process = Process(argv, self.folder, "%d-%s" % (self.count, name), **more)
        self.processes.append(process)
        return process

    def end(self, process):
        process.stop()
        self.processes.remove(process)

    def close(self):
        try:
            for process in self.processes:
                process.stop()
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)


def can_connect(port):
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    except OSError:
        return False


def free_port():
    """A port that nobody listens on now. For programs that cannot be told to take any and say which."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def memory(pid, key="VmRSS"):
    """Bytes in a line of /proc/PID/status: VmRSS resident now, VmHWM resident at most."""
    with open("/proc/%d/status" % pid, encoding="ascii") as f:
        for line in f:
            if line.startswith(key + ":"):
                return int(line.split()[1]) * 1024
    raise Failure("process %d has no %s" % (pid, key))


def reset_peak(pid):
    """mcpoold keeps other users out of its /proc files, its own user included. For them peaks are those since its start,
    which are no smaller."""
    try:
        with open("/proc/%d/clear_refs" % pid, "w", encoding="ascii") as f:
            f.write("5")
    except PermissionError:
        pass


def settled_memory(pid):
    """Resident bytes once they have stopped changing: a process that has just opened or closed much is still at it."""
    last, same, end = memory(pid), 0, time.monotonic() + 2
    while same < 4 and time.monotonic() < end:
        time.sleep(0.025)
        now = memory(pid)
        same, last = (same + 1 if now == last else 0), now
    return last


def children(parent):
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open("/proc/%s/stat" % name, encoding="utf-8", errors="replace") as f:
                    fields = f.read().rsplit(")", 1)[1].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if int(fields[1]) == parent and fields[0] != "Z":
                found.append(int(name))
    return found
