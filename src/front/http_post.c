/* POST on an MCP endpoint: from the body to the session (protocol.md 2.1 steps 9 to 13, 1.8, 7.1
 * to 7.3).
 *
 * The status discipline: a client that holds a live session gets 200, 202 or 404, because several
 * of the deployed clients tear everything down on anything else. So a request whose id can be read
 * is refused in a 200, and a notification or an answer is always accepted. Only a body that cannot
 * be tied to any id gets a 4xx, and whoever has no session yet. */
#include "base/util.h"
#include "front/http_session.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* One POST while it is being judged. */
struct post {
    struct http_conn *h;
    const struct http_req *req;
    struct front *front;
    struct http_session *hs; /* NULL: none was named, or it cannot be had */
    int find_error;          /* … for this reason; 0: none was named */
    struct payload body;
    struct rpc_msg *m; /* of the body, once it was parsed */
};

static void reply_error(const struct post *p, unsigned status, int code, enum reason reason,
                        struct slice id, const char *message)
{
    http_reply_error(
        p->h, &(struct http_error){
                  .status = status, .code = code, .reason = reason, .id = id, .message = message});
}

static void reply_accepted(const struct post *p)
{
    http_reply(p->h, 202, NULL, slice_of(NULL, 0), NULL, 0);
}

/* Looks for the session that the request names. Not for a well-formed initialize: that is made for
 * a new one, and one of an earlier process would be revived for nothing. */
static void find_session(struct post *p)
{
    if (p->req->session_id.p && !p->req->bad_session_id)
        p->find_error = http_session_find(p->front, p->req->route, p->req->principal,
                                          p->req->session_id, &p->hs);
}

static struct slice id_of(const struct post *p)
{
    return p->m->kind == RPC_REQUEST ? rpc_span(p->body.text, p->m->id) : slice_of(NULL, 0);
}

/* Refuses the message in the way that its sender can take. status: for those without a live
 * session. */
static void refuse_message(const struct post *p, unsigned status, int code, enum reason reason,
                           const char *message)
{
    bool is_request = p->m->kind == RPC_REQUEST && p->m->id.n;
    bool is_known =
        p->m->kind == RPC_NOTIFICATION || p->m->kind == RPC_RESULT || p->m->kind == RPC_ERROR;
    if (p->hs && is_request) {
        reply_error(p, 200, code, reason, id_of(p), message);
    } else if (p->hs && is_known) {
        log_debug(LOG_CTX(.session = session_handle(p->hs->session)), "message dropped: %s",
                  message);
        reply_accepted(p);
    } else {
        reply_error(p, status, code, reason, id_of(p), message);
    }
}

static const char *shape_sentence(enum rpc_error e)
{
    switch (e) {
    case RPC_OK:
    case RPC_E_PARSE:
        break;
    case RPC_E_DEPTH:
        return "Invalid Request: nested too deeply";
    case RPC_E_DUPLICATE:
        return "Invalid Request: a key stands twice";
    case RPC_E_SHAPE:
        return "Invalid Request: not a JSON-RPC 2.0 message";
    case RPC_E_LIMIT:
        return "Invalid Request: id, progressToken, method, name or uri out of bounds";
    }
    return "Parse error";
}

/* false: answered. */
static bool parse(struct post *p)
{
    enum rpc_error e = rpc_parse(p->body.text, front_limits(p->front)->json_depth, p->m, NULL);
    if (e == RPC_OK)
        return true;
    if (e == RPC_E_PARSE) {
        /* What is no JSON may be a body cut at the wrong place: nothing after it can be trusted to
         * be a request. */
        http_conn_last_request(p->h);
        *p->m = (struct rpc_msg){.kind = RPC_INVALID};
        reply_error(p, 400, MCP_E_PARSE, REASON_NONE, slice_of(NULL, 0), "Parse error");
    } else {
        find_session(p);
        refuse_message(p, 400, MCP_E_INVALID_REQUEST, REASON_BAD_REQUEST, shape_sentence(e));
    }
    return false;
}

static void refuse_oversize(const struct post *p, struct slice id)
{
    char text[80];
    snprintf(text, sizeof(text), "Message too large (limit %zu)",
             front_limits(p->front)->max_request_bytes);
    reply_error(p, id.n && p->hs ? 200 : 413, MCP_E_INVALID_REQUEST, REASON_TOO_LARGE, id, text);
}

/* A Content-Encoding that we do not undo: often the body is plain JSON all the same, and then its
 * id counts. */
