/* Columns stand two blanks apart, left-aligned. The last column is not filled up, so no line ends
 * in blanks; it is where the long texts go. */
#include "ctl/table.h"

#include "base/util.h"
#include "ctl/text.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define GAP 2

void colour_append(struct buf *out, const struct style *style, enum colour colour,
                   struct slice text)
{
    static const char *const on[] = {
        [COLOUR_NONE] = "",        [COLOUR_GREEN] = "\x1b[32m", [COLOUR_YELLOW] = "\x1b[33m",
        [COLOUR_RED] = "\x1b[31m", [COLOUR_DIM] = "\x1b[2m",    [COLOUR_BOLD] = "\x1b[1m",
    };
    bool coloured = style->colour && colour != COLOUR_NONE;
    if (coloured)
        buf_append_str(out, on[colour]);
    buf_append_slice(out, text);
    if (coloured)
        buf_append_str(out, "\x1b[0m");
}

void table_init(struct table *t, const struct style *style, const struct table_column *columns,
                size_t columns_n)
{
    assert(columns_n > 0 && columns_n <= TABLE_COLUMNS_MAX);
    *t = (struct table){.style = style, .columns = columns, .columns_n = columns_n};
}

void table_done(struct table *t)
{
    for (size_t i = 0; i < t->n; i++)
        free(t->cells[i].text);
    free(t->cells);
    t->cells = NULL;
    t->n = t->cap = 0;
}

void table_cell(struct table *t, enum colour colour, const char *text)
{
    struct buf b = BUF_INIT;
    if (t->n == t->cap) {
        t->cap = t->cap ? 2 * t->cap : 64;
        t->cells = xrealloc(t->cells, t->cap * sizeof(*t->cells));
    }
    struct table_cell *c = &t->cells[t->n++];
    text_escape(&b, text && *text ? slice_str(text) : SLICE("-"), t->style->utf8);
    c->width = text_width(buf_peek(&b));
    c->text = buf_take(&b, &c->n);
    c->colour = colour;
}

void table_cellf(struct table *t, enum colour colour, const char *fmt, ...)
{
    char text[256];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    table_cell(t, colour, text);
}

/* ---- layout ---- */

struct layout {
    size_t width[TABLE_COLUMNS_MAX]; /* of the widest cell */
    bool shown[TABLE_COLUMNS_MAX];
    size_t last_room; /* columns for the last one */
};

static void measure(const struct table *t, struct layout *l)
{
    for (size_t c = 0; c < t->columns_n; c++) {
        l->width[c] = text_width(slice_str(t->columns[c].title));
        l->shown[c] = true;
    }
    for (size_t i = 0; i < t->n; i++) {
        size_t c = i % t->columns_n;
        if (t->cells[i].width > l->width[c])
            l->width[c] = t->cells[i].width;
    }
}

/* The column to leave next; columns_n: all that are shown stay. The last one always stays. */
static size_t next_to_leave(const struct table *t, const struct layout *l)
{
    size_t found = t->columns_n;
    for (size_t c = 0; c + 1 < t->columns_n; c++)
        if (l->shown[c] && t->columns[c].leave &&
            (found == t->columns_n || t->columns[c].leave > t->columns[found].leave))
            found = c;
    return found;
}

static void fit(const struct table *t, unsigned indent, struct layout *l)
{
    size_t last = t->columns_n - 1, limit = t->style->columns, before = indent;
    for (size_t c = 0; c < last; c++)
        before += l->width[c] + GAP;
    l->last_room = l->width[last];
    if (limit == 0)
        return;
    size_t wanted = l->width[last] < TABLE_LAST_MIN ? l->width[last] : TABLE_LAST_MIN;
    while (before + wanted > limit) {
        size_t c = next_to_leave(t, l);
        if (c == t->columns_n)
            break;
        l->shown[c] = false;
        before -= l->width[c] + GAP;
    }
    /* Too narrow for what has to stay: the terminal may wrap its lines. */
    size_t room = before + wanted <= limit ? limit - before : wanted;
    if (room < l->last_room)
        l->last_room = room;
}

static void write_row(const struct table *t, const struct layout *l, unsigned indent,
                      const struct table_cell *row, struct buf *out)
{
    buf_appendf(out, "%*s", (int)indent, "");
    for (size_t c = 0; c < t->columns_n; c++) {
        bool last = c + 1 == t->columns_n;
        struct buf cut = BUF_INIT;
        if (!l->shown[c])
            continue;
        struct slice text = slice_of(row[c].text, row[c].n);
        if (last) {
            text_cut(&cut, text, l->last_room, t->style->utf8);
            text = buf_peek(&cut);
        }
        colour_append(out, t->style, row[c].colour, text);
        if (!last)
            buf_appendf(out, "%*s", (int)(l->width[c] - row[c].width + GAP), "");
        buf_done(&cut);
    }
    buf_append_str(out, "\n");
}

void table_write(const struct table *t, unsigned indent, struct buf *out)
{
    struct table_cell titles[TABLE_COLUMNS_MAX] = {0};
    struct layout l;
    assert(t->n % t->columns_n == 0);
    measure(t, &l);
    fit(t, indent, &l);
    for (size_t c = 0; c < t->columns_n; c++) {
        struct slice title = slice_str(t->columns[c].title);
        titles[c] = (struct table_cell){.text = (char *)(uintptr_t)title.p,
                                        .n = title.n,
                                        .width = title.n,
                                        .colour = COLOUR_BOLD};
    }
    write_row(t, &l, indent, titles, out);
    for (size_t i = 0; i < t->n; i += t->columns_n)
        write_row(t, &l, indent, &t->cells[i], out);
}
