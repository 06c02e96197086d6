/* The life of calls: ids and tokens, ends, cancellation, deadlines, loss of the server. */
#include "world.h"

#define CALL(id)                                                                                   \
    "{\"jsonrpc\":\"2.0\",\"id\":" id ",\"method\":\"tools/call\",\"params\":{\"name\":\"x\"}}"

static struct client a, b;

static uint64_t id_of(const char *message)
{
    uint64_t id = 0;
    ck_assert_ptr_nonnull(message);
    ck_assert(json_u64(json_get(slice_str(message), "id"), &id));
    return id;
}

static void start(const char *extra, const char *top)
{
    world_new(extra, top);
    proxy_start(w.proxy);
    turn();
    client_ready(&a);
}

static void end(void)
{
    client_close(&a);
    world_end();
}

START_TEST(an_answer_bears_the_bytes_of_the_clients_id)
{
    static const char *const ids[] = {
        "0", "1", "\"1\"", "-0", "9007199254740993", "\"\\u0041/\\\"\"", "18446744073709551616"};
    start(NULL, NULL);
    for (size_t i = 0; i < ARRAY_LEN(ids); i++) {
        char text[256];
        snprintf(text, sizeof(text), "{\"method\":\"tools/list\",\"id\":%s,\"jsonrpc\":\"2.0\"}",
                 ids[i]);
        client_say(&a, text);
        uint64_t up = id_of(fake_read(fake_at(0)));
        fake_say(fake_at(0),
                 "{\"result\":{\"big\":123456789012345678901},\"jsonrpc\":\"2.0\",\"id\":%llu}",
                 (unsigned long long)up);
        snprintf(text, sizeof(text),
                 "{\"result\":{\"big\":123456789012345678901},\"jsonrpc\":\"2.0\",\"id\":%s}",
                 ids[i]);
        ck_assert_str_eq(client_read(&a), text);
    }
    end();
}
END_TEST

START_TEST(equal_ids_of_two_clients_never_cross)
{
    start(NULL, NULL);
    client_ready(&b);
    client_say(&a, CALL("5"));
    client_say(&b, CALL("5"));
    uint64_t of_a = id_of(fake_read(fake_at(0))), of_b = id_of(fake_read(fake_at(0)));
    ck_assert_uint_ne(of_a, of_b);
    fake_say(fake_at(0), "{\"jsonrpc\":\"2.0\",\"id\":%llu,\"result\":\"b\"}",
             (unsigned long long)of_b);
    fake_say(fake_at(0), "{\"jsonrpc\":\"2.0\",\"id\":%llu,\"result\":\"a\"}",
             (unsigned long long)of_a);
    ck_assert_str_eq(client_read(&a), "{\"jsonrpc\":\"2.0\",\"id\":5,\"result\":\"a\"}");
    ck_assert_str_eq(client_read(&b), "{\"jsonrpc\":\"2.0\",\"id\":5,\"result\":\"b\"}");
    ck_assert_ptr_null(client_read(&a));
    client_close(&b);
    end();
}
END_TEST

START_TEST(progress_bears_the_clients_token_and_only_rises)
{
    start(NULL, NULL);
    client_say(&a, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/"
                   "call\",\"params\":{\"name\":\"x\",\"_meta\":"
                   "{\"progressToken\":\"tok\\u0065n\"}}}");
    const char *sent = fake_read(fake_at(0));
    uint64_t id = id_of(sent);
    uint64_t token;
    ck_assert(
        json_u64(json_path(slice_str(sent), "params", "_meta", "progressToken", NULL), &token));
    ck_assert_uint_eq(token, id);
    static const struct {
        const char *value;
        bool passes;
    } steps[] = {{"1", true},   {"1", false},  {"0.5", false},
                 {"1.5", true}, {"1e1", true}, {"9", false}};
    for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
        fake_say(fake_at(0),
                 "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/"
                 "progress\",\"params\":{\"progressToken\":%llu,"
                 "\"progress\":%s}}",
                 (unsigned long long)id, steps[i].value);
        const char *got = client_read(&a);
        ck_assert_int_eq(got != NULL, steps[i].passes);
        if (got)
            ck_assert_has(got, "\"progressToken\":\"tok\\u0065n\"");
    }
    fake_say(fake_at(0), "{\"jsonrpc\":\"2.0\",\"id\":%llu,\"result\":{}}", (unsigned long long)id);
    ck_assert_has(client_read(&a), "\"result\"");
    fake_say(fake_at(0),
             "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/"
             "progress\",\"params\":{\"progressToken\":%llu,"
             "\"progress\":99}}",
             (unsigned long long)id);
    ck_assert_ptr_null(client_read(&a));
    end();
}
END_TEST

