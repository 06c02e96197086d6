/* The handshake of a connection: initialize with the features of its pool, the answer as a card,
 * and notifications/initialized (protocol.md 3.2, 3.3). */
#include "base/log.h"
#include "base/util.h"
#include "base/version.h"
#include "internal.h"

#include <stdio.h>
#include <stdlib.h>

struct card *card_ref(struct card *c)
{
    c->refs++;
    return c;
}

struct card *card_unref(struct card *c)
{
    if (c && --c->refs == 0) {
        free(c->capabilities);
        free(c->server_info);
        free(c->instructions);
        free(c);
    }
    return NULL;
}

static void send_buf(struct conn *c, struct buf *b)
{
    struct payload text = {.text = buf_peek(b)};
    conn_send(c, &text, NULL);
    buf_done(b);
}

static void append_capabilities(struct buf *b, unsigned f)
{
    const char *sep = "";
    buf_append_str(b, "{");
    if (f & FEATURE_SAMPLING) {
        buf_append_str(b, "\"sampling\":{");
        if (f & FEATURE_SAMPLING_TOOLS)
            buf_append_str(b, "\"tools\":{}");
        if (f & FEATURE_SAMPLING_CONTEXT)
            buf_appendf(b, "%s\"context\":{}", f & FEATURE_SAMPLING_TOOLS ? "," : "");
        buf_append_str(b, "}");
        sep = ",";
    }
    if (f & (FEATURE_ELICITATION_FORM | FEATURE_ELICITATION_URL)) {
        /* {} is how revisions before 2025-11-25 say "forms", and still means that. */
        const char *kinds = !(f & FEATURE_ELICITATION_URL)    ? "{}"
                            : !(f & FEATURE_ELICITATION_FORM) ? "{\"url\":{}}"
                                                              : "{\"form\":{},\"url\":{}}";
        buf_appendf(b, "%s\"elicitation\":%s", sep, kinds);
        sep = ",";
    }
    if (f & FEATURE_ROOTS)
        buf_appendf(b, "%s\"roots\":%s", sep,
                    f & FEATURE_ROOTS_CHANGED ? "{\"listChanged\":true}" : "{}");
    buf_append_str(b, "}");
}

void handshake_begin(struct conn *c)
{
    const char *pin = conn_config(c)->options.pin_version;
    struct buf b = BUF_INIT;
    buf_append_str(&b, "{\"jsonrpc\":\"2.0\",\"id\":");
    buf_append_u64(&b, conn_mint_id(c));
    buf_appendf(
        &b, ",\"method\":\"initialize\",\"params\":{\"protocolVersion\":\"%s\",\"capabilities\":",
        pin ? pin : mcp_version_name(MCP_LATEST_LEGACY));
    append_capabilities(&b, server_features(c->pool->server, c->pool->features));
    buf_append_str(&b,
                   ",\"clientInfo\":{\"name\":\"mcpool\",\"version\":\"" MCPOOL_VERSION "\"}}}");
    send_buf(c, &b);
}

static char *dup_span(struct slice text, struct span s)
{
    return s.n ? xstrndup(text.p + s.off, s.n) : NULL;
}

/* Whether the capability object has this member with the value true, or any object. */
static bool capability(struct slice caps, const char *name, const char *flag)
{
    struct slice v = json_get(caps, name);
    if (json_type_of(v) != JSON_OBJECT)
        return false;
    return !flag || json_type_of(json_get(v, flag)) == JSON_TRUE;
}

static struct card *card_new(struct slice text, const struct rpc_msg *m, enum mcp_version version)
{
    struct card *card = xcalloc(1, sizeof(*card));
    card->refs = 1;
    card->version = version;
    card->capabilities = dup_span(text, m->capabilities);
    if (!card->capabilities)
        card->capabilities = xstrdup("{}");
    card->server_info = dup_span(text, m->server_info);
    card->instructions = dup_span(text, m->instructions);
    struct slice caps = slice_str(card->capabilities);
    card->logging = capability(caps, "logging", NULL);
    card->tools_change = capability(caps, "tools", "listChanged");
    card->prompts_change = capability(caps, "prompts", "listChanged");
    card->resources_change = capability(caps, "resources", "listChanged");
    return card;
}

static enum mcp_version version_of(struct slice text, struct span at)
{
    struct slice raw = rpc_span(text, at);
    return raw.n >= 2 ? mcp_version_parse(slice_of(raw.p + 1, raw.n - 2)) : MCP_VERSION_NONE;
}

static void handshake_result(struct conn *c, struct slice text, const struct rpc_msg *m)
{
    enum mcp_version version = version_of(text, m->protocol_version);
    if (version == MCP_VERSION_NONE || version > MCP_LATEST_LEGACY) {
        conn_fail(
            c, REASON_VERSION, true,
            "the server answered initialize with a protocol version that mcpool does not speak");
        return;
    }
    c->card = card_new(text, m, version);
    struct server *s = c->pool->server;
    card_unref(s->card);
    s->card = card_ref(c->card);

    static const char initialized[] =
        "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}";
    struct payload p = {.text = slice_of(initialized, sizeof(initialized) - 1)};
    conn_send(c, &p, NULL);

    char why[64];
    snprintf(why, sizeof(why), "handshake done, protocol %s", mcp_version_name(version));
    conn_ready(c, why);
}

/* Before READY only the answer to initialize counts. A ping is answered; other requests are
 * refused, as a client that is not initialized would. */
void handshake_on_message(struct conn *c, struct slice text, const struct rpc_msg *m)
{
    struct buf b = BUF_INIT;
    switch (m->kind) {
    case RPC_RESULT:
        if (slice_is(rpc_span(text, m->id), "1"))
            handshake_result(c, text, m);
        return;
    case RPC_ERROR:
        if (slice_is(rpc_span(text, m->id), "1") || m->id.n == 0)
            conn_fail(c, REASON_UPSTREAM_PROTOCOL, false, "the server refused initialize");
        return;
    case RPC_REQUEST:
        if (m->method == MCP_PING)
            rpc_write_result(&b, rpc_span(text, m->id), SLICE("{}"));
        else
            rpc_write_error(&b, rpc_span(text, m->id), MCP_E_METHOD_NOT_FOUND,
                            SLICE("Not available before initialization"), slice_of(NULL, 0));
        send_buf(c, &b);
        return;
    case RPC_NOTIFICATION:
    case RPC_BATCH:
    case RPC_INVALID:
        return;
    }
}
