/* The recovery queue: every slot that has failed waits here, each with its own due time, and is
 * tried again for as long as its pool is used. Nothing ever leaves it but by coming back or by
 * being no longer wanted (resilience.md sections 1 and 3).
 *
 * Three things look after it, each enough to bring a slot back if the ones before it were broken:
 * the slot's own timer; the sweep, every recovery_interval, which starts what is due and audits the
 * invariant; and the watchdog, which looks whenever sweep or monitor tick and recovers by force
 * what was down for force_recovery_interval. Starts are paced over all servers, and a pool has at
 * most RECOVERY_AT_ONCE attempts under way. */
#include "base/log.h"
#include "base/util.h"
#include "internal.h"

#include <stdio.h>

/* How much longer than its limit something may take before it is called stuck: the steps of the
 * shutdown ladder, and a process that takes its time to die. */
#define CLOSE_SLACK (10 * USEC_PER_SEC)

static struct recovery_rules rules_of(const struct conn *c)
{
    const struct server *s = c->pool->server;
    const struct config_resilience *r = &s->sc->resilience;
    return (struct recovery_rules){
        .max_delay = r->max_backoff_delay > r->recovery_interval ? r->max_backoff_delay
                                                                 : r->recovery_interval,
        .jitter_max = r->recovery_jitter_max,
        .force_after = r->force_recovery_interval,
        .attempt_limit = r->operation_timeout,
        .close_limit = 2 * (c->sc ? c->sc : s->sc)->limits.shutdown_grace + CLOSE_SLACK,
        .pace_limit = c->start_at > s->env->now ? c->start_at - s->env->now : 0,
    };
}

/* ---- into the queue and out of it ---- */

usec_t server_backoff_cap(const struct server *s, usec_t *ret_suggested)
{
    const struct config_resilience *r = &s->sc->resilience;
    usec_t suggested = adapt_cap(&s->adapt, r->backoff_base, r->max_backoff_delay, 0);
    if (ret_suggested)
        *ret_suggested = suggested;
    return r->adaptive_backoff == CONFIG_ADAPTIVE_ON ? suggested : r->max_backoff_delay;
}

static usec_t cap_for(const struct conn *c)
{
    const struct config_resilience *r = &conn_config(c)->resilience;
    usec_t outage = c->lost_at ? conn_env(c)->now - c->lost_at : 0;
    if (r->adaptive_backoff != CONFIG_ADAPTIVE_ON || c->fatal)
        return r->max_backoff_delay;
    return adapt_cap(&c->pool->server->adapt, r->backoff_base, r->max_backoff_delay, outage);
}

void recover_enqueue(struct conn *c)
{
    const struct config_resilience *r = &conn_config(c)->resilience;
    struct env *env = conn_env(c);
    struct backoff_params p = {
        .base = r->backoff_base, .cap = cap_for(c), .jitter_max = r->recovery_jitter_max};
    uint64_t random;
    env_random_bytes(env, &random, sizeof(random));
    usec_t delay = c->forced ? 0 : recovery_delay(&c->recovery, &p, c->fatal, random);
    if (delay > r->force_recovery_interval)
        delay = r->force_recovery_interval;
    char why[80];
    snprintf(why, sizeof(why), "next attempt in %.1f s, number %u", (double)delay / USEC_PER_SEC,
             c->recovery.attempts + 1);
    c->forced = false;
    conn_wait(c, env->now + delay, why);
}

/* `at`, or the latest point that the audit accepts: whoever waits for longer looks again then. */
static usec_t no_later(const struct conn *c, usec_t at)
{
    struct recovery_rules rules = rules_of(c);
    usec_t latest = recovery_latest(&rules, conn_env(c)->now);
    return at < latest ? at : latest;
}

static struct pace_params pace_of(const struct server *s)
{
    return (struct pace_params){.rate = s->config->limits.start_rate,
                                .burst = s->config->limits.start_burst};
}

/* Reserves a start, once for each attempt. */
static void reserve_start(struct conn *c)
{
    struct server *s = c->pool->server;
    struct pace_params p = pace_of(s);
    usec_t now = s->env->now;
    if (c->paced)
        return;
    c->start_at = s->pace ? pace_reserve(s->pace, &p, now) : now;
    if (c->start_at > now && s->process_metrics)
        metrics_inc(s->process_metrics, METRIC_STARTS_DELAYED, 0);
}

void recover_return_start(struct conn *c)
{
    struct server *s = c->pool->server;
    struct pace_params p = pace_of(s);
    if (c->paced && s->pace)
        pace_return(s->pace, &p, s->env->now);
}

