/* A way to one client, seen from the core: the answer side of one POST, a GET stream, an HTTP+SSE
 * stream, or a line connection. The front implements it; calls and sessions hold references to it,
 * so that a channel outlives the connection that it was made for (a POST stream of a legacy client
 * may be resumed). */
#ifndef PROXY_CHANNEL_H
#define PROXY_CHANNEL_H

#include "base/blob.h"
#include "wire/rpc.h"

struct call;
struct channel;

enum delivery {
    DELIVER_ANSWER,       /* the one response of `call`; nothing about that call follows */
    DELIVER_ASK,          /* a request of the server; must not be dropped */
    DELIVER_NOTIFICATION, /* must arrive if at all possible (list_changed, updated, cancelled) */
    DELIVER_DROPPABLE,    /* progress, log messages: dropped when the client reads too slowly */
};

struct channel_ops {
    /* Takes one whole JSON-RPC message. call: the request that it belongs to, NULL when unrelated
     * to any. text and edits are borrowed for the call of this function. 0 when it was taken (or
     * dropped by the rule for DELIVER_DROPPABLE), -EPIPE when the client cannot be reached through
     * this channel any more, -ENOTSUP when this channel cannot carry such a message (a POST whose
     * client accepts JSON only, and the message is not the answer). Neither this nor silent_end may
     * end or free a session or a call: what must end ends later in the turn. */
    int (*send)(struct channel *ch, struct call *call, enum delivery kind,
                const struct payload *text, const struct rpc_edits *edits);
    /* `call` ended and nothing is to be sent for it (the client cancelled it). HTTP: when no call
     * of this POST is left unanswered, the response ends as an empty SSE stream. */
    void (*silent_end)(struct channel *ch, struct call *call);
    /* Whether an ask can be delivered here (an SSE-capable client that is connected or can resume).
     */
    bool (*can_ask)(const struct channel *ch);
    /* Last reference dropped. */
    void (*free)(struct channel *ch);
};

struct channel {
    const struct channel_ops *ops;
    unsigned refs;
};

static inline struct channel *channel_ref(struct channel *ch)
{
    ch->refs++;
    return ch;
}

/* Accepts NULL; returns NULL. */
static inline struct channel *channel_unref(struct channel *ch)
{
    if (ch && --ch->refs == 0)
        ch->ops->free(ch);
    return NULL;
}

#endif
