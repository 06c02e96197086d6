/* The answer side of one POST (protocol.md 2.6).
 *
 *     held ──answer──► plain JSON
 *      │
 *      ├─ notification, ask, keep-alive interval over ──► event stream ──last answer──► ended
 *      └─ batch of a client that reads JSON only ───────► JSON array ───last answer──► ended
 *
 * Nothing is written before it must be, so that a failure keeps its status and a quick answer is
 * one plain response. Each call of the POST holds a reference; the connection may go before the
 * answers come. That is no cancellation: once the client holds event ids the stream goes on into
 * its log and can be resumed on a GET. */
#include "base/spare.h"
#include "base/util.h"
#include "front/http_session.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum post_state {
    POST_HELD,
    POST_EVENTS,
    POST_ARRAY,
    POST_ENDED,
};

struct post_stream {
    struct channel ch;
    struct responder responder;
    struct front *front;
    struct http_session *hs;      /* NULL once ended */
    struct http_conn *h;          /* NULL: nobody reads at the moment, or any more */
    LIST_ENTRY(post_stream) link; /* hs->posts */
    struct post_options opt;
    enum post_state state;
    unsigned unanswered;
    unsigned written;      /* POST_ARRAY: elements */
    struct event_log *log; /* NULL: no event ids */
    bool told_retry;
    struct pulse pulse;
    size_t first_id_n;
    char first_id[]; /* raw id of the first request: names the stream */
};

/* Every request makes one, and with many in flight the allocator has to search for each: so a few
 * are kept that have room for ids of the usual length. */
#define SPARE_MAX 64
#define SPARE_ID  32

static struct post_stream *spare[SPARE_MAX];
static size_t spares;

static struct post_stream *take_memory(size_t id_n)
{
    struct post_stream *ps;
    if (id_n > SPARE_ID || spares == 0)
        return xmalloc_zeroed(sizeof(*ps) + (id_n > SPARE_ID ? id_n : SPARE_ID), sizeof(*ps));
    ps = spare[--spares];
    spare_take(ps, sizeof(*ps) + SPARE_ID);
    memset(ps, 0, sizeof(*ps));
    return ps;
}

static void give_memory(struct post_stream *ps)
{
    if (ps->first_id_n > SPARE_ID || spares == SPARE_MAX) {
        free(ps);
        return;
    }
    spare_put(ps, sizeof(*ps) + SPARE_ID);
    spare[spares++] = ps;
}

static const struct channel_ops channel_ops;
static const struct responder_ops responder_ops;
static void on_pulse(struct pulse *p);

struct post_stream *post_stream_new(struct http_session *hs, struct http_conn *h,
                                    const struct post_options *opt, unsigned requests,
                                    struct slice first_id)
{
    struct post_stream *ps = take_memory(first_id.n);
    ps->ch = (struct channel){.ops = &channel_ops, .refs = 1};
    ps->responder.ops = &responder_ops;
    ps->front = hs->front;
    ps->hs = hs;
    ps->h = h;
    ps->opt = *opt;
    ps->unanswered = requests;
    ps->first_id_n = first_id.n;
    memcpy(ps->first_id, first_id.p, first_id.n);
    ps->pulse.beat = on_pulse;
    LIST_INSERT_HEAD(&hs->posts, ps, link);
    http_conn_attach(h, &ps->responder);
    return ps;
}

struct channel *post_stream_channel(struct post_stream *ps)
{
    return &ps->ch;
}

void post_stream_started(struct post_stream *ps)
{
    /* The outcome of initialize may still be a status of its own, so it is never turned into an
     * event stream early. */
    if (ps->state == POST_HELD && ps->opt.accept.sse && !ps->opt.initialize)
        pulse_start(ps->front, &ps->pulse);
    channel_unref(&ps->ch);
}

/* Cuts the stream off from its session and gives up the connection, which the caller answers. */
static struct http_conn *leave(struct post_stream *ps)
{
    struct http_conn *h = ps->h;
    ps->h = NULL;
    ps->state = POST_ENDED;
    pulse_stop(ps->front, &ps->pulse);
    if (ps->hs) {
        LIST_REMOVE(ps, link);
        if (ps->opt.ends_session)
            http_session_end_later(ps->hs);
    }
    if (ps->log)
        event_log_release(ps->log);
    ps->log = NULL;
    ps->hs = NULL;
    if (h)
        http_conn_attach(h, NULL);
    return h;
}

/* ---- event stream ---- */

