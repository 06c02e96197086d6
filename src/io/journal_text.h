/* The text of a journal, pure: CHECKSUM SPACE RECORD LF, the checksum being 16 hexadecimal digits
 * (FNV-1a, 64 bits, of the record). It finds accidents, not forgers: whoever can write the file
 * owns the daemon's state anyway. */
#ifndef IO_JOURNAL_TEXT_H
#define IO_JOURNAL_TEXT_H

#include "base/buf.h"
#include "base/store.h"

/* Appends the line of a record. */
void journal_write_line(struct buf *out, struct slice record);

/* Reads lines from any cuts of a file. Zero-initialised plus the first two members. */
struct journal_reader {
    void (*take)(void *arg, struct slice record);
    void *arg;
    size_t damaged;  /* lines that were left out */
    struct buf line; /* the beginning of one that has not ended yet */
    bool too_long;   /* it is longer than any line of ours */
};

void journal_feed(struct journal_reader *r, struct slice bytes);

/* The file is over, whether its last line has an end or not. Frees the memory. */
void journal_feed_end(struct journal_reader *r);

#endif
