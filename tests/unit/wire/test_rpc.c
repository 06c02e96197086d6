/* Reading messages: classification, the spans, the refusals, and that pieces change nothing.
 * Everything that is parsed here is parsed whole, byte by byte and cut in two at every place, and
 * must come out the same. */
#include "wire/rpc.h"

#include "base/util.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#define DEPTH 128

struct outcome {
    enum rpc_error error;
    size_t at;
    struct rpc_msg m;
};

static void feed_copy(struct rpc_scan *s, struct slice piece)
{
    char *copy = xmalloc(piece.n + 1);

    memcpy(copy + 1, piece.p, piece.n);
    rpc_scan_feed(s, slice_of(copy + 1, piece.n));
    free(copy);
}

static struct outcome parse_pieces(struct slice text, size_t first, size_t step)
{
    struct outcome o = {.at = 0};
    struct rpc_scan *s = rpc_scan_new(DEPTH);

    for (size_t at = 0, n = first; at < text.n; at += n, n = step) {
        if (n > text.n - at)
            n = text.n - at;
        feed_copy(s, slice_of(text.p + at, n));
    }
    o.error = rpc_scan_end(s, &o.m, &o.at);
    rpc_scan_free(s);
    return o;
}

static void same(struct slice text, const struct outcome *a, const struct outcome *b, size_t cut)
{
    const size_t spans = offsetof(struct rpc_msg, id);

    ck_assert_msg(a->error == b->error && a->at == b->at && a->m.kind == b->m.kind &&
                      a->m.method == b->m.method && a->m.id_is_string == b->m.id_is_string &&
                      a->m.has_newline == b->m.has_newline &&
                      memcmp((char *)&a->m + spans, (char *)&b->m + spans, sizeof(a->m) - spans) ==
                          0,
                  "%.*s cut at %zu: %d at %zu instead of %d at %zu", (int)text.n, text.p, cut,
                  b->error, b->at, a->error, a->at);
}

static struct outcome parse(struct slice text)
{
    struct outcome o = {.at = 0}, pieces;
    char *copy = xmalloc(text.n + 1);

    memcpy(copy + 1, text.p, text.n);
    memset(&o.m, 0x5a, sizeof(o.m));
    o.error = rpc_parse(slice_of(copy + 1, text.n), DEPTH, &o.m, &o.at);
    free(copy);
    pieces = parse_pieces(text, 1, 1);
    same(text, &o, &pieces, 1);
    for (size_t cut = 0; cut <= text.n && text.n < 2000; cut++) {
        pieces = parse_pieces(text, cut, text.n);
        same(text, &o, &pieces, cut);
    }
    return o;
}

static struct outcome parse_str(const char *text)
{
    return parse(slice_str(text));
}

static void span_is(const char *text, struct span s, const char *want)
{
    struct slice got = rpc_span(slice_str(text), s);

    ck_assert_msg(slice_is(got, want), "%.*s instead of %s in %s", (int)got.n, got.p, want, text);
}

static void fails(const char *text, enum rpc_error error, enum rpc_kind kind, const char *id)
{
    struct outcome o = parse_str(text);

    ck_assert_msg(o.error == error, "%s: %d instead of %d", text, o.error, error);
    ck_assert_msg(o.m.kind == kind, "%s: kind %d instead of %d", text, o.m.kind, kind);
    span_is(text, o.m.id, id);
    ck_assert_uint_eq(o.m.params.n + o.m.result.n + o.m.meta.n + o.m.name.n, 0);
}

static void passes(const char *text, enum rpc_kind kind, enum mcp_method method)
{
    struct outcome o = parse_str(text);

    ck_assert_msg(o.error == RPC_OK, "%s: %d at %zu", text, o.error, o.at);
    ck_assert_msg(o.m.kind == kind, "%s: kind %d instead of %d", text, o.m.kind, kind);
    ck_assert_msg(o.m.method == method, "%s: method %d", text, o.m.method);
}

#define REQUEST(method, params)                                                                    \
    "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"" method "\",\"params\":" params "}"
#define P "io.modelcontextprotocol/"

START_TEST(kinds)
{
    passes("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}", RPC_REQUEST, MCP_PING);
    passes("{\"id\":\"a\",\"method\":\"x/y\",\"jsonrpc\":\"2.0\"}", RPC_REQUEST, MCP_METHOD_OTHER);
    passes("{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}", RPC_NOTIFICATION,
           MCP_N_INITIALIZED);
    passes("{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}", RPC_RESULT, MCP_METHOD_NONE);
    passes("{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":null}", RPC_RESULT, MCP_METHOD_NONE);
    passes("{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":-1,\"message\":\"\"}}", RPC_ERROR,
           MCP_METHOD_NONE);
    passes("{\"jsonrpc\":\"2.0\",\"error\":{}}", RPC_ERROR, MCP_METHOD_NONE);
    passes("{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{}}", RPC_ERROR, MCP_METHOD_NONE);
    passes("{\"jsonrpc\":\"\\u0032.0\",\"id\":1,\"method\":\"\"}", RPC_REQUEST, MCP_METHOD_OTHER);
    passes("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\",\"future\":[{}],\"future\":2}",
           RPC_REQUEST, MCP_PING);
}
END_TEST

