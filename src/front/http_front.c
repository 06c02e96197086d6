/* HTTP requests: the pipeline of checks of protocol.md 2.1 in its order (the first that fails
 * answers), then the method. Bodies of POST are http_post.c's. */
#include "base/spare.h"
#include "base/util.h"
#include "front/access.h"
#include "front/http_session.h"
#include "front/origin.h"
#include "upstream/server.h"
#include "wire/auth.h"

#include <errno.h>
#include <stdlib.h>

static void refuse(struct http_req *req, unsigned status, int code, enum reason reason,
                   const char *text)
{
    if (req->refuse_status)
        return;
    req->refuse_status = status;
    req->refuse_code = code;
    req->refuse_reason = reason;
    req->refuse_text = text;
}

/* Nearly every request comes with the names of the one before. */
static bool is_host_allowed(struct front *f, struct slice host)
{
    if (origin_memo_has(&f->host_memo, host))
        return true;
    if (!host.p || !origin_host_allowed(&f->config->http.allowed_hosts, host))
        return false;
    origin_memo_set(&f->host_memo, host);
    return true;
}

static bool is_origin_allowed(struct front *f, struct slice origin)
{
    if (origin_memo_has(&f->origin_memo, origin))
        return true;
    if (!origin_allowed(&f->config->http.allowed_origins, origin))
        return false;
    origin_memo_set(&f->origin_memo, origin);
    return true;
}

/* Steps 2 and 3: who may talk to us at all. */
static void check_names(struct http_conn *h, struct http_req *req, const struct http1_request *head)
{
    const struct client *c = http_conn_client(h);
    if (c->listener->check_host && !is_host_allowed(c->front, head->host))
        refuse(req, 403, MCP_E_INVALID_REQUEST, REASON_ORIGIN, "Forbidden");
    const struct http1_headers *f = &head->headers;
    for (unsigned i = 0; (i = http1_next(f, HTTP1_F_ORIGIN, i)) < f->count; i++)
        if (!is_origin_allowed(c->front, f->item[i].value))
            refuse(req, 403, MCP_E_INVALID_REQUEST, REASON_ORIGIN, "Forbidden");
}

static void refuse_token(struct http_req *req, const char *challenge, usec_t delay,
                         const char *text)
{
    if (req->refuse_status)
        return;
    refuse(req, 401, MCP_E_INVALID_REQUEST, REASON_UNAUTHORIZED, text);
    req->refuse_challenge = challenge;
    req->refuse_delay = delay;
}

/* Who asks. On a unix socket the kernel has told; over TCP a token does, when there are any: then
 * *ret_token is it. Nothing that depends on the configuration is answered before it. */
static void check_token(struct http_conn *h, struct http_req *req, const struct http1_request *head,
                        const struct config_token **ret_token)
{
    const struct client *c = http_conn_client(h);
    struct slice secret;
    req->principal = c->peer->principal;
    if (!access_needs_token(c))
        return;
    if (http1_repeats(&head->headers, HTTP1_BIT(HTTP1_F_AUTHORIZATION))) {
        refuse(req, 400, MCP_E_INVALID_REQUEST, REASON_BAD_REQUEST,
               "Bad Request: two Authorization fields");
        return;
    }
    struct slice field = http1_value(&head->headers, HTTP1_F_AUTHORIZATION);
    if ((*ret_token = access_recall(c, req, field)) != NULL)
        return;
    enum auth_kind kind = auth_parse(field, &secret);
    if (kind == AUTH_BEARER)
        *ret_token = access_identify(c, req, field, secret);
    if (*ret_token)
        return;
    access_refused(c->front, c->peer->key);
    if (kind == AUTH_NONE)
        refuse_token(req, "Bearer realm=\"mcpool\"", 0, "Unauthorized: a bearer token is required");
    else
        refuse_token(req, "Bearer realm=\"mcpool\", error=\"invalid_token\"",
                     front_limits(c->front)->auth_failure_delay,
                     "Unauthorized: the bearer token is not valid");
}

/* Whether the token opens that server; whether there is one plays no part, so that nobody can find
 * out which there are beside his own. */
static void check_server(struct http_req *req, const struct config_token *token,
                         struct slice server)
{
    if (server.n == 0 && req->route)
        server = slice_str(route_server_name(req->route));
    if (token && !config_token_opens(token, server))
        refuse(req, 403, MCP_E_INVALID_REQUEST, REASON_FORBIDDEN,
               "Forbidden: the token does not open this server");
}

/* The endpoint that a path names. One that is none any more still leads to the sessions that came
 * in through it: while a removed server finishes what runs, clients may cancel it or answer what
 * they were asked, and the aggregate endpoint may end though its server does not. */
static const struct route *find_route(const struct client *c, const struct http_req *req,
                                      struct slice name)
{
    const struct route *r = front_route(c->listener, name);
    if (!r && req->path == PATH_MCP)
        r = session_route_by_id(c->front->proxy, req->principal, req->session_id, name);
    else if (!r)
        r = sse_front_route(c, req, name);
    return r && front_reaches(c->listener, r) ? route_ref(r) : NULL;
}

