/* One request of a client, from its submission to its only end.
 *
 *     call_new → call_submit → pool_submit ──► call_start → call_send ──► on_answer ──► call_finish
 *                                   └──► call_refuse ─────────────────────────────────────┘
 *     call_cancel, the deadline, the loss of the connection, the end of the session ───────┘
 *
 * References: the session's list holds one until call_finish; functions that call out while they
 * still use the call hold another. A call that was sent and then given up leaves a ghost in the
 * mux, because the server may still be working on it. */
#include "base/log.h"
#include "base/util.h"
#include "internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A request up to this size is kept until it is answered, so that it can go to another connection
 * when the server dies (replay.c); a bigger one fails then. */
#define KEEP_MAX ((size_t)64 * 1024)

/* Progress extends a call, but not beyond this age. */
#define CALL_AGE_MAX (3600 * USEC_PER_SEC)

struct session *call_session(const struct call *call)
{
    return call->session;
}

enum mcp_method call_method(const struct call *call)
{
    return call->method;
}

struct slice call_client_id(const struct call *call)
{
    return call->id;
}

enum call_outcome call_outcome(const struct call *call)
{
    return call->outcome;
}

enum reason call_reason(const struct call *call)
{
    return call->reason;
}

usec_t call_retry_after(const struct call *call)
{
    return call->retry_after;
}

struct call *call_ref(struct call *c)
{
    c->refs++;
    return c;
}

void call_unref(struct call *c)
{
    if (--c->refs == 0) {
        blob_unref(c->hold);
        free(c);
    }
}

static struct env *call_env(const struct call *c)
{
    return c->session->proxy->env;
}

static const char *server_name(const struct call *c)
{
    return session_server(c->session)->sc->name;
}

/* ---- the server's side ---- */

/* The spans that the client must get as it sent them, or must not get at all
 * (protocol.md 1.6, 3.4). */
static void edit_for_client(struct rpc_edits *e, const struct call *c, const struct payload *text,
                            const struct rpc_msg *m)
{
    rpc_edit_add(e, m->id, c->id);
    if (m->kind != RPC_RESULT || (!m->result_type.n && !m->ttl_ms.n && !m->cache_scope.n))
        return;
    rpc_edit_cut(e, text->text, m->result_type);
    rpc_edit_cut(e, text->text, m->ttl_ms);
    rpc_edit_cut(e, text->text, m->cache_scope);
}

static void pass_answer(struct call *c, const struct payload *text, const struct rpc_msg *m)
{
    struct rpc_edits e;
    rpc_edits_init(&e);
    edit_for_client(&e, c, text, m);
    c->server_error = m->kind == RPC_ERROR;
    call_finish(c, CALL_ANSWERED, text, &e);
}

/* The answer in the words of the client's revision; false when it may go as it is. */
static bool pass_reworded(struct call *c, const struct payload *text, const struct rpc_msg *m)
{
    struct buf b = BUF_INIT;
    struct rpc_msg reworded;
    bool passed = downgrade_answer(c->method, c->session->version, text->text, m, &b) &&
                  rpc_parse(buf_peek(&b), c->session->proxy->config->limits.json_depth, &reworded,
                            NULL) == RPC_OK;
    if (passed) {
        struct payload p = {.text = buf_peek(&b)};
        pass_answer(c, &p, &reworded);
    }
    buf_done(&b);
    return passed;
}

static void answer_from_server(struct call *c, const struct payload *text, const struct rpc_msg *m)
{
    if (m->id.n == 0) {
        /* An error without an id cannot be patched. */
        call_fail(c, MCP_E_INTERNAL, REASON_UPSTREAM_PROTOCOL, "maybe", 0,
                  "The server answered without an id");
        return;
    }
    if (c->session->version >= MCP_LATEST_LEGACY || !pass_reworded(c, text, m))
        pass_answer(c, text, m);
}

