/* Log levels: each session has its own; a connection's server is told the most verbose one that a
 * session of its pool asked for, and each session's messages are filtered by its own
 * (protocol.md 1.1). */
#include "internal.h"

/* What c's server is to be told: a session's own server what that session wants. */
static enum mcp_log_level level_for(const struct conn *c)
{
    const struct pool_state *st = c->pool->user;
    if (c->pool->server->sharing == CONFIG_SHARING_SESSION)
        return c->lessee ? session_of(c->lessee)->level : MCP_LOG_UNSET;
    for (int l = 0; l < MCP_LOG_UNSET; l++)
        if (st->level_count[l])
            return (enum mcp_log_level)l;
    return MCP_LOG_UNSET;
}

void levels_apply_conn(struct conn *c)
{
    struct mux *m = mux_of(c);
    enum mcp_log_level level = level_for(c);
    if (c->state != CONN_READY || !c->card->logging || level == MCP_LOG_UNSET || level == m->level)
        return;
    mux_abandon(m, &m->level_up, NULL); /* a server may never answer; the latest counts */
    m->level = level;
    struct buf name = BUF_INIT;
    buf_append_json_string(&name, slice_str(mcp_log_level_name(level)));
    mux_request(m, &m->level_up, "logging/setLevel", "level", buf_peek(&name));
    buf_done(&name);
}

static void on_answer(struct uplink *u, struct payload *text, const struct rpc_msg *m)
{
    (void)u, (void)text, (void)m; /* nobody to tell */
}

static void on_lost(struct uplink *u, enum reason why, bool handed_over)
{
    (void)u, (void)why, (void)handed_over; /* the next transport is told afresh */
}

void levels_init_slot(struct mux *m)
{
    m->level = MCP_LOG_UNSET;
    m->level_up.on_answer = on_answer;
    m->level_up.on_lost = on_lost;
}

void levels_apply(struct pool *p)
{
    for (unsigned i = 0; i < p->slot_count; i++)
        levels_apply_conn(p->slots[i]);
}

static void want_level(struct session *s, enum mcp_log_level level)
{
    struct pool_state *st = s->affinity.pool->user;
    if (s->level != MCP_LOG_UNSET)
        st->level_count[s->level]--;
    s->level = level;
    if (level != MCP_LOG_UNSET)
        st->level_count[level]++;
    levels_apply(s->affinity.pool);
}

void session_restore_level(struct session *s, enum mcp_log_level level)
{
    if (level != MCP_LOG_UNSET)
        want_level(s, level);
}

void session_drop_level(struct session *s)
{
    if (s->level != MCP_LOG_UNSET)
        want_level(s, MCP_LOG_UNSET);
}

void session_set_level(struct session *s, struct call *c, struct slice text,
                       const struct rpc_msg *m)
{
    struct slice raw = rpc_span(text, m->level);
    int level = raw.n >= 2 ? mcp_log_level_parse(slice_of(raw.p + 1, raw.n - 2)) : -1;
    const struct card *card = session_server(s)->card;
    if (card && !card->logging) {
        call_answer_error(c, MCP_E_METHOD_NOT_FOUND, "Method not found");
    } else if (level < 0) {
        call_answer_error(
            c, MCP_E_INVALID_PARAMS,
            "params.level must be debug, info, notice, warning, error, critical, alert or "
            "emergency");
    } else {
        want_level(s, (enum mcp_log_level)level);
        session_keep_level(s);
        call_answer(c, SLICE("{}"));
    }
}
