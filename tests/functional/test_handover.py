"""Clients keep their connections over a restart, a crash and an upgrade of the daemon: through the descriptor store."""
import fcntl
import json
import mmap
import os
import random
import signal
import threading
import time

from fdstore import KeptDaemon
from harness import LATEST, OLDEST, SINGLE, DaemonCase, HttpClient, LineClient, SseClient, fake, poll_until, text_of

KILL, STOP = True, False
BOTH_WAYS = (KILL, STOP)
URI = "x://1"


class KeptCase(DaemonCase):
    servers = {"fake": fake()}
    store = {}

    def start(self, config=None, **more):
        config = {"resilience": SINGLE, "limits": {"drain_timeout": "300ms"}, **(config or {})}
        self.daemon = KeptDaemon(self.servers, config, **self.store)
        self.addCleanup(self._finish, self.daemon)
        return self.daemon.start(**more)

    def http(self, server="fake", **more):
        return super().http(server, **more)

    def line(self, server="fake", **more):
        return super().line(server, **more)

    def sse(self, server="fake", **more):
        return super().sse(server, **more)

    def line_at(self, path):
        """A line client of a socket of `listen`."""
        self.daemon.socket_path = lambda server: path
        try:
            return self.line()
        finally:
            del self.daemon.socket_path

    def wait_kept(self, count):
        self.daemon.store.wait_kept(count)

    def went_on(self):
        """What the new process did: (connections that go on, closed, requests answered)."""
        _, m = self.daemon.log.wait(r"(\d+) client connections of the process before go on, (\d+) were closed; (\d+) req")
        return tuple(map(int, m.groups()))

    def held(self, client, key="k"):
        call, _ = self.hold(client, key)
        return call

    def assert_lost(self, call, kill):
        """The one honest error of a call that was in flight."""
        e = call.error()
        self.assert_error(e, -32603, "upstream_lost" if kill else "shutting_down", "maybe", "fake")

    def read_another(self, client):
        """When this returns the daemon has read what others sent before, and after that something of this client."""
        client.barrier()
        client.barrier()

    def assert_works(self, client):
        report = json.loads(client.tool("report"))
        self.assertTrue(os.path.exists("/proc/%d" % report["pid"]))


