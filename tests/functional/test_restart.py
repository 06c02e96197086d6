"""Client sessions outlive the daemon: killed or stopped, it knows them again by their ids (protocol.md 4.6)."""
import base64
import hashlib
import hmac
import json
import os
import signal
import stat
import time

from harness import DEADLINE, INITIALIZE, SINGLE, DaemonCase, HttpClient, fake, poll_until

URI = "x://1"
BOTH_WAYS = (True, False)  # killed, stopped in good order
PING = b'{"jsonrpc":"2.0","id":5,"method":"ping"}'
UPDATED = {"jsonrpc": "2.0", "method": "notifications/resources/updated", "params": {"uri": URI}}


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def make_id(key, server, principal="anonymous", version=4, features=0, issued=None, form=1):
    """A session id as the daemon makes it, from its description alone."""
    facts = bytes([form]) + hashlib.sha256(b"route\n" + server.encode()).digest()[:4] + bytes([version])
    facts += features.to_bytes(2, "big") + hashlib.sha256(b"principal\n" + principal.encode()).digest()[:8]
    facts += int(time.time() if issued is None else issued).to_bytes(5, "big") + os.urandom(16)
    return (b64(facts) + b"." + b64(hmac.new(key, b64(facts), "sha256").digest()[:16])).decode()


class RestartCase(DaemonCase):
    servers = {"fake": fake()}

    def state(self, name):
        return os.path.join(self.daemon.dir, "state", name)

    def down(self, kill):
        """The daemon goes, by SIGKILL or by SIGTERM, and with it every connection of its clients."""
        d = self.daemon
        if kill:
            d.process.kill()
            d.process.wait(DEADLINE)
            d.log.thread.join(DEADLINE)
            self.assertEqual(d.problems(), [])
            poll_until(lambda: not d.children(), "the servers to go with their daemon")
        else:
            d.stop()
            d.joined = False
        for c in self.clients:
            if isinstance(c, HttpClient):
                for s in list(c.streams):
                    s.cut_off()
                c.inbox.clear()

    def up(self, **more):
        """It comes back at the same place."""
        self.daemon.config["listen"] = ["%s:%d" % (self.daemon.host, self.daemon.port)]
        self.daemon.start(**more)

    def restart(self, kill=True):
        self.down(kill)
        self.up()

    def status(self, session_id, method="POST", body=PING, path="/mcp/fake"):
        headers = [("Mcp-Session-Id", session_id), ("Accept", "application/json, text/event-stream")]
        c = self.conn()
        c.send(self.request_bytes(body if method == "POST" else b"", method=method, path=path, headers=headers,
                                  drop=("Accept",)))
        r = c.read_response(method, whole=False)
        c.close()
        return r.status


