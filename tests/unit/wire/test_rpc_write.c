/* Edited messages stay well-formed whatever is cut in whatever order, and mcpool's own messages are
 * what the schemas ask for. */
#include "wire/rpc.h"

#include "base/util.h"

#include <check.h>
#include <stdio.h>

static struct span find(const char *text, const char *part)
{
    const char *at = strstr(text, part);

    ck_assert_msg(at != NULL, "%s is not in %s", part, text);
    return (struct span){(size_t)(at - text), strlen(part)};
}

static void edited_is(const char *text, const struct rpc_edits *e, const char *want)
{
    struct buf out = BUF_INIT;

    rpc_edit_append(&out, slice_str(text), e);
    ck_assert_msg(slice_is(buf_peek(&out), want), "%.*s instead of %s", (int)buf_len(&out),
                  buf_peek(&out).p, want);
    ck_assert_uint_eq(buf_len(&out), rpc_edited_len(strlen(text), e));
    buf_done(&out);
}

START_TEST(replacements)
{
    const char *t = "{\"id\":17,\"params\":{\"_meta\":{\"progressToken\":\"abc\"}}}";
    struct rpc_edits e = {.count = 0};

    edited_is(t, &e, t);
    rpc_edit_add(&e, find(t, "\"abc\""), SLICE("4711"));
    rpc_edit_add(&e, (struct span){0, 0}, SLICE("never")); /* absent */
    rpc_edit_add(&e, find(t, "17"), SLICE("\"a\""));
    ck_assert_uint_eq(e.count, 2);
    ck_assert_uint_lt(e.edit[0].off, e.edit[1].off);
    edited_is(t, &e, "{\"id\":\"a\",\"params\":{\"_meta\":{\"progressToken\":4711}}}");
}
END_TEST

START_TEST(cut_one_member)
{
    static const struct {
        const char *text, *member, *left;
    } table[] = {
        {"{\"a\":1}", "\"a\":1", "{}"},
        {"{ \"a\":1 }", "\"a\":1", "{  }"},
        {"{\"a\":1,\"b\":2}", "\"a\":1", "{\"b\":2}"},
        {"{\"a\":1,\"b\":2}", "\"b\":2", "{\"a\":1}"},
        {"{\"a\":1,\"b\":2,\"c\":3}", "\"b\":2", "{\"a\":1,\"c\":3}"},
        {"{\"a\":1 ,\n\"b\":2 }", "\"b\":2", "{\"a\":1  }"},
        {"{\"a\":1 ,\n\"b\":2 }", "\"a\":1", "{\n\"b\":2 }"},
        {"{\"x\":{\"a\":1},\"b\":2}", "\"a\":1", "{\"x\":{},\"b\":2}"},
    };

    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        struct rpc_edits e = {.count = 0};

        rpc_edit_cut(&e, slice_str(table[i].text), find(table[i].text, table[i].member));
        edited_is(table[i].text, &e, table[i].left);
    }
}
END_TEST

/* Objects of up to five members; every subset of them cut, in every order, with and without
 * whitespace. What is left must be exactly the other members. */
enum { MEMBERS_MAX = 5 };

static void cut_in_order(unsigned members, const char *space, const unsigned *order, unsigned cuts)
{
    static const char *const member[MEMBERS_MAX] = {"\"resultType\":\"complete\"", "\"ttlMs\":5",
                                                    "\"c\":[1,{\"x\":2}]", "\"cacheScope\":\"a,b\"",
                                                    "\"e\":null"};
    char text[300] = "{";
    struct span at[MEMBERS_MAX];
    struct rpc_edits e = {.count = 0};
    struct buf out = BUF_INIT;
    struct json_iter it;
    struct slice key, value;
    bool cut[MEMBERS_MAX] = {false};

    for (unsigned i = 0; i < members; i++) {
        size_t n = strlen(text);

        at[i] = (struct span){n + strlen(space) + (i > 0) * (1 + strlen(space)), strlen(member[i])};
        snprintf(text + n, sizeof(text) - n, "%s%s%s%s", space, i ? "," : "", i ? space : "",
                 member[i]);
    }
    snprintf(text + strlen(text), 10, "%s}", space);
    for (unsigned i = 0; i < cuts; i++) {
        rpc_edit_cut(&e, slice_str(text), at[order[i]]);
        cut[order[i]] = true;
    }
    rpc_edit_append(&out, slice_str(text), &e);
    ck_assert_uint_eq(buf_len(&out), rpc_edited_len(strlen(text), &e));
    ck_assert_msg(json_validate(buf_peek(&out), 10, NULL) == JSON_OK, "%s became %.*s", text,
                  (int)buf_len(&out), buf_peek(&out).p);
    it = json_iter(buf_peek(&out));
    for (unsigned i = 0; i < members; i++) {
        if (cut[i])
            continue;
        ck_assert(json_next_member(&it, &key, &value));
        ck_assert_msg(
            slice_eq(slice_of(key.p, (size_t)(value.p + value.n - key.p)), slice_str(member[i])),
            "%s became %.*s", text, (int)buf_len(&out), buf_peek(&out).p);
    }
    ck_assert(!json_next_member(&it, &key, &value));
    buf_done(&out);
}