START_TEST(shapes_refused)
{
    static const char *const none[] = {"1",
                                       "\"x\"",
                                       "null",
                                       "true",
                                       "{}",
                                       "{\"jsonrpc\":\"2.0\"}",
                                       "{\"jsonrpc\":\"2.0\",\"params\":{}}"};

    for (size_t i = 0; i < ARRAY_LEN(none); i++)
        fails(none[i], RPC_E_SHAPE, RPC_INVALID, "");
    fails("{\"jsonrpc\":\"2.0\",\"id\":5}", RPC_E_SHAPE, RPC_INVALID, "5");
    fails("{\"id\":5,\"method\":\"ping\"}", RPC_E_SHAPE, RPC_REQUEST, "5");
    fails("{\"jsonrpc\":\"2.1\",\"id\":5,\"method\":\"ping\"}", RPC_E_SHAPE, RPC_REQUEST, "5");
    fails("{\"jsonrpc\":2.0,\"id\":5,\"method\":\"ping\"}", RPC_E_SHAPE, RPC_REQUEST, "5");
    fails("{\"jsonrpc\":\"2.0\",\"id\":5,\"method\":7}", RPC_E_SHAPE, RPC_REQUEST, "5");
    fails("{\"jsonrpc\":\"2.0\",\"method\":null}", RPC_E_SHAPE, RPC_NOTIFICATION, "");
    fails("{\"jsonrpc\":\"2.0\",\"id\":5,\"method\":\"ping\",\"params\":[]}", RPC_E_SHAPE,
          RPC_REQUEST, "5");
    fails("{\"jsonrpc\":\"2.0\",\"method\":\"ping\",\"params\":null}", RPC_E_SHAPE,
          RPC_NOTIFICATION, "");
    fails("{\"jsonrpc\":\"2.0\",\"id\":5,\"result\":{},\"error\":{}}", RPC_E_SHAPE, RPC_RESULT,
          "5");
    fails("{\"jsonrpc\":\"2.0\",\"id\":5,\"method\":\"ping\",\"result\":{}}", RPC_E_SHAPE,
          RPC_REQUEST, "5");
    fails("{\"jsonrpc\":\"2.0\",\"id\":5,\"method\":\"ping\",\"error\":{}}", RPC_E_SHAPE,
          RPC_REQUEST, "5");
    fails("{\"jsonrpc\":\"2.0\",\"id\":5,\"error\":\"no\"}", RPC_E_SHAPE, RPC_ERROR, "5");
    fails("{\"jsonrpc\":\"2.0\",\"id\":[],\"error\":{}}", RPC_E_SHAPE, RPC_ERROR, "");
    fails("{\"jsonrpc\":\"2.0\",\"result\":{}}", RPC_E_SHAPE, RPC_RESULT, "");
    fails("{\"jsonrpc\":\"2.0\",\"id\":null,\"result\":{}}", RPC_E_SHAPE, RPC_RESULT, "");
    fails("{\"jsonrpc\":\"2.0\",\"id\":5,\"result\":{},\"params\":{}}", RPC_E_SHAPE, RPC_RESULT,
          "5");
}
END_TEST

START_TEST(spans_of_a_call)
{
    const char *t =
        "{\"params\":{\"_meta\":{\"progressToken\":\"t\\u0031\",\"x\":{\"progressToken\":0},\"" P
        "related-task\":{\"taskId\":\"z\"}},\"name\" : "
        "\"search\",\"arguments\":{\"name\":\"inner\","
        "\"uri\":1,\"uri\":2},\"task\":{\"ttl\":1},\"uri\":\"file:///x\"},\"method\":\"tools/"
        "call\","
        "\"jsonrpc\":\"2.0\",\"id\": 9007199254740993 }";
    struct outcome o = parse_str(t);

    ck_assert_int_eq(o.error, RPC_OK);
    ck_assert_int_eq(o.m.method, MCP_TOOLS_CALL);
    ck_assert(!o.m.id_is_string);
    ck_assert(!o.m.has_newline);
    span_is(t, o.m.id, "9007199254740993");
    span_is(t, o.m.method_raw, "\"tools/call\"");
    span_is(t, o.m.name, "\"search\"");
    span_is(t, o.m.uri, "\"file:///x\"");
    span_is(t, o.m.progress_token, "\"t\\u0031\"");
    span_is(t, o.m.related_task, "{\"taskId\":\"z\"}");
    span_is(t, o.m.task, "{\"ttl\":1}");
    span_is(t, o.m.claim, "");
    ck_assert_uint_eq(o.m.params.off, 10);
    ck_assert_uint_eq(o.m.meta.off, 19);
    ck_assert(t[o.m.params.off + o.m.params.n - 1] == '}');
    ck_assert(memcmp(t + o.m.params.off + o.m.params.n, ",\"method\"", 9) == 0);
}
END_TEST

