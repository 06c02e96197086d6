#!/usr/bin/python3
"""How long a client waits when its idle server has just been killed: from kill -9 to the next answered call.

What the server itself takes from its start to its first answer, measured without a daemon in between and in turn with the
other, is part of that time. The rest is what recovery costs; the target is 50 ms. Prints figures and judges nothing else.
"""
import argparse
import json
import os
import signal
import statistics
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "functional"))

from clients import LineClient, RpcError, StdioClient  # noqa: E402
from daemon import DEMO, FAKE, Daemon  # noqa: E402

TARGET = 0.050
STABLE = 0.2  # a connection that lived this long is brought back without delay
CALLS = {DEMO: ("echo", {"text": "x"}), FAKE: ("record", {"nonce": "x"})}
WHO = {DEMO: "whoami", FAKE: "report"}  # tools that tell the process id


def timed(function, *args):
    began = time.monotonic()
    function(*args)
    return time.monotonic() - began


def own_start(command):
    """From its start to its first answered call."""
    def first_answer():
        clients.append(StdioClient([command]).initialize())
        clients[0].tool(*CALLS[command])
    clients = []
    spent = timed(first_answer)
    clients[0].close()
    return spent


def server_pid(client, command):
    return json.loads(client.tool(WHO[command]))["pid"]


def recovery(client, command, failed):
    """Kills the server of an idle connection that had been stable, and calls until there is an answer: the first call may
    still be read by the dying process, and is then lost with it."""
    old = server_pid(client, command)
    time.sleep(STABLE * 1.5)

    def killed_and_called():
        os.kill(old, signal.SIGKILL)
        while True:
            try:
                return client.tool(*CALLS[command])
            except RpcError as e:
                failed.append(e)
    spent = timed(killed_and_called)
    if server_pid(client, command) == old:
        raise SystemExit("the killed server answered")
    return spent


def measure(command, count):
    """The two times, `count` of each, and how many calls met the dying process."""
    daemon = Daemon({"server": {"command": command}},
                    {"resilience": {"min_connections": 1, "max_connections": 1, "stable_after": STABLE}})
    try:
        daemon.start()
        client = LineClient(daemon, "server").initialize()
        starts, recoveries, failed = [], [], []
        for _ in range(count):
            starts.append(own_start(command))
            recoveries.append(recovery(client, command, failed))
        client.close()
        daemon.stop()
    finally:
        daemon.discard()
    return starts, recoveries, len(failed)


def row(what, seconds, note=""):
    print("  %-38s %8.1f %8.1f %8.1f%s" % (what, 1000 * statistics.median(seconds), 1000 * min(seconds),
                                         1000 * max(seconds), note), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--count", type=int, default=20, help="measurements of each kind (20)")
    o = parser.parse_args()
    print("%-40s %8s %8s %8s" % ("milliseconds", "median", "min", "max"), flush=True)
    for command in CALLS:
        starts, recoveries, failed = measure(command, o.count)
        print(os.path.basename(command))
        row("its own start, to the first answer", starts)
        row("kill -9 to the next answer", recoveries, "   %d calls were lost with the old process" % failed if failed else "")
        beyond = statistics.median(recoveries) - statistics.median(starts)
        print("  %-38s %8.1f   target: within %.0f ms plus the server's own start: %s" % (
            "beyond its own start", 1000 * beyond, 1000 * TARGET, "met" if beyond <= TARGET else "missed"), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
