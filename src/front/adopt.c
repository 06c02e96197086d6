/* Connections of an earlier process: each is gone on with where it was left, or closed when nobody
 * could do that honestly.
 *
 * What the earlier process had in flight ran in servers that ended with it, so each such request is
 * answered with one error; whether it was carried out, nobody knows any more. Input that was read
 * and not acted on is read again. What is written here goes through the same record as everything
 * else, so that a process which dies in the middle of this is survived, too. */
#include "base/log.h"
#include "base/util.h"
#include "front/http_conn_priv.h"
#include "front/http_session.h"
#include "io/inherit.h"

#include <stdlib.h>
#include <unistd.h>

struct tally {
    unsigned kept, answered, closed;
};

void adopt_write_error(struct buf *out, const struct route *route, struct slice id)
{
    proxy_write_error(out, id, MCP_E_INTERNAL, REASON_UPSTREAM_LOST,
                      route && *route->name ? route->name : NULL, "maybe", 0,
                      "mcpool was restarted while the request was being processed; it may or may "
                      "not have been carried out");
}

/* ---- HTTP ---- */

static const struct route *route_of(const struct http_conn *h)
{
    const struct client *c = h->conn;
    return front_route(c->listener, slice_str(c->record->route));
}

static void write_lost_events(struct http_conn *h, const struct ledger_verdict *v)
{
    struct client *c = h->conn;
    for (unsigned i = 0; i < v->open_n; i++) {
        struct buf b = BUF_INIT;
        adopt_write_error(&b, route_of(h), v->open[i]);
        struct payload p = {.text = buf_peek(&b)};
        uint64_t begin = stream_queued_total(c->stream);
        http_sse_message(h, slice_of(NULL, 0), 0, &p, NULL);
        ledger_id_answered(c->record, v->open[i], true, begin, stream_queued_total(c->stream));
        buf_done(&b);
    }
    if (v->open_n == 0)
        http_sse_retry(h, c->front->config->http.retry_hint);
}

static void begin_and_end_stream(struct http_conn *h, const struct ledger_verdict *v)
{
    http_stream_begin(h, "text/event-stream", event_stream_fields, EVENT_STREAM_FIELDS);
    write_lost_events(h, v);
    http_stream_end(h);
}

/* A request without an id, or one whose answer was being written: its status says it all. */
static void repeat_status(struct http_conn *h, const struct ledger_verdict *v)
{
    const struct ledger_record *r = h->conn->record;
    if (r->stream_at != LEDGER_NEVER)
        begin_and_end_stream(h, v);
    else if (r->status == 202 || (r->status >= 400 && r->status <= 599))
        http_reply(h, r->status, NULL, slice_of(NULL, 0), NULL, 0);
    else
        http_reply_error(h, &(struct http_error){.status = 503,
                                                 .code = MCP_E_INTERNAL,
                                                 .reason = REASON_UPSTREAM_LOST,
                                                 .delivered = "maybe",
                                                 .message = "mcpool was restarted",
                                                 .retry_after = USEC_PER_SEC});
}

static void answer_lost(struct http_conn *h, const struct ledger_verdict *v)
{
    unsigned flags = h->conn->record->flags;
    bool batch = flags & LEDGER_BATCH;
    if (v->open_n == 0) {
        repeat_status(h, v);
        return;
    }
    if (flags & LEDGER_NO_JSON) {
        begin_and_end_stream(h, v);
        return;
    }
    struct buf body = BUF_INIT;
    for (unsigned i = 0; i < v->open_n; i++) {
        buf_append_str(&body, i ? "," : batch ? "[" : "");
        adopt_write_error(&body, route_of(h), v->open[i]);
    }
    buf_append_str(&body, batch ? "]" : "");
    struct http1_header retry = {SLICE("Retry-After"), SLICE("1")};
    bool initialize = flags & LEDGER_INITIALIZE;
    http_reply(h, initialize ? 503 : 200, "application/json", buf_peek(&body), &retry, initialize);
    buf_done(&body);
}

/* Of a request that is not complete some bytes are gone. */
static void refuse_cut_request(struct http_conn *h)
{
    h->keep_alive = false;
    h->state = HTTP_REPLY;
    http_reply_error(h, &(struct http_error){.status = 503,
                                             .code = MCP_E_INTERNAL,
                                             .reason = REASON_UPSTREAM_LOST,
                                             .delivered = "no",
                                             .message = "mcpool was restarted while it read the "
                                                        "request",
                                             .retry_after = USEC_PER_SEC});
}

void http_conn_go_on(struct client *c, const struct ledger_verdict *v)
{
    struct http_conn *h = c->impl;
    unsigned flags = c->record->flags;
    if (v->fate == LEDGER_IDLE) {
        if (v->lost)
            refuse_cut_request(h);
        return;
    }
    h->state = HTTP_REPLY;
    h->noted = h->committed = true;
    h->http10 = flags & LEDGER_HTTP10;
    h->head_only = flags & LEDGER_NO_BODY;
    h->keep_alive = (flags & LEDGER_KEEP_ALIVE) && !v->lost;
    if (v->fate == LEDGER_ANSWER) {
        answer_lost(h, v);
        return;
    }
    h->streaming = true;
    h->chunked = flags & LEDGER_CHUNKED;
    h->keep_alive = h->keep_alive && h->chunked;
    if (v->fate != LEDGER_STREAM)
        return; /* HTTP+SSE goes on with it */
    write_lost_events(h, v);
    http_stream_end(h);
}

