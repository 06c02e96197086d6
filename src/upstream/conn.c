/* One slot of a pool: transport, handshake, and what follows its loss.
 *
 *     IDLE ──open──► CONNECTING ──on_open──► HANDSHAKE ──result──► READY
 *       ▲                │ on_down                │ error, timeout     │ on_down, conn_fail
 *       │                └───────────┬────────────┴────────────────────┤
 *       │ (retired)                  ▼                                 │ conn_retire
 *       └────────────────────── CLOSING ◄──────────────────────────────┘
 *                                    │ on_closed, failed
 *                                    ▼
 *                                 WAITING ──retry_at──► CONNECTING        (see recover.c)
 *
 * Invariants: at most one transport per slot; a transport is closed exactly once and its memory is
 * gone after on_closed; WAITING has its timer armed; epoch rises with each transport, so nothing of
 * an older one can be mistaken for news. Every transition passes conn_set_state, which logs it. */
#include "base/log.h"
#include "base/util.h"
#include "internal.h"

#include <stdio.h>

static const char *const state_names[] = {
    [CONN_IDLE] = "idle",   [CONN_CONNECTING] = "connecting", [CONN_HANDSHAKE] = "handshake",
    [CONN_READY] = "ready", [CONN_CLOSING] = "closing",       [CONN_WAITING] = "waiting",
};

const char *conn_state_name(enum conn_state s)
{
    return state_names[s];
}

static const char *id_of(enum conn_state new)
{
    return new == CONN_WAITING ? LOG_ID_CONN_WAITING : new == CONN_READY ? LOG_ID_CONN_READY : NULL;
}

static enum log_level level_of(enum conn_state new)
{
    return new == CONN_WAITING ? LOG_LEVEL_WARNING
           : new == CONN_READY ? LOG_LEVEL_NOTICE
                               : LOG_LEVEL_DEBUG;
}

/* The only writer of c->state. Disarms the timer, which belongs to the state that is left. */
static void conn_set_state(struct conn *c, enum conn_state new, const char *why)
{
    struct metrics *m = c->pool->server->metrics;
    log_event(level_of(new), CONN_CTX(c, .message_id = id_of(new)), "%s -> %s (%s)",
              state_names[c->state], state_names[new], why);
    env_timer_clear(conn_env(c), &c->timer);
    if (new == CONN_READY)
        metrics_inc(m, METRIC_CONNECTIONS_CREATED, 0);
    if (c->state == CONN_READY)
        metrics_inc(m, METRIC_CONNECTIONS_DESTROYED, 0);
    if (new == CONN_IDLE)
        recover_return_start(c);
    if (new != CONN_WAITING)
        c->held = c->paced = false;
    if (new != CONN_READY)
        c->suspect = c->draining = false; /* said of the transport that goes, not of the next one */
    if (new == CONN_IDLE || new == CONN_READY)
        c->recovering = c->forced = false;
    if (new == CONN_IDLE)
        c->lost_at = 0;
    if (new == CONN_IDLE || new == CONN_WAITING) { /* said of a transport that is gone */
        c->outdated = c->surplus = false;
        c->leave_by = USEC_NEVER;
        c->heir = NULL;
    }
    c->missed = new == CONN_IDLE &&pool_is_tied(c);
    c->pool->in_state[c->state]--;
    c->pool->in_state[new]++;
    c->state = new;
    c->state_since = conn_env(c)->now;
    pool_on_conn_state(c);
}

uint64_t conn_mint_id(struct conn *c)
{
    return c->next_id++;
}

uint64_t conn_send(struct conn *c, const struct payload *text, const struct rpc_edits *edits)
{
    if (c->state != CONN_READY && c->state != CONN_HANDSHAKE)
        return UINT64_MAX; /* going down: never handed over */
    return c->transport->ops->send(c->transport, text, edits);
}

bool conn_handed_over(const struct conn *c, uint64_t mark)
{
    return c->transport && c->transport->ops->handed_over(c->transport, mark);
}

size_t conn_pending(const struct conn *c)
{
    return c->transport ? c->transport->ops->pending(c->transport) : 0;
}

bool conn_is_clogged(const struct conn *c)
{
    return conn_pending(c) > CONN_PENDING_HIGH;
}

