/* The line to the service manager: datagrams to the socket that NOTIFY_SOCKET names, as in
 * sd_notify(3). Unlike sd_notify it never blocks: a manager that hangs must not make us hang. */
#ifndef IO_SUPERVISOR_H
#define IO_SUPERVISOR_H

#include <stdbool.h>
#include <stddef.h>

/* Most descriptors in one message (SCM_MAX_FD of the kernel). */
#define SUPERVISOR_FDS_MAX 253

/* Whether there is a manager that listens. */
bool supervisor_present(void);

/* Sends one message ("READY=1\nSTATUS=..."), with descriptors, which stay the caller's. 0; -EAGAIN
 * when the manager has not read earlier ones; -ENOENT when there is none; -errno otherwise. */
int supervisor_send(const char *text, const int *fds, size_t fds_n);

#endif
