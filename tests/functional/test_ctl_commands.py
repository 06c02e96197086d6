"""Commands of mcpoolctl against a stand-in of the admin interface: what they ask, what they make of the answer."""
import json
import os
import re
import signal
import subprocess
import tempfile
import termios
import unittest

from admin_double import AdminDouble
from harness import MCPOOLD, demo, fake, poll_until
from test_ctl import CTL, ENTER, LEAVE, CtlCase, Terminal, environment, run

HOSTILE = "\x1b[2J\u202eevil\n"
READY = {("GET", "/readyz"): {"servers": [{"name": "files", "health_status": "healthy"}]}}


class DoubleCase(unittest.TestCase):
    def double(self, answers):
        self.admin = AdminDouble({**READY, **answers})
        self.addCleanup(self.admin.close)
        return self.admin

    def ctl(self, *args, status=0, stderr="", env=None):
        r = run("--socket", self.admin.path, *args, env=env)
        self.assertEqual((r.returncode, r.stderr), (status, stderr), r.stdout)
        self.assertNotIn("\u202e", r.stdout + r.stderr)
        return r.stdout


class ModeTest(DoubleCase):
    def answer(self, mode, **more):
        return {"server": "files", "mode": mode, "running": 2, "waiting": 0, **more}

    def test_each_asks_for_what_it_is_called(self):
        self.double({("POST", "/drain"): self.answer("drain"), ("POST", "/maint"): self.answer("maint", running=1),
                     ("POST", "/resume"): self.answer("active", running=0), ("POST", "/restart"): self.answer("active")})
        self.assertEqual(self.ctl("drain", "files"),
                         "files: drain, calls that run may end, new ones wait in line; 2 calls in flight, 0 waiting\n")
        self.assertEqual(self.ctl("maint", "files"), "files: maint, calls that run may end, all others are refused; "
                                                     "1 call in flight, 0 waiting\n")
        self.assertEqual(self.ctl("resume", "files"), "files: active, takes calls; 0 calls in flight, 0 waiting\n")
        self.assertEqual(self.ctl("restart", "files"), "files: its connections are being replaced, each when its calls "
                                                       "have ended (active); 2 calls in flight, 0 waiting\n")
        self.assertEqual(self.admin.asked, [("POST", "/%s?server=files" % w)
                                            for w in ("drain", "maint", "resume", "restart")])
        self.assertEqual(json.loads(self.ctl("drain", "files", "--json")), self.answer("drain"))

    def test_what_a_daemon_of_another_version_says(self):
        self.double({("POST", "/drain"): {"server": HOSTILE, "mode": HOSTILE}})
        self.assertEqual(self.ctl("drain", "files"), "\\x1b[2J\\xe2\\x80\\xaeevil\\n: \\x1b[2J\\xe2\\x80\\xaeevil\\n; "
                                                     "0 calls in flight, 0 waiting\n")

    def test_refusals(self):
        self.double({("POST", "/drain"): (404, {"error": "?"}), ("POST", "/maint"): (503, {"error": "stopping"}),
                     ("POST", "/resume"): {"other": 1}})
        self.ctl("drain", "other", status=1, stderr='mcpoolctl: there is no server called "other"; there is: files\n')
        self.ctl("maint", "files", status=1, stderr="mcpoolctl: mcpoold refused with status 503: stopping\n")
        self.ctl("resume", "files", status=1, stderr="mcpoolctl: what mcpoold answered is not what was asked for\n")
        self.ctl("restart", "files", status=1,
                 stderr="mcpoolctl: mcpoold refused with status 404: There is no such page.\n")
        self.ctl("drain", "../x", status=1, stderr='mcpoolctl: there is no server called "../x"; there is: files\n')

    def test_a_name_is_needed(self):
        for command in ("drain", "maint", "resume", "restart", "explain", "logs", "check"):
            for operands in ([], ["a", "b"]):
                r = run(command, *operands)
                self.assertEqual((r.returncode, r.stdout), (2, ""))
                self.assertIn("needs a name" if not operands else "one name at a time", r.stderr)


EXPLAINED = {
    "server": "files", "health": "unhealthy", "mode": "drain", "breaker": "open",
    "summary": "It cannot be started: No such file or directory.",
    "next": ["Slot 0 is tried again in 4.2 s.", "The breaker lets a trial through in 31 s."],
    "events": [{"time": "2026-01-02T03:04:05.678Z", "level": "notice", "slot": 0, "reason": "exited",
                "message": "connection lost"},
               {"time": "2026-01-02T03:04:06.000Z", "level": "error", "slot": None, "reason": None,
                "message": HOSTILE}]}


