/* Sessions of earlier processes: who may come back, and what they get back (protocol.md 4.6).
 *
 * An id says itself, under a MAC, what was negotiated; the keeper knows the rest, and which ids
 * were ended for good. A revived session is open at once. Its log level needs no connection. Its
 * subscriptions are entered at its home connection, whose ready event makes them at the server as
 * after any loss of a connection. Where a session has no connection before it asks for something, a
 * ping of mcpool's own asks for one, again and again: the client may do nothing but listen. */
#include "internal.h"

#include "base/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* Shortest time between two attempts to get a connection for the subscriptions. */
#define RETRY_SPAN (5 * USEC_PER_SEC)

/* ---- ids ---- */

static void set_lasting(struct session *s, struct slice id, uint64_t issued)
{
    session_set_id(s, id);
    s->lasting = true;
    s->issued = issued;
    kept_hash(id, s->id_hash);
    /* The same in every process that has the session. */
    snprintf(s->handle, sizeof(s->handle), "%02x%02x%02x%02x", s->id_hash[0], s->id_hash[1],
             s->id_hash[2], s->id_hash[3]);
}

void session_mint_id(struct session *s, unsigned features)
{
    struct proxy *p = s->proxy;
    if (!p->has_key || !s->lasts)
        return;
    struct session_id_facts f = {
        .version = s->version, .features = features, .issued = keeper_now(&p->keeper)};
    unsigned char random[SESSION_ID_RANDOM];
    char id[SESSION_ID_LEN + 1];
    session_id_route(session_server(s)->sc->name, f.route);
    session_id_principal(s->principal->name, f.principal);
    env_random_bytes(p->env, random, sizeof(random));
    session_id_write(p->session_key, &f, random, id);
    set_lasting(s, slice_of(id, SESSION_ID_LEN), f.issued);
}

/* ---- what is kept of a session ---- */

void session_keep_level(struct session *s)
{
    if (s->lasting)
        s->kept = kept_set_level(&s->proxy->keeper, s->kept, s->id_hash, s->issued, s->level);
}

void session_keep_subscribed(struct session *s, struct slice uri)
{
    if (s->lasting)
        s->kept = kept_subscribe(&s->proxy->keeper, s->kept, s->id_hash, s->issued, uri);
}

bool session_keep_unsubscribed(struct session *s, struct slice uri)
{
    return kept_unsubscribe(&s->proxy->keeper, s->kept, uri);
}

void session_keep_ended(struct session *s)
{
    /* Before initialize was answered nobody knows the id. */
    bool known = s->transport == SESSION_HTTP || s->kept; /* to anybody but us */
    if (s->lasting && known && s->state == SESSION_OPEN && !s->proxy->closing)
        kept_revoke(&s->proxy->keeper, s->kept, s->id_hash, s->issued);
    s->kept = NULL;
    s->lasting = false;
}

/* ---- subscriptions ---- */

struct revival {
    struct channel ch; /* of the ping; one reference of the session, one of a ping in flight */
    struct session *session; /* NULL once the session has ended */
    struct task task;
    struct timer retry;
};

static void subscribe_all(struct session *s, struct conn *c)
{
    struct kept_uri *u, *next;
    for (u = TAILQ_FIRST(&s->kept->uris); u; u = next) {
        next = TAILQ_NEXT(u, link);
        sub_restore(s, c, slice_of(u->token, u->n));
    }
}

static void ask_for_connection(struct revival *r)
{
    static const char ping[] =
        "{\"jsonrpc\":\"2.0\",\"id\":\"mcpool-revival\",\"method\":\"ping\"}";
    struct payload text = {.text = slice_of(ping, sizeof(ping) - 1)};
    struct rpc_msg m;
    if (rpc_parse(text.text, 2, &m, NULL) == RPC_OK)
        call_submit(call_new(r->session, &r->ch, &text, &m));
}

/* Whether it is up, or will be: every failed connection comes back. */
static bool has_future(const struct conn *c)
{
    return c->state != CONN_IDLE && (c->state != CONN_CLOSING || c->failed);
}

static void attempt(void *arg)
{
    struct revival *r = arg;
    struct session *s = r->session;
    struct conn *home = s->affinity.home;
    if (s->proxy->stopping)
        return;
    if (home && has_future(home)) {
        subscribe_all(s, home);
        revival_end(s);
    } else {
        ask_for_connection(r);
    }
}

