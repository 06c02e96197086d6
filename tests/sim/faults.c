/* The fault catalogue: everything of resilience.md section 7 that can happen at the transport's
 * seam, to the host, and by an operator. Faults of clients are in client.c, those of single answers
 * in backend_says.c; all are counted by kind. */
#include "sim.h"

const char *const fault_names[FAULT_COUNT] = {
#define FAULT_NAME(name) [FAULT_##name] = #name,
    FAULTS(FAULT_NAME)
#undef FAULT_NAME
};

static struct backend *some_backend(void)
{
    return &sim.backends[upto(sim.backend_n)];
}

/* ---- processes ---- */

static usec_t some_span(void)
{
    static const unsigned seconds[] = {1, 1, 3, 3, 10, 30, 90, 400};
    return seconds[upto(ARRAY_LEN(seconds))] * USEC_PER_SEC;
}

static void mood(enum fault_kind kind, enum mood m)
{
    some_backend()->until[m] = sim.env.now + some_span();
    struck(kind);
}

static void refuses(enum fault_kind kind)
{
    struct backend *b = some_backend();
    b->until[MOOD_REFUSE] = sim.env.now + some_span();
    if (kind == FAULT_refuse_exec_for_good)
        b->until[MOOD_FATAL] = b->until[MOOD_REFUSE];
    struck(kind);
}

static void in_a_mood(enum fault_kind kind)
{
    static const enum mood moods[FAULT_COUNT] = {
        [FAULT_exit_at_start] = MOOD_EXIT_AT_START,
        [FAULT_exit_in_handshake] = MOOD_EXIT_IN_HANDSHAKE,
        [FAULT_hang_before_handshake] = MOOD_MUTE,
        [FAULT_die_after_handshake] = MOOD_DIE_YOUNG,
        [FAULT_slow_start] = MOOD_SLOW_START,
        [FAULT_ignore_close] = MOOD_SLOW_CLOSE,
        [FAULT_wrong_version] = MOOD_WRONG_VERSION,
        [FAULT_no_ping] = MOOD_NO_PING,
    };
    mood(kind, moods[kind]);
}

static void starts_slowly_or_not(struct backend *b)
{
    b->start_delay = chance(50) ? 0 : 1 + upto(2 * USEC_PER_SEC);
}

static void changes_over_restart(enum fault_kind kind)
{
    struct backend *b = some_backend();
    struck(kind);
    starts_slowly_or_not(b);
    if (kind == FAULT_list_contents_changed) {
        b->list_version++;
        return;
    }
    b->card = upto(4);
    b->old = chance(30);
}

/* A process that runs, with or without work; NULL when there is none. */
static struct proc *some_victim(bool with_work)
{
    unsigned n = 0;
    struct proc *p, *chosen = NULL;
    LIST_FOREACH (p, &sim.procs, link)
        if (p->phase == PROC_UP && (p->job_n > 0) == with_work && upto(++n) == 0)
            chosen = p;
    return chosen;
}

static void exits(enum fault_kind kind)
{
    struct proc *p = some_victim(kind == FAULT_exit_mid_request);
    if (!p)
        return;
    struck(kind);
    if (chance(80))
        proc_exits(p);
    else
        proc_dies(p, REASON_UPSTREAM_PROTOCOL, "sent what is no message");
    turn();
}

/* A request is on its way, the process has read half of it, and exits. */
static void exits_mid_line(enum fault_kind kind)
{
    struct proc *p = some_proc(true);
    if (!p)
        return;
    struck(kind);
    proc_freeze(p, upto(60));
    for (unsigned i = 0; i < sim.player_n; i++) {
        struct player *c = &sim.players[i];
        if (playing(c) && c->at == p->of && chance(50))
            client_asks(c, chance(70) ? MCP_TOOLS_CALL : MCP_RESOURCES_READ);
    }
    struct proc *q;
    LIST_FOREACH (q, &sim.procs, link)
        if (q == p && p->phase == PROC_UP && p->frozen) {
            proc_exits(p);
            break;
        }
    turn();
}

static void stops(enum fault_kind kind)
{
    struct proc *p = some_proc(true);
    if (!p)
        return;
    struck(kind);
    proc_freeze(p, kind == FAULT_stop ? 65536 : upto(400));
}

