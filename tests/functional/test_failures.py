"""A server dies, the daemon stops: what a client sees of it (protocol.md 4.4, 7; resilience.md 4)."""
import json
import os
import signal

from harness import INITIALIZE, SINGLE, DaemonCase, demo, fake, poll_until
from test_stdio_faults import QUICK


class DeathTest(DaemonCase):
    servers = {"fake": fake(), "demo": demo()}
    config = {"resilience": QUICK}

    def test_a_call_in_flight_gets_one_honest_error_and_the_next_works(self):
        for c in self.every_way_in("fake"):
            key = type(c).__name__
            call, _ = self.hold(c, key)
            self.kill(c)
            error = call.error()
            self.assert_error(error, -32603, "upstream_lost", "maybe", "fake")
            self.assertIn("fake", error.message)
            self.assertEqual(c.tool("record", {"nonce": "next"}), "next")
            c.barrier()
            self.assertEqual(c.responses, {})
            self.assertEqual(len(self.daemon.ledger("fake", "run", nonce=key)), 1)

    def test_an_idle_death_is_not_noticed_at_all(self):
        for c in self.every_way_in("fake"):
            self.wait_successor(self.kill(c))
            self.assertEqual(c.tool("record", {"nonce": "n"}), "n")

    def test_the_session_survives_any_number_of_deaths(self):
        c = self.http()
        for i in range(10):
            c.start_tool("crash").error()
            for _ in range(3):  # one failure in two outcomes would open the circuit breaker
                self.assertEqual(c.tool("echo", {"text": str(i)}), str(i))

    def test_other_sessions_do_not_notice(self):
        others = [self.http() for _ in range(5)]
        for o in others:
            o.tool("echo", {"text": "x"})
        self.http().start_tool("crash").error()
        for o in others:
            self.assertEqual(o.tool("echo", {"text": "y"}), "y")

    def test_level_and_subscriptions_are_there_again(self):
        c = self.line("fake")
        c.request("logging/setLevel", {"level": "warning"})
        c.request("resources/subscribe", {"uri": "x://1"})
        mark = self.kill(c)
        self.wait_successor(mark)
        c.tool("record", {"nonce": "n"})
        def replayed():
            new = [e["message"] for e in self.daemon.ledger("fake")[mark:] if e["event"] == "recv"]
            return {m["method"]: m.get("params") for m in new
                    if m.get("method") in ("logging/setLevel", "resources/subscribe")}
        poll_until(lambda: len(replayed()) == 2, "level and subscription at the new process")
        self.assertEqual(replayed(), {"logging/setLevel": {"level": "warning"}, "resources/subscribe": {"uri": "x://1"}})

    def test_open_asks_are_taken_back(self):
        c = self.line("fake", capabilities={"sampling": {}})
        call = c.start_tool("ask", {"method": "sampling/createMessage", "params": {}, "nonce": "ask"})
        ask = c.wait_message("sampling/createMessage")
        os.kill(self.daemon.ledger("fake", "run", nonce="ask")[0]["pid"], signal.SIGKILL)
        self.assert_error(call.error(), -32603, "upstream_lost", "maybe", "fake")
        self.assertEqual(c.wait_message("notifications/cancelled")["params"]["requestId"], ask["id"])
        c.respond(ask, {})
        self.assertEqual(c.tool("record", {"nonce": "n"}), "n")

    def test_a_call_that_waited_in_the_queue_has_not_run(self):
        gate = os.path.join(self.daemon.dir, "gate")
        self.daemon.stop()
        os.makedirs(os.path.dirname(gate), exist_ok=True)
        self.start({"fake": fake("--exit-while", gate)}, {"resilience": {**QUICK, "queue_timeout": 0.5}})
        self.addCleanup(lambda: os.path.exists(gate) and os.unlink(gate))
        self.daemon.allow_error("server=fake")
        c = self.http("fake")
        open(gate, "w").close()
        self.die(c)
        error = c.start_tool("record", {"nonce": "never"}).error()
        self.assert_error(error, -32603, "upstream_unavailable", "no", "fake")
        self.assertTrue(error.data.get("retryable"))
        os.unlink(gate)
        poll_until(lambda: "result" in c.start_tool("record", {"nonce": "later"}).response(), "the server to come back")
        self.assertEqual(self.daemon.ledger("fake", "run", nonce="never"), [])


