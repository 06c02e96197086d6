"""What one client can take from the others: nothing (security.md F21-F26, F28 and protocol.md 7.3)."""
import json
import time

from harness import INITIALIZE, DEADLINE, SINGLE, DaemonCase, HttpConn, demo, is_sanitized, poll_until

KIB = 1024


class HeadLimitTest(DaemonCase):
    config = {"limits": {"max_head_bytes": 16 * KIB, "max_header_bytes": 8 * KIB, "max_headers": 64}}

    def status(self, headers=(), **more):
        return self.exchange(INITIALIZE, headers=headers, **more).status

    def test_F21_a_large_head(self):
        self.assertEqual(self.status([("X-%d" % i, "y" * 1000) for i in range(10)]), 200)
        self.assertEqual(self.status([("X-%d" % i, "y" * 1000) for i in range(17)]), 431)

    def test_F21_many_headers(self):
        self.assertEqual(self.status([("X-%d" % i, "y") for i in range(50)]), 200)
        self.assertEqual(self.status([("X-%d" % i, "y") for i in range(65)]), 431)

    def test_F21_a_long_line(self):
        self.assertEqual(self.status([("X", "y" * 8000)]), 200)
        self.assertEqual(self.status([("X", "y" * 8300)]), 431)
        self.assertIn(self.status(path="/" + "x" * 9000), (414, 431))

    def test_F21_an_endless_line(self):
        c = self.conn()
        c.send(b"POST /mcp/demo HTTP/1.1\r\nX: " + b"y" * (1 << 20), strict=False)
        r = c.read_response()
        self.assertIn(r and r.status, (431, None))  # None: the answer was overtaken by the reset


class BodyLimitTest(DaemonCase):
    LIMIT = 256 * KIB
    config = {"limits": {"max_request_bytes": LIMIT}, "resilience": SINGLE}

    def message(self, size, id_at="start", id=7):
        """A valid tools/call of about that size with its id at the start or the end."""
        params = '"method":"tools/call","params":{"name":"echo","arguments":{"text":"%s"}}' % ("x" * size)
        ident = '"id":%s' % json.dumps(id)
        parts = {"start": ['"jsonrpc":"2.0"', ident, params], "end": [params, '"jsonrpc":"2.0"', ident],
                 None: [params, '"jsonrpc":"2.0"']}[id_at]
        return ("{" + ",".join(parts) + "}").encode()

    def test_F22_a_body_just_below_the_limit_passes(self):
        c = self.http()
        self.assertEqual(len(c.tool("echo", {"text": "x" * (self.LIMIT - 300)})), self.LIMIT - 300)

    def test_F22_a_declared_giant_is_refused_long_before_its_end(self):
        for start in (b'{"jsonrpc":"2.0","id":7,"method":"x","params":{"p":"', b'{"params":{"p":"', b'x'):
            with self.subTest(start):
                c = self.conn()
                c.send(self.request_bytes(headers=[("Content-Length", str(1 << 40))], drop=("Content-Length",)) + start)
                sent = self.pour(c, b"x" * 65536)
                self.assertLess(sent, 64 * self.LIMIT, "the daemon reads without end")

    def pour(self, c, piece):
        """Sends until the daemon answers or closes; returns how much that took."""
        sent = 0
        while sent < 64 * self.LIMIT and c.send(piece, strict=False):
            sent += len(piece)
            if c.recv_now() is not None:
                break
        return sent

    def test_F22_a_giant_in_chunks_is_refused_on_the_way(self):
        c = self.conn()
        c.send(self.request_bytes(headers=[("Transfer-Encoding", "chunked")], drop=("Content-Length",)))
        sent = self.pour(c, b"10000\r\n" + b" " * 65536 + b"\r\n")
        self.assertLess(sent, 64 * self.LIMIT, "the daemon reads without end")

    def test_a_session_learns_which_request_was_too_large(self):
        c = self.http()
        for id_at in ("start", "end"):
            for id in (7, "seven"):
                with self.subTest(id_at=id_at, id=id):
                    post = c.post(self.message(2 * self.LIMIT, id_at, id), wait=True)
                    self.assertEqual(post.status, 200)
                    answer = c.responses.pop(json.dumps(id))[0]
                    self.assertEqual((answer["error"]["code"], answer["error"]["data"]["reason"]), (-32600, "too_large"))
                    self.assertIn(str(self.LIMIT), answer["error"]["message"])
        self.assertEqual(c.request("ping"), {})

    def test_an_id_in_a_nested_object_is_not_the_id(self):
        c = self.http()
        body = b'{"params":{"id":5,"x":"\\"id\\":6","pad":"' + b"x" * (2 * self.LIMIT) + b'"},"jsonrpc":"2.0","method":"m","id":7}'
        c.post(body, wait=True)
        self.assertEqual(list(c.responses), ["7"])

    def test_without_an_id_too_large_is_413(self):
        for body in (self.message(2 * self.LIMIT, None), b"x" * (2 * self.LIMIT), self.message(40 * self.LIMIT, "end")):
            r = self.exchange(body)
            self.assertEqual(r.status, 413)
            error = json.loads(bytes(r.body))
            self.assertEqual(error["error"]["code"], -32600)
            self.assertNotIn("id", error)


