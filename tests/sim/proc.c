/* Scripted transports: processes of servers, with a pipe of their own to each.
 *
 * What is sent lies in the daemon's queue, then in the pipe, then it was read. A process that is
 * frozen reads nothing: its pipe fills up, and what no longer fits is not handed over. When a
 * process dies, what lies in the pipe unread is taken back, as the stdio transport does, or it is
 * lost, as on any other kind of transport; then nobody knows and `handed_over` says yes. A process
 * that is closed while it lives may still read what lies in the pipe; closed politely, also what
 * lay in the queue.
 *
 * All events come from the loop, never from inside open, send or close. */
#include "sim.h"

#include <stdarg.h>

void proc_later(struct proc *p, void (*next)(struct proc *), usec_t delay)
{
    p->next = next;
    if (delay)
        env_timer_set(&sim.env, &p->end, sim.env.now + delay);
    else
        env_defer(&sim.env, &p->soon);
}

static void on_time(void *arg)
{
    struct proc *p = arg;
    p->next(p);
}

/* ---- reading ---- */

static void read_all(struct proc *p, uint64_t upto_mark)
{
    struct letter *l;
    while ((l = TAILQ_FIRST(&p->unread)) != NULL && l->mark <= upto_mark) {
        TAILQ_REMOVE(&p->unread, l, link);
        p->read = l->mark;
        if (p->piped < l->mark)
            p->piped = l->mark;
        backend_reads(p, l->text);
        free(l->text);
        free(l);
    }
}

static void drop_unread(struct proc *p)
{
    struct letter *l;
    while ((l = TAILQ_FIRST(&p->unread)) != NULL) {
        TAILQ_REMOVE(&p->unread, l, link);
        free(l->text);
        free(l);
    }
}

/* ---- the end ---- */

static void gone(struct proc *p)
{
    if (p->phase == PROC_CLOSING && p->initialized)
        read_all(p, chance(30) ? p->piped : !p->hurried && chance(70) ? p->marks : 0);
    drop_unread(p);
    LIST_REMOVE(p, link);
    env_timer_clear(&sim.env, &p->end);
    env_task_clear(&sim.env, &p->soon);
    event("proc", p->serial, p->slot, "is gone", slice_of("", 0));
    backend_gone(p);
    p->ev->on_closed(p->conn);
    free(p);
}

/* How long a process takes to leave when its input is closed: at most the whole ladder, which ends
 * with SIGKILL. */
static usec_t close_delay(const struct proc *p, bool now)
{
    usec_t ladder = 2 * p->sc->limits.shutdown_grace;
    if (now || p->phase == PROC_DOWN)
        return chance(20) ? 1 + upto(20000) : 0;
    return backend_in(p->of, MOOD_SLOW_CLOSE) ? ladder
           : chance(50)                       ? 0
                                              : 1 + upto((unsigned)ladder);
}

static void proc_close(struct transport *t, bool now)
{
    struct proc *p = (struct proc *)t;
    bool dead = p->phase == PROC_DOWN, again = p->phase == PROC_CLOSING;
    if (again && (p->hurried || !now))
        return;
    event("proc", p->serial, p->slot, now ? "is killed" : "is closed", slice_of("", 0));
    /* An attempt ends by success, by its time, by force, or because nobody wants it any more. */
    const struct server *server = p->conn->pool->server;
    CHECK(I8_RECOVERY,
          dead || p->initialized || p->greeted || !p->conn->failed ||
              server->forced_at == sim.env.now ||
              sim.env.now >= p->started_at + server->sc->resilience.operation_timeout,
          "an attempt was broken off after %.3f s",
          (double)(sim.env.now - p->started_at) / USEC_PER_SEC);
    usec_t delay = close_delay(p, now);
    p->of->troubles += now;
    p->of->failed_ever += now;
    env_timer_clear(&sim.env, &p->end);
    env_task_clear(&sim.env, &p->soon);
    p->hurried = now;
    if (p->initialized && !again)
        p->of->lost += !dead;
    p->phase = PROC_CLOSING;
    if (dead)
        drop_unread(p);
    proc_later(p, gone, delay);
}

void proc_dies(struct proc *p, enum reason why, const char *detail)
{
    event("proc", p->serial, p->slot, "dies", slice_str(detail));
    p->of->troubles++;
    if (chance(80))
        p->piped = p->read;
    if (p->initialized)
        p->of->lost++;
    p->phase = PROC_DOWN;
    drop_unread(p);
    p->ev->on_down(p->conn, why, false, detail);
    CHECK(STRUCTURE, p->phase == PROC_CLOSING, "a dead transport was not closed");
}

/* ---- the beginning ---- */

void proc_exits(struct proc *p)
{
    proc_dies(p, REASON_UPSTREAM_LOST, "exited with status 1");
}

static void has_started(struct proc *p)
{
    if (backend_in(p->of, MOOD_REFUSE)) {
        p->phase = PROC_DOWN;
        p->of->troubles++;
        event("proc", p->serial, p->slot, "cannot be started", slice_of("", 0));
        p->ev->on_down(p->conn, REASON_UPSTREAM_UNAVAILABLE, backend_in(p->of, MOOD_FATAL),
                       "cannot be started");
        return;
    }
    p->phase = PROC_UP;
    if (backend_in(p->of, MOOD_EXIT_AT_START)) {
        p->frozen = true;
        proc_later(p, proc_exits, 0);
    }
    p->ev->on_open(p->conn);
}

