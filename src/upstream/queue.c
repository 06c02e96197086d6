/* The line of a pool: which requests run, where and when.
 *
 * A ticket is IDLE, WAITING (in its affinity's line; the affinity is in `turns`) or RUNNING
 * (counted on its connection). pool_submit tries at once; whatever changes the supply (a connection
 * became ready, a request ended, output drained, the breaker closed) queues `pump`, which serves
 * the lines in turn. Nothing else in the tree decides admission, waiting or place. */
#include "base/log.h"
#include "base/util.h"
#include "internal.h"
#include "policy/admit.h"

#include <limits.h>

struct balance_rules queue_rules(const struct pool *p)
{
    static const enum balance_sharing sharing[] = {
        [CONFIG_SHARING_SHARED] = BALANCE_SHARED,
        [CONFIG_SHARING_EXCLUSIVE] = BALANCE_EXCLUSIVE,
        [CONFIG_SHARING_SESSION] = BALANCE_SESSION,
    };
    return (struct balance_rules){
        .sharing = sharing[p->server->sharing],
        .max_running = pool_config(p)->limits.max_in_flight_per_connection,
        .max_pending = CONN_PENDING_HIGH,
        .one_interactive = p->server_asks,
    };
}

/* Whether a request has, or will soon have, another place than the suspect c. */
static bool is_elsewhere(const struct conn *c)
{
    const struct pool *p = c->pool;
    bool may_grow = pool_count_recovering(p) == 0 && server_opens(p->server);
    if (p->server->sharing == CONFIG_SHARING_SESSION)
        return false; /* a session has one connection for its life */
    for (unsigned i = 0; i < p->slot_count; i++) {
        const struct conn *o = p->slots[i];
        if (o != c && ((conn_is_well(o) && !conn_is_leaving(o)) || conn_is_starting(o)))
            return true;
    }
    return may_grow && pool_idle_slot(p);
}

static bool is_open(const struct conn *c)
{
    return c->state == CONN_READY && !c->draining && !conn_is_leaving(c) &&
           !(c->suspect && is_elsewhere(c));
}

static struct balance_conn conn_view(const struct conn *c, const struct affinity *a)
{
    return (struct balance_conn){
        .ready = is_open(c),
        .mine = c->lessee == a,
        .leased = c->lessee != NULL,
        .used = c->used,
        .running = c->running,
        .interactive = c->interactive,
        .pending = conn_pending(c),
        .haunted = c->ghosts_until > pool_env(c->pool)->now && c->ghosts_of != a->serial,
    };
}

/* Whether the breaker lets one more request through: after it closed, concurrency comes back
 * gradually. */
static bool breaker_lets(const struct server *s)
{
    if (!breaker_admits(&s->breaker, s->env->now))
        return false;
    unsigned limit = guard_limit(s);
    if (limit == UINT_MAX)
        return true;
    struct server_counts n;
    server_count(s, &n);
    return n.running < limit;
}

/* A fresh home is worth the short wait beside connections where another session's given-up call may
 * still be running; one that comes back from a failure is not. */
static bool is_picky(const struct affinity *a)
{
    return a->home && conn_is_starting(a->home) && !a->home->recovering;
}

/* Whether pick finds the same connections for t and for every other request of its kind. */
static bool is_like_others(const struct pool *p, const struct ticket *t)
{
    return p->server->sharing == CONFIG_SHARING_SHARED && !(p->server_asks && t->interactive) &&
           !is_picky(t->affinity);
}

static struct conn *pick(struct pool *p, struct ticket *t)
{
    struct affinity *a = t->affinity;
    struct balance_rules r = queue_rules(p);
    if (!breaker_lets(p->server))
        return NULL;
    if (a->home && a->home->state == CONN_READY) {
        struct balance_conn v = conn_view(a->home, a);
        if (balance_fits(&r, &v, t->interactive))
            return a->home;
    }
    if (r.sharing == BALANCE_SESSION && a->home)
        return NULL; /* one connection for the session's life */
    bool picky = is_picky(a);
    struct conn *best = NULL;
    struct balance_conn best_view;
    /* Of a large pool most are not ready, of a busy one most are full. */
    unsigned ready = pool_ready_count(p);
    for (unsigned i = 0; ready > 0 && i < p->slot_count; i++) {
        struct conn *c = p->slots[i];
        ready -= c->state == CONN_READY;
        if (c->state != CONN_READY || c->running >= r.max_running)
            continue;
        struct balance_conn v = conn_view(c, a);
        if (!balance_fits(&r, &v, t->interactive) || (picky && v.haunted))
            continue;
        if (!best || balance_better(&v, &best_view)) {
            best = c;
            best_view = v;
        }
    }
    return best;
}

