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
    bool handed_over;      /* the server may have received all of it */
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
 */
struct replay_budget {
    unsigned tenths, max_tenths;
};
void replay_budget_init(struct replay_budget *b, unsigned max);
void replay_budget_on_success(struct replay_budget *b);

#define REPLAY_MOVES_MAX 3

/* Decides, and takes the token for REPLAY_AGAIN. */
enum replay_verdict replay_decide(const struct replay_request *r, enum replay_mode mode,
                                  struct replay_budget *b);

#endif