class EveryWayInTest(KeptCase):
    def test_idle_connections_go_on(self):
        for kill in BOTH_WAYS:
            http, unix, line, sse = self.http(), self.http(unix=True), self.line(), self.sse()
            self.wait_kept(5)  # an SSE client has two
            conns = http.idle[0], unix.idle[0]
            self.daemon.restart(kill)
            self.assertEqual(self.went_on(), (5, 0, 0))
            for c in (http, unix, line, sse):
                self.assert_works(c)
            self.assertIs(http.idle[0], conns[0])
            self.assertIs(unix.idle[0], conns[1])
            for c in (http, unix, line, sse):
                c.close()
            self.wait_kept(0)

    def test_calls_in_flight_get_one_error_and_the_client_goes_on(self):
        for kill in BOTH_WAYS:
            clients = [self.http(), self.http(unix=True), self.line(), self.sse()]
            self.wait_kept(5)
            calls = [self.held(c, "k%d" % i) for i, c in enumerate(clients)]
            self.daemon.restart(kill)
            for call in calls:
                self.assert_lost(call, kill)
            for c in clients:
                self.assert_works(c)
                c.barrier()
                self.assertEqual(c.responses, {})
                c.close()
            self.wait_kept(0)

    def test_a_call_can_be_cancelled_while_the_daemon_waits_for_it_to_end(self):
        self.daemon.config["limits"]["drain_timeout"] = "10m"
        self.daemon.restart(STOP)
        for make in (self.http, self.line, self.sse):
            client = make()
            self.wait_kept(1 if make != self.sse else 2)
            call = self.held(client)
            self.daemon.process.terminate()
            self.daemon.log.wait("SIGTERM received")
            client.cancel(call)
            self.daemon.process.wait(60)
            self.daemon.store.sync()
            self.daemon.start()
            self.assert_works(client)
            client.close()
            self.wait_kept(0)

    def test_again_and_again(self):
        clients = [self.http(), self.line(), self.sse()]
        self.wait_kept(4)
        for i in range(6):  # more often than an adoption may fail
            self.daemon.restart(i % 2 == 0)
        for c in clients:
            self.assert_works(c)

    def test_a_call_that_comes_while_the_daemon_is_away_waits_for_the_next(self):
        for kill in BOTH_WAYS:
            http, line, sse = self.http(), self.line(), self.sse()
            self.wait_kept(4)
            self.daemon.end(kill)
            calls = [c.start_tool("report") for c in (http, line)]
            self.daemon.start()
            for call in calls:
                call.text()
            self.assert_works(sse)
            for c in (http, line, sse):
                c.close()
            self.wait_kept(0)

    def test_who_connects_while_the_daemon_is_away_is_served_by_the_next(self):
        for kill in BOTH_WAYS:
            self.daemon.end(kill)
            http, line = HttpClient(self.daemon, "fake"), LineClient(self.daemon, "fake")
            self.clients += [http, line]
            params = {"protocolVersion": LATEST, "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
            calls = [c.start("initialize", params) for c in (http, line)]
            self.daemon.start()
            for call in calls:
                self.assertEqual(call.result()["protocolVersion"], LATEST)

    def test_what_each_had_subscribed_to_comes_back(self):
        for kill in BOTH_WAYS:
            line, sse = self.line(), self.sse()
            self.wait_kept(3)
            for c in (line, sse):
                c.request("resources/subscribe", {"uri": URI})
            self.daemon.restart(kill)
            for c in (line, sse):
                c.wait_message("notifications/resources/updated")
            for c in (line, sse):
                self.emit(c, {"jsonrpc": "2.0", "method": "notifications/resources/updated", "params": {"uri": URI}})
                c.wait_message("notifications/resources/updated")
                c.close()
            self.wait_kept(0)

    def test_a_client_that_has_not_initialized_yet_may_do_so_at_the_next(self):
        line = self.line(initialize=False)
        self.wait_kept(1)
        self.daemon.restart(KILL)
        self.assertEqual(line.request("ping"), {})
        line.initialize()
        self.assert_works(line)


class HttpTest(KeptCase):
    def start(self, **more):
        return super().start(config={"limits": {"drain_timeout": "300ms", "keepalive_interval": "200ms"}}, **more)

    def test_an_open_event_stream_ends_with_the_error_and_its_connection_goes_on(self):
        http = self.http(version=LATEST)
        self.wait_kept(1)
        call = self.held(http)
        conn = call.post.conn
        call.post.wait_head()  # the first keep-alive begins the stream
        self.daemon.restart(KILL)
        self.assert_lost(call, KILL)
        call.post.wait_end()
        self.assertTrue(call.post.r.clean)
        self.assertTrue(call.post.r.is_sse)
        self.assert_works(http)
        self.assertIn(conn, http.idle)

    def test_a_get_stream_ends_in_good_order_and_can_be_opened_again(self):
        for kill in BOTH_WAYS:
            http = self.http(version=LATEST)
            get = http.open_get()
            self.wait_kept(2)
            self.daemon.restart(kill)
            get.wait_end()
            self.assertTrue(get.r.clean)
            again = http.open_get(get.event_ids[-1] if get.event_ids else get.priming[-1])
            self.assertEqual(again.status, 200)
            get.conn.close()
            http.close()
            self.wait_kept(0)

    def test_a_batch_in_flight_is_answered_as_a_batch(self):
        http = self.http(version="2025-03-26")
        self.wait_kept(1)
        body = [{"jsonrpc": "2.0", "id": i, "method": "tools/call",
                 "params": {"name": "hold", "arguments": {"key": i, "nonce": i}}} for i in ("a", 2)]
        post = http.post(json.dumps(body).encode())
        for i in ("a", 2):
            self.daemon.wait_ledger("fake", "run", tool="hold", nonce=i)
        self.daemon.restart(KILL)
        post.wait_end()
        errors = {m["id"]: m["error"]["data"]["reason"] for m in post.messages}
        self.assertEqual(errors, {"a": "upstream_lost", 2: "upstream_lost"})
        self.assert_works(http)

    def test_half_a_request_is_whole_after_a_planned_restart(self):
        http = self.http()
        self.wait_kept(1)
        conn = http.idle.pop()
        body = json.dumps({"jsonrpc": "2.0", "id": 77, "method": "ping"}).encode()
        head = http.head("POST", [("Content-Type", "application/json"), ("Accept", "application/json, text/event-stream"),
                                  ("Content-Length", str(len(body)))])
        whole = "\r\n".join(head).encode() + b"\r\n\r\n" + body
        conn.send(whole[:40])
        time.sleep(0.1)  # to be read; if it is not, it waits in the kernel
        self.daemon.restart(STOP)
        conn.send(whole[40:])
        self.assertEqual(json.loads(bytes(conn.read_response("POST").body)), {"jsonrpc": "2.0", "id": 77, "result": {}})

    def test_half_a_request_at_a_crash_is_finished_or_refused_in_words(self):
        """Its bytes are lost when another connection was read after it."""
        http, other = self.http(), self.http()
        self.wait_kept(2)
        for read_another in (False, True):
            conn = http.connection()
            head = http.head("POST", [("Content-Type", "application/json"), ("Content-Length", "100")])
            conn.send("\r\n".join(head).encode()[:60])
            if read_another:
                self.read_another(other)
            self.daemon.restart(KILL)
            if read_another:
                r = conn.read_response("POST")
                self.assertEqual(r.status, 503)
                self.assertEqual(json.loads(bytes(r.body))["error"]["data"]["delivered"], "no")
                conn.wait_closed()
            else:
                conn.send("\r\n".join(head).encode()[60:] + b"\r\nAccept: application/json\r\n\r\n" +
                          b'{"jsonrpc":"2.0","id":1,"method":"ping"}'.ljust(100))
                r = conn.read_response("POST")
                self.assertEqual(json.loads(bytes(r.body))["result"], {})
                http.idle.append(conn)


class LineTest(KeptCase):
    def test_half_a_line_is_whole_after_a_planned_restart(self):
        line = self.line()
        self.wait_kept(1)
        for part in (b'{"jsonrpc":"2.0","id":"x",', b'{"a":"' + b"y" * 200000):  # in the buffer; taken from it already
            line.sock.send(part)
            time.sleep(0.1)
            self.daemon.restart(STOP)
            if part.endswith(b","):
                line.sock.send(b'"method":"ping"}\n')
                line.wait(lambda: '"x"' in line.responses, "the answer")
            else:
                line.sock.send(b'","id":"z","jsonrpc":"2.0","method":"ping"}\n')
                line.wait(lambda: '"z"' in line.responses, "the answer")
        self.assert_works(line)

    def test_a_line_of_which_the_beginning_is_lost_is_skipped_and_told(self):
        line, other = self.line(), self.http()
        self.wait_kept(2)
        line.sock.send(b'{"jsonrpc":"2.0","id":"x",')
        self.read_another(other)
        self.daemon.restart(KILL)
        line.sock.send(b'"method":"ping"}\n')
        self.assert_error(line.wait_error(), -32603, "upstream_lost", "maybe")
        self.assert_works(line)
        self.assertNotIn('"x"', line.responses)

    def test_lines_that_wait_behind_a_call_at_a_stop_are_answered(self):
        line = self.line()
        self.wait_kept(1)
        self.held(line)
        calls = [line.start("ping") for _ in range(20)]
        self.daemon.restart(STOP)
        for call in calls:
            self.assertEqual(call.result(), {})

    def test_more_calls_in_flight_than_are_noted_close_the_connection_at_a_crash_only(self):
        for kill in (STOP, KILL):
            line = self.line()
            self.wait_kept(1)
            calls = [line.start_tool("hold", {"key": str(i), "nonce": "%s%d" % (kill, i)}) for i in range(17)]
            self.daemon.wait_ledger("fake", "run", tool="hold", nonce="%s0" % kill)
            line.barrier()
            self.daemon.restart(kill)
            if kill:
                self.assertEqual(self.went_on(), (0, 1, 0))
                line.wait_closed()
            else:
                for call in calls:
                    self.assert_error(call.error(), -32603, "shutting_down")
                self.assert_works(line)
            line.close()
            self.wait_kept(0)

    def test_lines_on_a_socket_that_leads_to_several_servers_now_are_closed(self):
        path = os.path.join(self.daemon.dir, "extra.sock")
        self.daemon.config["listen"].append("unix:" + path)
        self.daemon.restart(STOP)
        for kill in BOTH_WAYS:
            usual = self.line()
            line = self.line_at(path)
            self.wait_kept(2)
            self.daemon.end(kill)
            self.daemon.config["mcpServers"]["second"] = self.daemon.config["mcpServers"]["fake"]
            self.daemon.start()
            self.assertEqual(self.went_on(), (1, 1, 0))
            line.wait_closed()
            self.assert_works(usual)
            usual.close()
            self.wait_kept(0)
            del self.daemon.config["mcpServers"]["second"]
            self.daemon.restart(STOP)


class SseTest(KeptCase):
    def test_event_ids_go_on_and_the_stream_can_be_resumed_later(self):
        sse = self.sse()
        self.wait_kept(2)
        self.assert_works(sse)
        stream, before = sse.last_event_id.rsplit(".", 1)
        self.daemon.restart(KILL)
        self.assert_works(sse)
        after = sse.last_event_id.rsplit(".", 1)
        self.assertEqual(after[0], stream)
        self.assertGreater(int(after[1]), int(before))
        sse.cut_off()
        sse.connect()
        self.assertIn(stream, sse.endpoint)
        self.assert_works(sse)

    def test_a_stream_whose_record_names_another_owner_is_closed(self):
        sse = self.sse()
        self.wait_kept(2)
        self.daemon.end(KILL)
        with mmap.mmap(dict(self.daemon.store.fds)["ledger"], 0) as ledger:
            at = ledger.find(b"anonymous\0")
            self.assertGreater(at, 0)
            ledger[at:at + 10] = b"uid:65534\0"
        self.daemon.start()
        self.assertEqual(self.went_on(), (1, 1, 0))  # the connection of its POSTs goes on
        self.daemon.log.wait("an event stream of the process before is ended")
        self.wait_kept(1)


class StoreTest(KeptCase):
    def test_a_socket_that_comes_back_under_the_name_of_another_is_closed(self):
        line, http = self.line(), self.http()
        self.wait_kept(2)
        self.daemon.end(KILL)
        store = self.daemon.store
        a, b = store.connections()
        other = {a: b, b: a}
        store.fds = [(other.get(name, name), fd) for name, fd in store.fds]
        self.daemon.start()
        self.assertEqual(self.went_on(), (0, 2, 0))
        line.wait_closed()
        http.idle.pop().wait_closed()
        self.wait_kept(0)

    def test_names_are_never_those_of_another_ledger(self):
        line = self.line()
        self.wait_kept(1)
        old = self.daemon.store.connections()
        self.daemon.end(KILL)
        os.pwrite(dict(self.daemon.store.fds)["ledger"], b"\xff", 8)
        self.daemon.start()
        line.wait_closed()
        self.line()
        self.wait_kept(1)
        self.assertNotEqual(self.daemon.store.connections(), old)

    def test_a_connection_that_the_daemon_closes_ends_for_the_client_though_the_store_has_a_copy(self):
        http = self.http()
        self.wait_kept(1)
        conn = http.idle.pop()
        conn.send(b"GET / HTTP/9.9\r\n\r\n")
        conn.read_response("GET")
        conn.wait_closed()
        self.wait_kept(0)

    def test_connections_of_clients_that_left_while_the_daemon_was_away_are_dropped(self):
        http, line = self.http(), self.line()
        self.wait_kept(2)
        self.daemon.end(KILL)
        line.close()
        self.daemon.start()
        self.assert_works(http)
        self.wait_kept(1)

    def test_what_a_version_that_nobody_knows_has_left_is_closed(self):
        line = self.line()
        self.wait_kept(1)
        self.daemon.end(KILL)
        ledger = dict(self.daemon.store.fds)["ledger"]
        os.pwrite(ledger, b"\xff", 8)
        self.daemon.start()
        self.daemon.log.wait("another version of mcpool")
        line.wait_closed()
        self.wait_kept(0)
        self.assert_alive("fake")
        http = self.http()
        self.wait_kept(1)
        self.daemon.restart(KILL)
        self.assert_works(http)

    def test_a_ledger_of_any_bytes_harms_nobody(self):
        rnd = random.Random(4711)
        for round in range(8):
            clients = [self.http(), self.line(), self.sse()]
            self.wait_kept(4)
            self.held(clients[1], "k%d" % round)
            self.daemon.end(KILL)
            ledger = dict(self.daemon.store.fds)["ledger"]
            if round == 0:
                for name, fd in list(self.daemon.store.fds):
                    if name.startswith("c-"):
                        self.daemon.store.fds[self.daemon.store.fds.index((name, fd))] = (name + "9", fd)
            for _ in range(400):
                os.pwrite(ledger, rnd.randbytes(rnd.choice((1, 8))), 64 + 65536 + 200 + rnd.randrange(12000))
            self.daemon.start()
            self.went_on()
            clients.append(self.http())
            self.assert_works(clients[-1])
            for c in clients:
                c.close()
            self.wait_kept(0)
            self.daemon.store.sync()

    def test_a_ledger_that_could_shrink_is_not_mapped(self):
        self.daemon.end(KILL)
        store = self.daemon.store
        fd = os.memfd_create("x", os.MFD_ALLOW_SEALING)
        os.truncate(fd, os.fstat(dict(store.fds)["ledger"]).st_size)
        os.sendfile(fd, dict(store.fds)["ledger"], 0, 1 << 20)
        self.assertEqual(fcntl.fcntl(fd, fcntl.F_GET_SEALS), 0)
        store.fds = [(n, fd if n == "ledger" else f) for n, f in store.fds]
        self.daemon.start()
        self.daemon.log.wait("another version of mcpool")
        self.assert_alive("fake")

    def test_a_socket_whose_file_is_gone_is_made_anew(self):
        line = self.line()
        self.wait_kept(1)
        self.daemon.end(KILL)
        os.unlink(self.daemon.socket_path("fake"))
        self.daemon.start()
        self.assert_works(self.line())
        self.assert_works(line)
        self.daemon.restart(KILL)
        self.assert_works(self.line())

    def test_a_stop_leaves_nothing_behind_but_what_the_manager_drops(self):
        line = self.line()
        self.wait_kept(1)
        self.daemon.end(STOP)
        for name, fd in self.daemon.store.fds:
            os.close(fd)
        self.daemon.store.fds = []
        line.wait_closed()
        self.daemon.start()


class FullTest(KeptCase):
    store = {"size": 34}  # two connections, beside the places for other things

    def test_those_for_whom_there_is_no_place_are_served_all_the_same(self):
        first = [self.line(), self.line()]
        self.wait_kept(2)
        more = [self.line(), self.http()]
        for kill in BOTH_WAYS:
            for c in more:
                self.assert_works(c)
            self.daemon.restart(kill)
            for c in first:
                self.assert_works(c)
            more[0].wait_closed()
            more = [self.line(), self.http()]


class NoStoreTest(KeptCase):
    store = {"size": 0}

    def test_without_a_store_nothing_is_given_away(self):
        http, line = self.http(), self.line()
        time.sleep(0.7)
        self.daemon.store.sync()
        self.assertEqual(self.daemon.store.fds, [])
        self.daemon.restart(STOP)
        line.wait_closed()
        http.idle[0].wait_closed()


class ReloadTest(KeptCase):
    def test_a_listener_that_a_reload_brings_is_kept_and_one_that_it_takes_is_not(self):
        path = os.path.join(self.daemon.dir, "extra.sock")
        self.daemon.config["listen"].append("unix:" + path)
        self.reload()
        poll_until(lambda: os.path.exists(path), "the new socket")
        self.daemon.store.wait(lambda s: len(self.listeners()) == 4, "its place in the store")
        self.daemon.restart(KILL)
        line = self.line_at(path)
        self.daemon.config["listen"].remove("unix:" + path)
        self.reload()
        self.daemon.store.wait(lambda s: len(self.listeners()) == 3, "its end")
        poll_until(lambda: not os.path.exists(path), "the end of its file")
        self.assert_works(line)

    def listeners(self):
        return [n for n, _ in self.daemon.store.fds if n.startswith("l-")]

    def reload(self):
        with open(self.daemon.config_path, "w") as f:
            json.dump(self.daemon.config, f)
        self.daemon.process.send_signal(signal.SIGHUP)


class LoadTest(KeptCase):
    """Many clients, each with one call after the other, while the daemon goes and comes."""

    ROUNDS = 20

    def run_client(self, make, number, stop, outcomes):
        client = make(initialize=False)
        client.initialize()
        conns = set()
        n = 0
        while not stop.is_set():
            n += 1
            m = client.start_tool("report").response()
            if "error" in m:
                self.assertIn(m["error"]["data"]["reason"], ("upstream_lost", "shutting_down"))
                outcomes["error"] += 1
            else:
                text_of(m["result"])
                outcomes["ok"] += 1
            conns.update(map(id, getattr(client, "idle", ())))
            time.sleep(random.random() * 0.004)
        if isinstance(client, HttpClient) and not isinstance(client, SseClient):
            self.assertEqual(len(conns), 1, "a client needed another connection")

    def load(self, kill):
        stop, failures = threading.Event(), []
        outcomes = [{"ok": 0, "error": 0} for _ in range(8)]
        makers = [self.http] * 3 + [lambda **m: self.http(unix=True, **m)] + [self.line] * 2 + [self.sse] * 2

        def run(i):
            try:
                self.run_client(makers[i], i, stop, outcomes[i])
            except BaseException as e:
                failures.append("client %d: %r" % (i, e))
        threads = [threading.Thread(target=run, args=(i,)) for i in range(8)]
        for t in threads:
            t.start()
        try:
            self.wait_kept(10)
            for _ in range(self.ROUNDS):
                before = sum(o["ok"] for o in outcomes)
                poll_until(lambda: failures or sum(o["ok"] for o in outcomes) > before + 40, "calls to be answered")
                if failures:
                    break
                self.daemon.restart(kill)
        finally:
            stop.set()
            for t in threads:
                t.join(60)
        self.assertEqual(failures, [])
        self.assertFalse(any(t.is_alive() for t in threads))
        print("%d restarts by %s under 8 clients: %d calls answered, %d with the error, 0 connections lost" % (
            self.ROUNDS, "SIGKILL" if kill else "SIGTERM", sum(o["ok"] for o in outcomes),
            sum(o["error"] for o in outcomes)))

    def test_20_restarts_under_load_lose_nobody(self):
        self.load(STOP)

    def test_20_kills_under_load_lose_nobody(self):
        self.load(KILL)


if __name__ == "__main__":
    import unittest
    unittest.main()
