/* The pool: which requests run, where, and how many connections there are.
 *
 * A ticket is IDLE, WAITING (in its affinity's line; the affinity is in `turns`) or RUNNING
 * (counted on its connection). pool_submit tries at once; whatever changes the supply (a connection
 * became ready, a request ended, output drained) queues `pump`, which serves the lines in turn.
 * Growth follows demand: only requests that found no place open further slots, and only while no
 * slot is recovering. */
#include "base/log.h"
#include "base/util.h"
#include "internal.h"
#include "policy/balance.h"

#include <stdlib.h>

static struct env *pool_env(const struct pool *p)
{
    return p->server->env;
}

static const struct server_config *pool_config(const struct pool *p)
{
    return p->server->sc;
}

static struct balance_rules pool_rules(const struct pool *p)
{
    static const enum balance_sharing sharing[] = {
        [CONFIG_SHARING_SHARED] = BALANCE_SHARED,
        [CONFIG_SHARING_EXCLUSIVE] = BALANCE_EXCLUSIVE,
        [CONFIG_SHARING_SESSION] = BALANCE_SESSION,
    };
    return (struct balance_rules){
        .sharing = sharing[pool_config(p)->options.sharing],
        .max_running = pool_config(p)->limits.max_in_flight_per_connection,
        .max_pending = CONN_PENDING_HIGH,
        .one_interactive = p->server_asks,
    };
}

static struct balance_conn conn_view(const struct conn *c, const struct affinity *a)
{
    return (struct balance_conn){
        .ready = c->state == CONN_READY,
        .mine = c->lessee == a,
        .leased = c->lessee != NULL,
        .used = c->used,
        .running = c->running,
        .interactive = c->interactive,
        .pending = conn_pending(c),
        .haunted = c->ghosts_until > pool_env(c->pool)->now && c->ghosts_of != a->serial,
    };
}

/* ---- supply ---- */

static unsigned count_state(const struct pool *p, enum conn_state s)
{
    unsigned n = 0;
    for (unsigned i = 0; i < p->slot_count; i++)
        n += p->slots[i].state == s;
    return n;
}

static unsigned count_starting(const struct pool *p)
{
    return count_state(p, CONN_CONNECTING) + count_state(p, CONN_HANDSHAKE);
}

unsigned pool_ready_count(const struct pool *p)
{
    return count_state(p, CONN_READY);
}

usec_t pool_next_attempt(const struct pool *p)
{
    usec_t at = USEC_NEVER;
    for (unsigned i = 0; i < p->slot_count; i++)
        if (p->slots[i].state == CONN_WAITING && p->slots[i].retry_at < at)
            at = p->slots[i].retry_at;
    return at;
}

static struct conn *idle_slot(struct pool *p)
{
    for (unsigned i = 0; i < p->slot_count; i++)
        if (p->slots[i].state == CONN_IDLE)
            return &p->slots[i];
    return NULL;
}

static unsigned count_recovering(const struct pool *p)
{
    unsigned n = count_state(p, CONN_WAITING);
    for (unsigned i = 0; i < p->slot_count; i++)
        n += p->slots[i].state == CONN_CLOSING && p->slots[i].failed;
    return n;
}

/* ---- homes ---- */

static void set_home(struct affinity *a, struct conn *c)
{
    if (a->home == c)
        return;
    if (a->home)
        LIST_REMOVE(a, home_link);
    a->home = c;
    if (c)
        LIST_INSERT_HEAD(&c->homed, a, home_link);
}

/* Whether sessions live on this slot, so that it must not go for good while they do. */
static bool is_tied(const struct conn *c)
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
        struct conn *c = &p->slots[i];
        if (c->state == CONN_READY && (!best || better_home(c, best)))
            best = c;
    }
    if (best && is_haunted(best) && talks(p) && count_recovering(p) == 0 &&
        (fresh = idle_slot(p)) != NULL) {
        conn_open(fresh);
        return fresh;
    }
    for (unsigned i = 0; !best && i < p->slot_count; i++)
        if (conn_is_starting(&p->slots[i]))
            best = &p->slots[i];
    return best ? best : &p->slots[0];
}

void affinity_init(struct affinity *a, struct pool *p)
{
    a->pool = p;
    a->serial = ++p->server->last_serial;
    a->home = NULL;
    TAILQ_INIT(&a->waiting);
    p->affinities++;
    if (pool_config(p)->options.sharing != CONFIG_SHARING_SESSION)
        set_home(a, choose_home(p));
    pool_start(p);
}

static void arm_shrink(struct pool *p)
{
    usec_t span = pool_config(p)->limits.idle_shrink;
    if (span && !timer_armed(&p->shrink) && !p->stopping)
        env_timer_set(pool_env(p), &p->shrink, pool_env(p)->now + span);
}

