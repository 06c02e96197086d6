/* Counters and lists of the core that must agree with each other after every step. */
#include "sim.h"

static void check_running(const struct conn *c, const struct session *s, const struct call *call)
{
    CHECK(STRUCTURE, (call->up.id != 0) + (call->sub != NULL) + (call->leader != NULL) == 1,
          "a call in limbo");
    CHECK(STRUCTURE, !call->leader || (call->leader->up.id && call->leader->up.conn == c),
          "a call that follows nobody");
    CHECK(STRUCTURE, !c->lessee || c->lessee == &s->affinity, "a stranger on a leased connection");
    CHECK(STRUCTURE, call->up.id == 0 || call->up.conn == c, "a call on two connections");
    CHECK(STRUCTURE, call->deadline.set, "a call without a deadline");
}

static void check_calls_of_conn(const struct conn *c)
{
    const struct mux *m = mux_of(c);
    unsigned running = 0, interactive = 0, linked = 0;
    struct session *s, *next;
    HASH_ITER (hh, sim.proxy->sessions, s, next) {
        struct call *call;
        LIST_FOREACH (call, &s->calls, link) {
            if (call->ticket.state != TICKET_RUNNING || call->ticket.conn != c)
                continue;
            running++;
            interactive += call->ticket.interactive;
            linked += call->up.id != 0;
            check_running(c, s, call);
        }
    }
    CHECK(STRUCTURE, c->running == running, "slot %u: %u counted, %u running", c->slot, c->running,
          running);
    CHECK(STRUCTURE, c->interactive == interactive, "slot %u", c->slot);
    size_t pos = 0, n = 0, calls = 0;
    for (const struct uplink *u; (u = mux_next(m, &pos)) != NULL; n++) {
        CHECK(STRUCTURE, u->conn == c && u->id, "a stray uplink");
        calls += u->on_answer == call_on_answer;
    }
    CHECK(STRUCTURE, n == m->uplinks.count && calls == linked, "slot %u: mux", c->slot);
    if (c->state != CONN_READY)
        CHECK(STRUCTURE, running == 0 && n == 0 && LIST_EMPTY(&m->asks), "slot %u is %s with work",
              c->slot, conn_state_name(c->state));
    const struct ask *a;
    LIST_FOREACH (a, &m->asks, conn_link)
        CHECK(STRUCTURE, a->conn == c && timer_armed(&a->deadline), "a stray ask");
}

/* In order, and a timer that rings for the first of them in time. */
static void check_deadlines(const struct deadlines *ds)
{
    const struct deadline *d = TAILQ_FIRST(&ds->list), *next;
    CHECK(STRUCTURE, !d || (timer_armed(&ds->timer) && ds->timer.due_at <= d->due_at),
          "a deadline without a timer");
    for (; d; d = next) {
        next = TAILQ_NEXT(d, link);
        CHECK(STRUCTURE, d->set && (!next || d->due_at <= next->due_at), "deadlines in disorder");
    }
}

static bool session_lives(const struct affinity *a)
{
    struct session *s, *next;
    HASH_ITER (hh, sim.proxy->sessions, s, next)
        if (&s->affinity == a)
            return true;
    return false;
}

static void check_slot(const struct conn *c)
{
    CHECK(STRUCTURE, (c->state == CONN_READY) <= (c->card != NULL), "slot %u has no card", c->slot);
    CHECK(STRUCTURE, !c->lessee || session_lives(c->lessee), "slot %u is leased to the dead",
          c->slot);
    if (c->pool->server->sharing == CONFIG_SHARING_EXCLUSIVE)
        CHECK(STRUCTURE, (c->lessee != NULL) == (c->running > 0), "slot %u: lease", c->slot);
    const struct affinity *a;
    LIST_FOREACH (a, &c->homed, home_link)
        CHECK(STRUCTURE, a->home == c && session_lives(a), "slot %u: homes", c->slot);
    check_calls_of_conn(c);
}

static void check_pool(struct pool *p)
{
    unsigned waiting = 0, waiting_of[2] = {0}, affinities = 0, levels[MCP_LOG_UNSET] = {0};
    unsigned in_state[CONN_STATES] = {0};
    const struct pool_state *st = p->user;
    for (unsigned i = 0; i < p->slot_count; i++) {
        check_slot(p->slots[i]);
        in_state[p->slots[i]->state]++;
    }
    CHECK(STRUCTURE, memcmp(in_state, p->in_state, sizeof(in_state)) == 0, "states of slots");
    struct session *s, *next;
    HASH_ITER (hh, sim.proxy->sessions, s, next) {
        if (s->affinity.pool != p)
            continue;
        affinities++;
        if (s->level != MCP_LOG_UNSET)
            levels[s->level]++;
        struct call *c;
        LIST_FOREACH (c, &s->calls, link) {
            waiting += c->ticket.state == TICKET_WAITING;
            waiting_of[c->ticket.interactive] += c->ticket.state == TICKET_WAITING;
            CHECK(I1_ONE_END, c->ticket.state != TICKET_IDLE, "a call that nobody will ever end");
            CHECK(I1_ONE_END,
                  (c->ticket.state == TICKET_WAITING) == timer_armed(&c->ticket.patience),
                  "patience");
        }
    }
    CHECK(STRUCTURE, p->waiting == waiting, "%u in line, %u counted", waiting, p->waiting);
    CHECK(STRUCTURE, memcmp(waiting_of, p->waiting_of, sizeof(waiting_of)) == 0, "kinds in line");
    for (unsigned i = 0; affinities == 0 && i < p->slot_count; i++)
        CHECK(STRUCTURE, p->slots[i]->keepers == 0, "subscriptions of nobody");
    CHECK(STRUCTURE, p->affinities == affinities, "%u sessions, %u counted", affinities,
          p->affinities);
    CHECK(STRUCTURE, memcmp(levels, st->level_count, sizeof(levels)) == 0, "log levels");
}

