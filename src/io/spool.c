/* A message begins in memory while there is some of SPOOL_MEMORY_MAX, which all spools share, and
 * goes on in a file from there on, so that the usual big result costs no file system and a huge one
 * no memory. The blob that comes out of it is one run of addresses over both.
 *
 * The file has no name from the moment it exists (or a moment later), so nothing is left behind
 * however the process ends. It is mapped privately and read-only; `passed` returns the pages that
 * were handed to the kernel, so the resident part of it is what lies between the writes of one
 * turn. Memory is returned in the same way, but only when nobody else holds the blob: unlike the
 * file's, those bytes do not come back.
 *
 * Memory is taken and returned in steps of a huge page. Where there are none, a step is just many
 * pages; where there are, a step costs one page fault instead of 512, which is what makes memory
 * faster than a file at all. */
#include "io/spool.h"

#include "base/util.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define STEP ((size_t)2 * 1024 * 1024)

struct spool {
    char *dir;
    char *memory; /* SPOOL_MEMORY_MAX of address space, of which `taken` may be used; or NULL */
    size_t taken; /* whole steps */
    int fd;       /* -1: all bytes are in memory; otherwise what follows the first `taken` */
    size_t n;
};

struct mapped_blob {
    struct blob blob;
    char *map;
    size_t map_n;
    size_t memory;   /* the first bytes, in memory; whole steps */
    size_t returned; /* of those, at the head */
    size_t dropped;  /* bytes at the head of the file whose pages were given back; whole pages */
};

static size_t memory_taken;

size_t spool_memory(void)
{
    return memory_taken;
}

/* For file systems without O_TMPFILE. */
static int open_and_unlink(const char *dir)
{
    size_t size = strlen(dir) + sizeof("/.mcpool-spool-XXXXXX");
    char *path = xmalloc(size);
    int fd, err = 0;

    snprintf(path, size, "%s/.mcpool-spool-XXXXXX", dir);
    fd = mkostemp(path, O_CLOEXEC);
    if (fd < 0) {
        err = errno;
    } else if (unlink(path) < 0) {
        err = errno;
        close(fd);
    }
    free(path);
    return err ? -err : fd;
}

static int open_file(const char *dir)
{
    int fd = open(dir, O_TMPFILE | O_RDWR | O_EXCL | O_CLOEXEC, 0600);

    if (fd >= 0)
        return fd;
    /* EISDIR: a kernel that does not know the flag. */
    if (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL)
        return -errno;
    return open_and_unlink(dir);
}

int spool_new(const char *dir, struct spool **ret)
{
    struct spool *s;

    /* A directory that is not there is to be noticed before memory has run out. */
    if (faccessat(AT_FDCWD, dir, W_OK | X_OK, AT_EACCESS) < 0)
        return -errno;
    s = xmalloc(sizeof(*s));
    *s = (struct spool){.dir = xstrdup(dir), .fd = -1};
    *ret = s;
    return 0;
}

