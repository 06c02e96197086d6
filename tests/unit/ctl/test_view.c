/* ctl/view and ctl/doc: documents of the daemon, whole, hostile and strange, as text. */
#include "ctl/doc.h"
#include "ctl/view.h"
#include "unit/ctl/ctl_test.h"

#include "base/util.h"

static const struct style plain = {.utf8 = true};

/* One text of a document; what it is made from are string literals with ' for ". */
static const char *shown(void (*view)(const cJSON *, const struct style *, struct buf *),
                         const char *json, const struct style *style)
{
    struct buf b = BUF_INIT, quoted = BUF_INIT;
    for (const char *p = json; *p; p++)
        buf_append(&quoted, *p == '\'' ? "\"" : p, 1);
    cJSON *doc = cJSON_ParseWithLength(buf_peek(&quoted).p, buf_len(&quoted));
    ck_assert_msg(doc != NULL, "no JSON: %s", json);
    view(doc, style, &b);
    cJSON_Delete(doc);
    buf_done(&quoted);
    return taken(&b);
}

#define FILES                                                                                      \
    "{'name':'files','mode':'active','health_status':'healthy','health_since':'2026-01-02T03:04:"  \
    "00.000Z',"                                                                                    \
    "'server_config':{'name':'files','transport':'stdio','command':'npx','sharing':'shared'},"     \
    "'pool_status':{'available':2,'max_size':10,'min_size':1},'failed_connections':0,"             \
    "'next_attempt_ms':null,'circuit_breaker':{'state':'closed','failure_count':0,"                \
    "'admits_calls':true,'since':'2026-01-02T03:00:00.000Z','next_change_ms':null,"                \
    "'ramp_ms':null,'pause_ms':null,'opened_count':0},"                                            \
    "'metrics':{'total_created':3,'total_lost':1,'recovery_attempts':1,"                           \
    "'successful_recoveries':1,'last_recovery_attempt':'2026-01-02T03:01:00.000Z',"                \
    "'last_successful_recovery':'2026-01-02T03:01:00.000Z','forced_recoveries':0},"                \
    "'adaptive_backoff':{'mode':'on','cap_seconds':12.5,'suggested_cap_seconds':12.5,"             \
    "'samples':4,'mean_outage_seconds':3.2,'deviation_seconds':1},"                                \
    "'replay':{'mode':'reads','budget_left':9,'budget':10,'replayed':1,'denied':0},"               \
    "'calls':{'running':3,'waiting':0,'result':1,'error':2,'failed':0,'cancelled':0,'moved':0},"   \
    "'pools':[{'principal':'uid 1000','features':0,'sessions':2,'queue_length':0,"                 \
    "'empty_since':null,'slots':[{'slot':0,'state':'ready',"                                       \
    "'since':'2026-01-02T03:04:00.000Z','epoch':2,'attempts':0,'cycles':0,"                        \
    "'next_attempt_ms':null,'last_error':'gone long ago','in_flight':3,'suspect':true}],"          \
    "'slots_never_used':9}]}"

