/* What operators do while calls run: drain, maintain, resume, restart, reload; and what must hold
 * then. Whether a process is outdated is judged by when it was started, never by the core's own
 * flag. Nothing of the rest of the oracle is relaxed: to a client all of this is as if nothing had
 * happened, or as if its server had died. */
#include "sim.h"

static struct backend *somebodys_server(void)
{
    struct backend *b = &sim.backends[upto(sim.backend_n)];
    return b->route->server->stopping ? NULL : b;
}

void operator_drains(enum fault_kind kind)
{
    struct backend *b = somebodys_server();
    if (!b)
        return;
    struck(kind);
    server_set_mode(b->route->server, kind == FAULT_server_drained ? SERVER_DRAIN : SERVER_MAINT);
    if (chance(20))
        turn();
    if (chance(30))
        server_set_mode(b->route->server, SERVER_ACTIVE);
    turn();
}

void operator_resumes(enum fault_kind kind)
{
    struct backend *b = somebodys_server();
    if (!b || b->route->server->mode == SERVER_ACTIVE)
        return;
    struck(kind);
    server_set_mode(b->route->server, SERVER_ACTIVE);
    turn();
}

static void replace_all(struct backend *b)
{
    struct proc *p;
    b->generation++;
    LIST_FOREACH (p, &sim.procs, link)
        if (p->of == b && !p->outdated_at)
            p->outdated_at = sim.env.now;
}

void operator_restarts(enum fault_kind kind)
{
    struct backend *b = somebodys_server();
    if (!b)
        return;
    struct server *s = b->route->server;
    struck(kind);
    replace_all(b);
    server_renew(s, s->config, s->sc, true);
    if (chance(80))
        turn();
}

void operator_reloads(enum fault_kind kind)
{
    char text[4096];
    struct backend *b = somebodys_server();
    if (!b)
        return;
    bool renew = chance(50);
    struct server *s = b->route->server;
    unsigned budget = s->sc->resilience.replay_budget;
    struck(kind);
    run_write_changed(text, sizeof(text), b);
    event("config", b->index, renew, "is", slice_str(text));
    if (sim.trace)
        fprintf(stderr, "%s\n", text);
    struct config *config = run_read_config(text);
    if (config->servers[0].resilience.replay_budget != budget)
        b->budgets += config->servers[0].resilience.replay_budget;
    if (renew)
        replace_all(b);
    server_renew(s, config, &config->servers[0], renew);
    config_unref(config); /* whoever needs it longer holds it */
    turn();
}

/* ---- what must hold ---- */

static void check_drained(const struct server *s)
{
    for (const struct pool *p = s->pools; p; p = p->next)
        for (unsigned i = 0; i < p->slot_count; i++) {
            const struct conn *c = p->slots[i];
            CHECK(I8_RECOVERY,
                  c->state == CONN_IDLE || c->state == CONN_CLOSING ||
                      (c->state == CONN_READY && c->running > 0),
                  "%s is drained, and slot %u is %s with %u requests", s->sc->name, c->slot,
                  conn_state_name(c->state), c->running);
            CHECK(STRUCTURE, s->mode != SERVER_MAINT || p->waiting == 0,
                  "%s is in maintenance, and %u wait", s->sc->name, p->waiting);
        }
}

void operator_check(void)
{
    const struct proc *p;
    for (const struct backend *b = sim.backends; b < sim.backends + sim.backend_n; b++)
        if (b->route && b->route->server->mode != SERVER_ACTIVE)
            check_drained(b->route->server);
    LIST_FOREACH (p, &sim.procs, link) {
        if (!p->outdated_at || p->phase == PROC_CLOSING)
            continue;
        CHECK(STRUCTURE, p->initialized && p->conn->running > 0,
              "%s: slot %u is outdated, has nothing to do and stays", p->of->name, p->slot);
        CHECK(STRUCTURE,
              p->of->route->server->stopping ||
                  sim.env.now < p->outdated_at + sim.config->limits.drain_timeout,
              "%s: slot %u is outdated for %.3f s", p->of->name, p->slot,
              (double)(sim.env.now - p->outdated_at) / USEC_PER_SEC);
    }
}

/* What is drained has no connection once its calls have ended; then it comes back. */
void operator_ends(void)
{
    for (struct backend *b = sim.backends; b < sim.backends + sim.backend_n; b++) {
        struct server *s = b->route->server;
        struct proc *p;
        for (int n = 0; s->mode != SERVER_ACTIVE && n < 1200; n++) {
            LIST_FOREACH (p, &sim.procs, link)
                if (p->of == b)
                    backend_answers_all(p);
            pass(USEC_PER_SEC / 4);
        }
        LIST_FOREACH (p, &sim.procs, link)
            CHECK(I10_BASELINE, p->of != b || s->mode == SERVER_ACTIVE,
                  "%s is drained, and slot %u has a process", b->name, p->slot);
    }
    for (struct backend *b = sim.backends; b < sim.backends + sim.backend_n; b++)
        server_set_mode(b->route->server, SERVER_ACTIVE);
    turn();
}
