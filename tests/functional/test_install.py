"""make install and uninstall, into a directory."""
import os
import shutil
import subprocess
import tempfile
import unittest

from daemon import MCPOOLD

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.dirname(os.path.abspath(MCPOOLD))


def is_plain_build():
    """Whether a bare make would leave the build as it is."""
    with open(os.path.join(BUILD, "flags")) as f:
        text = f.read()
    return "| gcc " in text and "-fsanitize" not in text and "--coverage" not in text


@unittest.skipUnless(is_plain_build(), "make would build the programs anew, with other flags")
class InstallTest(unittest.TestCase):
    def setUp(self):
        self.root = tempfile.mkdtemp(prefix="mcpool-install-")
        self.addCleanup(shutil.rmtree, self.root)

    def make(self, target, *variables):
        clean = {k: v for k, v in os.environ.items() if k in ("PATH", "HOME", "LANG")}
        done = subprocess.run(["make", "-C", ROOT, "O=" + BUILD, target, "DESTDIR=" + self.root, *variables], env=clean,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=100)
        self.assertEqual(done.returncode, 0, done.stdout)
        return done.stdout

    def files(self):
        return sorted(os.path.relpath(os.path.join(d, f), self.root) for d, _, fs in os.walk(self.root) for f in fs)

    def read(self, path):
        with open(os.path.join(self.root, path)) as f:
            return f.read()

    def test_everything_has_its_place(self):
        self.make("install")
        self.assertEqual(self.files(), sorted(
            ["etc/mcpool/mcpool.json"] + ["usr/local/" + f for f in (
                "bin/mcpool-demo", "bin/mcpoolctl", "bin/mcpoold",
                "lib/systemd/catalog/mcpool.catalog", "lib/systemd/system/mcpool.service",
                "lib/systemd/system/mcpool.socket", "lib/systemd/user/mcpool.service",
                "lib/sysusers.d/mcpool.conf", "lib/tmpfiles.d/mcpool.conf",
                "share/bash-completion/completions/mcpoolctl", "share/bash-completion/completions/mcpoold",
                "share/doc/mcpool/README.md", "share/doc/mcpool/http-only.conf", "share/doc/mcpool/options.md",
                "share/man/man1/mcpool-demo.1", "share/man/man1/mcpoolctl.1", "share/man/man5/mcpool.json.5",
                "share/man/man8/mcpoold.8")]))
        self.assertNotIn(self.root, self.read("usr/local/lib/systemd/system/mcpool.service"))

    def test_what_was_installed_runs(self):
        self.make("install")
        for program in ("mcpoold", "mcpoolctl"):
            path = os.path.join(self.root, "usr/local/bin", program)
            out = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=20)
            self.assertEqual((out.returncode, out.stdout.split()[0]), (0, program))
        check = subprocess.run([os.path.join(self.root, "usr/local/bin/mcpoold"), "--check", "--config",
                                os.path.join(self.root, "etc/mcpool/mcpool.json")], capture_output=True, text=True, timeout=20)
        self.assertEqual(check.returncode, 0, check.stdout)

    def test_units_name_the_programs_where_they_are(self):
        self.make("install", "prefix=/usr", "bindir=/usr/local/games", "unitdir=/lib/systemd/system")
        unit = self.read("lib/systemd/system/mcpool.service")
        self.assertIn("ExecStart=/usr/local/games/mcpoold --config /etc/mcpool/mcpool.json\n", unit)
        self.assertIn("ExecReload=/usr/local/games/mcpoolctl ", unit)
        self.assertNotIn("/usr/bin/", unit)
        self.assertIn("/usr/local/games/mcpoold", self.read("usr/share/doc/mcpool/http-only.conf"))

    def test_the_configuration_is_the_operators(self):
        path = os.path.join(self.root, "etc/mcpool/mcpool.json")
        self.make("install")
        with open(path, "w") as f:
            f.write("mine")
        self.make("install")
        self.assertEqual(self.read("etc/mcpool/mcpool.json"), "mine")
        self.make("uninstall")
        self.assertEqual(self.files(), ["etc/mcpool/mcpool.json"])
