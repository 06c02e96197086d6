/* The trivial MCP server behind stdio-server and http-server: initialize, ping, tools/list, and
 * tools/call of any tool with arguments {"text": "...", "bytes": N, "progress": N}. The result is a
 * text of N letters, or the text itself without "bytes". */
#ifndef BENCH_SERVER_MCP_H
#define BENCH_SERVER_MCP_H

#include "base/buf.h"

/* A planted fault in the answers to calls, by which the load generator's own checks are tested. */
enum mcp_wrong { MCP_RIGHT, MCP_WRONG_ID, MCP_WRONG_LENGTH, MCP_WRONG_TWICE };

/* The reply to one message: notes, head, then `fill` letters, then `rest`. Long texts are not
 * built: the owner writes the letters from mcp_fill as often as it takes. */
struct mcp_reply {
    struct buf notes;   /* progress notifications, a line each */
    struct buf head;    /* the answer up to the long text, or all of it */
    size_t fill;        /* letters of the long text; 0: none */
    struct slice rest;  /* what follows it; static */
    bool is_answer;     /* false: the message asked for none */
    bool is_initialize; /* it was an initialize request */
    bool twice;         /* to be sent twice (MCP_WRONG_TWICE) */
};

#define MCP_FILL_BYTES ((size_t)64 << 10)
extern char mcp_fill[MCP_FILL_BYTES]; /* letters; ready after mcp_init */

void mcp_init(enum mcp_wrong wrong);

/* Replaces *reply by the reply to one message; its buffers keep their memory. Messages that are no
 * valid JSON-RPC get an error without id, as the specification wants. */
void mcp_answer(struct slice message, struct mcp_reply *reply);

/* The length of the answer without the notifications. */
size_t mcp_reply_len(const struct mcp_reply *reply);

#endif
