/* ctl/rates and ctl/top_view: differences of documents, as numbers and as a screen. */
#include "ctl/rates.h"
#include "ctl/text.h"
#include "ctl/top_view.h"
#include "unit/ctl/ctl_test.h"

#include "base/util.h"

static const struct style plain = {.utf8 = true};

/* What it is made from are string literals with ' for ". */
static cJSON *parsed(const char *json)
{
    struct buf quoted = BUF_INIT;
    for (const char *p = json; *p; p++)
        buf_append(&quoted, *p == '\'' ? "\"" : p, 1);
    cJSON *doc = cJSON_ParseWithLength(buf_peek(&quoted).p, buf_len(&quoted));
    ck_assert_msg(doc != NULL, "no JSON: %s", json);
    buf_done(&quoted);
    return doc;
}

#define SERVER(name, health, mode, calls, histogram)                                               \
    "{'name':'" name "','health_status':'" health "','mode':'" mode                                \
    "','pool_status':{'available':1,'max_size':4},'next_attempt_ms':null,"                         \
    "'circuit_breaker':{'state':'closed'},'calls':{" calls                                         \
    "},'call_duration':{'bounds_s':[0.01,0.1,1],'counts':[" histogram                              \
    "],'sum_s':1},'queue_wait':{'bounds_s':[0.01,0.1,1],'counts':[" histogram "],'sum_s':1}}"
#define DOC(up, servers)                                                                           \
    "{'pid':7,'started_at':'2026-01-02T03:04:05.678Z','uptime_seconds':" up                        \
    ",'time':'2026-01-02T03:14:05.678Z','servers':[" servers "]}"

#define BEFORE                                                                                     \
    DOC("100", SERVER("a", "healthy", "active",                                                    \
                      "'running':0,'waiting':0,'result':10,'error':0,'failed':0,'cancelled':0",    \
                      "10,0,0,0") "," SERVER("b", "healthy", "active", "'result':5,'failed':5",    \
                                             "5,5,0,0"))
#define NOW                                                                                        \
    DOC("102", SERVER("a", "healthy", "active",                                                    \
                      "'running':1,'waiting':0,'result':29,'error':1,'failed':0,'cancelled':0",    \
                      "10,20,0,0") "," SERVER("b", "unhealthy", "drain",                           \
                                              "'running':0,'waiting':3,'result':5,'failed':9",     \
                                              "5,5,0,4") "," SERVER("c", "unknown", "maint", "",   \
                                                                    "0,0,0,0"))

static const struct {
    double share;
    uint64_t counts[4];
    const char *want; /* in µs */
} quantiles[] = {
    {0.5, {0, 0, 0, 0}, "none"},      {0.5, {10, 0, 0, 0}, "5000"},
    {1.0, {10, 0, 0, 0}, "10000"},    {0.0, {10, 0, 0, 0}, "0"},
    {0.5, {0, 10, 0, 0}, "55000"},    {0.5, {5, 5, 0, 0}, "10000"},
    {0.99, {99, 0, 0, 1}, "10000"},   {0.995, {99, 0, 0, 1}, ">1000000"},
    {0.99, {0, 0, 0, 7}, ">1000000"}, {0.5, {1, 0, 1, 0}, "10000"},
};

START_TEST(quantiles_lie_where_the_observations_are)
{
    struct rates_histogram h = {.n = 4, .bounds_s = {0.01, 0.1, 1}};
    struct buf b = BUF_INIT;
    usec_t v;
    bool above;
    for (size_t i = 0; i < 4; i++)
        h.total += h.counts[i] = quantiles[_i].counts[i];
    if (!rates_quantile(&h, quantiles[_i].share, &v, &above))
        buf_append_str(&b, "none");
    else
        buf_appendf(&b, "%s%llu", above ? ">" : "", (unsigned long long)v);
    ck_assert_str_eq(taken(&b), quantiles[_i].want);
}
END_TEST

START_TEST(only_documents_of_one_life_are_compared)
{
    cJSON *a = parsed(BEFORE), *b = parsed(NOW), *none = parsed("{}");
    cJSON *other = parsed("{'pid':8,'started_at':'2026-01-02T03:04:05.678Z','uptime_seconds':200}");
    usec_t span;
    ck_assert(rates_span(a, b, &span));
    ck_assert_uint_eq(span, 2 * USEC_PER_SEC);
    ck_assert(!rates_span(b, a, &span));
    ck_assert(!rates_span(a, a, &span));
    ck_assert(!rates_span(a, other, &span));
    ck_assert(!rates_span(none, none, &span));
    ck_assert(!rates_span(NULL, a, &span));
    cJSON_Delete(a);
    cJSON_Delete(b);
    cJSON_Delete(none);
    cJSON_Delete(other);
}
END_TEST

static const char *screen(const char *last, const char *now, enum top_sort sort, bool keys,
                          const struct style *style)
{
    struct buf b = BUF_INIT;
    cJSON *old = last ? parsed(last) : NULL, *doc = parsed(now);
    struct top_documents docs = {.now = doc, .last = old, .first = old};
    top_view(&docs, sort, keys, style, &b);
    cJSON_Delete(old);
    cJSON_Delete(doc);
    return taken(&b);
}

