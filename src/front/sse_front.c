/* HTTP+SSE of 2024-11-05: GET /sse/<server> opens the stream, POST /messages/<server>?sessionId=…
 * carries what the client says, every answer travels on the stream (protocol.md 2.8).
 *
 * Clients of this transport reconnect by themselves and do not initialise again, so a stream that
 * breaks leaves its session for sse_grace: a GET with the Last-Event-ID it last saw takes it up
 * again, gets the same endpoint and what it missed. Every event therefore carries an id,
 * <session>.<seq>. The session's id is made here: the core hears of a client only when it
 * initialises. */
#include "base/log.h"
#include "base/util.h"
#include "front/access.h"
#include "front/duplex.h"
#include "wire/sse.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define SSE_ID_BYTES 18 /* random ones: 24 characters */
#define SSE_ID_CHARS 24

struct sse_session {
    UT_hash_handle hh;
    char id[SSE_ID_CHARS + 1];
    struct channel
        ch; /* one reference of front->sse_by_id, one of each call and of the core's session */
    struct responder responder;
    struct duplex duplex;
    char *principal; /* who it belongs to */
    struct front *front;
    struct http_conn *h;    /* NULL: the stream is broken, grace runs; or closed */
    struct http_conn *post; /* what brings a message at the moment; else NULL */
    bool closed;            /* no longer in front->sse_by_id */
    struct event_owner events;
    struct event_log *log;
    struct pulse pulse;
    struct timer grace;
};

/* ---- the channel ---- */

static int sse_send(struct channel *ch, struct call *call, enum delivery kind,
                    const struct payload *text, const struct rpc_edits *edits)
{
    struct sse_session *ss = container_of(ch, struct sse_session, ch);
    struct client *c = ss->h ? http_conn_client(ss->h) : NULL;
    struct buf id = BUF_INIT;
    if (ss->closed)
        return -EPIPE;
    uint64_t mark = duplex_mark(&ss->duplex);
    bool open = c && client_is_open(c), stuck = open && client_is_stuck(c);
    if (kind == DELIVER_DROPPABLE && (!open || client_is_slow(c)))
        return 0;
    uint64_t seq =
        event_log_append(ss->log, ss->front->env->now, kind == DELIVER_ANSWER, text, edits);
    front_events_kept(ss->front);
    if (stuck) {
        ss->front->counts.slow_closed++;
        client_doom(c);
    } else if (open) {
        http_sse_message(ss->h, event_id_text(&id, ss->id, seq), 0, text, edits);
        if (c->record)
            TRACE_SET(c->record->event_seq, seq);
    }
    if (kind == DELIVER_ANSWER)
        duplex_answered(&ss->duplex, call, mark);
    buf_done(&id);
    return 0;
}

static void sse_silent_end(struct channel *ch, struct call *call)
{
    struct sse_session *ss = container_of(ch, struct sse_session, ch);
    if (!ss->closed)
        duplex_dropped(&ss->duplex, call);
}

static bool sse_can_ask(const struct channel *ch)
{
    const struct sse_session *ss = container_of((struct channel *)ch, struct sse_session, ch);
    return !ss->closed;
}

static void sse_free(struct channel *ch)
{
    struct sse_session *ss = container_of(ch, struct sse_session, ch);
    free(ss->principal);
    free(ss);
}

static const struct channel_ops channel_ops = {
    .send = sse_send,
    .silent_end = sse_silent_end,
    .can_ask = sse_can_ask,
    .free = sse_free,
};

/* ---- life ---- */

static struct http_conn *detach(struct sse_session *ss)
{
    struct http_conn *h = ss->h;
    if (!h)
        return NULL;
    struct ledger_record *r = http_conn_client(h)->record;
    if (r)
        TRACE_SET(r->speech, LEDGER_HTTP);
    ss->h = NULL;
    ss->front->counts.sse_streams--;
    pulse_stop(ss->front, &ss->pulse);
    http_conn_attach(h, NULL);
    return h;
}

