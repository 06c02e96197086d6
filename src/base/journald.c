/* systemd's native journal protocol (JOURNAL_NATIVE_PROTOCOL in its documentation): a datagram of
 * lines "NAME=value". Not with sd_journal_sendv(3), which waits for room without an end: a journald
 * that is stopped or stuck would hold up every call of every client.
 *
 * The kernel takes only a few hundred datagrams for a reader that does not read; a burst may fill
 * that up although journald is well. So the first event that is not taken waits for a moment. If
 * that was in vain, no other one waits until journald takes something again.
 *
 * journald learns from /proc to which unit the sender of an event belongs, when it reads the event.
 * If that process has ended by then, `journalctl -u` does not show the event: the last words of one
 * that cannot start would be missed just where they are looked for. */
#include "base/journald.h"

#include "base/util.h"

#include <errno.h>
#include <linux/sockios.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define JOURNALD_SOCKET "/run/systemd/journal/socket"
#define PATIENCE_MS     10
#define FIELDS_MAX      16
#define SETTLE_MS       500
#define SETTLE_STEP_MS  5

static struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = JOURNALD_SOCKET};
static int fd = -1;    /* connected, or -1 */
static bool impatient; /* waiting was in vain the last time */

static void disconnect(void)
{
    if (fd >= 0)
        close(fd);
    fd = -1;
}

void journald_open(const char *path)
{
    disconnect();
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", path ? path : JOURNALD_SOCKET);
}

static bool reach(void)
{
    if (fd >= 0)
        return true;
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0)
        return true;
    disconnect();
    return false;
}

static bool wait_for_room(void)
{
    struct pollfd p = {.fd = fd, .events = POLLOUT};

    return !impatient && poll(&p, 1, PATIENCE_MS) > 0;
}

bool journald_send(const struct iovec *fields, size_t n)
{
    struct iovec iov[2 * FIELDS_MAX];
    struct msghdr message = {.msg_iov = iov};

    if (n > FIELDS_MAX)
        return false;
    for (size_t i = 0; i < n; i++) {
        iov[message.msg_iovlen++] = fields[i];
        iov[message.msg_iovlen++] = (struct iovec){"\n", 1};
    }
    /* Twice: after the wait for room, or over a new connection when journald has another socket. */
    for (unsigned tries = 0; tries < 2; tries++) {
        if (!reach())
            return false;
        if (sendmsg(fd, &message, MSG_NOSIGNAL) >= 0) {
            impatient = false;
            return true;
        }
        if (errno != EAGAIN)
            disconnect();
        else if (!wait_for_room())
            break;
    }
    impatient = true;
    return false;
}

static bool is_read(void)
{
    int unread = 0;
    return fd < 0 || ioctl(fd, SIOCOUTQ, &unread) < 0 || unread == 0;
}

void journald_settle(void)
{
    for (unsigned ms = 0; ms < SETTLE_MS && !is_read(); ms += SETTLE_STEP_MS)
        (void)poll(NULL, 0, SETTLE_STEP_MS);
    /* It has taken the last one, and looks into /proc now. */
    (void)poll(NULL, 0, 2 * SETTLE_STEP_MS);
}