START_TEST(a_screen)
{
    ck_assert_str_eq(screen(BEFORE, NOW, TOP_SORT_RATE, false, &plain),
                     "3 servers, 1 not well, 12.0 calls/s, 2.0 failed/s, 1 in flight, 3 waiting, "
                     "p50 64 ms, p99 >1.0 s\n"
                     "\n"
                     "NAME  HEALTH     MODE    CALLS/S  FAILED/S  IN FLIGHT  WAITING  P50     P99  "
                     "   WAIT P99  READY  BREAKER  NEXT ATTEMPT\n"
                     "a     healthy    active  10       0.0       1          0        55 ms   99 "
                     "ms   99 ms     1/4    closed   -\n"
                     "b     unhealthy  drain   2.0      2.0       0          3        >1.0 s  >1.0 "
                     "s  >1.0 s    1/4    closed   -\n"
                     "c     unknown    maint   -        -         0          0        -       -    "
                     "   -         1/4    closed   -\n");
}
END_TEST

START_TEST(the_first_screen_claims_nothing)
{
    const char *text = screen(NULL, NOW, TOP_SORT_NAME, true, &plain);
    ck_assert_ptr_nonnull(strstr(text, "3 servers, 1 not well, 1 in flight, 3 waiting\n"));
    ck_assert_ptr_nonnull(strstr(text,
                                 "sorted by name; keys: n name, r rate, f running, w waiting, "
                                 "l latency, h health, q quit\n"));
    ck_assert_ptr_nonnull(strstr(
        text, "a     healthy    active  -        -         1          0        -    -    -"));
}
END_TEST

static const struct {
    enum top_sort sort;
    const char *order;
} orders[] = {
    {TOP_SORT_NAME, "abc"},    {TOP_SORT_RATE, "abc"},    {TOP_SORT_RUNNING, "abc"},
    {TOP_SORT_WAITING, "bac"}, {TOP_SORT_LATENCY, "bac"}, {TOP_SORT_HEALTH, "bca"},
};

START_TEST(sorted_by_anything)
{
    const char *text = screen(BEFORE, NOW, orders[_i].sort, false, &plain);
    char order[4] = "";
    size_t n = 0;
    for (const char *p = strchr(text, '\n') + 1; p && n < 3;
         p = strchr(p, '\n') ? strchr(p, '\n') + 1 : NULL)
        if (*p >= 'a' && *p <= 'c')
            order[n++] = *p;
    ck_assert_str_eq(order, orders[_i].order);
    ck_assert_int_eq(top_sort_from_name(top_sort_name(orders[_i].sort)), (int)orders[_i].sort);
}
END_TEST

START_TEST(names_of_sortings)
{
    ck_assert_int_eq(top_sort_from_name("nothing"), -1);
    ck_assert_int_eq(top_sort_from_name(""), -1);
    ck_assert_int_eq(top_sort_from_key('f'), TOP_SORT_RUNNING);
    ck_assert_int_eq(top_sort_from_key('q'), -1);
    ck_assert_int_eq(top_sort_from_key('\0'), -1);
}
END_TEST

START_TEST(no_line_is_wider_than_the_terminal)
{
    for (unsigned columns = 40; columns < 140; columns++) {
        struct style style = {.columns = columns, .utf8 = true};
        const char *text = screen(BEFORE, NOW, TOP_SORT_NAME, true, &style);
        for (const char *p = text, *end; (end = strchr(p, '\n')); p = end + 1)
            if (columns > 100 || p == text)
                ck_assert_uint_le(text_width(slice_of(p, (size_t)(end - p))), columns);
    }
}
END_TEST

static const char *const strange[] = {
    "{}",
    "{'servers':7}",
    "{'servers':[]}",
    "{'servers':[7,null,'x',[],{}]}",
    DOC("102", "{'name':'\\u001b[2J\\u202e','health_status':7,'calls':[],'call_duration':{'bounds_"
               "s':[1],'counts':[]}}"),
    DOC("102",
        "{'name':'a','call_duration':{'bounds_s':['x',null,{}],'counts':['x',-1,1e300,null]}}"),
    DOC("102", "{'name':'a','call_duration':{'bounds_s':[-1,-2,1e300],'counts':[1,2,3,4]}}"),
    DOC("1e300", "{'name':'a','calls':{'result':1e300,'failed':-5}}"),
    DOC("100.0000001", "{'name':'a','calls':{'result':1e15}}"),
};

START_TEST(strange_documents_do_no_harm)
{
    for (size_t i = 0; i < ARRAY_LEN(strange); i++)
        for (enum top_sort sort = 0; sort < TOP_SORTS; sort++)
            expect_harmless(screen(strange[_i], strange[i], sort, true, &plain));
    expect_harmless(screen(BEFORE, strange[_i], TOP_SORT_NAME, false, &plain));
    expect_harmless(screen(strange[_i], NOW, TOP_SORT_NAME, false, &plain));
}
END_TEST

static void add(TCase *tc)
{
    tcase_add_loop_test(tc, quantiles_lie_where_the_observations_are, 0, (int)ARRAY_LEN(quantiles));
    tcase_add_test(tc, only_documents_of_one_life_are_compared);
    tcase_add_test(tc, a_screen);
    tcase_add_test(tc, the_first_screen_claims_nothing);
    tcase_add_loop_test(tc, sorted_by_anything, 0, (int)ARRAY_LEN(orders));
    tcase_add_test(tc, names_of_sortings);
    tcase_add_test(tc, no_line_is_wider_than_the_terminal);
    tcase_add_loop_test(tc, strange_documents_do_no_harm, 0, (int)ARRAY_LEN(strange));
}

int main(void)
{
    return run_cases("ctl/top", add);
}
