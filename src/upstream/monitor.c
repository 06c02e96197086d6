/* The health monitor: every health_check_interval it looks at each connection that was silent, and
 * at the server as a whole (resilience.md sections 1 and 6). The decisions are policy/health's. */
#include "base/log.h"
#include "internal.h"

void server_count(const struct server *s, struct server_counts *ret)
{
    *ret = (struct server_counts){.next_attempt = USEC_NEVER};
    for (const struct pool *p = s->pools; p; p = p->next) {
        usec_t next = pool_next_attempt(p);
        ret->next_attempt = next < ret->next_attempt ? next : ret->next_attempt;
        ret->waiting += p->waiting;
        ret->failed += pool_count_recovering(p);
        if (!p->stopping) {
            ret->max_size += s->sc->resilience.max_connections;
            ret->min_size += pool_is_used(p) ? s->sc->resilience.min_connections : 0;
        }
        for (unsigned i = 0; i < p->slot_count; i++) {
            const struct conn *c = p->slots[i];
            ret->slots[c->state]++;
            ret->available += conn_is_well(c);
            ret->running += c->running;
        }
    }
}

static usec_t last_answer(const struct server *s)
{
    usec_t at = 0;
    for (const struct pool *p = s->pools; p; p = p->next)
        for (unsigned i = 0; i < p->slot_count; i++)
            if (conn_is_well(p->slots[i]) && p->slots[i]->answered_at > at)
                at = p->slots[i]->answered_at;
    return at;
}

enum health server_health(const struct server *s)
{
    struct server_counts n;
    server_count(s, &n);
    struct health_view v = {
        .ready = n.available,
        .recovering = n.failed,
        .wanted = server_opens(s) ? n.min_size : 0,
        .last_answer = last_answer(s),
        .breaker_closed = s->breaker.state == BREAKER_CLOSED,
        .attempted = s->tried,
    };
    return health_judge(&v, s->sc->resilience.health_check_interval, s->env->now);
}

void monitor_note(struct server *s, const char *why)
{
    enum health now = server_health(s);
    if (now == s->health || s->stopping)
        return;
    log_event(now == HEALTH_UNHEALTHY ? LOG_LEVEL_WARNING : LOG_LEVEL_NOTICE,
              LOG_CTX(.server = s->sc->name, .message_id = LOG_ID_HEALTH), "health %s -> %s (%s)",
              health_name(s->health), health_name(now), why);
    s->health = now;
    s->health_at = s->env->now;
}

/* ---- silent connections ---- */

static void suspect(struct conn *c)
{
    if (c->suspect)
        return;
    log_warning(
        CONN_CTX(c, .message_id = LOG_ID_CONN_SILENT),
        "no answer to a ping, %u requests in flight: no new requests while there is another "
        "place",
        c->running);
    c->suspect = true;
    pool_on_conn_state(c);
}

static void check_conn(struct conn *c)
{
    const struct config_resilience *r = &conn_config(c)->resilience;
    struct metrics *m = c->pool->server->metrics;
    conn_listen(c);
    struct probe_view v = {.heard_at = c->heard_at, .running = c->running, .overdue = c->draining};
    unsigned missed = c->probe.missed;
    usec_t now = conn_env(c)->now, tick = r->health_check_interval;
    enum probe_action action = probe_tick(&c->probe, &v, tick, r->operation_timeout, now);
    if (c->probe.missed > missed)
        metrics_inc(m, METRIC_PROBES, METRIC_PROBE_MISSED);
    if (action == PROBE_SUSPECT) {
        suspect(c);
        action = probe_tick(&c->probe, &v, tick, r->operation_timeout, now);
    }
    switch (action) {
    case PROBE_NOTHING:
    case PROBE_SUSPECT:
        return;
    case PROBE_REPLACE:
        conn_fail(c, REASON_TIMEOUT, false, "it was idle and did not answer pings any more");
        return;
    case PROBE_SEND:
        c->pool->server->user->probe(c);
        return;
    }
}

/* ---- overdue requests ---- */