#define BROKEN                                                                                     \
    "{'name':'broken','mode':'maint','health_status':'unhealthy','health_since':'2026-01-02T03:"   \
    "03:05.678Z',"                                                                                 \
    "'server_config':{'name':'broken','transport':'http','url':'https://x/"                        \
    "y','sharing':'session'},"                                                                     \
    "'pool_status':{'available':0,'max_size':4,'min_size':1},'failed_connections':2,"              \
    "'next_attempt_ms':3150,'circuit_breaker':{'state':'open','failure_count':5,"                  \
    "'admits_calls':false,'since':'2026-01-02T03:03:47.678Z','next_change_ms':42000,"              \
    "'trial':true,'auth_failed':true,'opened_count':1},"                                           \
    "'metrics':{'total_created':1,'total_lost':1,'recovery_attempts':7,"                           \
    "'successful_recoveries':0,'last_recovery_attempt':'2026-01-02T03:04:03.178Z',"                \
    "'last_successful_recovery':null,'forced_recoveries':1,"                                       \
    "'last_forced_recovery':'2026-01-02T03:04:03.178Z'},"                                          \
    "'adaptive_backoff':{'mode':'off','cap_seconds':60,'samples':0},"                              \
    "'replay':{'mode':'off','budget_left':0,'budget':0,'replayed':0,'denied':0},"                  \
    "'calls':{'running':0,'waiting':1},'pools':[{'principal':'anonymous','features':3,"            \
    "'sessions':1,'queue_length':1,'empty_since':'2026-01-02T03:03:05.678Z','slots':["             \
    "{'slot':0,'state':'waiting','since':'2026-01-02T03:04:03.000Z','epoch':4,'attempts':3,"       \
    "'cycles':1,'next_attempt_ms':3150,'last_error':'first\\u001b[2J\\nline'},"                    \
    "{'slot':1,'state':'connecting','since':'2026-01-02T03:04:02.000Z','epoch':1,"                 \
    "'attempts':0,'cycles':0,'next_attempt_ms':0,'last_error':'older'}],'slots_never_used':2}]}"

#define DOC(servers)                                                                               \
    "{'version':'0.1.0','pid':4711,'time':'2026-01-02T03:04:05.678Z','uptime_seconds':200000.5,"   \
    "'stopping':false,'sessions':1,'servers':[" servers "]}"

START_TEST(a_line_for_each_server)
{
    ck_assert_str_eq(shown(view_list, DOC(FILES "," BROKEN), &plain),
                     "NAME    HEALTH     MODE    READY/MIN/MAX  IN FLIGHT  WAITING  FAILED  "
                     "BREAKER      NEXT ATTEMPT  "
                     "RECOVERED  LAST ERROR\n"
                     "files   healthy    active  2/1/10         3          0        0       closed "
                     "      -             "
                     "1/1        -\n"
                     "broken  unhealthy  maint   0/1/4          0          1        2       open "
                     "(42 s)  in 3.2 s      "
                     "0/7        first\\x1b[2J\\nline\n");
}
END_TEST

START_TEST(colours_tell_how_bad_it_is)
{
    static const struct style colour = {.colour = true, .columns = 60};
    ck_assert_str_eq(shown(view_list, DOC(FILES "," BROKEN), &colour),
                     "\x1b[1mNAME\x1b[0m    \x1b[1mHEALTH\x1b[0m     \x1b[1mMODE\x1b[0m    "
                     "\x1b[1mREADY/MIN/MAX\x1b[0m  "
                     "\x1b[1mLAST ERROR\x1b[0m\n"
                     "files   \x1b[32mhealthy\x1b[0m    active  2/1/10         -\n"
                     "broken  \x1b[31munhealthy\x1b[0m  \x1b[33mmaint\x1b[0m   0/1/4          "
                     "first\\x1b[2J\\nline\n");
}
END_TEST

START_TEST(all_about_a_server_that_is_well)
{
    ck_assert_str_eq(
        shown(view_server, DOC(FILES), &plain),
        "● files - healthy since Fri 2026-01-02 03:04:00 UTC; 5.7 s ago\n"
        "     Command: npx (stdio, shared)\n"
        "        Mode: active\n"
        "        Pool: 2 ready, 1 wanted, 10 at most; 0 failed\n"
        "     Breaker: closed since Fri 2026-01-02 03:00:00 UTC; 4 min ago\n"
        "              admits calls, 0 failures in a row, opened 0 times\n"
        "       Calls: 3 in flight, 0 waiting\n              ended: 1 result, 2 errors of the "
        "server, 0 failed, "
        "0 cancelled; 0 moved to another connection\n"
        "    Recovery: 1 of 1 attempt succeeded; last attempt 3 min ago, last success 3 min ago\n"
        "              3 connections made, 1 lost; recovered by force 0 times\n"
        "    Back-off: at most 13 s (adaptive: on); 4 outages measured, mean 3.2 s, deviation 1.0 "
        "s, which suggest at most 13 s\n"
        "      Replay: reads, budget 9 of 10; 1 sent again, 0 denied\n"
        "\n"
        "  Pool of uid 1000: 2 sessions, 0 waiting, 9 slots never used\n"
        "    SLOT  STATE           FOR    EPOCH  IN FLIGHT  ATTEMPTS  NEXT ATTEMPT  LAST ERROR\n"
        "    0     ready, suspect  5.7 s  2      3          0         -             gone long "
        "ago\n");
}
END_TEST

