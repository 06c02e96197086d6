/* policy/health: the four healths at each of their bounds, and the monitor of a silent connection.
 */
#include "base/util.h"
#include "policy/health.h"

#include <check.h>
#include <limits.h>
#include <stdlib.h>

#define S       USEC_PER_SEC
#define TICK    (30 * S)
#define TIMEOUT (20 * S)

/* ---- the server ---- */

START_TEST(healthy_needs_all_of_it)
{
    usec_t now = 1000 * S;
    static const struct {
        struct health_view v;
        enum health want;
    } t[] = {
        {{1, 0, 1, 990 * S, true, true}, HEALTH_HEALTHY},
        {{1, 0, 0, 990 * S, true, true}, HEALTH_HEALTHY},
        {{2, 0, 3, 990 * S, true, true}, HEALTH_DEGRADED},
        {{3, 0, 3, 990 * S, true, true}, HEALTH_HEALTHY},
        {{4, 0, 3, 990 * S, true, true}, HEALTH_HEALTHY},
        {{3, 1, 3, 990 * S, true, true}, HEALTH_HEALTHY}, /* one more than wanted recovers */
        {{1, 0, 1, 990 * S, false, true}, HEALTH_DEGRADED},
        {{1, 0, 1, 940 * S + 1, true, true}, HEALTH_HEALTHY},
        {{1, 0, 1, 940 * S, true, true}, HEALTH_HEALTHY}, /* within two ticks */
        {{1, 0, 1, 940 * S - 1, true, true}, HEALTH_DEGRADED},
        {{1, 0, 1, 0, true, true}, HEALTH_DEGRADED},
        {{1, 0, 1, 1000 * S + 1, true, true}, HEALTH_HEALTHY},
    };
    for (size_t i = 0; i < ARRAY_LEN(t); i++)
        ck_assert_msg(health_judge(&t[i].v, TICK, now) == t[i].want, "row %zu", i);
}
END_TEST

START_TEST(nothing_ready)
{
    static const struct {
        struct health_view v;
        enum health want;
    } t[] = {
        {{0, 0, 1, 0, true, false}, HEALTH_UNKNOWN}, /* not tried yet */
        {{0, 0, 1, 0, true, true}, HEALTH_UNHEALTHY},
        {{0, 0, 0, 0, true, true}, HEALTH_UNKNOWN}, /* nothing wanted, nothing failed */
        {{0, 0, 0, 0, true, false}, HEALTH_UNKNOWN},
        {{0, 1, 0, 0, true, true}, HEALTH_UNHEALTHY},
        {{0, 1, 1, 0, true, true}, HEALTH_UNHEALTHY},
        {{0, 0, 0, 0, false, true}, HEALTH_UNHEALTHY}, /* calls would be refused */
        {{0, 1, 1, 1000 * S, false, true}, HEALTH_UNHEALTHY},
    };
    for (size_t i = 0; i < ARRAY_LEN(t); i++)
        ck_assert_msg(health_judge(&t[i].v, TICK, 1000 * S) == t[i].want, "row %zu", i);
}
END_TEST

START_TEST(an_endless_tick_is_safe)
{
    struct health_view v = {.ready = 1, .wanted = 1, .last_answer = 1, .breaker_closed = true};
    ck_assert_int_eq(health_judge(&v, USEC_NEVER, USEC_NEVER), HEALTH_HEALTHY);
    ck_assert_int_eq(health_judge(&v, USEC_NEVER / 2 + 1, USEC_NEVER), HEALTH_HEALTHY);
    ck_assert_int_eq(health_judge(&v, 0, 1), HEALTH_HEALTHY);
    ck_assert_int_eq(health_judge(&v, 0, 2), HEALTH_DEGRADED);
}
END_TEST

START_TEST(names)
{
    ck_assert_str_eq(health_name(HEALTH_UNKNOWN), "unknown");
    ck_assert_str_eq(health_name(HEALTH_HEALTHY), "healthy");
    ck_assert_str_eq(health_name(HEALTH_DEGRADED), "degraded");
    ck_assert_str_eq(health_name(HEALTH_UNHEALTHY), "unhealthy");
}
END_TEST

/* ---- the monitor ---- */

static enum probe_action tick(struct probe *p, const struct probe_view *v, usec_t now)
{
    return probe_tick(p, v, TICK, TIMEOUT, now);
}