static usec_t retry_once(struct post_stream *ps)
{
    if (ps->told_retry || !ps->log)
        return 0;
    ps->told_retry = true;
    return ps->front->config->http.retry_hint;
}

static void begin_events(struct post_stream *ps)
{
    struct http_session *hs = ps->hs;
    struct front *f = ps->front;
    ps->state = POST_EVENTS;
    if (http_session_has_ids(hs) && !ps->opt.ends_session) {
        uint64_t serial = ++hs->streams;
        char *name = event_stream_name(serial, slice_of(ps->first_id, ps->first_id_n));
        ps->log = event_log_new(&hs->events, serial, name, f->env->now);
        free(name);
    }
    http_stream_begin(ps->h, "text/event-stream", event_stream_fields, EVENT_STREAM_FIELDS);
    if (ps->log && session_version(hs->session) >= MCP_2025_11_25) {
        struct buf id = BUF_INIT;
        http_sse_priming(ps->h, event_id_text(&id, ps->log->name, 0), retry_once(ps));
        buf_done(&id);
    }
    if (!ps->pulse.linked)
        pulse_start(f, &ps->pulse);
}

/* Keeps the message if it can be asked for again, and writes it if somebody reads. */
static int write_event(struct post_stream *ps, bool is_answer, const struct payload *text,
                       const struct rpc_edits *edits)
{
    struct front *f = ps->front;
    struct buf id = BUF_INIT;
    struct slice id_text = slice_of(NULL, 0);
    if (ps->log) {
        uint64_t seq = event_log_append(ps->log, f->env->now, is_answer, text, edits);
        id_text = event_id_text(&id, ps->log->name, seq);
        front_events_kept(f);
    }
    int r = ps->log ? 0 : -EPIPE;
    struct client *c = ps->h ? http_conn_client(ps->h) : NULL;
    if (c && client_is_open(c)) {
        if (client_is_stuck(c)) {
            f->counts.slow_closed++;
            client_doom(c);
        } else {
            http_sse_message(ps->h, id_text, retry_once(ps), text, edits);
            r = 0;
        }
    }
    buf_done(&id);
    return r;
}

static void on_pulse(struct pulse *p)
{
    struct post_stream *ps = container_of(p, struct post_stream, pulse);
    if (!ps->h)
        return;
    if (ps->state == POST_HELD)
        begin_events(ps);
    pulse_beat(&ps->pulse, ps->h);
}

/* ---- answers ---- */

/* Reasons for which initialize fails because of us or the server, not because of what the client
 * sent. */
static unsigned status_of_failure(enum reason why)
{
    switch (why) {
    case REASON_NONE:
    case REASON_BAD_REQUEST:
    case REASON_BATCH:
    case REASON_TOO_LARGE:
    case REASON_ORIGIN:
    case REASON_UNAUTHORIZED:
    case REASON_FORBIDDEN:
    case REASON_SESSION_REQUIRED:
    case REASON_SESSION_NOT_FOUND:
    case REASON_VERSION:
    case REASON_RESUME_LOST:
    case REASON_COUNT:
        return 200;
    case REASON_UPSTREAM_UNAVAILABLE:
    case REASON_BREAKER_OPEN:
    case REASON_OVERLOADED:
    case REASON_RATE_LIMITED:
    case REASON_TIMEOUT:
    case REASON_UPSTREAM_LOST:
    case REASON_UPSTREAM_AUTH:
    case REASON_UPSTREAM_PROTOCOL:
    case REASON_RESPONSE_TOO_LARGE:
    case REASON_SHUTTING_DOWN:
    case REASON_MAINTENANCE:
        return 503;
    }
    return 503;
}

static void reply_failed_initialize(struct http_conn *h, const struct call *call,
                                    const struct payload *text, const struct rpc_edits *edits)
{
    char seconds[24];
    usec_t after = (call_retry_after(call) + USEC_PER_SEC - 1) / USEC_PER_SEC;
    int n = snprintf(seconds, sizeof(seconds), "%llu", (unsigned long long)(after ? after : 1));
    struct http1_header retry = {SLICE("Retry-After"), slice_of(seconds, (size_t)n)};
    unsigned status =
        call_outcome(call) == CALL_FAILED ? status_of_failure(call_reason(call)) : 200;
    http_reply_message(h, status, text, edits, &retry, status == 503);
}

