/* Newline-delimited JSON-RPC on unix sockets: stdio framing, one client per connection
 * (protocol.md 2.8).
 *
 * The connection is the channel, so a client that goes takes its calls with it; one that only ends
 * its side (printf | nc) still gets what it asked for, up to drain_timeout. Above OUTPUT_HIGH of
 * unread output nothing more is read from the client: it can neither fill memory nor hold up anyone
 * else. */
#include "base/log.h"
#include "base/util.h"
#include "front/duplex.h"
#include "upstream/splice.h"
#include "wire/line.h"

#include <errno.h>
#include <stdlib.h>

/* After a client ended its side, how often we look whether it has gone altogether. */
#define GONE_SPAN (200 * USEC_PER_MSEC)

/* Lines up to this size are taken from the input in one piece. */
#define LINE_WHOLE ((size_t)32 * 1024)

struct line_client {
    struct channel ch; /* one reference of the connection, one of each call */
    struct duplex duplex;
    struct client *c; /* NULL once closed */
    struct line_reader reader;
    struct buf big;           /* a long line so far */
    struct rpc_id_hunt *hunt; /* an oversize line is being thrown away */
    bool paused;              /* output is above OUTPUT_HIGH */
    bool skipping;            /* the beginning of this line was lost with an earlier process */
    usec_t end_by;            /* after EOF: when the connection closes in any case */
    struct task check_end;    /* after EOF, or of leave: closes when nothing is in flight */
    bool leave;               /* the server was removed: there is nothing to come back to */
};

static void line_free(struct channel *ch)
{
    free(container_of(ch, struct line_client, ch));
}

/* ---- output ---- */

/* Well below the point where the connection would be given up. */
static size_t output_high(const struct line_client *lc)
{
    size_t half = front_limits(lc->c->front)->slow_reader_bytes / 2;
    return half < OUTPUT_HIGH ? half : OUTPUT_HIGH;
}

static void write_line(struct line_client *lc, const struct payload *text,
                       const struct rpc_edits *edits)
{
    struct client *c = lc->c;
    client_write_line(c, text, edits);
    if (!lc->paused && client_heap_pending(c) > output_high(lc)) {
        lc->paused = true;
        stream_pause(c->stream);
    }
}

static int line_send(struct channel *ch, struct call *call, enum delivery kind,
                     const struct payload *text, const struct rpc_edits *edits)
{
    struct line_client *lc = container_of(ch, struct line_client, ch);
    struct client *c = lc->c;
    if (!c || !client_is_open(c))
        return -EPIPE;
    if (kind == DELIVER_DROPPABLE && client_is_slow(c))
        return 0;
    if (client_is_stuck(c)) {
        c->front->counts.slow_closed++;
        client_doom(c);
        if (kind == DELIVER_ANSWER)
            duplex_answered(&lc->duplex, call, duplex_mark(&lc->duplex));
        return -EPIPE;
    }
    uint64_t mark = duplex_mark(&lc->duplex);
    write_line(lc, text, edits);
    if (kind == DELIVER_ANSWER)
        duplex_answered(&lc->duplex, call, mark);
    if (c->eof)
        env_defer(c->front->env, &lc->check_end);
    return 0;
}

static void line_silent_end(struct channel *ch, struct call *call)
{
    struct line_client *lc = container_of(ch, struct line_client, ch);
    duplex_dropped(&lc->duplex, call);
    if (lc->c && lc->c->eof)
        env_defer(lc->c->front->env, &lc->check_end);
}

static bool line_can_ask(const struct channel *ch)
{
    const struct line_client *lc = container_of((struct channel *)ch, struct line_client, ch);
    return lc->c && client_is_open(lc->c) && !lc->c->eof;
}

static const struct channel_ops channel_ops = {
    .send = line_send,
    .silent_end = line_silent_end,
    .can_ask = line_can_ask,
    .free = line_free,
};

/* ---- input ---- */

/* One whole line. It stays in the input for as long as this takes, since no connection is closed by
 * what it says before the turn is over. A big one is better copied here, once: from a blob it goes
 * out by reference. */
static void line_front_on_message(struct line_client *lc, struct slice line)
{
    struct payload text = {.text = line};
    struct blob *b = line.n >= SPLICE_COPY_MAX ? payload_hold(&text) : NULL;
    duplex_on_message(&lc->duplex, &text, NULL);
    blob_unref(b);
}