/* c has nothing to do; somebody may have to go. */
static void note_idle(struct conn *c)
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
    set_home(a, NULL);
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

/* Whether the pool is to be kept alive at all. */
static bool pool_is_used(const struct pool *p)
{
    return p->pinned || p->affinities > 0 || p->waiting > 0;
}

void pool_start(struct pool *p)
{
    if (p->stopping)
        return;
    unsigned want = pool_config(p)->resilience.min_connections;
    if (want == 0 && p->waiting > 0)
        want = 1;
    unsigned have = 0;
    for (unsigned i = 0; i < p->slot_count; i++)
        have += p->slots[i].state != CONN_IDLE &&
                (p->slots[i].state != CONN_CLOSING || p->slots[i].failed);
    for (struct conn *c; have < want && (c = idle_slot(p)) != NULL; have++)
        conn_open(c);
}

bool pool_wants(const struct conn *c)
{
    const struct pool *p = c->pool;
    if (p->stopping || !pool_is_used(p))
        return false;
    unsigned others = 0;
    for (unsigned i = 0; i < p->slot_count; i++)
        others += &p->slots[i] != c && p->slots[i].state != CONN_IDLE;
    return others < pool_config(p)->resilience.min_connections || p->waiting > 0 || is_tied(c);
}

/* How many requests or, where a connection serves one session at a time, sessions in line could do
 * with one more connection. */
static unsigned demand(const struct pool *p)
{
    enum config_sharing sharing = pool_config(p)->options.sharing;
    const struct affinity *a;
    unsigned n = 0;
    if (sharing == CONFIG_SHARING_SHARED)
        return p->waiting;
    TAILQ_FOREACH (a, &p->turns, turn)
        n += sharing == CONFIG_SHARING_EXCLUSIVE || !a->home;
    return n;
}

static void grow(struct pool *p)
{
    struct balance_rules r = pool_rules(p);
    unsigned starting = count_starting(p), recovering = count_recovering(p), wanted = demand(p);
    while (balance_should_grow(&r, wanted, starting, recovering)) {
        struct conn *c = idle_slot(p);
        if (!c)
            return;
        conn_open(c);
        starting++;
    }
}

/* ---- tickets ---- */

static struct conn *pick(struct pool *p, struct ticket *t)
{
    struct affinity *a = t->affinity;
    struct balance_rules r = pool_rules(p);
    if (a->home && a->home->state == CONN_READY) {
        struct balance_conn v = conn_view(a->home, a);
        if (balance_fits(&r, &v, t->interactive))
            return a->home;
    }
    if (r.sharing == BALANCE_SESSION && a->home)
        return NULL; /* one connection for the session's life */
    /* A fresh home is worth the short wait; one that comes back from a failure is not. */
    if (a->home && conn_is_starting(a->home) && a->home->recovery.failures == 0)
        return NULL;
    struct conn *best = NULL;
    struct balance_conn best_view;
    for (unsigned i = 0; i < p->slot_count; i++) {
        struct conn *c = &p->slots[i];
        struct balance_conn v = conn_view(c, a);
        if (!balance_fits(&r, &v, t->interactive))
            continue;
        if (!best || balance_better(&v, &best_view)) {
            best = c;
            best_view = v;
        }
    }
    return best;
}

static void line_leave(struct ticket *t)
{
    struct affinity *a = t->affinity;
    struct pool *p = a->pool;
    TAILQ_REMOVE(&a->waiting, t, link);
    if (TAILQ_EMPTY(&a->waiting))
        TAILQ_REMOVE(&p->turns, a, turn);
    p->waiting--;
    env_timer_clear(pool_env(p), &t->patience);
    t->state = TICKET_IDLE;
}

static void run(struct ticket *t, struct conn *c)
{
    struct affinity *a = t->affinity;
    t->state = TICKET_RUNNING;
    t->conn = c;
    c->running++;
    c->interactive += t->interactive;
    if (pool_config(c->pool)->options.sharing != CONFIG_SHARING_SHARED) {
        c->lessee = a;
        c->used = true;
    }
    /* A home that is up stays home; a request that only overflowed from it does not move the
     * session. */
    if (!a->home || a->home->state != CONN_READY)
        set_home(a, c);
    c->pool->server->user->start(t);
}

static void refuse(struct ticket *t, enum reason why)
{
    struct pool *p = t->affinity->pool;
    usec_t at = pool_next_attempt(p), now = pool_env(p)->now;
    usec_t after = at == USEC_NEVER ? 0 : at > now ? at - now : 1;
    p->server->user->refuse(t, why, after);
}

