"""The processes that the daemon starts: what they are given, and that none is left (security.md S09, S11-S15)."""
import json
import os
import resource
import signal
import stat

from harness import FAKE, SINGLE, DaemonCase, demo, fake, poll_until
from test_stdio_faults import QUICK

INITIALIZE = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "x", "version": "1"}}


class ProcessCase(DaemonCase):
    servers = {"fake": fake()}
    config = {"resilience": QUICK, "limits": {"shutdown_grace": 0.3}}

    def report(self, **more):
        return json.loads(self.http("fake", **more).tool("report"))

    def restart(self, servers, env=None, config=None):
        self.daemon.stop()
        self.start(servers, config or self.config, env=env)


class GivenTest(ProcessCase):
    def test_S12_arguments_are_passed_literally(self):
        args = ["two words", "semi;colon", "$(touch /tmp/x)", "`id`", "new\nline", "", "*", "'q'", '"', "\\", "\u00e9", "a=b", "&&"]
        self.restart({"fake": fake("--", *args)})
        self.assertEqual(self.report()["rest"], args)

    def test_S13_the_environment_is_an_allow_list(self):
        secret = {"NOTIFY_SOCKET": "/run/notify", "LISTEN_FDS": "3", "LISTEN_PID": "1", "LISTEN_FDNAMES": "x",
                  "CREDENTIALS_DIRECTORY": "/run/creds", "WATCHDOG_USEC": "1000000000", "WATCHDOG_PID": "1", "LD_PRELOAD_X": "y",
                  "HTTP_PROXY": "http://u:p@proxy", "AWS_SECRET_ACCESS_KEY": "s", "GITHUB_TOKEN": "s", "PYTHONPATH": "/nope",
                  "BASH_ENV": "/nope", "INVOCATION_ID": "i", "STATE_DIRECTORY": "/s"}
        del secret["LISTEN_FDS"], secret["NOTIFY_SOCKET"]  # the daemon itself would act on these two
        self.restart({"fake": fake(env={"OWN": "value with spaces", "LANG": "C.UTF-8"})}, env=secret)
        env = self.report()["env"]
        self.assertEqual(set(env) & set(secret), set())
        allowed = {"PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "TERM", "USER", "LOGNAME", "SHELL", "TMPDIR", "TZ"}
        self.assertLessEqual(set(env), allowed | {"OWN", "MCPOOL_TEST_MARK"})
        self.assertEqual((env["OWN"], env["LANG"], env["PATH"]), ("value with spaces", "C.UTF-8", os.environ["PATH"]))

    def test_S13_variables_of_the_daemon_can_be_named(self):
        self.restart({"fake": fake(env={"TOKEN": "${MCPOOL_TEST_TOKEN}"})}, env={"MCPOOL_TEST_TOKEN": "t0k"})
        self.assertEqual(self.report()["env"]["TOKEN"], "t0k")

    def test_S14_only_three_descriptors(self):
        clients = [self.http("fake") for _ in range(3)]
        clients[0].open_get()
        fds = self.report()["fds"]
        opened_itself = [k for k, v in fds.items() if v.endswith("/ledger-fake")]
        self.assertEqual({k: v for k, v in fds.items() if k not in opened_itself}, {"0": "fifo", "1": "fifo", "2": "fifo"})

    def test_S15_signals_mask_umask_and_directory(self):
        out = os.path.join(self.daemon.dir, "status")
        script = "umask >%s; grep ^Sig /proc/self/status >>%s; exec %s \"$@\"" % (out, out, FAKE)
        self.restart({"fake": {"command": "/bin/sh", "args": ["-c", script, "sh", "--"], "cwd": "/usr"}})
        r = self.report()
        with open(out) as f:
            lines = f.read().split("\n")
        self.assertEqual(lines[0], "%04o" % self.umask())
        masks = dict(line.split(":\t") for line in lines[1:] if line)
        self.assertEqual((int(masks["SigBlk"], 16), int(masks["SigIgn"], 16)), (0, 0))
        self.assertEqual(r["cwd"], "/usr")
        self.assertEqual(r["pid"], r["pgid"])
        self.assertNotEqual(r["sid"], os.getsid(self.daemon.process.pid))
        self.addCleanup(lambda: os.path.exists(out) and os.unlink(out))

    @staticmethod
    def umask():
        value = os.umask(0)
        os.umask(value)
        return value

    def test_S15_limits_are_those_that_the_daemon_was_started_with(self):
        want = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.assertEqual(tuple(self.report()["nofile"]), want)

    def test_relative_programs_and_directories(self):
        """A name without a slash is looked up in PATH, cwd is relative to the configuration file."""
        d = self.daemon.dir
        os.mkdir(os.path.join(d, "bin"))
        os.symlink(FAKE, os.path.join(d, "bin", "my-fake"))
        path = os.path.join(d, "bin") + ":" + os.environ["PATH"]
        self.restart({"fake": {"command": "my-fake", "args": ["--"], "env": {"PATH": path}, "cwd": "."}})
        self.assertEqual(self.report()["cwd"], os.path.realpath(self.daemon.dir))


class CannotStartTest(ProcessCase):
    """S11: each way in which a program cannot be started is one the operator can read in the log."""

    def assert_refused(self, *log_patterns):
        self.daemon.allow_error("server=fake")
        r = self.exchange(json.dumps({"jsonrpc": "2.0", "id": 3, "method": "initialize", "params": INITIALIZE}).encode(),
                          path="/mcp/fake")
        self.assertEqual(r.status, 503)
        self.assertRegex(r.headers.get("Retry-After"), r"^[1-9][0-9]*$")
        answer = json.loads(bytes(r.body))
        self.assertEqual((answer["id"], answer["error"]["code"]), (3, -32603))
        self.assertEqual((answer["error"]["data"]["reason"], answer["error"]["data"]["server"]), ("upstream_unavailable", "fake"))
        self.assertIn("fake", answer["error"]["message"])
        self.assertNotIn(self.daemon.dir, answer["error"]["message"] + json.dumps(answer["error"]["data"]))
        for p in log_patterns:
            self.daemon.log.wait("server=fake.*" + p)
        c = self.line("fake", initialize=False)
        self.assertEqual(c.start("initialize", INITIALIZE).error().code, -32603)

    def program(self, text, mode=0o755):
        path = os.path.join(self.daemon.dir, "program")
        with open(path, "w") as f:
            f.write(text)
        os.chmod(path, mode)
        return path

    def try_program(self, command, *patterns, **more):
        self.daemon.stop()
        old = self.daemon
        self.start({"fake": {"command": command, **more}}, {"resilience": {**QUICK, "queue_timeout": 1, "operation_timeout": 1}})
        self.assert_refused(*patterns)
        del old

    def test_S11_no_such_program(self):
        self.try_program("/nonexistent/program", "[Nn]o such file")

    def test_S11_no_such_program_in_PATH(self):
        self.try_program("mcpool-no-such-program", "[Nn]o such file|not found")

    def test_S11_not_executable(self):
        self.try_program(self.program("#!/bin/sh\n", 0o644), "[Pp]ermission")

    def test_S11_a_directory(self):
        self.try_program("/usr", "[Pp]ermission|directory")

    def test_S11_not_a_program(self):
        self.try_program(self.program("\x7fNOPE not an executable"), "[Ee]xec format|not executable")

    def test_S11_no_interpreter(self):
        self.try_program(self.program("#!/nonexistent/interpreter\n"), "[Nn]o such file")

    def test_S11_no_such_directory(self):
        self.try_program("/bin/true", "[Nn]o such file|directory", cwd="/nonexistent")

    def test_exit_at_once(self):
        self.try_program("/bin/false", "status 1")

    def test_killed_at_once(self):
        self.try_program("/bin/sh", "SIGKILL|signal 9", args=["-c", "kill -9 $$"])

    def test_a_program_that_is_no_server(self):
        self.try_program("/bin/echo", args=["hello"])

    def test_a_program_that_says_nothing(self):
        self.try_program("/bin/sleep", args=["1000"])

    def test_a_refused_handshake(self):
        self.try_program(FAKE, args=["--initialize-error"])

    def test_death_in_the_handshake(self):
        self.try_program(FAKE, "status 4", args=["--die-at-initialize"])

    def test_a_hanging_handshake(self):
        self.try_program(FAKE, args=["--hang-handshake"])

    def test_an_unknown_revision(self):
        self.try_program(FAKE, args=["--protocol-version", "1999-01-01"])

    def test_others_are_served_meanwhile(self):
        self.restart({"fake": {"command": "/nonexistent"}, "demo": demo()})
        self.daemon.allow_error("server=fake")
        self.assertEqual(self.http("demo").tool("echo", {"text": "x"}), "x")

    def test_a_server_that_comes_back_is_used_again(self):
        gate = os.path.join(self.daemon.dir, "gate")
        self.daemon.stop()
        os.makedirs(os.path.dirname(gate), exist_ok=True)
        open(gate, "w").close()
        self.start({"fake": fake("--exit-while", gate)},
                   {"resilience": {**QUICK, "max_backoff_delay": 0.2, "queue_timeout": 0.5, "operation_timeout": 1}})
        self.assert_refused("status 1")
        os.unlink(gate)

        def works():
            r = self.exchange(json.dumps({"jsonrpc": "2.0", "id": 3, "method": "initialize", "params": INITIALIZE}).encode(),
                              path="/mcp/fake")
            return r.status == 200
        poll_until(works, "the server to come back")
        self.assertEqual(self.http("fake").tool("record", {"nonce": "n"}), "n")

    def test_a_slow_start_is_waited_for(self):
        self.restart({"fake": fake("--slow-start", "1")})
        self.assertEqual(self.http("fake").tool("record", {"nonce": "n"}), "n")

    def test_each_older_revision_of_a_server_is_spoken(self):
        for version in ("2024-11-05", "2025-03-26", "2025-06-18"):
            self.restart({"fake": fake("--protocol-version", version)})
            c = self.http("fake")
            self.assertEqual((c.version, c.tool("record", {"nonce": "n"})), ("2025-11-25", "n"))


class LeftoverTest(ProcessCase):
    """S09; DaemonCase itself fails a test that leaves a process behind."""

    def test_S09_grandchildren_in_sessions_of_their_own(self):
        c = self.http("fake")
        pids = {int(c.tool("grandchild", {"setsid": s})) for s in (True, False)}
        poll_until(lambda: pids <= set(self.daemon.children()), "the grandchildren to have started")
        c.close()
        self.daemon.stop()
        self.assertEqual(self.daemon.children(), [])

    def test_S09_grandchildren_of_a_server_that_died(self):
        c = self.http("fake")
        pids = {int(c.tool("grandchild", {"setsid": s})) for s in (True, False)}
        c.start_tool("die").error()
        self.assertEqual(c.tool("record", {"nonce": "n"}), "n")
        poll_until(lambda: not pids & set(self.daemon.children()), "the grandchildren to end")

    def test_a_server_that_ignores_polite_requests(self):
        self.restart({"fake": fake("--ignore-term")})
        c = self.http("fake")
        c.tool("record", {"nonce": "n"})
        c.close()
        self.daemon.stop()
        events = [e["event"] for e in self.daemon.ledger("fake")]
        self.assertEqual(events[-2:], ["eof", "term"], "first the end of input, then SIGTERM")

    def test_the_end_of_input_comes_first(self):
        c = self.http("fake")
        c.tool("record", {"nonce": "n"})
        c.close()
        self.daemon.stop()
        self.assertEqual([e["event"] for e in self.daemon.ledger("fake")][-1], "eof")

    def test_a_stopped_server_is_ended_too(self):
        c = self.http("fake")
        c.start_tool("freeze", {"nonce": "f"})
        self.daemon.wait_ledger("fake", "run", nonce="f")
        c.close()
        self.daemon.process.send_signal(signal.SIGTERM)
        self.daemon.log.wait("SIGTERM received")
        self.daemon.process.send_signal(signal.SIGTERM)  # the second one does not wait for calls
        self.daemon.join()

    def test_servers_die_with_a_killed_daemon(self):
        c = self.http("fake")
        c.tool("record", {"nonce": "n"})
        self.daemon.joined = True  # its end is not a clean one
        self.daemon.process.kill()
        self.daemon.process.wait()
        poll_until(lambda: not self.daemon.children(), "the servers to end")

    def test_no_zombies_and_no_descriptors_are_left_by_deaths(self):
        c = self.http("fake")
        c.tool("record", {"nonce": "n"})
        before = self.daemon.fd_count()
        for _ in range(10):
            self.die(c)
            c.tool("record", {"nonce": "n"})

        def states():
            found = []
            for pid in filter(str.isdigit, os.listdir("/proc")):
                try:
                    with open("/proc/%s/stat" % pid) as f:
                        fields = f.read().rsplit(")", 1)[1].split()
                except OSError:
                    continue
                if int(fields[1]) == self.daemon.process.pid:
                    found.append(fields[0])
            return found
        poll_until(lambda: "Z" not in states() and len(states()) <= 1, "the dead to be reaped")
        poll_until(lambda: self.daemon.fd_count() <= before + 2, "the descriptors to be closed")


class PermissionTest(DaemonCase):
    servers = None

    def test_what_lies_in_the_runtime_directory_is_gone_afterwards(self):
        self.start({"demo": demo()}, {"resilience": SINGLE})
        self.assertIn("demo.sock", os.listdir(self.daemon.runtime_dir))
        self.assertTrue(stat.S_ISSOCK(os.stat(self.daemon.socket_path("demo")).st_mode))
        self.daemon.stop()
        self.assertEqual(os.listdir(self.daemon.runtime_dir), [])
