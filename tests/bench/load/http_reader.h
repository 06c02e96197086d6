/* The client's half of HTTP: responses with a length, chunked or until the connection ends, plain
 * JSON or event streams, taken apart into messages as they come. */
#ifndef BENCH_LOAD_HTTP_READER_H
#define BENCH_LOAD_HTTP_READER_H

#include "bench/load/answer.h"
#include "wire/http1.h"

#define SESSION_ID_MAX 256

struct http_reader {
    struct http1_scan scan;
    struct http1_body body;
    struct buf head;    /* a head that came in pieces */
    struct slice run;   /* body bytes that were not looked at yet; borrowed from the input */
    unsigned status;    /* of the response under way */
    bool in_body;       /* its head was taken */
    bool is_events;     /* it is an event stream */
    bool keep_alive;    /* the connection can be used after it */
    uint8_t line;       /* where in a line of an event stream */
    uint8_t session_n;  /* length of session_id; 0: none */
    bool wants_session; /* set by the owner: session_id is to be taken from the next head */
    char session_id[SESSION_ID_MAX];
};

enum http_step {
    HTTP_MORE,    /* the input is used up */
    HTTP_MESSAGE, /* *a holds a whole message; reset it and call again */
    HTTP_END,     /* the response is complete; call again */
    HTTP_BAD,     /* no HTTP */
};

/* Ready for the first response of a new connection; keeps the session id. */
void http_reader_reset(struct http_reader *r);
void http_reader_done(struct http_reader *r);

/* Goes on in the input, of which *in is what was not used yet. */
enum http_step http_read(struct http_reader *r, struct slice *in, struct answer *a);

/* The connection ended. HTTP_MESSAGE when a body that only this ends is a message, HTTP_END when
 * such a body holds none, HTTP_MORE between two responses, HTTP_BAD within one. */
enum http_step http_read_end(struct http_reader *r, const struct answer *a);

#endif
