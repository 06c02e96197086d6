"""mcpool.socket: the address stays open whatever happens to the service."""
import json
import os
import socket
import threading

from daemon import poll_until
from harness import INITIALIZE
from lab import ADDRESS, LabCase, command, systemctl
from wire import HttpConn


class SocketTest(LabCase):
    def request(self):
        return self.request_bytes(INITIALIZE, path="/mcp/fake")

    def test_a_connection_starts_the_service(self):
        d = self.configure()
        systemctl("start", "mcpool.socket")
        self.assertEqual(d.show("ActiveState"), "inactive")
        c = HttpConn(ADDRESS)
        c.send(self.request())
        self.assertEqual(c.read_response().status, 200)
        c.close()
        d.wait_show("ActiveState", "active")
        self.wait_journal("listening on http://127.0.0.1:7332 (inherited)", "_SYSTEMD_UNIT=mcpool.service")

    def test_who_connects_during_restarts_is_served(self):
        self.drop_in("[Service]\nRestartSec=10ms\n")
        d = self.configure()
        systemctl("start", "mcpool.socket")
        results, stop = [], threading.Event()

        def connect():
            while not stop.is_set():
                try:
                    c = HttpConn(ADDRESS)
                    c.send(self.request())
                    r = c.read_response()
                    results.append(r.status if r else "closed")
                    c.close()
                except OSError as e:
                    results.append(e)
        threads = [threading.Thread(target=connect) for _ in range(4)]
        for t in threads:
            t.start()
        try:
            for _ in range(5):
                before = len(results)
                poll_until(lambda: len(results) >= before + 20, "answers")
                systemctl("restart", "mcpool.service")
        finally:
            stop.set()
            for t in threads:
                t.join()
        self.assertEqual([r for r in results if r not in (200, 503)], [])
        self.assertGreaterEqual(results.count(200), 100)
        self.assertEqual(d.show("ActiveState"), "active")

    def test_it_outlives_the_service(self):
        self.configure()
        systemctl("start", "mcpool.socket")
        systemctl("start", "mcpool.service")
        self.http("fake")
        systemctl("stop", "mcpool.service")
        # Somebody listens still: who connects starts it anew.
        self.http("fake")
        systemctl("stop", "mcpool.socket", "mcpool.service")
        with self.assertRaises(ConnectionRefusedError):
            socket.create_connection(ADDRESS)


DOOR = """[Socket]
ListenStream=/run/mcpool-fake.sock
SocketMode=0666
FileDescriptorName=fake
Service=mcpool.service
"""


class DoorTest(LabCase):
    def test_a_door_for_other_users(self):
        path = "/run/systemd/system/mcpool-fake.socket"
        with open(path, "w") as f:
            f.write(DOOR)
        self.addCleanup(systemctl, "daemon-reload")
        self.addCleanup(os.unlink, path)
        self.addCleanup(systemctl, "stop", "mcpool.service", "mcpool-fake.socket", check=False)
        systemctl("daemon-reload")
        systemctl("start", "mcpool-fake.socket")
        self.begin()
        said = command("runuser", "-u", "nobody", "--", "mcpoolctl", "--socket", "/run/mcpool-fake.sock", "connect",
                       input=INITIALIZE.decode() + "\n")
        self.assertIn("protocolVersion", json.loads(said)["result"])
