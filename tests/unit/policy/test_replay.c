/* policy/replay: what may go out again, said row by row and then held to its promises over every
 * combination; the budget to the tenth. */
#include "base/util.h"
#include "policy/replay.h"

#include <check.h>
#include <limits.h>
#include <stdlib.h>

static struct replay_budget full(void)
{
    struct replay_budget b;
    replay_budget_init(&b, 10);
    return b;
}

static enum replay_verdict decide(struct replay_request r, enum replay_mode mode)
{
    struct replay_budget b = full();
    return replay_decide(&r, mode, &b);
}

/* ---- never handed over ---- */

START_TEST(unread_moves_whatever_it_is)
{
    struct replay_request call = {.kept = true};
    for (enum replay_mode m = REPLAY_READS; m <= REPLAY_OFF; m++) {
        struct replay_request r = call;
        for (r.moves = 0; r.moves < REPLAY_MOVES_MAX; r.moves++)
            ck_assert_int_eq(decide(r, m), REPLAY_MOVE);
        ck_assert_int_eq(decide(r, m), REPLAY_FAIL_NO);
        r.moves = UINT_MAX;
        ck_assert_int_eq(decide(r, m), REPLAY_FAIL_NO);
        r = (struct replay_request){.kept = true, .has_input = true};
        ck_assert_int_eq(decide(r, m), REPLAY_MOVE);
        r.kept = false;
        ck_assert_int_eq(decide(r, m), REPLAY_FAIL_NO);
    }
}
END_TEST

START_TEST(unread_the_second_time_may_have_run_the_first)
{
    struct replay_request r = {.side_effect_free = true, .kept = true, .replays = 1};
    ck_assert_int_eq(decide(r, REPLAY_READS), REPLAY_MOVE);
    r.moves = REPLAY_MOVES_MAX;
    ck_assert_int_eq(decide(r, REPLAY_READS), REPLAY_FAIL_MAYBE);
    r.moves = 0;
    r.kept = false;
    ck_assert_int_eq(decide(r, REPLAY_READS), REPLAY_FAIL_MAYBE);
}
END_TEST

START_TEST(moving_costs_nothing)
{
    struct replay_budget b = full(), empty;
    replay_budget_init(&empty, 0);
    struct replay_request r = {.kept = true};
    ck_assert_int_eq(replay_decide(&r, REPLAY_READS, &b), REPLAY_MOVE);
    ck_assert_uint_eq(b.tenths, 100);
    ck_assert_int_eq(replay_decide(&r, REPLAY_READS, &empty), REPLAY_MOVE);
}
END_TEST

/* ---- handed over ---- */

START_TEST(only_what_is_known_to_be_harmless_goes_again)
{
    static const struct {
        struct replay_request r;
        enum replay_verdict by_mode[3]; /* reads, annotated, off */
    } t[] = {
#define NO    REPLAY_FAIL_MAYBE
#define AGAIN REPLAY_AGAIN
        {{.side_effect_free = true}, {AGAIN, AGAIN, NO}},
        {{.annotated = true}, {NO, AGAIN, NO}},
        {{0}, {NO, NO, NO}},
        {{.side_effect_free = true, .has_input = true}, {NO, NO, NO}},
        {{.side_effect_free = true, .progressed = true}, {NO, NO, NO}},
        {{.side_effect_free = true, .asked = true}, {NO, NO, NO}},
        {{.side_effect_free = true, .replays = 1}, {NO, NO, NO}},
        {{.side_effect_free = true, .moves = REPLAY_MOVES_MAX}, {AGAIN, AGAIN, NO}},
        {{.annotated = true, .has_input = true}, {NO, NO, NO}},
        {{.annotated = true, .progressed = true}, {NO, NO, NO}},
        {{.annotated = true, .asked = true}, {NO, NO, NO}},
        {{.annotated = true, .replays = 1}, {NO, NO, NO}},
#undef NO
#undef AGAIN
    };
    for (size_t i = 0; i < ARRAY_LEN(t); i++) {
        for (enum replay_mode m = REPLAY_READS; m <= REPLAY_OFF; m++) {
            struct replay_request r = t[i].r;
            r.handed_over = r.kept = true;
            ck_assert_msg(decide(r, m) == t[i].by_mode[m], "row %zu, mode %d", i, m);
            ck_assert_int_eq(replay_is_safe(&r, m), t[i].by_mode[m] == REPLAY_AGAIN);
            r.kept = false;
            ck_assert_int_eq(decide(r, m), REPLAY_FAIL_MAYBE);
        }
    }
}
END_TEST

static struct replay_request combination(unsigned bits, unsigned moves, unsigned replays)
{
    return (struct replay_request){
        .handed_over = bits & 1,
        .side_effect_free = bits & 2,
        .annotated = bits & 4,
        .has_input = bits & 8,
        .progressed = bits & 16,
        .asked = bits & 32,
        .kept = bits & 64,
        .moves = moves,
        .replays = replays,
    };
}

