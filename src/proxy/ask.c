/* Requests of a server to a client: sampling, elicitation, roots (protocol.md 1.2, 1.7).
 *
 * The one rule is never to guess. A connection that belongs to one session names the client by
 * itself; on a shared one the ask is delivered only when exactly one interactive call is in flight
 * and no cancelled one may still be running. Otherwise it is refused and the pool switches to one
 * interactive call at a time per connection. Each open ask hangs on its session and on its
 * connection and ends exactly once: answered, timed out, taken back, or with its call, session or
 * connection. */
#include "internal.h"

#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>

static struct env *conn_env(const struct conn *c)
{
    return c->pool->server->env;
}

static void reply_error(struct conn *c, struct slice id, int code, const char *message)
{
    struct buf b = BUF_INIT;
    rpc_write_error(&b, id, code, slice_str(message), slice_of(NULL, 0));
    struct payload text = {.text = buf_peek(&b)};
    conn_send(c, &text, NULL);
    buf_done(&b);
}

static void reply_result(struct conn *c, struct slice id, struct slice result)
{
    struct buf b = BUF_INIT;
    rpc_write_result(&b, id, result);
    struct payload text = {.text = buf_peek(&b)};
    conn_send(c, &text, NULL);
    buf_done(&b);
}

static void ask_free(struct ask *a)
{
    env_timer_clear(conn_env(a->conn), &a->deadline);
    LIST_REMOVE(a, session_link);
    LIST_REMOVE(a, conn_link);
    a->session->ask_count--;
    if (a->call)
        a->call->asks--;
    free(a->server_id);
    free(a->token);
    free(a);
}

/* What a server hears when its client cannot answer any more. */
static void refuse_unanswered(struct ask *a)
{
    if (a->method == MCP_ELICITATION_CREATE)
        reply_result(a->conn, slice_str(a->server_id), SLICE("{\"action\":\"cancel\"}"));
    else
        reply_error(a->conn, slice_str(a->server_id), MCP_E_INTERNAL, "Client did not answer");
}

static void tell_client_cancelled(struct ask *a)
{
    struct session *s = a->session;
    struct buf b = BUF_INIT, params = BUF_INIT;
    buf_appendf(&params, "{\"requestId\":%llu}", (unsigned long long)a->id);
    rpc_write_notification(&b, "notifications/cancelled", buf_peek(&params));
    struct payload text = {.text = buf_peek(&b)};
    struct channel *ch = a->call ? a->call->channel : NULL;
    if (!ch || ch->ops->send(ch, a->call, DELIVER_NOTIFICATION, &text, NULL) < 0)
        session_push(s, DELIVER_NOTIFICATION, &text, NULL, MCP_N_CANCELLED);
    buf_done(&params);
    buf_done(&b);
}

static void deadline_passed(void *arg)
{
    struct ask *a = arg;
    log_warning(CONN_CTX(a->conn, .session = a->session->handle,
                         .method = mcp_method_name(a->method), .message_id = LOG_ID_ASK_REFUSED),
                "the client did not answer %s in time", mcp_method_name(a->method));
    refuse_unanswered(a);
    tell_client_cancelled(a);
    ask_free(a);
}

/* ---- whose is it? ---- */

static unsigned needed_features(const struct rpc_msg *m, struct slice text)
{
    switch ((int)m->method) {
    case MCP_SAMPLING_CREATE_MESSAGE:
        return FEATURE_SAMPLING;
    case MCP_ROOTS_LIST:
        return FEATURE_ROOTS;
    case MCP_ELICITATION_CREATE:
        return json_string_is(json_path(text, "params", "mode", NULL), "url")
                   ? FEATURE_ELICITATION_URL
                   : FEATURE_ELICITATION_FORM;
    default:
        return 0;
    }
}

/* The session that the ask is for, NULL when that is not certain; *ret_call the call it belongs to,
 * if exactly one can be. Certain means: the connection is that session's, or every interactive call
 * that is or may still be running on it is that session's. */
