/* What a client sends: requests, notifications, answers to asks (protocol.md 1.1, 1.3, 1.5). */
#include "internal.h"

#include "base/log.h"

#include <stdio.h>

/* ---- requests ---- */

static bool within_limits(struct call *c)
{
    struct session *s = c->session;
    const struct config_limits *l = &s->proxy->config->limits;
    const char *text = s->in_flight > l->max_in_flight_per_session
                           ? "Too many requests of this session are in progress"
                       : s->principal->in_flight > l->max_in_flight_per_principal
                           ? "Too many requests of this client are in progress"
                           : NULL;
    if (text)
        call_fail(c, MCP_E_INTERNAL, REASON_OVERLOADED, "no", 0, text);
    return !text;
}

/* Tasks pass only where the connection is the client's own; modern methods never reach a legacy
 * server. */
static bool is_hidden(const struct session *s, enum mcp_method m)
{
    switch ((int)m) {
    case MCP_SERVER_DISCOVER:
    case MCP_SUBSCRIPTIONS_LISTEN:
    case MCP_TASKS_UPDATE:
        return true;
    case MCP_TASKS_GET:
    case MCP_TASKS_RESULT:
    case MCP_TASKS_LIST:
    case MCP_TASKS_CANCEL:
        return session_server(s)->sharing != CONFIG_SHARING_SESSION;
    default:
        return false;
    }
}

static void submit_request(struct session *s, struct channel *ch, struct payload *text,
                           const struct rpc_msg *m)
{
    struct call *c = call_new(s, ch, text, m);
    if (session_has_twin(c)) {
        call_answer_error(c, MCP_E_INVALID_REQUEST, "A request with this id is in progress");
    } else if (m->method == MCP_PING) {
        call_answer(c, SLICE("{}"));
    } else if (s->proxy->stopping) {
        call_fail(c, MCP_E_INTERNAL, REASON_SHUTTING_DOWN, "no", 0, "mcpool is shutting down");
    } else if (route_is_gone(s->route)) {
        call_fail(c, MCP_E_INTERNAL, REASON_SHUTTING_DOWN, "no", 0,
                  "The server was removed from the configuration");
    } else if (m->method == MCP_INITIALIZE) {
        session_initialize(s, c, text->text, m);
    } else if (is_hidden(s, m->method)) {
        call_answer_error(c, MCP_E_METHOD_NOT_FOUND, "Method not found");
    } else if (s->state == SESSION_NEW) {
        call_answer_error(c, MCP_E_INVALID_REQUEST, "The session is not initialized");
    } else if (m->method == MCP_LOGGING_SET_LEVEL) {
        session_set_level(s, c, text->text, m);
    } else if ((m->method == MCP_RESOURCES_SUBSCRIBE || m->method == MCP_RESOURCES_UNSUBSCRIBE) &&
               m->uri.n == 0) {
        call_answer_error(c, MCP_E_INVALID_PARAMS, "params.uri is required and must be a string");
    } else if (within_limits(c)) {
        call_submit(c);
    }
}

/* ---- notifications ---- */

static void on_cancelled(struct session *s, struct slice text, const struct rpc_msg *m)
{
    struct call *c = m->request_id.n ? session_call(s, rpc_span(text, m->request_id)) : NULL;
    if (!c || c->method == MCP_INITIALIZE)
        return;
    struct slice reason = json_path(text, "params", "reason", NULL);
    call_cancel(c, json_type_of(reason) == JSON_STRING ? reason : slice_of(NULL, 0));
}

/* A connection that is the client's own gets everything that the client says. */
static void forward_if_owned(struct session *s, struct payload *text)
{
    struct conn *c = s->affinity.home;
    if (session_server(s)->sharing == CONFIG_SHARING_SESSION && c && c->state == CONN_READY &&
        c->lessee == &s->affinity && !conn_is_clogged(c))
        conn_send(c, text, NULL);
}

static void submit_notification(struct session *s, struct payload *text, const struct rpc_msg *m)
{
    switch ((int)m->method) {
    case MCP_N_INITIALIZED:
        return; /* mcpool sent its own */
    case MCP_N_CANCELLED:
        on_cancelled(s, text->text, m);
        return;
    case MCP_N_PROGRESS:
        ask_on_client_progress(s, text, m);
        return;
    case MCP_N_ROOTS_LIST_CHANGED:
    case MCP_METHOD_OTHER:
        forward_if_owned(s, text);
        return;
    default:
        log_debug(SESSION_CTX(s, .method = mcp_method_name(m->method)),
                  "notification %s of the client dropped", mcp_method_name(m->method));
        return;
    }
}

/* The framings that follow know no raw line ends inside a message. */
static struct blob *without_newlines(struct payload *text)
{
    char *p;
    struct blob *b = blob_alloc(text->text.n, &p);
    for (size_t i = 0; i < text->text.n; i++) {
        char ch = text->text.p[i];
        p[i] = ch == '\r' || ch == '\n' ? ' ' : ch;
    }
    *text = (struct payload){.text = blob_slice(b), .owner = b};
    return b;
}

void session_submit(struct session *s, struct channel *ch, struct payload *text,
                    const struct rpc_msg *m)
{
    struct payload clean = *text;
    struct blob *own = m->has_newline ? without_newlines(&clean) : NULL;
    session_touch(s);
    switch (m->kind) {
    case RPC_REQUEST:
        submit_request(s, ch, &clean, m);
        break;
    case RPC_NOTIFICATION:
        submit_notification(s, &clean, m);
        break;
    case RPC_RESULT:
    case RPC_ERROR:
        ask_on_response(s, &clean, m);
        break;
    case RPC_BATCH:
    case RPC_INVALID:
        break;
    }
    blob_unref(own);
}
