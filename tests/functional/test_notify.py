"""What the service manager hears of the daemon (sd_notify(3)), and in which order."""
import json
import os
import re
import shutil
import signal
import socket
import tempfile
import time

from harness import SINGLE, DaemonCase, fake, poll_until
from manager import Manager

STATUS = re.compile(r"(stopping; )?\d+ servers?(: \d+ [a-z]+( \([a-z, .]+\))?(, \d+ [a-z]+( \([a-z, .]+\))?)*)?; "
                    r"\d+ sessions?, \d+ calls? running, \d+ waiting$")


class NotifyCase(DaemonCase):
    servers = None
    config = {"resilience": SINGLE, "limits": {"shutdown_grace": 0.3}}

    def setUp(self):
        super().setUp()
        self.place = tempfile.mkdtemp(prefix="mcpool-manager-")
        self.addCleanup(shutil.rmtree, self.place)
        self.manager = Manager(self.place)
        self.addCleanup(self.check)

    def check(self):
        """What holds of all that was ever said. By now the daemon has ended."""
        self.manager.drain()
        said = self.manager.messages
        self.manager.close()
        self.assertEqual({m["pid"] for m in said} - {self.daemon.process.pid}, set())
        for m in said:
            if "STATUS" in m:
                self.assertRegex(m["STATUS"], STATUS)
        order = " ".join(name for m in said for name in m if name in ("READY", "RELOADING", "STOPPING"))
        self.assertRegex(order, r"^(READY( RELOADING READY)*)?( ?STOPPING)?$")

    def begin(self, servers, resilience=None, env=None, **more):
        self.start(servers, {**self.config, "resilience": {**SINGLE, **(resilience or {})}},
                   env={**self.manager.env, **(env or {})}, **more)

    def status(self, pattern, start=0):
        return self.manager.wait(lambda m: re.search(pattern, m.get("STATUS", "")), start)


class ReadyTest(NotifyCase):
    def test_ready_waits_for_the_first_attempt_of_each_server(self):
        gate = os.path.join(self.place, "gate")
        os.mkfifo(gate)
        slow = {"command": "/bin/sh", "args": ["-c", 'read line <"$1"; exec %s' % fake()["command"], "sh", gate]}
        self.begin({"quick": fake(), "slow": slow})
        self.http("quick")
        # The manager is asked for more time, again and again, and told nothing else.
        at = 0
        for _ in range(2):
            at, _ = self.manager.wait_for("EXTEND_TIMEOUT_USEC", start=at)
        self.assertEqual([m for m in self.manager.messages if "READY" in m], [])
        with open(gate, "w") as f:
            f.write("go\n")
        at, _ = self.manager.wait_for("READY", "1")
        self.status(r"^2 servers: 2 healthy; 1 session, 0 calls running, 0 waiting$", at)

    def test_dead_servers_do_not_hold_it_up(self):
        self.begin({"dead": fake("--exit-at-start", "1"), "gone": {"command": "/does/not/exist"}, "well": fake(),
                    "deaf": fake("--hang-handshake")}, {"operation_timeout": 2})
        at, _ = self.manager.wait_for("READY", "1")
        self.status(r"^4 servers: 1 healthy, 3 unhealthy \([a-z]+, [a-z]+, [a-z]+\); 0 sessions", at)
        self.http("well")  # and it listens by then

    def test_more_names_than_one_wants_to_read(self):
        names = "abcde"
        self.begin({n: fake("--exit-at-start", "1") for n in names}, {"backoff_base": "1m"})
        self.status(r"^5 servers: 5 unhealthy \(a, b, c, \.\.\.\);")

    def test_an_abstract_address(self):
        self.manager.close()
        self.manager = Manager(self.place, abstract=True)
        self.begin({"fake": fake()})
        self.manager.wait_for("READY", "1")

    def test_without_a_manager_it_works_all_the_same(self):
        for address in ("", "x", "@", "/" + "x" * 200, "/does/not/exist"):
            self.begin({"fake": fake()}, env={"NOTIFY_SOCKET": address})
            self.http("fake")
            self.daemon.stop()


class StatusTest(NotifyCase):
    def test_it_follows_what_happens(self):
        self.begin({"fake": fake()}, {"health_check_interval": 0.1}, env={"WATCHDOG_USEC": "2000000"})
        at, _ = self.manager.wait_for("READY", "1")
        c = self.http("fake")
        call, _ = self.hold(c)
        at, _ = self.status("; 1 session, 1 call running, 0 waiting$", at)
        self.release(c)
        call.text()
        at, _ = self.status("; 1 session, 0 calls running, 0 waiting$", at)

    def test_it_is_not_repeated(self):
        self.begin({"fake": fake()}, env={"WATCHDOG_USEC": "20000"})
        self.http("fake")
        at, _ = self.status("1 healthy; 1 session, 0 calls running")
        for _ in range(120):  # the clock of this wait: more than a second of signs of life
            at, _ = self.manager.wait_for("WATCHDOG", start=at)
        ready, _ = self.manager.wait_for("READY")
        told = [m["STATUS"] for m in self.manager.messages[ready:] if "STATUS" in m]
        self.assertEqual([s for s, following in zip(told, told[1:]) if s == following], [])