void call_on_answer(struct uplink *u, struct payload *text, const struct rpc_msg *m)
{
    struct call *c = container_of(u, struct call, up), *f;
    /* Only a client's request proves a connection: what mcpool itself asks after a start must not,
     * or a server that answers it and dies would be started in a hot loop. */
    u->conn->answered = true;
    if (m->kind == RPC_RESULT && c->method == MCP_RESOURCES_UNSUBSCRIBE) {
        call_answer(c, SLICE("{}"));
        return;
    }
    replay_budget_on_success(&session_server(c->session)->replay_budget);
    if (c->is_list && m->kind == RPC_RESULT)
        lists_on_answer(u->conn, c, rpc_span(text->text, m->result));
    call_ref(c);
    while ((f = coalesce_take(c)) != NULL)
        answer_from_server(f, text, m);
    answer_from_server(c, text, m);
    call_unref(c);
}

void call_on_discarded(struct uplink *u, enum reason why)
{
    struct call *c = container_of(u, struct call, up), *f;
    const char *text = why == REASON_RESPONSE_TOO_LARGE
                           ? "The server's answer is too large to pass on"
                           : "The server's answer is no valid JSON-RPC";
    call_ref(c);
    while ((f = coalesce_take(c)) != NULL)
        call_fail(f, MCP_E_INTERNAL, why, "maybe", 0, text);
    call_fail(c, MCP_E_INTERNAL, why, "maybe", 0, text);
    call_unref(c);
}

/* Nobody waits for the answer any more. */
static void tell_server_cancelled(struct call *c, struct slice reason)
{
    struct buf b = BUF_INIT, params = BUF_INIT;
    buf_append_str(&params, "{\"requestId\":");
    buf_append_u64(&params, c->up.id);
    if (reason.n) {
        buf_append_str(&params, ",\"reason\":");
        buf_append_slice(&params, reason);
    }
    buf_append_str(&params, "}");
    rpc_write_notification(&b, "notifications/cancelled", buf_peek(&params));
    struct payload text = {.text = buf_peek(&b)};
    conn_send(c->up.conn, &text, NULL);
    buf_done(&params);
    buf_done(&b);
}

/* Of two budgets: work, or what a server should be able to say at once. */
static bool is_work(const struct call *c)
{
    return mcp_method_is_interactive(c->method) || c->method == MCP_METHOD_OTHER;
}

static usec_t budget(const struct call *c)
{
    const struct config_resilience *r = &session_server(c->session)->sc->resilience;
    return is_work(c) ? r->call_timeout : r->operation_timeout;
}

static struct deadlines *deadlines_of(const struct call *c)
{
    struct endpoint *e = endpoint_of(c->session->route)->own;
    return is_work(c) ? &e->call_timeouts : &e->operation_timeouts;
}

/* The request at the server that c waits for; its id is 0 when there is none. */
static struct uplink *uplink_of(struct call *c)
{
    return c->leader ? &c->leader->up : c->sub ? sub_uplink(c->sub) : &c->up;
}

/* Tells the connection, once for each request at the server, however many calls wait for it, that
 * it was given all its time and not answered. May end the connection, and with it the call. */
static void report_given_up(struct call *c)
{
    struct uplink *u = uplink_of(c);
    if (u->id == 0 || u->given_up || call_env(c)->now - u->sent_at < budget(c))
        return;
    u->given_up = true;
    conn_note_given_up(u->conn, u->sent_at, u->breaker_epoch);
}

void call_on_deadline(struct deadline *d)
{
    struct call *c = container_of(d, struct call, deadline);
    char text[160];
    snprintf(text, sizeof(text),
             "Server \"%s\" gave no answer within %.0f s; the request may or may not "
             "have been carried out",
             server_name(c), (double)(call_env(c)->now - c->started_at) / (double)USEC_PER_SEC);
    call_ref(c);
    if (c->up.id && LIST_EMPTY(&c->followers))
        tell_server_cancelled(c, SLICE("\"timeout\""));
    report_given_up(c);
    if (c->outcome == CALL_PENDING)
        call_fail(c, MCP_E_INTERNAL, REASON_TIMEOUT, "maybe", 0, text);
    call_unref(c);
}

void call_extend(struct call *c)
{
    usec_t due_at = call_env(c)->now + budget(c), end = c->started_at + CALL_AGE_MAX;
    deadline_set(deadlines_of(c), &c->deadline, due_at < end ? due_at : end);
}

