"""A minute's worth of tests/chaos in a few seconds: every test run sees some of everything at once."""
import os
import sys
import unittest

sys.path.append(os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "chaos"))
import chaos  # noqa: E402


class ChaosTest(unittest.TestCase):
    def test_sixty_faults_leave_no_trace(self):
        world, summary = chaos.run(chaos.parse(["--faults", "60", "--rate", "15", "--restarts", "2", "--seed", "1"]))
        self.assertEqual(world.found, [], summary)


if __name__ == "__main__":
    unittest.main()
