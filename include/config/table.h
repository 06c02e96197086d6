/* The option table: every key that the configuration knows, with its type, default, range, unit and
 * help. The parser, the defaults, the messages of --check, conf/README.md, the reload diff and the
 * running daemon's "show config" read these rows and nothing else. */
#ifndef CONFIG_TABLE_H
#define CONFIG_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum config_section {
    CONFIG_SECTION_TOP,
    CONFIG_SECTION_HTTP,
    CONFIG_SECTION_LIMITS,
    CONFIG_SECTION_RESILIENCE,
    CONFIG_SECTION_DEFAULTS, /* also directly in a server's entry */
    CONFIG_SECTION_SERVER,   /* only in a server's entry */
};

/* The type of a value in the file, and of the member at config_row.offset. */
enum config_type {
    CONFIG_TYPE_BOOL,     /* bool */
    CONFIG_TYPE_COUNT,    /* unsigned */
    CONFIG_TYPE_SIZE,     /* size_t, bytes */
    CONFIG_TYPE_RATE,     /* size_t, bytes per second */
    CONFIG_TYPE_DURATION, /* usec_t */
    CONFIG_TYPE_ENUM,     /* an enum: index into values */
    CONFIG_TYPE_FLAGS,    /* unsigned: bit i = values[i] */
    CONFIG_TYPE_CHOICE,   /* const char *: one of values; NULL by default */
    CONFIG_TYPE_PATH,     /* const char *: an absolute path */
    CONFIG_TYPE_HOSTS,    /* struct config_strings: host[:port] */
    CONFIG_TYPE_ORIGINS,  /* struct config_strings: [scheme://]host[:port] */
    /* Not stored through offset: read by the code that knows the shape. */
    CONFIG_TYPE_STRING,
    CONFIG_TYPE_STRINGS,
    CONFIG_TYPE_MAP,
    CONFIG_TYPE_LISTEN,
    CONFIG_TYPE_SECTION,
};

struct config_row {
    enum config_section section;
    enum config_type type;
    const char *key;
    uint64_t def;         /* number, index or bits, in the member's unit */
    uint64_t min, max;    /* COUNT, SIZE, RATE, DURATION; both inclusive */
    const char *zero;     /* what 0 means, when 0 is allowed besides min..max; NULL = it is not */
    const char *def_text; /* the default in words or, for lists, separated by blanks */
    const char *const *values; /* ENUM, FLAGS, CHOICE: NULL-terminated */
    const char *unit;          /* COUNT: what is counted */
    bool reloadable;           /* a changed value takes effect without a restart */
    bool renews;               /* … on connections that are made after it only */
    bool inert;                /* accepted with a warning: this version does not act on it yet */
    bool per_server;           /* the section may also stand in a server's entry with this key */
    size_t offset;             /* of the member in the section's struct */
    const char *help;          /* one or more sentences */
};

struct config;

/* All rows, in the order of the reference page. */
const struct config_row *config_rows(size_t *ret_n);

/* The row of that section and exact key, NULL when there is none. */
const struct config_row *config_row_find(enum config_section section, const char *key);

/* The key under which a section stands at the top of the file; "" for the top, "mcpServers" for
 * CONFIG_SECTION_SERVER. */
const char *config_section_key(enum config_section section);

/* Longest text of config_row_format. */
#define CONFIG_FORMAT_MAX 160

/* The value v of a BOOL, COUNT, SIZE, RATE, DURATION, ENUM or FLAGS row as it would stand in the
 * file, with the quotes that it needs there. Writes at most CONFIG_FORMAT_MAX bytes with the NUL;
 * returns out. */
const char *config_row_format(const struct config_row *row, uint64_t v, char *out);

/* Whether a row is of one of these types, which are numbers to the two functions below. */
bool config_row_is_number(const struct config_row *row);

/* The number, index or bits that such a row has in the section struct at base. */
uint64_t config_row_value(const struct config_row *row, const void *base);

/* Gives it that value there. */
void config_row_store(const struct config_row *row, void *base, uint64_t v);

/* The struct that holds the global values of a section's rows; NULL for CONFIG_SECTION_SERVER. */
const void *config_section_struct(const struct config *c, enum config_section section);

#endif
