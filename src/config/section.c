/* Sections: walks the members of an object, finds each one's row and stores the value as the row
 * says. A value that is refused leaves the default in place, so that reading goes on and one run
 * reports everything that is wrong. */
#include "config/section.h"

#include "config/value.h"

#include "base/util.h"

#include <ctype.h>
#include <inttypes.h>

const char *section_path(char out[static SECTION_PATH_MAX], const char *where, const char *key)
{
    struct diag_quote q;
    snprintf(out, SECTION_PATH_MAX, "%s%s%s", where, *where ? "." : "", diag_quote(&q, key));
    return out;
}

/* ---- defaults ---- */

static void *member_at(const struct config_row *row, void *base)
{
    return (char *)base + row->offset;
}

/* The words of a list default. */
static void store_words(struct config_arena *arena, const struct config_row *row, void *base)
{
    struct config_strings *list = member_at(row, base);
    size_t room = strlen(row->def_text) / 2 + 2;
    const char **v = arena_array(arena, room, sizeof(*v));
    for (const char *p = row->def_text; *p != '\0';) {
        size_t n = strcspn(p, " ");
        v[list->n++] = arena_strndup(arena, p, n);
        p += n + strspn(p + n, " ");
    }
    list->v = v;
}

void section_defaults(struct config_arena *arena, enum config_section section, void *base)
{
    size_t n;
    const struct config_row *rows = config_rows(&n);
    for (size_t i = 0; i < n; i++) {
        if (rows[i].section != section)
            continue;
        if (config_row_is_number(&rows[i]))
            config_row_store(&rows[i], base, rows[i].def);
        else if (rows[i].type == CONFIG_TYPE_HOSTS || rows[i].type == CONFIG_TYPE_ORIGINS)
            store_words(arena, &rows[i], base);
    }
}

/* ---- complaints ---- */

void section_wrong_type(struct config_reader *r, const struct jsonc_member *m, const char *where,
                        const char *what)
{
    char path[SECTION_PATH_MAX];
    diag_error(r->errs, m->value->pos, "\"%s\" must be %s, not %s",
               section_path(path, where, m->key), what, jsonc_type_name(m->value->type));
}

/* `"a", "b" or "c"`. */
static const char *list_values(const struct config_row *row, char out[static CONFIG_FORMAT_MAX])
{
    size_t n = 0;
    out[0] = '\0';
    for (size_t i = 0; row->values[i] != NULL && n < CONFIG_FORMAT_MAX; i++) {
        const char *glue = i == 0 ? "" : row->values[i + 1] ? ", " : " or ";
        n += (size_t)snprintf(out + n, CONFIG_FORMAT_MAX - n, "%s\"%s\"", glue, row->values[i]);
    }
    return out;
}

/* What the row wants, as it completes "must be". */
static const char *describe_type(const struct config_row *row, char out[static CONFIG_FORMAT_MAX])
{
    char values[CONFIG_FORMAT_MAX];
    const char *text = "an array of strings";
    switch (row->type) {
    case CONFIG_TYPE_BOOL:
        text = "true or false";
        break;
    case CONFIG_TYPE_COUNT:
        snprintf(out, CONFIG_FORMAT_MAX, "a whole number of %s", row->unit);
        return out;
    case CONFIG_TYPE_SIZE:
    case CONFIG_TYPE_RATE:
        snprintf(out, CONFIG_FORMAT_MAX,
                 "a number of bytes%s or a string such as \"64KiB\" or \"4MiB\"",
                 row->type == CONFIG_TYPE_RATE ? " per second" : "");
        return out;
    case CONFIG_TYPE_DURATION:
        text = "a number of seconds or a string such as \"500ms\", \"30s\", \"5m\" or \"1h\"";
        break;
    case CONFIG_TYPE_ENUM:
    case CONFIG_TYPE_CHOICE:
        return list_values(row, out);
    case CONFIG_TYPE_FLAGS:
        snprintf(out, CONFIG_FORMAT_MAX, "an array of %s", list_values(row, values));
        return out;
    case CONFIG_TYPE_PATH:
        text = "a string, an absolute path";
        break;
    case CONFIG_TYPE_MAP:
    case CONFIG_TYPE_SECTION:
        text = "an object";
        break;
    case CONFIG_TYPE_STRING:
        text = "a string";
        break;
    case CONFIG_TYPE_HOSTS:
    case CONFIG_TYPE_ORIGINS:
    case CONFIG_TYPE_STRINGS:
    case CONFIG_TYPE_LISTEN:
        break;
    }
    snprintf(out, CONFIG_FORMAT_MAX, "%s", text);
    return out;
}

