/* The file has no name from the moment it exists (or a moment later), so nothing is left behind
 * however the process ends. The blob that comes out of it is a private read-only mapping; `passed`
 * returns the pages that were handed to the kernel, so the resident part of a huge message is what
 * lies between the writes of one turn. */
#include "io/spool.h"

#include "base/util.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

struct spool {
    int fd;
    size_t n;
};

struct mapped_blob {
    struct blob blob;
    char *map;
    size_t dropped; /* bytes at the head whose pages were given back; whole pages */
};

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

int spool_new(const char *dir, struct spool **ret)
{
    struct spool *s;
    int fd = open(dir, O_TMPFILE | O_RDWR | O_EXCL | O_CLOEXEC, 0600);

    if (fd < 0) {
        /* EISDIR: a kernel that does not know the flag. */
        if (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL)
            return -errno;
        fd = open_and_unlink(dir);
        if (fd < 0)
            return fd;
    }
    s = xmalloc(sizeof(*s));
    *s = (struct spool){.fd = fd};
    *ret = s;
    return 0;
}

int spool_append(struct spool *s, const void *p, size_t n)
{
    const char *from = p;

    while (n > 0) {
        ssize_t done = write(s->fd, from, n);

        if (done < 0) {
            if (errno == EINTR)
                continue;
            return -errno;
        }
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
    close(s->fd);
    free(s);
}

static void mapped_passed(struct blob *b, size_t upto)
{
    struct mapped_blob *m = container_of(b, struct mapped_blob, blob);
    size_t page = (size_t)sysconf(_SC_PAGESIZE), end = upto / page * page;

    if (end <= m->dropped)
        return;
    madvise(m->map + m->dropped, end - m->dropped, MADV_DONTNEED);
    m->dropped = end;
}

static void mapped_free(struct blob *b)
{
    struct mapped_blob *m = container_of(b, struct mapped_blob, blob);

    munmap(m->map, b->n);
    free(m);
}

static int map(struct spool *s, struct blob **ret)
{
    struct mapped_blob *m;
    char *p = mmap(NULL, s->n, PROT_READ, MAP_PRIVATE, s->fd, 0);

    if (p == MAP_FAILED)
        return -errno;
    madvise(p, s->n, MADV_SEQUENTIAL);
    m = xmalloc(sizeof(*m));
    *m = (struct mapped_blob){.map = p};
    m->blob = (struct blob){
        .refs = 1, .n = s->n, .p = p, .free_fn = mapped_free, .passed = mapped_passed};
    *ret = &m->blob;
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
