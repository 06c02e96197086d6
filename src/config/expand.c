/* ${VAR}: one pass from left to right, so that what comes out of the environment can never start
 * another expansion (security.md C10). "${" is the only special form: $VAR, $$ and a lone $ stay
 * what they are, and
 * "$${" writes a literal "${". ${env:VAR} is what some editors call the same thing. */
#include "config/expand.h"

#include "base/buf.h"
#include "base/util.h"

#include <stdlib.h>
#include <string.h>

/* Linux refuses a longer argument or environment string (MAX_ARG_STRLEN). */
#define VALUE_MAX ((size_t)128 * 1024)
#define TOTAL_MAX ((size_t)4 * 1024 * 1024)

/* The parts of what stands between "${" and "}". */
struct reference {
    struct slice name;
    struct slice fallback; /* p == NULL: none given */
};

static bool is_name_start(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static size_t name_length(const char *s, const char *end)
{
    const char *p = s;
    while (p < end && (is_name_start(*p) || (p > s && *p >= '0' && *p <= '9')))
        p++;
    return (size_t)(p - s);
}

static bool parse_reference(struct slice inside, struct reference *ret)
{
    if (slice_starts(inside, "env:"))
        inside = slice_of(inside.p + 4, inside.n - 4);
    size_t n = name_length(inside.p, inside.p + inside.n);
    *ret = (struct reference){.name = slice_of(inside.p, n)};
    if (n == 0)
        return false;
    struct slice rest = slice_of(inside.p + n, inside.n - n);
    if (slice_starts(rest, ":-"))
        ret->fallback = slice_of(rest.p + 2, rest.n - 2);
    else if (rest.n != 0)
        return false;
    return memmem(rest.p, rest.n, "${", 2) == NULL;
}

/* What the reference stands for; p == NULL after a complaint. */
static struct slice look_up(struct expand *e, struct config_pos pos, const char *key,
                            const struct reference *ref)
{
    char *name = xstrndup(ref->name.p, ref->name.n);
    const char *value = e->getenv(e->getenv_arg, name);
    struct slice found = slice_str(value);
    struct diag_quote q;
    if (found.n == 0 && ref->fallback.p != NULL)
        found = ref->fallback;
    else if (value == NULL && e->lenient)
        found = SLICE("");
    else if (value == NULL)
        diag_error(e->errs, pos,
                   "\"%s\" needs the environment variable %s, which is not set; set it or write "
                   "${%s:-default}",
                   key, diag_quote(&q, name), q.text);
    free(name);
    return found;
}

/* Appends what the reference at s, which begins with "${", stands for. Returns what follows it;
 * NULL after a complaint. */
static const char *expand_reference(struct expand *e, struct config_pos pos, const char *key,
                                    const char *s, struct buf *out)
{
    const char *close = strchr(s, '}');
    struct diag_quote q;
    if (close == NULL) {
        diag_error(e->errs, pos,
                   "\"%s\": \"${\" is not closed with \"}\"; a literal one is \"$${\"", key);
        return NULL;
    }
    struct reference ref;
    if (!parse_reference(slice_of(s + 2, (size_t)(close - s) - 2), &ref)) {
        diag_error(
            e->errs, pos,
            "\"%s\": \"%s\" does not begin with ${VAR} or ${VAR:-default}; a literal \"${\" is "
            "\"$${\"",
            key, diag_quote(&q, s));
        return NULL;
    }
    struct slice value = look_up(e, pos, key, &ref);
    if (value.p == NULL)
        return NULL;
    e->total += value.n;
    if (buf_len(out) + value.n > VALUE_MAX || e->total > TOTAL_MAX) {
        diag_error(e->errs, pos, "\"%s\" becomes too long with what its variables hold", key);
        return NULL;
    }
    buf_append_slice(out, value);
    return close + 1;
}

const char *expand_string(struct expand *e, struct config_pos pos, const char *key, const char *s)
{
    struct buf out = BUF_INIT;
    const char *result = NULL;
    while (s != NULL && *s != '\0') {
        if (strncmp(s, "$${", 3) == 0) {
            buf_append_str(&out, "${");
            s += 3;
        } else if (strncmp(s, "${", 2) == 0) {
            s = expand_reference(e, pos, key, s, &out);
        } else {
            size_t n = 1 + strcspn(s + 1, "$");
            buf_append(&out, s, n);
            s += n;
        }
    }
    if (s != NULL)
        result = arena_strndup(e->arena, out.data, buf_len(&out));
    buf_done(&out);
    return result;
}

bool expand_refers(const char *s)
{
    for (; *s != '\0'; s++) {
        if (strncmp(s, "$${", 3) == 0)
            s += 2;
        else if (strncmp(s, "${", 2) == 0)
            return true;
    }
    return false;
}
