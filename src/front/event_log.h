/* What was sent on event streams, kept for a while so that a client that lost its connection can
 * read on (Last-Event-ID; protocol.md 2.6). One log per stream, bounded four times: by events and
 * bytes per stream, by bytes per session, by bytes of all sessions together, and by age. What is
 * over goes, oldest first. Pure: the time is a parameter. */
#ifndef FRONT_EVENT_LOG_H
#define FRONT_EVENT_LOG_H

#include "base/time.h"
#include "config/config.h"
#include "front/message.h"

#include <sys/queue.h>

struct event_log;

/* All logs of the process. */
struct event_budget {
    const struct config_limits *limits; /* borrowed */
    size_t bytes;                       /* heap memory held by all logs */
    size_t mapped;                      /* mapped file bytes kept alive by all logs */
    TAILQ_HEAD(, event_log) by_age;     /* the longest unchanged first */
};

/* The logs of one session. */
struct event_owner {
    struct event_budget *budget;
    size_t bytes;
    LIST_HEAD(, event_log) logs;
};

struct kept_event {
    TAILQ_ENTRY(kept_event) link;
    uint64_t seq;
    usec_t kept_at;
    bool is_answer;
    struct message message;
};

struct event_log {
    TAILQ_ENTRY(event_log) age_link;
    LIST_ENTRY(event_log) owner_link;
    struct event_owner *owner;
    TAILQ_HEAD(, kept_event) events;
    unsigned count;
    size_t bytes, mapped;
    usec_t changed_at;
    uint64_t last_seq;    /* of the newest event ever appended; 0 = none yet */
    uint64_t lost_seq;    /* newest event that is not kept any more */
    uint64_t lost_answer; /* newest response that is not kept any more */
    uint64_t serial;      /* names the stream within its session */
    bool in_use;          /* a stream still writes to it; an unused log goes when it runs empty */
    char *name;           /* the <stream> part of its event ids */
};

void event_budget_init(struct event_budget *b, const struct config_limits *limits);
void event_owner_init(struct event_owner *o, struct event_budget *b);

/* Frees all logs of the owner. */
void event_owner_done(struct event_owner *o);

/* Other limits from now on; what is too much for all together goes at once. */
void event_budget_follow(struct event_budget *b, const struct config_limits *limits);

/* Whether logs can hold anything at all under these limits. */
bool event_budget_enabled(const struct event_budget *b);

/* A new log in use. name is copied. */
struct event_log *event_log_new(struct event_owner *o, uint64_t serial, const char *name,
                                usec_t now);
void event_log_free(struct event_log *log);

/* Appends and returns the sequence number of the event, 1 and up. The event counts as sent whether
 * or not there was room to keep it. */
uint64_t event_log_append(struct event_log *log, usec_t now, bool is_answer,
                          const struct payload *p, const struct rpc_edits *edits);

/* The log that has this serial; NULL when there is none (any more). */
struct event_log *event_owner_find(const struct event_owner *o, uint64_t serial);

/* The first kept event after seq, and the one after `e`; NULL at the end. Valid until the log
 * changes. */
const struct kept_event *event_log_after(const struct event_log *log, uint64_t seq);
const struct kept_event *event_log_next(const struct kept_event *e);

/* The stream ended: the log stays for its age, or goes at once when it is empty. */
void event_log_release(struct event_log *log);

/* Drops what is too old. Returns when to call again; USEC_NEVER when nothing is kept. */
usec_t event_budget_expire(struct event_budget *b, usec_t now);

/* ---- event ids: <stream>.<seq> ---- */

/* What an id says. A stream is "g<serial>" (GET stream) or "p<serial>-<base64url of the raw request
 * id>" (POST). */
struct event_id {
    bool is_post;
    uint64_t serial;
    uint64_t seq;
    char request_id[260]; /* POST: the raw JSON token, a string or an integer; "" otherwise */
    size_t request_id_n;
};

/* The name of a stream; the result is malloc'ed. request_id: raw token, n == 0 for a GET stream. */
char *event_stream_name(uint64_t serial, struct slice request_id);

/* Parses what a client sent as Last-Event-ID; false when it is none of ours. The request id was
 * checked to be a JSON string or integer, so that it can be written into an answer. */
bool event_id_parse(struct slice text, struct event_id *ret);

#endif
