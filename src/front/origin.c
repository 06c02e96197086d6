/* Host and Origin allow-lists.
 *
 * Everything here is whole-string comparison after the value was taken apart strictly; there is no
 * suffix or prefix matching anywhere, so that neither localhost.attacker.test nor 127.0.0.1.nip.io
 * can pass. Values that cannot be taken apart are refused: a list closes by default. */
#include "front/origin.h"

#include "base/util.h"

#include <stdint.h>

/* scheme://host:port in its parts. scheme.n == 0: none was given; port 0: none was given. */
struct authority {
    struct slice scheme;
    struct slice host;
    unsigned port;
};

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

static bool eq_nocase(struct slice a, struct slice b)
{
    if (a.n != b.n)
        return false;
    for (size_t i = 0; i < a.n; i++)
        if (lower(a.p[i]) != lower(b.p[i]))
            return false;
    return true;
}

static bool is_name_char(char c)
{
    return (lower(c) >= 'a' && lower(c) <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
           c == '_';
}

static bool is_v6_char(char c)
{
    return (lower(c) >= 'a' && lower(c) <= 'f') || (c >= '0' && c <= '9') || c == ':' || c == '.';
}

/* 1 to 5 digits, 1..65535. */
static bool parse_port(struct slice s, unsigned *ret)
{
    unsigned v = 0;
    if (s.n == 0 || s.n > 5)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9')
            return false;
        v = v * 10 + (unsigned)(s.p[i] - '0');
    }
    *ret = v;
    return v >= 1 && v <= 65535;
}

/* host[:port], nothing else. */
static bool parse_host_port(struct slice s, struct authority *ret)
{
    size_t end = 0;
    if (s.n && s.p[0] == '[') {
        end = 1;
        while (end < s.n && is_v6_char(s.p[end]))
            end++;
        if (end == 1 || end == s.n || s.p[end] != ']')
            return false;
        end++;
    } else {
        while (end < s.n && is_name_char(s.p[end]))
            end++;
        if (end == 0 || s.p[end - 1] == '.')
            return false;
    }
    ret->host = slice_of(s.p, end);
    ret->port = 0;
    if (end == s.n)
        return true;
    return s.p[end] == ':' && parse_port(slice_of(s.p + end + 1, s.n - end - 1), &ret->port);
}

/* [scheme://]host[:port] */
static bool parse_authority(struct slice s, struct authority *ret)
{
    ret->scheme = slice_of(s.p, 0);
    for (size_t i = 0; i + 2 < s.n; i++) {
        if (memcmp(s.p + i, "://", 3) != 0)
            continue;
        if (i == 0)
            return false;
        ret->scheme = slice_of(s.p, i);
        s = slice_of(s.p + i + 3, s.n - i - 3);
        break;
    }
    return parse_host_port(s, ret);
}

static unsigned default_port(struct slice scheme)
{
    if (scheme.n == 0 || eq_nocase(scheme, SLICE("http")))
        return 80;
    return eq_nocase(scheme, SLICE("https")) ? 443 : 0;
}

static bool matches(const char *entry_text, const struct authority *got)
{
    struct authority entry;
    if (!parse_authority(slice_str(entry_text), &entry) || !eq_nocase(entry.host, got->host))
        return false;
    unsigned got_port = got->port ? got->port : default_port(got->scheme);
    if (entry.scheme.n) {
        unsigned port = entry.port ? entry.port : default_port(entry.scheme);
        return eq_nocase(entry.scheme, got->scheme) && port == got_port;
    }
    if (got->scheme.n && default_port(got->scheme) == 0)
        return false;
    return entry.port == 0 || entry.port == got_port;
}

static bool any_matches(const struct config_strings *allowed, const struct authority *got)
{
    for (size_t i = 0; i < allowed->n; i++)
        if (matches(allowed->v[i], got))
            return true;
    return false;
}

bool origin_host_allowed(const struct config_strings *allowed, struct slice host)
{
    struct authority got = {0};
    return parse_host_port(host, &got) && any_matches(allowed, &got);
}

bool origin_allowed(const struct config_strings *allowed, struct slice origin)
{
    struct authority got;
    return parse_authority(origin, &got) && got.scheme.n && any_matches(allowed, &got);
}

bool origin_is_default_list(const struct config_strings *allowed)
{
    static const char *const defaults[] = {"localhost", "127.0.0.1", "[::1]"};
    if (allowed->n != ARRAY_LEN(defaults))
        return false;
    for (size_t i = 0; i < ARRAY_LEN(defaults); i++) {
        bool found = false;
        for (size_t j = 0; j < allowed->n; j++)
            found |= strcmp(allowed->v[j], defaults[i]) == 0;
        if (!found)
            return false;
    }
    return true;
}
