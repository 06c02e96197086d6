/* What several clients of one server may and may not see of each other: asks, log messages, levels,
 * subscriptions, change notifications. */
#include "clients.h"

#define SAMPLING "{\"sampling\":{},\"elicitation\":{}}"
#define ASK                                                                                        \
    "{\"jsonrpc\":\"2.0\",\"id\":\"s-1\",\"method\":\"sampling/"                                   \
    "createMessage\",\"params\":{\"_meta\":{"                                                      \
    "\"progressToken\":\"st\"},\"messages\":[]}}"

START_TEST(clients_of_other_capabilities_get_other_connections)
{
    begin(NULL);
    open_ready(&a, NULL);
    open_ready(&b, SAMPLING);
    struct fake *fa = fake_of(&a), *fb = fake_of(&b);
    ck_assert_ptr_ne(fa, fb);
    ck_assert_has(fa->got[0], "\"capabilities\":{}");
    ck_assert_has(fb->got[0], "\"capabilities\":{\"sampling\":{},\"elicitation\":{}}");
    client_close(&a);
    client_close(&b);
    world_end();
}
END_TEST

#define LIST(id, params) "{\"jsonrpc\":\"2.0\",\"id\":" id ",\"method\":\"tools/list\"" params "}"

START_TEST(equal_lists_at_once_are_asked_for_once)
{
    begin(NULL);
    open_ready(&a, NULL);
    open_ready(&b, NULL);
    struct fake *f = fake_of(&a);
    client_say(&a, LIST("1", ""));
    client_say(&b, LIST("\"1\"", ",\"params\":{}"));
    client_say(&b, LIST("2", ",\"params\":{\"cursor\":\"p2\"}"));
    client_say(&b, LIST("3", ",\"params\":{\"_meta\":{\"x\":1}}"));
    uint64_t first = id_of(fake_read(f)), page = id_of(fake_read(f)), meta = id_of(fake_read(f));
    ck_assert_ptr_null(fake_read(f));
    fake_say(f, "{\"jsonrpc\":\"2.0\",\"id\":%llu,\"result\":{\"tools\":[]}}",
             (unsigned long long)first);
    ck_assert_str_eq(client_read(&a), "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"tools\":[]}}");
    ck_assert_str_eq(client_read(&b),
                     "{\"jsonrpc\":\"2.0\",\"id\":\"1\",\"result\":{\"tools\":[]}}");
    fake_say(f, "{\"jsonrpc\":\"2.0\",\"id\":%llu,\"result\":{}}", (unsigned long long)page);
    ck_assert_has(client_read(&b), "\"id\":2");
    fake_say(f, "{\"jsonrpc\":\"2.0\",\"id\":%llu,\"result\":{}}", (unsigned long long)meta);
    ck_assert_has(client_read(&b), "\"id\":3");
    client_say(&a, LIST("4", "")); /* the next question is a new one */
    ck_assert_has(fake_read(f), "tools/list");
    client_close(&a);
    client_close(&b);
    world_end();
}
END_TEST

START_TEST(only_the_last_of_equal_lists_cancels_it)
{
    static const char cancel[] =
        "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{\"requestId\":1}}";
    struct client c;
    begin(NULL);
    open_ready(&a, NULL);
    open_ready(&b, NULL);
    open_ready(&c, NULL);
    struct fake *f = fake_of(&a);
    client_say(&a, LIST("1", ""));
    client_say(&b, LIST("1", ""));
    client_say(&c, LIST("1", ""));
    uint64_t up = id_of(fake_read(f));
    client_say(&a, cancel); /* the leader goes: another takes its place */
    client_say(&b, cancel);
    ck_assert_ptr_null(fake_read(f));
    fake_say(f, "{\"jsonrpc\":\"2.0\",\"id\":%llu,\"result\":{}}", (unsigned long long)up);
    ck_assert_ptr_null(client_read(&a));
    ck_assert_ptr_null(client_read(&b));
    ck_assert_has(client_read(&c), "\"result\"");
    client_say(&a, LIST("1", ""));
    client_say(&b, LIST("1", ""));
    fake_read(f);
    client_say(&b, cancel);
    client_say(&a, cancel);
    ck_assert_has(fake_read(f), "notifications/cancelled");
    client_close(&a);
    client_close(&b);
    client_close(&c);
    world_end();
}
END_TEST

