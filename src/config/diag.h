/* What is wrong with a file: collecting, wording and ordering of errors and warnings. */
#ifndef CONFIG_DIAG_H
#define CONFIG_DIAG_H

#include "config/config.h"

/* A place in the file; 0, 0 = the file as a whole. */
struct config_pos {
    unsigned line, column;
};

/* Adds one error or warning. The text is escaped and, beyond 500 bytes, cut. */
void diag_error(struct config_errors *errs, struct config_pos pos, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void diag_warning(struct config_errors *errs, struct config_pos pos, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Brings the entries into the order of the file. */
void diag_sort(struct config_errors *errs);

/* Text of the file for use in a message: at most some 48 bytes of s, cut between characters. */
#define DIAG_QUOTE_MAX 64
struct diag_quote {
    char text[DIAG_QUOTE_MAX];
};
const char *diag_quote(struct diag_quote *q, const char *s);

/* How many single-character edits (insert, delete, replace, swap of neighbours) lead from a to b,
 * ASCII letters compared without case; capped at 3, which stands for "too many". */
unsigned diag_distance(const char *a, const char *b);

/* The best candidate seen so far for what somebody meant by `word`. */
struct diag_nearest {
    const char *word;
    const char *best; /* NULL = nothing is near */
    unsigned distance;
};
#define DIAG_NEAREST(w) ((struct diag_nearest){.word = (w), .distance = 3})

/* Offers a candidate. It counts when it is at most two edits away, and fewer than half of the word.
 */
void diag_nearest_offer(struct diag_nearest *n, const char *candidate);

#endif
