/* The life of a session: what it says, and what it makes of the answers. Anything that a server may
 * not do ends the program: an answer nobody waits for, or to another length than was asked for, is
 * no result of a measurement.
 *
 * Nothing is allocated per call: requests are three constant pieces around the id, written to a
 * buffer that keeps its memory; answers go through `struct answer`. */
#include "bench/load/session.h"

#include "base/util.h"
#include "bench/load/connect.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#define READ_BYTES    ((size_t)256 << 10)
#define INITIALIZE_ID 1
#define VERSION       "2025-11-25"

struct session_totals session_totals;

static const struct plan *plan;
static const struct session_events *events;
static int poller;
static char input[READ_BYTES];
/* A call is piece[0] ID piece[1] [ID piece[2]], the latter for the progress token. */
static struct buf piece[3];
static size_t pieces_len;

static const char initialize[] =
    "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"initialize\",\"params\":{\"protocolVersion\":"
    "\"" VERSION "\",\"capabilities\":{},\"clientInfo\":{\"name\":\"load\",\"version\":\"1\"}}}";
static const char initialized[] = "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}";

void session_setup(const struct plan *the_plan, const struct session_events *the_events, int fd)
{
    struct buf *last = &piece[the_plan->progress > 0 ? 2 : 1];

    plan = the_plan;
    events = the_events;
    poller = fd;
    buf_append_str(&piece[0], "{\"jsonrpc\":\"2.0\",\"id\":");
    buf_append_str(&piece[1], ",\"method\":\"tools/call\",\"params\":{");
    if (plan->progress > 0)
        buf_append_str(&piece[1], "\"_meta\":{\"progressToken\":");
    buf_append_str(last, plan->progress > 0 ? "},\"name\":" : "\"name\":");
    buf_append_json_string(last, slice_str(plan->tool));
    buf_append_str(last, ",\"arguments\":{\"text\":\"");
    memset(buf_reserve(last, plan->args_bytes), 'a', plan->args_bytes);
    buf_added(last, plan->args_bytes);
    buf_appendf(last, "\",\"bytes\":%" PRIu64, plan->result_bytes);
    if (plan->progress > 0)
        buf_appendf(last, ",\"progress\":%" PRIu64, plan->progress);
    buf_append_str(last, "}}}");
    for (unsigned i = 0; i < ARRAY_LEN(piece); i++)
        pieces_len += buf_len(&piece[i]);
}

void session_init(struct session *s)
{
    *s = (struct session){.in = -1, .out = -1, .next = 1};
    s->slots = xcalloc(plan->window, sizeof(*s->slots));
    s->free_slots = xcalloc(plan->window, sizeof(*s->free_slots));
    for (unsigned i = 0; i < plan->window; i++)
        s->free_slots[i] = i;
}

/* ---- what is sent ---- */

/* What every request of this session over HTTP begins with, up to the path's method. */
static void append_fields(const struct session *s, struct buf *to)
{
    buf_appendf(to,
                " %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\n"
                "Accept: application/json, text/event-stream\r\n",
                plan->path, plan->host);
    if (plan->token)
        buf_appendf(to, "Authorization: Bearer %s\r\n", plan->token);
    if (s->http.session_n > 0)
        buf_appendf(to, "Mcp-Session-Id: %.*s\r\n", (int)s->http.session_n, s->http.session_id);
    if (s->version[0])
        buf_appendf(to, "Mcp-Protocol-Version: %s\r\n", s->version);
}

static void make_head(struct session *s)
{
    buf_reset(&s->head);
    buf_append_str(&s->head, "POST");
    append_fields(s, &s->head);
    buf_append_str(&s->head, "Content-Length: ");
}

static void begin_message(struct session *s, size_t len)
{
    if (plan->via != VIA_HTTP)
        return;
    buf_append_slice(&s->output, buf_peek(&s->head));
    buf_append_u64(&s->output, len);
    buf_append(&s->output, "\r\n\r\n", 4);
}