/* It has said something: whatever was thought of its silence was wrong. */
static void note_life(struct conn *c)
{
    bool was_suspect = c->suspect || c->draining;
    c->heard_at = conn_env(c)->now;
    c->suspect = c->draining = false;
    probe_on_heard(&c->probe);
    if (c->state == CONN_READY)
        env_timer_clear(conn_env(c), &c->timer); /* no verdict is due any more */
    if (was_suspect) {
        log_notice(CONN_CTX(c, .message_id = LOG_ID_CONN_SILENT), "heard again");
        pool_on_conn_state(c);
        queue_wake(c->pool);
    }
}

void conn_listen(struct conn *c)
{
    if (!c->transport || !c->transport->ops->received)
        return;
    uint64_t bytes = c->transport->ops->received(c->transport);
    if (bytes == c->heard_bytes)
        return;
    c->heard_bytes = bytes;
    note_life(c);
}

/* ---- loss -------------------------------------------------------------------------------------
 */

static void note_error(struct conn *c, enum reason why, const char *detail)
{
    c->last_reason = why;
    snprintf(c->last_error, sizeof(c->last_error), "%s", detail ? detail : "");
}

/* What is to be remembered of the attempt or connection that has just failed. Whether it was a
 * connection that died young. */
static bool judge_failure(struct conn *c, bool was_ready)
{
    const struct config_resilience *r = &conn_config(c)->resilience;
    struct metrics *m = c->pool->server->metrics;
    usec_t now = conn_env(c)->now;
    if (c->lost_at == 0)
        c->lost_at = now;
    if (was_ready) {
        usec_t lived = now - c->ready_at;
        recovery_on_loss(&c->recovery, lived, r->stable_after, c->answered);
        return lived < r->stable_after && !c->answered;
    }
    if (c->recovering) {
        metrics_inc(m, METRIC_RECOVERY_ATTEMPTS, METRIC_ATTEMPT_FAILURE);
        metrics_observe(m, METRIC_ATTEMPT_DURATION, METRIC_ATTEMPT_FAILURE, now - c->attempt_at);
    }
    if (recovery_on_failure(&c->recovery, r->max_retry_attempts)) {
        metrics_inc(m, METRIC_RECOVERY_CYCLES, 0);
        log_warning(CONN_CTX(c, .message_id = LOG_ID_CYCLE_END),
                    "%u attempts failed; the next cycle goes on at the longest delay",
                    r->max_retry_attempts);
    }
    return false;
}

static void log_failure(const struct conn *c, bool was_ready, enum reason why)
{
    usec_t now = conn_env(c)->now;
    if (was_ready)
        log_warning(CONN_CTX(c, .reason = reason_name(why), .duration = now - c->ready_at,
                             .message_id = LOG_ID_CONN_LOST),
                    "connection lost after %.1f s: %s", (double)(now - c->ready_at) / USEC_PER_SEC,
                    c->last_error);
    else
        log_warning(CONN_CTX(c, .reason = reason_name(why), .duration = now - c->attempt_at,
                             .message_id = LOG_ID_ATTEMPT_FAILED),
                    "connection attempt %u failed after %.3f s: %s", c->recovery.attempts + 1,
                    (double)(now - c->attempt_at) / USEC_PER_SEC, c->last_error);
}

void conn_fail(struct conn *c, enum reason why, bool fatal, const char *detail)
{
    if (c->state != CONN_CONNECTING && c->state != CONN_HANDSHAKE && c->state != CONN_READY)
        return;
    bool was_ready = c->state == CONN_READY;
    note_error(c, why, detail);
    log_failure(c, was_ready, why);
    c->failed = true;
    c->fatal = fatal;
    bool young = judge_failure(c, was_ready);
    c->recovering = true;
    c->pool->server->tried = true;
    conn_set_state(c, CONN_CLOSING, reason_name(why));
    if (was_ready) {
        metrics_inc(c->pool->server->metrics, METRIC_CONNECTIONS_LOST, why);
        guard_on_loss(c, young);
        pool_on_conn_lost(c, why);
    } else {
        queue_wake(c->pool); /* who waited for this one may find room beside it */
        guard_on_failed_attempt(c);
        monitor_note(c->pool->server, "an attempt failed");
    }
    c->transport->ops->close(c->transport, true);
}

