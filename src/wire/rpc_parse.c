/* Reading one JSON-RPC message: the scanner reports the members of at most three nested objects
 * (the message, params/result/error, and _meta in there), this file knows which of them matter and
 * notes where their values lie.
 *
 * What matters is a closed list: enum member. Each has a bit in `seen`, so a second occurrence in
 * the same object is noticed whatever its spelling, and everything not in the list may occur as it
 * likes. A value of another type than its rule accepts is left absent.
 *
 * Faults in the message (as opposed to faults in the JSON) are collected and judged at the end: the
 * id may come last, an answer should carry it, and a text that is no JSON at all must be reported
 * as that. */
#include "json_watch.h"
#include "wire/rpc.h"
#include "words.h"

#include "base/util.h"

#include <assert.h>
#include <stdlib.h>

/* Raw bytes, quotes included (protocol.md 8.2). */
#define TOKEN_MAX 256

#define RESERVED "io.modelcontextprotocol/"

enum member {
    M_OTHER,
    M_ROOT, /* no member, but has its rule */
    /* the message */
    M_JSONRPC,
    M_ID,
    M_METHOD,
    M_PARAMS,
    M_RESULT,
    M_ERROR,
    /* params */
    M_P_META,
    M_P_TOKEN,
    M_P_PROGRESS,
    M_P_REQUEST_ID,
    M_P_NAME,
    M_P_URI,
    M_P_ARGUMENTS,
    M_P_LEVEL,
    M_P_VERSION,
    M_P_CAPABILITIES,
    M_P_CLIENT_INFO,
    M_P_TASK,
    M_P_TASK_ID,
    M_P_ELICITATION_ID,
    /* result */
    M_R_META,
    M_R_VERSION,
    M_R_CAPABILITIES,
    M_R_SERVER_INFO,
    M_R_INSTRUCTIONS,
    M_R_TYPE,
    M_R_TTL_MS,
    M_R_CACHE_SCOPE,
    /* error */
    M_E_CODE,
    M_E_MESSAGE,
    M_E_DATA,
    /* _meta */
    M_M_TOKEN,
    M_M_VERSION,
    M_M_RELATED_TASK,
    M_M_CLIENT_INFO,
    M_M_CLIENT_CAPABILITIES,
    M_M_LOG_LEVEL,
    M_M_SERVER_INFO,
    M_M_SUBSCRIPTION_ID,
    M_COUNT
};
#define BIT(member) (UINT64_C(1) << (member))
static_assert(M_COUNT <= 64, "one bit each in `seen`");

enum object { O_OTHER, O_MESSAGE, O_PARAMS, O_RESULT, O_ERROR, O_META };

#define IS_ANY    0xffffu
#define IS_STRING JSON_IS(JSON_STRING)
#define IS_OBJECT JSON_IS(JSON_OBJECT)
#define IS_TOKEN  (IS_STRING | JSON_IS_INTEGER)

/* What there is to do about a value besides noting where it lies. */
enum {
    NOTE_BATCH = 1,
    NOTE_JSONRPC = 2,
    NOTE_ID = 4,
    NOTE_TEXT = 8, /* may not contain U+0000 */
    NOTE_METHOD = 16,
    NOTE_TOKEN = 32, /* params.progressToken */
    NOTE_WHOLE = 64, /* the member lies where its key begins */
};

/* Longest name in rules, and one. The names that the protocol reserves are longer. */
#define NAME_MAX 16

struct rule {
    char name[NAME_MAX];
    uint64_t bit;    /* in sets of members; none for M_OTHER */
    uint16_t span;   /* where in struct rpc_msg; 0: nowhere (there stands kind) */
    uint16_t accept; /* types that are noted */
    uint8_t note;    /* NOTE_ bits */
    uint8_t opens;   /* enum object: which list the members of the value belong to */
    uint8_t also;    /* enum member: another in this list whose name is as long; M_OTHER: none */
};

#define RULE(member, text, ...) [member] = {.name = text, .bit = BIT(member), __VA_ARGS__}
#define SPAN(member)            .span = offsetof(struct rpc_msg, member)

