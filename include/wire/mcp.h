/* The vocabulary of MCP: revisions, methods, error codes, capabilities' names, reserved keys, and
 * mcpool's own reason codes. Sources: the schemas of 2024-11-05 … 2026-07-28; JSON-RPC 2.0
 * section 5.1. */
#ifndef WIRE_MCP_H
#define WIRE_MCP_H

#include "base/slice.h"

/* Legacy revisions in order of age; comparisons with < and >= are meant. */
enum mcp_version {
    MCP_VERSION_NONE,
    MCP_2024_11_05, /* L0 */
    MCP_2025_03_26, /* L1 */
    MCP_2025_06_18, /* L2 */
    MCP_2025_11_25, /* L3 */
    MCP_2026_07_28, /* M: modern, stateless */
};
#define MCP_LATEST_LEGACY MCP_2025_11_25

/* Exact match of the version string; MCP_VERSION_NONE when it is none of ours. */
enum mcp_version mcp_version_parse(struct slice s);
const char *mcp_version_name(enum mcp_version v);

/* Whether s has the form NNNN-NN-NN and is 2026-07-28 or later in byte order (protocol.md 0.1). */
bool mcp_version_is_modern(struct slice s);

/* Methods that mcpool acts on; everything else is MCP_METHOD_OTHER and passes through. */
enum mcp_method {
    MCP_METHOD_NONE,
    MCP_METHOD_OTHER,
    MCP_INITIALIZE,
    MCP_PING,
    MCP_TOOLS_LIST,
    MCP_TOOLS_CALL,
    MCP_PROMPTS_LIST,
    MCP_PROMPTS_GET,
    MCP_RESOURCES_LIST,
    MCP_RESOURCES_TEMPLATES_LIST,
    MCP_RESOURCES_READ,
    MCP_RESOURCES_SUBSCRIBE,
    MCP_RESOURCES_UNSUBSCRIBE,
    MCP_COMPLETION_COMPLETE,
    MCP_LOGGING_SET_LEVEL,
    MCP_TASKS_GET,
    MCP_TASKS_RESULT,
    MCP_TASKS_LIST,
    MCP_TASKS_CANCEL,
    MCP_TASKS_UPDATE,
    MCP_SERVER_DISCOVER,
    MCP_SUBSCRIPTIONS_LISTEN,
    MCP_SAMPLING_CREATE_MESSAGE,
    MCP_ELICITATION_CREATE,
    MCP_ROOTS_LIST,
    MCP_N_INITIALIZED,
    MCP_N_CANCELLED,
    MCP_N_PROGRESS,
    MCP_N_MESSAGE,
    MCP_N_ROOTS_LIST_CHANGED,
    MCP_N_TOOLS_LIST_CHANGED,
    MCP_N_PROMPTS_LIST_CHANGED,
    MCP_N_RESOURCES_LIST_CHANGED,
    MCP_N_RESOURCES_UPDATED,
    MCP_N_ELICITATION_COMPLETE,
    MCP_N_TASKS_STATUS,
    MCP_METHOD_COUNT
};

/* text: the method name, unescaped, matched exactly (case-sensitive). */
enum mcp_method mcp_method_parse(struct slice text);
const char *mcp_method_name(enum mcp_method m); /* "tools/call"; "?" for NONE and OTHER */

/* tools/call, prompts/get, resources/read: requests during which a server may ask its client. */
bool mcp_method_is_interactive(enum mcp_method m);

/* The lists, prompts/get, resources/read, completion/complete: requests that only read, so that one
 * of which nobody knows whether it was carried out may be sent again. tasks/get and tasks/list read
 * as well, but from what one connection began, so where they may go is for the caller to know. */
bool mcp_method_is_read(enum mcp_method m);

enum mcp_log_level {
    MCP_LOG_DEBUG,
    MCP_LOG_INFO,
    MCP_LOG_NOTICE,
    MCP_LOG_WARNING,
    MCP_LOG_ERROR,
    MCP_LOG_CRITICAL,
    MCP_LOG_ALERT,
    MCP_LOG_EMERGENCY,
    MCP_LOG_UNSET, /* no level asked for */
};
/* -1 when the text is none of the eight. */
int mcp_log_level_parse(struct slice text);
const char *mcp_log_level_name(enum mcp_log_level l);

/* JSON-RPC and MCP error codes. */
#define MCP_E_PARSE               (-32700)
#define MCP_E_INVALID_REQUEST     (-32600)
#define MCP_E_METHOD_NOT_FOUND    (-32601)
#define MCP_E_INVALID_PARAMS      (-32602)
#define MCP_E_INTERNAL            (-32603)
#define MCP_E_SESSION_NOT_FOUND   (-32001) /* only inside the 404 body for lost sessions */
#define MCP_E_RESOURCE_NOT_FOUND  (-32002)
#define MCP_E_HEADER_MISMATCH     (-32020)
#define MCP_E_MISSING_CAPABILITY  (-32021)
#define MCP_E_UNSUPPORTED_VERSION (-32022)

/* Reasons: why mcpool itself refused or failed something. One code, used alike in error data, log
 * and metrics. The table in wire/mcp.c holds each one's name and sentence. */
enum reason {
    REASON_NONE,
    REASON_BAD_REQUEST,
    REASON_BATCH,
    REASON_TOO_LARGE,
    REASON_ORIGIN,
    REASON_UNAUTHORIZED,
    REASON_FORBIDDEN,
    REASON_SESSION_REQUIRED,
    REASON_SESSION_NOT_FOUND,
    REASON_UPSTREAM_UNAVAILABLE,
    REASON_BREAKER_OPEN,
    REASON_OVERLOADED,
    REASON_RATE_LIMITED,
    REASON_TIMEOUT,
    REASON_UPSTREAM_LOST,
    REASON_UPSTREAM_AUTH,
    REASON_UPSTREAM_PROTOCOL,
    REASON_RESPONSE_TOO_LARGE,
    REASON_SHUTTING_DOWN,
    REASON_RESUME_LOST,
    REASON_VERSION,
    REASON_MAINTENANCE,
    REASON_COUNT
};
const char *reason_name(enum reason r);     /* "upstream_lost" */
const char *reason_sentence(enum reason r); /* "The server stopped while processing the request" */

#endif
