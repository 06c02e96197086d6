/* Peers. The key is the address without the port, so that one client host is one peer however many
 * connections it opens, and the user id on unix sockets, where SO_PEERCRED makes it a trustworthy
 * identity. */
#include "front/peers.h"

#include "base/util.h"

#include <stdio.h>
#include <stdlib.h>

static void make_key(const struct peer *peer, char *key, size_t cap)
{
    if (peer->is_unix) {
        snprintf(key, cap, "uid:%lu", (unsigned long)peer->uid);
        return;
    }
    snprintf(key, cap, "%s", peer->text);
    char *colon = strrchr(key, ':');
    if (colon)
        *colon = 0;
}

struct peer_group *peers_get(struct peers *peers, const struct peer *peer)
{
    char key[sizeof(((struct peer_group *)0)->key)];
    make_key(peer, key, sizeof(key));
    struct peer_group *g;
    HASH_FIND_STR(peers->by_key, key, g);
    if (!g) {
        g = xcalloc(1, sizeof(*g));
        memcpy(g->key, key, sizeof(key));
        g->principal = peer->is_unix ? g->key : "anonymous";
        HASH_ADD_STR(peers->by_key, key, g);
    }
    return peer_group_ref(g);
}

struct peer_group *peer_group_ref(struct peer_group *g)
{
    g->refs++;
    return g;
}

void peers_put(struct peers *peers, struct peer_group *g)
{
    if (--g->refs)
        return;
    HASH_DEL(peers->by_key, g);
    free(g);
}