class PaceTest(DaemonCase):
    config = {"limits": {"header_timeout": 1, "body_min_rate": 1000, "body_rate_window": 1, "idle_connection_timeout": 1}}

    def drip(self, c, data, pause):
        """Sends a byte now and then until the daemon closes; returns the response."""
        end = time.monotonic() + DEADLINE
        for b in data:
            if not c.send(bytes([b]), strict=False) or c.closed_by_peer:
                break
            got = c.recv_now()
            if got is not None:
                c.rest += got
                break
            self.assertLess(time.monotonic(), end, "a drip feeds the daemon for ever")
            time.sleep(pause)
        return c.read_response()

    def test_F23_a_head_that_drips(self):
        r = self.drip(self.conn(), self.request_bytes(headers=[("X", "y" * 2000)]), 0.05)
        self.assertEqual(r.status, 408)

    def test_F23_a_head_that_stops(self):
        c = self.conn()
        c.send(b"POST /mcp/demo HTTP/1.1\r\nHost: local")
        self.assertEqual(c.read_response().status, 408)
        c.wait_closed()

    def test_F24_a_body_that_drips(self):
        c = self.conn()
        c.send(self.request_bytes(headers=[("Content-Length", "4000")], drop=("Content-Length",)))
        r = self.drip(c, b" " * 4000, 0.05)
        self.assertEqual(r.status, 408)

    def test_F24_a_body_that_stops(self):
        c = self.conn()
        c.send(self.request_bytes(INITIALIZE)[:-10])
        self.assertEqual(c.read_response().status, 408)
        c.wait_closed()

    def test_idle_connections_are_closed_without_a_word(self):
        self.assertEqual(self.conn().wait_closed(), b"")
        c = self.conn()
        c.exchange(self.request_bytes(INITIALIZE))
        self.assertEqual(c.wait_closed(), b"")

    def test_waiting_for_an_answer_is_not_idling(self):
        c = self.http()
        self.assertEqual(c.tool("sleep", {"seconds": 2.5}), "slept 2.500 s")


class SlowReaderTest(DaemonCase):
    servers = {"demo": demo()}
    config = {"limits": {"slow_reader_bytes": 512 * KIB, "max_response_bytes": 64 * KIB * KIB}, "resilience": SINGLE}

    def test_F25_a_client_that_does_not_read_stalls_only_itself(self):
        for make in (self.http, self.sse, self.line):
            with self.subTest(make.__name__):
                slow, other = make(), self.http()
                size = 24 << 20
                call = slow.start_tool("big", {"bytes": size})
                for i in range(20):
                    self.assertEqual(other.tool("echo", {"text": str(i)}), str(i))
                self.assertEqual(len(call.text()), size)

    def test_F25_progress_for_a_client_that_does_not_read_is_dropped(self):
        slow, other = self.http(), self.http()
        call = slow.start_tool("progress", {"steps": 100000, "interval_ms": 0}, token=1)
        for i in range(20):
            self.assertEqual(other.tool("echo", {"text": str(i)}), str(i))
        if not is_sanitized():
            self.assertLess(self.daemon.rss_kb(), 64 * KIB)
        self.assertEqual(call.text(), "100000 steps done")
        got = [m["params"]["progress"] for m in slow.taken("notifications/progress")]
        self.assertEqual(got, sorted(set(got)))

    def test_F25_many_clients_that_never_read(self):
        stuck = [self.http() for _ in range(16)]
        for c in stuck:
            c.start_tool("big", {"bytes": 8 << 20})
        other = self.http()
        for i in range(20):
            self.assertEqual(other.tool("echo", {"text": str(i)}), str(i))
        if not is_sanitized():
            self.assertLess(self.daemon.rss_kb(), 64 * KIB)
        for c in stuck:
            c.close()
        self.assertEqual(other.request("ping"), {})


class ConnectionLimitTest(DaemonCase):
    config = {"limits": {"max_connections_per_peer": 20}}

    def test_F26_idle_connections_of_one_peer_are_capped(self):
        conns = [HttpConn((self.daemon.host, self.daemon.port)) for _ in range(60)]
        self.addCleanup(lambda: [c.close() for c in conns])

        def closed():
            return [c for c in conns if c.closed_by_peer or c.recv_now() == b""]
        poll_until(lambda: len(closed()) >= 40, "the surplus connections to be closed")
        self.assertEqual(len(closed()), 40)
        local = self.http(unix=True)  # others still get in
        self.assertEqual(local.request("ping"), {})
        for c in conns:
            c.close()

        def answers():
            r = self.exchange(INITIALIZE)
            return r is not None and r.status == 200
        poll_until(answers, "room for a new connection")