START_TEST(progress_is_passed_on_at_its_rate_and_the_last_always)
{
    start(NULL, ",\"limits\":{\"progress_per_second\":2}");
    client_say(&a, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/"
                   "call\",\"params\":{\"name\":\"x\",\"_meta\":"
                   "{\"progressToken\":1}}}");
    uint64_t up = id_of(fake_read(fake_at(0)));
    unsigned passed = 0;
    for (int i = 1; i <= 1200; i++) {
        fake_say(fake_at(0),
                 "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/"
                 "progress\",\"params\":{\"progressToken\":%llu,"
                 "\"progress\":%d}}",
                 (unsigned long long)up, i);
        pass(USEC_PER_MSEC);
    }
    for (; client_read(&a) != NULL;)
        passed++;
    ck_assert_uint_eq(passed, 4); /* a burst of two, then one each half second */
    fake_say(fake_at(0), "{\"jsonrpc\":\"2.0\",\"id\":%llu,\"result\":{}}", (unsigned long long)up);
    ck_assert_has(client_read(&a), "\"progress\":1200");
    ck_assert_has(client_read(&a), "\"result\"");
    ck_assert_ptr_null(client_read(&a));
    end();
}
END_TEST

START_TEST(a_duplicate_id_in_flight_is_refused_and_the_first_goes_on)
{
    start(NULL, NULL);
    client_say(&a, CALL("1"));
    client_say(&a, CALL("1"));
    ck_assert_has(client_read(&a), "-32600");
    client_say(&a, CALL("\"1\"")); /* another type is another id */
    ck_assert_ptr_null(client_read(&a));
    uint64_t first = id_of(fake_read(fake_at(0)));
    fake_say(fake_at(0), "{\"jsonrpc\":\"2.0\",\"id\":%llu,\"result\":1}",
             (unsigned long long)first);
    ck_assert_str_eq(client_read(&a), "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":1}");
    end();
}
END_TEST

/* In flight at once: more than are found by looking at each, and then again none. */
START_TEST(of_many_in_flight_each_is_found_by_its_id)
{
    uint64_t up[14];
    char text[160];
    start(NULL, NULL);
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < ARRAY_LEN(up); i++) {
            snprintf(text, sizeof(text), CALL("\"c%zu\""), i);
            client_say(&a, text);
            up[i] = id_of(fake_read(fake_at(0)));
            snprintf(text, sizeof(text), CALL("\"\\u0063%zu\""), i / 2);
            client_say(&a, text);
            ck_assert_has(client_read(&a), "-32600");
        }
        ck_assert_ptr_null(fake_read(fake_at(0)));
        for (size_t i = 0; i < ARRAY_LEN(up); i += 2) {
            snprintf(text, sizeof(text),
                     "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\","
                     "\"params\":{\"requestId\":\"c%zu\"}}",
                     i);
            client_say(&a, text);
            snprintf(text, sizeof(text), "\"requestId\":%llu", (unsigned long long)up[i]);
            ck_assert_has(fake_read(fake_at(0)), text);
            fake_say(fake_at(0), "{\"jsonrpc\":\"2.0\",\"id\":%llu,\"result\":{}}",
                     (unsigned long long)up[i + 1]);
            snprintf(text, sizeof(text), "\"id\":\"c%zu\"", i + 1);
            ck_assert_has(client_read(&a), text);
        }
        ck_assert_uint_eq(session_in_flight(a.session), 0);
    }
    end();
}
END_TEST

