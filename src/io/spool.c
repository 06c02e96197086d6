/* A message is taken in steps of 2 MiB, each of which lies in memory if there is some left of
 * what all spools share, and in a file if not. So the usual big result costs no
 * file system and a huge one no memory, and while one leaves, the next has what it gives back. The
 * blob that comes out of it is one run of addresses over all steps.
 *
 * The file has no name from the moment it exists (or a moment later), so nothing is left behind
 * however the process ends. It is mapped privately and read-only; `passed` returns the pages that
 * were handed to the kernel, so the resident part of it is what lies between the writes of one
 * turn. Memory is returned in the same way, but only when nobody else holds the blob: unlike the
 * file's, those bytes do not come back.
 *
 * A step is a huge page. Where there are none, it is just many pages; where there are, it costs one
 * page fault instead of 512, which is what makes memory faster than a file at all. */
#include "io/spool.h"

#include "base/buf.h"
#include "base/util.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define STEP ((size_t)2 * 1024 * 1024)

enum place {
    IN_MEMORY,
    IN_FILE,
};

struct spool {
    char *dir;
    struct buf places; /* of the steps, a byte each … */
    char place;        /* … and of the last one, which is being filled */
    char *memory;      /* address space, or NULL */
    size_t reserved;   /* so much of it … */
    size_t taken;      /* … of which so much is in use; both whole steps */
    int fd;            /* -1: no step is in a file yet */
    size_t n;
};

struct mapped_blob {
    struct blob blob;
    struct buf places;
    char *map;
    size_t map_n;
    size_t held;     /* memory that is not given back yet */
    size_t returned; /* steps at the head that were looked at for that */
    size_t dropped;  /* bytes at the head whose pages in the file were given back; whole pages */
};

static size_t memory_most = SPOOL_MEMORY_DEFAULT;
static size_t memory_taken;

void spool_set_memory(size_t most)
{
    memory_most = most;
}

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

/* Address space costs nothing until it is written to: as much as one message could ever take. */
static bool reserve_memory(struct spool *s)
{
    size_t n = memory_most / STEP * STEP;
    char *p =
        mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (p == MAP_FAILED)
        return false;
    (void)madvise(p, n, MADV_HUGEPAGE);
    s->memory = p;
    s->reserved = n;
    return true;
}

/* Whether there is memory for another step. */
static bool take_step(struct spool *s)
{
    if (memory_taken + STEP > memory_most || (!s->memory && !reserve_memory(s)) ||
        s->taken == s->reserved)
        return false;
    memory_taken += STEP;
    s->taken += STEP;
    return true;
}

/* Finds a place for the next step. 0 or -errno. */
static int begin_step(struct spool *s)
{
    char place = take_step(s) ? IN_MEMORY : IN_FILE;

    if (place == IN_FILE && s->fd < 0) {
        int fd = open_file(s->dir);
        if (fd < 0)
            return fd;
        s->fd = fd;
    }
    buf_append(&s->places, &place, 1);
    s->place = place;
    return 0;
}

/* Appends the first of n bytes; returns how many, or -errno. */
static ssize_t append_some(struct spool *s, const char *p, size_t n)
{
    size_t at = s->n % STEP, part = n < STEP - at ? n : STEP - at;
    ssize_t done;

    if (s->place == IN_MEMORY) {
        memcpy(s->memory + s->taken - STEP + at, p, part);
        return (ssize_t)part;
    }
    done = write(s->fd, p, part);
    if (done < 0)
        return errno == EINTR ? 0 : -errno;
    return done;
}

int spool_append(struct spool *s, const void *p, size_t n)
{
    const char *from = p;

    while (n > 0) {
        ssize_t done = s->n == buf_len(&s->places) * STEP ? begin_step(s) : 0;

        if (done == 0)
            done = append_some(s, from, n);
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
        munmap(s->memory, s->reserved);
    memory_taken -= s->taken;
    if (s->fd >= 0)
        close(s->fd);
    buf_done(&s->places);
    free(s->dir);
    free(s);
}

static bool is_in(const struct buf *places, size_t step, enum place place)
{
    return buf_peek(places).p[step] == (char)place;
}

/* Drops the pages of the file before `upto`; they are read again when somebody asks for them. */
static void drop_file(struct mapped_blob *m, size_t upto)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), end = upto / page * page;

    while (m->dropped < end) {
        size_t step = m->dropped / STEP, step_end = (step + 1) * STEP;
        size_t to = step_end < end ? step_end : end;

        if (is_in(&m->places, step, IN_FILE))
            madvise(m->map + m->dropped, to - m->dropped, MADV_DONTNEED);
        m->dropped = to;
    }
}

