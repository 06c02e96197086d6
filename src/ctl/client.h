/* One HTTP request over a unix socket, with everything that can go wrong told in a sentence. */
#ifndef CTL_CLIENT_H
#define CTL_CLIENT_H

#include "base/buf.h"
#include "base/time.h"
#include "ctl/place.h"

#include <stdbool.h>

/* The usual time for a request and its whole answer, and the largest answer. */
#define CLIENT_TIMEOUT    (10 * USEC_PER_SEC)
#define CLIENT_ANSWER_MAX ((size_t)256 << 20)

struct client_answer {
    unsigned status;
    struct buf body;
};

/* Asks whoever listens at the first of the places where somebody does. target is an origin-form;
 * timeout: for all of it. false: *why says why there is no answer, and *ret is empty. */
bool client_ask(const struct place *place, const char *method, const char *target, usec_t timeout,
                struct client_answer *ret, struct buf *why);

#endif
