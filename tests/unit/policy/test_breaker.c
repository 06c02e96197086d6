/* policy/breaker: each transition and no other, each bound just before, at and just after it, what
 * accept-then-die servers do to it, and parameters nobody would set. The random walk against a
 * model is test_breaker_model.c. */
#include "base/util.h"
#include "policy/breaker.h"

#include <check.h>
#include <limits.h>
#include <stdlib.h>

#define S USEC_PER_SEC

static const struct breaker_params defaults = {
    .threshold = 5,
    .window = 30 * S,
    .volume = 10,
    .failure_rate = 50,
    .open_for = 60 * S,
    .trial_timeout = 5 * S,
    .successes = 2,
    .ramp = 10 * S,
};

static struct breaker fresh(usec_t now)
{
    struct breaker b;
    breaker_init(&b, now);
    return b;
}

static bool outcome(struct breaker *b, enum outcome o, usec_t now)
{
    return breaker_on_outcome(b, &defaults, o, b->epoch, now);
}

static struct breaker open_at(usec_t now)
{
    struct breaker b = fresh(now);
    while (!outcome(&b, OUTCOME_FAILURE, now))
        ck_assert_int_eq(b.state, BREAKER_CLOSED);
    ck_assert_int_eq(b.state, BREAKER_OPEN);
    return b;
}

static struct breaker half_open_at(usec_t now)
{
    struct breaker b = open_at(now - 60 * S);
    ck_assert(breaker_tick(&b, &defaults, now));
    ck_assert_int_eq(b.state, BREAKER_HALF_OPEN);
    return b;
}

/* ---- transitions ---- */

enum event {
    FAIL,
    FIFTH_FAIL,
    SUCCEED,
    SECOND_SUCCESS,
    IGNORE,
    SHAKE,
    YOUNG,
    STABLE,
    TICK_EARLY,
    TICK_DUE,
    FORCE,
    BEGIN,
    PAUSE
};

/* Puts b, in whatever state, through one event at the time 1000 s; its deadline is then in a
 * microsecond (TICK_EARLY) or now (TICK_DUE). */
static bool apply(struct breaker *b, enum event e)
{
    usec_t now = 1000 * S;
    switch (e) {
    case FIFTH_FAIL:
        b->failures = 4;
        return outcome(b, OUTCOME_FAILURE, now);
    case FAIL:
        return outcome(b, OUTCOME_FAILURE, now);
    case SECOND_SUCCESS:
        b->trials_won = 1;
        return outcome(b, OUTCOME_SUCCESS, now);
    case SUCCEED:
        return outcome(b, OUTCOME_SUCCESS, now);
    case IGNORE:
        return outcome(b, OUTCOME_IGNORED, now);
    case SHAKE:
        return breaker_on_handshake(b, NULL, now);
    case YOUNG:
        breaker_on_young_loss(b);
        return false;
    case STABLE:
        breaker_on_stable(b);
        return false;
    case TICK_EARLY:
    case TICK_DUE:
        now += e == TICK_EARLY ? -1 : 0;
        b->since = 1000 * S - 60 * S;
        b->trial_due_at = 1000 * S;
        return breaker_tick(b, &defaults, now);
    case FORCE:
        return breaker_force(b, now);
    case BEGIN:
        breaker_begin_trial(b, &defaults, now);
        return false;
    case PAUSE:
        breaker_pause(b, S, now);
        return false;
    }
    return false;
}

/* The state after each event in CLOSED, OPEN, HALF_OPEN and HALF_OPEN with a trial. */
static const struct {
    enum event event;
    enum breaker_state to[4];
} transitions[] = {
#define C BREAKER_CLOSED
#define O BREAKER_OPEN
#define H BREAKER_HALF_OPEN
    {FAIL, {C, O, O, O}},           {FIFTH_FAIL, {O, O, O, O}}, {SUCCEED, {C, O, H, H}},
    {SECOND_SUCCESS, {C, O, C, C}}, {IGNORE, {C, O, H, H}},     {SHAKE, {C, C, C, C}},
    {YOUNG, {C, O, H, H}},          {STABLE, {C, O, H, H}},     {TICK_EARLY, {C, O, H, H}},
    {TICK_DUE, {C, H, H, O}},       {FORCE, {C, H, H, H}},      {BEGIN, {C, O, H, H}},
    {PAUSE, {C, O, H, H}},
#undef C
#undef O
#undef H
};