void call_arm_deadline(struct call *c)
{
    if (c->replays)
        return; /* it runs from the first time */
    c->started_at = call_env(c)->now;
    deadline_set(deadlines_of(c), &c->deadline, c->started_at + budget(c));
}

void call_disarm_deadline(struct call *c)
{
    deadline_clear(deadlines_of(c), &c->deadline);
    c->started_at = 0;
}

/* When the next notification may go: a second's worth in a burst, then at the rate. progress_until
 * is the point up to which what was passed on has used the rate up. */
static usec_t progress_room_at(const struct call *c)
{
    unsigned rate = session_server(c->session)->sc->limits.progress_per_second;
    usec_t burst = rate ? USEC_PER_SEC - USEC_PER_SEC / rate : 0;
    return c->progress_until > burst ? c->progress_until - burst : 0;
}

static void drop_late_progress(struct call *c)
{
    env_timer_clear(call_env(c), &c->progress_timer);
    c->late_progress = blob_unref(c->late_progress);
}

static void send_progress(struct call *c, const struct payload *text, const struct rpc_edits *edits)
{
    drop_late_progress(c);
    usec_t now = call_env(c)->now;
    unsigned rate = session_server(c->session)->sc->limits.progress_per_second;
    if (rate)
        c->progress_until =
            (c->progress_until > now ? c->progress_until : now) + USEC_PER_SEC / rate;
    c->channel->ops->send(c->channel, c, DELIVER_DROPPABLE, text, edits);
}

static void progress_due(void *arg)
{
    struct call *c = arg;
    struct blob *b = blob_ref(c->late_progress);
    struct payload text = {.text = blob_slice(b), .owner = b};
    send_progress(c, &text, NULL);
    blob_unref(b);
}

/* Keeps only the latest of what comes too fast. */
static void delay_progress(struct call *c, const struct payload *text,
                           const struct rpc_edits *edits, usec_t due_at)
{
    struct buf b = BUF_INIT;
    rpc_edit_append(&b, text->text, edits);
    drop_late_progress(c);
    c->late_progress = blob_new(b.data, buf_len(&b));
    env_timer_set(call_env(c), &c->progress_timer, due_at);
    buf_done(&b);
}

void call_on_progress(struct call *c, const struct payload *text, const struct rpc_msg *m)
{
    double value;
    usec_t now = call_env(c)->now;
    c->under_way = true;
    call_extend(c);
    if (c->token.n == 0 || !json_double(rpc_span(text->text, m->progress), &value) ||
        (c->progressed && value <= c->progress))
        return;
    c->progressed = true;
    c->progress = value;
    struct rpc_edits e = {0};
    rpc_edit_add(&e, m->progress_token, c->token);
    usec_t room_at = progress_room_at(c);
    if (room_at <= now)
        send_progress(c, text, &e);
    else
        delay_progress(c, text, &e, room_at);
}

/* ---- submission ---- */

/* The call, and in its tail its id, its token and room for a request that is nobody's. */
struct call *call_new(struct session *s, struct channel *ch, const struct payload *text,
                      const struct rpc_msg *m)
{
    struct slice id = rpc_span(text->text, m->id), token = rpc_span(text->text, m->progress_token);
    size_t room = text->owner || text->text.n > KEEP_MAX ? 0 : text->text.n;
    struct call *c = xmalloc_zeroed(sizeof(*c) + id.n + token.n + room, sizeof(*c));
    char *tail = (char *)(c + 1);
    memcpy(tail, id.p, id.n);
    if (token.n)
        memcpy(tail + id.n, token.p, token.n);
    c->refs = 1;
    c->session = s;
    c->channel = channel_ref(ch);
    c->method = m->method;
    c->text = *text;
    c->id_span = m->id;
    c->token_span = m->progress_token;
    c->uri_span = m->uri;
    c->params_span = m->params;
    coalesce_init(c, rpc_span(text->text, m->params), m);
    c->id = slice_of(tail, id.n);
    c->token = slice_of(tail + id.n, token.n);
    c->room = room ? tail + id.n + token.n : NULL;
    c->up.on_answer = call_on_answer;
    c->up.on_lost = call_on_lost;
    timer_init(&c->progress_timer, progress_due, c);
    session_enter_call(s, c);
    proxy_note_call(s);
    return c;
}

