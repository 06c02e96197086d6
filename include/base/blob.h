/* A reference-counted, immutable run of bytes: the body of one message on its way through the daemon.
 * Either heap memory or a private mapping of an unlinked spool file (io/spool), which looks the same to
 * readers but can give its pages back once they were written out. */
#ifndef BASE_BLOB_H
#define BASE_BLOB_H

#include "base/slice.h"

struct blob {
    unsigned refs;
    size_t n;
    const char *p;
    void (*free_fn)(struct blob *); /* last reference gone; frees the bytes and the blob */
    /* Bytes [0, upto) will hardly be read again: a mapped blob drops its pages. May be NULL. */
    void (*passed)(struct blob *, size_t upto);
};

/* A copy of n bytes; one reference, owned by the caller. Header and bytes are one allocation. */
struct blob *blob_new(const void *p, size_t n);

/* An uninitialised blob of n bytes; *ret_p points at the bytes for the caller to fill before use. */
struct blob *blob_alloc(size_t n, char **ret_p);

struct blob *blob_ref(struct blob *b);

/* Drops one reference. Accepts NULL. Returns NULL, so that x = blob_unref(x) clears the holder. */
struct blob *blob_unref(struct blob *b);

static inline struct slice blob_slice(const struct blob *b)
{
    return slice_of(b->p, b->n);
}

#endif