static const struct rule rules[M_COUNT] = {
    RULE(M_ROOT, "", .accept = JSON_IS(JSON_ARRAY), .note = NOTE_BATCH, .opens = O_MESSAGE),
    RULE(M_JSONRPC, "jsonrpc", .accept = IS_STRING, .note = NOTE_JSONRPC),
    RULE(M_ID, "id", SPAN(id), .accept = IS_TOKEN, .note = NOTE_ID),
    RULE(M_METHOD, "method", SPAN(method_raw), .accept = IS_STRING, .note = NOTE_METHOD | NOTE_TEXT,
         .also = M_PARAMS),
    RULE(M_PARAMS, "params", SPAN(params), .accept = IS_OBJECT, .opens = O_PARAMS),
    RULE(M_RESULT, "result", SPAN(result), .accept = IS_ANY, .opens = O_RESULT, .also = M_METHOD),
    RULE(M_ERROR, "error", SPAN(error), .accept = IS_OBJECT, .opens = O_ERROR),

    RULE(M_P_META, "_meta", SPAN(meta), .accept = IS_OBJECT, .opens = O_META, .also = M_P_LEVEL),
    RULE(M_P_TOKEN, "progressToken", .accept = IS_TOKEN, .note = NOTE_TOKEN,
         .also = M_P_ELICITATION_ID),
    RULE(M_P_PROGRESS, "progress", SPAN(progress), .accept = JSON_IS(JSON_NUMBER)),
    RULE(M_P_REQUEST_ID, "requestId", SPAN(request_id), .accept = IS_TOKEN),
    RULE(M_P_NAME, "name", SPAN(name), .accept = IS_STRING, .note = NOTE_TEXT, .also = M_P_TASK),
    RULE(M_P_URI, "uri", SPAN(uri), .accept = IS_STRING, .note = NOTE_TEXT),
    RULE(M_P_ARGUMENTS, "arguments", .accept = 0, .also = M_P_REQUEST_ID),
    RULE(M_P_LEVEL, "level", SPAN(level), .accept = IS_STRING),
    RULE(M_P_VERSION, "protocolVersion", SPAN(protocol_version), .accept = IS_STRING),
    RULE(M_P_CAPABILITIES, "capabilities", SPAN(capabilities), .accept = IS_OBJECT),
    RULE(M_P_CLIENT_INFO, "clientInfo", SPAN(client_info), .accept = IS_OBJECT),
    RULE(M_P_TASK, "task", SPAN(task), .accept = IS_OBJECT),
    RULE(M_P_TASK_ID, "taskId", SPAN(task_id), .accept = IS_STRING),
    RULE(M_P_ELICITATION_ID, "elicitationId", SPAN(elicitation_id), .accept = IS_STRING),

    RULE(M_R_META, "_meta", SPAN(meta), .accept = IS_OBJECT, .opens = O_META, .also = M_R_TTL_MS),
    RULE(M_R_VERSION, "protocolVersion", SPAN(protocol_version), .accept = IS_STRING),
    RULE(M_R_CAPABILITIES, "capabilities", SPAN(capabilities), .accept = IS_OBJECT,
         .also = M_R_INSTRUCTIONS),
    RULE(M_R_SERVER_INFO, "serverInfo", SPAN(server_info), .accept = IS_OBJECT, .also = M_R_TYPE),
    RULE(M_R_INSTRUCTIONS, "instructions", SPAN(instructions), .accept = IS_STRING),
    RULE(M_R_TYPE, "resultType", SPAN(result_type), .accept = IS_ANY, .note = NOTE_WHOLE,
         .also = M_R_CACHE_SCOPE),
    RULE(M_R_TTL_MS, "ttlMs", SPAN(ttl_ms), .accept = IS_ANY, .note = NOTE_WHOLE),
    RULE(M_R_CACHE_SCOPE, "cacheScope", SPAN(cache_scope), .accept = IS_ANY, .note = NOTE_WHOLE),

    RULE(M_E_CODE, "code", SPAN(error_code), .accept = JSON_IS_INTEGER, .also = M_E_DATA),
    RULE(M_E_MESSAGE, "message", SPAN(error_message), .accept = IS_STRING),
    RULE(M_E_DATA, "data", SPAN(error_data), .accept = IS_ANY),

    RULE(M_M_TOKEN, "progressToken", SPAN(progress_token), .accept = IS_TOKEN),
    RULE(M_M_VERSION, "", SPAN(claim), .accept = IS_ANY),
    RULE(M_M_RELATED_TASK, "", SPAN(related_task), .accept = IS_OBJECT),
    RULE(M_M_CLIENT_INFO, "", .accept = 0),
    RULE(M_M_CLIENT_CAPABILITIES, "", .accept = 0),
    RULE(M_M_LOG_LEVEL, "", .accept = 0),
    RULE(M_M_SERVER_INFO, "", .accept = 0),
    RULE(M_M_SUBSCRIPTION_ID, "", .accept = 0),
};

