/* One seed: a configuration, faults at random (safety), then none (liveness), then the end. */
#include "sim.h"

#include "base/log.h"

#define STEPS_MIN 200
#define STEPS_MAX 700

/* ---- the configuration ---- */

static void write_resilience(char *out, size_t cap)
{
    unsigned max = 1 + upto(4), base = 100 + upto(1900);
    if (chance(35)) { /* the default numbers, but for the sizes */
        snprintf(out, cap, "\"min_connections\":%u,\"max_connections\":%u", upto(max + 1), max);
        return;
    }
    static const char *const adaptive[] = {"off", "observe", "on"};
    unsigned cap_ms = base + upto(60000);
    snprintf(out, cap,
             "\"min_connections\":%u,\"max_connections\":%u,\"backoff_base\":\"%ums\","
             "\"max_backoff_delay\":\"%ums\",\"recovery_jitter_max\":\"%ums\","
             "\"max_retry_attempts\":%u,\"recovery_interval\":%u,\"health_check_interval\":%u,"
             "\"circuit_breaker_threshold\":%u,\"circuit_breaker_timeout\":%u,"
             "\"circuit_breaker_volume\":%u,\"circuit_breaker_successes\":%u,"
             "\"circuit_breaker_ramp\":%u,\"operation_timeout\":%u,\"call_timeout\":%u,"
             "\"queue_timeout\":%u,\"force_recovery_interval\":%u,\"stable_after\":%u,"
             "\"adaptive_backoff\":\"%s\",\"replay_budget\":%u",
             upto(max + 1), max, base, cap_ms, upto(5000), 1 + upto(10), 1 + upto(60), 1 + upto(30),
             1 + upto(6), 1 + upto(60), 3 + upto(10), 1 + upto(3), upto(11), 1 + upto(30),
             5 + upto(60), 1 + upto(20), 1 + upto(chance(50) ? 30 : 300), 1 + upto(10),
             adaptive[upto(3)], upto(4));
}

static const char *const sharing[] = {"shared", "exclusive", "session"};
static const char *const replay[] = {"reads", "annotated", "off"};

static void write_server(char *out, size_t cap, unsigned i, const char *shares, const char *replays)
{
    char resilience[800];
    write_resilience(resilience, sizeof(resilience));
    snprintf(out, cap,
             "%s\"s%u\":{\"command\":\"s\",\"sharing\":\"%s\",\"server_asks\":\"%s\","
             "\"replay\":\"%s\",\"wait_for_ready\":%s,%s\"resilience\":{%s},\"limits\":{"
             "\"max_in_flight_per_connection\":%u,\"idle_shrink\":%u,\"queue_length\":%u,"
             "\"max_classes\":%u}}",
             i ? "," : "", i, shares, chance(80) ? "auto" : "yes", replays,
             chance(30) ? "true" : "false",
             chance(20) ? "\"client_features\":[\"sampling\",\"elicitation\",\"roots\"]," : "",
             resilience, 1 + upto(4), chance(30) ? 0 : 1 + upto(20), upto(30), 1 + upto(4));
}

static void write_config(char *out, size_t cap)
{
    snprintf(sim.globals, sizeof(sim.globals),
             "{\"runtime_dir\":\"/nonexistent\",\"state_dir\":\"/nonexistent\",\"limits\":{"
             "\"max_in_flight_per_session\":%u,\"max_in_flight_per_principal\":%u,"
             "\"session_idle_timeout\":%u,\"pending_notifications\":%u,\"drain_timeout\":%u,"
             "\"start_rate\":%u,\"start_burst\":%u},\"mcpServers\":{",
             2 + upto(20), 2 + upto(40), chance(50) ? 0 : 10 + upto(200), 1 + upto(5), upto(30),
             1 + upto(20), 1 + upto(20));
    size_t n = (size_t)snprintf(out, cap, "%s", sim.globals);
    for (unsigned i = 0; i < sim.backend_n; i++) {
        const char *shares = sharing[upto(3)];
        write_server(out + n, cap - n, i, shares, replay[upto(3)]);
        n += strlen(out + n);
    }
    snprintf(out + n, cap - n, "}}");
}

