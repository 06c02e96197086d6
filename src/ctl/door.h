/* The memory of `mcpoolctl connect`: one client on stdin and stdout, and a daemon that may go and
 * come back. Pure: lines and points of time in, bytes out; connect.c does the rest.
 *
 * What it promises the client:
 *   - each request gets exactly one answer, unless the client cancels it;
 *   - a session that was made once goes on over any number of connections: `initialize`, the log
 *     level and the subscriptions are said again to the next one, and the client is told what may
 *     have changed meanwhile;
 *   - an error of the door's own says in data.delivered whether the request may have been carried
 *     out, with the reasons that the daemon uses (wire/mcp.h). */
#ifndef CTL_DOOR_H
#define CTL_DOOR_H

#include "base/buf.h"
#include "base/time.h"

#include <stdbool.h>

struct door_limits {
    usec_t wait;        /* the longest that a request waits for a connection */
    unsigned depth_max; /* of JSON */
    unsigned max_batch; /* messages */
};

struct door;

/* server: the name that errors bear; NULL = none. Copied. */
struct door *door_new(const struct door_limits *limits, const char *server);
void door_free(struct door *d); /* accepts NULL */

/* ---- the client ---- */

/* One line of the client, without its end. */
void door_on_client(struct door *d, struct slice line, usec_t now);

/* A line that was thrown away because of its size; id: its raw id, n == 0 when not found. */
void door_on_client_oversize(struct door *d, struct slice id);

/* The client has said everything. */
void door_on_client_end(struct door *d);

/* What is to be written to the client; whoever writes it consumes it. */
struct buf *door_to_client(struct door *d);

/* Whether more of the client's input is wanted now: not while much waits to be written. */
bool door_reads_client(const struct door *d);

/* The client has said everything and was answered everything; what is in door_to_client is all. */
bool door_is_finished(const struct door *d);

/* ---- the daemon ---- */

/* Whether somebody needs a connection: there is a session to keep, or something to send. */
bool door_wants_connection(const struct door *d);

/* There is a connection. */
void door_on_connected(struct door *d);

/* There is none any more, or an attempt to get one failed: why says it in a few words that follow
 * "mcpool cannot be reached: ". retry_at: when the next attempt is to be made. */
void door_on_lost(struct door *d, const char *why, usec_t now, usec_t retry_at);

/* One line of the daemon, without its end; or one that was too large, with its id as above. */
void door_on_server(struct door *d, struct slice line, usec_t now);
void door_on_server_oversize(struct door *d, struct slice id);

/* The next bytes for the daemon (n == 0: none), borrowed until the next call but door_written,
 * which says how many of them were written. */
struct slice door_to_server(struct door *d);
void door_written(struct door *d, size_t n);

bool door_reads_server(const struct door *d);

/* This connection is of no more use: the daemon refused the session, or is shutting down and owes
 * no answer any more. Its owner closes it and reports it lost. */
bool door_wants_close(struct door *d);

/* All is said to the daemon that the client will ever say. */
bool door_is_drained(const struct door *d);

/* Whether anything came of this connection: the session stands, or the daemon answered. */
bool door_has_answer(const struct door *d);

/* ---- time ---- */

/* When door_on_time is to be called next; USEC_NEVER. */
usec_t door_next_due(const struct door *d);

/* Answers the requests that have waited too long. */
void door_on_time(struct door *d, usec_t now);

#endif
