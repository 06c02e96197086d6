/* Deadlines in a list. The timer is never moved to a later point and never cleared while nothing is
 * reached: it fires once for the first that was set, long after that was cleared, and is then set
 * for the first that there is by now.
 *
 * As with timers, what is set while others are reached waits for the next turn. */
#include "base/deadlines.h"

#include <assert.h>

static void on_time(void *arg)
{
    struct deadlines *ds = arg;
    uint64_t mark = ds->serial;
    struct deadline *d;

    while ((d = TAILQ_FIRST(&ds->list)) && d->due_at <= ds->env->now && d->serial <= mark) {
        deadline_clear(ds, d);
        ds->passed(d);
    }
    if (d)
        env_timer_set(ds->env, &ds->timer, d->due_at);
}

void deadlines_init(struct deadlines *ds, struct env *env, void (*passed)(struct deadline *d))
{
    *ds = (struct deadlines){.env = env, .passed = passed};
    TAILQ_INIT(&ds->list);
    timer_init(&ds->timer, on_time, ds);
}

void deadlines_done(struct deadlines *ds)
{
    assert(TAILQ_EMPTY(&ds->list));
    env_timer_clear(ds->env, &ds->timer);
}

void deadline_set(struct deadlines *ds, struct deadline *d, usec_t due_at)
{
    struct deadline *before;

    if (due_at < ds->env->now)
        due_at = ds->env->now;
    if (d->set && d->due_at == due_at)
        return; /* such as one that is at its latest point, and would pass all the others */
    deadline_clear(ds, d);
    d->due_at = due_at;
    d->serial = ++ds->serial;
    d->set = true;
    before = TAILQ_LAST(&ds->list, deadline_list);
    while (before && before->due_at > d->due_at)
        before = TAILQ_PREV(before, deadline_list, link);
    if (before)
        TAILQ_INSERT_AFTER(&ds->list, before, d, link);
    else
        TAILQ_INSERT_HEAD(&ds->list, d, link);
    if (!timer_armed(&ds->timer) || d->due_at < ds->timer.due_at)
        env_timer_set(ds->env, &ds->timer, d->due_at);
}

void deadline_clear(struct deadlines *ds, struct deadline *d)
{
    if (!d->set)
        return;
    TAILQ_REMOVE(&ds->list, d, link);
    d->set = false;
}
