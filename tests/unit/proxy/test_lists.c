/* What clients hear of a restart of their server: of lists that are others than before, of
 * resources that they subscribed to, and of nothing else. */
#include "clients.h"

#include "upstream/pool.h"
#include "upstream/server.h"

#define CHANGED "\"method\":\"notifications/tools/list_changed\""

static const char all[] =
    "{\"tools\":{\"listChanged\":true},\"prompts\":{\"listChanged\":true},\"resources\":{"
    "\"listChanged\":true,\"subscribe\":true},\"logging\":{}}";

static uint64_t changed_count(void)
{
    return metrics_get(route_at(w.proxy, 0)->server->metrics, METRIC_LISTS_CHANGED, 0);
}

static void start(const char *extra, const char *top)
{
    world_new(extra, top);
    if (!w.card)
        w.card = all;
    proxy_start(w.proxy);
    turn();
    open_ready(&a, NULL);
}

static void end(void)
{
    client_close(&a);
    world_end();
}

static void answer_to(struct fake *f, const char *request, const char *result)
{
    fake_say(f, "{\"jsonrpc\":\"2.0\",\"id\":%llu,\"result\":%s}",
             (unsigned long long)id_of(request), result);
    turn();
}

/* c fetches a page through f and gets result. cursor: raw token or NULL. */
static void list(struct client *c, struct fake *f, const char *method, const char *cursor,
                 const char *result)
{
    char text[512], params[256] = "";
    if (cursor)
        snprintf(params, sizeof(params), ",\"params\":{\"cursor\":%s}", cursor);
    snprintf(text, sizeof(text), "{\"jsonrpc\":\"2.0\",\"id\":\"l\",\"method\":\"%s\"%s}", method,
             params);
    client_say(c, text);
    const char *m = fake_read(f);
    ck_assert_has(m, method);
    answer_to(f, m, result);
    ck_assert_has(client_read(c), "\"id\":\"l\"");
}

static struct fake *restart(struct fake *f)
{
    unsigned slot = f->slot;
    fake_die(f);
    pass(2 * USEC_PER_SEC);
    f = fake_at(slot);
    ck_assert_ptr_nonnull(f);
    ck_assert(f->opened);
    return f;
}

static const char one[] = "{\"tools\":[{\"name\":\"one\"}],\"_meta\":{\"t\":1}}";
static const char one_again[] = "{\"_meta\":{\"t\":2},\"tools\":[{\"name\":\"one\"}]}";
static const char two[] = "{\"tools\":[{\"name\":\"two\"}]}";

START_TEST(a_list_that_is_the_same_after_a_restart_is_not_mentioned)
{
    start(NULL, NULL);
    list(&a, fake_at(0), "tools/list", NULL, one);
    struct fake *f = restart(fake_at(0));
    const char *m = fake_read(f);
    ck_assert_has(m, "\"method\":\"tools/list\"}");
    answer_to(f, m, one_again);
    ck_assert_ptr_null(fake_read(f)); /* no other list was ever asked for */
    ck_assert_ptr_null(client_read(&a));
    ck_assert_uint_eq(changed_count(), 0);
    end();
}
END_TEST

START_TEST(a_list_that_is_another_after_a_restart_is_announced_to_all)
{
    start(NULL, NULL);
    open_ready(&b, NULL);
    list(&a, fake_at(0), "tools/list", NULL, one);
    struct fake *f = restart(fake_at(0));
    answer_to(f, fake_read(f), two);
    ck_assert_has(client_read(&a), CHANGED);
    ck_assert_has(client_read(&b), CHANGED);
    ck_assert_ptr_null(client_read(&a));
    ck_assert_uint_eq(changed_count(), 1);
    /* From now on that is what they know. */
    f = restart(f);
    answer_to(f, fake_read(f), two);
    ck_assert_ptr_null(client_read(&a));
    client_close(&b);
    end();
}
END_TEST

