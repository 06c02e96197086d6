/* The bridge between libevent and base/env. libevent is used for what it does well, epoll and
 * signals; time is ours: one timerfd stands for the earliest of env's timers, so that a timer costs
 * a place in a heap and the simulator runs the same code without libevent. libevent itself has no
 * timer and keeps no time, or it would read the clock several times a turn.
 *
 * A turn: wait; libevent calls back for what is ready (callbacks refresh env.now first); env_run
 * fires timers and then tasks, where streams write what was queued for them in this turn; corpses
 * go. */
#include "io/loop.h"

#include "base/log.h"
#include "base/util.h"

#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/timerfd.h>
#include <unistd.h>

/* The clock is read for the first callback of a turn and again after so many: in a turn with much
 * to do, now is a few callbacks old at most. */
#define CALLBACKS_PER_READING 16

struct loop_signal {
    SLIST_ENTRY(loop_signal) link;
    struct loop *loop;
    struct event *event;
    int signo;
    void (*fn)(void *arg, int signo);
    void *arg;
};

void loop_touch(struct loop *loop)
{
    usec_t now;

    if (loop->touches++ % CALLBACKS_PER_READING != 0)
        return;
    now = clock_monotonic();
    if (now > loop->env.now)
        loop->env.now = now;
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct loop *loop = arg;

    (void)fd; /* never read: edge-triggered, and set anew it is not readable any more */
    (void)what;
    loop_touch(loop);
    loop->timer_at = USEC_NEVER; /* what is due runs in env_run at the end of this turn */
}

/* libevent would write to stderr itself; what it has to say comes back as a failed call anyway. */
static void on_libevent_log(int severity, const char *text)
{
    (void)severity;
    log_debug(NULL, "libevent: %s", text);
}

static struct event_base *new_base(void)
{
    struct event_config *config = event_config_new();
    struct event_base *base = NULL;

    if (!config)
        return NULL;
    /* No environment variable may choose another method, and there is only one thread. */
    if (event_config_set_flag(config, EVENT_BASE_FLAG_IGNORE_ENV | EVENT_BASE_FLAG_NOLOCK |
                                          EVENT_BASE_FLAG_NO_CACHE_TIME) == 0 &&
        event_config_avoid_method(config, "poll") == 0 &&
        event_config_avoid_method(config, "select") == 0)
        base = event_base_new_with_config(config);
    event_config_free(config);
    return base;
}

/* 0 or -errno, and then both are as they were. */
static int new_timer(struct loop *loop)
{
    int fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC), err;

    if (fd < 0)
        return -errno;
    loop->timer = event_new(loop->base, fd, EV_READ | EV_PERSIST | EV_ET, on_timer, loop);
    if (!loop->timer || event_add(loop->timer, NULL) < 0) {
        err = loop->timer ? -EIO : -ENOMEM;
        if (loop->timer)
            event_free(loop->timer);
        close(fd);
        return err;
    }
    loop->timer_fd = fd;
    return 0;
}

int loop_init(struct loop *loop)
{
    struct event_base *base = new_base();
    int r;

    if (!base)
        return errno ? -errno : -ENOMEM;
    *loop = (struct loop){.base = base, .timer_at = USEC_NEVER};
    r = new_timer(loop);
    if (r < 0) {
        event_base_free(base);
        return r;
    }
    signal(SIGPIPE, SIG_IGN);
    event_set_log_callback(on_libevent_log);
    SLIST_INIT(&loop->signals);
    SLIST_INIT(&loop->corpses);
    env_init(&loop->env, NULL, NULL);
    loop_touch(loop);
    loop->touches = 0;
    return 0;
}

void loop_bury(struct loop *loop, struct loop_corpse *corpse, void (*free_fn)(void *), void *arg)
{
    *corpse = (struct loop_corpse){.free_fn = free_fn, .arg = arg};
    SLIST_INSERT_HEAD(&loop->corpses, corpse, link);
}

static void free_corpses(struct loop *loop)
{
    struct loop_corpse *c;

    while ((c = SLIST_FIRST(&loop->corpses))) {
        SLIST_REMOVE_HEAD(&loop->corpses, link);
        c->free_fn(c->arg);
    }
}

void loop_done(struct loop *loop)
{
    struct loop_signal *s;

    free_corpses(loop);
    while ((s = SLIST_FIRST(&loop->signals))) {
        SLIST_REMOVE_HEAD(&loop->signals, link);
        event_free(s->event);
        free(s);
    }
    event_free(loop->timer);
    close(loop->timer_fd);
    event_base_free(loop->base);
    env_done(&loop->env);
    loop->timer = NULL;
    loop->base = NULL;
}

static __attribute__((cold)) void set_timer(struct loop *loop, usec_t at)
{
    struct itimerspec when = {
        .it_value = {.tv_sec = (time_t)(at / USEC_PER_SEC),
                     .tv_nsec = (long)(at % USEC_PER_SEC) * 1000},
    };

    /* A point that has passed rings at once. */
    timerfd_settime(loop->timer_fd, TFD_TIMER_ABSTIME, &when, NULL);
    loop->timer_at = at;
}

void loop_turn(struct loop *loop, usec_t max_wait)
{
    usec_t until = env_next_due(&loop->env);
    bool poll_only = until <= loop->env.now || max_wait == 0;

    if (!poll_only) {
        if (max_wait != USEC_NEVER) {
            loop_touch(loop);
            loop->touches = 0;
            if (loop->env.now + max_wait < until)
                until = loop->env.now + max_wait;
        }
        /* Waking up once too often is cheaper than moving the timer in every turn. */
        if (until < loop->timer_at)
            set_timer(loop, until);
    }
    /* Without EVLOOP_ONCE, NONBLOCK goes on until nothing is ready any more: tasks would starve. */
    event_base_loop(loop->base, poll_only ? EVLOOP_ONCE | EVLOOP_NONBLOCK : EVLOOP_ONCE);
    if (loop->touches == 0)
        loop_touch(loop);
    loop->touches = 0;
    env_run(&loop->env, loop->env.now);
    free_corpses(loop);
}

void loop_run(struct loop *loop)
{
    while (!loop->stopping)
        loop_turn(loop, USEC_NEVER);
    loop->stopping = false;
}

void loop_stop(struct loop *loop)
{
    loop->stopping = true;
}

static void on_signal(evutil_socket_t signo, short what, void *arg)
{
    struct loop_signal *s = arg;

    (void)what;
    loop_touch(s->loop);
    s->fn(s->arg, (int)signo);
}

int loop_on_signal(struct loop *loop, int signo, void (*fn)(void *arg, int signo), void *arg)
{
    struct loop_signal *s;

    SLIST_FOREACH (s, &loop->signals, link) {
        if (s->signo == signo)
            return -EEXIST;
    }
    s = xmalloc(sizeof(*s));
    *s = (struct loop_signal){.loop = loop, .signo = signo, .fn = fn, .arg = arg};
    s->event = evsignal_new(loop->base, signo, on_signal, s);
    if (!s->event || event_add(s->event, NULL) < 0) {
        if (s->event)
            event_free(s->event);
        free(s);
        return -EINVAL;
    }
    SLIST_INSERT_HEAD(&loop->signals, s, link);
    return 0;
}
