/* Both sides of the door, message by message.
 *
 * What the client says is checked here, so that only messages reach the daemon; until it says
 * `initialize` nobody is called for it, so clients that start every command they know just to look
 * cost nothing.
 *
 * When a connection is lost, what the daemon did not get whole goes to the next. What it did get
 * may have been carried out: reads, and what only concerns the session, are sent once more; the
 * rest is answered with "maybe". A daemon that says it is shutting down and did not do what it was
 * asked is taken at its word: the request waits for the next one. */
#include "ctl/door_priv.h"

#include "base/util.h"
#include "policy/replay.h"

#include <stdlib.h>

/* URIs and levels beyond this are not remembered. */
#define SUBJECT_MAX ((size_t)64 * 1024)

struct door *door_new(const struct door_limits *limits, const char *server)
{
    struct door *d = xcalloc(1, sizeof(*d));
    d->limits = *limits;
    d->server = server ? xstrdup(server) : NULL;
    TAILQ_INIT(&d->queue);
    TAILQ_INIT(&d->sent);
    return d;
}

void door_free(struct door *d)
{
    struct letter *l;
    if (!d)
        return;
    while ((l = TAILQ_FIRST(&d->queue)))
        letter_drop_queued(d, l);
    while ((l = TAILQ_FIRST(&d->sent)))
        letter_drop_sent(d, l);
    door_ask_forget_all(d);
    door_session_done(d);
    buf_done(&d->to_client);
    buf_done(&d->why);
    free(d->server);
    free(d);
}

/* ---- what the client hears ---- */

void door_say(struct door *d, struct slice text)
{
    buf_append_slice(&d->to_client, text);
    buf_append(&d->to_client, "\n", 1);
}

void door_note(struct door *d, const char *method, struct slice params)
{
    rpc_write_notification(&d->to_client, method, params);
    buf_append(&d->to_client, "\n", 1);
}

static void put_error(struct door *d, struct slice id, int code, struct slice message,
                      struct slice data)
{
    rpc_write_error(&d->to_client, id, code, message, data);
    buf_append(&d->to_client, "\n", 1);
}

void door_error(struct door *d, struct slice id, int code, const char *message)
{
    put_error(d, id, code, slice_str(message), slice_of(NULL, 0));
}

void door_fail(struct door *d, const struct letter *l, enum reason reason, const char *delivered,
               const char *message, usec_t now)
{
    bool again = slice_is(SLICE("no"), delivered);
    struct buf data = BUF_INIT, text = BUF_INIT;
    buf_append_str(&data, "{");
    if (d->server) {
        buf_append_str(&data, "\"server\":");
        buf_append_json_string(&data, slice_str(d->server));
        buf_append_str(&data, ",");
    }
    buf_appendf(&data, "\"reason\":\"%s\",\"delivered\":\"%s\",\"retryable\":%s",
                reason_name(reason), delivered, again ? "true" : "false");
    if (again && d->retry_at > now) {
        unsigned long long left = (d->retry_at - now) / USEC_PER_MSEC;
        buf_appendf(&data, ",\"retryAfterMs\":%llu", left + 1);
    }
    buf_append_str(&data, "}");
    buf_append_str(&text, message);
    if (buf_len(&d->why)) {
        buf_append_str(&text, ": ");
        buf_append_slice(&text, buf_peek(&d->why));
    }
    put_error(d, slice_str(l->id), MCP_E_INTERNAL, buf_peek(&text), buf_peek(&data));
    buf_done(&data);
    buf_done(&text);
}

/* ---- what the client says ---- */

static bool is_about_subject(enum mcp_method m)
{
    return m == MCP_LOGGING_SET_LEVEL || m == MCP_RESOURCES_SUBSCRIBE ||
           m == MCP_RESOURCES_UNSUBSCRIBE;
}

/* It waits from now on unless it can be written. */
static void post(struct door *d, struct letter *l, usec_t now)
{
    if (d->state != DOOR_OPEN || d->leaving)
        l->fail_at = now + d->limits.wait;
    letter_post(d, l);
}

