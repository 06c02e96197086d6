/* Allocation that cannot fail. A daemon whose every queue has a limit runs out of memory only when
 * the machine does; half-done work behind a NULL would be worse than a restart by the service
 * manager. */
#include "base/util.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static _Noreturn void out_of_memory(void)
{
    static const char text[] = "mcpool: out of memory\n";
    ssize_t ignored = write(STDERR_FILENO, text, sizeof(text) - 1);

    (void)ignored;
    abort();
}

void *xmalloc(size_t n)
{
    void *p = malloc(n ? n : 1);

    if (!p)
        out_of_memory();
    return p;
}

void bytes_zero(void *p, size_t n)
{
    memset(p, 0, n);
}

void *xmalloc_zeroed(size_t n, size_t zeroed)
{
    return memset(xmalloc(n), 0, zeroed);
}

/* glibc's calloc passes by the cache of each thread, from which small pieces come almost for free.
 */
#define SMALL_MAX 1024

void *xcalloc(size_t count, size_t size)
{
    size_t n;
    void *p;

    if (!__builtin_mul_overflow(count, size, &n) && n <= SMALL_MAX) {
        p = xmalloc(n);
        memset(p, 0, n);
        return p;
    }
    p = calloc(count, size);

    if (!p)
        out_of_memory();
    return p;
}

void *xrealloc(void *p, size_t n)
{
    void *q = realloc(p, n ? n : 1);

    if (!q)
        out_of_memory();
    return q;
}

static char *copy(const char *s, size_t len)
{
    char *p = xmalloc(len + 1);

    memcpy(p, s, len);
    p[len] = '\0';
    return p;
}

char *xstrdup(const char *s)
{
    return copy(s, strlen(s));
}

char *xstrndup(const char *s, size_t n)
{
    return copy(s, strnlen(s, n));
}
