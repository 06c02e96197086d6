/* A store (base/store.h) in a file: lines with a checksum, appended one write each.
 *
 * Survives: the death of the process at any point, kill -9 in the middle of a write included; the
 * line that was being written is left out when it is read. Does not survive, except for what was
 * there at the latest durable rewrite: the machine stopping at once. No append waits for the disk.
 *
 * The directory is locked (flock) while the journal is open, so that two processes never write to
 * one file: the second gets -EBUSY for everything that writes. A rewrite asks for the lock again
 * and gets it when the first has gone without having written since the second read. */
#ifndef IO_JOURNAL_H
#define IO_JOURNAL_H

#include "base/store.h"

/* The journal DIR/NAME, which need not exist yet. Never fails: what is wrong is returned by each
 * operation on the store. */
struct store *journal_open(const char *dir, const char *name);

/* Accepts NULL. Returns NULL. */
struct store *journal_close(struct store *st);

#endif
