/* The connection object of http_conn.c (reading) and http_reply.c (writing). */
#ifndef FRONT_HTTP_CONN_PRIV_H
#define FRONT_HTTP_CONN_PRIV_H

#include "front/http_conn.h"

enum http_state {
    HTTP_HEAD,   /* between requests, or inside a head */
    HTTP_BODY,   /* reading a request's body */
    HTTP_REPLY,  /* the request was handed over; input waits */
    HTTP_LINGER, /* everything was written and our side ended; input is thrown away until the
                    client's ends */
};

/* What to do with the bytes of a body. */
enum body_use {
    BODY_KEEP,
    BODY_DISCARD,  /* the head has decided already, or the method has no use for it */
    BODY_OVERSIZE, /* only the id of the message is looked for */
};

/* A body that did not arrive in one piece. */
struct body_in {
    struct buf bytes;
    struct rpc_id_hunt hunt; /* BODY_OVERSIZE */
};

struct http_conn {
    struct client *conn;
    enum http_state state : 8;
    enum body_use use : 8;
    bool by_token;      /* this request was let in for the grant */
    bool reads_json;    /* its client takes JSON for an answer */
    bool http10;        /* this request came as HTTP/1.0 */
    bool keep_alive;    /* another request may follow this one */
    bool head_only;     /* the method is HEAD: no body in the answer */
    bool chunked;       /* a response in pieces is under way, in chunks */
    bool streaming;     /* a response in pieces is under way */
    bool running;       /* run() is on the stack */
    bool noted : 1;     /* this request stands in the record ... */
    bool committed : 1; /* ... and counts */
    bool in_head;       /* the first byte of a head has come, the last has not */
    union {
        struct http1_scan scan; /* HEAD */
        struct {                /* BODY */
            struct http1_body body;
            uint64_t window_bytes; /* body bytes when this window began */
        };
    };
    usec_t since_at; /* HEAD: when the head began, or the connection fell idle; BODY: this window */
    uint64_t sent_mark;   /* bytes sent when a timer last looked: tells progress from a stall */
    struct http_req *req; /* NULL once it was handed over; then ... */
    const struct route *route;  /* ... ref: where it went, until it is answered */
    struct access_grant *grant; /* NULL: no token was needed yet */
    struct body_in *in;
    struct responder *responder;
};

/* The response is complete: the next request, or the end of the connection. */
void http_conn_response_done(struct http_conn *h);

#endif
