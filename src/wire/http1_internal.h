/* What the http1_*.c files share: byte classes and syntax checks. Nothing here is for other rooms.
 */
#ifndef WIRE_HTTP1_INTERNAL_H
#define WIRE_HTTP1_INTERNAL_H

#include "wire/http1.h"

/* Classes of bytes, bits of http1_class. */
#define HTTP1_C_TOKEN  0x01 /* tchar, RFC 9110 section 5.6.2 */
#define HTTP1_C_TARGET 0x02 /* may stand by itself in an origin-form target: pchar, "/" and "?" */
#define HTTP1_C_NAME   0x04 /* may stand by itself in a registered host name */
#define HTTP1_C_HEX    0x08

extern const uint8_t http1_class[256];

static inline bool http1_is(char c, uint8_t class)
{
    return (http1_class[(unsigned char)c] & class) != 0;
}

/* The value of a hex digit that passed http1_is(c, HTTP1_C_HEX). */
static inline unsigned http1_hex(char c)
{
    return c <= '9' ? (unsigned)(c - '0') : (unsigned)((c | 0x20) - 'a' + 10);
}

/* One or more token bytes and nothing else. */
bool http1_is_token(struct slice s);

/* "/" and bytes of a path and query, each "%" followed by two hex digits. */
bool http1_is_origin_form(struct slice s);

/* uri-host [ ":" port ], RFC 9110 section 7.2; empty is valid there. */
bool http1_is_host(struct slice s);

/* HTTP1_OK when s holds no control byte but tab; else HTTP1_E_LINE_END for a CR or LF,
 * HTTP1_E_CONTROL for any other. */
enum http1_error http1_check_text(struct slice s);

#endif
