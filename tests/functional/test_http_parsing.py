"""What is HTTP and what is not (security.md F10-F20, F28-F31, F35, F36): anything that two parsers might read
differently is refused, and the connection with it, so that no byte of it can become another request."""
import json

from harness import INITIALIZE, DaemonCase

PING = b'{"jsonrpc":"2.0","id":0,"method":"ping"}'


class HttpParsingTest(DaemonCase):
    def head(self, *lines, start="POST /mcp/demo HTTP/1.1", host=True):
        """A head of exactly these lines, each ended by CRLF."""
        first = [start.encode()]
        if host:
            first.append(b"Host: 127.0.0.1")
        lines = [x.encode("latin-1") if isinstance(x, str) else x for x in lines]
        return b"\r\n".join(first + lines) + b"\r\n\r\n"

    JSON = "Content-Type: application/json"

    def assert_refused(self, data, *statuses, closes=True):
        """The bytes are answered by one of these statuses, once, and then the connection ends."""
        c = self.conn()
        r = c.exchange(data)
        self.assertIsNotNone(r, "closed without an answer")
        self.assertIn(r.status, statuses or (400,))
        if closes:
            self.assertEqual(c.wait_closed(), b"", "something follows the refusal")
            self.assertEqual(c.rest, b"", "something follows the refusal")
        c.close()
        return r

    def assert_accepted(self, data):
        c = self.conn()
        r = c.exchange(data)
        self.assertEqual(r.status, 200, bytes(r.body))
        c.close()
        return r

    def length(self, value, body=INITIALIZE):
        return self.head(self.JSON, "Content-Length: " + value) + body

    def chunked(self, *pieces, extra=()):
        return self.head(self.JSON, "Transfer-Encoding: chunked", *extra) + b"".join(pieces)

    @staticmethod
    def chunk(data, size=None):
        return (b"%x" % len(data) if size is None else size) + b"\r\n" + data + b"\r\n"

    def test_F10_content_length_with_transfer_encoding(self):
        body = self.chunk(INITIALIZE) + b"0\r\n\r\n"
        for lines in (("Content-Length: %d" % len(body), "Transfer-Encoding: chunked"),
                      ("Transfer-Encoding: chunked", "Content-Length: 4"),
                      ("Content-Length: 0", "Transfer-Encoding: identity")):
            with self.subTest(lines):
                self.assert_refused(self.head(self.JSON, *lines) + body, 400, 501)

    def test_F11_two_equal_content_lengths(self):
        n = "Content-Length: %d" % len(INITIALIZE)
        self.assert_refused(self.head(self.JSON, n, n) + INITIALIZE)

    def test_F12_two_differing_content_lengths(self):
        for a, b in ((len(INITIALIZE), 5), (5, len(INITIALIZE)), (0, len(INITIALIZE))):
            with self.subTest(a=a, b=b):
                self.assert_refused(self.head(self.JSON, "Content-Length: %d" % a, "content-length: %d" % b) + INITIALIZE)

    def test_F13_content_length_that_is_no_plain_number(self):
        for value in ("+5", "-1", "5abc", "", " ", "5,5", "5, 5", "0x10", "1e3", "5 5", "\t", "9223372036854775808",
                      "18446744073709551621", "9" * 100):
            with self.subTest(value):
                self.assert_refused(self.length(value), 400, 413)

    def test_content_length_with_leading_zeros_counts_alike(self):
        self.assert_accepted(self.length("000%d" % len(INITIALIZE)))

    def test_F14_transfer_encodings_other_than_chunked(self):
        body = self.chunk(INITIALIZE) + b"0\r\n\r\n"
        for value in ("gzip, chunked", "chunked, chunked", "xchunked", "chunked\x0b", "chunked;q=1", "identity", "",
                      "chunked, identity", "\"chunked\"", "chunked,"):
            with self.subTest(value):
                self.assert_refused(self.head(self.JSON, "Transfer-Encoding: " + value) + body, 400, 501)

    def test_F14_two_transfer_encoding_lines(self):
        self.assert_refused(self.chunked(self.chunk(INITIALIZE), b"0\r\n\r\n", extra=["Transfer-Encoding: chunked"]), 400, 501)

    def test_F14_transfer_encoding_in_HTTP_1_0(self):
        self.assert_refused(self.head(self.JSON, "Transfer-Encoding: chunked", start="POST /mcp/demo HTTP/1.0") +
                            self.chunk(INITIALIZE) + b"0\r\n\r\n", 400, 501)

    def test_F14_chunked_in_any_case_is_chunked(self):
        self.assert_accepted(self.head(self.JSON, "transfer-encoding:  CHUNKED \t") + self.chunk(INITIALIZE) + b"0\r\n\r\n")

    def test_F15_space_before_the_colon(self):
        n = len(INITIALIZE)
        for line in ("Content-Length : %d" % n, "Content-Length\t: %d" % n, " Content-Length: %d" % n, ": %d" % n, "Nope",
                     "Con tent: x", "X(: y", "X\x80: y"):
            with self.subTest(line):
                self.assert_refused(self.head(self.JSON, line) + INITIALIZE)

    def test_F16_folded_header_lines(self):
        n = "Content-Length: %d" % len(INITIALIZE)
        for fold in (" folded", "\tfolded", " "):
            with self.subTest(fold):
                self.assert_refused(self.head(self.JSON, n, "X-A: 1", fold) + INITIALIZE)
        self.assert_refused(b"POST /mcp/demo HTTP/1.1\r\n Host: 127.0.0.1\r\n\r\n")

    def test_F17_bare_LF_and_bare_CR(self):
        good = self.length(str(len(INITIALIZE)))
        head, _, body = good.partition(b"\r\n\r\n")
        for bad in (head.replace(b"\r\n", b"\n") + b"\n\n" + body,
                    head.replace(b"\r\n", b"\n", 1) + b"\r\n\r\n" + body,
                    head + b"\n\n" + body,
                    head.replace(b"\r\n", b"\r", 1) + b"\r\n\r\n" + body,
                    head.replace(b"Host: ", b"Host: a\rX: ") + b"\r\n\r\n" + body,
                    head + b"\r\nX: a\nY: b\r\n\r\n" + body):
            with self.subTest(bad[:60]):
                self.assert_refused(bad)

    def test_F18_control_characters_in_a_header(self):
        n = "Content-Length: %d" % len(INITIALIZE)
        for c in "\x00\x01\x07\x08\x0b\x0c\x1b\x1f\x7f":
            for line in ("X-A: a%sb" % c, "X%sA: b" % c):
                with self.subTest(line):
                    self.assert_refused(self.head(self.JSON, n, line) + INITIALIZE)
        self.assert_refused(self.head(self.JSON, n, start="POST /mcp/demo\x00 HTTP/1.1") + INITIALIZE, 400, 404)

    def test_F18_tab_and_high_bytes_in_a_value_are_fine(self):
        n = "Content-Length: %d" % len(INITIALIZE)
        self.assert_accepted(self.head(self.JSON, n, "X-A: a\tb \xe9\xff") + INITIALIZE)

    def test_F19_bad_chunk_sizes(self):
        end = b"0\r\n\r\n"
        n = len(INITIALIZE)
        for size in (b"0x%x" % n, b"-1", b"+%x" % n, b"0" * 17 + b"%x" % n, b"ffffffffffffffff", b"", b" %x" % n, b"g",
                     b"%x " % n + b"\x00", b"1" + b"0" * 16):
            with self.subTest(size):
                self.assert_refused(self.chunked(self.chunk(INITIALIZE, size), end), 400, 413)

    def test_F19_missing_CRLF_around_chunks(self):
        n = b"%x" % len(INITIALIZE)
        for body in (n + b"\r\n" + INITIALIZE + b"0\r\n\r\n",
                     n + b"\n" + INITIALIZE + b"\r\n0\r\n\r\n",
                     n + b"\r\n" + INITIALIZE + b"\n0\r\n\r\n",
                     n + b"\r\n" + INITIALIZE + b"XY0\r\n\r\n"):
            with self.subTest(body[-20:]):
                self.assert_refused(self.chunked(body))

    def test_F19_chunk_extensions_are_ignored(self):
        for ext in (b";x", b";x=1", b';x="a;b"', b";x;y=z"):
            with self.subTest(ext):
                self.assert_accepted(self.chunked(self.chunk(INITIALIZE, b"%x" % len(INITIALIZE) + ext), b"0;last\r\n\r\n"))

    def test_F19_endless_chunk_extension(self):
        self.assert_refused(self.chunked(b"5;" + b"x" * 100000), 400, 413, 431)

    def test_F19_any_cut_into_chunks_is_the_same_body(self):
        cuts = [INITIALIZE[i:i + 1] for i in range(len(INITIALIZE))]
        self.assert_accepted(self.chunked(*map(self.chunk, cuts), b"000\r\n\r\n"))

    def test_F20_trailers_are_ignored(self):
        trailer = b"0\r\nMcp-Session-Id: x\r\nContent-Length: 5\r\nHost: evil.test\r\nOrigin: http://evil.test\r\n\r\n"
        c = self.conn()
        c.send(self.chunked(self.chunk(INITIALIZE), trailer) + self.request_bytes(INITIALIZE))
        self.assertEqual([c.read_response().status, c.read_response().status], [200, 200])

    def test_F20_malformed_trailers_are_refused(self):
        for trailer in (b"0\r\nX : 1\r\n\r\n", b"0\r\nX: 1\n\r\n", b"0\r\n folded\r\n\r\n", b"0\r\n" + b"X: 1\r\n" * 5000 + b"\r\n"):
            with self.subTest(trailer[:20]):
                self.assert_refused(self.chunked(self.chunk(INITIALIZE), trailer), 400, 431)

    def test_F28_a_hundred_pipelined_posts_are_answered_in_order(self):
        c, s = self.conn(), self.http()
        session = [("Mcp-Session-Id", s.session_id), ("MCP-Protocol-Version", s.version)]
        def echo(n):
            return json.dumps({"jsonrpc": "2.0", "id": n, "method": "tools/call",
                               "params": {"name": "echo", "arguments": {"text": "text %d" % n}}}).encode()
        c.send(b"".join(self.request_bytes(echo(n), headers=session) for n in range(100)))
        for n in range(100):
            r = c.read_response()
            self.assertEqual(r.status, 200)
            data = bytes(r.body) if r.body else r.events[0].data
            answer = json.loads(data)
            self.assertEqual((answer["id"], answer["result"]["content"][0]["text"]), (n, "text %d" % n))

    def test_F28_a_pipeline_may_come_in_any_pieces(self):
        c = self.conn()
        data = self.request_bytes(INITIALIZE) * 2
        for i in range(0, len(data), 7):
            c.send(data[i:i + 7])
        self.assertEqual([c.read_response().status, c.read_response().status], [200, 200])

    def test_F29_a_request_inside_a_body_is_only_a_body(self):
        evil = self.request_bytes(INITIALIZE)
        c = self.conn()
        c.send(self.request_bytes(evil))
        self.assertEqual(c.read_response().status, 400)  # it is no JSON
        c.send(self.request_bytes(INITIALIZE), strict=False)
        r = c.read_response()
        self.assertIn(r and r.status, (None, 200))  # one more answer at most: that to the second request
        c.half_close()
        self.assertEqual(c.wait_closed(), b"")

    def test_F29_after_a_refusal_nothing_more_is_read(self):
        follow = self.request_bytes(INITIALIZE)
        self.assert_refused(self.head("Content-Length: 5", "Transfer-Encoding: chunked") + b"0\r\n\r\n" + follow)
        self.assert_refused(self.head("X : y") + follow)

    def test_F30_expect_100_continue(self):
        c = self.conn()
        c.send(self.head(self.JSON, "Expect: 100-continue", "Content-Length: %d" % len(INITIALIZE)))
        self.assertEqual(c.recv(), b"HTTP/1.1 100 Continue\r\n\r\n")
        r = c.exchange(INITIALIZE)
        self.assertEqual((r.status, r.interim), (200, []))

    def test_F30_no_100_for_a_body_that_is_refused_anyway(self):
        c = self.conn()
        c.send(self.head("Content-Type: text/plain", "Expect: 100-continue", "Content-Length: 5"))
        r = c.read_response()
        self.assertEqual((r.status, r.interim), (415, []))

    def test_F30_other_expectations(self):
        self.assert_refused(self.head(self.JSON, "Expect: coffee", "Content-Length: 0"), 417, closes=False)

    def test_F31_other_request_targets_and_methods(self):
        for start in ("POST http://127.0.0.1/mcp/demo HTTP/1.1", "CONNECT 127.0.0.1:80 HTTP/1.1", "OPTIONS * HTTP/1.1",
                      "TRACE /mcp/demo HTTP/1.1", "POST mcp/demo HTTP/1.1", "POST  /mcp/demo HTTP/1.1",
                      "POST /mcp/demo  HTTP/1.1", "POST /mcp/demo HTTP/1.1 ", "POST /mcp/demo", "POST /mcp/demo HTTP/2.0",
                      "POST /mcp/demo HTTP/1.2", "POST /mcp/demo HTTP/11", "POST /mcp/demo http/1.1", "post /mcp/demo HTTP/1.1",
                      "P\x01ST /mcp/demo HTTP/1.1", " POST /mcp/demo HTTP/1.1", "POST\t/mcp/demo\tHTTP/1.1",
                      "GET /mcp/demo\x7f HTTP/1.1", "POST /mcp demo HTTP/1.1"):
            with self.subTest(start):
                r = self.assert_refused(self.head(self.JSON, "Content-Length: 0", start=start), 400, 404, 405, 501, 505,
                                        closes=False)
                self.assertNotIn(b"jsonrpc", r.body if r.status == 404 else b"")

    def test_F35_other_protocols_on_the_plain_port(self):
        for data in (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00",
                     b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(64)) * 8 + b"\r\n\r\n",
                     b"\x00" * 2000, b"\r\n" * 5000, b"SSH-2.0-OpenSSH_9.2\r\n\r\n", b"{}\n"):
            with self.subTest(data[:12]):
                c = self.conn()
                c.send(data, strict=False)
                c.half_close()
                got = c.wait_closed()
                self.assertTrue(got == b"" or got.startswith(b"HTTP/1.1 4") or got.startswith(b"HTTP/1.1 5"), got[:100])
        self.assert_alive()

    def test_F36_paths_are_exact(self):
        for path in ("/", "/mcp/", "//mcp/demo", "/mcp//demo", "/mcp/demo/", "/mcp/demo/x", "/mcp/../mcp/demo", "/mcp/./demo",
                     "/mcp/%64emo", "/mcp%2fdemo", "/MCP/demo", "/mcp/DEMO", "/mcp/demo%00", "/mcp/dem", "/mcp/demo2",
                     "/mcp/..%2f..%2fetc/passwd", "/sse/demo/..", "/mcp/demo;x", "/mcp/" + "d" * 300):
            with self.subTest(path):
                r = self.exchange(INITIALIZE, path=path)
                self.assertEqual(r.status, 404)
                self.assertNotIn(b"jsonrpc", r.body)
                self.assertEqual(r.media_type, "text/plain")

    def test_HTTP_1_0_is_served_and_closed(self):
        c = self.conn()
        r = c.exchange(self.request_bytes(INITIALIZE, version="HTTP/1.0"))
        self.assertEqual(r.status, 200)
        self.assertIsNone(r.headers.get("Transfer-Encoding"))
        self.assertEqual(c.wait_closed(), b"")

    def test_connection_close_is_obeyed(self):
        c = self.conn()
        r = c.exchange(self.request_bytes(INITIALIZE, headers=[("Connection", "close")]))
        self.assertEqual((r.status, r.headers.get("Connection").lower()), (200, "close"))
        self.assertEqual(c.wait_closed(), b"")

    def test_connections_are_kept_alive(self):
        c = self.conn()
        for _ in range(20):
            self.assertEqual(c.exchange(self.request_bytes(INITIALIZE)).status, 200)

    def test_a_client_that_leaves_at_any_byte_does_no_harm(self):
        data = self.request_bytes(INITIALIZE)
        for n in range(0, len(data) + 1, 9):
            c = self.conn()
            c.send(data[:n])
            c.reset() if n % 2 else c.close()
        self.assert_alive()

    def test_a_client_that_half_closes_gets_its_answer(self):
        c = self.conn()
        c.send(self.request_bytes(INITIALIZE))
        c.half_close()
        self.assertEqual(c.read_response().status, 200)

    def test_blank_lines_before_a_request_are_skipped(self):
        c = self.conn()
        self.assertEqual(c.exchange(b"\r\n" + self.request_bytes(INITIALIZE)).status, 200)