/* The members by the length of their names: the first of each length in each object. */
static const uint8_t by_length[][NAME_MAX] = {
    [O_OTHER] = {0},
    [O_MESSAGE] = {[2] = M_ID, [5] = M_ERROR, [6] = M_RESULT, [7] = M_JSONRPC},
    [O_PARAMS] = {[3] = M_P_URI,
                  [4] = M_P_NAME,
                  [5] = M_P_META,
                  [6] = M_P_TASK_ID,
                  [8] = M_P_PROGRESS,
                  [9] = M_P_ARGUMENTS,
                  [10] = M_P_CLIENT_INFO,
                  [12] = M_P_CAPABILITIES,
                  [13] = M_P_TOKEN,
                  [15] = M_P_VERSION},
    [O_RESULT] =
        {[5] = M_R_META, [10] = M_R_SERVER_INFO, [12] = M_R_CAPABILITIES, [15] = M_R_VERSION},
    [O_ERROR] = {[4] = M_E_CODE, [7] = M_E_MESSAGE},
    [O_META] = {[13] = M_M_TOKEN},
};

struct rpc_scan {
    struct json_scan json;
    struct rpc_msg *msg; /* what is being filled */
    uint64_t seen;       /* bit per enum member: occurred */
    uint64_t refused; /* bit per enum member: occurred with a type that its rule does not accept */
    uint64_t nulls;   /* bit per enum member: was refused, being null */
    uint64_t doubled; /* bit per enum member: occurred more than once */
    size_t doubled_at, nul_at;
    struct span notified_token; /* params.progressToken */
    size_t key_at[JSON_WATCH_MAX + 1];
    const struct rule *rule[JSON_WATCH_MAX + 1]; /* of the member at hand, by depth of its object */
    const uint8_t *names[JSON_WATCH_MAX + 2];    /* of by_length, by depth of the object */
    bool is_batch;                               /* the root is an array, and complete */
    bool is_v2;                                  /* "jsonrpc":"2.0" stands there */
    bool nul;       /* U+0000 in method, name or uri, the first at nul_at */
    char plain[64]; /* longer than any name we know */
    struct json_carry carry;
};

/* ---- keys ---- */

static __attribute__((noinline)) enum member reserved_member(struct slice key)
{
    static const struct {
        struct slice name;
        enum member member;
    } reserved[] = {
        {SLICE_INIT(RESERVED "protocolVersion"), M_M_VERSION},
        {SLICE_INIT(RESERVED "related-task"), M_M_RELATED_TASK},
        {SLICE_INIT(RESERVED "clientInfo"), M_M_CLIENT_INFO},
        {SLICE_INIT(RESERVED "clientCapabilities"), M_M_CLIENT_CAPABILITIES},
        {SLICE_INIT(RESERVED "logLevel"), M_M_LOG_LEVEL},
        {SLICE_INIT(RESERVED "serverInfo"), M_M_SERVER_INFO},
        {SLICE_INIT(RESERVED "subscriptionId"), M_M_SUBSCRIPTION_ID},
    };

    static_assert(6 * (sizeof(RESERVED "clientCapabilities") - 1) + 2 <= JSON_CARRY_MAX,
                  "the longest key must fit a carry when all of it is escaped");
    for (size_t i = 0; i < ARRAY_LEN(reserved); i++)
        if (slice_eq(key, reserved[i].name))
            return reserved[i].member;
    return M_OTHER;
}