class ExplainTest(DoubleCase):
    def test_what_is_and_what_comes(self):
        self.double({("GET", "/explain"): EXPLAINED})
        self.assertEqual(self.ctl("explain", "files"), """\
● files - unhealthy, drain, breaker open
  It cannot be started: No such file or directory.

What happens next:
  Slot 0 is tried again in 4.2 s.
  The breaker lets a trial through in 31 s.

What happened:
  Fri 2026-01-02 03:04:05 UTC  notice  slot 0: connection lost [exited]
  Fri 2026-01-02 03:04:06 UTC  error  \\x1b[2J\\xe2\\x80\\xaeevil\\n
""")
        self.assertEqual(self.admin.asked, [("GET", "/explain?server=files")])
        self.assertEqual(json.loads(self.ctl("explain", "files", "--json")), EXPLAINED)
        t = Terminal("-s", self.admin.path, "explain", "files")
        self.addCleanup(t.close)
        self.assertIn(b"\x1b[31munhealthy\x1b[0m, \x1b[33mdrain\x1b[0m", t.rest())

    def test_where_nothing_happened(self):
        self.double({("GET", "/explain"): {**EXPLAINED, "health": "healthy", "mode": "active", "breaker": "closed",
                                           "next": [], "events": []}})
        said = self.ctl("explain", "files")
        self.assertIn("● files - healthy, breaker closed\n", said)
        self.assertIn("nothing, unless something else does", said)
        self.assertIn("nothing that was worth a line", said)

    def test_members_of_other_types_do_no_harm(self):
        for wrong in (7, "x", None, [], {}, [7], ["x"], [{"time": 7, "text": []}]):
            self.double({("GET", "/explain"): {k: wrong for k in EXPLAINED}})
            self.ctl("explain", "files")
            self.admin.answers[("GET", "/logs")] = {"lines": wrong, "dropped": wrong}
            self.ctl("logs", "files")


def line(n, text=None):
    return {"time": "2026-01-02T03:04:%02d.000Z" % (n % 60), "pid": 4711, "text": text or "line %d" % n}


class LogsTest(DoubleCase):
    def test_the_tail(self):
        self.double({("GET", "/logs"): {"server": "files", "lines": [line(1), {**line(2, HOSTILE), "pid": None}],
                                        "dropped": 3}})
        self.assertEqual(self.ctl("logs", "files"),
                         "(3 earlier lines are not kept)\n"
                         "Fri 2026-01-02 03:04:01 UTC [4711] line 1\n"
                         "Fri 2026-01-02 03:04:02 UTC \\x1b[2J\\xe2\\x80\\xaeevil\\n\n")
        self.admin.answers[("GET", "/logs")] = {"server": "files", "lines": [], "dropped": 0}
        self.assertEqual(self.ctl("logs", "files"), "(it has said nothing)\n")

    def test_following(self):
        said, kept = [line(1), line(2)], 3

        def logs(target):
            return {"server": "files", "lines": said[-kept:], "dropped": max(0, len(said) - kept)}

        self.double({("GET", "/logs"): logs})
        for json_too in (False, True):
            said[:] = [line(1), line(2)]
            p = subprocess.Popen([CTL, "-s", self.admin.path, "logs", "-f", "files"] + ["--json"] * json_too,
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment())
            try:
                got = [p.stdout.readline() for _ in range(2)]
                said.extend([line(3), line(4)])
                got += [p.stdout.readline() for _ in range(2)]
                before = len(self.admin.asked)
                poll_until(lambda: len(self.admin.asked) > before + 1, "it to ask again")
                said[:] = [line(7)]  # another daemon, which counts anew
                got += [p.stdout.readline()]
            finally:
                p.terminate()
                p.wait()
                p.stdout.close()
                p.stderr.close()
            if json_too:
                self.assertEqual([json.loads(x) for x in got], [line(n) for n in (1, 2, 3, 4, 7)])
            else:
                self.assertEqual([x.split("] ")[1] for x in got], ["line %d\n" % n for n in (1, 2, 3, 4, 7)])


PLAN = {"applied": True, "dry_run": False, "servers": [], "changes": [], "added": 1, "removed": 0, "changed": 1,
        "untouched": 5, "warnings": ["mcpool.json:3:5: warning: \x1b[2J"], "text": "added      github\nchanged    x\n"}
REFUSED = {"error": "the configuration was not changed: 2 errors", "applied": False,
           "errors": ["mcpool.json:1:17: error: \x1b[2J", "mcpool.json:9:1: error: no"]}