START_TEST(spans_of_initialize_and_of_answers)
{
    const char *t =
        REQUEST("initialize", "{\"protocolVersion\":\"2025-06-18\",\"capabilities\":{\"roots\":{}},"
                              "\"clientInfo\":{\"name\":\"c\"}}");
    struct outcome o = parse_str(t);

    ck_assert_int_eq(o.m.method, MCP_INITIALIZE);
    span_is(t, o.m.protocol_version, "\"2025-06-18\"");
    span_is(t, o.m.capabilities, "{\"roots\":{}}");
    span_is(t, o.m.client_info, "{\"name\":\"c\"}");

    t = "{\"jsonrpc\":\"2.0\",\"id\":\"q\",\"result\":{\"protocolVersion\":\"x\",\"capabilities\":{"
        "},\"serverInfo\":"
        "{\"name\":\"s\"},\"instructions\":\"do\",\"resultType\" : "
        "\"complete\",\"ttlMs\":5,\"cacheScope\":\"private\","
        "\"_meta\":{\"" P "related-task\":{},\"" P "protocolVersion\":\"1\",\"progressToken\":3}}}";
    o = parse_str(t);
    ck_assert_int_eq(o.m.kind, RPC_RESULT);
    ck_assert(o.m.id_is_string);
    span_is(t, o.m.protocol_version, "\"x\"");
    span_is(t, o.m.capabilities, "{}");
    span_is(t, o.m.server_info, "{\"name\":\"s\"}");
    span_is(t, o.m.instructions, "\"do\"");
    span_is(t, o.m.result_type, "\"resultType\" : \"complete\"");
    span_is(t, o.m.ttl_ms, "\"ttlMs\":5");
    span_is(t, o.m.cache_scope, "\"cacheScope\":\"private\"");
    span_is(t, o.m.related_task, "{}");
    span_is(t, o.m.claim, "");
    span_is(t, o.m.progress_token, "");

    t = "{\"jsonrpc\":\"2.0\",\"id\":3,\"error\":{\"code\":-32002,\"message\":\"gone\",\"data\":[1]"
        "}}";
    o = parse_str(t);
    span_is(t, o.m.error_code, "-32002");
    span_is(t, o.m.error_message, "\"gone\"");
    span_is(t, o.m.error_data, "[1]");
}
END_TEST

START_TEST(spans_of_notifications_and_other_requests)
{
    const char *t = "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/"
                    "progress\",\"params\":{\"progressToken\":12,\"progress\":0.5,"
                    "\"_meta\":{\"progressToken\":99}}}";
    struct outcome o = parse_str(t);

    span_is(t, o.m.progress_token, "12");
    span_is(t, o.m.progress, "0.5");

    t = "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/"
        "cancelled\",\"params\":{\"requestId\":\"r\"}}";
    o = parse_str(t);
    span_is(t, o.m.request_id, "\"r\"");

    t = REQUEST("logging/setLevel",
                "{\"level\":\"debug\",\"taskId\":\"k\",\"elicitationId\":\"e\"}");
    o = parse_str(t);
    span_is(t, o.m.level, "\"debug\"");
    span_is(t, o.m.task_id, "\"k\"");
    span_is(t, o.m.elicitation_id, "\"e\"");

    t = REQUEST("tools/list", "{\"_meta\":{\"" P "protocolVersion\":\"2026-07-28\"}}");
    o = parse_str(t);
    span_is(t, o.m.claim, "\"2026-07-28\"");
}
END_TEST

/* A value of another type than the schema's is somebody else's problem: it is not located, and
 * passes. */