static int answer_initialize(struct post_stream *ps, struct call *call, const struct payload *text,
                             const struct rpc_edits *edits)
{
    struct http_session *hs = ps->hs;
    bool json = ps->opt.accept.json;
    struct http_conn *h = leave(ps);
    bool opened = session_is_initialized(hs->session);
    if (!opened || !h)
        http_session_end_later(hs); /* there is no session, or nobody who knows its id */
    if (!h)
        return -EPIPE;
    if (!opened) {
        reply_failed_initialize(h, call, text, edits);
        return 0;
    }
    struct http1_header fields[EVENT_STREAM_FIELDS + 1];
    memcpy(fields, event_stream_fields, sizeof(event_stream_fields));
    fields[EVENT_STREAM_FIELDS] =
        (struct http1_header){SLICE("Mcp-Session-Id"), slice_str(session_id(hs->session))};
    if (json) {
        http_reply_message(h, 200, text, edits, &fields[EVENT_STREAM_FIELDS], 1);
        return 0;
    }
    http_stream_begin(h, "text/event-stream", fields, ARRAY_LEN(fields));
    http_sse_message(h, slice_of(NULL, 0), 0, text, edits);
    http_stream_end(h);
    return 0;
}

static int write_element(struct post_stream *ps, const struct payload *text,
                         const struct rpc_edits *edits)
{
    struct client *c = ps->h ? http_conn_client(ps->h) : NULL;
    if (!c || !client_is_open(c))
        return -EPIPE;
    if (client_is_stuck(c)) {
        ps->front->counts.slow_closed++;
        client_doom(c);
        return -EPIPE;
    }
    http_stream_raw(ps->h, ps->written++ ? SLICE(",") : SLICE("["));
    http_stream_message(ps->h, text, edits);
    return 0;
}

/* The last answer is out. */
static void end_stream(struct post_stream *ps)
{
    enum post_state state = ps->state;
    bool none = ps->written == 0;
    struct http_conn *h = leave(ps);
    if (!h)
        return;
    if (state == POST_ARRAY)
        http_stream_raw(h, none ? SLICE("[]") : SLICE("]"));
    http_stream_end(h);
}

static int on_answer(struct post_stream *ps, struct call *call, const struct payload *text,
                     const struct rpc_edits *edits)
{
    int r;
    ps->unanswered--;
    if (ps->opt.initialize)
        return answer_initialize(ps, call, text, edits);
    if (ps->state == POST_HELD && !ps->h) {
        if (ps->unanswered == 0)
            leave(ps);
        return -EPIPE;
    }
    if (ps->state == POST_HELD && !ps->opt.batch && ps->opt.accept.json) {
        http_reply_message(leave(ps), 200, text, edits, NULL, 0);
        return 0;
    }
    if (ps->state == POST_HELD && ps->opt.accept.sse) {
        begin_events(ps);
    } else if (ps->state == POST_HELD) {
        ps->state = POST_ARRAY;
        http_stream_begin(ps->h, "application/json", NULL, 0);
    }
    struct client *c = ps->h ? http_conn_client(ps->h) : NULL;
    uint64_t begin = c && c->record ? stream_queued_total(c->stream) : 0;
    if (ps->state == POST_ARRAY)
        r = write_element(ps, text, edits);
    else
        r = write_event(ps, true, text, edits);
    if (c && c->record && call)
        ledger_id_answered(c->record, call_client_id(call), true, begin,
                           stream_queued_total(c->stream));
    if (ps->unanswered == 0)
        end_stream(ps);
    return r;
}

static int post_send(struct channel *ch, struct call *call, enum delivery kind,
                     const struct payload *text, const struct rpc_edits *edits)
{
    struct post_stream *ps = container_of(ch, struct post_stream, ch);
    if (ps->state == POST_ENDED)
        return -EPIPE;
    if (kind == DELIVER_ANSWER)
        return on_answer(ps, call, text, edits);
    if (!ps->opt.accept.sse || ps->opt.initialize || ps->state == POST_ARRAY)
        return -ENOTSUP;
    if (!ps->h && !ps->log)
        return -EPIPE;
    if (kind == DELIVER_DROPPABLE && ps->h && client_is_slow(http_conn_client(ps->h)))
        return 0;
    if (ps->state == POST_HELD)
        begin_events(ps);
    return write_event(ps, false, text, edits);
}

