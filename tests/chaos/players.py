"""The clients of the chaos run. Each player is one MCP client after another: it connects, opens a session, keeps a few
requests in flight, and holds everything that comes back against what it asked.

Nothing here waits for an answer: one loop (chaos.py) reads the sockets of all players, so that what a player does and
what is done to it fall at any moment of each other's exchanges. A request is

    open → answered | failed            its one terminal outcome
         → cancelled → (answered)       by its client; an answer may only have crossed the cancellation on the way
         → gone                         its client went away, nobody can be told

and stays known for the life of its session, so that a second answer is seen."""
import json
import random

from clients import LATEST, OLDEST, HttpClient, LineClient, Post, SseClient, key_of, parse_message

# Methods that may run twice (resilience.md section 4): what is asked has no effect on the server.
READS = ("resources/read", "resources/list", "prompts/get", "prompts/list", "tools/list")
REASONS = {"breaker_open", "maintenance", "overloaded", "rate_limited", "response_too_large", "timeout", "upstream_lost",
           "upstream_protocol", "upstream_unavailable", "version"}
CHANGES = {"notifications/%s/list_changed" % what for what in ("tools", "resources", "prompts")}


class Request:
    def __init__(self, player, method, params, expect):
        self.player, self.server, self.method, self.params = player, player.server, method, params
        self.expect = expect        # what the text of its answer must be; None: anything
        self.pad = 0                # dots behind it
        self.nonce = None
        self.tool = params.get("name") if method == "tools/call" else None
        self.state, self.why, self.delivered = "open", None, None
        self.began = None
        self.ended = None
        self.sealed = False         # a cancelled one: from now on nothing may come for it
        self.id = self.call = None
        self.post = None            # HTTP: the stream that its answer must come on
        self.resume_at = None
        self.progress = None        # the latest that came; None: not asked for

    @property
    def replayable(self):
        return self.method in READS

    def seal(self):
        """Whatever comes for it from now on is wrong."""
        self.sealed, self.call, self.post = True, None, None

    def __str__(self):
        return "%s %s %s of %s (%s%s)" % (self.nonce, self.method, self.tool or "", self.player, self.state,
                                          " " + str(self.why) if self.why else "")


class Telling:
    """What a player's client is, whatever its transport: each message goes to the player as it comes."""

    player = None

    def _take(self, raw, where, event_id=None):
        m = parse_message(raw)
        m.where, m.event_id = where, event_id
        self.player.on_message(m)
        return m


class ChaosHttp(Telling, HttpClient):
    def _forget(self, stream):
        super()._forget(stream)
        if not isinstance(stream, Post):
            stream.conn.close()


class ChaosLine(Telling, LineClient):
    pass


class ChaosSse(Telling, SseClient):
    pass


KINDS = {"http": ChaosHttp, "line": ChaosLine, "sse": ChaosSse}


