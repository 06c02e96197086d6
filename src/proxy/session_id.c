/* Writing and reading of authenticated session ids. Pure: key, time and randomness are parameters.
 *
 * The MAC covers the text and not the bytes that it stands for, and is compared as text: so no
 * second spelling of an id exists, which would pass by the revocation of the first. Nothing of an
 * id is looked at before its MAC was found right. */
#include "session_id.h"

#include "base/digest.h"
#include "upstream/pool.h"

#include <stdio.h>
#include <string.h>

#define FORMAT 1

/* Both are written into ids, which outlive this program: old values keep their meaning. */
_Static_assert(MCP_2024_11_05 == 1 && MCP_2025_03_26 == 2 && MCP_2025_06_18 == 3 &&
                   MCP_2025_11_25 == 4,
               "revisions are numbered in session ids");
_Static_assert(FEATURE_SAMPLING == 1 && FEATURE_ROOTS_CHANGED == 64,
               "features are numbered in session ids");

static void hash_name(const char *kind, const char *name, unsigned char *out, size_t n)
{
    unsigned char d[DIGEST_SIZE];
    struct buf b = BUF_INIT;
    buf_append_str(&b, kind);
    buf_append_str(&b, name);
    digest_sha256(buf_peek(&b), d);
    memcpy(out, d, n);
    buf_done(&b);
}

void session_id_route(const char *server, unsigned char out[SESSION_ID_ROUTE])
{
    hash_name("route\n", server, out, SESSION_ID_ROUTE);
}

void session_id_principal(const char *principal, unsigned char out[SESSION_ID_PRINCIPAL])
{
    hash_name("principal\n", principal, out, SESSION_ID_PRINCIPAL);
}

static void put_mac(const unsigned char key[SESSION_KEY_SIZE], struct slice text, char *out)
{
    unsigned char mac[DIGEST_SIZE];
    digest_hmac_sha256(slice_of((const char *)key, SESSION_KEY_SIZE), text, mac);
    base64url_encode(mac, SESSION_ID_MAC, out);
}

static unsigned char *put_number(unsigned char *at, uint64_t v, unsigned bytes)
{
    for (unsigned i = bytes; i-- > 0;)
        *at++ = (unsigned char)(v >> (8 * i));
    return at;
}

static const unsigned char *take_number(const unsigned char *at, unsigned bytes, uint64_t *ret)
{
    *ret = 0;
    while (bytes-- > 0)
        *ret = *ret << 8 | *at++;
    return at;
}

static unsigned char *put(unsigned char *at, const void *p, size_t n)
{
    memcpy(at, p, n);
    return at + n;
}

static const unsigned char *take(const unsigned char *at, void *p, size_t n)
{
    memcpy(p, at, n);
    return at + n;
}

void session_id_write(const unsigned char key[SESSION_KEY_SIZE], const struct session_id_facts *f,
                      const unsigned char random[SESSION_ID_RANDOM], char out[SESSION_ID_LEN + 1])
{
    unsigned char facts[SESSION_ID_FACTS], *at = facts;
    size_t n = BASE64URL_LEN(SESSION_ID_FACTS);
    *at++ = FORMAT;
    at = put(at, f->route, SESSION_ID_ROUTE);
    *at++ = (unsigned char)f->version;
    at = put_number(at, f->features, 2);
    at = put(at, f->principal, SESSION_ID_PRINCIPAL);
    at = put_number(at, f->issued, 5);
    put(at, random, SESSION_ID_RANDOM);
    base64url_encode(facts, sizeof(facts), out);
    put_mac(key, slice_of(out, n), out + n + 1);
    out[n] = '.';
    out[SESSION_ID_LEN] = '\0';
}

bool session_id_read(const unsigned char key[SESSION_KEY_SIZE], struct slice id,
                     struct session_id_facts *ret)
{
    unsigned char facts[SESSION_ID_FACTS];
    char mac[BASE64URL_LEN(SESSION_ID_MAC)];
    size_t n = BASE64URL_LEN(SESSION_ID_FACTS), got;
    uint64_t features;
    if (id.n != SESSION_ID_LEN || id.p[n] != '.')
        return false;
    put_mac(key, slice_of(id.p, n), mac);
    if (!digest_eq(mac, id.p + n + 1, sizeof(mac)))
        return false;
    if (!base64url_decode(slice_of(id.p, n), facts, sizeof(facts), &got) || got != sizeof(facts) ||
        facts[0] != FORMAT)
        return false;
    const unsigned char *at = take(facts + 1, ret->route, SESSION_ID_ROUTE);
    unsigned version = *at++;
    at = take_number(at, 2, &features);
    at = take(at, ret->principal, SESSION_ID_PRINCIPAL);
    take_number(at, 5, &ret->issued);
    ret->version = (enum mcp_version)version;
    ret->features = (unsigned)features;
    return version > MCP_VERSION_NONE && version <= MCP_LATEST_LEGACY;
}
