"""What a lab test builds on: mcpool.service of a real systemd, configured by the test, and clients that talk to it.

    class SomeTest(LabCase):
        def test_it_answers(self):
            self.begin({"fake": fake()})
            self.assertEqual(self.http("fake").tool("record", {"nonce": "x"}), "x")

Tests run as root inside the lab, one after the other; each begins with the service stopped and nothing left of the one before.
Clients and waits are those of the functional tests."""
import json
import os
import shutil
import subprocess
import time

from daemon import DEADLINE, Daemon, poll_until
from harness import SINGLE, DaemonCase, demo, fake  # noqa

CONFIG = "/etc/mcpool/mcpool.json"
STATE = "/var/lib/mcpool"
ADDRESS = ("127.0.0.1", 7332)
DROP_INS = "/run/systemd/system/%s.d"
INSTALLED_DEMO = {"command": "/usr/bin/mcpool-demo"}


def command(*args, check=True, **more):
    """Runs a command; what it printed."""
    done = subprocess.run(args, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=2 * DEADLINE, **more)
    if check and done.returncode != 0:
        raise AssertionError("%s: exit status %d: %s" % (" ".join(args), done.returncode, done.stdout))
    return done.stdout


def systemctl(*args, **more):
    return command("systemctl", *args, **more)


class Service(Daemon):
    """mcpool.service, with what clients and ledgers of the functional tests want of a daemon."""

    def __init__(self, servers, config):
        self.unit = "mcpool.service"
        self.dir, self.runtime_dir = STATE, "/run/mcpool"
        self.mark = "MCPOOL_TEST_MARK=lab"
        self.host, self.port = ADDRESS
        self.config_path = CONFIG
        self.config = {"mcpServers": {name: self._prepare(name, spec) for name, spec in servers.items()}, **config}
        self.configure()

    def configure(self):
        with open(self.config_path + ".new", "w") as f:
            json.dump(self.config, f, indent=1)
        shutil.chown(f.name, "root", "mcpool")
        os.chmod(f.name, 0o640)
        os.rename(f.name, self.config_path)

    def show(self, *names):
        """Properties of the unit, as text; one alone as it is."""
        lines = systemctl("show", self.unit, *["--property=" + n for n in names]).splitlines()
        found = dict(line.split("=", 1) for line in lines)
        return found[names[0]] if len(names) == 1 else [found[n] for n in names]

    def pid(self):
        return int(self.show("MainPID"))

    def wait_show(self, name, wanted):
        poll_until(lambda: self.show(name) == wanted, lambda: "%s=%s; it is %s" % (name, wanted, self.show(name)))

    def generations(self):
        """How often it was started again by the service manager itself."""
        return int(self.show("NRestarts"))

    def processes(self):
        """All processes of the service."""
        with open("/sys/fs/cgroup" + self.show("ControlGroup") + "/cgroup.procs") as f:
            return [int(line) for line in f]


class LabCase(DaemonCase):
    servers = None

    @classmethod
    def setUpClass(cls):
        """As a package does when it is installed. Idempotent."""
        command("systemd-sysusers", "/usr/lib/sysusers.d/mcpool.conf")
        command("systemd-tmpfiles", "--create", "/usr/lib/tmpfiles.d/mcpool.conf")

    def setUp(self):
        super().setUp()
        self.clean()
        self.addCleanup(self.clean)
        self.began = time.time()

    def clean(self):
        for c in self.clients:
            c.close()
        self.clients = []
        systemctl("stop", "mcpool.socket", check=False)
        systemctl("kill", "--signal=SIGKILL", "mcpool.service", check=False)
        systemctl("stop", "mcpool.service", check=False)
        systemctl("reset-failed", "mcpool.service", check=False)
        for unit in ("mcpool.service", "mcpool.socket"):
            shutil.rmtree(DROP_INS % unit, ignore_errors=True)
        systemctl("daemon-reload")
        for entry in os.listdir(STATE) if os.path.isdir(STATE) else ():
            path = os.path.join(STATE, entry)
            shutil.rmtree(path) if os.path.isdir(path) else os.unlink(path)

    def drop_in(self, text, unit="mcpool.service", name="test.conf"):
        directory = DROP_INS % unit
        os.makedirs(directory, exist_ok=True)
        with open(os.path.join(directory, name), "w") as f:
            f.write(text)
        systemctl("daemon-reload")

    def configure(self, servers=None, **config):
        self.daemon = Service(servers or {"fake": fake()}, {"resilience": SINGLE, "state_dir": STATE, **config})
        return self.daemon

    def begin(self, servers=None, **config):
        """Configures and starts the service; returns when systemd says that it has started."""
        self.configure(servers, **config)
        systemctl("start", "mcpool.service")
        return self.daemon

    def journal(self, *matches):
        """Entries of the journal since this test began, oldest first."""
        command("journalctl", "--sync")
        out = command("journalctl", "--output=json", "--all", "--since=@%f" % self.began, *matches)
        return [json.loads(line) for line in out.splitlines() if line.startswith("{")]

    def wait_journal(self, text, *matches):
        return poll_until(lambda: [e for e in self.journal(*matches) if text in str(e.get("MESSAGE"))],
                          "%r in the journal" % text)
