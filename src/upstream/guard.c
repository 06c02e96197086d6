/* The circuit breaker of a server at work: what counts as its success or failure, its trials, and
 * what follows its transitions. The decisions are policy/breaker's.
 *
 * What counts: an attempt to connect while nothing else of the server is up (beside a connection
 * that is well, a slot that cannot start is its own matter and its back-off is enough); a
 * connection lost with requests in flight, or before it had proved itself; a request given up on a
 * silent connection; an answer that is no JSON-RPC. Any well-formed answer is a success. */
#include "base/log.h"
#include "base/util.h"
#include "internal.h"

#include <limits.h>
#include <stdio.h>

/* How often a half-open breaker looks for something to try, and the ramp lets waiting ones on. */
#define LOOK_AGAIN USEC_PER_SEC

struct breaker_params server_breaker_params(const struct server *s)
{
    const struct config_resilience *r = &s->sc->resilience;
    return (struct breaker_params){
        .threshold = r->circuit_breaker_threshold,
        .window = r->circuit_breaker_window,
        .volume = r->circuit_breaker_volume,
        .failure_rate = r->circuit_breaker_failure_rate,
        .open_for = r->circuit_breaker_timeout,
        .trial_timeout = r->circuit_breaker_trial_timeout,
        .successes = r->circuit_breaker_successes,
        .ramp = r->circuit_breaker_ramp,
    };
}

/* All requests that the server's connections may hold at once. */
static unsigned capacity(const struct server *s)
{
    uint64_t n =
        (uint64_t)s->sc->limits.max_in_flight_per_connection * s->sc->resilience.max_connections;
    return n < UINT_MAX ? (unsigned)n : UINT_MAX;
}

unsigned guard_limit(const struct server *s)
{
    if (s->breaker.closed_at == 0)
        return UINT_MAX;
    struct breaker_params p = server_breaker_params(s);
    return breaker_ramp_limit(&s->breaker, &p, capacity(s), s->env->now);
}

/* No connection is up and well, under way or about to be tried, and there is room for one. */
static bool nothing_to_try(const struct server *s)
{
    bool room = false;
    for (const struct pool *p = s->pools; p; p = p->next) {
        for (unsigned i = 0; i < p->slot_count && !p->stopping; i++) {
            const struct conn *c = p->slots[i];
            room |= c->state == CONN_IDLE;
            if (c->state != CONN_IDLE && (c->state != CONN_READY || conn_is_well(c)))
                return false;
        }
    }
    return room;
}

/* With no connection at all, or none but suspects, there is nothing to probe: a request may wait,
 * and what is opened for it is the trial. */
bool guard_admits(const struct server *s)
{
    return breaker_admits(&s->breaker, s->env->now) ||
           (s->breaker.state == BREAKER_HALF_OPEN && nothing_to_try(s));
}

usec_t guard_opens_at(const struct server *s)
{
    if (guard_admits(s))
        return USEC_NEVER;
    struct breaker_params p = server_breaker_params(s);
    usec_t at = breaker_next_at(&s->breaker, &p);
    struct server_counts n;
    server_count(s, &n);
    if (n.next_attempt < at)
        at = n.next_attempt;
    /* What is under way may be done in a moment. */
    usec_t soon = s->env->now + LOOK_AGAIN;
    unsigned under_way = n.slots[CONN_CONNECTING] + n.slots[CONN_HANDSHAKE] + n.slots[CONN_CLOSING];
    return under_way && soon < at ? soon : at;
}

static void arm(struct server *s)
{
    struct breaker_params p = server_breaker_params(s);
    usec_t at = breaker_next_at(&s->breaker, &p), now = s->env->now;
    bool looking = s->breaker.state == BREAKER_HALF_OPEN && !s->breaker.trial;
    if ((looking || guard_limit(s) != UINT_MAX) && at > now + LOOK_AGAIN)
        at = now + LOOK_AGAIN;
    if (at == USEC_NEVER)
        env_timer_clear(s->env, &s->breaker_timer);
    else
        env_timer_set(s->env, &s->breaker_timer, at);
}

static void wake_all(struct server *s)
{
    for (struct pool *p = s->pools; p; p = p->next)
        if (p->waiting)
            queue_wake(p);
}

