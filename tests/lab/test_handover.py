"""Clients of a real service keep their connections while systemd restarts it, whatever becomes of the process."""
import os
import random
import signal
import threading
import time

from daemon import poll_until
from harness import text_of
from lab import LabCase, fake, systemctl


class HandoverCase(LabCase):
    def stored(self):
        return int(self.daemon.show("NFileDescriptorStore"))

    def begin_kept(self, **config):
        """Starts the service; RestartSec is short so that tests are."""
        self.drop_in("[Service]\nRestartSec=50ms\n")
        return self.begin(limits={"drain_timeout": 1}, **config)

    def wait_stored(self, count):
        poll_until(lambda: self.stored() >= count, lambda: "%d stored descriptors; there are %d" % (count, self.stored()))

    def restart(self, kill):
        before = self.daemon.pid()
        if kill:
            os.kill(before, signal.SIGKILL)
            poll_until(lambda: self.daemon.pid() not in (0, before), "the next process")
        else:
            systemctl("restart", "mcpool.service")
        self.daemon.wait_show("ActiveState", "active")


class HandoverTest(HandoverCase):
    def test_calls_in_flight_get_one_error_and_their_connections_go_on(self):
        self.begin_kept()
        none = self.stored()
        for kill in (False, True):
            http, line = self.http("fake"), self.line("fake")
            self.wait_stored(none + 2)
            calls = [self.hold(c, key)[0] for c, key in ((http, "a"), (line, "b"))]
            conn = calls[0].post.conn
            self.restart(kill)
            for call in calls:
                self.assert_error(call.error(), -32603, "upstream_lost" if kill else "shutting_down", "maybe", "fake")
            for c in (http, line):
                self.assertEqual(c.tool("record", {"nonce": "x"}), "x")
            self.assertIs(http.idle[-1], conn)
            http.close()
            line.close()
            poll_until(lambda: self.stored() == none, "the store to be as it was")

    def test_a_stop_ends_the_connections(self):
        self.begin_kept()
        none = self.stored()
        line = self.line("fake")
        self.wait_stored(none + 1)
        systemctl("stop", "mcpool.service")
        line.wait_closed()


class LoadTest(HandoverCase):
    def run_client(self, client, stop, outcomes):
        while not stop.is_set():
            m = client.start_tool("record", {"nonce": "x"}).response()
            if "error" in m:
                self.assertIn(m["error"]["data"]["reason"], ("upstream_lost", "shutting_down"))
                outcomes["error"] += 1
            else:
                text_of(m["result"])
                outcomes["ok"] += 1
            time.sleep(random.random() * 0.01)

    def load(self, disturb):
        self.begin_kept()
        none = self.stored()
        clients = [self.http("fake"), self.http("fake"), self.line("fake"), self.line("fake"), self.sse("fake")]
        conns = [c.idle[0] for c in clients[:2]]
        self.wait_stored(none + 6)
        stop, failures = threading.Event(), []
        outcomes = [{"ok": 0, "error": 0} for _ in clients]

        def run(i):
            try:
                self.run_client(clients[i], stop, outcomes[i])
            except BaseException as e:
                failures.append("client %d: %r" % (i, e))
        threads = [threading.Thread(target=run, args=(i,)) for i in range(len(clients))]
        for t in threads:
            t.start()
        try:
            for _ in range(20):
                before = sum(o["ok"] for o in outcomes)
                poll_until(lambda: failures or sum(o["ok"] for o in outcomes) > before + 20, "calls to be answered")
                if failures:
                    break
                disturb()
        finally:
            stop.set()
            for t in threads:
                t.join(30)
        self.assertEqual(failures, [])
        self.assertEqual([c.idle for c in clients[:2]], [[conn] for conn in conns])
        return sum(o["error"] for o in outcomes)

    def test_20_restarts_under_load_lose_no_connection(self):
        self.load(lambda: self.restart(False))

    def test_20_kills_under_load_lose_no_connection(self):
        self.load(lambda: self.restart(True))

    def test_20_reloads_under_load_lose_nothing(self):
        """Of a server that changes with each; its clients do not even see an error."""
        def reload():
            env = self.daemon.config["mcpServers"]["fake"].setdefault("env", {})
            env["ROUND"] = str(int(env.get("ROUND", "0")) + 1)
            self.daemon.configure()
            systemctl("reload", "mcpool.service")
        self.assertEqual(self.load(reload), 0)
        self.assertEqual(self.daemon.generations(), 0)
        self.assertEqual(self.daemon.config["mcpServers"]["fake"]["env"]["ROUND"], "20")
