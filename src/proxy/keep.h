/* What is known of sessions beyond the life of one process: the log level and the subscriptions of
 * those that may come back, and which ids were ended and must never come back (protocol.md 4.6). */
#ifndef PROXY_KEEP_H
#define PROXY_KEEP_H

#include "base/env.h"
#include "base/store.h"
#include "proxy/proxy.h"

#include <uthash.h>

/* Sessions are known by a hash of their id: who reads the store learns no id. */
#define KEPT_HASH 16

/* What the records themselves take, at most, without a URI. */
#define KEPT_COST 80

struct kept_uri {
    TAILQ_ENTRY(kept_uri) link;
    size_t n;
    char token[]; /* as a JSON string, in the one spelling that buf_append_json_string gives */
};

struct kept {
    unsigned char hash[KEPT_HASH];
    uint64_t issued; /* when the id was made, seconds since 1970 */
    bool revoked;    /* ended for good; then there is nothing else */
    bool live;       /* a session of this process has it: it is not forgotten */
    enum mcp_log_level level;
    TAILQ_HEAD(, kept_uri) uris;
    size_t bytes;           /* what its records take in the store */
    TAILQ_ENTRY(kept) link; /* keeper.ended when revoked, otherwise keeper.waiting unless live */
    UT_hash_handle hh;
};

TAILQ_HEAD(kept_list, kept);

struct keeper {
    struct env *env;
    const struct config_limits *limits;
    struct store *store; /* NULL: everything is forgotten with the process */
    usec_t (*wall_clock)(void);
    struct kept *entries;     /* by hash */
    struct kept_list waiting; /* for their clients to come back; the longest first */
    struct kept_list ended;   /* revoked; the longest first */
    unsigned ended_count;
    bool loading;
    size_t bytes;       /* of all entries … */
    size_t live_bytes;  /* … and of those that live sessions have */
    int failed;         /* why the store does not take records now; 0: it does */
    bool full;          /* it was said that there is no room */
    struct timer retry; /* of a store that failed */
    struct timer expiry;
};

/* tr without a key: nothing is kept. Reads what earlier processes left. */
void keeper_init(struct keeper *k, struct env *env, const struct config_limits *limits,
                 const struct proxy_transports *tr);
void keeper_done(struct keeper *k);

/* Other limits from now on; borrowed until these are replaced or keeper_done. */
void keeper_follow(struct keeper *k, const struct config_limits *limits);

/* The hash under which a session's id is known. */
void kept_hash(struct slice id, unsigned char out[KEPT_HASH]);

/* Seconds since 1970. */
uint64_t keeper_now(const struct keeper *k);
/* Whether an id that was made then is too old to be recognised. */
bool keeper_is_too_old(const struct keeper *k, uint64_t issued);

/* What is known of a session; NULL: nothing. */
struct kept *keeper_find(struct keeper *k, const unsigned char hash[KEPT_HASH]);

/* A session of this process has it from now on: it stays until kept_revoke or keeper_done. */
void kept_claim(struct keeper *k, struct kept *e);

/* What changes in a session, once it has changed. e: what is known of it so far or NULL. Return
 * what is known now; still NULL when nothing was to be kept or there was no room. */
struct kept *kept_set_level(struct keeper *k, struct kept *e, const unsigned char hash[KEPT_HASH],
                            uint64_t issued, enum mcp_log_level level);
/* uri: unescaped. */
struct kept *kept_subscribe(struct keeper *k, struct kept *e, const unsigned char hash[KEPT_HASH],
                            uint64_t issued, struct slice uri);
/* The session ended for good. */
void kept_revoke(struct keeper *k, struct kept *e, const unsigned char hash[KEPT_HASH],
                 uint64_t issued);

/* Whether it was subscribed. e may be NULL. */
bool kept_unsubscribe(struct keeper *k, struct kept *e, struct slice uri);

#endif
