/* The runtime and state directories: made when they are missing, refused when others could put
 * sockets and files there under our names. */
#include "directories.h"

#include "base/log.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* mkdir -p with private permissions. 0 or -errno. */
static int make_path(const char *path)
{
    char part[PATH_MAX];
    size_t n = strlen(path);
    if (n >= sizeof(part))
        return -ENAMETOOLONG;
    for (size_t i = 1; i <= n; i++) {
        if (path[i] != '/' && path[i] != '\0')
            continue;
        memcpy(part, path, i);
        part[i] = '\0';
        if (mkdir(part, 0700) < 0 && errno != EEXIST)
            return -errno;
    }
    return 0;
}

int directory_ensure(const char *path)
{
    struct stat st;
    int r = make_path(path);
    if (r < 0) {
        log_error(LOG_CTX(.message_id = LOG_ID_FATAL), "cannot create directory %s: %s", path,
                  strerror(-r));
        return r;
    }
    if (stat(path, &st) < 0) {
        r = -errno;
        log_error(LOG_CTX(.message_id = LOG_ID_FATAL), "cannot look at directory %s: %s", path,
                  strerror(-r));
        return r;
    }
    if (!S_ISDIR(st.st_mode) || (st.st_uid != geteuid() && st.st_uid != 0) ||
        (st.st_mode & (S_IWGRP | S_IWOTH))) {
        log_error(LOG_CTX(.message_id = LOG_ID_FATAL),
                  "%s must be a directory of the user who runs mcpoold, writable by nobody else",
                  path);
        return -EPERM;
    }
    return 0;
}
