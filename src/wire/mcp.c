/* The tables of wire/mcp.h: one row per name, indexed by its enum; unknown text becomes the enum's
 * zero (or OTHER), never a guess. Comparison is by bytes: a method in other letters is another
 * method. */
#include "wire/mcp.h"

#include "words.h"

#include "base/util.h"

#include <stdint.h>

/* ---- revisions ---- */

static const struct slice versions[] = {
    [MCP_2024_11_05] = SLICE_INIT("2024-11-05"), [MCP_2025_03_26] = SLICE_INIT("2025-03-26"),
    [MCP_2025_06_18] = SLICE_INIT("2025-06-18"), [MCP_2025_11_25] = SLICE_INIT("2025-11-25"),
    [MCP_2026_07_28] = SLICE_INIT("2026-07-28"),
};

enum mcp_version mcp_version_parse(struct slice s)
{
    if (s.n != sizeof("2024-11-05") - 1) /* as long as all of them */
        return MCP_VERSION_NONE;
    for (unsigned v = MCP_VERSION_NONE + 1; v < ARRAY_LEN(versions); v++)
        if (same_bytes(s.p, versions[v].p, sizeof("2024-11-05") - 1))
            return (enum mcp_version)v;
    return MCP_VERSION_NONE;
}

const char *mcp_version_name(enum mcp_version v)
{
    return v > MCP_VERSION_NONE && v < ARRAY_LEN(versions) ? versions[v].p : "?";
}

bool mcp_version_is_modern(struct slice s)
{
    const struct slice first = versions[MCP_2026_07_28];

    if (s.n != first.n)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        bool dash = i == 4 || i == 7;

        if (dash ? s.p[i] != '-' : s.p[i] < '0' || s.p[i] > '9')
            return false;
    }
    return memcmp(s.p, first.p, first.n) >= 0;
}

/* ---- methods ---- */

static const struct slice methods[MCP_METHOD_COUNT] = {
    [MCP_METHOD_NONE] = SLICE_INIT("?"),
    [MCP_METHOD_OTHER] = SLICE_INIT("?"),
    [MCP_INITIALIZE] = SLICE_INIT("initialize"),
    [MCP_PING] = SLICE_INIT("ping"),
    [MCP_TOOLS_LIST] = SLICE_INIT("tools/list"),
    [MCP_TOOLS_CALL] = SLICE_INIT("tools/call"),
    [MCP_PROMPTS_LIST] = SLICE_INIT("prompts/list"),
    [MCP_PROMPTS_GET] = SLICE_INIT("prompts/get"),
    [MCP_RESOURCES_LIST] = SLICE_INIT("resources/list"),
    [MCP_RESOURCES_TEMPLATES_LIST] = SLICE_INIT("resources/templates/list"),
    [MCP_RESOURCES_READ] = SLICE_INIT("resources/read"),
    [MCP_RESOURCES_SUBSCRIBE] = SLICE_INIT("resources/subscribe"),
    [MCP_RESOURCES_UNSUBSCRIBE] = SLICE_INIT("resources/unsubscribe"),
    [MCP_COMPLETION_COMPLETE] = SLICE_INIT("completion/complete"),
    [MCP_LOGGING_SET_LEVEL] = SLICE_INIT("logging/setLevel"),
    [MCP_TASKS_GET] = SLICE_INIT("tasks/get"),
    [MCP_TASKS_RESULT] = SLICE_INIT("tasks/result"),
    [MCP_TASKS_LIST] = SLICE_INIT("tasks/list"),
    [MCP_TASKS_CANCEL] = SLICE_INIT("tasks/cancel"),
    [MCP_TASKS_UPDATE] = SLICE_INIT("tasks/update"),
    [MCP_SERVER_DISCOVER] = SLICE_INIT("server/discover"),
    [MCP_SUBSCRIPTIONS_LISTEN] = SLICE_INIT("subscriptions/listen"),
    [MCP_SAMPLING_CREATE_MESSAGE] = SLICE_INIT("sampling/createMessage"),
    [MCP_ELICITATION_CREATE] = SLICE_INIT("elicitation/create"),
    [MCP_ROOTS_LIST] = SLICE_INIT("roots/list"),
    [MCP_N_INITIALIZED] = SLICE_INIT("notifications/initialized"),
    [MCP_N_CANCELLED] = SLICE_INIT("notifications/cancelled"),
    [MCP_N_PROGRESS] = SLICE_INIT("notifications/progress"),
    [MCP_N_MESSAGE] = SLICE_INIT("notifications/message"),
    [MCP_N_ROOTS_LIST_CHANGED] = SLICE_INIT("notifications/roots/list_changed"),
    [MCP_N_TOOLS_LIST_CHANGED] = SLICE_INIT("notifications/tools/list_changed"),
    [MCP_N_PROMPTS_LIST_CHANGED] = SLICE_INIT("notifications/prompts/list_changed"),
    [MCP_N_RESOURCES_LIST_CHANGED] = SLICE_INIT("notifications/resources/list_changed"),
    [MCP_N_RESOURCES_UPDATED] = SLICE_INIT("notifications/resources/updated"),
    [MCP_N_ELICITATION_COMPLETE] = SLICE_INIT("notifications/elicitation/complete"),
    [MCP_N_TASKS_STATUS] = SLICE_INIT("notifications/tasks/status"),
};

