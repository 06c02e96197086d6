/* Tables for a terminal: as wide as their contents, or as the terminal, whichever is less. Pure. */
#ifndef CTL_TABLE_H
#define CTL_TABLE_H

#include "base/buf.h"
#include "base/slice.h"

#include <stdbool.h>

/* What the output goes to. */
struct style {
    unsigned columns; /* 0 = as many as needed */
    bool colour;
    bool utf8;
};

enum colour { COLOUR_NONE, COLOUR_GREEN, COLOUR_YELLOW, COLOUR_RED, COLOUR_DIM, COLOUR_BOLD };

/* Appends text between the sequences of the colour, if the style has colours. The text is printed
 * as it is. */
void colour_append(struct buf *out, const struct style *style, enum colour colour,
                   struct slice text);

struct table_column {
    const char *title;
    unsigned leave; /* when the table is too wide, the column of the highest number goes first; 0 =
                       it stays */
};

/* The most columns of a table. */
#define TABLE_COLUMNS_MAX 16

struct table_cell {
    char *text; /* escaped */
    size_t n, width;
    enum colour colour;
};

struct table {
    const struct style *style;
    const struct table_column *columns;
    size_t columns_n;
    struct table_cell *cells; /* row by row */
    size_t n, cap;
};

/* columns: at most TABLE_COLUMNS_MAX, borrowed for the table's life, like style. */
void table_init(struct table *t, const struct style *style, const struct table_column *columns,
                size_t columns_n);
void table_done(struct table *t);

/* The next cell, row by row, from left to right. The text is escaped here; an empty one is shown as
 * "-". */
void table_cell(struct table *t, enum colour colour, const char *text);
void table_cellf(struct table *t, enum colour colour, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Appends the titles and all rows, each line after `indent` blanks. When the style limits the
 * width, the columns that may leave do so one by one until the last column has room for what is in
 * it, or for TABLE_LAST_MIN; the last column is cut to what is left then. */
#define TABLE_LAST_MIN 20
void table_write(const struct table *t, unsigned indent, struct buf *out);

#endif
