/* Heap blobs: header and bytes in one allocation, so that a message costs one malloc and one free.
 */
#include "base/blob.h"

#include "base/util.h"

#include <assert.h>
#include <limits.h>
#include <stdint.h>
#include <stdlib.h>

static void heap_free(struct blob *b)
{
    free(b);
}

struct blob *blob_alloc(size_t n, char **ret_p)
{
    struct blob *b;
    char *bytes;

    assert(n <= SIZE_MAX - sizeof(*b));
    b = xmalloc(sizeof(*b) + n);
    bytes = (char *)(b + 1);
    *b = (struct blob){.refs = 1, .n = n, .p = bytes, .free_fn = heap_free};
    *ret_p = bytes;
    return b;
}

struct blob *blob_new(const void *p, size_t n)
{
    char *bytes;
    struct blob *b = blob_alloc(n, &bytes);

    if (n > 0)
        memcpy(bytes, p, n);
    return b;
}

struct blob *blob_ref(struct blob *b)
{
    assert(b->refs > 0 && b->refs < UINT_MAX);
    b->refs++;
    return b;
}

struct blob *blob_unref(struct blob *b)
{
    if (!b)
        return NULL;
    assert(b->refs > 0);
    if (--b->refs == 0)
        b->free_fn(b);
    return NULL;
}

struct blob *payload_hold(struct payload *p)
{
    if (p->owner)
        return blob_ref(p->owner);
    struct blob *b = blob_new(p->text.p, p->text.n);
    *p = (struct payload){.text = blob_slice(b), .owner = b};
    return b;
}
