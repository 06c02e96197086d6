/* Reading and making a key file. The rule is to refuse what looks wrong rather than to replace it:
 * a new key would end every session that the old one knows, and a key that others could read or
 * write is none. */
#include "io/keyfile.h"

#include "base/util.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

struct place {
    char *path, *fresh; /* the file, and the one that is to become it */
    char *why;
    size_t why_size;
};

static char *join(const char *dir, const char *name, const char *more)
{
    size_t n = strlen(dir) + 1 + strlen(name) + strlen(more) + 1;
    char *path = xmalloc(n);
    snprintf(path, n, "%s/%s%s", dir, name, more);
    return path;
}

static enum keyfile_result bad(const struct place *p, const char *what)
{
    snprintf(p->why, p->why_size,
             "%s %s; put it right, or remove it to have a new key made, which ends all present "
             "sessions",
             p->path, what);
    return KEYFILE_BAD;
}

static enum keyfile_result bad_errno(const struct place *p, int error)
{
    char what[128];
    snprintf(what, sizeof(what), "cannot be read: %s", strerror(error));
    return bad(p, what);
}

static enum keyfile_result unsaved(const struct place *p, int error)
{
    snprintf(p->why, p->why_size,
             "cannot create the session key %s: %s; sessions will not survive a restart", p->path,
             strerror(error));
    return KEYFILE_UNSAVED;
}

/* NULL: it may be used. */
static const char *what_is_wrong(const struct stat *st, bool is_credential)
{
    if (!S_ISREG(st->st_mode))
        return "is no plain file";
    if (st->st_size != KEYFILE_SIZE)
        return "does not hold exactly 32 bytes";
    if (is_credential)
        return NULL; /* who may read it is the service manager's business */
    if (st->st_uid != geteuid())
        return "does not belong to the user who runs mcpoold";
    if (st->st_mode & (S_IRWXG | S_IRWXO))
        return "can be used by others (its mode must be 0600)";
    return NULL;
}

static enum keyfile_result read_key(const struct place *p, int fd, bool is_credential,
                                    unsigned char out[KEYFILE_SIZE])
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return bad_errno(p, errno);
    const char *wrong = what_is_wrong(&st, is_credential);
    if (wrong)
        return bad(p, wrong);
    ssize_t n = pread(fd, out, KEYFILE_SIZE, 0);
    if (n != KEYFILE_SIZE)
        return bad_errno(p, n < 0 ? errno : EIO);
    return KEYFILE_OK;
}

/* 0: it is there and *ret says what it is; -ENOENT. */
static int try_read(const struct place *p, bool is_credential, unsigned char out[KEYFILE_SIZE],
                    enum keyfile_result *ret)
{
    int fd = open(p->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | (is_credential ? 0 : O_NOFOLLOW));
    if (fd < 0 && errno == ENOENT)
        return -ENOENT;
    if (fd < 0) {
        *ret = bad_errno(p, errno);
        return 0;
    }
    *ret = read_key(p, fd, is_credential, out);
    close(fd);
    return 0;
}

static int fill(int fd, const unsigned char key[KEYFILE_SIZE])
{
    ssize_t n = write(fd, key, KEYFILE_SIZE);
    if (n != KEYFILE_SIZE)
        return n < 0 ? -errno : -ENOSPC;
    return fsync(fd) < 0 ? -errno : 0;
}

/* Best effort: without it the name may be missing after the machine stopped at once. */
static void flush_directory(const char *dir)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return;
    (void)fsync(fd);
    close(fd);
}

/* 0 also when another process was faster; then that one's is to be read. */
static int create(const struct place *p, const char *dir, const unsigned char key[KEYFILE_SIZE])
{
    int fd = mkostemp(p->fresh, O_CLOEXEC); /* O_EXCL, mode 0600 */
    if (fd < 0)
        return -errno;
    int e = fill(fd, key);
    close(fd);
    if (e == 0 && link(p->fresh, p->path) < 0 && errno != EEXIST)
        e = -errno;
    unlink(p->fresh);
    if (e == 0)
        flush_directory(dir);
    return e;
}

static enum keyfile_result load_or_make(const struct place *p, const char *dir,
                                        unsigned char out[KEYFILE_SIZE])
{
    enum keyfile_result r;
    unsigned char key[KEYFILE_SIZE];
    if (try_read(p, false, out, &r) == 0)
        return r;
    if (getrandom(key, sizeof(key), 0) != sizeof(key))
        return bad(p, "does not exist, and there are no random bytes to make it of");
    int e = create(p, dir, key);
    if (e < 0 || try_read(p, false, out, &r) < 0) {
        memcpy(out, key, sizeof(key));
        r = unsaved(p, e < 0 ? -e : ENOENT);
    }
    explicit_bzero(key, sizeof(key));
    return r;
}

enum keyfile_result keyfile_load(const char *dir, const char *credentials_dir, const char *name,
                                 unsigned char out[KEYFILE_SIZE], char *why, size_t why_size)
{
    struct place p = {.why = why, .why_size = why_size};
    enum keyfile_result r;
    int found = -ENOENT;
    if (credentials_dir) {
        p.path = join(credentials_dir, name, "");
        found = try_read(&p, true, out, &r);
        free(p.path);
    }
    if (found == 0)
        return r;
    p.path = join(dir, name, "");
    p.fresh = join(dir, name, ".XXXXXX");
    r = load_or_make(&p, dir, out);
    free(p.path);
    free(p.fresh);
    return r;
}
