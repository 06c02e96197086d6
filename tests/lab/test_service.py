"""The system service: how it starts, stops, is watched, and what its servers find in their sandbox."""
import json
import os
import pwd
import re
import shutil
import signal
import socket
import stat
import tarfile
import tempfile
import time

from daemon import ROOT, poll_until
from harness import INITIALIZE
from lab import ADDRESS, INSTALLED_DEMO, LabCase, command, fake, systemctl

NODE_SERVER = os.path.join(ROOT, "tests", "helpers", "node_server.js")


def status_of(pid):
    with open("/proc/%d/status" % pid) as f:
        return dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)


class InstallTest(LabCase):
    def test_user_and_directory(self):
        user = pwd.getpwnam("mcpool")
        self.assertEqual((user.pw_dir, os.path.basename(user.pw_shell)), ("/var/lib/mcpool", "nologin"))
        st = os.stat("/etc/mcpool")
        self.assertEqual((st.st_uid, st.st_gid, stat.S_IMODE(st.st_mode)), (0, user.pw_gid, 0o750))


class StartTest(LabCase):
    def test_started_means_ready(self):
        d = self.begin({"demo": INSTALLED_DEMO, "fake": fake()})
        self.assertEqual(d.show("ActiveState", "SubState"), ["active", "running"])
        self.assertEqual(self.http("demo").tool("echo", {"text": "x"}), "x")
        c = self.http("fake")
        call, _ = self.hold(c)
        poll_until(lambda: d.show("StatusText") == "2 servers: 2 healthy; 2 sessions, 1 call running, 0 waiting",
                   lambda: "the status, which is " + d.show("StatusText"))
        self.release(c)
        call.text()

    def test_dead_servers_do_not_hold_it_up(self):
        d = self.begin({"dead": fake("--exit-at-start", "1"), "gone": {"command": "/does/not/exist"}, "fake": fake()})
        self.assertEqual(d.show("ActiveState"), "active")
        self.assertRegex(d.show("StatusText"), r"^3 servers: 1 healthy, 2 unhealthy \([a-z]+, [a-z]+\);")
        self.http("fake")

    def test_nor_does_one_that_hangs_longer_than_the_time_to_start(self):
        self.drop_in("[Service]\nTimeoutStartSec=2s\n")
        began = time.monotonic()
        d = self.begin({"deaf": fake("--hang-handshake"), "fake": fake()},
                       resilience={"min_connections": 1, "max_connections": 1, "operation_timeout": 5})
        self.assertGreater(time.monotonic() - began, 3)  # it was asked for more time, and given it
        self.assertEqual(d.show("ActiveState"), "active")
        self.assertEqual(d.generations(), 0)

    def test_whom_it_runs_as_and_how(self):
        d = self.begin()
        report = json.loads(self.http("fake").tool("report"))
        self.assertIn(report["pid"], d.processes())
        user = pwd.getpwnam("mcpool")
        for pid in (d.pid(), report["pid"]):
            status = status_of(pid)
            self.assertEqual(set(status["Uid"].split()), {str(user.pw_uid)})
            self.assertEqual((status["NoNewPrivs"], status["Seccomp"], int(status["CapBnd"], 16)), ("1", "2", 0))
        self.assertEqual(report["env"]["HOME"], "/var/lib/mcpool")
        self.assertEqual([k for k in report["env"] if k.startswith(("NOTIFY_", "WATCHDOG_", "LISTEN_"))], [])


class MistakeTest(LabCase):
    def spoil(self, d):
        d.config["log_level"] = "inof"
        d.configure()

    def test_a_configuration_with_errors_is_not_tried_again_and_again(self):
        d = self.configure()
        self.spoil(d)
        with self.assertRaises(AssertionError):
            systemctl("start", "mcpool.service")
        self.assertEqual(d.show("ActiveState", "Result", "ExecMainStatus", "NRestarts"), ["failed", "exit-code", "78", "0"])
        said = self.wait_journal("inof", "_SYSTEMD_UNIT=mcpool.service")
        self.assertEqual([(e["PRIORITY"], e["MESSAGE"].split(":")[0]) for e in said], [("3", d.config_path)])
        del d.config["log_level"]
        d.configure()
        systemctl("start", "mcpool.service")
        self.http("fake")

    def test_what_cannot_be_had_at_the_moment_is_tried_again(self):
        with socket.create_server(ADDRESS):
            d = self.configure()
            with self.assertRaises(AssertionError):
                systemctl("start", "mcpool.service")
            poll_until(lambda: d.generations() > 1, "another start")
        d.wait_show("ActiveState", "active")
        self.http("fake")

    def test_a_kill_while_the_file_is_wrong(self):
        """It stops, and clients are told by the end of their connections; none of them hangs."""
        d = self.begin()
        line = self.line("fake")
        self.spoil(d)
        os.kill(d.pid(), signal.SIGKILL)
        d.wait_show("ActiveState", "failed")
        line.wait_closed()


