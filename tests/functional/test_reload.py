"""The configuration is read again while clients work: who does not notice, who goes on, and who is told what
(security.md C06, C07, C09, A09)."""
import copy
import json
import os
import re
import select
import signal
import socket
import stat
import threading
import time

from harness import (ALL_CAPABILITIES, DEADLINE, INITIALIZE, SINGLE, HttpConn, LineClient, Socket, demo, fake, is_sanitized,
                     poll_until)
from material import big_text
from test_activation import ActivationCase
from test_admin import AdminCase
from test_asks import ELICIT
from test_notify import NotifyCase

# Says which way a reload went; each one says it once.
OUTCOME = r" (configuration reloaded|the configuration was not changed|mcpoold is stopping)"


class ReloadCase(AdminCase):
    config = {"resilience": SINGLE, "limits": {"drain_timeout": "60s"}}

    def setUp(self):
        super().setUp()
        self.file = copy.deepcopy(self.daemon.config) if self.daemon else None

    def start(self, *args, **more):
        daemon = super().start(*args, **more)
        self.file = copy.deepcopy(daemon.config)
        return daemon

    # --- the file ---

    def put(self, name, spec):
        """A server's entry, new or in place of the one there."""
        self.file["mcpServers"][name] = self.daemon._prepare(name, spec)

    def drop(self, name):
        del self.file["mcpServers"][name]

    def write(self, text=None, mode=0o600):
        """The file as it is now, in one step."""
        new = self.daemon.config_path + ".new"
        with open(new, "w") as f:
            f.write(json.dumps(self.file, indent=1) if text is None else text)
        os.chmod(new, mode)
        os.rename(new, self.daemon.config_path)

    # --- reloading ---

    def hup(self):
        """SIGHUP; returns the line that says what came of it."""
        mark = self.daemon.log.mark()
        self.daemon.process.send_signal(signal.SIGHUP)
        return self.daemon.log.lines[self.daemon.log.wait(OUTCOME, mark)[0]]

    def reload(self, status=200, dry=False):
        self.write()
        return self.json("/reload" + ("?dry_run=1" if dry else ""), "POST", status)

    def by_turns(self, n):
        """The n-th reload: by signal, or over the admin interface."""
        self.write()
        if n % 2:
            self.assertIn("configuration reloaded", self.hup())
        else:
            self.assertTrue(self.json("/reload", "POST")["applied"])

    # --- looking ---

    def starts(self, server):
        return [e["pid"] for e in self.daemon.ledger(server, "start")]

    def wait_gone(self, pid):
        poll_until(lambda: not os.path.exists("/proc/%d" % pid), "process %d to end" % pid)

    def wait_status(self, path, status):
        """The status of an initialize there, as soon as it is this one."""
        def look():
            return self.exchange(INITIALIZE, path=path).status == status
        poll_until(look, "%d at %s" % (status, path))

    def names(self):
        return [s["name"] for s in self.json("/status")["servers"]]

    def fates(self, reply):
        return {s["server"]: s["fate"] for s in reply["servers"]}

    def effects(self, changes):
        return {c["key"]: c["effect"] for c in changes}

    def stop_at_once(self):
        self.daemon.process.send_signal(signal.SIGTERM)
        self.daemon.log.wait("stopping: ")
        self.daemon.process.send_signal(signal.SIGTERM)

    def asking(self, client, key="elicitation/create"):
        """A call that runs until its client has answered what the server asks: (call, ask)."""
        call = client.start_tool("ask", {"method": key, "params": ELICIT})
        return call, client.wait_message(key)

    def answer(self, client, call, ask):
        client.respond(ask, {"action": "accept", "content": {"n": 1}})
        self.assertEqual(json.loads(call.text()), {"result": {"action": "accept", "content": {"n": 1}}})


class Worker(threading.Thread):
    """A client that calls without a pause; every call must be answered, and well."""

    def __init__(self, server, client):
        super().__init__(daemon=True)
        self.server, self.client = server, client
        self.done, self.error = 0, None
        self.over = threading.Event()

    def run(self):
        try:
            while not self.over.is_set():
                text = self.client.tool("record", {"nonce": str(self.done)})
                assert text == str(self.done), text
                self.done += 1
        except BaseException as e:  # told by the test
            self.error = e


