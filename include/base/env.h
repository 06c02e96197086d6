/* The one table through which the core meets the world: the time, timers, "next turn" and
 * randomness. The daemon's loop (io/loop) drives it with the monotonic clock; the simulator drives
 * the very same code with a virtual one. Nothing here calls the operating system except through
 * env->random. */
#ifndef BASE_ENV_H
#define BASE_ENV_H

#include "base/time.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/queue.h>

/* A timer embedded in its owner. Zero-initialised plus timer_init; armed by env_timer_set. */
struct timer {
    usec_t due_at;
    size_t heap_pos; /* 1-based place in the heap; 0 = not armed */
    uint64_t seq;    /* order of arming; the earlier of two equal due_at fires first */
    void (*fn)(void *arg);
    void *arg;
};

/* Work for the end of this loop turn, embedded in its owner; queued at most once. */
struct task {
    TAILQ_ENTRY(task) link;
    void (*fn)(void *arg);
    void *arg;
    uint32_t turn; /* the turn in which it ran last: its low bits, which is as good */
    bool queued;
    bool later; /* queued, but for the next turn because it ran in this one */
};

struct env {
    usec_t now; /* monotonic; the same for everything that happens in one turn */
    struct timer **heap;
    size_t heap_len, heap_cap;
    uint64_t timer_seq;
    TAILQ_HEAD(task_list, task) tasks;
    struct task_list later; /* requeued in the turn they ran; become `tasks` when it ends */
    uint64_t turn;          /* counts env_run */
    bool running;           /* inside env_run */
    void (*random)(void *random_arg, void *out, size_t n); /* fills out with n random bytes */
    void *random_arg;
};

/* random: the source of random bytes, called with random_arg; NULL = the kernel's (getrandom). */
void env_init(struct env *env, void (*random)(void *, void *, size_t), void *random_arg);

/* Frees the heap. Armed timers and queued tasks are disarmed, not called. */
void env_done(struct env *env);

void timer_init(struct timer *t, void (*fn)(void *), void *arg);

/* Arms t for the point due_at (env->now when that is already past), moving it if it was armed. fn
 * is called once, disarmed before the call, from env_run; it may free the timer's owner. */
void env_timer_set(struct env *env, struct timer *t, usec_t due_at);

/* Disarms t; a no-op when it is not armed. */
void env_timer_clear(struct env *env, struct timer *t);

static inline bool timer_armed(const struct timer *t)
{
    return t->heap_pos != 0;
}

void task_init(struct task *t, void (*fn)(void *), void *arg);

/* Queues t for the end of this turn; a no-op when it is queued. */
void env_defer(struct env *env, struct task *t);

/* Takes t off the queue; a no-op when it is not queued. */
void env_task_clear(struct env *env, struct task *t);

/* The earliest armed point; USEC_NEVER when no timer is armed; 0 when tasks are queued. */
usec_t env_next_due(const struct env *env);

/* One turn: sets env->now (it never goes back), calls every timer that is due, in order of due_at
 * and then of arming, and every queued task, including tasks queued by these calls, until none is
 * left. Bounded: a task runs at most once per turn and a timer that is armed during the turn fires
 * in the next one at the earliest; env_next_due tells at once when that is due immediately. Not
 * reentrant. */
void env_run(struct env *env, usec_t now);

/* Random numbers from env's source. env_random_below: uniform in [0, n), n > 0. */
void env_random_bytes(struct env *env, void *out, size_t n);
uint64_t env_random_below(struct env *env, uint64_t n);

#endif