static void on_client_request(struct door *d, struct slice text, const struct rpc_msg *m,
                              usec_t now)
{
    struct slice id = rpc_span(text, m->id);
    if (!d->greeted && m->method == MCP_PING && m->claim.n == 0) {
        rpc_write_result(&d->to_client, id, SLICE("{}"));
        buf_append(&d->to_client, "\n", 1);
        return;
    }
    if (!d->greeted && m->method == MCP_SERVER_DISCOVER) {
        door_error(d, id, MCP_E_METHOD_NOT_FOUND, "Method not found"); /* as mcpoold answers it */
        return;
    }
    if (!d->greeted && m->method != MCP_INITIALIZE) {
        door_error(d, id, MCP_E_INVALID_REQUEST, "Invalid Request: not initialized");
        return;
    }
    struct letter *l = letter_new(LETTER_CLIENT, text, id);
    struct slice subject = rpc_span(text, m->uri.n ? m->uri : m->level);
    l->method = m->method;
    l->token = m->progress_token;
    if (is_about_subject(m->method) && subject.n && subject.n <= SUBJECT_MAX)
        l->subject = xstrndup(subject.p, subject.n);
    if (m->method == MCP_INITIALIZE && !d->greeted) {
        d->greeting = blob_ref(l->text);
        d->greeted = true;
    }
    post(d, l, now);
}

static void on_client_cancelled(struct door *d, struct slice text, const struct rpc_msg *m,
                                usec_t now)
{
    if (m->request_id.n == 0)
        return;
    struct slice id = rpc_span(text, m->request_id);
    struct letter *queued = letter_find(&d->queue, id), *sent = letter_find(&d->sent, id);
    struct letter *l = queued ? queued : sent;
    if (!l || l->kind != LETTER_CLIENT || l->method == MCP_INITIALIZE)
        return;
    if (queued && !letter_is_begun(d, l)) {
        letter_drop_queued(d, l); /* this daemon never hears of it */
        return;
    }
    if (queued)
        l->cancelled = true; /* is counted and kept until it is written */
    else
        letter_drop_sent(d, l);
    post(d, letter_new(LETTER_CLIENT, text, slice_of(NULL, 0)), now);
}

static void on_client_note(struct door *d, struct slice text, const struct rpc_msg *m, usec_t now)
{
    if (!d->greeted)
        return;
    if (m->method == MCP_N_CANCELLED) {
        on_client_cancelled(d, text, m, now);
    } else if (m->method == MCP_N_PROGRESS) {
        door_ask_on_progress(d, text, m);
    } else {
        struct letter *l = letter_new(LETTER_CLIENT, text, slice_of(NULL, 0));
        l->method = m->method;
        d->initialized = d->initialized || m->method == MCP_N_INITIALIZED;
        post(d, l, now);
    }
}

static void on_client_message(struct door *d, struct slice text, const struct rpc_msg *m,
                              usec_t now)
{
    switch (m->kind) {
    case RPC_REQUEST:
        on_client_request(d, text, m, now);
        return;
    case RPC_NOTIFICATION:
        on_client_note(d, text, m, now);
        return;
    case RPC_RESULT:
    case RPC_ERROR:
        door_ask_on_answer(d, text, m);
        return;
    case RPC_BATCH:
    case RPC_INVALID:
        return;
    }
}

/* What is no message is answered here, with the words of the daemon. */
static void on_client_fault(struct door *d, struct slice text, const struct rpc_msg *m,
                            enum rpc_error e)
{
    bool has_id = e != RPC_OK && e != RPC_E_PARSE && m->kind == RPC_REQUEST;
    struct slice id = has_id ? rpc_span(text, m->id) : slice_of(NULL, 0);
    if (e == RPC_E_PARSE)
        door_error(d, id, MCP_E_PARSE, "Parse error");
    else if (e == RPC_OK || m->kind != RPC_NOTIFICATION)
        door_error(d, id, MCP_E_INVALID_REQUEST, "Invalid Request");
}

/* Only one revision knows batches, and the daemon answers the elements one by one: so they can go
 * to it as messages of their own. */
static void on_client_batch(struct door *d, struct slice text, usec_t now)
{
    struct slice element;
    struct rpc_msg m;
    unsigned n = 0;
    for (size_t pos = 0; rpc_batch_next(text, &pos, &element);)
        n++;
    if (!d->initialize || d->version != MCP_2025_03_26 || n == 0 || n > d->limits.max_batch) {
        door_error(d, slice_of(NULL, 0), MCP_E_INVALID_REQUEST,
                   "Invalid Request: batches are not supported, or not of this size");
        return;
    }
    for (size_t pos = 0; rpc_batch_next(text, &pos, &element);) {
        enum rpc_error e = rpc_parse(element, d->limits.depth_max, &m, NULL);
        if (e == RPC_OK && m.kind != RPC_BATCH)
            on_client_message(d, element, &m, now);
        else
            on_client_fault(d, element, &m, e);
    }
}

void door_on_client(struct door *d, struct slice line, usec_t now)
{
    struct rpc_msg m;
    enum rpc_error e = rpc_parse(line, d->limits.depth_max, &m, NULL);
    if (e != RPC_OK)
        on_client_fault(d, line, &m, e);
    else if (m.kind == RPC_BATCH)
        on_client_batch(d, line, now);
    else
        on_client_message(d, line, &m, now);
}