/* Steps 4 and 7. */
static void check_endpoint(struct http_conn *h, struct http_req *req,
                           const struct http1_request *head)
{
    struct slice server;
    bool ok = false;
    req->path = path_parse(head->path, &server);
    if (req->path != PATH_UNKNOWN && req->path != PATH_HEALTHZ) {
        const struct config_token *token = NULL;
        check_token(h, req, head, &token);
        req->route = find_route(http_conn_client(h), req, server);
        check_server(req, token, server);
        if (!req->route)
            req->path = PATH_UNKNOWN;
    }
    switch (req->path) {
    case PATH_UNKNOWN:
        refuse(req, 404, 0, REASON_NONE, "No such endpoint. A server's endpoint is /mcp/NAME.\n");
        return;
    case PATH_HEALTHZ:
    case PATH_SSE:
        ok = req->method == HTTP1_GET;
        break;
    case PATH_MESSAGES:
        ok = req->method == HTTP1_POST;
        break;
    case PATH_MCP:
        ok = req->method == HTTP1_GET || req->method == HTTP1_POST || req->method == HTTP1_DELETE;
        break;
    }
    if (!ok)
        refuse(req, 405, 0, REASON_NONE, "");
}

/* Fields that two readers could take differently when they stand twice. */
static void check_single(struct http_req *req, const struct http1_headers *headers)
{
    static const uint32_t single =
        HTTP1_BIT(HTTP1_F_MCP_PROTOCOL_VERSION) | HTTP1_BIT(HTTP1_F_MCP_METHOD) |
        HTTP1_BIT(HTTP1_F_MCP_NAME) | HTTP1_BIT(HTTP1_F_MCP_SESSION_ID) |
        HTTP1_BIT(HTTP1_F_AUTHORIZATION) | HTTP1_BIT(HTTP1_F_LAST_EVENT_ID) |
        HTTP1_BIT(HTTP1_F_CONTENT_TYPE) | HTTP1_BIT(HTTP1_F_CONTENT_ENCODING);
    if (http1_repeats(headers, single))
        refuse(req, 400, MCP_E_INVALID_REQUEST, REASON_BAD_REQUEST,
               "Bad Request: a header field stands twice that must be single");
}

/* Steps 8 and 9, and whether the client can read any answer of ours. */
static void check_content(struct http_conn *h, struct http_req *req,
                          const struct http1_headers *headers)
{
    bool strict = http_conn_client(h)->front->config->http.strict_accept;
    struct slice encoding = http1_value(headers, HTTP1_F_CONTENT_ENCODING);
    req->encoded_body = encoding.p && !slice_is_nocase(encoding, "identity");
    req->json_body = accept_is_json(http1_value(headers, HTTP1_F_CONTENT_TYPE));
    req->accept = accept_parse(headers, strict);
    if (req->method == HTTP1_POST && !req->json_body)
        refuse(req, 415, MCP_E_INVALID_REQUEST, REASON_NONE,
               "Unsupported Media Type: Content-Type must be application/json");
    if (req->path == PATH_MESSAGES || req->path == PATH_HEALTHZ || req->method == HTTP1_DELETE)
        return;
    bool readable = req->accept.sse;
    if (req->method == HTTP1_POST)
        readable =
            strict ? req->accept.json && req->accept.sse : req->accept.json || req->accept.sse;
    if (!readable)
        refuse(req, 406, MCP_E_INVALID_REQUEST, REASON_NONE,
               req->method == HTTP1_POST
                   ? "Not Acceptable: Client must accept application/json and text/event-stream"
                   : "Not Acceptable: Client must accept text/event-stream");
}

static bool is_session_id(struct slice s)
{
    return s.n > 0 && s.n <= HTTP_SESSION_ID_MAX && slice_is_visible(s);
}

/* Copies a value behind the struct, so that it outlives the head. */
static struct slice keep(char **at, struct slice value, size_t max)
{
    if (!value.p || value.n > max)
        return slice_of(NULL, 0);
    memcpy(*at, value.p, value.n);
    struct slice kept = slice_of(*at, value.n);
    *at += value.n;
    return kept;
}

/* Nearly every request is handed over before the next one comes, whichever connection that is on:
 * so the memory of the latest waits for it, if it has no more than this much text. */
#define SPARE_TEXT 512

static struct http_req *spare;

static struct http_req *request_new(size_t text_n)
{
    size_t room = text_n > SPARE_TEXT ? text_n : SPARE_TEXT;
    struct http_req *req = room == SPARE_TEXT ? spare : NULL;
    if (req) {
        spare = NULL;
        spare_take(req, sizeof(*req) + SPARE_TEXT);
    } else {
        req = xmalloc(sizeof(*req) + room);
    }
    memset(req, 0, sizeof(*req));
    req->text_n = text_n;
    return req;
}

void http_front_drop_request(struct http_req *req)
{
    if (spare || req->text_n > SPARE_TEXT) {
        free(req);
        return;
    }
    spare_put(req, sizeof(*req) + SPARE_TEXT);
    spare = req;
}