START_TEST(a_server_that_is_slow_over_many_pages_is_not_taken_for_dead)
{
    start(NULL, ",\"resilience\":{\"operation_timeout\":10}");
    list(&a, fake_at(0), "tools/list", NULL, "{\"tools\":[1],\"nextCursor\":\"b\"}");
    list(&a, fake_at(0), "tools/list", "\"b\"", "{\"tools\":[2],\"nextCursor\":\"c\"}");
    list(&a, fake_at(0), "tools/list", "\"c\"", "{\"tools\":[3]}");
    struct fake *f = restart(fake_at(0));
    const struct server *s = route_at(w.proxy, 0)->server;
    pass(4 * USEC_PER_SEC);
    answer_to(f, fake_read(f), "{\"tools\":[1],\"nextCursor\":\"b\"}");
    pass(4 * USEC_PER_SEC);
    answer_to(f, fake_read(f), "{\"tools\":[2],\"nextCursor\":\"c\"}");
    pass(3 * USEC_PER_SEC); /* the check ends, its last question is three seconds old */
    ck_assert_has(client_read(&a), CHANGED);
    ck_assert(!s->pools->slots[0]->suspect);
    ck_assert_uint_eq(s->breaker.failures, 0);
    end();
}
END_TEST

START_TEST(each_kind_of_list_has_its_notification)
{
    static const struct {
        const char *method, *member, *news;
    } kinds[] = {{"tools/list", "tools", "tools/list_changed"},
                 {"prompts/list", "prompts", "prompts/list_changed"},
                 {"resources/list", "resources", "resources/list_changed"},
                 {"resources/templates/list", "resourceTemplates", "resources/list_changed"}};
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        char result[64];
        start(NULL, NULL);
        snprintf(result, sizeof(result), "{\"%s\":[1]}", kinds[i].member);
        list(&a, fake_at(0), kinds[i].method, NULL, result);
        struct fake *f = restart(fake_at(0));
        const char *m = fake_read(f);
        ck_assert_has(m, kinds[i].method);
        snprintf(result, sizeof(result), "{\"%s\":[2]}", kinds[i].member);
        answer_to(f, m, result);
        ck_assert_has(client_read(&a), kinds[i].news);
        ck_assert_ptr_null(client_read(&a));
        end();
    }
}
END_TEST

START_TEST(resources_and_templates_that_changed_together_are_one_piece_of_news)
{
    start(NULL, NULL);
    list(&a, fake_at(0), "resources/list", NULL, "{\"resources\":[1]}");
    list(&a, fake_at(0), "resources/templates/list", NULL, "{\"resourceTemplates\":[1]}");
    struct fake *f = restart(fake_at(0));
    answer_to(f, fake_read(f), "{\"resources\":[2]}");
    ck_assert_ptr_null(client_read(&a)); /* together */
    answer_to(f, fake_read(f), "{\"resourceTemplates\":[2]}");
    ck_assert_has(client_read(&a), "resources/list_changed");
    ck_assert_ptr_null(client_read(&a));
    ck_assert_uint_eq(changed_count(), 2);
    end();
}
END_TEST

START_TEST(the_pages_that_clients_got_are_compared_one_by_one)
{
    static const char first[] = "{\"tools\":[1],\"nextCursor\":\"c1\"}";
    static const char second[] = "{\"tools\":[2],\"nextCursor\":\"c2\"}";
    static const char other[] = "{\"tools\":[3],\"nextCursor\":\"c2\"}";
    start(NULL, NULL);
    list(&a, fake_at(0), "tools/list", NULL, first);
    list(&a, fake_at(0), "tools/list", "\"\\u00631\"", second);
    /* The same, under new cursors: these are used, and nothing is fetched that nobody got. */
    struct fake *f = restart(fake_at(0));
    answer_to(f, fake_read(f), "{\"tools\":[1],\"nextCursor\":\"d/1\"}");
    const char *m = fake_read(f);
    ck_assert_has(m, "\"params\":{\"cursor\":\"d/1\"}");
    answer_to(f, m, "{\"tools\":[2],\"nextCursor\":\"d2\"}");
    ck_assert_ptr_null(fake_read(f));
    ck_assert_ptr_null(client_read(&a));
    /* The second page is another. */
    f = restart(f);
    answer_to(f, fake_read(f), first);
    answer_to(f, fake_read(f), other);
    ck_assert_has(client_read(&a), CHANGED);
    ck_assert_uint_eq(changed_count(), 1);
    end();
}
END_TEST

START_TEST(a_list_that_ends_earlier_or_later_is_another)
{
    static const char open[] = "{\"tools\":[1],\"nextCursor\":\"c1\"}";
    static const char closed[] = "{\"tools\":[1]}";
    start(NULL, NULL);
    list(&a, fake_at(0), "tools/list", NULL, open);
    struct fake *f = restart(fake_at(0));
    answer_to(f, fake_read(f), closed);
    ck_assert_has(client_read(&a), CHANGED);
    pass(2 * USEC_PER_SEC);
    f = restart(f);
    answer_to(f, fake_read(f), open);
    ck_assert_has(client_read(&a), CHANGED);
    end();
}
END_TEST