void run_write_changed(char *out, size_t cap, const struct backend *b)
{
    const struct server *s = b->route->server;
    size_t n = (size_t)snprintf(out, cap, "%s", sim.globals);
    /* The name is what tells servers apart; a comma before the first entry would be wrong. */
    char entry[2048];
    write_server(entry, sizeof(entry), b->index, sharing[s->sharing],
                 replay[s->sc->options.replay]);
    snprintf(out + n, cap - n, "%s}}", entry + (b->index > 0));
}

struct config *run_read_config(const char *text)
{
    struct config *config;
    struct config_errors errs;
    config_errors_init(&errs);
    int r = config_parse(slice_str(text), NULL, &config, &errs);
    if (r < 0)
        config_errors_write(&errs, stderr);
    config_errors_done(&errs);
    CHECK(STRUCTURE, r == 0, "the world's configuration is wrong: %.600s", text);
    return config;
}

void run_open(const char *config_text)
{
    sim.config = run_read_config(config_text);
    struct proxy_transports tr = {.stdio = &proc_ops};
    sim.proxy = proxy_new(&sim.env, sim.config, &tr);
    for (unsigned i = 0; i < sim.backend_n; i++) {
        struct backend *b = &sim.backends[i];
        b->index = i;
        snprintf(b->name, sizeof(b->name), "s%u", i);
        b->route = route_find(sim.proxy, slice_str(b->name));
        b->budgets = b->route->server->sc->resilience.replay_budget;
        breaker_begin(b);
    }
    for (unsigned i = 0; i < sim.player_n; i++) {
        struct player *p = &sim.players[i];
        p->index = i + 1;
        p->main.of = p->post.of = p;
    }
}

static void begin(uint64_t seed, bool trace)
{
    char text[8192];
    world_init(seed, trace);
    sim.backend_n = 1 + (chance(50) ? 0 : upto(4));
    sim.player_n = 1 + upto(PLAYERS_MAX);
    sim.time_share = 3 + upto(25);
    sim.fault_share = 2 + upto(20);
    sim.loses_timers = chance(15);
    if (sim.loses_timers && !trace)
        log_set_level(LOG_LEVEL_CRITICAL + 1); /* the sweep's repairs are what is wanted */
    write_config(text, sizeof(text));
    event("config", 0, 0, "is", slice_str(text));
    if (trace)
        fprintf(stderr, "%s\n", text);
    run_open(text);
    for (unsigned i = 0; i < sim.backend_n; i++)
        if (chance(10))
            sim.backends[i].until[MOOD_REFUSE] = sim.env.now + 30 * USEC_PER_SEC;
    proxy_start(sim.proxy);
    if (chance(80))
        turn();
}

/* ---- safety ---- */

static void check(void)
{
    structure_check();
    requests_check();
    status_check();
}

static void step(void)
{
    unsigned die = upto(100);
    sim.step++;
    if (die < sim.time_share)
        time_step();
    else if (die < sim.time_share + sim.fault_share)
        fault_step();
    else if (chance(45))
        client_step();
    else
        backend_step();
    turn();
    check();
    clients_end_failed();
    check();
}

/* ---- liveness ---- */

/* Servers answer, clients answer what they are asked. */
static void obey(usec_t span)
{
    for (usec_t end = sim.env.now + span; sim.env.now < end;) {
        struct proc *p;
        LIST_FOREACH (p, &sim.procs, link)
            backend_answers_all(p);
        turn();
        for (unsigned i = 0; i < sim.player_n; i++)
            if (playing(&sim.players[i]))
                client_answers(&sim.players[i], true);
        clients_end_failed();
        check();
        pass(USEC_PER_SEC / 4);
    }
}

static bool anybody_waits(void)
{
    for (unsigned i = 1; i <= sim.req_n; i++)
        if (sim.reqs[i].open)
            return true;
    return false;
}

/* A request of each client that is there: does it reach a server and come back? It may be refused
 * at first, by a breaker that is open and has nothing to try. */
static void everybody_asks(void)
{
    usec_t began = sim.env.now, limit = served_limit();
    for (unsigned i = 0; i < sim.player_n; i++) {
        struct player *p = &sim.players[i];
        bool served = false;
        while (!served && playing(p) && session_is_initialized(p->session)) {
            CHECK(I9_READY_AGAIN, sim.env.now <= began + limit,
                  "client %u is not served %.3f s after the last fault", p->index,
                  (double)(sim.env.now - began) / USEC_PER_SEC);
            client_asks(p, MCP_TOOLS_LIST);
            const struct req *r = &sim.reqs[sim.req_n];
            do
                obey(USEC_PER_SEC);
            while (r->open);
            served = r->server_answered;
        }
    }
}