START_TEST(equal_lists_share_the_fate_of_their_server)
{
    begin(NULL);
    open_ready(&a, NULL);
    open_ready(&b, NULL);
    struct fake *f = fake_of(&a);
    client_say(&a, LIST("1", ""));
    client_say(&b, LIST("1", ""));
    f->stuck_from = f->marks; /* not read by the server: both go to the next, again as one */
    fake_die(f);
    pass(5 * USEC_PER_SEC);
    f = fake_at(0);
    uint64_t up = id_of(fake_read(f));
    ck_assert_ptr_null(fake_read(f));
    fake_say(f, "{\"jsonrpc\":\"2.0\",\"id\":%llu,\"result\":{}}", (unsigned long long)up);
    ck_assert_has(client_read(&a), "\"result\"");
    ck_assert_has(client_read(&b), "\"result\"");
    client_say(&a, LIST("2", ""));
    client_say(&b, LIST("2", ""));
    fake_die(f); /* read, perhaps: both are sent once more, as one … */
    pass(5 * USEC_PER_SEC);
    f = fake_at(0);
    ck_assert_has(fake_read(f), "tools/list"); /* mcpool's own, to compare */
    ck_assert_has(fake_read(f), "tools/list");
    ck_assert_ptr_null(fake_read(f));
    fake_die(f); /* … and not again */
    turn();
    ck_assert_has(client_read(&a), "\"delivered\":\"maybe\"");
    ck_assert_has(client_read(&b), "\"delivered\":\"maybe\"");
    client_close(&a);
    client_close(&b);
    world_end();
}
END_TEST

START_TEST(kinds_of_client_are_limited)
{
    begin(",\"limits\":{\"max_classes\":2}");
    open_ready(&a, SAMPLING);
    fake_of(&a);
    unsigned before = w.opens;
    open_ready(&b, "{\"sampling\":{}}"); /* a third kind, after none and SAMPLING */
    struct fake *f = fake_of(&b);
    ck_assert_uint_eq(w.opens, before);
    ck_assert_has(f->got[0], "\"capabilities\":{}");
    client_close(&a);
    client_close(&b);
    world_end();
}
END_TEST

START_TEST(principals_never_share_a_connection)
{
    begin(NULL);
    client_open(&a, "uid:1", NULL);
    client_open(&b, "uid:2", NULL);
    client_read(&a);
    client_read(&b);
    ck_assert_ptr_ne(fake_of(&a), fake_of(&b));
    client_close(&a);
    client_close(&b);
    world_end();
}
END_TEST

START_TEST(an_ask_goes_to_the_only_caller_and_back)
{
    begin(NULL);
    open_ready(&a, SAMPLING);
    open_ready(&b, SAMPLING);
    struct fake *f = fake_of(&a);
    ck_assert_ptr_eq(f, fake_of(&b));
    client_say(&a, CALL("1"));
    uint64_t up = id_of(fake_read(f));
    fake_say(f, ASK);
    const char *m = client_read(&a);
    ck_assert_has(m, "sampling/createMessage");
    ck_assert_uint_eq(a.kinds[a.got_n - 1], DELIVER_ASK);
    ck_assert_ptr_null(client_read(&b));
    uint64_t ask = id_of(m), token;
    ck_assert(json_u64(json_path(slice_str(m), "params", "_meta", "progressToken", NULL), &token));
    char text[128];
    /* Progress about it comes back under the server's token; an answer of somebody else does not
     * count. */
    snprintf(text, sizeof(text),
             "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{"
             "\"progressToken\":%llu,\"progress\":1}}",
             (unsigned long long)token);
    client_say(&a, text);
    ck_assert_has(fake_read(f), "\"progressToken\":\"st\"");
    snprintf(text, sizeof(text), "{\"jsonrpc\":\"2.0\",\"id\":%llu,\"result\":{\"of\":\"b\"}}",
             (unsigned long long)ask);
    client_say(&b, text);
    ck_assert_ptr_null(fake_read(f));
    snprintf(text, sizeof(text), "{\"jsonrpc\":\"2.0\",\"id\":%llu,\"result\":{\"of\":\"a\"}}",
             (unsigned long long)ask);
    client_say(&a, text);
    ck_assert_str_eq(fake_read(f),
                     "{\"jsonrpc\":\"2.0\",\"id\":\"s-1\",\"result\":{\"of\":\"a\"}}");
    client_say(&a, text); /* a second answer is nobody's */
    ck_assert_ptr_null(fake_read(f));
    fake_say(f, "{\"jsonrpc\":\"2.0\",\"id\":%llu,\"result\":{}}", (unsigned long long)up);
    ck_assert_has(client_read(&a), "\"id\":1");
    client_close(&a);
    client_close(&b);
    world_end();
}
END_TEST

