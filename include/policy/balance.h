/* Which connection of a pool serves a request (house.md section 5). Pure. */
#ifndef POLICY_BALANCE_H
#define POLICY_BALANCE_H

#include <stdbool.h>
#include <stddef.h>

enum balance_sharing { BALANCE_SHARED, BALANCE_EXCLUSIVE, BALANCE_SESSION };

/* A connection as the decision sees it. */
struct balance_conn {
    bool ready;
    bool mine;            /* leased to (or owned by) the asking session */
    bool leased;          /* leased to or owned by some session */
    bool used;            /* has served a session before (session sharing: never serves another) */
    unsigned running;     /* requests in flight on it */
    unsigned interactive; /* of these, interactive calls */
    bool haunted;         /* a given-up request of another session may still be running there */
    size_t pending;       /* bytes queued and not yet taken by the server */
};

/* The rules of the pool, and the request. */
struct balance_rules {
    enum balance_sharing sharing;
    unsigned max_running;
    size_t max_pending;   /* a server that does not read gets no further requests */
    bool one_interactive; /* the server asks its clients: interactive calls run alone
                             (protocol.md 1.7) */
};

/* Whether the request may run on c now. interactive: the request is tools/call, prompts/get or
 * resources/read. */
bool balance_fits(const struct balance_rules *r, const struct balance_conn *c, bool interactive);

/* Whether a is the better of two connections that fit: not haunted, then fewer requests, then fewer
 * pending bytes. */
bool balance_better(const struct balance_conn *a, const struct balance_conn *b);

/* Whether one more connection should be opened for `waiting` requests that found no place, given
 * the connections that are just starting and those that wait after a failure (growing past those
 * would defeat their back-off). */
bool balance_should_grow(const struct balance_rules *r, unsigned waiting, unsigned starting,
                         unsigned recovering);

#endif