class ReloadTest(DoubleCase):
    def test_the_plan_is_shown(self):
        self.double({("POST", "/reload"): PLAN})
        plan = "mcpool.json:3:5: warning: \\x1b[2J\nadded      github\nchanged    x\n"
        self.assertEqual(self.ctl("reload"), plan)
        self.admin.answers[("POST", "/reload")] = {**PLAN, "applied": False, "dry_run": True}
        self.assertEqual(self.ctl("reload", "--dry-run"), plan + "Nothing was changed: this was a dry run.\n")
        self.assertEqual(self.admin.asked, [("POST", "/reload"), ("POST", "/reload?dry_run=1")])
        self.assertEqual(json.loads(self.ctl("reload", "--json"))["untouched"], 5)

    def test_a_bad_file_is_an_error(self):
        self.double({("POST", "/reload"): (422, REFUSED)})
        self.ctl("reload", status=1, stderr="mcpool.json:1:17: error: \\x1b[2J\nmcpool.json:9:1: error: no\n"
                                            "mcpoolctl: the configuration was not changed: 2 errors\n")
        self.assertEqual(json.loads(self.ctl("reload", "--json", status=1)), REFUSED)
        self.admin.answers[("POST", "/reload")] = (409, {"error": "a reload is under way"})
        self.ctl("reload", status=1, stderr="mcpoolctl: mcpoold refused with status 409: a reload is under way\n")


class LevelTest(DoubleCase):
    def test_asking_and_setting(self):
        self.double({("GET", "/log-level"): {"log_level": "info"},
                     ("POST", "/log-level"): {"log_level": "debug", "was": "info"}})
        self.assertEqual(self.ctl("log-level"), "info\n")
        self.assertEqual(self.ctl("log-level", "debug"), "debug (was info)\n")
        self.assertEqual(self.admin.asked, [("GET", "/log-level"), ("POST", "/log-level?level=debug")])
        self.ctl("log-level", "a&b", status=2,
                 stderr="mcpoolctl: the levels are debug, info, notice, warning, error and critical\n")


def server(name, calls, **more):
    histogram = {"bounds_s": [0.01, 0.1], "counts": [calls, 0, 0], "sum_s": 1}
    return {"name": name, "health_status": "healthy", "mode": "active", "next_attempt_ms": None,
            "pool_status": {"available": 1, "min_size": 1, "max_size": 4}, "circuit_breaker": {"state": "closed"},
            "calls": {"running": 1, "waiting": 0, "result": calls, "error": 0, "failed": 0, "cancelled": 0},
            "call_duration": histogram, "queue_wait": histogram, **more}