static void end_message(struct session *s)
{
    if (plan->via != VIA_HTTP)
        buf_append(&s->output, "\n", 1);
}

static void say(struct session *s, const char *text)
{
    begin_message(s, strlen(text));
    buf_append_str(&s->output, text);
    end_message(s);
}

void session_call(struct session *s, uint64_t since)
{
    unsigned place = s->free_slots[plan->window - ++s->in_flight];
    struct slot *slot = &s->slots[place];
    char room[U64_DIGITS];
    struct slice id;

    /* The first id is above that of initialize whatever the window. */
    *slot = (struct slot){.id = ++s->next * plan->window + place, .since = since};
    id = u64_text(slot->id, room);
    begin_message(s, pieces_len + id.n * (plan->progress > 0 ? 2 : 1));
    buf_append_slice(&s->output, buf_peek(&piece[0]));
    buf_append_slice(&s->output, id);
    buf_append_slice(&s->output, buf_peek(&piece[1]));
    if (plan->progress > 0) {
        buf_append_slice(&s->output, id);
        buf_append_slice(&s->output, buf_peek(&piece[2]));
    }
    end_message(s);
}

static void want_write(struct session *s, bool on)
{
    uint32_t read_too = s->in == s->out ? EPOLLIN : 0;
    struct epoll_event ev = {.events = on ? EPOLLOUT | read_too : read_too, .data.ptr = s};

    if (s->want_write == on)
        return;
    s->want_write = on;
    if (epoll_ctl(poller, EPOLL_CTL_MOD, s->out, &ev) < 0)
        die("epoll_ctl: %m");
}

void session_flush(struct session *s)
{
    while (buf_len(&s->output) > 0) {
        struct slice rest = buf_peek(&s->output);
        ssize_t n = write(s->out, rest.p, rest.n);

        if (n < 0 && errno == EAGAIN)
            break;
        if (n < 0 && (errno == EPIPE || errno == ECONNRESET)) {
            buf_reset(&s->output); /* nobody is there; reading will tell at which point */
            break;
        }
        if (n < 0 && errno != EINTR)
            die("%s: writing: %m", plan->target);
        if (n > 0) {
            session_totals.bytes_out += (uint64_t)n;
            buf_consume(&s->output, (size_t)n);
        }
    }
    want_write(s, buf_len(&s->output) > 0);
}

/* ---- opening and closing ---- */

static void attach(struct session *s)
{
    struct epoll_event ev = {.events = EPOLLIN, .data.ptr = s};

    connect_open(plan, &s->in, &s->out, &s->pid);
    if (epoll_ctl(poller, EPOLL_CTL_ADD, s->in, &ev) < 0)
        die("epoll_ctl: %m");
    ev.events = 0;
    if (s->out != s->in && epoll_ctl(poller, EPOLL_CTL_ADD, s->out, &ev) < 0)
        die("epoll_ctl: %m");
    s->want_write = false;
    http_reader_reset(&s->http);
}

static void detach(struct session *s)
{
    if (s->out >= 0 && s->out != s->in)
        close(s->out);
    if (s->in >= 0)
        close(s->in);
    s->in = s->out = -1;
    s->want_write = false;
    s->connection++;
}

static void set_open(struct session *s)
{
    s->state = SESSION_OPEN;
    events->opened(s);
}

void session_start(struct session *s)
{
    s->http.session_n = 0;
    s->version[0] = '\0';
    s->http.wants_session = !plan->plain;
    attach(s);
    if (plan->via == VIA_HTTP)
        make_head(s);
    if (plan->plain) {
        set_open(s);
        return;
    }
    s->state = SESSION_INITIALIZING;
    say(s, initialize);
    session_flush(s);
}

static void set_closed(struct session *s)
{
    detach(s);
    connect_reap(s->pid);
    s->pid = 0;
    s->state = SESSION_CLOSED;
    events->closed(s);
}

