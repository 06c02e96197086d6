/* The journal's file. Appends are one write(2) each, so what a client was told has left the process
 * before. A rewrite is composed in memory, goes to a file beside the old one and takes its name; a
 * failure on the way leaves the old one as it was. */
#include "io/journal.h"

#include "base/util.h"
#include "journal_text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define READ_SIZE ((size_t)64 * 1024)

struct journal {
    struct store store;
    int dir;     /* holds the lock; -1: see `error` */
    int error;   /* why nothing can be written, -errno; 0: it can */
    int fd;      /* for appending; -1: not open yet */
    size_t size; /* of the file, as far as it was read or written */
    bool torn;   /* the file may end inside a line */
    bool rewriting;
    struct buf fresh; /* the lines of the rewrite */
    struct stat seen; /* the file as it was read; st_ino 0: there was none */
    char *name, *fresh_name;
};

static struct journal *journal_of(struct store *st)
{
    return container_of(st, struct journal, store);
}

/* 0 or -errno; *done: what was written in any case. */
static int write_all(int fd, struct slice s, size_t *done)
{
    *done = 0;
    while (*done < s.n) {
        ssize_t n = write(fd, s.p + *done, s.n - *done);
        if (n < 0 && errno != EINTR)
            return -errno;
        if (n > 0)
            *done += (size_t)n;
    }
    return 0;
}

/* ---- reading ---- */

static int read_all(struct journal *j, int fd, struct journal_reader *r)
{
    struct stat st;
    char *chunk;
    ssize_t n;
    if (fstat(fd, &st) < 0)
        return -errno;
    if (!S_ISREG(st.st_mode))
        return S_ISDIR(st.st_mode) ? -EISDIR : -EINVAL;
    j->seen = st;
    chunk = xmalloc(READ_SIZE);
    while ((n = read(fd, chunk, READ_SIZE)) != 0) {
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            break;
        journal_feed(r, slice_of(chunk, (size_t)n));
        j->size += (size_t)n;
        j->torn = chunk[n - 1] != '\n';
    }
    int e = n < 0 ? -errno : 0;
    free(chunk);
    return e;
}

static int journal_read(struct store *st, void (*take)(void *arg, struct slice record), void *arg,
                        size_t *ret_damaged)
{
    struct journal *j = journal_of(st);
    struct journal_reader r = {.take = take, .arg = arg};
    if (j->dir < 0)
        return j->error;
    /* Not blocking: a pipe of that name must not hold up the start. */
    int fd = openat(j->dir, j->name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0)
        return errno == ENOENT ? 0 : -errno;
    int e = read_all(j, fd, &r);
    journal_feed_end(&r);
    close(fd);
    *ret_damaged = r.damaged;
    return e;
}

/* ---- appending ---- */

static int open_for_append(struct journal *j)
{
    if (j->error)
        return j->error;
    if (j->fd < 0)
        j->fd = openat(j->dir, j->name,
                       O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
    return j->fd < 0 ? -errno : 0;
}

static int append_line(struct journal *j, struct slice record)
{
    struct buf line = BUF_INIT;
    size_t done;
    int e = open_for_append(j);
    if (e < 0)
        return e;
    if (j->torn)
        buf_append_str(&line, "\n");
    journal_write_line(&line, record);
    e = write_all(j->fd, buf_peek(&line), &done);
    if (done)
        j->torn = e < 0;
    j->size += done;
    buf_done(&line);
    return e;
}

static int journal_append(struct store *st, struct slice record)
{
    struct journal *j = journal_of(st);
    if (!j->rewriting)
        return append_line(j, record);
    journal_write_line(&j->fresh, record);
    return 0;
}

/* ---- rewriting ---- */

static bool is_as_it_was_read(const struct journal *j)
{
    struct stat st;
    if (fstatat(j->dir, j->name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT && j->seen.st_ino == 0;
    return st.st_ino == j->seen.st_ino && st.st_size == j->seen.st_size &&
           st.st_mtim.tv_sec == j->seen.st_mtim.tv_sec &&
           st.st_mtim.tv_nsec == j->seen.st_mtim.tv_nsec;
}

/* Who had the lock may just have been about to end. Then the journal is ours after all, unless
 * there is something in it now that was never read: that must not be written over. */
static void try_lock_again(struct journal *j)
{
    if (flock(j->dir, LOCK_EX | LOCK_NB) < 0)
        return;
    if (is_as_it_was_read(j))
        j->error = 0;
    else
        flock(j->dir, LOCK_UN);
}

static int journal_rewrite_begin(struct store *st)
{
    struct journal *j = journal_of(st);
    if (j->error == -EBUSY)
        try_lock_again(j);
    if (j->error)
        return j->error;
    j->rewriting = true;
    return 0;
}

/* The new file, complete, in the place of the old one, open for appending; or -errno. */
static int write_fresh(struct journal *j, bool durable)
{
    size_t done;
    int e = 0;
    int fd =
        openat(j->dir, j->fresh_name,
               O_WRONLY | O_APPEND | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
    if (fd < 0)
        return -errno;
    e = write_all(fd, buf_peek(&j->fresh), &done);
    if (e == 0 && durable && fsync(fd) < 0)
        e = -errno;
    if (e == 0 && renameat(j->dir, j->fresh_name, j->dir, j->name) < 0)
        e = -errno;
    if (e < 0) {
        close(fd);
        unlinkat(j->dir, j->fresh_name, 0);
        return e;
    }
    return fd;
}

static int journal_rewrite_end(struct store *st, bool durable)
{
    struct journal *j = journal_of(st);
    /* An empty file in the place of an empty one, or of none, may as well be lost. */
    durable = durable && (buf_len(&j->fresh) > 0 || j->size > 0);
    int fd = write_fresh(j, durable);
    if (fd >= 0) {
        /* Some file systems have no fsync for directories; the rename is done all the same. */
        if (durable)
            (void)fsync(j->dir);
        if (j->fd >= 0)
            close(j->fd);
        j->fd = fd;
        j->size = buf_len(&j->fresh);
        j->torn = false;
    }
    j->rewriting = false;
    buf_done(&j->fresh);
    return fd < 0 ? fd : 0;
}

static size_t journal_size(const struct store *st)
{
    return container_of((struct store *)st, struct journal, store)->size;
}

static const struct store_ops ops = {
    .read = journal_read,
    .append = journal_append,
    .rewrite_begin = journal_rewrite_begin,
    .rewrite_end = journal_rewrite_end,
    .size = journal_size,
};

/* ---- birth and death ---- */

struct store *journal_open(const char *dir, const char *name)
{
    struct journal *j = xcalloc(1, sizeof(*j));
    size_t cap = strlen(name) + sizeof(".new");
    j->store.ops = &ops;
    j->fd = -1;
    j->name = xstrdup(name);
    j->fresh_name = xmalloc(cap);
    snprintf(j->fresh_name, cap, "%s.new", name);
    j->dir = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (j->dir < 0)
        j->error = -errno;
    else if (flock(j->dir, LOCK_EX | LOCK_NB) < 0)
        j->error = errno == EWOULDBLOCK ? -EBUSY : -errno;
    return &j->store;
}

struct store *journal_close(struct store *st)
{
    if (!st)
        return NULL;
    struct journal *j = journal_of(st);
    if (j->fd >= 0)
        close(j->fd);
    if (j->dir >= 0)
        close(j->dir);
    buf_done(&j->fresh);
    free(j->name);
    free(j->fresh_name);
    free(j);
    return NULL;
}