#define PING(id) "{\"jsonrpc\":\"2.0\",\"id\":" id ",\"method\":\"ping\"}"

START_TEST(a_session_ends_when_it_was_idle_for_its_time_and_no_sooner)
{
    start(NULL, ",\"limits\":{\"session_idle_timeout\":10}");
    for (int i = 0; i < 3; i++) {
        pass(7 * USEC_PER_SEC);
        client_say(&a, PING("1"));
        ck_assert_ptr_nonnull(client_read(&a));
    }
    pass(9 * USEC_PER_SEC);
    ck_assert(!a.ended);
    client_say(&a, CALL("2"));
    uint64_t up = id_of(fake_read(fake_at(0)));
    pass(25 * USEC_PER_SEC); /* with a call in flight it is not idle */
    ck_assert(!a.ended);
    fake_say(fake_at(0), "{\"jsonrpc\":\"2.0\",\"id\":%llu,\"result\":{}}", (unsigned long long)up);
    client_say(&a, PING("3"));
    pass(10 * USEC_PER_SEC - USEC_PER_MSEC);
    ck_assert(!a.ended);
    pass(2 * USEC_PER_MSEC);
    ck_assert(a.ended);
    end();
}
END_TEST

START_TEST(cancel_is_mapped_and_a_late_answer_is_dropped)
{
    start(NULL, NULL);
    client_say(&a, CALL("7"));
    uint64_t up = id_of(fake_read(fake_at(0)));
    client_say(&a, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/"
                   "cancelled\",\"params\":{\"requestId\":\"7\"}}");
    ck_assert_ptr_null(fake_read(fake_at(0))); /* that id is not this id */
    client_say(
        &a,
        "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{\"requestId\":7,"
        "\"reason\":\"no\"}}");
    char want[64];
    snprintf(want, sizeof(want), "\"requestId\":%llu,\"reason\":\"no\"", (unsigned long long)up);
    ck_assert_has(fake_read(fake_at(0)), want);
    ck_assert_uint_eq(a.silent, 1);
    fake_say(fake_at(0), "{\"jsonrpc\":\"2.0\",\"id\":%llu,\"result\":1}", (unsigned long long)up);
    ck_assert_ptr_null(client_read(&a));
    ck_assert_uint_eq(session_in_flight(a.session), 0);
    end();
}
END_TEST

START_TEST(one_clients_cancel_never_touches_anothers_call)
{
    start(NULL, NULL);
    client_ready(&b);
    client_say(&a, CALL("7"));
    uint64_t up = id_of(fake_read(fake_at(0)));
    client_say(&b, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/"
                   "cancelled\",\"params\":{\"requestId\":7}}");
    ck_assert_ptr_null(fake_read(fake_at(0)));
    fake_say(fake_at(0), "{\"jsonrpc\":\"2.0\",\"id\":%llu,\"result\":1}", (unsigned long long)up);
    ck_assert_has(client_read(&a), "\"result\":1");
    client_close(&b);
    end();
}
END_TEST

START_TEST(unknown_and_repeated_answers_reach_nobody)
{
    start(NULL, NULL);
    client_say(&a, CALL("1"));
    uint64_t up = id_of(fake_read(fake_at(0)));
    fake_say(fake_at(0), "{\"jsonrpc\":\"2.0\",\"id\":%llu,\"result\":1}",
             (unsigned long long)up + 1);
    fake_say(fake_at(0), "{\"jsonrpc\":\"2.0\",\"id\":\"%llu\",\"result\":1}",
             (unsigned long long)up);
    ck_assert_ptr_null(client_read(&a));
    fake_say(fake_at(0), "{\"jsonrpc\":\"2.0\",\"id\":%llu,\"result\":2}", (unsigned long long)up);
    fake_say(fake_at(0), "{\"jsonrpc\":\"2.0\",\"id\":%llu,\"result\":3}", (unsigned long long)up);
    ck_assert_has(client_read(&a), "\"result\":2");
    ck_assert_ptr_null(client_read(&a));
    end();
}
END_TEST