static void wrong_type(struct config_reader *r, const struct config_row *row,
                       const struct jsonc_member *m, const char *where)
{
    char what[CONFIG_FORMAT_MAX];
    section_wrong_type(r, m, where, describe_type(row, what));
}

static void out_of_range(struct config_reader *r, const struct config_row *row,
                         const struct jsonc_member *m, const char *where)
{
    char path[SECTION_PATH_MAX], lo[CONFIG_FORMAT_MAX], hi[CONFIG_FORMAT_MAX];
    struct diag_quote q;
    char given[DIAG_QUOTE_MAX];
    if (m->value->type == JSONC_NUMBER)
        snprintf(given, sizeof(given), "%.*s",
                 m->value->number.n > 40 ? 40 : (int)m->value->number.n, m->value->number.p);
    else
        snprintf(given, sizeof(given), "%s", diag_quote(&q, m->value->string));
    diag_error(r->errs, m->value->pos, "\"%s\" is %s; it must be between %s and %s%s%s%s",
               section_path(path, where, m->key), given, config_row_format(row, row->min, lo),
               config_row_format(row, row->max, hi), row->type == CONFIG_TYPE_COUNT ? " " : "",
               row->type == CONFIG_TYPE_COUNT ? row->unit : "", row->zero ? ", or 0" : "");
}

/* Complains about a word that is none of the row's values. */
static void unknown_value(struct config_reader *r, const struct config_row *row,
                          struct config_pos pos, const char *path, const char *given)
{
    char values[CONFIG_FORMAT_MAX];
    struct diag_quote q;
    struct diag_nearest near = DIAG_NEAREST(given);
    for (size_t i = 0; row->values[i] != NULL; i++)
        diag_nearest_offer(&near, row->values[i]);
    list_values(row, values);
    if (near.best)
        diag_error(r->errs, pos, "\"%s\" is \"%s\"; did you mean \"%s\"? It must be %s", path,
                   diag_quote(&q, given), near.best, values);
    else
        diag_error(r->errs, pos, "\"%s\" is \"%s\"; it must be %s", path, diag_quote(&q, given),
                   values);
}

void section_unknown_key(struct config_reader *r, const struct jsonc_member *m, const char *where,
                         const enum config_section *sections, size_t sections_n)
{
    char path[SECTION_PATH_MAX];
    struct diag_nearest near = DIAG_NEAREST(m->key);
    size_t n;
    const struct config_row *rows = config_rows(&n), *elsewhere = NULL;
    for (size_t i = 0; i < n; i++) {
        bool here = false;
        for (size_t k = 0; k < sections_n; k++)
            here = here || rows[i].section == sections[k];
        if (here)
            diag_nearest_offer(&near, rows[i].key);
        else if (elsewhere == NULL && strcmp(rows[i].key, m->key) == 0)
            elsewhere = &rows[i];
    }
    section_path(path, where, m->key);
    if (elsewhere && elsewhere->section == CONFIG_SECTION_TOP)
        diag_error(r->errs, m->pos, "unknown key \"%s\"; \"%s\" belongs at the top of the file",
                   path, elsewhere->key);
    else if (elsewhere && elsewhere->section == CONFIG_SECTION_SERVER)
        diag_error(r->errs, m->pos,
                   "unknown key \"%s\"; \"%s\" belongs in an entry of \"mcpServers\"", path,
                   elsewhere->key);
    else if (elsewhere)
        diag_error(r->errs, m->pos, "unknown key \"%s\"; \"%s\" belongs in section \"%s\"", path,
                   elsewhere->key, config_section_key(elsewhere->section));
    else if (near.best)
        diag_error(r->errs, m->pos, "unknown key \"%s\"; did you mean \"%s\"?", path, near.best);
    else
        diag_error(r->errs, m->pos, "unknown key \"%s\"", path);
}

