/* Tokens. A request is judged by the configuration of its moment, so a reload needs nothing for
 * those that come later. What is under way is looked at once, in front_access_changed: a connection
 * in the middle of a request whose token is not valid any more is closed, and a session whose owner
 * may not use its server any more ends, as if its client had ended it; its calls are cancelled at
 * the server. A secret that was exchanged for another one of the same client ends only connections,
 * and its sessions go on with the new one.
 *
 * A connection remembers the secret that was valid last, so that a client which brings it with each
 * request, as they all do, does not have it digested each time. It is compared in a time that does
 * not depend on where it differs, it counts for the configuration that it was found in only, and it
 * is erased with the connection.
 *
 * Clients on unix sockets are none of this: the kernel says who they are. */
#include "front/access.h"

#include "base/digest.h"
#include "base/log.h"
#include "base/util.h"
#include "front/http_session.h"
#include "upstream/server.h"

#include <stdio.h>
#include <stdlib.h>

/* Refused requests are logged at most this often. */
#define LOG_SPAN (10 * USEC_PER_SEC)

/* ---- the log ---- */

static void tell_the_rest(void *arg)
{
    struct front *f = arg;
    struct access_tally *t = &f->access;
    if (t->untold == 0)
        return;
    log_warning(LOG_CTX(.message_id = LOG_ID_CLIENT_REFUSED),
                "%llu more requests without a valid token were refused in %llu s, the latest from "
                "%s (%llu since start)",
                (unsigned long long)t->untold, (unsigned long long)(LOG_SPAN / USEC_PER_SEC),
                t->latest, (unsigned long long)t->refused);
    t->untold = 0;
    env_timer_set(f->env, &t->timer, f->env->now + LOG_SPAN);
}

void access_tally_init(struct front *f)
{
    timer_init(&f->access.timer, tell_the_rest, f);
}

void access_refused(struct front *f, const char *from)
{
    struct access_tally *t = &f->access;
    t->refused++;
    if (timer_armed(&t->timer)) {
        t->untold++;
        snprintf(t->latest, sizeof(t->latest), "%s", from);
        return;
    }
    log_warning(LOG_CTX(.message_id = LOG_ID_CLIENT_REFUSED),
                "a request from %s was refused: it has no valid token", from);
    env_timer_set(f->env, &t->timer, f->env->now + LOG_SPAN);
}

/* ---- requests ---- */

bool access_needs_token(const struct client *c)
{
    return !c->listener->is_unix && c->front->config->tokens_n != 0;
}

struct access_grant {
    const struct config_token *token; /* in the present configuration; NULL: field is forgotten */
    char principal[ACCESS_PRINCIPAL_MAX];
    unsigned char digest[CONFIG_SECRET_DIGEST]; /* of the secret */
    size_t n;
    char field[]; /* Authorization, with the secret */
};

static void forget_field(struct access_grant *g)
{
    explicit_bzero(g->field, g->n);
    g->n = 0;
    g->token = NULL;
}

void access_grant_free(struct access_grant *g)
{
    if (!g)
        return;
    forget_field(g);
    free(g);
}

static struct access_grant *grant_new(const struct config_token *token, struct slice field,
                                      const unsigned char digest[CONFIG_SECRET_DIGEST])
{
    struct access_grant *g = xmalloc(sizeof(*g) + field.n);
    g->token = token;
    snprintf(g->principal, sizeof(g->principal), "%s", token->principal);
    memcpy(g->digest, digest, CONFIG_SECRET_DIGEST);
    g->n = field.n;
    memcpy(g->field, field.p, field.n);
    return g;
}

static const struct config_token *use_grant(const struct access_grant *g, struct http_req *req)
{
    req->principal = g->principal;
    req->by_token = true;
    return g->token;
}

const struct config_token *access_recall(const struct client *c, struct http_req *req,
                                         struct slice field)
{
    const struct access_grant *g = *http_conn_grant(c);
    if (!g || !g->token || g->n != field.n || !digest_eq(g->field, field.p, field.n))
        return NULL;
    return use_grant(g, req);
}

const struct config_token *access_identify(const struct client *c, struct http_req *req,
                                           struct slice field, struct slice secret)
{
    struct access_grant **grant = http_conn_grant(c);
    unsigned char digest[CONFIG_SECRET_DIGEST];
    digest_sha256(secret, digest);
    const struct config_token *token = config_find_token(c->front->config, digest);
    if (!token)
        return NULL;
    access_grant_free(*grant);
    *grant = grant_new(token, field, digest);
    return use_grant(*grant, req);
}

/* ---- another configuration ---- */

static const struct config_token *find_principal(const struct config *c, const char *principal)
{
    for (size_t i = 0; i < c->tokens_n; i++)
        if (strcmp(c->tokens[i].principal, principal) == 0)
            return &c->tokens[i];
    return NULL;
}

bool access_is_of(const struct client *c, const char *principal)
{
    return access_needs_token(c) ? strncmp(principal, "token:", 6) == 0
                                 : strcmp(principal, c->peer->principal) == 0;
}

bool access_may_go_on(const struct front *f, const char *principal, const struct route *route)
{
    if (strncmp(principal, "uid:", 4) == 0)
        return true;
    if (f->config->tokens_n == 0)
        return strncmp(principal, "token:", 6) != 0;
    const struct config_token *t = find_principal(f->config, principal);
    return t && config_token_opens(t, slice_str(route->server->sc->name));
}

/* Whether the request under way on this connection would be let in now. */
static bool is_still_valid(const struct client *c, const struct access_grant *g)
{
    struct http_claim claim = http_conn_claim(c);
    if (c->listener->is_unix || !claim.route)
        return true;
    if (!access_needs_token(c))
        return !claim.by_token;
    if (!claim.by_token || !g)
        return false;
    const struct config_token *t = config_find_token(c->front->config, g->digest);
    return t && strcmp(t->principal, g->principal) == 0 &&
           config_token_opens(t, slice_str(claim.route->server->sc->name));
}

void front_access_changed(struct front *f)
{
    struct client *c, *following_client;
    struct http_session *hs, *following;
    for (c = LIST_FIRST(&f->clients); c; c = following_client) {
        struct access_grant **grant = http_conn_grant(c);
        following_client = LIST_NEXT(c, link);
        if (!grant)
            continue;
        if (*grant)
            forget_field(*grant);
        if (!is_still_valid(c, *grant))
            client_close(c);
    }
    for (hs = LIST_FIRST(&f->http_sessions); hs; hs = following) {
        following = LIST_NEXT(hs, link);
        if (!access_may_go_on(f, session_principal(hs->session), session_route(hs->session)))
            session_end(hs->session);
    }
    sse_front_recheck(f);
}
