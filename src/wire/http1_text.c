/* Bytes and words of HTTP: character classes, the syntax of single elements, and the tables of
 * errors and reason phrases. The grammar is that of RFC 9110 and RFC 3986 without their "obsolete"
 * branches, except that bytes >= 0x80 pass in field values (RFC 9110 section 5.5 calls them
 * opaque). */
#include "wire/http1_run.h"

#include "base/util.h"

#define T HTTP1_C_TOKEN
#define U HTTP1_C_TARGET
#define N HTTP1_C_NAME
#define X HTTP1_C_HEX

/* clang-format off */
const uint8_t http1_class[256] = {
    ['!'] = T | U | N,  ['#'] = T,          ['$'] = T | U | N,  ['%'] = T,
    ['&'] = T | U | N,  ['\''] = T | U | N, ['('] = U | N,      [')'] = U | N,
    ['*'] = T | U | N,  ['+'] = T | U | N,  [','] = U | N,      ['-'] = T | U | N,
    ['.'] = T | U | N,  ['/'] = U,          [':'] = U,          [';'] = U | N,
    ['='] = U | N,      ['?'] = U,          ['@'] = U,          ['^'] = T,
    ['_'] = T | U | N,  ['`'] = T,          ['|'] = T,          ['~'] = T | U | N,
    ['0' ... '9'] = T | U | N | X,
    ['A' ... 'F'] = T | U | N | X,          ['G' ... 'Z'] = T | U | N,
    ['a' ... 'f'] = T | U | N | X,          ['g' ... 'z'] = T | U | N,
};
/* clang-format on */

#undef T
#undef U
#undef N
#undef X

bool http1_is_token(struct slice s)
{
    for (size_t i = 0; i < s.n; i++)
        if (!http1_is(s.p[i], HTTP1_C_TOKEN))
            return false;
    return s.n > 0;
}

/* How many bytes at the start are of one class or complete "%" triplets. */
static size_t uri_run(struct slice s, uint8_t class)
{
    size_t i = 0;

    for (; i < s.n; i++) {
        if (http1_is(s.p[i], class))
            continue;
        if (s.p[i] != '%' || s.n - i < 3 || !http1_is(s.p[i + 1], HTTP1_C_HEX) ||
            !http1_is(s.p[i + 2], HTTP1_C_HEX))
            break;
        i += 2;
    }
    return i;
}

bool http1_is_origin_form(struct slice s)
{
    return s.n > 0 && s.p[0] == '/' && uri_run(s, HTTP1_C_TARGET) == s.n;
}

/* [ ":" *DIGIT ] */
static bool is_port_suffix(struct slice s)
{
    if (s.n == 0)
        return true;
    if (s.p[0] != ':')
        return false;
    for (size_t i = 1; i < s.n; i++)
        if (s.p[i] < '0' || s.p[i] > '9')
            return false;
    return true;
}

/* The address itself is not checked further: hosts are compared with an allow-list, never resolved.
 */
static bool is_bracketed_host(struct slice s)
{
    size_t i = 1;

    while (i < s.n && (http1_is(s.p[i], HTTP1_C_HEX) || s.p[i] == ':' || s.p[i] == '.'))
        i++;
    return i > 1 && i < s.n && s.p[i] == ']' && is_port_suffix(slice_of(s.p + i + 1, s.n - i - 1));
}

bool http1_is_host(struct slice s)
{
    size_t n;

    if (s.n == 0)
        return true;
    if (s.p[0] == '[')
        return is_bracketed_host(s);
    n = uri_run(s, HTTP1_C_NAME);
    return is_port_suffix(slice_of(s.p + n, s.n - n));
}

enum http1_error http1_check_text(struct slice s)
{
    const char *end, *stop;

    if (s.n == 0) /* p may be NULL, which must not even have 0 added to it */
        return HTTP1_OK;
    end = s.p + s.n;
    stop = http1_plain_run(s.p, end);
    if (stop == end)
        return HTTP1_OK;
    return *stop == '\r' || *stop == '\n' ? HTTP1_E_LINE_END : HTTP1_E_CONTROL;
}

struct error_row {
    unsigned status;
    const char *text;
};

