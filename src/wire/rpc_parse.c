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
#include "same_bytes.h"
#include "wire/rpc.h"

#include "base/util.h"

#include <assert.h>
#include <stdlib.h>

/* Raw bytes, quotes included (protocol.md 8.2). */
#define TOKEN_MAX 256

#define RESERVED "io.modelcontextprotocol/"

enum member {
    M_OTHER,
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
static_assert(M_COUNT <= 64, "one bit each in `seen`");

enum object { O_OTHER, O_MESSAGE, O_PARAMS, O_RESULT, O_ERROR, O_META };

/* A set of value types, one bit for each enum json_type and one for numbers that are integers. */
#define IS(type)   (1u << (type))
#define IS_INTEGER (1u << 8)
#define IS_ANY     0xffffu
#define IS_TOKEN   (IS(JSON_STRING) | IS_INTEGER)

struct rule {
    uint16_t span;   /* where in struct rpc_msg; 0: nowhere (there stands kind) */
    uint16_t accept; /* types that are noted */
    uint8_t note;    /* NOTE_ bits */
    uint8_t opens;   /* enum object: which list the members of the value belong to */
};
enum {
    NOTE_WHOLE = 1,   /* the member from its key on, not the value alone */
    NOTE_TEXT = 2,    /* may not contain U+0000 */
    NOTE_SPECIAL = 4, /* note_special knows more */
};

#define SPAN(member) .span = offsetof(struct rpc_msg, member)

static const struct rule rules[M_COUNT] = {
    [M_JSONRPC] = {.accept = IS(JSON_STRING), .note = NOTE_SPECIAL},
    [M_ID] = {SPAN(id), .accept = IS_TOKEN, .note = NOTE_SPECIAL},
    [M_METHOD] = {SPAN(method_raw), .accept = IS(JSON_STRING), .note = NOTE_SPECIAL | NOTE_TEXT},
    [M_PARAMS] = {SPAN(params), .accept = IS(JSON_OBJECT), .opens = O_PARAMS},
    [M_RESULT] = {SPAN(result), .accept = IS_ANY, .opens = O_RESULT},
    [M_ERROR] = {SPAN(error), .accept = IS(JSON_OBJECT), .opens = O_ERROR},

    [M_P_META] = {SPAN(meta), .accept = IS(JSON_OBJECT), .opens = O_META},
    [M_P_TOKEN] = {.accept = IS_TOKEN, .note = NOTE_SPECIAL},
    [M_P_PROGRESS] = {SPAN(progress), .accept = IS(JSON_NUMBER)},
    [M_P_REQUEST_ID] = {SPAN(request_id), .accept = IS_TOKEN},
    [M_P_NAME] = {SPAN(name), .accept = IS(JSON_STRING), .note = NOTE_TEXT},
    [M_P_URI] = {SPAN(uri), .accept = IS(JSON_STRING), .note = NOTE_TEXT},
    [M_P_LEVEL] = {SPAN(level), .accept = IS(JSON_STRING)},
    [M_P_VERSION] = {SPAN(protocol_version), .accept = IS(JSON_STRING)},
    [M_P_CAPABILITIES] = {SPAN(capabilities), .accept = IS(JSON_OBJECT)},
    [M_P_CLIENT_INFO] = {SPAN(client_info), .accept = IS(JSON_OBJECT)},
    [M_P_TASK] = {SPAN(task), .accept = IS(JSON_OBJECT)},
    [M_P_TASK_ID] = {SPAN(task_id), .accept = IS(JSON_STRING)},
    [M_P_ELICITATION_ID] = {SPAN(elicitation_id), .accept = IS(JSON_STRING)},

    [M_R_META] = {SPAN(meta), .accept = IS(JSON_OBJECT), .opens = O_META},
    [M_R_VERSION] = {SPAN(protocol_version), .accept = IS(JSON_STRING)},
    [M_R_CAPABILITIES] = {SPAN(capabilities), .accept = IS(JSON_OBJECT)},
    [M_R_SERVER_INFO] = {SPAN(server_info), .accept = IS(JSON_OBJECT)},
    [M_R_INSTRUCTIONS] = {SPAN(instructions), .accept = IS(JSON_STRING)},
    [M_R_TYPE] = {SPAN(result_type), .accept = IS_ANY, .note = NOTE_WHOLE},
    [M_R_TTL_MS] = {SPAN(ttl_ms), .accept = IS_ANY, .note = NOTE_WHOLE},
    [M_R_CACHE_SCOPE] = {SPAN(cache_scope), .accept = IS_ANY, .note = NOTE_WHOLE},

    [M_E_CODE] = {SPAN(error_code), .accept = IS_INTEGER},
    [M_E_MESSAGE] = {SPAN(error_message), .accept = IS(JSON_STRING)},
    [M_E_DATA] = {SPAN(error_data), .accept = IS_ANY},

    [M_M_TOKEN] = {SPAN(progress_token), .accept = IS_TOKEN},
    [M_M_VERSION] = {SPAN(claim), .accept = IS_ANY},
    [M_M_RELATED_TASK] = {SPAN(related_task), .accept = IS(JSON_OBJECT)},
};

struct rpc_scan {
    struct json_scan json;
    struct rpc_msg *msg; /* what is being filled */
    uint64_t seen;       /* bit per enum member: occurred */
    uint64_t refused; /* bit per enum member: occurred with a type that its rule does not accept */
    uint64_t doubled; /* bit per enum member: occurred more than once */
    size_t doubled_at, nul_at;
    struct span notified_token; /* params.progressToken */
    size_t key_at[JSON_WATCH_MAX + 1];
    uint8_t member[JSON_WATCH_MAX + 1]; /* enum member at hand, by depth of its object */
    uint8_t object[JSON_WATCH_MAX + 2]; /* enum object, by depth */
    uint8_t root;                       /* enum json_type; JSON_NONE until the text is complete */
    bool is_v2;                         /* "jsonrpc":"2.0" stands there */
    bool id_null;                       /* "id":null stands there */
    bool nul;                           /* U+0000 in method, name or uri, the first at nul_at */
    char plain[64];                     /* longer than any name we know */
    struct json_carry carry;
};

/* ---- keys ---- */

/* The names that are shorter than NAME_MAX, all but the reserved ones. */
#define NAME_MAX 16

static const char names[M_COUNT][NAME_MAX] = {
    [M_JSONRPC] = "jsonrpc",
    [M_ID] = "id",
    [M_METHOD] = "method",
    [M_PARAMS] = "params",
    [M_RESULT] = "result",
    [M_ERROR] = "error",

    [M_P_META] = "_meta",
    [M_P_TOKEN] = "progressToken",
    [M_P_PROGRESS] = "progress",
    [M_P_REQUEST_ID] = "requestId",
    [M_P_NAME] = "name",
    [M_P_URI] = "uri",
    [M_P_ARGUMENTS] = "arguments",
    [M_P_LEVEL] = "level",
    [M_P_VERSION] = "protocolVersion",
    [M_P_CAPABILITIES] = "capabilities",
    [M_P_CLIENT_INFO] = "clientInfo",
    [M_P_TASK] = "task",
    [M_P_TASK_ID] = "taskId",
    [M_P_ELICITATION_ID] = "elicitationId",

    [M_R_META] = "_meta",
    [M_R_VERSION] = "protocolVersion",
    [M_R_CAPABILITIES] = "capabilities",
    [M_R_SERVER_INFO] = "serverInfo",
    [M_R_INSTRUCTIONS] = "instructions",
    [M_R_TYPE] = "resultType",
    [M_R_TTL_MS] = "ttlMs",
    [M_R_CACHE_SCOPE] = "cacheScope",

    [M_E_CODE] = "code",
    [M_E_MESSAGE] = "message",
    [M_E_DATA] = "data",

    [M_M_TOKEN] = "progressToken",
};

/* A member by the length of its name, which few share: the first of that length in each object. */
static const uint8_t by_length[][NAME_MAX] = {
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

/* And the next one of that length. */
static const uint8_t also[M_COUNT] = {
    [M_RESULT] = M_METHOD,
    [M_METHOD] = M_PARAMS,
    [M_P_NAME] = M_P_TASK,
    [M_P_META] = M_P_LEVEL,
    [M_P_ARGUMENTS] = M_P_REQUEST_ID,
    [M_P_TOKEN] = M_P_ELICITATION_ID,
    [M_R_META] = M_R_TTL_MS,
    [M_R_SERVER_INFO] = M_R_TYPE,
    [M_R_TYPE] = M_R_CACHE_SCOPE,
    [M_R_CAPABILITIES] = M_R_INSTRUCTIONS,
    [M_E_CODE] = M_E_DATA,
};

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

static ALWAYS_INLINE enum member member_of(enum object object, struct slice key)
{
    unsigned member;

    if (UNLIKELY(key.n >= NAME_MAX))
        return object == O_META ? reserved_member(key) : M_OTHER;
    member = by_length[object][key.n];
    while (member != M_OTHER && !same_bytes(names[member], key.p, key.n))
        member = also[member];
    return (enum member)member;
}

/* The content of a string with escapes, or of one that a cut went through. Borrowed until the next
 * call. */
static __attribute__((noinline)) struct slice pieced_content(struct rpc_scan *s, size_t at,
                                                             size_t n)
{
    return json_plain(json_carry_take(&s->carry, &s->json, at, n), s->json.escaped, s->plain,
                      sizeof(s->plain));
}

static ALWAYS_INLINE struct slice string_content(struct rpc_scan *s, struct json_token t)
{
    return LIKELY(t.text != NULL) ? slice_of(t.text, t.n - 2) : pieced_content(s, t.at, t.n);
}

static ALWAYS_INLINE bool json_watch_key(struct json_scan *json, unsigned depth,
                                         struct json_token key)
{
    struct rpc_scan *s = container_of(json, struct rpc_scan, json);
    enum member member = member_of(s->object[depth], string_content(s, key));
    uint64_t bit = UINT64_C(1) << member;

    s->member[depth] = (uint8_t)member;
    s->object[depth + 1] = rules[member].opens;
    if (member == M_OTHER)
        return false;
    s->key_at[depth] = key.at;
    if (s->seen & bit) {
        if (s->doubled == 0)
            s->doubled_at = key.at;
        s->doubled |= bit;
    }
    s->seen |= bit;
    return rules[member].opens != O_OTHER;
}

/* ---- values ---- */

/* What rules alone cannot say about a value of the right type. */
static ALWAYS_INLINE void note_special(struct rpc_scan *s, enum member member,
                                       struct json_token value)
{
    if (member == M_JSONRPC)
        s->is_v2 = slice_eq(string_content(s, value), SLICE("2.0"));
    else if (member == M_ID)
        s->msg->id_is_string = value.type == JSON_STRING;
    else if (member == M_METHOD)
        s->msg->method = mcp_method_parse(string_content(s, value));
    else if (member == M_P_TOKEN)
        s->notified_token = (struct span){value.at, value.n};
    if ((rules[member].note & NOTE_TEXT) && value.text == NULL && s->json.nul && !s->nul) {
        s->nul = true;
        s->nul_at = value.at;
    }
}

static ALWAYS_INLINE void json_watch_value(struct json_scan *json, unsigned depth,
                                           struct json_token value)
{
    struct rpc_scan *s = container_of(json, struct rpc_scan, json);
    unsigned type = IS(value.type);
    enum member member = s->member[depth];
    const struct rule *rule = &rules[member];
    struct span at = {value.at, value.n};

    if (member == M_OTHER) {
        if (depth == 0)
            s->root = value.type;
        return;
    }
    if (value.type == JSON_NUMBER && value.integer)
        type |= IS_INTEGER;
    if (UNLIKELY(!(rule->accept & type))) {
        s->refused |= UINT64_C(1) << member;
        s->id_null |= member == M_ID && value.type == JSON_NULL;
        return;
    }
    if (rule->note & NOTE_WHOLE)
        at = (struct span){s->key_at[depth], value.at + value.n - s->key_at[depth]};
    if (rule->span != 0)
        *(struct span *)((char *)s->msg + rule->span) = at;
    if (rule->note & (NOTE_SPECIAL | NOTE_TEXT))
        note_special(s, member, value);
}

/* ---- the verdict ---- */

static inline bool has(uint64_t set, enum member m)
{
    return set >> m & 1;
}

/* What the message looks like, right or wrong. */
static enum rpc_kind looks_like(const struct rpc_scan *s)
{
    if (s->root == JSON_ARRAY)
        return RPC_BATCH;
    if (has(s->seen, M_METHOD))
        return has(s->seen, M_ID) ? RPC_REQUEST : RPC_NOTIFICATION;
    if (has(s->seen, M_RESULT))
        return RPC_RESULT;
    return has(s->seen, M_ERROR) ? RPC_ERROR : RPC_INVALID;
}

/* Whether the members are there, and of the types, that the kind of message asks for. */
static bool shape_ok(const struct rpc_scan *s, enum rpc_kind kind)
{
    bool result = has(s->seen, M_RESULT), error = has(s->seen, M_ERROR);

    if (!s->is_v2)
        return false;
    switch (kind) {
    case RPC_REQUEST:
    case RPC_NOTIFICATION:
        return !result && !error && !has(s->refused, M_ID) && !has(s->refused, M_METHOD) &&
               !has(s->refused, M_PARAMS);
    case RPC_RESULT:
        return !error && !has(s->seen, M_PARAMS) && s->msg->id.n > 0;
    case RPC_ERROR:
        return !has(s->seen, M_PARAMS) && !has(s->refused, M_ERROR) &&
               (!has(s->refused, M_ID) || s->id_null);
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

static enum rpc_error judge(struct rpc_scan *s, size_t *ret_at)
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
static void keep_envelope(struct rpc_scan *s)
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
    s->seen = s->refused = s->doubled = 0;
    s->notified_token = (struct span){0, 0};
    s->member[0] = M_OTHER;
    s->object[1] = O_MESSAGE;
    s->root = JSON_NONE;
    s->is_v2 = s->id_null = s->nul = false;
    s->carry.n = 0;
    *m = (struct rpc_msg){.kind = RPC_INVALID};
}

static enum rpc_error scan_finish(struct rpc_scan *s, size_t *ret_at)
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

static enum json_error feed(struct rpc_scan *s, struct slice piece)
{
    return json_watch_feed(&s->json, piece);
}

enum rpc_error rpc_parse(struct slice text, unsigned depth_max, struct rpc_msg *m, size_t *ret_at)
{
    struct rpc_scan s;

    scan_init(&s, depth_max, m);
    feed(&s, text);
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
    enum json_error fault = feed(s, piece);

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
