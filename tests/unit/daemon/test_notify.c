/* daemon/notify over virtual time and a socket of the test's own: the order of messages whoever
 * calls what when, the limit of waiting for first attempts, and signs of life that stop when a
 * sweep or a monitor does. */
#include "daemon/notify.h"

#include "unit/proxy/watching.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define WATCHDOG_USEC (4 * S)

static struct notify *notify;
static int manager = -1;

/* A server whose handshake is not answered when mute. */
static void start(bool mute, bool watchdog)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    char name[64], usec[32];
    snprintf(name, sizeof(name), "@mcpool-test-notify-%d", (int)getpid());
    memcpy(un.sun_path, name, strlen(name));
    un.sun_path[0] = '\0';
    manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    ck_assert_int_ge(manager, 0);
    ck_assert_int_eq(bind(manager, (struct sockaddr *)&un,
                          (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name))),
                     0);
    setenv("NOTIFY_SOCKET", name, 1);
    snprintf(usec, sizeof(usec), "%llu", (unsigned long long)WATCHDOG_USEC);
    if (watchdog)
        setenv("WATCHDOG_USEC", usec, 1);
    world_new(NULL, ",\"resilience\":{\"recovery_jitter_max\":0,\"operation_timeout\":\"5m\"}");
    w.mute = mute;
    notify = notify_new(&w.env, w.proxy);
    proxy_start(w.proxy);
    notify_started(notify);
    turn();
}

static void finish(void)
{
    notify_free(notify);
    notify_free(NULL);
    world_end();
    close(manager);
}

/* The next message; NULL when there is none. */
static const char *heard(void)
{
    static char text[4096];
    ssize_t n = recv(manager, text, sizeof(text) - 1, 0);
    if (n < 0)
        return NULL;
    text[n] = '\0';
    return text;
}

/* How many messages that wait begin with this; the others are forgotten. */
static unsigned heard_of(const char *what)
{
    unsigned n = 0;
    for (const char *m; (m = heard()) != NULL;)
        n += strncmp(m, what, strlen(what)) == 0;
    return n;
}

/* The same while time passes: the kernel keeps few messages. */
static unsigned heard_within(usec_t span, const char *what)
{
    unsigned n = 0;
    for (usec_t end = w.env.now + span; w.env.now < end;) {
        pass(S);
        n += heard_of(what);
    }
    return n;
}

START_TEST(ready_comes_with_the_end_of_the_first_attempt)
{
    start(true, false);
    for (int i = 0; i < 20; i++) {
        pass(S);
        const char *m = heard();
        ck_assert_ptr_nonnull(m);
        ck_assert_int_eq(strncmp(m, "EXTEND_TIMEOUT_USEC=", 20), 0);
    }
    fake_die(fake_at(0));
    pass(S);
    ck_assert_uint_eq(heard_of("READY=1\n"), 1);
    ck_assert_uint_eq(heard_within(60 * S, "READY=1\n"), 0);
    finish();
}
END_TEST

START_TEST(ready_waits_for_nothing_but_that)
{
    start(true, false);
    (void)heard_of("");
    fake_die(fake_at(0));
    turn();
    ck_assert_uint_eq(heard_of("READY=1\n"), 0); /* nobody has told */
    notify_stir(notify);
    turn();
    ck_assert_uint_eq(heard_of("READY=1\n"), 1);
    finish();
}
END_TEST

START_TEST(nor_is_a_server_waited_for_that_hangs)
{
    start(true, false);
    ck_assert_uint_eq(heard_within(NOTIFY_START_MAX - 2 * S, "READY=1\n"), 0);
    ck_assert_uint_eq(heard_within(3 * S, "READY=1\n"), 1);
    ck_assert_uint_eq(heard_within(60 * S, "EXTEND"), 0);
    finish();
}
END_TEST