START_TEST(silent_for_half_a_tick_is_pinged_once)
{
    struct probe_view v = {.heard_at = 100 * S};
    struct probe p = {0};
    ck_assert_int_eq(tick(&p, &v, 90 * S), PROBE_NOTHING); /* a clock that went back */
    ck_assert_int_eq(tick(&p, &v, 115 * S - 1), PROBE_NOTHING);
    ck_assert(!p.pending);
    ck_assert_int_eq(tick(&p, &v, 115 * S), PROBE_SEND);
    ck_assert(p.pending);
    ck_assert_uint_eq(p.sent_at, 115 * S);
    ck_assert_int_eq(tick(&p, &v, 115 * S), PROBE_NOTHING);
    ck_assert_int_eq(tick(&p, &v, 135 * S - 1), PROBE_NOTHING);
    ck_assert_uint_eq(p.missed, 0);
}
END_TEST

/* A tick is a little late, each time, and the answer comes a little after it: before, with or after
 * as much as that. */
START_TEST(an_idle_server_is_pinged_at_each_tick_and_healthy_at_all)
{
    const usec_t late = 2000, answers_in[] = {0, 500, 2000, 3000, 4000, 5000, 1 * S, 14 * S};
    for (size_t i = 0; i < ARRAY_LEN(answers_in); i++) {
        struct probe_view v = {.heard_at = 100 * S};
        struct health_view h = {1, 0, 1, 100 * S, true, true};
        struct probe p = {0};
        usec_t now = 100 * S;
        for (int n = 0; n < 10; n++) {
            now += TICK + late;
            ck_assert_int_eq(tick(&p, &v, now), PROBE_SEND);
            ck_assert_int_eq(health_judge(&h, TICK, now), HEALTH_HEALTHY);
            v.heard_at = h.last_answer = now + answers_in[i];
            probe_on_answer(&p);
        }
    }
}
END_TEST

START_TEST(two_misses_of_an_idle_server_replace)
{
    struct probe_view v = {.heard_at = 100 * S};
    struct probe p = {.ever_answered = true};
    ck_assert_int_eq(tick(&p, &v, 130 * S), PROBE_SEND);
    ck_assert_int_eq(tick(&p, &v, 150 * S), PROBE_SUSPECT);
    ck_assert_uint_eq(p.missed, 1);
    ck_assert_int_eq(tick(&p, &v, 150 * S), PROBE_SEND); /* at once when asked again */
    ck_assert_int_eq(tick(&p, &v, 170 * S - 1), PROBE_NOTHING);
    ck_assert_int_eq(tick(&p, &v, 170 * S), PROBE_REPLACE);
}
END_TEST

START_TEST(any_byte_acquits)
{
    struct probe_view v = {.heard_at = 100 * S};
    struct probe p = {.ever_answered = true}, told;
    tick(&p, &v, 130 * S);
    tick(&p, &v, 150 * S);
    tick(&p, &v, 151 * S);
    told = p;
    v.heard_at = 151 * S; /* read in the turn of the ping: before it */
    ck_assert_int_eq(tick(&p, &v, 181 * S), PROBE_REPLACE);
    p = told;
    v.heard_at = 151 * S + 1;
    ck_assert_int_eq(tick(&p, &v, 160 * S), PROBE_NOTHING);
    ck_assert(!p.pending && p.missed == 0);
    p = (struct probe){.pending = true, .sent_at = 151 * S}; /* the first ping */
    ck_assert_int_eq(tick(&p, &v, 166 * S), PROBE_NOTHING);
    ck_assert(!p.pending);
    p = (struct probe){.missed = 1, .sent_at = 151 * S};
    ck_assert_int_eq(tick(&p, &v, 166 * S), PROBE_NOTHING);
    ck_assert_uint_eq(p.missed, 0);
    p = told;
    probe_on_heard(&p); /* the caller may say so as well */
    ck_assert(!p.pending && p.missed == 0 && p.ever_answered);
    ck_assert_int_eq(tick(&p, &v, 181 * S + 1), PROBE_SEND);
    ck_assert_int_eq(tick(&p, &v, 201 * S + 1), PROBE_SUSPECT); /* counted from the start */
}
END_TEST

