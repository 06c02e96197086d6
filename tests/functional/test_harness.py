"""The harness itself: what it promises to notice (tests/README.md), it notices."""
import io
import os
import subprocess
import sys
import tempfile
import unittest

from clients import Client, parse_message
from daemon import Daemon, whole_lines
from harness import DaemonCase, demo
from wire import Malformed, Response, SseParser


class ParserTest(unittest.TestCase):
    def feed(self, data, method="POST"):
        r = Response(method)
        r.feed(data)
        return r

    def test_responses_are_read_in_any_pieces(self):
        data = (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n"
                b"Transfer-Encoding: chunked\r\n\r\n9\r\nid: 1\ndat\r\n6\r\na: x\n\n\r\n0\r\n\r\nrest")
        for size in (1, 2, 7, 1000):
            r, rest = Response(), b""
            for i in range(0, len(data), size):
                rest += r.feed(data[i:i + size]) if not r.ended else data[i:i + size]
            self.assertEqual((r.status, r.interim, r.clean, rest), (200, [100], True, b"rest"))
            self.assertEqual([(e.id, e.data) for e in r.events], [("1", "x")])

    def test_malformed_responses_are_not_tolerated(self):
        head = b"HTTP/1.1 200 OK\r\n"
        for data in (b"HTTP/1.1 200 OK\nX: y\n\n", b"HTTP/2 200 OK\r\n\r\n", head + b"X : y\r\n\r\n", head + b"X: a\x00b\r\n\r\n",
                     head + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", head + b"Content-Length: +1\r\n\r\n",
                     head + b"Content-Length: 1\r\nContent-Length: 1\r\n\r\n", head + b"Transfer-Encoding: gzip\r\n\r\n",
                     head + b"Transfer-Encoding: chunked\r\n\r\n0x1\r\n", head + b"Transfer-Encoding: chunked\r\n\r\n1\r\nabc"):
            with self.subTest(data), self.assertRaises(Malformed):
                self.feed(data).headers.get("Content-Length")

    def test_a_cut_response_is_not_clean(self):
        for data in (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc",
                     b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", b"HTTP/1.1 20"):
            r = self.feed(data)
            r.eof()
            self.assertEqual((r.ended, r.clean), (True, False))

    def test_malformed_events_are_not_tolerated(self):
        for data in (b"data: x\r\n\r\n", b"junk\n\n", b"id: 1\nid: 2\n\n", b"other: x\n\n"):
            with self.subTest(data), self.assertRaises(Malformed):
                SseParser().feed(data)

    def test_malformed_messages_are_not_tolerated(self):
        for raw in ('{"jsonrpc":"2.0","id":null,"result":{}}', '{"jsonrpc":"2.0","id":1}', '{"id":1,"result":{}}', "[]",
                    '{"jsonrpc":"2.0","id":1,"result":{},"error":{"code":1,"message":"x"}}',
                    '{"jsonrpc":"2.0","id":1,"error":{"code":"1","message":"x"}}'):
            with self.subTest(raw), self.assertRaises(AssertionError):
                parse_message(raw)

    def test_a_second_answer_fails_the_call(self):
        class Echo(Client):
            def _send(self, message):
                for _ in range(2):
                    self._take('{"jsonrpc":"2.0","id":%d,"result":{}}' % message["id"], self)
        with self.assertRaises(AssertionError):
            Echo().request("ping")


class GrowingFile(io.RawIOBase):
    """A file that another process appends to each time its end was found."""

    def __init__(self, *parts):
        super().__init__()
        self.reads = [r for p in parts for r in (p, b"")]

    def readable(self):
        return True

    def readinto(self, b):
        data = self.reads.pop(0) if self.reads else b""
        b[:len(data)] = data
        return len(data)


class LedgerTest(unittest.TestCase):
    def test_a_line_that_is_being_written_is_not_there_yet(self):
        f = io.TextIOWrapper(io.BufferedReader(GrowingFile(b'{"n": 1}\n{"n":', b" 2}\n")))
        self.assertEqual(whole_lines(f), ['{"n": 1}'])


RUNS = '''
import os
import unittest


class OddTest(unittest.TestCase):
    def test_passes_the_second_time(self):
        if not os.path.exists("again"):
            open("again", "w").close()
            self.fail("the machine was busy")

    def test_is_fine(self):
        pass
'''


class RunnerTest(unittest.TestCase):
    def run_file(self, text):
        with tempfile.TemporaryDirectory() as directory:
            path = os.path.join(directory, "test_odd.py")
            with open(path, "w") as f:
                f.write(text)
            run = os.path.join(os.path.dirname(os.path.abspath(__file__)), "run.py")
            return subprocess.run([sys.executable, run, path], cwd=directory, stdout=subprocess.PIPE, text=True, timeout=100)

    def test_what_failed_once_is_shown_with_its_reason_at_the_end(self):
        r = self.run_file(RUNS)
        end = r.stdout[r.stdout.rindex("unsteady test_odd: OddTest.test_passes_the_second_time"):]
        self.assertIn("AssertionError: the machine was busy", end)
        self.assertTrue(end.endswith("\n2 passed, 0 failed, 0 skipped\n"), end)
        self.assertEqual(r.returncode, 0)

    def test_what_fails_twice_is_no_chance(self):
        r = self.run_file(RUNS.replace("if not os", "if True or os"))
        self.assertNotIn("unsteady", r.stdout)
        self.assertTrue(r.stdout.endswith("\n1 passed, 1 failed, 0 skipped\n"), r.stdout)
        self.assertEqual(r.returncode, 1)

    def test_a_file_that_dies_without_a_word_fails(self):
        r = self.run_file("import os\nos.kill(os.getpid(), 9)\n")
        self.assertIn("FAIL test_odd: (file)\nexit status -9\n", r.stdout)
        self.assertEqual(r.returncode, 1)


class EndTest(DaemonCase):
    """Each test spoils the end of its daemon and expects to be told."""

    def finish(self):
        with self.assertRaises(AssertionError) as caught:
            self.daemon.stop()
        return str(caught.exception)

    def test_processes_left_behind(self):
        key, value = self.daemon.mark.split("=")
        left = subprocess.Popen(["/bin/sleep", "100"], env={key: value})
        self.assertIn("left behind: %d" % left.pid, self.finish())
        left.kill()
        left.wait()

    def test_files_left_behind(self):
        with open(os.path.join(self.daemon.runtime_dir, "left.sock"), "w"):
            pass
        self.assertIn("left.sock", self.finish())

    def test_another_exit_status(self):
        with self.assertRaisesRegex(AssertionError, "exit status 0 instead of 3"):
            self.daemon.stop(expect_status=3)

    def test_errors_in_the_log(self):
        log = self.daemon.log
        log.lines.append("2026-01-01T00:00:00.000Z error server=x something broke")
        log.lines.append("2026-01-01T00:00:00.000Z warning only a warning")
        log.lines.append("2026-01-01T00:00:00.000Z error server=y announced")
        self.daemon.allow_error("announced")
        told = self.finish().split("the log says")[0]
        self.assertIn("something broke", told)
        self.assertNotIn("announced", told)
        self.assertNotIn("only a warning", told)

    def test_sanitizer_reports(self):
        for line in ("==1==ERROR: AddressSanitizer: heap-use-after-free", "x.c:1:2: runtime error: shift",
                     "==1==ERROR: LeakSanitizer: detected memory leaks"):
            self.daemon.log.lines.append(line)
        self.assertEqual(self.finish().count("sanitizer: "), 3)

    def test_a_status_that_no_session_may_see(self):
        c = self.http()
        c.session_id, c.version = c.session_id + "\x01", None  # a malformed header: 400
        with self.assertRaisesRegex(AssertionError, "status 400 for a client with a session"):
            c.start("ping").response()

    def test_a_daemon_that_dies(self):
        self.daemon.process.kill()
        self.daemon.process.wait()
        with self.assertRaisesRegex(AssertionError, "exit status -9"):
            self.daemon.join()
        d = Daemon({"demo": demo()})
        d.config["nonsense"] = 1
        self.addCleanup(d.discard)
        with self.assertRaisesRegex(AssertionError, "nonsense"):
            d.start()
