/* policy/balance: who may run where under each sharing, and when a pool grows. */
#include "policy/balance.h"

#include <check.h>
#include <stdlib.h>

static const struct balance_rules shared = {
    .sharing = BALANCE_SHARED, .max_running = 4, .max_pending = 1000};

static struct balance_conn ready(void)
{
    return (struct balance_conn){.ready = true};
}

START_TEST(shared_fits_up_to_its_limits)
{
    struct balance_conn c = ready();
    ck_assert(balance_fits(&shared, &c, true));
    c.running = 3;
    ck_assert(balance_fits(&shared, &c, true));
    c.running = 4;
    ck_assert(!balance_fits(&shared, &c, true));
    c = ready();
    c.pending = 1000;
    ck_assert(balance_fits(&shared, &c, false));
    c.pending = 1001;
    ck_assert(!balance_fits(&shared, &c, false));
    c = ready();
    c.ready = false;
    ck_assert(!balance_fits(&shared, &c, false));
}
END_TEST

START_TEST(an_asking_server_gets_interactive_calls_one_by_one)
{
    struct balance_rules r = shared;
    r.one_interactive = true;
    struct balance_conn c = ready();
    c.running = c.interactive = 1;
    ck_assert(!balance_fits(&r, &c, true));
    ck_assert(balance_fits(&r, &c, false));
    c.interactive = 0;
    ck_assert(balance_fits(&r, &c, true));
    c.haunted = true; /* a given-up call of another session counts like one that runs */
    ck_assert(!balance_fits(&r, &c, true));
    ck_assert(balance_fits(&r, &c, false));
}
END_TEST

START_TEST(a_haunted_connection_is_the_last_choice)
{
    struct balance_conn c = ready(), d = ready();
    c.haunted = true;
    ck_assert(balance_fits(&shared, &c, true));
    ck_assert(balance_better(&d, &c) && !balance_better(&c, &d));
    d.running = 3; /* even a busier one is better */
    ck_assert(balance_better(&d, &c));
}
END_TEST

START_TEST(exclusive_belongs_to_the_lessee)
{
    struct balance_rules r = shared;
    r.sharing = BALANCE_EXCLUSIVE;
    struct balance_conn c = ready();
    ck_assert(balance_fits(&r, &c, true));
    c.leased = true;
    ck_assert(!balance_fits(&r, &c, true));
    c.mine = true;
    ck_assert(balance_fits(&r, &c, true));
    c = ready();
    c.used = true; /* a lease that ended leaves no trace */
    ck_assert(balance_fits(&r, &c, true));
}
END_TEST

START_TEST(session_never_takes_a_used_connection)
{
    struct balance_rules r = shared;
    r.sharing = BALANCE_SESSION;
    struct balance_conn c = ready();
    ck_assert(balance_fits(&r, &c, true));
    c.used = true;
    ck_assert(!balance_fits(&r, &c, true));
    c.leased = c.mine = true;
    ck_assert(balance_fits(&r, &c, true));
}
END_TEST

START_TEST(less_load_is_better_then_fewer_bytes)
{
    struct balance_conn a = ready(), b = ready();
    b.running = 1;
    ck_assert(balance_better(&a, &b) && !balance_better(&b, &a));
    b.running = 0;
    b.pending = 1;
    ck_assert(balance_better(&a, &b) && !balance_better(&b, &a));
    b.pending = 0;
    ck_assert(!balance_better(&a, &b));
}
END_TEST

START_TEST(growth_follows_demand_and_respects_backoff)
{
    ck_assert(!balance_should_grow(&shared, 0, 0, 0));
    ck_assert(balance_should_grow(&shared, 1, 0, 0));
    ck_assert(!balance_should_grow(&shared, 4, 1, 0)); /* the starting one will take four */
    ck_assert(balance_should_grow(&shared, 5, 1, 0));
    ck_assert(!balance_should_grow(&shared, 5, 0, 1)); /* one recovers */
    struct balance_rules r = shared;
    r.sharing = BALANCE_SESSION;
    ck_assert(balance_should_grow(&r, 2, 1, 0)); /* one session each */
}
END_TEST

int main(void)
{
    Suite *s = suite_create("policy/balance");
    TCase *t = tcase_create("balance");
    tcase_add_test(t, shared_fits_up_to_its_limits);
    tcase_add_test(t, an_asking_server_gets_interactive_calls_one_by_one);
    tcase_add_test(t, a_haunted_connection_is_the_last_choice);
    tcase_add_test(t, exclusive_belongs_to_the_lessee);
    tcase_add_test(t, session_never_takes_a_used_connection);
    tcase_add_test(t, less_load_is_better_then_fewer_bytes);
    tcase_add_test(t, growth_follows_demand_and_respects_backoff);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
