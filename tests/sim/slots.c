/* The oracle about connections: the invariant of the recovery queue (I8, resilience.md section 3),
 * the breaker (I6), and when everything is well again (I9). Recomputed from the fields of slots and
 * from what the world knows of its processes; none of the core's own judgement is used. */
#include "sim.h"

/* ---- I8 ---- */

static const struct proc *proc_of(const struct conn *c)
{
    const struct proc *p;
    LIST_FOREACH (p, &sim.procs, link)
        if (p->conn == c)
            return p;
    return NULL;
}

/* The longest that a slot may have to wait for its next attempt: cap and jitter, never beyond the
 * watchdog's interval. */
static usec_t longest_wait(const struct server_config *sc)
{
    const struct config_resilience *r = &sc->resilience;
    usec_t wait = r->max_backoff_delay + r->recovery_jitter_max;
    return wait < r->force_recovery_interval ? wait : r->force_recovery_interval;
}

/* What may be added to that: the pacing of starts over all servers, or, when the pool has enough
 * attempts under way, the time to the next sweep (if none of these ends before). */
static usec_t extra_wait(const struct conn *c)
{
    const struct server *s = c->pool->server;
    usec_t now = sim.env.now;
    usec_t turn = c->paced && c->start_at > now ? c->start_at - now : 0;
    return turn + (c->held ? s->sc->resilience.recovery_interval : 0);
}

static void check_waiting(const struct conn *c)
{
    const struct server_config *sc = c->pool->server->sc;
    const char *name = sc->name;
    if (!timer_armed(&c->timer)) {
        CHECK(I8_RECOVERY, sim.loses_timers, "%s: slot %u waits for nothing", name, c->slot);
        return;
    }
    CHECK(I8_RECOVERY, c->timer.due_at == c->retry_at, "%s: slot %u: two due times", name, c->slot);
    CHECK(I8_RECOVERY, c->retry_at <= sim.env.now + longest_wait(sc) + extra_wait(c),
          "%s: slot %u waits %.3f s more", name, c->slot,
          (double)(c->retry_at - sim.env.now) / USEC_PER_SEC);
}

static void check_attempting(const struct conn *c)
{
    const struct server_config *sc = c->pool->server->sc;
    if (!timer_armed(&c->timer)) {
        CHECK(I8_RECOVERY, sim.loses_timers, "%s: slot %u attempts without an end", sc->name,
              c->slot);
        return;
    }
    CHECK(I8_RECOVERY, c->timer.due_at <= sim.env.now + sc->resilience.operation_timeout,
          "%s: slot %u attempts for too long", sc->name, c->slot);
}

static void check_slot(const struct conn *c)
{
    const char *name = c->pool->server->sc->name, *state = conn_state_name(c->state);
    const struct proc *p = proc_of(c);
    CHECK(I8_RECOVERY, (p ? &p->base : NULL) == c->transport, "%s: slot %u (%s): its process is %s",
          name, c->slot, state, p ? "lost to it" : "not there");
    switch (c->state) {
    case CONN_IDLE:
        CHECK(I8_RECOVERY, !p && !timer_armed(&c->timer), "%s: slot %u is not idle", name, c->slot);
        return;
    case CONN_WAITING:
        CHECK(I8_RECOVERY, !p, "%s: slot %u waits with a process", name, c->slot);
        check_waiting(c);
        return;
    case CONN_CONNECTING:
    case CONN_HANDSHAKE:
        CHECK(I8_RECOVERY, p && (p->phase == PROC_UP) == (c->state == CONN_HANDSHAKE),
              "%s: slot %u (%s) attempts nothing", name, c->slot, state);
        check_attempting(c);
        return;
    case CONN_READY:
        CHECK(I8_RECOVERY, p && p->phase == PROC_UP && p->initialized, "%s: slot %u is not ready",
              name, c->slot);
        return;
    case CONN_CLOSING:
        CHECK(I8_RECOVERY, p && p->phase == PROC_CLOSING, "%s: slot %u closes nothing", name,
              c->slot);
        return;
    }
}

static bool is_used(const struct pool *p)
{
    return !p->stopping && (p->pinned || p->affinities > 0);
}