/* ---- values ---- */

static enum value_result parse_number(const struct config_row *row, const struct jsonc_value *v,
                                      uint64_t *ret)
{
    bool duration = row->type == CONFIG_TYPE_DURATION;
    if (v->type == JSONC_NUMBER)
        return value_number(v->number, duration ? USEC_PER_SEC : 1, ret);
    if (v->type != JSONC_STRING || row->type == CONFIG_TYPE_COUNT)
        return VALUE_SYNTAX;
    return duration ? value_duration(slice_str(v->string), ret)
                    : value_size(slice_str(v->string), ret);
}

static void read_number(struct config_reader *r, const struct config_row *row,
                        const struct jsonc_member *m, void *base, const char *where)
{
    char path[SECTION_PATH_MAX], what[CONFIG_FORMAT_MAX];
    struct diag_quote q;
    uint64_t v = 0;
    bool string = m->value->type == JSONC_STRING;
    switch (parse_number(row, m->value, &v)) {
    case VALUE_OK:
        if ((v < row->min || v > row->max) && !(v == 0 && row->zero))
            out_of_range(r, row, m, where);
        else
            config_row_store(row, base, v);
        return;
    case VALUE_NEGATIVE:
    case VALUE_RANGE:
        out_of_range(r, row, m, where);
        return;
    case VALUE_SYNTAX:
        if (!string || row->type == CONFIG_TYPE_COUNT) {
            wrong_type(r, row, m, where);
            return;
        }
        break;
    case VALUE_UNIT:
        diag_error(r->errs, m->value->pos,
                   "\"%s\" has no unit; write a bare number for %s, or a string with a unit",
                   section_path(path, where, m->key),
                   row->type == CONFIG_TYPE_DURATION ? "seconds" : "bytes");
        return;
    case VALUE_FRACTION:
        diag_error(r->errs, m->value->pos, "\"%s\" is finer than one %s",
                   section_path(path, where, m->key),
                   row->type == CONFIG_TYPE_DURATION ? "microsecond"
                   : row->type == CONFIG_TYPE_COUNT  ? "whole number"
                                                     : "byte");
        return;
    }
    diag_error(r->errs, m->value->pos, "\"%s\" is \"%s\"; it must be %s",
               section_path(path, where, m->key), diag_quote(&q, m->value->string),
               describe_type(row, what));
}

/* The index of s among the row's values; -1 after a complaint. */
static int find_value(struct config_reader *r, const struct config_row *row, struct config_pos pos,
                      const char *path, const char *s)
{
    for (int i = 0; row->values[i] != NULL; i++) {
        if (strcmp(row->values[i], s) == 0)
            return i;
    }
    unknown_value(r, row, pos, path, s);
    return -1;
}

static void read_name(struct config_reader *r, const struct config_row *row,
                      const struct jsonc_member *m, void *base, const char *where)
{
    char path[SECTION_PATH_MAX];
    if (m->value->type != JSONC_STRING) {
        wrong_type(r, row, m, where);
        return;
    }
    section_path(path, where, m->key);
    int i = find_value(r, row, m->value->pos, path, m->value->string);
    if (i < 0)
        return;
    if (row->type == CONFIG_TYPE_CHOICE)
        *(const char **)member_at(row, base) = row->values[i];
    else
        config_row_store(row, base, (uint64_t)i);
}

static void read_flags(struct config_reader *r, const struct config_row *row,
                       const struct jsonc_member *m, void *base, const char *where)
{
    char path[SECTION_PATH_MAX];
    unsigned bits = 0;
    if (m->value->type != JSONC_ARRAY) {
        wrong_type(r, row, m, where);
        return;
    }
    section_path(path, where, m->key);
    for (const struct jsonc_value *v = m->value->items; v != NULL; v = v->next) {
        if (v->type != JSONC_STRING) {
            wrong_type(r, row, m, where);
            return;
        }
        int i = find_value(r, row, v->pos, path, v->string);
        if (i < 0)
            return;
        bits |= 1U << i;
    }
    config_row_store(row, base, bits);
}

