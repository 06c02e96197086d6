"""The Debian package: installed, upgraded, removed and purged on a real systemd. `make check-lab` builds it."""
import glob
import os
import shutil
import unittest

from daemon import poll_until
from lab import CONFIG, STATE, LabCase, Service, command, systemctl
from run import ROOT, UNITS

PACKAGES = glob.glob(os.path.join(ROOT, "build/deb/mcpool_*.deb"))
STAGED = ["/usr/bin/mcpoold", "/usr/bin/mcpoolctl", "/usr/bin/mcpool-demo"] + ["/" + f for f in UNITS.values()]
SAVED = "/opt/staged"


def left_behind():
    """Files of ours that a purge must not leave; the user stays, as Debian's policy has it."""
    places = ["/etc", "/lib/systemd", "/usr/bin", "/usr/lib", "/usr/share", "/var/lib", "/var/cache", "/run"]
    out = command("find", *places, "-xdev", "-name", "*mcpool*", "-not", "-path", "/var/lib/dpkg/*")
    return [f for f in out.splitlines() if not f.startswith("/run/systemd/")]


@unittest.skipUnless(PACKAGES, "make deb has built none")
class PackageTest(LabCase):
    @classmethod
    def setUpClass(cls):
        """The package must bring everything itself: what the other tests run goes away meanwhile."""
        for f in STAGED:
            os.makedirs(SAVED + os.path.dirname(f), exist_ok=True)
            shutil.move(f, SAVED + f)
        shutil.rmtree(os.path.dirname(CONFIG), ignore_errors=True)
        # Images of containers forbid packages to start services.
        if os.path.exists("/usr/sbin/policy-rc.d"):
            os.unlink("/usr/sbin/policy-rc.d")
        systemctl("daemon-reload")

    @classmethod
    def tearDownClass(cls):
        for f in STAGED:
            os.makedirs(os.path.dirname(f), exist_ok=True)
            shutil.copy(SAVED + f, f)
        systemctl("daemon-reload")

    def dpkg(self, *args):
        return command("env", "DEBIAN_FRONTEND=noninteractive", "dpkg", *args)

    def packaged(self):
        """The service with the configuration that it came with, for clients."""
        service = Service.__new__(Service)
        service.unit, service.dir, service.runtime_dir = "mcpool.service", STATE, "/run/mcpool"
        service.host, service.port = "127.0.0.1", 7332
        self.daemon = service
        return service

    def test_a_life(self):
        self.dpkg("--install", PACKAGES[0])
        service = self.packaged()
        self.assertEqual(service.show("ActiveState", "SubState", "UnitFileState"), ["active", "running", "enabled"])
        self.assertEqual(systemctl("is-enabled", "mcpool.socket", check=False).strip(), "disabled")
        self.assertEqual(os.stat(os.path.dirname(CONFIG)).st_mode & 0o7, 0, "others can read the configuration")
        client = self.http("demo")
        self.assertEqual(client.tool("echo", {"text": "packaged"}), "packaged")
        self.assertIn("demo", command("mcpoolctl", "status"))
        self.assertIn("mcpool", command("journalctl", "--list-catalog"))
        for page in ("mcpoold.8", "mcpoolctl.1", "mcpool.json.5", "mcpool-demo.1"):
            self.assertTrue(glob.glob("/usr/share/man/man?/" + page + ".gz"), page)

        # Another version comes over it, and what the operator wrote stays.
        with open(CONFIG, "a") as f:
            f.write("// mine\n")
        pid = service.pid()
        self.dpkg("--force-confold", "--install", PACKAGES[0])
        self.assertNotEqual(service.pid(), pid, "the old program still runs")
        self.assertEqual(client.tool("echo", {"text": "again"}), "again")
        with open(CONFIG) as f:
            self.assertTrue(f.read().endswith("// mine\n"))

        self.dpkg("--remove", "mcpool")
        self.assertEqual(service.show("ActiveState"), "inactive")
        self.assertTrue(os.path.exists(CONFIG))
        self.assertTrue(os.path.exists(STATE + "/session.key"))
        self.assertFalse(os.path.exists("/usr/bin/mcpoold"))

        self.dpkg("--purge", "mcpool")
        self.assertEqual(left_behind(), [])
        poll_until(lambda: not command("pgrep", "-u", "mcpool", check=False).strip(), "the end of all processes")
