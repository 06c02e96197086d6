/* The connections to one server for one kind of client: keyed by server, principal and capability
 * class (house.md section 5). The pool owns its slots; it decides admission, waiting and on which
 * connection a request runs, and nothing else in the tree does. */
#ifndef UPSTREAM_POOL_H
#define UPSTREAM_POOL_H

#include "base/env.h"
#include "upstream/conn.h"

struct pool;
struct server;
struct ticket;

/* The client features that a connection declares to its server (protocol.md 3.2). */
enum client_feature {
    FEATURE_SAMPLING = 1 << 0,
    FEATURE_SAMPLING_TOOLS = 1 << 1,
    FEATURE_SAMPLING_CONTEXT = 1 << 2,
    FEATURE_ELICITATION_FORM = 1 << 3,
    FEATURE_ELICITATION_URL = 1 << 4,
    FEATURE_ROOTS = 1 << 5,
    FEATURE_ROOTS_CHANGED = 1 << 6,
};

/* A client session as the pool sees it; embedded in the session. Requests of one affinity prefer
 * the same connection, its home; waiting requests are served in turn over affinities, so that one
 * busy client cannot starve the others. */
struct affinity {
    struct pool *pool;
    uint64_t serial;   /* tells affinities apart, also dead ones; never 0 */
    struct conn *home; /* a slot, ready or not; NULL with session sharing until one is leased */
    LIST_ENTRY(affinity) home_link;
    TAILQ_HEAD(, ticket) waiting;
    unsigned waiting_of[2];     /* of these: plain and interactive ones … */
    unsigned waiting_openings;  /* … and initializes */
    TAILQ_ENTRY(affinity) turn; /* in pool->turns while `waiting` is not empty */
};

enum ticket_state { TICKET_IDLE, TICKET_WAITING, TICKET_RUNNING };

/* The claim of one request on a connection; embedded in the call. */
struct ticket {
    enum ticket_state state;
    bool interactive; /* tools/call, prompts/get, resources/read: may have to run alone */
    bool again;       /* ran on a connection that was lost: goes before its session's others */
    bool opening; /* an initialize: is refused at once when the server cannot be started at all */
    struct affinity *affinity;
    struct conn *conn; /* RUNNING: where */
    size_t bytes;      /* of the request, for queue_bytes; set by the owner before pool_submit */
    usec_t queued_at;  /* when it was submitted */
    TAILQ_ENTRY(ticket) link;
    struct timer patience; /* queue_timeout */
};

/* The proxy's side of a pool. None of these may free the pool. */
struct pool_user {
    /* The ticket's turn has come: send its request on t->conn. Synchronous. */
    void (*start)(struct ticket *t);
    /* The ticket will not run: nothing was sent. retry_after 0 = no advice. */
    void (*refuse)(struct ticket *t, enum reason why, usec_t retry_after);
    /* Handshake done. Comes before any ticket runs on this epoch. */
    void (*on_ready)(struct conn *c);
    /* A message that is not part of the handshake. */
    void (*on_message)(struct conn *c, struct payload *text, const struct rpc_msg *m);
    /* A message with this raw id was thrown away unread: see transport_events. */
    void (*on_discarded)(struct conn *c, struct slice id, enum reason why);
    /* The connection is lost or given up, c->running tickets included: the user ends each of them
     * (ticket_done); conn_handed_over still answers for this epoch. */
    void (*on_down)(struct conn *c, enum reason why);
    /* What the pool's connections said may not hold for those that are made from now on: their
     * server is renewed. */
    void (*on_renew)(struct pool *p);
    /* `from` goes and does not come back: what keeps it (its keepers) moves to the slot `to`, in
     * whatever state that is. */
    void (*move_keepers)(struct conn *from, struct conn *to);
    /* Ask the server for a sign of life (ping); conn_note_probe_answered follows, or nothing. */
    void (*probe)(struct conn *c);
    /* A slot is created / destroyed with its pool: attach and detach conn.user. */
    void (*slot_init)(struct conn *c);
    void (*slot_done)(struct conn *c);
    /* The same for the pool as a whole: pool.user. */
    void (*pool_init)(struct pool *p);
    void (*pool_done)(struct pool *p);
};

TAILQ_HEAD(affinity_turns, affinity);

struct pool {
    struct server *server;
    char *principal;
    unsigned features; /* enum client_feature bits: the class */
    struct pool *next;
    struct conn *
        *slots; /* owned, each for the life of the pool: sessions and requests point to them */
    unsigned slot_count;            /* at least max_connections; more once that was lowered */
    unsigned in_state[CONN_STATES]; /* how many of them are in each */
    struct affinity_turns turns;
    unsigned waiting;       /* tickets in line … */
    unsigned waiting_of[2]; /* … plain and interactive ones */
    size_t waiting_bytes;   /* their requests */
    usec_t empty_since;     /* since when slots have failed and none is ready; 0 = not so */
    unsigned affinities;    /* attached sessions */
    bool pinned;            /* the server's default pool: stays without sessions */
    bool server_asks;       /* single channel and the server asks: interactive calls run alone */
    bool stopping;
    void *user; /* the proxy's */
    usec_t idle_since;
    struct timer shrink;
    struct timer
        exorcism; /* the last given-up call of a connection is forgotten: requests may fit again */
    struct task pump;
};

/* The pool of this key, created when there is none. */
struct pool *pool_get(struct server *s, const char *principal, unsigned features);

/* The pool that a client of this kind is to have: that of its features, or, when max_classes of the
 * principal are in use already, the one of clients without features. *ret_features: what it really
 * declares. */
struct pool *pool_get_for_client(struct server *s, const char *principal, unsigned features,
                                 unsigned *ret_features);

/* Brings the pool to at least min_connections connections. */
void pool_start(struct pool *p);

void affinity_init(struct affinity *a, struct pool *p);
/* Leaves the pool; no ticket of it may be WAITING or RUNNING. */
void affinity_done(struct affinity *a);

void ticket_init(struct ticket *t, struct affinity *a);

/* Puts the ticket in line; start or refuse follows, perhaps from inside. (Admission, queueing and
 * balance are decided here and nowhere else.) */
void pool_submit(struct ticket *t);

/* The ticket's request is over (RUNNING), or not wanted any more (WAITING). No callback follows. */
void ticket_done(struct ticket *t);

/* c->ghosts_until or ghosts_of has changed. */
void pool_note_ghosts(struct conn *c);

/* A server asked a client something and it could not be told whom: from now on interactive calls
 * run alone on a connection. */
void pool_note_ambiguous_ask(struct pool *p);

/* Whether any slot is ready, and the earliest next attempt of a failed one (USEC_NEVER when none
 * waits). */
unsigned pool_ready_count(const struct pool *p);
usec_t pool_next_attempt(const struct pool *p);

#endif
