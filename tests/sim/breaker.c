/* The oracle about circuit breakers (I6, resilience.md section 2): looked at after whatever
 * happens, so that no transition passes unseen. Whether a transition had a cause is judged by what
 * the world did to the server, and how long a state lasted by the configuration. */
#include "sim.h"

static const struct config_resilience *settings(const struct backend *b)
{
    return &b->route->server->sc->resilience;
}

void breaker_begin(struct backend *b)
{
    b->breaker = b->route->server->breaker;
}

/* Whether `steps` legal transitions lead from one state to the other. */
static bool leads_to(enum breaker_state from, enum breaker_state to, uint32_t steps)
{
    if (steps == 0)
        return from == to;
    switch (from) {
    case BREAKER_CLOSED:
        return leads_to(BREAKER_OPEN, to, steps - 1);
    case BREAKER_OPEN:
        return leads_to(BREAKER_HALF_OPEN, to, steps - 1);
    case BREAKER_HALF_OPEN:
        return leads_to(BREAKER_OPEN, to, steps - 1) || leads_to(BREAKER_CLOSED, to, steps - 1);
    }
    return false;
}

/* A request that waits for longer than the shorter of the two budgets. */
static bool keeps_somebody_waiting(const struct backend *b)
{
    const struct config_resilience *r = settings(b);
    usec_t budget = r->call_timeout < r->operation_timeout ? r->call_timeout : r->operation_timeout;
    for (unsigned i = 1; i <= sim.req_n; i++)
        if (sim.reqs[i].open && sim.reqs[i].to == b && sim.env.now >= sim.reqs[i].made_at + budget)
            return true;
    return false;
}

/* An attempt that may just have failed, or a process that owes an answer, if only to a ping. */
static bool is_in_doubt(const struct backend *b)
{
    const struct proc *p;
    LIST_FOREACH (p, &sim.procs, link)
        if (p->of == b && (!p->initialized || p->frozen || p->job_n > 0 || p->owes_ping))
            return true;
    return false;
}

/* One transition, or several that came at once. */
static void check_transition(struct backend *b, const struct server *s)
{
    const struct breaker *was = &b->breaker, *now = &s->breaker;
    uint32_t steps = now->epoch - was->epoch;
    bool forced = s->forced_at == sim.env.now, shaken = b->handshake_at == sim.env.now;
    if (forced && steps > 0 && !leads_to(was->state, now->state, steps))
        steps--; /* it found it half open: what was under way there counts no more */
    CHECK(I6_BREAKER, steps < 16 && leads_to(was->state, now->state, steps),
          "%s: %s -> %s in %u steps", b->name, breaker_state_name(was->state),
          breaker_state_name(now->state), steps);
    if (was->state == BREAKER_CLOSED && steps > 0)
        CHECK(I6_BREAKER, b->troubles > 0 || keeps_somebody_waiting(b) || is_in_doubt(b),
              "%s opened though nothing had happened", b->name);
    if (was->state == BREAKER_OPEN)
        CHECK(I6_BREAKER,
              forced || shaken || sim.env.now >= was->since + settings(b)->circuit_breaker_timeout,
              "%s: open for %.3f s only", b->name,
              (double)(sim.env.now - was->since) / USEC_PER_SEC);
    if (was->state == BREAKER_HALF_OPEN && now->state == BREAKER_CLOSED && steps == 1)
        CHECK(I6_BREAKER, shaken || b->said >= settings(b)->circuit_breaker_successes,
              "%s closed after %u answers", b->name, b->said);
}

void breaker_look(void)
{
    for (struct backend *b = sim.backends; b < sim.backends + sim.backend_n; b++) {
        const struct server *s = b->route ? b->route->server : NULL;
        if (!s)
            continue;
        const struct breaker *now = &s->breaker;
        if (now->epoch != b->breaker.epoch) {
            check_transition(b, s);
            if (now->state == BREAKER_CLOSED)
                b->troubles = 0;
            if (now->state == BREAKER_HALF_OPEN)
                b->said = 0;
        } else {
            CHECK(I6_BREAKER, now->state == b->breaker.state, "%s: %s became %s unannounced",
                  b->name, breaker_state_name(b->breaker.state), breaker_state_name(now->state));
        }
        CHECK(I6_BREAKER, !now->trial || now->state == BREAKER_HALF_OPEN, "%s: a trial while %s",
              b->name, breaker_state_name(now->state));
        CHECK(I6_BREAKER,
              !now->trial ||
                  now->trial_due_at <= sim.env.now + settings(b)->circuit_breaker_trial_timeout,
              "%s: the trial may take too long", b->name);
        b->breaker = *now;
    }
}

/* What is not closed has a time at which something happens. */
void breaker_check(void)
{
    for (const struct backend *b = sim.backends; b < sim.backends + sim.backend_n; b++) {
        const struct server *s = b->route ? b->route->server : NULL;
        if (!s || s->stopping || s->breaker.state == BREAKER_CLOSED)
            continue;
        CHECK(I6_BREAKER, timer_armed(&s->breaker_timer), "%s is %s for good", b->name,
              breaker_state_name(s->breaker.state));
        CHECK(I6_BREAKER,
              s->breaker.state != BREAKER_OPEN ||
                  sim.env.now <= s->breaker.since + settings(b)->circuit_breaker_timeout,
              "%s is open for too long", b->name);
        CHECK(I6_BREAKER, !s->breaker.trial || sim.env.now <= s->breaker.trial_due_at,
              "%s is pinned by a trial", b->name);
    }
}

/* Clients' requests go out only while it is closed, and after it has closed ever more of them. */
void breaker_lets(const struct backend *b)
{
    const struct server *s = b->route->server;
    const struct breaker *k = &s->breaker;
    uint64_t all =
        (uint64_t)s->sc->limits.max_in_flight_per_connection * s->sc->resilience.max_connections;
    usec_t ramp = settings(b)->circuit_breaker_ramp, passed = sim.env.now - k->closed_at;
    unsigned running = 0;
    CHECK(I6_BREAKER, k->state == BREAKER_CLOSED, "%s got a request while %s", b->name,
          breaker_state_name(k->state));
    if (k->closed_at == 0 || passed >= ramp)
        return;
    for (const struct pool *p = s->pools; p; p = p->next)
        for (unsigned i = 0; i < p->slot_count; i++)
            running += p->slots[i]->running;
    CHECK(I6_BREAKER, running <= 1 + (all - 1) * passed / ramp,
          "%s: %u requests run %.3f s after it closed", b->name, running,
          (double)passed / USEC_PER_SEC);
}
