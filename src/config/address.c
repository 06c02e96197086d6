/* Hosts and ports as they stand in a configuration. Only shapes are judged; whether a name resolves
 * is found out when it is used. */
#include "config/section.h"

#include <arpa/inet.h>
#include <stdlib.h>

static bool all_in(struct slice s, const char *set)
{
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '\0' || strchr(set, s.p[i]) == NULL)
            return false;
    }
    return s.n != 0;
}

static bool is_ipv6(struct slice s)
{
    char text[INET6_ADDRSTRLEN];
    struct in6_addr addr;
    if (s.n >= sizeof(text))
        return false;
    memcpy(text, s.p, s.n);
    text[s.n] = '\0';
    return inet_pton(AF_INET6, text, &addr) == 1;
}

bool address_is_host(struct slice s)
{
    if (s.n > 2 && s.p[0] == '[' && s.p[s.n - 1] == ']')
        return is_ipv6(slice_of(s.p + 1, s.n - 2));
    return s.n <= 253 && s.p[0] != '.' && s.p[0] != '-' &&
           all_in(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_");
}

bool address_is_port(struct slice s, uint16_t *ret)
{
    unsigned v = 0;
    if (s.n > 5 || !all_in(s, "0123456789"))
        return false;
    for (size_t i = 0; i < s.n; i++)
        v = v * 10 + (unsigned)(s.p[i] - '0');
    *ret = (uint16_t)v;
    return v <= UINT16_MAX;
}

bool address_split(struct slice s, struct slice *ret_host, struct slice *ret_port)
{
    const char *bracket = s.n ? memrchr(s.p, ']', s.n) : NULL;
    const char *from = bracket ? bracket : s.p;
    const char *colon = s.n ? memrchr(from, ':', (size_t)(s.p + s.n - from)) : NULL;
    uint16_t port;
    *ret_host = s;
    *ret_port = slice_of(NULL, 0);
    if (colon != NULL) {
        *ret_host = slice_of(s.p, (size_t)(colon - s.p));
        *ret_port = slice_of(colon + 1, (size_t)(s.p + s.n - colon) - 1);
        if (!address_is_port(*ret_port, &port))
            return false;
    }
    return ret_host->n != 0 && address_is_host(*ret_host);
}

bool address_is_loopback(struct slice host)
{
    return slice_is_nocase(host, "localhost") || slice_is(host, "[::1]") ||
           (slice_starts(host, "127.") && all_in(host, "0123456789."));
}