START_TEST(what_cannot_be_compared_is_announced)
{
    start(NULL, NULL);
    /* A page of unknown place. */
    list(&a, fake_at(0), "tools/list", "\"from an earlier life\"", one);
    struct fake *f = restart(fake_at(0));
    ck_assert_ptr_null(fake_read(f));
    ck_assert_has(client_read(&a), CHANGED);
    ck_assert_uint_eq(changed_count(), 0); /* nobody knows */
    /* An answer too large to look at, now. */
    list(&a, f, "tools/list", NULL, one);
    f = restart(f);
    struct slice id = json_get(slice_str(fake_read(f)), "id");
    f->ev->on_discarded(f->arg, id, REASON_RESPONSE_TOO_LARGE);
    turn();
    ck_assert_has(client_read(&a), CHANGED);
    ck_assert_uint_eq(changed_count(), 0);
    end();
}
END_TEST

START_TEST(more_pages_than_are_remembered_cannot_be_compared)
{
    char cursor[16], result[64];
    start(NULL, NULL);
    for (int i = 0; i < 17; i++) {
        snprintf(cursor, sizeof(cursor), "\"c%d\"", i);
        snprintf(result, sizeof(result), "{\"tools\":[%d],\"nextCursor\":\"c%d\"}", i, i + 1);
        list(&a, fake_at(0), "tools/list", i ? cursor : NULL, result);
    }
    struct fake *f = restart(fake_at(0));
    ck_assert_ptr_null(fake_read(f));
    ck_assert_has(client_read(&a), CHANGED);
    end();
}
END_TEST

START_TEST(a_list_that_the_server_has_no_more_is_another)
{
    start(NULL, NULL);
    list(&a, fake_at(0), "tools/list", NULL, one);
    struct fake *f = restart(fake_at(0));
    uint64_t id = id_of(fake_read(f));
    fake_say(f, "{\"jsonrpc\":\"2.0\",\"id\":%llu,\"error\":{\"code\":-32601,\"message\":\"no\"}}",
             (unsigned long long)id);
    ck_assert_has(client_read(&a), CHANGED);
    ck_assert_uint_eq(changed_count(), 1);
    end();
}
END_TEST

START_TEST(a_server_that_does_not_answer_is_not_waited_for)
{
    start(NULL, ",\"resilience\":{\"operation_timeout\":10}");
    list(&a, fake_at(0), "tools/list", NULL, one);
    list(&a, fake_at(0), "prompts/list", NULL, "{\"prompts\":[]}");
    struct fake *f = restart(fake_at(0));
    const char *m = fake_read(f);
    ck_assert_has(m, "tools/list");
    pass(7 * USEC_PER_SEC);
    ck_assert_ptr_null(client_read(&a));
    pass(1 * USEC_PER_SEC);
    ck_assert_has(client_read(&a), CHANGED);
    ck_assert_has(client_read(&a), "prompts/list_changed");
    if (fake_at(0) == f)      /* it was not replaced */
        answer_to(f, m, one); /* too late, and harmless */
    ck_assert_ptr_null(client_read(&a));
    end();
}
END_TEST

START_TEST(nobody_is_told_who_was_not_promised_to_be)
{
    world_new(NULL, NULL);
    w.card = "{\"tools\":{}}";
    proxy_start(w.proxy);
    turn();
    open_ready(&a, NULL);
    list(&a, fake_at(0), "tools/list", NULL, one);
    w.card = all; /* a promise to those who come now */
    struct fake *f = restart(fake_at(0));
    open_ready(&b, NULL);
    answer_to(f, fake_read(f), two);
    ck_assert_ptr_null(client_read(&a));
    ck_assert_has(client_read(&b), CHANGED);
    ck_assert_uint_eq(changed_count(), 1);
    client_close(&b);
    end();
}
END_TEST

START_TEST(nothing_is_fetched_when_nobody_is_there)
{
    start(NULL, NULL);
    struct fake *f = fake_at(0);
    list(&a, f, "tools/list", NULL, one);
    client_close(&a);
    f = restart(f);
    ck_assert_ptr_null(fake_read(f));
    open_ready(&a, NULL); /* and one who comes later holds no list */
    f = restart(f);
    ck_assert_ptr_null(fake_read(f));
    end();
}
END_TEST

