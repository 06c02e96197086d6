/* Requests without a session, where `http.sessionless` allows them: tools that POST a single
 * request and never initialise (protocol.md 2.6).
 *
 * The POST gets a session of its own that nobody else can name: an initialize with no capabilities
 * is submitted for it first, its answer is swallowed here, then the request itself goes out on the
 * ordinary POST stream, and the session ends with that stream. */
#include "base/util.h"
#include "front/http_session.h"

#include <errno.h>
#include <stdlib.h>

/* Waits for the answer to the initialize that we made up. */
struct opening {
    struct channel ch; /* one reference of that call */
    struct http_session *hs;
    struct post_stream *post; /* one reference to its channel */
    struct payload body;      /* owner: one reference */
    struct rpc_msg m;
};

static void fail(struct opening *o, const struct call *call)
{
    struct channel *ch = post_stream_channel(o->post);
    struct buf b = BUF_INIT;
    bool failed = call && call_outcome(call) == CALL_FAILED;
    const char *server = session_route(o->hs->session)->name;
    proxy_write_error(&b, rpc_span(o->body.text, o->m.id), MCP_E_INTERNAL,
                      failed ? call_reason(call) : REASON_UPSTREAM_UNAVAILABLE,
                      *server ? server : NULL, "no", failed ? call_retry_after(call) : 0,
                      "The server is not available");
    struct payload text = {.text = buf_peek(&b)};
    ch->ops->send(ch, NULL, DELIVER_ANSWER, &text, NULL);
    buf_done(&b);
}

static int opening_send(struct channel *ch, struct call *call, enum delivery kind,
                        const struct payload *text, const struct rpc_edits *edits)
{
    struct opening *o = container_of(ch, struct opening, ch);
    (void)text;
    (void)edits;
    if (kind != DELIVER_ANSWER)
        return -ENOTSUP;
    if (session_is_initialized(o->hs->session))
        session_submit(o->hs->session, post_stream_channel(o->post), &o->body, &o->m);
    else
        fail(o, call);
    return 0;
}

static void opening_silent_end(struct channel *ch, struct call *call)
{
    struct opening *o = container_of(ch, struct opening, ch);
    struct channel *post = post_stream_channel(o->post);
    post->ops->silent_end(post, call);
}

static bool opening_can_ask(const struct channel *ch)
{
    (void)ch;
    return false;
}

static void opening_free(struct channel *ch)
{
    struct opening *o = container_of(ch, struct opening, ch);
    post_stream_started(o->post);
    blob_unref(o->body.owner);
    free(o);
}

static const struct channel_ops opening_ops = {
    .send = opening_send,
    .silent_end = opening_silent_end,
    .can_ask = opening_can_ask,
    .free = opening_free,
};

static void submit_initialize(struct opening *o, enum mcp_version version)
{
    struct buf b = BUF_INIT;
    struct rpc_msg m;
    buf_appendf(&b,
                "{\"jsonrpc\":\"2.0\",\"id\":0,\"method\":\"initialize\",\"params\":{"
                "\"protocolVersion\":\"%s\","
                "\"capabilities\":{},\"clientInfo\":{\"name\":\"sessionless\",\"version\":\"0\"}}}",
                mcp_version_name(version));
    struct payload text = {.text = buf_peek(&b)};
    if (rpc_parse(text.text, 8, &m, NULL) == RPC_OK)
        session_submit(o->hs->session, &o->ch, &text, &m);
    buf_done(&b);
}

void sessionless_on_request(struct http_conn *h, const struct http_req *req,
                            const struct payload *body, const struct rpc_msg *m)
{
    const struct client *c = http_conn_client(h);
    struct http_session *hs;
    struct slice id = rpc_span(body->text, m->id);
    if (m->kind != RPC_REQUEST) {
        http_reply(h, 202, NULL, slice_of(NULL, 0), NULL,
                   0); /* there is nothing it could refer to */
        return;
    }
    int r = http_session_new(c->front, req->route, req->principal, &hs);
    if (r < 0) {
        http_reply_error(h, &(struct http_error){.status = 200,
                                                 .code = MCP_E_INTERNAL,
                                                 .reason = session_refusal_reason(r),
                                                 .id = id,
                                                 .delivered = "no",
                                                 .message = session_refusal_text(r)});
        return;
    }
    session_set_private(hs->session);
    http_conn_note_id(h, id, 0);
    http_conn_commit(h);
    struct post_options opt = {.accept = req->accept, .ends_session = true};
    struct opening *o = xcalloc(1, sizeof(*o));
    o->ch = (struct channel){.ops = &opening_ops, .refs = 1};
    o->hs = hs;
    o->body = *body;
    payload_hold(&o->body);
    o->m = *m;
    o->post = post_stream_new(hs, h, &opt, 1, id);
    submit_initialize(o, req->version);
    channel_unref(&o->ch);
}
