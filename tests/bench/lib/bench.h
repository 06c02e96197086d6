/* What the programs of the benchmark suite share: the end with a sentence, the clock, addresses,
 * and the numbers of their command lines. */
#ifndef BENCH_LIB_BENCH_H
#define BENCH_LIB_BENCH_H

#include "base/slice.h"

#include <stdint.h>
#include <sys/types.h>

#define NSEC_PER_SEC ((uint64_t)1000000000)

/* Writes "PROGRAM: " and the sentence to standard error and ends the process with status 1. A
 * measurement that went wrong has no result, so nothing in the suite goes on after an error. */
void die(const char *fmt, ...) __attribute__((noreturn, format(printf, 1, 2)));

/* The same for a wrong command line: status 2, and a pointer to --help. */
void die_usage(const char *fmt, ...) __attribute__((noreturn, format(printf, 1, 2)));

/* Nanoseconds of the monotonic clock. */
uint64_t now_ns(void);

/* The number after an option: decimal digits, at most max; ends the process otherwise. */
uint64_t option_u64(const char *option, const char *text, uint64_t max);

/* "HOST:PORT" or "[ADDRESS]:PORT", resolved. */
struct address {
    union {
        char room[128];
        uint64_t align;
    } raw; /* a struct sockaddr_storage */
    unsigned n;
};
struct address address_tcp(const char *host_port);
struct address address_unix(const char *path);

/* A listening socket, non-blocking. A unix socket that is in the way is removed. */
int address_listen(const struct address *a);

/* The port that a listening socket got. */
unsigned listen_port(int fd);

/* Accepts one connection, non-blocking and without delay of small writes; -1: none is waiting. */
int accept_client(int fd);

void set_nonblocking(int fd);

/* Starts a server and returns its process; *ret_in reads what it says, *ret_out writes to it, both
 * non-blocking. pipe_bytes: size of the pipes, 0: the kernel's. */
pid_t spawn_server(char **command, unsigned pipe_bytes, int *ret_in, int *ret_out);

/* As many descriptors as the system allows this process. */
void raise_files(void);

#endif
