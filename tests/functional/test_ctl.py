"""mcpoolctl against the real daemon: what it prints, what it does, how it ends, and how it completes."""
import json
import os
import pty
import re
import select
import signal
import socket
import subprocess
import sys
import tempfile
import termios
import threading
import unittest

from daemon import ROOT
from harness import DEMO, MCPOOLD, SINGLE, Clock, DaemonCase, HttpConn, demo, fake, poll_until

CTL = os.path.join(os.path.dirname(MCPOOLD), "mcpoolctl")
COMPLETION = os.path.join(ROOT, "scripts", "completion", "mcpoolctl.bash")
MANUAL = os.path.join(ROOT, "src", "ctl", "mcpoolctl.1")
MISSING = {"command": "/no/such/program"}
OPENED = r"breaker \w+ -> open"
COMMANDS = ["check", "connect", "drain", "explain", "log-level", "logs", "maint", "metrics", "recover", "reload",
            "restart", "resume", "status", "top"]
ENTER, LEAVE = b"\x1b[?1049h", b"\x1b[?1049l"


def environment(**more):
    """Nothing of the surroundings that changes what is printed or found."""
    env = {k: v for k, v in os.environ.items()
           if k not in ("NO_COLOR", "COLUMNS", "LINES", "LANG") and not k.startswith(("LC_", "XDG_", "RUNTIME_"))}
    return {**env, "LC_ALL": "C.UTF-8", "TERM": "xterm", "TZ": "UTC", **more}


def run(*args, env=None, **more):
    return subprocess.run([CTL, *args], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          timeout=Clock().left() * 2, env=environment(**(env or {})), text=True, **more)


def shape(value):
    """A JSON value without what changes from moment to moment."""
    if isinstance(value, dict):
        return {k: shape(v) for k, v in value.items()}
    if isinstance(value, list):
        return [shape(v) for v in value]
    return type(value).__name__


class Terminal:
    """A program on a terminal of its own."""

    def __init__(self, *args, env=None, size=(24, 100)):
        self.master, slave = pty.openpty()
        termios.tcsetwinsize(slave, size)
        self.said = b""
        self.process = subprocess.Popen([CTL, *args], stdin=slave, stdout=slave, stderr=subprocess.PIPE,
                                        env=environment(**(env or {})), start_new_session=True)
        os.close(slave)

    def read_until(self, pattern, clock=None):
        """Waits for the pattern in what has come since the last match; returns everything up to its end."""
        clock = clock or Clock()
        while True:
            m = re.search(pattern, self.said, re.S)
            if m:
                found, self.said = self.said[:m.end()], self.said[m.end():]
                return found
            clock.check(lambda: "%r on the terminal, which shows %r" % (pattern, self.said))
            if select.select([self.master], [], [], 0.1)[0]:
                try:
                    self.said += os.read(self.master, 65536)
                except OSError:  # the other side is closed
                    raise AssertionError("%r never came; the terminal shows %r" % (pattern, self.said))

    def rest(self):
        """Everything up to the end of the program."""
        clock = Clock()
        while True:
            clock.check("the end of the program")
            if select.select([self.master], [], [], 0.1)[0]:
                try:
                    more = os.read(self.master, 65536)
                except OSError:
                    more = b""
                if not more:
                    return self.said
                self.said += more

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stderr.close()
        os.close(self.master)