void door_on_client_oversize(struct door *d, struct slice id)
{
    put_error(d, id, MCP_E_INVALID_REQUEST, SLICE("Message too large"),
              SLICE("{\"reason\":\"too_large\",\"delivered\":\"no\",\"retryable\":false}"));
}

void door_on_client_end(struct door *d)
{
    d->ended = true;
}

struct buf *door_to_client(struct door *d)
{
    return &d->to_client;
}

bool door_reads_client(const struct door *d)
{
    return !d->ended && d->queued_bytes < DOOR_HIGH && buf_len(&d->to_client) < DOOR_HIGH;
}

bool door_is_finished(const struct door *d)
{
    return d->ended && d->awaited == 0 && (d->state == DOOR_DOWN || TAILQ_EMPTY(&d->queue));
}

/* ---- what the daemon says ---- */

/* The request was not carried out and will be by the next daemon. */
static bool is_put_off(const struct letter *l, struct slice text, const struct rpc_msg *m)
{
    struct slice data = rpc_span(text, m->error_data);
    return m->kind == RPC_ERROR && l->text && l->moves < REPLAY_MOVES_MAX &&
           json_type_of(data) == JSON_OBJECT &&
           json_string_is(json_get(data, "reason"), reason_name(REASON_SHUTTING_DOWN)) &&
           json_string_is(json_get(data, "delivered"), "no");
}

static void on_server_answer(struct door *d, struct slice text, const struct rpc_msg *m, usec_t now)
{
    if (m->id.n == 0) {
        if (m->kind == RPC_ERROR)
            door_say(d, text);
        return;
    }
    struct letter *l = letter_find(&d->sent, rpc_span(text, m->id));
    if (!l)
        return; /* cancelled, or never asked */
    if (l->kind != LETTER_CLIENT) {
        door_session_on_replayed(d, l, text, m);
    } else if (is_put_off(l, text, m)) {
        l->moves++;
        d->leaving = true;
        letter_again(d, l, false);
        letters_wait(d, now);
        return;
    } else {
        door_say(d, text);
        if (m->kind == RPC_RESULT)
            door_session_on_result(d, l, text, m);
        else if (l->method == MCP_INITIALIZE)
            door_session_on_refusal(d);
    }
    letter_drop_sent(d, l);
}

static void on_server_progress(struct door *d, struct slice text, const struct rpc_msg *m)
{
    struct letter *l;
    TAILQ_FOREACH (l, &d->sent, link) {
        if (l->text && l->token.n &&
            json_id_eq(rpc_span(blob_slice(l->text), l->token), rpc_span(text, m->progress_token)))
            l->progressed = true;
    }
    door_say(d, text);
}

void door_on_server(struct door *d, struct slice line, usec_t now)
{
    struct rpc_msg m;
    if (rpc_parse(line, d->limits.depth_max, &m, NULL) != RPC_OK)
        return; /* what is no message is no answer to anything either */
    switch (m.kind) {
    case RPC_RESULT:
    case RPC_ERROR:
        d->answered = true;
        on_server_answer(d, line, &m, now);
        return;
    case RPC_REQUEST:
        door_ask_on_request(d, line, &m);
        return;
    case RPC_NOTIFICATION:
        if (m.method == MCP_N_CANCELLED)
            door_ask_on_cancelled(d, line, &m);
        else if (m.method == MCP_N_PROGRESS && m.progress_token.n)
            on_server_progress(d, line, &m);
        else
            door_say(d, line);
        return;
    case RPC_BATCH:
    case RPC_INVALID:
        return;
    }
}

void door_on_server_oversize(struct door *d, struct slice id)
{
    struct letter *l = id.n ? letter_find(&d->sent, id) : NULL;
    if (!l)
        return;
    if (l->kind == LETTER_CLIENT)
        put_error(d, id, MCP_E_INTERNAL, slice_str(reason_sentence(REASON_RESPONSE_TOO_LARGE)),
                  SLICE("{\"reason\":\"response_too_large\",\"delivered\":\"maybe\","
                        "\"retryable\":false}"));
    letter_drop_sent(d, l);
}

bool door_reads_server(const struct door *d)
{
    return buf_len(&d->to_client) < DOOR_HIGH;
}

/* ---- connections ---- */

bool door_wants_connection(const struct door *d)
{
    if (d->ended)
        return d->awaited > 0;
    return d->initialize || !TAILQ_EMPTY(&d->queue);
}

