"""The catalogue of faults. Each is a function that does it and returns what it did, in words for the event log, or None
when it finds nothing to do it to; the run then takes another kind.

Kinds are dealt like cards, so that each comes as often as its weight says, whatever the number of faults."""
import copy
import json
import os
import signal
import threading

from arena import KIB, MIB, SERVERS, STEADY
from daemon import DEMO
from wire import Socket

CATALOGUE = {}  # name → (weight, function)


def fault(weight=1):
    def add(function):
        CATALOGUE[function.__name__] = (weight, function)
        return function
    return add


def deck(rng, kinds):
    """Kinds without end, in shuffled rounds."""
    cards = [k for k in kinds for _ in range(CATALOGUE[k][0])]
    while True:
        rng.shuffle(cards)
        yield from cards


def some_server(world, fake_only=False):
    return world.rng.choice([s for s, spec in SERVERS.items() if s != STEADY and (spec.fake or not fake_only)])


def some_process(world, server=None):
    server = server or some_server(world)
    pids = world.arena.processes(server)
    return (server, world.rng.choice(sorted(pids))) if pids else (server, None)


def hit(world, number, server=None):
    server, pid = some_process(world, server)
    if pid is None or not world.arena.signal(pid, number):
        return None
    return server, pid


# --- processes: signals ---

@fault(4)
def kill(world):
    done = hit(world, signal.SIGKILL)
    return done and "kill -9 %s %d" % done


@fault(2)
def terminate(world):
    done = hit(world, signal.SIGTERM)
    return done and "SIGTERM %s %d" % done


@fault()
def kill_all_of_a_server(world):
    server = some_server(world)
    pids = [pid for pid in world.arena.processes(server) if world.arena.signal(pid, signal.SIGKILL)]
    return pids and "kill -9 %s, all of it: %s" % (server, pids)


@fault(2)
def stop_and_continue(world):
    done = hit(world, signal.SIGSTOP)
    if done is None:
        return None
    span = world.rng.choice((0.05, 0.3, 1.5))
    world.later(span, lambda: world.arena.signal(done[1], signal.SIGCONT))
    return "SIGSTOP %s %d for %.2f s" % (*done, span)


@fault(2)
def stop_and_kill(world):
    done = hit(world, signal.SIGSTOP)
    if done is None:
        return None
    world.later(world.rng.uniform(0.05, 0.5), lambda: world.arena.signal(done[1], signal.SIGKILL))
    return "SIGSTOP %s %d, then kill -9" % done


# --- processes: refusals to start, and starts that go wrong ---

def mood(world, options, span, server=None):
    """The server behaves like this whenever it starts within the span; one of its processes is made to start."""
    server = server or some_server(world, fake_only=True)
    if server in world.moody:
        return None
    world.moody.add(server)
    world.arena.set_mood(server, options)

    def over():
        world.moody.discard(server)
        world.arena.set_mood(server, None)
    world.later(span, over)
    hit(world, signal.SIGKILL, server)
    return "%s starts with %s for %.2f s" % (server, " ".join(options), span)


def short(world):
    return world.rng.uniform(0.1, 1.5)


@fault(2)
def exit_at_start(world):
    return mood(world, ["--exit-at-start", str(world.rng.choice((0, 1, 127)))], short(world))


@fault(2)
def die_in_the_handshake(world):
    return mood(world, ["--die-at-initialize"], short(world))


@fault()
def hang_in_the_handshake(world):
    return mood(world, ["--hang-handshake"], short(world))


@fault()
def never_read(world):
    return mood(world, ["--no-read-stdin"], short(world))


@fault()
def refuse_the_handshake(world):
    return mood(world, ["--initialize-error"], short(world))


@fault()
def unknown_revision(world):
    return mood(world, ["--protocol-version", "1999-01-01"], short(world))


@fault()
def slow_start(world):
    return mood(world, ["--slow-start", "%.2f" % world.rng.choice((0.3, 1, 5))], short(world))


@fault()
def die_on_call(world):
    return mood(world, ["--die-on-call"], short(world))


@fault()
def noise_before_messages(world):
    return mood(world, ["--stdout-noise", "--print-first", "Listening on stdio..."], short(world))


@fault()
def stray_answers(world):
    return mood(world, ["--wrong-ids"], short(world))


@fault()
def answers_twice(world):
    return mood(world, ["--duplicate-responses"], short(world))


@fault()
def byte_by_byte(world):
    return mood(world, ["--byte-by-byte", "--crlf"], short(world))


@fault()
def ignore_term(world):
    return mood(world, ["--ignore-term"], short(world))