/* The end of it all: of the session, and of the stream if it is open. */
static void close_session(struct sse_session *ss)
{
    if (ss->closed)
        return;
    ss->closed = true;
    struct front *f = ss->front;
    struct http_conn *h = detach(ss);
    env_timer_clear(f->env, &ss->grace);
    HASH_DEL(f->sse_by_id, ss);
    duplex_done(&ss->duplex);
    event_owner_done(&ss->events);
    if (h && f->draining)
        http_sse_retry(h, RETRY_AT_STOP);
    if (h)
        http_stream_end(h);
    channel_unref(&ss->ch);
}

static void on_session_end(struct duplex *d)
{
    struct sse_session *ss = container_of(d, struct sse_session, duplex);
    /* After a failed initialize the stream stays for another attempt. */
    if (!timer_armed(&ss->grace) && ss->h && !route_is_gone(d->route) &&
        (!ss->front->draining || client_is_held(http_conn_client(ss->h))))
        return;
    close_session(ss);
}

static void grace_over(void *arg)
{
    close_session(arg);
}

static void on_gone(struct responder *r)
{
    struct sse_session *ss = container_of(r, struct sse_session, responder);
    struct front *f = ss->front;
    usec_t grace = front_limits(f)->sse_grace;
    detach(ss);
    if (ss->duplex.session && grace && !f->finished)
        env_timer_set(f->env, &ss->grace, f->env->now + grace);
    else
        close_session(ss);
}

static const struct responder_ops responder_ops = {.on_gone = on_gone, .eof_is_gone = true};

static void on_pulse(struct pulse *p)
{
    struct sse_session *ss = container_of(p, struct sse_session, pulse);
    if (ss->h)
        pulse_beat(&ss->pulse, ss->h);
}

static void mint_id(struct env *env, char out[SSE_ID_CHARS + 1])
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    unsigned char raw[SSE_ID_BYTES];
    env_random_bytes(env, raw, sizeof(raw));
    for (size_t i = 0; i < SSE_ID_CHARS; i++) {
        size_t bit = i * 6;
        unsigned v = (unsigned)raw[bit / 8] << 8;
        if (bit / 8 + 1 < sizeof(raw))
            v |= raw[bit / 8 + 1];
        out[i] = digits[v >> (10 - bit % 8) & 63];
    }
    out[SSE_ID_CHARS] = 0;
}

static struct client *carrier(struct duplex *d)
{
    struct sse_session *ss = container_of(d, struct sse_session, duplex);
    return ss->h ? http_conn_client(ss->h) : NULL;
}

static void commit(struct duplex *d)
{
    struct sse_session *ss = container_of(d, struct sse_session, duplex);
    if (ss->post)
        http_conn_commit(ss->post);
}

/* id: NULL = a new one. */
static struct sse_session *sse_session_new(struct front *f, const struct route *route,
                                           const char *principal, const char *id)
{
    struct sse_session *ss = xcalloc(1, sizeof(*ss));
    if (id)
        memcpy(ss->id, id, SSE_ID_CHARS);
    else
        mint_id(f->env, ss->id);
    ss->ch = (struct channel){.ops = &channel_ops, .refs = 1};
    ss->responder.ops = &responder_ops;
    ss->front = f;
    ss->principal = xstrdup(principal);
    event_owner_init(&ss->events, &f->events);
    ss->log = event_log_new(&ss->events, 1, ss->id, f->env->now);
    ss->pulse.beat = on_pulse;
    timer_init(&ss->grace, grace_over, ss);
    duplex_init(&ss->duplex, f, SESSION_SSE, route, ss->principal, &ss->ch);
    ss->duplex.on_session_end = on_session_end;
    ss->duplex.client = carrier;
    ss->duplex.commit = commit;
    HASH_ADD_STR(f->sse_by_id, id, ss);
    return ss;
}

/* The session under this id that this client may use; no other is told apart from none. */
static struct sse_session *find_own(const struct client *c, const char *principal, struct slice id)
{
    struct sse_session *ss = NULL;
    if (id.n == SSE_ID_CHARS)
        HASH_FIND(hh, c->front->sse_by_id, id.p, id.n, ss);
    return ss && strcmp(ss->principal, principal) == 0 ? ss : NULL;
}

/* … at the endpoint of the request. */
static struct sse_session *find(struct http_conn *h, const struct http_req *req, struct slice id)
{
    struct sse_session *ss = find_own(http_conn_client(h), req->principal, id);
    return ss && ss->duplex.route->server == req->route->server ? ss : NULL;
}

