#!/usr/bin/python3 -IS
"""A stdio MCP server that misbehaves on request.

Faults around start-up and the handshake are chosen by command line options; faults during a call are tools, so a test
decides when they happen. With --ledger FILE every start, every message received and every executed
call is recorded, one JSON object a line, so that a test can count what really reached a server:

    {"pid": 12, "event": "start"}      {"pid": 12, "event": "recv", "message": {...}}
    {"pid": 12, "event": "run", "tool": "record", "nonce": "n1"}      also "eof", "term"

Tools
  record {nonce}              answers the nonce
  hold {key}                  stays open until `release {key}`, until cancelled, or for ever
  release {key}               answers every call held under that key, then itself
  late {}                     stays open; answers only after it was cancelled, and then progress too
  emit {lines, ...}           writes the given lines literally, with $ID (the id of this call, raw JSON), $TOKEN (its
                              progress token) and $STRID (the id in quotes) replaced; {"raw": true} writes no newlines.
                              Does not answer by itself.
  fill {bytes, newline}       writes one line of that many bytes; does not answer by itself
  storm {count, method}       sends that many notifications, then answers
  ask {method, params}        sends a request to the client, answers with what came back
  ask_late {method, params}   answers its own call first, then asks: the question belongs to no call
  last_answers {}             everything clients answered to ask_late so far
  stderr {text, count}        writes that text to standard error, count times, then answers
  binary {}                   writes bytes that are no text at all, then answers
  die {status, after}         exits; with "after" it answers first
  die_mid_line {}             writes half an answer and exits
  close_stdout {}             closes standard output and stays alive
  stop_reading {}             answers, then never reads its input again
  grandchild {setsid}         starts a process that outlives it; answers its pid
  freeze {}                   stops itself with SIGSTOP, without an answer
  report {}                   answers what the process was given: argv, environment, descriptors, ...
  later {nonce, seconds,      answers the nonce, followed by `pad` dots, after that time, and reports progress `steps`
         steps, pad}          times on the way; reads on meanwhile
  until {path}                answers as soon as there is such a file; reads on meanwhile
  nap {nonce, seconds}        answers the nonce after that time and reads nothing meanwhile
  close_stdin {nonce}         answers the nonce, closes standard input and stays alive
"""
import argparse
import heapq
import json
import os
import resource
import select
import signal
import stat
import subprocess
import sys
import time

IN, OUT, ERR = 0, 1, 2


def parse_options():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    a = p.add_argument
    a("--ledger", help="append what happens to this file")
    a("--mood", metavar="FILE", help="further options, a JSON array of strings, read from FILE at each start if it is there")
    a("--slow-start", type=float, default=0, metavar="S", help="read nothing for S seconds")
    a("--exit-at-start", type=int, metavar="STATUS", help="exit before reading anything")
    a("--exit-while", metavar="FILE", help="exit with status 1 at start while FILE exists")
    a("--hang-handshake", action="store_true", help="read but never answer initialize")
    a("--die-at-initialize", action="store_true", help="exit when initialize arrives")
    a("--die-when-ready", action="store_true", help="exit when initialized arrives")
    a("--no-read-stdin", action="store_true", help="never read")
    a("--print-first", metavar="TEXT", help="write this line before anything else")
    a("--early-list-changed", action="store_true", help="send list_changed before the handshake")
    a("--stdout-noise", action="store_true", help="write junk lines before every message")
    a("--stderr-flood", action="store_true", help="write to standard error without end")
    a("--ignore-term", action="store_true", help="ignore SIGTERM and the end of input")
    a("--string-ids", action="store_true", help="answer integer ids as strings")
    a("--wrong-ids", action="store_true", help="precede each answer by one to an unknown id")
    a("--duplicate-responses", action="store_true", help="send every answer twice")
    a("--crlf", action="store_true", help="end lines with CR LF")
    a("--byte-by-byte", action="store_true", help="write one byte at a time")
    a("--die-on-call", action="store_true", help="exit at the first tools/call, unanswered")
    a("--grandchild", action="store_true", help="start a process in a session of its own")
    a("--ask-at-start", metavar="METHOD", help="send this request when initialized arrives")
    a("--protocol-version", metavar="V", help="answer initialize with this revision")
    a("--capabilities", type=json.loads, metavar="JSON",
      default={"tools": {"listChanged": True}, "resources": {"subscribe": True, "listChanged": True},
               "prompts": {"listChanged": True}, "logging": {}, "completions": {}})
    a("--initialize-error", action="store_true", help="answer initialize with an error")
    a("--unanswered", metavar="METHOD", action="append", default=[], help="never answer METHOD")
    a("--set-result", nargs=2, metavar=("METHOD", "JSON"), action="append", default=[],
      help="answer METHOD with this result; @FILE reads it from there")
    a("rest", nargs="*", help="ignored; shows up in report")
    options = p.parse_args()
    if options.mood:
        try:
            with open(options.mood, encoding="utf-8") as f:
                return p.parse_args(json.load(f) + sys.argv[1:])
        except FileNotFoundError:
            pass
    return options


