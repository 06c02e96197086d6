/* What the sources of this room share with nobody else.
 *
 *     conn       one slot: its states, its loss
 *     handshake  initialize and the card
 *     renew      another entry for a server
 *     mode       drained or not
 *     pool       slots, homes, size and life
 *     queue      requests: admitted, in line, run
 *     recover    the recovery queue, sweep, watchdog, force
 *     monitor    probes, health
 *     guard      the circuit breaker and what counts
 *     failures   failed calls in the log
 *     tail       the last lines of its processes
 *     server     pools of one server
 */
#ifndef UPSTREAM_INTERNAL_H
#define UPSTREAM_INTERNAL_H

#include "policy/balance.h"
#include "upstream/pool.h"
#include "upstream/server.h"

static inline struct env *pool_env(const struct pool *p)
{
    return p->server->env;
}

static inline const struct server_config *pool_config(const struct pool *p)
{
    return p->server->sc;
}

static inline struct env *conn_env(const struct conn *c)
{
    return c->pool->server->env;
}

static inline const struct server_config *conn_config(const struct conn *c)
{
    return c->pool->server->sc;
}

/* Whether it may have connections at all; otherwise those that are left close when they can. */
static inline bool server_opens(const struct server *s)
{
    return s->mode == SERVER_ACTIVE && !s->stopping;
}

#define CONN_CTX(c, ...)                                                                           \
    LOG_CTX(.server = conn_config(c)->name, .slot = (int)(c)->slot, .epoch = (c)->epoch,           \
            __VA_ARGS__)

/* ---- conn: slots are embedded in the pool's array ---- */

void conn_init(struct conn *c, struct pool *pool, unsigned slot);
void conn_done(struct conn *c);
/* Opens a transport now; the slot must be IDLE or WAITING. Everybody but recover.c calls
 * recover_start. */
void conn_open(struct conn *c);
/* Onto the recovery queue until `due_at`. */
void conn_wait(struct conn *c, usec_t due_at, const char *why);
/* Ends a connection that is no longer wanted; it goes to IDLE. now: without the polite ladder. */
void conn_retire(struct conn *c, bool now);
/* The same on purpose and perhaps for another to follow: what runs there, and what its clients know
 * of it, goes the way of a lost connection. */
void conn_let_go(struct conn *c, bool now, const char *why);
/* Closes without waiting any longer; for one that is CLOSING. */
void conn_hurry(struct conn *c);
/* The server has another entry: what can change while a transport lives does. */
void conn_follow(struct conn *c);
/* The handshake is done. */
void conn_ready(struct conn *c, const char *why);
/* Whether the server was heard since, to the byte; brings heard_at up to date. */
void conn_listen(struct conn *c);
static inline bool conn_is_starting(const struct conn *c)
{
    return c->state == CONN_CONNECTING || c->state == CONN_HANDSHAKE;
}
/* Ready, and not given up. */
static inline bool conn_is_well(const struct conn *c)
{
    return c->state == CONN_READY && !c->draining && !c->suspect;
}
/* Ready, and on purpose without new requests: closes when those that run have ended. */
static inline bool conn_is_leaving(const struct conn *c)
{
    return c->state == CONN_READY &&
           (c->outdated || c->surplus || c->pool->server->mode != SERVER_ACTIVE);
}
/* There, or on its way, and to stay. */
static inline bool conn_stays(const struct conn *c)
{
    if (c->state == CONN_CLOSING)
        return c->failed;
    return c->state != CONN_IDLE && !c->outdated && !conn_is_leaving(c);
}

/* ---- handshake ---- */

void handshake_begin(struct conn *c);
void handshake_on_message(struct conn *c, struct slice text, const struct rpc_msg *m);

/* ---- pool ---- */