static void on_oversize_piece(struct line_client *lc, const struct line_piece *piece)
{
    if (!lc->hunt) {
        lc->hunt = xmalloc(sizeof(*lc->hunt));
        rpc_id_hunt_init(lc->hunt);
        rpc_id_hunt_feed(lc->hunt, buf_peek(&lc->big));
        buf_done(&lc->big);
    }
    rpc_id_hunt_feed(lc->hunt, piece->bytes);
    if (!piece->last)
        return;
    char id[260];
    size_t n = rpc_id_hunt_get(lc->hunt, id, sizeof(id));
    free(lc->hunt);
    lc->hunt = NULL;
    duplex_on_oversize(&lc->duplex, slice_of(id, n), NULL);
}

/* The end of a line of which nobody knows the beginning. */
static void on_lost_piece(struct line_client *lc, const struct line_piece *piece)
{
    struct buf b = BUF_INIT;
    struct payload p;
    if (!piece->last)
        return;
    lc->skipping = false;
    adopt_write_error(&b, lc->duplex.route, slice_of(NULL, 0));
    p = (struct payload){.text = buf_peek(&b)};
    line_send(&lc->ch, NULL, DELIVER_NOTIFICATION, &p, NULL);
    buf_done(&b);
}

static void on_piece(struct line_client *lc, const struct line_piece *piece)
{
    if (lc->skipping) {
        on_lost_piece(lc, piece);
        return;
    }
    if (piece->oversize || lc->hunt) {
        on_oversize_piece(lc, piece);
        return;
    }
    if (piece->first && piece->last) {
        line_front_on_message(lc, piece->bytes);
        return;
    }
    buf_append_slice(&lc->big, piece->bytes);
    if (piece->last) {
        line_front_on_message(lc, buf_peek(&lc->big));
        buf_done(&lc->big);
    }
}

/* While calls run at a planned end, their servers may still need an answer of this client. After
 * that, what comes is the next process's. */
static bool leaves_input(const struct line_client *lc)
{
    return lc->paused || (client_is_held(lc->c) &&
                          (!lc->duplex.session || session_in_flight(lc->duplex.session) == 0));
}

/* What stands in the record of the input so far: nothing is owed but the line that is not complete.
 */
static void note_taken(struct line_client *lc, uint64_t taken, bool is_all)
{
    struct ledger_record *r = lc->c->record;
    if (!lc->reader.in_line && r->taken != taken)
        ledger_commit(r, taken);
    if (is_all)
        TRACE_SET(r->partial_at, stream_received_total(lc->c->stream));
}

static void on_input(void *impl)
{
    struct line_client *lc = impl;
    struct client *c = lc->c;
    struct line_piece piece;
    size_t used;
    uint64_t taken = c->record ? client_taken(c) : 0;
    while (client_is_open(c) && !leaves_input(lc)) {
        bool got = line_next(&lc->reader, stream_input(c->stream), &used, &piece);
        taken += used;
        lc->duplex.source_end = taken;
        if (got)
            on_piece(lc, &piece);
        if (client_is_open(c)) {
            stream_consume(c->stream, used);
            if (c->record)
                note_taken(lc, taken, !got);
        }
        if (!got)
            return;
    }
}

/* ---- the end ---- */

static void check_end(void *arg)
{
    struct line_client *lc = arg;
    if (!lc->c || !client_is_open(lc->c) || (!lc->leave && (!lc->c->eof || lc->paused)))
        return;
    if (!lc->duplex.session || session_in_flight(lc->duplex.session) == 0)
        client_close_flushed(lc->c);
}

/* Runs after EOF only: a client that ended its side may still read its answers, or be gone for
 * good, which nothing tells while there is nothing to write. */
static void on_timer(void *impl)
{
    struct line_client *lc = impl;
    struct client *c = lc->c;
    usec_t now = c->front->env->now;
    if (now >= lc->end_by || stream_peer_gone(c->stream))
        client_close(c);
    else
        client_set_timer(c, now + GONE_SPAN < lc->end_by ? now + GONE_SPAN : lc->end_by);
}

/* The end of input ends the last line as well. */
static void take_last_line(struct line_client *lc)
{
    struct slice rest = stream_input(lc->c->stream);
    if (lc->paused || !line_unfinished(&lc->reader, rest))
        return;
    struct line_piece piece = {
        .bytes = rest, .first = !lc->reader.in_line, .last = true, .oversize = lc->reader.oversize};
    lc->reader.in_line = false;
    on_piece(lc, &piece);
    if (client_is_open(lc->c))
        stream_consume(lc->c->stream, rest.n);
}

