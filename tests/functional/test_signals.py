"""Signals of operators and service managers: what each does, and that any number of any of them does no harm."""
import signal

from harness import ALL_CAPABILITIES, INITIALIZE, SINGLE, DaemonCase, demo, fake

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
