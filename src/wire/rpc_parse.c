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
#include "json_scan.h"
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

#define KEY_IS(key, literal) (memcmp((key).p, literal, sizeof(literal) - 1) == 0)

/* Each: the member of that name, by length first. */
static enum member message_member(struct slice key)
{
    switch (key.n) {
    case 2:
        return KEY_IS(key, "id") ? M_ID : M_OTHER;
    case 5:
        return KEY_IS(key, "error") ? M_ERROR : M_OTHER;
    case 6:
        return KEY_IS(key, "method")   ? M_METHOD
               : KEY_IS(key, "params") ? M_PARAMS
               : KEY_IS(key, "result") ? M_RESULT
                                       : M_OTHER;
    case 7:
        return KEY_IS(key, "jsonrpc") ? M_JSONRPC : M_OTHER;
    default:
        return M_OTHER;
    }
}

static enum member params_member(struct slice key)
{
    switch (key.n) {
    case 3:
        return KEY_IS(key, "uri") ? M_P_URI : M_OTHER;
    case 4:
        return KEY_IS(key, "name") ? M_P_NAME : KEY_IS(key, "task") ? M_P_TASK : M_OTHER;
    case 5:
        return KEY_IS(key, "_meta") ? M_P_META : KEY_IS(key, "level") ? M_P_LEVEL : M_OTHER;
    case 6:
        return KEY_IS(key, "taskId") ? M_P_TASK_ID : M_OTHER;
    case 8:
        return KEY_IS(key, "progress") ? M_P_PROGRESS : M_OTHER;
    case 9:
        return KEY_IS(key, "arguments")   ? M_P_ARGUMENTS
               : KEY_IS(key, "requestId") ? M_P_REQUEST_ID
                                          : M_OTHER;
    case 10:
        return KEY_IS(key, "clientInfo") ? M_P_CLIENT_INFO : M_OTHER;
    case 12:
        return KEY_IS(key, "capabilities") ? M_P_CAPABILITIES : M_OTHER;
    case 13:
        return KEY_IS(key, "progressToken")   ? M_P_TOKEN
               : KEY_IS(key, "elicitationId") ? M_P_ELICITATION_ID
                                              : M_OTHER;
    case 15:
        return KEY_IS(key, "protocolVersion") ? M_P_VERSION : M_OTHER;
    default:
        return M_OTHER;
    }
}

static enum member result_member(struct slice key)
{
    switch (key.n) {
    case 5:
        return KEY_IS(key, "_meta") ? M_R_META : KEY_IS(key, "ttlMs") ? M_R_TTL_MS : M_OTHER;
    case 10:
        return KEY_IS(key, "serverInfo")   ? M_R_SERVER_INFO
               : KEY_IS(key, "resultType") ? M_R_TYPE
               : KEY_IS(key, "cacheScope") ? M_R_CACHE_SCOPE
                                           : M_OTHER;
    case 12:
        return KEY_IS(key, "capabilities")   ? M_R_CAPABILITIES
               : KEY_IS(key, "instructions") ? M_R_INSTRUCTIONS
                                             : M_OTHER;
    case 15:
        return KEY_IS(key, "protocolVersion") ? M_R_VERSION : M_OTHER;
    default:
        return M_OTHER;
    }
}

static enum member error_member(struct slice key)
{
    switch (key.n) {
    case 4:
        return KEY_IS(key, "code") ? M_E_CODE : KEY_IS(key, "data") ? M_E_DATA : M_OTHER;
    case 7:
        return KEY_IS(key, "message") ? M_E_MESSAGE : M_OTHER;
    default:
        return M_OTHER;
    }
}

static enum member meta_member(struct slice key)
{
    static const struct {
        struct slice name;
        enum member member;
    } reserved[] = {
        {SLICE_INIT("protocolVersion"), M_M_VERSION},
        {SLICE_INIT("related-task"), M_M_RELATED_TASK},
        {SLICE_INIT("clientInfo"), M_M_CLIENT_INFO},
        {SLICE_INIT("clientCapabilities"), M_M_CLIENT_CAPABILITIES},
        {SLICE_INIT("logLevel"), M_M_LOG_LEVEL},
        {SLICE_INIT("serverInfo"), M_M_SERVER_INFO},
        {SLICE_INIT("subscriptionId"), M_M_SUBSCRIPTION_ID},
    };
    const size_t prefix = sizeof(RESERVED) - 1;