static void post_silent_end(struct channel *ch, struct call *call)
{
    struct post_stream *ps = container_of(ch, struct post_stream, ch);
    if (call && ps->h)
        ledger_id_drop(http_conn_client(ps->h)->record, call_client_id(call));
    if (ps->state == POST_ENDED || --ps->unanswered)
        return;
    if (ps->state != POST_HELD) {
        end_stream(ps);
        return;
    }
    bool sse = ps->opt.accept.sse;
    struct http_conn *h = leave(ps);
    if (h && sse) {
        http_stream_begin(h, "text/event-stream", event_stream_fields, EVENT_STREAM_FIELDS);
        http_stream_end(h);
    } else if (h) {
        http_reply(h, 202, NULL, slice_of(NULL, 0), NULL, 0);
    }
}

static bool post_can_ask(const struct channel *ch)
{
    const struct post_stream *ps = container_of((struct channel *)ch, struct post_stream, ch);
    if (ps->state == POST_ENDED || ps->state == POST_ARRAY || !ps->opt.accept.sse ||
        ps->opt.initialize)
        return false;
    return ps->h != NULL || ps->log != NULL;
}

static void post_free(struct channel *ch)
{
    struct post_stream *ps = container_of(ch, struct post_stream, ch);
    if (ps->state != POST_ENDED)
        post_silent_end(ch, NULL);
    give_memory(ps);
}

static const struct channel_ops channel_ops = {
    .send = post_send,
    .silent_end = post_silent_end,
    .can_ask = post_can_ask,
    .free = post_free,
};

/* ---- the connection, the session ---- */

static void on_gone(struct responder *r)
{
    struct post_stream *ps = container_of(r, struct post_stream, responder);
    ps->h = NULL;
    pulse_stop(ps->front, &ps->pulse);
    if (ps->opt.ends_session && ps->hs)
        http_session_end_later(ps->hs); /* nobody can ever ask for the answer */
}

static const struct responder_ops responder_ops = {.on_gone = on_gone};

struct post_stream *post_stream_find(const struct http_session *hs, uint64_t serial)
{
    struct post_stream *ps;
    LIST_FOREACH (ps, &hs->posts, link) {
        if (ps->log && ps->log->serial == serial)
            return ps;
    }
    return NULL;
}

static void write_kept(struct http_conn *h, const struct event_log *log, uint64_t seq)
{
    struct buf id = BUF_INIT;
    for (const struct kept_event *e = event_log_after(log, seq); e; e = event_log_next(e))
        http_sse_message(h, event_id_text(&id, log->name, e->seq), 0, &e->message.text,
                         &e->message.edits);
    buf_done(&id);
}

static void begin_resumed(struct http_session *hs, struct http_conn *h, const struct event_log *log,
                          uint64_t seq)
{
    http_stream_begin(h, "text/event-stream", event_stream_fields, EVENT_STREAM_FIELDS);
    if (session_version(hs->session) >= MCP_2025_11_25) {
        struct buf id = BUF_INIT;
        http_sse_priming(h, event_id_text(&id, log->name, seq), hs->front->config->http.retry_hint);
        buf_done(&id);
    }
    write_kept(h, log, seq);
}

void post_stream_resume(struct post_stream *ps, struct http_conn *h, uint64_t seq)
{
    struct http_conn *old = ps->h;
    if (old) {
        http_conn_attach(old, NULL);
        http_stream_end(old);
    }
    ps->h = h;
    http_conn_attach(h, &ps->responder);
    begin_resumed(ps->hs, h, ps->log, seq);
    pulse_start(ps->front, &ps->pulse);
}

void post_stream_replay(struct http_session *hs, struct http_conn *h, const struct event_id *resume)
{
    const struct event_log *log = event_owner_find(&hs->events, resume->serial);
    if (log == hs->get_log)
        log = NULL;
    if (log)
        begin_resumed(hs, h, log, resume->seq);
    else
        http_stream_begin(h, "text/event-stream", event_stream_fields, EVENT_STREAM_FIELDS);
    if (!log || log->lost_answer > resume->seq) {
        struct buf b = BUF_INIT;
        const char *server = session_route(hs->session)->name;
        proxy_write_error(&b, slice_of(resume->request_id, resume->request_id_n), MCP_E_INTERNAL,
                          REASON_RESUME_LOST, *server ? server : NULL, "maybe", 0,
                          "The stream cannot be resumed; the outcome of the request is unknown");
        struct payload p = {.text = buf_peek(&b)};
        http_sse_message(h, slice_of(NULL, 0), 0, &p, NULL);
        buf_done(&b);
    }
    http_stream_end(h);
}

void post_streams_end(struct http_session *hs)
{
    struct post_stream *ps;
    while ((ps = LIST_FIRST(&hs->posts))) {
        ps->unanswered = 1;
        post_silent_end(&ps->ch, NULL);
    }
}
