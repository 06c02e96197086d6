/* Fuzz target: session ids. The bytes are presented as an id, and then taken for the facts of one
 * that is authenticated properly.
 *
 * Held: what was not made with the key is refused; an authenticated one is read exactly when its
 * format and revision are known, and writing what was read gives the same text again. */
#include "proxy/session_id.h"

#include "base/digest.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const unsigned char key[SESSION_KEY_SIZE] = "the key of this target, 32 bytes";

static void require(bool ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "broken: %s\n", what);
    abort();
}

static void authenticate(char id[SESSION_ID_LEN + 1])
{
    unsigned char mac[DIGEST_SIZE];
    size_t n = BASE64URL_LEN(SESSION_ID_FACTS);
    digest_hmac_sha256(slice_of((const char *)key, sizeof(key)), slice_of(id, n), mac);
    id[n] = '.';
    base64url_encode(mac, SESSION_ID_MAC, id + n + 1);
    id[SESSION_ID_LEN] = '\0';
}

static void check_facts(const unsigned char raw[SESSION_ID_FACTS])
{
    char id[SESSION_ID_LEN + 1], again[SESSION_ID_LEN + 1];
    struct session_id_facts f;
    unsigned version = raw[1 + SESSION_ID_ROUTE];
    bool known = raw[0] == 1 && version >= 1 && version <= MCP_LATEST_LEGACY;
    base64url_encode(raw, SESSION_ID_FACTS, id);
    authenticate(id);
    require(session_id_read(key, slice_str(id), &f) == known, "read exactly when known");
    if (!known)
        return;
    session_id_write(key, &f, raw + SESSION_ID_FACTS - SESSION_ID_RANDOM, again);
    require(strcmp(id, again) == 0, "one text for each set of facts");
    id[SESSION_ID_LEN - 2] ^= 1;
    require(!session_id_read(key, slice_str(id), &f), "a changed MAC");
}

/* Authenticated text that is no base64url, or not of the right kind. */
static void check_text(const uint8_t *data)
{
    char id[SESSION_ID_LEN + 1];
    unsigned char raw[SESSION_ID_FACTS];
    struct session_id_facts f;
    size_t n;
    memcpy(id, data, BASE64URL_LEN(SESSION_ID_FACTS));
    authenticate(id);
    bool text_ok =
        base64url_decode(slice_of(id, BASE64URL_LEN(SESSION_ID_FACTS)), raw, sizeof(raw), &n);
    require(!session_id_read(key, slice_of(id, SESSION_ID_LEN), &f) || text_ok, "bad digits");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct session_id_facts f;
    require(!session_id_read(key, slice_of((const char *)data, size), &f), "forged");
    if (size >= SESSION_ID_FACTS)
        check_facts(data);
    if (size >= BASE64URL_LEN(SESSION_ID_FACTS))
        check_text(data);
    return 0;
}
