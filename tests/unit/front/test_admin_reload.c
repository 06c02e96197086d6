/* POST /reload: what the daemon's outcome becomes as an answer; and documents that are being
 * written while servers come and go. */
#include "admin_test.h"

#include "config/diff.h"
#include "front/admin_doc.h"

#include <unistd.h>

static struct loop loop; /* only its clock is looked at */
static struct admin admin;
static struct admin_reply reply;

static struct reloads {
    int result;
    unsigned reloads, dry_runs;
} daemon_;

static int fake_reload(void *arg, bool dry_run, struct buf *out)
{
    struct reloads *o = arg;
    o->reloads++;
    o->dry_runs += dry_run;
    buf_append_str(out, "{\"from\":\"the daemon\"}\n");
    return o->result;
}

static void begin(void)
{
    world_new(OTHER_SERVER, NULL);
    loop.env.now = w.env.now;
    daemon_ = (struct reloads){0};
    admin = (struct admin){.loop = &loop, .proxy = w.proxy, .config = w.config};
}

static unsigned ask(const char *line)
{
    static const struct http1_limits limits = {
        .max_head_bytes = 4096, .max_line_bytes = 2048, .max_headers = 8};
    const struct peer operator= {.is_unix = true, .pid = 1, .uid = geteuid()};
    struct http1_scan scan = HTTP1_SCAN_INIT;
    struct http1_request head;
    char text[512];
    int n = snprintf(text, sizeof(text), "%s HTTP/1.1\r\nHost: x\r\n\r\n", line);
    ck_assert_int_eq(http1_parse_request(&scan, slice_of(text, (size_t)n), &limits, &head), n);
    admin_request(&admin, &head, &operator, & reply);
    return reply.status;
}

static void expect(const char *line, unsigned status, const char *says)
{
    unsigned got = ask(line);
    struct slice body = buf_peek(&reply.body);
    ck_assert_msg(got == status, "%s: %u", line, got);
    ck_assert_str_eq(reply.content_type, ADMIN_JSON);
    ck_assert_msg(memmem(body.p, body.n, says, strlen(says)) != NULL, "%s: %.*s", line, (int)body.n,
                  body.p);
    buf_done(&reply.body);
}

START_TEST(the_outcome_is_the_status)
{
    begin();
    admin_set_ops(&admin, &(struct admin_ops){.reload = fake_reload, .arg = &daemon_});
    expect("POST /reload", 200, "the daemon");
    ck_assert_uint_eq(daemon_.dry_runs, 0);
    expect("POST /reload?dry_run=1", 200, "the daemon");
    ck_assert_uint_eq(daemon_.dry_runs, 1);
    daemon_.result = -EINVAL;
    expect("POST /reload", 422, "the daemon");
    daemon_.result = -EADDRINUSE;
    expect("POST /reload", 422, "the daemon");
    daemon_.result = -ESHUTDOWN;
    expect("POST /reload", 503, "the daemon");
    ck_assert_uint_eq(daemon_.reloads, 5);
    world_end();
}
END_TEST

/* Nobody asked to try it out must find it done. */
START_TEST(what_may_have_meant_a_dry_run_is_refused)
{
    begin();
    admin_set_ops(&admin, &(struct admin_ops){.reload = fake_reload, .arg = &daemon_});
    expect("POST /reload?dry-run=1", 400, "dry_run=1");
    expect("POST /reload?dry_run", 400, "dry_run=1");
    expect("POST /reload?dry_run=true", 400, "dry_run=1");
    expect("POST /reload?dry_run=1&x=1", 400, "dry_run=1");
    expect("GET /reload", 405, "POST");
    ck_assert_uint_eq(daemon_.reloads, 0);
    world_end();
}
END_TEST

START_TEST(without_a_daemon_there_is_none)
{
    begin();
    expect("POST /reload", 501, "cannot read its configuration again");
    world_end();
}
END_TEST

/* ---- documents under way ---- */

static void apply(const char *extra)
{
    struct config *next = world_parse(world_text(extra, NULL));
    struct config_plan plan;
    config_plan_make(w.config, next, &plan);
    proxy_apply(w.proxy, next, &plan);
    config_plan_done(&plan);
    config_unref(w.config);
    w.config = next;
    pass(60 * USEC_PER_SEC);
}

START_TEST(a_document_tells_of_the_servers_that_there_were)
{
    begin();
    proxy_start(w.proxy);
    turn();
    const struct admin_view view = test_view();
    struct recover_result *results = xcalloc(2, sizeof(*results));
    struct admin_doc *status = admin_doc_new(ADMIN_DOC_STATUS, &view, NULL, NULL);
    struct admin_doc *one =
        admin_doc_new(ADMIN_DOC_STATUS, &view, route_find(w.proxy, SLICE("other")), NULL);
    struct admin_doc *recovered = admin_doc_new(ADMIN_DOC_RECOVERED, &view, NULL, results);
    struct buf b = BUF_INIT;
    ck_assert(admin_doc_next(status, &b));
    apply(NULL); /* `other` leaves … */
    apply("},\"x\":{\"command\":\"x\"},\"y\":{\"command\":\"y\"},\"other\":{\"command\":\"z\"");
    ck_assert(!admin_doc_next(status, &b));
    admin_doc_free(status);
    cJSON *t = cJSON_ParseWithLength(buf_peek(&b).p, buf_len(&b));
    ck_assert_int_eq(cJSON_GetArraySize(at(t, "servers", NULL)), 2);
    ck_assert_str_eq(text(at(t, "servers", "1", "name", NULL)), "other");
    cJSON_Delete(t);
    buf_done(&b);
    t = read_doc(one, NULL);
    ck_assert_int_eq(cJSON_GetArraySize(at(t, "servers", NULL)), 1);
    ck_assert_str_eq(text(at(t, "servers", "0", "server_config", "command", NULL)), "other");
    cJSON_Delete(t);
    t = read_doc(recovered, NULL);
    ck_assert_int_eq(cJSON_GetArraySize(at(t, "servers", NULL)), 2);
    cJSON_Delete(t);
    t = read_doc(admin_doc_new(ADMIN_DOC_STATUS, &view, NULL, NULL), NULL);
    ck_assert_int_eq(cJSON_GetArraySize(at(t, "servers", NULL)), 4);
    cJSON_Delete(t);
    world_end();
}
END_TEST

int main(void)
{
    Suite *s = suite_create("front/admin_reload");
    TCase *t = tcase_create("reload");
    tcase_add_test(t, the_outcome_is_the_status);
    tcase_add_test(t, what_may_have_meant_a_dry_run_is_refused);
    tcase_add_test(t, without_a_daemon_there_is_none);
    tcase_add_test(t, a_document_tells_of_the_servers_that_there_were);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