START_TEST(every_event_in_every_state)
{
    for (size_t i = 0; i < ARRAY_LEN(transitions); i++) {
        for (int from = 0; from < 4; from++) {
            struct breaker b = from == 0   ? fresh(900 * S)
                               : from == 1 ? open_at(990 * S)
                                           : half_open_at(990 * S);
            if (from == 3)
                ck_assert(breaker_begin_trial(&b, &defaults, 999 * S));
            struct breaker before = b;
            bool changed = apply(&b, transitions[i].event);
            enum breaker_state want = transitions[i].to[from];
            ck_assert_msg(b.state == want, "event %d from %d: %s, not %s", transitions[i].event,
                          from, breaker_state_name(b.state), breaker_state_name(want));
            ck_assert_int_eq(changed, b.state != before.state);
            bool via = before.state == BREAKER_OPEN && want == BREAKER_CLOSED;
            bool new_epoch = changed || (transitions[i].event == FORCE && from >= 2);
            ck_assert_uint_eq(b.epoch, before.epoch + new_epoch + via);
            if (changed) {
                ck_assert_uint_eq(b.since, 1000 * S);
                ck_assert(!b.trial && b.trials_won == 0 && b.trial_due_at == 0);
                ck_assert_int_eq(b.unwell_since == 0, b.state == BREAKER_CLOSED);
            }
        }
    }
}
END_TEST

START_TEST(names)
{
    ck_assert_str_eq(breaker_state_name(BREAKER_CLOSED), "closed");
    ck_assert_str_eq(breaker_state_name(BREAKER_OPEN), "open");
    ck_assert_str_eq(breaker_state_name(BREAKER_HALF_OPEN), "half_open");
}
END_TEST

/* ---- CLOSED ---- */

START_TEST(circuit_breaker_threshold_of_consecutive_failures)
{
    struct breaker b = fresh(0);
    for (unsigned i = 1; i <= 4; i++) {
        ck_assert(!outcome(&b, OUTCOME_FAILURE, i));
        ck_assert_uint_eq(b.failures, i);
    }
    struct breaker c = b;
    ck_assert(outcome(&b, OUTCOME_FAILURE, 5));
    ck_assert_int_eq(b.state, BREAKER_OPEN);
    ck_assert_uint_eq(b.failures, 5);
    ck_assert_uint_eq(b.unwell_since, 5);

    ck_assert(!outcome(&c, OUTCOME_IGNORED, 5)); /* neither counts nor breaks the row */
    ck_assert_uint_eq(c.failures, 4);
    ck_assert(!outcome(&c, OUTCOME_SUCCESS, 5));
    ck_assert_uint_eq(c.failures, 0);
    ck_assert(!outcome(&c, OUTCOME_FAILURE, 6));
}
END_TEST

/* Outcomes alternate so that they are never in a row; at 1000 s and on, past the first window. */
static struct breaker after_mixed(unsigned failures, unsigned successes, usec_t now)
{
    struct breaker b = fresh(0);
    while (failures || successes) {
        if (successes) {
            outcome(&b, OUTCOME_SUCCESS, now);
            successes--;
        }
        if (failures) {
            ck_assert(!outcome(&b, OUTCOME_FAILURE, now));
            failures--;
        }
    }
    return b;
}

START_TEST(rate_needs_volume_and_share)
{
    usec_t now = 1000 * S;
    struct breaker b = after_mixed(4, 4, now); /* the ninth, 56 %: too few */
    ck_assert(!outcome(&b, OUTCOME_FAILURE, now));
    b = after_mixed(4, 5, now); /* the tenth, exactly 50 % */
    ck_assert(outcome(&b, OUTCOME_FAILURE, now));
    ck_assert_uint_eq(b.failures, 5); /* what opened it, not the one in a row */
    b = after_mixed(4, 6, now);       /* the eleventh, 45 % */
    ck_assert(!outcome(&b, OUTCOME_FAILURE, now));
    b = after_mixed(4, 4, now); /* a success can complete the volume but never opens */
    outcome(&b, OUTCOME_FAILURE, now);
    ck_assert(!outcome(&b, OUTCOME_SUCCESS, now));
    ck_assert(outcome(&b, OUTCOME_FAILURE, now));
}
END_TEST