static void carries_on(enum fault_kind kind)
{
    unsigned n = 0;
    struct proc *p, *chosen = NULL;
    LIST_FOREACH (p, &sim.procs, link)
        if (p->phase == PROC_UP && p->frozen && p->initialized && upto(++n) == 0)
            chosen = p;
    if (!chosen)
        return;
    struck(kind);
    proc_thaw(chosen);
    turn();
}

static void hangs(enum fault_kind kind)
{
    struct proc *p = some_proc(true);
    if (!p)
        return;
    struck(kind);
    p->hang_after = p->requests + 1 + upto(3);
}

/* ---- the stream and the protocol ---- */

static void storms(enum fault_kind kind)
{
    struct proc *p = some_proc(true);
    if (!p)
        return;
    struck(kind);
    for (unsigned n = 5 + upto(20); n > 0 && proc_talks(p); n--)
        proc_says(p, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/%s/list_changed\"}",
                  chance(50) ? "tools" : "resources");
    turn();
}

static void answers_late(enum fault_kind kind)
{
    struct proc *p = some_proc(true);
    for (unsigned i = 0; p && i < p->job_n; i++) {
        unsigned nonce = p->jobs[i].nonce;
        if (!nonce || sim.reqs[nonce].open)
            continue;
        struck(kind);
        backend_answers(p, i);
        turn();
        return;
    }
}

/* The answer goes to an id that nobody waits for, in one of several spellings. */
static void answers_wrong_id(enum fault_kind kind)
{
    static const char *const forms[] = {"%llu000001", "-%llu", "\"%llu\""};
    char raw[40];
    struct proc *p = some_proc(true);
    if (!p || p->job_n == 0)
        return;
    struck(kind);
    struct job j = p->jobs[--p->job_n];
    unsigned form = upto(ARRAY_LEN(forms) + 1);
    if (form == ARRAY_LEN(forms)) { /* one that was answered before */
        unsigned n =
            p->answered_n < ARRAY_LEN(p->answered_ids) ? p->answered_n : ARRAY_LEN(p->answered_ids);
        snprintf(raw, sizeof(raw), "%llu", (unsigned long long)(n ? p->answered_ids[upto(n)] : 1));
    } else {
        const char *f = forms[form];
        snprintf(raw, sizeof(raw), "%.*s%llu%s", (int)(strchr(f, '%') - f), f,
                 (unsigned long long)j.id, strstr(f, "llu") + 3);
    }
    proc_says(p, "{\"jsonrpc\":\"2.0\",\"id\":%s,\"result\":{\"nonce\":%u}}", raw, j.nonce);
    turn();
}

static void leaves_id_out(enum fault_kind kind)
{
    struct proc *p = some_proc(true);
    if (!p || p->job_n == 0)
        return;
    struck(kind);
    p->job_n--;
    proc_says(p, "{\"jsonrpc\":\"2.0\",%s\"error\":{\"code\":1,\"message\":\"x\"}}",
              chance(50) ? "\"id\":null," : "");
    turn();
}

static void talks_nonsense(enum fault_kind kind)
{
    static const char *const texts[] = {
        "{\"jsonrpc\":\"2.0\",\"id\":0,\"result\":{}}",
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"protocolVersion\":\"2025-11-25\"}}",
        "{\"jsonrpc\":\"2.0\",\"id\":18446744073709551617,\"result\":{}}",
        "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{\"progressToken\":"
        "\"x\",\"progress\":1}}",
        "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{\"progressToken\":"
        "999999,\"progress\":1}}",
        "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{\"requestId\":3}}",
        "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{}}",
        "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\",\"params\":{}}",
        "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/resources/updated\",\"params\":{}}",
        "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/vendor\",\"params\":{}}",
        "{\"jsonrpc\":\"2.0\",\"id\":\"v\",\"method\":\"vendor/ask\",\"params\":{}}",
        "{\"jsonrpc\":\"2.0\",\"id\":\"p\",\"method\":\"ping\"}",
        "{\"jsonrpc\":\"2.0\",\"id\":\"t\",\"method\":\"tools/call\",\"params\":{\"name\":\"x\"}}",
        "[]",
    };
    struct proc *p = some_proc(true);
    if (!p)
        return;
    struck(kind);
    proc_says(p, "%s", texts[upto(ARRAY_LEN(texts))]);
    turn();
}

/* The answer was too large, or no valid JSON: the transport threw it away and tells whose it was.
 */
