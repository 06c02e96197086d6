/* One JSON-RPC 2.0 message as MCP uses it: validated, classified, and the few spans that mcpool
 * acts on located. Nothing is copied and nothing is built: every member is an offset into the
 * message's bytes. Foreign payloads travel as the bytes they came in; only the spans of
 * protocol.md 1.6 are replaced. */
#ifndef WIRE_RPC_H
#define WIRE_RPC_H

#include "base/blob.h"
#include "base/buf.h"
#include "wire/json.h"
#include "wire/mcp.h"

enum rpc_kind {
    RPC_INVALID,
    RPC_REQUEST,
    RPC_NOTIFICATION,
    RPC_RESULT, /* response with "result" */
    RPC_ERROR,  /* response with "error" */
    RPC_BATCH,  /* a JSON array; walk it with rpc_batch_next */
};

/* The raw bytes of a JSON value inside the message (a string with its quotes); n == 0: absent. */
struct span {
    size_t off, n;
};

struct rpc_msg {
    enum rpc_kind kind;
    enum mcp_method method; /* requests and notifications */
    bool id_is_string;
    bool has_newline; /* a raw CR or LF stands outside strings: normalise before line framing */
    struct span id;   /* raw token; absent for notifications and for errors with null/missing id */
    struct span method_raw; /* the string token */
    struct span params, result, error;
    struct span meta;             /* params._meta or result._meta (an object) */
    struct span progress_token;   /* requests: of params._meta; notifications: of params */
    struct span progress;         /* notifications/progress: params.progress (number) */
    struct span request_id;       /* notifications/cancelled: params.requestId */
    struct span name;             /* params.name, a string */
    struct span uri;              /* params.uri, a string */
    struct span level;            /* params.level, a string */
    struct span protocol_version; /* params.protocolVersion (initialize) / result.protocolVersion */
    struct span capabilities;     /* params.capabilities / result.capabilities (initialize) */
    struct span client_info;      /* params.clientInfo */
    struct span server_info;      /* result.serverInfo */
    struct span instructions;     /* result.instructions */
    struct span task;             /* params.task */
    struct span task_id;          /* params.taskId */
    struct span elicitation_id;   /* params.elicitationId */
    /* params._meta["io.modelcontextprotocol/protocolVersion"]: the modern envelope */
    struct span claim;
    struct span related_task; /* params|result._meta["io.modelcontextprotocol/related-task"] */
    /* result.resultType and the like, each the whole member (key through value) for cutting */
    struct span result_type, ttl_ms, cache_scope;
    struct span error_code, error_message, error_data; /* error.* */
};

enum rpc_error {
    RPC_OK = 0,
    RPC_E_PARSE = -1,     /* not one strict RFC 8259 text in valid UTF-8: answer -32700 */
    RPC_E_DEPTH = -2,     /* nested deeper than the limit: -32600 */
    RPC_E_DUPLICATE = -3, /* a key that mcpool acts on stands twice in its object: -32600 */
    RPC_E_SHAPE = -4, /* JSON, but no JSON-RPC 2.0 message (jsonrpc, id, method, params): -32600 */
    RPC_E_LIMIT = -5, /* id or progress token over 256 bytes, NUL in method, name, uri: -32600 */
};

/* Parses one complete message. depth_max: deepest allowed nesting (protocol.md 8.2: 128).
 * On RPC_E_SHAPE/DUPLICATE/LIMIT/DEPTH, m->id is still set if a usable id was readable (so that the
 * error can carry it) and m->kind tells what the message looked like (RPC_REQUEST when it has an id
 * and a method). Besides these only method and has_newline are set then; on RPC_E_PARSE nothing is.
 * Of several faults the one reported is PARSE or DEPTH, else DUPLICATE, SHAPE, LIMIT in this order;
 * a doubled id is not usable. A response with params is no message (SHAPE). Values of another type
 * than the comments above say are left absent. A leading UTF-8 BOM is an error here; framing strips
 * it. ret_at (may be NULL): offset of the error. */
enum rpc_error rpc_parse(struct slice text, unsigned depth_max, struct rpc_msg *m, size_t *ret_at);

/* The same over a message that arrives in pieces: begin, feed each piece in order (bytes need not
 * be kept by the caller's memory afterwards; spans are offsets from the first byte), end. Linear
 * over all pieces. */
struct rpc_scan;
struct rpc_scan *rpc_scan_new(unsigned depth_max);
enum rpc_error rpc_scan_feed(struct rpc_scan *s, struct slice piece); /* RPC_OK: so far so good */
enum rpc_error rpc_scan_end(struct rpc_scan *s, struct rpc_msg *m, size_t *ret_at);
void rpc_scan_free(struct rpc_scan *s); /* accepts NULL */

/* Only the top-level id of a message that is being thrown away for its size (protocol.md 7.3): feed
 * it piecewise; ret_id is filled (<= cap bytes, return its length) once known; 0 = not (yet) found.
 */
struct rpc_id_hunt {
    unsigned char opaque[512];
};
void rpc_id_hunt_init(struct rpc_id_hunt *h);
void rpc_id_hunt_feed(struct rpc_id_hunt *h, struct slice piece);
size_t rpc_id_hunt_get(const struct rpc_id_hunt *h, char *ret_id, size_t cap);

/* Walks the elements of a batch: *pos starts at 0; false at the end. Elements are whole values in
 * text; each still needs its own rpc_parse. text must have passed rpc_parse as RPC_BATCH. */
bool rpc_batch_next(struct slice text, size_t *pos, struct slice *ret_element);

static inline struct slice rpc_span(struct slice text, struct span s)
{
    return slice_of(text.p + s.off, s.n);
}

/* Replacements of spans in a message, kept in ascending order of offset. */
struct rpc_edit {
    size_t off, n;     /* replaced bytes of the original */
    struct slice with; /* borrowed */
};
#define RPC_EDITS_MAX 8
struct rpc_edits {
    unsigned count;
    struct rpc_edit edit[RPC_EDITS_MAX];
};

/* No edits yet. Cheaper than to clear the whole struct, which is done twice for each call. */
static inline void rpc_edits_init(struct rpc_edits *e)
{
    e->count = 0;
}

/* Adds a replacement; spans must not overlap; absent spans (n == 0) are ignored. */
void rpc_edit_add(struct rpc_edits *e, struct span at, struct slice with);

/* Adds the removal of a whole object member and the comma that belongs to it; text: the original.
 */
void rpc_edit_cut(struct rpc_edits *e, struct slice text, struct span member);

/* Length of the edited text, and the text itself: written to `to`, where there is room for it, or
 * appended to out. */
size_t rpc_edited_len(size_t text_len, const struct rpc_edits *e);
void rpc_edit_copy(char *to, struct slice text, const struct rpc_edits *e);
void rpc_edit_append(struct buf *out, struct slice text, const struct rpc_edits *e);

/* mcpool's own messages, appended to out without a trailing newline. id: raw JSON token; n == 0
 * leaves the member out (never null: the schema forbids it). data: raw JSON or n == 0. */
void rpc_write_error(struct buf *out, struct slice id, int code, struct slice message,
                     struct slice data);
void rpc_write_result(struct buf *out, struct slice id, struct slice result_json);
void rpc_write_notification(struct buf *out, const char *method, struct slice params_json);

#endif