class UnderLoadTest(ReloadCase):
    servers = {"stay": fake(), "change": fake(), "limits": fake()}
    config = {"resilience": {"min_connections": 1, "max_connections": 2}}

    def test_C07_no_call_is_lost_over_many_reloads(self):
        workers = []
        for server in self.servers:
            for way in (self.http, self.line, self.sse, self.http):
                workers.append(Worker(server, way(server)))
            workers[-1].client.open_get()
        for w in workers:
            w.client.tool("report")  # every pool has its connection
        stay, limits, fresh = self.starts("stay"), self.starts("limits"), []
        for w in workers:
            w.start()
        rounds = 6 if is_sanitized() else 20
        for n in range(rounds):
            before = [w.done for w in workers]
            self.put("change", fake("--", "round-%d" % n))
            self.file["mcpServers"]["limits"]["limits"] = {"queue_length": 100 + n, "max_in_flight_per_connection": 4 + n}
            if n % 2:
                self.put("passing", demo())
            elif n:
                self.drop("passing")
            self.by_turns(n)
            if n % 2:
                c = self.http("passing")
                fresh.append(c.tool("echo", {"text": "x"}))
                c.close()
            # Everybody goes on: nobody may wait for anything that does not come.
            poll_until(lambda: all(w.done > b + 1 or w.error for w, b in zip(workers, before)), "every client to go on")
            self.assertEqual([w.error for w in workers if w.error], [])
        for w in workers:
            w.over.set()
        for w in workers:
            w.join(DEADLINE)
            self.assertIsNone(w.error)
        self.assertEqual(fresh, ["x"] * (rounds // 2))
        self.assertEqual(self.starts("stay")[:len(stay)], stay)
        self.assertEqual(self.starts("limits")[:len(limits)], limits)
        for pid in stay + limits:
            self.assertTrue(os.path.exists("/proc/%d" % pid))
        poll_until(lambda: any("round-%d" % (rounds - 1) in arg for arg in self.argv("change")), "the last entry to run")
        for server in self.servers:
            runs = self.daemon.ledger(server, "run", tool="record")
            self.assertEqual(len(runs), sum(w.done for w in workers if w.server == server))

    def argv(self, server):
        return json.loads(self.http(server).tool("report"))["argv"]


class LifeTest(ReloadCase):
    servers = {"a": fake(server_asks="yes"), "b": fake(server_asks="yes")}
    config = {"resilience": {"min_connections": 1, "max_connections": 4}, "limits": {"drain_timeout": "60s"}}

    def test_C07_an_untouched_server_notices_nothing(self):
        everybody = list(self.every_way_in("a", version="2025-11-25", capabilities=ALL_CAPABILITIES))
        sockets = {n: os.stat(self.daemon.socket_path(n)).st_ino for n in ("a", "b", "admin")}
        runs = [self.asking(c) for c in everybody]
        pids = self.starts("a")
        mark = self.daemon.log.mark()
        for n in range(4):
            self.put("b", fake("--", str(n)))
            self.by_turns(n)
        for c, (call, ask) in zip(everybody, runs):
            self.answer(c, call, ask)
        self.assertEqual(self.starts("a"), pids)
        self.assertEqual(sockets, {n: os.stat(self.daemon.socket_path(n)).st_ino for n in sockets})
        self.assertEqual([line for line in self.daemon.log.lines[mark:] if " server=a " in line], [])

    def test_C07_a_removed_server_finishes_what_runs(self):
        everybody = list(self.every_way_in("b", version="2025-11-25", capabilities=ALL_CAPABILITIES))
        runs = [self.asking(c) for c in everybody]
        pids = set(self.starts("b"))
        self.drop("b")
        self.assertEqual(self.fates(self.reload()), {"a": "untouched", "b": "removed"})
        self.assertEqual(self.names(), ["a"])
        self.assertFalse([labels for family in self.metrics().values() for labels in family if ("server", "b") in labels])
        self.assertFalse(os.path.exists(self.daemon.socket_path("b")))
        self.assertEqual(self.exchange(INITIALIZE, path="/mcp/b").status, 404)
        for c in everybody:
            error = c.start_tool("record", {"nonce": "new"}).error()
            self.assert_error(error, -32603, "shutting_down", "no", "b")
            self.assertIn("removed from the configuration", error.message)
        for c, (call, ask) in zip(everybody, runs):
            self.answer(c, call, ask)
        for pid in pids:
            self.wait_gone(pid)
        self.daemon.log.wait(" server=b .*the removed server is stopped")
        self.assertEqual(self.daemon.ledger("b", "run", nonce="new"), [])
        line = everybody[2]
        line.wait_closed()
        post = everybody[0].post(b'{"jsonrpc":"2.0","id":77,"method":"ping"}')
        self.assertEqual(post.wait_end().status, 404)
        self.assertEqual(self.json("/status")["sessions"], 0)

    def test_what_a_removed_server_does_not_finish_ends_with_one_error(self):
        self.file["limits"]["drain_timeout"] = 0.3
        everybody = list(self.every_way_in("b"))
        calls = [self.hold(c, key=str(i), server="b")[0] for i, c in enumerate(everybody)]
        pids = set(self.starts("b"))
        self.drop("b")
        self.reload()
        for call in calls:
            self.assert_error(call.error(), reason="shutting_down", server="b")
        for pid in pids:
            self.wait_gone(pid)
        self.daemon.log.wait("3 calls of the removed server were still running after drain_timeout")

    def test_a_removed_server_comes_back_as_a_new_one(self):
        c = self.http("b")
        c.tool("record", {"nonce": "1"})
        old = self.starts("b")
        calls = self.metrics()["mcpool_calls_total"]
        entry = self.file["mcpServers"]["b"]
        self.drop("b")
        self.reload()
        self.file["mcpServers"]["b"] = entry
        self.assertEqual(self.fates(self.reload())["b"], "added")
        again = self.http("b")
        self.assertEqual(again.tool("record", {"nonce": "2"}), "2")
        self.assertNotIn(self.starts("b")[-1], old)
        key = (("outcome", "result"), ("server", "b"))
        self.assertGreater(calls[key], 0)
        self.assertEqual(self.metrics()["mcpool_calls_total"][key], calls[key])
        self.assertEqual(c.post(b'{"jsonrpc":"2.0","id":77,"method":"ping"}').wait_end().status, 404)

    def test_one_that_comes_back_while_its_namesake_still_drains_shares_nothing_with_it(self):
        old = self.http("b", capabilities=ALL_CAPABILITIES)
        call, ask = self.asking(old)
        pid = self.starts("b")[-1]
        entry = self.file["mcpServers"]["b"]
        for _ in range(3):
            self.drop("b")
            self.reload()
            self.file["mcpServers"]["b"] = entry
            self.reload()
            self.assertEqual(self.line("b").tool("record", {"nonce": "x"}), "x")
        self.assertTrue(os.path.exists("/proc/%d" % pid))
        # What it was asked cannot be answered any more at that address; the call still has its one end.
        self.stop_at_once()
        self.assert_error(call.error(), server="b")
        self.assertIsNotNone(ask)

    def test_who_only_sits_there_is_sent_away_with_the_server(self):
        silent, line = Socket(self.daemon.socket_path("b")), self.line("b", initialize=False)
        line.barrier()
        sse, other = self.sse("b", initialize=False), self.line("a", initialize=False)
        other.barrier()
        self.clients.append(silent)
        self.drop("b")
        self.reload()
        silent.wait_closed()
        line.wait_closed()
        sse.wait(lambda: sse.r.ended, "the end of the stream")
        other.barrier()

    def test_a_changed_server_is_renewed_and_its_sessions_go_on(self):
        everybody = list(self.every_way_in("b", version="2025-11-25", capabilities=ALL_CAPABILITIES))
        runs = [self.asking(c) for c in everybody]
        old = set(self.starts("b"))
        self.put("b", fake("--", "new", server_asks="yes"))
        reply = self.reload()
        self.assertEqual([(s["server"], s["fate"], s["effect"], s["changes"]) for s in reply["servers"]],
                         [("a", "untouched", None, []),
                          ("b", "changed", "renew", [{"key": "args", "effect": "renew"}])])
        for c, (call, ask) in zip(everybody, runs):
            self.answer(c, call, ask)
        for pid in old:
            self.wait_gone(pid)
        for c in everybody:
            report = json.loads(c.tool("report"))
            self.assertEqual(report["argv"][-1], "new")
            self.assertNotIn(report["pid"], old)

    def test_a_server_is_disabled_and_enabled(self):
        self.http("b").tool("record", {"nonce": "1"})
        pid = self.starts("b")[-1]
        self.file["mcpServers"]["b"]["enabled"] = False
        self.assertEqual(self.fates(self.reload()), {"a": "untouched", "b": "removed"})
        self.wait_gone(pid)
        self.file["mcpServers"]["b"]["enabled"] = True
        self.assertEqual(self.fates(self.reload()), {"a": "untouched", "b": "added"})
        self.assertEqual(self.line("b").tool("record", {"nonce": "2"}), "2")

    def test_all_servers_go_and_others_come(self):
        c = self.http("a")
        for name in ("a", "b"):
            self.drop(name)
        reply = self.reload()
        self.assertEqual((reply["removed"], self.names()), (2, []))
        self.assertEqual(self.ask("/readyz").status, 200)
        self.put("z", fake())
        self.assertEqual(self.reload()["added"], 1)
        self.assertEqual(self.http("z").tool("record", {"nonce": "1"}), "1")
        self.assertEqual(c.post(b'{"jsonrpc":"2.0","id":77,"method":"ping"}').wait_end().status, 404)

    def test_a_stop_while_a_removed_server_finishes(self):
        c = self.http("b", capabilities=ALL_CAPABILITIES)
        call, ask = self.asking(c)
        self.drop("b")
        self.reload()
        self.daemon.process.send_signal(signal.SIGTERM)
        self.daemon.log.wait("stopping: ")
        self.assertIn("stopping", self.json("/reload", "POST", 503)["error"])
        self.answer(c, call, ask)
        self.daemon.join()

    def test_a_stop_at_once_while_a_removed_server_finishes(self):
        call, _ = self.hold(self.http("b"), server="b")
        self.drop("b")
        self.reload()
        self.stop_at_once()
        self.assert_error(call.error(), server="b")
        self.daemon.join()


class AggregateTest(ReloadCase):
    servers = {"a": fake()}

    def test_clients_of_the_only_server_go_on_when_there_are_two(self):
        http = self.http("a", path="/mcp", capabilities=ALL_CAPABILITIES)
        line, sse = self.line("mcp"), self.sse("a")
        call, ask = self.asking(http)
        pids = self.starts("a")
        self.put("b", fake())
        self.reload()
        self.assertFalse(os.path.exists(self.daemon.socket_path("mcp")))
        self.assertEqual(self.exchange(INITIALIZE, path="/mcp").status, 404)
        self.answer(http, call, ask)
        for c in (http, line, sse):
            self.assertEqual(c.tool("record", {"nonce": "1"}), "1")
        self.drop("b")
        self.reload()
        for c in (http, line, sse, self.http("a", path="/mcp"), self.line("mcp")):
            self.assertEqual(c.tool("record", {"nonce": "2"}), "2")
        self.assertEqual(self.starts("a")[:len(pids)], pids)
        self.assertEqual(http.delete().status, 200)

    def test_another_server_is_the_only_one(self):
        line, http = self.line("mcp"), self.http("a", path="/mcp")
        self.drop("a")
        self.put("b", fake())
        self.reload()
        line.wait_closed()
        self.assertEqual(http.post(b'{"jsonrpc":"2.0","id":77,"method":"ping"}').wait_end().status, 404)
        for c in (self.http("b", path="/mcp"), self.line("mcp")):
            self.assertEqual(c.tool("record", {"nonce": "2"}), "2")


class ListenersTest(ReloadCase):
    servers = {"a": fake()}

    def unix(self, name):
        return os.path.join(self.daemon.dir, name)

    def test_listeners_open_and_close_and_the_others_stay(self):
        c, kept = self.http("a"), self.conn()
        inode = os.stat(self.daemon.socket_path("a")).st_ino
        self.file["listen"] += ["unix:" + self.unix("one"), "unix:" + self.unix("two")]
        reply = self.reload()
        self.assertEqual(reply["changes"], [{"key": "listen", "effect": "live"}])
        one = HttpConn(self.unix("one"))
        self.clients.append(one)
        ask = self.request_bytes(INITIALIZE, path="/mcp/a")
        self.assertEqual(one.exchange(ask).status, 200)
        self.assertEqual(stat.S_IMODE(os.stat(self.unix("one")).st_mode), 0o600)
        inodes = [os.stat(p).st_ino for p in (self.unix("two"), self.daemon.socket_path("a"))]
        self.file["listen"].remove("unix:" + self.unix("one"))
        self.reload()
        self.assertFalse(os.path.exists(self.unix("one")))
        self.assertEqual(one.exchange(ask).status, 200)  # its connections go on
        self.assertEqual([os.stat(p).st_ino for p in (self.unix("two"), self.daemon.socket_path("a"))], inodes)
        self.assertEqual(inodes[1], inode)
        self.assertEqual(kept.exchange(self.request_bytes(INITIALIZE, path="/mcp/a")).status, 200)
        self.assertEqual(c.tool("record", {"nonce": "1"}), "1")
        self.file["listen"] = []
        self.reload()
        with self.assertRaises(OSError):
            socket.create_connection((self.daemon.host, self.daemon.port), DEADLINE).close()
        self.assertEqual(kept.exchange(self.request_bytes(INITIALIZE, path="/mcp/a")).status, 200)

    def test_lines_are_understood_on_a_listed_socket_while_there_is_one_server(self):
        self.file["listen"].append("unix:" + self.unix("one"))
        self.reload()

        def line():
            c = LineClient(self.daemon, "a")
            c.sock.close()
            c.sock = Socket(self.unix("one"))
            self.clients.append(c)
            return c
        first = line().initialize()
        inode = os.stat(self.unix("one")).st_ino
        self.put("b", fake())
        self.reload()
        self.assertEqual(first.tool("record", {"nonce": "1"}), "1")
        late = line()
        late.send_line(INITIALIZE)
        self.assertTrue(late.sock.recv().startswith(b"HTTP/1.1 400 "))
        self.assertEqual(os.stat(self.unix("one")).st_ino, inode)


class SpoolMemoryTest(ReloadCase):
    servers = {"demo": demo()}

    def spooled_in_a_file(self):
        """Whether a big message lies in a file, while its client does not read."""
        c = self.line()
        call = c.start_tool("big", {"bytes": 4 << 20})
        poll_until(lambda: select.select([c.sock], [], [], 0)[0], "the first bytes")
        try:
            with open("/proc/%d/maps" % self.daemon.process.pid) as f:
                mapped = re.search(r"/#?\S+ \(deleted\)$", f.read(), re.M) is not None
        except PermissionError:
            self.skipTest("only root can look into the daemon")
        self.assertEqual(call.text(), big_text(4 << 20))
        return mapped

    def test_the_memory_of_big_messages_follows(self):
        self.assertFalse(self.spooled_in_a_file())
        for value, in_a_file in ((0, True), ("2MiB", True), ("4MiB", True), ("6MiB", False), (0, True)):
            self.file["limits"] = dict(self.file["limits"], spool_memory=value)
            self.assertEqual(self.effects(self.reload()["changes"]), {"limits.spool_memory": "live"})
            self.assertEqual(self.spooled_in_a_file(), in_a_file, value)


class SettingsTest(ReloadCase):
    servers = {"fake": fake()}

    def test_every_kind_of_effect_is_told(self):
        self.put("other", fake())
        self.reload()
        self.put("fake", fake("--", "x", sharing="exclusive", resilience={"call_timeout": "77s"}))
        self.drop("other")
        self.put("third", fake())
        self.file.update(http={"strict_accept": True}, log_level="debug", admin="unix:" + self.daemon.dir + "/elsewhere")
        self.file["limits"] = dict(self.file["limits"], max_batch=7, spool_dir=self.daemon.dir)
        reply = self.reload()
        self.assertEqual(self.fates(reply), {"fake": "changed", "third": "added", "other": "removed"})
        server = reply["servers"][0]
        self.assertEqual(server["effect"], "restart")
        self.assertEqual(self.effects(server["changes"]),
                         {"args": "renew", "sharing": "restart", "resilience.call_timeout": "live"})
        self.assertEqual(self.effects(reply["changes"]),
                         {"http.strict_accept": "live", "log_level": "live", "admin": "restart",
                          "limits.max_batch": "live", "limits.spool_dir": "restart"})
        self.assertEqual((reply["added"], reply["removed"], reply["changed"], reply["untouched"]), (1, 1, 1, 0))
        self.assertRegex(reply["text"], r"(?m)^server fake: changed$")
        self.assertRegex(reply["text"], r"(?m)^  sharing: needs a restart of mcpoold; the old value stays in force$")
        self.assertTrue(reply["text"].endswith("1 added, 1 removed, 1 changed, 0 untouched\n"))
        for key in ("sharing", "admin", "limits.spool_dir"):
            self.assertEqual(len(self.daemon.log.matching("warning .*reload: %s was changed: needs a restart" % key)), 1)
        # What needs a restart is said again, because it is so; the rest is in force.
        again = self.reload()
        self.assertEqual(self.effects(again["servers"][0]["changes"]), {"sharing": "restart"})
        self.assertEqual(self.effects(again["changes"]), {"admin": "restart", "limits.spool_dir": "restart"})

    def test_global_values_reach_the_servers(self):
        self.put("own", fake(resilience={"call_timeout": "9s"}))
        self.reload()
        c = self.http("fake")
        self.file["resilience"] = dict(SINGLE, call_timeout="200ms")
        reply = self.reload()
        self.assertEqual(self.fates(reply), {"fake": "changed", "own": "untouched"})
        self.assertEqual(reply["changes"], [])
        self.assert_error(c.start_tool("hold", {"key": "k"}).error(), reason="timeout")

    def test_limits_act_on_connections_that_are_there(self):
        http, line = self.http("fake"), self.line("fake")
        for c in (http, line):
            c.tool("record", {"nonce": "0"})
        big, pids = "x" * 30000, self.starts("fake")
        conn = self.conn()
        self.assertEqual(conn.exchange(self.request_bytes(INITIALIZE, path="/mcp/fake")).status, 200)
        self.file["limits"] = {"max_request_bytes": "10KiB"}
        self.reload()
        self.assert_error(line.start_tool("record", {"nonce": big}).error(), reason="too_large")
        self.assertEqual(conn.exchange(self.request_bytes(big.encode(), path="/mcp/fake")).status, 413)
        self.assertEqual(http.tool("record", {"nonce": "1"}), "1")
        self.file["limits"] = {"max_request_bytes": "1MiB", "max_response_bytes": "10KiB"}
        self.reload()
        for c in (http, line):
            self.assert_error(c.start_tool("record", {"nonce": big}).error(), reason="response_too_large")
        for above in ("1MiB", "4KiB"):
            self.file["limits"] = {"stream_above": above}
            self.reload()
            for c in (http, line):
                self.assertEqual(c.tool("record", {"nonce": big * 10}), big * 10)
        self.assertEqual(self.starts("fake"), pids)

    def test_http_options_act_at_once(self):
        c = self.conn()
        ask = self.request_bytes(INITIALIZE, path="/mcp/fake", host="example.org")
        self.assertEqual(c.exchange(ask).status, 403)
        self.file["http"] = {"allowed_hosts": ["example.org"]}
        self.reload()
        self.assertEqual(c.exchange(ask).status, 200)
        del self.file["http"]
        self.reload()
        self.assertEqual(c.exchange(ask).status, 403)

    def test_names_that_were_let_in_are_judged_anew(self):
        c = self.conn()
        good = self.request_bytes(INITIALIZE, path="/mcp/fake", headers=[("Origin", "http://localhost:1")])
        other = self.request_bytes(INITIALIZE, path="/mcp/fake", headers=[("Origin", "http://localhost:1.example.org")])
        twice = self.request_bytes(INITIALIZE, path="/mcp/fake",
                                   headers=[("Origin", "http://localhost:1"), ("Origin", "http://example.org")])
        for ask, status in ((good, 200), (other, 403), (good, 200), (twice, 403)):
            self.assertEqual(c.exchange(ask).status, status)
        self.file["http"] = {"allowed_origins": ["example.org"]}
        self.reload()
        for ask, status in ((good, 403), (other, 403), (twice, 403)):
            self.assertEqual(c.exchange(ask).status, status)
        del self.file["http"]
        self.reload()
        self.assertEqual(c.exchange(good).status, 200)

    def test_keepalives_begin_and_end(self):
        self.file["limits"]["keepalive_interval"] = 0
        self.reload()
        c = self.http("fake")
        stream = c.open_get()
        self.file["limits"]["keepalive_interval"] = 0.1
        self.reload()
        c.wait(lambda: stream.comments >= 3, "comments")
        self.file["limits"]["keepalive_interval"] = 0
        self.reload()
        c.barrier()
        seen = stream.comments
        time.sleep(0.3)
        c.barrier()
        self.assertEqual(stream.comments, seen)

    def test_the_log_level_changes(self):
        self.http("fake").tool("record", {"nonce": "1"})
        self.assertEqual(self.daemon.log.matching(r"Z debug "), [])
        self.file["log_level"] = "warning"
        self.reload()
        mark = self.daemon.log.mark()
        self.http("fake").tool("record", {"nonce": "1"})
        self.file["log_level"] = "info"
        self.reload()
        self.http("fake").tool("record", {"nonce": "1"})
        self.daemon.log.wait(r"Z info .*protocol", mark)
        self.assertEqual(len([x for x in self.daemon.log.lines[mark:] if " info " in x and "protocol" in x]), 1)

    def test_idle_sessions_end_by_the_new_time(self):
        c = self.http("fake")
        self.file["limits"]["session_idle_timeout"] = "1s"
        self.reload()
        self.daemon.log.wait("session ends: idle")
        self.assertEqual(c.post(b'{"jsonrpc":"2.0","id":77,"method":"ping"}').wait_end().status, 404)

    def test_more_connections(self):
        a, b = self.http("fake"), self.http("fake")
        self.file["resilience"] = {"min_connections": 1, "max_connections": 2}
        self.file["limits"] = dict(self.file["limits"], max_in_flight_per_connection=1)
        self.reload()
        one, _ = self.hold(a, "1")
        two, _ = self.hold(b, "2")
        self.assertEqual(len(set(self.starts("fake"))), 2)
        for c, call in ((a, one), (b, two)):
            c.cancel(call)

    def test_nothing_is_different(self):
        reply = self.reload()
        self.assertEqual((reply["applied"], reply["untouched"], reply["changes"]), (True, 1, []))
        self.assertEqual(reply["text"], "0 added, 0 removed, 0 changed, 1 untouched\n")
        self.assertIn("nothing is different", self.hup())

    def test_warnings_are_told(self):
        self.put("strange", demo(alwaysAllow=["x"]))
        (warning,) = self.reload()["warnings"]
        self.assertRegex(warning, r"mcpool\.json:\d+:\d+: warning: .*alwaysAllow")
        self.assertEqual(len(self.daemon.log.matching("warning .*alwaysAllow")), 1)

    def test_a_dry_run_changes_nothing(self):
        c = self.http("fake")
        pids, sockets = self.starts("fake"), sorted(os.listdir(self.daemon.runtime_dir))
        mark, fds = self.daemon.log.mark(), self.daemon.fd_count()
        self.put("fake", fake("--", "x"))
        self.put("new", fake())
        self.file["listen"].append("unix:" + self.daemon.dir + "/one")
        for _ in range(3):
            reply = self.reload(dry=True)
            self.assertEqual((reply["applied"], reply["dry_run"]), (False, True))
            self.assertEqual(self.fates(reply), {"fake": "changed", "new": "added"})
        c.barrier()
        self.assertEqual(self.names(), ["fake"])
        self.assertEqual(self.starts("fake"), pids)
        self.assertEqual(sorted(os.listdir(self.daemon.runtime_dir)), sockets)
        self.assertFalse(os.path.exists(self.daemon.dir + "/one"))
        poll_until(lambda: self.daemon.fd_count() <= fds, "the descriptors to be as before")
        self.write("{")
        reply = self.json("/reload?dry_run=1", "POST", 422)
        self.assertEqual((reply["applied"], len(reply["errors"])), (False, 1))
        told = [x for x in self.daemon.log.lines[mark:] if re.search("reload|configuration|listen|added|mcpool.json", x)]
        self.assertEqual(told, [])
        self.assertEqual(self.ask("/reload?dry=1", "POST").status, 400)
        self.assertEqual(self.ask("/reload").status, 405)

    def test_a_token_in_the_environment_of_a_server_is_never_told(self):
        self.put("fake", fake(env={"K": "hunter1"}))
        self.reload()
        self.put("fake", fake(env={"K": "hunter2"}))
        r = self.json("/reload", "POST")
        self.assertNotIn("hunter", json.dumps(r) + self.daemon.log.text())


class BadFileTest(ReloadCase):
    servers = {"fake": fake()}

    def setUp(self):
        super().setUp()
        self.daemon.allow_error("the configuration was not changed|mcpool.json.*(error|note): |cannot listen on")

    def expect_refusal(self, what):
        """By signal and over the admin interface: the error is told, and the old configuration is in force."""
        mark = self.daemon.log.mark()
        self.assertIn("the configuration was not changed", self.hup())
        self.daemon.log.wait(r"Z error .*" + what, mark)
        reply = self.json("/reload", "POST", 422)
        self.assertFalse(reply["applied"])
        self.assertTrue(any(re.search(what, e) for e in reply["errors"]), reply)
        self.assertRegex(reply["error"], "^the configuration was not changed: ")
        self.assertEqual(self.names(), ["fake"])
        self.assertEqual(sorted(os.listdir(self.daemon.runtime_dir)), ["admin.sock", "fake.sock", "mcp.sock"])

    def test_C06_an_invalid_file_leaves_the_old_one_in_force(self):
        everybody = list(self.every_way_in("fake"))
        for c in everybody:
            c.tool("record", {"nonce": "0"})
        pids = self.starts("fake")
        good = json.dumps(self.file)
        self.put("new", demo())
        listed = dict(self.file, listen=["unix:" + self.daemon.dir + "/one"])
        taken = socket.create_server(("127.0.0.1", 0))
        cases = {
            "not JSON": ('{"mcpServers": ', r"mcpool\.json:1:\d+: error"),
            "an unknown key": (json.dumps(dict(self.file, resiliece={})), r"unknown key .resiliece.[,;].* did you mean"),
            "a bad value": (json.dumps(dict(self.file, limits={"max_batch": -1})), "max_batch"),
            "a bad server": (json.dumps(dict(listed, mcpServers={"new": {"command": 7}})), "command"),
            "nothing": ("", "error"),
            "an address in use": (json.dumps(dict(self.file, listen=self.file["listen"] + [
                "unix:" + self.daemon.dir + "/one", "127.0.0.1:%d" % taken.getsockname()[1]])),
                "cannot listen on 127.0.0.1:%d: Address already in use" % taken.getsockname()[1]),
            "a directory that is not there": (json.dumps(dict(self.file, listen=["unix:/no/such/dir/x"])),
                                              "cannot listen on unix:/no/such/dir/x: No such file"),
        }
        for name, (text, what) in cases.items():
            with self.subTest(name):
                self.write(text)
                self.expect_refusal(what)
                self.assertFalse(os.path.exists(self.daemon.dir + "/one"))
        for name, mode in (("writable for others", 0o666), ("writable for the group", 0o660)):
            with self.subTest(name):
                self.write(mode=mode)
                self.expect_refusal("mcpool.json: error: ")
        with self.subTest("not there"):
            os.unlink(self.daemon.config_path)
            self.expect_refusal("No such file")
        with self.subTest("a directory"):
            os.mkdir(self.daemon.config_path)
            self.expect_refusal("mcpool.json: error: ")
            os.rmdir(self.daemon.config_path)
        for c in everybody:
            self.assertEqual(c.tool("record", {"nonce": "1"}), "1")
        self.assertEqual(self.starts("fake"), pids)
        taken.close()
        self.write(good)
        self.assertIn("nothing is different", self.hup())

    def test_many_errors_are_all_told(self):
        self.file["limits"] = {"a%d" % i: 1 for i in range(30)}
        self.write()
        reply = self.json("/reload", "POST", 422)
        self.assertEqual(reply["error"], "the configuration was not changed: 30 errors")
        self.assertEqual(len(reply["errors"]), 21)
        self.assertIn("10 more not shown", reply["errors"][-1])


class StormTest(ReloadCase):
    servers = {"fake": fake()}

    def test_A09_a_storm_of_signals_is_harmless_and_the_last_file_wins(self):
        c = self.http("fake")
        pids, mark = self.starts("fake"), self.daemon.log.mark()
        for n in range(300):
            if n % 50 == 0:
                self.file["limits"]["max_batch"] = 10 + n
                self.write()
            self.daemon.process.send_signal(signal.SIGHUP)
        self.put("last", fake())
        self.write()
        self.daemon.process.send_signal(signal.SIGHUP)
        poll_until(lambda: "last" in self.names(), "the last file to be in force")
        self.assertEqual(c.tool("record", {"nonce": "1"}), "1")
        self.assertEqual(self.starts("fake"), pids)
        def lines(what):
            return [x for x in self.daemon.log.lines[mark:] if what in x]
        poll_until(lambda: len(lines("configuration reloaded")) == len(lines("SIGHUP received")), "the log to say so")
        self.assertLess(len(lines("SIGHUP received")), 200)

    def test_C09_a_thousand_reloads_cost_nothing(self):
        """Servers, sockets and settings come and go; what is left in the end is what was there."""
        c, line = self.http("fake"), self.line("fake")
        c.open_get()
        line.tool("record", {"nonce": "0"})
        pids = self.starts("fake")
        conn = self.admin()
        ask = b"POST /reload HTTP/1.1\r\nHost: admin\r\n\r\n"

        def one(n):
            self.file["limits"]["max_batch"] = 10 + n % 7
            self.file["log_level"] = "error"
            self.file["listen"] = self.daemon.config["listen"] + (["unix:" + self.daemon.dir + "/one"] if n % 2 else [])
            if n % 2:
                self.put("passing", demo(resilience={"min_connections": 0}))
            else:
                self.file["mcpServers"].pop("passing", None)
            self.file["mcpServers"]["fake"]["limits"] = {"queue_length": 100 + n % 5}
            self.write()
            r = conn.exchange(ask, "POST")
            self.assertEqual(r.status, 200, r.body)

        def settle():
            self.assertEqual(c.tool("record", {"nonce": "1"}), "1")
            return self.daemon.fd_count(), self.daemon.rss_kb()
        total = 200 if is_sanitized() else 1000
        for n in range(total // 4):
            one(n)
        one(0)
        fds, rss = settle()
        for n in range(total // 4, total):
            one(n)
        one(0)
        fds_after, rss_after = settle()
        self.assertEqual(fds_after, fds)
        if not is_sanitized():
            self.assertLess(rss_after, rss + 1024, "%d KiB before, %d after" % (rss, rss_after))
        self.assertEqual(line.tool("record", {"nonce": "1"}), "1")
        self.assertEqual(self.starts("fake"), pids)

    def test_C09_servers_that_ran_leave_nothing_behind(self):
        c = self.http("fake")
        fds = None
        for n in range(12):
            self.put("passing", demo())
            self.reload()
            way = (self.http, self.line, self.sse)[n % 3]("passing")
            self.assertEqual(way.tool("echo", {"text": "x"}), "x")
            self.drop("passing")
            self.reload()
            way.close()
            poll_until(lambda: len(self.daemon.log.matching("the removed server is stopped")) == n + 1, "the end of it")
            poll_until(lambda: self.json("/status")["connections"] <= 1, "the client's connection to be closed")
            if n == 2:
                fds = self.daemon.fd_count()
            elif n > 2:
                poll_until(lambda: self.daemon.fd_count() <= fds, lambda: "%d descriptors, not %d" % (fds, self.daemon.fd_count()))
        self.assertEqual(c.tool("record", {"nonce": "1"}), "1")


class InheritedTest(ActivationCase, ReloadCase):
    """Sockets of the service manager, which goes on listening whatever we do."""
    servers = None
    config = {"resilience": SINGLE}

    def test_they_stay_and_lead_to_their_server_alone(self):
        tcp = self.pass_inet("http").getsockname()
        self.pass_unix("a.sock", "door")
        self.begin({"a": fake(), "b": fake()})
        self.daemon.host, self.daemon.port = tcp
        door = self.path("door")
        self.assertEqual(self.line_at(door).tool("record", {"nonce": "1"}), "1")
        entry = self.file["mcpServers"]["a"]
        self.drop("a")
        self.file["listen"] = []
        self.reload()
        conn = HttpConn(door)
        self.clients.append(conn)
        for path in ("/mcp/a", "/mcp", "/mcp/b", "/sse/b"):
            method = "GET" if "sse" in path else "POST"
            ask = self.request_bytes(INITIALIZE if method == "POST" else b"", method=method, path=path)
            self.assertEqual(conn.exchange(ask, method).status, 404, path)
        self.assertEqual(self.http("b").tool("record", {"nonce": "1"}), "1")
        self.file["mcpServers"]["a"] = entry
        self.reload()
        self.assertEqual(self.line_at(door).tool("record", {"nonce": "2"}), "2")
        self.assertEqual(conn.exchange(self.request_bytes(INITIALIZE, path="/mcp/a")).status, 200)
        self.assertEqual(conn.exchange(self.request_bytes(INITIALIZE, path="/mcp/b")).status, 404)


class ManagerTest(NotifyCase, ReloadCase):
    servers = None

    def test_the_manager_is_told_of_each_reload(self):
        self.begin({"fake": fake()})
        at, _ = self.manager.wait_for("READY", "1")
        self.daemon.allow_error("the configuration was not changed|mcpool.json")
        for good in (True, False, True):
            self.write(None if good else "{")
            began = time.monotonic_ns() // 1000
            self.hup()
            at, m = self.manager.wait_for("RELOADING", "1", at)
            self.assertGreaterEqual(int(m["MONOTONIC_USEC"]), began)
            at, _ = self.manager.wait_for("READY", "1", at)
        self.assertEqual(self.reload()["untouched"], 1)
        at, _ = self.manager.wait_for("RELOADING", "1", at)
        self.manager.wait_for("READY", "1", at)