static void answer_is_lost(enum fault_kind kind)
{
    char raw[24];
    struct proc *p = some_proc(true);
    if (!p || p->job_n == 0)
        return;
    struck(kind);
    struct job j = p->jobs[--p->job_n];
    snprintf(raw, sizeof(raw), "%llu", (unsigned long long)j.id);
    if (j.nonce)
        sim.reqs[j.nonce].server_answered = true;
    p->received += 100000;
    p->of->troubles++;
    sim.speaking = p;
    p->ev->on_discarded(p->conn, slice_str(raw),
                        kind == FAULT_oversize ? REASON_RESPONSE_TOO_LARGE
                                               : REASON_UPSTREAM_PROTOCOL);
    sim.speaking = NULL;
    turn();
}

/* Whether p, which had this number, is still there and speaks. */
static bool still_talks(const struct proc *p, unsigned serial)
{
    struct proc *q;
    LIST_FOREACH (q, &sim.procs, link)
        if (q == p && q->serial == serial)
            return proc_talks(q);
    return false;
}

static void progress_goes_back(enum fault_kind kind)
{
    static const unsigned values[] = {3, 5, 4, 5, 6, 1};
    struct proc *p = some_proc(true);
    if (!p || p->job_n == 0)
        return;
    struck(kind);
    uint64_t id = p->jobs[upto(p->job_n)].id;
    unsigned serial = p->serial;
    for (unsigned i = 0; i < ARRAY_LEN(values) && still_talks(p, serial); i++) {
        proc_says(p,
                  "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{"
                  "\"progressToken\":%llu,\"progress\":%u}}",
                  (unsigned long long)id, values[i]);
        if (chance(30))
            pass(USEC_PER_SEC / 10);
    }
    turn();
}

/* Bytes come, but no whole message yet. */
static void trickles(enum fault_kind kind)
{
    struct proc *p = some_proc(true);
    if (!p)
        return;
    struck(kind);
    p->received += 1 + upto(5000);
}

/* ---- the host ---- */

static void clock_jumps(enum fault_kind kind)
{
    struck(kind);
    jump(kind == FAULT_suspend ? (5 + upto(600)) * USEC_PER_SEC
                               : (1 + upto(24)) * 3600 * USEC_PER_SEC);
    turn();
}

static void random_repeats(enum fault_kind kind)
{
    struck(kind);
    sim.random_period = 1 + upto(4);
    sim.random_left = 50 + upto(500);
}

/* Nothing waits for its delay any more, but perhaps for its turn. */
static void check_forced(const struct server *s)
{
    CHECK(I6_BREAKER, s->breaker.state != BREAKER_OPEN, "%s: forced, and the breaker is open",
          s->sc->name);
    for (const struct pool *p = s->pools; p; p = p->next)
        for (unsigned i = 0; i < p->slot_count && !p->stopping; i++) {
            const struct conn *c = p->slots[i];
            CHECK(I8_RECOVERY,
                  c->state != CONN_WAITING ||
                      (c->recovery.failures == 0 && c->recovery.attempts == 0 &&
                       (c->paced || c->held || c->retry_at <= sim.env.now)),
                  "%s: forced, and slot %u waits for its delay", s->sc->name, c->slot);
        }
}

/* The operator does not wait. */
static void forces(enum fault_kind kind)
{
    struct backend *b = some_backend();
    struct recover_result r;
    if (b->route->server->stopping)
        return;
    struck(kind);
    b->forced++;
    server_recover(b->route->server, RECOVER_BY_OPERATOR, &r);
    check_forced(b->route->server);
    turn();
}

bool lose_a_timer(void)
{
    unsigned n = 0;
    struct conn *chosen = NULL;
    for (const struct backend *b = sim.backends; b < sim.backends + sim.backend_n; b++)
        for (struct pool *p = b->route->server->pools; p; p = p->next)
            for (unsigned i = 0; i < p->slot_count; i++)
                if (timer_armed(&p->slots[i]->timer) && upto(++n) == 0)
                    chosen = p->slots[i];
    if (!chosen)
        return false;
    struck(FAULT_timer_lost);
    env_timer_clear(&sim.env, &chosen->timer);
    return true;
}

static void loses_timer(enum fault_kind kind)
{
    (void)kind;
    if (sim.loses_timers)
        lose_a_timer();
}

/* ---- all of them ---- */

