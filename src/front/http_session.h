/* What the front keeps for a session of Streamable HTTP: its open streams, and the events that a
 * client may still ask for. Hangs on the core's session as front data. */
#ifndef FRONT_HTTP_SESSION_H
#define FRONT_HTTP_SESSION_H

#include "front/http_conn.h"
#include "proxy/call.h"
#include "proxy/session.h"

/* Every front data begins with this, so that an id of one transport presented on another is told
 * apart. */
struct front_data {
    enum session_transport transport;
};

struct post_stream;
struct get_stream;

struct http_session {
    struct front_data head;        /* SESSION_HTTP */
    LIST_ENTRY(http_session) link; /* front->http_sessions */
    struct front *front;
    struct session *session;
    struct event_owner events;
    LIST_HEAD(, post_stream) posts; /* whose last answer was not delivered yet */
    struct get_stream *get;         /* the open GET stream; NULL: none */
    uint64_t streams;               /* serial of the newest stream */
    struct event_log
        *get_log;    /* all GET streams of a session number their events in one sequence */
    struct task end; /* ends the session after this turn */
};

/* A new session waiting for its initialize; the errors of session_new. */
int http_session_new(struct front *f, const struct route *route, const char *principal,
                     struct http_session **ret);

/* The session that this client may use under this id, one of an earlier process included. 0;
 * -ENOENT when there is none; the errors of session_new when there is one for which there is no
 * place now. *ret is written on success only. */
int http_session_find(struct front *f, const struct route *route, const char *principal,
                      struct slice id, struct http_session **ret);

/* Ends the session at the end of the turn: from inside a delivery it must not go at once. */
void http_session_end_later(struct http_session *hs);

/* Whether streams of this session carry event ids that a client may resume from. */
bool http_session_has_ids(const struct http_session *hs);

/* ---- the answer side of one POST ---- */

struct post_options {
    struct accept accept;
    bool initialize; /* the only request is the one that makes the session */
    bool batch;
    bool ends_session; /* the session lives for this POST only */
};

/* A stream for requests that arrive on h. requests: how many answers there will be. first_id: raw
 * id of the first one. One reference, to be dropped by post_stream_started. */
struct post_stream *post_stream_new(struct http_session *hs, struct http_conn *h,
                                    const struct post_options *opt, unsigned requests,
                                    struct slice first_id);
struct channel *post_stream_channel(struct post_stream *ps);

/* All requests were submitted; from here on the calls alone hold the stream. */
void post_stream_started(struct post_stream *ps);

/* The unfinished stream of that serial; NULL when there is none. */
struct post_stream *post_stream_find(const struct http_session *hs, uint64_t serial);

/* Goes on at h after event seq, which the client has. */
void post_stream_resume(struct post_stream *ps, struct http_conn *h, uint64_t seq);

/* The session is gone: ends what is still open. */
void post_streams_end(struct http_session *hs);

/* ---- GET streams ---- */

/* Opens a GET stream on h, closing an older one. resume: what the client sent as Last-Event-ID;
 * NULL: nothing. */
void get_stream_open(struct http_session *hs, struct http_conn *h, const struct event_id *resume);

/* Ends the open GET stream, if any. */
void get_stream_end(struct http_session *hs);

/* ---- the pulse of an event stream ---- */

/* Keeps a stream alive with comments while it is silent, and notices a client that stopped reading.
 */
struct pulse {
    TAILQ_ENTRY(pulse) link;       /* front->pulses, from start to stop */
    void (*beat)(struct pulse *p); /* calls pulse_beat; may be called once it was started */
    usec_t due_at;                 /* while linked; USEC_NEVER: keep-alives are off */
    bool linked;
    unsigned stuck;  /* beats with output waiting and none sent */
    uint64_t queued; /* totals at the last beat */
    uint64_t sent;
};

/* Starts the pulse, or begins its interval anew; it does not beat while keep-alives are off. */
void pulse_start(struct front *f, struct pulse *p);
void pulse_stop(struct front *f, struct pulse *p);

/* The timer front->pulse_timer: whose interval is over beats. */
void pulses_beat(void *front);

/* keepalive_interval is another than before. */
void pulses_rearm(struct front *f);

/* Writes a comment unless something else was written since the last beat, and goes on. A client
 * that read nothing for several beats while output waited is closed. */
void pulse_beat(struct pulse *p, struct http_conn *h);

/* Answers a GET for a POST stream that has finished (its log may be left) or is not known any more.
 */
void post_stream_replay(struct http_session *hs, struct http_conn *h,
                        const struct event_id *resume);

/* When clients shall come back after a planned stop: long enough for a restart. */
#define RETRY_AT_STOP (5 * USEC_PER_SEC)

/* The fields of an event stream's head. */
#define EVENT_STREAM_FIELDS 2
extern const struct http1_header event_stream_fields[EVENT_STREAM_FIELDS];

/* "<stream>.<seq>" into out; returns it as a slice. */
struct slice event_id_text(struct buf *out, const char *stream, uint64_t seq);

/* The error for a request that makes a session or comes back to one, when there is no place for it:
 * the errors of session_new. */
enum reason session_refusal_reason(int r);
const char *session_refusal_text(int r);
struct http_error http_session_refusal(int r, const struct route *route, struct slice id);

/* ---- POST bodies (http_post.c) ---- */
void http_post_on_request(struct http_conn *h, const struct http_req *req, struct http_in *in);

/* POST without a session where the configuration allows that (sessionless.c). */
void sessionless_on_request(struct http_conn *h, const struct http_req *req,
                            const struct payload *body, const struct rpc_msg *m);

/* ---- HTTP+SSE of 2024-11-05 (sse_front.c) ---- */
void sse_front_on_get(struct http_conn *h, const struct http_req *req);
void sse_front_on_post(struct http_conn *h, const struct http_req *req, struct http_in *in);

/* Ends the sessions whose owner may not use their server any more (access.h), and the streams that
 * have none and whose server is gone. */
void sse_front_recheck(struct front *f);

/* The route of that name that the session named by a request is on, though it may be no endpoint
 * any more; NULL when there is none. */
const struct route *sse_front_route(const struct client *c, const struct http_req *req,
                                    struct slice name);

/* Ends every session of this transport. */
void sse_front_close_all(struct front *f);

#endif