const struct route *sse_front_route(const struct client *c, const struct http_req *req,
                                    struct slice name)
{
    struct slice id = req->query_session;
    if (req->path == PATH_SSE && req->last_event_id.n > SSE_ID_CHARS)
        id = slice_of(req->last_event_id.p, SSE_ID_CHARS);
    struct sse_session *ss = find_own(c, req->principal, id);
    return ss && slice_is(name, ss->duplex.route->name) ? ss->duplex.route : NULL;
}

/* ---- GET ---- */

static void write_endpoint(struct sse_session *ss, uint64_t seq)
{
    struct buf b = BUF_INIT, id = BUF_INIT, url = BUF_INIT;
    const char *name = ss->duplex.route->name;
    buf_appendf(&url, "/messages%s%s?sessionId=%s", *name ? "/" : "", name, ss->id);
    sse_write_event(&b, "endpoint", event_id_text(&id, ss->id, seq), buf_peek(&url));
    http_stream_raw(ss->h, buf_peek(&b));
    buf_done(&url);
    buf_done(&id);
    buf_done(&b);
}

static void join(struct sse_session *ss, struct http_conn *h)
{
    ss->h = h;
    ss->front->counts.sse_streams++;
    env_timer_clear(ss->front->env, &ss->grace);
    http_conn_attach(h, &ss->responder);
    pulse_start(ss->front, &ss->pulse);
}

/* What the next process must know to go on with the stream. */
static void note_stream(struct sse_session *ss, uint64_t seq)
{
    struct ledger_record *r = http_conn_client(ss->h)->record;
    const char *id = ss->duplex.session ? session_lasting_id(ss->duplex.session) : NULL;
    if (!r)
        return;
    ledger_text(r->sse_id, sizeof(r->sse_id), ss->id);
    ledger_text(r->route, sizeof(r->route), ss->duplex.route->name);
    ledger_text(r->principal, sizeof(r->principal), ss->principal);
    ledger_text(r->session, sizeof(r->session), id ? id : "");
    TRACE_SET(r->event_seq, seq);
    TRACE_SET(r->speech, LEDGER_SSE);
}

static void attach(struct sse_session *ss, struct http_conn *h, uint64_t seq)
{
    struct buf id = BUF_INIT;
    join(ss, h);
    http_stream_begin(h, "text/event-stream", event_stream_fields, EVENT_STREAM_FIELDS);
    write_endpoint(ss, seq);
    for (const struct kept_event *e = event_log_after(ss->log, seq); e; e = event_log_next(e))
        http_sse_message(h, event_id_text(&id, ss->id, e->seq), 0, &e->message.text,
                         &e->message.edits);
    buf_done(&id);
    note_stream(ss, ss->log->last_seq);
}

void sse_go_on(struct client *c, const struct ledger_verdict *v)
{
    struct http_conn *h = c->impl;
    struct ledger_record *r = c->record;
    const struct route *route = front_route(c->listener, slice_str(r->route));
    bool named = slice_str(r->sse_id).n == SSE_ID_CHARS;
    struct sse_session *ss = NULL;
    int e = -ENOENT;
    if (route && named)
        HASH_FIND(hh, c->front->sse_by_id, r->sse_id, SSE_ID_CHARS, ss);
    bool may =
        route && access_is_of(c, r->principal) && access_may_go_on(c->front, r->principal, route);
    if (may && !ss && named) {
        ss = sse_session_new(c->front, route, r->principal, r->sse_id);
        ss->log->last_seq = ss->log->lost_seq = r->event_seq;
        join(ss, h);
        TRACE_SET(r->speech, LEDGER_SSE);
        e = duplex_revive(&ss->duplex);
    }
    if (e == 0) {
        duplex_answer_lost(&ss->duplex, v);
        return;
    }
    log_info(LOG_CTX(.message_id = LOG_ID_HANDED_OVER),
             "an event stream of the process before is ended: its session cannot be revived: "
             "%s",
             strerror(-e));
    if (ss && ss->h == h)
        close_session(ss);
    else
        client_close(c);
}

