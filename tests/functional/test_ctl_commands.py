"""Commands of mcpoolctl against a stand-in of the admin interface: what they ask, what they make of the answer."""
import json
import os
import re
import subprocess
import tempfile
import unittest

from admin_double import AdminDouble
from harness import MCPOOLD, poll_until
from test_ctl import CTL, Terminal, environment, run

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
