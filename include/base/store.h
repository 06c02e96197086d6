/* A place for records that outlive the process, as the pure rooms see it: a file in the daemon
 * (io/journal), memory in tests.
 *
 * A record is a line of text without control bytes, at most STORE_RECORD_MAX bytes. Records are
 * added one by one and read back, oldest first, by the next process. What is promised: a record is
 * out of this process's hands when `append` returns 0, so it survives kill -9; it may be lost when
 * the machine stops at once. Records that were damaged are left out by `read`, never altered. */
#ifndef BASE_STORE_H
#define BASE_STORE_H

#include "base/slice.h"

#define STORE_RECORD_MAX ((size_t)16 * 1024)

struct store;

struct store_ops {
    /* Hands each record of earlier processes to take, which must not use the store. 0 or -errno:
     * then not all of them could be read. *ret_damaged: how many were left out. */
    int (*read)(struct store *st, void (*take)(void *arg, struct slice record), void *arg,
                size_t *ret_damaged);
    /* Adds a record. 0 or -errno: then it may be missing or cut when it is read. */
    int (*append)(struct store *st, struct slice record);
    /* Replaces all records: what is appended in between takes their place in one step at
     * rewrite_end, or not at all when that fails. durable: the new ones survive the machine's end
     * too, which may take the disk some time. rewrite_end follows unless rewrite_begin fails. */
    int (*rewrite_begin)(struct store *st);
    int (*rewrite_end)(struct store *st, bool durable);
    /* Bytes that the records take, damaged ones included. */
    size_t (*size)(const struct store *st);
};

struct store {
    const struct store_ops *ops;
};

#endif
