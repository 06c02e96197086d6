/* Clients with one channel.
 *
 * The session is made when `initialize` comes and not before, so whoever only connects or only
 * probes costs the core nothing. Before it, ping is answered here, server/discover like a server
 * that never heard of it, and every other request is refused; nothing ever closes the connection. A
 * failed `initialize` ends its session after the turn, and the client may try again. */
#include "front/duplex.h"
#include "base/util.h"

#include <errno.h>
#include <stdio.h>

/* Asked several times for each message, so in most cases answered without asking the owner. */
static struct ledger_record *record_of(struct duplex *d)
{
    struct client *c = d->front->store ? d->client(d) : NULL;
    return c ? c->record : NULL;
}

static void on_end(void *front_data)
{
    struct duplex *d = front_data;
    struct ledger_record *r = record_of(d);
    d->session = NULL;
    if (r && !d->front->draining)
        r->session[0] = '\0';
    env_task_clear(d->front->env, &d->end);
    if (d->on_session_end)
        d->on_session_end(d);
}

static const struct session_ops session_ops = {.on_end = on_end};

static void end_task(void *arg)
{
    struct duplex *d = arg;
    if (d->session)
        session_end(d->session);
}

void duplex_init(struct duplex *d, struct front *f, enum session_transport transport,
                 const struct route *route, const char *principal, struct channel *channel)
{
    d->head.transport = transport;
    d->front = f;
    d->route = route_ref(route);
    d->principal = principal;
    d->channel = channel;
    task_init(&d->end, end_task, d);
}

uint64_t duplex_mark(struct duplex *d)
{
    const struct client *c = d->front->store ? d->client(d) : NULL;
    return c && c->record ? stream_queued_total(c->stream) : 0;
}

/* By what the next process can revive the session. */
static void note_session(struct duplex *d)
{
    struct ledger_record *r = record_of(d);
    const char *id = session_lasting_id(d->session);
    if (r && id)
        ledger_text(r->session, sizeof(r->session), id);
}

void duplex_answered(struct duplex *d, const struct call *call, uint64_t mark)
{
    if (!call)
        return;
    if (call_method(call) == MCP_INITIALIZE && d->session == call_session(call)) {
        if (session_is_initialized(d->session))
            note_session(d);
        else
            env_defer(d->front->env, &d->end);
    }
    const struct client *c = d->front->store ? d->client(d) : NULL;
    if (c && c->record)
        ledger_id_answered(c->record, call_client_id(call), true, mark,
                           stream_queued_total(c->stream));
}

void duplex_dropped(struct duplex *d, const struct call *call)
{
    if (call)
        ledger_id_drop(record_of(d), call_client_id(call));
}

/* A request that is going to be acted on, unless commit never follows. */
static void note(struct duplex *d, struct slice id)
{
    struct client *c = d->client(d);
    if (!c || !c->record)
        return;
    const struct ledger_record *via = d->source == c ? NULL : d->source->record;
    ledger_id_add(c->record, id, d->front->store->ledger, via,
                  d->source == c || via ? d->source_end : 0);
}

void duplex_done(struct duplex *d)
{
    env_task_clear(d->front->env, &d->end);
    if (d->session)
        session_end(d->session);
    d->session = NULL;
    d->route = route_unref(d->route);
}

/* ---- errors of our own ---- */

/* id: of the request that this answers, or n == 0. */
static void send_text(struct duplex *d, struct slice id, struct buf *b)
{
    struct payload p = {.text = buf_peek(b)};
    uint64_t mark = duplex_mark(d);
    d->channel->ops->send(d->channel, NULL, DELIVER_NOTIFICATION, &p, NULL);
    if (id.n)
        ledger_id_answered(record_of(d), id, false, mark, duplex_mark(d));
}

/* false: it went to ret_error. */
static bool refuse(struct duplex *d, struct slice id, int code, enum reason reason,
                   const char *message, struct buf *ret_error)
{
    struct buf b = BUF_INIT;
    bool apart = ret_error && id.n == 0;
    proxy_write_error(apart ? ret_error : &b, id, code, reason, NULL, NULL, 0, message);
    if (!apart)
        send_text(d, id, &b);
    buf_done(&b);
    return !apart;
}

bool duplex_on_oversize(struct duplex *d, struct slice id, struct buf *ret_error)
{
    char text[80];
    snprintf(text, sizeof(text), "Message too large (limit %zu)",
             front_limits(d->front)->max_request_bytes);
    return refuse(d, id, MCP_E_INVALID_REQUEST, REASON_TOO_LARGE, text, ret_error);
}

/* ---- messages ---- */

static void initialize(struct duplex *d, struct payload *text, const struct rpc_msg *m)
{
    int r = session_new(d->front->proxy, d->route, d->principal, d->head.transport, &session_ops, d,
                        &d->session);
    if (r < 0) {
        struct buf b = BUF_INIT;
        d->session = NULL;
        proxy_write_error(&b, rpc_span(text->text, m->id), MCP_E_INTERNAL,
                          session_refusal_reason(r), *d->route->name ? d->route->name : NULL, "no",
                          r == -ENOENT ? 0 : USEC_PER_SEC, session_refusal_text(r));
        send_text(d, rpc_span(text->text, m->id), &b);
        buf_done(&b);
        return;
    }
    if (record_of(d))
        session_set_lasting(d->session);
    session_hold(d->session); /* it lives as long as its client is there */
    session_set_push(d->session, d->channel);
    session_submit(d->session, d->channel, text, m);
}

/* Sessions end before the servers do, connections after them: what comes in between is not the
 * client's mistake. */
