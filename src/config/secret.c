/* Reading secrets. What is judged is the open descriptor, not the name; the look at the name
 * beforehand only keeps open() from having an effect on a device. Nothing that is read here is ever
 * quoted in a message. */
#include "config/secret.h"

#include "base/util.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct place {
    bool judged;
    uid_t uid;
    char *why;
    size_t why_n;
};

__attribute__((format(printf, 3, 4))) static enum secret_result
say(const struct place *p, enum secret_result r, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(p->why, p->why_n, fmt, ap);
    va_end(ap);
    return r;
}

static enum secret_result say_errno(const struct place *p, int error)
{
    return say(p, error == EACCES ? SECRET_FOREIGN : SECRET_BAD, "cannot be read: %s",
               strerror(error));
}

static enum secret_result judge(const struct place *p, const struct stat *st)
{
    if (!S_ISREG(st->st_mode))
        return say(p, SECRET_BAD, "is no regular file");
    if ((size_t)st->st_size > SECRET_FILE_MAX)
        return say(p, SECRET_BAD, "is larger than %zu bytes", SECRET_FILE_MAX);
    if (!p->judged)
        return SECRET_OK;
    mode_t open_to = st->st_mode & (S_IRWXO | S_IRWXG);
    if (st->st_uid == 0)
        open_to &= ~(mode_t)S_IRGRP;
    if (open_to)
        return say(p, SECRET_BAD, "can be used by others (mode %04o); chmod it to 0600%s",
                   (unsigned)(st->st_mode & 07777), st->st_uid == 0 ? " or 0640" : "");
    if (st->st_uid != 0 && st->st_uid != p->uid)
        return say(p, SECRET_FOREIGN,
                   "belongs to user %u; it must belong to root or to user %u, who runs mcpoold",
                   (unsigned)st->st_uid, (unsigned)p->uid);
    return SECRET_OK;
}

static enum secret_result read_all(const struct place *p, int fd, char **ret, size_t *ret_n)
{
    /* One byte more than allowed, to notice a file that grows. */
    char *text = xmalloc(SECRET_FILE_MAX + 1);
    size_t n = 0;
    ssize_t k = 1;
    while (n <= SECRET_FILE_MAX && k != 0) {
        k = read(fd, text + n, SECRET_FILE_MAX + 1 - n);
        if (k < 0 && errno != EINTR) {
            enum secret_result r = say_errno(p, errno);
            secret_forget(text, n);
            return r;
        }
        n += k > 0 ? (size_t)k : 0;
    }
    if (n > SECRET_FILE_MAX) {
        secret_forget(text, n);
        return say(p, SECRET_BAD, "is larger than %zu bytes", SECRET_FILE_MAX);
    }
    *ret = text;
    *ret_n = n;
    return SECRET_OK;
}

enum secret_result secret_read(const char *path, bool judged, uid_t uid, char **ret, size_t *ret_n,
                               char *why, size_t why_n)
{
    struct place p = {.judged = judged, .uid = uid, .why = why, .why_n = why_n};
    struct stat st;
    if (stat(path, &st) < 0)
        return say_errno(&p, errno);
    enum secret_result r = judge(&p, &st);
    if (r != SECRET_OK)
        return r;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0)
        return say_errno(&p, errno);
    r = fstat(fd, &st) < 0 ? say_errno(&p, errno) : judge(&p, &st);
    if (r == SECRET_OK)
        r = read_all(&p, fd, ret, ret_n);
    close(fd);
    return r;
}

void secret_forget(char *text, size_t n)
{
    if (text)
        explicit_bzero(text, n);
    free(text);
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

bool secret_next(struct slice *text, struct slice *ret, unsigned *line)
{
    while (text->n != 0) {
        const char *end = memchr(text->p, '\n', text->n);
        struct slice s = slice_of(text->p, end ? (size_t)(end - text->p) : text->n);
        size_t used = s.n + (end != NULL);
        *text = slice_of(text->p + used, text->n - used);
        ++*line;
        while (s.n && is_blank(s.p[0]))
            s = slice_of(s.p + 1, s.n - 1);
        while (s.n && is_blank(s.p[s.n - 1]))
            s.n--;
        *ret = s;
        if (s.n)
            return true;
    }
    return false;
}

const char *secret_fault(struct slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < 0x21 || s.p[i] > 0x7e)
            return "holds something else than visible ASCII characters";
    }
    if (s.n < SECRET_MIN)
        return "is shorter than 16 characters, so it could be guessed";
    return s.n > SECRET_MAX ? "is longer than 4096 characters" : NULL;
}