START_TEST(window_ends_after_ten_buckets)
{
    usec_t now = 1000 * S - 1000 * S % (3 * S); /* the first point of a bucket of 3 s */
    struct breaker b = after_mixed(4, 5, now);
    ck_assert(outcome(&b, OUTCOME_FAILURE, now + 30 * S - 1));
    b = after_mixed(4, 5, now);
    ck_assert(!outcome(&b, OUTCOME_FAILURE, now + 30 * S));
    b = after_mixed(4, 5, now + 3 * S - 1); /* the last point of the same bucket */
    ck_assert(outcome(&b, OUTCOME_FAILURE, now + 30 * S - 1));
    b = after_mixed(4, 5, now + 3 * S - 1);
    ck_assert(!outcome(&b, OUTCOME_FAILURE, now + 30 * S));
}
END_TEST

START_TEST(rate_zero_never_opens_and_hundred_needs_all)
{
    struct breaker_params p = defaults;
    p.threshold = 1000;
    p.failure_rate = 0;
    struct breaker b = fresh(0);
    for (int i = 0; i < 100; i++)
        ck_assert(!breaker_on_outcome(&b, &p, OUTCOME_FAILURE, b.epoch, 5));
    p.failure_rate = 100;
    b = fresh(0);
    for (int i = 0; i < 9; i++)
        ck_assert(!breaker_on_outcome(&b, &p, OUTCOME_FAILURE, b.epoch, 5));
    struct breaker c = b;
    ck_assert(breaker_on_outcome(&b, &p, OUTCOME_FAILURE, b.epoch, 5));
    breaker_on_outcome(&c, &p, OUTCOME_SUCCESS, c.epoch, 5);
    for (int i = 0; i < 100; i++)
        ck_assert(!breaker_on_outcome(&c, &p, OUTCOME_FAILURE, c.epoch, 5));
}
END_TEST

START_TEST(window_is_kept_by_a_handshake_and_cleared_by_closing)
{
    usec_t now = 1000 * S;
    struct breaker b = after_mixed(4, 5, now);
    breaker_on_handshake(&b, NULL, now);
    ck_assert(outcome(&b, OUTCOME_FAILURE, now)); /* reconnecting does not hide the rate */
    breaker_on_handshake(&b, NULL, now);
    ck_assert(!outcome(&b, OUTCOME_FAILURE, now)); /* ten in the window before it closed */
}
END_TEST

/* ---- OPEN, HALF_OPEN ---- */

START_TEST(circuit_breaker_timeout_then_a_trial)
{
    struct breaker b = open_at(100 * S);
    ck_assert(!breaker_admits(&b, 100 * S));
    ck_assert_uint_eq(breaker_next_at(&b, &defaults), 160 * S);
    ck_assert(!breaker_begin_trial(&b, &defaults, 200 * S)); /* only tick opens it for a trial */
    ck_assert(!breaker_tick(&b, &defaults, 160 * S - 1));
    outcome(&b, OUTCOME_FAILURE, 159 * S); /* recovery goes on failing: no longer for that */
    outcome(&b, OUTCOME_SUCCESS, 159 * S);
    ck_assert_uint_eq(breaker_next_at(&b, &defaults), 160 * S);
    ck_assert_uint_eq(b.failures, 5);
    ck_assert(breaker_tick(&b, &defaults, 160 * S));
    ck_assert_int_eq(b.state, BREAKER_HALF_OPEN);
    ck_assert(!breaker_admits(&b, 160 * S));
    ck_assert_uint_eq(breaker_next_at(&b, &defaults), USEC_NEVER);
    ck_assert_uint_eq(b.unwell_since, 100 * S);
    b = open_at(100 * S);
    ck_assert(breaker_tick(&b, &defaults, 160 * S + 1));
}
END_TEST