static void refuse_stopping(struct duplex *d, struct slice id)
{
    struct buf b = BUF_INIT;
    proxy_write_error(&b, id, MCP_E_INTERNAL, REASON_SHUTTING_DOWN,
                      *d->route->name ? d->route->name : NULL, "no", 0, "mcpool is shutting down");
    send_text(d, id, &b);
    buf_done(&b);
}

/* A request for which there is no session. */
static void before_initialize(struct duplex *d, struct payload *text, const struct rpc_msg *m)
{
    struct slice id = rpc_span(text->text, m->id);
    if (m->method == MCP_INITIALIZE) {
        initialize(d, text, m);
    } else if (m->method == MCP_PING) {
        struct buf b = BUF_INIT;
        rpc_write_result(&b, id, SLICE("{}"));
        send_text(d, id, &b);
        buf_done(&b);
    } else if (m->method == MCP_SERVER_DISCOVER) {
        refuse(d, id, MCP_E_METHOD_NOT_FOUND, REASON_NONE, "Method not found", NULL);
    } else if (d->front->draining) {
        refuse_stopping(d, id);
    } else {
        refuse(d, id, MCP_E_INVALID_REQUEST, REASON_BAD_REQUEST, "Invalid Request: not initialized",
               NULL);
    }
}

static void on_one(struct duplex *d, struct payload *text, const struct rpc_msg *m)
{
    struct era_verdict era = era_classify(HEADER_VERSION_ABSENT, text->text, m);
    if (!era.legacy) {
        if (m->kind == RPC_REQUEST)
            refuse(d, rpc_span(text->text, m->id), era.code,
                   era.code == MCP_E_METHOD_NOT_FOUND ? REASON_NONE : REASON_BAD_REQUEST,
                   era.message, NULL);
        return;
    }
    if (d->session)
        session_submit(d->session, d->channel, text, m);
    else if (m->kind == RPC_REQUEST)
        before_initialize(d, text, m);
}

static void note_batch(struct duplex *d, const struct payload *text)
{
    struct slice element;
    if (record_of(d))
        for (size_t pos = 0; rpc_batch_next(text->text, &pos, &element);) {
            struct rpc_msg m;
            rpc_parse(element, front_limits(d->front)->json_depth, &m, NULL);
            if (m.kind == RPC_REQUEST)
                note(d, rpc_span(element, m.id));
        }
    d->commit(d);
}

/* Elements are independent: a bad one is answered by itself. */
static bool on_batch(struct duplex *d, struct payload *text, struct buf *ret_error)
{
    const struct config_limits *l = front_limits(d->front);
    struct slice none = slice_of(NULL, 0), element;
    unsigned n = 0;
    if (!d->session || session_version(d->session) != MCP_2025_03_26)
        return refuse(d, none, MCP_E_INVALID_REQUEST, REASON_BATCH,
                      "Invalid Request: batches are not supported", ret_error);
    for (size_t pos = 0; rpc_batch_next(text->text, &pos, &element);)
        n++;
    if (n == 0 || n > l->max_batch)
        return refuse(d, none, MCP_E_INVALID_REQUEST, REASON_BATCH,
                      n ? "Invalid Request: too many messages in a batch"
                        : "Invalid Request: empty batch",
                      ret_error);
    note_batch(d, text);
    for (size_t pos = 0; rpc_batch_next(text->text, &pos, &element);) {
        struct rpc_msg m;
        struct payload one = {.text = element, .owner = text->owner};
        enum rpc_error e = rpc_parse(element, l->json_depth, &m, NULL);
        if (e == RPC_OK && m.kind != RPC_BATCH)
            on_one(d, &one, &m);
        else if (e == RPC_OK || m.kind != RPC_NOTIFICATION)
            refuse(d, e != RPC_OK && m.kind == RPC_REQUEST ? rpc_span(element, m.id) : none,
                   MCP_E_INVALID_REQUEST, REASON_BAD_REQUEST, "Invalid Request", NULL);
    }
    return true;
}

bool duplex_on_message(struct duplex *d, struct payload *text, struct buf *ret_error)
{
    struct slice none = slice_of(NULL, 0);
    struct rpc_msg m;
    enum rpc_error e = rpc_parse(text->text, front_limits(d->front)->json_depth, &m, NULL);
    if (e == RPC_E_PARSE)
        return refuse(d, none, MCP_E_PARSE, REASON_NONE, "Parse error", ret_error);
    if (e != RPC_OK && m.kind == RPC_NOTIFICATION)
        return true; /* never answered */
    if (e != RPC_OK)
        return refuse(d, m.kind == RPC_REQUEST ? rpc_span(text->text, m.id) : none,
                      MCP_E_INVALID_REQUEST, REASON_BAD_REQUEST, "Invalid Request", ret_error);
    if (m.kind == RPC_BATCH)
        return on_batch(d, text, ret_error);
    if (m.kind == RPC_REQUEST && d->front->store) {
        note(d, rpc_span(text->text, m.id));
        d->commit(d);
    }
    on_one(d, text, &m);
    return true;
}

/* ---- what an earlier process left ---- */

int duplex_revive(struct duplex *d)
{
    struct ledger_record *r = record_of(d);
    if (!r || !r->session[0])
        return 0;
    int e = session_revive_as(d->front->proxy, d->route, d->principal, slice_str(r->session),
                              d->head.transport, &session_ops, d, &d->session);
    if (e < 0) {
        d->session = NULL;
        return e;
    }
    session_hold(d->session);
    session_set_push(d->session, d->channel);
    return 0;
}

void duplex_answer_lost(struct duplex *d, const struct ledger_verdict *v)
{
    for (unsigned i = 0; i < v->open_n; i++) {
        struct buf b = BUF_INIT;
        adopt_write_error(&b, d->route, v->open[i]);
        send_text(d, v->open[i], &b);
        buf_done(&b);
    }
}
