/* A map from 64-bit keys to pointers, for what is entered, found and taken out once for each
 * message. Zero-initialised it is empty. Keys need be neither unique, for hashes are not, nor well
 * spread: upstream ids rise by one. The table only grows, to four times what it held at most, until
 * idmap_done. */
#ifndef BASE_IDMAP_H
#define BASE_IDMAP_H

#include <stddef.h>
#include <stdint.h>

struct idmap_entry {
    uint64_t key;
    void *value; /* NULL: free */
};

struct idmap {
    struct idmap_entry *table;
    size_t cap, count; /* cap: 0 or a power of two … */
    unsigned shift;    /* … 2^(64 - shift) */
};

/* Frees the table; the map is empty and usable again. */
void idmap_done(struct idmap *m);

/* Enters value, which is not NULL. */
void idmap_put(struct idmap *m, uint64_t key, void *value);

/* The values of this key, in no particular order: *pos starts at 0; NULL after the last. The map
 * must not change meanwhile. */
void *idmap_find(const struct idmap *m, uint64_t key, size_t *pos);

/* A value of this key, when there is no other; NULL when there is none. */
void *idmap_get(const struct idmap *m, uint64_t key);

/* The same, and takes it out. */
void *idmap_take(struct idmap *m, uint64_t key);

/* Takes out this very entry, which must be there. */
void idmap_drop(struct idmap *m, uint64_t key, const void *value);

/* Walks all values, in no particular order: *pos starts at 0; NULL after the last. The map must not
 * change meanwhile. */
void *idmap_next(const struct idmap *m, size_t *pos);

#endif
