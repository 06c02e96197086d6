/* Resource subscriptions, counted per URI and connection (protocol.md 1.1): the first subscriber
 * makes mcpool subscribe at the server, the last one unsubscribe, everybody between is answered
 * here. A subscription belongs to a slot and not to its transport: when the slot comes back, it is
 * made again. */
#include "internal.h"

#include "base/log.h"

#include <stdlib.h>
#include <string.h>

#define URI_MAX 8192

struct subscriber {
    LIST_ENTRY(subscriber) sub_link;
    LIST_ENTRY(subscriber) session_link;
    struct session *session;
    struct sub *sub;
    bool revived; /* the session comes from an earlier process and waits for it to be made again */
};

struct sub {
    char *uri; /* unescaped; the key */
    size_t uri_n;
    char *raw; /* the JSON string token as a client spelled it */
    struct mux *mux;
    bool active;  /* the server has confirmed it on the present transport */
    bool renewed; /* `up` makes it again for those who had it */
    LIST_HEAD(, subscriber) subscribers;
    LIST_HEAD(, call) waiters; /* subscribe calls that wait for the server's answer */
    struct uplink up;          /* mcpool's own subscribe or unsubscribe request */
    UT_hash_handle hh;
};

static void request(struct sub *sub, struct uplink *u, const char *method)
{
    mux_request(sub->mux, u, method, "uri", slice_str(sub->raw));
}

static void sub_free(struct sub *sub)
{
    if (sub->up.id)
        mux_abandon(sub->mux, &sub->up, NULL);
    HASH_DEL(sub->mux->subs, sub);
    free(sub->uri);
    free(sub->raw);
    free(sub);
}

static struct subscriber *add_subscriber(struct sub *sub, struct session *s)
{
    struct subscriber *r = xcalloc(1, sizeof(*r));
    r->session = s;
    r->sub = sub;
    LIST_INSERT_HEAD(&sub->subscribers, r, sub_link);
    LIST_INSERT_HEAD(&s->subs, r, session_link);
    sub->mux->conn->keepers++;
    session_keep_subscribed(s, slice_of(sub->uri, sub->uri_n));
    return r;
}

static void drop_subscriber(struct subscriber *r)
{
    LIST_REMOVE(r, sub_link);
    LIST_REMOVE(r, session_link);
    r->sub->mux->conn->keepers--;
    free(r);
}

static bool unused(const struct sub *sub)
{
    return LIST_EMPTY(&sub->subscribers) && LIST_EMPTY(&sub->waiters);
}

/* The session's subscription may live on another connection of the pool than the one at hand. */
static struct subscriber *subscription_of(struct session *s, struct slice uri)
{
    struct subscriber *r;
    LIST_FOREACH (r, &s->subs, session_link)
        if (slice_eq(slice_of(r->sub->uri, r->sub->uri_n), uri))
            return r;
    return NULL;
}

/* The resource may have changed while nobody was subscribed. */
static void tell_updated(const struct sub *sub, struct session *s)
{
    struct buf b = BUF_INIT, params = BUF_INIT;
    buf_appendf(&params, "{\"uri\":%s}", sub->raw);
    rpc_write_notification(&b, "notifications/resources/updated", buf_peek(&params));
    struct payload text = {.text = buf_peek(&b)};
    session_push(s, DELIVER_NOTIFICATION, &text, NULL, MCP_N_RESOURCES_UPDATED);
    buf_done(&params);
    buf_done(&b);
}

static void tell_revived(struct sub *sub)
{
    struct subscriber *r, *next;
    for (r = LIST_FIRST(&sub->subscribers); r; r = next) {
        next = LIST_NEXT(r, sub_link);
        bool due = r->revived;
        r->revived = false;
        if (due)
            tell_updated(sub, r->session);
    }
}

/* ---- the server's answer to mcpool's own request ---- */

static void take_waiter(struct call *c)
{
    LIST_REMOVE(c, sub_link);
    c->sub = NULL;
}