class TopTest(DoubleCase):
    """A daemon at which a second passes and 10 calls end from question to question."""

    def setUp(self):
        self.turn, self.started = 0, 1
        self.double({("GET", "/status"): self.status})

    def status(self, target):
        self.turn += 1
        return {"version": "0.1.0", "pid": 7, "time": "2026-01-02T03:04:05.678Z", "uptime_seconds": 100 + self.turn,
                "started_at": "2026-01-02T03:00:%02d.000Z" % self.started, "sessions": 2, "servers": [
                    server("busy", 10 * self.turn), server("bad", 0, health_status="unhealthy", mode="maint")]}

    def test_one_text_for_scripts(self):
        for args in (["--once"], ["-n", "1"], ["--count=1"]):
            said = self.ctl("top", *args, "--interval=0.1").splitlines()
            self.assertRegex(said[0], r"^Fri 2026-01-02 03:04:05 UTC  mcpoold 0.1.0, pid 7, up ")
            self.assertEqual(said[1], "2 servers, 1 not well, 10.0 calls/s, 0.0 failed/s, 2 in flight, 0 waiting, "
                                      "p50 5.0 ms, p99 9.9 ms")
            self.assertEqual([re.split("  +", line)[:4] for line in said[4:]],
                             [["busy", "healthy", "active", "10"], ["bad", "unhealthy", "maint", "0.0"]])

    def test_texts_follow_each_other(self):
        texts = self.ctl("top", "-n3", "--interval=0.1", "--sort=name").split("\n\n")
        self.assertEqual(sum("mcpoold" in t for t in texts), 3)
        self.assertTrue(all(t.index("bad") < t.index("busy") for t in texts if "NAME" in t))

    def test_a_daemon_that_was_restarted(self):
        def restarted(target):
            self.started += 1
            return self.status(target)
        self.admin.answers[("GET", "/status")] = restarted
        self.assertIn("2 servers, 1 not well, 2 in flight", self.ctl("top", "--once", "--interval=0.1"))

    def test_without_a_daemon(self):
        self.admin.answers[("GET", "/status")] = (500, {"error": "no"})
        self.ctl("top", "--once", status=1, stderr="mcpoolctl: mcpoold refused with status 500: no\n")

    def test_one_that_does_not_answer_any_more(self):
        answers = [self.status, lambda target: (500, {"error": HOSTILE})]
        self.admin.answers[("GET", "/status")] = lambda target: answers.pop(0)(target)
        said = self.ctl("top", "--once", "--interval=0.1")
        self.assertIn("status 500: \\x1b[2J", said)
        self.assertIn("busy", said)

    def test_wrong_usage(self):
        for args in (["--sort=x"], ["-n0"], ["-n", "x"], ["-n", "-1"], ["--interval=0"], ["--json"], ["a", "b"]):
            r = run("-s", self.admin.path, "top", *args)
            self.assertEqual((r.returncode, r.stdout), (2, ""), args)
        self.assertEqual(run("status", "--once").returncode, 2)

    def page(self, *args):
        t = Terminal("-s", self.admin.path, "top", *args)
        self.addCleanup(t.close)
        t.read_until(re.escape(ENTER))
        return t

    def test_keys_sort_and_end_it(self):
        before = None
        for quit_key in (b"q", b"Q"):
            t = self.page("--interval=86400")
            before = before or termios.tcgetattr(t.master)[3] | termios.ICANON | termios.ECHO
            self.assertRegex(t.read_until(rb"\x1b\[J"), rb"(?s)sorted by rate.*CALLS/S.*\x1b\[31munhealthy")
            for key, name, first in ((b"n", b"name", b"bad"), (b"h", b"health", b"bad"), (b"f", b"running", b"bad"),
                                     (b"w", b"waiting", b"bad"), (b"l", b"latency", b"bad")):
                os.write(t.master, b"x" + key)
                self.assertRegex(t.read_until(rb"sorted by " + name + rb".*?\x1b\[J"), rb"(?s)NAME.*" + first)
            os.write(t.master, quit_key)
            self.assertTrue(t.rest().endswith(LEAVE))
            self.assertEqual(t.process.wait(), 0)
            self.assertEqual(t.process.stderr.read(), b"")

    def test_the_terminal_is_given_back_whatever_ends_it(self):
        modes = termios.ICANON | termios.ECHO
        for signo in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            t = self.page("--interval=0.1")
            t.read_until(rb"sorted by rate.*?\x1b\[J")
            slave = os.open(os.readlink("/proc/%d/fd/0" % t.process.pid), os.O_RDWR | os.O_NOCTTY)
            self.addCleanup(os.close, slave)
            poll_until(lambda: not termios.tcgetattr(slave)[3] & modes, "the keys to be taken")
            t.process.send_signal(signal.SIGTSTP)
            poll_until(lambda: termios.tcgetattr(slave)[3] & modes == modes, "the lines to be back")
            t.process.send_signal(signal.SIGCONT)
            poll_until(lambda: not termios.tcgetattr(slave)[3] & modes, "the keys to be taken again")
            t.process.send_signal(signo)
            self.assertEqual(t.process.wait(), -signo)
            self.assertEqual(termios.tcgetattr(slave)[3] & modes, modes)

    def test_a_new_size_is_drawn_at_once(self):
        t = self.page("--interval=86400")
        t.read_until(rb"\x1b\[J")
        termios.tcsetwinsize(t.master, (4, 60))
        t.process.send_signal(signal.SIGWINCH)  # the kernel tells only those whose controlling terminal it is
        self.assertIn(b"(more)", t.read_until(rb"\x1b\[J"))


class TopOfTheRealTest(CtlCase):
    def test_calls_are_counted(self):
        self.when_health("demo", "healthy")
        p = subprocess.Popen([CTL, "-c", self.daemon.config_path, "top", "demo", "--interval=0.2"], env=environment(),
                             stdout=subprocess.PIPE, text=True)
        self.addCleanup(p.stdout.close)
        self.addCleanup(p.wait)
        self.addCleanup(p.kill)
        c = self.http()
        rate = 0
        while rate == 0:
            for _ in range(5):
                c.tool("echo", {"text": "x"})
            sums = p.stdout.readline()
            found = re.search(r"([0-9.]+) calls/s, 0.0 failed/s, .*p50 .*p99 ", sums)
            rate = float(found.group(1)) if found else 0
        self.assertGreater(rate, 0)


