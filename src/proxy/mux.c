/* The mux of one connection: upstream ids to requests in flight.
 *
 * Ids rise by one and are never reused, so an open-addressed table indexed by the id's low bits
 * stays nearly collision-free; removal shifts the following run back, so there are no tombstones
 * and a call that runs for an hour costs nothing while millions pass it. */
#include "base/util.h"
#include "internal.h"

#include <stdlib.h>

static size_t place(const struct mux *m, uint64_t id)
{
    return (size_t)id & (m->cap - 1);
}

static void insert(struct mux *m, struct uplink *u)
{
    size_t i = place(m, u->id);
    while (m->table[i])
        i = (i + 1) & (m->cap - 1);
    m->table[i] = u;
}

static void grow(struct mux *m)
{
    struct uplink **old = m->table;
    size_t old_cap = m->cap;
    m->cap = old_cap ? old_cap * 2 : 16;
    m->table = xcalloc(m->cap, sizeof(struct uplink *));
    for (size_t i = 0; i < old_cap; i++)
        if (old[i])
            insert(m, old[i]);
    free(old);
}

void mux_add(struct mux *m, struct uplink *u)
{
    if ((m->count + 1) * 2 > m->cap)
        grow(m);
    u->id = conn_mint_id(m->conn);
    u->conn = m->conn;
    u->mark = UINT64_MAX;
    u->sent_at = m->conn->pool->server->env->now;
    u->breaker_epoch = m->conn->pool->server->breaker.epoch;
    u->given_up = false;
    insert(m, u);
    m->count++;
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

static size_t find(const struct mux *m, uint64_t id)
{
    if (m->count == 0)
        return SIZE_MAX;
    for (size_t i = place(m, id); m->table[i]; i = (i + 1) & (m->cap - 1))
        if (m->table[i]->id == id)
            return i;
    return SIZE_MAX;
}

static struct uplink *remove_at(struct mux *m, size_t hole)
{
    struct uplink *u = m->table[hole];
    size_t mask = m->cap - 1;
    for (size_t i = (hole + 1) & mask; m->table[i]; i = (i + 1) & mask) {
        /* An entry may fill the hole unless its own place lies cyclically after the hole. */
        size_t home = place(m, m->table[i]->id);
        if (((i - home) & mask) >= ((i - hole) & mask)) {
            m->table[hole] = m->table[i];
            hole = i;
        }
    }
    m->table[hole] = NULL;
    m->count--;
    u->id = 0;
    return u;
}

struct uplink *mux_peek(const struct mux *m, uint64_t id)
{
    size_t i = find(m, id);
    return i == SIZE_MAX ? NULL : m->table[i];
}

/* Sums the ghosts up for the pool, which keeps other sessions' calls away from them. */
static void sum_ghosts(struct mux *m)
{
    struct conn *c = m->conn;
    usec_t now = c->pool->server->env->now;
    c->ghosts_until = m->crowd_until > now ? m->crowd_until : 0;
    c->ghosts_of = CONN_GHOSTS_OF_MANY;
    for (unsigned i = 0; i < GHOSTS_MAX; i++) {
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
    for (unsigned i = 0; i < GHOSTS_MAX; i++) {
        if (m->ghosts[i].id != id)
            continue;
        m->ghosts[i].id = 0;
        sum_ghosts(m);
    }
}

struct uplink *mux_take(struct mux *m, uint64_t id)
{
    size_t i = find(m, id);
    if (i != SIZE_MAX)
        return remove_at(m, i);
    lay_ghost(m, id);
    return NULL;
}

void mux_replace(struct mux *m, struct uplink *u, struct uplink *heir)
{
    heir->id = u->id;
    heir->conn = u->conn;
    heir->mark = u->mark;
    heir->sent_at = u->sent_at;
    heir->breaker_epoch = u->breaker_epoch;
    heir->given_up = u->given_up;
    m->table[find(m, u->id)] = heir;
    u->id = 0;
}

struct uplink *mux_take_first(struct mux *m)
{
    size_t first = SIZE_MAX;
    for (size_t i = 0; i < m->cap; i++)
        if (m->table[i] && (first == SIZE_MAX || m->table[i]->id < m->table[first]->id))
            first = i;
    return first == SIZE_MAX ? NULL : remove_at(m, first);
}

struct uplink *mux_next(const struct mux *m, size_t *pos)
{
    while (*pos < m->cap) {
        struct uplink *u = m->table[(*pos)++];
        if (u)
            return u;
    }
    return NULL;
}

void mux_abandon(struct mux *m, struct uplink *u, const struct affinity *owner)
{
    if (u->id == 0)
        return;
    uint64_t id = u->id;
    remove_at(m, find(m, id));
    if (!owner)
        return;
    usec_t now = m->conn->pool->server->env->now;
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
    for (unsigned i = 0; i < GHOSTS_MAX; i++)
        m->ghosts[i] = (struct ghost){0};
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
    for (unsigned i = 0; i < ELICITATIONS_MAX; i++)
        free(m->elicitations[i].id);
    sub_forget_all(m);
    lists_free(m->lists);
    free(m->table);
    free(m);
    c->user = NULL;
}
