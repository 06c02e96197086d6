/* Another entry for a server that runs: after a reload, or the same one again to restart it.
 *
 * Settings act at once. A connection was made with the entry of its time; what is outdated gets no
 * new requests and is let go as soon as none runs on it. Three rules keep that from being worse
 * than a crash:
 *   - where max_connections has room, a slot is opened at once for each outdated connection that
 *     cannot go yet or has sessions living on it; it is the heir and takes these over. Without
 *     room, the slot itself is opened again once it is closed (conn.missed);
 *   - what runs has drain_timeout to end; then it is treated as what runs on a lost connection;
 *   - subscriptions, log level and the comparison of lists follow as after a loss.
 * What waits after a failure is tried with the new entry at once: the operator changed something.
 *
 * The transports keep what they were opened with; their limits follow (conn_follow). */
#include "base/log.h"
#include "base/util.h"
#include "internal.h"

#include <limits.h>
#include <stdio.h>

/* ---- heirs ---- */

/* The best slot to live on instead of c, which is not replaced. */
static struct conn *other_place(const struct conn *c)
{
    const struct pool *p = c->pool;
    struct conn *best = NULL;
    for (unsigned i = 0; i < p->slot_count; i++) {
        struct conn *o = p->slots[i];
        if (o == c || !conn_stays(o) || o->surplus)
            continue;
        bool better = !best || (o->state == CONN_READY && best->state != CONN_READY) ||
                      (o->state == best->state && o->running < best->running);
        best = better ? o : best;
    }
    return best;
}

static struct conn *heir_of(const struct conn *c)
{
    if (c->pool->server->sharing == CONFIG_SHARING_SESSION)
        return NULL; /* a session has one slot for its life */
    if (c->heir && conn_stays(c->heir))
        return c->heir;
    return c->surplus ? other_place(c) : NULL;
}

static void move_to(struct conn *c, struct conn *heir)
{
    struct affinity *a;
    if (!heir)
        return;
    while ((a = LIST_FIRST(&c->homed)) != NULL)
        pool_set_home(a, heir);
    if (c->keepers)
        c->pool->server->user->move_keepers(c, heir);
}

void renew_bequeath(struct conn *c)
{
    move_to(c, heir_of(c));
}

void renew_give_up(struct conn *c)
{
    const struct pool *p = c->pool;
    unsigned stay = 0;
    for (unsigned i = 0; i < p->slot_count; i++)
        stay += conn_stays(p->slots[i]);
    if (p->server->sharing != CONFIG_SHARING_SESSION &&
        stay >= pool_config(p)->resilience.max_connections)
        move_to(c, other_place(c));
}

/* While there is room: busy ones first, for their sessions have nowhere else to go. */
static void open_heirs(struct pool *p)
{
    if (p->server->sharing == CONFIG_SHARING_SESSION || !server_opens(p->server))
        return;
    for (int busy = 1; busy >= 0; busy--)
        for (unsigned i = 0; i < p->slot_count; i++) {
            struct conn *c = p->slots[i], *heir;
            bool needs = c->outdated && c->state != CONN_CLOSING && !c->surplus &&
                         (c->running > 0) == busy && (busy || pool_is_tied(c));
            if (!needs || (c->heir && conn_stays(c->heir)) || (heir = pool_idle_slot(p)) == NULL)
                continue;
            c->heir = heir;
            recover_start(heir);
        }
}

/* ---- fewer connections ---- */

/* How much would be lost with c: the least goes first; UINT_MAX: it may not go. */
static unsigned worth(const struct conn *c)
{
    if (!conn_stays(c) || (c->pool->server->sharing == CONFIG_SHARING_SESSION && c->lessee))
        return UINT_MAX; /* on its way; or it goes when its session ends */
    if (c->state == CONN_READY)
        return c->running ? 4 + c->running : pool_is_tied(c) ? 3 : 2;
    return conn_is_starting(c);
}

static struct conn *least(const struct pool *p)
{
    struct conn *c = NULL;
    unsigned w = UINT_MAX;
    for (unsigned i = 0; i < p->slot_count; i++)
        if (worth(p->slots[i]) < w) {
            c = p->slots[i];
            w = worth(c);
        }
    return c;
}

static void trim(struct pool *p)
{
    unsigned n = 0, max = pool_config(p)->resilience.max_connections;
    for (unsigned i = 0; i < p->slot_count; i++) {
        p->slots[i]->surplus = false;
        n += conn_stays(p->slots[i]);
    }
    for (struct conn *c; n > max && (c = least(p)) != NULL; n--) {
        c->surplus = true;
        if (c->state != CONN_READY || c->running == 0)
            conn_let_go(c, false, "more than max_connections");
    }
}

