/* Loaded into the daemon by LD_PRELOAD when its cost is measured: says where the measured part
 * begins and ends. A signal of tests/bench/cost.py comes while the daemon sleeps; the handler
 * tells callgrind to count from zero, or to write down what it has, and answers on stderr, so that
 * the next call is sent after it. The same signals stand in the output of strace. callgrind_control
 * would need ptrace for that, which a daemon that is not dumpable allows to root only. (Callgrind
 * 3.19 cannot begin to count inside a signal handler, so it counts from the start.)
 *
 * Nothing of the daemon is replaced, and without one of the two signals nothing here runs. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <valgrind/callgrind.h>

/* As in cost.py; the C library keeps the first two real-time signals, valgrind the last. */
#define SIGNAL_BEGIN (SIGRTMIN + 6)
#define SIGNAL_END   (SIGRTMIN + 7)

/* A line that is lost is a wait that ends with an error in cost.py. */
static void say(const char *line)
{
    ssize_t n = write(STDERR_FILENO, line, strlen(line));

    (void)n;
}

static void on_mark(int signo)
{
    int saved = errno;

    if (signo == SIGNAL_BEGIN) {
        say("cost marks: begin\n");
        CALLGRIND_ZERO_STATS;
    } else {
        CALLGRIND_DUMP_STATS;
        say("cost marks: end\n");
    }
    errno = saved;
}

__attribute__((constructor)) static void ready(void)
{
    struct sigaction act = {.sa_handler = on_mark, .sa_flags = SA_RESTART};
    char line[64];

    sigemptyset(&act.sa_mask);
    sigaction(SIGNAL_BEGIN, &act, NULL);
    sigaction(SIGNAL_END, &act, NULL);
    snprintf(line, sizeof(line), "cost marks: in process %ld\n", (long)getpid());
    say(line);
}