START_TEST(an_ambiguous_ask_is_refused_and_calls_run_alone_from_then_on)
{
    begin(",\"resilience\":{\"max_connections\":1}");
    open_ready(&a, SAMPLING);
    open_ready(&b, SAMPLING);
    struct fake *f = fake_of(&a);
    client_say(&a, CALL("1"));
    client_say(&b, CALL("1"));
    uint64_t one = id_of(fake_read(f)), two = id_of(fake_read(f));
    fake_say(f, ASK);
    const char *m = fake_read(f);
    ck_assert_has(m, "\"id\":\"s-1\"");
    ck_assert_has(m, "-32603");
    ck_assert_ptr_null(client_read(&a));
    ck_assert_ptr_null(client_read(&b));
    fake_say(f, "{\"jsonrpc\":\"2.0\",\"id\":%llu,\"result\":{}}", (unsigned long long)one);
    fake_say(f, "{\"jsonrpc\":\"2.0\",\"id\":%llu,\"result\":{}}", (unsigned long long)two);
    client_read(&a);
    client_read(&b);
    client_say(&a, CALL("2"));
    client_say(&b, CALL("2"));
    one = id_of(fake_read(f));
    ck_assert_ptr_null(fake_read(f)); /* b waits its turn */
    client_say(&b, "{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"tools/list\"}");
    ck_assert_has(fake_read(f), "tools/list"); /* lists take no turns */
    fake_say(f, ASK);
    ck_assert_has(client_read(&a), "sampling/createMessage");
    fake_say(f, "{\"jsonrpc\":\"2.0\",\"id\":%llu,\"result\":{}}", (unsigned long long)one);
    turn();
    ck_assert_has(fake_read(f), "tools/call");
    client_close(&a);
    client_close(&b);
    world_end();
}
END_TEST

