/* GET streams of Streamable HTTP: where messages go that belong to no request.
 *
 * A session has at most one; the newest wins and the older one is ended. All of them number their
 * events in one sequence, kept in hs->get_log for the life of the session, so that a client can
 * read on after any gap. While a stream is open it is the session's push channel and the session
 * does not expire. */
#include "base/util.h"
#include "front/http_session.h"

#include <errno.h>
#include <stdlib.h>

struct get_stream {
    struct channel
        ch; /* one reference of hs->get, one of the session while it is the push channel */
    struct responder responder;
    struct http_session *hs; /* NULL once closed, as is h */
    struct http_conn *h;
    struct front *front;
    bool told_retry;
    struct pulse pulse;
};

static int get_send(struct channel *ch, struct call *call, enum delivery kind,
                    const struct payload *text, const struct rpc_edits *edits)
{
    struct get_stream *gs = container_of(ch, struct get_stream, ch);
    struct client *c = gs->h ? http_conn_client(gs->h) : NULL;
    struct buf id = BUF_INIT;
    struct slice id_text = slice_of(NULL, 0);
    (void)call;
    if (!c || !client_is_open(c))
        return -EPIPE;
    if (client_is_slow(c) && kind == DELIVER_DROPPABLE)
        return 0;
    if (client_is_stuck(c)) {
        gs->front->counts.slow_closed++;
        client_doom(c);
        return -EPIPE; /* the session keeps it for the next stream */
    }
    usec_t retry = 0;
    struct event_log *log = gs->hs->get_log;
    if (log) {
        uint64_t seq = event_log_append(log, gs->front->env->now, false, text, edits);
        id_text = event_id_text(&id, log->name, seq);
        front_events_kept(gs->front);
        if (!gs->told_retry)
            retry = gs->front->config->http.retry_hint;
        gs->told_retry = true;
    }
    http_sse_message(gs->h, id_text, retry, text, edits);
    buf_done(&id);
    return 0;
}

static void get_silent_end(struct channel *ch, struct call *call)
{
    (void)ch;
    (void)call;
}

static bool get_can_ask(const struct channel *ch)
{
    const struct get_stream *gs = container_of((struct channel *)ch, struct get_stream, ch);
    return gs->h != NULL;
}

static void get_free(struct channel *ch)
{
    free(container_of(ch, struct get_stream, ch));
}

static const struct channel_ops channel_ops = {
    .send = get_send,
    .silent_end = get_silent_end,
    .can_ask = get_can_ask,
    .free = get_free,
};

/* Cuts the stream off from session and connection; the caller does with the connection what it
 * wants. */
static struct http_conn *leave(struct get_stream *gs)
{
    struct http_session *hs = gs->hs;
    struct http_conn *h = gs->h;
    pulse_stop(gs->front, &gs->pulse);
    gs->front->counts.get_streams--;
    gs->hs = NULL;
    gs->h = NULL;
    hs->get = NULL;
    if (session_push_channel(hs->session) == &gs->ch)
        session_set_push(hs->session, NULL);
    session_release(hs->session);
    if (h)
        http_conn_attach(h, NULL);
    channel_unref(&gs->ch);
    return h;
}

static void on_gone(struct responder *r)
{
    struct get_stream *gs = container_of(r, struct get_stream, responder);
    gs->h = NULL;
    leave(gs);
}

static void on_stop(struct responder *r)
{
    struct get_stream *gs = container_of(r, struct get_stream, responder);
    struct http_conn *h = leave(gs);
    http_sse_retry(h, RETRY_AT_STOP);
    http_stream_end(h);
}

static const struct responder_ops responder_ops = {
    .on_gone = on_gone,
    .on_stop = on_stop,
    .eof_is_gone = true,
};

void get_stream_end(struct http_session *hs)
{
    if (!hs->get)
        return;
    if (hs->front->draining)
        on_stop(&hs->get->responder);
    else
        http_stream_end(leave(hs->get));
}

static void on_pulse(struct pulse *p)
{
    struct get_stream *gs = container_of(p, struct get_stream, pulse);
    pulse_beat(&gs->pulse, gs->h);
}

/* The sequence of the session's GET events; NULL when events have no ids. */
static struct event_log *log_of(struct http_session *hs)
{
    if (!hs->get_log && http_session_has_ids(hs)) {
        uint64_t serial = ++hs->streams;
        char *name = event_stream_name(serial, slice_of(NULL, 0));
        hs->get_log = event_log_new(&hs->events, serial, name, hs->front->env->now);
        free(name);
    }
    return hs->get_log;
}

/* The client cannot know what it missed: let it fetch everything again. */
static void tell_all_changed(struct get_stream *gs)
{
    static const char *const methods[] = {"notifications/tools/list_changed",
                                          "notifications/prompts/list_changed",
                                          "notifications/resources/list_changed"};
    for (size_t i = 0; i < ARRAY_LEN(methods); i++) {
        struct buf b = BUF_INIT;
        rpc_write_notification(&b, methods[i], slice_of(NULL, 0));
        struct payload p = {.text = buf_peek(&b)};
        get_send(&gs->ch, NULL, DELIVER_NOTIFICATION, &p, NULL);
        buf_done(&b);
    }
}

static void write_kept(struct http_conn *h, const struct event_log *log, uint64_t seq)
{
    struct buf id = BUF_INIT;
    for (const struct kept_event *e = event_log_after(log, seq); e; e = event_log_next(e))
        http_sse_message(h, event_id_text(&id, log->name, e->seq), 0, &e->message.text,
                         &e->message.edits);
    buf_done(&id);
}

void get_stream_open(struct http_session *hs, struct http_conn *h, const struct event_id *resume)
{
    struct front *f = hs->front;
    get_stream_end(hs);
    struct event_log *log = log_of(hs);
    bool known = resume && log && resume->serial == log->serial && resume->seq <= log->last_seq;
    uint64_t seq = known ? resume->seq : log ? log->last_seq : 0;
    bool lost = resume && (!known || log->lost_seq > resume->seq);

    struct get_stream *gs = xcalloc(1, sizeof(*gs));
    gs->ch = (struct channel){.ops = &channel_ops, .refs = 1};
    gs->responder.ops = &responder_ops;
    gs->hs = hs;
    gs->h = h;
    gs->front = f;
    gs->pulse.beat = on_pulse;
    hs->get = gs;
    f->counts.get_streams++;
    http_conn_attach(h, &gs->responder);
    session_hold(hs->session);

    http_stream_begin(h, "text/event-stream", event_stream_fields, EVENT_STREAM_FIELDS);
    if (log && session_version(hs->session) >= MCP_2025_11_25) {
        struct buf id = BUF_INIT;
        http_sse_priming(h, event_id_text(&id, log->name, seq), f->config->http.retry_hint);
        gs->told_retry = true;
        buf_done(&id);
    }
    if (known)
        write_kept(h, log, seq);
    if (lost)
        tell_all_changed(gs);
    session_set_push(hs->session, &gs->ch);
    pulse_start(f, &gs->pulse);
}
