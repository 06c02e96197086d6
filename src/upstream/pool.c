/* The pool: its slots, which sessions live on which of them, how many there are, and its end.
 *
 * Growth follows demand: only requests that found no place open further slots, and only while no
 * slot is recovering. Who may run where is queue.c's; how failed slots come back is recover.c's. */
#include "base/log.h"
#include "base/util.h"
#include "internal.h"

#include <stdlib.h>

/* ---- supply ---- */

unsigned pool_count(const struct pool *p, enum conn_state s)
{
    return p->in_state[s];
}

unsigned pool_count_attempting(const struct pool *p)
{
    return pool_count(p, CONN_CONNECTING) + pool_count(p, CONN_HANDSHAKE);
}

/* Opening, or about to as soon as it is its turn. */
static unsigned count_starting(const struct pool *p)
{
    unsigned n = pool_count_attempting(p);
    for (unsigned i = 0; i < p->slot_count; i++)
        n += p->slots[i]->state == CONN_WAITING && !p->slots[i]->recovering;
    return n;
}

unsigned pool_ready_count(const struct pool *p)
{
    return pool_count(p, CONN_READY);
}

usec_t pool_next_attempt(const struct pool *p)
{
    usec_t at = USEC_NEVER;
    for (unsigned i = 0; i < p->slot_count; i++)
        if (p->slots[i]->state == CONN_WAITING && p->slots[i]->retry_at < at)
            at = p->slots[i]->retry_at;
    return at;
}

struct conn *pool_idle_slot(const struct pool *p)
{
    unsigned used = p->slot_count - pool_count(p, CONN_IDLE);
    if (used >= pool_config(p)->resilience.max_connections)
        return NULL;
    for (unsigned i = 0; i < p->slot_count; i++)
        if (p->slots[i]->state == CONN_IDLE)
            return p->slots[i];
    return NULL;
}

unsigned pool_count_recovering(const struct pool *p)
{
    unsigned n = 0;
    for (unsigned i = 0; i < p->slot_count; i++)
        n += p->slots[i]->recovering;
    return n;
}

/* ---- homes ---- */

void pool_set_home(struct affinity *a, struct conn *c)
{
    if (a->home == c)
        return;
    if (a->home)
        LIST_REMOVE(a, home_link);
    a->home = c;
    if (c)
        LIST_INSERT_HEAD(&c->homed, a, home_link);
}

bool pool_is_tied(const struct conn *c)
{
    return !LIST_EMPTY(&c->homed) || c->keepers > 0;
}

static bool is_haunted(const struct conn *c)
{
    return c->ghosts_until > pool_env(c->pool)->now;
}

static bool better_home(const struct conn *a, const struct conn *b)
{
    if (is_haunted(a) != is_haunted(b))
        return is_haunted(b);
    return a->running < b->running;
}

/* Whether the server may say things that must be attributed to a session. */
static bool talks(const struct pool *p)
{
    return p->features || (p->server->card && p->server->card->logging);
}

/* Where a new session of a shared pool lives: the ready slot with the least to do and no given-up
 * call that may still be running, else one that is starting, else the first. Beside another
 * session's given-up call nothing that the server says could be attributed for a while, so there a
 * fresh connection is better. */
static struct conn *choose_home(struct pool *p)
{
    struct conn *best = NULL, *fresh;
    for (unsigned i = 0; i < p->slot_count; i++) {
        struct conn *c = p->slots[i];
        if (conn_is_well(c) && !conn_is_leaving(c) && (!best || better_home(c, best)))
            best = c;
    }
    if (best && is_haunted(best) && talks(p) && pool_count_recovering(p) == 0 &&
        server_opens(p->server) && (fresh = pool_idle_slot(p)) != NULL) {
        recover_start(fresh);
        return fresh;
    }
    for (unsigned i = 0; !best && i < p->slot_count; i++)
        if (conn_is_starting(p->slots[i]))
            best = p->slots[i];
    return best ? best : p->slots[0];
}

void affinity_init(struct affinity *a, struct pool *p)
{
    a->pool = p;
    a->serial = ++p->server->last_serial;
    a->home = NULL;
    TAILQ_INIT(&a->waiting);
    p->affinities++;
    if (p->server->sharing != CONFIG_SHARING_SESSION)
        pool_set_home(a, choose_home(p));
    pool_start(p);
}

static void arm_shrink(struct pool *p)
{
    usec_t span = pool_config(p)->limits.idle_shrink;
    if (span && !timer_armed(&p->shrink) && !p->stopping)
        env_timer_set(pool_env(p), &p->shrink, pool_env(p)->now + span);
}

void pool_note_idle(struct conn *c)
{
    struct pool *p = c->pool;
    c->idle_since = pool_env(p)->now;
    if (pool_ready_count(p) > pool_config(p)->resilience.min_connections)
        arm_shrink(p);
}