/* names: the row of by_length that the key's object has. */
static ALWAYS_INLINE const struct rule *rule_of(const uint8_t *names, const char *key, size_t n)
{
    unsigned member = names[n];

    while (member != M_OTHER && !same_bytes(rules[member].name, key, n))
        member = rules[member].also;
    return &rules[member];
}

/* The content of a string with escapes, or of one that a cut went through, or is long. Borrowed
 * until the next call. */
static struct slice long_content(struct rpc_scan *s, size_t at, size_t n)
{
    return json_plain(json_carry_take(&s->carry, &s->json, at, n), s->json.escaped, s->plain,
                      sizeof(s->plain));
}

static struct slice content(struct rpc_scan *s, size_t at, size_t n, const uint8_t *text)
{
    return text != NULL ? slice_of((const char *)text, n - 2) : long_content(s, at, n);
}

static __attribute__((noinline)) const struct rule *
rule_of_long(struct rpc_scan *s, const uint8_t *names, size_t at, size_t n)
{
    struct slice key = long_content(s, at, n);

    if (key.n < NAME_MAX)
        return rule_of(names, key.p, key.n);
    return &rules[names == by_length[O_META] ? reserved_member(key) : M_OTHER];
}

static ALWAYS_INLINE void json_watch_key(struct json_scan *json, unsigned depth, size_t at,
                                         size_t n, const uint8_t *text)
{
    struct rpc_scan *s = container_of(json, struct rpc_scan, json);
    const uint8_t *names = s->names[depth];
    const struct rule *rule;

    static_assert(NAME_MAX >= JSON_SHORT_MAX, "a short key has a place in by_length");
    if (LIKELY(text != NULL))
        rule = rule_of(names, (const char *)text, n - 2);
    else
        rule = rule_of_long(s, names, at, n);
    s->rule[depth] = rule;
    s->key_at[depth] = at;
    if (UNLIKELY(s->seen & rule->bit)) {
        if (s->doubled == 0)
            s->doubled_at = at;
        s->doubled |= rule->bit;
    }
    s->seen |= rule->bit;
}

static ALWAYS_INLINE bool json_watch_open(struct json_scan *json, unsigned depth)
{
    struct rpc_scan *s = container_of(json, struct rpc_scan, json);
    enum object opens = s->rule[depth]->opens;

    s->names[depth + 1] = by_length[opens];
    return opens != O_OTHER;
}

/* ---- values ---- */

static inline struct span *span_of(const struct rpc_scan *s, const struct rule *rule)
{
    return (struct span *)((char *)s->msg + rule->span);
}

/* What more there is to do about a value than to note its span. */
static ALWAYS_INLINE void note(struct rpc_scan *s, unsigned depth, struct span at, unsigned is,
                               const uint8_t *text)
{
    const struct rule *rule = s->rule[depth];

    if (rule->note & NOTE_JSONRPC) {
        struct slice version = content(s, at.off, at.n, text);

        s->is_v2 = version.n == 3 && memcmp(version.p, "2.0", 3) == 0;
    } else if (rule->note & NOTE_ID) {
        s->msg->id_is_string = is == IS_STRING;
    } else if (rule->note & NOTE_TEXT) {
        if (text == NULL && s->json.nul && !s->nul) {
            s->nul = true;
            s->nul_at = at.off;
        }
        if (rule->note & NOTE_METHOD)
            s->msg->method = mcp_method_parse(content(s, at.off, at.n, text));
    } else if (rule->note & NOTE_WHOLE) {
        *span_of(s, rule) = (struct span){s->key_at[depth], at.off + at.n - s->key_at[depth]};
    } else if (rule->note & NOTE_TOKEN) {
        s->notified_token = at;
    } else {
        s->is_batch = true;
    }
}