static void check_pool(const struct pool *p)
{
    const struct server_config *sc = p->server->sc;
    unsigned kept = 0;
    for (unsigned i = 0; i < p->slot_count; i++) {
        check_slot(p->slots[i]);
        kept += p->slots[i]->state != CONN_IDLE;
    }
    CHECK(I8_RECOVERY, p->stopping || p->slot_count >= sc->resilience.max_connections,
          "%s: a slot was thrown away", sc->name);
    CHECK(I8_RECOVERY,
          !is_used(p) || p->server->mode != SERVER_ACTIVE || kept >= sc->resilience.min_connections,
          "%s: only %u connections are kept or on their way", sc->name, kept);
}

void slots_check(void)
{
    unsigned live = 0;
    for (const struct backend *b = sim.backends; b < sim.backends + sim.backend_n; b++) {
        if (!b->route)
            continue;
        for (const struct pool *p = b->route->server->pools; p; p = p->next)
            check_pool(p);
        const char *overdue = server_overdue(b->route->server);
        CHECK(I8_RECOVERY, sim.loses_timers || !overdue, "%s: its %s does not tick", b->name,
              overdue);
        live += b->route->server->live;
    }
    CHECK(I10_BASELINE, live == proc_count(), "%u processes, of which the core knows %u",
          proc_count(), live);
}

/* ---- I9 ---- */

static bool pool_is_well(const struct pool *p)
{
    unsigned ready = 0, on_its_way = 0;
    for (unsigned i = 0; i < p->slot_count; i++) {
        const struct conn *c = p->slots[i];
        ready += c->state == CONN_READY;
        on_its_way += c->state == CONN_WAITING || c->state == CONN_CONNECTING ||
                      c->state == CONN_HANDSHAKE || (c->state == CONN_CLOSING && c->failed);
    }
    return ready >= p->server->sc->resilience.min_connections && on_its_way == 0;
}

static void describe(const struct pool *p, char *out, size_t cap)
{
    size_t n = (size_t)snprintf(out, cap, "%s, %u sessions, at least %u:", p->server->sc->name,
                                p->affinities, p->server->sc->resilience.min_connections);
    for (unsigned i = 0; i < p->slot_count && n < cap; i++)
        n += (size_t)snprintf(out + n, cap - n, " %s%s", conn_state_name(p->slots[i]->state),
                              p->slots[i]->failed ? "(failed)" : "");
}

bool everything_is_ready(char *ret_why, size_t cap)
{
    for (const struct backend *b = sim.backends; b < sim.backends + sim.backend_n; b++)
        for (const struct pool *p = b->route->server->pools; p; p = p->next)
            if (is_used(p) && !pool_is_well(p)) {
                describe(p, ret_why, cap);
                return false;
            }
    return true;
}

static usec_t longest(usec_t a, usec_t b)
{
    return a > b ? a : b;
}

/* What the pacing of starts may add to that: the places that are taken, and one for each slot. */
static usec_t longest_turn(void)
{
    usec_t ahead = 0;
    unsigned slots = 0, rate = sim.config->limits.start_rate;
    for (const struct backend *b = sim.backends; b < sim.backends + sim.backend_n; b++) {
        const struct server *s = b->route->server;
        if (s->pace && s->pace->next_at > sim.env.now)
            ahead = s->pace->next_at - sim.env.now;
        for (const struct pool *p = s->pools; p; p = p->next)
            slots += p->slot_count;
    }
    return rate ? ahead + slots * USEC_PER_SEC / rate : 0;
}

/* Cap, jitter and two probes, and the turns of paced starts; when timers were taken away, the
 * watchdog's interval and a sweep. */
usec_t ready_limit(void)
{
    usec_t limit = 0;
    for (const struct backend *b = sim.backends; b < sim.backends + sim.backend_n; b++) {
        const struct config_resilience *r = &b->route->server->sc->resilience;
        usec_t wait = sim.loses_timers ? r->force_recovery_interval + r->recovery_interval
                                       : longest_wait(b->route->server->sc);
        limit = longest(limit, wait + 2 * r->circuit_breaker_trial_timeout);
    }
    return limit + longest_turn();
}

/* The same for somebody who asks: a breaker that is open while nothing is wanted ends by time. */
usec_t served_limit(void)
{
    usec_t limit = ready_limit();
    for (const struct backend *b = sim.backends; b < sim.backends + sim.backend_n; b++) {
        const struct config_resilience *r = &b->route->server->sc->resilience;
        limit = longest(limit, r->circuit_breaker_timeout + 2 * r->circuit_breaker_trial_timeout);
    }
    return limit;
}