/* ---- one connection ---- */

static struct front_listener *listener_named(struct front *f, const char *name)
{
    struct front_listener *l;
    LIST_FOREACH (l, &f->listeners, link) {
        if (strcmp(l->name, name) == 0)
            return l;
    }
    return NULL;
}

static const char *go_on(struct front *f, int fd, struct ledger_record *r, struct ledger_verdict *v)
{
    struct peer peer;
    struct front_listener *l = listener_named(f, r->listener);
    if (socket_identity(fd) != r->socket)
        return "its record is another's";
    if (!l)
        return "nobody listens there any more";
    if (r->speech == LEDGER_LINE && !l->route)
        return "lines name no server, and it leads to more than one now";
    if (f->connections >= front_limits(f)->max_client_connections)
        return "max_client_connections is reached";
    if (listener_adopt(l->listener, fd, &peer) < 0)
        return "it is gone";
    if (v->lost && !v->partial && v->fate == LEDGER_DUPLEX && r->speech == LEDGER_LINE) {
        listener_closed(l->listener);
        return "input was lost";
    }
    if (v->fate == LEDGER_DUPLEX)
        ledger_forget_uncounted(f->store->ledger, r);
    struct peer_group *g = peers_get(&f->peers, &peer);
    struct client *c = client_adopt(l, fd, g, r, v);
    peers_put(&f->peers, g);
    switch ((enum ledger_speech)r->speech) {
    case LEDGER_UNKNOWN:
        if (!l->is_unix && front_limits(f)->idle_connection_timeout)
            client_set_timer(c, f->env->now + front_limits(f)->idle_connection_timeout);
        break;
    case LEDGER_HTTP:
        http_conn_start(c);
        http_conn_go_on(c, v);
        break;
    case LEDGER_LINE:
        line_conn_go_on(c, v);
        break;
    case LEDGER_SSE:
        http_conn_start(c);
        http_conn_go_on(c, v);
        if (v->fate == LEDGER_DUPLEX)
            sse_go_on(c, v);
        else
            TRACE_SET(r->speech, LEDGER_HTTP);
        break;
    }
    if (v->rest.n == 0 && c->record)
        TRACE_SET(c->record->adoptions, 0); /* else with the next message */
    return NULL;
}

/* The record of a descriptor of that name; NULL when it has none. */
static struct ledger_record *record_named(struct front *f, const char *name)
{
    char expected[FRONT_STORE_NAME];
    char *end;
    unsigned long index = strtoul(name + 2, &end, 10);
    struct ledger_record *r =
        *end == '-' && index < UINT32_MAX ? ledger_at(f->store->ledger, (unsigned)index) : NULL;
    if (!r || r->io.serial == 0)
        return NULL;
    client_store_name(f, r, expected);
    return strcmp(expected, name) == 0 ? r : NULL;
}

static void adopt_one(struct front *f, int fd, const char *name, bool *used, struct tally *t)
{
    struct ledger *ledger = f->store->ledger;
    struct ledger_record *r = record_named(f, name);
    struct ledger_verdict v = {.why = "it has no record"};
    const char *why = v.why;
    if (r && used[ledger_index(ledger, r)])
        r = NULL; /* the same name twice */
    if (r) {
        ledger_judge(ledger, r, &v);
        TRACE_SET(r->adoptions, r->adoptions + 1); /* it may be what kills us */
        why = v.fate == LEDGER_CLOSE ? v.why : go_on(f, fd, r, &v);
    }
    if (!why) {
        used[ledger_index(ledger, r)] = true;
        bool closed = r->io.serial == 0; /* by those who were to go on with it, who said why */
        t->kept += !closed;
        t->closed += closed;
        t->answered += closed ? 0 : v.open_n;
        return;
    }
    log_info(LOG_CTX(.message_id = LOG_ID_HANDED_OVER),
             "connection %s of the process before is closed: %s", name, why);
    t->closed++;
    socket_shut(fd);
    close(fd);
    f->store->remove(f->store->arg, name);
}

void front_adopt(void *front)
{
    struct front *f = front;
    const struct front_store *store = f->store;
    bool *used = xcalloc(ledger_records(store->ledger), sizeof(*used));
    struct tally t = {0};
    struct client *c;
    char name[INHERIT_NAME_MAX + 1];
    int fd;
    LIST_FOREACH (c, &f->clients, link) {
        if (c->record)
            used[ledger_index(store->ledger, c->record)] = true;
    }
    env_task_clear(f->env, &f->adopt);
    while ((fd = inherit_claim_prefix(f->heritage, "c-", name)) >= 0)
        adopt_one(f, fd, name, used, &t);
    f->heritage = inherit_free(f->heritage, NULL, NULL);
    ledger_sweep(store->ledger, used);
    free(used);
    if (t.kept || t.closed)
        log_notice(LOG_CTX(.message_id = LOG_ID_HANDED_OVER),
                   "%u client connections of the process before go on, %u were closed; %u requests "
                   "that were in flight were answered with an error",
                   t.kept, t.closed, t.answered);
}
