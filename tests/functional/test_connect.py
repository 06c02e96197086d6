"""mcpoolctl connect: a client on stdin and stdout that does not notice what becomes of the daemon."""
import json
import os
import re
import select
import signal
import socket
import subprocess
import tempfile
import threading

from harness import (DEADLINE, LATEST, MCPOOLD, SINGLE, Clock, DaemonCase, Lines, RpcError, demo, fake, is_sanitized,
                     poll_until)
from material import big_text

CTL = os.path.join(os.path.dirname(MCPOOLD), "mcpoolctl")
MiB = 1024 * 1024
URI = "x://1"
SAMPLING = {"messages": [{"role": "user", "content": {"type": "text", "text": "?"}}], "maxTokens": 1}
ANSWER = {"role": "assistant", "model": "m", "content": {"type": "text", "text": "!"}}


class Connect(Lines):
    """A client that starts the command, with pipes or with a socket pair as node does it."""

    def __init__(self, *args, sockets=False, **more):
        super().__init__(**more)
        if sockets:
            ours, theirs = socket.socketpair()
            self.input = self.output = ours
            self.process = subprocess.Popen([CTL, *args], stdin=theirs, stdout=theirs, stderr=subprocess.PIPE)
            theirs.close()
        else:
            self.process = subprocess.Popen([CTL, *args], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                            stderr=subprocess.PIPE, bufsize=0)
            self.input, self.output = self.process.stdin, self.process.stdout
        self.ended = False

    def send_line(self, data):
        self.send_bytes(data + b"\n")

    def send_bytes(self, data):
        """Reads meanwhile: whoever only writes much could wait for ever."""
        data = memoryview(data)
        os.set_blocking(self.input.fileno(), False)
        clock = Clock()
        while data:
            readable, writable, _ = select.select(self._sockets(), [self.input], [], clock.left())
            for s in readable:
                self._readable(s)
            if writable:
                data = data[os.write(self.input.fileno(), data):]
            clock.check("the program to read its input")

    def _sockets(self):
        return [] if self.ended else [self.output]

    def _readable(self, pipe):
        data = os.read(pipe.fileno(), 1 << 20)
        self.ended = not data
        self._take_bytes(data)

    def finish(self):
        """Ends the input, reads what is still said; returns the exit status."""
        if self.input is self.output:
            self.input.shutdown(socket.SHUT_WR)
        else:
            self.input.close()
        self.wait(lambda: self.ended, "the end of the output")
        assert not self.buffer, "half a line at the end: %r" % bytes(self.buffer[:200])
        return self.process.wait(DEADLINE)

    def rss_kb(self):
        with open("/proc/%d/status" % self.process.pid) as f:
            return int(re.search(r"VmRSS:\s+(\d+)", f.read()).group(1))

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for f in {self.input, self.output, self.process.stderr}:
            f.close()


class ConnectCase(DaemonCase):
    servers = {"fake": fake()}

    def connect(self, *args, initialize=True, server="fake", **more):
        return self._made(Connect("--config", self.daemon.config_path, "connect", server, *args, **more), initialize)

    def down(self, kill=True):
        d = self.daemon
        d.process.send_signal(signal.SIGKILL if kill else signal.SIGTERM)
        self.gone(kill)

    def gone(self, kill):
        d = self.daemon
        d.process.wait(DEADLINE * 2)
        d.log.thread.join(DEADLINE)
        self.assertEqual(d.problems(), [])
        poll_until(lambda: not d.children(), "the servers to go with their daemon")

    def restart(self, kill=True):
        self.down(kill)
        self.daemon.start()

    def runs(self, nonce):
        return len(self.daemon.ledger("fake", "run", nonce=nonce))

    def prepare(self):
        """A daemon that is not there yet."""
        with open(self.daemon.config_path, "w") as f:
            json.dump(self.daemon.config, f)
        os.chmod(self.daemon.config_path, 0o600)


