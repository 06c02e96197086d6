/* The way to systemd's journal: one datagram per event, without ever waiting for long. */
#ifndef BASE_JOURNALD_H
#define BASE_JOURNALD_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/uio.h>

/* Events go to the socket at that path from now on; NULL = where journald listens. */
void journald_open(const char *path);

/* Sends one event: n fields "NAME=value", without line ends in them. false: nobody took it. */
bool journald_send(const struct iovec *fields, size_t n);

/* Waits, for half a second at most, until journald has read all that was sent. */
void journald_settle(void);

#endif