class ReloadTest(NotifyCase):
    def reload(self, start):
        """A signal; the messages that frame what it causes. Returns the index behind them."""
        with open(self.daemon.config_path, "w") as f:
            f.write(self.text)
        before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self.daemon.process.send_signal(signal.SIGHUP)
        at, m = self.manager.wait_for("RELOADING", "1", start)
        self.assertGreaterEqual(int(m["MONOTONIC_USEC"]), before)  # or systemd would not believe it
        return self.manager.wait_for("READY", "1", at)[0]

    def test_reloads_are_framed_whatever_comes_of_them(self):
        self.begin({"fake": fake()})
        at, _ = self.manager.wait_for("READY", "1")
        servers = self.daemon.config["mcpServers"]
        servers["more"] = self.daemon._prepare("more", fake())
        self.text = json.dumps(self.daemon.config)
        at = self.reload(at)
        self.http("more")
        self.text = "nonsense"
        self.daemon.allow_error("configuration|nonsense|mcpool.json")
        self.reload(at)
        self.http("more")


class StopTest(NotifyCase):
    def test_more_time_is_asked_for_while_calls_are_finished(self):
        self.begin({"fake": fake()})
        c = self.http("fake")
        call, _ = self.hold(c)
        self.daemon.process.send_signal(signal.SIGTERM)
        at, first = self.manager.wait_for("STOPPING", "1")
        self.assertGreater(int(first["EXTEND_TIMEOUT_USEC"]), 1000000)
        for _ in range(2):
            at, m = self.manager.wait_for("EXTEND_TIMEOUT_USEC", start=at)
            self.assertRegex(m["STATUS"], "^stopping; 1 server: .* 1 call running")
        c.cancel(call)
        self.daemon.join()

    def test_a_stop_before_ready(self):
        self.begin({"fake": fake("--hang-handshake")})
        self.daemon.process.send_signal(signal.SIGTERM)
        self.manager.wait_for("STOPPING", "1")
        self.daemon.join()
        self.manager.drain()
        self.assertEqual([m for m in self.manager.messages if "READY" in m], [])

    def test_a_second_signal_says_nothing_new(self):
        self.begin({"fake": fake()})
        call, _ = self.hold(self.http("fake"))
        self.manager.wait_for("READY", "1")
        for text in ("SIGTERM received$", "SIGTERM received again"):
            self.daemon.process.send_signal(signal.SIGTERM)
            self.daemon.log.wait(text)
        self.daemon.join()
        self.manager.drain()
        self.assertEqual(len([m for m in self.manager.messages if "STOPPING" in m]), 1)


class WatchdogTest(NotifyCase):
    def signs(self):
        return [m for m in self.manager.messages if "WATCHDOG" in m]

    def test_signs_of_life(self):
        self.begin({"fake": fake()}, env={"WATCHDOG_USEC": "100000"})
        at = 0
        for _ in range(5):
            at, m = self.manager.wait_for("WATCHDOG", "1", at)
        # None of a process that stands still, and more of one that goes on, however long it stood still.
        self.daemon.process.send_signal(signal.SIGSTOP)
        poll_until(self.stands_still, "the daemon to stand still")
        self.manager.drain()
        count = len(self.signs())
        self.assertFalse(self.more_within(0.5))
        self.assertEqual(len(self.signs()), count)
        self.daemon.process.send_signal(signal.SIGCONT)
        self.manager.wait_for("WATCHDOG", "1", len(self.manager.messages))
        self.assertEqual([m for m in self.signs() if m["WATCHDOG"] != "1"], [])

    def stands_still(self):
        with open("/proc/%d/stat" % self.daemon.process.pid) as f:
            return f.read().rpartition(")")[2].split()[0] == "T"

    def more_within(self, seconds):
        self.manager.sock.settimeout(seconds)
        try:
            self.manager._take()
            return True
        except TimeoutError:
            return False
        finally:
            self.manager.sock.settimeout(None)

    def test_a_watchdog_that_is_meant_for_another_process(self):
        self.begin({"fake": fake()}, env={"WATCHDOG_USEC": "1000", "WATCHDOG_PID": "1"})
        at, _ = self.manager.wait_for("READY", "1")
        self.http("fake")
        self.status("1 session", at)
        self.assertEqual(self.signs(), [])


class DeafManagerTest(NotifyCase):
    def test_one_that_does_not_read_does_not_hang_the_daemon(self):
        filler = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(filler.close)
        filler.setblocking(False)
        with self.assertRaises(BlockingIOError):
            while True:
                filler.sendto(b"NOISE=1", self.manager.env["NOTIFY_SOCKET"])
        self.begin({"fake": fake()}, env={"WATCHDOG_USEC": "20000"})
        self.daemon.log.wait("warning cannot tell the service manager: ")
        c = self.http("fake")
        for i in range(20):
            self.assertEqual(c.tool("record", {"nonce": str(i)}), str(i))
        self.assertEqual(len(self.daemon.log.matching("cannot tell")), 1)
        # What must be heard was kept until now.
        at, _ = self.manager.wait_for("READY", "1")
        self.manager.wait_for("WATCHDOG", "1", at)
        self.manager.messages = [m for m in self.manager.messages if "NOISE" not in m]