def contents(text):
    """The text, or what is in the file that @FILE names."""
    if not text.startswith("@"):
        return text
    with open(text[1:], encoding="utf-8") as f:
        return f.read()


class Server:
    def __init__(self, options):
        self.o = options
        self.held = {}        # key -> [id]
        self.late = []        # ids that are answered after their cancel
        self.asks = {}        # id of our request -> id of the call that it serves, or None
        self.late_answers = []
        self.due = []         # what `later` promised: ((when, number), id, function, arguments), a heap
        self.promises = 0
        self.next_ask = 0
        self.reading = True
        self.gathered = None  # bytes: output is collected here instead of written
        self.ledger = None
        self.results = {m: json.loads(contents(r)) for m, r in options.set_result}
        if options.ledger:
            self.ledger = os.open(options.ledger, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)

    # --- recording ---

    def record(self, event, **more):
        if self.ledger is not None:
            line = json.dumps({"pid": os.getpid(), "event": event, **more}) + "\n"
            os.write(self.ledger, line.encode())

    # --- output ---

    def write(self, data):
        if self.gathered is not None:
            self.gathered += data
            return
        step = 1 if self.o.byte_by_byte else len(data)
        for at in range(0, len(data), step or 1):
            piece = memoryview(data)[at:at + step]
            while piece:
                piece = piece[os.write(OUT, piece):]

    def line(self, text):
        if self.o.stdout_noise:
            self.write(b"starting up...\n\n\x1b[31mcolour\x1b[0m %n%s\n{\"level\":\"info\"}\n[]\nnull\n{\"a\":\n")
        data = text.encode() if isinstance(text, str) else text
        self.write(data + (b"\r\n" if self.o.crlf else b"\n"))

    def send(self, message):
        self.line(json.dumps(message, separators=(",", ":")))

    def answer(self, id, result=None, error=None):
        wire_id = str(id) if self.o.string_ids and isinstance(id, int) else id
        body = {"error": error} if error else {"result": result}
        if self.o.wrong_ids:
            for strange in (987654321, "no such id", 0, -1):
                self.send({"jsonrpc": "2.0", "id": strange, "result": {"content": [], "stray": True}})
        for _ in range(2 if self.o.duplicate_responses else 1):
            self.send({"jsonrpc": "2.0", "id": wire_id, **body})

    def text(self, id, text):
        self.answer(id, {"content": [{"type": "text", "text": text}]})

    def notify(self, method, params):
        self.send({"jsonrpc": "2.0", "method": method, "params": params})

    def ask(self, method, params, for_call):
        self.asks[self.next_ask] = for_call
        message = {"jsonrpc": "2.0", "id": self.next_ask, "method": method}
        if params is not None:
            message["params"] = params
        self.next_ask += 1
        self.send(message)

    # --- input ---

    def run(self):
        pending = bytearray()
        while True:
            if not self.reading:
                time.sleep(3600)
                continue
            self.keep_promises()
            data = os.read(IN, 1 << 16)
            if not data:
                self.record("eof")
                while self.o.ignore_term:
                    time.sleep(3600)
                return
            pending += data
            while True:
                end = pending.find(b"\n")
                if end < 0:
                    break
                line = bytes(pending[:end])
                del pending[:end + 1]
                self.take(line)

    def keep_promises(self):
        """Says what `later` has promised as it comes due, until there is input."""
        while self.due:
            left = self.due[0][0][0] - time.monotonic()
            if left > 0 and select.select([IN], [], [], left)[0]:
                return
            if left <= 0:
                _, _, say, what = heapq.heappop(self.due)
                say(*what)

    def take(self, line):
        message = json.loads(line)
        self.record("recv", message=message, raw=line.decode()[:4096])
        method, id = message.get("method"), message.get("id")
        if method is None:
            self.take_answer(message)
        elif id is None:
            self.take_notification(method, message.get("params", {}))
        elif method in self.o.unanswered:
            pass
        elif method in self.results:
            self.answer(id, self.results[method])
        elif method == "initialize":
            self.initialize(id, message["params"])
        elif method == "tools/call":
            self.call(id, message["params"])
        else:
            self.list(id, method, message.get("params", {}))

    def take_answer(self, message):
        call = self.asks.pop(message["id"], None)
        body = json.dumps({k: message[k] for k in ("result", "error") if k in message})
        if call is None:
            self.late_answers.append(body)
        else:
            self.text(call, body)

    def take_notification(self, method, params):
        if method == "notifications/initialized" and self.o.die_when_ready:
            os._exit(8)
        if method == "notifications/cancelled":
            id = params.get("requestId")
            for ids in self.held.values():
                if id in ids:
                    ids.remove(id)
            self.due = [d for d in self.due if d[1] != id]
            heapq.heapify(self.due)
            if id in self.late:
                self.late.remove(id)
                self.notify("notifications/progress", {"progressToken": id, "progress": 1})
                self.text(id, "too late")
        elif method == "notifications/initialized" and self.o.ask_at_start:
            self.ask(self.o.ask_at_start, None, None)

    def initialize(self, id, params):
        if self.o.die_at_initialize:
            os._exit(4)
        if self.o.hang_handshake:
            return
        if self.o.initialize_error:
            self.answer(id, error={"code": -32603, "message": "not today"})
            return
        self.answer(id, {"protocolVersion": self.o.protocol_version or params["protocolVersion"],
                         "capabilities": self.o.capabilities,
                         "serverInfo": {"name": "fake", "version": "1"}})
        if self.o.no_read_stdin:
            self.reading = False

    def list(self, id, method, params):
        if method == "tools/list":
            self.answer(id, {"tools": [{"name": "record", "inputSchema": {"type": "object"}}]})
        elif method == "resources/list":
            self.answer(id, {"resources": []})
        elif method in ("resources/subscribe", "resources/unsubscribe", "logging/setLevel", "ping"):
            self.answer(id, {})
        elif method == "resources/read":
            self.answer(id, {"contents": [{"uri": params.get("uri"), "text": "x"}]})
        elif method == "prompts/get":
            text = "prompt " + str((params.get("arguments") or {}).get("nonce"))
            self.answer(id, {"messages": [{"role": "user", "content": {"type": "text", "text": text}}]})
        else:
            self.answer(id, error={"code": -32601, "message": "Method not found"})

    def call(self, id, params):
        name, args = params.get("name"), params.get("arguments") or {}
        tool = getattr(self, "tool_" + str(name), None)
        if tool is None:
            self.answer(id, error={"code": -32602, "message": "Unknown tool"})
            return
        self.record("run", tool=name, nonce=args.get("nonce"), id=id)
        if self.o.die_on_call:
            os._exit(5)
        tool(id, args, params.get("_meta", {}).get("progressToken"))

    # --- tools ---

    def tool_record(self, id, args, token):
        self.text(id, args["nonce"])

    def tool_later(self, id, args, token):
        now, seconds, steps = time.monotonic(), args["seconds"], args.get("steps", 0)
        for n in range(1, steps + 1):
            params = {"progressToken": token, "progress": n, "total": steps + 1}
            self.promise(now + seconds * n / (steps + 1), id, self.notify, "notifications/progress", params)
        self.promise(now + seconds, id, self.text, id, args["nonce"] + "." * args.get("pad", 0))

    def promise(self, when, id, say, *what):
        self.promises += 1
        heapq.heappush(self.due, ((when, self.promises), id, say, what))

    def tool_until(self, id, args, token):
        self.look(id, args["path"])

    def look(self, id, path):
        if os.path.exists(path):
            self.text(id, "released")
        else:
            self.promise(time.monotonic() + 0.02, id, self.look, id, path)

    def tool_nap(self, id, args, token):
        time.sleep(args["seconds"])
        self.text(id, args["nonce"])

    def tool_close_stdin(self, id, args, token):
        self.text(id, args["nonce"])
        os.close(IN)
        while True:
            time.sleep(3600)

    def tool_hold(self, id, args, token):
        self.held.setdefault(args["key"], []).append(id)

    def tool_release(self, id, args, token):
        for held in self.held.pop(args["key"], []):
            self.text(held, "released")
        self.text(id, "ok")

    def tool_late(self, id, args, token):
        self.late.append(id)

    def tool_emit(self, id, args, token):
        for line in args["lines"]:
            line = line.replace("$ID", json.dumps(id)).replace("$TOKEN", json.dumps(token))
            line = line.replace("$STRID", '"%s"' % id)
            data = line.encode("utf-8", "surrogateescape")
            self.write(data) if args.get("raw") else self.line(data)

    def tool_fill(self, id, args, token):
        left = args["bytes"]
        while left > 0:
            piece = b"x" * min(left, 1 << 20)
            self.write(piece)
            left -= len(piece)
        if args.get("newline"):
            self.write(b"\n")

    def tool_storm(self, id, args, token):
        method = args.get("method", "notifications/tools/list_changed")
        line = json.dumps({"jsonrpc": "2.0", "method": method, "params": args.get("params", {})})
        for _ in range(args["count"]):
            self.line(line)
        self.text(id, "ok")

    def tool_ask(self, id, args, token):
        self.ask(args["method"], args.get("params"), id)

    def tool_ask_late(self, id, args, token):
        self.gathered = b""  # both in one write: nothing can come in between
        self.text(id, "asking later")
        self.ask(args["method"], args.get("params"), None)
        both, self.gathered = self.gathered, None
        self.write(both)

    def tool_last_answers(self, id, args, token):
        self.text(id, json.dumps(self.late_answers))

    def tool_stderr(self, id, args, token):
        data = args["text"].encode("utf-8", "surrogateescape")
        for _ in range(args.get("count", 1)):
            piece = memoryview(data)
            while piece:
                piece = piece[os.write(ERR, piece):]
        self.text(id, "ok")

    def tool_binary(self, id, args, token):
        self.write(bytes(range(256)) * 16 + b"\n" + b"\xff\xfe\x00\n\xc0\xaf\n")
        self.text(id, "ok")

    def tool_die(self, id, args, token):
        if args.get("after"):
            self.text(id, "bye")
        os._exit(args.get("status", 6))

    def tool_die_mid_line(self, id, args, token):
        self.write(b'{"jsonrpc":"2.0","id":%d,"result":{"content":[{"type":"te' % id)
        os._exit(7)

    def tool_close_stdout(self, id, args, token):
        os.close(OUT)
        while True:
            time.sleep(3600)

    def tool_stop_reading(self, id, args, token):
        self.text(id, "ok")
        self.reading = False

    def tool_grandchild(self, id, args, token):
        self.text(id, str(start_grandchild(args.get("setsid", True))))

    def tool_freeze(self, id, args, token):
        os.kill(os.getpid(), signal.SIGSTOP)

    def tool_report(self, id, args, token):
        self.text(id, json.dumps(report()))


