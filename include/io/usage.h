/* What the process costs the machine: asked of the kernel, for status and metrics. */
#ifndef IO_USAGE_H
#define IO_USAGE_H

#include "base/time.h"

struct usage {
    uint64_t resident, virtual_size; /* memory in bytes; 0 when the kernel does not tell */
    usec_t cpu;                      /* user and system time of all threads */
    uint64_t open_fds, max_fds;
};

/* Some system calls, and a walk through all open descriptors: not for the hot path. */
void usage_read(struct usage *ret);

/* usage.resident alone, for whoever asks often. */
uint64_t usage_resident(void);

#endif