class RestartTest(RestartCase):
    config = {"resilience": SINGLE}

    def test_a_session_goes_on(self):
        c = self.http("fake")
        for kill in BOTH_WAYS:
            self.restart(kill)
            for call in (c.start("ping"), c.start_tool("record", {"nonce": "n"})):
                call.result()
                self.assertIsNone(call.post.r.headers.get("Mcp-Session-Id"))
            c.notify("notifications/initialized")
            self.assertEqual(len(self.daemon.log.matching("session revived")), 1)

    def test_many_sessions_go_on_at_once(self):
        clients = [self.http("fake") for _ in range(50)]
        for kill in BOTH_WAYS:
            self.restart(kill)
            calls = [c.start_tool("record", {"nonce": str(i)}) for i, c in enumerate(clients)]
            self.assertEqual([call.text() for call in calls], [str(i) for i in range(50)])

    def test_subscriptions_and_log_level_go_on(self):
        c = self.http("fake")
        c.request("resources/subscribe", {"uri": URI})
        c.request("resources/subscribe", {"uri": "x://gone"})
        c.request("resources/unsubscribe", {"uri": "x://gone"})
        c.request("logging/setLevel", {"level": "warning"})
        for kill in BOTH_WAYS:
            self.down(kill)
            mark = len(self.daemon.ledger("fake"))
            self.up()
            c.open_get()  # all that this client does is to listen
            self.assertEqual(c.wait_message("notifications/resources/updated")["params"], {"uri": URI})
            seen = [e["message"] for e in self.daemon.ledger("fake")[mark:] if e["event"] == "recv"]
            self.assertEqual([m["params"] for m in seen if m["method"] == "resources/subscribe"], [{"uri": URI}])
            self.assertEqual([m["params"] for m in seen if m["method"] == "logging/setLevel"], [{"level": "warning"}])
            log = '{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"%s","data":"x"}}'
            self.emit(c, UPDATED, log % "info", log % "warning")
            self.assertEqual(c.wait_message("notifications/resources/updated")["params"], {"uri": URI})
            self.assertEqual([m["params"]["level"] for m in c.taken("notifications/message")], ["warning"])
        self.assertEqual(c.request("resources/unsubscribe", {"uri": URI}), {})
        self.restart()
        self.emit(c, UPDATED)
        c.open_get()
        c.barrier()
        self.assertEqual(c.taken("notifications/resources/updated"), [])

    def test_an_event_stream_is_taken_up(self):
        c = self.http("fake")
        c.request("resources/subscribe", {"uri": URI})
        for kill in BOTH_WAYS:
            c.open_get()
            self.emit(c, UPDATED)
            event = c.wait_message("notifications/resources/updated")
            self.assertIsNotNone(event.event_id)
            self.restart(kill)
            stream = c.open_get(event.event_id)
            for kind in ("tools", "prompts", "resources"):
                c.wait_message("notifications/%s/list_changed" % kind)
            c.wait_message("notifications/resources/updated")
            self.emit(c, UPDATED)
            self.assertIs(c.wait_message("notifications/resources/updated").where, stream)

    def test_the_stream_of_a_call_that_died_with_the_daemon_ends_with_its_error(self):
        c, other = self.http("fake"), self.http("fake")

        def held_with_event(key):
            call, message = self.hold(c, key=key, token="t")
            token = json.dumps(message["params"]["_meta"]["progressToken"])
            self.emit(other, '{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":%s,'
                             '"progress":1}}' % token)
            return call, c.wait_message("notifications/progress").event_id
        call, event_id = held_with_event("k1")
        self.restart()
        # The first stream of the new process is not taken for the first one of the old.
        running, _ = held_with_event("k2")
        stream = c.open_get(event_id)
        self.assert_error(call.error(), reason="resume_lost", delivered="maybe")
        stream.wait_end()
        self.release(other, "k2")
        self.assertEqual(running.text(), "released")

    def test_a_server_that_starts_slowly_is_waited_for(self):
        c = self.http("fake")
        self.down(True)
        self.daemon.config["mcpServers"]["fake"]["args"] += ["--slow-start", "0.5"]
        self.up()
        self.assertEqual(c.tool("record", {"nonce": "n"}), "n")

    def test_sessions_on_the_unix_socket_go_on_too(self):
        c = self.http("fake", unix=True)
        for kill in BOTH_WAYS:
            self.restart(kill)
            self.assertEqual(c.tool("record", {"nonce": "n"}), "n")

    def test_an_ended_session_stays_ended(self):
        for kill in BOTH_WAYS:
            c = self.http("fake")
            c.request("logging/setLevel", {"level": "error"})
            self.assertEqual(c.delete().status, 200)
            self.assertEqual(self.status(c.session_id), 404)
            self.restart(kill)
            self.assertEqual([self.status(c.session_id, m) for m in ("POST", "GET", "DELETE")], [404] * 3)

    def test_the_first_thing_may_be_to_end_it(self):
        c = self.http("fake")
        c.request("resources/subscribe", {"uri": URI})
        self.restart()
        self.assertEqual(c.delete().status, 200)
        self.assertEqual(self.status(c.session_id), 404)
        self.restart()
        self.assertEqual(self.status(c.session_id), 404)

    def test_sessions_that_end_with_their_stream_leave_nothing(self):
        line, sse = self.line("fake"), self.sse("fake")
        for c in (line, sse):
            c.request("resources/subscribe", {"uri": URI})
        self.down(True)
        with open(self.state("sessions.journal"), "rb") as f:
            self.assertEqual(f.read(), b"")
        self.up()
        self.assert_alive("fake")


