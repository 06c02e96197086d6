/* A client that has one channel for everything for as long as it is there: a line connection, or an
 * HTTP+SSE stream with its POSTs. The rules before and around `initialize` are the same for both
 * (protocol.md 2.8). */
#ifndef FRONT_DUPLEX_H
#define FRONT_DUPLEX_H

#include "front/http_session.h"

struct duplex {
    struct front_data head;
    struct front *front;
    const struct route *route; /* ref */
    const char *principal;     /* borrowed from the owner's peer */
    struct channel *channel;   /* the owner's, borrowed: answers, errors and pushes go there */
    struct session *session;   /* NULL before initialize and after the end */
    struct task end;           /* ends a session whose initialize failed */
    void (*on_session_end)(struct duplex *d); /* may be NULL */
    /* The connection that carries the answers; NULL: none at the moment. */
    struct client *(*client)(struct duplex *d);
    /* The message at hand is about to be acted on (http_conn_commit). */
    void (*commit)(struct duplex *d);
    struct client *source; /* what brought the message at hand, set by the owner ... */
    uint64_t source_end;   /* ... and where it ended there */
};

void duplex_init(struct duplex *d, struct front *f, enum session_transport transport,
                 const struct route *route, const char *principal, struct channel *channel);

/* One message of the client, a batch included. Everything is answered on the channel, except when
 * ret_error is given and the message cannot be tied to an id: then the answer is appended there and
 * false returned. */
bool duplex_on_message(struct duplex *d, struct payload *text, struct buf *ret_error);

/* The message was thrown away for its size; id: what it had, or n == 0. As above. */
bool duplex_on_oversize(struct duplex *d, struct slice id, struct buf *ret_error);

/* Where output stands, to be remembered before an answer is queued. */
uint64_t duplex_mark(struct duplex *d);

/* The owner has queued the answer of `call`, from mark on: to be called from its channel's send. */
void duplex_answered(struct duplex *d, const struct call *call, uint64_t mark);

/* There will be no answer of `call`: to be called from its channel's silent_end. */
void duplex_dropped(struct duplex *d, const struct call *call);

/* Goes on with the session that an earlier process noted in the client's record; a no-op when it
 * had none. 0 or the errors of session_revive. */
int duplex_revive(struct duplex *d);

/* Answers the requests that were in flight when the earlier process went, each with an error. */
void duplex_answer_lost(struct duplex *d, const struct ledger_verdict *v);

/* The client is gone. */
void duplex_done(struct duplex *d);

#endif