class SecretsTest(LabCase):
    def test_a_token_and_a_variable_that_systemd_passes(self):
        places = {"/etc/mcpool/environment": "GITHUB_TOKEN=" + "g" * 20, "/etc/mcpool/ci.token": "c" * 20}
        for path, text in places.items():
            with open(path, "w") as f:
                f.write(text + "\n")
            os.chmod(path, 0o600)
            self.addCleanup(os.unlink, path)
        self.drop_in("[Service]\nEnvironmentFile=/etc/mcpool/environment\nLoadCredential=ci.token:/etc/mcpool/ci.token\n")
        server = fake()
        server["env"] = {**server.get("env", {}), "GITHUB_TOKEN": "${GITHUB_TOKEN}"}
        self.begin({"fake": server}, tokens={"ci": {"credential": "ci.token"}})
        c = self.http("fake", headers=[("Authorization", "Bearer " + "c" * 20)])
        self.assertEqual(json.loads(c.tool("report"))["env"]["GITHUB_TOKEN"], "g" * 20)
        self.assertEqual(self.exchange(self.request_bytes(INITIALIZE, path="/mcp/fake")).status, 401)


class SandboxTest(LabCase):
    def test_a_node_server_starts(self):
        node = shutil.which("node")
        if not node:
            self.skipTest("node is not installed")
        d = self.begin({"node": {"command": node, "args": [NODE_SERVER]}})
        report = json.loads(self.http("node").tool("report"))
        self.assertIn(report.pop("pid"), d.processes())
        self.assertGreaterEqual(report.pop("cpus"), 1)
        self.assertEqual(report, {"home": True, "cache": True, "tmp": True, "compiled": 42})

    def test_a_server_run_by_npx_starts(self):
        npx = shutil.which("npx")
        if not npx:
            self.skipTest("npx is not installed")
        package = "/srv/node-server.tgz"  # one that npx need not fetch
        with tempfile.TemporaryDirectory() as place, tarfile.open(package, "w:gz") as tar:
            manifest = os.path.join(place, "package.json")
            with open(manifest, "w") as f:
                json.dump({"name": "node-server", "version": "1.0.0", "bin": {"node-server": "server.js"}}, f)
            tar.add(manifest, "package/package.json")
            tar.add(NODE_SERVER, "package/server.js")
        self.begin({"npx": {"command": npx, "args": ["--offline", "--yes", "--package=file:" + package, "node-server"]}})
        self.assertEqual(json.loads(self.http("npx").tool("report"))["compiled"], 42)

    def test_http_only(self):
        os.makedirs("/run/systemd/system/mcpool.service.d", exist_ok=True)
        shutil.copy(os.path.join(ROOT, "systemd", "http-only.conf"), "/run/systemd/system/mcpool.service.d/http-only.conf")
        systemctl("daemon-reload")
        d = self.begin({"python": fake(), "demo": INSTALLED_DEMO})
        self.assertEqual(d.show("ActiveState", "MemoryDenyWriteExecute"), ["active", "yes"])
        self.assertRegex(d.show("StatusText"), "^2 servers: 2 unhealthy")
        self.wait_journal("Permission denied", "_SYSTEMD_UNIT=mcpool.service")
        self.assertIn("mcpool-demo: Permission denied", command("mcpoolctl", "--config", d.config_path, "status", check=False))


class StopTest(LabCase):
    def test_calls_are_finished_beyond_the_time_to_stop(self):
        self.drop_in("[Service]\nTimeoutStopSec=2s\n")
        d = self.begin()
        c = self.line("fake")
        call, _ = self.hold(c)
        systemctl("stop", "--no-block", "mcpool.service")
        poll_until(lambda: d.show("ActiveState") == "deactivating", "the stop")
        end = time.monotonic() + 4
        while time.monotonic() < end:
            self.assertEqual(d.show("ActiveState"), "deactivating")
            time.sleep(0.1)
        self.assertTrue(d.show("StatusText").startswith("stopping; 1 server: "), d.show("StatusText"))
        c.cancel(call)
        d.wait_show("ActiveState", "inactive")
        self.assertEqual(d.show("Result", "ExecMainStatus"), ["success", "0"])

    def test_nothing_is_left_of_servers_that_do_not_end(self):
        d = self.begin({"fake": fake("--ignore-term", "--grandchild")}, limits={"shutdown_grace": 0.2})
        self.http("fake")
        before = d.processes()
        self.assertGreaterEqual(len(before), 2)
        systemctl("stop", "mcpool.service")
        self.assertEqual([pid for pid in before if os.path.exists("/proc/%d" % pid)], [])
        self.assertEqual(d.show("Result"), "success")


