/* Many deadlines of about one length, of which hardly any is ever reached: what was set last is due
 * last, so they are in order by themselves, and one timer does for all of them. To set and to clear
 * one costs the same however many there are, which is not so with timers. */
#ifndef BASE_DEADLINES_H
#define BASE_DEADLINES_H

#include "base/env.h"

/* Embedded in its owner; zero-initialised it is not set. */
struct deadline {
    TAILQ_ENTRY(deadline) link;
    usec_t due_at;
    uint64_t serial;
    bool set;
};

struct deadlines {
    struct env *env;
    TAILQ_HEAD(deadline_list, deadline) list; /* by due_at, then in the order of setting */
    struct timer timer; /* for the first or before it; armed if there is any */
    uint64_t serial;    /* of the latest that was set */
    void (*passed)(struct deadline *d);
};

/* passed: called from env_run for each that is reached, which is no longer set by then; it may free
 * the owner and set and clear others, but not end ds. */
void deadlines_init(struct deadlines *ds, struct env *env, void (*passed)(struct deadline *d));

/* None may be set. */
void deadlines_done(struct deadlines *ds);

/* Sets d for the point due_at (now when that is already past), or moves it there. Takes as long as
 * there are later ones. */
void deadline_set(struct deadlines *ds, struct deadline *d, usec_t due_at);

/* A no-op when it is not set. */
void deadline_clear(struct deadlines *ds, struct deadline *d);

#endif
