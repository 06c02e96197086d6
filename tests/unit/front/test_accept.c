/* front/accept: what clients really send as Accept and Content-Type. */
#include "front/accept.h"

#include <check.h>
#include <stdlib.h>

/* One or two Accept lines; NULL: none. */
static struct accept parse(const char *first, const char *second, bool strict)
{
    struct http1_headers h = {0};
    if (first)
        http1_headers_add(&h, SLICE("Accept"), slice_str(first));
    if (second)
        http1_headers_add(&h, SLICE("ACCEPT"), slice_str(second));
    http1_headers_add(&h, SLICE("Accept-Language"), SLICE("application/json"));
    return accept_parse(&h, strict);
}

START_TEST(accept_table)
{
    static const struct {
        const char *first, *second;
        bool json, sse, strict_json, strict_sse;
    } rows[] = {
        {"application/json, text/event-stream", NULL, true, true, true, true},
        {"text/event-stream,application/json", NULL, true, true, true, true},
        {"application/json", "text/event-stream", true, true, true, true},
        {"application/json, text/event-stream", "application/json;q=0", false, true, false, true},
        {"text/event-stream;q=0", "application/json, text/event-stream", true, true, true, true},
        {"application/json", NULL, true, false, true, false},
        {"text/event-stream", NULL, false, true, false, true},
        {NULL, NULL, true, true, false, false},
        {"*/*", NULL, true, true, false, false},
        {"application/*", NULL, true, false, false, false},
        {"text/*", NULL, false, true, false, false},
        {"Application/JSON; charset=utf-8, Text/Event-Stream;q=0.5", NULL, true, true, true, true},
        {"text/html", NULL, false, false, false, false},
        {"", NULL, false, false, false, false},
        {"application/jsonx, text/event-streams", NULL, false, false, false, false},
        {"application/json;q=0, */*", NULL, false, true, false, false},
        {"*/*;q=0.1, text/event-stream;q=0", NULL, true, false, false, false},
        {"text/*;q=0, */*", NULL, true, false, false, false},
        {"application/json;q=0.0", NULL, false, false, false, false},
        {"application/json;q=0.001", NULL, true, false, true, false},
        {"application/json;version=0", NULL, true, false, true, false},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct accept a = parse(rows[i].first, rows[i].second, false);
        ck_assert_msg(a.json == rows[i].json && a.sse == rows[i].sse, "row %zu: %d %d", i, a.json,
                      a.sse);
        a = parse(rows[i].first, rows[i].second, true);
        ck_assert_msg(a.json == rows[i].strict_json && a.sse == rows[i].strict_sse,
                      "strict row %zu: %d %d", i, a.json, a.sse);
    }
}
END_TEST

START_TEST(content_type_table)
{
    static const struct {
        const char *value;
        bool ok;
    } rows[] = {
        {"application/json", true},
        {"Application/Json", true},
        {"application/json; charset=utf-8", true},
        {"application/json;charset=UTF-8", true},
        {"application/json; charset=\"utf-8\"", true},
        {"application/json; profile=x; charset=utf8", true},
        {"application/json; charset=latin-1", false},
        {"application/json; x=y; charset=utf-16", false},
        {"application/jsonp", false},
        {"text/plain; application/json", false},
        {"text/plain", false},
        {"application/x-www-form-urlencoded", false},
        {"", false},
        {" application/json ", true},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
        ck_assert_msg(accept_is_json(slice_str(rows[i].value)) == rows[i].ok, "%s", rows[i].value);
    ck_assert(!accept_is_json(slice_of(NULL, 0)));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("front/accept");
    TCase *t = tcase_create("accept");
    tcase_add_test(t, accept_table);
    tcase_add_test(t, content_type_table);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
