/* How a session gets its two ends: a socket, or a process behind pipes; and what processes cost. */
#ifndef BENCH_LOAD_CONNECT_H
#define BENCH_LOAD_CONNECT_H

#include "bench/load/plan.h"

/* Connects, or starts the server; both ends non-blocking, the same descriptor for a socket. Ends
 * the program when that fails. *ret_pid: the server's process, 0 for sockets. */
void connect_open(const struct plan *plan, int *ret_in, int *ret_out, pid_t *ret_pid);

/* Waits for a server whose input was closed; nothing for 0. */
void connect_reap(pid_t pid);

/* CPU time of a process and all its threads so far, in nanoseconds; ends the program if there is no
 * such process. 0: this one. */
uint64_t process_cpu_ns(pid_t pid);

#endif