/* While the server was gone, the resource may have become another. */
static void tell_subscribers(struct sub *sub)
{
    struct subscriber *r, *next;
    for (r = LIST_FIRST(&sub->subscribers); r; r = next) {
        next = LIST_NEXT(r, sub_link);
        r->revived = false;
        tell_updated(sub, r->session);
    }
}

static void note_renewal(struct sub *sub)
{
    const struct conn *conn = sub->mux->conn;
    if (sub->renewed && sub->active)
        tell_subscribers(sub);
    else if (sub->renewed)
        log_notice(
            CONN_CTX(conn, .message_id = LOG_ID_SERVER_CHANGED),
            "after its restart the server refuses a subscription that it had granted: %.200s",
            sub->raw);
    sub->renewed = false;
}

static void on_answer(struct uplink *u, struct payload *text, const struct rpc_msg *m)
{
    struct sub *sub = container_of(u, struct sub, up);
    struct call *c;
    sub->active = m->kind == RPC_RESULT;
    note_renewal(sub);
    while ((c = LIST_FIRST(&sub->waiters)) != NULL) {
        take_waiter(c);
        if (sub->active) {
            if (!subscription_of(c->session, slice_of(sub->uri, sub->uri_n)))
                add_subscriber(sub, c->session);
            call_answer(c, SLICE("{}"));
        } else {
            struct rpc_edits e = {0};
            rpc_edit_add(&e, m->id, c->id);
            c->server_error = true;
            call_finish(c, CALL_ANSWERED, text, &e);
        }
    }
    if (sub->active)
        tell_revived(sub);
    /* Refused when it was made again: nobody is subscribed any more. */
    struct subscriber *r;
    while (!sub->active && (r = LIST_FIRST(&sub->subscribers)) != NULL) {
        session_keep_unsubscribed(r->session, slice_of(sub->uri, sub->uri_n));
        drop_subscriber(r);
    }
    if (unused(sub))
        sub_release(sub);
}

static void fail_waiters(struct sub *sub, enum reason why, const char *message)
{
    struct call *c;
    while ((c = LIST_FIRST(&sub->waiters)) != NULL) {
        take_waiter(c);
        call_fail(c, MCP_E_INTERNAL, why, "maybe", 0, message);
    }
}

/* With its connection: the entry waits for replay, the calls go on if the server never had the
 * request. Otherwise the answer was thrown away unread, and the server is taken to have subscribed.
 */
static void on_lost(struct uplink *u, enum reason why, bool handed_over)
{
    struct sub *sub = container_of(u, struct sub, up);
    struct call *c;
    if (sub->mux->conn->state != CONN_READY) {
        while ((c = LIST_FIRST(&sub->waiters)) != NULL) {
            take_waiter(c);
            call_lost(c, why, handed_over);
        }
        return;
    }
    sub->active = true;
    note_renewal(sub);
    tell_revived(sub);
    fail_waiters(sub, why, "The server's answer to the subscription could not be read");
    if (unused(sub))
        sub_release(sub);
}

static struct sub *sub_new(struct mux *m, struct slice uri, struct slice raw)
{
    struct sub *sub = xcalloc(1, sizeof(*sub));
    sub->uri = xstrndup(uri.p, uri.n);
    sub->uri_n = uri.n;
    sub->raw = xstrndup(raw.p, raw.n);
    sub->mux = m;
    sub->up.on_answer = on_answer;
    sub->up.on_lost = on_lost;
    LIST_INIT(&sub->subscribers);
    LIST_INIT(&sub->waiters);
    HASH_ADD_KEYPTR(hh, m->subs, sub->uri, sub->uri_n, sub);
    return sub;
}

/* ---- clients' calls ---- */