void pool_on_conn_ready(struct conn *c);
void pool_on_conn_lost(struct conn *c, enum reason why); /* was READY; tickets are being ended */
void pool_on_conn_failed(struct conn *c);                /* an attempt failed; slot is WAITING */
void pool_on_conn_idle(struct conn *c);                  /* retired, slot is IDLE */
void pool_on_conn_drain(struct conn *c);
/* The state of c has changed: brings what is counted up to date. */
void pool_on_conn_state(struct conn *c);
bool pool_wants(const struct conn *c);   /* whether a failed slot should be tried again when due */
bool pool_is_used(const struct pool *p); /* whether it is to be kept alive at all */
unsigned pool_count(const struct pool *p, enum conn_state s);
/* Attempts under way. */
unsigned pool_count_attempting(const struct pool *p);
/* Failed slots: in wait, or attempting or closing after a failure. */
unsigned pool_count_recovering(const struct pool *p);
/* Opens connections for the requests in line and `more` that found no place. */
void pool_grow(struct pool *p, unsigned more);
void pool_set_home(struct affinity *a, struct conn *c);
/* Whether sessions live on this slot, so that it must not go for good while they do. */
bool pool_is_tied(const struct conn *c);
/* A slot that may be opened now; NULL when there are max_connections already. */
struct conn *pool_idle_slot(const struct pool *p);
/* c has nothing to do; somebody may have to go. */
void pool_note_idle(struct conn *c);
/* max_connections may have been raised. */
void pool_resize(struct pool *p);
void pool_free(struct pool *p);
void pool_stop(struct pool *p, bool now);

/* ---- queue ---- */

void queue_pump(void *pool);
struct balance_rules queue_rules(const struct pool *p);
static inline void queue_wake(struct pool *p)
{
    env_defer(pool_env(p), &p->pump);
}
/* Refuses everybody in line whose patience ends before `at`. */
void queue_refuse(struct pool *p, enum reason why, usec_t at);
/* Nothing will be ready before the next attempt: refuses those who cannot wait for it. */
void queue_refuse_hopeless(struct pool *p);

/* ---- recover ---- */

/* c failed and its transport is gone: puts it onto the recovery queue. */
void recover_enqueue(struct conn *c);
/* Starts an attempt as soon as pacing and the room in the pool allow; the slot must be IDLE or
 * WAITING. */
void recover_start(struct conn *c);
/* c is not wanted any more: gives back the start that may be reserved for it. */
void recover_return_start(struct conn *c);
/* c is to be tried again as if it had never failed: at once, or when its turn has come. */
void recover_afresh(struct conn *c);
/* The settings have changed. */
void recover_renew(struct server *s);
/* Its time has come. */
void recover_due(struct conn *c);
/* An attempt of p has ended: whoever was held back for it may start. */
void recover_kick(struct pool *p);
void recover_init(struct server *s);
void recover_begin(struct server *s);
void recover_done(struct server *s);
/* The watchdog: recovers by force what was down for too long. */
void recover_watch(struct server *s);

/* ---- monitor ---- */

void monitor_init(struct server *s);
void monitor_begin(struct server *s);
void monitor_done(struct server *s);
/* Health may have changed: logs it. Not called for a mere loss: a connection that is back at once
 * is no news about the server. */
void monitor_note(struct server *s, const char *why);
/* The settings have changed. */
void monitor_renew(struct server *s);
/* The ping that an overdue request had made necessary should be answered by now. */
void monitor_verdict(struct conn *c);

/* ---- guard ---- */

void guard_init(struct server *s);
void guard_done(struct server *s);
/* Whether client calls may go to the server. */
bool guard_admits(const struct server *s);
/* How many requests may run at the server at once; UINT_MAX when it does not matter. */
unsigned guard_limit(const struct server *s);
/* When what it refuses now may go through; USEC_NEVER when it refuses nothing. */
usec_t guard_opens_at(const struct server *s);
void guard_on_attempt(struct conn *c); /* an attempt begins */
void guard_on_ready(struct conn *c);
void guard_on_failed_attempt(struct conn *c);
void guard_on_loss(struct conn *c, bool young);
void guard_on_silence(struct conn *c, uint32_t breaker_epoch); /* a request was given up */
void guard_on_sweep(struct conn *c); /* it may have lived long enough to prove itself */
void guard_force(struct server *s);
/* c is closed on purpose: a trial that is under way there says nothing. */
void guard_on_let_go(struct conn *c);
/* The settings have changed. */
void guard_renew(struct server *s);

/* ---- renew ---- */

void renew_init(struct server *s);
void renew_done(struct server *s);
/* c is being closed on purpose: what lives there goes to its heir, if it has one. */
void renew_bequeath(struct conn *c);
/* There is no room to open c again: what lives there goes elsewhere if that is here to stay. */
void renew_give_up(struct conn *c);
/* Closes what is leaving and has nothing to do. */
void renew_dismiss(struct pool *p);

/* ---- failures ---- */

void failures_init(struct server *s);
void failures_done(struct server *s);

/* ---- server ---- */

void server_on_transport_closed(struct server *s);
void server_on_pool_quiet(struct server *s);

#endif