static struct session *attribute(struct conn *c, struct call **ret_call)
{
    struct session *s = c->lessee ? session_of(c->lessee) : NULL;
    struct uplink *u;
    unsigned n = 0;
    for (size_t pos = 0; (u = mux_next(mux_of(c), &pos)) != NULL;) {
        if (u->on_answer != call_on_answer)
            continue;
        struct call *call = container_of(u, struct call, up);
        if (!call->ticket.interactive)
            continue;
        if (s && call->session != s)
            return NULL;
        s = call->session;
        *ret_call = n++ == 0 ? call : NULL;
    }
    return s && mux_haunted(mux_of(c), &s->affinity) ? NULL : s;
}

/* Calls for which a server has begun to ask are not sent again if it dies: the user would be asked
 * twice. Where it is not known for which one, it may be for any. */
static void note_asked(struct conn *c, struct call *call)
{
    struct uplink *u;
    if (call)
        call->asked = true;
    for (size_t pos = 0; !call && (u = mux_next(mux_of(c), &pos)) != NULL;)
        if (u->on_answer == call_on_answer)
            container_of(u, struct call, up)->asked = true;
}

/* ---- delivery ---- */

static void edit_ids(struct rpc_edits *e, const struct rpc_msg *m, struct slice id)
{
    /* Edits go in the order of the text, and either may stand first. */
    rpc_edit_add(e, m->id, id);
    rpc_edit_add(e, m->progress_token, id);
}

static bool ask_on(struct channel *ch, struct call *call, struct payload *text,
                   const struct rpc_edits *e)
{
    return ch && ch->ops->can_ask(ch) && ch->ops->send(ch, call, DELIVER_ASK, text, e) == 0;
}

/* On the stream of the call it belongs to; else on the session's own; else on any stream that it
 * has open. */
static bool deliver(struct session *s, struct call *call, struct payload *text,
                    const struct rpc_edits *e)
{
    if (ask_on(call ? call->channel : NULL, call, text, e) || ask_on(s->push, NULL, text, e))
        return true;
    LIST_FOREACH (call, &s->calls, link)
        if (call->up.id && ask_on(call->channel, call, text, e))
            return true;
    return false;
}

static struct ask *ask_new(struct session *s, struct conn *c, struct call *call, struct slice text,
                           const struct rpc_msg *m)
{
    struct ask *a = xcalloc(1, sizeof(*a));
    struct slice id = rpc_span(text, m->id), token = rpc_span(text, m->progress_token);
    a->session = s;
    a->conn = c;
    a->call = call;
    a->method = m->method;
    a->id = ++s->next_ask;
    a->server_id = xstrndup(id.p, id.n);
    a->token = token.n ? xstrndup(token.p, token.n) : NULL;
    s->ask_count++;
    if (call)
        call->asks++;
    LIST_INSERT_HEAD(&s->asks, a, session_link);
    LIST_INSERT_HEAD(&mux_of(c)->asks, a, conn_link);
    timer_init(&a->deadline, deadline_passed, a);
    env_timer_set(conn_env(c), &a->deadline,
                  conn_env(c)->now + c->pool->server->sc->resilience.call_timeout);
    return a;
}

static void put_to_client(struct session *s, struct conn *c, struct call *call,
                          struct payload *text, const struct rpc_msg *m)
{
    struct slice raw_id = rpc_span(text->text, m->id);
    if (s->ask_count >= s->proxy->config->limits.max_asks_per_session) {
        reply_error(c, raw_id, MCP_E_INTERNAL, "The client has too many open questions");
        return;
    }
    struct ask *a = ask_new(s, c, call, text->text, m);
    char id[24];
    int n = snprintf(id, sizeof(id), "%llu", (unsigned long long)a->id);
    struct rpc_edits e = {0};
    edit_ids(&e, m, slice_of(id, (size_t)n));
    if (call)
        call_extend(call);
    if (!deliver(s, call, text, &e)) {
        ask_free(a);
        reply_error(c, raw_id, MCP_E_METHOD_NOT_FOUND,
                    "The client cannot be asked: it has no stream open");
    } else if (m->method == MCP_ELICITATION_CREATE && m->elicitation_id.n) {
        notify_remember_elicitation(mux_of(c), rpc_span(text->text, m->elicitation_id), s);
    }
}