/* What a session has in line, counted by kind. */
static void check_line(const struct affinity *a)
{
    unsigned waiting_of[2] = {0}, openings = 0;
    const struct ticket *t;
    TAILQ_FOREACH (t, &a->waiting, link) {
        waiting_of[t->interactive]++;
        openings += t->opening;
    }
    CHECK(STRUCTURE,
          memcmp(waiting_of, a->waiting_of, sizeof(waiting_of)) == 0 &&
              openings == a->waiting_openings,
          "kinds in the line of a session");
}

/* Whether a request of session a, interactive or not, should be running on c by the rules. */
static bool has_room(const struct pool *p, const struct conn *c, const struct affinity *a,
                     bool interactive)
{
    bool shuns = c->suspect && p->server->sharing != CONFIG_SHARING_SESSION;
    const struct proc *at = (const struct proc *)c->transport;
    if (p->server->mode != SERVER_ACTIVE || (at && at->generation != at->of->generation) ||
        c->surplus)
        return false; /* on purpose without requests */
    if (c->state != CONN_READY || c->draining || shuns || conn_pending(c) ||
        c->running >= p->server->sc->limits.max_in_flight_per_connection)
        return false;
    switch (p->server->sharing) {
    case CONFIG_SHARING_SHARED:
        return !p->server_asks || !interactive ||
               (c->interactive == 0 && c->ghosts_until <= sim.env.now);
    case CONFIG_SHARING_EXCLUSIVE:
        return !c->lessee || c->lessee == a;
    case CONFIG_SHARING_SESSION:
        return c->lessee == a || (!a->home && !c->lessee && !c->used);
    }
    return false;
}

/* The breaker holds requests back, or lets them on gradually after it has closed; then it looks
 * once a second. */
static bool is_held_back(const struct server *s)
{
    const struct breaker *b = &s->breaker;
    usec_t end = b->closed_at + s->sc->resilience.circuit_breaker_ramp + USEC_PER_SEC;
    return b->state != BREAKER_CLOSED || (b->closed_at && sim.env.now < end);
}

/* Nobody waits beside a connection that could serve him. */
static void check_nobody_waits_in_vain(const struct pool *p)
{
    const struct affinity *a;
    const struct ticket *t;
    if (is_held_back(p->server))
        return;
    TAILQ_FOREACH (a, &p->turns, turn) {
        /* A fresh home is worth the wait beside a connection with ghosts. */
        bool fresh = a->home && !a->home->recovering &&
                     (a->home->state == CONN_CONNECTING || a->home->state == CONN_HANDSHAKE);
        TAILQ_FOREACH (t, &a->waiting, link)
            for (unsigned i = 0; i < p->slot_count; i++)
                CHECK(STRUCTURE,
                      !has_room(p, p->slots[i], a, t->interactive) ||
                          (fresh && p->slots[i]->ghosts_until > sim.env.now),
                      "somebody waits though slot %u has room", p->slots[i]->slot);
    }
}

static void check_session(const struct session *s)
{
    unsigned calls = 0, asks = 0;
    const struct call *c;
    const struct ask *a;
    LIST_FOREACH (c, &s->calls, link) {
        calls++;
        asks += c->asks;
    }
    CHECK(STRUCTURE, calls == s->in_flight, "%u calls, %u counted", calls, s->in_flight);
    CHECK(STRUCTURE, s->calls_by_id.count == 0 || s->calls_by_id.count == calls, "calls by id");
    LIST_FOREACH (a, &s->asks, session_link)
        asks -= a->call != NULL;
    CHECK(STRUCTURE, asks == 0, "%u questions too many", asks);
    if (s->affinity.pool)
        check_line(&s->affinity);
    if (sim.proxy->config->limits.session_idle_timeout && s->holds == 0)
        CHECK(STRUCTURE, timer_armed(&s->idle) && s->idle.due_at <= s->idle_until,
              "a session that never ends");
}

static void check_principals(void)
{
    unsigned principals = 0;
    for (const struct principal *pr = sim.proxy->principals; pr; pr = pr->hh.next) {
        unsigned calls = 0, sessions = 0;
        struct session *s, *next;
        HASH_ITER (hh, sim.proxy->sessions, s, next)
            if (s->principal == pr) {
                sessions++;
                calls += s->in_flight;
            }
        CHECK(STRUCTURE, calls == pr->in_flight && sessions == pr->sessions, "principal %s",
              pr->name);
        principals++;
    }
    CHECK(STRUCTURE, principals == HASH_COUNT(sim.proxy->principals), "principals");
}

void structure_check(void)
{
    for (const struct backend *b = sim.backends; b < sim.backends + sim.backend_n; b++)
        for (struct pool *p = b->route->server->pools; p; p = p->next) {
            check_pool(p);
            check_nobody_waits_in_vain(p);
        }
    for (const struct backend *b = sim.backends; b < sim.backends + sim.backend_n; b++) {
        check_deadlines(&endpoint_of(b->route)->call_timeouts);
        check_deadlines(&endpoint_of(b->route)->operation_timeouts);
    }
    struct session *s, *next;
    HASH_ITER (hh, sim.proxy->sessions, s, next)
        check_session(s);
    check_principals();
}
