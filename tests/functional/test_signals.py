"""Signals of operators and service managers: what each does, and that any number of any of them does no harm."""
import os
import signal

from harness import ALL_CAPABILITIES, INITIALIZE, SINGLE, DaemonCase, demo, fake, poll_until

ELICIT = {"message": "?", "requestedSchema": {"type": "object", "properties": {}}}


class SignalCase(DaemonCase):
    servers = {"fake": fake(), "demo": demo()}
    config = {"resilience": SINGLE, "limits": {"shutdown_grace": 0.3}, "defaults": {"client_features": ["elicitation"]}}

    def send_signal(self, signo):
        self.daemon.process.send_signal(signo)

    def drain(self, signo=signal.SIGTERM):
        mark = self.daemon.log.mark()
        self.send_signal(signo)
        self.daemon.log.wait(r"notice %s received$" % signal.Signals(signo).name, mark)


class DrainTest(SignalCase):
    """While calls are finished after SIGTERM nobody else listens at our addresses, and a client may need a connection that it
    does not have yet."""

    def test_a_call_can_be_cancelled_over_a_new_connection(self):
        for signo in (signal.SIGTERM, signal.SIGINT):
            c = self.http("fake")
            call, message = self.hold(c)
            self.drop_idle(c)
            self.drain(signo)
            c.cancel(call)
            self.daemon.wait_received("fake", "notifications/cancelled")
            self.assertEqual(self.daemon.received("fake", "notifications/cancelled")[0]["params"]["requestId"], message["id"])
            self.daemon.join()
            self.start()

    def test_a_question_can_be_answered_over_a_new_connection(self):
        c = self.http("fake", capabilities=ALL_CAPABILITIES)
        call = c.start_tool("ask", {"method": "elicitation/create", "params": ELICIT})
        ask = c.wait_message("elicitation/create")
        self.drop_idle(c)
        self.drain()
        c.respond(ask, {"action": "decline"})
        self.assertIn("decline", call.text())
        self.daemon.join()

    def test_new_work_on_a_new_connection_is_refused(self):
        c = self.http("fake")
        call, _ = self.hold(c)
        self.drop_idle(c)
        self.drain()
        self.assert_error(c.start_tool("record", {"nonce": "no"}).error(), -32603, "shutting_down", "no")
        r = self.exchange(INITIALIZE, path="/mcp/fake")
        self.assertEqual(r.status, 503)
        self.assertIn(b"shutting_down", r.body)
        line = self.line("fake", initialize=False)
        refused = line.start("initialize", {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {
            "name": "t", "version": "1"}}).error()
        self.assert_error(refused, reason="shutting_down")
        c.cancel(call)
        self.daemon.join()
        self.assertEqual(self.daemon.ledger("fake", "run", nonce="no"), [])

    def drop_idle(self, client):
        """Closes the connections of this client on which nothing is under way."""
        for conn in client.idle:
            conn.close()
        client.idle = []


class StopTest(SignalCase):
    """Of a daemon whose server ignores SIGTERM and has five minutes to end."""
    servers = None

    def begin(self, *options):
        self.start(servers={"fake": fake("--ignore-term", *options)}, config={
            "resilience": SINGLE, "limits": {"shutdown_grace": "5m", "drain_timeout": "5m"}})

    def test_A10_a_second_one_stops_at_once(self):
        for first, second in ((signal.SIGTERM, signal.SIGTERM), (signal.SIGINT, signal.SIGTERM)):
            self.begin()
            call, _ = self.hold(self.http("fake"))
            self.drain(first)
            self.send_signal(second)
            self.assert_error(call.error(), reason="shutting_down", delivered="maybe")
            self.daemon.join()

    def test_a_second_one_hurries_servers_that_do_not_end(self):
        self.begin()
        self.http("fake")
        self.drain()
        self.daemon.wait_ledger("fake", "eof")
        self.send_signal(signal.SIGTERM)
        self.daemon.join()

    def test_a_storm_of_them_is_like_two(self):
        self.begin()
        call, _ = self.hold(self.http("fake"))
        self.drain()
        for _ in range(300):
            self.send_signal(signal.SIGTERM)
            self.send_signal(signal.SIGINT)
        self.assert_error(call.error(), reason="shutting_down")
        lines = self.daemon.join()
        self.assertEqual(len([x for x in lines if "received" in x]), 2)

    def test_one_that_comes_while_servers_start(self):
        self.begin("--hang-handshake")
        self.drain()
        self.send_signal(signal.SIGTERM)
        self.daemon.join()


class HarmlessTest(SignalCase):
    OTHERS = (signal.SIGUSR1, signal.SIGUSR2, signal.SIGPIPE, signal.SIGHUP)

    def test_storms_of_the_others_disturb_nobody(self):
        c = self.http("fake")
        call, _ = self.hold(c)
        for i in range(300):
            for signo in self.OTHERS:
                self.send_signal(signo)
            if i % 100 == 0:
                self.assertEqual(c.tool("record", {"nonce": "n%d" % i}), "n%d" % i)
        self.release(c)
        self.assertEqual(call.text(), "released")
        self.assertEqual(len(self.daemon.ledger("fake", "start")), 1)

    def test_one_that_comes_before_all_is_set_up_does_not_end_it(self):
        self.daemon.stop()

        def one_waits():
            signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGHUP])
            os.kill(os.getpid(), signal.SIGHUP)
        self.start(preexec_fn=one_waits)
        self.assert_alive()
        with open("/proc/%d/status" % self.daemon.process.pid) as f:
            self.assertRegex(f.read(), r"SigBlk:\t0+\n")

    def test_servers_are_not_born_with_our_settings(self):
        self.http("fake")
        pids = [e["pid"] for e in self.daemon.ledger("fake", "start")]
        for pid in poll_until(lambda: pids, "the server"):
            with open("/proc/%d/status" % pid) as f:
                status = dict(line.split(":\t", 1) for line in f)
            # Python itself ignores SIGPIPE and SIGXFSZ.
            python = 1 << (signal.SIGPIPE - 1) | 1 << (signal.SIGXFSZ - 1)
            self.assertEqual(int(status["SigIgn"], 16) & ~python, 0)
            self.assertEqual(int(status["SigBlk"], 16), 0)
