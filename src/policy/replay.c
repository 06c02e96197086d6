/* What becomes of a request whose connection died.
 *
 * Two things must hold above all. A request that may have run and is not known to be free of side
 * effects is never sent again; and REPLAY_FAIL_NO is said only of one that no server ever had, on
 * this connection or on one before (it may have been sent again already). */
#include "policy/replay.h"

#include <limits.h>

#define TOKEN 10 /* in tenths */

void replay_budget_init(struct replay_budget *b, unsigned max)
{
    b->max_tenths = max > UINT_MAX / TOKEN ? UINT_MAX : max * TOKEN;
    b->tenths = b->max_tenths;
}

void replay_budget_on_success(struct replay_budget *b)
{
    b->tenths += b->tenths < b->max_tenths;
}

bool replay_is_safe(const struct replay_request *r, enum replay_mode mode)
{
    if (r->replays > 0 || !r->kept || r->has_input || r->progressed || r->asked)
        return false;
    switch (mode) {
    case REPLAY_READS:
        return r->side_effect_free;
    case REPLAY_ANNOTATED:
        return r->side_effect_free || r->annotated;
    case REPLAY_OFF:
        return false;
    }
    return false;
}

enum replay_verdict replay_decide(const struct replay_request *r, enum replay_mode mode,
                                  struct replay_budget *b)
{
    if (!r->handed_over) {
        if (r->kept && r->moves < REPLAY_MOVES_MAX)
            return REPLAY_MOVE;
        return r->replays > 0 ? REPLAY_FAIL_MAYBE : REPLAY_FAIL_NO;
    }
    if (!replay_is_safe(r, mode) || b->tenths < TOKEN)
        return REPLAY_FAIL_MAYBE;
    b->tenths -= TOKEN;
    return REPLAY_AGAIN;
}
