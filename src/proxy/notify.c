/* What a server says unasked (protocol.md 1.4). On a shared connection nothing reaches a client
 * that a key in the message does not tie to it, except that lists have changed; on a connection of
 * one session everything is that session's. */
#include "internal.h"

#include "base/log.h"

#include <stdlib.h>
#include <string.h>

static struct env *conn_env(const struct conn *c)
{
    return c->pool->server->env;
}

/* ---- lists have changed ---- */

static const struct {
    enum mcp_method method;
    struct slice text;
} change_texts[CHANGE_COUNT] = {
    [CHANGE_TOOLS] = {MCP_N_TOOLS_LIST_CHANGED,
                      SLICE_INIT(
                          "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/tools/list_changed\"}")},
    [CHANGE_PROMPTS] =
        {MCP_N_PROMPTS_LIST_CHANGED,
         SLICE_INIT("{\"jsonrpc\":\"2.0\",\"method\":\"notifications/prompts/list_changed\"}")},
    [CHANGE_RESOURCES] =
        {MCP_N_RESOURCES_LIST_CHANGED,
         SLICE_INIT("{\"jsonrpc\":\"2.0\",\"method\":\"notifications/resources/list_changed\"}")},
};

/* Only those whose InitializeResult said that they would be told. */
static void tell_change(struct mux *m, enum change what)
{
    struct affinity *a;
    struct payload text = {.text = change_texts[what].text};
    m->changes[what].last_at = conn_env(m->conn)->now;
    LIST_FOREACH (a, &m->conn->homed, home_link)
        if (session_of(a)->changes & 1U << what)
            session_push(session_of(a), DELIVER_NOTIFICATION, &text, NULL,
                         change_texts[what].method);
}

void notify_change_due(void *arg)
{
    struct change_state *ch = arg;
    tell_change(ch->mux, (enum change)(ch - ch->mux->changes));
}

unsigned notify_promises(const struct card *card)
{
    return (card->tools_change ? 1U << CHANGE_TOOLS : 0) |
           (card->prompts_change ? 1U << CHANGE_PROMPTS : 0) |
           (card->resources_change ? 1U << CHANGE_RESOURCES : 0);
}

/* The first goes out at once, the rest of a storm as one at the end of the span. */
void notify_lists_changed(struct conn *c, enum change what)
{
    struct mux *m = mux_of(c);
    struct change_state *ch = &m->changes[what];
    if (timer_armed(&ch->timer))
        return;
    usec_t now = conn_env(c)->now;
    if (ch->last_at && now - ch->last_at < CHANGE_SPAN)
        env_timer_set(conn_env(c), &ch->timer, ch->last_at + CHANGE_SPAN);
    else
        tell_change(m, what);
}

/* ---- progress and log messages ---- */

static void on_progress(struct conn *c, struct payload *text, const struct rpc_msg *m)
{
    uint64_t token;
    if (!m->progress_token.n || !json_u64(rpc_span(text->text, m->progress_token), &token))
        return;
    struct uplink *u = mux_peek(mux_of(c), token);
    if (u && u->on_answer == call_on_answer)
        call_on_progress(container_of(u, struct call, up), text, m);
}

/* The session that a log message can only be for; *ret_call its call, if it can only belong to
 * that. */
static struct session *attribute(struct conn *c, struct call **ret_call)
{
    struct session *s = c->lessee ? session_of(c->lessee) : NULL;
    struct uplink *u;
    unsigned n = 0;
    for (size_t pos = 0; (u = mux_next(mux_of(c), &pos)) != NULL;) {
        if (u->on_answer != call_on_answer)
            continue;
        struct call *call = container_of(u, struct call, up);
        if (s && call->session != s)
            return NULL;
        s = call->session;
        *ret_call = n++ == 0 ? call : NULL;
    }
    return s && mux_haunted(mux_of(c), &s->affinity) ? NULL : s;
}

/* A session that set no level gets what the server says of its own accord, but not the chatter
 * below info that another session has asked for. */
static bool level_permits(const struct conn *c, const struct session *s, struct slice raw_level)
{
    enum mcp_log_level told = mux_of(c)->level, lowest = s->level;
    if (lowest == MCP_LOG_UNSET)
        lowest = told < MCP_LOG_INFO ? MCP_LOG_INFO : MCP_LOG_DEBUG;
    int level =
        raw_level.n < 2 ? -1 : mcp_log_level_parse(slice_of(raw_level.p + 1, raw_level.n - 2));
    return level < 0 || level >= (int)lowest;
}

