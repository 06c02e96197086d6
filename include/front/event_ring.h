/* The latest events of the log, kept in memory for operators: of the process as a whole, and of
 * each server on its own, so that the noise of one does not wash away the history of another. Fed
 * with what the log tells its listener: level info and above, whatever is really logged. Bounded by
 * limits.events_kept and events_kept_per_server; the oldest go first. */
#ifndef FRONT_EVENT_RING_H
#define FRONT_EVENT_RING_H

#include "base/log.h"
#include "config/config.h"

#include <sys/queue.h>

struct event_ring;

/* One event. Borrowed: valid until the next one is logged, or the next event_ring_apply. */
struct event {
    uint64_t seq;    /* 1, 2, 3 … in order of their coming */
    usec_t realtime; /* microseconds since 1970 */
    enum log_level level;
    int slot;           /* -1: none */
    const char *server; /* NULL: none */
    const char *reason; /* NULL: none */
    const char *id;     /* LOG_ID_…; NULL: none */
    struct slice text;  /* escaped; without level and fields; a long one is cut */
};

/* Longest text of an event that is kept. */
#define EVENT_TEXT_MAX 512

/* A ring for the servers and the limits of that configuration, which is not kept. Its feeding is
 * the caller's: log_set_listener(event_ring_on_record, ring). */
struct event_ring *event_ring_new(const struct config *config);

/* Accepts NULL. Must not be the log's listener any more, and have no watches. */
void event_ring_free(struct event_ring *ring);

/* For log_set_listener. */
void event_ring_on_record(void *ring, const struct log_record *r);

/* Another configuration is in force: keeps as much as it says; what was kept of each server that is
 * not in it goes, but stays among the events of the process. */
void event_ring_apply(struct event_ring *ring, const struct config *config);

/* The oldest kept event with a number above seq, NULL when there is none: so all of them are
 *     for (seq = 0; (e = event_ring_after(ring, seq)); seq = e->seq) */
const struct event *event_ring_after(const struct event_ring *ring, uint64_t seq);

/* The same of one server; NULL also when the configuration has none of that name. */
const struct event *event_ring_server_after(const struct event_ring *ring, const char *server,
                                            uint64_t seq);

/* Who wants to hear of each event when it happens. fn is called from inside the log, when the event
 * is in the ring already: it must not log, and must not end this watch or another one. */
struct event_watch {
    LIST_ENTRY(event_watch) link;
    void (*fn)(void *arg, const struct log_record *r);
    void *arg;
};
void event_ring_watch(struct event_ring *ring, struct event_watch *w);
void event_ring_unwatch(struct event_watch *w);

#endif