void conn_retire(struct conn *c, bool now)
{
    switch (c->state) {
    case CONN_IDLE:
        return;
    case CONN_WAITING:
        conn_set_state(c, CONN_IDLE, "no longer wanted");
        return;
    case CONN_CLOSING:
        c->failed = false;
        if (now)
            conn_hurry(c);
        return;
    case CONN_CONNECTING:
    case CONN_HANDSHAKE:
    case CONN_READY:
        break;
    }
    bool was_ready = c->state == CONN_READY;
    c->failed = false;
    conn_set_state(c, CONN_CLOSING, "no longer wanted");
    guard_on_let_go(c);
    if (was_ready) {
        recovery_reset(&c->recovery);
        pool_on_conn_lost(c, REASON_SHUTTING_DOWN);
    }
    c->transport->ops->close(c->transport, now);
}

void conn_let_go(struct conn *c, bool now, const char *why)
{
    if (c->state != CONN_READY) {
        renew_bequeath(c);
        conn_retire(c, now);
        return;
    }
    c->failed = false;
    conn_set_state(c, CONN_CLOSING, why);
    guard_on_let_go(c);
    recovery_reset(&c->recovery);
    pool_on_conn_lost(c, REASON_UPSTREAM_LOST);
    renew_bequeath(c);
    c->transport->ops->close(c->transport, now);
}

void conn_hurry(struct conn *c)
{
    if (c->state == CONN_CLOSING)
        c->transport->ops->close(c->transport, true);
}

void conn_wait(struct conn *c, usec_t due_at, const char *why)
{
    if (c->state == CONN_WAITING)
        log_debug(CONN_CTX(c), "still waiting (%s)", why);
    else
        conn_set_state(c, CONN_WAITING, why);
    c->retry_at = due_at;
    env_timer_set(conn_env(c), &c->timer, due_at);
}

static void time_over(void *arg)
{
    struct conn *c = arg;
    switch (c->state) {
    case CONN_WAITING:
        recover_due(c);
        return;
    case CONN_CONNECTING:
        conn_fail(c, REASON_TIMEOUT, false, "the server did not start within operation_timeout");
        return;
    case CONN_HANDSHAKE:
        conn_fail(c, REASON_TIMEOUT, false,
                  "the server did not answer initialize within operation_timeout");
        return;
    case CONN_READY:
        monitor_verdict(c);
        return;
    case CONN_IDLE:
    case CONN_CLOSING:
        return;
    }
}

static void on_closed(void *arg)
{
    struct conn *c = arg;
    struct server *s = c->pool->server;
    c->transport = NULL;
    c->config = config_unref(c->config);
    c->sc = NULL;
    c->card = card_unref(c->card);
    if (c->failed && !c->pool->stopping && server_opens(s)) {
        recover_enqueue(c);
        pool_on_conn_failed(c);
    } else {
        conn_set_state(c, CONN_IDLE, "closed");
        pool_on_conn_idle(c);
    }
    server_on_transport_closed(s);
}

/* ---- transport events ---- */

static void on_open(void *arg)
{
    struct conn *c = arg;
    if (c->state != CONN_CONNECTING)
        return;
    usec_t due_at = c->timer.due_at; /* one budget for start and handshake */
    conn_set_state(c, CONN_HANDSHAKE, "transport open");
    env_timer_set(conn_env(c), &c->timer, due_at);
    handshake_begin(c);
}

/* It came back after a failure: how long it was away goes into the estimate. */
static void note_recovery(struct conn *c)
{
    struct server *s = c->pool->server;
    usec_t now = s->env->now, outage = now - c->lost_at;
    metrics_inc(s->metrics, METRIC_RECOVERY_ATTEMPTS, METRIC_ATTEMPT_SUCCESS);
    metrics_observe(s->metrics, METRIC_ATTEMPT_DURATION, METRIC_ATTEMPT_SUCCESS,
                    now - c->attempt_at);
    metrics_observe(s->metrics, METRIC_RECOVERY_TIME, 0, outage);
    adapt_on_recovery(&s->adapt, outage);
    s->recovered_at = now;
    log_notice(CONN_CTX(c, .duration = outage, .message_id = LOG_ID_RECOVERED),
               "recovered after %.3f s; the last attempt took %.3f s",
               (double)outage / USEC_PER_SEC, (double)(now - c->attempt_at) / USEC_PER_SEC);
}

