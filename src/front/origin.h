/* Which Host and Origin values may talk to the daemon: the defence against DNS rebinding and
 * against web pages that post to local servers (protocol.md 2.1 steps 2 and 3, MCP transport
 * security). Pure. */
#ifndef FRONT_ORIGIN_H
#define FRONT_ORIGIN_H

#include "base/slice.h"
#include "config/config.h"

/* Whether the value of a Host field matches an entry of the list. Entries are "host" (any port) or
 * "host:port", in lower case; IPv6 literals stand in brackets. Names are compared whole, without
 * case; a trailing dot, a user part or anything else that is no host[:port] never matches. A
 * missing port counts as 80. An empty list matches nothing. */
bool origin_host_allowed(const struct config_strings *allowed, struct slice host);

/* The same for the value of an Origin field, scheme://host[:port]. Entries may also be whole
 * origins. "null" never matches, and neither do schemes other than http and https unless an entry
 * names the scheme. A missing port counts as the scheme's. */
bool origin_allowed(const struct config_strings *allowed, struct slice origin);

/* The latest value that was let in. Good for as long as the list is the same; zero = none. */
struct origin_memo {
    unsigned char n; /* 0: none */
    char text[63];
};

static inline bool origin_memo_has(const struct origin_memo *m, struct slice value)
{
    return value.n != 0 && value.n <= sizeof(m->text) && value.n == m->n &&
           memcmp(value.p, m->text, value.n) == 0;
}

/* One that is too long is not remembered. */
static inline void origin_memo_set(struct origin_memo *m, struct slice value)
{
    if (value.n == 0 || value.n > sizeof(m->text))
        return;
    memcpy(m->text, value.p, value.n);
    m->n = (unsigned char)value.n;
}

/* Whether the list is the one that a configuration without `allowed_hosts` has: the loopback names.
 */
bool origin_is_default_list(const struct config_strings *allowed);

#endif
