/* To which era of the protocol a message of a client belongs (protocol.md 2.3), and what becomes of
 * it. The one place to change when requests of 2026-07-28 are served: today they are answered as a
 * server answers that only knows the older revisions, so that clients of both eras fall back to
 * `initialize`. Pure. */
#ifndef FRONT_ERA_H
#define FRONT_ERA_H

#include "wire/rpc.h"

/* What the MCP-Protocol-Version field said. */
enum header_version {
    HEADER_VERSION_ABSENT,
    HEADER_VERSION_LEGACY, /* one of the revisions with sessions */
    HEADER_VERSION_MODERN, /* 2026-07-28 or later */
    HEADER_VERSION_UNKNOWN,
};

/* *ret_revision: the revision with sessions that it names, 2025-03-26 when it names none: that is
 * what a client means that says nothing. */
enum header_version header_version_of(struct slice value, enum mcp_version *ret_revision);

struct era_verdict {
    bool legacy;         /* handle it by the rules of sessions */
    bool by_header;      /* refused for the header, whatever the body says */
    int code;            /* refused: JSON-RPC code and sentence */
    const char *message; /* static */
};

/* text: what m was parsed from. Line connections and HTTP+SSE pass HEADER_VERSION_ABSENT. */
struct era_verdict era_classify(enum header_version header, struct slice text,
                                const struct rpc_msg *m);

#endif