struct http_req *http_front_on_head(struct http_conn *h, const struct http1_request *head)
{
    const struct http1_headers *headers = &head->headers;
    struct slice session_id = http1_value(headers, HTTP1_F_MCP_SESSION_ID);
    struct slice last_event_id = http1_value(headers, HTTP1_F_LAST_EVENT_ID);
    struct slice query_session = http1_query_get(head->query, "sessionId");
    struct http_req *req = request_new(session_id.n + last_event_id.n + query_session.n);
    char *at = req->text;

    req->method = head->method;
    req->bad_session_id = session_id.p && !is_session_id(session_id);
    req->session_id = keep(&at, session_id, HTTP_SESSION_ID_MAX);
    req->last_event_id = keep(&at, last_event_id, HTTP_EVENT_ID_MAX);
    req->query_session = keep(&at, query_session, HTTP_SESSION_ID_MAX);
    req->header_version =
        header_version_of(http1_value(headers, HTTP1_F_MCP_PROTOCOL_VERSION), &req->version);
    check_names(h, req, head);
    check_endpoint(h, req, head);
    if (!req->refuse_status) {
        check_single(req, headers);
        check_content(h, req, headers);
    }
    return req;
}

static void reply_bad_request(struct http_conn *h, enum reason reason, const char *message)
{
    http_reply_error(
        h, &(struct http_error){
               .status = 400, .code = MCP_E_INVALID_REQUEST, .reason = reason, .message = message});
}

/* The session that a GET or DELETE names; NULL when the answer was given. */
static struct http_session *require_session(struct http_conn *h, const struct http_req *req)
{
    const struct client *c = http_conn_client(h);
    if (req->header_version == HEADER_VERSION_MODERN ||
        req->header_version == HEADER_VERSION_UNKNOWN) {
        reply_bad_request(h, REASON_BAD_REQUEST, "Bad Request: Unsupported protocol version");
        return NULL;
    }
    if (req->bad_session_id) {
        reply_bad_request(h, REASON_BAD_REQUEST, "Bad Request: Mcp-Session-Id is malformed");
        return NULL;
    }
    if (!req->session_id.p) {
        reply_bad_request(h, REASON_SESSION_REQUIRED,
                          "Bad Request: Mcp-Session-Id header is required");
        return NULL;
    }
    struct http_session *hs = NULL;
    int r = http_session_find(c->front, req->route, req->principal, req->session_id, &hs);
    if (r == 0)
        return hs;
    struct http_error e = {.status = 404,
                           .code = MCP_E_SESSION_NOT_FOUND,
                           .reason = REASON_SESSION_NOT_FOUND,
                           .message = "Session not found"};
    if (r != -ENOENT)
        e = http_session_refusal(r, req->route, slice_of(NULL, 0));
    http_reply_error(h, &e);
    return NULL;
}

static void on_get(struct http_conn *h, const struct http_req *req)
{
    struct http_session *hs = require_session(h, req);
    struct event_id id;
    if (!hs)
        return;
    session_touch(hs->session);
    bool resumes_post = req->last_event_id.n && req->last_event_id.p[0] == 'p';
    if (http_conn_client(h)->front->draining && !resumes_post) {
        http_stream_begin(h, "text/event-stream", event_stream_fields, EVENT_STREAM_FIELDS);
        http_sse_retry(h, RETRY_AT_STOP);
        http_stream_end(h);
        return;
    }
    if (!req->last_event_id.p || req->last_event_id.n == 0) {
        get_stream_open(hs, h, NULL);
        return;
    }
    if (!event_id_parse(req->last_event_id, &id))
        id = (struct event_id){0}; /* serial 0 names no stream: as good as lost */
    if (!id.is_post) {
        get_stream_open(hs, h, &id);
        return;
    }
    struct post_stream *ps = post_stream_find(hs, id.serial);
    if (ps)
        post_stream_resume(ps, h, id.seq);
    else
        post_stream_replay(hs, h, &id);
}

static void on_delete(struct http_conn *h, const struct http_req *req)
{
    struct http_session *hs = require_session(h, req);
    if (!hs)
        return;
    session_end(hs->session);
    http_reply(h, 200, NULL, slice_of(NULL, 0), NULL, 0);
}

void http_front_on_request(struct http_conn *h, const struct http_req *req, struct http_in *in)
{
    switch (req->path) {
    case PATH_HEALTHZ:
        http_reply(h, 200, "text/plain", SLICE("ok\n"), NULL, 0);
        return;
    case PATH_SSE:
        sse_front_on_get(h, req);
        return;
    case PATH_MESSAGES:
        sse_front_on_post(h, req, in);
        return;
    case PATH_MCP:
        if (req->method == HTTP1_POST)
            http_post_on_request(h, req, in);
        else if (req->method == HTTP1_GET)
            on_get(h, req);
        else
            on_delete(h, req);
        return;
    case PATH_UNKNOWN:
        break; /* refused from its head */
    }
    http_reply(h, 404, "text/plain", SLICE("Not found\n"), NULL, 0);
}
