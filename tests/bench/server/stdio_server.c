/* stdio-server: the MCP server that the suite puts behind every proxy. Blocking reads and writes:
 * all complete lines of a read are answered by one write, and a long text goes out from one small
 * block that stays in the cache, so hardly a server could cost less. */
#include "base/util.h"
#include "bench/lib/bench.h"
#include "bench/server/mcp.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define READ_BYTES ((size_t)256 << 10)

static const char help[] =
    "Usage: stdio-server [--wrong id|length|twice]\n"
    "A trivial MCP server on standard input and output. It answers initialize, ping, tools/list\n"
    "and tools/call of any tool with arguments {\"text\":\"...\",\"bytes\":N,\"progress\":N}:\n"
    "N letters (without bytes, the text), after N progress notifications if there is a token.\n"
    "  --wrong id      answer calls with an id that nobody used\n"
    "  --wrong length  answer calls with a text that is one letter short\n"
    "  --wrong twice   answer calls twice\n";

static struct buf out;

static void write_all(const char *p, size_t n)
{
    while (n > 0) {
        ssize_t w = write(STDOUT_FILENO, p, n);

        if (w < 0 && errno == EINTR)
            continue;
        if (w < 0 && errno == EPIPE)
            exit(0); /* the client left */
        if (w < 0)
            die("write: %m");
        p += w;
        n -= (size_t)w;
    }
}

static void flush(void)
{
    struct slice s = buf_peek(&out);

    write_all(s.p, s.n);
    buf_reset(&out);
}

static void send_answer(struct mcp_reply *reply)
{
    size_t left = reply->fill;

    buf_append_slice(&out, buf_peek(&reply->head));
    if (left > 0)
        flush();
    while (left > 0) {
        size_t n = left < MCP_FILL_BYTES ? left : MCP_FILL_BYTES;

        write_all(mcp_fill, n);
        left -= n;
    }
    buf_append_slice(&out, reply->rest);
    buf_append_slice(&out, SLICE("\n"));
}

static void take_line(struct slice line)
{
    static struct mcp_reply reply;

    mcp_answer(line, &reply);
    buf_append_slice(&out, buf_peek(&reply.notes));
    for (int times = reply.twice ? 2 : 1; reply.is_answer && times > 0; times--)
        send_answer(&reply);
}

/* Answers what is complete. *seen: how much of the rest is known to hold no line end. */
static void take_lines(struct buf *in, size_t *seen)
{
    struct slice s = buf_peek(in);
    const char *end;

    while ((end = memchr(s.p + *seen, '\n', s.n - *seen)) != NULL) {
        size_t n = (size_t)(end - s.p);

        if (n > 0)
            take_line(slice_of(s.p, n));
        buf_consume(in, n + 1);
        s = buf_peek(in);
        *seen = 0;
    }
    *seen = s.n;
}

static enum mcp_wrong wrong_named(const char *name)
{
    static const char *const names[] = {
        [MCP_WRONG_ID] = "id", [MCP_WRONG_LENGTH] = "length", [MCP_WRONG_TWICE] = "twice"};

    for (unsigned i = MCP_WRONG_ID; i < ARRAY_LEN(names); i++)
        if (strcmp(name, names[i]) == 0)
            return (enum mcp_wrong)i;
    die_usage("--wrong %s: there is id, length and twice", name);
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"wrong", required_argument, NULL, 'w'}, {"help", no_argument, NULL, 'h'}, {0}};
    enum mcp_wrong wrong = MCP_RIGHT;
    struct buf in = BUF_INIT;
    size_t seen = 0;
    ssize_t n;
    int c;

    while ((c = getopt_long(argc, argv, "", options, NULL)) >= 0) {
        if (c == 'h')
            return fputs(help, stdout) < 0;
        if (c != 'w')
            return 2;
        wrong = wrong_named(optarg);
    }
    if (optind < argc)
        die_usage("%s: no argument is expected", argv[optind]);
    mcp_init(wrong);
    while ((n = read(STDIN_FILENO, buf_reserve(&in, READ_BYTES), READ_BYTES)) != 0) {
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            die("read: %m");
        buf_added(&in, (size_t)n);
        take_lines(&in, &seen);
        flush();
    }
    buf_done(&in);
    return 0;
}