void door_on_connected(struct door *d)
{
    d->state = DOOR_OPEN;
    d->answered = d->leaving = d->refused = false;
    if (d->initialize)
        door_session_replay(d);
}

/* Whether to send it again though it may have been carried out: it only tells, or it only concerns
 * the session, which is made anew anyway. */
static bool is_safe(const struct letter *l)
{
    struct replay_request r = {.handed_over = true,
                               .progressed = l->progressed,
                               .replays = l->replays,
                               .kept = l->text != NULL};
    /* Its session died with the connection; it may take as many as it takes. */
    if (l->method == MCP_INITIALIZE)
        return true;
    r.side_effect_free = mcp_method_is_read(l->method) || l->method == MCP_PING ||
                         l->method == MCP_LOGGING_SET_LEVEL ||
                         l->method == MCP_RESOURCES_SUBSCRIBE ||
                         l->method == MCP_RESOURCES_UNSUBSCRIBE;
    return replay_is_safe(&r, REPLAY_READS);
}

/* What was queued, without what only the lost connection needed. */
static void sort_queue(struct door *d)
{
    struct letter *l, *next;
    for (l = TAILQ_FIRST(&d->queue); l; l = next) {
        next = TAILQ_NEXT(l, link);
        bool said_again = l->kind == LETTER_CLIENT && l->method == MCP_N_INITIALIZED;
        if (l->kind != LETTER_CLIENT || l->cancelled || (said_again && d->initialize))
            letter_drop_queued(d, l);
    }
}

static void sort_sent(struct door *d, usec_t now)
{
    struct letter *l, *before;
    for (l = TAILQ_LAST(&d->sent, letters); l; l = before) {
        before = TAILQ_PREV(l, letters, link);
        if (l->kind == LETTER_CLIENT && is_safe(l)) {
            l->replays++;
            letter_again(d, l, true);
            continue;
        }
        if (l->kind == LETTER_CLIENT)
            door_fail(d, l, REASON_UPSTREAM_LOST, "maybe",
                      "The connection to mcpool was lost while the request was in progress; it may "
                      "or may not have been carried out",
                      now);
        letter_drop_sent(d, l);
    }
}

void door_on_lost(struct door *d, const char *why, usec_t now, usec_t retry_at)
{
    struct letter *head = TAILQ_FIRST(&d->queue);
    /* A daemon takes the end of its input for the end of the line. */
    if (head && d->head_written + 1 >= head->text->n)
        door_written(d, 1);
    d->head_written = 0;
    if (!d->refused) {
        buf_reset(&d->why);
        buf_append_str(&d->why, why);
    }
    d->retry_at = retry_at;
    d->state = DOOR_DOWN;
    d->leaving = d->refused = d->answered = false;
    sort_queue(d);
    sort_sent(d, now);
    door_ask_forget_all(d);
    letters_wait(d, now);
}

bool door_wants_close(struct door *d)
{
    const struct letter *l;
    if (d->refused)
        return true;
    if (!d->leaving || !LIST_EMPTY(&d->asks) || door_to_server(d).n > 0)
        return false;
    TAILQ_FOREACH (l, &d->sent, link)
        if (l->kind == LETTER_CLIENT)
            return false;
    return true;
}

bool door_is_drained(const struct door *d)
{
    return d->ended && d->state == DOOR_OPEN && TAILQ_EMPTY(&d->queue);
}

bool door_has_answer(const struct door *d)
{
    return d->answered && d->state == DOOR_OPEN;
}

/* ---- time ---- */

static bool is_waiting(const struct door *d)
{
    return d->state != DOOR_OPEN || d->leaving;
}

usec_t door_next_due(const struct door *d)
{
    const struct letter *l;
    usec_t due = USEC_NEVER;
    if (is_waiting(d))
        TAILQ_FOREACH (l, &d->queue, link)
            if (l->fail_at && l->fail_at < due && !letter_is_begun(d, l))
                due = l->fail_at;
    return due;
}

void door_on_time(struct door *d, usec_t now)
{
    struct letter *l, *next;
    if (!is_waiting(d))
        return;
    for (l = TAILQ_FIRST(&d->queue); l; l = next) {
        next = TAILQ_NEXT(l, link);
        if (!l->fail_at || l->fail_at > now || letter_is_begun(d, l))
            continue;
        if (l->kind == LETTER_CLIENT && l->id)
            door_fail(d, l, REASON_UPSTREAM_UNAVAILABLE, l->replays ? "maybe" : "no",
                      "mcpool cannot be reached", now);
        if (l->method == MCP_INITIALIZE && l->kind == LETTER_CLIENT)
            door_session_on_refusal(d);
        letter_drop_queued(d, l);
    }
}
