/* The event loop: libevent below, base/env above. One thread; one `now` per callback. */
#ifndef IO_LOOP_H
#define IO_LOOP_H

#include "base/env.h"

struct event_base;

struct loop {
    struct env env; /* what the core sees of this loop */
    struct event_base *base;
    bool stopping;
};

/* Creates the loop (epoll). 0 or -errno. */
int loop_init(struct loop *loop);
void loop_done(struct loop *loop);

/* Runs until loop_stop. Each turn: wait for descriptors or the next timer, deliver, then env_run. */
void loop_run(struct loop *loop);

/* One turn: waits at most max_wait (USEC_NEVER = as long as it takes) and returns. For tests. */
void loop_turn(struct loop *loop, usec_t max_wait);

void loop_stop(struct loop *loop);

/* Refreshes env.now; called by io at the head of every libevent callback. */
void loop_touch(struct loop *loop);

/* Calls fn(arg, signo) inside the loop when signo arrives. At most one handler per signal. 0 or -errno. */
int loop_on_signal(struct loop *loop, int signo, void (*fn)(void *arg, int signo), void *arg);

#endif