/* The session that a Last-Event-ID belongs to; NULL when it is none that lives. */
static struct sse_session *find_resumed(struct http_conn *h, const struct http_req *req,
                                        uint64_t *ret_seq)
{
    struct slice text = req->last_event_id;
    uint64_t seq = 0;
    if (text.n < SSE_ID_CHARS + 2 || text.n > SSE_ID_CHARS + 20 || text.p[SSE_ID_CHARS] != '.')
        return NULL;
    if (!json_u64(slice_of(text.p + SSE_ID_CHARS + 1, text.n - SSE_ID_CHARS - 1), &seq))
        return NULL;
    struct sse_session *ss = find(h, req, slice_of(text.p, SSE_ID_CHARS));
    if (ss)
        *ret_seq = seq > ss->log->last_seq ? ss->log->last_seq : seq;
    return ss;
}

void sse_front_on_get(struct http_conn *h, const struct http_req *req)
{
    struct client *c = http_conn_client(h);
    uint64_t seq = 0;
    if (c->front->draining) {
        http_reply_error(h, &(struct http_error){.status = 503,
                                                 .code = MCP_E_INTERNAL,
                                                 .reason = REASON_SHUTTING_DOWN,
                                                 .delivered = "no",
                                                 .message = "mcpool is shutting down",
                                                 .retry_after = USEC_PER_SEC});
        return;
    }
    struct sse_session *ss = find_resumed(h, req, &seq);
    if (ss && ss->h)
        http_stream_end(detach(ss)); /* the client has left that one behind */
    if (!ss)
        ss = sse_session_new(c->front, req->route, req->principal, NULL);
    attach(ss, h, seq);
}

/* ---- POST ---- */

static void reply_json(struct http_conn *h, unsigned status, struct buf *body)
{
    http_reply(h, status, "application/json", buf_peek(body), NULL, 0);
}

void sse_front_on_post(struct http_conn *h, const struct http_req *req, struct http_in *in)
{
    if (!req->query_session.p) {
        http_reply(h, 400, "text/plain", SLICE("sessionId is required\n"), NULL, 0);
        return;
    }
    struct sse_session *ss = find(h, req, req->query_session);
    if (!ss) {
        http_reply(h, 404, "text/plain", SLICE("Session not found\n"), NULL, 0);
        return;
    }
    struct buf error = BUF_INIT;
    channel_ref(&ss->ch);
    ss->post = h;
    ss->duplex.source = http_conn_client(h);
    ss->duplex.source_end = client_taken(ss->duplex.source);
    if (req->encoded_body) {
        proxy_write_error(&error, slice_of(NULL, 0), MCP_E_INVALID_REQUEST, REASON_NONE, NULL, NULL,
                          0, "Unsupported Media Type: Content-Encoding must be identity");
        reply_json(h, 415, &error);
    } else if (req->header_version == HEADER_VERSION_MODERN) {
        proxy_write_error(&error, slice_of(NULL, 0), MCP_E_INVALID_REQUEST, REASON_BAD_REQUEST,
                          NULL, NULL, 0, "Bad Request: Unsupported protocol version");
        reply_json(h, 400, &error);
    } else if (in->oversize && !duplex_on_oversize(&ss->duplex, in->id, &error)) {
        reply_json(h, 413, &error);
    } else if (!in->oversize && !duplex_on_message(&ss->duplex, &in->payload, &error)) {
        reply_json(h, 400, &error);
    } else {
        http_reply(h, 202, "text/plain", SLICE("Accepted"), NULL, 0);
    }
    ss->post = NULL;
    ss->duplex.source = NULL;
    channel_unref(&ss->ch);
    buf_done(&error);
}

void sse_front_recheck(struct front *f)
{
    struct sse_session *ss, *following;
    HASH_ITER (hh, f->sse_by_id, ss, following) {
        bool idle = !ss->duplex.session && route_is_gone(ss->duplex.route);
        if (idle || !access_may_go_on(f, ss->principal, ss->duplex.route))
            close_session(ss);
    }
}

void sse_front_close_all(struct front *f)
{
    struct sse_session *ss, *following;
    HASH_ITER (hh, f->sse_by_id, ss, following) {
        if (ss->h && client_is_held(http_conn_client(ss->h)))
            continue; /* its stream is the next process's */
        close_session(ss);
    }
}