static void on_eof(void *impl)
{
    struct line_client *lc = impl;
    struct client *c = lc->c;
    on_input(lc); /* what came with it */
    if (client_is_open(c))
        take_last_line(lc);
    if (!client_is_open(c))
        return;
    lc->end_by = c->front->env->now + front_limits(c->front)->drain_timeout;
    check_end(lc);
    if (client_is_open(c))
        on_timer(lc);
}

static void on_drain(void *impl)
{
    struct line_client *lc = impl;
    struct client *c = lc->c;
    if (!lc->paused || client_heap_pending(c) > output_high(lc))
        return;
    lc->paused = false;
    stream_resume(c->stream);
    on_input(lc);
    if (client_is_open(c) && c->eof)
        take_last_line(lc);
    check_end(lc);
}

static void on_stop(void *impl)
{
    (void)impl; /* calls in flight are answered; front_finish closes */
}

static bool on_leave(void *impl, struct buf *rest)
{
    const struct line_client *lc = impl;
    if (lc->hunt || lc->skipping)
        return false;
    buf_append_slice(rest, buf_peek(&lc->big));
    return true;
}

static void on_close(void *impl)
{
    struct line_client *lc = impl;
    struct front *f = lc->c->front;
    lc->c = NULL;
    f->counts.line_connections--;
    env_task_clear(f->env, &lc->check_end);
    duplex_done(&lc->duplex);
    buf_done(&lc->big);
    free(lc->hunt);
    lc->hunt = NULL;
}

static void on_session_end(struct duplex *d)
{
    struct line_client *lc = container_of(d, struct line_client, duplex);
    if (!lc->c || !route_is_gone(d->route))
        return;
    lc->leave = true;
    env_defer(lc->c->front->env, &lc->check_end);
}

/* Without a session it waits for nothing that could end. */
static void on_follow(void *impl)
{
    struct line_client *lc = impl;
    line_reader_limit(&lc->reader, LINE_WHOLE, front_limits(lc->c->front)->max_request_bytes);
    if (lc->duplex.session || !route_is_gone(lc->duplex.route))
        return;
    lc->leave = true;
    env_defer(lc->c->front->env, &lc->check_end);
}

static void line_client_free(void *impl)
{
    struct line_client *lc = impl;
    channel_unref(&lc->ch);
}

static const struct client_ops line_ops = {
    .on_input = on_input,
    .on_eof = on_eof,
    .on_drain = on_drain,
    .on_timer = on_timer,
    .on_stop = on_stop,
    .on_follow = on_follow,
    .on_leave = on_leave,
    .on_close = on_close,
    .free = line_client_free,
};

static struct client *carrier(struct duplex *d)
{
    return container_of(d, struct line_client, duplex)->c;
}

static void commit(struct duplex *d)
{
    const struct client *c = carrier(d);
    ledger_commit(c->record, d->source_end);
}

void line_conn_start(struct client *c)
{
    struct line_client *lc = xcalloc(1, sizeof(*lc));
    lc->ch = (struct channel){.ops = &channel_ops, .refs = 1};
    lc->c = c;
    duplex_init(&lc->duplex, c->front, SESSION_LINE, c->listener->route, c->peer->principal,
                &lc->ch);
    lc->duplex.on_session_end = on_session_end;
    lc->duplex.client = carrier;
    lc->duplex.commit = commit;
    lc->duplex.source = c;
    line_reader_init(&lc->reader, LINE_WHOLE, front_limits(c->front)->max_request_bytes);
    task_init(&lc->check_end, check_end, lc);
    c->ops = &line_ops;
    c->impl = lc;
    c->front->counts.http_connections--;
    c->front->counts.line_connections++;
    if (c->record)
        TRACE_SET(c->record->speech, LEDGER_LINE);
}

void line_conn_go_on(struct client *c, const struct ledger_verdict *v)
{
    line_conn_start(c);
    struct line_client *lc = c->impl;
    int r = duplex_revive(&lc->duplex);
    if (r < 0) {
        log_info(LOG_CTX(.message_id = LOG_ID_HANDED_OVER),
                 "a line connection of the process before is closed: its session cannot be "
                 "revived: %s",
                 strerror(-r));
        client_close(c);
        return;
    }
    lc->skipping = lc->reader.in_line = v->lost;
    duplex_answer_lost(&lc->duplex, v);
}
