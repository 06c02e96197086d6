/* GET /events: what happens, as server-sent events, for whoever watches.
 *
 *     event: status   the whole status document on one line; at once, then about every second (less
 *                     often with more than a hundred servers, at least every ten seconds)
 *     event: log      id: PROCESS-NUMBER; an event of level info and above, as JSON
 *     event: lost     {"lost":n}: so many log events came and went while nothing was read
 *
 * The log events are those that the ring keeps. A reader without Last-Event-ID gets all of them,
 * one with it gets those that it has not seen; the id of another process counts as none.
 *
 * What a reader costs is bounded: it holds a number and at most one document under way, of which
 * the next piece is written when the last one was taken. Who reads slowly misses documents and log
 * events, and is told of the latter. Nothing runs while nobody reads. */
#ifndef FRONT_ADMIN_EVENTS_H
#define FRONT_ADMIN_EVENTS_H

#include "front/admin_doc.h"
#include "front/event_ring.h"

/* Who may read at the same time. Less than the connections that there may be: an operator must get
 * in beside them. */
#define ADMIN_READERS_MAX 16
/* Of these, so many without the log: those of the port, which is open to every user of this
 * machine, must not shut out those of the socket. */
#define ADMIN_READERS_BARE_MAX 8

struct admin_feed;
struct admin_reader;

/* env is borrowed. */
struct admin_feed *admin_feed_new(struct env *env);

/* There must be no reader left. Accepts NULL. */
void admin_feed_free(struct admin_feed *f);

/* Whose events are told; borrowed until admin_feed_free. Once. Without it, or with NULL, there is
 * only the status. */
void admin_feed_follow(struct admin_feed *f, struct event_ring *events);

struct admin_reader_options {
    bool with_log;        /* otherwise the status alone */
    struct slice last_id; /* of the last event that was seen; empty: none */
    size_t servers;       /* how many the documents will tell of */
    /* Called when there is something to read again after admin_reader_next has said that there is
     * nothing. Not from inside of it; from inside the log, so it must not log. */
    void (*wake)(void *arg);
    void *arg;
};

/* NULL: there are too many. */
struct admin_reader *admin_reader_new(struct admin_feed *f, const struct admin_reader_options *opt);

/* Accepts NULL; returns NULL. */
struct admin_reader *admin_reader_free(struct admin_reader *r);

/* Appends the next piece. false: there is nothing to say now, and nothing was appended. */
bool admin_reader_next(struct admin_reader *r, const struct admin_view *view, struct buf *out);

#endif