START_TEST(many_calls_with_one_that_stays)
{
    start(NULL, NULL);
    client_say(&a, CALL("\"stays\""));
    uint64_t stays = id_of(fake_read(fake_at(0)));
    for (int i = 0; i < 200; i++) {
        char text[128];
        snprintf(text, sizeof(text), CALL("%d"), i);
        client_say(&a, text);
        uint64_t up = id_of(fake_read(fake_at(0)));
        fake_say(fake_at(0), "{\"jsonrpc\":\"2.0\",\"id\":%llu,\"result\":%d}",
                 (unsigned long long)up, i);
        snprintf(text, sizeof(text), "{\"jsonrpc\":\"2.0\",\"id\":%d,\"result\":%d}", i, i);
        ck_assert_str_eq(client_read(&a), text);
    }
    fake_say(fake_at(0), "{\"jsonrpc\":\"2.0\",\"id\":%llu,\"result\":true}",
             (unsigned long long)stays);
    ck_assert_has(client_read(&a), "\"stays\"");
    end();
}
END_TEST

START_TEST(a_call_ends_at_its_deadline_and_progress_extends_it)
{
    start(NULL, ",\"resilience\":{\"call_timeout\":10}");
    client_say(&a, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/"
                   "call\",\"params\":{\"name\":\"x\",\"_meta\":"
                   "{\"progressToken\":1}}}");
    uint64_t up = id_of(fake_read(fake_at(0)));
    pass(9 * USEC_PER_SEC);
    fake_say(fake_at(0),
             "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/"
             "progress\",\"params\":{\"progressToken\":%llu,"
             "\"progress\":1}}",
             (unsigned long long)up);
    ck_assert_has(client_read(&a), "progress");
    pass(9 * USEC_PER_SEC);
    ck_assert_ptr_null(client_read(&a));
    pass(2 * USEC_PER_SEC);
    const char *m = client_read(&a);
    ck_assert_has(m, "\"reason\":\"timeout\"");
    ck_assert_has(m, "\"delivered\":\"maybe\"");
    ck_assert_has(fake_read(fake_at(0)), "notifications/cancelled");
    fake_say(fake_at(0), "{\"jsonrpc\":\"2.0\",\"id\":%llu,\"result\":1}", (unsigned long long)up);
    ck_assert_ptr_null(client_read(&a));
    end();
}
END_TEST

START_TEST(the_time_that_the_user_takes_for_an_answer_is_not_the_servers)
{
    world_new(NULL,
              ",\"resilience\":{\"call_timeout\":10},\"limits\":{\"max_asks_per_session\":1}");
    proxy_start(w.proxy);
    turn();
    client_open(&a, "anonymous", "{\"elicitation\":{}}");
    ck_assert_has(client_read(&a), "\"result\"");
    client_say(&a, CALL("1"));
    struct fake *f = w.fakes;
    ck_assert_has(fake_read(f), "tools/call");
    pass(6 * USEC_PER_SEC);
    fake_say(f, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"elicitation/"
                "create\",\"params\":{\"message\":\"?\"}}");
    ck_assert_has(client_read(&a), "elicitation/create");
    fake_say(f, "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"elicitation/"
                "create\",\"params\":{\"message\":\"?\"}}");
    ck_assert_has(fake_read(f), "-32603"); /* one is open already */
    pass(6 * USEC_PER_SEC);
    client_say(&a, "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"action\":\"decline\"}}");
    ck_assert_has(fake_read(f), "decline");
    pass(6 * USEC_PER_SEC);
    ck_assert_ptr_null(client_read(&a));
    pass(6 * USEC_PER_SEC);
    ck_assert_has(client_read(&a), "\"reason\":\"timeout\"");
    end();
}
END_TEST