START_TEST(other_types_are_left_absent)
{
    struct outcome o = parse_str(
        REQUEST("x", "{\"name\":1,\"uri\":null,\"level\":{},\"_meta\":[],\"capabilities\":"
                     "[],\"clientInfo\":\"\",\"task\":true,\"protocolVersion\":5}"));

    ck_assert_int_eq(o.error, RPC_OK);
    ck_assert_uint_eq(o.m.name.n + o.m.uri.n + o.m.level.n + o.m.meta.n + o.m.capabilities.n +
                          o.m.client_info.n + o.m.task.n + o.m.protocol_version.n,
                      0);
    o = parse_str("{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":[{\"resultType\":1}]}");
    ck_assert_int_eq(o.error, RPC_OK);
    ck_assert_uint_eq(o.m.result_type.n, 0);
    o = parse_str("{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":1.5,\"message\":7}}");
    ck_assert_uint_eq(o.m.error_code.n + o.m.error_message.n, 0);
}
END_TEST

START_TEST(progress_tokens)
{
    fails(REQUEST("x", "{\"_meta\":{\"progressToken\":1.5}}"), RPC_E_SHAPE, RPC_REQUEST, "1");
    fails(REQUEST("x", "{\"_meta\":{\"progressToken\":1e2}}"), RPC_E_SHAPE, RPC_REQUEST, "1");
    fails(REQUEST("x", "{\"_meta\":{\"progressToken\":null}}"), RPC_E_SHAPE, RPC_REQUEST, "1");
    fails(REQUEST("x", "{\"_meta\":{\"progressToken\":{}}}"), RPC_E_SHAPE, RPC_REQUEST, "1");
    fails("{\"jsonrpc\":\"2.0\",\"method\":\"notifications/"
          "progress\",\"params\":{\"progressToken\":[]}}",
          RPC_E_SHAPE, RPC_NOTIFICATION, "");
    passes(REQUEST("x", "{\"progressToken\":[]}"), RPC_REQUEST, MCP_METHOD_OTHER);
    passes("{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"_meta\":{\"progressToken\":[]}}}",
           RPC_RESULT, MCP_METHOD_NONE);
}
END_TEST

START_TEST(newlines_outside_strings_are_noticed)
{
    ck_assert(parse_str("{\"jsonrpc\":\"2.0\",\"id\":1,\n\"method\":\"ping\"}").m.has_newline);
    ck_assert(parse_str("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}\r").m.has_newline);
    ck_assert(
        parse_str("{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"a\":[1,\r\n2]}}").m.has_newline);
    ck_assert(!parse_str("{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":\"\\n \\r\" }").m.has_newline);
}
END_TEST

START_TEST(j01_depth)
{
    char text[700];
    int n;

    for (unsigned deep = 125; deep < 130; deep++) {
        n = snprintf(text, sizeof(text),
                     "{\"id\":4,\"jsonrpc\":\"2.0\",\"method\":\"m\",\"params\":{\"a\":");
        memset(text + n, '[', deep);
        memset(text + n + deep, ']', deep);
        snprintf(text + n + 2 * deep, 3, "}}");
        if (deep + 2 <= DEPTH)
            passes(text, RPC_REQUEST, MCP_METHOD_OTHER);
        else
            fails(text, RPC_E_DEPTH, RPC_REQUEST, "4");
    }
}
END_TEST

START_TEST(j02_duplicate_keys)
{
    static const char *const bad[] = {
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"a\",\"method\":\"b\"}",
        "{\"jsonrpc\":\"2.0\",\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"a\"}",
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"a\",\"params\":{},\"params\":{}}",
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"a\",\"m\\u0065thod\":\"b\"}",
        REQUEST("x", "{\"name\":\"a\",\"name\":\"a\"}"),
        REQUEST("x", "{\"uri\":\"a\",\"uri\":\"a\"}"),
        REQUEST("x", "{\"arguments\":{},\"n\":1,\"arguments\":{}}"),
        REQUEST("x", "{\"_meta\":{},\"_meta\":{}}"),
        REQUEST("x", "{\"_meta\":{\"progressToken\":1,\"progressToken\":1}}"),
        REQUEST("x", "{\"_meta\":{\"" P "protocolVersion\":1,\"" P "protocolVersion\":1}}"),
        REQUEST("x", "{\"_meta\":{\"" P "clientInfo\":1,\"" P "clientInfo\":1}}"),
        REQUEST("x", "{\"_meta\":{\"" P "clientCapabilities\":1,\"" P "clientCapabilities\":1}}"),
        REQUEST("x", "{\"_meta\":{\"" P "logLevel\":1,\"" P "logLevel\":1}}"),
        REQUEST("x", "{\"_meta\":{\"" P "serverInfo\":1,\"" P "serverInfo\":1}}"),
        REQUEST("x", "{\"_meta\":{\"" P "subscriptionId\":1,\"" P "subscriptionId\":1}}"),
        REQUEST("x", "{\"_meta\":{\"" P "related-task\":{},\"" P "related-task\":{}}}"),
    };
    struct outcome o;

    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        fails(bad[i], RPC_E_DUPLICATE, RPC_REQUEST, "1");
    o = parse_str(bad[0]);
    ck_assert_uint_eq(o.at, strlen("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"a\","));
    fails("{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{},\"result\":{}}", RPC_E_DUPLICATE, RPC_RESULT,
          "1");
    fails("{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{},\"error\":{}}", RPC_E_DUPLICATE, RPC_ERROR,
          "1");
    /* which of two ids would be answered? neither */
    fails("{\"jsonrpc\":\"2.0\",\"id\":1,\"id\":2,\"method\":\"a\"}", RPC_E_DUPLICATE, RPC_REQUEST,
          "");
    /* what mcpool does not act on may stand twice */
    passes(REQUEST("x", "{\"cursor\":1,\"cursor\":2,\"arguments\":{\"name\":1,\"name\":2}}"),
           RPC_REQUEST, MCP_METHOD_OTHER);
    passes(REQUEST("x", "{\"_meta\":{\"vendor\":1,\"vendor\":2}}"), RPC_REQUEST, MCP_METHOD_OTHER);
    /* the same name in different objects is no duplicate */
    passes("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"x\",\"params\":{\"id\":1,\"method\":2,\"_"
           "meta\":{\"name\":1}},"
           "\"name\":0}",
           RPC_REQUEST, MCP_METHOD_OTHER);
}
END_TEST

/* Every name that mcpool acts on is known, and no other: one that differs in a single byte, or is
 * cut short or longer, may stand twice. */
START_TEST(j02_j03_each_name_and_none_beside)
{
    static const struct {
        const char *before, *after;
        const char *names[16];
    } places[] = {
        {"{\"jsonrpc\":\"2.0\",\"x\":0",
         "}",
         {"jsonrpc", "id", "method", "params", "result", "error"}},
        {"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"x\",\"params\":{\"x\":0",
         "}}",
         {"_meta", "progressToken", "progress", "requestId", "name", "uri", "arguments", "level",
          "protocolVersion", "capabilities", "clientInfo", "task", "taskId", "elicitationId"}},
        {"{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"x\":0",
         "}}",
         {"_meta", "protocolVersion", "capabilities", "serverInfo", "instructions", "resultType",
          "ttlMs", "cacheScope"}},
        {"{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"x\":0", "}}", {"code", "message", "data"}},
        {"{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"_meta\":{\"x\":0",
         "}}}",
         {"progressToken", P "protocolVersion", P "related-task", P "clientInfo",
          P "clientCapabilities", P "logLevel", P "serverInfo", P "subscriptionId"}},
    };
    char name[80], text[400];

    for (size_t i = 0; i < ARRAY_LEN(places); i++) {
        for (size_t k = 0; k < ARRAY_LEN(places[i].names) && places[i].names[k] != NULL; k++) {
            int n = (int)strlen(places[i].names[k]);

            for (int change = -1; change < n + 2; change++) {
                snprintf(name, sizeof(name), "%sx", places[i].names[k]);
                name[n + (change == n) - (change == n + 1)] = '\0';
                if (change >= 0 && change < n)
                    name[change] ^= 1;
                snprintf(text, sizeof(text), "%s,\"%s\":0,\"%s\":0%s", places[i].before, name, name,
                         places[i].after);
                ck_assert_msg((parse_str(text).error == RPC_E_DUPLICATE) == (change < 0), "%s",
                              text);
            }
        }
    }
}
END_TEST

START_TEST(j03_keys_match_exactly)
{
    fails("{\"jsonrpc\":\"2.0\",\"id\":1,\"Method\":\"ping\"}", RPC_E_SHAPE, RPC_INVALID, "1");
    fails("{\"jsonrpc\":\"2.0\",\"id\":1,\"metho\xc5\xbf\xc4\x91\":\"ping\"}", RPC_E_SHAPE,
          RPC_INVALID, "1");
    fails("{\"jsonrpc\":\"2.0\",\"ID\":1,\"re\xc5\xbfult\":1}", RPC_E_SHAPE, RPC_INVALID, "");
    ck_assert_uint_eq(
        parse_str(REQUEST("x", "{\"Name\":\"a\",\"name \":\"b\",\"n\":\"c\",\"URI\":\"d\"}"))
            .m.name.n,
        0);
    passes("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\",\"param\xc5\xbf\":[]}", RPC_REQUEST,
           MCP_PING);
    passes("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\",\"METHOD\":\"x\",\"Id\":2}",
           RPC_REQUEST, MCP_PING);
    passes("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"Ping\"}", RPC_REQUEST, MCP_METHOD_OTHER);
}
END_TEST

START_TEST(j04_escaped_key)
{
    const char *t =
        "{\"jsonrpc\":\"2.0\",\"\\u0069\\u0064\":7,\"meth\\u006fd\":\"tools\\/c\\u0061ll\","
        "\"p\\u0061rams\":{\"n\\u0061me\":\"x\",\"_m\\u0065ta\":{"
        "\"\\u0069\\u006f\\u002e\\u006d\\u006f\\u0064\\u0065\\u006c"
        "\\u0063\\u006f\\u006e\\u0074\\u0065\\u0078\\u0074\\u0070\\u0072\\u006f\\u0074\\u006f\\u006"
        "3\\u006f\\u006c\\u002f"
        "\\u0070\\u0072\\u006f\\u0074\\u006f\\u0063\\u006f\\u006c\\u0056\\u0065\\u0072\\u0073\\u006"
        "9\\u006f\\u006e\":\"v\"}}}";
    struct outcome o = parse_str(t);

    ck_assert_int_eq(o.error, RPC_OK);
    ck_assert_int_eq(o.m.method, MCP_TOOLS_CALL);
    span_is(t, o.m.id, "7");
    span_is(t, o.m.name, "\"x\"");
    span_is(t, o.m.claim, "\"v\"");
}
END_TEST

START_TEST(j05_nul_in_names)
{
    fails("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\\u0000x\"}", RPC_E_LIMIT,
          RPC_REQUEST, "1");
    fails(REQUEST("tools/call", "{\"name\":\"a\\u0000\"}"), RPC_E_LIMIT, RPC_REQUEST, "1");
    fails(REQUEST("resources/read", "{\"uri\":\"file:\\u0000\"}"), RPC_E_LIMIT, RPC_REQUEST, "1");
    /* elsewhere it is a character like others */
    passes(REQUEST("tools/call",
                   "{\"name\":\"a\",\"arguments\":{\"x\":\"\\u0000\"},\"level\":\"\\u0000\"}"),
           RPC_REQUEST, MCP_TOOLS_CALL);
    passes(REQUEST("tools/call", "{\"x\":\"\\u0000\",\"name\":\"a\\\\u0000\"}"), RPC_REQUEST,
           MCP_TOOLS_CALL);
}
END_TEST

START_TEST(j06_j07_j13_no_json)
{
    static const char *const bad[] = {
        "",
        "{",
        "\xef\xbb\xbf{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}",
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"pi\xc0\xafng\"}",
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\",\"params\":{\"a\":\"\xed\xa0\x80\"}}",
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"pi\nng\"}",
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}}",
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}{}",
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\",}",
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"id\":2,\"method\":\"ping\"", /* not JSON comes before
                                                                         duplicate */
        "{'id':1}",
    };
    struct slice nul = SLICE("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}\0");

    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        fails(bad[i], RPC_E_PARSE, RPC_INVALID, "");
    ck_assert_int_eq(parse(nul).error, RPC_E_PARSE);
    ck_assert_uint_eq(parse(nul).at, nul.n - 1);
}
END_TEST

