/* Who may use what over TCP: tokens at the moment of a request, and what becomes of streams and
 * sessions when the configuration takes a token away. */
#ifndef FRONT_ACCESS_H
#define FRONT_ACCESS_H

#include "front/http_conn.h"

/* Room for the principal of a token, with its NUL. */
#define ACCESS_PRINCIPAL_MAX (sizeof("token:") + CONFIG_NAME_MAX)

void access_tally_init(struct front *f);

/* Whether requests on this connection must carry a token. */
bool access_needs_token(const struct client *c);

/* The latest valid token on a connection: a request that brings it again in the same words needs no
 * digest. The words are forgotten when the configuration changes and with the connection. */
struct access_grant;

/* The token that the latest valid request on this connection had, if it came in the same field;
 * NULL: there was none, or it has to be identified. Notes in req who that is. */
const struct config_token *access_recall(const struct client *c, struct http_req *req,
                                         struct slice field);

/* The token that has this secret, NULL when none has. Notes in req who that is, and remembers the
 * field that it came in. */
const struct config_token *access_identify(const struct client *c, struct http_req *req,
                                           struct slice field, struct slice secret);

/* Erases it. Accepts NULL. */
void access_grant_free(struct access_grant *g);

/* Counts a request without a valid token that came from there, and logs it: the first one at once,
 * further ones summed up. */
void access_refused(struct front *f, const char *from);

/* Whether this connection, of which an earlier process says that this principal asked on it, can be
 * that principal's: what the kernel tells must say the same. */
bool access_is_of(const struct client *c, const char *principal);

/* Whether what this principal began at that route may go on with the present configuration. */
bool access_may_go_on(const struct front *f, const char *principal, const struct route *route);

#endif
