/* proxy/session_id: what is written is read, and nothing else is: every changed character, every
 * other key, every other spelling is refused. */
#include "proxy/session_id.h"

#include "base/digest.h"
#include "upstream/pool.h"

#include <check.h>
#include <stdlib.h>

static unsigned char key[SESSION_KEY_SIZE], other_key[SESSION_KEY_SIZE];
static const unsigned char random_bytes[SESSION_ID_RANDOM] = "0123456789abcde";
static struct session_id_facts facts;
static char id[SESSION_ID_LEN + 1];

static void setup(void)
{
    memset(key, 7, sizeof(key));
    memset(other_key, 7, sizeof(other_key));
    other_key[31] ^= 1;
    facts = (struct session_id_facts){
        .version = MCP_2025_06_18,
        .features = FEATURE_ROOTS_CHANGED | FEATURE_SAMPLING | 0x8000,
        .issued = 0xabcdef0123,
    };
    session_id_route("github", facts.route);
    session_id_principal("uid:1000", facts.principal);
    session_id_write(key, &facts, random_bytes, id);
}

static bool reads(struct slice text)
{
    struct session_id_facts f;
    return session_id_read(key, text, &f);
}

START_TEST(facts_come_back)
{
    struct session_id_facts f;
    ck_assert(session_id_read(key, slice_str(id), &f));
    ck_assert_int_eq(f.version, facts.version);
    ck_assert_uint_eq(f.features, facts.features);
    ck_assert_uint_eq(f.issued, facts.issued);
    ck_assert_mem_eq(f.route, facts.route, SESSION_ID_ROUTE);
    ck_assert_mem_eq(f.principal, facts.principal, SESSION_ID_PRINCIPAL);
}
END_TEST

START_TEST(an_id_is_short_and_visible)
{
    ck_assert_uint_eq(strlen(id), SESSION_ID_LEN);
    ck_assert_uint_le(SESSION_ID_LEN, 256);
    for (const char *p = id; *p; p++)
        ck_assert(*p > 0x20 && *p < 0x7f);
}
END_TEST

/* Ids of this version must be read by the next one: the layout is an interface. */
START_TEST(the_layout_is_what_it_was)
{
    ck_assert_str_eq(id,
                     "AegbTWoDgEFSXNX8wXLklKvN7wEjMDEyMzQ1Njc4OWFiY2RlAA.xZ-X5_8aKFUQNWhucjmPRw");
}
END_TEST

START_TEST(every_changed_character_is_noticed)
{
    char text[SESSION_ID_LEN];
    for (size_t i = 0; i < SESSION_ID_LEN; i++) {
        for (int c = 0; c < 256; c++) {
            memcpy(text, id, sizeof(text));
            text[i] = (char)c;
            ck_assert_msg(reads(slice_of(text, sizeof(text))) == ((char)c == id[i]),
                          "character %zu as %d", i, c);
        }
    }
}
END_TEST

START_TEST(other_lengths_are_refused)
{
    char longer[SESSION_ID_LEN + 1];
    for (size_t n = 0; n < SESSION_ID_LEN; n++) {
        char *cut = malloc(n + !n); /* exactly as long, for the sanitizer */
        ck_assert_ptr_nonnull(cut);
        memcpy(cut, id, n);
        ck_assert(!reads(slice_of(cut, n)));
        free(cut);
    }
    memcpy(longer, id, SESSION_ID_LEN);
    longer[SESSION_ID_LEN] = 'A';
    ck_assert(!reads(slice_of(longer, sizeof(longer))));
}
END_TEST

START_TEST(another_key_makes_another_id)
{
    struct session_id_facts f;
    char text[SESSION_ID_LEN + 1];
    ck_assert(!session_id_read(other_key, slice_str(id), &f));
    session_id_write(other_key, &facts, random_bytes, text);
    ck_assert(!reads(slice_str(text)));
    ck_assert(session_id_read(other_key, slice_str(text), &f));
}
END_TEST

/* Makes an id of any bytes, properly authenticated. */
static void authenticate(const unsigned char raw[SESSION_ID_FACTS], char out[SESSION_ID_LEN + 1])
{
    unsigned char mac[DIGEST_SIZE];
    size_t n = BASE64URL_LEN(SESSION_ID_FACTS);
    base64url_encode(raw, SESSION_ID_FACTS, out);
    digest_hmac_sha256(slice_of((const char *)key, sizeof(key)), slice_of(out, n), mac);
    out[n] = '.';
    base64url_encode(mac, SESSION_ID_MAC, out + n + 1);
    out[SESSION_ID_LEN] = '\0';
}

START_TEST(what_a_later_version_made_is_not_guessed_at)
{
    unsigned char raw[SESSION_ID_FACTS];
    char text[SESSION_ID_LEN + 1];
    size_t n;
    ck_assert(
        base64url_decode(slice_of(id, BASE64URL_LEN(SESSION_ID_FACTS)), raw, sizeof(raw), &n));
    authenticate(raw, text);
    ck_assert_str_eq(text, id);
    raw[0] = 2; /* format */
    authenticate(raw, text);
    ck_assert(!reads(slice_str(text)));
    raw[0] = 1;
    for (unsigned v = 0; v < 256; v++) {
        raw[1 + SESSION_ID_ROUTE] = (unsigned char)v; /* revision */
        authenticate(raw, text);
        ck_assert_int_eq(reads(slice_str(text)), v >= 1 && v <= MCP_LATEST_LEGACY);
    }
}
END_TEST

START_TEST(names_are_told_apart)
{
    unsigned char r[2][SESSION_ID_ROUTE], p[2][SESSION_ID_PRINCIPAL];
    session_id_route("a", r[0]);
    session_id_route("b", r[1]);
    ck_assert(memcmp(r[0], r[1], SESSION_ID_ROUTE) != 0);
    session_id_principal("uid:1", p[0]);
    session_id_principal("uid:10", p[1]);
    ck_assert(memcmp(p[0], p[1], SESSION_ID_PRINCIPAL) != 0);
    /* A server and a user of one name have nothing in common. */
    session_id_route("x", r[0]);
    session_id_principal("x", p[0]);
    ck_assert(memcmp(r[0], p[0], SESSION_ID_ROUTE) != 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("proxy/session_id");
    TCase *t = tcase_create("session_id");
    tcase_add_checked_fixture(t, setup, NULL);
    tcase_add_test(t, facts_come_back);
    tcase_add_test(t, an_id_is_short_and_visible);
    tcase_add_test(t, the_layout_is_what_it_was);
    tcase_add_test(t, every_changed_character_is_noticed);
    tcase_add_test(t, other_lengths_are_refused);
    tcase_add_test(t, another_key_makes_another_id);
    tcase_add_test(t, what_a_later_version_made_is_not_guessed_at);
    tcase_add_test(t, names_are_told_apart);
    tcase_set_timeout(t, 60);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