/* Goes through all orders of all subsets; returns how many that were. */
static unsigned cut_all(unsigned members, const char *space, unsigned *order, unsigned cuts)
{
    unsigned count = 1;

    cut_in_order(members, space, order, cuts);
    for (unsigned next = 0; next < members; next++) {
        bool used = false;

        for (unsigned i = 0; i < cuts; i++)
            used |= order[i] == next;
        if (used)
            continue;
        order[cuts] = next;
        count += cut_all(members, space, order, cuts + 1);
    }
    return count;
}

START_TEST(cuts_compose)
{
    static const char *const spaces[] = {"", " ", "\r\n\t"};
    unsigned order[MEMBERS_MAX], count = 0;

    for (size_t s = 0; s < ARRAY_LEN(spaces); s++)
        for (unsigned members = 1; members <= MEMBERS_MAX; members++)
            count += cut_all(members, spaces[s], order, 0);
    ck_assert_uint_eq(count, 3 * (2 + 5 + 16 + 65 + 326));
}
END_TEST

START_TEST(cuts_and_replacements_mix)
{
    const char *t = "{\"jsonrpc\":\"2.0\",\"id\":3,\"result\":{\"resultType\":\"complete\","
                    "\"tools\":[],\"ttlMs\":1,"
                    "\"cacheScope\":\"private\"}}";
    struct rpc_edits e = {.count = 0};
    struct rpc_msg m;

    ck_assert_int_eq(rpc_parse(slice_str(t), 128, &m, NULL), RPC_OK);
    rpc_edit_cut(&e, slice_str(t), m.cache_scope);
    rpc_edit_add(&e, m.id, SLICE("\"client\""));
    rpc_edit_cut(&e, slice_str(t), m.result_type);
    rpc_edit_cut(&e, slice_str(t), m.ttl_ms);
    rpc_edit_cut(&e, slice_str(t), (struct span){0, 0});
    edited_is(t, &e, "{\"jsonrpc\":\"2.0\",\"id\":\"client\",\"result\":{\"tools\":[]}}");
}
END_TEST

static void written(struct buf *out, const char *want)
{
    ck_assert_msg(slice_is(buf_peek(out), want), "%.*s instead of %s", (int)buf_len(out),
                  buf_peek(out).p, want);
    ck_assert_int_eq(json_validate(buf_peek(out), 16, NULL), JSON_OK);
    buf_done(out);
}

START_TEST(own_messages)
{
    struct buf out = BUF_INIT;
    const struct slice none = {NULL, 0};

    rpc_write_error(&out, SLICE("7"), -32600, SLICE("Invalid Request"), none);
    written(&out, "{\"jsonrpc\":\"2.0\",\"id\":7,\"error\":{\"code\":-32600,\"message\":\"Invalid "
                  "Request\"}}");
    rpc_write_error(&out, none, -32700, SLICE("a \"b\"\n"), SLICE("{\"r\":1}"));
    written(&out, "{\"jsonrpc\":\"2.0\",\"error\":{\"code\":-32700,\"message\":\"a "
                  "\\\"b\\\"\\n\",\"data\":{\"r\":1}}}");
    rpc_write_result(&out, SLICE("\"x\""), SLICE("{}"));
    written(&out, "{\"jsonrpc\":\"2.0\",\"id\":\"x\",\"result\":{}}");
    rpc_write_notification(&out, "notifications/initialized", none);
    written(&out, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}");
    rpc_write_notification(&out, "notifications/cancelled", SLICE("{\"requestId\":3}"));
    written(&out, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/"
                  "cancelled\",\"params\":{\"requestId\":3}}");
}
END_TEST

/* What we write we read. */
START_TEST(own_messages_parse)
{
    struct buf out = BUF_INIT;
    struct rpc_msg m;

    rpc_write_error(&out, (struct slice){NULL, 0}, -32603, SLICE("\x01\xff\xf0\x9f\x98\x80"),
                    (struct slice){NULL, 0});
    ck_assert_int_eq(rpc_parse(buf_peek(&out), 128, &m, NULL), RPC_OK);
    ck_assert_int_eq(m.kind, RPC_ERROR);
    ck_assert_uint_eq(m.id.n, 0);
    ck_assert(slice_is(rpc_span(buf_peek(&out), m.error_code), "-32603"));
    buf_done(&out);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("rpc_write");
    TCase *tc = tcase_create("edits and messages");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_test(tc, replacements);
    tcase_add_test(tc, cut_one_member);
    tcase_add_test(tc, cuts_compose);
    tcase_add_test(tc, cuts_and_replacements_mix);
    tcase_add_test(tc, own_messages);
    tcase_add_test(tc, own_messages_parse);
    suite_add_tcase(suite, tc);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