START_TEST(reloads_are_told_in_pairs)
{
    start(false, false);
    pass(2 * S);
    ck_assert_uint_eq(heard_of("READY=1\n"), 1);
    notify_reloading(notify);
    notify_reloading(notify);
    const char *m = heard();
    ck_assert_ptr_nonnull(m);
    ck_assert_int_eq(strncmp(m, "RELOADING=1\nMONOTONIC_USEC=", 27), 0);
    ck_assert_uint_gt(strtoull(m + 27, NULL, 10), 0);
    ck_assert_uint_le(strtoull(m + 27, NULL, 10), clock_monotonic());
    ck_assert_ptr_null(heard());
    notify_ready(notify);
    notify_ready(notify);
    ck_assert_uint_eq(heard_of("READY=1\n"), 1);
    finish();
}
END_TEST

START_TEST(a_reload_during_the_start_is_not_told)
{
    start(true, false);
    notify_reloading(notify);
    notify_ready(notify);
    for (const char *m; (m = heard()) != NULL;)
        ck_assert_int_eq(strncmp(m, "EXTEND", 6), 0);
    finish();
}
END_TEST

START_TEST(nothing_but_the_stop_is_told_once_it_began)
{
    start(false, false);
    pass(2 * S);
    notify_reloading(notify);
    (void)heard_of("");
    notify_stopping(notify);
    notify_stopping(notify);
    notify_ready(notify);
    notify_reloading(notify);
    notify_started(notify);
    ck_assert_uint_eq(heard_of("STOPPING=1\nEXTEND_TIMEOUT_USEC="), 1);
    pass(5 * S);
    unsigned n = 0;
    for (const char *m; (m = heard()) != NULL; n++)
        ck_assert_int_eq(strncmp(m, "EXTEND_TIMEOUT_USEC=", 20), 0);
    ck_assert_uint_ge(n, 4);
    finish();
}
END_TEST

START_TEST(what_must_arrive_waits_until_the_manager_reads)
{
    start(false, false);
    pass(2 * S);
    /* They fill the manager's queue; the last must get through, and be the last. */
    for (int i = 0; i < 2000; i++) {
        notify_reloading(notify);
        notify_ready(notify);
    }
    notify_reloading(notify);
    notify_stopping(notify);
    char last[4096] = "";
    for (int i = 0; i < 3; i++) {
        for (const char *m; (m = heard()) != NULL;)
            if (strstr(m, "STOPPING=1\n") || strstr(m, "READY=1\n") || strstr(m, "RELOADING=1\n"))
                snprintf(last, sizeof(last), "%s", m);
        pass(S);
    }
    const char *stop = strstr(last, "STOPPING=1\n");
    ck_assert_ptr_nonnull(stop);
    ck_assert_ptr_null(strstr(stop, "READY=1"));
    finish();
}
END_TEST

#define ONE  "STATUS=1 server: 1 healthy; 1 session,"
#define NONE "STATUS=1 server: 1 healthy; 0 sessions,"

/* Sessions come and go without a word; whoever looked each second would tell at once. */
START_TEST(in_silence_hardly_anybody_looks)
{
    struct client c;
    start(false, false);
    pass(5 * S);
    (void)heard_of("");
    client_open(&c, "uid:1", "{}");
    ck_assert_uint_eq(heard_within(4 * S, ""), 0);
    int waited = 0;
    for (; waited < 8 && heard_of(ONE) == 0; waited++)
        pass(S);
    ck_assert_int_lt(waited, 8);
    client_close(&c);
    ck_assert_uint_eq(heard_within(2 * S, NONE), 1); /* while it changes they do */
    finish();
}
END_TEST

START_TEST(who_is_stirred_looks)
{
    struct client c;
    start(false, false);
    pass(5 * S);
    (void)heard_of("");
    client_open(&c, "uid:1", "{}");
    notify_stir(notify);
    pass(S / 2);
    notify_stir(notify); /* does not put it off */
    pass(S / 2);
    ck_assert_uint_eq(heard_of(ONE), 1);
    client_close(&c);
    finish();
}
END_TEST

