/* probe: what the machine itself can do, as references for the figures of proxies: a round trip of
 * a small message through two pipes and another process, which is what any proxy to a stdio server
 * pays at least, and the speed of copying, which bounds large results. */
#include "base/util.h"
#include "bench/lib/bench.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static const char help[] =
    "Usage: probe pipe|memcpy [--seconds S] [--bytes N]\n"
    "  pipe    round trips of a message between two processes through a pair of pipes\n"
    "  memcpy  copying between two blocks of memory\n"
    "  --seconds S  how long, in whole seconds (1)\n"
    "  --bytes N    size of the message (200) or the block (16777216)\n"
    "Prints one line of JSON.\n";

/* Moves n bytes; false at the end of the pipe. */
static bool read_all(int fd, char *p, size_t n)
{
    while (n > 0) {
        ssize_t r = read(fd, p, n);

        if (r < 0 && errno == EINTR)
            continue;
        if (r < 0)
            die("read: %m");
        if (r == 0)
            return false;
        p += r;
        n -= (size_t)r;
    }
    return true;
}

static void write_all(int fd, const char *p, size_t n)
{
    while (n > 0) {
        ssize_t r = write(fd, p, n);

        if (r < 0 && errno != EINTR)
            die("write: %m");
        if (r > 0) {
            p += r;
            n -= (size_t)r;
        }
    }
}

/* Answers each message with itself until the other side is gone. */
static void echo(int in, int out, char *message, size_t bytes)
{
    while (read_all(in, message, bytes))
        write_all(out, message, bytes);
    _exit(0);
}

static void probe_pipe(uint64_t seconds, size_t bytes)
{
    uint64_t began, now, trips = 0;
    char *message = xcalloc(1, bytes);
    int to[2], from[2];
    pid_t pid;

    if (pipe(to) < 0 || pipe(from) < 0)
        die("pipe: %m");
    pid = fork();
    if (pid < 0)
        die("fork: %m");
    if (pid == 0) {
        close(to[1]);
        close(from[0]);
        echo(to[0], from[1], message, bytes);
    }
    close(to[0]);
    close(from[1]);
    began = now = now_ns();
    for (; now - began < seconds * NSEC_PER_SEC; now = now_ns()) {
        write_all(to[1], message, bytes);
        if (!read_all(from[0], message, bytes))
            die("the other process ended");
        trips++;
    }
    close(to[1]);
    (void)waitpid(pid, NULL, 0);
    free(message);
    printf("{\"probe\":\"pipe\",\"bytes\":%zu,\"round_trips_per_second\":%.1f,\"us\":%.3f}\n",
           bytes, (double)trips * 1e9 / (double)(now - began),
           (double)(now - began) / 1e3 / (double)trips);
}

static void probe_memcpy(uint64_t seconds, size_t bytes)
{
    uint64_t began, now, copies = 0;
    char *from = xmalloc(bytes), *to = xmalloc(bytes);

    memset(from, 'x', bytes);
    memset(to, 'y', bytes); /* both are mapped now */
    began = now = now_ns();
    for (; now - began < seconds * NSEC_PER_SEC; now = now_ns()) {
        memcpy(to, from, bytes);
        /* Nobody reads the copy; the compiler must not know. */
        __asm__ volatile("" : : "r"(to) : "memory");
        copies++;
    }
    free(from);
    free(to);
    printf("{\"probe\":\"memcpy\",\"bytes\":%zu,\"bytes_per_second\":%.0f}\n", bytes,
           (double)copies * (double)bytes * 1e9 / (double)(now - began));
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"seconds", required_argument, NULL, 's'},
                                            {"bytes", required_argument, NULL, 'b'},
                                            {"help", no_argument, NULL, 'h'},
                                            {0}};
    uint64_t seconds = 1, bytes = 0;
    const char *what;
    int c;

    while ((c = getopt_long(argc, argv, "", options, NULL)) >= 0) {
        if (c == 'h')
            return fputs(help, stdout) < 0;
        if (c == 's')
            seconds = option_u64("--seconds", optarg, 3600);
        else if (c == 'b')
            bytes = option_u64("--bytes", optarg, 1 << 30);
        else
            return 2;
    }
    if (optind + 1 != argc || seconds == 0)
        die_usage("one of pipe and memcpy, for at least a second");
    what = argv[optind];
    signal(SIGPIPE, SIG_IGN);
    if (strcmp(what, "pipe") == 0)
        probe_pipe(seconds, bytes > 0 ? bytes : 200);
    else if (strcmp(what, "memcpy") == 0)
        probe_memcpy(seconds, bytes > 0 ? bytes : 16777216);
    else
        die_usage("%s: there is pipe and memcpy", what);
    return 0;
}