class StopTest(DaemonCase):
    servers = {"fake": fake(), "demo": demo()}
    config = {"resilience": SINGLE, "limits": {"shutdown_grace": 0.3}}

    def terminate(self):
        self.daemon.process.send_signal(signal.SIGTERM)

    def test_calls_in_flight_are_finished(self):
        for way in (self.http, self.sse, self.line):
            with self.subTest(way.__name__):
                c = way()
                call = c.start_tool("sleep", {"seconds": 1})
                c.barrier()
                self.terminate()
                self.assertEqual(call.text(), "slept 1.000 s")
                self.daemon.join()
                self.start()

    def test_open_streams_are_ended_properly(self):
        c = self.http()
        stream = c.open_get()
        self.terminate()
        stream.wait_end()
        self.assertTrue(stream.r.clean)

    def test_new_work_is_refused_meanwhile(self):
        c, old = self.http("fake"), self.http("fake")
        conn = self.conn()
        self.assertEqual(conn.exchange(self.request_bytes(INITIALIZE)).status, 200)
        call, _ = self.hold(c)
        mark = self.daemon.log.mark()
        self.terminate()
        self.daemon.log.wait("SIGTERM received", mark)
        error = old.start_tool("record", {"nonce": "no"}).error()
        self.assert_error(error, -32603, "shutting_down", "no")
        r = conn.exchange(self.request_bytes(INITIALIZE))
        self.assertIn(r and r.status, (503, None))
        self.terminate()  # the second time it does not wait
        m = call.response()
        self.assertEqual(m["error"]["data"]["reason"], "shutting_down")
        self.daemon.join()
        self.assertEqual(self.daemon.ledger("fake", "run", nonce="no"), [])

    def test_requests_while_servers_take_long_to_end_are_refused_like_those_before(self):
        """Sessions have ended by then. Clients were told that they are not initialized, as if it were their mistake."""
        self.daemon.stop()
        self.start({"fake": fake("--ignore-term")}, {"resilience": SINGLE, "limits": {"shutdown_grace": 60}})
        c = self.line("fake")
        mark = self.daemon.log.mark()
        self.terminate()
        self.daemon.log.wait("session ended", mark)
        for _ in range(2):
            self.assert_error(c.start_tool("record", {"nonce": "no"}).error(), -32603, "shutting_down", "no", "fake")
        self.terminate()  # the second time it does not wait
        self.daemon.join()
        self.assertEqual(self.daemon.ledger("fake", "run", nonce="no"), [])

    def test_a_call_that_does_not_end_is_given_up_after_the_drain(self):
        self.daemon.stop()
        self.start(config={"resilience": SINGLE, "limits": {"drain_timeout": 0.5, "shutdown_grace": 0.3}})
        c = self.http("fake")
        call, _ = self.hold(c)
        self.terminate()
        error = call.error()
        self.assertEqual((error.code, error.data["delivered"]), (-32603, "maybe"))
        self.daemon.join()

    def test_it_stops_before_its_servers_have_started(self):
        self.daemon.stop()
        self.start({"fake": fake("--slow-start", "30")}, {"resilience": SINGLE, "limits": {"shutdown_grace": 0.2}})
        self.daemon.stop()

    def test_interrupt_is_terminate(self):
        self.daemon.process.send_signal(signal.SIGINT)
        self.daemon.join()

    def test_it_starts_and_stops_again_and_again(self):
        for _ in range(5):
            self.daemon.stop()
            self.start()
        self.assert_alive()
