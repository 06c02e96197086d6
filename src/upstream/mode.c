/* What the operator wants of a server, beside what it is able to: drained or out of service, and
 * back. Health and breaker are another axis and are left as they are.
 *
 * While a server is not active nothing is opened (server_opens): pools do not grow, the recovery
 * queue is empty, watchdog and sweep have nothing to bring back. Its connections get no requests
 * and close when they have none (renew_dismiss); those with sessions tied to them are remembered
 * (conn.missed), and come back with the mode. */
#include "base/log.h"
#include "internal.h"

const char *server_mode_name(enum server_mode m)
{
    static const char *const names[] = {
        [SERVER_ACTIVE] = "active", [SERVER_DRAIN] = "drain", [SERVER_MAINT] = "maint"};
    return names[m];
}

enum server_mode server_mode(const struct server *s)
{
    return s->mode;
}

static void wind_down(struct pool *p)
{
    if (p->server->mode == SERVER_MAINT)
        queue_refuse(p, REASON_MAINTENANCE, USEC_NEVER);
    for (unsigned i = 0; i < p->slot_count; i++)
        if (p->slots[i]->state != CONN_READY)
            conn_retire(p->slots[i], false);
    renew_dismiss(p);
}

/* Those in line go first: what is up serves them before anything else is looked at. */
static void resume(struct pool *p)
{
    for (unsigned i = 0; i < p->slot_count; i++)
        recover_afresh(p->slots[i]);
    if (pool_is_used(p))
        pool_start(p);
    queue_pump(p);
}

void server_set_mode(struct server *s, enum server_mode mode)
{
    if (s->stopping || s->mode == mode)
        return;
    struct server_counts n;
    server_count(s, &n);
    log_notice(LOG_CTX(.server = s->sc->name, .message_id = LOG_ID_MODE),
               "mode %s -> %s; %u requests run, %u wait", server_mode_name(s->mode),
               server_mode_name(mode), n.running, n.waiting);
    s->mode = mode;
    for (struct pool *p = s->pools; p; p = p->next) {
        if (p->stopping)
            continue;
        if (mode == SERVER_ACTIVE)
            resume(p);
        else
            wind_down(p);
    }
    monitor_note(s, "the mode");
}