START_TEST(signs_of_life_bring_the_status_along)
{
    struct client c;
    start(false, true);
    ck_assert_uint_eq(heard_within(5 * S, "STATUS=1 server: 1 healthy"), 1);
    client_open(&c, "uid:1", "{}");
    ck_assert_uint_eq(heard_within(WATCHDOG_USEC / 2 + S, ONE), 1);
    client_close(&c);
    finish();
}
END_TEST

START_TEST(signs_of_life_come_twice_in_the_managers_time)
{
    start(false, true);
    (void)heard_of("");
    unsigned n = heard_within(10 * WATCHDOG_USEC, "WATCHDOG=1\n");
    ck_assert_uint_ge(n, 20);
    ck_assert_uint_le(n, 21);
    finish();
}
END_TEST

/* After its timer was taken away: signs of life until it is overdue, one cry, silence. */
static void lose(bool sweep)
{
    start(false, true);
    ck_assert_uint_ge(heard_within(100 * S, "WATCHDOG=1\n"), 49);
    env_timer_clear(&w.env, sweep ? &server()->sweep : &server()->monitor);
    unsigned cries = 0, after = 0;
    for (int i = 0; i < 200; i++) {
        pass(S);
        for (const char *m; (m = heard()) != NULL;) {
            if (strcmp(m, "WATCHDOG=trigger\n") == 0)
                cries++;
            else if (cries && strncmp(m, "WATCHDOG", 8) == 0)
                after++;
        }
    }
    ck_assert_uint_eq(cries, 1);
    ck_assert_uint_eq(after, 0);
    finish();
}

START_TEST(a_sweep_that_does_not_tick_ends_them)
{
    lose(true);
}
END_TEST

START_TEST(so_does_a_monitor)
{
    lose(false);
}
END_TEST

START_TEST(a_standstill_is_nobodys_failure)
{
    start(false, true);
    (void)heard_within(100 * S, "");
    w.env.now += 3600 * S; /* a suspended machine: everything is late at once */
    ck_assert_uint_eq(heard_within(100 * S, "WATCHDOG=trigger\n"), 0);
    ck_assert_uint_ge(heard_within(100 * S, "WATCHDOG=1\n"), 49);
    finish();
}
END_TEST

START_TEST(without_a_manager_no_timer_runs)
{
    unsetenv("NOTIFY_SOCKET");
    world_new(NULL, NULL);
    size_t timers = w.env.heap_len;
    notify = notify_new(&w.env, w.proxy);
    notify_started(notify);
    turn();
    notify_reloading(notify);
    notify_ready(notify);
    notify_stopping(notify);
    ck_assert_uint_eq(w.env.heap_len, timers);
    notify_free(notify);
    world_end();
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("notify");
    tcase_add_test(t, ready_comes_with_the_end_of_the_first_attempt);
    tcase_add_test(t, ready_waits_for_nothing_but_that);
    tcase_add_test(t, nor_is_a_server_waited_for_that_hangs);
    tcase_add_test(t, reloads_are_told_in_pairs);
    tcase_add_test(t, a_reload_during_the_start_is_not_told);
    tcase_add_test(t, nothing_but_the_stop_is_told_once_it_began);
    tcase_add_test(t, what_must_arrive_waits_until_the_manager_reads);
    tcase_add_test(t, in_silence_hardly_anybody_looks);
    tcase_add_test(t, who_is_stirred_looks);
    tcase_add_test(t, signs_of_life_bring_the_status_along);
    tcase_add_test(t, signs_of_life_come_twice_in_the_managers_time);
    tcase_add_test(t, a_sweep_that_does_not_tick_ends_them);
    tcase_add_test(t, so_does_a_monitor);
    tcase_add_test(t, a_standstill_is_nobodys_failure);
    tcase_add_test(t, without_a_manager_no_timer_runs);
    Suite *s = suite_create("daemon/notify");
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