    static_assert(6 * (sizeof(RESERVED "clientCapabilities") - 1) + 2 <= JSON_CARRY_MAX,
                  "the longest key must fit a carry when all of it is escaped");
    if (key.n == 13 && KEY_IS(key, "progressToken"))
        return M_M_TOKEN;
    if (key.n <= prefix || !KEY_IS(key, RESERVED))
        return M_OTHER;
    key = slice_of(key.p + prefix, key.n - prefix);
    for (size_t i = 0; i < ARRAY_LEN(reserved); i++)
        if (slice_eq(key, reserved[i].name))
            return reserved[i].member;
    return M_OTHER;
}

static enum member member_of(enum object object, struct slice key)
{
    switch (object) {
    case O_MESSAGE:
        return message_member(key);
    case O_PARAMS:
        return params_member(key);
    case O_RESULT:
        return result_member(key);
    case O_ERROR:
        return error_member(key);
    case O_META:
        return meta_member(key);
    case O_OTHER:
        break;
    }
    return M_OTHER;
}

/* The content of the string token at offset `at`, which has just ended. Borrowed until the next
 * call. */
static inline struct slice string_content(struct rpc_scan *s, size_t at)
{
    if (at >= s->json.piece_at && !s->json.escaped)
        return slice_of((const char *)(s->json.origin + at + 1), json_scan_at(&s->json) - at - 2);
    return json_plain(json_carry_take(&s->carry, &s->json, at), s->json.escaped, s->plain,
                      sizeof(s->plain));
}

static void on_key(struct json_scan *json)
{
    struct rpc_scan *s = container_of(json, struct rpc_scan, json);
    unsigned depth = json->depth;
    enum member member = member_of(s->object[depth], string_content(s, json->token_at));
    uint64_t bit = UINT64_C(1) << member;

    s->member[depth] = (uint8_t)member;
    s->object[depth + 1] = rules[member].opens;
    json->dive = rules[member].opens != O_OTHER;
    if (member == M_OTHER)
        return;
    s->key_at[depth] = json->token_at;
    if (s->seen & bit) {
        if (s->doubled == 0)
            s->doubled_at = json->token_at;
        s->doubled |= bit;
    }
    s->seen |= bit;
}

/* ---- values ---- */

/* What rules alone cannot say about a value of the right type. */
static void note_special(struct rpc_scan *s, enum member member, struct span at)
{
    if (member == M_JSONRPC)
        s->is_v2 = slice_eq(string_content(s, at.off), SLICE("2.0"));
    else if (member == M_ID)
        s->msg->id_is_string = s->json.type == JSON_STRING;
    else if (member == M_METHOD)
        s->msg->method = mcp_method_parse(string_content(s, at.off));
    else if (member == M_P_TOKEN)
        s->notified_token = at;
    if ((rules[member].note & NOTE_TEXT) && s->json.nul && !s->nul) {
        s->nul = true;
        s->nul_at = at.off;
    }
}

static void on_value(struct json_scan *json)
{
    struct rpc_scan *s = container_of(json, struct rpc_scan, json);
    unsigned depth = json->depth, type = IS(json->type);
    enum member member = s->member[depth];
    const struct rule *rule = &rules[member];
    struct span at = {.off = json_scan_value_at(json)};

    if (member == M_OTHER) {
        if (depth == 0)
            s->root = json->type;
        return;
    }
    if (type == IS(JSON_NUMBER) && json->integer)
        type |= IS_INTEGER;
    if (!(rule->accept & type)) {
        s->refused |= UINT64_C(1) << member;
        s->id_null |= member == M_ID && json->type == JSON_NULL;
        return;
    }
    if (rule->note & NOTE_WHOLE)
        at.off = s->key_at[depth];
    at.n = json_scan_at(json) - at.off;
    if (rule->span != 0)
        *(struct span *)((char *)s->msg + rule->span) = at;
    if (rule->note & (NOTE_SPECIAL | NOTE_TEXT))
        note_special(s, member, at);
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

static void scan_init(struct rpc_scan *s, unsigned depth_max, struct rpc_msg *m)
{
    static const struct json_watcher watcher = {on_key, on_value};

    json_scan_init(&s->json, depth_max, &watcher);
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

enum rpc_error rpc_parse(struct slice text, unsigned depth_max, struct rpc_msg *m, size_t *ret_at)
{
    struct rpc_scan s;

    scan_init(&s, depth_max, m);
    json_scan_feed(&s.json, text);
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
    enum json_error fault = json_scan_feed(&s->json, piece);

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
