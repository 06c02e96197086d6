/* Reader for JSON with comments and trailing commas: a small tree that knows where everything
 * stood. */
#ifndef CONFIG_JSONC_H
#define CONFIG_JSONC_H

#include "config/arena.h"
#include "config/diag.h"

#include "base/slice.h"

enum jsonc_type {
    JSONC_NULL,
    JSONC_BOOL,
    JSONC_NUMBER,
    JSONC_STRING,
    JSONC_ARRAY,
    JSONC_OBJECT,
};

struct jsonc_value {
    enum jsonc_type type;
    struct config_pos pos;
    size_t n; /* elements or members */
    union {
        bool boolean;
        struct slice number;          /* as written; borrowed from the text */
        const char *string;           /* unescaped, UTF-8, no NUL inside */
        struct jsonc_value *items;    /* list through next */
        struct jsonc_member *members; /* list through next, in the order of the file, keys unique */
    };
    struct jsonc_value *next;
};

struct jsonc_member {
    const char *key;
    struct config_pos pos;
    struct jsonc_value *value;
    struct jsonc_member *next;
};

/* Deepest nesting of arrays and objects; a configuration needs five. */
#define JSONC_DEPTH_MAX 32

/* Reads one complete text. Strict RFC 8259 but for comments (// to the end of the line, and block
 * comments, which do not nest) and one comma after the last element or member. Duplicate keys are
 * errors; the first is kept. NULL when the grammar is violated. Errors go to errs; the tree lives
 * in arena. */
struct jsonc_value *jsonc_parse(struct slice text, struct config_arena *arena,
                                struct config_errors *errs);

/* The member of that exact key; NULL when v is no object or has none. */
struct jsonc_member *jsonc_member(const struct jsonc_value *v, const char *key);

/* "an array", "a string" … for messages. */
const char *jsonc_type_name(enum jsonc_type type);

#endif