/* Address space costs nothing until it is written to. */
static bool reserve_memory(struct spool *s)
{
    char *p = mmap(NULL, SPOOL_MEMORY_MAX, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (p == MAP_FAILED)
        return false;
    (void)madvise(p, SPOOL_MEMORY_MAX, MADV_HUGEPAGE);
    s->memory = p;
    return true;
}

/* Whether there is memory for another step. */
static bool take_step(struct spool *s)
{
    if (memory_taken + STEP > SPOOL_MEMORY_MAX || (!s->memory && !reserve_memory(s)))
        return false;
    memory_taken += STEP;
    s->taken += STEP;
    return true;
}

/* Appends the first of n bytes; returns how many, or -errno. */
static ssize_t append_some(struct spool *s, const char *p, size_t n)
{
    ssize_t done;

    if (s->fd < 0 && (s->n < s->taken || take_step(s))) {
        size_t room = s->taken - s->n, part = n < room ? n : room;
        memcpy(s->memory + s->n, p, part);
        return (ssize_t)part;
    }
    if (s->fd < 0) {
        int fd = open_file(s->dir);
        if (fd < 0)
            return fd;
        s->fd = fd;
    }
    done = write(s->fd, p, n);
    if (done < 0)
        return errno == EINTR ? 0 : -errno;
    return done;
}

int spool_append(struct spool *s, const void *p, size_t n)
{
    const char *from = p;

    while (n > 0) {
        ssize_t done = append_some(s, from, n);

        if (done < 0)
            return (int)done;
        from += done;
        n -= (size_t)done;
        s->n += (size_t)done;
    }
    return 0;
}

size_t spool_len(const struct spool *s)
{
    return s->n;
}

void spool_free(struct spool *s)
{
    if (!s)
        return;
    if (s->memory)
        munmap(s->memory, SPOOL_MEMORY_MAX);
    memory_taken -= s->taken;
    if (s->fd >= 0)
        close(s->fd);
    free(s->dir);
    free(s);
}

/* Returns what lies before `upto` of the memory. */
static void return_memory(struct mapped_blob *m, size_t upto)
{
    size_t end = upto < m->memory ? upto / STEP * STEP : m->memory;

    if (end <= m->returned)
        return;
    madvise(m->map + m->returned, end - m->returned, MADV_DONTNEED);
    memory_taken -= end - m->returned;
    m->returned = end;
}

/* Drops what lies before `upto` in the file, which is read again when it is asked for. */
static void drop_file(struct mapped_blob *m, size_t upto)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), end = upto / page * page;

    if (end <= m->dropped)
        return;
    madvise(m->map + m->memory + m->dropped, end - m->dropped, MADV_DONTNEED);
    m->dropped = end;
}

static void mapped_passed(struct blob *b, size_t upto)
{
    struct mapped_blob *m = container_of(b, struct mapped_blob, blob);

    if (b->refs == 1 && upto < b->n) /* at the end all of it goes anyway */
        return_memory(m, upto);
    if (upto > m->memory)
        drop_file(m, upto - m->memory);
}

static void mapped_free(struct blob *b)
{
    struct mapped_blob *m = container_of(b, struct mapped_blob, blob);

    munmap(m->map, m->map_n);
    memory_taken -= m->memory - m->returned;
    free(m);
}

/* Moves the memory to `to`. */
static bool move_memory(struct spool *s, char *to)
{
    if (!s->memory)
        return true;
    if (mremap(s->memory, s->taken, s->taken, MREMAP_MAYMOVE | MREMAP_FIXED, to) == MAP_FAILED)
        return false;
    munmap(s->memory + s->taken, SPOOL_MEMORY_MAX - s->taken);
    s->memory = NULL;
    return true;
}

/* Memory and file in one run of addresses. NULL: errno says why; the memory may be gone by then. */
static char *map_both(struct spool *s, size_t map_n)
{
    size_t in_file = s->n - s->taken;
    char *p = mmap(NULL, map_n, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (p == MAP_FAILED)
        return NULL;
    if (!move_memory(s, p) ||
        mmap(p + s->taken, in_file, PROT_READ, MAP_PRIVATE | MAP_FIXED, s->fd, 0) == MAP_FAILED) {
        int err = errno;
        munmap(p, map_n);
        errno = err;
        return NULL;
    }
    madvise(p + s->taken, in_file, MADV_SEQUENTIAL);
    return p;
}

static int map(struct spool *s, struct blob **ret)
{
    size_t map_n = s->fd < 0 ? SPOOL_MEMORY_MAX : (s->n + STEP - 1) / STEP * STEP;
    char *p = s->fd < 0 ? s->memory : map_both(s, map_n);
    struct mapped_blob *m;

    if (!p)
        return -errno;
    m = xmalloc(sizeof(*m));
    *m = (struct mapped_blob){.map = p, .map_n = map_n, .memory = s->taken};
    m->blob = (struct blob){
        .refs = 1, .n = s->n, .p = p, .free_fn = mapped_free, .passed = mapped_passed};
    *ret = &m->blob;
    s->memory = NULL; /* the blob's from now on */
    s->taken = 0;
    return 0;
}

int spool_finish(struct spool *s, struct blob **ret)
{
    int r = 0;

    if (s->n == 0)
        *ret = blob_new(NULL, 0); /* an empty mapping does not exist */
    else
        r = map(s, ret);
    spool_free(s);
    return r;
}
