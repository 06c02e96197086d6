/* Blocking, with one deadline for all of it: before each call that may block, the socket's own
 * timeouts are set to what is left. The answer is read by the daemon's parsers. */
#include "ctl/client.h"

#include "base/time.h"
#include "base/util.h"
#include "wire/http1.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define READ_SIZE ((size_t)64 * 1024)

struct exchange {
    const char *path;
    int fd;
    usec_t timeout, end_at;
    struct buf in;
};

/* 0, or -ETIMEDOUT when the time is over. */
static int set_timeouts(struct exchange *x)
{
    usec_t now = clock_monotonic();
    if (now >= x->end_at)
        return -ETIMEDOUT;
    usec_t left = x->end_at - now;
    struct timeval tv = {.tv_sec = (time_t)(left / USEC_PER_SEC),
                         .tv_usec = (suseconds_t)(left % USEC_PER_SEC)};
    if (setsockopt(x->fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)) < 0 ||
        setsockopt(x->fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv)) < 0)
        return -errno;
    return 0;
}

/* What a socket call that failed means; 0 = try again. */
static int judge_errno(void)
{
    if (errno == EINTR)
        return 0;
    return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINPROGRESS ? -ETIMEDOUT : -errno;
}

static int connect_to(struct exchange *x)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    size_t n = strlen(x->path);
    if (n >= sizeof(addr.sun_path))
        return -ENAMETOOLONG;
    memcpy(addr.sun_path, x->path, n);
    x->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (x->fd < 0)
        return -errno;
    for (;;) {
        int r = set_timeouts(x);
        if (r < 0)
            return r;
        if (connect(x->fd, (const struct sockaddr *)&addr, sizeof(addr)) == 0)
            return 0;
        r = judge_errno();
        if (r < 0)
            return r;
    }
}

static int send_all(struct exchange *x, struct slice s)
{
    while (s.n > 0) {
        int r = set_timeouts(x);
        if (r < 0)
            return r;
        ssize_t n = send(x->fd, s.p, s.n, MSG_NOSIGNAL);
        if (n >= 0) {
            s = slice_of(s.p + n, s.n - (size_t)n);
            continue;
        }
        /* One that refuses us answers before it reads, and then hangs up: the answer counts. */
        if (errno == EPIPE || errno == ECONNRESET)
            return 0;
        r = judge_errno();
        if (r < 0)
            return r;
    }
    return 0;
}

/* 1: more input; 0: the end; -errno. */
static int receive(struct exchange *x)
{
    for (;;) {
        int r = set_timeouts(x);
        if (r < 0)
            return r;
        ssize_t n = recv(x->fd, buf_reserve(&x->in, READ_SIZE), READ_SIZE, 0);
        if (n >= 0) {
            buf_added(&x->in, (size_t)n);
            return n > 0;
        }
        r = judge_errno();
        if (r < 0)
            return r;
    }
}

/* ---- the answer ---- */

static void explain_http(const struct exchange *x, ssize_t error, struct buf *why)
{
    buf_appendf(why, "what answers at %s does not speak like mcpoold: %s", x->path,
                http1_error_text(error));
}

static void explain(const struct exchange *x, int error, struct buf *why)
{
    if (error == -ETIMEDOUT)
        buf_appendf(why, "mcpoold at %s gives no answer within %u s; is it stopped or hanging?",
                    x->path, (unsigned)(x->timeout / USEC_PER_SEC));
    else if (error == -EACCES || error == -EPERM)
        buf_appendf(why, "no permission to use %s: only root and the user that runs mcpoold may",
                    x->path);
    else if (error == -ENAMETOOLONG)
        buf_appendf(why, "%s is longer than the path of a socket can be", x->path);
    else
        buf_appendf(why, "cannot talk to mcpoold at %s: %s", x->path, strerror(-error));
}

