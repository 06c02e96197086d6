"""Streams that break and are taken up again with Last-Event-ID (protocol.md 2.6)."""
import json

from harness import LATEST, SINGLE, VERSIONS, DaemonCase, fake

PROGRESS = '{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":%s,"progress":%d}}'
CHANGED = '{"jsonrpc":"2.0","method":"notifications/%s/list_changed"}'


class ResumeTest(DaemonCase):
    servers = {"fake": fake()}
    config = {"limits": {"keepalive_interval": 0.2}, "resilience": SINGLE}

    def setUp(self):
        super().setUp()
        self.c = self.http("fake")
        self.other = self.http("fake")

    def held_with_progress(self, c=None):
        """A call in flight whose POST stream has brought one event. Returns (call, upstream token, event id)."""
        c = c or self.c
        call, message = self.hold(c, token="t")
        token = json.dumps(message["params"]["_meta"]["progressToken"])
        self.emit(self.other, PROGRESS % (token, 1))
        event = c.wait_message("notifications/progress")
        self.assertIs(event.where, call.post)
        return call, token, event.event_id

    def progress(self, c=None):
        return [m["params"]["progress"] for m in (c or self.c).taken("notifications/progress")]

    def test_a_post_stream_is_taken_up_after_the_answer_came(self):
        call, token, last = self.held_with_progress()
        call.post.cut_off()
        self.emit(self.other, PROGRESS % (token, 2), PROGRESS % (token, 3))
        self.release(self.other)
        stream = self.c.open_get(last)
        self.assertEqual(call.text(), "released")
        self.assertEqual(self.progress(), [2, 3])
        stream.wait_end()
        self.assertTrue(stream.r.clean)

    def test_a_post_stream_is_taken_up_before_the_answer_comes(self):
        call, token, last = self.held_with_progress()
        call.post.cut_off()
        stream = self.c.open_get(last)
        self.emit(self.other, PROGRESS % (token, 2))
        self.release(self.other)
        self.assertEqual(call.text(), "released")
        self.assertEqual(self.progress(), [2])
        stream.wait_end()

    def test_it_may_break_again_and_again(self):
        call, token, last = self.held_with_progress()
        stream = call.post
        for n in range(2, 6):
            stream.cut_off()
            self.emit(self.other, PROGRESS % (token, n))
            stream = self.c.open_get(last)
            event = self.c.wait_message("notifications/progress")
            self.assertEqual((event["params"]["progress"], event.where), (n, stream))
            last = event.event_id
        stream.cut_off()
        self.release(self.other)
        self.c.open_get(last)
        self.assertEqual(call.text(), "released")

    def test_the_same_events_can_be_had_twice(self):
        call, token, last = self.held_with_progress()
        call.post.cut_off()
        self.release(self.other)
        for _ in range(2):
            self.c.open_get(last).wait_end()
            self.assertEqual(call.text(), "released")

    def test_an_interrupted_call_runs_once_and_is_not_cancelled(self):
        call, _, last = self.held_with_progress()
        call.post.cut_off()
        self.c.barrier()
        self.release(self.other)
        self.c.open_get(last)
        self.assertEqual(call.text(), "released")
        self.assertEqual(self.daemon.received("fake", "notifications/cancelled"), [])
        self.assertEqual(len(self.daemon.ledger("fake", "run", tool="hold")), 1)

    def test_a_whole_stream_can_be_resumed_from_its_priming_event(self):
        call, _ = self.hold(self.c)
        self.c.wait(lambda: call.post.priming, "the priming event")
        call.post.cut_off()
        self.release(self.other)
        self.c.open_get(call.post.priming[0])
        self.assertEqual(call.text(), "released")

    def test_priming_events_are_for_the_revision_that_knows_them(self):
        for version in VERSIONS:
            with self.subTest(version):
                c = self.http("fake", version=version)
                stream = c.open_get()
                call, _, last = self.held_with_progress(c)
                c.wait(lambda: stream.comments and call.post.comments, "comments")
                self.assertEqual(bool(call.post.priming), version == LATEST)
                self.assertEqual(bool(stream.priming), version == LATEST)
                self.assertEqual(last is None, version == "2024-11-05", "event ids are for 2025-03-26 and later")
                self.release(self.other)
                self.assertEqual(call.text(), "released")

    def test_event_ids_stay_out_of_the_messages(self):
        call, _, last = self.held_with_progress()
        self.release(self.other)
        m = call.response()
        self.assertEqual(set(m), {"jsonrpc", "id", "result"})
        self.assertNotEqual(m.event_id, last)

    def test_the_get_stream_continues_without_gap_or_repetition(self):
        stream = self.c.open_get()
        self.emit(self.other, CHANGED % "tools")
        last = self.c.wait_message("notifications/tools/list_changed").event_id
        stream.cut_off()
        self.c.barrier()
        self.emit(self.other, CHANGED % "prompts")
        self.c.barrier()
        again = self.c.open_get(last)
        self.assertIs(self.c.wait_message("notifications/prompts/list_changed").where, again)
        self.emit(self.other, CHANGED % "resources")
        self.c.wait_message("notifications/resources/list_changed")
        self.assertEqual(self.c.inbox, [])

    def test_only_the_events_of_that_stream_are_replayed(self):
        stream = self.c.open_get()
        self.emit(self.other, CHANGED % "tools")
        get_last = self.c.wait_message("notifications/tools/list_changed").event_id
        call, token, post_last = self.held_with_progress()
        stream.cut_off()
        call.post.cut_off()
        self.emit(self.other, PROGRESS % (token, 2), CHANGED % "prompts")
        self.release(self.other)
        self.c.open_get(post_last).wait_end()
        self.assertEqual(call.text(), "released")
        self.assertEqual(self.progress(), [2])
        self.assertEqual(self.c.inbox, [])
        self.c.open_get(get_last)
        self.c.wait_message("notifications/prompts/list_changed")
        self.assertEqual(self.c.inbox, [])

    def test_unknown_event_ids_open_a_plain_stream_and_refetch_all(self):
        for last in ("nonsense", "0.0", "9999.9999", "../../etc", "x" * 200):
            with self.subTest(last):
                c = self.http("fake")
                c.open_get(last)
                for what in ("tools", "prompts", "resources"):
                    c.wait_message("notifications/%s/list_changed" % what)

    def test_event_ids_of_another_session_show_nothing(self):
        call, token, last = self.held_with_progress()
        call.post.cut_off()
        self.release(self.other)
        thief = self.http("fake")
        stream = thief.open_get(last)
        thief.wait(lambda: stream.comments >= 2 or stream.ended, "comments")
        self.assertEqual([m for m in stream.messages if "result" in m or m.get("method") == "notifications/progress"], [])
        self.c.open_get(last)
        self.assertEqual(call.text(), "released")

    def test_a_finished_stream_has_nothing_more(self):
        call, _, _ = self.held_with_progress()
        self.release(self.other)
        last = call.response().event_id
        stream = self.c.open_get(last)
        self.c.wait(lambda: stream.ended or stream.comments >= 2, "the end or comments")
        self.assertEqual([m for m in stream.messages if "id" in m], [])