void recover_start(struct conn *c)
{
    struct server *s = c->pool->server;
    struct pace_params p = pace_of(s);
    reserve_start(c);
    if (s->pace && c->start_at <= s->env->now)
        c->start_at = pace_start(s->pace, &p, s->env->now);
    if (c->start_at > s->env->now) {
        conn_wait(c, no_later(c, c->start_at),
                  "many servers are being started, this one has to wait for its turn");
        c->paced = true;
        return;
    }
    conn_open(c);
}

static bool has_room(const struct conn *c)
{
    return !c->recovering || recovery_room(pool_count_attempting(c->pool)) > 0;
}

void recover_due(struct conn *c)
{
    if (!pool_wants(c)) {
        conn_retire(c, false);
    } else if (has_room(c)) {
        recover_start(c);
    } else {
        conn_wait(c, no_later(c, conn_env(c)->now + conn_config(c)->resilience.recovery_interval),
                  "due, but enough attempts are under way");
        c->held = true;
    }
}

void recover_afresh(struct conn *c)
{
    recovery_reset(&c->recovery);
    c->fatal = false;
    if (c->state == CONN_WAITING)
        conn_wait(c, c->paced ? no_later(c, c->start_at) : conn_env(c)->now, "to be tried afresh");
}

void recover_kick(struct pool *p)
{
    usec_t now = pool_env(p)->now;
    for (unsigned i = 0; i < p->slot_count && !p->stopping; i++) {
        struct conn *c = p->slots[i];
        if (c->state == CONN_WAITING && (c->held || c->retry_at <= now))
            recover_due(c);
    }
}

/* ---- sweep ---- */

static struct recovery_view view_of(const struct conn *c)
{
    static const enum recovery_phase phases[] = {
        [CONN_IDLE] = RECOVERY_UNUSED,          [CONN_CONNECTING] = RECOVERY_ATTEMPTING,
        [CONN_HANDSHAKE] = RECOVERY_ATTEMPTING, [CONN_READY] = RECOVERY_READY,
        [CONN_CLOSING] = RECOVERY_CLOSING,      [CONN_WAITING] = RECOVERY_WAITING,
    };
    return (struct recovery_view){
        .phase = phases[c->state],
        .timer_armed = timer_armed(&c->timer),
        .due_at = timer_armed(&c->timer) ? c->timer.due_at : c->retry_at,
        .since = conn_is_starting(c) ? c->attempt_at : c->state_since,
    };
}

/* A slot without a way back. Cannot happen; if it does, an operator must hear of it, and the slot
 * comes back all the same. */
static void repair(struct conn *c, enum recovery_fault fault)
{
    struct env *env = conn_env(c);
    metrics_inc(c->pool->server->metrics, METRIC_AUDIT_REPAIRS, 0);
    log_critical(CONN_CTX(c, .message_id = LOG_ID_RECOVERY_AUDIT),
                 "recovery audit: slot is %s and %s; repaired", conn_state_name(c->state),
                 recovery_fault_name(fault));
    switch (c->state) {
    case CONN_WAITING:
        conn_wait(c, env->now, "repaired");
        return;
    case CONN_CONNECTING:
    case CONN_HANDSHAKE:
        if (fault == RECOVERY_STUCK)
            conn_fail(c, REASON_TIMEOUT, false, "the attempt took longer than operation_timeout");
        else
            env_timer_set(env, &c->timer, env->now + conn_config(c)->resilience.operation_timeout);
        return;
    case CONN_CLOSING:
        c->state_since = env->now;
        conn_hurry(c);
        return;
    case CONN_IDLE:
    case CONN_READY:
        return;
    }
}

static void audit(struct pool *p)
{
    for (unsigned i = 0; i < p->slot_count; i++) {
        struct conn *c = p->slots[i];
        guard_on_sweep(c);
        /* Its own timer is about to end what it does: after a standstill the sweep may come first.
         */
        if (timer_armed(&c->timer) && c->timer.due_at <= pool_env(p)->now)
            continue;
        struct recovery_rules rules = rules_of(c);
        struct recovery_view v = view_of(c);
        enum recovery_fault fault = recovery_audit(&v, &rules, pool_env(p)->now);
        if (fault != RECOVERY_SOUND)
            repair(c, fault);
    }
}

/* ---- watchdog and force ---- */

static usec_t empty_since(const struct server *s)
{
    usec_t since = 0;
    for (const struct pool *p = s->pools; p; p = p->next)
        if (p->empty_since && pool_is_used(p) && (since == 0 || p->empty_since < since))
            since = p->empty_since;
    return since;
}

/* Nothing is up, and nothing is wanted: there is nothing to recover. */
static bool is_at_rest(const struct server *s)
{
    for (const struct pool *p = s->pools; p; p = p->next)
        if (p->waiting || pool_count(p, CONN_IDLE) < p->slot_count)
            return false;
    return true;
}