void affinity_done(struct affinity *a)
{
    struct pool *p = a->pool;
    if (!p)
        return;
    struct conn *own = a->home && a->home->lessee == a ? a->home : NULL;
    pool_set_home(a, NULL);
    a->pool = NULL;
    p->affinities--;
    p->idle_since = pool_env(p)->now;
    if (own) {
        own->lessee = NULL;
        /* A connection that served one session ends with it: MCP has no way to wash it. */
        if (own->state == CONN_READY && own->used)
            conn_retire(own, false);
    }
    arm_shrink(p);
}

bool pool_is_used(const struct pool *p)
{
    return p->pinned || p->affinities > 0 || p->waiting > 0;
}

/* Opens again what was closed on purpose while sessions were tied to it. A session's own connection
 * comes back even when max_connections was lowered meanwhile: it goes with its session. */
static void restore(struct pool *p)
{
    for (unsigned i = 0; i < p->slot_count; i++) {
        struct conn *c = p->slots[i];
        if (!c->missed || !pool_is_tied(c))
            continue;
        if (pool_idle_slot(p) || p->server->sharing == CONFIG_SHARING_SESSION)
            recover_start(c);
        else
            renew_give_up(c);
    }
}

void pool_start(struct pool *p)
{
    if (p->stopping || !server_opens(p->server))
        return;
    restore(p);
    unsigned want = pool_config(p)->resilience.min_connections;
    if (want == 0 && p->waiting > 0)
        want = 1;
    unsigned have = 0;
    for (unsigned i = 0; i < p->slot_count; i++)
        have += conn_stays(p->slots[i]);
    for (struct conn *c; have < want && (c = pool_idle_slot(p)) != NULL; have++)
        recover_start(c);
}

bool pool_wants(const struct conn *c)
{
    const struct pool *p = c->pool;
    if (p->stopping || !server_opens(p->server) || !pool_is_used(p))
        return false;
    unsigned others = 0;
    for (unsigned i = 0; i < p->slot_count; i++)
        others += p->slots[i] != c && conn_stays(p->slots[i]);
    return others < pool_config(p)->resilience.min_connections || p->waiting > 0 || pool_is_tied(c);
}

/* How many requests or, where a connection serves one session at a time, sessions in line could do
 * with one more connection. */
static unsigned demand(const struct pool *p)
{
    enum config_sharing sharing = p->server->sharing;
    const struct affinity *a;
    unsigned n = 0;
    if (sharing == CONFIG_SHARING_SHARED)
        return p->waiting;
    TAILQ_FOREACH (a, &p->turns, turn)
        n += sharing == CONFIG_SHARING_EXCLUSIVE || !a->home;
    return n;
}

void pool_grow(struct pool *p, unsigned more)
{
    if (p->stopping || !server_opens(p->server) || !pool_idle_slot(p))
        return;
    struct balance_rules r = queue_rules(p);
    unsigned starting = count_starting(p), recovering = pool_count_recovering(p),
             wanted = demand(p) + more;
    while (balance_should_grow(&r, wanted, starting, recovering)) {
        struct conn *c = pool_idle_slot(p);
        if (!c)
            return;
        recover_start(c);
        starting++;
    }
}

/* Sets the timer to when the first connection is no longer haunted. */
static void arm_exorcism(struct pool *p)
{
    usec_t now = pool_env(p)->now, first = USEC_NEVER;
    for (unsigned i = 0; i < p->slot_count; i++) {
        usec_t until = p->slots[i]->ghosts_until;
        if (until > now && until < first)
            first = until;
    }
    if (first == USEC_NEVER)
        env_timer_clear(pool_env(p), &p->exorcism);
    else
        env_timer_set(pool_env(p), &p->exorcism, first);
}

static void exorcise(void *arg)
{
    struct pool *p = arg;
    arm_exorcism(p);
    queue_pump(p);
}

void pool_note_ghosts(struct conn *c)
{
    struct pool *p = c->pool;
    arm_exorcism(p);
    if (p->waiting)
        queue_wake(p);
}

/* ---- news from the slots ---- */

void pool_on_conn_state(struct conn *c)
{
    struct pool *p = c->pool;
    bool empty = pool_count_recovering(p) > 0;
    for (unsigned i = 0; empty && i < p->slot_count; i++)
        empty = !conn_is_well(p->slots[i]);
    if (!empty)
        p->empty_since = 0;
    else if (p->empty_since == 0)
        p->empty_since = pool_env(p)->now;
}

void pool_on_conn_ready(struct conn *c)
{
    pool_note_idle(c);
    c->used = c->lessee != NULL; /* the server may ask its client from now on */
    c->pool->server->user->on_ready(c);
    recover_kick(c->pool);
    queue_wake(c->pool);
}

void pool_on_conn_lost(struct conn *c, enum reason why)
{
    c->pool->server->user->on_down(c, why);
}

