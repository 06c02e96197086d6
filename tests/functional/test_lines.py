"""Newline-delimited JSON-RPC on the unix sockets, beside HTTP on the same ones (protocol.md 2.8, house.md 6)."""
import json
import os
import socket
import stat

from harness import INITIALIZE, LATEST, SINGLE, DaemonCase, Socket, demo, fake, poll_until

PING = b'{"jsonrpc":"2.0","id":1,"method":"ping"}'


class LineTest(DaemonCase):
    servers = {"demo": demo()}
    config = {"resilience": SINGLE, "limits": {"max_request_bytes": 65536, "drain_timeout": 20}}

    def sock(self, name="demo"):
        s = Socket(self.daemon.socket_path(name))
        self.clients.append(s)
        return s

    def test_the_first_byte_tells_the_framing(self):
        for first in (PING + b"\n", b"[" + PING + b"]\n"):
            s = self.sock()
            s.send(first)
            self.assertTrue(s.recv().startswith(b"{"))
        c = self.http(unix=True)
        self.assertEqual(c.tool("echo", {"text": "x"}), "x")
        c.open_get()

    def test_http_on_a_socket_needs_no_host(self):
        c = self.http(unix=True, initialize=False)
        c.host = "whatever.example"
        self.assertEqual(c.initialize().version, LATEST)

    def test_http_on_a_server_socket_knows_only_that_server(self):
        self.daemon.stop()
        self.start({"one": demo(), "two": demo()})
        c = self.http("one", unix=True, initialize=False, path="/mcp/two")
        self.assertEqual(c.post(INITIALIZE).wait_end().status, 404)

    def test_sockets_are_private(self):
        for name in os.listdir(self.daemon.runtime_dir):
            mode = os.stat(os.path.join(self.daemon.runtime_dir, name)).st_mode
            self.assertTrue(stat.S_ISSOCK(mode), name)
            self.assertEqual(stat.S_IMODE(mode) & 0o007, 0, name)

    def test_the_common_socket_is_the_only_server(self):
        c = self.line("mcp")
        self.assertEqual(c.tool("echo", {"text": "x"}), "x")

    def test_stale_sockets_are_replaced(self):
        self.daemon.stop()
        path = self.daemon.socket_path("demo")
        s = socket.socket(socket.AF_UNIX)
        s.bind(path)
        s.close()
        self.daemon.joined = False
        self.daemon.start()
        self.assertEqual(self.line().request("ping"), {})

    def test_before_initialize(self):
        c = self.line(initialize=False)
        self.assertEqual(c.request("ping"), {})
        for method in ("tools/list", "vendor/x", "logging/setLevel"):
            error = c.start(method).error()
            self.assertEqual(error.code, -32600)
        c.notify("notifications/roots/list_changed")
        c.notify("notifications/cancelled", {"requestId": 1})
        self.assertEqual(c.initialize().tool("echo", {"text": "x"}), "x")

    def test_a_second_initialize_is_refused(self):
        c = self.line()
        self.assertEqual(c.start("initialize", {"protocolVersion": LATEST, "capabilities": {},
                                                "clientInfo": {"name": "x", "version": "1"}}).error().code, -32600)
        self.assertEqual(c.tool("echo", {"text": "x"}), "x")

    def test_a_half_closed_connection_gets_its_answers(self):
        s = self.sock()
        call = {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {"name": "sleep", "arguments": {"seconds": 0.3}}}
        s.send(INITIALIZE + b"\n" + json.dumps(call).encode() + b"\n" + PING + b"\n")
        s.half_close()
        answers = [json.loads(line) for line in s.wait_closed().splitlines()]
        self.assertEqual({a["id"] for a in answers}, {0, 1, 2})
        self.assertEqual([a for a in answers if "error" in a], [])

    def test_a_last_line_without_newline_counts(self):
        s = self.sock()
        s.send(PING)
        s.half_close()
        self.assertEqual(json.loads(s.wait_closed()), {"jsonrpc": "2.0", "id": 1, "result": {}})

    def test_half_a_message_at_the_end_does_not_count(self):
        for part in (PING[:-1], b"{", b"["):
            s = self.sock()
            s.send(PING + b"\n" + part)
            s.half_close()
            answers = [json.loads(line) for line in s.wait_closed().splitlines()]
            self.assertEqual([a for a in answers if "result" in a], answers[:1])

    def test_a_line_too_long_gets_an_error_and_the_connection_goes_on(self):
        c = self.line()
        for size in (70000, 1 << 20):
            for id, line in (("a", b'{"jsonrpc":"2.0","id":"a","method":"x","params":{"p":"' + b"x" * size + b'"}}'),
                             (5, b'{"params":{"id":3,"p":"' + b"x" * size + b'"},"method":"x","jsonrpc":"2.0","id":5}')):
                c.send_line(line)
                key = json.dumps(id)
                c.wait(lambda: key in c.responses, "an error for %s" % key)
                error = c.responses.pop(key)[0]["error"]
                self.assertEqual((error["code"], error["data"]["reason"]), (-32600, "too_large"))
        c.send_line(b"x" * 200000)
        self.assertEqual(c.wait_error().code, -32600)
        self.assertEqual(c.tool("echo", {"text": "x"}), "x")

    def test_malformed_lines_get_an_error_and_the_connection_goes_on(self):
        c = self.line()
        for line, code in ((b"{", -32700), (b"nope", -32700), (b'{"a":"\xff"}', -32700), (b'{"jsonrpc":"2.0","id":1}', -32600),
                           (b'"text"', -32600), (b"5", -32600), (b"\x00", -32700), (b'{"jsonrpc":"2.0","id":1,"method":"ping"}}',
                                                                                    -32700)):
            with self.subTest(line):
                c.send_line(line)
                c.wait(lambda: c.inbox or c.responses, "an error")
                m = c.inbox.pop() if c.inbox else c.responses.popitem()[1][0]
                self.assertEqual(m["error"]["code"], code)
        self.assertEqual(c.request("ping"), {})

    def test_line_ends_and_blank_lines(self):
        s = self.sock()
        s.send(PING + b"\r\n\r\n\n   \n" + PING + b"\n")
        got = b""
        while got.count(b"\n") < 2:
            got += s.recv()
        self.assertEqual([json.loads(x)["id"] for x in got.splitlines()], [1, 1])
        self.assertNotIn(b"\r", got)

    def test_a_byte_order_mark_is_ignored(self):
        c = self.line()
        c.send_line(b"\xef\xbb\xbf" + PING.replace(b"1,", b"900,"))
        c.wait(lambda: "900" in c.responses, "an answer")

    def test_messages_may_come_in_any_pieces(self):
        c = self.line()
        data = b"".join(b'{"jsonrpc":"2.0","id":"p%d","method":"ping"}\n' % i for i in range(50))
        for i in range(0, len(data), 7):
            c.sock.send(data[i:i + 7])
        c.wait(lambda: len(c.responses) == 50, "50 answers")

    def test_a_thousand_calls_in_one_write(self):
        self.daemon.stop()
        self.start(config={"limits": {"max_in_flight_per_session": 1000, "max_in_flight_per_principal": 1000, "queue_length": 1000},
                           "resilience": SINGLE})
        c = self.line()
        c.sock.send(b"".join(b'{"jsonrpc":"2.0","id":"c%d","method":"tools/call","params":{"name":"echo","arguments":'
                             b'{"text":"t%d"}}}\n' % (i, i) for i in range(1000)))
        c.wait(lambda: len(c.responses) == 1000, "1000 answers")
        for i in range(1000):
            self.assertEqual(c.responses['"c%d"' % i][0]["result"]["content"][0]["text"], "t%d" % i)

    def test_a_client_that_writes_without_reading_is_held_up_alone(self):
        self.daemon.stop()
        self.start(config={"limits": {"slow_reader_bytes": 65536}, "resilience": SINGLE})
        greedy, other = self.line(), self.line()
        burst, sent, blocked = (PING + b"\n") * 1000, 0, 0
        while blocked < 20 and sent < 64 << 20:
            try:
                sent += greedy.sock.sock.send(burst)
                blocked = 0
            except BlockingIOError:
                blocked += 1
                self.assertEqual(other.tool("echo", {"text": "x"}), "x")
            except (BrokenPipeError, ConnectionResetError):
                break  # thrown out: as good
        self.assertLess(sent, 64 << 20, "the daemon takes input without end from a client that reads nothing")
        self.assertEqual(other.tool("echo", {"text": "x"}), "x")

    def test_many_connections_come_and_go(self):
        before = self.daemon.fd_count()
        for _ in range(20):
            socks = [self.sock() for _ in range(20)]
            for s in socks:
                s.send(PING + b"\n")
            for s in socks:
                self.assertTrue(s.recv().startswith(b"{"))
                s.close()
            self.clients = [c for c in self.clients if c not in socks]
        self.line().request("ping")
        poll_until(lambda: self.daemon.fd_count() <= before + 5, "the descriptors to be closed")


class SharedSocketTest(DaemonCase):
    servers = {"one": demo(), "two": fake()}

    def test_the_common_socket_does_not_choose_between_servers(self):
        self.assertEqual(self.line("one").tool("echo", {"text": "x"}), "x")
        self.assertEqual(self.line("two").tool("record", {"nonce": "x"}), "x")
        if os.path.exists(self.daemon.socket_path("mcp")):
            c = self.line("mcp", initialize=False)
            self.assertIn("error", c.start("initialize", {"protocolVersion": LATEST, "capabilities": {},
                                                          "clientInfo": {"name": "x", "version": "1"}}).response())