/* The ping ended: now there is a home, or there is none to be had for a while. */
static int on_answer(struct channel *ch, struct call *call, enum delivery kind,
                     const struct payload *text, const struct rpc_edits *edits)
{
    struct revival *r = container_of(ch, struct revival, ch);
    (void)text, (void)edits;
    if (kind != DELIVER_ANSWER || !r->session)
        return 0;
    struct env *env = r->session->proxy->env;
    usec_t span = call_retry_after(call);
    if (call_outcome(call) == CALL_ANSWERED && r->session->affinity.home)
        env_defer(env, &r->task);
    else
        env_timer_set(env, &r->retry, env->now + (span > RETRY_SPAN ? span : RETRY_SPAN));
    return 0;
}

static void on_silent_end(struct channel *ch, struct call *call)
{
    (void)ch, (void)call; /* the session ended */
}

static bool cannot_ask(const struct channel *ch)
{
    (void)ch;
    return false;
}

static void free_revival(struct channel *ch)
{
    free(container_of(ch, struct revival, ch));
}

static const struct channel_ops revival_ops = {
    .send = on_answer,
    .silent_end = on_silent_end,
    .can_ask = cannot_ask,
    .free = free_revival,
};

void revival_end(struct session *s)
{
    struct revival *r = s->revival;
    if (!r)
        return;
    s->revival = NULL;
    r->session = NULL;
    env_task_clear(s->proxy->env, &r->task);
    env_timer_clear(s->proxy->env, &r->retry);
    channel_unref(&r->ch);
}

/* After this turn, in which the client's first request goes its way. */
static void restore_subscriptions(struct session *s)
{
    struct revival *r = xcalloc(1, sizeof(*r));
    r->ch = (struct channel){.ops = &revival_ops, .refs = 1};
    r->session = s;
    task_init(&r->task, attempt, r);
    timer_init(&r->retry, attempt, r);
    s->revival = r;
    env_defer(s->proxy->env, &r->task);
}

/* ---- the way back ---- */

/* Whether the id is one that this client may come back with. */
static bool is_good(struct proxy *p, const struct route *route, const char *principal,
                    struct slice id, struct session_id_facts *f)
{
    unsigned char route_hash[SESSION_ID_ROUTE], principal_hash[SESSION_ID_PRINCIPAL];
    if (!p->has_key || !session_id_read(p->session_key, id, f))
        return false;
    session_id_route(route_server_name(route), route_hash);
    session_id_principal(principal, principal_hash);
    return memcmp(f->route, route_hash, SESSION_ID_ROUTE) == 0 &&
           memcmp(f->principal, principal_hash, SESSION_ID_PRINCIPAL) == 0 &&
           !keeper_is_too_old(&p->keeper, f->issued);
}

int session_revive(struct proxy *proxy, const struct route *route, const char *principal,
                   struct slice id, const struct session_ops *ops, void *front_data,
                   struct session **ret)
{
    return session_revive_as(proxy, route, principal, id, SESSION_HTTP, ops, front_data, ret);
}

int session_revive_as(struct proxy *proxy, const struct route *route, const char *principal,
                      struct slice id, enum session_transport transport,
                      const struct session_ops *ops, void *front_data, struct session **ret)
{
    struct session_id_facts f;
    unsigned char hash[KEPT_HASH];
    if (!is_good(proxy, route, principal, id, &f))
        return -ENOENT;
    struct session *s = session_of_id(proxy, id);
    kept_hash(id, hash);
    struct kept *kept = keeper_find(&proxy->keeper, hash);
    if (s || (kept && kept->revoked))
        return -ENOENT;
    int r = session_make(proxy, route, principal, transport, ops, front_data, &s);
    if (r < 0)
        return r;
    s->lasts = true;
    set_lasting(s, id, f.issued);
    s->version = f.version;
    session_join_pool(s, f.features);
    s->state = SESSION_OPEN;
    /* What the earlier process promised; before the server is up nobody knows better than "all". */
    const struct card *card = session_server(s)->card;
    s->changes = card ? notify_promises(card) : ~0U;
    metrics_inc(proxy->metrics, METRIC_SESSIONS_REVIVED, 0);
    log_info(SESSION_CTX(s, .message_id = LOG_ID_SESSION_REVIVED), "session revived, protocol %s",
             mcp_version_name(s->version));
    if (kept) {
        kept_claim(&proxy->keeper, kept);
        s->kept = kept;
        session_restore_level(s, kept->level);
        if (!TAILQ_EMPTY(&kept->uris))
            restore_subscriptions(s);
    }
    *ret = s;
    return 0;
}
