/* Writes JSON into a buffer, without a tree: a status of a thousand servers is some megabytes, and
 * the loop has other things to do. Commas are put where they belong; that begins and ends match is
 * the caller's. */
#ifndef FRONT_ADMIN_JSON_H
#define FRONT_ADMIN_JSON_H

#include "base/buf.h"
#include "base/time.h"

#include <stdbool.h>

struct admin_json {
    struct buf *out;
    bool comma; /* a value stands before the next one */
};

/* key: NULL inside an array and for the outermost value. bracket: '{' or '['. */
void admin_json_begin(struct admin_json *j, const char *key, char bracket);
void admin_json_end(struct admin_json *j, char bracket); /* '}' or ']' */

void admin_json_u64(struct admin_json *j, const char *key, uint64_t v);
void admin_json_bool(struct admin_json *j, const char *key, bool v);
void admin_json_null(struct admin_json *j, const char *key);
/* s is of any content, see buf_append_json_string; p == NULL: null. */
void admin_json_slice(struct admin_json *j, const char *key, struct slice s);
void admin_json_str(struct admin_json *j, const char *key, const char *s); /* NULL: null */

/* A span as a number of seconds with as many decimals as it needs. */
void admin_json_seconds(struct admin_json *j, const char *key, usec_t span);

/* A point of the wall clock, microseconds since 1970, as RFC 3339 in UTC with milliseconds. */
void admin_json_wall(struct admin_json *j, const char *key, usec_t wall);

#endif
