/* What makes a session, remembered so that the next connection can be given it: the client's own
 * initialize under another id, its initialized, its log level, its subscriptions.
 *
 * A log level or subscription counts from the moment that the daemon accepted it. The answers to
 * what the door says again are for the door. What the client may have missed while there was no
 * connection is unknown, so it is told that everything of which changes are announced may have
 * changed. */
#include "ctl/door_priv.h"

#include "base/util.h"

#include <stdlib.h>

/* ---- what the client asked for ---- */

static struct door_subscription *find_subscription(const struct door *d, const char *uri)
{
    struct door_subscription *s;
    LIST_FOREACH (s, &d->subscriptions, link)
        if (json_id_eq(slice_str(s->uri), slice_str(uri)))
            return s;
    return NULL;
}

static void subscription_free(struct door_subscription *s)
{
    LIST_REMOVE(s, link);
    free(s->uri);
    free(s);
}

static void subscribe(struct door *d, const char *uri)
{
    if (find_subscription(d, uri))
        return;
    struct door_subscription *s = xcalloc(1, sizeof(*s));
    s->uri = xstrdup(uri);
    LIST_INSERT_HEAD(&d->subscriptions, s, link);
}

static void unsubscribe(struct door *d, const char *uri)
{
    struct door_subscription *s = find_subscription(d, uri);
    if (s)
        subscription_free(s);
}

static bool announces(struct slice capabilities, const char *list)
{
    return json_type_of(json_path(capabilities, list, "listChanged", NULL)) == JSON_TRUE;
}

/* The client's own initialize succeeded. */
static void begin(struct door *d, struct slice text, const struct rpc_msg *m)
{
    struct slice caps = rpc_span(text, m->capabilities), v = rpc_span(text, m->protocol_version);
    blob_unref(d->initialize);
    d->initialize = d->greeting;
    d->greeting = NULL;
    d->version = v.n > 2 ? mcp_version_parse(slice_of(v.p + 1, v.n - 2)) : MCP_VERSION_NONE;
    d->changing_lists = 0;
    if (caps.n) {
        d->changing_lists |= announces(caps, "tools") ? LIST_TOOLS : 0;
        d->changing_lists |= announces(caps, "prompts") ? LIST_PROMPTS : 0;
        d->changing_lists |= announces(caps, "resources") ? LIST_RESOURCES : 0;
    }
}

void door_session_on_result(struct door *d, const struct letter *l, struct slice text,
                            const struct rpc_msg *m)
{
    if (l->method == MCP_INITIALIZE && d->greeting) {
        begin(d, text, m);
    } else if (l->method == MCP_LOGGING_SET_LEVEL && l->subject) {
        free(d->level);
        d->level = xstrdup(l->subject);
    } else if (l->method == MCP_RESOURCES_SUBSCRIBE && l->subject) {
        subscribe(d, l->subject);
    } else if (l->method == MCP_RESOURCES_UNSUBSCRIBE && l->subject) {
        unsubscribe(d, l->subject);
    }
}

void door_session_on_refusal(struct door *d)
{
    d->greeting = blob_unref(d->greeting);
    d->greeted = d->initialize != NULL;
    d->initialized = d->initialized && d->greeted;
}

/* ---- saying it again ---- */

static void own_id(struct door *d, struct buf *out)
{
    buf_appendf(out, "\"mcpoolctl-%llu\"", (unsigned long long)++d->last_id);
}

/* A request of the door's own with one parameter. */
static struct letter *own_request(struct door *d, enum letter_kind kind, enum mcp_method method,
                                  const char *param, const char *value)
{
    struct buf b = BUF_INIT, id = BUF_INIT;
    own_id(d, &id);
    buf_append_str(&b, "{\"jsonrpc\":\"2.0\",\"id\":");
    buf_append_slice(&b, buf_peek(&id));
    buf_appendf(&b, ",\"method\":\"%s\",\"params\":{\"%s\":", mcp_method_name(method), param);
    buf_append_str(&b, value);
    buf_append_str(&b, "}}");
    struct letter *l = letter_new(kind, buf_peek(&b), buf_peek(&id));
    l->method = method;
    l->subject = xstrdup(value);
    buf_done(&b);
    buf_done(&id);
    return l;
}

