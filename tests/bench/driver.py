"""The two ways in which the suite makes calls: through `load`, which measures, and through small blocking clients of its own
for what `load` does not time, such as the first answer after a start."""
import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import time

from processes import START_DEADLINE, Failure

PATIENCE = 90  # seconds for a run of `load` beside the time it was told to take

INITIALIZE = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "bench", "version": "1"}}
CALL = {"name": "echo", "arguments": {"text": "x" * 100, "bytes": 100}}


def message(method, params=None, ident=None):
    m = {"jsonrpc": "2.0", "method": method}
    if ident is not None:
        m["id"] = ident
    if params is not None:
        m["params"] = params
    return json.dumps(m, separators=(",", ":")).encode()


# --- load ---

def load_command(target, options):
    """The command line of `load` for this target. Options: names without dashes; a value of None leaves one out."""
    argv = target.loader()
    for name, value in options.items():
        if value is not None:
            argv += ["--" + name.replace("_", "-"), str(value)]
    if target.pid:
        argv += ["--pid", str(target.pid)]
    return argv + target.way()


def load(target, **options):
    """Runs `load` on the target and returns what it has measured."""
    argv = load_command(target, options)
    process = subprocess.Popen(  # pylint: disable=consider-using-with
        argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)
    try:
        out, said = process.communicate(timeout=PATIENCE + float(options.get("seconds") or 0))
    except subprocess.TimeoutExpired:
        raise Failure("load did not end: %s" % " ".join(argv)) from None
    finally:
        end_group(process)
    if process.returncode:
        raise Failure(last_line(said) or "load ended with status %d" % process.returncode)
    return parsed(out)


@contextlib.contextmanager
def held(target, sessions):
    """So many sessions, open for as long as the block lasts."""
    argv = load_command(target, {"mode": "hold", "sessions": sessions})
    process = subprocess.Popen(  # pylint: disable=consider-using-with
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)
    try:
        line = process.stdout.readline()
        if not line:
            raise Failure(last_line(process.stderr.read()) or "load could not open %d sessions" % sessions)
        yield parsed(line)
        process.stdin.close()
        if process.wait(PATIENCE):
            raise Failure(last_line(process.stderr.read()) or "load could not keep %d sessions" % sessions)
    finally:
        end_group(process)


def end_group(process):
    """A run that was interrupted leaves `load` and, behind its pipes, a server."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe:
            pipe.close()


def parsed(line):
    try:
        return json.loads(line)
    except ValueError:
        raise Failure("load printed %r" % line[:200]) from None


def last_line(said):
    return said.decode("utf-8", "replace").strip().split("\n")[-1]


# --- clients ---

class Lines:
    """A session of newline-delimited JSON-RPC over two files, such as the pipes of a server."""

    def __init__(self, reader, writer):
        self.reader, self.writer, self.count = reader, writer, 0

    def request(self, method, params=None):
        self.count += 1
        self.writer.write(message(method, params, self.count) + b"\n")
        self.writer.flush()
        while True:
            line = self.reader.readline()
            if not line:
                raise ConnectionResetError("end of file instead of an answer")
            answer = json.loads(line)
            if answer.get("id") == self.count:
                return answer

    def first_answer(self):
        """From nothing to the answer of the first call."""
        check(self.request("initialize", INITIALIZE))
        self.writer.write(message("notifications/initialized") + b"\n")
        return check(self.request("tools/call", CALL))


class UnixLines(Lines):
    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        try:
            self.socket.settimeout(START_DEADLINE)
            self.socket.connect(path)
            super().__init__(self.socket.makefile("rb"), self.socket.makefile("wb"))
        except OSError:
            self.socket.close()
            raise

    def close(self):
        for f in (self.reader, self.writer, self.socket):
            with contextlib.suppress(OSError):
                f.close()


class HttpSession:
    """A session of Streamable HTTP, or plain POSTs of the same messages. It connects anew by itself when it must."""

    def __init__(self, port, path="/mcp", mcp=True):
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=START_DEADLINE)
        self.path, self.mcp, self.session = path, mcp, None

    def post(self, body):
        head = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
        if self.session:
            head.update({"Mcp-Session-Id": self.session, "Mcp-Protocol-Version": INITIALIZE["protocolVersion"]})
        try:
            self.connection.request("POST", self.path, body, head)
            answer = self.connection.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException):
            self.connection.close()
            raise
        if answer.status not in (200, 202):
            raise Failure("HTTP status %d: %s" % (answer.status, text[:200].decode("utf-8", "replace")))
        self.session = self.session or answer.getheader("Mcp-Session-Id")
        if answer.getheader("Content-Type", "").startswith("text/event-stream"):
            data = [line[5:] for line in text.split(b"\n") if line.startswith(b"data:")]
            text = data[-1] if data else b""
        return json.loads(text) if text.strip() else None

    def call(self):
        return check(self.post(message("tools/call", CALL, 1)))

    def first_answer(self):
        if self.mcp:
            check(self.post(message("initialize", INITIALIZE, 0)))
            self.post(message("notifications/initialized"))
        return self.call()

    def close(self):
        self.connection.close()


def check(answer):
    """The answer, if it is one and no error."""
    if not isinstance(answer, dict) or "result" not in answer:
        raise Failure("no result: %.200s" % json.dumps(answer))
    return answer


def until_answered(attempt, process, pause=0.0002):
    """What the attempt returns as soon as it returns something: until then nobody listens, or whoever did is gone."""
    end = time.monotonic() + START_DEADLINE
    while True:
        try:
            return attempt()
        except (OSError, http.client.HTTPException) as e:
            process.check()
            if time.monotonic() > end:
                raise Failure("%s: no answer within %.0f s: %s" % (process.name, START_DEADLINE, e)) from e
        time.sleep(pause)