class WatchdogTest(LabCase):
    def test_one_that_hangs_is_started_again(self):
        self.drop_in("[Service]\nWatchdogSec=2s\n")
        d = self.begin()
        c = self.http("fake")
        self.assertEqual(c.tool("record", {"nonce": "1"}), "1")
        hung, server = d.pid(), json.loads(c.tool("report"))["pid"]
        os.kill(hung, signal.SIGSTOP)
        d.wait_show("NRestarts", "1")
        d.wait_show("ActiveState", "active")
        self.assertNotEqual(d.pid(), hung)
        self.assertFalse(os.path.exists("/proc/%d" % server))
        self.wait_journal("Watchdog timeout", "UNIT=mcpool.service")
        # The session goes on, with a process that never saw it.
        for s in list(c.streams):
            s.cut_off()
        c.idle.clear()
        self.assertEqual(c.tool("record", {"nonce": "2"}), "2")

    def test_one_that_works_is_left_alone(self):
        self.drop_in("[Service]\nWatchdogSec=2s\n")
        d = self.begin()
        c, pid, end = self.http("fake"), d.pid(), time.monotonic() + 5
        while time.monotonic() < end:
            self.assertEqual(c.tool("record", {"nonce": "x"}), "x")
        self.assertEqual((d.generations(), d.pid()), (0, pid))

    def test_it_is_started_again_as_often_as_it_takes(self):
        self.drop_in("[Service]\nRestartSec=10ms\n")
        d = self.begin()
        for n in range(1, 9):  # the default limit of systemd would be five
            os.kill(d.pid(), signal.SIGKILL)
            d.wait_show("NRestarts", str(n))
            d.wait_show("ActiveState", "active")
        self.http("fake")


class ReloadTest(LabCase):
    def setUp(self):
        super().setUp()
        if not re.search(r"^ *reload\b", command("mcpoolctl", "--help"), re.M):
            self.skipTest("this mcpoolctl cannot reload")

    def test_a_reload_is_over_when_systemctl_returns(self):
        d = self.begin({"fake": fake()})
        c = self.http("fake")
        call, _ = self.hold(c)
        pid = d.pid()
        d.config["mcpServers"]["demo"] = INSTALLED_DEMO
        d.configure()
        systemctl("reload", "mcpool.service")
        self.assertEqual(self.http("demo").tool("echo", {"text": "x"}), "x")
        self.release(c)
        self.assertEqual(call.text(), "released")
        self.assertEqual((d.pid(), d.show("ActiveState")), (pid, "active"))

    def test_a_file_that_is_refused_fails_the_reload_and_nothing_else(self):
        d = self.begin()
        c = self.http("fake")
        pid = d.pid()
        with open(d.config_path, "a") as f:
            f.write("nonsense")
        with self.assertRaises(AssertionError):
            systemctl("reload", "mcpool.service")
        self.assertEqual(c.tool("record", {"nonce": "x"}), "x")
        self.assertEqual((d.pid(), d.show("ActiveState")), (pid, "active"))
        # Of the daemon itself and of the reload that systemd waits for.
        for who in ("mcpoold", "mcpoolctl"):
            self.wait_journal("the configuration was not changed: 1 error", "_SYSTEMD_UNIT=mcpool.service", "SYSLOG_IDENTIFIER=" + who)

    def test_a_reload_finds_the_socket_that_the_file_has_moved(self):
        d = self.begin()
        d.config["admin"] = "unix:/run/mcpool/elsewhere.sock"
        d.config["mcpServers"]["demo"] = INSTALLED_DEMO
        d.configure()
        systemctl("reload", "mcpool.service")
        self.http("demo")
        self.wait_journal("reload: admin was changed: needs a restart", "_SYSTEMD_UNIT=mcpool.service", "SYSLOG_IDENTIFIER=mcpoold", "PRIORITY=4")
