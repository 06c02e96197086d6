/* Eras.
 *
 * The body decides, message by message. A refusal must not look like an answer of a modern server:
 * no code of -32020 to -32022, and over HTTP a 4xx, since a 200 would tell a probing client that
 * its era is served and a 5xx that the server is broken (protocol.md 2.11, 10.1). */
#include "front/era.h"

static const char unsupported_version[] =
    "Bad Request: Unsupported protocol version (supported versions: 2025-11-25, 2025-06-18, "
    "2025-03-26, 2024-11-05)";

enum header_version header_version_of(struct slice value, enum mcp_version *ret_revision)
{
    *ret_revision = MCP_2025_03_26;
    if (!value.p)
        return HEADER_VERSION_ABSENT;
    enum mcp_version named = mcp_version_parse(value);
    if (named != MCP_VERSION_NONE && named < MCP_2026_07_28) {
        *ret_revision = named;
        return HEADER_VERSION_LEGACY;
    }
    return mcp_version_is_modern(value) ? HEADER_VERSION_MODERN : HEADER_VERSION_UNKNOWN;
}

/* Whether the envelope names a version of the modern era. */
static bool claims_modern(struct slice text, const struct rpc_msg *m)
{
    struct slice raw = rpc_span(text, m->claim);
    if (m->claim.n < 2 || json_type_of(raw) != JSON_STRING)
        return false;
    return mcp_version_is_modern(slice_of(raw.p + 1, raw.n - 2));
}

struct era_verdict era_classify(enum header_version header, struct slice text,
                                const struct rpc_msg *m)
{
    static const struct era_verdict legacy = {.legacy = true};
    bool initialize = m->kind == RPC_REQUEST && m->method == MCP_INITIALIZE;

    if (header == HEADER_VERSION_MODERN || (header == HEADER_VERSION_UNKNOWN && !initialize))
        return (struct era_verdict){
            .by_header = true, .code = MCP_E_INVALID_REQUEST, .message = unsupported_version};
    if (m->kind == RPC_RESULT || m->kind == RPC_ERROR || m->claim.n == 0)
        return legacy;
    if (initialize && !claims_modern(text, m))
        return legacy;
    if (m->method == MCP_SERVER_DISCOVER)
        return (struct era_verdict){.code = MCP_E_METHOD_NOT_FOUND, .message = "Method not found"};
    return (struct era_verdict){.code = MCP_E_INVALID_REQUEST,
                                .message = "Bad Request: Server not initialized"};
}