/* Returns the memory of all steps that end before `upto`. */
static void return_memory(struct mapped_blob *m, size_t upto)
{
    for (; (m->returned + 1) * STEP <= upto; m->returned++) {
        if (!is_in(&m->places, m->returned, IN_MEMORY))
            continue;
        madvise(m->map + m->returned * STEP, STEP, MADV_DONTNEED);
        m->held -= STEP;
        memory_taken -= STEP;
    }
}

static void mapped_passed(struct blob *b, size_t upto)
{
    struct mapped_blob *m = container_of(b, struct mapped_blob, blob);

    if (b->refs == 1 && upto == b->n)
        return; /* all of it goes in a moment */
    drop_file(m, upto);
    if (b->refs == 1)
        return_memory(m, upto);
}

static void mapped_free(struct blob *b)
{
    struct mapped_blob *m = container_of(b, struct mapped_blob, blob);

    munmap(m->map, m->map_n);
    memory_taken -= m->held;
    buf_done(&m->places);
    free(m);
}

/* Steps from `step` on that are in the same place. */
static size_t run_of_steps(const struct spool *s, size_t step)
{
    struct slice places = buf_peek(&s->places);
    size_t end = step;

    while (end < places.n && places.p[end] == places.p[step])
        end++;
    return end - step;
}

/* Gives back what is reserved beyond the first n bytes. */
static void trim_memory(struct spool *s, size_t n)
{
    if (s->reserved > n)
        munmap(s->memory + n, s->reserved - n);
    s->reserved = n;
}

/* Puts all steps one after the other to `to`. The spool's memory is gone then, whether all of it
 * went there or not. False: errno says why. */
static bool map_steps(struct spool *s, char *to)
{
    size_t steps = buf_len(&s->places), from_memory = 0, from_file = 0, n;
    void *p = to;

    for (size_t step = 0; step < steps && p != MAP_FAILED; step += n / STEP) {
        char *at = to + step * STEP;

        n = run_of_steps(s, step) * STEP;
        if (is_in(&s->places, step, IN_MEMORY)) {
            p = mremap(s->memory + from_memory, n, n, MREMAP_MAYMOVE | MREMAP_FIXED, at);
            from_memory += p != MAP_FAILED ? n : 0;
        } else {
            p = mmap(at, n, PROT_READ, MAP_PRIVATE | MAP_FIXED, s->fd, (off_t)from_file);
            from_file += n;
        }
    }
    int err = errno;
    trim_memory(s, from_memory); /* the rest went to its place */
    s->memory = NULL;
    errno = err;
    return p != MAP_FAILED;
}

/* Memory and file in one run of addresses. NULL: errno says why. */
static char *map_both(struct spool *s, size_t map_n)
{
    char *p = mmap(NULL, map_n, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (p == MAP_FAILED)
        return NULL;
    if (!map_steps(s, p)) {
        int err = errno;
        munmap(p, map_n);
        errno = err;
        return NULL;
    }
    madvise(p, map_n, MADV_SEQUENTIAL);
    return p;
}

static int map(struct spool *s, struct blob **ret)
{
    size_t map_n = buf_len(&s->places) * STEP;
    char *p = s->fd < 0 ? s->memory : map_both(s, map_n);
    struct mapped_blob *m;

    if (!p)
        return -errno;
    if (s->fd < 0)
        trim_memory(s, map_n);
    m = xmalloc(sizeof(*m));
    *m = (struct mapped_blob){.places = s->places, .map = p, .map_n = map_n, .held = s->taken};
    m->blob = (struct blob){
        .refs = 1, .n = s->n, .p = p, .free_fn = mapped_free, .passed = mapped_passed};
    *ret = &m->blob;
    /* They are the blob's from now on. */
    s->places = (struct buf)BUF_INIT;
    s->memory = NULL;
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