START_TEST(ten_connections_that_die_together_are_compared_once)
{
    start(NULL, ",\"resilience\":{\"min_connections\":10,\"max_connections\":10,"
                "\"circuit_breaker_threshold\":1000,\"operation_timeout\":300}");
    pass(11 * USEC_PER_SEC); /* stable: they come back soon */
    list(&a, fake_at(0), "tools/list", NULL, one);
    for (unsigned i = 0; i < 10; i++)
        fake_die(fake_at(i));
    pass(60 * USEC_PER_SEC);
    unsigned asked = 0;
    const char *m;
    for (unsigned i = 0; i < 10; i++)
        while ((m = fake_read(fake_at(i))) != NULL)
            if (strstr(m, "tools/list")) {
                asked++;
                answer_to(fake_at(i), m, two);
            }
    ck_assert_uint_eq(asked, 1);
    for (unsigned i = 0; i < 10; i++)
        while ((m = fake_read(fake_at(i))) != NULL)
            ck_assert_ptr_null(strstr(m, "tools/list"));
    ck_assert_has(client_read(&a), CHANGED);
    ck_assert_ptr_null(client_read(&a));
    end();
}
END_TEST

START_TEST(a_check_that_its_server_does_not_survive_is_made_anew)
{
    start(NULL, NULL);
    list(&a, fake_at(0), "tools/list", NULL, one);
    list(&a, fake_at(0), "prompts/list", NULL, "{\"prompts\":[]}");
    struct fake *f = restart(fake_at(0));
    answer_to(f, fake_read(f), two);
    ck_assert_ptr_null(client_read(&a));
    ck_assert_has(fake_read(f), "prompts/list");
    fake_die(f); /* what it found already is told, since it will not be found again */
    turn();
    ck_assert_has(client_read(&a), CHANGED);
    pass(5 * USEC_PER_SEC);
    f = fake_at(0);
    answer_to(f, fake_read(f), two);
    answer_to(f, fake_read(f), "{\"prompts\":[1]}");
    ck_assert_has(client_read(&a), "prompts/list_changed");
    ck_assert_ptr_null(client_read(&a));
    end();
}
END_TEST

START_TEST(who_fetches_the_new_list_first_does_not_hide_it_from_the_others)
{
    start(NULL, NULL);
    open_ready(&b, NULL);
    list(&a, fake_at(0), "tools/list", NULL, one);
    struct fake *f = fake_at(0);
    fake_die(f);
    client_say(&b, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/list\"}");
    pass(2 * USEC_PER_SEC);
    f = fake_at(0);
    const char *own = fake_read(f), *bs = fake_read(f);
    answer_to(f, bs, two);
    ck_assert_has(client_read(&b), "two");
    answer_to(f, own, two);
    ck_assert_has(client_read(&a), CHANGED);
    end();
}
END_TEST

START_TEST(level_and_subscriptions_come_first)
{
    start(NULL, NULL);
    struct fake *f = fake_at(0);
    client_say(&a, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"logging/setLevel\",\"params\":{"
                   "\"level\":\"info\"}}");
    client_read(&a);
    answer_to(f, fake_read(f), "{}");
    client_say(&a, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"resources/subscribe\",\"params\":{"
                   "\"uri\":\"f:///x\"}}");
    answer_to(f, fake_read(f), "{}");
    client_read(&a);
    list(&a, f, "tools/list", NULL, one);
    f = restart(f);
    ck_assert_has(fake_read(f), "logging/setLevel");
    ck_assert_has(fake_read(f), "resources/subscribe");
    ck_assert_has(fake_read(f), "tools/list");
    end();
}
END_TEST

START_TEST(a_session_with_a_connection_of_its_own_has_its_own_lists)
{
    start(",\"sharing\":\"session\"", ",\"resilience\":{\"max_connections\":2}");
    struct fake *fa = fake_of(&a);
    open_ready(&b, NULL);
    struct fake *fb = fake_of(&b);
    list(&a, fa, "tools/list", NULL, one);
    list(&b, fb, "tools/list", NULL, two); /* another process may well have others */
    fb = restart(fb);
    answer_to(fb, fake_read(fb), two);
    ck_assert_ptr_null(client_read(&b));
    fb = restart(fb);
    answer_to(fb, fake_read(fb), one);
    ck_assert_has(client_read(&b), CHANGED);
    ck_assert_ptr_null(client_read(&a));
    /* The next session on that slot is given nothing of this one's. */
    client_close(&b);
    pass(2 * USEC_PER_SEC);
    open_ready(&b, NULL);
    fb = fake_of(&b);
    fb = restart(fb);
    ck_assert_ptr_null(fake_read(fb));
    client_close(&b);
    end();
}
END_TEST

