/* The mux of one connection: upstream ids to requests in flight.
 *
 * Ids rise by one and are never reused. */
#include "base/util.h"
#include "internal.h"

#include <stdlib.h>

void mux_add(struct mux *m, struct uplink *u)
{
    u->id = conn_mint_id(m->conn);
    u->conn = m->conn;
    u->mark = UINT64_MAX;
    u->sent_at = m->conn->pool->server->env->now;
    u->breaker_epoch = m->conn->pool->server->breaker.epoch;
    u->given_up = false;
    idmap_put(&m->uplinks, u->id, u);
}

void mux_request(struct mux *m, struct uplink *u, const char *method, const char *key,
                 struct slice value)
{
    struct buf b = BUF_INIT;
    mux_add(m, u);
    buf_append_str(&b, "{\"jsonrpc\":\"2.0\",\"id\":");
    buf_append_u64(&b, u->id);
    buf_appendf(&b, ",\"method\":\"%s\"", method);
    if (value.n) {
        buf_appendf(&b, ",\"params\":{\"%s\":", key);
        buf_append_slice(&b, value);
        buf_append_str(&b, "}");
    }
    buf_append_str(&b, "}");
    struct payload text = {.text = buf_peek(&b)};
    u->mark = conn_send(m->conn, &text, NULL);
    buf_done(&b);
}

static struct uplink *take_out(struct mux *m, uint64_t id)
{
    struct uplink *u = idmap_take(&m->uplinks, id);
    if (u)
        u->id = 0;
    return u;
}

struct uplink *mux_peek(const struct mux *m, uint64_t id)
{
    return idmap_get(&m->uplinks, id);
}

/* Sums the ghosts up for the pool, which keeps other sessions' calls away from them. */
static void sum_ghosts(struct mux *m)
{
    struct conn *c = m->conn;
    usec_t now = c->pool->server->env->now;
    c->ghosts_until = m->crowd_until > now ? m->crowd_until : 0;
    c->ghosts_of = CONN_GHOSTS_OF_MANY;
    for (unsigned i = 0; m->ghosts && i < GHOSTS_MAX; i++) {
        const struct ghost *g = &m->ghosts[i];
        if (g->id == 0 || g->until <= now)
            continue;
        c->ghosts_of =
            c->ghosts_until == 0 || c->ghosts_of == g->owner ? g->owner : CONN_GHOSTS_OF_MANY;
        if (g->until > c->ghosts_until)
            c->ghosts_until = g->until;
    }
    pool_note_ghosts(c);
}

static void lay_ghost(struct mux *m, uint64_t id)
{
    for (unsigned i = 0; m->ghosts && i < GHOSTS_MAX; i++) {
        if (m->ghosts[i].id != id)
            continue;
        m->ghosts[i].id = 0;
        sum_ghosts(m);
    }
}

struct uplink *mux_take(struct mux *m, uint64_t id)
{
    struct uplink *u = take_out(m, id);
    if (!u)
        lay_ghost(m, id);
    return u;
}

void mux_replace(struct mux *m, struct uplink *u, struct uplink *heir)
{
    heir->id = u->id;
    take_out(m, u->id);
    heir->conn = u->conn;
    heir->mark = u->mark;
    heir->sent_at = u->sent_at;
    heir->breaker_epoch = u->breaker_epoch;
    heir->given_up = u->given_up;
    idmap_put(&m->uplinks, heir->id, heir);
}

struct uplink *mux_take_first(struct mux *m)
{
    struct uplink *first = NULL, *u;
    for (size_t pos = 0; (u = idmap_next(&m->uplinks, &pos)) != NULL;)
        if (!first || u->id < first->id)
            first = u;
    return first ? take_out(m, first->id) : NULL;
}

struct uplink *mux_next(const struct mux *m, size_t *pos)
{
    return idmap_next(&m->uplinks, pos);
}

void mux_abandon(struct mux *m, struct uplink *u, const struct affinity *owner)
{
    if (u->id == 0)
        return;
    uint64_t id = u->id;
    take_out(m, id);
    if (!owner)
        return;
    usec_t now = m->conn->pool->server->env->now;
    if (!m->ghosts)
        m->ghosts = xcalloc(GHOSTS_MAX, sizeof(struct ghost));
    struct ghost *g = &m->ghosts[m->ghost_next++ % GHOSTS_MAX];
    if (g->id && g->until > m->crowd_until)
        m->crowd_until = g->until;
    *g = (struct ghost){id, owner->serial, now + GHOST_LIFE};
    sum_ghosts(m);
}

bool mux_haunted(const struct mux *m, const struct affinity *a)
{
    const struct conn *c = m->conn;
    return c->ghosts_until > c->pool->server->env->now && c->ghosts_of != a->serial;
}

void mux_forget_ghosts(struct mux *m)
{
    free(m->ghosts);
    m->ghosts = NULL;
    m->crowd_until = m->conn->ghosts_until = 0;
}

void mux_init_slot(struct conn *c)
{
    struct mux *m = xcalloc(1, sizeof(*m));
    m->conn = c;
    levels_init_slot(m);
    probe_init_slot(m);
    LIST_INIT(&m->asks);
    for (int i = 0; i < CHANGE_COUNT; i++) {
        m->changes[i].mux = m;
        timer_init(&m->changes[i].timer, notify_change_due, &m->changes[i]);
    }
    if (c->pool->server->sharing == CONFIG_SHARING_SESSION)
        m->lists = lists_new(c->pool, c);
    c->user = m;
}

void mux_done_slot(struct conn *c)
{
    struct mux *m = c->user;
    for (int i = 0; i < CHANGE_COUNT; i++)
        env_timer_clear(c->pool->server->env, &m->changes[i].timer);
    notify_forget_elicitations(m);
    free(m->ghosts);
    sub_forget_all(m);
    lists_free(m->lists);
    idmap_done(&m->uplinks);
    free(m);
    c->user = NULL;
}
