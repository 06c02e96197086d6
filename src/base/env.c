/* Timers, tasks and randomness behind one table.
 *
 * Timers: a binary min-heap of pointers ordered by (due_at, seq), so that equal points fire in the
 * order they were armed and a simulated run is repeatable. heap_pos of a timer is its 1-based place
 * in the heap, kept by place(), the only writer of both.
 *
 * A turn ends: it fires only timers armed before it began (seq up to a mark; a point in the past
 * counts as now, so a timer that rearms itself cannot stand in front of others), and a task that
 * was queued again after it ran goes to `later`. */
#include "base/env.h"

#include "base/util.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

static void kernel_random(void *arg, void *out, size_t n)
{
    char *p = out;

    (void)arg;
    while (n > 0) {
        ssize_t got = getrandom(p, n, 0);

        if (got < 0) {
            /* Only EINTR is possible on a kernel that has the call; without one there are no safe
             * ids. */
            if (errno != EINTR)
                abort();
            continue;
        }
        p += got;
        n -= (size_t)got;
    }
}

void env_init(struct env *env, void (*random)(void *, void *, size_t), void *random_arg)
{
    *env = (struct env){.random = random ? random : kernel_random, .random_arg = random_arg};
    TAILQ_INIT(&env->tasks);
    TAILQ_INIT(&env->later);
}

static void place(struct env *env, size_t pos, struct timer *t)
{
    env->heap[pos - 1] = t;
    t->heap_pos = pos;
}

static bool fires_before(const struct timer *a, const struct timer *b)
{
    return a->due_at != b->due_at ? a->due_at < b->due_at : a->seq < b->seq;
}

/* Puts t at the hole `pos` or above it. */
static void sift_up(struct env *env, size_t pos, struct timer *t)
{
    while (pos > 1 && fires_before(t, env->heap[pos / 2 - 1])) {
        place(env, pos, env->heap[pos / 2 - 1]);
        pos /= 2;
    }
    place(env, pos, t);
}

/* Puts t at the hole `pos` or below it. */
static void sift_down(struct env *env, size_t pos, struct timer *t)
{
    for (size_t child; (child = pos * 2) <= env->heap_len; pos = child) {
        if (child < env->heap_len && fires_before(env->heap[child], env->heap[child - 1]))
            child++;
        if (!fires_before(env->heap[child - 1], t))
            break;
        place(env, pos, env->heap[child - 1]);
    }
    place(env, pos, t);
}

/* Fills the hole `pos` with t, which may belong above or below it. */
static void settle(struct env *env, size_t pos, struct timer *t)
{
    if (pos > 1 && fires_before(t, env->heap[pos / 2 - 1]))
        sift_up(env, pos, t);
    else
        sift_down(env, pos, t);
}

void timer_init(struct timer *t, void (*fn)(void *), void *arg)
{
    *t = (struct timer){.fn = fn, .arg = arg};
}

void env_timer_set(struct env *env, struct timer *t, usec_t due_at)
{
    t->due_at = due_at > env->now ? due_at : env->now;
    t->seq = ++env->timer_seq;
    if (timer_armed(t)) {
        settle(env, t->heap_pos, t);
        return;
    }
    if (env->heap_len == env->heap_cap) {
        env->heap_cap = env->heap_cap ? env->heap_cap * 2 : 16;
        env->heap = xrealloc(env->heap, env->heap_cap * sizeof(struct timer *));
    }
    sift_up(env, ++env->heap_len, t);
}

void env_timer_clear(struct env *env, struct timer *t)
{
    size_t pos = t->heap_pos;
    struct timer *last;

    if (pos == 0)
        return;
    assert(pos <= env->heap_len && env->heap[pos - 1] == t);
    t->heap_pos = 0;
    last = env->heap[--env->heap_len];
    if (last != t)
        settle(env, pos, last);
}

void task_init(struct task *t, void (*fn)(void *), void *arg)
{
    *t = (struct task){.fn = fn, .arg = arg};
}

void env_defer(struct env *env, struct task *t)
{
    if (t->queued)
        return;
    t->queued = true;
    t->later = env->running && t->turn == (uint32_t)env->turn;
    if (t->later)
        TAILQ_INSERT_TAIL(&env->later, t, link);
    else
        TAILQ_INSERT_TAIL(&env->tasks, t, link);
}

void env_task_clear(struct env *env, struct task *t)
{
    if (!t->queued)
        return;
    if (t->later)
        TAILQ_REMOVE(&env->later, t, link);
    else
        TAILQ_REMOVE(&env->tasks, t, link);
    t->queued = t->later = false;
}

usec_t env_next_due(const struct env *env)
{
    if (!TAILQ_EMPTY(&env->tasks) || !TAILQ_EMPTY(&env->later))
        return 0;
    return env->heap_len > 0 ? env->heap[0]->due_at : USEC_NEVER;
}

static void run_timers(struct env *env)
{
    uint64_t mark = env->timer_seq;

    while (env->heap_len > 0 && env->heap[0]->due_at <= env->now && env->heap[0]->seq <= mark) {
        struct timer *t = env->heap[0];

        env_timer_clear(env, t);
        t->fn(t->arg);
    }
}

static void run_tasks(struct env *env)
{
    struct task *t;

    while ((t = TAILQ_FIRST(&env->tasks))) {
        env_task_clear(env, t);
        t->turn = (uint32_t)env->turn;
        t->fn(t->arg);
    }
    while ((t = TAILQ_FIRST(&env->later))) {
        env_task_clear(env, t);
        TAILQ_INSERT_TAIL(&env->tasks, t, link);
        t->queued = true;
    }
}

void env_run(struct env *env, usec_t now)
{
    assert(!env->running);
    env->running = true;
    env->turn++;
    if (now > env->now)
        env->now = now;
    run_timers(env);
    run_tasks(env);
    env->running = false;
}

void env_done(struct env *env)
{
    struct task *t;

    while (env->heap_len > 0)
        env->heap[--env->heap_len]->heap_pos = 0;
    while ((t = TAILQ_FIRST(&env->tasks)) || (t = TAILQ_FIRST(&env->later)))
        env_task_clear(env, t);
    free(env->heap);
    env->heap = NULL;
    env->heap_cap = 0;
}

void env_random_bytes(struct env *env, void *out, size_t n)
{
    env->random(env->random_arg, out, n);
}

uint64_t env_random_below(struct env *env, uint64_t n)
{
    uint64_t v, unfair;

    assert(n > 0);
    /* Of the 2^64 values the lowest 2^64 mod n would make small results more likely. */
    unfair = -n % n;
    do {
        env_random_bytes(env, &v, sizeof(v));
    } while (v < unfair);
    return v % n;
}
