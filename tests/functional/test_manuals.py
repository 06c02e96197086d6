"""The manual of mcpoold and what bash completes of it, against what the program says of itself."""
import os
import re
import shutil
import subprocess
import tempfile
import unittest

from daemon import DEADLINE, MCPOOLD, ROOT

MANUAL = os.path.join(ROOT, "src", "daemon", "mcpoold.8")
COMPLETION = os.path.join(ROOT, "scripts", "completion", "mcpoold.bash")
OPTION = r"--[a-z-]+[a-z]"


def run(*args, **more):
    return subprocess.run([MCPOOLD, *args], capture_output=True, text=True, timeout=DEADLINE, **more)


class ManualTest(unittest.TestCase):
    def test_the_manual_knows_all_options_and_no_others(self):
        with open(MANUAL) as f:
            manual = f.read().replace("\\-", "-")
        options = manual.split(".SH OPTIONS")[1].split(".SH SIGNALS")[0]
        self.assertEqual(set(re.findall(OPTION, options)), set(re.findall(OPTION, run("--help").stdout.split("Without")[0])))
        self.assertIn('"mcpool %s"' % run("--version").stdout.split()[1], manual)

    def test_the_manual_of_the_configuration_is_printed(self):
        r = run("--config-manual")
        self.assertEqual((r.returncode, r.stderr), (0, ""))
        self.assertIn(".TH MCPOOL.JSON 5 ", r.stdout)
        keys = re.findall(r"^### `(\w+)`$", run("--config-reference").stdout, re.M)
        self.assertGreater(len(keys), 50)
        self.assertEqual(re.findall(r"^\.TP\n\\fB(\w+)\\fR$", r.stdout, re.M), keys)
        with open("/dev/full", "w") as full:
            self.assertEqual(subprocess.run([MCPOOLD, "--config-manual"], stdout=full, timeout=DEADLINE).returncode, 1)

    @unittest.skipUnless(shutil.which("groff"), "groff is not here")
    def test_troff_has_nothing_to_say(self):
        with tempfile.NamedTemporaryFile("w", suffix=".5") as f:
            f.write(run("--config-manual").stdout)
            f.flush()
            for path in (f.name, MANUAL):
                r = subprocess.run(["groff", "-ww", "-man", "-Tutf8", path], capture_output=True, timeout=DEADLINE)
                self.assertEqual((r.returncode, r.stderr), (0, b""))
        self.assertNotIn(b"`", re.sub(rb"\x1b\[[0-9;]*m", b"", r.stdout))


class CompletionTest(unittest.TestCase):
    def complete(self, *words):
        script = ('source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _mcpoold; '
                  '[ ${#COMPREPLY[@]} -eq 0 ] || printf "%s\\n" "${COMPREPLY[@]}"')
        r = subprocess.run(["bash", "-c", script, "bash", COMPLETION, MCPOOLD, *words], capture_output=True, text=True,
                           timeout=DEADLINE)
        self.assertEqual((r.returncode, r.stderr), (0, ""))
        return sorted(r.stdout.split())

    def test_options(self):
        self.assertEqual(self.complete(""), sorted(set(re.findall(OPTION, run("--help").stdout.split("Without")[0]))))
        self.assertEqual(self.complete("--config-m"), ["--config-manual"])

    def test_values(self):
        for words in (["-l", ""], ["--log-level", ""], ["--log-level", "="], ["--log-level", "=", ""]):
            self.assertEqual(self.complete(*words), ["critical", "debug", "error", "info", "notice", "warning"])
        for words in (["-c"], ["--config"], ["--config", "="]):
            self.assertEqual(self.complete(*words, MANUAL[:-1]), [MANUAL])