void ask_on_request(struct conn *c, struct payload *text, const struct rpc_msg *m)
{
    struct slice id = rpc_span(text->text, m->id);
    unsigned need = needed_features(m, text->text);
    if (m->method == MCP_PING) {
        reply_result(c, id, SLICE("{}"));
        return;
    }
    /* Methods that only the server's own client could know pass on a connection that is all its
     * own. */
    bool owned = c->pool->server->sharing == CONFIG_SHARING_SESSION;
    if (need ? !(c->pool->features & need) : !owned || m->method != MCP_METHOD_OTHER) {
        reply_error(c, id, MCP_E_METHOD_NOT_FOUND, "Method not found");
        return;
    }
    struct call *call = NULL;
    struct session *s = attribute(c, &call);
    note_asked(c, s ? call : NULL);
    if (s) {
        put_to_client(s, c, call, text, m);
        return;
    }
    metrics_inc(c->pool->server->metrics, METRIC_AMBIGUOUS_ASKS, 0);
    log_notice(CONN_CTX(c, .method = mcp_method_name(m->method), .message_id = LOG_ID_ASK_REFUSED),
               "%s refused: it cannot be attributed to a single client",
               mcp_method_name(m->method));
    reply_error(c, id, MCP_E_INTERNAL, "Cannot attribute request to a single client");
    pool_note_ambiguous_ask(c->pool);
}

/* ---- the client's side ---- */

static struct ask *find_ask(struct session *s, struct slice raw_id)
{
    uint64_t id;
    struct ask *a;
    if (!json_u64(raw_id, &id))
        return NULL;
    LIST_FOREACH (a, &s->asks, session_link)
        if (a->id == id)
            return a;
    return NULL;
}

void ask_on_response(struct session *s, struct payload *text, const struct rpc_msg *m)
{
    struct ask *a = m->id.n ? find_ask(s, rpc_span(text->text, m->id)) : NULL;
    if (!a)
        return; /* late, or never was: races are normal */
    struct rpc_edits e = {0};
    rpc_edit_add(&e, m->id, slice_str(a->server_id));
    conn_send(a->conn, text, &e);
    if (a->call)
        call_extend(a->call); /* the time that its user took is not the server's */
    ask_free(a);
}

void ask_on_client_progress(struct session *s, struct payload *text, const struct rpc_msg *m)
{
    struct ask *a =
        m->progress_token.n ? find_ask(s, rpc_span(text->text, m->progress_token)) : NULL;
    if (!a || !a->token || conn_is_clogged(a->conn))
        return;
    struct rpc_edits e = {0};
    rpc_edit_add(&e, m->progress_token, slice_str(a->token));
    conn_send(a->conn, text, &e);
}

/* ---- ends ---- */

void ask_on_server_cancelled(struct conn *c, struct payload *text, const struct rpc_msg *m)
{
    struct ask *a;
    struct slice id = rpc_span(text->text, m->request_id);
    LIST_FOREACH (a, &mux_of(c)->asks, conn_link)
        if (m->request_id.n && json_id_eq(slice_str(a->server_id), id))
            break;
    if (!a)
        return;
    tell_client_cancelled(a);
    ask_free(a);
}

void ask_end_of_call(struct call *c)
{
    struct ask *a, *next;
    for (a = LIST_FIRST(&c->session->asks); a; a = next) {
        next = LIST_NEXT(a, session_link);
        if (a->call != c)
            continue;
        /* After the server's answer nobody waits for this one; after a cancel the server must not
         * hang in it. */
        if (c->outcome != CALL_ANSWERED)
            refuse_unanswered(a);
        if (c->session->state != SESSION_ENDED)
            tell_client_cancelled(a);
        ask_free(a);
    }
}

void ask_end_of_session(struct session *s)
{
    struct ask *a;
    while ((a = LIST_FIRST(&s->asks)) != NULL) {
        refuse_unanswered(a);
        ask_free(a);
    }
}

void ask_end_of_conn(struct conn *c)
{
    struct ask *a;
    while ((a = LIST_FIRST(&mux_of(c)->asks)) != NULL) {
        tell_client_cancelled(a);
        ask_free(a);
    }
}