static void subscribe(struct call *c, struct mux *m, struct slice uri, struct slice raw)
{
    struct sub *sub;
    HASH_FIND(hh, m->subs, uri.p, uri.n, sub);
    bool subscribed = subscription_of(c->session, uri) != NULL;
    if (!subscribed && sub && sub->active) {
        add_subscriber(sub, c->session);
        subscribed = true;
    }
    if (subscribed) {
        call_answer(c, SLICE("{}"));
        return;
    }
    if (!sub)
        sub = sub_new(m, uri, raw);
    c->sub = sub;
    LIST_INSERT_HEAD(&sub->waiters, c, sub_link);
    call_arm_deadline(c);
    if (sub->up.given_up) /* never answered: another one might be, as long as new clients come */
        mux_abandon(m, &sub->up, NULL);
    if (sub->up.id == 0)
        request(sub, &sub->up, "resources/subscribe");
}

/* Ends the session's subscription to uri and its calls that wait for one, wherever they are.
 * Whether there was any. */
static bool leave_all(struct session *s, struct slice uri)
{
    bool any = session_keep_unsubscribed(s, uri); /* it may not have been made again yet */
    struct subscriber *r;
    while ((r = subscription_of(s, uri)) != NULL) {
        struct sub *sub = r->sub;
        any = true;
        drop_subscriber(r);
        if (unused(sub))
            sub_release(sub);
    }
    struct call *c, *next;
    for (c = LIST_FIRST(&s->calls); c; c = next) {
        next = LIST_NEXT(c, link);
        if (!c->sub || !slice_eq(slice_of(c->sub->uri, c->sub->uri_n), uri))
            continue;
        any = true;
        call_answer(c, SLICE("{}"));
    }
    return any;
}

static void unsubscribe(struct call *c, struct slice uri)
{
    struct sub *sub;
    /* One that was sent before, to a server which died without reading it, ended nothing then and
     * must not end what was made since. */
    bool any = c->moves > 0 || leave_all(c->session, uri);
    HASH_FIND(hh, mux_of(c->ticket.conn)->subs, uri.p, uri.n, sub);
    if (any || sub)
        call_answer(c, SLICE("{}")); /* the server hears of it once nobody else is subscribed */
    else
        call_send(c); /* the server knows best what to say to that */
}

void sub_start(struct call *c)
{
    struct slice raw = rpc_span(c->text.text, c->uri_span);
    struct buf uri = BUF_INIT;
    if (!json_unescape(raw, &uri, URI_MAX))
        call_answer_error(c, MCP_E_INVALID_PARAMS, "params.uri is too long");
    else if (c->method == MCP_RESOURCES_SUBSCRIBE)
        subscribe(c, mux_of(c->ticket.conn), buf_peek(&uri), raw);
    else
        unsubscribe(c, buf_peek(&uri));
    buf_done(&uri);
}

void sub_restore(struct session *s, struct conn *c, struct slice token)
{
    struct mux *m = mux_of(c);
    struct buf b = BUF_INIT;
    struct sub *sub;
    if (!json_unescape(token, &b, URI_MAX) || subscription_of(s, buf_peek(&b))) {
        buf_done(&b);
        return;
    }
    struct slice uri = buf_peek(&b);
    HASH_FIND(hh, m->subs, uri.p, uri.n, sub);
    if (!sub)
        sub = sub_new(m, uri, token);
    add_subscriber(sub, s)->revived = true;
    if (sub->active)
        tell_revived(sub);
    else if (c->state == CONN_READY && sub->up.id == 0)
        request(sub, &sub->up, "resources/subscribe");
    buf_done(&b);
}

void sub_leave(struct call *c)
{
    struct sub *sub = c->sub;
    take_waiter(c);
    if (unused(sub))
        sub_release(sub);
}

struct uplink *sub_uplink(struct sub *sub)
{
    return &sub->up;
}

/* ---- ends and replay ---- */

/* Nobody wants it any more: the server is told, if it has it or is just getting it. */
static void on_unsubscribed(struct uplink *u, struct payload *text, const struct rpc_msg *m)
{
    (void)text, (void)m;
    free(u);
}

static void on_unsubscribe_lost(struct uplink *u, enum reason why, bool handed_over)
{
    (void)why, (void)handed_over;
    free(u);
}