void door_session_replay(struct door *d)
{
    struct slice text = slice_of(d->initialize->p, d->initialize->n - 1); /* without its line end */
    struct rpc_msg m;
    struct rpc_edits edits = {0};
    struct buf b = BUF_INIT, id = BUF_INIT;
    rpc_parse(text, d->limits.depth_max, &m, NULL); /* it was parsed when it came */
    own_id(d, &id);
    rpc_edit_add(&edits, m.id, buf_peek(&id));
    rpc_edit_append(&b, text, &edits);
    struct letter *l = letter_new(LETTER_INITIALIZE, buf_peek(&b), buf_peek(&id));
    l->method = MCP_INITIALIZE;
    letter_post_first(d, l);
    d->state = DOOR_OPENING;
    buf_done(&b);
    buf_done(&id);
}

/* The rest, in front of everything that waits. Put in from the last to the first. */
static void replay_rest(struct door *d)
{
    struct door_subscription *s;
    LIST_FOREACH (s, &d->subscriptions, link)
        letter_post_first(d,
                          own_request(d, LETTER_SUBSCRIBE, MCP_RESOURCES_SUBSCRIBE, "uri", s->uri));
    if (d->level)
        letter_post_first(d,
                          own_request(d, LETTER_LEVEL, MCP_LOGGING_SET_LEVEL, "level", d->level));
    if (d->initialized) {
        struct buf b = BUF_INIT;
        rpc_write_notification(&b, "notifications/initialized", slice_of(NULL, 0));
        letter_post_first(d, letter_new(LETTER_INITIALIZED, buf_peek(&b), slice_of(NULL, 0)));
        buf_done(&b);
    }
}

static void announce_lists(struct door *d)
{
    static const struct {
        unsigned bit;
        enum mcp_method note;
    } lists[] = {
        {LIST_TOOLS, MCP_N_TOOLS_LIST_CHANGED},
        {LIST_PROMPTS, MCP_N_PROMPTS_LIST_CHANGED},
        {LIST_RESOURCES, MCP_N_RESOURCES_LIST_CHANGED},
    };
    for (size_t i = 0; i < ARRAY_LEN(lists); i++)
        if (d->changing_lists & lists[i].bit)
            door_note(d, mcp_method_name(lists[i].note), slice_of(NULL, 0));
}

static void on_session_again(struct door *d, struct slice text, const struct rpc_msg *m)
{
    if (m->kind == RPC_ERROR) {
        buf_reset(&d->why);
        buf_append_str(&d->why, "it did not go on with the session: ");
        if (!json_unescape(rpc_span(text, m->error_message), &d->why, 200))
            buf_append_str(&d->why, "it did not say why");
        d->refused = true;
        return;
    }
    d->state = DOOR_OPEN;
    replay_rest(d);
    if (d->initialized)
        announce_lists(d);
}

void door_session_on_replayed(struct door *d, const struct letter *l, struct slice text,
                              const struct rpc_msg *m)
{
    if (l->kind == LETTER_INITIALIZE) {
        on_session_again(d, text, m);
    } else if (l->kind == LETTER_SUBSCRIBE && find_subscription(d, l->subject)) {
        /* Said after an error as well: what the client knows of the resource is old either way. */
        struct buf b = BUF_INIT;
        buf_append_str(&b, "{\"uri\":");
        buf_append_str(&b, l->subject);
        buf_append_str(&b, "}");
        door_note(d, mcp_method_name(MCP_N_RESOURCES_UPDATED), buf_peek(&b));
        buf_done(&b);
    }
}

void door_session_done(struct door *d)
{
    struct door_subscription *s;
    while ((s = LIST_FIRST(&d->subscriptions)))
        subscription_free(s);
    blob_unref(d->greeting);
    blob_unref(d->initialize);
    free(d->level);
}
