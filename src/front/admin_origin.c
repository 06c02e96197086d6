/* The interface has no passwords: over the unix socket the kernel tells who it is, and through a
 * forwarded port whoever holds the port is in. So does every page that a browser on that machine
 * has open, unless we look:
 *
 * - Host. A page whose name its owner lets point to this machine (DNS rebinding) is of the same
 *   origin as we are for the browser, but it cannot hide the name. A name without a dot cannot be
 *   had by anybody out there; programs use such names for sockets ("http://mcpool/status").
 * - Origin. A browser says it with whatever a page posts. It must be ourselves.
 * - Sec-Fetch-Site says the same where Origin is left out. */
#include "base/util.h"
#include "front/admin_priv.h"
#include "front/origin.h"

/* At the port only what can be the name of it: on a network, names without a dot may lead anywhere.
 */
static bool host_ok(struct slice host, const struct config_listen *port)
{
    const char *const names[] = {"localhost", "127.0.0.1", "[::1]",
                                 port ? port->host : "localhost"}; /* such as 127.0.0.2 */
    const struct config_strings loopback = {.n = ARRAY_LEN(names), .v = names};
    if (port)
        return host.n && origin_host_allowed(&loopback, host);
    return host.n == 0 || !memchr(host.p, '.', host.n) || origin_host_allowed(&loopback, host);
}

/* http://HOST of this very request. */
static bool origin_is_host(struct slice origin, struct slice host)
{
    const struct slice scheme = SLICE("http://");
    return origin.n == scheme.n + host.n && memcmp(origin.p, scheme.p, scheme.n) == 0 &&
           slice_eq(slice_of(origin.p + scheme.n, host.n), host);
}

bool admin_origin_ok(const struct http1_request *head, const struct config_listen *port)
{
    const struct http1_headers *h = &head->headers;
    struct slice origin = http1_header(h, "Origin"), site = http1_header(h, "Sec-Fetch-Site");
    if (!host_ok(head->host, port) || http1_header_count(h, "Origin") > 1)
        return false;
    if (origin.p && !origin_is_host(origin, head->host))
        return false;
    return head->method != HTTP1_POST || !site.p || slice_is_nocase(site, "same-origin") ||
           slice_is_nocase(site, "none");
}
