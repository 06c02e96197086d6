/* One slot of a pool: an identity that outlives its transports. idle → connecting → handshake →
 * ready → (draining →) closing → waiting → connecting … It is never thrown away while its pool
 * lives; each new transport raises its epoch. (house.md section 4) */
#ifndef UPSTREAM_CONN_H
#define UPSTREAM_CONN_H

#include "base/env.h"
#include "policy/health.h"
#include "policy/recovery.h"
#include "upstream/transport.h"
#include "wire/mcp.h"

struct affinity;
struct pool;

enum conn_state {
    CONN_IDLE,       /* no transport, none wanted */
    CONN_CONNECTING, /* the transport opens */
    CONN_HANDSHAKE,  /* initialize sent, answer awaited */
    CONN_READY,
    CONN_CLOSING, /* the transport ends; what follows depends on `failed` */
    CONN_WAITING, /* failed: on the recovery queue until retry_at */
};
#define CONN_STATES (CONN_WAITING + 1)
const char *conn_state_name(enum conn_state s);

/* What a server said of itself in its InitializeResult, as raw JSON. */
struct card {
    unsigned refs;
    enum mcp_version version;
    char *capabilities; /* object; "{}" when absent */
    char *server_info;  /* object or NULL */
    char *instructions; /* string token or NULL */
    bool logging;
    bool tools_change, prompts_change, resources_change; /* listChanged was declared */
};
struct card *card_ref(struct card *c);
struct card *card_unref(struct card *c);

#define CONN_GHOSTS_OF_MANY UINT64_MAX

struct conn {
    struct pool *pool;
    unsigned slot;
    enum conn_state state;
    uint32_t epoch; /* raised with each transport */
    struct transport *transport;
    struct config *config;          /* ref: what the present transport was made from … */
    const struct server_config *sc; /* … and its entry there; NULL without a transport */
    struct card *card;              /* of the present transport; NULL before the handshake */
    bool failed;                    /* CLOSING: a failure, so WAITING follows; otherwise IDLE */
    struct recovery recovery;       /* failed attempts and cycles */
    bool answered;                  /* the present transport gave at least one real answer */
    usec_t answered_at;   /* when it gave the latest one, the handshake included; 0 = none */
    usec_t heard_at;      /* when it was last seen to say anything, to the byte */
    uint64_t heard_bytes; /* transport's `received` then */
    struct probe probe;   /* what the monitor thinks of its silence */
    usec_t unheard_since; /* a request that its client took back was sent then, and the server
                             had said nothing since when it was; 0 = none */
    bool suspect;         /* a ping was not answered: no new requests while another place exists */
    bool draining;        /* it is stuck: no new requests; replaced when the last has ended */
    bool outdated;        /* its server was renewed since it was opened: no new requests; replaced
                             when the last has ended */
    bool surplus;         /* there are more than max_connections: the same, and not replaced */
    usec_t leave_by;      /* outdated: when requests that still run are not waited for any longer */
    struct conn *heir;    /* outdated: the slot that was opened for what lives here; may be NULL */
    bool missed;          /* IDLE: closed on purpose while sessions were tied to it: comes back */
    usec_t state_since;   /* when `state` was entered */
    usec_t lost_at;       /* when the last ready transport was lost; 0 = none was, or it is back */
    uint32_t trial_epoch; /* breaker epoch under which the present attempt began */
    bool recovering;      /* has failed and is not back yet */
    bool held;            /* WAITING: due, but the pool has enough attempts under way */
    bool paced;           /* WAITING: its start is reserved … */
    usec_t start_at;      /* … for then */
    bool forced;          /* CLOSING: the next attempt follows at once */
    usec_t attempt_at;    /* when the present or last attempt began */
    bool fatal;           /* the last failure will not go away by itself soon */
    usec_t ready_at;      /* when it last became ready */
    usec_t retry_at;      /* WAITING: when the next attempt is due */
    usec_t idle_since;    /* READY with nothing running */
    uint64_t next_id;     /* upstream request ids: 1, 2, 3 …, never reused within an epoch */
    struct timer timer;   /* handshake budget, retry */
    unsigned running;     /* tickets on this connection */
    unsigned interactive; /* of these, interactive calls */
    struct affinity *lessee; /* exclusive/session sharing: who has it */
    bool used;               /* session sharing: has served somebody, must not serve another */
    LIST_HEAD(, affinity) homed;
    unsigned keepers; /* what ties sessions to this slot besides: their subscriptions */
    /* Until then requests that were cancelled or timed out may still be running here, all of the
     * affinity with this serial, or of several (CONN_GHOSTS_OF_MANY). */
    usec_t ghosts_until;
    uint64_t ghosts_of;
    void *user;              /* the proxy's mux of this slot */
    char last_error[160];    /* of the latest failure; "" = none yet */
    enum reason last_reason; /* of it */
};

/* Sends one message on a READY (or HANDSHAKE, from inside) connection; returns its mark. */
uint64_t conn_send(struct conn *c, const struct payload *text, const struct rpc_edits *edits);
bool conn_handed_over(const struct conn *c, uint64_t mark);
uint64_t conn_mint_id(struct conn *c);
size_t conn_pending(const struct conn *c);

/* The server does not read what it is sent: what may be dropped must be, and no further request is
 * sent there. */
#define CONN_PENDING_HIGH ((size_t)1024 * 1024)
bool conn_is_clogged(const struct conn *c);

/* ---- what the proxy tells of the requests that it ran here. breaker_epoch: the server's
 * breaker.epoch when the request was sent; a late outcome is counted and changes nothing else. */

/* A well-formed answer came, errors included. */
void conn_note_answer(struct conn *c, uint32_t breaker_epoch);
/* An answer came that was no JSON-RPC. */
void conn_note_garbage(struct conn *c, uint32_t breaker_epoch);
/* A request that was sent at started_at was given up for lack of an answer. A connection that was
 * silent all the while is stuck: it gets no further requests and is replaced when the last one that
 * still moves has ended. Call it before ticket_done. */
void conn_note_given_up(struct conn *c, usec_t started_at, uint32_t breaker_epoch);
/* The client of a request that was sent at started_at took it back. Nobody's failure; but clients
 * may give up long before call_timeout, again and again: a connection that has been silent for that
 * time, over more than one request, is stuck as well. Call it before ticket_done. */
void conn_note_taken_back(struct conn *c, usec_t started_at);
/* The answer to pool_user.probe came, be it an error. */
void conn_note_probe_answered(struct conn *c, uint32_t breaker_epoch);

/* The connection is of no use any more (a garbage handshake, a hang): tears it down; it goes onto
 * the recovery queue. detail: sentence for log and status. */
void conn_fail(struct conn *c, enum reason why, bool fatal, const char *detail);

#endif