class FlowTest(ConnectCase):
    def test_like_any_server_on_stdio(self):
        for sockets in (False, True):
            c = self.connect(sockets=sockets, capabilities={"sampling": {}})
            self.assertEqual(c.version, LATEST)
            self.assertIn("record", [t["name"] for t in c.request("tools/list")["tools"]])
            self.assertEqual(c.tool("record", {"nonce": "a"}), "a")
            self.assertEqual(c.start_tool("later", {"nonce": "b", "seconds": 0.01, "steps": 3}, token="t").text(), "b")
            self.assertEqual([m["params"]["progress"] for m in c.taken("notifications/progress")], [1, 2, 3])
            call = c.start_tool("ask", {"method": "sampling/createMessage", "params": SAMPLING})
            c.respond(c.wait_message("sampling/createMessage"), ANSWER)
            self.assertEqual(json.loads(call.text())["result"], ANSWER)
            self.assertEqual(c.finish(), 0)
            self.assertEqual(c.process.stderr.read(), b"")
            self.assertEqual(c.responses, {})

    def test_a_cancelled_call_is_cancelled_at_the_server(self):
        c = self.connect()
        call, message = self.hold(c)
        c.cancel(call)
        sent = self.daemon.wait_received("fake", "notifications/cancelled")[0]
        self.assertEqual(sent["params"]["requestId"], message["id"])
        c.barrier()
        self.assertEqual(c.finish(), 0)  # nobody waits for that answer
        self.assertEqual(c.responses, {})

    def test_calls_in_flight_are_answered_after_the_end_of_the_input(self):
        c = self.connect()
        calls = [c.start_tool("later", {"nonce": str(n), "seconds": 0.2}) for n in range(10)]
        self.assertEqual(c.finish(), 0)
        self.assertEqual([call.text() for call in calls], [str(n) for n in range(10)])

    def test_the_endpoint_of_all(self):
        c = Connect("--config", self.daemon.config_path, "connect")
        self._made(c, True)
        self.assertEqual(c.tool("record", {"nonce": "x"}), "x")
        named = Connect("connect", "--socket", self.daemon.socket_path("fake"))
        self._made(named, True)
        self.assertEqual(named.tool("record", {"nonce": "x"}), "x")

    def test_files_for_stdin_and_stdout(self):
        with tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as heard:
            said.write(b'{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25",'
                       b'"capabilities":{},"clientInfo":{"name":"t","version":"1"}}}\n'
                       b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"record","arguments":{"nonce":"f"}}}')
            said.seek(0)
            r = subprocess.run([CTL, "-c", self.daemon.config_path, "connect", "fake"], stdin=said, stdout=heard,
                               stderr=subprocess.PIPE, timeout=DEADLINE)
            heard.seek(0)
            lines = [json.loads(line) for line in heard.read().splitlines()]
        self.assertEqual((r.returncode, r.stderr), (0, b""))
        self.assertEqual([m["id"] for m in lines], [0, 1])
        self.assertEqual(lines[1]["result"]["content"][0]["text"], "f")

    def test_nobody_reads_any_more(self):
        c = self.connect()
        c.output.close()
        self.assertEqual(c.process.wait(DEADLINE), 1)
        self.assertIn(b"nobody reads", c.process.stderr.read())

    def test_wrong_usage(self):
        for args in (["connect", "a", "b"], ["connect", "--json"], ["connect", "--wait=x"], ["connect", "../x"],
                     ["connect", ""]):
            r = subprocess.run([CTL, *args], stdin=subprocess.DEVNULL, capture_output=True, timeout=DEADLINE)
            self.assertEqual((r.returncode, r.stdout), (2, b""), args)
            self.assertTrue(r.stderr.startswith(b"mcpoolctl: "), r.stderr)


