/* Notification of the service manager. A socket per message, as libsystemd does it: messages are
 * rare, and there is no descriptor to go stale when the manager is executed anew. */
#include "io/supervisor.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* The manager's address: a path, or a name in the abstract space, written with an @. False when
 * there is none that we understand. */
static bool manager_address(struct sockaddr_un *un, socklen_t *ret_len)
{
    const char *e = getenv("NOTIFY_SOCKET");
    size_t n = e ? strlen(e) : 0;
    if (n < 2 || n >= sizeof(un->sun_path) || (e[0] != '/' && e[0] != '@'))
        return false;
    *un = (struct sockaddr_un){.sun_family = AF_UNIX};
    memcpy(un->sun_path, e, n);
    if (e[0] == '@')
        un->sun_path[0] = '\0';
    /* The length of an abstract name is part of it. */
    *ret_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n + (e[0] == '/'));
    return true;
}

bool supervisor_present(void)
{
    struct sockaddr_un un;
    socklen_t len;
    return manager_address(&un, &len);
}

int supervisor_send(const char *text, const int *fds, size_t fds_n)
{
    struct sockaddr_un un;
    struct iovec iov = {.iov_base = (void *)text, .iov_len = strlen(text)};
    struct msghdr m = {.msg_name = &un, .msg_iov = &iov, .msg_iovlen = 1};
    union {
        char room[CMSG_SPACE(SUPERVISOR_FDS_MAX * sizeof(int))];
        struct cmsghdr align;
    } control;
    if (fds_n > SUPERVISOR_FDS_MAX)
        return -EINVAL;
    if (!manager_address(&un, &m.msg_namelen))
        return -ENOENT;
    if (fds_n > 0) {
        memset(&control, 0, sizeof(control));
        m.msg_control = control.room;
        m.msg_controllen = CMSG_SPACE(fds_n * sizeof(int));
        struct cmsghdr *c = CMSG_FIRSTHDR(&m);
        *c = (struct cmsghdr){.cmsg_level = SOL_SOCKET,
                              .cmsg_type = SCM_RIGHTS,
                              .cmsg_len = CMSG_LEN(fds_n * sizeof(int))};
        memcpy(CMSG_DATA(c), fds, fds_n * sizeof(int));
    }
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    int r = sendmsg(fd, &m, MSG_NOSIGNAL) < 0 ? -errno : 0;
    close(fd);
    return r;
}
