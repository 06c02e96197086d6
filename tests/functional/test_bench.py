"""The programs of the benchmark suite: each does what it is for, and the load generator finds wrong answers.

No figure is judged here, only that there is one. MCPOOLD says where they are: bench/ beside the daemon."""
import json
import os
import signal
import socket
import subprocess
import tempfile

from harness import DEADLINE, MCPOOLD, DaemonCase, HttpConn, poll_until

BENCH = os.path.join(os.path.dirname(MCPOOLD), "bench")
LATENCIES = ["min", "p50", "p90", "p99", "p999", "max"]
PROGRAMS = ["load", "stdio-server", "http-server", "floor", "probe"]


def program(name):
    path = os.path.join(BENCH, name)
    if not os.access(path, os.X_OK):
        raise AssertionError(path + " is not there: run make bench-programs")
    return path


def run(name, *args, **more):
    """Runs a program to its end."""
    return subprocess.run([program(name), *map(str, args)], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=DEADLINE * 2, check=False, **more)


class BenchCase(DaemonCase):
    servers = None

    def background(self, name, *args):
        """Starts a program that says its port first. Returns (process, port)."""
        p = subprocess.Popen([program(name), *map(str, args)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        self.addCleanup(self.end, p)
        return p, int(p.stdout.readline())

    def end(self, p):
        p.terminate()
        self.assertEqual(p.wait(DEADLINE), -signal.SIGTERM)
        p.stdout.close()

    def load(self, *args):
        """A run of the load generator that goes well; its result."""
        done = run("load", *args)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertEqual(done.stdout.count("\n"), 1)
        return self.check(json.loads(done.stdout))

    def check(self, result):
        """What holds of every result."""
        self.assertEqual(result["errors"], 0)
        self.assertGreater(result["bytes_in"], 0)
        self.assertGreater(result["bytes_out"], 0)
        self.assertGreater(result["seconds"], 0)
        self.assertAlmostEqual(result["calls_per_second"], result["calls"] / result["seconds"],
                               delta=result["calls_per_second"] / 100)
        latencies = [result["latency_us"][k] for k in LATENCIES]
        self.assertEqual(latencies, sorted(latencies))
        self.assertGreater(result["load_cpu_us_per_call"], 0)
        return result

    def refused(self, sentence, *args, status=1):
        """A run that must fail, and say this."""
        done = run("load", *args)
        self.assertEqual(done.returncode, status, done)
        self.assertIn(sentence, done.stderr)
        return done


class LoadOnStdioTest(BenchCase):
    def stdio(self, *args, server=()):
        return ["--stdio", *args, "--", program("stdio-server"), *server]

    def test_every_call_is_counted_and_its_bytes(self):
        r = self.load(*self.stdio("--calls", 30, "--warmup", 5, "--result-bytes", 1000, "--args-bytes", 2000))
        self.assertEqual(r["calls"], 30)
        self.assertGreater(r["bytes_in"], 30 * 1000)
        self.assertLess(r["bytes_in"], 30 * 1200)
        self.assertGreater(r["bytes_out"], 30 * 2000)
        self.assertLess(r["bytes_out"], 30 * 2300)
        self.assertEqual(len(r["cpu_us_per_call"]), 1)  # the server that it started

    def test_a_server_for_each_session_and_many_calls_in_flight(self):
        r = self.load(*self.stdio("--calls", 200, "--sessions", 3, "--window", 7))
        self.assertEqual((r["calls"], len(r["cpu_us_per_call"])), (200, 3))

    def test_large_results_and_arguments(self):
        for size in (511, 512, 16383, 16384, 65536, 16 << 20):
            self.load(*self.stdio("--calls", 3, "--result-bytes", size, "--args-bytes", min(size, 1 << 20)))

    def test_no_text_at_all(self):
        self.load(*self.stdio("--calls", 3, "--result-bytes", 0, "--args-bytes", 0))

    def test_progress(self):
        self.load(*self.stdio("--calls", 20, "--window", 4, "--progress", 5))

    def test_for_a_time(self):
        r = self.load(*self.stdio("--seconds", "0.2", "--warmup", 1))
        self.assertGreater(r["calls"], 0)

    def test_calls_that_are_due_at_their_time(self):
        r = self.load(*self.stdio("--calls", 20, "--rate", 200, "--warmup", 0))
        self.assertEqual(r["calls"], 20)
        self.assertGreater(r["seconds"], 19 / 200)  # the last one was due then

    def test_latency_counts_from_when_a_call_was_due(self):
        # All are due within 2 us, so whichever is answered last has waited for all the others.
        r = self.load(*self.stdio("--calls", 2000, "--rate", 1e9, "--warmup", 0))
        self.assertAlmostEqual(r["latency_us"]["max"], 1e6 * r["seconds"], delta=2.1)

    def test_whole_sessions(self):
        r = self.load(*self.stdio("--mode", "churn", "--calls", 5, "--sessions", 2, "--warmup", 1))
        self.assertEqual(r["calls"], 5)

    def test_wrong_answers_are_found(self):
        one = "an answer to an id that is not waiting"
        for wrong, sentence in (("id", one), ("twice", one), ("length", "a text of another length")):
            for more in ([], ["--window", 8], ["--mode", "churn"]):
                with self.subTest(wrong=wrong, more=more):
                    if wrong == "twice" and more[:1] == ["--mode"]:
                        sentence = "an answer to nothing"  # it comes while the session ends
                    self.refused(sentence, *self.stdio("--calls", 20, *more, server=["--wrong", wrong]))

    def test_a_second_answer_to_the_last_call_is_found(self):
        self.refused("an answer to", *self.stdio("--calls", 1, "--warmup", 0, server=["--wrong", "twice"]))

    def test_an_error_is_counted_and_told(self):
        done = self.refused("calls were answered with errors, the first: {", "--stdio", "--calls", 3, "--warmup", 0, "--",
                            "/bin/sh", "-c", """
            read -r line; echo '{"jsonrpc":"2.0","id":1,"result":{"protocolVersion":"2025-11-25","capabilities":{}}}'
            read -r line
            while read -r line; do
                id=${line#*'"id":'}
                echo '{"jsonrpc":"2.0","id":'${id%%,*}',"error":{"code":-1,"message":"no"}}'
            done""")
        self.assertEqual(json.loads(done.stdout)["errors"], 3)

    def test_what_is_no_server(self):
        self.refused("cannot start", "--stdio", "--", "/nonexistent")
        self.refused("the connection ended while the session was being opened", "--stdio", "--", "/bin/true")
        self.refused("not an answer that JSON-RPC knows", "--stdio", "--", "/bin/echo", "hello")
        self.refused("nothing was answered for 1 s", "--stdio", "--timeout", 1, "--", "/bin/sleep", "60")


class LoadOnHttpTest(BenchCase):
    def setUp(self):
        super().setUp()
        self.server, self.port = self.background("http-server")
        self.target = ["--http", "127.0.0.1:%d/mcp" % self.port]

    def test_sessions(self):
        r = self.load(*self.target, "--calls", 100, "--sessions", 5, "--pid", self.server.pid)
        self.assertEqual((r["calls"], r["reconnects"]), (100, 0))
        self.assertGreater(r["cpu_us_per_call"][str(self.server.pid)], 0)

    def test_plain_posts_open_no_session(self):
        with_session = self.load(*self.target, "--calls", 50)
        plain = self.load(*self.target, "--calls", 50, "--plain")
        self.assertEqual(plain["bytes_in"], with_session["bytes_in"])
        self.assertLess(plain["bytes_out"], with_session["bytes_out"])

    def test_large_results(self):
        for size in (16383, 16384, 16 << 20):
            self.load(*self.target, "--calls", 3, "--result-bytes", size)

    def test_event_streams(self):
        self.load(*self.target, "--calls", 20, "--sessions", 3, "--progress", 7)
        self.load(*self.target, "--calls", 3, "--progress", 1, "--result-bytes", 4 << 20)

    def test_whole_sessions(self):
        self.assertEqual(self.load(*self.target, "--mode", "churn", "--calls", 20, "--sessions", 3)["calls"], 20)
        self.load(*self.target, "--mode", "churn", "--calls", 20, "--plain")

    def test_a_target_that_is_not_there(self):
        with socket.socket() as taken:  # bound, but nobody listens
            taken.bind(("127.0.0.1", 0))
            self.refused("cannot connect", "--http", "127.0.0.1:%d/" % taken.getsockname()[1])
        self.refused("cannot connect", "--unix", "/nonexistent/x.sock")

    def test_a_process_that_is_not_there(self):
        gone = subprocess.Popen(["/bin/true"])
        gone.wait()
        self.refused("there is no process %d" % gone.pid, *self.target, "--pid", gone.pid)

    def test_the_server_keeps_connections_and_ends_them_when_asked(self):
        c = HttpConn(("127.0.0.1", self.port))
        self.addCleanup(c.close)
        ping = b'{"jsonrpc":"2.0","id":1,"method":"ping"}'
        for connection in (b"keep-alive", b"close"):
            r = c.exchange(b"POST /x HTTP/1.1\r\nHost: x\r\nConnection: %s\r\nContent-Length: %d\r\n\r\n%s"
                           % (connection, len(ping), ping))
            self.assertEqual(json.loads(r.body), {"jsonrpc": "2.0", "id": 1, "result": {}})
        self.assertEqual(c.wait_closed(), b"")

    def test_a_body_of_many_pieces_on_one_connection_after_another(self):
        c = HttpConn(("127.0.0.1", self.port))
        self.addCleanup(c.close)
        body = json.dumps({"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": {
            "name": "x", "arguments": {"text": "y" * 300000}}}).encode()
        request = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
        c.send(request + request)  # the second one waits until the first is answered
        for _ in range(2):
            self.assertEqual(len(json.loads(c.read_response().body)["result"]["content"][0]["text"]), 300000)
        self.assertEqual(c.exchange(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "GET").status, 405)
        self.assertEqual(c.exchange(b"DELETE / HTTP/1.1\r\nHost: x\r\n\r\n", "DELETE").status, 200)


class ThroughTheDaemonTest(BenchCase):
    config = {"resilience": {"min_connections": 1, "max_connections": 1}}

    def setUp(self):
        super().setUp()
        self.start({"bench": {"command": program("stdio-server")}})
        self.ways_in = (["--unix", self.daemon.socket_path("bench")],
                        ["--http", "127.0.0.1:%d/mcp/bench" % self.daemon.port])

    def test_every_kind_of_load(self):
        pid = str(self.daemon.process.pid)
        for way in self.ways_in:
            for load in (["--sessions", 5], ["--progress", 3], ["--result-bytes", 1 << 20, "--calls", 5],
                         ["--args-bytes", 100000], ["--rate", 1000], ["--mode", "churn", "--calls", 20],
                         ["--progress", 2, "--result-bytes", 1 << 20, "--calls", 5]):
                with self.subTest(way=way[0], load=load):
                    r = self.load(*way, "--calls", 50, "--pid", pid, *load)
                    self.assertGreater(r["cpu_us_per_call"][pid], 0)
        self.load(*self.ways_in[0], "--calls", 500, "--window", 32, "--sessions", 3)

    def test_sessions_that_are_held(self):
        for way in reversed(self.ways_in):  # those of HTTP do not end with their connections
            with self.subTest(way=way[0]):
                p = subprocess.Popen([program("load"), *way, "--mode", "hold", "--sessions", "40"], text=True,
                                     stdin=subprocess.PIPE, stdout=subprocess.PIPE)
                self.assertEqual(self.check(json.loads(p.stdout.readline()))["calls"], 40)
                self.assertEqual(self.daemon.log.matching("session ended"), [])
                p.communicate(timeout=DEADLINE)  # which ends its input
                self.assertEqual(p.returncode, 0)
        poll_until(lambda: len(self.daemon.log.matching("session ended")) == 40, "the sessions to end with their connections")


class TokenTest(BenchCase):
    def test_a_token_is_shown(self):
        with tempfile.NamedTemporaryFile("w", prefix="token-") as f:
            f.write("a-secret-of-some-length\n")
            f.flush()
            self.start({"bench": {"command": program("stdio-server")}}, {"tokens": {"me": {"file": f.name}}})
            target = ["--http", "127.0.0.1:%d/mcp/bench" % self.daemon.port, "--calls", 3]
            self.load(*target, "--token", "a-secret-of-some-length")
            self.refused("HTTP status 401", *target)


class FloorTest(BenchCase):
    def setUp(self):
        super().setUp()
        folder = tempfile.TemporaryDirectory(prefix="floor-")
        self.addCleanup(folder.cleanup)
        path = os.path.join(folder.name, "s")
        _, port = self.background("floor", "--http", "127.0.0.1:0", "--unix", path, "--", program("stdio-server"))
        self.ways_in = ["--unix", path], ["--http", "127.0.0.1:%d/" % port]

    def test_every_kind_of_load(self):
        for way in self.ways_in:
            for load in (["--sessions", 5], ["--result-bytes", 65500, "--sessions", 3], ["--result-bytes", 4 << 20, "--calls", 3],
                         ["--args-bytes", 1 << 20, "--calls", 3], ["--mode", "churn", "--calls", 20]):
                with self.subTest(way=way[0], load=load):
                    self.load(*way, "--calls", 50, *load)
        self.load(*self.ways_in[0], "--calls", 500, "--window", 32, "--sessions", 3)

    def test_both_ways_in_at_the_same_time(self):
        p = subprocess.Popen([program("load"), *self.ways_in[1], "--sessions", "3", "--mode", "hold"],
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        p.stdout.readline()
        self.load(*self.ways_in[0], "--calls", 50)
        p.communicate(timeout=DEADLINE)
        self.assertEqual(p.returncode, 0)


class ProbeTest(BenchCase):
    def test_both_probes(self):
        pipe = json.loads(run("probe", "pipe", "--bytes", 100000).stdout)
        self.assertAlmostEqual(pipe["us"] * pipe["round_trips_per_second"], 1e6, delta=1e4)
        copy = json.loads(run("probe", "memcpy", "--bytes", 4096).stdout)
        self.assertGreater(copy["bytes_per_second"], 0)
        self.assertEqual(run("probe").returncode, 2)
        self.assertEqual(run("probe", "disk").returncode, 2)


class CommandLineTest(BenchCase):
    def test_help(self):
        for name in PROGRAMS:
            done = run(name, "--help")
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            self.assertTrue(done.stdout.startswith("Usage: " + name))

    def test_mistakes(self):
        stdio = ["--stdio", "--", "/bin/true"]
        for args in ([], ["--stdio"], ["--http", "x"], ["--nonsense"], ["--http", "127.0.0.1:1/", "--window", 2],
                     ["--calls", 0, *stdio], ["--calls", "1x", *stdio], ["--sessions", -1, *stdio], ["--mode", "x", *stdio],
                     ["--rate", 0, *stdio], ["--unix", "/x", "--plain"], ["--unix", "/x", *stdio], ["--unix", "/x", "extra"]):
            with self.subTest(args=args):
                self.refused("", *args, status=2)
        for name, args in (("floor", []), ("floor", ["--http", "127.0.0.1:0"]), ("http-server", ["x"]),
                           ("stdio-server", ["--wrong", "x"]), ("stdio-server", ["x"])):
            with self.subTest(name=name, args=args):
                self.assertEqual(run(name, *args).returncode, 2)
