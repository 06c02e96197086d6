/* The client's initialize: version, features, pool, and the InitializeResult that is composed from
 * what the server said of itself (protocol.md 3.1 to 3.3). The client's message itself is never
 * forwarded. */
#include "internal.h"

#include "base/log.h"

static unsigned features_of(struct slice caps)
{
    unsigned f = 0;
    struct slice sampling = json_get(caps, "sampling"), elicitation = json_get(caps, "elicitation"),
                 roots = json_get(caps, "roots");
    if (json_type_of(sampling) == JSON_OBJECT) {
        f |= FEATURE_SAMPLING;
        if (json_type_of(json_get(sampling, "tools")) == JSON_OBJECT)
            f |= FEATURE_SAMPLING_TOOLS;
        if (json_type_of(json_get(sampling, "context")) == JSON_OBJECT)
            f |= FEATURE_SAMPLING_CONTEXT;
    }
    if (json_type_of(elicitation) == JSON_OBJECT) {
        bool url = json_type_of(json_get(elicitation, "url")) == JSON_OBJECT;
        bool form = json_type_of(json_get(elicitation, "form")) == JSON_OBJECT;
        if (url)
            f |= FEATURE_ELICITATION_URL;
        if (form || !url) /* {} means forms */
            f |= FEATURE_ELICITATION_FORM;
    }
    if (json_type_of(roots) == JSON_OBJECT) {
        f |= FEATURE_ROOTS;
        if (json_type_of(json_get(roots, "listChanged")) == JSON_TRUE)
            f |= FEATURE_ROOTS_CHANGED;
    }
    return f;
}

static enum mcp_version negotiate(struct slice raw)
{
    enum mcp_version v =
        raw.n >= 2 ? mcp_version_parse(slice_of(raw.p + 1, raw.n - 2)) : MCP_VERSION_NONE;
    return v == MCP_VERSION_NONE || v > MCP_LATEST_LEGACY ? MCP_LATEST_LEGACY : v;
}

/* Tasks of 2025-11-25 work only where the connection belongs to the client (protocol.md 3.11). */
static bool hides(const struct session *s, struct slice key)
{
    return json_string_is(key, "tasks") &&
           !(session_server(s)->sharing == CONFIG_SHARING_SESSION && s->version >= MCP_2025_11_25);
}

static void append_capabilities(struct buf *b, const struct session *s, struct slice caps)
{
    struct json_iter it = json_iter(caps);
    struct slice key, value;
    const char *sep = "";
    buf_append_str(b, "{");
    while (json_next_member(&it, &key, &value)) {
        if (hides(s, key))
            continue;
        buf_append_str(b, sep);
        buf_append_slice(b, key);
        buf_append_str(b, ":");
        buf_append_slice(b, value);
        sep = ",";
    }
    buf_append_str(b, "}");
}

void session_join_pool(struct session *s, unsigned features)
{
    struct server *server = session_server(s);
    unsigned allowed = server_features(server, features);
    struct pool *pool = pool_get_for_client(server, s->principal->name, allowed, &s->features);
    affinity_init(&s->affinity, pool);
}

void session_complete_initialize(struct call *c)
{
    struct session *s = c->session;
    struct conn *conn = c->ticket.conn;
    const struct card *card = conn && conn->card ? conn->card : session_server(s)->card;
    struct buf b = BUF_INIT;
    buf_appendf(&b, "{\"protocolVersion\":\"%s\",\"capabilities\":", mcp_version_name(s->version));
    append_capabilities(&b, s, slice_str(card->capabilities));
    buf_append_str(&b, ",\"serverInfo\":");
    if (card->server_info) {
        buf_append_str(&b, card->server_info);
    } else {
        buf_append_str(&b, "{\"name\":");
        buf_append_json_string(&b, slice_str(session_server(s)->sc->name));
        buf_append_str(&b, ",\"version\":\"0\"}");
    }
    if (card->instructions) {
        buf_append_str(&b, ",\"instructions\":");
        buf_append_str(&b, card->instructions);
    }
    buf_append_str(&b, "}");
    s->changes = notify_promises(card);
    s->state = SESSION_OPEN;
    metrics_inc(s->proxy->metrics, METRIC_SESSIONS_OPENED, 0);
    log_info(SESSION_CTX(s, .message_id = LOG_ID_SESSION_OPENED), "session opened, protocol %s",
             mcp_version_name(s->version));
    call_answer(c, buf_peek(&b));
    buf_done(&b);
    if (s->state == SESSION_OPEN && s->push)
        session_flush_pending(s, s->push);
}

void session_initialize(struct session *s, struct call *c, struct slice text,
                        const struct rpc_msg *m)
{
    struct server *server = session_server(s);
    if (s->state != SESSION_NEW) {
        call_answer_error(c, MCP_E_INVALID_REQUEST, "This session is initialized already");
        return;
    }
    s->state = SESSION_OPENING;
    s->version = negotiate(rpc_span(text, m->protocol_version));
    unsigned declared = features_of(rpc_span(text, m->capabilities));
    session_mint_id(s, declared);
    session_join_pool(s, declared);
    /* A server that is known need not be up to be described; only a connection of one's own must be
     * had. */
    if (server->card && server->sharing != CONFIG_SHARING_SESSION)
        session_complete_initialize(c);
    else
        call_submit(c);
}