/* ---- trials ---- */

static bool begin_trial(struct server *s, const struct conn *on)
{
    struct breaker_params p = server_breaker_params(s);
    bool begun = breaker_begin_trial(&s->breaker, &p, s->env->now);
    if (begun)
        s->trial_on = on;
    return begun;
}

/* A ping of a connection that is up, else the attempt that is under way, else the next one: the
 * delays of the recovery queue stand, whatever the breaker does. */
static void try_trial(struct server *s)
{
    struct conn *well = NULL, *starting = NULL;
    if (s->breaker.state != BREAKER_HALF_OPEN || s->breaker.trial)
        return;
    for (const struct pool *p = s->pools; p; p = p->next) {
        for (unsigned i = 0; i < p->slot_count && !p->stopping; i++) {
            struct conn *c = p->slots[i];
            well = conn_is_well(c) ? c : well;
            starting = conn_is_starting(c) ? c : starting;
        }
    }
    if (well && begin_trial(s, well))
        s->user->probe(well);
    else if (starting && begin_trial(s, starting))
        starting->trial_epoch = s->breaker.epoch;
}

/* ---- transitions ---- */

static const enum metric_breaker metric_states[] = {
    [BREAKER_CLOSED] = METRIC_BREAKER_CLOSED,
    [BREAKER_OPEN] = METRIC_BREAKER_OPEN,
    [BREAKER_HALF_OPEN] = METRIC_BREAKER_HALF_OPEN,
};

static void log_transition(struct server *s, enum breaker_state from, enum breaker_state to,
                           const char *why)
{
    enum log_level level = to == BREAKER_OPEN ? LOG_LEVEL_ERROR : LOG_LEVEL_NOTICE;
    char next[80] = "";
    if (to == BREAKER_OPEN)
        snprintf(next, sizeof(next),
                 "; calls are refused until a connection comes back, trial in %.1f s",
                 (double)s->sc->resilience.circuit_breaker_timeout / USEC_PER_SEC);
    log_event(level, LOG_CTX(.server = s->sc->name, .message_id = LOG_ID_BREAKER),
              "breaker %s -> %s (%s)%s", breaker_state_name(from), breaker_state_name(to), why,
              next);
    metrics_inc(s->metrics, METRIC_BREAKER_TRANSITIONS, metric_states[to]);
}

static void changed(struct server *s, enum breaker_state old, const char *why)
{
    log_transition(s, old, s->breaker.state, why);
    monitor_note(s, "the breaker");
    if (s->breaker.state == BREAKER_CLOSED)
        wake_all(s);
}

static void outcome(struct server *s, enum outcome o, uint32_t epoch, const char *why)
{
    enum breaker_state old = s->breaker.state;
    struct breaker_params p = server_breaker_params(s);
    if (epoch != s->breaker.epoch)
        metrics_inc(s->metrics, METRIC_BREAKER_STALE, 0);
    bool moved = breaker_on_outcome(&s->breaker, &p, o, epoch, s->env->now);
    if (moved)
        changed(s, old, why);
    if (moved || s->breaker.state == BREAKER_HALF_OPEN) {
        try_trial(s);
        arm(s);
    }
}

/* A trial came to nothing because the server does not answer pings, as some do not: an idle
 * connection is opened anew, for a handshake is a question that every server answers. Otherwise the
 * breaker of such a server could stay open for ever. */
static void try_handshake(struct server *s)
{
    for (struct pool *p = s->pools; p; p = p->next) {
        for (unsigned i = 0; i < p->slot_count && !p->stopping; i++) {
            struct conn *c = p->slots[i];
            if (!conn_is_well(c) || c->running > 0 || c->probe.ever_answered)
                continue;
            conn_fail(c, REASON_TIMEOUT, false,
                      "opened anew: the breaker needs an answer, and it gives none to pings");
            return;
        }
    }
}

