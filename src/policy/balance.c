/* Placement of requests on connections: eligibility first, then load. */
#include "policy/balance.h"

bool balance_fits(const struct balance_rules *r, const struct balance_conn *c, bool interactive)
{
    if (!c->ready || c->running >= r->max_running || c->pending > r->max_pending)
        return false;
    switch (r->sharing) {
    case BALANCE_SHARED:
        return !(r->one_interactive && interactive && (c->interactive > 0 || c->haunted));
    case BALANCE_EXCLUSIVE:
        return c->mine || !c->leased;
    case BALANCE_SESSION:
        return c->mine || (!c->leased && !c->used);
    }
    return false;
}

bool balance_better(const struct balance_conn *a, const struct balance_conn *b)
{
    if (a->haunted != b->haunted)
        return b->haunted;
    if (a->running != b->running)
        return a->running < b->running;
    return a->pending < b->pending;
}

bool balance_should_grow(const struct balance_rules *r, unsigned waiting, unsigned starting,
                         unsigned recovering)
{
    if (waiting == 0 || recovering > 0)
        return false;
    unsigned each = r->sharing == BALANCE_SHARED && !r->one_interactive ? r->max_running : 1;
    return starting * (each ? each : 1) < waiting;
}