static void refuse_encoding(struct post *p)
{
    if (rpc_parse(p->body.text, front_limits(p->front)->json_depth, p->m, NULL) != RPC_OK)
        *p->m = (struct rpc_msg){.kind = RPC_INVALID};
    refuse_message(p, 415, MCP_E_INVALID_REQUEST, REASON_NONE,
                   "Unsupported Media Type: Content-Encoding must be identity");
}

/* ---- initialize ---- */

/* From here on the request is answered once, by us or by the process after us. */
static void note(const struct post *p, unsigned flags)
{
    http_conn_note_id(p->h, id_of(p), flags);
    http_conn_commit(p->h);
}

static void initialize(struct post *p)
{
    const struct route *route = p->req->route;
    struct http_session *hs;
    int r = http_session_new(p->front, route, p->req->principal, &hs);
    if (r < 0) {
        struct http_error e = http_session_refusal(r, route, id_of(p));
        http_reply_error(p->h, &e);
        return;
    }
    struct post_options opt = {.accept = p->req->accept, .initialize = true};
    note(p, LEDGER_INITIALIZE);
    struct post_stream *ps = post_stream_new(hs, p->h, &opt, 1, id_of(p));
    session_submit(hs->session, post_stream_channel(ps), &p->body, p->m);
    post_stream_started(ps);
}

/* ---- messages of a session ---- */

/* Messages that found no stream for a while leave on this one. */
static void flush_waiting(struct http_session *hs, struct post_stream *ps, struct accept accept)
{
    if (accept.sse && session_has_pending(hs->session))
        session_flush_pending(hs->session, post_stream_channel(ps));
}

static void submit_request(struct post *p)
{
    struct post_options opt = {.accept = p->req->accept};
    note(p, 0);
    struct post_stream *ps = post_stream_new(p->hs, p->h, &opt, 1, id_of(p));
    flush_waiting(p->hs, ps, opt.accept);
    session_submit(p->hs->session, post_stream_channel(ps), &p->body, p->m);
    post_stream_started(ps);
}

/* One element of a batch: what it is, and whether it can be submitted at all. */
static bool parse_element(const struct post *p, struct slice element, struct rpc_msg *m)
{
    enum rpc_error e = rpc_parse(element, front_limits(p->front)->json_depth, m, NULL);
    return e == RPC_OK && m->kind != RPC_BATCH;
}

struct batch_shape {
    unsigned answers;   /* requests, and elements that are answered with an error */
    struct slice first; /* id of the first request; n == 0 without one */
};

/* Whether the batch is served at all. Elements that are no messages spoil only themselves. */
static bool check_batch(const struct post *p, struct batch_shape *ret)
{
    struct slice element;
    size_t pos = 0;
    unsigned n = 0;
    *ret = (struct batch_shape){.first = SLICE("0")};
    while (rpc_batch_next(p->body.text, &pos, &element)) {
        struct rpc_msg m;
        if (++n > front_limits(p->front)->max_batch)
            return false;
        bool good = parse_element(p, element, &m);
        if (good && (m.method == MCP_INITIALIZE ||
                     !era_classify(p->req->header_version, element, &m).legacy))
            return false;
        if (good && m.kind != RPC_REQUEST)
            continue;
        if (good && ret->answers == 0)
            ret->first = rpc_span(element, m.id);
        ret->answers++;
    }
    return n > 0;
}

static void refuse_element(struct post_stream *ps, struct slice element, const struct rpc_msg *m)
{
    struct channel *ch = post_stream_channel(ps);
    struct buf b = BUF_INIT;
    struct slice id = m->kind == RPC_REQUEST ? rpc_span(element, m->id) : slice_of(NULL, 0);
    proxy_write_error(&b, id, MCP_E_INVALID_REQUEST, REASON_BAD_REQUEST, NULL, NULL, 0,
                      "Invalid Request");
    struct payload text = {.text = buf_peek(&b)};
    ch->ops->send(ch, NULL, DELIVER_ANSWER, &text, NULL);
    buf_done(&b);
}

static void submit_elements(struct post *p, struct post_stream *ps)
{
    struct slice element;
    size_t pos = 0;
    while (rpc_batch_next(p->body.text, &pos, &element)) {
        struct rpc_msg m;
        struct payload one = {.text = element, .owner = p->body.owner};
        if (parse_element(p, element, &m))
            session_submit(p->hs->session, ps ? post_stream_channel(ps) : NULL, &one, &m);
        else
            refuse_element(ps, element, &m);
    }
}

static void note_batch(struct post *p)
{
    struct slice element;
    size_t pos = 0;
    if (!http_conn_client(p->h)->record)
        return;
    while (rpc_batch_next(p->body.text, &pos, &element)) {
        struct rpc_msg m;
        if (parse_element(p, element, &m) && m.kind == RPC_REQUEST)
            http_conn_note_id(p->h, rpc_span(element, m.id), LEDGER_BATCH);
    }
    http_conn_commit(p->h);
}

