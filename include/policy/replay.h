/* What may be sent again after its connection died (resilience.md section 4). Pure. */
#ifndef POLICY_REPLAY_H
#define POLICY_REPLAY_H

#include <stdbool.h>

enum replay_mode {
    REPLAY_READS,     /* side-effect-free methods */
    REPLAY_ANNOTATED, /* also tools that say they are read-only or idempotent */
    REPLAY_OFF,
};

struct replay_request {
    bool handed_over;      /* the server of this connection may have received all of it */
    bool side_effect_free; /* lists, read, get, complete, discover, ping, tasks/get */
    bool annotated;   /* a tools/call whose cached definition says readOnlyHint or idempotentHint */
    bool has_input;   /* carries inputResponses or requestState */
    bool progressed;  /* its progress was seen */
    bool asked;       /* the server asked its client something for it */
    unsigned moves;   /* times it went on unread */
    unsigned replays; /* times it was sent again though it may have been received */
    bool kept;        /* its bytes are still at hand */
};

enum replay_verdict {
    REPLAY_FAIL_NO,    /* fails; the server never had it */
    REPLAY_FAIL_MAYBE, /* fails; it may have run */
    REPLAY_MOVE,       /* was never received: goes on, costs nothing */
    REPLAY_AGAIN,      /* may have been received: sent once more, costs a token */
};

/* Tokens: start at `max`, one per replay, a tenth back per success, never above `max`. In tenths.
 * A max of 0 never replays; one above UINT_MAX / 10 is that. */
struct replay_budget {
    unsigned tenths, max_tenths;
};
void replay_budget_init(struct replay_budget *b, unsigned max);
void replay_budget_on_success(struct replay_budget *b);

#define REPLAY_MOVES_MAX 3

/* Whether r, of which the server may have received all, could be sent once more, the budget apart:
 * its kind allows it, it was not before, and nothing came of it yet that its client has seen. When
 * this holds and replay_decide fails it all the same, the budget was used up. */
bool replay_is_safe(const struct replay_request *r, enum replay_mode mode);

/* Decides, and takes the token for REPLAY_AGAIN. Never received: moves up to REPLAY_MOVES_MAX times
 * whatever it is and whatever the mode. One that was sent again before and is now lost unread fails
 * as one that may have run: the first time it may. */
enum replay_verdict replay_decide(const struct replay_request *r, enum replay_mode mode,
                                  struct replay_budget *b);

#endif