/* From now on text does not depend on who submitted it. */
static void keep_text(struct call *c)
{
    if (c->room) {
        memcpy(c->room, c->text.text.p, c->text.text.n);
        c->text.text.p = c->room;
    } else {
        c->hold = payload_hold(&c->text);
    }
    c->kept = true;
}

/* It is not needed any more. */
static void forget_text(struct call *c)
{
    c->hold = blob_unref(c->hold);
    c->kept = false;
}

void call_submit(struct call *c)
{
    ticket_init(&c->ticket, &c->session->affinity);
    c->ticket.interactive = mcp_method_is_interactive(c->method);
    c->ticket.opening = c->method == MCP_INITIALIZE;
    c->ticket.bytes = c->text.text.n;
    call_ref(c);
    pool_submit(&c->ticket);
    /* Only now, so that the bytes which have just gone out are copied off the way of the first
     * answer. */
    if (c->ticket.state == TICKET_WAITING ||
        (c->ticket.state == TICKET_RUNNING && c->text.text.n <= KEEP_MAX))
        keep_text(c);
    call_unref(c);
}

void call_send(struct call *c)
{
    struct mux *m = mux_of(c->ticket.conn);
    char room[U64_DIGITS];
    mux_add(m, &c->up);
    struct slice up_id = u64_text(c->up.id, room);
    struct rpc_edits e;
    rpc_edits_init(&e);
    rpc_edit_add(&e, c->id_span, up_id);
    rpc_edit_add(&e, c->token_span, up_id);
    c->up.mark = conn_send(c->ticket.conn, &c->text, &e);
    if (c->text.text.n > KEEP_MAX)
        forget_text(c);
    call_arm_deadline(c);
}

void call_start(struct ticket *t)
{
    struct call *c = container_of(t, struct call, ticket);
    metrics_observe(session_server(c->session)->metrics, METRIC_QUEUE_WAIT, METRIC_WAIT_SENT,
                    call_env(c)->now - t->queued_at);
    if (session_server(c->session)->sharing == CONFIG_SHARING_SESSION)
        levels_apply_conn(t->conn); /* which may have become the session's this very moment */
    if (c->method == MCP_INITIALIZE)
        session_complete_initialize(c);
    else if (c->method == MCP_RESOURCES_SUBSCRIBE || c->method == MCP_RESOURCES_UNSUBSCRIBE)
        sub_start(c);
    else if (coalesce_join(c))
        call_arm_deadline(c);
    else
        call_send(c);
}

void call_refuse(struct ticket *t, enum reason why, usec_t retry_after)
{
    struct call *c = container_of(t, struct call, ticket);
    const char *name = server_name(c);
    /* It is not sent now; but one that is being sent again may have run before. */
    bool maybe = c->replays > 0;
    char text[256];
    switch ((int)why) {
    case REASON_OVERLOADED:
        snprintf(text, sizeof(text), "Too many requests in progress at server \"%s\"", name);
        break;
    case REASON_BREAKER_OPEN:
        snprintf(text, sizeof(text),
                 "Server \"%s\" is failing; calls are refused until it recovers", name);
        break;
    case REASON_SHUTTING_DOWN:
        snprintf(text, sizeof(text), "mcpool is shutting down");
        break;
    case REASON_MAINTENANCE:
        snprintf(text, sizeof(text), "Server \"%s\" has been taken out of service for now", name);
        break;
    default:
        snprintf(text, sizeof(text), "Server \"%s\" is not available", name);
        break;
    }
    size_t n = strlen(text);
    if (maybe)
        snprintf(text + n, sizeof(text) - n,
                 "; the request may or may not have been carried out before");
    call_fail(c, MCP_E_INTERNAL, why, maybe ? "maybe" : "no", retry_after, text);
}

/* ---- the end ---- */