void sub_release(struct sub *sub)
{
    struct mux *m = sub->mux;
    if ((sub->active || sub->up.id) && m->conn->state == CONN_READY) {
        struct uplink *u = xcalloc(1, sizeof(*u));
        u->on_answer = on_unsubscribed;
        u->on_lost = on_unsubscribe_lost;
        request(sub, u, "resources/unsubscribe");
    }
    sub_free(sub);
}

void sub_end_of_session(struct session *s)
{
    struct subscriber *r;
    while ((r = LIST_FIRST(&s->subs)) != NULL) {
        struct sub *sub = r->sub;
        drop_subscriber(r);
        if (unused(sub))
            sub_release(sub);
    }
}

void sub_end_of_conn(struct conn *c)
{
    struct sub *sub, *next;
    HASH_ITER (hh, mux_of(c)->subs, sub, next) {
        sub->active = false;
        if (unused(sub))
            sub_free(sub);
    }
}

void sub_replay(struct conn *c)
{
    struct sub *sub, *next;
    HASH_ITER (hh, mux_of(c)->subs, sub, next)
        if (sub->up.id == 0 && !sub->active) {
            sub->renewed = !LIST_EMPTY(&sub->subscribers);
            request(sub, &sub->up, "resources/subscribe");
        }
}

static void move(struct sub *sub, struct mux *to)
{
    struct sub *new;
    struct subscriber *r;
    HASH_FIND(hh, to->subs, sub->uri, sub->uri_n, new);
    if (!new)
        new = sub_new(to, slice_of(sub->uri, sub->uri_n), slice_str(sub->raw));
    while ((r = LIST_FIRST(&sub->subscribers)) != NULL) {
        struct session *s = r->session;
        drop_subscriber(r);
        add_subscriber(new, s)->revived = true;
    }
    if (new->active)
        tell_revived(new);
    else if (to->conn->state == CONN_READY && new->up.id == 0)
        request(new, &new->up, "resources/subscribe");
}

void sub_move(struct conn *from, struct conn *to)
{
    struct sub *sub, *next;
    HASH_ITER (hh, mux_of(from)->subs, sub, next) {
        if (!LIST_EMPTY(&sub->subscribers))
            move(sub, mux_of(to));
        if (unused(sub))
            sub_release(sub);
    }
}

void sub_forget_all(struct mux *m)
{
    struct sub *sub, *next;
    HASH_ITER (hh, m->subs, sub, next) {
        struct subscriber *r;
        while ((r = LIST_FIRST(&sub->subscribers)) != NULL)
            drop_subscriber(r);
        sub_free(sub);
    }
}

/* ---- updates ---- */

/* Exact, else the longest subscribed prefix that ends in a slash: servers may name sub-resources.
 */
static struct sub *match(struct mux *m, struct slice uri)
{
    struct sub *best, *sub, *next;
    HASH_FIND(hh, m->subs, uri.p, uri.n, best);
    if (best)
        return best;
    HASH_ITER (hh, m->subs, sub, next)
        if (sub->uri_n && sub->uri[sub->uri_n - 1] == '/' && uri.n > sub->uri_n &&
            memcmp(uri.p, sub->uri, sub->uri_n) == 0 && (!best || sub->uri_n > best->uri_n))
            best = sub;
    return best;
}

void sub_on_updated(struct conn *c, struct payload *text, const struct rpc_msg *m)
{
    struct buf uri = BUF_INIT;
    if (m->uri.n && json_unescape(rpc_span(text->text, m->uri), &uri, URI_MAX)) {
        struct sub *sub = match(mux_of(c), buf_peek(&uri));
        struct subscriber *r, *next;
        for (r = sub ? LIST_FIRST(&sub->subscribers) : NULL; r; r = next) {
            next = LIST_NEXT(r, sub_link);
            session_push(r->session, DELIVER_NOTIFICATION, text, NULL, MCP_N_RESOURCES_UPDATED);
        }
    }
    buf_done(&uri);
}