/* The methods of each length, ended by a zero; a test holds it against the table above. */
static const uint8_t by_length[][6] = {
    [4] = {MCP_PING},
    [9] = {MCP_TASKS_GET},
    [10] = {MCP_TOOLS_CALL, MCP_TOOLS_LIST, MCP_INITIALIZE, MCP_TASKS_LIST, MCP_ROOTS_LIST},
    [11] = {MCP_PROMPTS_GET},
    [12] = {MCP_PROMPTS_LIST, MCP_TASKS_RESULT, MCP_TASKS_CANCEL, MCP_TASKS_UPDATE},
    [14] = {MCP_RESOURCES_READ, MCP_RESOURCES_LIST},
    [15] = {MCP_SERVER_DISCOVER},
    [16] = {MCP_LOGGING_SET_LEVEL},
    [18] = {MCP_ELICITATION_CREATE},
    [19] = {MCP_COMPLETION_COMPLETE, MCP_RESOURCES_SUBSCRIBE},
    [20] = {MCP_SUBSCRIPTIONS_LISTEN},
    [21] = {MCP_N_MESSAGE, MCP_RESOURCES_UNSUBSCRIBE},
    [22] = {MCP_N_PROGRESS, MCP_SAMPLING_CREATE_MESSAGE},
    [23] = {MCP_N_CANCELLED},
    [24] = {MCP_RESOURCES_TEMPLATES_LIST},
    [25] = {MCP_N_INITIALIZED},
    [26] = {MCP_N_TASKS_STATUS},
    [31] = {MCP_N_RESOURCES_UPDATED},
    [32] = {MCP_N_TOOLS_LIST_CHANGED, MCP_N_ROOTS_LIST_CHANGED},
    [34] = {MCP_N_PROMPTS_LIST_CHANGED, MCP_N_ELICITATION_COMPLETE},
    [36] = {MCP_N_RESOURCES_LIST_CHANGED},
};

enum mcp_method mcp_method_parse(struct slice text)
{
    if (text.n < ARRAY_LEN(by_length))
        for (const uint8_t *m = by_length[text.n]; *m != 0; m++)
            if (same_bytes(methods[*m].p, text.p, text.n))
                return (enum mcp_method) * m;
    return MCP_METHOD_OTHER;
}

const char *mcp_method_name(enum mcp_method m)
{
    return (unsigned)m < MCP_METHOD_COUNT ? methods[m].p : "?";
}

bool mcp_method_is_interactive(enum mcp_method m)
{
    return m == MCP_TOOLS_CALL || m == MCP_PROMPTS_GET || m == MCP_RESOURCES_READ;
}