START_TEST(one_trial_at_a_time_and_a_lost_one_ends)
{
    struct breaker b = half_open_at(100 * S);
    ck_assert(breaker_begin_trial(&b, &defaults, 101 * S));
    ck_assert(!breaker_begin_trial(&b, &defaults, 101 * S));
    ck_assert_uint_eq(breaker_next_at(&b, &defaults), 106 * S);
    ck_assert(!breaker_tick(&b, &defaults, 106 * S - 1));
    struct breaker c = b, d = b;
    ck_assert(breaker_tick(&b, &defaults, 106 * S));
    ck_assert_int_eq(b.state, BREAKER_OPEN);
    ck_assert_uint_eq(b.failures, 6);
    ck_assert_uint_eq(breaker_next_at(&b, &defaults), 166 * S);
    ck_assert(breaker_tick(&c, &defaults, 106 * S + 1));

    uint32_t epoch = b.epoch - 1; /* the answer of the lost trial comes after all */
    ck_assert(!breaker_on_outcome(&b, &defaults, OUTCOME_SUCCESS, epoch, 107 * S));
    ck_assert_int_eq(b.state, BREAKER_OPEN);

    ck_assert(!outcome(&d, OUTCOME_IGNORED, 102 * S)); /* its caller left: another may begin */
    ck_assert_uint_eq(breaker_next_at(&d, &defaults), USEC_NEVER);
    ck_assert(breaker_begin_trial(&d, &defaults, 102 * S));
    ck_assert_uint_eq(breaker_next_at(&d, &defaults), 107 * S);
}
END_TEST

START_TEST(successful_trials_close)
{
    struct breaker b = half_open_at(100 * S);
    b.auth_failed = true;
    ck_assert(breaker_begin_trial(&b, &defaults, 100 * S));
    ck_assert(!outcome(&b, OUTCOME_SUCCESS, 101 * S));
    ck_assert(!b.trial && b.trials_won == 1 && !b.auth_failed);
    struct breaker c = b;
    ck_assert(breaker_begin_trial(&b, &defaults, 101 * S));
    ck_assert(outcome(&b, OUTCOME_SUCCESS, 102 * S));
    ck_assert_int_eq(b.state, BREAKER_CLOSED);
    ck_assert(breaker_admits(&b, 102 * S));
    ck_assert_uint_eq(b.closed_at, 102 * S);
    ck_assert_uint_eq(b.failures, 0);

    ck_assert(breaker_begin_trial(&c, &defaults, 101 * S)); /* one won does not outweigh one lost */
    ck_assert(outcome(&c, OUTCOME_FAILURE, 102 * S));
    ck_assert_int_eq(c.state, BREAKER_OPEN);
    ck_assert(breaker_tick(&c, &defaults, 162 * S));
    ck_assert_uint_eq(c.trials_won, 0);
}
END_TEST

START_TEST(older_epochs_change_nothing)
{
    for (int from = 0; from < 4; from++) {
        struct breaker b = from == 0   ? fresh(0)
                           : from == 1 ? open_at(100 * S)
                                       : half_open_at(100 * S);
        if (from == 3)
            breaker_begin_trial(&b, &defaults, 100 * S);
        b.failures = 4;
        for (uint32_t other = 1; other != 0; other *= 2) {
            struct breaker before = b;
            for (enum outcome o = OUTCOME_SUCCESS; o <= OUTCOME_IGNORED; o++) {
                ck_assert(!breaker_on_outcome(&b, &defaults, o, b.epoch - other, 101 * S));
                ck_assert_mem_eq(&b, &before, sizeof(b));
            }
        }
    }
}
END_TEST

START_TEST(epoch_wraps)
{
    struct breaker b = open_at(100 * S);
    b.epoch = UINT32_MAX;
    ck_assert(breaker_tick(&b, &defaults, 160 * S));
    ck_assert_uint_eq(b.epoch, 0);
    ck_assert(!breaker_on_outcome(&b, &defaults, OUTCOME_FAILURE, UINT32_MAX, 161 * S));
    ck_assert(breaker_on_outcome(&b, &defaults, OUTCOME_FAILURE, 0, 161 * S));
}
END_TEST

START_TEST(force_prepares_a_trial_at_once)
{
    struct breaker b = open_at(100 * S);
    breaker_pause(&b, 200 * S, 100 * S);
    ck_assert(breaker_force(&b, 101 * S));
    ck_assert_int_eq(b.state, BREAKER_HALF_OPEN);
    ck_assert_uint_eq(b.failures, 0);
    ck_assert_uint_eq(b.unwell_since, 100 * S);
    ck_assert(breaker_begin_trial(&b, &defaults, 101 * S));
    uint32_t trial = b.epoch;
    ck_assert(!breaker_force(&b, 102 * S));
    ck_assert(!b.trial && b.trial_due_at == 0);
    ck_assert(!breaker_on_outcome(&b, &defaults, OUTCOME_FAILURE, trial, 103 * S));
    ck_assert(breaker_begin_trial(&b, &defaults, 103 * S));
    ck_assert_int_eq(b.state, BREAKER_HALF_OPEN);

    struct breaker c = fresh(0);
    for (int i = 0; i < 4; i++)
        outcome(&c, OUTCOME_FAILURE, 1);
    ck_assert(!breaker_force(&c, 2));
    ck_assert(!outcome(&c, OUTCOME_FAILURE, 3));
    ck_assert_uint_eq(c.failures, 1);
}
END_TEST