static const struct {
    unsigned weight; /* 0: happens elsewhere */
    void (*strike)(enum fault_kind kind);
} catalogue[FAULT_COUNT] = {
    [FAULT_refuse_exec] = {4, refuses},
    [FAULT_refuse_exec_for_good] = {1, refuses},
    [FAULT_exit_at_start] = {3, in_a_mood},
    [FAULT_exit_in_handshake] = {3, in_a_mood},
    [FAULT_hang_before_handshake] = {3, in_a_mood},
    [FAULT_hang_after_requests] = {4, hangs},
    [FAULT_die_after_handshake] = {2, in_a_mood},
    [FAULT_slow_start] = {2, in_a_mood},
    [FAULT_ignore_close] = {3, in_a_mood},
    [FAULT_exit_idle] = {8, exits},
    [FAULT_exit_mid_request] = {8, exits},
    [FAULT_exit_mid_line] = {5, exits_mid_line},
    [FAULT_stop] = {5, stops},
    [FAULT_stop_reading] = {5, stops},
    [FAULT_carry_on] = {14, carries_on},
    [FAULT_no_ping] = {2, in_a_mood},
    [FAULT_wrong_version] = {1, in_a_mood},
    [FAULT_capabilities_changed] = {2, changes_over_restart},
    [FAULT_list_contents_changed] = {2, changes_over_restart},
    [FAULT_list_changed_storm] = {2, storms},
    [FAULT_answer_after_cancel] = {4, answers_late},
    [FAULT_wrong_id] = {3, answers_wrong_id},
    [FAULT_missing_id] = {2, leaves_id_out},
    [FAULT_nonsense] = {3, talks_nonsense},
    [FAULT_garbage] = {2, answer_is_lost},
    [FAULT_oversize] = {2, answer_is_lost},
    [FAULT_progress_back] = {3, progress_goes_back},
    [FAULT_trickle] = {2, trickles},
    [FAULT_clock_jump] = {1, clock_jumps},
    [FAULT_suspend] = {2, clock_jumps},
    [FAULT_random_repeats] = {1, random_repeats},
    [FAULT_forced_recovery] = {3, forces},
    [FAULT_server_drained] = {2, operator_drains},
    [FAULT_server_maintained] = {1, operator_drains},
    [FAULT_server_resumed] = {5, operator_resumes},
    [FAULT_server_restarted] = {4, operator_restarts},
    [FAULT_config_reloaded] = {4, operator_reloads},
    [FAULT_timer_lost] = {5, loses_timer},
};

void fault_step(void)
{
    unsigned sum = 0;
    for (unsigned i = 0; i < FAULT_COUNT; i++)
        sum += catalogue[i].weight;
    unsigned die = upto(sum);
    for (unsigned i = 0; i < FAULT_COUNT; i++) {
        if (die < catalogue[i].weight) {
            catalogue[i].strike((enum fault_kind)i);
            return;
        }
        die -= catalogue[i].weight;
    }
}

void time_step(void)
{
    static const usec_t spans[] = {0,
                                   1000,
                                   USEC_PER_SEC / 10,
                                   USEC_PER_SEC / 2,
                                   USEC_PER_SEC,
                                   2 * USEC_PER_SEC,
                                   5 * USEC_PER_SEC,
                                   20 * USEC_PER_SEC,
                                   100 * USEC_PER_SEC,
                                   400 * USEC_PER_SEC};
    usec_t span = spans[upto(chance(25) ? ARRAY_LEN(spans) : 6)];
    event("time", (unsigned)(span / 1000), 0, "passes", slice_of("", 0));
    pass(span);
}

/* Everybody does what is expected from now on; what hung comes to life again. */
void faults_stop(void)
{
    struct proc *p;
    sim.calm = true;
    sim.random_left = 0;
    event("calm", 0, 0, "begins", slice_of("", 0));
    for (unsigned i = 0; i < sim.backend_n; i++)
        backend_calm(&sim.backends[i]);
    LIST_FOREACH (p, &sim.procs, link) {
        p->hang_after = 0;
        if (p->phase == PROC_STARTING && timer_armed(&p->end))
            env_timer_set(&sim.env, &p->end, sim.env.now);
        if (p->phase == PROC_UP && p->frozen)
            proc_thaw(p);
        if (p->phase == PROC_UP && p->mute)
            proc_later(p, backend_greets, 0);
    }
    for (unsigned i = 0; i < sim.player_n; i++) {
        struct player *c = &sim.players[i];
        c->main.broken = c->post.broken = c->main.deaf = false;
    }
    turn();
}