static void count_end(const struct call *c)
{
    struct metrics *m = session_server(c->session)->metrics;
    enum metric_outcome o = METRIC_OUTCOME_RESULT;
    switch (c->outcome) {
    case CALL_PENDING:
        return;
    case CALL_ANSWERED:
        o = c->server_error ? METRIC_OUTCOME_ERROR : METRIC_OUTCOME_RESULT;
        break;
    case CALL_FAILED:
        o = METRIC_OUTCOME_FAILED;
        metrics_inc(m, METRIC_CALL_FAILURES, c->reason);
        break;
    case CALL_CANCELLED:
        o = METRIC_OUTCOME_CANCELLED;
        break;
    }
    metrics_inc(m, METRIC_CALLS, o);
    if (c->started_at)
        metrics_observe(m, METRIC_CALL_DURATION, o, call_env(c)->now - c->started_at);
    else if (c->ticket.queued_at && c->outcome != CALL_ANSWERED)
        metrics_observe(m, METRIC_QUEUE_WAIT,
                        c->outcome == CALL_FAILED ? METRIC_WAIT_REFUSED : METRIC_WAIT_CANCELLED,
                        call_env(c)->now - c->ticket.queued_at);
}

void call_finish(struct call *c, enum call_outcome outcome, const struct payload *answer,
                 const struct rpc_edits *edits)
{
    if (c->outcome != CALL_PENDING)
        return;
    struct session *s = c->session;
    if (c->late_progress && outcome == CALL_ANSWERED)
        progress_due(c);
    drop_late_progress(c);
    c->outcome = outcome;
    count_end(c);
    deadline_clear(deadlines_of(c), &c->deadline);
    coalesce_leave(c);
    if (c->up.id)
        mux_abandon(mux_of(c->up.conn), &c->up,
                    outcome != CALL_ANSWERED && c->ticket.interactive ? &s->affinity : NULL);
    if (c->asks)
        ask_end_of_call(c);
    if (c->sub)
        sub_leave(c);
    ticket_done(&c->ticket);
    session_leave_call(s, c);
    proxy_note_call_end(s);
    struct channel *ch = c->channel;
    c->channel = NULL;
    if (answer)
        ch->ops->send(ch, c, DELIVER_ANSWER, answer, edits);
    else
        ch->ops->silent_end(ch, c);
    channel_unref(ch);
    call_unref(c);
}

static void finish_buf(struct call *c, enum call_outcome outcome, struct buf *b)
{
    struct payload text = {.text = buf_peek(b)};
    call_finish(c, outcome, &text, NULL);
    buf_done(b);
}

static void log_call_failure(const struct call *c, const char *delivered, const char *sentence)
{
    const struct session *s = c->session;
    const struct conn *conn = c->ticket.state == TICKET_RUNNING ? c->ticket.conn : NULL;
    char text[320];
    snprintf(text, sizeof(text), "call failed: %s", sentence);
    server_log_failure(
        session_server(s),
        SESSION_CTX(s, .slot = conn ? (int)conn->slot : -1, .epoch = conn ? conn->epoch : 0,
                    .reason = reason_name(c->reason), .method = mcp_method_name(c->method),
                    .error_class = delivered,
                    .duration = c->ticket.queued_at ? call_env(c)->now - c->ticket.queued_at : 0,
                    .message_id = LOG_ID_CALL_FAILED),
        text);
}

void call_fail(struct call *c, int code, enum reason why, const char *delivered, usec_t retry_after,
               const char *message)
{
    struct buf b = BUF_INIT;
    c->reason = why;
    c->retry_after = retry_after;
    log_call_failure(c, delivered, message);
    proxy_write_error(&b, c->id, code, why, server_name(c), delivered, retry_after, message);
    finish_buf(c, CALL_FAILED, &b);
}

void call_answer(struct call *c, struct slice result_json)
{
    struct buf b = BUF_INIT;
    rpc_write_result(&b, c->id, result_json);
    finish_buf(c, CALL_ANSWERED, &b);
}

void call_answer_error(struct call *c, int code, const char *message)
{
    struct buf b = BUF_INIT;
    rpc_write_error(&b, c->id, code, slice_str(message), slice_of(NULL, 0));
    c->server_error = true;
    finish_buf(c, CALL_ANSWERED, &b);
}

void call_cancel(struct call *c, struct slice reason)
{
    const struct uplink *u = uplink_of(c);
    if (u->id)
        conn_note_taken_back(u->conn, u->sent_at);
    if (c->up.id && LIST_EMPTY(&c->followers))
        tell_server_cancelled(c, reason);
    call_finish(c, CALL_CANCELLED, NULL, NULL);
}
