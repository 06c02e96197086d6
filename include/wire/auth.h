/* The Authorization field of HTTP requests (RFC 9110 section 11.6.2), as far as bearer tokens need
 * it (RFC 6750 section 2.1). Pure. */
#ifndef WIRE_AUTH_H
#define WIRE_AUTH_H

#include "base/slice.h"

enum auth_kind {
    AUTH_NONE,      /* no such field, or another scheme than Bearer */
    AUTH_MALFORMED, /* Bearer, but no single token after it */
    AUTH_BEARER,
};

/* value: the field's value without surrounding blanks; p == NULL when there is none. The scheme is
 * compared without case and followed by at least one space; the token is everything after the
 * spaces and holds nothing but visible ASCII. *ret_token: a slice of value; AUTH_BEARER only. */
enum auth_kind auth_parse(struct slice value, struct slice *ret_token);

#endif