START_TEST(j08_j09_ids)
{
    static const char *const good[] = {
        "0",     "-0",   "-7",          "9007199254740993", "9223372036854775808",
        "\"1\"", "\"\"", "\"\\u0000\"", "\"\xc3\xa4\""};
    static const char *const bad[] = {"null", "true", "false", "{}",    "[]",
                                      "1.0",  "1e0",  "0.5",   "1E400", "-1.5"};
    char text[700], id[300];

    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        struct outcome o;

        snprintf(text, sizeof(text), "{\"jsonrpc\":\"2.0\",\"id\": %s,\"method\":\"ping\"}",
                 good[i]);
        o = parse_str(text);
        ck_assert_int_eq(o.error, RPC_OK);
        ck_assert(o.m.id_is_string == (good[i][0] == '"'));
        span_is(text, o.m.id, good[i]);
    }
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        snprintf(text, sizeof(text), "{\"jsonrpc\":\"2.0\",\"id\":%s,\"method\":\"ping\"}", bad[i]);
        fails(text, RPC_E_SHAPE, RPC_REQUEST, "");
    }
    /* 256 bytes are an id, 257 are none */
    memset(id, '7', sizeof(id));
    snprintf(text, sizeof(text), "{\"jsonrpc\":\"2.0\",\"id\":%.256s,\"method\":\"ping\"}", id);
    passes(text, RPC_REQUEST, MCP_PING);
    snprintf(text, sizeof(text), "{\"jsonrpc\":\"2.0\",\"id\":%.257s,\"method\":\"ping\"}", id);
    fails(text, RPC_E_LIMIT, RPC_REQUEST, "");
    snprintf(text, sizeof(text), REQUEST("ping", "{\"_meta\":{\"progressToken\":\"%.254s\"}}"), id);
    passes(text, RPC_REQUEST, MCP_PING);
    snprintf(text, sizeof(text), REQUEST("ping", "{\"_meta\":{\"progressToken\":\"%.255s\"}}"), id);
    fails(text, RPC_E_LIMIT, RPC_REQUEST, "1");
}
END_TEST