@fault()
def flood_stderr(world):
    what = mood(world, ["--stderr-flood"], 0.2)
    if what:
        server = what.split()[0]
        world.later(1, lambda: [world.arena.signal(p, signal.SIGKILL) for p in world.arena.processes(server)])
    return what


@fault()
def grandchild_at_start(world):
    return mood(world, ["--grandchild"], short(world))


def spoil_program(world, how):
    server = some_server(world)
    if server in world.moody:
        return None
    world.moody.add(server)
    world.arena.spoil_program(server, how)
    span = short(world)

    def over():
        world.moody.discard(server)
        world.arena.spoil_program(server, None)
    world.later(span, over)
    hit(world, signal.SIGKILL, server)
    return "the program of %s is %s for %.2f s" % (server, how, span)


@fault()
def program_missing(world):
    return spoil_program(world, "missing")


@fault()
def program_forbidden(world):
    return spoil_program(world, "forbidden")


# --- processes: in the middle of a call ---

def ready_player(world, fake=None, via=None):
    some = [p for p in world.players if p.state == "ready" and p.server != STEADY and p.blind_until <= world.now and
            (fake is None or p.fake == fake) and (via is None or p.via in via)]
    return world.rng.choice(some) if some else None


def sabotage(world, tool, expect, **arguments):
    """A call that makes the server do something to itself. Its answer, if there is one, is what `expect` says."""
    p = ready_player(world, fake=True)
    if p is None:
        return None
    r = p.call_tool(tool, expect, **arguments)
    return "%s calls %s %s" % (p, tool, r.nonce)


def answer(text):
    return '{"jsonrpc":"2.0","id":$ID,"result":{"content":[{"type":"text","text":%s}]}}' % json.dumps(text)


@fault(2)
def die_in_a_call(world):
    return sabotage(world, "die", None)


@fault()
def die_after_the_answer(world):
    return sabotage(world, "die", "bye", after=True)


@fault(2)
def die_mid_line(world):
    return sabotage(world, "die_mid_line", None)


@fault()
def close_stdout(world):
    return sabotage(world, "close_stdout", None)


@fault()
def close_stdin(world):
    return sabotage(world, "close_stdin", "nonce")


@fault()
def stop_reading(world):
    return sabotage(world, "stop_reading", "ok")


@fault()
def freeze(world):
    return sabotage(world, "freeze", None)


@fault()
def line_too_long(world):
    return sabotage(world, "fill", None, bytes=2 * MIB, newline=True)


@fault()
def line_without_end(world):
    return sabotage(world, "fill", None, bytes=16 * MIB)


@fault()
def half_a_line_forever(world):
    return sabotage(world, "fill", None, bytes=world.rng.choice((1, 100, 300 * KIB)))


@fault()
def garbage(world):
    lines = ["{}", "[]", "null", '{"jsonrpc":"2.0"}', '{"jsonrpc":"2.0","id":null,"result":{}}', '{"a":', "[" * 300, " ",
             '{"jsonrpc":"2.0","method":5}', '{"jsonrpc":"2.0","method":"notifications/progress"}', answer("done")]
    return sabotage(world, "emit", "done", lines=lines)


@fault()
def binary(world):
    return sabotage(world, "binary", "ok")


@fault()
def answer_that_is_no_json(world):
    return sabotage(world, "emit", "done", lines=['{"jsonrpc":"2.0","id":$ID,"result":{"x":}}', answer("done")])


@fault()
def answer_of_another_type(world):
    return sabotage(world, "emit", "done", lines=[answer("wrong").replace("$ID", "$STRID"), answer("done")])


@fault()
def second_answer(world):
    return sabotage(world, "emit", "done", lines=[answer("done"), answer("done"), answer("other")])


@fault()
def storm(world):
    return sabotage(world, "storm", "ok", count=1000)


@fault()
def stderr_burst(world):
    return sabotage(world, "stderr", "ok", text="x" * 200 + "\n", count=2000)


@fault(2)
def grandchild(world):
    return sabotage(world, "grandchild", None, setsid=world.rng.random() < 0.5)


# --- clients ---

def busy_player(world, **more):
    """A player with a call in flight, and that call."""
    some = [(p, r) for p in world.players for r in p.open_requests()
            if p.state == "ready" and p.server != STEADY and r.method == "tools/call" and p.blind_until <= world.now and
            all(getattr(p, k) in v for k, v in more.items())]
    return world.rng.choice(some) if some else (None, None)


@fault(4)
def cancel(world):
    p, r = busy_player(world)
    if p is None or r.resume_at is not None:
        return None
    p.cancel(r)
    return "%s cancels %s" % (p, r.nonce)