static void submit_batch(struct post *p)
{
    struct batch_shape shape;
    bool known = session_version(p->hs->session) == MCP_2025_03_26;
    if (!known || !check_batch(p, &shape)) {
        reply_error(p, 400, MCP_E_INVALID_REQUEST, REASON_BATCH, slice_of(NULL, 0),
                    known ? "Invalid Request: empty, too long or forbidden batch"
                          : "Invalid Request: batches are not supported");
        return;
    }
    if (shape.answers == 0) {
        submit_elements(p, NULL);
        reply_accepted(p);
        return;
    }
    struct post_options opt = {.accept = p->req->accept, .batch = true};
    note_batch(p);
    struct post_stream *ps = post_stream_new(p->hs, p->h, &opt, shape.answers, shape.first);
    flush_waiting(p->hs, ps, opt.accept);
    submit_elements(p, ps);
    post_stream_started(ps);
}

/* The session of an earlier process is good, but there is no place for it now. Its client must not
 * take it for lost. */
static void refuse_revival(const struct post *p)
{
    struct http_error e = http_session_refusal(p->find_error, p->req->route, id_of(p));
    if (p->m->kind == RPC_NOTIFICATION || p->m->kind == RPC_RESULT || p->m->kind == RPC_ERROR) {
        reply_accepted(p);
        return;
    }
    if (p->m->kind == RPC_REQUEST)
        e.status = 200;
    http_reply_error(p->h, &e);
}

static void no_session(const struct post *p)
{
    const struct http_req *req = p->req;
    if (p->find_error == -EMFILE || p->find_error == -ESHUTDOWN)
        refuse_revival(p);
    else if (req->bad_session_id)
        reply_error(p, 400, MCP_E_INVALID_REQUEST, REASON_BAD_REQUEST, id_of(p),
                    "Bad Request: Mcp-Session-Id is malformed");
    else if (req->session_id.p)
        reply_error(p, 404, MCP_E_SESSION_NOT_FOUND, REASON_SESSION_NOT_FOUND, slice_of(NULL, 0),
                    "Session not found");
    else if (p->front->config->http.sessionless && p->m->kind != RPC_BATCH)
        sessionless_on_request(p->h, req, &p->body, p->m);
    else
        reply_error(p, 400, MCP_E_INVALID_REQUEST, REASON_SESSION_REQUIRED, id_of(p),
                    "Bad Request: Mcp-Session-Id header is required");
}

static void dispatch(struct post *p)
{
    bool initializes = p->m->kind == RPC_REQUEST && p->m->method == MCP_INITIALIZE;
    struct era_verdict era = {.legacy = true};
    if (p->m->kind != RPC_BATCH || p->req->header_version != HEADER_VERSION_ABSENT)
        era = era_classify(p->req->header_version, p->body.text, p->m);
    if (!initializes || !era.legacy)
        find_session(p);
    if (!era.legacy && era.by_header) {
        reply_error(p, 400, MCP_E_INVALID_REQUEST, REASON_BAD_REQUEST, id_of(p), era.message);
        return;
    }
    if (!era.legacy) {
        refuse_message(p, 400, MCP_E_INVALID_REQUEST, REASON_BAD_REQUEST,
                       "Bad Request: Server not initialized");
        return;
    }
    if (initializes) {
        initialize(p);
        return;
    }
    if (!p->hs) {
        no_session(p);
        return;
    }
    switch (p->m->kind) {
    case RPC_REQUEST:
        submit_request(p);
        return;
    case RPC_NOTIFICATION:
    case RPC_RESULT:
    case RPC_ERROR:
        session_submit(p->hs->session, NULL, &p->body, p->m);
        reply_accepted(p);
        return;
    case RPC_BATCH:
        submit_batch(p);
        return;
    case RPC_INVALID:
        break; /* rpc_parse succeeded */
    }
    reply_error(p, 400, MCP_E_INVALID_REQUEST, REASON_BAD_REQUEST, slice_of(NULL, 0),
                "Invalid Request");
}

void http_post_on_request(struct http_conn *h, const struct http_req *req, struct http_in *in)
{
    const struct client *c = http_conn_client(h);
    struct rpc_msg m;
    struct post p = {.h = h, .req = req, .front = c->front, .body = in->payload, .m = &m};
    bool unread = in->oversize || req->encoded_body;
    if (unread)
        find_session(&p);
    if (in->oversize)
        refuse_oversize(&p, in->id);
    else if (unread)
        refuse_encoding(&p);
    else if (parse(&p))
        dispatch(&p);
}
