/* What a client can read (Accept) and what it sends (Content-Type), as MCP clients write them.
 * Pure. RFC 9110 sections 12.5.1 and 8.3. */
#ifndef FRONT_ACCEPT_H
#define FRONT_ACCEPT_H

#include "wire/http1.h"

struct accept {
    bool json; /* application/json may be answered */
    bool sse;  /* text/event-stream may be answered */
};

/* From all Accept lines of a request. No line at all means both. strict: only the two media types
 * written out count, wildcards and absence do not. A range with q=0 excludes its type; the more
 * specific range wins. */
struct accept accept_parse(const struct http1_headers *headers, bool strict);

/* Whether a Content-Type value is application/json: compared without case, parameters allowed, but
 * a charset must be UTF-8. p == NULL (absent): false. */
bool accept_is_json(struct slice content_type);

#endif