/* t joins the line, or leaves it: by = 1 or -1. */
static void count_in_line(const struct ticket *t, int by)
{
    struct affinity *a = t->affinity;
    struct pool *p = a->pool;
    a->waiting_of[t->interactive] += (unsigned)by;
    a->waiting_openings += t->opening ? (unsigned)by : 0;
    p->waiting_of[t->interactive] += (unsigned)by;
    p->waiting += (unsigned)by;
}

static void line_leave(struct ticket *t)
{
    struct affinity *a = t->affinity;
    struct pool *p = a->pool;
    TAILQ_REMOVE(&a->waiting, t, link);
    if (TAILQ_EMPTY(&a->waiting))
        TAILQ_REMOVE(&p->turns, a, turn);
    count_in_line(t, -1);
    p->waiting_bytes -= t->bytes;
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
    if (c->pool->server->sharing != CONFIG_SHARING_SHARED) {
        c->lessee = a;
        c->used = true;
    }
    /* A home that is up stays home; a request that only overflowed from it does not move the
     * session. */
    if (!a->home || a->home->state != CONN_READY)
        pool_set_home(a, c);
    c->pool->server->user->start(t);
}

/* The slot that is the only place for t; NULL when it may run on any. */
static const struct conn *only_place(const struct ticket *t)
{
    const struct affinity *a = t->affinity;
    return a->pool->server->sharing == CONFIG_SHARING_SESSION ? a->home : NULL;
}

/* When a connection that t could run on is tried again; USEC_NEVER when none waits for that. */
static usec_t next_attempt(const struct ticket *t)
{
    const struct conn *c = only_place(t);
    if (!c)
        return pool_next_attempt(t->affinity->pool);
    return c->state == CONN_WAITING ? c->retry_at : USEC_NEVER;
}

static bool something_moves(const struct pool *p)
{
    return pool_ready_count(p) || pool_count_attempting(p) || pool_count(p, CONN_CLOSING);
}

/* What a refusal has to say of when to come back. */
static usec_t advice(const struct ticket *t, enum reason why)
{
    switch ((int)why) {
    case REASON_BREAKER_OPEN:
        return guard_opens_at(t->affinity->pool->server);
    case REASON_UPSTREAM_UNAVAILABLE: {
        usec_t at = next_attempt(t);
        /* What is under way may be done in a moment. */
        return at == USEC_NEVER && something_moves(t->affinity->pool)
                   ? pool_env(t->affinity->pool)->now + USEC_PER_SEC
                   : at;
    }
    default: /* requests end at any time */
        return USEC_NEVER;
    }
}

static void refuse(struct ticket *t, enum reason why)
{
    struct pool *p = t->affinity->pool;
    usec_t at = advice(t, why);
    usec_t now = pool_env(p)->now;
    usec_t after = at == USEC_NEVER ? 0 : at > now ? at - now : 1;
    p->server->user->refuse(t, why, after);
}

static bool is_up(const struct conn *c)
{
    return c->state == CONN_READY && !conn_is_leaving(c);
}

static bool any_is_up(const struct pool *p)
{
    bool any = false;
    for (unsigned i = 0; i < p->slot_count; i++)
        any |= is_up(p->slots[i]);
    return any;
}

static void patience_over(void *arg)
{
    struct ticket *t = arg;
    struct pool *p = t->affinity->pool;
    const struct conn *only = only_place(t);
    bool up = only ? is_up(only) : any_is_up(p);
    enum reason why = p->server->mode != SERVER_ACTIVE ? REASON_MAINTENANCE
                      : !guard_admits(p->server)       ? REASON_BREAKER_OPEN
                      : up                             ? REASON_OVERLOADED
                                                       : REASON_UPSTREAM_UNAVAILABLE;
    line_leave(t);
    refuse(t, why);
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
    count_in_line(t, 1);
    p->waiting_bytes += t->bytes;
    env_timer_set(pool_env(p), &t->patience, patience_end(p, t));
    pool_start(p);
    pool_grow(p, 0);
}

void ticket_init(struct ticket *t, struct affinity *a)
{
    *t = (struct ticket){.affinity = a};
    timer_init(&t->patience, patience_over, t);
}

/* Requests of one session and kind keep their order, and none comes before its initialize. */
static bool must_queue(const struct ticket *t)
{
    const struct affinity *a = t->affinity;
    return a->waiting_of[t->interactive] || a->waiting_openings;
}