START_TEST(a_busy_server_is_suspect_but_never_replaced)
{
    struct probe_view v = {.heard_at = 100 * S, .running = 1};
    struct probe p = {.ever_answered = true};
    usec_t now = 130 * S;
    for (int i = 0; i < 100; i++, now += TICK) {
        ck_assert_int_eq(tick(&p, &v, now), PROBE_SEND);
        now += TICK;
        ck_assert_int_eq(tick(&p, &v, now), PROBE_SUSPECT);
    }
    v.overdue = true; /* drained by whoever gave the call up; another one may still come back */
    ck_assert_int_eq(tick(&p, &v, now), PROBE_SEND);
    ck_assert_int_eq(tick(&p, &v, now + TICK), PROBE_SUSPECT);
    v.running = 0;
    ck_assert_int_eq(tick(&p, &v, now + TICK), PROBE_REPLACE);
}
END_TEST

START_TEST(a_server_without_ping_is_not_blamed_for_it)
{
    struct probe_view v = {.heard_at = 100 * S};
    struct probe p = {0};
    for (usec_t now = 130 * S; now < 5000 * S; now += TICK) {
        ck_assert_int_eq(tick(&p, &v, now), PROBE_SEND); /* it may have learnt it */
        v.running = now / TICK % 2;
    }
    ck_assert_uint_ge(p.missed, 100);
    v.running = 0;
    v.overdue = true; /* silence with a call overdue is another matter */
    ck_assert_int_eq(tick(&p, &v, 5000 * S), PROBE_REPLACE);

    v = (struct probe_view){.heard_at = 5000 * S};
    p = (struct probe){0};
    ck_assert_int_eq(tick(&p, &v, 5030 * S), PROBE_SEND);
    probe_on_answer(&p); /* an error is one */
    ck_assert(p.ever_answered && !p.pending);
    ck_assert_int_eq(tick(&p, &v, 5060 * S), PROBE_SEND);
    ck_assert_int_eq(tick(&p, &v, 5090 * S), PROBE_SUSPECT);
}
END_TEST

START_TEST(an_overdue_call_replaces_without_a_ping)
{
    struct probe_view v = {.heard_at = 100 * S, .overdue = true};
    struct probe p = {0};
    ck_assert_int_eq(tick(&p, &v, 101 * S), PROBE_REPLACE);
}
END_TEST

START_TEST(odd_parameters_are_safe)
{
    struct probe_view v = {.heard_at = 5};
    struct probe p = {.ever_answered = true};
    ck_assert_int_eq(probe_tick(&p, &v, 0, 0, 5), PROBE_SEND);
    ck_assert_int_eq(probe_tick(&p, &v, 0, 0, 5), PROBE_SUSPECT);
    ck_assert_int_eq(probe_tick(&p, &v, 0, 0, 5), PROBE_SEND);
    ck_assert_int_eq(probe_tick(&p, &v, 0, 0, 5), PROBE_REPLACE);
    p = (struct probe){.pending = true, .missed = UINT_MAX, .sent_at = 10};
    ck_assert_int_eq(probe_tick(&p, &v, 0, 0, 10), PROBE_SEND);
    ck_assert_uint_eq(p.missed, UINT_MAX);
    p = (struct probe){0};
    ck_assert_int_eq(probe_tick(&p, &v, USEC_NEVER, USEC_NEVER, USEC_NEVER / 2), PROBE_NOTHING);
}
END_TEST

START_TEST(stuck_is_silent_since_the_call_began)
{
    ck_assert(probe_is_stuck(100 * S, 0));
    ck_assert(probe_is_stuck(100 * S, 100 * S - 1));
    ck_assert(probe_is_stuck(100 * S, 100 * S));
    ck_assert(!probe_is_stuck(100 * S, 100 * S + 1));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("policy/health");
    TCase *t = tcase_create("health");
    tcase_add_test(t, healthy_needs_all_of_it);
    tcase_add_test(t, nothing_ready);
    tcase_add_test(t, an_endless_tick_is_safe);
    tcase_add_test(t, names);
    tcase_add_test(t, silent_for_half_a_tick_is_pinged_once);
    tcase_add_test(t, an_idle_server_is_pinged_at_each_tick_and_healthy_at_all);
    tcase_add_test(t, two_misses_of_an_idle_server_replace);
    tcase_add_test(t, any_byte_acquits);
    tcase_add_test(t, a_busy_server_is_suspect_but_never_replaced);
    tcase_add_test(t, a_server_without_ping_is_not_blamed_for_it);
    tcase_add_test(t, an_overdue_call_replaces_without_a_ping);
    tcase_add_test(t, odd_parameters_are_safe);
    tcase_add_test(t, stuck_is_silent_since_the_call_began);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