class CtlCase(DaemonCase):
    def ctl(self, *args, status=0, stderr="", env=None):
        """Runs it against this test's daemon; returns what it printed."""
        r = run("--config", self.daemon.config_path, *args, env=env)
        self.assertEqual((r.returncode, r.stderr), (status, stderr), r.stdout)
        return r.stdout

    def refused(self, *args, status=1, env=None):
        """The same for a run that must fail with one line and no output; returns the line."""
        r = run(*args, env=env)
        self.assertEqual((r.returncode, r.stdout), (status, ""), r.stderr)
        self.assertRegex(r.stderr, r"\Amcpoolctl: [^\n]+\n\Z")
        return r.stderr[len("mcpoolctl: "):-1]

    def rows(self, *args, **more):
        """The table as [{title: cell}]. Columns stand two blanks apart."""
        titles, *lines = self.ctl("status", *args, **more).splitlines()
        at = [m.start() for m in re.finditer(r"(?<=  )\S|^\S", titles)]
        return [{titles[a:b].strip(): line[a:b].strip() for a, b in zip(at, at[1:] + [None])} for line in lines]

    def admin(self, path):
        c = HttpConn(self.daemon.socket_path("admin"))
        self.clients.append(c)
        r = c.exchange(b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n" % path.encode(), "GET")
        c.close()
        return r

    def when_health(self, server, health):
        def look():
            found = json.loads(self.admin("/status?server=" + server).body)["servers"][0]
            return found["health_status"] == health
        poll_until(look, "%s to be %s" % (server, health))

    def terminal(self, *args, **more):
        t = Terminal("--config", self.daemon.config_path, *args, **more)
        self.addCleanup(t.close)
        return t


class HealthyTest(CtlCase):
    servers = {"demo": demo(), "rests": {**MISSING, "resilience": {"min_connections": 0}}}

    def setUp(self):
        super().setUp()
        self.when_health("demo", "healthy")

    def test_a_line_for_each_server(self):
        first, second = self.rows()
        self.assertIn(first.pop("MODE"), ("active", "-"))
        self.assertEqual(first, {"NAME": "demo", "HEALTH": "healthy", "READY/MIN/MAX": "1/1/1", "IN FLIGHT": "0",
                                 "WAITING": "0", "FAILED": "0", "BREAKER": "closed", "NEXT ATTEMPT": "-",
                                 "RECOVERED": "0/0", "LAST ERROR": "-"})
        self.assertEqual((second["NAME"], second["HEALTH"], second["READY/MIN/MAX"]), ("rests", "unknown", "0/0/1"))

    def test_all_about_one(self):
        text = self.ctl("status", "demo")
        self.assertRegex(text, r"\A● demo - healthy since \w{3} \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC; [0-9.]+ s ago\n")
        for part in ("Command: %s (stdio, shared)\n" % DEMO, "1 ready, 1 wanted, 1 at most; 0 failed\n",
                     "Breaker: closed since ", "Pool of anonymous: 0 sessions", "Back-off: at most 60 s (adaptive: on)"):
            self.assertIn(part, text)
        self.assertRegex(text, r"\n    0     ready  [0-9.]+ s  1      0          0         -             -\n\Z")

    def test_without_utf8_it_is_ascii(self):
        self.assertTrue(self.ctl("status", "demo", env={"LC_ALL": "C"}).startswith("* demo - healthy"))

    def test_json_is_what_the_daemon_says(self):
        for args, path in ((("status",), "/status"), (("status", "demo"), "/status?server=demo")):
            said = self.ctl(*args, "--json")
            self.assertEqual(shape(json.loads(said)), shape(json.loads(self.admin(path).body)))
            self.assertEqual(said.count("\n"), 1)  # as it came, in one line

    def test_names(self):
        self.assertEqual(self.ctl("status", "--names"), "demo\nrests\n")

    def test_metrics(self):
        said = self.ctl("metrics")
        self.assertTrue(said.endswith("\n# EOF\n"))
        names = set(re.findall(r"^# TYPE (\S+)", said, re.M))
        self.assertEqual(names, set(re.findall(r"^# TYPE (\S+)", self.admin("/metrics").body.decode(), re.M)))
        self.assertIn("mcpool_server_health", names)

    def test_nothing_to_recover(self):
        self.assertEqual(self.ctl("recover", "--all"),
                         "demo: nothing to do, 1 connection is well\nrests: nothing to do\n")

    def test_the_socket_can_be_named(self):
        r = run("-s", self.daemon.socket_path("admin"), "status", "demo")
        self.assertEqual((r.returncode, r.stderr), (0, ""))

    def test_the_configuration_is_found_like_mcpoold_finds_it(self):
        home = os.path.join(self.daemon.dir, "home")
        os.makedirs(os.path.join(home, ".config", "mcpool"))
        path = os.path.join(home, ".config", "mcpool", "mcpool.json")
        os.symlink(self.daemon.config_path, path)
        self.assertEqual(run("status", "--names", env={"HOME": home}).stdout, "demo\nrests\n")
        self.assertEqual(run("status", "--names", env={"HOME": "/", "XDG_CONFIG_HOME": os.path.join(home, ".config")})
                         .stdout, "demo\nrests\n")

    def test_variables_of_the_daemon_are_not_needed(self):
        self.daemon.config["mcpServers"]["secret"] = {"url": "${ONLY_THE_DAEMON_HAS_THIS}"}
        path = os.path.join(self.daemon.dir, "other.json")
        with open(path, "w") as f:
            json.dump(self.daemon.config, f)
        os.chmod(path, 0o600)
        self.assertEqual(run("-c", path, "status", "--names").stdout, "demo\nrests\n")

    def test_a_bad_configuration_that_nobody_named_is_no_reason_to_give_up(self):
        # The daemon's directory lies where it is looked for by default.
        home = os.path.join(self.daemon.dir, "home")
        os.makedirs(os.path.join(home, "mcpool"))
        with open(os.path.join(home, "mcpool", "mcpool.json"), "w") as f:
            f.write("{ half a file")
        os.rename(os.path.join(home, "mcpool"), os.path.join(home, "conf"))
        os.symlink(self.daemon.runtime_dir, os.path.join(home, "mcpool"))
        os.makedirs(os.path.join(home, "xdg"))
        os.symlink(os.path.join(home, "conf"), os.path.join(home, "xdg", "mcpool"))
        env = {"XDG_CONFIG_HOME": os.path.join(home, "xdg"), "XDG_RUNTIME_DIR": home}
        self.assertEqual(run("status", "--names", env=env).stdout, "demo\nrests\n")
        env["XDG_RUNTIME_DIR"] = "/no/such"  # now it is: the complaint is part of the sentence
        self.assertRegex(self.refused("status", env=env), r"nothing listens at .*mcpool.json:1:\d+: error: ")

    def test_output_that_cannot_be_written(self):
        with open("/dev/full", "w") as full:
            for args in (["status"], ["status", "--json"], ["metrics"], ["status", "--names"], ["--help"]):
                r = subprocess.run([CTL, "-c", self.daemon.config_path, *args], stdout=full, stderr=subprocess.PIPE,
                                   env=environment(), timeout=Clock().left())
                self.assertEqual(r.returncode, 1, args)

    def test_another_user_is_told_who_may(self):
        if os.geteuid() == 0:
            other = 65534
            try:
                r = run("-s", self.daemon.socket_path("admin"), "status", user=other, group=other, extra_groups=[])
            except PermissionError:
                self.skipTest("user %d cannot run programs from here" % other)
        else:
            os.chmod(self.daemon.socket_path("admin"), 0)
            r = run("-s", self.daemon.socket_path("admin"), "status")
        self.assertEqual((r.returncode, r.stdout), (1, ""))
        self.assertIn("only root and the user that runs mcpoold may", r.stderr)
        self.assertIn(self.daemon.socket_path("admin"), r.stderr)


class BrokenTest(CtlCase):
    config = {"resilience": {**SINGLE, "circuit_breaker_threshold": 1}}
    servers = {"demo": demo(), "missing": MISSING,
               "hostile": {"command": "/no/such/\u202e" + "x" * 100}}

    def setUp(self):
        super().setUp()
        self.daemon.allow_error(OPENED)
        for s in ("missing", "hostile"):
            self.when_health(s, "unhealthy")
        self.when_health("demo", "healthy")

    def test_a_command_that_does_not_exist(self):
        row = self.rows(status=3)[1]
        self.assertEqual((row["NAME"], row["HEALTH"], row["READY/MIN/MAX"], row["FAILED"]),
                         ("missing", "unhealthy", "0/1/1", "1"))
        self.assertRegex(row["BREAKER"], r"^open \([0-9.]+ s\)$")
        self.assertRegex(row["NEXT ATTEMPT"], r"^in [0-9.]+ s$")
        self.assertEqual(row["LAST ERROR"], "cannot start /no/such/program: No such file or directory")
        text = self.ctl("status", "missing", status=3)
        self.assertRegex(text, r"\A● missing - unhealthy since ")
        self.assertRegex(text, r"Breaker: open since .*; changes in [0-9.]+ s\n +refuses calls, 1 failure in a row, "
                               r"opened 1 time\n")
        self.assertRegex(text, r"\n    0     waiting  [0-9.]+ s  1      0          1         in [0-9.]+ s +"
                               r"cannot start /no/such/program: No such file or directory\n")
        self.assertEqual(json.loads(self.ctl("status", "missing", "--json", status=3))["servers"][0]["name"],
                         "missing")

    def test_status_of_one_that_is_well_is_0_whatever_the_others_are(self):
        self.ctl("status", "demo")
        self.ctl("status", status=3)

    def test_what_a_server_says_cannot_touch_the_terminal(self):
        for args in (["status"], ["status", "hostile"]):
            text = self.ctl(*args, status=3)
            self.assertIn("\\xe2\\x80\\xaexxx", text)
            self.assertNotIn("\u202e", text)

    def test_lines_fit_in_the_width(self):
        for columns in (200, 120, 100, 80, 60):
            lines = self.ctl("status", env={"COLUMNS": str(columns)}, status=3).splitlines()
            self.assertEqual(len(lines), 4)
            self.assertEqual([l for l in lines if len(l) > columns], [])
            self.assertTrue(lines[3].endswith("…"))
            self.assertTrue(all(re.search(r"(NAME|demo|missing|hostile) .*(HEALTH|healthy)", l) for l in lines))
        self.assertIn("x" * 100, self.ctl("status", status=3))  # in a pipe all of it
        for wrong in ("0", "-5", "wide", ""):
            self.assertIn("x" * 100, self.ctl("status", env={"COLUMNS": wrong}, status=3))

    def test_colours_are_for_terminals(self):
        self.assertNotIn("\x1b", self.ctl("status", status=3))
        t = self.terminal("status")
        shown = t.rest()
        self.assertEqual(t.process.wait(), 3)
        self.assertIn(b"\x1b[32mhealthy\x1b[0m", shown)
        self.assertIn(b"\x1b[31munhealthy\x1b[0m", shown)
        plain = re.sub(rb"\x1b\[[0-9]*m", b"", shown)
        self.assertNotIn(b"\x1b", plain)
        self.assertLessEqual(max(len(l) for l in plain.decode().splitlines()), 100)
        for env in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
            self.assertNotIn(b"\x1b", self.terminal("status", env=env).rest())
        self.assertIn(b"\x1b[32m", self.terminal("status", env={"NO_COLOR": ""}).rest())


class RecoverTest(CtlCase):
    config = {"resilience": {**SINGLE, "circuit_breaker_threshold": 1}}
    servers = None

    def setUp(self):
        super().setUp()
        self.place = tempfile.mkdtemp(prefix="mcpool-ctl-")
        self.program = os.path.join(self.place, "server")
        self.addCleanup(os.rmdir, self.place)
        self.start(servers={"demo": demo(), "late": {"command": self.program}})
        self.daemon.allow_error(OPENED)
        self.when_health("late", "unhealthy")
        self.when_health("demo", "healthy")

    def test_what_was_mended_is_tried_at_once(self):
        os.symlink(DEMO, self.program)
        self.addCleanup(os.unlink, self.program)
        self.assertEqual(self.ctl("recover", "late"),
                         "late: 1 back-off reset, 1 attempt started, breaker open -> half_open\n")
        self.when_health("late", "healthy")
        self.assertEqual(self.rows()[1]["RECOVERED"], "1/1")

    def test_all_of_them(self):
        self.assertEqual(self.ctl("recover", "--all"),
                         "demo: nothing to do, 1 connection is well\n"
                         "late: 1 back-off reset, 1 attempt started, breaker open -> half_open\n")

    def test_as_json(self):
        said = json.loads(self.ctl("recover", "demo", "--json"))
        self.assertEqual(said["servers"], [{"name": "demo", "reset": 0, "torn_down": 0, "started": 0, "ready": 1,
                                            "circuit_breaker_before": "closed", "circuit_breaker": "closed"}])

    def test_a_name_that_does_not_exist(self):
        before = self.admin("/status?server=late").body
        for name in ("nobody", "", "late&x=1", "late%20", "\x1b[31m", "late\n", "x" * 10000, "../late"):
            for command in ("recover", "status"):
                why = self.refused("-c", self.daemon.config_path, command, "--", name)
                self.assertRegex(why, r"^there is no server called \".*\"; there is: demo, late$")
                self.assertLess(len(why), 500)
        after = json.loads(self.admin("/status?server=late").body)
        self.assertEqual(after["servers"][0]["metrics"]["forced_recoveries"], 0)
        self.assertEqual(shape(after), shape(json.loads(before)))

    def test_a_daemon_that_stops_says_so(self):
        self.daemon.stop()
        held = self.start(servers={"fake": fake()})
        self.hold(self.http("fake"))
        held.process.send_signal(signal.SIGTERM)
        held.log.wait("stopping: ")
        self.assertIn("mcpoold is stopping", self.refused("-c", held.config_path, "recover", "--all"))
        r = run("-c", held.config_path, "status")
        self.assertIn(("mcpoolctl: mcpoold is stopping\n"), r.stderr)
        self.assertIn("fake", r.stdout)
        held.process.send_signal(signal.SIGTERM)
        held.join()


class WatchTest(CtlCase):
    def setUp(self):
        super().setUp()
        self.when_health("demo", "healthy")

    def test_on_a_terminal_a_page_is_drawn_again_and_the_terminal_given_back(self):
        for signo in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            t = self.terminal("status", "--watch=0.1")
            t.read_until(re.escape(ENTER))
            for _ in range(3):
                page = t.read_until(rb"\x1b\[H.*?\x1b\[J")
                self.assertRegex(page, rb"\d\d:\d\d:\d\d UTC  mcpoold \S+, pid %d, up " % self.daemon.process.pid)
                self.assertIn(b"\x1b[32mhealthy\x1b[0m", page)
            t.process.send_signal(signo)
            rest = t.rest()
            self.assertTrue(rest.endswith(b"\x1b[?25h" + LEAVE), rest)
            self.assertEqual(t.process.wait(), -signo)
            self.assertEqual(t.process.stderr.read(), b"")

    def test_a_page_is_no_higher_than_the_terminal(self):
        t = self.terminal("status", "demo", "--watch=0.1", size=(5, 100))
        page = t.read_until(rb"\x1b\[H.*?\x1b\[J")
        self.assertEqual(page.count(b"\n"), 4)
        self.assertIn(b"(more)", page)
        termios.tcsetwinsize(t.master, (50, 100))
        t.read_until(rb"Pool of anonymous.*?\x1b\[J")

    def test_stopped_and_continued(self):
        t = self.terminal("status", "--watch=0.1")
        t.read_until(rb"\x1b\[J")
        t.process.send_signal(signal.SIGTSTP)
        t.read_until(re.escape(LEAVE))
        poll_until(lambda: os.waitid(os.P_PID, t.process.pid, os.WSTOPPED | os.WNOHANG), "the process to stop")
        t.process.send_signal(signal.SIGCONT)
        t.read_until(re.escape(ENTER))
        t.read_until(rb"\x1b\[J")

    def test_without_a_terminal_texts_follow_each_other(self):
        p = subprocess.Popen([CTL, "-c", self.daemon.config_path, "status", "--watch=0.1"], env=environment(),
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        said = b"".join(p.stdout.readline() for _ in range(8)).decode()
        p.terminate()
        p.stdout.close()
        self.assertEqual((p.wait(), p.stderr.read()), (-signal.SIGTERM, b""))
        p.stderr.close()
        self.assertNotIn("\x1b", said)
        blocks = said.split("\n\n")
        for b in blocks[:2]:
            self.assertRegex(b, r"\A\w{3} [-0-9]{10} [:0-9]{8} UTC  mcpoold .*\nNAME .*\ndemo +healthy .*\Z")

    def test_json_is_a_document_a_line(self):
        p = subprocess.Popen([CTL, "-c", self.daemon.config_path, "status", "--watch=0.1", "--json"],
                             env=environment(), stdout=subprocess.PIPE)
        pids = [json.loads(p.stdout.readline())["pid"] for _ in range(3)]
        p.terminate()
        p.stdout.close()
        p.wait()
        self.assertEqual(pids, [self.daemon.process.pid] * 3)

    def test_a_daemon_that_goes_away_is_waited_for(self):
        t = self.terminal("status", "--watch=0.1")
        t.read_until(rb"healthy.*?\x1b\[J")
        self.daemon.stop()
        t.read_until(rb"no answer\x1b\[K\r\n\x1b\[31mnothing listens at [^\x1b]*\x1b")
        self.assertIsNone(t.process.poll())

    def test_a_daemon_that_was_never_there_is_not(self):
        self.daemon.stop()
        t = self.terminal("status", "--watch")
        self.assertEqual(t.rest(), b"")  # the terminal was not touched
        self.assertEqual(t.process.wait(), 1)
        self.assertIn(b"is mcpoold running?", t.process.stderr.read())

    def test_the_interval_is_checked(self):
        for wrong in ("0", "-1", "x", "2s", "nan", "inf", "1e9", ""):
            r = run("status", "--watch=" + wrong)
            self.assertEqual((r.returncode, r.stdout), (2, ""), wrong)
            self.assertIn("--watch takes a number of seconds", r.stderr)


class NoDaemonTest(CtlCase):
    servers = None

    def setUp(self):
        super().setUp()
        directory = tempfile.TemporaryDirectory(prefix="mcpool-ctl-")
        self.addCleanup(directory.cleanup)
        self.dir = directory.name
        self.path = os.path.join(self.dir, "admin.sock")

    def test_nobody_there(self):
        for command in (["status"], ["status", "x"], ["status", "--names"], ["status", "--json"], ["recover", "x"],
                        ["recover", "--all"], ["metrics"]):
            why = self.refused("-s", self.path, *command)
            self.assertIn("nothing listens at %s: is mcpoold running?" % self.path, why)
        s = socket.socket(socket.AF_UNIX)
        self.addCleanup(s.close)
        s.bind(self.path)  # what a daemon leaves that was killed
        self.assertIn("is mcpoold running?", self.refused("-s", self.path, "status"))

    @unittest.skipIf(os.path.exists("/run/mcpool/admin.sock") or os.path.exists("/etc/mcpool/mcpool.json"),
                     "mcpool is installed here")
    def test_both_places_are_named(self):
        why = self.refused("status", env={"HOME": self.dir, "XDG_RUNTIME_DIR": self.dir})
        self.assertIn(os.path.join(self.dir, "mcpool", "admin.sock") + " or /run/mcpool/admin.sock: ", why)

    def test_a_service_is_found_when_its_file_has_moved_the_socket(self):
        config = os.path.join(self.dir, "mcpool")
        os.mkdir(config)
        with open(os.path.join(config, "mcpool.json"), "w") as f:
            json.dump({"admin": "unix:/nowhere.sock"}, f)
        os.chmod(f.name, 0o600)
        env = {"HOME": self.dir, "XDG_CONFIG_HOME": self.dir}
        self.assertIn("nothing listens at /nowhere.sock: ", self.refused("status", env=env))
        self.assertIn("nothing listens at /nowhere.sock or /run/x/admin.sock or ",
                      self.refused("status", env={**env, "RUNTIME_DIRECTORY": "/run/x"}))

    def test_a_path_that_no_socket_can_have(self):
        self.assertIn("longer than", self.refused("-s", "/" + "x" * 200, "status"))

    def test_a_configuration_that_was_named_must_be_good(self):
        path = os.path.join(self.dir, "mcpool.json")
        r = run("-c", path, "status")
        self.assertEqual((r.returncode, r.stdout), (1, ""))
        self.assertIn(path + ": error: No such file or directory", r.stderr)
        with open(path, "w") as f:
            f.write('{"runtime_dir": 7}')
        os.chmod(path, 0o600)
        r = run("-c", path, "status")
        self.assertEqual((r.returncode, r.stdout), (1, ""))
        self.assertRegex(r.stderr, r"mcpool.json:1:17: error: ")

    def impostor(self, answer, *command):
        """One that takes a request and says this; what mcpoolctl makes of it."""
        s = socket.socket(socket.AF_UNIX)
        s.bind(self.path)
        s.listen(5)

        def serve():
            with s.accept()[0] as c:
                c.recv(65536)
                c.sendall(answer)
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            return self.refused("-s", self.path, *(command or ("status",)))
        finally:
            thread.join()
            s.close()
            os.unlink(self.path)

    def test_answers_that_are_none(self):
        head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"
        refusal = json.dumps({"error": "\x1b[2J come later"}).encode()
        for answer, why in (
                (b"", "does not speak like mcpoold"),
                (b"SSH-2.0-OpenSSH_9.2\r\n", "does not speak like mcpoold"),
                (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{", "does not speak like mcpoold"),
                (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "does not speak like mcpoold"),
                (head % 0, "is not what was asked for"),
                (head % 9 + b"{\"a\": 1}\n", "is not what was asked for"),
                (b"HTTP/1.1 100 Continue\r\n\r\n" + head % 2 + b"{}", "is not what was asked for"),
                (b"HTTP/1.1 500 Oops\r\nContent-Length: 3\r\n\r\nno\n", "status 500: it did not say why"),
                (b"HTTP/1.1 503 Oops\r\nContent-Length: %d\r\n\r\n" % len(refusal) + refusal,
                 "status 503: \\x1b[2J come later")):
            said = self.impostor(answer)
            self.assertIn(why, said, answer)
            self.assertNotIn("\x1b", said)

    def test_an_answer_that_does_not_come(self):
        s = socket.socket(socket.AF_UNIX)
        self.addCleanup(s.close)
        s.bind(self.path)
        s.listen(5)
        self.assertIn("gives no answer within 10 s", self.refused("-s", self.path, "status"))


class UsageTest(unittest.TestCase):
    def test_help_and_version(self):
        r = run("--help")
        self.assertEqual((r.returncode, r.stderr), (0, ""))
        self.assertEqual(sorted(re.findall(r"^  ([a-z-]+) ", r.stdout, re.M)), COMMANDS)
        for command in COMMANDS:
            h = run(command, "--help")
            self.assertEqual((h.returncode, h.stderr), (0, ""))
            self.assertTrue(h.stdout.startswith("Usage: mcpoolctl %s" % command))
            self.assertEqual(max(len(line) for line in h.stdout.splitlines()) <= 100, True)
            self.assertEqual(run("-h", command).stdout, h.stdout)
        r = run("--version")
        self.assertRegex(r.stdout, r"\Amcpoolctl \d+\.\d+\.\d+\n\Z")
        self.assertEqual(subprocess.run([MCPOOLD, "--version"], capture_output=True, text=True).stdout.split()[1],
                         r.stdout.split()[1])

    def test_wrong_usage(self):
        for args in ([], ["frobnicate"], ["status", "a", "b"], ["status", "--all"], ["recover"], ["recover", "a", "b"],
                     ["recover", "a", "--all"], ["recover", "--all", "--watch"], ["metrics", "a"],
                     ["metrics", "--json"], ["status", "--names", "--json"], ["status", "--names", "a"],
                     ["--frobnicate", "status"], ["status", "-s"], ["\x1b[31m"]):
            r = run(*args)
            self.assertEqual((r.returncode, r.stdout), (2, ""), args)
            self.assertRegex(r.stderr, r"(?s)\A.+\nTry 'mcpoolctl( \w+)? --help'\.\n\Z", args)
            self.assertNotIn("\x1b", r.stderr)

    def test_the_manual_knows_all_commands_and_options_and_no_others(self):
        helps = "".join(run(*a, "--help").stdout for a in [[]] + [[c] for c in COMMANDS])
        with open(MANUAL) as f:
            manual = f.read().replace("\\-", "-")
        self.assertEqual(set(re.findall(r"--[a-z-]+", helps)), set(re.findall(r"--[a-z-]+", manual)))
        self.assertEqual(set(re.findall(r"^\.B ([a-z-]+)$", manual.split(".SH DESCRIPTION")[0], re.M)) - {"mcpoolctl"},
                         set(COMMANDS))
        self.assertIn('"mcpool %s"' % run("--version").stdout.split()[1], manual)


class CompletionTest(CtlCase):
    servers = {"demo": demo(), "deep.thought": demo()}

    def complete(self, *words):
        """What bash offers for the last word; words as readline takes the line apart."""
        script = ('source "$1"; shift; complete -p mcpoolctl >/dev/null || exit 9; COMP_WORDS=("$@"); '
                  'COMP_CWORD=$(($# - 1)); _mcpoolctl; [ ${#COMPREPLY[@]} -eq 0 ] || printf "%s\\n" "${COMPREPLY[@]}"')
        r = subprocess.run(["bash", "-c", script, "bash", COMPLETION, CTL, *words], capture_output=True, text=True,
                           env=environment(HOME=self.daemon.dir), timeout=Clock().left())
        self.assertEqual((r.returncode, r.stderr), (0, ""))
        return sorted(r.stdout.split())

    def test_commands_and_options(self):
        self.assertEqual(self.complete(""), COMMANDS)
        self.assertEqual(self.complete("st"), ["status"])
        self.assertEqual(self.complete("log-level", ""), ["critical", "debug", "error", "info", "notice", "warning"])
        self.assertEqual(self.complete("top", "--sort", "=", "r"), ["rate", "running"])
        self.assertEqual(self.complete("top", "-n", "3", "--o"), ["--once"])
        self.assertEqual(self.complete("check", self.daemon.dir + "/mcpool.j"), [self.daemon.dir + "/mcpool.json"])
        self.assertEqual(self.complete("-"), ["--config", "--help", "--socket", "--version"])
        self.assertEqual(self.complete("status", "--"),
                         ["--config", "--help", "--json", "--names", "--socket", "--watch"])
        self.assertEqual(self.complete("recover", "--a"), ["--all"])
        self.assertEqual(self.complete("metrics", ""), [])

    def test_every_option_that_there_is(self):
        for command in COMMANDS:
            self.assertEqual(self.complete(command, "--"), sorted(set(re.findall(
                r"^ +(?:-\w, |    )(--[a-z-]+)", run(command, "--help").stdout, re.M))), command)

    def test_names_of_servers(self):
        c = ["-c", self.daemon.config_path]
        self.assertEqual(self.complete(*c, "status", ""), ["deep.thought", "demo"])
        self.assertEqual(self.complete(*c, "status", "--json", "de"), ["deep.thought", "demo"])
        self.assertEqual(self.complete(*c, "status", "dem"), ["demo"])
        for command in ("top", "explain", "logs", "drain", "maint", "resume", "restart", "connect"):
            self.assertEqual(self.complete(*c, command, "dem"), ["demo"], command)
        self.assertEqual(self.complete("recover", *c, ""), ["--all", "deep.thought", "demo"])
        self.assertEqual(self.complete("--config", "=", self.daemon.config_path, "recover", "dee"), ["deep.thought"])
        self.assertEqual(self.complete("-s", "~/run/admin.sock", "status", "dem"), ["demo"])
        self.assertEqual(self.complete(*c, "status", "demo", ""), [])  # one is enough
        self.assertEqual(self.complete(*c, "recover", "--all", ""), [])

    def test_without_a_daemon_there_are_none(self):
        self.assertEqual(self.complete("-s", "/no/such", "status", ""), [])
        self.assertEqual(self.complete("-s", "/no/such", "recover", ""), ["--all"])

    def test_files(self):
        self.assertEqual(self.complete("-c", self.daemon.dir + "/mcpool.j"), [self.daemon.dir + "/mcpool.json"])
        self.assertEqual(self.complete("--socket", "=", self.daemon.runtime_dir + "/adm"),
                         [self.daemon.socket_path("admin")])
        self.assertEqual(self.complete("status", "--watch", "=", ""), [])


if __name__ == "__main__":
    sys.exit("run me by run.py")
