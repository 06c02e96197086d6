/* What resilience.md promises in numbers, shown once with the default configuration: no chance is
 * involved, and the same oracle looks on. */
#include "sim.h"

#include "base/log.h"

#define S USEC_PER_SEC

static void open_servers(unsigned n, const char *more)
{
    char text[8192];
    size_t len =
        (size_t)snprintf(text, sizeof(text),
                         "{\"runtime_dir\":\"/nonexistent\",\"state_dir\":\"/nonexistent\","
                         "\"mcpServers\":{");
    for (unsigned i = 0; i < n; i++)
        len += (size_t)snprintf(text + len, sizeof(text) - len, "%s\"s%u\":{\"command\":\"s\"}",
                                i ? "," : "", i);
    snprintf(text + len, sizeof(text) - len, "}%s}", more);
    sim.backend_n = n;
    run_open(text);
    proxy_start(sim.proxy);
}

static void refuse_all(usec_t span)
{
    for (unsigned i = 0; i < sim.backend_n; i++)
        sim.backends[i].until[MOOD_REFUSE] = sim.env.now + span;
}

static void all_die(void)
{
    struct proc *p, *next;
    for (p = LIST_FIRST(&sim.procs); p; p = next) {
        next = LIST_NEXT(p, link);
        if (p->phase == PROC_UP)
            proc_exits(p);
    }
    turn();
}

/* Until everything is ready; at most `limit`. */
static void await_ready(usec_t limit)
{
    char why[300];
    usec_t end = sim.env.now + limit;
    while (!everything_is_ready(why, sizeof(why))) {
        CHECK(I9_READY_AGAIN, sim.env.now < end, "not within %.0f s: %s", (double)limit / S, why);
        pass(S / 10);
        status_check();
    }
}

/* A hundred servers fail at once, and again, and while they cannot be started: never more attempts
 * in a second than a burst and a second's worth. proc.c looks at each start. */
static void hundred_servers(void)
{
    open_servers(100, "");
    await_ready(10 * S);
    for (int i = 0; i < 3; i++) {
        all_die();
        await_ready(30 * S);
    }
    unsigned before = sim.proc_serial;
    all_die();
    refuse_all(300 * S);
    pass(300 * S);
    CHECK(I7_AMPLIFICATION, sim.proc_serial - before >= 500, "%u attempts in 300 s only",
          sim.proc_serial - before);
    faults_stop();
    await_ready(75 * S);
}

/* Down for so long that all delays are at the cap: ready within cap, jitter and two probes. */
static void back_after_an_hour(void)
{
    open_servers(3, "");
    await_ready(S);
    refuse_all(3600 * S);
    all_die();
    pass(3600 * S);
    faults_stop();
    await_ready(75 * S);
}

/* A program that could not be found comes to be: "for good" lengthens waits to the cap, no further.
 */
static void command_not_found(void)
{
    open_servers(1, "");
    refuse_all(7200 * S);
    memcpy(&sim.backends[0].until[MOOD_FATAL], &sim.backends[0].until[MOOD_REFUSE], sizeof(usec_t));
    all_die();
    pass(7100 * S);
    faults_stop();
    await_ready(75 * S);
}

static void lose_timers(void)
{
    sim.loses_timers = true;
    if (!sim.trace)
        log_set_level(LOG_LEVEL_CRITICAL + 1); /* the repairs are what is wanted */
}

/* The timer path is broken behind the core's back, whatever the slot waits for. */
static void lost_timers(void)
{
    lose_timers();
    open_servers(3, "");
    await_ready(S);
    refuse_all(100 * S);
    all_die();
    pass(90 * S);
    while (lose_a_timer())
        ;
    faults_stop();
    await_ready(310 * S);
    for (unsigned i = 0; i < sim.backend_n; i++)
        CHECK(I8_RECOVERY,
              metrics_get(sim.backends[i].route->server->metrics, METRIC_AUDIT_REPAIRS, 0) > 0,
              "no repair was counted");
}