START_TEST(handshake_closes_from_any_state)
{
    bool via = true;
    struct breaker b = fresh(0);
    b.auth_failed = true;
    ck_assert(!breaker_on_handshake(&b, &via, 1));
    ck_assert(!via && !b.auth_failed);
    ck_assert_uint_eq(b.closed_at, 0); /* it was never open: no ramp */
    b = open_at(100 * S);
    ck_assert(breaker_on_handshake(&b, &via, 101 * S));
    ck_assert(via);
    ck_assert(breaker_admits(&b, 101 * S));
    b = half_open_at(100 * S);
    breaker_begin_trial(&b, &defaults, 100 * S);
    ck_assert(breaker_on_handshake(&b, &via, 101 * S));
    ck_assert(!via && !b.trial);
    ck_assert_uint_eq(breaker_next_at(&b, &defaults), USEC_NEVER);
}
END_TEST

/* ---- accept-then-die ---- */

static bool accept_then_die(struct breaker *b, usec_t now)
{
    breaker_on_handshake(b, NULL, now);
    breaker_on_young_loss(b);
    return outcome(b, OUTCOME_FAILURE, now) && b->state == BREAKER_OPEN;
}

START_TEST(accept_then_die_opens_at_the_threshold_and_reopens_at_once)
{
    struct breaker b = fresh(0);
    for (unsigned round = 1; round <= 4; round++) {
        ck_assert(!accept_then_die(&b, round * S));
        ck_assert_uint_eq(b.failures, round);
    }
    ck_assert(accept_then_die(&b, 5 * S));
    for (unsigned round = 6; round < 50; round++) { /* recovery goes on while it is open */
        ck_assert(accept_then_die(&b, round * S));
        ck_assert_uint_eq(b.failures, round);
    }
    b = half_open_at(1000 * S); /* from HALF_OPEN too */
    ck_assert(accept_then_die(&b, 1001 * S));
}
END_TEST

START_TEST(accept_then_die_reopens_whatever_had_opened_it)
{
    usec_t now = 1000 * S;
    struct breaker_params p = defaults;
    p.threshold = 1000; /* opened by rate, far below the threshold */
    struct breaker b = after_mixed(4, 5, now);
    ck_assert(breaker_on_outcome(&b, &p, OUTCOME_FAILURE, b.epoch, now));
    for (int round = 0; round < 10; round++) {
        breaker_on_handshake(&b, NULL, now);
        breaker_on_young_loss(&b);
        ck_assert(breaker_on_outcome(&b, &p, OUTCOME_FAILURE, b.epoch, now));
    }
    breaker_force(&b, now); /* counts are 0 now */
    breaker_on_handshake(&b, NULL, now);
    breaker_on_young_loss(&b);
    ck_assert(breaker_on_outcome(&b, &p, OUTCOME_FAILURE, b.epoch, now));
}
END_TEST

START_TEST(proof_clears_what_was_suspended)
{
    for (int by_life = 0; by_life < 2; by_life++) {
        struct breaker b = fresh(0);
        for (int i = 0; i < 4; i++)
            ck_assert(!accept_then_die(&b, 100 * S));
        breaker_on_handshake(&b, NULL, 101 * S);
        ck_assert_uint_eq(b.failures, 0);
        ck_assert_uint_eq(b.before_reset, 4);
        if (by_life)
            breaker_on_stable(&b);
        else
            outcome(&b, OUTCOME_SUCCESS, 102 * S);
        for (int i = 0; i < 4; i++) /* the whole way again */
            ck_assert(!accept_then_die(&b, 200 * S));
        ck_assert(accept_then_die(&b, 200 * S));

        breaker_on_handshake(&b, NULL, 300 * S); /* and after it was open */
        if (by_life)
            breaker_on_stable(&b);
        else
            outcome(&b, OUTCOME_SUCCESS, 301 * S);
        for (int i = 0; i < 4; i++)
            ck_assert(!accept_then_die(&b, 400 * S));
        ck_assert(accept_then_die(&b, 400 * S));
    }
}
END_TEST