/* ---- one slot ---- */

static void renew_slot(struct conn *c, bool renew)
{
    struct env *env = conn_env(c);
    switch (c->state) {
    case CONN_IDLE:
    case CONN_WAITING:
        recover_afresh(c);
        return;
    case CONN_CONNECTING:
    case CONN_HANDSHAKE:
        recovery_reset(&c->recovery);
        c->outdated = renew;
        if (!renew)
            env_timer_set(env, &c->timer,
                          c->attempt_at + conn_config(c)->resilience.operation_timeout);
        return;
    case CONN_CLOSING:
        recovery_reset(&c->recovery);
        c->forced = c->failed;
        return;
    case CONN_READY:
        if (!renew)
            return;
        c->outdated = true;
        usec_t by = env->now + c->pool->server->config->limits.drain_timeout;
        c->leave_by = by < c->leave_by ? by : c->leave_by;
        return;
    }
}

void renew_dismiss(struct pool *p)
{
    for (unsigned i = 0; i < p->slot_count; i++) {
        struct conn *c = p->slots[i];
        bool goes = conn_is_starting(c) ? c->outdated : conn_is_leaving(c) && c->running == 0;
        if (goes)
            conn_let_go(c, false, "nothing runs on it any more");
    }
}

static void renew_pool(struct pool *p, bool renew)
{
    pool_resize(p);
    if (renew)
        p->server->user->on_renew(p);
    for (unsigned i = 0; i < p->slot_count; i++)
        renew_slot(p->slots[i], renew);
    trim(p);
    open_heirs(p);
    renew_dismiss(p);
    if (pool_is_used(p))
        pool_start(p);
    recover_kick(p);
    queue_wake(p);
}

/* ---- time is over ---- */

/* Lets go what has overstayed; returns when the next one will have. */
static usec_t dismiss_overdue(struct pool *p)
{
    usec_t next = USEC_NEVER, now = pool_env(p)->now;
    for (unsigned i = 0; i < p->slot_count; i++) {
        struct conn *c = p->slots[i];
        if (c->state != CONN_READY || !c->outdated)
            continue;
        if (c->leave_by <= now) {
            log_warning(CONN_CTX(c, .reason = reason_name(REASON_UPSTREAM_LOST),
                                 .message_id = LOG_ID_CONN_LOST),
                        "replaced: %u requests were still running after drain_timeout", c->running);
            conn_let_go(c, true, "drain_timeout is over");
        } else if (c->leave_by < next) {
            next = c->leave_by;
        }
    }
    return next;
}

static void on_farewell(void *arg)
{
    struct server *s = arg;
    usec_t next = USEC_NEVER;
    for (struct pool *p = s->pools; p; p = p->next) {
        usec_t at = p->stopping ? USEC_NEVER : dismiss_overdue(p);
        next = at < next ? at : next;
    }
    if (next != USEC_NEVER)
        env_timer_set(s->env, &s->farewell, next);
}

void renew_init(struct server *s)
{
    timer_init(&s->farewell, on_farewell, s);
}

void renew_done(struct server *s)
{
    env_timer_clear(s->env, &s->farewell);
}

/* ---- the server ---- */

/* What is remembered of the old settings. */
static void adopt(struct server *s, const struct server_config *old)
{
    const struct server_config *new = s->sc;
    if (new->resilience.replay_budget != old->resilience.replay_budget)
        replay_budget_init(&s->replay_budget, new->resilience.replay_budget);
    if (new->options.server_asks != old->options.server_asks)
        for (struct pool *p = s->pools; p; p = p->next)
            p->server_asks = new->options.server_asks == CONFIG_SERVER_ASKS_YES &&
                             s->sharing == CONFIG_SHARING_SHARED;
}

void server_renew(struct server *s, struct config *config, const struct server_config *sc,
                  bool renew_connections)
{
    const struct server_config *old_sc = s->sc;
    struct server_counts n;
    if (s->stopping)
        return;
    struct config *old = config_ref(s->config);
    server_follow(s, config, sc);
    adopt(s, old_sc);
    config_unref(old);
    server_count(s, &n);
    log_notice(LOG_CTX(.server = sc->name, .message_id = LOG_ID_RENEWED),
               renew_connections ? "renewed: %u connections are replaced, %u requests run on them"
                                 : "new settings: %u connections stay, %u requests run on them",
               n.slots[CONN_READY], n.running);
    for (struct pool *p = s->pools; p; p = p->next)
        if (!p->stopping)
            renew_pool(p, renew_connections);
    guard_renew(s);
    recover_renew(s);
    monitor_renew(s);
    on_farewell(s);
}