/* The head of the answer proper. false: *why says why not. */
static bool read_head(struct exchange *x, struct http1_response *ret, struct buf *why)
{
    static const struct http1_limits limits = {
        .max_head_bytes = 16 * 1024, .max_line_bytes = 8 * 1024, .max_headers = 64};
    struct http1_scan scan = HTTP1_SCAN_INIT;
    for (;;) {
        ssize_t n = http1_parse_response(&scan, buf_peek(&x->in), &limits, false, ret);
        if (n < 0) {
            explain_http(x, n, why);
            return false;
        }
        if (n > 0) {
            buf_consume(&x->in, (size_t)n);
            if (!ret->informational)
                return true;
            http1_scan_init(&scan);
            continue;
        }
        int r = receive(x);
        if (r <= 0) {
            if (r == 0)
                explain_http(x, HTTP1_E_TRUNCATED, why);
            else
                explain(x, r, why);
            return false;
        }
    }
}

/* Moves what has come of the body. */
static enum http1_error take_body(struct exchange *x, struct http1_body *body, struct buf *out)
{
    while (!body->done && buf_len(&x->in) > 0) {
        size_t used;
        struct slice run;
        enum http1_error e = http1_body_feed(body, buf_peek(&x->in), &used, &run);
        if (e != HTTP1_OK)
            return e;
        buf_append_slice(out, run);
        buf_consume(&x->in, used);
    }
    return HTTP1_OK;
}

static bool read_body(struct exchange *x, const struct http1_response *head, struct buf *out,
                      struct buf *why)
{
    struct http1_body body;
    http1_body_init(&body, head->framing, head->content_length);
    for (;;) {
        enum http1_error e = take_body(x, &body, out);
        int r = 0;
        if (e == HTTP1_OK && buf_len(out) > CLIENT_ANSWER_MAX) {
            buf_appendf(why, "the answer of mcpoold at %s does not end", x->path);
            return false;
        }
        if (e == HTTP1_OK && !body.done && (r = receive(x)) > 0)
            continue;
        if (r < 0) {
            explain(x, r, why);
            return false;
        }
        if (e == HTTP1_OK && !body.done)
            e = http1_body_eof(&body);
        if (e != HTTP1_OK)
            explain_http(x, e, why);
        return e == HTTP1_OK;
    }
}

static bool ask_connected(struct exchange *x, const char *method, const char *target,
                          struct client_answer *ret, struct buf *why)
{
    struct http1_response head;
    struct buf request = BUF_INIT;
    enum http1_error e =
        http1_write_request_head(&request, slice_str(method), slice_str(target), SLICE("mcpool"),
                                 NULL, 0, HTTP1_BODY_NONE, 0, HTTP1_CONN_CLOSE);
    int r = e == HTTP1_OK ? send_all(x, buf_peek(&request)) : -EINVAL;
    buf_done(&request);
    if (r < 0) {
        explain(x, r, why);
        return false;
    }
    if (!read_head(x, &head, why))
        return false;
    ret->status = head.status;
    if (read_body(x, &head, &ret->body, why))
        return true;
    buf_done(&ret->body);
    return false;
}

/* Nobody is there, as opposed to somebody who does not want us. */
static bool is_absence(int error)
{
    return error == -ENOENT || error == -ECONNREFUSED || error == -ENOTDIR;
}

static void explain_absence(const struct place *place, struct buf *why)
{
    buf_append_str(why, "nothing listens at ");
    for (size_t i = 0; i < place->n; i++)
        buf_appendf(why, "%s%s", i ? " or " : "", place->paths[i]);
    buf_append_str(why, ": is mcpoold running? --socket or --config says if it is somewhere else");
}

bool client_ask(const struct place *place, const char *method, const char *target, usec_t timeout,
                struct client_answer *ret, struct buf *why)
{
    *ret = (struct client_answer){0};
    for (size_t i = 0; i < place->n; i++) {
        struct exchange x = {.path = place->paths[i],
                             .fd = -1,
                             .timeout = timeout,
                             .end_at = clock_monotonic() + timeout};
        bool ok = false;
        int r = connect_to(&x);
        if (r == 0)
            ok = ask_connected(&x, method, target, ret, why);
        else if (!is_absence(r))
            explain(&x, r, why);
        if (x.fd >= 0)
            close(x.fd);
        buf_done(&x.in);
        if (!is_absence(r))
            return ok;
    }
    explain_absence(place, why);
    return false;
}
