/* One request of a client on its way: it finishes exactly once, in call_finish
 * (protocol.md 1.1, 3.10). The front sees calls only through the accessors below. */
#ifndef PROXY_CALL_H
#define PROXY_CALL_H

#include "base/slice.h"
#include "base/time.h"
#include "wire/mcp.h"

struct call;
struct session;

/* What became of a call; written once. */
enum call_outcome {
    CALL_PENDING,
    CALL_ANSWERED,  /* the server's own response (result or error) or an own answer was delivered */
    CALL_FAILED,    /* mcpool answered with an error of its own: see call_reason */
    CALL_CANCELLED, /* the client cancelled: nothing was delivered */
};

struct session *call_session(const struct call *call);
enum mcp_method call_method(const struct call *call);

/* The raw id token as the client sent it; borrowed for the life of the call. */
struct slice call_client_id(const struct call *call);

enum call_outcome call_outcome(const struct call *call);

/* Why mcpool failed the call; REASON_NONE unless CALL_FAILED. Valid inside channel_ops.send. */
enum reason call_reason(const struct call *call);

/* Span after which a retry makes sense; 0 = no advice. For Retry-After. */
usec_t call_retry_after(const struct call *call);

#endif