const char *section_string(struct config_reader *r, const struct jsonc_member *m, const char *where)
{
    if (m->value->type == JSONC_STRING)
        return m->value->string;
    section_wrong_type(r, m, where, "a string");
    return NULL;
}

static void read_path(struct config_reader *r, const struct config_row *row,
                      const struct jsonc_member *m, void *base, const char *where)
{
    char path[SECTION_PATH_MAX];
    const char *s = section_string(r, m, where);
    if (s == NULL)
        return;
    if (s[0] != '/') {
        diag_error(r->errs, m->value->pos, "\"%s\" must be an absolute path%s",
                   section_path(path, where, m->key), s[0] == '~' ? "; ~ is not expanded" : "");
        return;
    }
    size_t n = strlen(s);
    while (n > 1 && s[n - 1] == '/')
        n--;
    *(const char **)member_at(row, base) = arena_strndup(r->arena, s, n);
}

/* What sockaddr_un.sun_path holds on Linux besides the NUL: unix(7). */
#define SOCKET_PATH_MAX 107

bool section_check_socket_path(struct config_reader *r, struct config_pos pos, const char *path)
{
    struct diag_quote q;
    if (path[0] != '/') {
        diag_error(r->errs, pos, "the path of a socket must be absolute: \"unix:/path\"");
        return false;
    }
    if (strlen(path) > SOCKET_PATH_MAX) {
        diag_error(r->errs, pos,
                   "the path of the socket \"%s\" is longer than the %d bytes that are possible",
                   diag_quote(&q, path), SOCKET_PATH_MAX);
        return false;
    }
    return true;
}

