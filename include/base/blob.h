/* A reference-counted, immutable run of bytes: the body of one message on its way through the
 * daemon. Either heap memory or what io/spool holds in memory and in an unlinked file, which looks
 * the same to readers but can give its pages back once they were written out. */
#ifndef BASE_BLOB_H
#define BASE_BLOB_H

#include "base/slice.h"

struct blob {
    unsigned refs;
    size_t n;
    const char *p;
    void (*free_fn)(struct blob *); /* last reference gone; frees the bytes and the blob */
    /* The caller, who holds a reference, will not read bytes [0, upto) again: a mapped blob drops
     * its pages. Those who hold other references may go on reading them. May be NULL. */
    void (*passed)(struct blob *, size_t upto);
};

/* A copy of n bytes; one reference, owned by the caller. Header and bytes are one allocation. */
struct blob *blob_new(const void *p, size_t n);

/* An uninitialised blob of n bytes; *ret_p points at the bytes for the caller to fill before use.
 */
struct blob *blob_alloc(size_t n, char **ret_p);

struct blob *blob_ref(struct blob *b);

/* Drops one reference. Accepts NULL. Returns NULL, so that x = blob_unref(x) clears the holder. */
struct blob *blob_unref(struct blob *b);

static inline struct slice blob_slice(const struct blob *b)
{
    return slice_of(b->p, b->n);
}

/* Bytes of one message as they are handed from room to room: text is borrowed for the call unless
 * owner is set, in which case text lies inside *owner and lives as long as a reference to it. */
struct payload {
    struct slice text;
    struct blob *owner; /* NULL: text is borrowed */
};

/* A blob reference for the caller that keeps p's bytes alive (a copy is made when p has no owner);
 * p->text and p->owner then point into it, p->owner borrowed from the returned reference. */
struct blob *payload_hold(struct payload *p);

#endif