START_TEST(a_handshake_alone_proves_nothing)
{
    struct breaker b = fresh(0);
    for (int i = 0; i < 4; i++)
        outcome(&b, OUTCOME_FAILURE, 1); /* attempts to connect */
    ck_assert(accept_then_die(&b, 2));   /* the fifth */

    b = open_at(100 * S); /* without a young loss a failure after closing is one failure */
    breaker_on_handshake(&b, NULL, 101 * S);
    ck_assert(!outcome(&b, OUTCOME_FAILURE, 102 * S));
    ck_assert_uint_eq(b.failures, 1);
    breaker_on_handshake(&b, NULL, 103 * S); /* but the relapse is still due */
    breaker_on_young_loss(&b);
    ck_assert(outcome(&b, OUTCOME_FAILURE, 103 * S));
}
END_TEST

START_TEST(interleaved_connections_do_not_hide_each_other)
{
    /* n slots complete their handshakes one after the other, then die one after the other. */
    for (unsigned n = 1; n <= 12; n++) {
        struct breaker b = fresh(0);
        unsigned deaths = 0;
        while (b.state == BREAKER_CLOSED) {
            for (unsigned i = 0; i < n; i++)
                breaker_on_handshake(&b, NULL, S);
            for (unsigned i = 0; i < n && b.state == BREAKER_CLOSED; i++) {
                breaker_on_young_loss(&b);
                outcome(&b, OUTCOME_FAILURE, S);
                ck_assert_uint_le(++deaths, 5);
            }
        }
        ck_assert_uint_eq(deaths, 5);
        for (unsigned i = 0; i < n; i++) /* open once: the first death of each round is enough */
            breaker_on_handshake(&b, NULL, 2 * S);
        breaker_on_young_loss(&b);
        ck_assert(outcome(&b, OUTCOME_FAILURE, 2 * S));
    }
}
END_TEST

START_TEST(young_loss_outside_closed_is_nothing)
{
    struct breaker b = open_at(100 * S), before = b;
    breaker_on_young_loss(&b);
    breaker_on_stable(&b);
    ck_assert_mem_eq(&b, &before, sizeof(b));
}
END_TEST

/* ---- pause ---- */

START_TEST(pause_holds_calls_and_trials_back)
{
    struct breaker b = fresh(0);
    breaker_pause(&b, 10 * S, 100 * S);
    ck_assert(!breaker_admits(&b, 110 * S - 1));
    ck_assert(breaker_admits(&b, 110 * S));
    ck_assert_uint_eq(breaker_next_at(&b, &defaults), 110 * S);
    breaker_pause(&b, 5 * S, 101 * S); /* the one that ends last holds */
    breaker_pause(&b, 0, 101 * S);
    ck_assert_uint_eq(breaker_next_at(&b, &defaults), 110 * S);
    ck_assert(!breaker_tick(&b, &defaults, 110 * S - 1));
    ck_assert_uint_eq(breaker_next_at(&b, &defaults), 110 * S);
    ck_assert(!breaker_tick(&b, &defaults, 110 * S));
    ck_assert_uint_eq(breaker_next_at(&b, &defaults), USEC_NEVER);
    ck_assert_uint_eq(b.failures, 0);

    b = half_open_at(200 * S);
    breaker_pause(&b, 10 * S, 200 * S);
    ck_assert(!breaker_begin_trial(&b, &defaults, 210 * S - 1));
    ck_assert_uint_eq(breaker_next_at(&b, &defaults), 210 * S);
    ck_assert(breaker_begin_trial(&b, &defaults, 210 * S));

    b = open_at(300 * S); /* OPEN ends when it ends */
    breaker_pause(&b, 10 * S, 300 * S);
    ck_assert_uint_eq(breaker_next_at(&b, &defaults), 360 * S);
}
END_TEST

START_TEST(pause_is_capped)
{
    static const usec_t spans[] = {300 * S - 1, 300 * S, 300 * S + 1, USEC_NEVER};
    for (size_t i = 0; i < ARRAY_LEN(spans); i++) {
        struct breaker b = fresh(0);
        breaker_pause(&b, spans[i], 100 * S);
        ck_assert_uint_eq(b.paused_until, 400 * S - (i == 0));
    }
    struct breaker b = fresh(0);
    breaker_pause(&b, 300 * S, 100 * S);
    breaker_pause(&b, 1, 50 * S); /* a clock that went back */
    ck_assert_uint_eq(b.paused_until, 350 * S);
    breaker_pause(&b, S, USEC_NEVER - 1);
    ck_assert_uint_eq(b.paused_until, USEC_NEVER);
}
END_TEST

