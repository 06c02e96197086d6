/* What the modules of the front share: the front itself, and the part of a connection that is the
 * same whatever is spoken on it. */
#ifndef FRONT_FRONT_PRIV_H
#define FRONT_FRONT_PRIV_H

#include "base/buf.h"
#include "front/event_log.h"
#include "front/front.h"
#include "front/ledger.h"
#include "front/origin.h"
#include "front/peers.h"
#include "io/listen.h"
#include "io/stream.h"
#include "proxy/proxy.h"
#include "proxy/route.h"

#include <sys/queue.h>

/* Output waiting for a client above which nothing more is read from it. */
#define OUTPUT_HIGH ((size_t)1024 * 1024)

struct client;
struct http_session;
struct sse_session;

struct front_listener {
    LIST_ENTRY(front_listener) link;
    struct front *front;
    struct listener *listener;
    const struct route *route; /* the only one that is reachable here, ref; NULL: all of them */
    char *where;  /* address or path as configured; "http" for the manager's in place of those */
    char *server; /* the server whose own socket it is, "" = mcp.sock; NULL: an entry of `listen` */
    bool wanted;  /* front_apply: the new configuration has it, too */
    bool is_unix;
    bool inherited;                   /* the service manager's: it goes on listening when we stop */
    bool check_host;                  /* the Host field must be on the allow-list */
    bool stored;                      /* it lies in the descriptor store: so does this one */
    char name[LEDGER_LISTENER];       /* of its address: by which its connections find it again */
    char store_name[LEDGER_LISTENER]; /* of what the configuration asked for: in the store */
    unsigned refs;                    /* one of the front, one of each connection */
};

/* Requests over TCP without a valid token, for the log (access.c). */
struct access_tally {
    struct timer timer; /* armed: the next line is not due yet */
    uint64_t refused;   /* since start */
    uint64_t untold;    /* since the latest line */
    char latest[64];    /* where the latest came from */
};

struct front {
    struct loop *loop;
    struct env *env;
    struct proxy *proxy;
    struct config *config;                 /* one reference */
    LIST_HEAD(, front_listener) listeners; /* in opening order */
    LIST_HEAD(, front_listener) prepared;  /* between front_prepare and what follows it */
    TAILQ_HEAD(, pulse) pulses;            /* of all event streams, in the order they are due */
    struct timer pulse_timer;              /* for the first, or earlier; pulses_beat */
    LIST_HEAD(, client) clients;
    LIST_HEAD(, client) dead; /* closed in this turn; freed at its end */
    LIST_HEAD(, http_session) http_sessions;
    struct task reap;
    struct peers peers;
    struct event_budget events;
    struct timer events_timer; /* armed while events are kept */
    struct sse_session *sse_by_id;
    struct front_counts counts;
    size_t connections;
    usec_t refusal_logged_at; /* 0: never */
    struct access_tally access;
    struct origin_memo host_memo, origin_memo; /* by the present configuration */
    bool draining;
    const struct config *preparing;  /* front_prepare: for whom */
    char why[512];                   /* and what went wrong */
    const struct front_store *store; /* NULL: connections end with this process */
    struct timer store_timer;        /* stores what has proved to live */
    struct task adopt;               /* goes on with `heritage` */
    struct inherited *heritage;      /* connections of an earlier process */
    char http_url[80];               /* of the first TCP listener; "" without one */
    struct timer finish_timer;
    usec_t finish_by;
    void (*finished)(void *arg);
    void *finished_arg;
    struct buf head, event; /* scratch of the writers: empty between calls */
};

static inline const struct config_limits *front_limits(const struct front *f)
{
    return &f->config->limits;
}

/* Arms the timer that ages kept events; call after something was kept. */
void front_events_kept(struct front *f);

/* The route that a name leads to on this listener; NULL when there is none or it is not reachable
 * here. */
const struct route *front_route(const struct front_listener *l, struct slice name);

/* After f->config has changed: closes what its owner may not use any more (access.c). */
void front_access_changed(struct front *f);

/* Whether a route, however it was found, may be used on this listener. */
bool front_reaches(const struct front_listener *l, const struct route *r);

/* A connection gives up its listener. */
void front_listener_unref(struct front_listener *l);

/* ---- connections ---- */

/* What is spoken on a connection. Called from the stream; none is called after client_close. */
struct client_ops {
    void (*on_input)(void *impl);
    void (*on_eof)(void *impl);
    void (*on_drain)(void *impl);
    void (*on_timer)(void *impl);
    void (*on_stop)(void *impl);   /* front_drain, unless the connection is kept */
    void (*on_follow)(void *impl); /* the front follows another configuration; may be NULL */
    /* The connection is to be left to the next process: appends to *rest what was taken from the
     * stream of a message that is not complete. false: not in the middle of this one. */
    bool (*on_leave)(void *impl, struct buf *rest);
    /* The connection is gone, for whatever reason. Everything that points to it must be cut here;
     * impl's memory may be freed in `free` only, since callers may still stand in it. */
    void (*on_close)(void *impl);
    void (*free)(void *impl);
};