/* Of a ticket that found no place. */
static enum admit_verdict judge(const struct pool *p, const struct ticket *t)
{
    const struct conn *only = only_place(t);
    usec_t attempt_at = next_attempt(t);
    struct admit_view v = {
        .stopping = p->stopping,
        .maintenance = p->server->mode == SERVER_MAINT,
        .breaker_admits = guard_admits(p->server),
        .wait_for_ready = pool_config(p)->options.wait_for_ready,
        .waiting = p->waiting,
        .max_waiting = pool_config(p)->limits.queue_length,
        .waiting_bytes = p->waiting_bytes,
        .bytes = t->bytes,
        .max_bytes = pool_config(p)->limits.queue_bytes,
        .something_moves = only ? attempt_at == USEC_NEVER : something_moves(p),
        .recovering = attempt_at != USEC_NEVER,
        .next_attempt = attempt_at,
        .patience_end = patience_end(p, t),
    };
    return admit(&v);
}

void pool_submit(struct ticket *t)
{
    struct pool *p = t->affinity->pool;
    t->queued_at = pool_env(p)->now;
    struct conn *c = p->stopping || must_queue(t) ? NULL : pick(p, t);
    if (c) {
        run(t, c);
        return;
    }
    switch (judge(p, t)) {
    case ADMIT_RUN:
    case ADMIT_WAIT:
        line_join(p, t);
        return;
    case ADMIT_SHUTTING_DOWN:
        refuse(t, REASON_SHUTTING_DOWN);
        return;
    case ADMIT_MAINTENANCE:
        refuse(t, REASON_MAINTENANCE);
        return;
    case ADMIT_BREAKER_OPEN:
        refuse(t, REASON_BREAKER_OPEN);
        return;
    case ADMIT_OVERLOADED:
        if (!only_place(t)) /* without a line nobody else would ever ask for a connection */
            pool_grow(p, 1);
        refuse(t, REASON_OVERLOADED);
        return;
    case ADMIT_UNAVAILABLE:
        refuse(t, REASON_UPSTREAM_UNAVAILABLE);
        return;
    }
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
        if (c->pool->server->sharing == CONFIG_SHARING_EXCLUSIVE)
            c->lessee = NULL;
        pool_note_idle(c);
    }
    if (c->pool->waiting || c->draining || conn_is_leaving(c))
        queue_wake(c->pool);
}

/* The first request in a's line that finds a place; those that may have to run alone (interactive)
 * do not hold up the others behind them. full: of which kind nobody's finds any; brought up to
 * date. */
static struct ticket *first_that_fits(struct pool *p, struct affinity *a, bool full[2],
                                      struct conn **ret_conn)
{
    bool done[2] = {full[0] || !a->waiting_of[0], full[1] || !a->waiting_of[1]};
    struct ticket *t;
    TAILQ_FOREACH (t, &a->waiting, link) {
        if (done[0] && done[1])
            break;
        if (done[t->interactive])
            continue;
        *ret_conn = pick(p, t);
        if (*ret_conn)
            return t;
        done[t->interactive] = true;
        full[t->interactive] = is_like_others(p, t);
    }
    return NULL;
}

/* The first affinity, in turn, of which a request finds a place. In a pool that is full not
 * everybody in line is asked in vain. */
static struct ticket *next_in_turn(struct pool *p, struct conn **ret_conn)
{
    bool full[2] = {false, false};
    struct affinity *a;
    TAILQ_FOREACH (a, &p->turns, turn) {
        if ((full[0] || !p->waiting_of[0]) && (full[1] || !p->waiting_of[1]))
            break;
        struct ticket *t = first_that_fits(p, a, full, ret_conn);
        if (t)
            return t;
    }
    return NULL;
}

/* Stuck connections whose last request has ended. */
static void replace_drained(struct pool *p)
{
    for (unsigned i = 0; i < p->slot_count; i++)
        if (p->slots[i]->draining && p->slots[i]->running == 0)
            conn_fail(p->slots[i], REASON_TIMEOUT, false, "it had stopped answering");
}

/* Serves the lines until nothing fits; whoever was served goes to the end of the turns. */
void queue_pump(void *pool)
{
    struct pool *p = pool;
    replace_drained(p);
    renew_dismiss(p);
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
    pool_grow(p, 0);
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

/* Starts over each time: a refusal may end a session and with it others in line. */
void queue_refuse(struct pool *p, enum reason why, usec_t at)
{
    struct ticket *t;
    while ((t = first_impatient(p, at)) != NULL) {
        line_leave(t);
        refuse(t, why);
    }
}

void queue_refuse_hopeless(struct pool *p)
{
    if (!something_moves(p) && pool_count(p, CONN_WAITING))
        queue_refuse(p, REASON_UPSTREAM_UNAVAILABLE, pool_next_attempt(p));
}