class Player:
    """via: the way in. probe: does nothing by itself, see probe()."""

    def __init__(self, world, server, via, number, probe=False):
        self.world, self.server, self.via, self.number = world, server, via, number
        self.fake = world.arena_servers[server].fake
        self.can_answer = False     # whether servers may ask it things (sampling)
        self.rng = random.Random("%s/%s/%s/%d" % (world.seed, server, via, number))
        self.client = None
        self.state = "absent"       # absent → opening → ready → absent
        self.act_at = 0             # when it does something next
        self.blind_until = 0        # it does not read before that
        self.requests = {}          # of this session, by id
        self.waiting = {}           # those of them for which something may still come
        self.pings = {}             # id → the request that was cancelled just before it
        self.opening = None         # the initialize
        self.todo = []              # what a message calls for, done when nobody is in the middle of reading
        self.probing = probe
        self.probed = None          # probes: the request that counts
        self.rounds = 0

    def __str__(self):
        return "%s/%s.%d" % (self.server, self.via, self.number)

    # --- life ---

    def connect(self):
        """A new client, a new session."""
        version = OLDEST if self.via == "sse" else LATEST
        self.rounds += 1
        kind = KINDS[self.via]
        client = kind.__new__(kind)
        client.player = self
        self.client, self.requests, self.waiting, self.pings, self.todo = client, {}, {}, {}, []
        client.__init__(self.world.arena.daemon, self.server, version=version)
        self.begin_session()

    def begin_session(self):
        params = {"protocolVersion": self.client.asked_version,
                  "capabilities": {"sampling": {}} if self.can_answer else {},
                  "clientInfo": {"name": "chaos", "version": "1"}}
        self.state = "opening"
        self.opening = self.send(Request(self, "initialize", params, None))

    def opened(self, call, m):
        """The answer to initialize is there."""
        if "error" in m:
            self.part("initialize failed: %s" % (m["error"].get("data") or {}).get("reason"))
            self.act_at = self.world.now + 0.1
            return
        self.client.server = m["result"]
        self.client.version = m["result"]["protocolVersion"]
        self.client._on_initialized(call)
        self.client.notify("notifications/initialized")
        self.state = "ready"
        if self.via == "http" and not self.probing and self.rng.random() < 0.5:
            self.client.open_get()

    def part(self, why, orderly=False):
        """The client goes away; what it has asked is nobody's business any more."""
        if self.client is None:
            return
        self.world.arena.note("%s leaves: %s", self, why)
        self.forget(why)
        client, self.client, self.state, self.todo = self.client, None, "absent", []
        self.act_at = self.world.now + self.rng.uniform(0, 0.3)
        self.blind_until = 0
        if orderly and self.via == "http" and client.session_id:
            status = client.delete().status
            if status not in (200, 204):
                self.world.wrong("status", "%s: DELETE was answered %d", self, status)
        client.close()

    def forget(self, why):
        """Nothing can come any more for what is still open."""
        for r in self.waiting.values():
            if r.state == "open":
                r.state, r.why = "gone", why
            r.seal()
        self.waiting = {}

    def survive(self):
        """The daemon was killed. A Streamable HTTP session outlives that; the others begin anew. True for the former."""
        if self.via != "http" or self.state != "ready":
            self.part("the daemon died")
            return False
        self.forget("the daemon died")
        self.todo = []
        self.client.close()
        return True

    def open_requests(self):
        return [r for r in self.waiting.values() if r.state == "open"]

    # --- asking ---

    def send(self, r, token=False):
        r.began = self.world.now
        self.world.calls[r.nonce or id(r)] = r
        self.client.next_id += 1
        ident = self.client.next_id if self.rng.random() < 0.7 else "s%d" % self.client.next_id
        self.requests[key_of(ident)] = self.waiting[key_of(ident)] = r
        more = {"token": r.nonce} if token else {}
        if token:
            r.progress = 0
        r.id = ident
        r.call = self.client.start(r.method, r.params, id=ident, **more)
        r.post = r.call.post
        return r

    def nonce(self):
        self.world.last_nonce += 1
        return "n%d-%06x" % (self.world.last_nonce, self.rng.getrandbits(24))

    def call_tool(self, name, expect="nonce", token=False, **arguments):
        """A tools/call. expect: "nonce", or the text that the answer must have, or None."""
        nonce = self.nonce()
        r = Request(self, "tools/call", {"name": name, "arguments": {"nonce": nonce, **arguments}}, expect)
        if not self.fake:
            r.params["arguments"] = arguments
        r.nonce = nonce
        if expect == "nonce":
            r.expect = nonce
        return self.send(r, token)

    def ask(self, method, expect, nonce=None, **params):
        r = Request(self, method, params, expect)
        r.nonce = nonce
        return self.send(r)

    def ask_something(self):
        if not self.fake:
            return self.ask_demo()
        rng, what = self.rng, self.rng.random()
        nonce = self.nonce()
        if self.can_answer and rng.random() < 0.2:
            return self.call_to_be_asked(nonce)
        if what < 0.2:
            # Too large to be kept for another connection: "no" is then the honest answer to its loss.
            return self.call_tool("record", **({"ballast": "b" * 100000} if rng.random() < 0.2 else {}))
        if what < 0.6:
            pad = rng.choice((0, 0, 0, 0, 200, 20000, 400000 if rng.random() < 0.2 else 5000))
            r = self.call_tool("later", token=rng.random() < 0.5, seconds=round(rng.expovariate(8), 3), pad=pad,
                               steps=rng.choice((0, 1, 3)))
            r.pad = pad
            return r
        if what < 0.7:
            return self.call_tool("nap", seconds=round(rng.uniform(0.01, 0.15), 3))
        if what < 0.85:
            return self.ask("resources/read", "chaos://" + nonce, nonce, uri="chaos://" + nonce)
        if what < 0.95:
            return self.ask("prompts/get", "prompt " + nonce, nonce, name="p", arguments={"nonce": nonce})
        return self.ask(rng.choice(("tools/list", "resources/list")), None)

    def call_to_be_asked(self, nonce):
        """A call during which the server asks its client something; answered with what the client said, or with the
        refusal of the proxy."""
        params = {"messages": [{"role": "user", "content": {"type": "text", "text": nonce}}], "maxTokens": 1}
        r = Request(self, "tools/call", {"name": "ask", "arguments": {
            "nonce": nonce, "method": "sampling/createMessage", "params": params}}, None)
        r.nonce = nonce
        return self.send(r)

    def ask_demo(self):
        rng, what = self.rng, self.rng.random()
        nonce = self.nonce()
        if what < 0.4:
            return self.call_tool("echo", nonce, text=nonce)
        if what < 0.6:
            return self.call_tool("sleep", None, seconds=round(rng.expovariate(8), 3))
        if what < 0.7:
            return self.call_tool("big", None, bytes=rng.choice((1000, 300000)))
        if what < 0.85:
            return self.ask("prompts/get", "Say hello to " + nonce, nonce, name="greeting", arguments={"name": nonce})
        return self.ask(rng.choice(("tools/list", "resources/list", "prompts/list")), None)

    def act(self):
        """Its turn in the loop."""
        now = self.world.now
        todo, self.todo = self.todo, []
        for function, *args in todo:
            function(*args)
        if self.world.closing:
            return
        self.resume_cut_streams()
        if now < self.act_at or now < self.blind_until:
            return
        if self.state == "absent":
            self.connect()
        elif self.state == "ready" and self.probing:
            self.probe()
        elif self.state == "ready" and self.world.asking:
            if len(self.open_requests()) < 4:
                self.ask_something()
            self.act_at = now + self.rng.expovariate(1 / self.world.pace)

    def probe(self):
        """Asks until one request was answered."""
        if self.probed is None or self.probed.state not in ("open", "answered"):
            self.probed = self.call_tool("record") if self.fake else self.ask_demo()
            self.act_at = self.world.now + 0.1

    # --- what is done to it ---

    def cancel(self, r):
        r.state, r.why = "cancelled", "by its client"
        self.client.cancel(r.call)
        if self.via != "http":  # there the end of the stream says it
            self.client.next_id += 1
            ident = "ping%d" % self.client.next_id
            self.pings[key_of(ident)] = r
            self.client.start("ping", id=ident)

    def cut(self, r):
        """HTTP: the connection of one request breaks. Taken up again if the client holds an event id."""
        seen = r.post.event_ids
        r.post.cut_off()
        if seen:
            r.resume_at = self.world.now + self.rng.uniform(0, 0.5)
        else:
            r.state, r.why = "gone", "cut off"
            r.seal()

    def resume_cut_streams(self):
        if self.via != "http" or self.state != "ready":
            return
        for r in self.open_requests():
            if r.resume_at is not None and self.world.now >= r.resume_at:
                last = r.post.event_ids[-1]
                r.resume_at = r.post = None
                stream = self.client.open_get(last)  # which may bring the answer already
                if not r.sealed:
                    stream.event_ids.append(last)
                    r.post = stream

    # --- what comes ---

    def on_message(self, m):
        if "method" in m:
            self.on_unasked(m)
            return
        key = key_of(m.get("id"))
        if key in self.pings:
            self.pings.pop(key).seal()
            return
        r = self.requests.get(key)
        if "id" not in m or r is None:
            self.world.wrong("stray", "%s: an answer to nothing that was asked: %r", self, m.raw[:300])
        elif r.state == "open":
            self.settle(r, m)
        elif r.state == "cancelled" and not r.sealed and r.ended is None:
            r.ended = self.world.now  # they crossed
            self.check_stream(r, m)
        else:
            self.world.wrong("duplicated", "%s: another answer to %s: %r", self, r, m.raw[:300])

    def settle(self, r, m):
        r.ended = self.world.now
        self.check_stream(r, m)
        if "error" in m:
            r.state = "failed"
            self.check_error(r, m["error"])
        else:
            r.state = "answered"
            self.check_result(r, m["result"])
        if r is self.opening:
            self.todo.append((self.opened, r.call, m))
        r.seal()

    def check_stream(self, r, m):
        if r.post is not None and m.where is not r.post:
            self.world.wrong("crossed", "%s: the answer to %s came on the stream of something else", self, r)

    def check_error(self, r, error):
        """Errors come from the proxy: the servers themselves refuse nothing that is asked here."""
        data = error.get("data") or {}
        r.why, r.delivered = data.get("reason"), data.get("delivered")
        known = r.why in REASONS or r.why == "shutting_down" and self.world.closing
        if error["code"] != -32603 or not known or r.delivered not in ("no", "maybe") or \
                data.get("server") != self.server:
            self.world.wrong("error", "%s: a strange error for %s: %s", self, r, json.dumps(error)[:500])

    def check_result(self, r, result):
        if r.tool == "ask":
            self.check_what_was_said(r, json.loads(result["content"][0]["text"]))
        if r.expect is None:
            return
        if r.method == "tools/call":
            text = result["content"][0]["text"]
        elif r.method == "prompts/get":
            text = result["messages"][0]["content"]["text"]
        else:
            text = result["contents"][0]["uri"]
        if text != r.expect + "." * r.pad:
            self.world.wrong("crossed", "%s: %s was answered %r instead of %r", self, r, text[:100], r.expect[:100])

    def check_what_was_said(self, r, said):
        if "result" in said and said["result"]["content"]["text"] != "about " + r.nonce:
            self.world.wrong("crossed", "%s: to %s somebody else has said %s", self, r, said)

    def on_question(self, m):
        """A server asks; the text is the nonce of the call that it serves. A question is the session's: where only that has
        calls at the connection, the proxy need not know which of them is meant, nor whether it was given up meanwhile."""
        text = m["params"]["messages"][0]["content"]["text"]
        r = self.world.calls.get(text)
        if r is None or self.requests.get(key_of(r.id)) is not r:
            self.world.wrong("crossed", "%s is asked about %s", self, r or text)
            return
        self.world.questions += 1
        self.todo.append((self.client.respond, m, {
            "role": "assistant", "model": "m", "content": {"type": "text", "text": "about " + text}}))

    def on_unasked(self, m):
        if m["method"] == "notifications/progress":
            self.on_progress(m)
        elif m["method"] == "ping" and "id" in m:
            self.todo.append((self.client.respond, m, {}))
        elif m["method"] == "sampling/createMessage" and self.can_answer:
            self.on_question(m)
        elif m["method"] == "notifications/cancelled" and self.can_answer:
            pass  # a question whose call came to its end
        elif m["method"] not in CHANGES:
            self.world.wrong("stray", "%s: nobody asked for %r", self, m.raw[:300])

    def on_progress(self, m):
        token, value = m["params"]["progressToken"], m["params"]["progress"]
        r = self.world.calls.get(token)
        if r is None or r.player is not self:
            self.world.wrong("crossed", "%s: progress of somebody else: %r", self, m.raw[:300])
        elif r.state != "open" and (r.state != "cancelled" or r.sealed or r.ended):
            self.world.wrong("late", "%s: progress after the end of %s", self, r)
        elif value <= r.progress:
            self.world.wrong("late", "%s: progress of %s went from %s to %s", self, r, r.progress, value)
        else:
            r.progress, r.began = value, self.world.now
        if r is not None:
            self.check_stream(r, m)

    # --- after each reading, and as time goes by ---

    def look(self, lost_after):
        """Finds what will never be answered."""
        if self.client is None:
            return
        if self.via != "http" and not self.client._sockets() and self.world.closing:
            return  # what is open by the end is found then
        if self.via != "http" and not self.client._sockets():
            self.world.wrong("lost", "%s: the daemon closed the connection", self)
            self.part("the daemon closed the connection")
            return
        for key, r in list(self.waiting.items()):
            if r.state == "cancelled" and r.post is not None and r.post.ended:
                r.seal()
            if r.sealed:
                del self.waiting[key]
            elif self.world.now < self.blind_until:
                pass
            elif r.post is not None and r.post.ended and not r.post.cut:
                self.give_up(r, "its stream ended without an answer, status %s" % r.post.status)
            elif self.world.now - max(r.began, self.blind_until) > lost_after:
                self.give_up(r, "nothing came for %.0f s" % lost_after)

    def give_up(self, r, why):
        self.world.wrong("lost", "%s: %s: %s", self, r, why)
        no_session = r.post is not None and r.post.status == 404
        r.state, r.why = "gone", "lost"
        r.seal()
        if r is self.opening or no_session:
            self.part("its session is lost")