/* A client connection. Freed at the end of the turn in which it was closed. */
struct client {
    LIST_ENTRY(client) link;
    struct front *front;
    struct front_listener *listener;
    struct peer_group *peer;
    struct stream *stream;        /* NULL once closed */
    const struct client_ops *ops; /* NULL until the first byte told what is spoken */
    void *impl;
    struct ledger_record *record; /* what the next process will know; NULL: nothing */
    usec_t since_at;              /* when it was accepted */
    struct timer timer;           /* belongs to ops; before that, the idle limit */
    bool stored;                  /* its socket lies in the descriptor store */
    bool eof;                     /* the client ended its side */
    bool doomed;                  /* closes at the end of this turn; nothing is written any more */
    uint32_t input_room;          /* of the stream; 0: what every stream has */
    uint64_t mapped_end;          /* stream total after the latest mapped run was queued */
    size_t mapped_n;              /* its length */
};

/* Starts serving an accepted descriptor, which it owns from now on. */
void client_start(struct front_listener *l, int fd, struct peer_group *peer);

/* The front follows another configuration. May close the connection. */
void client_follow(struct client *c);
/* Goes on with a connection of an earlier process, of which r is the record; fd is owned from now
 * on. What is spoken on it is the caller's to say. */
struct client *client_adopt(struct front_listener *l, int fd, struct peer_group *peer,
                            struct ledger_record *r, const struct ledger_verdict *v);

/* Leaves the connection to the next process: our descriptor goes, the client notices nothing. rest:
 * what was read of it and not used. */
void client_leave(struct client *c, struct slice rest);

/* Nobody shall go on with the connection after us. */
void client_forget(struct client *c);

/* Whether the connection waits for the next process: nothing new is begun on it. */
static inline bool client_is_held(const struct client *c)
{
    return c->stored && c->front->draining;
}

/* Bytes of input that were taken so far. */
uint64_t client_taken(const struct client *c);

/* Closes at once. Idempotent. */
void client_close(struct client *c);

/* Closes once the queued output was written, within a bounded time. Nothing is read any more. */
void client_close_flushed(struct client *c);

/* The task front->reap: frees what was closed. */
void client_reap(void *front);

/* Closes at the end of the turn: for use inside a delivery of the core, which may still hold
 * pointers. */
void client_doom(struct client *c);

static inline bool client_is_open(const struct client *c)
{
    return c->stream != NULL && !c->doomed;
}

/* Arms the connection's timer. */
void client_set_timer(struct client *c, usec_t due_at);

/* Queued output that holds memory: bytes of mapped files that go out by reference do not. */
size_t client_heap_pending(const struct client *c);

/* Whether the client reads too slowly for messages that may be dropped (slow_reader_bytes wait),
 * and for any more at all (twice as much, so that what may not be dropped has room of its own). One
 * message may go beyond. */
bool client_is_slow(const struct client *c);
bool client_is_stuck(const struct client *c);

/* Queues a text with its replacements: small ones copied, big ones by reference. */
void client_write_message(struct client *c, const struct payload *p, const struct rpc_edits *edits);
/* The same with a line end behind it. */
void client_write_line(struct client *c, const struct payload *p, const struct rpc_edits *edits);

/* ---- what may be spoken ---- */

/* Newline-delimited JSON-RPC (line_front.c). */
void line_conn_start(struct client *c);

/* HTTP (http_conn.c). */
void http_conn_start(struct client *c);

/* ---- to the next process (handover.c) ---- */

/* Connections that live for as long as this are put into the store: the many that carry one request
 * are not worth the manager's time. */
#define FRONT_STORE_AGE (500 * USEC_PER_MSEC)

/* The name of a connection in the descriptor store. */
void client_store_name(const struct front *f, const struct ledger_record *r,
                       char out[FRONT_STORE_NAME]);

/* By what a listener for this address or path is known in the store. */
void listener_store_name(const char *where, char out[LEDGER_LISTENER]);

/* A socket of that name that an earlier process has listened on, if it can still be reached; else
 * -1. path: of a unix socket, or NULL. */
int front_claim_listener(struct inherited *in, const char *where, const char *path);

/* Names the listener and has it outlive the process, unless it does anyway; or not any more.
 * Nothing without a store. */
void front_listener_keep(struct front_listener *l);
void front_listener_forget(struct front_listener *l);

/* Puts every connection of at least that age into the store that is not there yet. */
void front_store_clients(struct front *f, usec_t age);

/* Leaves a held connection unless it is in the middle of something that may come to its end yet;
 * now: in any case. */
void front_leave_client(struct client *c, bool now);

/* ---- from an earlier process (adopt.c) ---- */

/* Goes on with f->heritage. */
void front_adopt(void *front);

/* The error for a request that was in flight when the earlier process went. id: raw, or n == 0. */
void adopt_write_error(struct buf *out, const struct route *route, struct slice id);

/* Each goes on with a connection of its kind as its record says. */
void http_conn_go_on(struct client *c, const struct ledger_verdict *v);
void line_conn_go_on(struct client *c, const struct ledger_verdict *v);
void sse_go_on(struct client *c, const struct ledger_verdict *v);

#endif