void session_stop(struct session *s)
{
    if (plan->via == VIA_HTTP && s->http.session_n > 0) {
        s->state = SESSION_ENDING;
        buf_append_str(&s->output, "DELETE");
        append_fields(s, &s->output);
        buf_append_str(&s->output, "\r\n");
        session_flush(s);
    } else if (plan->via == VIA_STDIO) {
        s->state = SESSION_ENDING; /* the end of its output follows */
        close(s->out);
        s->out = -1;
    } else {
        set_closed(s);
    }
}

/* ---- what comes ---- */

static void die_of(const struct session *s, const char *what)
{
    struct slice text = answer_text(&s->answer);

    if (plan->via == VIA_HTTP)
        die("%s: %s (HTTP status %u): %.*s", plan->target, what, s->http.status,
            (int)(text.n < 300 ? text.n : 300), text.p);
    die("%s: %s: %.*s", plan->target, what, (int)(text.n < 300 ? text.n : 300), text.p);
}

static struct slot *slot_of(struct session *s, uint64_t id)
{
    struct slot *slot = &s->slots[id % plan->window];

    return id > 0 && slot->id == id ? slot : NULL;
}

/* The slot can be used again. */
static void release(struct session *s, unsigned place)
{
    s->free_slots[plan->window - s->in_flight--] = place;
    events->freed(s);
}

static void on_error(struct session *s)
{
    struct slice text = answer_text(&s->answer);

    if (!session_totals.first_error[0])
        snprintf(session_totals.first_error, sizeof(session_totals.first_error), "%.*s",
                 (int)(text.n < 200 ? text.n : 200), text.p);
}

/* The answer to a call, checked. */
static void on_answer(struct session *s, const struct answer_view *v)
{
    /* Over HTTP an error without id answers the POST that it came on. */
    bool anonymous = v->kind == ANSWER_ERROR && v->id == 0 && plan->via == VIA_HTTP;
    struct slot *slot = slot_of(s, anonymous ? s->slots[0].id : v->id);
    uint64_t since;

    if (!slot)
        die_of(s, "an answer to an id that is not waiting for one");
    if (v->kind == ANSWER_ERROR) {
        on_error(s);
    } else {
        if (v->text_bytes != plan->result_bytes)
            die_of(s, "an answer with a text of another length than was asked for");
        if (slot->progress != plan->progress)
            die_of(s, "an answer after another number of progress notifications than asked for");
    }
    since = slot->since;
    slot->id = 0;
    events->answered(s, since, v->kind == ANSWER_ERROR);
    if (plan->via != VIA_HTTP) /* there the response has to end first */
        release(s, (unsigned)(slot - s->slots));
}

static void on_initialize_answer(struct session *s, const struct answer_view *v)
{
    if (v->kind != ANSWER_RESULT || v->id != INITIALIZE_ID)
        die_of(s, "initialize failed");
    snprintf(s->version, sizeof(s->version), "%.*s", (int)v->version.n, v->version.p);
    if (plan->via == VIA_HTTP) {
        make_head(s);
        return; /* until the response ends */
    }
    say(s, initialized);
    set_open(s);
}

static void on_message(struct session *s)
{
    struct answer_view v;
    struct slot *slot;

    answer_read(&s->answer, &v);
    switch (v.kind) {
    case ANSWER_BAD:
        die_of(s, "not an answer that JSON-RPC knows");
    case ANSWER_OTHER:
        break;
    case ANSWER_PROGRESS:
        slot = slot_of(s, v.id);
        if (!slot)
            die_of(s, "progress of a call that is not in flight");
        slot->progress++;
        break;
    case ANSWER_RESULT:
    case ANSWER_ERROR:
        if (s->state == SESSION_INITIALIZING)
            on_initialize_answer(s, &v);
        else if (s->state == SESSION_OPEN)
            on_answer(s, &v);
        else
            die_of(s, "an answer to nothing");
        break;
    }
    answer_reset(&s->answer);
}

