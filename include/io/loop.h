/* The event loop: libevent below, base/env above. One thread; `now` is as old as a few callbacks at
 * most. */
#ifndef IO_LOOP_H
#define IO_LOOP_H

#include "base/env.h"

struct event;
struct event_base;
struct loop_signal;

/* Memory that must stay until the turn is over because callbacks that know it may still be on the
 * stack. Embedded in its owner. */
struct loop_corpse {
    SLIST_ENTRY(loop_corpse) link;
    void (*free_fn)(void *arg);
    void *arg;
};

struct loop {
    struct env env; /* what the core sees of this loop */
    struct event_base *base;
    bool stopping;
    int timer_fd;        /* the only timer of the kernel's; stands for the earliest of env's */
    struct event *timer; /* of timer_fd */
    usec_t timer_at;     /* what it is set to; USEC_NEVER = not set */
    unsigned touches;    /* calls of loop_touch in this turn */
    SLIST_HEAD(loop_signals, loop_signal) signals;
    SLIST_HEAD(loop_corpses, loop_corpse) corpses;
};

/* Creates the loop (epoll). The process ignores SIGPIPE from here on: a vanished reader is an EPIPE
 * of the write that finds out. 0 or -errno. */
int loop_init(struct loop *loop);

/* Frees the loop and everything buried. Timers and tasks that still wait are not called. */
void loop_done(struct loop *loop);

/* Runs until loop_stop. Each turn: wait for descriptors or the next timer, deliver, then env_run.
 */
void loop_run(struct loop *loop);

/* One turn: waits at most max_wait (USEC_NEVER = as long as it takes) and returns. For tests. */
void loop_turn(struct loop *loop, usec_t max_wait);

/* Makes loop_run return at the end of this turn; called before loop_run, it returns at once. */
void loop_stop(struct loop *loop);

/* Refreshes env.now; called by io at the head of every libevent callback. When many come in one
 * turn, not each of them reads the clock. */
void loop_touch(struct loop *loop);

/* Calls fn(arg, signo) inside the loop when signo arrives. At most one handler per signal: -EEXIST
 * when there is one. Signals are the process's, so only one loop at a time may handle any. 0 or
 * -errno. */
int loop_on_signal(struct loop *loop, int signo, void (*fn)(void *arg, int signo), void *arg);

/* Calls free_fn(arg) when the turn is over, or from loop_done. corpse lies inside what free_fn
 * frees. */
void loop_bury(struct loop *loop, struct loop_corpse *corpse, void (*free_fn)(void *), void *arg);

#endif