/* Who wants updates gets them, who does not does not, and no server is subscribed for nobody. */
static void check_subscriptions(void)
{
    for (unsigned i = 0; i < sim.player_n; i++) {
        struct player *p = &sim.players[i];
        if (playing(p)) { /* what has waited for a way out goes first */
            p->flushing = true;
            session_set_push(p->session, NULL);
            session_set_push(p->session, &p->main.channel);
            p->flushing = false;
        }
        memset(p->updates, 0, sizeof(p->updates));
    }
    struct proc *p;
    LIST_FOREACH (p, &sim.procs, link)
        for (int u = 0; proc_talks(p) && u < URIS; u++) {
            unsigned before = sim.updated;
            bool subscribed = p->subscribed[u];
            backend_updates(p, u);
            CHECK(I11_MONOTONIC, !subscribed || sim.updated > before,
                  "server %s is subscribed to %s for nobody", p->of->name, uri_of(u));
        }
    for (unsigned i = 0; i < sim.player_n; i++) {
        struct player *c = &sim.players[i];
        for (int u = 0; u < URIS && playing(c); u++)
            CHECK(I11_MONOTONIC,
                  c->wants[u] == SUB_MAYBE || c->updates[u] == (c->wants[u] == SUB_YES),
                  "client %u: %u updates of %s", c->index, c->updates[u], uri_of(u));
    }
}

/* I9: once the faults stop, everything works again, in time. */
static void heal(void)
{
    char why[300];
    sim.step++;
    if (sim.loses_timers)
        lose_a_timer();
    faults_stop();
    operator_ends();
    usec_t began = sim.env.now, limit = ready_limit();
    while (!everything_is_ready(why, sizeof(why))) {
        CHECK(I9_READY_AGAIN, sim.env.now <= began + limit, "%.3f s after the last fault: %s",
              (double)(sim.env.now - began) / USEC_PER_SEC, why);
        obey(USEC_PER_SEC / 4);
    }
    for (unsigned n = 0; n < 1000 && anybody_waits(); n++)
        obey(USEC_PER_SEC / 2);
    requests_all_ended();
    everybody_asks();
    obey(5 * USEC_PER_SEC);
    check_subscriptions();
    /* A comparison whose question was lost takes the whole of operation_timeout. */
    for (unsigned n = 0; n < 60 && !lists_are_known(); n++)
        obey(USEC_PER_SEC);
    lists_check();
    levels_check();
}

/* ---- the end ---- */

static void on_stopped(void *arg)
{
    (void)arg;
    sim.stopped = true;
}

void run_close(void)
{
    if (!sim.stopping)
        proxy_stop(sim.proxy, on_stopped, NULL);
    sim.stopping = true;
    pass(60 * USEC_PER_SEC);
    CHECK(I10_BASELINE, sim.stopped, "it does not stop");
    for (unsigned i = 0; i < sim.player_n; i++)
        if (sim.players[i].playing)
            player_leaves(&sim.players[i]);
    requests_all_ended();
    CHECK(I10_BASELINE, proc_count() == 0, "%u processes are left", proc_count());
    CHECK(I10_BASELINE, proxy_session_count(sim.proxy) == 0, "sessions are left");
    proxy_free(sim.proxy);
    for (unsigned i = 0; i < sim.backend_n; i++)
        sim.backends[i].route = NULL;
    config_unref(sim.config);
    CHECK(I10_BASELINE, env_next_due(&sim.env) == USEC_NEVER, "timers or tasks are left");
    env_done(&sim.env);
}

static void end(void)
{
    proxy_stop(sim.proxy, on_stopped, NULL);
    sim.stopping = true;
    turn();
    for (unsigned n = upto(20); n > 0 && !sim.stopped; n--)
        step();
    if (!sim.stopped && chance(50)) {
        proxy_stop(sim.proxy, on_stopped, NULL);
        turn();
    }
    run_close();
}

void run_seed(uint64_t seed, bool trace)
{
    long memory = memory_in_use();
    begin(seed, trace);
    for (unsigned n = STEPS_MIN + upto(STEPS_MAX - STEPS_MIN); n > 0; n--)
        step();
    if (chance(60))
        heal();
    end();
    CHECK(I10_BASELINE, memory_in_use() == memory, "%ld blocks of memory are left",
          memory_in_use() - memory);
}