void conn_ready(struct conn *c, const char *why)
{
    c->ready_at = c->answered_at = c->heard_at = conn_env(c)->now;
    c->answered = false;
    c->unheard_since = 0;
    c->probe = (struct probe){.ever_answered = c->probe.ever_answered};
    c->pool->server->tried = true;
    if (c->recovering)
        note_recovery(c);
    c->lost_at = 0;
    recovery_on_ready(&c->recovery);
    conn_set_state(c, CONN_READY, why);
    guard_on_ready(c);
    monitor_note(c->pool->server, "a connection is ready");
    pool_on_conn_ready(c);
}

/* Every message is a sign of life; its bytes are counted here, so that only those of an unfinished
 * one are news to conn_listen. */
static void on_message(void *arg, struct payload *text, const struct rpc_msg *m)
{
    struct conn *c = arg;
    c->heard_at = conn_env(c)->now;
    if (c->transport->ops->received)
        c->heard_bytes = c->transport->ops->received(c->transport);
    if (c->probe.pending || c->probe.missed || c->suspect || c->draining)
        note_life(c);
    if (c->state == CONN_HANDSHAKE)
        handshake_on_message(c, text->text, m);
    else if (c->state == CONN_READY)
        c->pool->server->user->on_message(c, text, m);
}

static void on_discarded(void *arg, struct slice id, enum reason why)
{
    struct conn *c = arg;
    if (c->state == CONN_READY)
        c->pool->server->user->on_discarded(c, id, why);
}

static void on_drain(void *arg)
{
    struct conn *c = arg;
    if (c->state == CONN_READY)
        pool_on_conn_drain(c);
}

static void on_down(void *arg, enum reason why, bool fatal, const char *detail)
{
    struct conn *c = arg;
    conn_fail(c, why, fatal, detail);
}

static void on_output(void *arg, pid_t pid, struct slice text)
{
    struct conn *c = arg;
    tail_push(&c->pool->server->tail, conn_config(c)->limits.stderr_tail_lines, conn_env(c)->now,
              pid, text);
}

static const struct transport_events events = {
    .on_open = on_open,
    .on_message = on_message,
    .on_discarded = on_discarded,
    .on_output = on_output,
    .on_drain = on_drain,
    .on_down = on_down,
    .on_closed = on_closed,
};

void conn_follow(struct conn *c)
{
    const struct server *s = c->pool->server;
    if (!c->transport || !c->transport->ops->follow)
        return;
    c->transport->ops->follow(c->transport, s->sc, s->config);
    config_unref(c->config);
    c->config = config_ref(s->config);
    c->sc = s->sc;
}

void conn_open(struct conn *c)
{
    struct server *s = c->pool->server;
    c->epoch++;
    c->next_id = 1;
    c->failed = c->used = false;
    c->heard_bytes = 0;
    c->attempt_at = s->env->now;
    if (c->recovering)
        s->attempted_at = s->env->now;
    conn_set_state(c, CONN_CONNECTING, c->recovering ? "attempt after a failure" : "wanted");
    env_timer_set(s->env, &c->timer, s->env->now + s->sc->resilience.operation_timeout);
    guard_on_attempt(c);
    s->live++;
    c->config = config_ref(s->config);
    c->sc = s->sc;
    c->transport = s->transport->open(s->transport_arg, c->sc, c->config, c->slot, &events, c);
}

void conn_init(struct conn *c, struct pool *pool, unsigned slot)
{
    c->pool = pool;
    c->slot = slot;
    c->leave_by = USEC_NEVER;
    pool->in_state[c->state]++;
    LIST_INIT(&c->homed);
    timer_init(&c->timer, time_over, c);
    pool->server->user->slot_init(c);
}

void conn_done(struct conn *c)
{
    env_timer_clear(conn_env(c), &c->timer);
    c->pool->server->user->slot_done(c);
    config_unref(c->config);
}