/* Whether s may stand in allowed_hosts or allowed_origins. */
static bool is_allowed_entry(enum config_type type, const char *s)
{
    struct slice rest = slice_str(s), host, port;
    if (type == CONFIG_TYPE_ORIGINS) {
        const char *scheme_end = strstr(s, "://");
        if (scheme_end != NULL) {
            size_t n = (size_t)(scheme_end - s);
            if (n == 0 ||
                strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-.") != n)
                return false;
            rest = slice_str(scheme_end + 3);
        }
    }
    /* An opaque origin is sent as "null", and any sandboxed page has one. */
    return !slice_is_nocase(rest, "null") && address_split(rest, &host, &port);
}

static void read_hosts(struct config_reader *r, const struct config_row *row,
                       const struct jsonc_member *m, void *base, const char *where)
{
    char path[SECTION_PATH_MAX];
    struct diag_quote q;
    if (m->value->type != JSONC_ARRAY) {
        wrong_type(r, row, m, where);
        return;
    }
    section_path(path, where, m->key);
    const char **list = arena_array(r->arena, m->value->n + 1, sizeof(*list));
    size_t n = 0;
    for (const struct jsonc_value *v = m->value->items; v != NULL; v = v->next) {
        if (v->type != JSONC_STRING) {
            diag_error(r->errs, v->pos, "\"%s\" must hold strings, not %s", path,
                       jsonc_type_name(v->type));
            continue;
        }
        if (!is_allowed_entry(row->type, v->string)) {
            diag_error(
                r->errs, v->pos, "\"%s\": \"%s\" is not of the form %s", path,
                diag_quote(&q, v->string),
                row->type == CONFIG_TYPE_ORIGINS
                    ? "\"host\", \"host:port\" or \"scheme://host:port\"; there are no wildcards"
                    : "\"host\" or \"host:port\"; there are no wildcards");
            continue;
        }
        char *s = arena_strdup(r->arena, v->string);
        for (char *c = s; *c != '\0'; c++)
            *c = (char)tolower((unsigned char)*c);
        list[n++] = s;
    }
    *(struct config_strings *)member_at(row, base) = (struct config_strings){.n = n, .v = list};
}

void section_read_row(struct config_reader *r, const struct config_row *row,
                      const struct jsonc_member *m, void *base, const char *where)
{
    char path[SECTION_PATH_MAX];
    if (row->inert)
        diag_warning(r->errs, m->pos, "\"%s\" has no effect in this version",
                     section_path(path, where, m->key));
    switch (row->type) {
    case CONFIG_TYPE_BOOL:
        if (m->value->type == JSONC_BOOL)
            config_row_store(row, base, m->value->boolean);
        else
            wrong_type(r, row, m, where);
        break;
    case CONFIG_TYPE_COUNT:
    case CONFIG_TYPE_SIZE:
    case CONFIG_TYPE_RATE:
    case CONFIG_TYPE_DURATION:
        read_number(r, row, m, base, where);
        break;
    case CONFIG_TYPE_ENUM:
    case CONFIG_TYPE_CHOICE:
        read_name(r, row, m, base, where);
        break;
    case CONFIG_TYPE_FLAGS:
        read_flags(r, row, m, base, where);
        break;
    case CONFIG_TYPE_PATH:
        read_path(r, row, m, base, where);
        break;
    case CONFIG_TYPE_HOSTS:
    case CONFIG_TYPE_ORIGINS:
        read_hosts(r, row, m, base, where);
        break;
    case CONFIG_TYPE_STRING:
    case CONFIG_TYPE_STRINGS:
    case CONFIG_TYPE_MAP:
    case CONFIG_TYPE_LISTEN:
    case CONFIG_TYPE_SECTION:
        break;
    }
}

/* ---- sections ---- */

/* Pairs of which the first may not exceed the second. */
static const struct {
    enum config_section section;
    const char *low, *high;
} ordered[] = {
    {CONFIG_SECTION_RESILIENCE, "min_connections", "max_connections"},
    {CONFIG_SECTION_RESILIENCE, "backoff_base", "max_backoff_delay"},
    {CONFIG_SECTION_LIMITS, "max_header_bytes", "max_head_bytes"},
};

static void check_order(struct config_reader *r, enum config_section section,
                        const struct jsonc_value *obj, const void *base, const char *where)
{
    for (size_t i = 0; i < ARRAY_LEN(ordered); i++) {
        const struct jsonc_member *low = jsonc_member(obj, ordered[i].low);
        const struct jsonc_member *high = jsonc_member(obj, ordered[i].high);
        /* What the section does not mention it inherits from one that was checked. */
        if (ordered[i].section != section || (low == NULL && high == NULL))
            continue;
        const struct config_row *low_row = config_row_find(section, ordered[i].low);
        const struct config_row *high_row = config_row_find(section, ordered[i].high);
        uint64_t a = config_row_value(low_row, base), b = config_row_value(high_row, base);
        if (a <= b)
            continue;
        char path[SECTION_PATH_MAX], x[CONFIG_FORMAT_MAX], y[CONFIG_FORMAT_MAX];
        diag_error(r->errs, (low ? low : high)->value->pos,
                   "\"%s\" (%s) is larger than \"%s\" (%s)",
                   section_path(path, where, ordered[i].low), config_row_format(low_row, a, x),
                   ordered[i].high, config_row_format(high_row, b, y));
    }
}

void section_read(struct config_reader *r, enum config_section section,
                  const struct jsonc_value *value, void *base, const char *where, bool in_server)
{
    char path[SECTION_PATH_MAX];
    for (const struct jsonc_member *m = value->members; m != NULL; m = m->next) {
        const struct config_row *row = config_row_find(section, m->key);
        if (row == NULL)
            section_unknown_key(r, m, where, &section, 1);
        else if (in_server && !row->per_server)
            diag_error(r->errs, m->pos,
                       "\"%s\" cannot differ between servers; it belongs in section \"%s\" at the "
                       "top of the file",
                       section_path(path, where, m->key), config_section_key(section));
        else
            section_read_row(r, row, m, base, where);
    }
    check_order(r, section, value, base, where);
}
