/* Errors and warnings of one file. All of them are reported in one go; v has room for the first of
 * each kind, the rest is only counted, so that a hostile or hopeless file cannot flood a terminal.
 * Text from the file is escaped here, once, for whatever shows it later. */
#include "config/diag.h"

#include "base/utf8.h"
#include "base/util.h"

#include <assert.h>
#include <ctype.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_MAX 500

void config_errors_init(struct config_errors *errs)
{
    memset(errs, 0, sizeof(*errs));
}

void config_errors_done(struct config_errors *errs)
{
    for (size_t i = 0; i < errs->n; i++)
        free(errs->v[i].text);
    free(errs->path);
    config_errors_init(errs);
}

/* Whether a terminal may act upon the character, or shows text in another order because of it. */
static bool acts_on_terminal(uint32_t cp)
{
    return cp < 0x20 || (cp >= 0x7f && cp < 0xa0) || (cp >= 0x2028 && cp <= 0x202e) ||
           (cp >= 0x2066 && cp <= 0x2069);
}

/* A malloc'ed copy of n bytes at s with such characters, and bytes that are no UTF-8, as \xNN. */
static char *escape(const char *s, size_t n)
{
    static const char hex[] = "0123456789abcdef";
    char *out = xmalloc(n * 4 + 1), *o = out;
    for (const char *end = s + n; s < end;) {
        uint32_t cp = 0;
        size_t len = utf8_sequence(s, (size_t)(end - s), &cp);
        bool plain = len != 0 && !acts_on_terminal(cp);
        for (len = len ? len : 1; len > 0; len--, s++) {
            if (plain) {
                *o++ = *s;
                continue;
            }
            *o++ = '\\';
            *o++ = 'x';
            *o++ = hex[(unsigned char)*s >> 4];
            *o++ = hex[*s & 15];
        }
    }
    *o = '\0';
    return out;
}

__attribute__((format(printf, 4, 0))) static void diag_add(struct config_errors *errs, bool warning,
                                                           struct config_pos pos, const char *fmt,
                                                           va_list ap)
{
    unsigned *count = warning ? &errs->warnings : &errs->errors;
    unsigned room = warning ? CONFIG_WARNINGS_MAX : CONFIG_ERRORS_MAX;
    if ((*count)++ >= room)
        return;
    char text[TEXT_MAX + 1];
    int n = vsnprintf(text, sizeof(text), fmt, ap);
    assert(n >= 0);
    errs->v[errs->n++] = (struct config_diag){
        .warning = warning,
        .line = pos.line,
        .column = pos.column,
        .text = escape(text, n <= TEXT_MAX ? (size_t)n : utf8_cut(text, TEXT_MAX)),
    };
}

void diag_error(struct config_errors *errs, struct config_pos pos, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    diag_add(errs, false, pos, fmt, ap);
    va_end(ap);
}

void diag_warning(struct config_errors *errs, struct config_pos pos, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    diag_add(errs, true, pos, fmt, ap);
    va_end(ap);
}

static bool diag_before(const struct config_diag *a, const struct config_diag *b)
{
    return a->line != b->line ? a->line < b->line : a->column < b->column;
}

/* Insertion sort: stable, and there are at most 40. */
void diag_sort(struct config_errors *errs)
{
    for (size_t i = 1; i < errs->n; i++) {
        struct config_diag d = errs->v[i];
        size_t k = i;
        for (; k > 0 && diag_before(&d, &errs->v[k - 1]); k--)
            errs->v[k] = errs->v[k - 1];
        errs->v[k] = d;
    }
}

void config_errors_write(const struct config_errors *errs, FILE *f)
{
    char *path = errs->path ? escape(errs->path, strlen(errs->path)) : NULL;
    const char *name = path ? path : "(text)";
    unsigned shown = (unsigned)errs->n, found = errs->errors + errs->warnings;
    for (size_t i = 0; i < errs->n; i++) {
        const struct config_diag *d = &errs->v[i];
        const char *kind = d->warning ? "warning" : "error";
        if (d->line != 0)
            fprintf(f, "%s:%u:%u: %s: %s\n", name, d->line, d->column, kind, d->text);
        else
            fprintf(f, "%s: %s: %s\n", name, kind, d->text);
    }
    if (found > shown)
        fprintf(f, "%s: note: %u more not shown\n", name, found - shown);
    free(path);
}

const char *diag_quote(struct diag_quote *q, const char *s)
{
    static const char more[] = "...";
    size_t n = strlen(s);
    const size_t room = sizeof(q->text) - sizeof(more);
    if (n <= room) {
        memcpy(q->text, s, n + 1);
        return q->text;
    }
    n = utf8_cut(s, 48);
    memcpy(q->text, s, n);
    memcpy(q->text + n, more, sizeof(more));
    return q->text;
}

static unsigned min_u(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

/* Optimal string alignment distance, three rows of the matrix at a time. */
unsigned diag_distance(const char *a, const char *b)
{
    enum { LONGEST = 64, FAR = 3 };
    size_t na = strlen(a), nb = strlen(b);
    if (na > LONGEST || nb > LONGEST || (na > nb ? na - nb : nb - na) >= FAR)
        return FAR;
    unsigned rows[3][LONGEST + 1];
    unsigned *before = rows[0], *last = rows[1], *row = rows[2];
    for (size_t j = 0; j <= nb; j++)
        last[j] = before[j] = (unsigned)j;
    for (size_t i = 1; i <= na; i++) {
        row[0] = (unsigned)i;
        int ca = tolower((unsigned char)a[i - 1]);
        for (size_t j = 1; j <= nb; j++) {
            int cb = tolower((unsigned char)b[j - 1]);
            row[j] = min_u(last[j] + 1, row[j - 1] + 1);
            row[j] = min_u(row[j], last[j - 1] + (ca != cb));
            if (i > 1 && j > 1 && ca == tolower((unsigned char)b[j - 2]) &&
                cb == tolower((unsigned char)a[i - 2]))
                row[j] = min_u(row[j], before[j - 2] + 1);
        }
        unsigned *free_row = before;
        before = last;
        last = row;
        row = free_row;
    }
    return min_u(last[nb], FAR);
}

void diag_nearest_offer(struct diag_nearest *n, const char *candidate)
{
    unsigned d = diag_distance(n->word, candidate);
    if (d < n->distance && d * 2 < strlen(n->word) + (d == 1)) {
        n->distance = d;
        n->best = candidate;
    }
}