static void on_time(void *arg)
{
    struct server *s = arg;
    enum breaker_state old = s->breaker.state;
    struct breaker_params p = server_breaker_params(s);
    bool moved = breaker_tick(&s->breaker, &p, s->env->now);
    if (moved && old == BREAKER_OPEN) {
        changed(s, old, "time for a trial");
    } else if (moved) {
        changed(s, old, "the trial said nothing in time");
        try_handshake(s);
    }
    try_trial(s);
    wake_all(s);
    arm(s);
}

/* ---- what happened ---- */

void guard_on_attempt(struct conn *c)
{
    struct server *s = c->pool->server;
    c->trial_epoch = s->breaker.epoch;
    if (s->breaker.state == BREAKER_HALF_OPEN && begin_trial(s, c))
        arm(s);
}

void guard_on_ready(struct conn *c)
{
    struct server *s = c->pool->server;
    enum breaker_state old = s->breaker.state;
    bool via_half_open = false;
    if (!breaker_on_handshake(&s->breaker, &via_half_open, s->env->now))
        return;
    if (via_half_open) {
        log_transition(s, old, BREAKER_HALF_OPEN, "a connection came back");
        old = BREAKER_HALF_OPEN;
    }
    changed(s, old, "handshake done");
    arm(s);
}

void guard_on_failed_attempt(struct conn *c)
{
    struct server *s = c->pool->server;
    if (c->forced)
        return; /* ended by mcpool itself, which has just made the breaker ready for a trial */
    struct server_counts n;
    server_count(s, &n);
    /* Beside a connection that is well, of whatever pool, the endpoint as such is alive. */
    if (n.available == 0 || s->breaker.state == BREAKER_HALF_OPEN)
        outcome(s, OUTCOME_FAILURE, c->trial_epoch, "attempts to connect fail");
}

void guard_on_loss(struct conn *c, bool young)
{
    struct server *s = c->pool->server;
    if (c->forced)
        return; /* as above */
    if (young)
        breaker_on_young_loss(&s->breaker);
    else
        breaker_on_stable(&s->breaker);
    if (young || c->running > 0)
        outcome(s, OUTCOME_FAILURE, s->breaker.epoch,
                young ? "it accepts connections and dies" : "it died over requests");
}

void guard_on_sweep(struct conn *c)
{
    if (c->state == CONN_READY &&
        conn_env(c)->now - c->ready_at >= conn_config(c)->resilience.stable_after)
        breaker_on_stable(&c->pool->server->breaker);
}

void guard_force(struct server *s)
{
    enum breaker_state old = s->breaker.state;
    if (breaker_force(&s->breaker, s->env->now) && s->breaker.state != old)
        changed(s, old, "recovery by force");
    try_trial(s);
    wake_all(s); /* the ramp may be over since the last look, and then arm sets no other */
    arm(s);
}

void guard_on_let_go(struct conn *c)
{
    struct server *s = c->pool->server;
    if (s->trial_on == c && s->breaker.state == BREAKER_HALF_OPEN && s->breaker.trial)
        outcome(s, OUTCOME_IGNORED, s->breaker.epoch, "its connection was closed");
}

void guard_renew(struct server *s)
{
    arm(s);
    wake_all(s);
}

void conn_note_answer(struct conn *c, uint32_t breaker_epoch)
{
    struct server *s = c->pool->server;
    c->answered_at = s->env->now;
    outcome(s, OUTCOME_SUCCESS, breaker_epoch, "it answers");
}

void conn_note_garbage(struct conn *c, uint32_t breaker_epoch)
{
    outcome(c->pool->server, OUTCOME_FAILURE, breaker_epoch, "it answers with something else");
}

void guard_on_silence(struct conn *c, uint32_t breaker_epoch)
{
    outcome(c->pool->server, OUTCOME_FAILURE, breaker_epoch, "it does not answer");
}

void conn_note_probe_answered(struct conn *c, uint32_t breaker_epoch)
{
    metrics_inc(c->pool->server->metrics, METRIC_PROBES, METRIC_PROBE_ANSWERED);
    probe_on_answer(&c->probe);
    conn_note_answer(c, breaker_epoch);
}

void guard_init(struct server *s)
{
    breaker_init(&s->breaker, s->env->now);
    timer_init(&s->breaker_timer, on_time, s);
}

void guard_done(struct server *s)
{
    env_timer_clear(s->env, &s->breaker_timer);
}
