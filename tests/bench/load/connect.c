/* Connecting is done blocking: on one machine it takes no longer than the system calls, and a limit
 * ends it where nobody accepts. Servers of large messages get the large pipes that the daemon would
 * give them. */
#include "bench/load/connect.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Messages from here on are worth larger pipes (the kernel's are 64 KiB). */
#define LARGE_BYTES ((uint64_t)64 << 10)
#define PIPE_BYTES  (1u << 20)

static int open_socket(const struct plan *plan)
{
    const struct sockaddr *sa = (const struct sockaddr *)plan->address.raw.room;
    const struct timeval limit = {.tv_sec = plan->timeout};
    int fd = socket(sa->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

    if (fd < 0)
        die("socket: %m");
    if (plan->via == VIA_HTTP)
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
    if (connect(fd, sa, plan->address.n) < 0)
        die("%s: cannot connect: %m", plan->target);
    set_nonblocking(fd);
    return fd;
}

void connect_open(const struct plan *plan, int *ret_in, int *ret_out, pid_t *ret_pid)
{
    bool large = plan->args_bytes >= LARGE_BYTES || plan->result_bytes >= LARGE_BYTES;

    if (plan->via == VIA_STDIO)
        *ret_pid = spawn_server(plan->command, large ? PIPE_BYTES : 0, ret_in, ret_out);
    else
        *ret_in = *ret_out = open_socket(plan);
}

void connect_reap(pid_t pid)
{
    while (pid > 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
}

/* The kernel's clock of the process: all threads, those that ended too, exact while it runs, which
 * neither /proc/PID/stat (hundredths of a second) nor schedstat (one thread) is. */
uint64_t process_cpu_ns(pid_t pid)
{
    struct timespec t;
    clockid_t clock;
    int r = clock_getcpuclockid(pid, &clock);

    if (r != 0 || clock_gettime(clock, &t) < 0)
        die("there is no process %d", (int)pid);
    return (uint64_t)t.tv_sec * NSEC_PER_SEC + (uint64_t)t.tv_nsec;
}