/* It is stuck: what is in flight may still end, then it is replaced (queue_pump). */
static void drain(struct conn *c)
{
    if (c->draining)
        return;
    c->draining = true;
    metrics_inc(c->pool->server->metrics, METRIC_CONNECTIONS_DRAINED, 0);
    log_warning(CONN_CTX(c, .reason = reason_name(REASON_TIMEOUT),
                         .duration = conn_env(c)->now - c->heard_at,
                         .message_id = LOG_ID_CONN_SILENT),
                "stuck: silent for %.1f s with a request overdue; to be replaced when the %u in "
                "flight have ended",
                (double)(conn_env(c)->now - c->heard_at) / USEC_PER_SEC, c->running);
    pool_on_conn_state(c);
    queue_wake(c->pool);
}

/* A server may be long at one request and say nothing: a ping tells it from one that is dead. */
static void doubt(struct conn *c)
{
    struct env *env = conn_env(c);
    usec_t timeout = conn_config(c)->resilience.operation_timeout;
    if (c->probe.missed) {
        drain(c);
        return;
    }
    c->suspect = true;
    pool_on_conn_state(c);
    if (!c->probe.pending) {
        c->probe.pending = true;
        c->probe.sent_at = env->now;
        c->pool->server->user->probe(c);
    }
    if (!timer_armed(&c->timer))
        env_timer_set(env, &c->timer, c->probe.sent_at + timeout);
}

void conn_note_given_up(struct conn *c, usec_t started_at, uint32_t breaker_epoch)
{
    if (c->state != CONN_READY)
        return;
    conn_listen(c);
    if (!probe_is_stuck(started_at, c->heard_at))
        return; /* slow, and nobody's failure */
    guard_on_silence(c, breaker_epoch);
    doubt(c);
}

void conn_note_taken_back(struct conn *c, usec_t started_at)
{
    if (c->state != CONN_READY)
        return;
    conn_listen(c);
    if (!probe_is_stuck(started_at, c->heard_at))
        return;
    if (c->unheard_since == 0 || c->unheard_since < c->heard_at || started_at < c->unheard_since)
        c->unheard_since = started_at;
    /* One that was taken back is often never answered: it says nothing without another one. */
    if (started_at > c->unheard_since &&
        conn_env(c)->now - c->unheard_since >= conn_config(c)->resilience.call_timeout)
        doubt(c);
}

void monitor_verdict(struct conn *c)
{
    conn_listen(c);
    if (!c->probe.pending && !c->probe.missed)
        return; /* it was heard since */
    metrics_inc(c->pool->server->metrics, METRIC_PROBES, METRIC_PROBE_MISSED);
    drain(c);
}

/* ---- the server as a whole ---- */

static void on_tick(void *arg)
{
    struct server *s = arg;
    for (struct pool *p = s->pools; p; p = p->next)
        for (unsigned i = 0; i < p->slot_count && !p->stopping; i++)
            if (p->slots[i]->state == CONN_READY)
                check_conn(p->slots[i]);
    recover_watch(s);
    monitor_note(s, "monitor");
    monitor_begin(s);
}

void monitor_init(struct server *s)
{
    timer_init(&s->monitor, on_tick, s);
}

void monitor_begin(struct server *s)
{
    if (s->stopping)
        return;
    s->monitor_by = s->env->now + s->sc->resilience.health_check_interval;
    env_timer_set(s->env, &s->monitor, s->monitor_by);
}

void monitor_renew(struct server *s)
{
    usec_t at = s->env->now + s->sc->resilience.health_check_interval;
    if (timer_armed(&s->monitor) && at < s->monitor.due_at)
        env_timer_set(s->env, &s->monitor, at);
}

void monitor_done(struct server *s)
{
    env_timer_clear(s->env, &s->monitor);
}

/* ---- whether both tick ---- */

/* Timers of one loop are never that late while it turns. */
#define TICK_SLACK (10 * USEC_PER_SEC)

static bool is_overdue(const struct server *s, usec_t due_at)
{
    return due_at != 0 && s->env->now > due_at + TICK_SLACK;
}

const char *server_overdue(const struct server *s)
{
    if (s->stopping)
        return NULL;
    if (is_overdue(s, s->sweep_by))
        return "recovery sweep";
    return is_overdue(s, s->monitor_by) ? "health monitor" : NULL;
}