/* clang-format off */
static const struct error_row error_rows[] = {
    [-HTTP1_OK] = {0, "No error"},
    [-HTTP1_E_START_LINE] = {400, "The first line is not a valid HTTP/1 request or status line"},
    [-HTTP1_E_METHOD] = {400, "The request method is not a valid token"},
    [-HTTP1_E_TARGET] = {400, "The request target holds characters that must not stand there"},
    [-HTTP1_E_TARGET_ABSOLUTE] = {400, "The request target is a whole URL, not a path"},
    [-HTTP1_E_TARGET_AUTHORITY] = {400, "The request target does not begin with a slash"},
    [-HTTP1_E_TARGET_ASTERISK] = {400, "The request target \"*\" is not supported"},
    [-HTTP1_E_CONNECT] = {405, "The CONNECT method is not supported"},
    [-HTTP1_E_VERSION] = {505, "Only HTTP/1.1 and HTTP/1.0 are supported"},
    [-HTTP1_E_HTTP2] = {505, "HTTP/2 is not supported here; use HTTP/1.1"},
    [-HTTP1_E_TLS] = {400, "TLS was spoken to a plain HTTP port"},
    [-HTTP1_E_LINE_END] = {400, "A line does not end with CR LF"},
    [-HTTP1_E_CONTROL] = {400, "The message head holds a control character"},
    [-HTTP1_E_HEADER_NAME] = {400, "A header line has no valid name followed by a colon"},
    [-HTTP1_E_OBS_FOLD] = {400, "A header line begins with white space"},
    [-HTTP1_E_HOST_MISSING] = {400, "The Host header is missing"},
    [-HTTP1_E_HOST_DUPLICATE] = {400, "There is more than one Host header"},
    [-HTTP1_E_HOST_SYNTAX] = {400, "The Host header is not a host with an optional port"},
    [-HTTP1_E_LENGTH_SYNTAX] = {400, "Content-Length is not a plain decimal number in range"},
    [-HTTP1_E_LENGTH_DUPLICATE] = {400, "There is more than one Content-Length header"},
    [-HTTP1_E_LENGTH_AND_CODING] = {400, "Content-Length and Transfer-Encoding stand together"},
    [-HTTP1_E_CODING] = {501, "The only supported Transfer-Encoding is chunked, once"},
    [-HTTP1_E_CODING_VERSION] = {400, "Transfer-Encoding is not allowed in HTTP/1.0"},
    [-HTTP1_E_EXPECT] = {417, "The only supported expectation is 100-continue"},
    [-HTTP1_E_HEAD_TOO_LARGE] = {431, "The header section is too large"},
    [-HTTP1_E_LINE_TOO_LONG] = {431, "A header line is too long"},
    [-HTTP1_E_TARGET_TOO_LONG] = {414, "The request line is too long"},
    [-HTTP1_E_TOO_MANY_HEADERS] = {431, "There are too many header lines"},
    [-HTTP1_E_STATUS] = {400, "The status code is out of range or not expected"},
    [-HTTP1_E_CHUNK_SIZE] = {400, "A chunk size is not a plain hexadecimal number in range"},
    [-HTTP1_E_CHUNK_END] = {400, "A chunk does not end with CR LF where its size says"},
    [-HTTP1_E_CHUNK_EXTENSION] = {400, "Chunk extensions are malformed or too long"},
    [-HTTP1_E_TRAILER] = {400, "The trailer section is malformed or too long"},
    [-HTTP1_E_TRUNCATED] = {400, "The connection ended inside a message"},
    [-HTTP1_E_WRITE] = {500, "A message head with invalid fields was about to be written"},
};
/* clang-format on */

static const struct error_row *error_row(ssize_t error)
{
    if (error > 0) /* a length, not an error */
        error = HTTP1_OK;
    if (error < HTTP1_E_WRITE)
        error = HTTP1_E_START_LINE;
    return &error_rows[-error];
}

unsigned http1_error_status(ssize_t error)
{
    return error_row(error)->status;
}

const char *http1_error_text(ssize_t error)
{
    return error_row(error)->text;
}

struct reason_row {
    unsigned status;
    const char *text;
};

const char *http1_reason(unsigned status)
{
    static const struct reason_row rows[] = {
        {100, "Continue"},
        {200, "OK"},
        {201, "Created"},
        {202, "Accepted"},
        {204, "No Content"},
        {301, "Moved Permanently"},
        {302, "Found"},
        {303, "See Other"},
        {304, "Not Modified"},
        {307, "Temporary Redirect"},
        {308, "Permanent Redirect"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {406, "Not Acceptable"},
        {408, "Request Timeout"},
        {409, "Conflict"},
        {410, "Gone"},
        {411, "Length Required"},
        {412, "Precondition Failed"},
        {413, "Content Too Large"},
        {414, "URI Too Long"},
        {415, "Unsupported Media Type"},
        {417, "Expectation Failed"},
        {421, "Misdirected Request"},
        {422, "Unprocessable Content"},
        {425, "Too Early"},
        {426, "Upgrade Required"},
        {428, "Precondition Required"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {502, "Bad Gateway"},
        {503, "Service Unavailable"},
        {504, "Gateway Timeout"},
        {505, "HTTP Version Not Supported"},
        {507, "Insufficient Storage"},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (rows[i].status == status)
            return rows[i].text;
    return "";
}