static void reconnect(struct session *s)
{
    session_totals.reconnects++;
    detach(s);
    attach(s);
}

static void on_call_response(struct session *s)
{
    if (s->in_flight == 0)
        die("%s: a response to nothing", plan->target);
    if (s->slots[0].id != 0)
        die_of(s, "a response without the answer");
    if (!s->http.keep_alive)
        reconnect(s);
    release(s, 0);
}

/* HTTP: a response is complete, and the messages in it were told. */
static void on_response(struct session *s)
{
    switch (s->state) {
    case SESSION_INITIALIZING:
        if (!s->version[0])
            die_of(s, "initialize was not answered");
        if (!s->http.keep_alive)
            reconnect(s);
        s->state = SESSION_ANNOUNCING;
        say(s, initialized);
        session_flush(s);
        break;
    case SESSION_ANNOUNCING:
        if (s->http.status != 202 && s->http.status != 200 && s->http.status != 204)
            die_of(s, "notifications/initialized was refused");
        if (!s->http.keep_alive)
            reconnect(s);
        set_open(s);
        break;
    case SESSION_OPEN:
        on_call_response(s);
        break;
    case SESSION_ENDING: /* any status: not every server lets clients end sessions */
        set_closed(s);
        break;
    case SESSION_CLOSED:
        break;
    }
}

static void take_lines(struct session *s, struct slice in)
{
    while (in.n > 0 && s->in >= 0) {
        const char *end = memchr(in.p, '\n', in.n);
        size_t n = end ? (size_t)(end - in.p) : in.n;

        answer_feed(&s->answer, slice_of(in.p, n));
        if (end && answer_is_empty(&s->answer))
            answer_reset(&s->answer);
        else if (end)
            on_message(s);
        n += end ? 1 : 0;
        in = slice_of(in.p + n, in.n - n);
    }
}

static void take_http(struct session *s, struct slice in)
{
    unsigned connection = s->connection;
    enum http_step step;

    /* What stands behind the last response of a connection that was given up is nobody's. */
    while (s->connection == connection &&
           (step = http_read(&s->http, &in, &s->answer)) != HTTP_MORE) {
        if (step == HTTP_BAD)
            die("%s: this is no HTTP", plan->target);
        if (step == HTTP_MESSAGE)
            on_message(s);
        else
            on_response(s);
    }
}

static void on_end(struct session *s)
{
    enum http_step step = HTTP_BAD;

    if (s->state == SESSION_ENDING) {
        set_closed(s);
        return;
    }
    if (plan->via == VIA_HTTP) {
        step = http_read_end(&s->http, &s->answer);
        if (step == HTTP_MESSAGE)
            on_message(s);
        if (step == HTTP_MESSAGE || step == HTTP_END) {
            on_response(s);
            return;
        }
    }
    if (step == HTTP_MORE && s->state == SESSION_OPEN && s->in_flight == 0)
        reconnect(s);
    else
        die("%s: the connection ended%s", plan->target,
            s->state == SESSION_OPEN ? "" : " while the session was being opened");
}

void session_on_event(struct session *s, uint32_t what)
{
    ssize_t n;

    if (s->in < 0)
        return;
    if (s->want_write && (what & EPOLLOUT))
        session_flush(s);
    if (!(what & ~(uint32_t)EPOLLOUT))
        return;
    n = read(s->in, input, READ_BYTES);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n < 0 && errno != ECONNRESET)
        die("%s: reading: %m", plan->target);
    events->arrived();
    if (n <= 0) {
        on_end(s);
        return;
    }
    session_totals.bytes_in += (uint64_t)n;
    if (plan->via == VIA_HTTP)
        take_http(s, slice_of(input, (size_t)n));
    else
        take_lines(s, slice_of(input, (size_t)n));
}
