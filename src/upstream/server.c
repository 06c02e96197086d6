/* A configured server: the list of its pools, the card of its latest handshake, and its end. Pools
 * that were stopped for idleness are freed here, once the last of their transports is closed. */
#include "upstream/server.h"

#include "base/util.h"
#include "internal.h"

#include <stdlib.h>

static bool pool_is_quiet(const struct pool *p)
{
    if (!p->stopping || p->affinities)
        return false;
    for (unsigned i = 0; i < p->slot_count; i++)
        if (p->slots[i]->state != CONN_IDLE)
            return false;
    return true;
}

/* Runs from the end of a turn: no pool is freed under a callback of one of its slots. */
static void reap(void *arg)
{
    struct server *s = arg;
    for (struct pool **at = &s->pools; *at;) {
        struct pool *p = *at;
        if (!pool_is_quiet(p)) {
            at = &p->next;
            continue;
        }
        *at = p->next;
        pool_free(p);
    }
    if (s->stopping && s->live == 0 && s->stopped) {
        void (*stopped)(void *) = s->stopped;
        s->stopped = NULL;
        stopped(s->stopped_arg);
    }
}

struct server *server_new(struct env *env, struct config *config, const struct server_config *sc,
                          const struct transport_ops *transport, void *transport_arg,
                          const struct pool_user *user, void *user_arg)
{
    struct server *s = xcalloc(1, sizeof(*s));
    s->env = env;
    s->config = config_ref(config);
    s->sc = sc;
    s->sharing = sc->options.sharing;
    s->transport = transport;
    s->transport_arg = transport_arg;
    s->user = user;
    s->user_arg = user_arg;
    task_init(&s->reap, reap, s);
    s->metrics = metrics_new(METRIC_SERVER);
    replay_budget_init(&s->replay_budget, sc->resilience.replay_budget);
    guard_init(s);
    recover_init(s);
    monitor_init(s);
    renew_init(s);
    failures_init(s);
    tail_init(&s->tail);
    return s;
}

void server_follow(struct server *s, struct config *config, const struct server_config *sc)
{
    struct config *old = s->config;
    s->config = config_ref(config);
    s->sc = sc;
    for (struct pool *p = s->pools; p; p = p->next)
        for (unsigned i = 0; i < p->slot_count; i++)
            conn_follow(p->slots[i]);
    config_unref(old);
}

unsigned server_features(const struct server *s, unsigned f)
{
    unsigned allow = s->sc->options.client_features;
    if (!(allow & CONFIG_FEATURE_SAMPLING))
        f &= ~(unsigned)(FEATURE_SAMPLING | FEATURE_SAMPLING_TOOLS | FEATURE_SAMPLING_CONTEXT);
    if (!(allow & CONFIG_FEATURE_ELICITATION))
        f &= ~(unsigned)(FEATURE_ELICITATION_FORM | FEATURE_ELICITATION_URL);
    if (s->sharing != CONFIG_SHARING_SESSION)
        f &= ~(unsigned)(FEATURE_ROOTS | FEATURE_ROOTS_CHANGED);
    return f;
}

void server_start(struct server *s)
{
    struct pool *p = pool_get(s, "anonymous", 0);
    p->pinned = true;
    pool_start(p);
    recover_begin(s);
    monitor_begin(s);
}

void server_on_transport_closed(struct server *s)
{
    s->live--;
    server_on_pool_quiet(s);
}

void server_on_pool_quiet(struct server *s)
{
    env_defer(s->env, &s->reap);
}

void server_stop(struct server *s, bool now, void (*stopped)(void *), void *arg)
{
    s->stopping = true;
    guard_done(s);
    recover_done(s);
    monitor_done(s);
    renew_done(s);
    failures_done(s);
    s->stopped = stopped;
    s->stopped_arg = arg;
    for (struct pool *p = s->pools; p; p = p->next)
        pool_stop(p, now);
    server_on_pool_quiet(s);
}

void server_hurry(struct server *s)
{
    for (struct pool *p = s->pools; p; p = p->next)
        pool_stop(p, true);
}

void server_free(struct server *s)
{
    if (!s)
        return;
    env_task_clear(s->env, &s->reap);
    while (s->pools) {
        struct pool *p = s->pools;
        s->pools = p->next;
        pool_free(p);
    }
    guard_done(s);
    recover_done(s);
    monitor_done(s);
    renew_done(s);
    failures_done(s);
    tail_done(&s->tail);
    metrics_free(s->metrics);
    card_unref(s->card);
    config_unref(s->config);
    free(s);
}