/* The same with the sweep gone too: the watchdog alone. */
static void lost_sweep(void)
{
    lose_timers();
    open_servers(3, "");
    await_ready(S);
    refuse_all(100 * S);
    all_die();
    pass(90 * S);
    while (lose_a_timer())
        ;
    for (unsigned i = 0; i < sim.backend_n; i++)
        env_timer_clear(&sim.env, &sim.backends[i].route->server->sweep);
    faults_stop();
    await_ready(310 * S);
}

/* A server that accepts and dies does not run hot: the delays grow as for any other. */
static void accept_and_die(void)
{
    open_servers(1, "");
    sim.backends[0].until[MOOD_DIE_YOUNG] = sim.env.now + 3600 * S;
    pass(3600 * S);
    CHECK(I7_AMPLIFICATION, sim.proc_serial < 100, "%u attempts in an hour", sim.proc_serial);
    faults_stop();
    await_ready(75 * S);
}

/* A server that has answered pings and then falls silent while nobody asks it anything is found out
 * by the monitor, and replaced. */
static void hangs_idle(void)
{
    open_servers(1, "");
    await_ready(S);
    for (int i = 0; i < 100; i++) {
        pass(S);
        backend_answers_all(LIST_FIRST(&sim.procs));
    }
    unsigned before = sim.proc_serial;
    proc_freeze(LIST_FIRST(&sim.procs), 65536);
    pass(200 * S);
    CHECK(I9_READY_AGAIN, sim.proc_serial > before, "it hangs, and nobody cares");
    await_ready(S);
}

/* The same under a call that nobody answers: the client is told, the connection replaced. */
static void hangs_in_a_call(void)
{
    struct player *c = &sim.players[0];
    sim.player_n = 1;
    open_servers(1, "");
    await_ready(S);
    while (!playing(c) || !session_is_initialized(c->session))
        player_joins(c);
    client_asks(c, MCP_TOOLS_CALL);
    const struct req *r = &sim.reqs[sim.req_n];
    CHECK(STRUCTURE, r->at, "the request was not sent");
    unsigned serial = r->at->serial;
    r->at->hang_after = 1;
    pass(400 * S);
    CHECK(I1_ONE_END, !r->open, "the request got no answer");
    const struct proc *p;
    LIST_FOREACH (p, &sim.procs, link)
        CHECK(I9_READY_AGAIN, p->serial != serial, "it hangs, and nobody cares");
    await_ready(75 * S);
}

/* Every read kills the server: most are sent again at first, then the budget is used up. The oracle
 * counts (I7); what is shown here besides is that clients are answered and the server comes back.
 */
static void reads_that_kill(void)
{
    struct player *c = &sim.players[0];
    sim.player_n = 1;
    open_servers(1, "");
    await_ready(S);
    while (!playing(c) || !session_is_initialized(c->session))
        player_joins(c);
    for (int i = 0; i < 60; i++) {
        client_asks(c, MCP_RESOURCES_READ);
        const struct req *r = &sim.reqs[sim.req_n];
        for (int k = 0; k < 100 && r->open; k++) {
            struct proc *p = r->at;
            if (p && p->phase == PROC_UP)
                proc_exits(p);
            pass(S / 2);
        }
        CHECK(I1_ONE_END, !r->open, "request %u got no answer", sim.req_n);
        requests_check();
        pass(15 * S);
    }
    CHECK(I7_AMPLIFICATION, sim.backends[0].replays > 0, "nothing was sent again");
    await_ready(75 * S);
}

static void (*const scenarios[])(void) = {hundred_servers, back_after_an_hour, command_not_found,
                                          lost_timers,     lost_sweep,         reads_that_kill,
                                          hangs_idle,      hangs_in_a_call,    accept_and_die};

unsigned scenario_count(void)
{
    return ARRAY_LEN(scenarios);
}

void run_scenario(unsigned n, bool trace)
{
    long memory = memory_in_use();
    world_init(n, trace);
    scenarios[n]();
    run_close();
    CHECK(I10_BASELINE, memory_in_use() == memory, "%ld blocks of memory are left",
          memory_in_use() - memory);
}