START_TEST(all_about_a_server_that_is_broken)
{
    static const struct style ascii = {.columns = 20}; /* errors are shown whole all the same */
    const char *text = shown(view_server, DOC(BROKEN), &ascii);
    static const char *const parts[] = {
        "* broken - unhealthy since Fri 2026-01-02 03:03:05 UTC; 60 s ago\n",
        "Address: https://x/y (http, session)\n",
        "Mode: maint: new calls are refused\n",
        "open since Fri 2026-01-02 03:03:47 UTC; 18 s ago; changes in 42 s\n",
        "refuses calls, 5 failures in a row, opened 1 time, a trial is under way, the server "
        "refused our credentials\n",
        "0 of 7 attempts succeeded; last attempt 2.5 s ago, last success never, next attempt in "
        "3.2 s\n",
        "1 connection made, 1 lost; recovered by force 1 time, last 2.5 s ago\n",
        "at most 60 s (adaptive: off); 0 outages measured\n",
        "Pool of anonymous, client features 3: 1 session, 1 waiting, nothing ready for 60 s, 2 "
        "slots never used\n",
        "waiting     2.7 s  4      0          3, cycle 2  in 3.2 s      first\\x1b[2J\\nline\n",
        "connecting  3.7 s  1      0          0           now           older\n",
    };
    for (size_t i = 0; i < ARRAY_LEN(parts); i++)
        ck_assert_msg(strstr(text, parts[i]) != NULL, "%s is not in:\n%s", parts[i], text);
}
END_TEST

/* What a daemon of another version, or something else altogether, may say. */
static const char *const strange[] = {
    "{}",
    "[]",
    "null",
    "{'servers':null}",
    "{'servers':[null,1,'x',[],{}]}",
    "{'servers':[{'name':1,'health_status':[],'pools':{'slots':1},'metrics':7,'calls':null,"
    "'circuit_breaker':'open','next_attempt_ms':'soon','pool_status':[1,2,3]}]}",
    "{'servers':[{'pools':[null,{'slots':[null,1,{}]},{'slots':{}}]}]}",
    "{'time':'yesterday','servers':[{'next_attempt_ms':-5,'failed_connections':1e300,"
    "'health_since':'2026-01-02T03:04:05.678Z','pool_status':{'min_size':-1}}]}",
    "{'version':'\\u001b[31m\\n','servers':[{'name':'\\u001b]0;x\\u0007\\u202e',"
    "'health_status':'\\u009b31m\\r','reset':-1,'circuit_breaker_before':'\\u001bc',"
    "'circuit_breaker':{'state':'\\u001bc','next_change_ms':1},'server_config':{'url':'\\b',"
    "'transport':'\\u007f','sharing':'\\n'},'adaptive_backoff':{'mode':'\\u001b'},"
    "'replay':{'mode':'\\u001b'},'pools':[{'principal':'\\u001b','slots':[{'state':'\\u001b',"
    "'last_error':'\\u001b\\u0000'}]}]}]}",
};

START_TEST(strange_documents_do_no_harm)
{
    static const struct style styles[] = {{.utf8 = true}, {.columns = 40}, {.columns = 1}};
    for (size_t i = 0; i < ARRAY_LEN(styles); i++) {
        expect_harmless(shown(view_list, strange[_i], &styles[i]));
        expect_harmless(shown(view_server, strange[_i], &styles[i]));
        expect_harmless(shown(view_header, strange[_i], &styles[i]));
        expect_harmless(shown(view_recovered, strange[_i], &styles[i]));
    }
}
END_TEST