static void patience_over(void *arg)
{
    struct ticket *t = arg;
    struct pool *p = t->affinity->pool;
    enum reason why = pool_ready_count(p) ? REASON_OVERLOADED : REASON_UPSTREAM_UNAVAILABLE;
    line_leave(t);
    refuse(t, why);
}

/* Whether nothing will be ready by `until`: then waiting would only delay the answer that must
 * come. */
static bool hopeless(const struct pool *p, usec_t until)
{
    bool something_moves = pool_ready_count(p) || count_starting(p) || count_state(p, CONN_CLOSING);
    return !something_moves && count_state(p, CONN_WAITING) && pool_next_attempt(p) > until;
}

/* The point up to which a ticket that comes now would wait. */
static usec_t patience_end(const struct pool *p, const struct ticket *t)
{
    const struct config_resilience *r = &pool_config(p)->resilience;
    usec_t span = r->queue_timeout;
    if (t->opening && span < r->operation_timeout)
        span = r->operation_timeout; /* a first start may take as long as a start may take */
    return pool_env(p)->now + span;
}

static void line_join(struct pool *p, struct ticket *t)
{
    struct affinity *a = t->affinity;
    t->state = TICKET_WAITING;
    if (TAILQ_EMPTY(&a->waiting))
        TAILQ_INSERT_TAIL(&p->turns, a, turn);
    struct ticket *at = t->again ? TAILQ_FIRST(&a->waiting) : NULL;
    while (at && at->again)
        at = TAILQ_NEXT(at, link);
    if (at)
        TAILQ_INSERT_BEFORE(at, t, link);
    else
        TAILQ_INSERT_TAIL(&a->waiting, t, link);
    p->waiting++;
    env_timer_set(pool_env(p), &t->patience, patience_end(p, t));
    pool_start(p);
    grow(p);
}

void ticket_init(struct ticket *t, struct affinity *a)
{
    *t = (struct ticket){.affinity = a};
    timer_init(&t->patience, patience_over, t);
}

/* Requests of one session and kind keep their order, and none comes before its initialize. */
static bool must_queue(const struct ticket *t)
{
    const struct ticket *other;
    TAILQ_FOREACH (other, &t->affinity->waiting, link)
        if (other->interactive == t->interactive || other->opening)
            return true;
    return false;
}

void pool_submit(struct ticket *t)
{
    struct pool *p = t->affinity->pool;
    if (p->stopping) {
        refuse(t, REASON_SHUTTING_DOWN);
        return;
    }
    struct conn *c = must_queue(t) ? NULL : pick(p, t);
    if (c)
        run(t, c);
    else if (p->waiting >= pool_config(p)->limits.queue_length)
        refuse(t, REASON_OVERLOADED);
    else if (hopeless(p, patience_end(p, t)))
        refuse(t, REASON_UPSTREAM_UNAVAILABLE);
    else
        line_join(p, t);
}

void ticket_done(struct ticket *t)
{
    struct conn *c = t->conn;
    switch (t->state) {
    case TICKET_IDLE:
        return;
    case TICKET_WAITING:
        line_leave(t);
        return;
    case TICKET_RUNNING:
        break;
    }
    t->state = TICKET_IDLE;
    t->conn = NULL;
    c->running--;
    c->interactive -= t->interactive;
    if (c->running == 0) {
        if (pool_config(c->pool)->options.sharing == CONFIG_SHARING_EXCLUSIVE)
            c->lessee = NULL;
        note_idle(c);
    }
    if (c->pool->waiting)
        env_defer(pool_env(c->pool), &c->pool->pump);
}

/* The first request in a's line that finds a place; those that may have to run alone (interactive)
 * do not hold up the others behind them. */
static struct ticket *first_that_fits(struct pool *p, struct affinity *a, struct conn **ret_conn)
{
    bool tried[2] = {false, false};
    struct ticket *t;
    TAILQ_FOREACH (t, &a->waiting, link) {
        if (tried[t->interactive])
            continue;
        tried[t->interactive] = true;
        *ret_conn = pick(p, t);
        if (*ret_conn)
            return t;
    }
    return NULL;
}

/* The first affinity, in turn, of which a request finds a place. */
static struct ticket *next_in_turn(struct pool *p, struct conn **ret_conn)
{
    struct affinity *a;
    TAILQ_FOREACH (a, &p->turns, turn) {
        struct ticket *t = first_that_fits(p, a, ret_conn);
        if (t)
            return t;
    }
    return NULL;
}