void recover_watch(struct server *s)
{
    struct recover_result r;
    if (server_opens(s) && !is_at_rest(s) &&
        recovery_is_overdue(s->breaker.unwell_since, empty_since(s), s->forced_at,
                            s->sc->resilience.force_recovery_interval, s->env->now))
        server_recover(s, RECOVER_BY_WATCHDOG, &r);
}

static bool is_hung(const struct conn *c)
{
    usec_t limit = conn_config(c)->resilience.operation_timeout;
    return !timer_armed(&c->timer) || conn_env(c)->now > c->attempt_at + limit;
}

/* A connection that nobody would complain of, while every trial of its server fails: it has said
 * nothing of use since the breaker opened. Calls that are in flight on it come to their own end. */
static bool is_useless(const struct conn *c)
{
    usec_t unwell_since = c->pool->server->breaker.unwell_since;
    return unwell_since && c->answered_at <= unwell_since && c->running == 0;
}

static void force_slot(struct conn *c, struct recover_result *ret)
{
    switch (c->state) {
    case CONN_WAITING:
        recovery_reset(&c->recovery);
        c->fatal = false;
        ret->reset++;
        if (!c->paced)
            conn_wait(c, conn_env(c)->now, "recovery by force");
        return;
    case CONN_CONNECTING:
    case CONN_HANDSHAKE: /* the attempt is under way, unless nothing would ever end it */
        if (is_hung(c)) {
            c->forced = true;
            conn_fail(c, REASON_TIMEOUT, false, "replaced by force: the attempt hangs");
            ret->torn_down++;
        }
        recovery_reset(&c->recovery);
        return;
    case CONN_CLOSING:
        if (!c->failed)
            return;
        recovery_reset(&c->recovery);
        c->forced = true;
        ret->reset++;
        conn_hurry(c);
        return;
    case CONN_READY:
        conn_listen(c);
        if (conn_is_well(c) && !is_useless(c)) {
            ret->ready++;
            return;
        }
        c->forced = true;
        conn_fail(c, REASON_UPSTREAM_LOST, false, "replaced by force: it does not answer");
        recovery_reset(&c->recovery);
        ret->torn_down++;
        return;
    case CONN_IDLE: /* it may have been given up while it waited */
        recovery_reset(&c->recovery);
        return;
    }
}

void server_recover(struct server *s, enum recover_by by, struct recover_result *ret)
{
    *ret = (struct recover_result){.breaker = s->breaker.state};
    if (s->stopping)
        return;
    s->forced_at = s->env->now;
    metrics_inc(s->metrics, METRIC_FORCED_RECOVERIES,
                by == RECOVER_BY_OPERATOR ? METRIC_FORCE_OPERATOR : METRIC_FORCE_WATCHDOG);
    guard_force(s); /* first, so that the attempts that follow are its trial */
    for (struct pool *p = s->pools; p; p = p->next) {
        if (p->stopping)
            continue;
        for (unsigned i = 0; i < p->slot_count; i++)
            force_slot(p->slots[i], ret);
        p->empty_since = p->empty_since ? s->env->now : 0;
        if (pool_is_used(p))
            pool_start(p);
        recover_kick(p);
        ret->started += pool_count_attempting(p);
    }
    log_notice(LOG_CTX(.server = s->sc->name, .message_id = LOG_ID_FORCED_RECOVERY),
               "recovery by force (%s): %u back-offs reset, %u attempts, %u connections torn down, "
               "%u are well",
               by == RECOVER_BY_OPERATOR ? "operator" : "watchdog", ret->reset, ret->started,
               ret->torn_down, ret->ready);
}

static void on_sweep(void *arg)
{
    struct server *s = arg;
    /* After a standstill (a suspended machine) timers of this turn may still be to come. */
    bool late = s->env->now > s->sweep.due_at + USEC_PER_SEC;
    for (struct pool *p = s->pools; p; p = p->next) {
        if (p->stopping)
            continue;
        if (!late)
            audit(p);
        recover_kick(p);
        if (pool_is_used(p))
            pool_start(p);
    }
    recover_watch(s);
    recover_begin(s);
}

void recover_init(struct server *s)
{
    timer_init(&s->sweep, on_sweep, s);
}

void recover_begin(struct server *s)
{
    if (s->stopping)
        return;
    s->sweep_by = s->env->now + s->sc->resilience.recovery_interval;
    env_timer_set(s->env, &s->sweep, s->sweep_by);
}

void recover_renew(struct server *s)
{
    usec_t at = s->env->now + s->sc->resilience.recovery_interval;
    if (timer_armed(&s->sweep) && at < s->sweep.due_at)
        env_timer_set(s->env, &s->sweep, at);
}

void recover_done(struct server *s)
{
    env_timer_clear(s->env, &s->sweep);
}