class CheckTest(unittest.TestCase):
    def test_says_what_mcpoold_says(self):
        with tempfile.TemporaryDirectory() as d:
            path = os.path.join(d, "mcpool.json")
            for text, status in (('{"mcpServers": {"a": {"command": "/bin/true"}}}', 0), ('{"mcpServers": 7}', 1)):
                with open(path, "w") as f:
                    f.write(text)
                os.chmod(path, 0o600)
                ours = run("check", path)
                theirs = subprocess.run([MCPOOLD, "--check", "--config", path], capture_output=True, text=True,
                                        env=environment())
                self.assertEqual((ours.returncode, ours.stdout), (status, theirs.stdout))
                self.assertEqual(theirs.returncode, status)
            self.assertEqual(run("check", path + "x").returncode, 1)
            self.assertTrue(re.search("No such file", run("check", path + "x").stdout + run("check", path + "x").stderr))


class RealTest(CtlCase):
    """The same commands and the daemon itself: that both mean the same by the words between them."""
    servers = {"demo": demo(), "fake": fake()}

    def setUp(self):
        super().setUp()
        self.when_health("demo", "healthy")
        self.when_health("fake", "healthy")

    def test_out_of_service_and_back(self):
        call, _ = self.hold(self.http("fake"))
        self.assertRegex(self.ctl("drain", "fake"), r"\Afake: drain, .* 1 call in flight, 0 waiting\n\Z")
        self.assertIn("Mode: drain: new calls wait in line\n", run("-c", self.daemon.config_path, "status", "fake").stdout)
        self.assertRegex(self.ctl("explain", "fake"), r"\A● fake - \w+, drain, breaker closed\n")
        self.assertTrue(self.ctl("maint", "fake").startswith("fake: maint, "))
        self.assertTrue(self.ctl("resume", "fake").startswith("fake: active, takes calls; "))
        self.assertTrue(self.ctl("restart", "demo").startswith("demo: its connections are being replaced"))
        for command in ("drain", "explain", "logs"):
            self.assertEqual(self.refused("-c", self.daemon.config_path, command, "nobody"),
                             'there is no server called "nobody"; there is: demo, fake')
        self.release(self.http("fake"))
        self.assertEqual(call.text(), "released")

    def test_what_a_server_says_is_followed(self):
        c = self.http("fake")
        c.tool("stderr", {"text": "first \x1b[31m words\n"})
        poll_until(lambda: "words" in self.ctl("logs", "fake"), "the line to be kept")
        self.assertRegex(self.ctl("logs", "fake"), r"UTC \[\d+\] first [^\x1b]* words\n\Z")
        p = subprocess.Popen([CTL, "-c", self.daemon.config_path, "logs", "-f", "fake"], env=environment(),
                             stdout=subprocess.PIPE, text=True)
        self.addCleanup(p.stdout.close)
        self.addCleanup(p.wait)
        self.addCleanup(p.kill)
        self.assertIn("words", p.stdout.readline())
        for n in range(3):
            c.tool("stderr", {"text": "line %d\n" % n})
            self.assertTrue(p.stdout.readline().endswith("line %d\n" % n))

    def test_the_configuration_is_read_again(self):
        path = self.daemon.config_path
        self.daemon.config["mcpServers"]["second"] = demo()
        self.write(json.dumps(self.daemon.config))
        plan = self.ctl("reload", "--dry-run")
        self.assertRegex(plan, r"server second: added\n(.|\n)*1 added, 0 removed, 0 changed, 2 untouched\n")
        self.assertEqual(self.ctl("status", "--names"), "demo\nfake\n")
        self.assertEqual(self.ctl("reload") + "Nothing was changed: this was a dry run.\n", plan)
        self.when_health("second", "healthy")
        self.daemon.allow_error("bogus|the configuration was not changed")
        self.write('{"bogus": 1, "mcpServers": {}}')
        r = run("-s", self.daemon.socket_path("admin"), "reload")
        self.assertEqual((r.returncode, r.stdout), (1, ""))
        self.assertRegex(r.stderr, r"\A%s:1:2: error: .*bogus.*\nmcpoolctl: the configuration was not changed: 1 error\n"
                         % re.escape(path))
        self.assertEqual(run("-s", self.daemon.socket_path("admin"), "status", "--names").stdout, "demo\nfake\nsecond\n")

    def write(self, text):
        with open(self.daemon.config_path, "w") as f:
            f.write(text)

    def test_the_level_of_the_log(self):
        self.assertEqual([self.ctl("log-level", *a) for a in ([], ["debug"], [], ["info"])],
                         ["info\n", "debug (was info)\n", "debug\n", "info (was debug)\n"])
        self.assertIn("The level must be", self.refused("-c", self.daemon.config_path, "log-level", "loud"))
