/* Who is connected: connections counted per peer, and the principal that a peer is to the core. */
#ifndef FRONT_PEERS_H
#define FRONT_PEERS_H

#include "io/listen.h"

#include <uthash.h>

/* All connections of one address or one unix user. Lives as long as it is referenced. */
struct peer_group {
    UT_hash_handle hh;
    unsigned refs;
    unsigned connections;
    const char *principal; /* "anonymous" over TCP, "uid:1000" over a unix socket */
    char key[64];          /* "127.0.0.1", "uid:1000" */
};

struct peers {
    struct peer_group *by_key;
};

/* The group of a peer; one reference for the caller. */
struct peer_group *peers_get(struct peers *peers, const struct peer *peer);
struct peer_group *peer_group_ref(struct peer_group *g);
void peers_put(struct peers *peers, struct peer_group *g);

#endif
