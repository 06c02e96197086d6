/* The one form in which mcpool reports failures of its own: code, one sentence that names the
 * server, and machine-readable data (protocol.md 7.1; `delivered` as in resilience.md section 4).
 */
#include "internal.h"

static bool retryable(enum reason why, const char *delivered)
{
    if (!delivered || !slice_is(SLICE("no"), delivered))
        return false;
    return why == REASON_UPSTREAM_UNAVAILABLE || why == REASON_OVERLOADED ||
           why == REASON_BREAKER_OPEN || why == REASON_RATE_LIMITED ||
           why == REASON_UPSTREAM_LOST || why == REASON_SHUTTING_DOWN || why == REASON_MAINTENANCE;
}

void proxy_write_error(struct buf *out, struct slice id, int code, enum reason why,
                       const char *server, const char *delivered, usec_t retry_after,
                       const char *message)
{
    struct buf data = BUF_INIT;
    if (why != REASON_NONE) {
        buf_append_str(&data, "{");
        if (server) {
            buf_append_str(&data, "\"server\":");
            buf_append_json_string(&data, slice_str(server));
            buf_append_str(&data, ",");
        }
        buf_appendf(&data, "\"reason\":\"%s\"", reason_name(why));
        if (delivered)
            buf_appendf(&data, ",\"delivered\":\"%s\"", delivered);
        buf_appendf(&data, ",\"retryable\":%s", retryable(why, delivered) ? "true" : "false");
        if (retry_after)
            buf_appendf(&data, ",\"retryAfterMs\":%llu",
                        (unsigned long long)((retry_after + USEC_PER_MSEC - 1) / USEC_PER_MSEC));
        buf_append_str(&data, "}");
    }
    rpc_write_error(out, id, code, slice_str(message), buf_peek(&data));
    buf_done(&data);
}