class IdTest(RestartCase):
    servers = {"fake": fake(), "other": fake()}
    config = {"resilience": SINGLE}

    def key(self):
        with open(self.state("session.key"), "rb") as f:
            return f.read()

    def test_forged_ids_are_404(self):
        c = self.http("fake")
        self.restart()
        good = c.session_id
        for i in (0, 10, 49, 51, 60, len(good) - 1):
            bad = good[:i] + ("A" if good[i] != "A" else "B") + good[i + 1:]
            self.assertEqual(self.status(bad), 404, bad)
        for bad in (good[:-1], good + "A", good[:50], good.replace(".", ""), "." * len(good), make_id(bytes(32), "fake")):
            self.assertEqual(self.status(bad), 404, bad)
        self.assertEqual(self.status(good), 200)

    def test_foreign_ids_are_404(self):
        c, local = self.http("fake"), self.http("fake", unix=True)
        for kill in BOTH_WAYS:
            self.restart(kill)
            self.assertEqual(self.status(c.session_id, path="/mcp/other"), 404)
            self.assertEqual(self.status(local.session_id), 404)  # that is another user's
            local.session_id, own = c.session_id, local.session_id
            self.assertEqual(local.post(PING, wait=True).status, 404)
            local.session_id = own
            self.assertEqual(c.request("ping"), {})
            self.assertEqual(local.request("ping"), {})

    def test_ids_of_a_server_that_is_disabled_now_are_404(self):
        c = self.http("fake")
        self.down(False)
        self.daemon.config["mcpServers"]["fake"]["enabled"] = False
        self.up()
        self.assertEqual([self.status(c.session_id, path=p) for p in ("/mcp/fake", "/mcp", "/mcp/other")], [404] * 3)

    def test_an_instance_with_the_same_key_recognises_an_id(self):
        good = make_id(self.key(), "fake", features=0x7f)
        for session_id, status in ((good, 200), (make_id(self.key(), "fake", issued=time.time() - 31 * 86400), 404),
                                   (make_id(self.key(), "fake", issued=time.time() - 29 * 86400), 200),
                                   (make_id(self.key(), "fake", principal="uid:0"), 404),
                                   (make_id(self.key(), "nobody"), 404), (make_id(self.key(), "fake", version=0), 404),
                                   (make_id(self.key(), "fake", version=5), 404),
                                   (make_id(self.key(), "fake", form=2), 404)):
            self.assertEqual(self.status(session_id), status)

    def test_an_initialize_revives_no_other_session(self):
        good = make_id(self.key(), "fake")
        self.assertEqual(self.status(good, body=INITIALIZE), 200)
        self.assertEqual(self.status(good, body=b'{"jsonrpc":"2.0",'), 400)
        self.assertEqual(self.daemon.log.matching("session revived"), [])
        self.assertEqual(self.status(good, body=b'{"jsonrpc":"2.0","id":1,"method":"ping","params":[1]}'), 200)
        self.daemon.log.wait("session revived")
        self.assertEqual(len(self.daemon.log.matching("session revived")), 1)

    def test_bad_requests_of_revived_sessions_get_what_live_ones_get(self):
        for path, body in (("ping", b'{"jsonrpc":"2.0","id":1,"method":"ping","method":"ping"}'),
                           ("big", b'{"jsonrpc":"2.0","id":1,"method":"x","params":{"x":"%s"}}' % (b"x" * 5000000))):
            r = self.exchange(body, path="/mcp/fake", headers=[("Mcp-Session-Id", make_id(self.key(), "fake"))])
            self.assertEqual((r.status, json.loads(bytes(r.body))["id"]), (200, 1), path)

    def test_old_ids_may_be_recognised_for_longer(self):
        old = make_id(self.key(), "fake", issued=time.time() - 31 * 86400)
        self.assertEqual(self.status(old), 404)
        self.down(False)
        self.daemon.config["limits"] = {"session_max_age": "32d"}
        self.up()
        self.assertEqual(self.status(old), 200)


class FullTest(RestartCase):
    config = {"resilience": SINGLE, "limits": {"max_sessions": 1}}

    def test_without_room_a_session_is_not_lost(self):
        c = self.http("fake")
        self.restart()
        other = self.http("fake")
        self.assert_error(c.start("tools/list").error(), reason="overloaded", delivered="no")
        self.assertEqual(c.post(b'{"jsonrpc":"2.0","method":"notifications/initialized"}', is_request=False).status, 202)
        self.assertEqual(self.status(c.session_id, "GET"), 503)
        self.assertEqual(other.delete().status, 200)
        self.assertEqual(c.request("ping"), {})


