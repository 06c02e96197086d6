/* Counts what the program and the core allocate: the linker leads their calls here (--wrap), but
 * not those inside the C library, so that the count is exact. What the library allocates for a
 * caller who is to free it is counted too: realpath. */
#include "sim.h"

static long in_use;

/* NOLINTBEGIN(*-reserved-identifier,cert-dcl*): these names are the linker's. */
void *__real_malloc(size_t n);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *p, size_t n);
void __real_free(void *p);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *p, size_t n);
void __wrap_free(void *p);
char *__real_realpath(const char *path, char *resolved);
char *__wrap_realpath(const char *path, char *resolved);

long memory_in_use(void)
{
    return in_use;
}

void *__wrap_malloc(size_t n)
{
    in_use++;
    return __real_malloc(n);
}

void *__wrap_calloc(size_t count, size_t size)
{
    in_use++;
    return __real_calloc(count, size);
}

void *__wrap_realloc(void *p, size_t n)
{
    in_use += p == NULL;
    return __real_realloc(p, n);
}

void __wrap_free(void *p)
{
    in_use -= p != NULL;
    __real_free(p);
}

char *__wrap_realpath(const char *path, char *resolved)
{
    char *r = __real_realpath(path, resolved);
    in_use += r && !resolved;
    return r;
}
/* NOLINTEND(*-reserved-identifier,cert-dcl*) */
