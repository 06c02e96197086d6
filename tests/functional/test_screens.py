"""What an operator sees of a daemon whose servers are well, broken, slow and taken out of service. The screens are left in
screens/ beside the daemon (build/screens/) for people to look at: *.txt as scripts get them, *.ansi as a terminal does."""
import contextlib
import os
import re
import threading

from harness import MCPOOLD, DaemonCase, demo, fake, poll_until
from test_ctl import ENTER, Terminal, run

SCREENS = os.path.join(os.path.dirname(MCPOOLD), "screens")
POOL = {"min_connections": 1, "max_connections": 4}


class ScreensTest(DaemonCase):
    servers = None

    def setUp(self):
        super().setUp()
        self.start({"files": fake(), "github": {"command": "github-mcp-server"}, "memory": demo(), "search": demo()},
                   {"resilience": {**POOL, "backoff_base": 30}})
        self.daemon.allow_error("github")
        self.socket = self.daemon.socket_path("admin")
        for order in ("drain", "memory"), ("maint", "search"):
            self.ctl(*order)
        self.busy = [self.http("files") for _ in range(2)]
        self.call, _ = self.hold(self.busy[0], server="files")
        poll_until(lambda: "unhealthy" in self.ctl("status", status=3), "github to be known as broken")

    def tearDown(self):
        self.release(self.busy[0])
        self.call.text()
        super().tearDown()

    @contextlib.contextmanager
    def load(self):
        stop = threading.Event()

        def run():
            while not stop.is_set():
                self.busy[1].tool("record", {"nonce": "x"})
        worker = threading.Thread(target=run)
        worker.start()
        try:
            yield
        finally:
            stop.set()
            worker.join()

    def ctl(self, *args, status=0):
        r = run("-s", self.socket, *args)
        self.assertEqual((r.returncode, r.stderr), (status, ""))
        return r.stdout

    def keep(self, name, text):
        os.makedirs(SCREENS, exist_ok=True)
        with open(os.path.join(SCREENS, name), "wb") as f:
            f.write(text if isinstance(text, bytes) else text.encode())
        return text

    def rows(self, text):
        lines = text.split("\n")
        at = next(i for i, line in enumerate(lines) if line.startswith("NAME"))
        return {row[0]: row[1:] for row in (re.split("  +", line.rstrip()) for line in lines[at + 1:]) if len(row) > 2}

    def test_status(self):
        rows = self.rows(self.keep("status.txt", self.ctl("status", status=3)))
        self.assertEqual({name: row[:2] for name, row in rows.items()}, {
            "files": ["healthy", "active"], "github": ["unhealthy", "active"],
            "memory": ["unknown", "drain"], "search": ["unknown", "maint"]})
        self.assertEqual(rows["files"][3], "1")
        self.assertRegex(rows["github"][-1], "cannot start github-mcp-server: No such file")

    def test_status_of_one(self):
        text = self.keep("status-github.txt", self.ctl("status", "github", status=3))
        self.assertRegex(text, r"^● github - unhealthy since ")

    def test_status_on_a_terminal(self):
        t = Terminal("-s", self.socket, "status", size=(24, 160))
        self.addCleanup(t.close)
        self.assertIn(b"\x1b[31munhealthy", self.keep("status.ansi", t.rest()))

    def test_explain(self):
        text = self.keep("explain-github.txt", self.ctl("explain", "github"))
        self.assertRegex(text, r"What happens next:\n  slot 0: attempt 2 in ")

    def test_top_for_scripts(self):
        with self.load():
            poll_until(lambda: self.daemon.ledger("files", "run", tool="record"), "the first call")
            text = self.ctl("top", "--once", "--interval=1")
        rows = self.rows(self.keep("top.txt", text))
        self.assertRegex(text, r"\d calls/s, .* p50 [0-9.]+ m?s, p99 ")
        self.assertEqual({name: row[0] for name, row in rows.items()}, {
            "files": "healthy", "github": "unhealthy", "memory": "unknown", "search": "unknown"})

    def test_top_on_a_terminal(self):
        t = Terminal("-s", self.socket, "top", "--interval=0.2", size=(24, 160))
        self.addCleanup(t.close)
        t.read_until(re.escape(ENTER))
        with self.load():
            t.read_until(rb"calls/s.*?\x1b\[J")
            drawn = t.read_until(rb"\x1b\[H(.*?)files +\x1b\[32mhealthy.*?\x1b\[J")
        self.assertIn(b"\x1b[31munhealthy", self.keep("top.ansi", drawn[drawn.index(b"\x1b[H"):] + b"\n"))
        os.write(t.master, b"q")
        t.rest()
