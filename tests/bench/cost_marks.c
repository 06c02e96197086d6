/* Loaded into the daemon by LD_PRELOAD when its cost is measured: says where the measured part
 * begins and ends. A signal of tests/bench/cost.py comes while the daemon sleeps in epoll_wait,
 * and when that returns callgrind is told to count from zero, or to write down what it has. The
 * answer on stderr comes before the next call is sent. The same signals stand in the output of
 * strace.
 *
 * callgrind_control would need ptrace for that, which a daemon that is not dumpable allows to root
 * only. In the signal handler itself callgrind's idea of who calls whom is another one, and the
 * costs of those that were on the stack would be wrong. What the function here costs is left out
 * of the figures by cost.py. */
#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>
#include <valgrind/callgrind.h>

/* As in cost.py; the C library keeps the first two real-time signals, valgrind the last. */
#define SIGNAL_BEGIN (SIGRTMIN + 6)
#define SIGNAL_END   (SIGRTMIN + 7)

static int (*wait_for_events)(int, struct epoll_event *, int, int);
static volatile sig_atomic_t asked;

/* A line that is lost is a wait that ends with an error in cost.py. */
static void say(const char *line)
{
    ssize_t n = write(STDERR_FILENO, line, strlen(line));

    (void)n;
}

static void on_signal(int signo)
{
    asked = signo;
}

static void mark(void)
{
    int saved = errno, signo = asked;

    asked = 0;
    if (signo == SIGNAL_BEGIN) {
        say("cost marks: begin\n");
        CALLGRIND_ZERO_STATS;
    } else {
        CALLGRIND_DUMP_STATS;
        say("cost marks: end\n");
    }
    errno = saved;
}

int epoll_wait(int epfd, struct epoll_event *events, int maxevents, int timeout)
{
    int n = wait_for_events(epfd, events, maxevents, timeout);

    if (asked)
        mark();
    return n;
}

__attribute__((constructor)) static void ready(void)
{
    struct sigaction act = {.sa_handler = on_signal};
    void *found = dlsym(RTLD_NEXT, "epoll_wait");
    char line[64];

    if (!found) {
        say("cost marks: this C library has no epoll_wait\n");
        abort();
    }
    memcpy(&wait_for_events, &found,
           sizeof(found)); /* ISO C has no cast from void * to a function */
    sigemptyset(&act.sa_mask);
    sigaction(SIGNAL_BEGIN, &act, NULL);
    sigaction(SIGNAL_END, &act, NULL);
    snprintf(line, sizeof(line), "cost marks: in process %ld\n", (long)getpid());
    say(line);
}