bool mcp_method_is_read(enum mcp_method m)
{
    switch ((int)m) {
    case MCP_TOOLS_LIST:
    case MCP_PROMPTS_LIST:
    case MCP_PROMPTS_GET:
    case MCP_RESOURCES_LIST:
    case MCP_RESOURCES_TEMPLATES_LIST:
    case MCP_RESOURCES_READ:
    case MCP_COMPLETION_COMPLETE:
        return true;
    default:
        return false;
    }
}

/* ---- log levels ---- */

static const char *const levels[] = {
    [MCP_LOG_DEBUG] = "debug",   [MCP_LOG_INFO] = "info",
    [MCP_LOG_NOTICE] = "notice", [MCP_LOG_WARNING] = "warning",
    [MCP_LOG_ERROR] = "error",   [MCP_LOG_CRITICAL] = "critical",
    [MCP_LOG_ALERT] = "alert",   [MCP_LOG_EMERGENCY] = "emergency",
};

int mcp_log_level_parse(struct slice text)
{
    for (size_t l = 0; l < ARRAY_LEN(levels); l++)
        if (slice_is(text, levels[l]))
            return (int)l;
    return -1;
}

const char *mcp_log_level_name(enum mcp_log_level l)
{
    return (unsigned)l < ARRAY_LEN(levels) ? levels[l] : "?";
}

/* ---- reasons ---- */

static const struct {
    const char *name, *sentence;
} reasons[REASON_COUNT] = {
    [REASON_NONE] = {"none", "Nothing went wrong"},
    [REASON_BAD_REQUEST] = {"bad_request", "Invalid Request"},
    [REASON_BATCH] = {"batch", "Batches are not allowed here"},
    [REASON_TOO_LARGE] = {"too_large", "Message too large"},
    [REASON_ORIGIN] = {"origin", "Forbidden"},
    [REASON_UNAUTHORIZED] = {"unauthorized", "A valid bearer token is required"},
    [REASON_FORBIDDEN] = {"forbidden", "The token does not open this server"},
    [REASON_SESSION_REQUIRED] = {"session_required", "Mcp-Session-Id header is required"},
    [REASON_SESSION_NOT_FOUND] = {"session_not_found", "Session not found"},
    [REASON_UPSTREAM_UNAVAILABLE] = {"upstream_unavailable", "The server is not available"},
    [REASON_BREAKER_OPEN] = {"breaker_open",
                             "The server has failed repeatedly and is being left alone for now"},
    [REASON_OVERLOADED] = {"overloaded", "Too many requests in progress"},
    [REASON_RATE_LIMITED] = {"rate_limited", "Too many requests in a short time"},
    [REASON_TIMEOUT] = {"timeout",
                        "No answer in time; the request may or may not have been carried out"},
    [REASON_UPSTREAM_LOST] = {"upstream_lost",
                              "The server stopped while processing the request; it may or may not "
                              "have been carried out"},
    [REASON_UPSTREAM_AUTH] = {"upstream_auth", "The server refused the proxy's credential"},
    [REASON_UPSTREAM_PROTOCOL] = {"upstream_protocol",
                                  "The server sent something that is no valid answer"},
    [REASON_RESPONSE_TOO_LARGE] = {"response_too_large",
                                   "The server's answer is larger than allowed"},
    [REASON_SHUTTING_DOWN] = {"shutting_down", "The proxy is shutting down"},
    [REASON_RESUME_LOST] = {"resume_lost", "The stream can no longer be resumed from there"},
    [REASON_VERSION] = {"version", "Unsupported protocol version"},
    [REASON_MAINTENANCE] = {"maintenance", "The server has been taken out of service for now"},
};

const char *reason_name(enum reason r)
{
    return (unsigned)r < REASON_COUNT ? reasons[r].name : "?";
}

const char *reason_sentence(enum reason r)
{
    return (unsigned)r < REASON_COUNT ? reasons[r].sentence : "?";
}