START_TEST(progress_cannot_extend_a_call_beyond_an_hour)
{
    start(NULL, NULL);
    client_say(&a, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/"
                   "call\",\"params\":{\"name\":\"x\",\"_meta\":"
                   "{\"progressToken\":1}}}");
    uint64_t up = id_of(fake_read(fake_at(0)));
    for (int i = 1; i <= 62; i++) {
        if (session_in_flight(a.session) == 0)
            break;
        fake_say(fake_at(0),
                 "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/"
                 "progress\",\"params\":{\"progressToken\":%llu,"
                 "\"progress\":%d}}",
                 (unsigned long long)up, i);
        pass(60 * USEC_PER_SEC);
        ck_assert_msg(session_in_flight(a.session) == (i < 60), "minute %d", i);
    }
    end();
}
END_TEST

START_TEST(a_server_that_dies_fails_its_calls_honestly)
{
    start(NULL, NULL);
    client_say(&a, CALL("1"));
    client_say(&a, CALL("2"));
    struct fake *f = fake_at(0);
    f->stuck_from = f->marks; /* the second was not taken by the kernel yet */
    fake_die(f);
    turn();
    const char *m = client_read(&a);
    ck_assert_has(m, "\"id\":1");
    ck_assert_has(m, "\"reason\":\"upstream_lost\"");
    ck_assert_has(m, "\"delivered\":\"maybe\"");
    ck_assert_has(m, "\"server\":\"fake\"");
    ck_assert_ptr_null(client_read(&a));
    /* The other was never received: it runs on the next connection, and so does a new one. */
    client_say(&a, CALL("3"));
    pass(5 * USEC_PER_SEC);
    for (int id = 2; id <= 3; id++) {
        char text[64];
        uint64_t up = id_of(fake_read(fake_at(0)));
        fake_say(fake_at(0), "{\"jsonrpc\":\"2.0\",\"id\":%llu,\"result\":1}",
                 (unsigned long long)up);
        snprintf(text, sizeof(text), "{\"jsonrpc\":\"2.0\",\"id\":%d,\"result\":1}", id);
        ck_assert_str_eq(client_read(&a), text);
    }
    end();
}
END_TEST

START_TEST(a_call_is_moved_a_few_times_and_then_fails_as_never_delivered)
{
    start(NULL, NULL);
    client_say(&a, CALL("1"));
    unsigned deaths = 0;
    for (; session_in_flight(a.session); deaths++) {
        struct fake *f = fake_at(0);
        ck_assert_has(fake_read(f), "tools/call");
        f->stuck_from = 1;
        fake_die(f);
        pass(USEC_PER_SEC);
        if (session_in_flight(a.session))
            pass(9 * USEC_PER_SEC);
    }
    ck_assert_uint_eq(deaths, 4);
    const char *m = client_read(&a);
    ck_assert_has(m, "\"reason\":\"upstream_lost\"");
    ck_assert_has(m, "\"delivered\":\"no\"");
    ck_assert_has(m, "\"retryable\":true");
    end();
}
END_TEST

START_TEST(a_call_waits_for_a_server_that_restarts_but_not_for_ever)
{
    start(NULL, ",\"resilience\":{\"queue_timeout\":3}");
    w.refuse = true;
    fake_die(fake_at(0));
    turn();
    client_say(&a, CALL("1"));
    pass(4 * USEC_PER_SEC);
    const char *m = client_read(&a);
    ck_assert_has(m, "\"reason\":\"upstream_unavailable\"");
    ck_assert_has(m, "\"delivered\":\"no\"");
    ck_assert_has(m, "retryAfterMs");
    w.refuse = false;
    client_say(&a, CALL("2"));
    pass(100 * USEC_PER_SEC); /* past the longest back-off */
    ck_assert(fake_at(0) != NULL);
    end();
}
END_TEST

