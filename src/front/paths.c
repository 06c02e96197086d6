/* Request paths. A server's name has the alphabet that the configuration enforces; anything else
 * after the prefix, a trailing slash included, is an unknown path. */
#include "front/paths.h"

#include "base/util.h"
#include "config/config.h"

static bool is_name_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '.' || c == '-';
}

static bool is_server_name(struct slice s)
{
    if (s.n == 0 || s.n > CONFIG_NAME_MAX || s.p[0] == '_' || s.p[0] == '.' || s.p[0] == '-')
        return false;
    for (size_t i = 0; i < s.n; i++)
        if (!is_name_char(s.p[i]))
            return false;
    return true;
}

enum path_kind path_parse(struct slice path, struct slice *ret_server)
{
    static const struct {
        const char *prefix;
        enum path_kind kind;
    } endpoints[] = {
        {"/mcp", PATH_MCP},
        {"/sse", PATH_SSE},
        {"/messages", PATH_MESSAGES},
    };

    *ret_server = slice_of(path.p, 0);
    if (slice_is(path, "/healthz"))
        return PATH_HEALTHZ;
    for (size_t i = 0; i < ARRAY_LEN(endpoints); i++) {
        size_t n = strlen(endpoints[i].prefix);
        if (!slice_starts(path, endpoints[i].prefix))
            continue;
        if (path.n == n)
            return endpoints[i].kind;
        if (path.p[n] != '/')
            continue;
        struct slice name = slice_of(path.p + n + 1, path.n - n - 1);
        if (!is_server_name(name))
            return PATH_UNKNOWN;
        *ret_server = name;
        return endpoints[i].kind;
    }
    return PATH_UNKNOWN;
}

const char *path_allow(enum path_kind kind)
{
    switch (kind) {
    case PATH_UNKNOWN:
        return "";
    case PATH_HEALTHZ:
    case PATH_SSE:
        return "GET";
    case PATH_MCP:
        return "GET, POST, DELETE";
    case PATH_MESSAGES:
        return "POST";
    }
    return "";
}