START_TEST(while_a_cancelled_call_may_still_run_nobody_else_is_asked)
{
    begin(NULL);
    open_ready(&a, SAMPLING);
    open_ready(&b, SAMPLING);
    struct fake *f = fake_of(&a);
    client_say(&a, CALL("1"));
    uint64_t gone = id_of(fake_read(f));
    client_say(&b, CALL("2"));
    uint64_t up = id_of(fake_read(f));
    client_say(&a, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{"
                   "\"requestId\":1}}");
    ck_assert_has(fake_read(f), "cancelled");
    fake_say(f, ASK); /* a's or b's? */
    ck_assert_has(fake_read(f), "-32603");
    ck_assert_ptr_null(client_read(&b));
    /* The late answer lays the ghost. */
    fake_say(f, "{\"jsonrpc\":\"2.0\",\"id\":%llu,\"result\":{}}", (unsigned long long)gone);
    fake_say(f, ASK);
    ck_assert_has(client_read(&b), "sampling/createMessage");
    fake_say(f, "{\"jsonrpc\":\"2.0\",\"id\":%llu,\"result\":{}}", (unsigned long long)up);
    client_close(&a);
    client_close(&b);
    world_end();
}
END_TEST

START_TEST(a_session_may_be_asked_beside_its_own_cancelled_call_but_not_beside_anothers)
{
    begin(NULL);
    open_ready(&a, SAMPLING);
    struct fake *f = fake_of(&a);
    client_say(&a, CALL("1"));
    client_say(&a, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{"
                   "\"requestId\":1}}");
    client_say(&a, CALL("2"));
    fake_say(f, ASK);
    ck_assert_has(client_read(&a), "sampling/createMessage");
    /* Now that the server is known to ask, a new session keeps away from a's ghost. */
    unsigned before = w.opens;
    open_ready(&b, SAMPLING);
    turn();
    ck_assert_uint_eq(w.opens, before + 1);
    struct fake *g = w.fakes;
    client_say(&b, CALL("3"));
    ck_assert_has(fake_read(g), "tools/call");
    fake_say(g, ASK);
    ck_assert_has(client_read(&b), "sampling/createMessage");
    client_close(&a);
    client_close(&b);
    world_end();
}
END_TEST

START_TEST(asks_for_parallel_calls_of_one_session_are_certain)
{
    begin(NULL);
    open_ready(&a, SAMPLING);
    struct fake *f = fake_of(&a);
    client_say(&a, CALL("1"));
    client_say(&a, CALL("2"));
    fake_say(f, ASK);
    ck_assert_has(client_read(&a), "sampling/createMessage");
    client_close(&a);
    world_end();
}
END_TEST

START_TEST(what_was_not_declared_is_refused)
{
    begin(NULL);
    open_ready(&a, NULL);
    struct fake *f = fake_of(&a);
    client_say(&a, CALL("1"));
    fake_read(f);
    fake_say(f, ASK);
    ck_assert_has(fake_read(f), "-32601");
    fake_say(f, "{\"jsonrpc\":\"2.0\",\"id\":9,\"method\":\"roots/list\"}");
    ck_assert_has(fake_read(f), "-32601");
    fake_say(f, "{\"jsonrpc\":\"2.0\",\"id\":10,\"method\":\"ping\"}");
    ck_assert_str_eq(fake_read(f), "{\"jsonrpc\":\"2.0\",\"id\":10,\"result\":{}}");
    ck_assert_ptr_null(client_read(&a));
    client_close(&a);
    world_end();
}
END_TEST

START_TEST(an_ask_ends_with_its_call)
{
    begin(NULL);
    open_ready(&a, SAMPLING);
    struct fake *f = fake_of(&a);
    client_say(&a, CALL("1"));
    fake_read(f);
    fake_say(f, "{\"jsonrpc\":\"2.0\",\"id\":4,\"method\":\"elicitation/"
                "create\",\"params\":{\"message\":\"?\"}}");
    ck_assert_has(client_read(&a), "elicitation/create");
    client_say(&a, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/"
                   "cancelled\",\"params\":{\"requestId\":1}}");
    ck_assert_has(fake_read(f), "notifications/cancelled");
    ck_assert_str_eq(fake_read(f),
                     "{\"jsonrpc\":\"2.0\",\"id\":4,\"result\":{\"action\":\"cancel\"}}");
    ck_assert_has(client_read(&a),
                  "notifications/cancelled"); /* the client need not ask its user any more */
    client_close(&a);
    world_end();
}
END_TEST

START_TEST(a_client_that_cannot_be_asked_costs_the_server_no_wait)
{
    begin(NULL);
    open_ready(&a, SAMPLING);
    a.deaf = true;
    struct fake *f = fake_of(&a);
    client_say(&a, CALL("1"));
    fake_read(f);
    fake_say(f, ASK);
    ck_assert_has(fake_read(f), "-32601");
    client_close(&a);
    world_end();
}
END_TEST

START_TEST(a_server_may_take_its_ask_back)
{
    begin(NULL);
    open_ready(&a, SAMPLING);
    struct fake *f = fake_of(&a);
    client_say(&a, CALL("1"));
    fake_read(f);
    fake_say(f, ASK);
    uint64_t ask = id_of(client_read(&a));
    fake_say(f, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/"
                "cancelled\",\"params\":{\"requestId\":\"s-1\"}}");
    char want[64];
    snprintf(want, sizeof(want), "\"requestId\":%llu", (unsigned long long)ask);
    ck_assert_has(client_read(&a), want);
    client_close(&a);
    world_end();
}
END_TEST

START_TEST(log_messages_reach_the_only_caller_or_nobody)
{
    begin(NULL);
    open_ready(&a, NULL);
    open_ready(&b, NULL);
    struct fake *f = fake_of(&a);
    static const char log[] =
        "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\",\"params\":{\"level\":\"info\","
        "\"data\":\"secret of a\"}}";
    fake_say(f, "%s", log);
    client_say(&a, CALL("1"));
    fake_say(f, "%s", log);
    ck_assert_has(client_read(&a), "secret of a");
    client_say(&b, CALL("1"));
    fake_say(f, "%s", log);
    ck_assert_ptr_null(client_read(&a));
    ck_assert_ptr_null(client_read(&b));
    client_close(&a);
    client_close(&b);
    world_end();
}
END_TEST

START_TEST(a_client_without_a_level_is_spared_the_chatter_that_another_asked_for)
{
    begin(NULL);
    open_ready(&a, NULL);
    open_ready(&b, NULL);
    struct fake *f = fake_of(&a);
    client_say(&a, CALL("1"));
    fake_read(f);
    fake_say(f, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/"
                "message\",\"params\":{\"level\":\"debug\",\"data\":1}}");
    ck_assert_has(client_read(&a), "debug"); /* the server's own accord */
    client_say(&b, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"logging/"
                   "setLevel\",\"params\":{\"level\":\"debug\"}}");
    ck_assert_has(fake_read(f), "setLevel");
    fake_say(f, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/"
                "message\",\"params\":{\"level\":\"debug\",\"data\":2}}");
    ck_assert_ptr_null(client_read(&a));
    fake_say(f, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/"
                "message\",\"params\":{\"level\":\"info\",\"data\":3}}");
    ck_assert_has(client_read(&a), "info");
    client_close(&a);
    client_close(&b);
    world_end();
}
END_TEST

START_TEST(the_server_gets_the_most_verbose_level_and_each_client_its_own)
{
    begin(NULL);
    open_ready(&a, NULL);
    open_ready(&b, NULL);
    struct fake *f = fake_of(&a);
    client_say(&a, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"logging/"
                   "setLevel\",\"params\":{\"level\":\"warning\"}}");
    ck_assert_str_eq(client_read(&a), "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}");
    const char *m = fake_read(f);
    ck_assert_has(m, "\"level\":\"warning\"");
    fake_say(f, "{\"jsonrpc\":\"2.0\",\"id\":%llu,\"result\":{}}", (unsigned long long)id_of(m));
    client_say(&b, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"logging/"
                   "setLevel\",\"params\":{\"level\":\"error\"}}");
    ck_assert_has(client_read(&b), "\"result\":{}");
    ck_assert_ptr_null(fake_read(f)); /* warning is more verbose: nothing changes */
    client_say(&b, "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"logging/"
                   "setLevel\",\"params\":{\"level\":\"debug\"}}");
    m = fake_read(f);
    ck_assert_has(m, "\"level\":\"debug\"");
    client_read(&b);
    client_say(&b, "{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"logging/"
                   "setLevel\",\"params\":{\"level\":\"loud\"}}");
    ck_assert_has(client_read(&b), "-32602");
    client_say(&a, CALL("2"));
    fake_read(f);
    fake_say(f, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/"
                "message\",\"params\":{\"level\":\"info\",\"data\":1}}");
    ck_assert_ptr_null(client_read(&a));
    fake_say(f, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/"
                "message\",\"params\":{\"level\":\"warning\",\"data\":1}}");
    ck_assert_has(client_read(&a), "warning");
    client_close(&a);
    client_close(&b);
    world_end();
}
END_TEST

START_TEST(subscriptions_are_counted)
{
    static const char sub[] = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"resources/"
                              "subscribe\",\"params\":{\"uri\":\"f:///x\"}}";
    static const char esc[] = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"resources/"
                              "subscribe\",\"params\":{\"uri\":\"f:\\/\\/\\/x\"}}";
    static const char unsub[] = "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"resources/"
                                "unsubscribe\",\"params\":{\"uri\":\"f:///x\"}}";
    static const char upd[] = "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/resources/"
                              "updated\",\"params\":{\"uri\":\"f:///x\"}}";
    begin(NULL);
    open_ready(&a, NULL);
    open_ready(&b, NULL);
    struct fake *f = fake_of(&a);
    client_say(&a, sub);
    client_say(&b, esc); /* joins the wait for the one answer */
    const char *m = fake_read(f);
    ck_assert_has(m, "resources/subscribe");
    ck_assert_ptr_null(fake_read(f));
    ck_assert_ptr_null(client_read(&a));
    fake_say(f, "{\"jsonrpc\":\"2.0\",\"id\":%llu,\"result\":{\"extra\":1}}",
             (unsigned long long)id_of(m));
    ck_assert_str_eq(client_read(&a), "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}");
    ck_assert_str_eq(client_read(&b), "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}");
    fake_say(f, "%s", upd);
    ck_assert_has(client_read(&a), "f:///x");
    ck_assert_has(client_read(&b), "f:///x");
    client_say(&a, unsub);
    ck_assert_str_eq(client_read(&a), "{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{}}");
    ck_assert_ptr_null(fake_read(f));
    fake_say(f, "%s", upd);
    ck_assert_ptr_null(client_read(&a));
    ck_assert_has(client_read(&b), "f:///x");
    client_say(&b, unsub);
    m = fake_read(f);
    ck_assert_has(m, "resources/unsubscribe");
    fake_say(f, "{\"jsonrpc\":\"2.0\",\"id\":%llu,\"result\":{}}", (unsigned long long)id_of(m));
    ck_assert_has(client_read(&b), "\"id\":2");
    client_close(&a);
    client_close(&b);
    world_end();
}
END_TEST

START_TEST(a_refused_subscription_is_refused_to_all_who_waited)
{
    static const char sub[] = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"resources/"
                              "subscribe\",\"params\":{\"uri\":\"f:///x\"}}";
    begin(NULL);
    open_ready(&a, NULL);
    open_ready(&b, NULL);
    struct fake *f = fake_of(&a);
    client_say(&a, sub);
    client_say(&b, sub);
    fake_say(f, "{\"jsonrpc\":\"2.0\",\"id\":%llu,\"error\":{\"code\":-32602,\"message\":\"no\"}}",
             (unsigned long long)id_of(fake_read(f)));
    ck_assert_has(client_read(&a), "-32602");
    ck_assert_has(client_read(&b), "-32602");
    client_say(&a, sub); /* and can be tried again */
    ck_assert_has(fake_read(f), "resources/subscribe");
    client_close(&a);
    client_close(&b);
    world_end();
}
END_TEST

/* A client that asked for a level while its connection was still being made never got it. */
START_TEST(a_level_that_is_asked_for_early_reaches_the_sessions_own_server)
{
    world_new(",\"sharing\":\"session\"", NULL);
    w.start_delay = USEC_PER_SEC;
    proxy_start(w.proxy);
    client_open(&a, "anonymous", NULL);
    ck_assert_ptr_null(client_read(&a));
    client_say(&a, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"logging/setLevel\",\"params\":{"
                   "\"level\":\"error\"}}");
    pass(2 * USEC_PER_SEC);
    const char *m = fake_read(fake_at(0));
    ck_assert_has(m, "logging/setLevel");
    ck_assert_has(m, "\"level\":\"error\"");
    client_close(&a);
    world_end();
}
END_TEST

START_TEST(level_and_subscriptions_survive_a_restart_of_the_server)
{
    begin(NULL);
    open_ready(&a, NULL);
    struct fake *f = fake_of(&a);
    client_say(&a, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"logging/"
                   "setLevel\",\"params\":{\"level\":\"info\"}}");
    fake_say(f, "{\"jsonrpc\":\"2.0\",\"id\":%llu,\"result\":{}}",
             (unsigned long long)id_of(fake_read(f)));
    client_say(&a, "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"resources/"
                   "subscribe\",\"params\":{\"uri\":\"f:///x\"}}");
    fake_say(f, "{\"jsonrpc\":\"2.0\",\"id\":%llu,\"result\":{}}",
             (unsigned long long)id_of(fake_read(f)));
    fake_die(f);
    pass(5 * USEC_PER_SEC);
    f = fake_at(0);
    ck_assert_ptr_nonnull(f);
    ck_assert_has(fake_read(f), "logging/setLevel");
    ck_assert_has(fake_read(f), "resources/subscribe");
    client_close(&a);
    world_end();
}
END_TEST

START_TEST(a_storm_of_changes_is_one_a_second)
{
    static const char changed[] =
        "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/tools/list_changed\"}";
    begin(NULL);
    open_ready(&a, NULL);
    open_ready(&b, NULL);
    struct fake *f = fake_of(&a);
    for (int i = 0; i < 1000; i++)
        fake_say(f, "%s", changed);
    ck_assert_str_eq(client_read(&a), changed);
    ck_assert_ptr_null(client_read(&a));
    pass(2 * USEC_PER_SEC);
    ck_assert_str_eq(client_read(&a), changed); /* the last state is never lost */
    ck_assert_ptr_null(client_read(&a));
    ck_assert_str_eq(client_read(&b), changed);
    client_close(&a);
    client_close(&b);
    world_end();
}
END_TEST

START_TEST(unrelated_messages_wait_for_a_way_coalesced_and_bounded)
{
    begin(NULL);
    open_ready(&a, NULL);
    struct fake *f = fake_of(&a);
    session_set_push(a.session, NULL);
    for (int i = 0; i < 5; i++) {
        fake_say(f, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/tools/list_changed\"}");
        pass(2 * USEC_PER_SEC);
    }
    ck_assert(session_has_pending(a.session));
    session_set_push(a.session, &a.channel);
    ck_assert_has(client_read(&a), "tools/list_changed");
    ck_assert_ptr_null(client_read(&a));
    ck_assert(!session_has_pending(a.session));
    client_close(&a);
    world_end();
}
END_TEST
int main(void)
{
    Suite *s = suite_create("proxy/sharing");
    TCase *t = tcase_create("sharing");
    tcase_add_test(t, clients_of_other_capabilities_get_other_connections);
    tcase_add_test(t, equal_lists_at_once_are_asked_for_once);
    tcase_add_test(t, only_the_last_of_equal_lists_cancels_it);
    tcase_add_test(t, equal_lists_share_the_fate_of_their_server);
    tcase_add_test(t, kinds_of_client_are_limited);
    tcase_add_test(t, principals_never_share_a_connection);
    tcase_add_test(t, an_ask_goes_to_the_only_caller_and_back);
    tcase_add_test(t, an_ambiguous_ask_is_refused_and_calls_run_alone_from_then_on);
    tcase_add_test(t, while_a_cancelled_call_may_still_run_nobody_else_is_asked);
    tcase_add_test(t, a_session_may_be_asked_beside_its_own_cancelled_call_but_not_beside_anothers);
    tcase_add_test(t, asks_for_parallel_calls_of_one_session_are_certain);
    tcase_add_test(t, what_was_not_declared_is_refused);
    tcase_add_test(t, an_ask_ends_with_its_call);
    tcase_add_test(t, a_client_that_cannot_be_asked_costs_the_server_no_wait);
    tcase_add_test(t, a_server_may_take_its_ask_back);
    tcase_add_test(t, log_messages_reach_the_only_caller_or_nobody);
    tcase_add_test(t, a_client_without_a_level_is_spared_the_chatter_that_another_asked_for);
    tcase_add_test(t, the_server_gets_the_most_verbose_level_and_each_client_its_own);
    tcase_add_test(t, subscriptions_are_counted);
    tcase_add_test(t, a_refused_subscription_is_refused_to_all_who_waited);
    tcase_add_test(t, level_and_subscriptions_survive_a_restart_of_the_server);
    tcase_add_test(t, a_level_that_is_asked_for_early_reaches_the_sessions_own_server);
    tcase_add_test(t, a_storm_of_changes_is_one_a_second);
    tcase_add_test(t, unrelated_messages_wait_for_a_way_coalesced_and_bounded);
    tcase_set_timeout(t, 60);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