/* ---- resources ---- */

static void subscribe(struct client *c, struct fake *f, const char *uri)
{
    char text[256];
    snprintf(text, sizeof(text),
             "{\"jsonrpc\":\"2.0\",\"id\":\"s\",\"method\":\"resources/subscribe\",\"params\":{"
             "\"uri\":\"%s\"}}",
             uri);
    client_say(c, text);
    const char *m = fake_read(f);
    if (m)
        answer_to(f, m, "{}");
    ck_assert_has(client_read(c), "\"result\":{}");
}

START_TEST(subscribers_hear_of_their_resource_once_the_server_has_it_again)
{
    start(NULL, NULL);
    open_ready(&b, NULL);
    subscribe(&a, fake_at(0), "f:///\\u0078");
    subscribe(&b, fake_at(0), "f:///x");
    struct fake *f = restart(fake_at(0));
    const char *m = fake_read(f);
    ck_assert_has(m, "resources/subscribe");
    ck_assert_ptr_null(client_read(&a));
    answer_to(f, m, "{}");
    ck_assert_str_eq(client_read(&a),
                     "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/resources/updated\","
                     "\"params\":{\"uri\":\"f:///\\u0078\"}}");
    ck_assert_has(client_read(&b), "resources/updated");
    ck_assert_ptr_null(client_read(&a));
    client_close(&b);
    end();
}
END_TEST

START_TEST(they_hear_nothing_when_the_server_refuses_it_now)
{
    start(NULL, NULL);
    subscribe(&a, fake_at(0), "f:///x");
    struct fake *f = restart(fake_at(0));
    uint64_t id = id_of(fake_read(f));
    fake_say(f, "{\"jsonrpc\":\"2.0\",\"id\":%llu,\"error\":{\"code\":1,\"message\":\"no\"}}",
             (unsigned long long)id);
    turn();
    ck_assert_ptr_null(client_read(&a));
    end();
}
END_TEST

START_TEST(who_subscribes_for_the_first_time_hears_no_update)
{
    start(NULL, NULL);
    subscribe(&a, fake_at(0), "f:///x");
    ck_assert_ptr_null(client_read(&a));
    end();
}
END_TEST

int main(void)
{
    Suite *s = suite_create("proxy/lists");
    TCase *t = tcase_create("lists");
    tcase_add_test(t, a_list_that_is_the_same_after_a_restart_is_not_mentioned);
    tcase_add_test(t, a_list_that_is_another_after_a_restart_is_announced_to_all);
    tcase_add_test(t, a_server_that_is_slow_over_many_pages_is_not_taken_for_dead);
    tcase_add_test(t, each_kind_of_list_has_its_notification);
    tcase_add_test(t, resources_and_templates_that_changed_together_are_one_piece_of_news);
    tcase_add_test(t, the_pages_that_clients_got_are_compared_one_by_one);
    tcase_add_test(t, a_list_that_ends_earlier_or_later_is_another);
    tcase_add_test(t, what_cannot_be_compared_is_announced);
    tcase_add_test(t, more_pages_than_are_remembered_cannot_be_compared);
    tcase_add_test(t, a_list_that_the_server_has_no_more_is_another);
    tcase_add_test(t, a_server_that_does_not_answer_is_not_waited_for);
    tcase_add_test(t, nobody_is_told_who_was_not_promised_to_be);
    tcase_add_test(t, nothing_is_fetched_when_nobody_is_there);
    tcase_add_test(t, ten_connections_that_die_together_are_compared_once);
    tcase_add_test(t, a_check_that_its_server_does_not_survive_is_made_anew);
    tcase_add_test(t, who_fetches_the_new_list_first_does_not_hide_it_from_the_others);
    tcase_add_test(t, level_and_subscriptions_come_first);
    tcase_add_test(t, a_session_with_a_connection_of_its_own_has_its_own_lists);
    tcase_add_test(t, subscribers_hear_of_their_resource_once_the_server_has_it_again);
    tcase_add_test(t, they_hear_nothing_when_the_server_refuses_it_now);
    tcase_add_test(t, who_subscribes_for_the_first_time_hears_no_update);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