class EvictionTest(DaemonCase):
    servers = {"fake": fake()}
    config = {"limits": {"keepalive_interval": 0.2, "event_buffer_events": 4, "event_buffer_bytes": 8192},
              "resilience": SINGLE}

    def test_an_answer_that_could_not_be_kept_becomes_an_error(self):
        c, other = self.http("fake"), self.http("fake")
        call, message = self.hold(c, token="t")
        upstream = message["params"]["_meta"]["progressToken"]
        self.emit(other, PROGRESS % (json.dumps(upstream), 1))
        last = c.wait_message("notifications/progress").event_id
        call.post.cut_off()
        c.barrier()
        big = {"jsonrpc": "2.0", "id": message["id"], "result": {"content": [{"type": "text", "text": "x" * 20000}]}}
        self.emit(other, big)
        stream = c.open_get(last)
        error = call.error()
        self.assert_error(error, -32603, "resume_lost")
        stream.wait_end()

    def test_evicted_progress_does_not_cost_the_answer(self):
        c, other = self.http("fake"), self.http("fake")
        call, message = self.hold(c, token="t")
        upstream = json.dumps(message["params"]["_meta"]["progressToken"])
        self.emit(other, PROGRESS % (upstream, 1))
        last = c.wait_message("notifications/progress").event_id
        call.post.cut_off()
        c.barrier()
        for n in range(2, 12):
            self.emit(other, PROGRESS % (upstream, n))
        self.release(other)
        c.open_get(last)
        m = call.response()  # its answer or an honest error, once
        if "error" in m:
            self.assertEqual(m["error"]["data"]["reason"], "resume_lost")
        got = [n["params"]["progress"] for n in c.taken("notifications/progress")]
        self.assertEqual(got, sorted(set(got)))
