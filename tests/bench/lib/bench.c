/* The common parts of the benchmark programs. They are measuring tools: an error ends them at once,
 * since a figure that came about beside an error is worth nothing. */
#include "bench/lib/bench.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

_Static_assert(sizeof(((struct address *)0)->raw) >= sizeof(struct sockaddr_storage), "room");

__attribute__((format(printf, 1, 0))) static void say(const char *fmt, va_list ap)
{
    fprintf(stderr, "%s: ", program_invocation_short_name);
    vfprintf(stderr, fmt, ap);
    fputc('\n', stderr);
}

void die(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    say(fmt, ap);
    va_end(ap);
    exit(1);
}

void die_usage(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    say(fmt, ap);
    va_end(ap);
    fprintf(stderr, "%s: --help tells what there is\n", program_invocation_short_name);
    exit(2);
}

uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * NSEC_PER_SEC + (uint64_t)t.tv_nsec;
}

uint64_t option_u64(const char *option, const char *text, uint64_t max)
{
    char *end;
    unsigned long long v;

    errno = 0;
    v = strtoull(text, &end, 10);
    if (errno != 0 || end == text || *end || *text < '0' || *text > '9' || v > max)
        die_usage("%s %s: not a number of at most %llu", option, text, (unsigned long long)max);
    return v;
}

struct address address_tcp(const char *host_port)
{
    const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct address a = {.n = 0};
    const char *colon = strrchr(host_port, ':');
    struct addrinfo *found = NULL;
    char host[256];
    size_t n;
    int r;

    if (!colon || colon == host_port || !colon[1])
        die_usage("%s: not HOST:PORT", host_port);
    n = (size_t)(colon - host_port);
    if (host_port[0] == '[' && colon[-1] == ']') {
        host_port++;
        n -= 2;
    }
    if (n >= sizeof(host))
        die_usage("%s: not HOST:PORT", host_port);
    memcpy(host, host_port, n);
    host[n] = '\0';
    r = getaddrinfo(host, colon + 1, &hints, &found);
    if (r != 0)
        die("%s: %s", host_port, gai_strerror(r));
    a.n = found->ai_addrlen;
    memcpy(a.raw.room, found->ai_addr, a.n);
    freeaddrinfo(found);
    return a;
}

struct address address_unix(const char *path)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    struct address a = {.n = sizeof(un)};
    size_t n = strlen(path);

    if (n == 0 || n >= sizeof(un.sun_path))
        die_usage("%s: no path of a socket", path);
    memcpy(un.sun_path, path, n);
    memcpy(a.raw.room, &un, sizeof(un));
    return a;
}

int address_listen(const struct address *a)
{
    const struct sockaddr *sa = (const struct sockaddr *)a->raw.room;
    int fd = socket(sa->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int on = 1;

    if (fd < 0)
        die("socket: %m");
    if (sa->sa_family == AF_UNIX) {
        const char *path = ((const struct sockaddr_un *)sa)->sun_path;
        struct stat st;

        if (lstat(path, &st) == 0 && S_ISSOCK(st.st_mode))
            (void)unlink(path);
    } else {
        (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    }
    if (bind(fd, sa, a->n) < 0 || listen(fd, 4096) < 0)
        die("cannot listen: %m");
    return fd;
}

unsigned listen_port(int fd)
{
    struct sockaddr_storage ss;
    socklen_t n = sizeof(ss);

    if (getsockname(fd, (struct sockaddr *)&ss, &n) < 0)
        die("getsockname: %m");
    return ntohs(ss.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&ss)->sin6_port
                                          : ((struct sockaddr_in *)&ss)->sin_port);
}

int accept_client(int fd)
{
    int on = 1;
    int client = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

    if (client < 0 && errno != EAGAIN && errno != ECONNABORTED && errno != EINTR)
        die("accept: %m");
    if (client >= 0) /* fails on unix sockets, which have no such thing */
        (void)setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    return client;
}

void set_nonblocking(int fd)
{
    if (fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) < 0)
        die("fcntl: %m");
}

static void make_pipe(int ends[2], unsigned bytes)
{
    if (pipe2(ends, O_CLOEXEC) < 0)
        die("pipe: %m");
    if (bytes > 0)
        (void)fcntl(ends[0], F_SETPIPE_SZ, (int)bytes); /* may be refused; it still works then */
}

pid_t spawn_server(char **command, unsigned pipe_bytes, int *ret_in, int *ret_out)
{
    posix_spawn_file_actions_t actions;
    int to[2], from[2], r;
    pid_t pid = 0;

    make_pipe(to, pipe_bytes);
    make_pipe(from, pipe_bytes);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, to[0], STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, from[1], STDOUT_FILENO);
    r = posix_spawnp(&pid, command[0], &actions, NULL, command, environ);
    if (r != 0)
        die("%s: cannot start: %s", command[0], strerror(r));
    posix_spawn_file_actions_destroy(&actions);
    close(to[0]);
    close(from[1]);
    set_nonblocking(from[0]);
    set_nonblocking(to[1]);
    *ret_in = from[0];
    *ret_out = to[1];
    return pid;
}

void raise_files(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        die("getrlimit: %m");
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
}
