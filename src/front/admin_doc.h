/* The JSON documents of the admin interface: status, readiness and the result of a recovery. They
 * are written server by server, so that one for a thousand servers goes out as fast as its reader
 * takes it and never holds up the loop. Each server's part is of one moment; the document as a
 * whole need not be. */
#ifndef FRONT_ADMIN_DOC_H
#define FRONT_ADMIN_DOC_H

#include "front/admin_json.h"
#include "proxy/proxy.h"
#include "proxy/route.h"
#include "upstream/server.h"

struct front;

/* What a document tells of. Everything in it outlives the document. */
struct admin_view {
    struct proxy *proxy;
    const struct front *front; /* NULL: there are no client connections to tell of */
    const struct env *env;
    bool read_only; /* who reads it may change nothing here */
    usec_t started_at;
    usec_t wall_offset; /* wall clock - monotonic clock */
};

enum admin_doc_kind {
    ADMIN_DOC_STATUS,
    ADMIN_DOC_READY,
    ADMIN_DOC_RECOVERED,
};

struct admin_doc;

/* A document about the server of that route, or about all (NULL). results: for
 * ADMIN_DOC_RECOVERED, malloc'ed, one per server told of and in their order; the document owns it
 * now. NULL for the others. */
struct admin_doc *admin_doc_new(enum admin_doc_kind kind, const struct admin_view *view,
                                const struct route *only, struct recover_result *results);

/* Appends the next piece. false: that was the last. */
bool admin_doc_next(struct admin_doc *d, struct buf *out);

/* Accepts NULL; returns NULL. */
struct admin_doc *admin_doc_free(struct admin_doc *d);

/* A server's object of the status document (admin_status.c). */
void admin_status_server(struct admin_json *j, const struct admin_view *view,
                         const struct server *s);

/* Since when the health of s, which is `now`, is that; a point of the monotonic clock. */
usec_t admin_health_since(const struct admin_view *view, const struct server *s, enum health now);

/* Member `key`: a point of the monotonic clock as wall clock time, null for 0, which is never. */
void admin_status_time(struct admin_json *j, const struct admin_view *view, const char *key,
                       usec_t at);

#endif