START_TEST(j10_the_id_comes_back_as_it_was)
{
    const char *t = "{\"jsonrpc\":\"2.0\",\"method\":\"ping\",\"id\":\"\\u0031\\/\"}";
    struct outcome o = parse_str(t);
    struct buf out = BUF_INIT;

    rpc_write_result(&out, rpc_span(slice_str(t), o.m.id), SLICE("{}"));
    ck_assert(
        slice_is(buf_peek(&out), "{\"jsonrpc\":\"2.0\",\"id\":\"\\u0031\\/\",\"result\":{}}"));
    buf_done(&out);
}
END_TEST

START_TEST(j11_batches)
{
    const char *t = " [ {\"a\":[1,2]} ,\n[{}], 7,\"]\" ]";
    static const char *const want[] = {"{\"a\":[1,2]}", "[{}]", "7", "\"]\""};
    struct buf many = BUF_INIT;
    struct slice e;
    size_t pos = 0;
    unsigned count = 0;

    passes(t, RPC_BATCH, MCP_METHOD_NONE);
    passes("[]", RPC_BATCH, MCP_METHOD_NONE);
    passes("[[]]", RPC_BATCH, MCP_METHOD_NONE);
    fails("[{]", RPC_E_PARSE, RPC_INVALID, "");
    for (size_t i = 0; i < ARRAY_LEN(want); i++) {
        ck_assert(rpc_batch_next(slice_str(t), &pos, &e));
        ck_assert_msg(slice_is(e, want[i]), "%.*s", (int)e.n, e.p);
    }
    ck_assert(!rpc_batch_next(slice_str(t), &pos, &e));
    pos = 0;
    ck_assert(!rpc_batch_next(SLICE("[]"), &pos, &e));
    pos = 0;
    ck_assert(!rpc_batch_next(SLICE(" [ ] "), &pos, &e));

    buf_append_str(&many, "[");
    for (unsigned i = 0; i < 10000; i++)
        buf_append_str(&many, i ? ",{\"jsonrpc\":\"2.0\",\"method\":\"x\"}"
                                : "{\"jsonrpc\":\"2.0\",\"method\":\"x\"}");
    buf_append_str(&many, "]");
    ck_assert_int_eq(parse(buf_peek(&many)).m.kind, RPC_BATCH);
    for (pos = 0; rpc_batch_next(buf_peek(&many), &pos, &e); count++) {
        struct rpc_msg m;
        ck_assert_int_eq(rpc_parse(e, DEPTH, &m, NULL), RPC_OK);
        ck_assert_int_eq(m.kind, RPC_NOTIFICATION);
    }
    ck_assert_uint_eq(count, 10000);
    buf_done(&many);
}
END_TEST

