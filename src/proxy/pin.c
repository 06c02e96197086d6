/* Definitions that change behind the user's back ("rug pull", security.md C.2 and S20): the first
 * page of each pool's tools/list is hashed, and a change between two answers is logged with both
 * hashes. It is a notice and no refusal: servers do change their tools, and it is the client's user
 * who approves them. */
#include "base/log.h"
#include "internal.h"

#include <string.h>

void pin_tools(struct conn *c, const unsigned char digest[DIGEST_SIZE])
{
    struct pool_state *st = c->pool->user;
    if (st->tools_pinned && memcmp(digest, st->tools_digest, DIGEST_SIZE) != 0) {
        char before[DIGEST_TEXT_SIZE], now[DIGEST_TEXT_SIZE];
        digest_text(st->tools_digest, before);
        digest_text(digest, now);
        log_notice(CONN_CTX(c, .message_id = LOG_ID_TOOLS_CHANGED),
                   "the tool definitions have changed: sha256 %s -> %s", before, now);
    }
    memcpy(st->tools_digest, digest, DIGEST_SIZE);
    st->tools_pinned = true;
}