static ALWAYS_INLINE void json_watch_value(struct json_scan *json, unsigned depth, size_t at,
                                           size_t n, unsigned is, const uint8_t *text)
{
    struct rpc_scan *s = container_of(json, struct rpc_scan, json);
    const struct rule *rule = s->rule[depth];

    if (!(rule->accept & is)) {
        s->refused |= rule->bit;
        if (is == JSON_IS(JSON_NULL))
            s->nulls |= rule->bit;
        return;
    }
    if (rule->span != 0)
        *span_of(s, rule) = (struct span){at, n};
    if (rule->note != 0)
        note(s, depth, (struct span){at, n}, is, text);
}

/* ---- the verdict ---- */

static inline bool has(uint64_t set, enum member m)
{
    return set >> m & 1;
}

/* Whether one of the members is in the set. */
static inline bool any(uint64_t set, uint64_t members)
{
    return (set & members) != 0;
}

/* What the message looks like, right or wrong. */
static inline enum rpc_kind looks_like(const struct rpc_scan *s)
{
    if (s->is_batch)
        return RPC_BATCH;
    if (has(s->seen, M_METHOD))
        return has(s->seen, M_ID) ? RPC_REQUEST : RPC_NOTIFICATION;
    if (has(s->seen, M_RESULT))
        return RPC_RESULT;
    return has(s->seen, M_ERROR) ? RPC_ERROR : RPC_INVALID;
}

/* Whether the members are there, and of the types, that the kind of message asks for. */
static inline bool shape_ok(const struct rpc_scan *s, enum rpc_kind kind)
{
    if (!s->is_v2)
        return false;
    switch (kind) {
    case RPC_REQUEST:
    case RPC_NOTIFICATION:
        return !any(s->seen, BIT(M_RESULT) | BIT(M_ERROR)) &&
               !any(s->refused, BIT(M_ID) | BIT(M_METHOD) | BIT(M_PARAMS));
    case RPC_RESULT:
        return !any(s->seen, BIT(M_ERROR) | BIT(M_PARAMS)) && s->msg->id.n > 0;
    case RPC_ERROR:
        return !has(s->seen, M_PARAMS) && !has(s->refused, M_ERROR) &&
               (!has(s->refused, M_ID) || has(s->nulls, M_ID));
    case RPC_INVALID:
    case RPC_BATCH:
        break;
    }
    return false;
}

/* The token that a message of this kind means: a request asks for progress under it, a progress
 * notification reports under it. False when it is there but is none. */
static bool settle_token(struct rpc_scan *s)
{
    struct rpc_msg *m = s->msg;

    if (m->kind == RPC_REQUEST)
        return !has(s->refused, M_M_TOKEN);
    if (m->kind == RPC_NOTIFICATION && m->method == MCP_N_PROGRESS) {
        m->progress_token = s->notified_token;
        return !has(s->refused, M_P_TOKEN);
    }
    m->progress_token = (struct span){0, 0};
    return true;
}

static inline enum rpc_error judge(struct rpc_scan *s, size_t *ret_at)
{
    struct rpc_msg *m = s->msg;

    *ret_at = 0;
    if (m->kind == RPC_BATCH)
        return RPC_OK;
    if (s->doubled) {
        *ret_at = s->doubled_at;
        return RPC_E_DUPLICATE;
    }
    if (!shape_ok(s, m->kind) || !settle_token(s))
        return RPC_E_SHAPE;
    if (s->nul) {
        *ret_at = s->nul_at;
        return RPC_E_LIMIT;
    }
    *ret_at = m->id.n > TOKEN_MAX ? m->id.off : m->progress_token.off;
    if (m->id.n > TOKEN_MAX || m->progress_token.n > TOKEN_MAX)
        return RPC_E_LIMIT;
    if (m->kind == RPC_RESULT)
        m->claim = (struct span){0, 0}; /* requests only */
    return RPC_OK;
}