START_TEST(j14_j15_wide_and_strange)
{
    struct buf text = BUF_INIT;
    struct outcome o;

    buf_append_str(
        &text, "{\"__proto__\":{\"id\":2},\"\":1,\"\":2,\"jsonrpc\":\"2.0\",\"id\":1,\"params\":{");
    for (unsigned i = 0; i < 100000; i++)
        buf_appendf(&text, "\"k%u\":[],", i);
    buf_append_str(&text, "\"name\":\"n\",\"");
    for (unsigned i = 0; i < 100000; i++)
        buf_append_str(&text, "\\u0061");
    buf_append_str(&text, "\":0},\"method\":\"tools/call\"}");
    o = parse(buf_peek(&text));
    ck_assert_int_eq(o.error, RPC_OK);
    ck_assert_int_eq(o.m.method, MCP_TOOLS_CALL);
    ck_assert(slice_is(rpc_span(buf_peek(&text), o.m.name), "\"n\""));
    buf_done(&text);
}
END_TEST

/* What begins as most messages do goes on as any other. */
START_TEST(the_usual_beginning)
{
#define USUAL "{\"jsonrpc\":\"2.0\","
    static const struct {
        const char *text;
        enum rpc_error error;
        size_t at;
    } cases[] = {
        {USUAL, RPC_E_PARSE, 17},
        {USUAL " ", RPC_E_PARSE, 18},
        {USUAL "}", RPC_E_PARSE, 17},
        {USUAL ",\"id\":1}", RPC_E_PARSE, 17},
        {USUAL "1:2}", RPC_E_PARSE, 17},
        {USUAL "\"jsonrpc\":\"2.0\"}", RPC_E_DUPLICATE, 17},
        {USUAL " \"jsonrpc\":1}", RPC_E_DUPLICATE, 18},
        {USUAL "\"id\":1}", RPC_E_SHAPE, 0},
        {USUAL "\"id\":1,\"result\":{}}", RPC_OK, 0},
        {USUAL "\n\"method\":\"ping\"}", RPC_OK, 0},
        {USUAL "\"id\":1,\"result\":{}}}", RPC_E_PARSE, 36},
        {USUAL "\"id\":1,\"result\":{}]", RPC_E_PARSE, 35},
        {"{\"jsonrpc\":\"2.0\"}", RPC_E_SHAPE, 0},
        {"{\"jsonrpc\":\"2.1\",\"id\":1,\"method\":\"ping\"}", RPC_E_SHAPE, 0},
    };
    struct rpc_msg m;
    size_t at = 99;

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct outcome o = parse_str(cases[i].text);

        ck_assert_msg(o.error == cases[i].error, "%s: %d", cases[i].text, o.error);
        ck_assert_msg(o.at == cases[i].at, "%s: at %zu", cases[i].text, o.at);
    }
    ck_assert_int_eq(rpc_parse(SLICE(USUAL "\"id\":1,\"method\":\"ping\"}"), 0, &m, &at),
                     RPC_E_DEPTH);
    ck_assert_uint_eq(at, 0);
    ck_assert_int_eq(rpc_parse(SLICE(USUAL "\"id\":1,\"method\":\"ping\"}"), 1, &m, &at), RPC_OK);
#undef USUAL
}
END_TEST