static bool promises_hold(const struct replay_request *r, enum replay_mode mode, unsigned tenths)
{
    struct replay_budget b = {.tenths = tenths, .max_tenths = 100};
    enum replay_verdict v = replay_decide(r, mode, &b);
    if (b.tenths != tenths - (v == REPLAY_AGAIN ? 10 : 0))
        return false;
    bool unread = !r->handed_over, can_move = unread && r->kept && r->moves < REPLAY_MOVES_MAX;
    if ((v == REPLAY_MOVE) != can_move) /* nothing that could go on is failed */
        return false;
    switch (v) {
    case REPLAY_MOVE:
    case REPLAY_FAIL_MAYBE:
        return v == REPLAY_MOVE || !unread || r->replays > 0;
    case REPLAY_FAIL_NO: /* no server ever had it: the only case in which that may be said */
        return unread && r->replays == 0;
    case REPLAY_AGAIN:
        return !unread && r->kept && mode != REPLAY_OFF && tenths >= 10 && r->replays == 0 &&
               (r->side_effect_free || (mode == REPLAY_ANNOTATED && r->annotated)) &&
               !r->has_input && !r->progressed && !r->asked;
    }
    return false;
}

START_TEST(promises_hold_for_every_combination)
{
    static const unsigned counts[] = {0, 1, 2, 3, 4, UINT_MAX}, tenths[] = {0, 9, 10, 11, 100};
    for (unsigned bits = 0; bits < 128; bits++)
        for (size_t i = 0; i < ARRAY_LEN(counts); i++)
            for (size_t j = 0; j < ARRAY_LEN(counts); j++)
                for (size_t k = 0; k < ARRAY_LEN(tenths); k++)
                    for (enum replay_mode m = REPLAY_READS; m <= REPLAY_OFF; m++) {
                        struct replay_request r = combination(bits, counts[i], counts[j]);
                        if (!promises_hold(&r, m, tenths[k]))
                            ck_abort_msg("bits %x, moves %u, replays %u, tenths %u, mode %d", bits,
                                         r.moves, r.replays, tenths[k], m);
                    }
}
END_TEST

/* ---- the budget ---- */

START_TEST(ten_tokens_and_a_tenth_back_per_success)
{
    struct replay_budget b = full();
    struct replay_request r = {.handed_over = true, .side_effect_free = true, .kept = true};
    for (int i = 0; i < 10; i++)
        ck_assert_int_eq(replay_decide(&r, REPLAY_READS, &b), REPLAY_AGAIN);
    ck_assert_int_eq(replay_decide(&r, REPLAY_READS, &b), REPLAY_FAIL_MAYBE);
    ck_assert(replay_is_safe(&r, REPLAY_READS)); /* it is the budget that denied it */
    for (int i = 0; i < 9; i++) {
        replay_budget_on_success(&b);
        ck_assert_int_eq(replay_decide(&r, REPLAY_READS, &b), REPLAY_FAIL_MAYBE);
    }
    replay_budget_on_success(&b);
    ck_assert_int_eq(replay_decide(&r, REPLAY_READS, &b), REPLAY_AGAIN);
    ck_assert_int_eq(replay_decide(&r, REPLAY_READS, &b), REPLAY_FAIL_MAYBE);
    for (int i = 0; i < 1000; i++) {
        replay_budget_on_success(&b);
        ck_assert_uint_eq(b.tenths, i < 99 ? (unsigned)i + 1 : 100);
    }
}
END_TEST

START_TEST(budgets_of_any_size)
{
    struct replay_budget b;
    struct replay_request r = {.handed_over = true, .side_effect_free = true, .kept = true};
    replay_budget_init(&b, 0);
    for (int i = 0; i < 100; i++)
        replay_budget_on_success(&b);
    ck_assert_int_eq(replay_decide(&r, REPLAY_READS, &b), REPLAY_FAIL_MAYBE);
    replay_budget_init(&b, UINT_MAX / 10);
    ck_assert_uint_eq(b.tenths, UINT_MAX / 10 * 10);
    replay_budget_init(&b, UINT_MAX / 10 + 1);
    ck_assert_uint_eq(b.tenths, UINT_MAX);
    replay_budget_on_success(&b);
    ck_assert_uint_eq(b.tenths, UINT_MAX);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("policy/replay");
    TCase *t = tcase_create("replay");
    tcase_add_test(t, unread_moves_whatever_it_is);
    tcase_add_test(t, unread_the_second_time_may_have_run_the_first);
    tcase_add_test(t, moving_costs_nothing);
    tcase_add_test(t, only_what_is_known_to_be_harmless_goes_again);
    tcase_add_test(t, promises_hold_for_every_combination);
    tcase_add_test(t, ten_tokens_and_a_tenth_back_per_success);
    tcase_add_test(t, budgets_of_any_size);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