/* Starts of all servers together: a burst, then so many a second, whatever the clock does. */
static void check_pace(void)
{
    const struct config_limits *l = &sim.config->limits;
    unsigned room = l->start_burst + l->start_rate, n = ARRAY_LEN(sim.starts);
    sim.starts[sim.start_n++ % n] = sim.env.now;
    if (l->start_rate == 0 || room >= n || sim.start_n <= room)
        return;
    CHECK(I7_AMPLIFICATION, sim.starts[(sim.start_n - 1 - room) % n] + USEC_PER_SEC <= sim.env.now,
          "%u starts within a second", room + 1);
}

static struct transport *proc_open(void *tr_arg, const struct server_config *sc,
                                   const struct config *config, unsigned slot,
                                   const struct transport_events *ev, void *ev_arg)
{
    struct proc *p = xcalloc(1, sizeof(*p));
    (void)tr_arg, (void)config;
    for (unsigned i = 0; i < sim.backend_n; i++)
        if (strcmp(sim.backends[i].name, sc->name) == 0)
            p->of = &sim.backends[i];
    CHECK(STRUCTURE, p->of, "a transport for nobody: %s", sc->name);
    CHECK(I8_RECOVERY, p->of->route->server->mode == SERVER_ACTIVE, "%s is drained, and started",
          sc->name);
    p->base.ops = &proc_ops;
    p->ev = ev;
    p->conn = ev_arg;
    p->slot = slot;
    p->serial = ++sim.proc_serial;
    p->generation = p->of->generation;
    p->sc = sc;
    p->card = p->of->card;
    p->old = p->of->old;
    p->list_version = p->of->list_version;
    TAILQ_INIT(&p->unread);
    timer_init(&p->end, on_time, p);
    task_init(&p->soon, on_time, p);
    p->started_at = sim.env.now;
    p->level = -1;
    LIST_INSERT_HEAD(&sim.procs, p, link);
    p->of->opens++;
    check_pace();
    event("proc", p->serial, slot, "starts", slice_str(sc->name));
    proc_later(p, has_started,
               backend_in(p->of, MOOD_SLOW_START) ? 20 * USEC_PER_SEC : p->of->start_delay);
    return &p->base;
}

/* ---- in between ---- */

static uint64_t proc_send(struct transport *t, const struct payload *text,
                          const struct rpc_edits *edits)
{
    struct proc *p = (struct proc *)t;
    struct buf b = BUF_INIT;
    size_t n;
    if (edits)
        rpc_edit_append(&b, text->text, edits);
    else
        buf_append_slice(&b, text->text);
    buf_append(&b, "", 1);
    char *line = buf_take(&b, &n);
    p->marks++;
    CHECK(I5_NOTHING_AFTER, p->phase == PROC_UP, "sent to a closed connection: %.200s", line);
    backend_sent(p, line);
    if (!p->frozen) {
        p->read = p->piped = p->marks;
        backend_reads(p, line);
        free(line);
        return p->marks;
    }
    struct letter *l = xcalloc(1, sizeof(*l));
    *l = (struct letter){.text = line, .mark = p->marks};
    TAILQ_INSERT_TAIL(&p->unread, l, link);
    if (p->queued == 0 && p->pipe_used + n <= p->pipe_room) {
        p->pipe_used += n;
        p->piped = p->marks;
    } else { /* what fits of the line is in the pipe: the process gets half of it */
        size_t room = p->queued ? 0 : p->pipe_room - p->pipe_used;
        p->pipe_used += room;
        p->queued += n - room;
    }
    return p->marks;
}

static bool proc_handed_over(const struct transport *t, uint64_t mark)
{
    return mark <= ((const struct proc *)t)->piped;
}

static size_t proc_pending(const struct transport *t)
{
    return ((const struct proc *)t)->queued;
}

static uint64_t proc_received(const struct transport *t)
{
    return ((const struct proc *)t)->received;
}

const struct transport_ops proc_ops = {
    .name = "proc",
    .open = proc_open,
    .send = proc_send,
    .handed_over = proc_handed_over,
    .pending = proc_pending,
    .received = proc_received,
    .close = proc_close,
};

bool proc_talks(const struct proc *p)
{
    return p->phase == PROC_UP && p->conn->state == CONN_READY && !p->frozen &&
           !(p->hang_after && p->requests >= p->hang_after);
}

void proc_says(struct proc *p, const char *fmt, ...)
{
    char text[2048];
    struct rpc_msg m;
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    struct payload payload = {.text = slice_of(text, (size_t)n)};
    event("proc", p->serial, p->slot, "says", payload.text);
    CHECK(STRUCTURE, rpc_parse(payload.text, 128, &m, NULL) == RPC_OK, "the world lies: %s", text);
    p->received += (size_t)n + 1;
    p->owes_ping = false;
    p->of->said++;
    p->of->said_ever++;
    sim.speaking = p;
    p->ev->on_message(p->conn, &payload, &m);
    sim.speaking = NULL;
}

void proc_freeze(struct proc *p, size_t pipe_room)
{
    event("proc", p->serial, p->slot, "freezes", slice_of("", 0));
    p->frozen = true;
    p->pipe_room = pipe_room;
    p->pipe_used = 0;
}

void proc_thaw(struct proc *p)
{
    bool was_full = p->queued > 0;
    event("proc", p->serial, p->slot, "reads on", slice_of("", 0));
    p->frozen = false;
    p->pipe_used = p->queued = 0;
    read_all(p, p->marks);
    if (was_full && p->phase == PROC_UP)
        p->ev->on_drain(p->conn);
}

struct proc *some_proc(bool talking)
{
    unsigned n = 0;
    struct proc *p, *chosen = NULL;
    LIST_FOREACH (p, &sim.procs, link)
        if ((!talking || proc_talks(p)) && upto(++n) == 0)
            chosen = p;
    return chosen;
}

unsigned proc_count(void)
{
    unsigned n = 0;
    struct proc *p;
    LIST_FOREACH (p, &sim.procs, link)
        n++;
    return n;
}
