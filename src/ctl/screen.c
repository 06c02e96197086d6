/* Signals act at once, whatever the program is doing: the handler gives the terminal back and lets
 * the signal have its usual effect, so there is nothing to check for anywhere else, and who waits
 * for this process sees what ended it. A new size of the terminal is no event of its own: it ends a
 * wait. */
#include "ctl/screen.h"

#include "base/buf.h"

#include <errno.h>
#include <langinfo.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

/* The alternate screen, no cursor, and lines that end at the edge instead of going on below. */
#define ENTER "\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[H\x1b[2J"
#define LEAVE "\x1b[?7h\x1b[?25h\x1b[?1049l"

static volatile sig_atomic_t on_page, on_keys;

/* How stdin was, and how it is while keys are taken; both set before on_keys. */
static struct termios lines_mode, keys_mode;

static bool is_terminal(void)
{
    const char *term = getenv("TERM");
    return isatty(STDOUT_FILENO) && term && *term && strcmp(term, "dumb") != 0;
}

/* A number in the environment, as shells keep the terminal's size; 0 when there is none. */
static unsigned size_from(const char *name)
{
    const char *s = getenv(name);
    char *end;
    if (!s || *s < '0' || *s > '9')
        return 0;
    unsigned long v = strtoul(s, &end, 10);
    return *end == '\0' && v <= 10000 ? (unsigned)v : 0;
}

static struct winsize terminal_size(void)
{
    struct winsize size = {0};
    if (!isatty(STDOUT_FILENO) || ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) < 0)
        size = (struct winsize){0};
    return size;
}

struct style screen_style(void)
{
    const char *no_colour = getenv("NO_COLOR");
    unsigned columns = size_from("COLUMNS");
    return (struct style){
        .columns = columns ? columns : terminal_size().ws_col,
        .colour = is_terminal() && !(no_colour && *no_colour),
        .utf8 = strcmp(nl_langinfo(CODESET), "UTF-8") == 0,
    };
}

bool screen_is_page(void)
{
    return is_terminal();
}

/* Only what may be called in a signal handler. */
static void put(const char *s, size_t n)
{
    ssize_t done = write(STDOUT_FILENO, s, n);
    (void)done; /* nobody is left to be told */
}

static void leave(void)
{
    if (on_keys)
        tcsetattr(STDIN_FILENO, TCSANOW, &lines_mode);
    if (on_page)
        put(LEAVE, sizeof(LEAVE) - 1);
}

static void on_end(int signo)
{
    sigset_t set;
    leave();
    on_page = on_keys = 0;
    signal(signo, SIG_DFL);
    sigemptyset(&set);
    sigaddset(&set, signo);
    raise(signo);
    sigprocmask(SIG_UNBLOCK, &set, NULL); /* it takes effect here */
}

static void on_suspend(int signo)
{
    int saved = errno;
    (void)signo;
    leave();
    raise(SIGSTOP);
    if (on_keys)
        tcsetattr(STDIN_FILENO, TCSANOW, &keys_mode);
    put(ENTER, sizeof(ENTER) - 1);
    errno = saved;
}

void screen_begin(void)
{
    static const int ends[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE};
    struct sigaction end = {.sa_handler = on_end}, suspend = {.sa_handler = on_suspend};
    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
        sigaddset(&end.sa_mask, ends[i]);
        sigaddset(&suspend.sa_mask, ends[i]);
    }
    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
        sigaction(ends[i], &end, NULL);
    sigaction(SIGTSTP, &suspend, NULL);
    on_page = 1;
    put(ENTER, sizeof(ENTER) - 1);
}

void screen_end(void)
{
    leave();
    on_page = on_keys = 0;
}

bool screen_draw(struct slice text)
{
    unsigned rows = size_from("LINES"), row = 0;
    struct buf b = BUF_INIT;
    if (!rows)
        rows = terminal_size().ws_row;
    buf_append_str(&b, "\x1b[H");
    while (text.n > 0) {
        const char *end = memchr(text.p, '\n', text.n);
        size_t n = end ? (size_t)(end - text.p) : text.n;
        size_t rest = text.n - n - (end != NULL);
        row++;
        if (rows && row == rows && rest > 0) { /* the last line that there is room for */
            buf_append_str(&b, "\x1b[K(more)");
            break;
        }
        buf_append(&b, text.p, n);
        buf_append_str(&b, "\x1b[K");
        if (rest > 0)
            buf_append_str(&b, "\n");
        text = slice_of(text.p + text.n - rest, rest);
    }
    buf_append_str(&b, "\x1b[J");
    size_t n = buf_len(&b);
    bool ok = fwrite(buf_peek(&b).p, 1, n, stdout) == n && fflush(stdout) == 0;
    buf_done(&b);
    return ok;
}

void screen_wait(usec_t span)
{
    struct timespec time = {.tv_sec = (time_t)(span / USEC_PER_SEC),
                            .tv_nsec = (long)(span % USEC_PER_SEC * 1000)};
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGWINCH);
    sigprocmask(SIG_BLOCK, &set, NULL); /* stays so: sigtimedwait takes it */
    sigtimedwait(&set, NULL, &time);
}

/* ---- keys ---- */

static void on_resize(int signo)
{
    (void)signo; /* it ends the wait */
}

bool screen_begin_keys(void)
{
    struct sigaction resize = {.sa_handler = on_resize};
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGWINCH);
    sigprocmask(SIG_BLOCK, &set, NULL); /* it comes in ppoll and nowhere else */
    sigaction(SIGWINCH, &resize, NULL);
    if (tcgetattr(STDIN_FILENO, &lines_mode) < 0)
        return false;
    keys_mode = lines_mode;
    keys_mode.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
    keys_mode.c_cc[VMIN] = 1;
    keys_mode.c_cc[VTIME] = 0;
    on_keys = 1;
    /* In the background this would stop us (SIGTTOU), as it stops any other program. */
    if (tcsetattr(STDIN_FILENO, TCSANOW, &keys_mode) < 0)
        on_keys = 0;
    return on_keys;
}

int screen_wait_key(usec_t span)
{
    struct timespec time = {.tv_sec = (time_t)(span / USEC_PER_SEC),
                            .tv_nsec = (long)(span % USEC_PER_SEC * 1000)};
    struct pollfd p = {.fd = on_keys ? STDIN_FILENO : -1, .events = POLLIN};
    sigset_t set;
    char key;
    sigprocmask(SIG_SETMASK, NULL, &set);
    sigdelset(&set, SIGWINCH);
    int n = ppoll(&p, 1, &time, &set);
    if (n < 0)
        return SCREEN_RESIZED;
    if (n == 0)
        return 0;
    if (read(STDIN_FILENO, &key, 1) == 1)
        return (unsigned char)key;
    on_keys = 0; /* the terminal is gone, and nothing is left to be restored */
    return 0;
}
