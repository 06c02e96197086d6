/* From a request path to what it names. Paths are compared as they came: nothing is decoded or
 * normalised, so that no two spellings reach the same endpoint (security.md F36). Pure. */
#ifndef FRONT_PATHS_H
#define FRONT_PATHS_H

#include "base/slice.h"

enum path_kind {
    PATH_UNKNOWN,
    PATH_HEALTHZ,  /* /healthz */
    PATH_MCP,      /* /mcp, /mcp/<server>: Streamable HTTP */
    PATH_SSE,      /* /sse, /sse/<server>: the event stream of HTTP+SSE */
    PATH_MESSAGES, /* /messages, /messages/<server>: where its clients post */
};

/* path: without the query. *ret_server: the server's name, a slice of path; empty for the aggregate
 * endpoint and for /healthz. */
enum path_kind path_parse(struct slice path, struct slice *ret_server);

/* The methods for the Allow field of an endpoint; "" for PATH_UNKNOWN. */
const char *path_allow(enum path_kind kind);

#endif