/* Serves the lines until nothing fits; whoever was served goes to the end of the turns. */
static void pump(void *arg)
{
    struct pool *p = arg;
    struct ticket *t;
    struct conn *c;
    while ((t = next_in_turn(p, &c)) != NULL) {
        struct affinity *a = t->affinity;
        line_leave(t);
        if (!TAILQ_EMPTY(&a->waiting)) {
            TAILQ_REMOVE(&p->turns, a, turn);
            TAILQ_INSERT_TAIL(&p->turns, a, turn);
        }
        run(t, c);
    }
    grow(p);
}

/* Sets the timer to when the first connection is no longer haunted. */
static void arm_exorcism(struct pool *p)
{
    usec_t now = pool_env(p)->now, first = USEC_NEVER;
    for (unsigned i = 0; i < p->slot_count; i++) {
        usec_t until = p->slots[i].ghosts_until;
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
    pump(p);
}

void pool_note_ghosts(struct conn *c)
{
    struct pool *p = c->pool;
    arm_exorcism(p);
    if (p->waiting)
        env_defer(pool_env(p), &p->pump);
}

/* A ticket in line whose patience ends before `at`; NULL when there is none. */
static struct ticket *first_impatient(const struct pool *p, usec_t at)
{
    struct affinity *a;
    struct ticket *t;
    TAILQ_FOREACH (a, &p->turns, turn)
        TAILQ_FOREACH (t, &a->waiting, link)
            if (t->patience.due_at < at)
                return t;
    return NULL;
}

/* Refuses everybody in line whose patience ends before `at`. Starts over each time: a refusal may
 * end a session and with it others in line. */
static void refuse_waiting(struct pool *p, enum reason why, usec_t at)
{
    struct ticket *t;
    while ((t = first_impatient(p, at)) != NULL) {
        line_leave(t);
        refuse(t, why);
    }
}

/* ---- news from the slots ---- */

void pool_on_conn_ready(struct conn *c)
{
    note_idle(c);
    c->used = c->lessee != NULL; /* the server may ask its client from now on */
    c->pool->server->user->on_ready(c);
    env_defer(pool_env(c->pool), &c->pool->pump);
}

void pool_on_conn_lost(struct conn *c, enum reason why)
{
    c->pool->server->user->on_down(c, why);
}

void pool_on_conn_failed(struct conn *c)
{
    usec_t next = pool_next_attempt(c->pool);
    if (hopeless(c->pool, 0))
        refuse_waiting(c->pool, REASON_UPSTREAM_UNAVAILABLE, next);
    if (c->pool->waiting) /* for it, perhaps, and others have room */
        env_defer(pool_env(c->pool), &c->pool->pump);
}

void pool_on_conn_idle(struct conn *c)
{
    struct pool *p = c->pool;
    if (p->stopping)
        return;
    if (pool_is_used(p))
        pool_start(p);
    if (p->waiting)
        env_defer(pool_env(p), &p->pump);
}

void pool_on_conn_drain(struct conn *c)
{
    if (c->pool->waiting)
        env_defer(pool_env(c->pool), &c->pool->pump);
}

void pool_note_ambiguous_ask(struct pool *p)
{
    if (p->server_asks)
        return;
    p->server_asks = true;
    log_notice(LOG_CTX(.server = pool_config(p)->name),
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
        struct conn *c = &p->slots[i];
        if (c->state != CONN_READY || c->running || is_tied(c))
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
    p->server_asks = s->sc->options.server_asks == CONFIG_SERVER_ASKS_YES &&
                     s->sc->options.sharing == CONFIG_SHARING_SHARED;
    p->slot_count = s->sc->resilience.max_connections;
    p->slots = xcalloc(p->slot_count, sizeof(*p->slots));
    TAILQ_INIT(&p->turns);
    timer_init(&p->shrink, shrink, p);
    timer_init(&p->exorcism, exorcise, p);
    task_init(&p->pump, pump, p);
    p->idle_since = s->env->now;
    s->user->pool_init(p);
    for (unsigned i = 0; i < p->slot_count; i++)
        conn_init(&p->slots[i], p, i);
    p->next = s->pools;
    s->pools = p;
    return p;
}

void pool_stop(struct pool *p, bool now)
{
    if (!p->stopping) {
        p->stopping = true;
        refuse_waiting(p, REASON_SHUTTING_DOWN, USEC_NEVER);
    }
    for (unsigned i = 0; i < p->slot_count; i++)
        conn_retire(&p->slots[i], now);
    server_on_pool_quiet(p->server);
}

void pool_free(struct pool *p)
{
    env_timer_clear(pool_env(p), &p->shrink);
    env_timer_clear(pool_env(p), &p->exorcism);
    env_task_clear(pool_env(p), &p->pump);
    for (unsigned i = 0; i < p->slot_count; i++)
        conn_done(&p->slots[i]);
    p->server->user->pool_done(p);
    free(p->slots);
    free(p->principal);
    free(p);
}