class LookingTest(ConnectCase):
    config = {"resilience": {"min_connections": 0, "max_connections": 1}}

    def test_who_only_looks_costs_nothing(self):
        c = self.connect(initialize=False)
        self.assertEqual(c.request("ping"), {})
        self.assertEqual(c.start("server/discover").error().code, -32601)
        modern = {"_meta": {"io.modelcontextprotocol/protocolVersion": "2026-07-28"}}
        self.assertEqual(c.start("server/discover", modern).error().code, -32601)
        self.assertEqual(c.start("tools/list").error().code, -32600)
        c.notify("notifications/initialized")
        self.assertEqual(c.finish(), 0)
        self.assertEqual(self.daemon.log.matching("session"), [])
        self.assertEqual(self.daemon.ledger("fake"), [])

    def test_not_even_the_daemon_is_needed(self):
        self.daemon.stop()
        c = self.connect(initialize=False)
        self.assertEqual(c.request("ping"), {})
        self.assertEqual(c.finish(), 0)
        self.assertEqual(c.process.stderr.read(), b"")

    def test_initialize_after_looking(self):
        c = self.connect(initialize=False)
        c.request("ping")
        self.assertEqual(c.initialize().tool("record", {"nonce": "x"}), "x")


class AbsentTest(ConnectCase):
    servers = None
    config = {"resilience": SINGLE}

    def setUp(self):
        super().setUp()
        self.start(servers={"fake": fake()}, wait=False)
        self.daemon.log.wait(" notice ready$")
        self.daemon.stop()

    def test_a_daemon_that_is_not_up_yet(self):
        c = self.connect(initialize=False)
        call = c.start("initialize", {"protocolVersion": LATEST, "capabilities": {},
                                      "clientInfo": {"name": "t", "version": "1"}})
        self.assertIn(b"it will be tried again", c.process.stderr.readline())
        self.daemon.start()
        self.assertEqual(call.result()["protocolVersion"], LATEST)
        c.notify("notifications/initialized")
        self.assertEqual(c.tool("record", {"nonce": "x"}), "x")
        self.assertIn(b"connected to", c.process.stderr.readline())

    def test_waiting_ends_with_one_honest_error(self):
        c = self.connect("--wait=0.2", initialize=False)
        for _ in range(2):
            with self.assertRaises(RpcError) as caught:
                c.initialize()
            self.assert_error(caught.exception, -32603, "upstream_unavailable", "no", "fake")
            self.assertIs(caught.exception.data["retryable"], True)
            self.assertIn("fake.sock: No such file or directory", str(caught.exception))
        self.daemon.start()
        poll_until(lambda: self.tried(c), "initialize to succeed")
        self.assertEqual(c.tool("record", {"nonce": "x"}), "x")

    def tried(self, c):
        try:
            return c.initialize()
        except RpcError:
            return None

    def test_a_configuration_that_is_being_written(self):
        with open(self.daemon.config_path) as f:
            text = f.read()
        with open(self.daemon.config_path, "w") as f:
            f.write(text[:20])
            f.flush()
            c = self.connect(initialize=False)
            call = c.start("ping")
            f.write(text[20:])
        self.assertEqual(call.result(), {})
        with open(self.daemon.config_path, "w") as f:
            f.write(text[:20])
        c = self.connect(initialize=False)
        self.assertEqual(c.process.wait(DEADLINE), 1)
        self.assertRegex(c.process.stderr.read(), rb"mcpool.json:\d+:\d+: error: ")

    def test_the_end_of_the_input_does_not_wait_for_ever(self):
        c = self.connect("--wait=0.2", initialize=False)
        call = c.start("initialize", {"protocolVersion": LATEST, "capabilities": {},
                                      "clientInfo": {"name": "t", "version": "1"}})
        self.assertEqual(c.finish(), 0)
        self.assert_error(call.error(), -32603, "upstream_unavailable", "no", "fake")