START_TEST(an_initialize_fails_at_once_when_the_command_does_not_exist)
{
    world_new(NULL, NULL);
    w.refuse = w.fatal = true;
    proxy_start(w.proxy);
    turn();
    client_open(&a, "anonymous", NULL);
    ck_assert_has(client_read(&a), "upstream_unavailable");
    ck_assert(!session_is_initialized(a.session));
    end();
}
END_TEST

START_TEST(nobody_waits_for_an_attempt_that_comes_too_late)
{
    start(NULL, ",\"resilience\":{\"queue_timeout\":10,\"recovery_jitter_max\":0,"
                "\"circuit_breaker_threshold\":100}");
    w.refuse = true;
    fake_die(fake_at(0));
    pass(16 * USEC_PER_SEC); /* the last attempt was at 15 s, the next is at 31 s */
    client_say(&a, CALL("1"));
    const char *m = client_read(&a);
    ck_assert_has(m, "\"reason\":\"upstream_unavailable\"");
    ck_assert_has(m, "\"retryAfterMs\":15000");
    pass(6 * USEC_PER_SEC); /* nine seconds before it: worth the wait */
    w.refuse = false;
    client_say(&a, CALL("2"));
    ck_assert_ptr_null(client_read(&a));
    pass(10 * USEC_PER_SEC);
    ck_assert_has(fake_read(fake_at(0)), "tools/call");
    end();
}
END_TEST

START_TEST(limits_refuse_with_overloaded)
{
    start(NULL, ",\"limits\":{\"max_in_flight_per_session\":2}");
    client_say(&a, CALL("1"));
    client_say(&a, CALL("2"));
    ck_assert_ptr_null(client_read(&a));
    client_say(&a, CALL("3"));
    const char *m = client_read(&a);
    ck_assert_has(m, "\"id\":3");
    ck_assert_has(m, "\"reason\":\"overloaded\"");
    ck_assert_has(m, "\"delivered\":\"no\"");
    end();
}
END_TEST

START_TEST(an_oversize_answer_fails_only_its_call)
{
    start(NULL, NULL);
    client_say(&a, CALL("1"));
    client_say(&a, CALL("2"));
    uint64_t one = id_of(fake_read(fake_at(0))), two = id_of(fake_read(fake_at(0)));
    char raw[24];
    snprintf(raw, sizeof(raw), "%llu", (unsigned long long)one);
    fake_at(0)->ev->on_discarded(fake_at(0)->arg, slice_str(raw), REASON_RESPONSE_TOO_LARGE);
    ck_assert_has(client_read(&a), "\"reason\":\"response_too_large\"");
    fake_say(fake_at(0), "{\"jsonrpc\":\"2.0\",\"id\":%llu,\"result\":1}", (unsigned long long)two);
    ck_assert_has(client_read(&a), "\"id\":2");
    end();
}
END_TEST

START_TEST(the_end_of_a_session_cancels_its_calls_upstream)
{
    start(NULL, NULL);
    client_ready(&b);
    client_say(&b, CALL("1"));
    uint64_t up = id_of(fake_read(fake_at(0)));
    client_close(&b);
    char want[64];
    snprintf(want, sizeof(want), "\"requestId\":%llu", (unsigned long long)up);
    ck_assert_has(fake_read(fake_at(0)), want);
    ck_assert_uint_eq(b.silent, 1);
    end();
}
END_TEST

START_TEST(result_members_of_the_modern_era_are_taken_out)
{
    start(NULL, NULL);
    client_say(&a, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/list\"}");
    uint64_t up = id_of(fake_read(fake_at(0)));
    fake_say(fake_at(0),
             "{\"jsonrpc\":\"2.0\",\"id\":%llu,\"result\":{\"resultType\":\"complete\",\"tools\":[]"
             ",\"ttlMs\":5,"
             "\"cacheScope\":\"public\"}}",
             (unsigned long long)up);
    ck_assert_str_eq(client_read(&a), "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"tools\":[]}}");
    end();
}
END_TEST