@fault()
def cancel_what_answers_late(world):
    p = ready_player(world, fake=True)
    if p is None:
        return None
    r = p.call_tool("late", None, token=True)

    def over():
        if r.state == "open" and r.player.client and r.call:
            p.cancel(r)
    world.later(world.rng.uniform(0.01, 0.3), over)
    return "%s will cancel %s" % (p, r.nonce)


@fault(2)
def client_vanishes(world):
    p, _ = busy_player(world, via=("line", "sse"))
    if p is None:
        return None
    p.part("vanishes")
    return "%s vanishes" % p


@fault(2)
def client_ends_its_session(world):
    p, _ = busy_player(world, via=("http",))
    if p is None:
        return None
    p.part("DELETE", orderly=True)
    return "%s ends its session" % p


@fault(3)
def request_is_cut_off(world):
    p, r = busy_player(world, via=("http",))
    if p is None or r.resume_at is not None or r.post.ended:
        return None
    p.cut(r)
    return "%s loses the connection of %s, %s" % (p, r.nonce, "to resume" if r.resume_at else "for good")


@fault(2)
def slow_reader(world):
    p = ready_player(world)
    if p is None:
        return None
    span = world.rng.uniform(0.3, 2)
    for _ in range(3):
        p.ask_something()
    p.blind_until = world.now + span
    return "%s reads nothing for %.2f s" % (p, span)


@fault()
def nonsense_from_a_client(world):
    """Bytes that are no protocol, on a connection that is then dropped."""
    daemon, rng = world.arena.daemon, world.rng
    line = rng.random() < 0.5
    s = Socket(daemon.socket_path(some_server(world)) if line else (daemon.host, daemon.port))
    s.send(rng.choice((b"\0" * 5000, b"{" * 5000 + b"\n", b"POST /mcp/one HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n{",
                       b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":', rng.randbytes(3000))), strict=False)
    if rng.random() < 0.5:
        s.reset()
    else:
        s.close()
    return "nonsense on the %s" % ("unix socket" if line else "port")


# --- the operator and the host ---

@fault()
def suspend_the_daemon(world):
    """The clock goes on meanwhile: everything that was due falls due at once. A thread wakes it up again, since the loop may
    be waiting for its answer."""
    pid, span = world.arena.daemon.process.pid, world.rng.uniform(0.1, 1.5)
    os.kill(pid, signal.SIGSTOP)
    threading.Timer(span, os.kill, (pid, signal.SIGCONT)).start()
    return "SIGSTOP for the daemon, %.2f s" % span


@fault()
def signal_storm(world):
    for _ in range(300):
        os.kill(world.arena.daemon.process.pid, world.rng.choice((signal.SIGCHLD, signal.SIGPIPE, signal.SIGCONT)))
    return "signals for the daemon"


@fault(2)
def force_recovery(world):
    if not world.arena.has_admin():
        return None
    path = "/recover" if world.rng.random() < 0.3 else "/recover?server=" + some_server(world)
    world.arena.admin("POST", path)
    return "POST " + path


@fault(2)
def restart_server(world):
    # It costs no call: the server to which nothing else is done may be given it, too.
    if not world.arena.has_admin():
        return None
    path = "/restart?server=" + world.rng.choice(list(SERVERS))
    world.arena.admin("POST", path)
    return "POST " + path


@fault()
def drain_server(world):
    if not world.arena.has_admin():
        return None
    server, span = some_server(world), world.rng.uniform(0.05, 1.5)
    path = "/%s?server=%s" % (world.rng.choice(("drain", "maint")), server)
    world.arena.admin("POST", path)
    world.later(span, lambda: world.arena.admin("POST", "/resume?server=" + server))
    return "POST %s, for %.2f s" % (path, span)


@fault(2)
def reload(world):
    """Entries and limits change, a guest comes and goes; sometimes the file is cut off. After a while all is as before."""
    rng, daemon = world.rng, world.arena.daemon
    config = copy.deepcopy(daemon.config)
    server = rng.choice(list(SERVERS))
    config["mcpServers"][server]["env"]["CHAOS_ROUND"] = str(rng.random())
    config["limits"].update(max_batch=rng.randint(10, 100), stream_above=rng.choice((8, 64, 256)) * KIB,
                            max_in_flight_per_connection=rng.randint(8, 32))
    if rng.random() < 0.5:
        config["mcpServers"]["guest"] = {"command": DEMO, "env": config["mcpServers"][server]["env"]}
    if rng.random() < 0.5:
        config["listen"].append("unix:" + os.path.join(world.arena.dir, "guest.sock"))
    cut = rng.random() < 0.2
    world.arena.reload(json.dumps(config)[:-9 if cut else None])
    world.later(rng.uniform(0.05, 1), lambda: world.arena.reload(json.dumps(daemon.config)))
    return "reload: %s is another%s" % (server, ", in a file that is cut off" if cut else "")