/* All that a message with a fault is good for: what it was, and whom to answer. */
static __attribute__((noinline)) void keep_envelope(struct rpc_scan *s)
{
    struct rpc_msg *m = s->msg;
    struct rpc_msg left = {.kind = m->kind, .has_newline = m->has_newline};

    if (m->kind == RPC_REQUEST || m->kind == RPC_NOTIFICATION)
        left.method = m->method;
    if (m->id.n <= TOKEN_MAX && !has(s->doubled, M_ID) && !has(s->refused, M_ID)) {
        left.id = m->id;
        left.id_is_string = m->id_is_string;
    }
    *m = left;
}

static inline void scan_init(struct rpc_scan *s, unsigned depth_max, struct rpc_msg *m)
{
    json_scan_init(&s->json, depth_max, true);
    s->msg = m;
    s->seen = s->refused = s->nulls = s->doubled = 0;
    s->notified_token = (struct span){0, 0};
    s->rule[0] = &rules[M_ROOT];
    s->is_batch = s->is_v2 = s->nul = false;
    s->carry.n = 0;
    static_assert(RPC_INVALID == 0, "what is zero is no message");
    bytes_zero(m, sizeof(*m)); /* every span is absent, too */
}

static ALWAYS_INLINE enum rpc_error scan_finish(struct rpc_scan *s, size_t *ret_at)
{
    struct rpc_msg *m = s->msg;
    enum json_error fault = json_scan_finish(&s->json);
    enum rpc_error error;
    size_t at = s->json.error_at;

    if (fault != JSON_OK && fault != JSON_E_DEPTH) {
        *m = (struct rpc_msg){.kind = RPC_INVALID};
        error = RPC_E_PARSE;
    } else {
        m->kind = looks_like(s);
        m->has_newline = s->json.newline;
        error = fault == JSON_OK ? judge(s, &at) : RPC_E_DEPTH;
        if (error != RPC_OK)
            keep_envelope(s);
    }
    if (error != RPC_OK && ret_at != NULL)
        *ret_at = at;
    return error;
}

/* Most messages begin with the same bytes. What the scan is behind them is known; returns what is
 * left to be read then. */
static inline struct slice usual_begin(struct rpc_scan *s, struct slice text)
{
    static const char usual[] = "{\"jsonrpc\":\"2.0\",";
    const size_t n = sizeof(usual) - 1;

    if (text.n <= n || s->json.depth_max == 0 || memcmp(text.p, usual, n) != 0)
        return text;
    json_scan_skip_into_object(&s->json, n);
    json_watch_open(&s->json, 0);
    s->seen = BIT(M_JSONRPC);
    s->is_v2 = true;
    return slice_of(text.p + n, text.n - n);
}

enum rpc_error rpc_parse(struct slice text, unsigned depth_max, struct rpc_msg *m, size_t *ret_at)
{
    struct rpc_scan s;

    scan_init(&s, depth_max, m);
    text = usual_begin(&s, text);
    json_watch_feed(&s.json, text);
    return scan_finish(&s, ret_at);
}

/* ---- in pieces ---- */

struct rpc_scan *rpc_scan_new(unsigned depth_max)
{
    struct {
        struct rpc_scan scan;
        struct rpc_msg msg;
    } *both = xmalloc(sizeof(*both));

    scan_init(&both->scan, depth_max, &both->msg);
    return &both->scan;
}

enum rpc_error rpc_scan_feed(struct rpc_scan *s, struct slice piece)
{
    enum json_error fault = json_watch_feed(&s->json, piece);

    if (fault != JSON_OK)
        return fault == JSON_E_DEPTH ? RPC_E_DEPTH : RPC_E_PARSE;
    json_carry_save(&s->carry, &s->json);
    return RPC_OK;
}

enum rpc_error rpc_scan_end(struct rpc_scan *s, struct rpc_msg *m, size_t *ret_at)
{
    enum rpc_error error = scan_finish(s, ret_at);

    *m = *s->msg;
    return error;
}

void rpc_scan_free(struct rpc_scan *s)
{
    free(s);
}