void pool_on_conn_failed(struct conn *c)
{
    queue_refuse_hopeless(c->pool);
    recover_kick(c->pool);
    if (c->pool->waiting) /* for it, perhaps, and others have room */
        queue_wake(c->pool);
}

void pool_on_conn_idle(struct conn *c)
{
    struct pool *p = c->pool;
    if (p->stopping)
        return;
    if (pool_is_used(p))
        pool_start(p);
    if (p->waiting)
        queue_wake(p);
}

void pool_on_conn_drain(struct conn *c)
{
    if (c->pool->waiting)
        queue_wake(c->pool);
}

void pool_note_ambiguous_ask(struct pool *p)
{
    if (p->server_asks)
        return;
    p->server_asks = true;
    log_notice(LOG_CTX(.server = pool_config(p)->name, .message_id = LOG_ID_SERVER_ASKS),
               "the server asks its clients: from now on tools/call, prompts/get and "
               "resources/read run one at a time on each shared connection");
}

/* ---- size and life ---- */

/* Surplus connections that nobody calls home go after idle_shrink; so does an unused pool. */
static void shrink(void *arg)
{
    struct pool *p = arg;
    usec_t now = pool_env(p)->now, span = pool_config(p)->limits.idle_shrink;
    if (!pool_is_used(p)) {
        if (now - p->idle_since >= span)
            pool_stop(p, false);
        else
            env_timer_set(pool_env(p), &p->shrink, p->idle_since + span);
        return;
    }
    unsigned ready = pool_ready_count(p), keep = pool_config(p)->resilience.min_connections;
    bool again = false;
    for (unsigned i = p->slot_count; i-- > 0 && ready > keep;) {
        struct conn *c = p->slots[i];
        if (c->state != CONN_READY || c->running || pool_is_tied(c))
            continue;
        if (now - c->idle_since >= span) {
            conn_retire(c, false);
            ready--;
        } else {
            again = true;
        }
    }
    if (again)
        arm_shrink(p);
}

static struct pool *find(struct server *s, const char *principal, unsigned features,
                         unsigned *ret_classes)
{
    struct pool *found = NULL;
    *ret_classes = 0;
    for (struct pool *p = s->pools; p; p = p->next) {
        if (p->stopping || !slice_is(slice_str(p->principal), principal))
            continue;
        ++*ret_classes;
        if (p->features == features)
            found = p;
    }
    return found;
}

struct pool *pool_get_for_client(struct server *s, const char *principal, unsigned features,
                                 unsigned *ret_features)
{
    unsigned classes;
    bool known = find(s, principal, features, &classes) != NULL;
    *ret_features = known || classes < s->sc->limits.max_classes ? features : 0;
    return pool_get(s, principal, *ret_features);
}

/* Makes the slots that max_connections allows. None is ever taken away. */
void pool_resize(struct pool *p)
{
    unsigned want = pool_config(p)->resilience.max_connections;
    if (want <= p->slot_count)
        return;
    p->slots = xrealloc(p->slots, want * sizeof(struct conn *));
    while (p->slot_count < want) {
        struct conn *c = xcalloc(1, sizeof(*c));
        p->slots[p->slot_count] = c;
        conn_init(c, p, p->slot_count++);
    }
}

struct pool *pool_get(struct server *s, const char *principal, unsigned features)
{
    unsigned classes;
    struct pool *found = find(s, principal, features, &classes);
    if (found)
        return found;
    struct pool *p = xcalloc(1, sizeof(*p));
    p->server = s;
    p->principal = xstrdup(principal);
    p->features = features;
    p->server_asks =
        s->sc->options.server_asks == CONFIG_SERVER_ASKS_YES && s->sharing == CONFIG_SHARING_SHARED;
    TAILQ_INIT(&p->turns);
    timer_init(&p->shrink, shrink, p);
    timer_init(&p->exorcism, exorcise, p);
    task_init(&p->pump, queue_pump, p);
    p->idle_since = s->env->now;
    s->user->pool_init(p);
    pool_resize(p);
    p->next = s->pools;
    s->pools = p;
    return p;
}

void pool_stop(struct pool *p, bool now)
{
    if (!p->stopping) {
        p->stopping = true;
        queue_refuse(p, REASON_SHUTTING_DOWN, USEC_NEVER);
    }
    for (unsigned i = 0; i < p->slot_count; i++)
        conn_retire(p->slots[i], now);
    server_on_pool_quiet(p->server);
}

void pool_free(struct pool *p)
{
    env_timer_clear(pool_env(p), &p->shrink);
    env_timer_clear(pool_env(p), &p->exorcism);
    env_task_clear(pool_env(p), &p->pump);
    for (unsigned i = 0; i < p->slot_count; i++) {
        conn_done(p->slots[i]);
        free(p->slots[i]);
    }
    p->server->user->pool_done(p);
    free(p->slots);
    free(p->principal);
    free(p);
}