START_TEST(the_header_fits_in_a_line)
{
    static const struct style narrow = {.utf8 = true, .columns = 40};
    ck_assert_str_eq(shown(view_header, DOC(FILES), &plain),
                     "Fri 2026-01-02 03:04:05 UTC  mcpoold 0.1.0, pid 4711, up 2 d 7 h, 1 "
                     "session\n");
    ck_assert_str_eq(shown(view_header, DOC(FILES), &narrow),
                     "Fri 2026-01-02 03:04:05 UTC  mcpoold 0.…\n");
    ck_assert_ptr_nonnull(strstr(shown(view_header, "{'stopping':true,'sessions':2}", &plain),
                                 ", 2 sessions, stopping\n"));
}
END_TEST

#define WELL(health, min)                                                                          \
    "{'name':'x','health_status':'" health "','pool_status':{'min_size':" min "}}"

static const struct {
    const char *servers;
    bool well;
} verdicts[] = {
    {DOC(""), true},
    {DOC(WELL("healthy", "1")), true},
    {DOC(WELL("healthy", "0")), true},
    {DOC(WELL("unknown", "0")), true},
    {DOC(WELL("unknown", "1")), false},
    {DOC(WELL("degraded", "1")), false},
    {DOC(WELL("unhealthy", "0")), false},
    {DOC(WELL("healthy", "1") "," WELL("unhealthy", "1")), false},
    {DOC(WELL("unhealthy", "1") "," WELL("healthy", "1")), false},
    {DOC("{}"), false},
};

static void verdict(const cJSON *doc, const struct style *style, struct buf *out)
{
    (void)style;
    buf_append_str(out, view_all_well(doc) ? "well" : "not well");
}

START_TEST(one_that_is_not_well_is_enough)
{
    ck_assert_str_eq(shown(verdict, verdicts[_i].servers, &plain),
                     verdicts[_i].well ? "well" : "not well");
}
END_TEST

START_TEST(what_a_recovery_did)
{
    ck_assert_str_eq(
        shown(view_recovered,
              "{'servers':["
              "{'name':'files','reset':2,'torn_down':0,'started':1,'ready':0,"
              "'circuit_breaker_before':'open','circuit_breaker':'half_open'},"
              "{'name':'b','reset':1,'torn_down':2,'started':3,'ready':1,"
              "'circuit_breaker_before':'closed','circuit_breaker':'closed'},"
              "{'name':'c','reset':0,'torn_down':0,'started':0,'ready':4,"
              "'circuit_breaker_before':'closed'},"
              "{'name':'d','reset':0,'torn_down':0,'started':0,'ready':0}]}",
              &plain),
        "files: 2 back-offs reset, 1 attempt started, breaker open -> half_open\n"
        "b: 1 back-off reset, 2 connections torn down, 3 attempts started, 1 connection is well\n"
        "c: nothing to do, 4 connections are well\n"
        "d: nothing to do\n");
}
END_TEST

static void names(const cJSON *doc, const struct style *style, struct buf *out)
{
    view_names(doc, style, "<", ">", out);
}

START_TEST(the_names)
{
    ck_assert_str_eq(shown(names, DOC(FILES "," BROKEN ",{}"), &plain), "<files><broken><?>");
}
END_TEST

static void add(TCase *c)
{
    tcase_add_test(c, a_line_for_each_server);
    tcase_add_test(c, colours_tell_how_bad_it_is);
    tcase_add_test(c, all_about_a_server_that_is_well);
    tcase_add_test(c, all_about_a_server_that_is_broken);
    tcase_add_loop_test(c, strange_documents_do_no_harm, 0, ARRAY_LEN(strange));
    tcase_add_test(c, the_header_fits_in_a_line);
    tcase_add_loop_test(c, one_that_is_not_well_is_enough, 0, ARRAY_LEN(verdicts));
    tcase_add_test(c, what_a_recovery_did);
    tcase_add_test(c, the_names);
}

int main(void)
{
    return run_cases("view", add);
}