/* ---- ramp ---- */

START_TEST(ramp_grows_from_one_to_all)
{
    struct breaker b = fresh(0);
    ck_assert_uint_eq(breaker_ramp_limit(&b, &defaults, 10, 5), UINT_MAX);
    b = open_at(90 * S);
    ck_assert_uint_eq(breaker_ramp_limit(&b, &defaults, 10, 91 * S), UINT_MAX);
    breaker_on_handshake(&b, NULL, 100 * S);
    static const struct {
        usec_t at;
        unsigned max, want;
    } steps[] = {
        {99 * S, 10, 1},
        {100 * S, 10, 1},
        {101 * S, 11, 2},
        {101 * S - 1, 11, 1},
        {105 * S, 11, 6},
        {110 * S - 1, 11, 10},
        {105 * S, 1, 1},
        {105 * S, 0, 1},
        {105 * S, UINT_MAX, UINT_MAX / 2 + 1},
        {110 * S, 10, UINT_MAX},
        {USEC_NEVER, 10, UINT_MAX},
    };
    for (size_t i = 0; i < ARRAY_LEN(steps); i++)
        ck_assert_uint_eq(breaker_ramp_limit(&b, &defaults, steps[i].max, steps[i].at),
                          steps[i].want);
}
END_TEST

START_TEST(ramp_of_any_length)
{
    struct breaker b = open_at(0);
    breaker_on_handshake(&b, NULL, 0);
    ck_assert_uint_eq(b.closed_at, 1); /* 0 would say that it never closed */
    struct breaker_params p = defaults;
    p.ramp = 0;
    ck_assert_uint_eq(breaker_ramp_limit(&b, &p, 10, 0), UINT_MAX);
    p.ramp = 1;
    ck_assert_uint_eq(breaker_ramp_limit(&b, &p, 10, 1), 1);
    ck_assert_uint_eq(breaker_ramp_limit(&b, &p, 10, 2), UINT_MAX);
    p.ramp = USEC_NEVER;
    unsigned last = 1;
    for (usec_t now = 1; now < USEC_NEVER / 2; now *= 2) {
        unsigned limit = breaker_ramp_limit(&b, &p, UINT_MAX, now);
        ck_assert_uint_ge(limit, last);
        last = limit;
    }
    ck_assert_uint_ge(last, UINT_MAX / 8);
    ck_assert_uint_le(breaker_ramp_limit(&b, &p, 7, USEC_NEVER - 1), 7);
}
END_TEST

/* ---- what nobody would set ---- */

START_TEST(odd_parameters_are_safe)
{
    struct breaker_params zero = {0}, one = {.threshold = 1, .volume = 1, .successes = 1};
    const struct breaker_params *both[] = {&zero, &one};
    for (size_t i = 0; i < ARRAY_LEN(both); i++) {
        const struct breaker_params *p = both[i];
        struct breaker b = fresh(7);
        ck_assert(!breaker_on_outcome(&b, p, OUTCOME_SUCCESS, b.epoch, 7));
        ck_assert(breaker_on_outcome(&b, p, OUTCOME_FAILURE, b.epoch, 7));
        ck_assert_uint_eq(breaker_next_at(&b, p), 8); /* ahead of now, so nobody spins */
        ck_assert(!breaker_tick(&b, p, 7));
        ck_assert(breaker_tick(&b, p, 8));
        ck_assert(breaker_begin_trial(&b, p, 8));
        ck_assert(!breaker_tick(&b, p, 8));
        ck_assert(breaker_on_outcome(&b, p, OUTCOME_SUCCESS, b.epoch, 8));
        ck_assert_int_eq(b.state, BREAKER_CLOSED);
        ck_assert_uint_eq(breaker_ramp_limit(&b, p, 5, 8), UINT_MAX);
    }
    struct breaker_params p = defaults; /* by rate from the first outcome, window of 10 µs */
    p.threshold = UINT_MAX;
    p.volume = 1;
    p.failure_rate = 1;
    p.window = 1;
    struct breaker b = fresh(0);
    ck_assert(breaker_on_outcome(&b, &p, OUTCOME_FAILURE, b.epoch, 0));
    p.failure_rate = 101;
    b = fresh(0);
    ck_assert(!breaker_on_outcome(&b, &p, OUTCOME_FAILURE, b.epoch, 0));
}
END_TEST

