/* Session ids that say themselves what was negotiated, under a MAC (protocol.md 4.6): a daemon that
 * has never seen the session, after a restart or beside the one that made it, can go on with it.
 *
 *     base64url(version 1 | route 4 | protocol 1 | features 2 | principal 8 | issued 5 | random 16)
 *     "." base64url(the first 128 bits of HMAC-SHA-256 over the text before the dot)
 *
 * Numbers are big-endian. The facts are readable to whoever holds the id; nothing but hashes in
 * them is about other people. */
#ifndef PROXY_SESSION_ID_H
#define PROXY_SESSION_ID_H

#include "base/base64url.h"
#include "base/slice.h"
#include "proxy/proxy.h"
#include "wire/mcp.h"

#include <stdint.h>

#define SESSION_ID_ROUTE     4
#define SESSION_ID_PRINCIPAL 8
#define SESSION_ID_RANDOM    16
#define SESSION_ID_MAC       16
#define SESSION_ID_FACTS                                                                           \
    (1 + SESSION_ID_ROUTE + 1 + 2 + SESSION_ID_PRINCIPAL + 5 + SESSION_ID_RANDOM)
#define SESSION_ID_LEN (BASE64URL_LEN(SESSION_ID_FACTS) + 1 + BASE64URL_LEN(SESSION_ID_MAC))

struct session_id_facts {
    unsigned char route[SESSION_ID_ROUTE]; /* session_id_route */
    enum mcp_version version;
    unsigned features; /* enum client_feature bits that the client declared; 16 bits */
    unsigned char principal[SESSION_ID_PRINCIPAL]; /* session_id_principal */
    uint64_t issued;                               /* seconds since 1970; 40 bits */
};

/* What stands for a server's name and for a principal's. Independent of the order and number of
 * servers in the configuration. */
void session_id_route(const char *server, unsigned char out[SESSION_ID_ROUTE]);
void session_id_principal(const char *principal, unsigned char out[SESSION_ID_PRINCIPAL]);

/* Writes the id, SESSION_ID_LEN characters and a NUL. */
void session_id_write(const unsigned char key[SESSION_KEY_SIZE], const struct session_id_facts *f,
                      const unsigned char random[SESSION_ID_RANDOM], char out[SESSION_ID_LEN + 1]);

/* Reads an id that a client presents. false: it was not made with this key, or by a version of
 * mcpool that knows more than this one. There is exactly one text for each set of facts. */
bool session_id_read(const unsigned char key[SESSION_KEY_SIZE], struct slice id,
                     struct session_id_facts *ret);

#endif
