/* One HTTP/1.1 connection of a client: requests come in strictly one after the other, each is
 * answered before the next one is looked at. This module reads requests and writes responses; what
 * they mean is http_front's. */
#ifndef FRONT_HTTP_CONN_H
#define FRONT_HTTP_CONN_H

#include "front/accept.h"
#include "front/era.h"
#include "front/front_priv.h"
#include "front/paths.h"
#include "wire/http1.h"

/* Longest session id and event id that are looked at (protocol.md 8.2). */
#define HTTP_SESSION_ID_MAX 512
#define HTTP_EVENT_ID_MAX   768

struct http_conn;
struct responder;

/* Who writes a response that takes longer than the request's turn. */
struct responder_ops {
    /* The connection is gone, the response unfinished. The responder is detached already. */
    void (*on_gone)(struct responder *r);
    /* The daemon stops: a response that would never end by itself ends now. May be NULL. */
    void (*on_stop)(struct responder *r);
    /* The client's end of input means that it left: a stream that only we write to. */
    bool eof_is_gone;
};

struct responder {
    const struct responder_ops *ops;
};

/* What was taken from a request head; lives until the request was handed over whole. */
struct http_req {
    enum http1_method method;
    enum path_kind path;
    const struct route *route; /* ref; NULL: of no endpoint, or refused */
    const char *principal;     /* who asks: the peer's, or that of the connection's grant */
    bool by_token;             /* the latter */
    struct accept accept;
    enum header_version header_version;
    enum mcp_version
        version;       /* what the header names, 2025-03-26 when it names none of the older ones */
    bool json_body;    /* Content-Type is application/json */
    bool encoded_body; /* Content-Encoding other than identity */
    bool bad_session_id;                    /* no visible ASCII, too long */
    struct slice session_id, last_event_id; /* p == NULL: absent; into text */
    struct slice query_session;
    /* The head alone decides: answer this when status is not 0. */
    unsigned refuse_status;
    int refuse_code; /* JSON-RPC code of the body; 0: refuse_text as plain text */
    enum reason refuse_reason;
    const char *refuse_text;      /* static */
    const char *refuse_challenge; /* WWW-Authenticate of a 401 */
    usec_t refuse_delay;          /* how long to wait with the answer ... */
    usec_t refuse_at;             /* ... and until when; 0: it does not wait */
    size_t text_n;
    char text[];
};

/* A request's body. */
struct http_in {
    struct payload payload; /* the whole body, empty if there was none */
    bool oversize;          /* it was too large and thrown away ... */
    struct slice id;        /* ... but this is the raw id it had (n == 0: none was found) */
};

/* The entry to the meaning of requests (http_front.c). From the head, makes the request and finds
 * out whether it is refused already. */
struct http_req *http_front_on_head(struct http_conn *h, const struct http1_request *head);

/* Gives back its memory. The reference to the route is the caller's to drop. */
void http_front_drop_request(struct http_req *req);

/* The request is complete. It must be answered by one of the functions below, now or, with a
 * responder, later. */
void http_front_on_request(struct http_conn *h, const struct http_req *req, struct http_in *in);

/* The right that the request under way on a connection rests on. */
struct http_claim {
    const struct route *route; /* NULL: no request is under way, or a refused one */
    bool by_token;             /* of the connection's grant */
};

/* Nothing where something else is spoken. */
struct http_claim http_conn_claim(const struct client *c);

struct access_grant;

/* Where the connection keeps what its latest valid token was (access.h); NULL where something else
 * is spoken. The connection frees it. */
struct access_grant **http_conn_grant(const struct client *c);

struct client *http_conn_client(const struct http_conn *h);

/* The connection ends with the response to this request. */
void http_conn_last_request(struct http_conn *h);

/* ---- the record of the connection ---- */

/* Notes a request that h has brought and that will be answered on h. Before http_conn_commit. */
void http_conn_note_id(struct http_conn *h, struct slice id, unsigned flags);

/* The request is about to be acted on: from here on the next process answers for it. A request of
 * which this is never said begins again there. Beginning a response says it, too. */
void http_conn_commit(struct http_conn *h);

/* ---- whole responses ---- */

/* Answers with a body, copied. content_type may be NULL for none. extra: further fields. */
void http_reply(struct http_conn *h, unsigned status, const char *content_type, struct slice body,
                const struct http1_header *extra, size_t extra_n);

/* Answers with one JSON-RPC message, big ones by reference. */
void http_reply_message(struct http_conn *h, unsigned status, const struct payload *p,
                        const struct rpc_edits *edits, const struct http1_header *extra,
                        size_t extra_n);

/* Answers with an error of our own (protocol.md 7). retry_after: 0 = no Retry-After field, else at
 * least a second is told. delivered may be NULL. */
struct http_error {
    unsigned status;
    int code;
    enum reason reason;
    struct slice id;
    const char *server;
    const char *delivered;
    const char *message;
    const char *challenge; /* WWW-Authenticate; NULL = none */
    usec_t retry_after;
};
void http_reply_error(struct http_conn *h, const struct http_error *e);

/* ---- responses in pieces ---- */

/* Ties the connection to the one who will answer; NULL unties. */
void http_conn_attach(struct http_conn *h, struct responder *r);

/* Begins an event stream, or a JSON text that is written in runs. */
void http_stream_begin(struct http_conn *h, const char *content_type,
                       const struct http1_header *extra, size_t extra_n);

/* A run of the body, copied. */
void http_stream_raw(struct http_conn *h, struct slice bytes);
void http_stream_message(struct http_conn *h, const struct payload *p,
                         const struct rpc_edits *edits);

/* One event with a message. id.n == 0: no id; retry 0: no retry line. */
void http_sse_message(struct http_conn *h, struct slice id, usec_t retry, const struct payload *p,
                      const struct rpc_edits *edits);
void http_sse_priming(struct http_conn *h, struct slice id, usec_t retry);
void http_sse_retry(struct http_conn *h, usec_t retry);
void http_sse_keepalive(struct http_conn *h);

/* Ends the body. The responder is untied; the next request may follow. */
void http_stream_end(struct http_conn *h);

#endif
