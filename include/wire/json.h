/* Strict RFC 8259 JSON without a tree: a resumable validating scanner, and cheap access to members
 * of text that was validated before. UTF-8 is checked (RFC 3629: no overlongs, no surrogates); \u
 * escapes are checked for four hex digits, lone surrogate escapes pass (they are legal JSON and
 * travel as bytes). Strings are scanned 16 or 32 bytes at a time where the machine can. */
#ifndef WIRE_JSON_H
#define WIRE_JSON_H

#include "base/buf.h"
#include "base/slice.h"

enum json_type {
    JSON_NONE, /* absent, or not a value */
    JSON_NULL,
    JSON_FALSE,
    JSON_TRUE,
    JSON_NUMBER,
    JSON_STRING,
    JSON_ARRAY,
    JSON_OBJECT,
};

enum json_error {
    JSON_OK = 0,
    JSON_E_SYNTAX = -1,
    JSON_E_UTF8 = -2,
    JSON_E_DEPTH = -3,
    JSON_E_END = -4, /* the text ended too early, or there is more after the value */
};

/* Deepest nesting that can be asked for; a larger depth_max means this one. */
#define JSON_DEPTH_CAP 1023

/* Validates one complete text. ret_at (may be NULL): offset of the first bad byte. A text that is
 * one container deep has depth 1; a scalar has depth 0. */
enum json_error json_validate(struct slice text, unsigned depth_max, size_t *ret_at);

/* ---- access to validated text; undefined results otherwise, but never out of bounds ---- */

/* The type of a raw value by its first byte (leading whitespace not allowed). */
enum json_type json_type_of(struct slice raw);

/* The raw value of a member of the object `obj`; n == 0 when absent. key is compared with the
 * unescaped member name, exactly. First match. */
struct slice json_get(struct slice obj, const char *key);

/* The same along a path of keys, NULL-terminated: json_path(obj, "a", "b", NULL). */
struct slice json_path(struct slice obj, ...) __attribute__((sentinel));

/* Iterates an object or array. */
struct json_iter {
    struct slice rest;
};
struct json_iter json_iter(struct slice container);
bool json_next_member(struct json_iter *it, struct slice *ret_key_raw, struct slice *ret_value);
bool json_next_element(struct json_iter *it, struct slice *ret_value);

/* Unescapes a raw string token into out. false when raw is no string, or it is longer than max
 * bytes, or a lone surrogate escape cannot be represented (then U+FFFD is written and true
 * returned). */
bool json_unescape(struct slice raw_string, struct buf *out, size_t max);

/* Whether the raw string token, unescaped, equals s. */
bool json_string_is(struct slice raw_string, const char *s);

/* Compares two raw ids as MCP does: of one type, strings equal after unescaping, integers by bytes.
 */
bool json_id_eq(struct slice a, struct slice b);
/* The same number for ids that are equal so. Whoever chooses the ids can choose some that have one
 * number in common. */
uint64_t json_id_hash(struct slice id);

/* The raw number as uint64; false when it is not a non-negative integer that fits. */
bool json_u64(struct slice raw, uint64_t *ret);
/* The raw number as a double (strtod in the C locale); false when raw is no number. */
bool json_double(struct slice raw, double *ret);

/* Position of the first byte that is not valid UTF-8; n when all is. */
size_t utf8_valid_prefix(const char *p, size_t n);

#endif