class LossTest(ConnectCase):
    config = {"resilience": SINGLE, "limits": {"drain_timeout": 10}}

    def test_the_session_goes_on(self):
        c = self.connect()
        c.request("logging/setLevel", {"level": "error"})
        c.request("resources/subscribe", {"uri": URI})
        c.request("resources/subscribe", {"uri": "x://2"})
        c.request("resources/unsubscribe", {"uri": "x://2"})
        for kill in (True, False):
            before = len(self.daemon.ledger("fake"))
            self.restart(kill)
            self.assertEqual(c.tool("record", {"nonce": "x"}), "x")
            self.assertEqual(c.wait_message("notifications/resources/updated")["params"], {"uri": URI})
            c.wait_message("notifications/tools/list_changed")
            c.barrier()
            said = [e["message"] for e in self.daemon.ledger("fake")[before:] if e["event"] == "recv"]
            levels = [m["params"]["level"] for m in said if m.get("method") == "logging/setLevel"]
            uris = [m["params"]["uri"] for m in said if m.get("method") == "resources/subscribe"]
            self.assertEqual((levels[-1:], uris), (["error"], [URI]))
            self.assertEqual(c.responses, {})
            self.assertEqual([m for m in c.inbox if "error" in m], [])

    def test_a_call_that_may_have_run_is_answered_once_and_not_repeated(self):
        c = self.connect()
        call, _ = self.hold(c, key="held")
        self.restart()
        self.assert_error(call.error(), -32603, "upstream_lost", "maybe", "fake")
        self.assertEqual(c.tool("record", {"nonce": "next"}), "next")
        self.assertEqual((self.runs("held"), self.runs("next")), (1, 1))
        self.assertEqual(c.responses, {})

    def test_a_daemon_that_stops_answers_what_runs_and_the_next_gets_the_rest(self):
        c = self.connect()
        call, _ = self.hold(c, key="held")
        self.daemon.process.send_signal(signal.SIGTERM)
        self.daemon.log.wait("stopping: ")
        later = [c.start_tool("record", {"nonce": "n%d" % n}) for n in range(5)]
        # What is held cannot be let go by a client any more, so it ends with the drain; what came later was not begun.
        self.gone(False)
        self.assert_error(call.error(), -32603, None, "maybe")
        self.daemon.start()
        self.assertEqual([x.text() for x in later], ["n%d" % n for n in range(5)])
        self.assertEqual([self.runs("n%d" % n) for n in range(5)], [1] * 5)

    def test_questions_of_a_lost_daemon_are_taken_back(self):
        c = self.connect(capabilities={"sampling": {}})
        call = c.start_tool("ask", {"method": "sampling/createMessage", "params": SAMPLING})
        old = c.wait_message("sampling/createMessage")
        self.restart()
        self.assert_error(call.error(), -32603, "upstream_lost", "maybe")
        self.assertEqual(c.wait_message("notifications/cancelled")["params"]["requestId"], old["id"])
        call = c.start_tool("ask", {"method": "sampling/createMessage", "params": SAMPLING})
        new = c.wait_message("sampling/createMessage")
        self.assertNotEqual(new["id"], old["id"])
        c.respond(old, {**ANSWER, "model": "too late"})
        c.respond(new, ANSWER)
        self.assertEqual(json.loads(call.text())["result"], ANSWER)

    def test_under_load(self):
        """Every call is answered once; what is said of it is true; nothing is run twice."""
        for kill in (True, False):
            c = self.connect()
            calls = {}

            def say(names):
                for name in names:
                    calls[name] = c.start_tool("later", {"nonce": name, "seconds": 0.02})

            tag = "k" if kill else "t"
            say("%s0-%d" % (tag, n) for n in range(40))
            calls["%s0-0" % tag].response()  # it runs
            del calls["%s0-0" % tag]
            thread = threading.Thread(target=self.restart, args=(kill,))
            thread.start()
            for turn in range(1, 6):
                say("%s%d-%d" % (tag, turn, n) for n in range(20))
                c.wait(lambda: any(calls["%s%d-%d" % (tag, turn, n)].done() for n in range(20)), "an answer")
            thread.join(DEADLINE)
            for name, call in calls.items():
                m = call.response()
                if "result" in m:
                    self.assertEqual(self.runs(name), 1, name)
                else:
                    self.assertEqual(m["error"]["data"].get("delivered"), "maybe", m)
                    self.assertLessEqual(self.runs(name), 1, name)
            self.assertEqual(c.tool("record", {"nonce": tag}), tag)
            self.assertEqual(c.responses, {})
            self.assertEqual(c.finish(), 0)