static void on_log(struct conn *c, struct payload *text, const struct rpc_msg *m)
{
    struct call *call = NULL;
    struct session *s = attribute(c, &call);
    if (!s) {
        log_debug(CONN_CTX(c), "log message of the server belongs to no single client: %.*s",
                  (int)(text->text.n < 512 ? text->text.n : 512), text->text.p);
        return;
    }
    if (!level_permits(c, s, rpc_span(text->text, m->level)))
        return;
    if (call && call->channel->ops->send(call->channel, call, DELIVER_DROPPABLE, text, NULL) == 0)
        return;
    session_push(s, DELIVER_DROPPABLE, text, NULL, MCP_N_MESSAGE);
}

/* ---- elicitations by URL ---- */

void notify_remember_elicitation(struct mux *mux, struct slice raw_id, struct session *s)
{
    if (!mux->elicitations)
        mux->elicitations = xcalloc(ELICITATIONS_MAX, sizeof(struct elicitation));
    struct elicitation *e = &mux->elicitations[mux->elicitation_next++ % ELICITATIONS_MAX];
    free(e->id);
    *e = (struct elicitation){xstrndup(raw_id.p, raw_id.n), s};
}

void notify_forget_elicitations(struct mux *mux)
{
    for (unsigned i = 0; mux->elicitations && i < ELICITATIONS_MAX; i++)
        free(mux->elicitations[i].id);
    free(mux->elicitations);
    mux->elicitations = NULL;
}

static void on_elicitation_complete(struct conn *c, struct payload *text, const struct rpc_msg *m)
{
    struct slice id = rpc_span(text->text, m->elicitation_id);
    const struct elicitation *all = mux_of(c)->elicitations;
    for (unsigned i = 0; all && id.n && i < ELICITATIONS_MAX; i++) {
        const struct elicitation *e = &all[i];
        if (e->id && e->session && json_id_eq(slice_str(e->id), id)) {
            session_push(e->session, DELIVER_NOTIFICATION, text, NULL, m->method);
            return;
        }
    }
}

/* A session may have been asked on any connection of its pool. */
void notify_forget_session(struct session *s)
{
    struct pool *p = s->affinity.pool;
    for (unsigned i = 0; p && i < p->slot_count; i++) {
        struct elicitation *all = mux_of(p->slots[i])->elicitations;
        for (unsigned k = 0; all && k < ELICITATIONS_MAX; k++)
            if (all[k].session == s)
                all[k].session = NULL;
    }
}

/* ---- all of them ---- */

static void to_owner(struct conn *c, struct payload *text, const struct rpc_msg *m)
{
    bool owned = c->pool->server->sharing == CONFIG_SHARING_SESSION && c->lessee;
    if (owned)
        session_push(session_of(c->lessee), DELIVER_NOTIFICATION, text, NULL, m->method);
    else
        log_debug(CONN_CTX(c, .method = mcp_method_name(m->method)),
                  "notification of the server dropped: it names no client");
}

void notify_on_message(struct conn *c, struct payload *text, const struct rpc_msg *m)
{
    switch ((int)m->method) {
    case MCP_N_PROGRESS:
        on_progress(c, text, m);
        return;
    case MCP_N_MESSAGE:
        on_log(c, text, m);
        return;
    case MCP_N_CANCELLED:
        ask_on_server_cancelled(c, text, m);
        return;
    case MCP_N_TOOLS_LIST_CHANGED:
        tools_forget(c->pool);
        notify_lists_changed(c, CHANGE_TOOLS);
        return;
    case MCP_N_PROMPTS_LIST_CHANGED:
        notify_lists_changed(c, CHANGE_PROMPTS);
        return;
    case MCP_N_RESOURCES_LIST_CHANGED:
        notify_lists_changed(c, CHANGE_RESOURCES);
        return;
    case MCP_N_RESOURCES_UPDATED:
        sub_on_updated(c, text, m);
        return;
    case MCP_N_ELICITATION_COMPLETE:
        on_elicitation_complete(c, text, m);
        return;
    default:
        to_owner(c, text, m);
        return;
    }
}