START_TEST(a_stop_lets_calls_finish_and_refuses_new_ones)
{
    start(NULL, NULL);
    client_say(&a, CALL("1"));
    uint64_t up = id_of(fake_read(fake_at(0)));
    proxy_stop(w.proxy, world_stopped, NULL);
    turn();
    ck_assert(!w.stopped);
    client_say(&a, CALL("2"));
    ck_assert_has(client_read(&a), "\"reason\":\"shutting_down\"");
    fake_say(fake_at(0), "{\"jsonrpc\":\"2.0\",\"id\":%llu,\"result\":1}", (unsigned long long)up);
    ck_assert_has(client_read(&a), "\"result\":1");
    turn();
    ck_assert(w.stopped);
    end();
}
END_TEST

START_TEST(a_stop_that_takes_too_long_answers_what_is_left)
{
    start(NULL, ",\"limits\":{\"drain_timeout\":5}");
    client_say(&a, CALL("1"));
    proxy_stop(w.proxy, world_stopped, NULL);
    pass(6 * USEC_PER_SEC);
    const char *m = client_read(&a);
    ck_assert_has(m, "\"reason\":\"shutting_down\"");
    ck_assert_has(m, "\"delivered\":\"maybe\"");
    ck_assert(w.stopped);
    end();
}
END_TEST

int main(void)
{
    Suite *s = suite_create("proxy/calls");
    TCase *t = tcase_create("calls");
    tcase_add_test(t, an_answer_bears_the_bytes_of_the_clients_id);
    tcase_add_test(t, equal_ids_of_two_clients_never_cross);
    tcase_add_test(t, progress_bears_the_clients_token_and_only_rises);
    tcase_add_test(t, progress_is_passed_on_at_its_rate_and_the_last_always);
    tcase_add_test(t, a_duplicate_id_in_flight_is_refused_and_the_first_goes_on);
    tcase_add_test(t, of_many_in_flight_each_is_found_by_its_id);
    tcase_add_test(t, a_session_ends_when_it_was_idle_for_its_time_and_no_sooner);
    tcase_add_test(t, cancel_is_mapped_and_a_late_answer_is_dropped);
    tcase_add_test(t, one_clients_cancel_never_touches_anothers_call);
    tcase_add_test(t, unknown_and_repeated_answers_reach_nobody);
    tcase_add_test(t, many_calls_with_one_that_stays);
    tcase_add_test(t, a_call_ends_at_its_deadline_and_progress_extends_it);
    tcase_add_test(t, the_time_that_the_user_takes_for_an_answer_is_not_the_servers);
    tcase_add_test(t, progress_cannot_extend_a_call_beyond_an_hour);
    tcase_add_test(t, a_server_that_dies_fails_its_calls_honestly);
    tcase_add_test(t, a_call_is_moved_a_few_times_and_then_fails_as_never_delivered);
    tcase_add_test(t, a_call_waits_for_a_server_that_restarts_but_not_for_ever);
    tcase_add_test(t, an_initialize_fails_at_once_when_the_command_does_not_exist);
    tcase_add_test(t, nobody_waits_for_an_attempt_that_comes_too_late);
    tcase_add_test(t, limits_refuse_with_overloaded);
    tcase_add_test(t, an_oversize_answer_fails_only_its_call);
    tcase_add_test(t, the_end_of_a_session_cancels_its_calls_upstream);
    tcase_add_test(t, result_members_of_the_modern_era_are_taken_out);
    tcase_add_test(t, a_stop_lets_calls_finish_and_refuses_new_ones);
    tcase_add_test(t, a_stop_that_takes_too_long_answers_what_is_left);
    tcase_set_timeout(t, 60);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