START_TEST(a_fault_ends_the_feeding)
{
    struct rpc_scan *s = rpc_scan_new(2);
    struct rpc_msg m;
    size_t at = 0;

    ck_assert_int_eq(rpc_scan_feed(s, SLICE("{\"id\":1,\"method\":\"x\",\"params\":")), RPC_OK);
    ck_assert_int_eq(rpc_scan_feed(s, SLICE("")), RPC_OK);
    ck_assert_int_eq(rpc_scan_feed(s, SLICE("{\"a\":[")), RPC_E_DEPTH);
    ck_assert_int_eq(rpc_scan_feed(s, SLICE("whatever")), RPC_E_DEPTH);
    ck_assert_int_eq(rpc_scan_end(s, &m, &at), RPC_E_DEPTH);
    ck_assert_int_eq(m.kind, RPC_REQUEST);
    ck_assert_uint_eq(m.id.off, 6);
    ck_assert_uint_eq(at, 35);
    rpc_scan_free(s);

    s = rpc_scan_new(DEPTH);
    ck_assert_int_eq(rpc_scan_feed(s, SLICE("{\"id\"")), RPC_OK);
    ck_assert_int_eq(rpc_scan_feed(s, SLICE("x")), RPC_E_PARSE);
    ck_assert_int_eq(rpc_scan_end(s, &m, NULL), RPC_E_PARSE);
    ck_assert_int_eq(m.kind, RPC_INVALID);
    rpc_scan_free(s);
    rpc_scan_free(NULL);
}
END_TEST

static size_t hunt(const char *text, size_t step, char *id, size_t cap)
{
    struct rpc_id_hunt h;
    size_t n = strlen(text);

    rpc_id_hunt_init(&h);
    for (size_t at = 0; at < n; at += step) {
        size_t k = step < n - at ? step : n - at;
        char *copy = xmalloc(k);

        memcpy(copy, text + at, k);
        rpc_id_hunt_feed(&h, slice_of(copy, k));
        free(copy);
    }
    return rpc_id_hunt_get(&h, id, cap);
}

START_TEST(id_hunt)
{
    static const struct {
        const char *text, *id;
    } table[] = {
        {"{\"jsonrpc\":\"2.0\",\"id\":17,\"method\":", "17"},
        {"{\"params\":{\"id\":3,\"a\":[{\"id\":4}]},\"id\":\"x\\u0031\"}", "\"x\\u0031\""},
        {"{\"a\":1,\"\\u0069d\" : -5 ", "-5"},
        {"{\"params\":{\"id\":3},\"method\":\"id\"", ""},
        {"{\"id\":null,\"a\":1}", ""},
        {"{\"id\":1.5,\"a\":1}", ""},
        {"{\"id\":{\"id\":1},\"a\":1}", ""},
        {"{\"id\":17", ""}, /* may go on */
        {"[{\"id\":17}]", ""},
        {"{\"a\" 1,\"id\":17}", ""},
        {"\"id\"", ""},
    };
    char id[256], text[400];

    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        for (size_t step = 1; step < 50; step++) {
            size_t n = hunt(table[i].text, step, id, sizeof(id));

            ck_assert_msg(slice_is(slice_of(id, n), table[i].id), "%s by %zu: %.*s", table[i].text,
                          step, (int)n, id);
        }
    }
    ck_assert_uint_eq(hunt(table[0].text, 3, id, 1), 0);
    for (size_t len = 255; len < 259; len++) {
        memset(text, '8', sizeof(text));
        memcpy(text, "{\"id\":", 6);
        memcpy(text + 6 + len, ",", 2);
        ck_assert_uint_eq(hunt(text, 7, id, sizeof(id)), len <= 256 ? len : 0);
        ck_assert_uint_eq(hunt(text, 400, id, sizeof(id)), len <= 256 ? len : 0);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("rpc");
    TCase *tc = tcase_create("messages"), *cases = tcase_create("security");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_test(tc, kinds);
    tcase_add_test(tc, shapes_refused);
    tcase_add_test(tc, spans_of_a_call);
    tcase_add_test(tc, spans_of_initialize_and_of_answers);
    tcase_add_test(tc, spans_of_notifications_and_other_requests);
    tcase_add_test(tc, other_types_are_left_absent);
    tcase_add_test(tc, progress_tokens);
    tcase_add_test(tc, newlines_outside_strings_are_noticed);
    tcase_add_test(tc, the_usual_beginning);
    tcase_add_test(tc, a_fault_ends_the_feeding);
    tcase_add_test(tc, id_hunt);
    tcase_add_test(cases, j01_depth);
    tcase_add_test(cases, j02_duplicate_keys);
    tcase_add_test(cases, j02_j03_each_name_and_none_beside);
    tcase_add_test(cases, j03_keys_match_exactly);
    tcase_add_test(cases, j04_escaped_key);
    tcase_add_test(cases, j05_nul_in_names);
    tcase_add_test(cases, j06_j07_j13_no_json);
    tcase_add_test(cases, j08_j09_ids);
    tcase_add_test(cases, j10_the_id_comes_back_as_it_was);
    tcase_add_test(cases, j11_batches);
    tcase_add_test(cases, j14_j15_wide_and_strange);
    tcase_set_timeout(tc, 60);
    tcase_set_timeout(cases, 60);
    suite_add_tcase(suite, tc);
    suite_add_tcase(suite, cases);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
