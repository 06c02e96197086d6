/* The oracle about status and metrics (I12): what the core says of a server must be what the world
 * has seen of its processes and requests. */
#include "sim.h"

/* What the world sees of a server: processes by what they have come to. */
struct census {
    unsigned slots[6]; /* by enum conn_state */
    unsigned available, running, waiting;
    usec_t last_answer;
};

static void count_processes(const struct backend *b, struct census *n)
{
    const struct proc *p;
    LIST_FOREACH (p, &sim.procs, link) {
        if (p->of != b)
            continue;
        switch (p->phase) {
        case PROC_STARTING:
            n->slots[CONN_CONNECTING]++;
            break;
        case PROC_UP:
            n->slots[p->initialized ? CONN_READY : CONN_HANDSHAKE]++;
            break;
        case PROC_DOWN:
        case PROC_CLOSING:
            n->slots[CONN_CLOSING]++;
            break;
        }
        if (p->phase != PROC_UP || !p->initialized || p->conn->draining || p->conn->suspect)
            continue;
        n->available++;
        if (p->conn->answered_at > n->last_answer)
            n->last_answer = p->conn->answered_at;
    }
}

static void count_requests(const struct backend *b, struct census *n)
{
    struct session *s, *next;
    HASH_ITER (hh, sim.proxy->sessions, s, next) {
        const struct call *c;
        LIST_FOREACH (c, &s->calls, link) {
            if (s->route->server != b->route->server)
                continue;
            n->running += c->ticket.state == TICKET_RUNNING;
            n->waiting += c->ticket.state == TICKET_WAITING;
        }
    }
}

static void check_counts(const struct backend *b, const struct census *n,
                         const struct server_counts *c)
{
    static const enum conn_state seen[] = {CONN_CONNECTING, CONN_HANDSHAKE, CONN_READY,
                                           CONN_CLOSING};
    for (unsigned i = 0; i < ARRAY_LEN(seen); i++)
        CHECK(I12_STATUS, c->slots[seen[i]] == n->slots[seen[i]], "%s: %u are %s, status says %u",
              b->name, n->slots[seen[i]], conn_state_name(seen[i]), c->slots[seen[i]]);
    CHECK(I12_STATUS, c->available == n->available, "%s: %u available, status says %u", b->name,
          n->available, c->available);
    CHECK(I12_STATUS, c->running == n->running && c->waiting == n->waiting,
          "%s: %u run and %u wait, status says %u and %u", b->name, n->running, n->waiting,
          c->running, c->waiting);
    CHECK(I12_STATUS, c->slots[CONN_WAITING] <= c->failed || c->slots[CONN_WAITING] > 0,
          "%s: %u failed", b->name, c->failed);
}

/* Honest health, as resilience.md section 1 has it. */
static enum health judge(const struct backend *b, const struct census *n,
                         const struct server_counts *c)
{
    const struct server *s = b->route->server;
    usec_t ticks = 2 * s->sc->resilience.health_check_interval;
    unsigned min = s->mode == SERVER_ACTIVE ? c->min_size : 0, wanted = min ? min : 1;
    bool missed = min > 0 && b->handshakes + b->failed_ever > 0;
    if (n->available == 0)
        return c->failed || s->breaker.state != BREAKER_CLOSED || missed ? HEALTH_UNHEALTHY
                                                                         : HEALTH_UNKNOWN;
    if (s->breaker.state == BREAKER_CLOSED && n->available >= wanted &&
        sim.env.now - n->last_answer <= ticks)
        return HEALTH_HEALTHY;
    return HEALTH_DEGRADED;
}

static void check_metrics(const struct backend *b)
{
    const struct server *s = b->route->server;
    const struct metrics *m = s->metrics;
    uint64_t created = metrics_get(m, METRIC_CONNECTIONS_CREATED, 0),
             destroyed = metrics_get(m, METRIC_CONNECTIONS_DESTROYED, 0),
             attempts = metrics_sum(m, METRIC_RECOVERY_ATTEMPTS),
             replayed = metrics_get(m, METRIC_CALLS_REPLAYED, 0),
             forced = metrics_sum(m, METRIC_FORCED_RECOVERIES),
             moves = metrics_sum(m, METRIC_BREAKER_TRANSITIONS);
    for (unsigned i = 0; i < ARRAY_LEN(b->ends); i++)
        CHECK(I12_STATUS, metrics_get(m, METRIC_CALLS, i) == b->ends[i],
              "%s: %u requests ended in way %u, %llu counted", b->name, b->ends[i], i,
              (unsigned long long)metrics_get(m, METRIC_CALLS, i));
    /* What a dead process had not read may have been lost with it; then it was sent again. */
    CHECK(I12_STATUS,
          replayed >= b->replays &&
              metrics_get(m, METRIC_CALLS_MOVED, 0) + replayed >= b->moves + b->replays,
          "%s: %u moved, %u replayed", b->name, b->moves, b->replays);
    CHECK(I12_STATUS, created == b->handshakes, "%s: %u handshakes, %llu counted", b->name,
          b->handshakes, (unsigned long long)created);
    CHECK(I12_STATUS, destroyed == b->lost, "%s: %u connections ended, %llu counted", b->name,
          b->lost, (unsigned long long)destroyed);
    CHECK(I12_STATUS, metrics_sum(m, METRIC_CONNECTIONS_LOST) <= destroyed,
          "%s: more lost than destroyed", b->name);
    CHECK(I12_STATUS, attempts <= b->opens, "%s: %u attempts, %llu counted", b->name, b->opens,
          (unsigned long long)attempts);
    CHECK(I12_STATUS, metrics_get(m, METRIC_FORCED_RECOVERIES, METRIC_FORCE_OPERATOR) == b->forced,
          "%s: forced %u times", b->name, b->forced);
    /* A recovery by force that finds it half open raises the epoch, and is no transition. */
    CHECK(I12_STATUS, moves <= s->breaker.epoch && s->breaker.epoch - moves <= forced,
          "%s: %u transitions of the breaker, %llu counted", b->name, s->breaker.epoch,
          (unsigned long long)moves);
    CHECK(I8_RECOVERY, sim.loses_timers || metrics_get(m, METRIC_AUDIT_REPAIRS, 0) == 0,
          "%s: the sweep had to repair something", b->name);
}

void status_check(void)
{
    for (const struct backend *b = sim.backends; b < sim.backends + sim.backend_n; b++) {
        struct census n = {0};
        struct server_counts c;
        count_processes(b, &n);
        count_requests(b, &n);
        server_count(b->route->server, &c);
        check_counts(b, &n, &c);
        enum health says = server_health(b->route->server), is = judge(b, &n, &c);
        CHECK(I12_STATUS, says == is || b->route->server->stopping, "%s is %s, status says %s",
              b->name, health_name(is), health_name(says));
        check_metrics(b);
    }
}