def start_grandchild(setsid):
    """A process that ignores polite requests and the death of its parent."""
    code = "import signal,time\nsignal.signal(signal.SIGTERM,signal.SIG_IGN)\ntime.sleep(3600)"
    return subprocess.Popen([sys.executable, "-IS", "-c", code], start_new_session=setsid,
                            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                            stderr=subprocess.DEVNULL).pid


def report():
    fds = {}
    for fd in os.listdir("/proc/self/fd"):
        try:
            fds[int(fd)] = "fifo" if stat.S_ISFIFO(os.fstat(int(fd)).st_mode) else os.readlink("/proc/self/fd/" + fd)
        except OSError:
            pass  # the descriptor that listed the directory
    status = dict(line.split(":\t", 1) for line in open("/proc/self/status").read().splitlines() if ":\t" in line)
    umask = os.umask(0)
    os.umask(umask)
    return {
        "argv": sys.argv, "rest": parse_options().rest, "env": dict(os.environ), "cwd": os.getcwd(), "fds": fds,
        "umask": umask, "pid": os.getpid(), "pgid": os.getpgid(0), "sid": os.getsid(0),
        "blocked": int(status["SigBlk"], 16), "ignored": int(status["SigIgn"], 16),
        "caught": int(status["SigCgt"], 16), "nofile": resource.getrlimit(resource.RLIMIT_NOFILE),
        "core": resource.getrlimit(resource.RLIMIT_CORE), "no_new_privs": status.get("NoNewPrivs"),
    }


def flood_stderr():
    """Writes to standard error as fast as it is taken, for ever, from a process of its own."""
    parent = os.getpid()
    if os.fork() == 0:
        line = b"flood " * 20 + b"\n"
        while os.getppid() == parent:
            try:
                os.write(ERR, line * 500)
            except OSError:
                break
        os._exit(0)


def main():
    options = parse_options()
    server = Server(options)
    server.record("start")
    if options.exit_while and os.path.exists(options.exit_while):
        os._exit(1)
    if options.exit_at_start is not None:
        os._exit(options.exit_at_start)
    if options.ignore_term:
        signal.signal(signal.SIGTERM, lambda *_: server.record("term"))
    if options.grandchild:
        start_grandchild(True)
    if options.stderr_flood:
        flood_stderr()
    if options.slow_start:
        time.sleep(options.slow_start)
    if options.print_first:
        server.line(options.print_first)
    if options.early_list_changed:
        server.notify("notifications/tools/list_changed", {})
    try:
        server.run()
    except (BrokenPipeError, KeyboardInterrupt):
        os._exit(0)


if __name__ == "__main__":
    main()