START_TEST(the_end_of_time)
{
    struct breaker b = open_at(USEC_NEVER - 1);
    ck_assert_uint_eq(breaker_next_at(&b, &defaults), USEC_NEVER);
    ck_assert(!breaker_tick(&b, &defaults, USEC_NEVER - 1));
    ck_assert(breaker_tick(&b, &defaults, USEC_NEVER));
    ck_assert(breaker_begin_trial(&b, &defaults, USEC_NEVER));
    ck_assert(breaker_tick(&b, &defaults, USEC_NEVER));
    ck_assert_int_eq(b.state, BREAKER_OPEN);
}
END_TEST

START_TEST(a_clock_that_goes_back)
{
    struct breaker b = open_at(1000 * S);
    ck_assert(!breaker_tick(&b, &defaults, 0));
    ck_assert(breaker_tick(&b, &defaults, 1060 * S));
    ck_assert(breaker_begin_trial(&b, &defaults, 1060 * S));
    ck_assert(!breaker_tick(&b, &defaults, 10 * S));
    ck_assert(outcome(&b, OUTCOME_FAILURE, 10 * S));
    ck_assert_uint_eq(breaker_next_at(&b, &defaults), 70 * S);

    struct breaker c = after_mixed(4, 5, 1000 * S); /* what lies ahead is not in the window */
    ck_assert(!outcome(&c, OUTCOME_FAILURE, 500 * S));
    ck_assert(!outcome(&c, OUTCOME_SUCCESS, 500 * S));
}
END_TEST

START_TEST(counts_saturate)
{
    struct breaker b = fresh(0);
    struct breaker_params p = defaults;
    p.threshold = UINT_MAX;
    p.failure_rate = 0;
    b.failures = UINT_MAX - 2;
    ck_assert(!breaker_on_outcome(&b, &p, OUTCOME_FAILURE, b.epoch, 0));
    struct breaker c = b;
    ck_assert(breaker_on_outcome(&b, &p, OUTCOME_FAILURE, b.epoch, 0));
    ck_assert_uint_eq(b.failures, UINT_MAX);
    breaker_tick(&b, &p, 60 * S);
    ck_assert(breaker_on_outcome(&b, &p, OUTCOME_FAILURE, b.epoch, 60 * S));
    ck_assert_uint_eq(b.failures, UINT_MAX);
    breaker_on_handshake(&c, NULL, 0);
    c.failures = 3;
    breaker_on_young_loss(&c);
    ck_assert_uint_eq(c.failures, UINT_MAX);
}
END_TEST

static Suite *suite(void)
{
    const TTest *const tests[] = {
        every_event_in_every_state,
        names,
        circuit_breaker_threshold_of_consecutive_failures,
        rate_needs_volume_and_share,
        window_ends_after_ten_buckets,
        rate_zero_never_opens_and_hundred_needs_all,
        window_is_kept_by_a_handshake_and_cleared_by_closing,
        circuit_breaker_timeout_then_a_trial,
        one_trial_at_a_time_and_a_lost_one_ends,
        successful_trials_close,
        older_epochs_change_nothing,
        epoch_wraps,
        force_prepares_a_trial_at_once,
        handshake_closes_from_any_state,
        accept_then_die_opens_at_the_threshold_and_reopens_at_once,
        accept_then_die_reopens_whatever_had_opened_it,
        proof_clears_what_was_suspended,
        a_handshake_alone_proves_nothing,
        interleaved_connections_do_not_hide_each_other,
        young_loss_outside_closed_is_nothing,
        pause_holds_calls_and_trials_back,
        pause_is_capped,
        ramp_grows_from_one_to_all,
        ramp_of_any_length,
        odd_parameters_are_safe,
        the_end_of_time,
        a_clock_that_goes_back,
        counts_saturate,
    };
    Suite *s = suite_create("policy/breaker");
    TCase *t = tcase_create("breaker");
    for (size_t i = 0; i < ARRAY_LEN(tests); i++)
        tcase_add_test(t, tests[i]);
    suite_add_tcase(s, t);
    return s;
}

int main(void)
{
    SRunner *r = srunner_create(suite());
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