class StateTest(RestartCase):
    config = {"resilience": SINGLE}

    def journal(self):
        with open(self.state("sessions.journal"), "rb") as f:
            return f.read()

    def test_the_files_are_private_and_hold_no_id(self):
        c = self.http("fake")
        c.request("resources/subscribe", {"uri": URI})
        c.request("logging/setLevel", {"level": "error"})
        for name in ("session.key", "sessions.journal"):
            self.assertEqual(stat.S_IMODE(os.stat(self.state(name)).st_mode), 0o600)
        self.assertEqual(len(self.journal().splitlines()), 2)
        for part in (c.session_id[:50], c.session_id[51:]):
            self.assertNotIn(part.encode(), self.journal())

    def test_a_damaged_state_file_costs_what_was_damaged(self):
        c = self.http("fake")
        c.request("resources/subscribe", {"uri": URI})
        self.down(True)
        whole = self.journal()
        level = whole.replace(b" S ", b" L ")  # its checksum is wrong now
        for garbage in (b"\0" * 4096, os.urandom(100000), b"x" * 100000 + b"\n", level, whole[:-10],
                        b"0123456789abcdef Z future\n"):
            with open(self.state("sessions.journal"), "wb") as f:
                f.write(garbage + b"\n" + whole + garbage[:-1])
            mark = len(self.daemon.ledger("fake"))
            self.up()
            self.assertEqual(len(self.daemon.log.matching("warning .*was damaged")), 1)
            self.assertEqual(self.journal(), whole)
            self.assertEqual(c.request("ping"), {})
            poll_until(lambda: [e for e in self.daemon.ledger("fake")[mark:] if e["event"] == "recv" and
                                e["message"]["method"] == "resources/subscribe"], "the subscription")
            self.down(True)
        self.up()

    def test_without_a_state_file_sessions_go_on_all_the_same(self):
        c = self.http("fake")
        c.request("resources/subscribe", {"uri": URI})
        self.down(True)
        os.unlink(self.state("sessions.journal"))
        os.mkdir(self.state("sessions.journal"))
        self.up()
        self.assertEqual(c.request("resources/subscribe", {"uri": "x://2"}), {})
        self.assertEqual(c.tool("record", {"nonce": "n"}), "n")
        self.assertEqual(len(self.daemon.log.matching("warning cannot save the state of sessions")), 1)
        self.assertEqual(c.delete().status, 200)
        self.assertEqual(self.status(c.session_id), 404)

    def test_a_new_key_ends_all_sessions(self):
        c = self.http("fake")
        self.down(False)
        os.unlink(self.state("session.key"))
        self.up()
        self.assertEqual(self.status(c.session_id), 404)


class KeyTest(RestartCase):
    config = {"resilience": SINGLE}

    def refuse_to_start(self, pattern):
        self.up(wait=False)
        self.daemon.allow_error(pattern)
        lines = self.daemon.join(expect_status=1)
        self.assertEqual(len([line for line in lines if " error " in line]), 1, lines)
        self.daemon.joined = False

    def test_a_key_that_is_no_secret_is_refused(self):
        path = self.state("session.key")
        self.down(False)
        os.chmod(path, 0o644)
        self.refuse_to_start(r"session\.key can be used by others .* 0600.*; put it right, or remove it")
        os.chmod(path, 0o600)
        with open(path, "ab") as f:
            f.write(b"x")
        self.refuse_to_start(r"session\.key does not hold exactly 32 bytes; put it right")
        os.unlink(path)
        self.up()

    def test_a_credential_of_the_service_manager_is_used(self):
        credentials = os.path.join(self.daemon.dir, "credentials")
        os.mkdir(credentials)
        with open(os.path.join(credentials, "session.key"), "wb") as f:
            f.write(bytes(range(32)))
        c = self.http("fake")
        self.down(False)
        self.up(env={"CREDENTIALS_DIRECTORY": credentials})
        self.assertEqual(self.status(c.session_id), 404)
        self.assertEqual(self.status(make_id(bytes(range(32)), "fake")), 200)


class NoStateTest(RestartCase):
    """A state directory in which nothing can be written, not even by root."""
    servers = {"fake": fake()}
    config = {"resilience": SINGLE, "state_dir": "/proc/sys"}

    def test_all_works_until_a_restart(self):
        c = self.http("fake")
        c.request("resources/subscribe", {"uri": URI})
        c.request("logging/setLevel", {"level": "error"})
        self.assertEqual(c.tool("record", {"nonce": "n"}), "n")
        for text in ("cannot create the session key /proc/sys/session.key", "cannot save the state of sessions"):
            self.assertEqual(len(self.daemon.log.matching("warning " + text)), 1)
        self.restart()
        self.assertEqual(self.status(c.session_id), 404)
        self.assert_alive("fake")


class OwnConnectionTest(RestartCase):
    servers = {"fake": fake(sharing="session")}
    config = {}

    def test_a_session_that_only_listens_gets_its_connection_back(self):
        c = self.http("fake")
        c.request("resources/subscribe", {"uri": URI})
        for kill in BOTH_WAYS:
            self.restart(kill)
            c.open_get()
            self.assertEqual(c.wait_message("notifications/resources/updated")["params"], {"uri": URI})
            self.emit(c, UPDATED)
            self.assertEqual(c.wait_message("notifications/resources/updated")["params"], {"uri": URI})
