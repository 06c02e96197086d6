"""That cost.py can fail: at a figure above its ceiling, a wrong answer, a tool that is not there or may not work.
`make bench-cost` runs these before it measures, with the runner of the functional tests."""
import json
import os
import subprocess
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "functional")]

from cost_load import TEXT, Calls, Wrong  # noqa: E402
from cost_profile import Function, Profile  # noqa: E402

PROFILE = """# callgrind format
positions: line
events: Ir
summary: 190

ob=(1) /x/mcpoold
fl=(1) src/wire/json.c
fn=(1) scan
16 100
+2 5
cfn=(2) next
calls=7 20
+1 80
fi=(2) include/base/slice.h
30 5

fn=(2)
20 70
ob=(2) /lib/libevent.so
fl=(3) ???
fn=(3) next.part.0
0 10
ob=(3) /x/bench/cost-marks.so
fn=(4) epoll_wait
0 4

totals: 194
"""


def run(*args, path=None):
    """Exit status and output of cost.py."""
    env = dict(os.environ, PATH=path) if path else None
    said = subprocess.run([sys.executable, os.path.join(HERE, "cost.py"), "--calls", "64", *args], env=env,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=110, check=False)
    return said.returncode, said.stdout


class CeilingTest(unittest.TestCase):
    def test_instructions_above_the_ceiling_fail_and_show_the_functions(self):
        status, said = run("--rows", "unix-1", "--at-most", "1")
        self.assertEqual(status, 1, said)
        self.assertRegex(said, r"(?m)^unix-1 .* FAILED ")
        self.assertEqual(len([line for line in said.split("\n") if line.startswith("    ")]), 21, said)
        self.assertTrue(said.endswith("\n0 passed, 1 failed\n"), said)

    def test_system_calls_above_the_ceiling_fail_and_show_which(self):
        status, said = run("--rows", "http-1-syscalls", "--at-most", "1")
        self.assertEqual(status, 1, said)
        self.assertRegex(said, r"(?m)^ +\d\.\d{3}  read$")
        self.assertTrue(said.endswith("\n0 passed, 1 failed\n"), said)

    def test_a_figure_below_its_ceiling_passes(self):
        status, said = run("--rows", "unix-1-syscalls", "--at-most", "1000")
        self.assertEqual(status, 0, said)
        self.assertTrue(said.endswith("\n1 passed, 0 failed\n"), said)


class ToolTest(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.TemporaryDirectory()
        self.addCleanup(self.dir.cleanup)

    def fails(self, row, sentence):
        status, said = run("--rows", row, path=self.dir.name)
        self.assertEqual(status, 1, said)
        self.assertIn(sentence, said)
        self.assertTrue(said.endswith("\n0 passed, 1 failed\n"), said)

    def test_a_tool_that_is_not_there_fails(self):
        self.fails("unix-1", "there is no valgrind: `scripts/deps cost` installs it")
        self.fails("unix-1-syscalls", "there is no strace: `scripts/deps cost` installs it")

    def test_a_tool_that_may_not_trace_fails(self):
        path = os.path.join(self.dir.name, "strace")
        with open(path, "w", encoding="ascii") as f:
            f.write("#!/bin/sh\necho 'PTRACE_TRACEME: Operation not permitted' >&2\nexit 1\n")
        os.chmod(path, 0o755)
        self.fails("unix-1-syscalls", "ptrace is permitted: PTRACE_TRACEME: Operation not permitted")


class AnswerTest(unittest.TestCase):
    def answered(self, progress, *messages):
        calls, messages = Calls(progress), iter(messages)
        calls.next()
        calls.check_next(lambda: json.dumps(next(messages)))

    def test_an_answer_that_is_not_right_is_noticed(self):
        def answer(id, text):
            return {"jsonrpc": "2.0", "id": id, "result": {"content": [{"type": "text", "text": text}]}}
        self.answered(0, answer(1, TEXT))
        for wrong in (answer(2, TEXT), answer(1, TEXT[1:]), {"jsonrpc": "2.0", "id": 1, "error": {"code": 1, "message": "no"}}):
            self.assertRaises(Wrong, self.answered, 0, wrong)

    def test_a_step_that_is_missing_is_noticed(self):
        def step(token, n):
            return {"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progressToken": token, "progress": n}}
        done = {"jsonrpc": "2.0", "id": 1, "result": {"content": [{"type": "text", "text": "2 steps done"}]}}
        self.answered(2, step(1, 1), step(1, 2), done)
        for wrong in ((step(1, 1), done), (step(1, 2), step(1, 1), done), (step(2, 1), step(2, 2), done)):
            self.assertRaises(Wrong, self.answered, 2, *wrong)


class ProfileTest(unittest.TestCase):
    def profile(self, text):
        with tempfile.NamedTemporaryFile("w", suffix=".callgrind") as f:
            f.write(text)
            f.flush()
            return Profile(f.name)

    def test_each_function_has_its_own_cost_without_what_it_calls_and_measuring_has_none(self):
        p = self.profile(PROFILE)
        self.assertEqual(dict(p.cost), {Function("scan", "wire/json.c"): 110, Function("next", "wire/json.c"): 70,
                                        Function("next", "libevent.so"): 10})
        self.assertEqual((p.total, dict(p.count)), (190, {"next": 7}))

    def test_a_profile_that_is_not_understood_is_no_result(self):
        for wrong in (PROFILE.replace("totals: 194", "totals: 195"), PROFILE.replace("events: Ir", "events: Ir Dr"), PROFILE[:60]):
            self.assertRaises(ValueError, self.profile, wrong)


if __name__ == "__main__":
    unittest.main()
