/* Open addressing with linear probing. The place of a key is its product with 2^64 / φ, of which
 * the highest bits count: keys that follow each other, as upstream ids do, come to lie far apart.
 * At their own low bits they would form one run as long as the window of requests in flight, and
 * each removal would have to walk it.
 *
 * Removal shifts the run that follows back, so there are no tombstones and an entry that stays for
 * an hour costs nothing while millions pass it. At most half of the table is in use. */
#include "base/idmap.h"

#include "base/util.h"

#include <assert.h>
#include <stdlib.h>

#define CAP_MIN   16
#define SHIFT_MAX (64 - 4)

static size_t place(const struct idmap *m, uint64_t key)
{
    return (size_t)((key * UINT64_C(0x9e3779b97f4a7c15)) >> m->shift);
}

static void insert(struct idmap *m, uint64_t key, void *value)
{
    size_t i = place(m, key);

    while (m->table[i].value)
        i = (i + 1) & (m->cap - 1);
    m->table[i] = (struct idmap_entry){key, value};
}

static void grow(struct idmap *m)
{
    struct idmap_entry *old = m->table;
    size_t old_cap = m->cap;

    m->cap = old_cap ? old_cap * 2 : CAP_MIN;
    m->shift = old_cap ? m->shift - 1 : SHIFT_MAX;
    m->table = xcalloc(m->cap, sizeof(*m->table));
    for (size_t i = 0; i < old_cap; i++)
        if (old[i].value)
            insert(m, old[i].key, old[i].value);
    free(old);
}

void idmap_done(struct idmap *m)
{
    free(m->table);
    *m = (struct idmap){0};
}

void idmap_put(struct idmap *m, uint64_t key, void *value)
{
    if ((m->count + 1) * 2 > m->cap)
        grow(m);
    insert(m, key, value);
    m->count++;
}

/* *pos counts the places that were looked at, since the run may go round the end. */
void *idmap_find(const struct idmap *m, uint64_t key, size_t *pos)
{
    if (m->count == 0)
        return NULL;
    for (;;) {
        const struct idmap_entry *e = &m->table[(place(m, key) + *pos) & (m->cap - 1)];

        if (!e->value)
            return NULL;
        ++*pos;
        if (e->key == key)
            return e->value;
    }
}

void *idmap_get(const struct idmap *m, uint64_t key)
{
    size_t pos = 0;

    return idmap_find(m, key, &pos);
}

static void remove_at(struct idmap *m, size_t hole)
{
    size_t mask = m->cap - 1;

    for (size_t i = (hole + 1) & mask; m->table[i].value; i = (i + 1) & mask) {
        /* An entry may fill the hole unless its own place lies cyclically after the hole. */
        size_t own = place(m, m->table[i].key);

        if (((i - own) & mask) >= ((i - hole) & mask)) {
            m->table[hole] = m->table[i];
            hole = i;
        }
    }
    m->table[hole].value = NULL;
    m->count--;
}

void *idmap_take(struct idmap *m, uint64_t key)
{
    void *value;

    if (m->count == 0)
        return NULL;
    for (size_t i = place(m, key); (value = m->table[i].value); i = (i + 1) & (m->cap - 1)) {
        if (m->table[i].key != key)
            continue;
        remove_at(m, i);
        return value;
    }
    return NULL;
}

void idmap_drop(struct idmap *m, uint64_t key, const void *value)
{
    size_t i;

    assert(m->count > 0);
    for (i = place(m, key); m->table[i].value != value; i = (i + 1) & (m->cap - 1))
        assert(m->table[i].value);
    remove_at(m, i);
}

void *idmap_next(const struct idmap *m, size_t *pos)
{
    while (*pos < m->cap) {
        void *value = m->table[(*pos)++].value;

        if (value)
            return value;
    }
    return NULL;
}