class SizeTest(ConnectCase):
    servers = {"fake": fake(), "demo": demo()}
    config = {"resilience": SINGLE, "limits": {"max_request_bytes": 20 * MiB}}

    def test_sixteen_mebibytes_there_and_back(self):
        c = self.connect(server="demo")
        text = big_text(16 * MiB)
        self.assertTrue(c.tool("echo", {"text": text}) == text)
        self.assertTrue(c.tool("big", {"bytes": 16 * MiB}) == text)

    def test_too_large_for_the_daemon_is_the_daemons_word(self):
        c = self.connect(server="demo")
        error = c.start_tool("echo", {"text": "x" * (21 * MiB)}).error()
        self.assertEqual((error.code, error.data["reason"]), (-32600, "too_large"))
        self.assertEqual(c.tool("echo", {"text": "x"}), "x")

    def test_a_slow_reader_holds_little_memory(self):
        c = self.connect(server="demo")
        calls = [c.start_tool("big", {"bytes": 4 * MiB}) for _ in range(20)]
        c.wait(lambda: c.buffer, "the first bytes")
        if not is_sanitized():
            for _ in range(20):
                self.assertLess(c.rss_kb(), 32 * 1024)
        for call in calls:
            self.assertEqual(len(call.text()), 4 * MiB)

    def test_a_large_message_that_was_not_written_whole_is_sent_again(self):
        c = self.connect(server="demo")
        os.kill(self.daemon.process.pid, signal.SIGSTOP)  # it reads no more than fits in the socket
        call = c.start_tool("echo", {"text": big_text(16 * MiB)})
        c.start("ping")
        self.restart()
        self.assertTrue(call.text() == big_text(16 * MiB))


class HostileTest(ConnectCase):
    def test_what_is_no_message_never_reaches_the_daemon(self):
        c = self.connect()
        junk = [b"not json", b"\xff\xfe\x00", b"{}", b"[]", b"[1,2,3]", b'{"jsonrpc":"1.0","id":7,"method":"x"}',
                b'"text"', b"{" * 5000, b'{"jsonrpc":"2.0","id":null,"method":"ping"}', b"\x00" * 300, b'{"id":']
        for line in junk:
            c.send_line(line)
            error = c.wait(lambda: c.inbox or c.responses, "an error for %r" % line[:30])
            self.assertIn((error[0] if c.inbox else error[json.dumps(7)][0])["error"]["code"], (-32700, -32600), line)
            c.inbox.clear()
            c.responses.clear()
        self.assertEqual(c.tool("record", {"nonce": "x"}), "x")
        self.assertEqual(self.daemon.log.matching(" warning "), [])

    def test_any_cut_of_the_input(self):
        c = self.connect()
        text = b"\n\r\n  \n" + b"".join(
            json.dumps({"jsonrpc": "2.0", "id": n, "method": "ping"}).encode() + (b"\r\n" if n % 2 else b"\n")
            for n in range(100, 120))
        for n in range(0, len(text), 7):
            c.send_bytes(text[n:n + 7])
        c.wait(lambda: len(c.responses) == 20, "all answers")
        c.responses.clear()
        c.send_bytes(json.dumps({"jsonrpc": "2.0", "id": 7, "method": "ping"}).encode())  # the end is its end
        self.assertEqual(c.finish(), 0)
        self.assertEqual(list(c.responses), ["7"])

    def test_a_daemon_that_is_none(self):
        path = os.path.join(self.daemon.dir, "odd.sock")
        odd = socket.socket(socket.AF_UNIX)
        self.addCleanup(odd.close)
        odd.bind(path)
        odd.listen()
        c = Connect("connect", "--wait=0.5", "--socket", path)
        self._made(c, False)
        call = c.start("initialize", {"protocolVersion": LATEST, "capabilities": {},
                                      "clientInfo": {"name": "t", "version": "1"}})
        for answer in (b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\xff\x00\n" * 1000, b'{"jsonrpc":"2.0","id":"0","result":{}}\n',
                       b'{"jsonrpc":"2.0","id":0,"result":{},"error":{}}\n', b"[" * 100000):
            odd.settimeout(DEADLINE)
            peer = odd.accept()[0]
            self.assertIn(b'"initialize"', peer.recv(65536))
            peer.sendall(answer)
            peer.close()
        odd.close()
        os.unlink(path)
        self.assert_error(call.error(), -32603, "upstream_unavailable", "maybe")
        self.assertEqual(c.inbox, [])
