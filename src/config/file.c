/* Reading the file. Whoever can write it can run commands as the daemon, so it must be a regular
 * file that belongs to root or to the daemon's user and that nobody else can write. What is judged
 * is the open descriptor, not the name, so that nothing can be swapped in between; the look at the
 * name beforehand only keeps open() from having an effect on a device. */
#include "config/file.h"

#include "config/diag.h"

#include "base/util.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct config_pos whole_file;

static int refuse(struct config_errors *errs, int error, const char *text)
{
    diag_error(errs, whole_file, "%s", text);
    return error;
}

static int judge(const struct stat *st, uid_t uid, struct config_errors *errs)
{
    if (S_ISDIR(st->st_mode))
        return refuse(errs, -EISDIR, "is a directory, not a regular file");
    if (!S_ISREG(st->st_mode))
        return refuse(errs, -EINVAL,
                      S_ISFIFO(st->st_mode)   ? "is a FIFO, not a regular file"
                      : S_ISSOCK(st->st_mode) ? "is a socket, not a regular file"
                                              : "is a device, not a regular file");
    if (st->st_uid != 0 && st->st_uid != uid) {
        diag_error(errs, whole_file,
                   "belongs to user %u; it must belong to root or to user %u, who runs mcpoold, "
                   "because its owner decides what mcpoold runs",
                   (unsigned)st->st_uid, (unsigned)uid);
        return -EPERM;
    }
    if (st->st_mode & (S_IWGRP | S_IWOTH)) {
        diag_error(errs, whole_file,
                   "can be written by %s (mode %04o), who could then decide what mcpoold runs; "
                   "chmod go-w it",
                   st->st_mode & S_IWOTH ? "anybody" : "its group",
                   (unsigned)(st->st_mode & 07777));
        return -EPERM;
    }
    if (st->st_size > CONFIG_FILE_MAX) {
        diag_error(errs, whole_file, "is larger than %d bytes", CONFIG_FILE_MAX);
        return -EFBIG;
    }
    return 0;
}

static int read_all(int fd, char *text, size_t room, size_t *ret_n)
{
    size_t n = 0;
    while (n < room) {
        ssize_t k = read(fd, text + n, room - n);
        if (k < 0 && errno == EINTR)
            continue;
        if (k < 0)
            return -errno;
        if (k == 0)
            break;
        n += (size_t)k;
    }
    *ret_n = n;
    return 0;
}

static int read_open_file(int fd, uid_t uid, char **ret_text, size_t *ret_n,
                          struct config_errors *errs)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return refuse(errs, -errno, strerror(errno));
    int r = judge(&st, uid, errs);
    if (r < 0)
        return r;
    /* One byte more than allowed, to notice a file that grows. */
    char *text = xmalloc(CONFIG_FILE_MAX + 1);
    size_t n = 0;
    r = read_all(fd, text, CONFIG_FILE_MAX + 1, &n);
    if (r < 0) {
        refuse(errs, r, strerror(-r));
    } else if (n > CONFIG_FILE_MAX) {
        diag_error(errs, whole_file, "is larger than %d bytes", CONFIG_FILE_MAX);
        r = -EFBIG;
    }
    if (r < 0) {
        free(text);
        return r;
    }
    *ret_text = text;
    *ret_n = n;
    return 0;
}

int file_read(const char *path, uid_t uid, char **ret_text, size_t *ret_n,
              struct config_errors *errs)
{
    struct stat st;
    if (stat(path, &st) < 0)
        return refuse(errs, -errno, strerror(errno));
    int r = judge(&st, uid, errs);
    if (r < 0)
        return r;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0)
        return refuse(errs, -errno, strerror(errno));
    r = read_open_file(fd, uid, ret_text, ret_n, errs);
    close(fd);
    return r;
}
