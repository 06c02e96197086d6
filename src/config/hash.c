/* Fingerprints of a server's entry, for the comparison of two snapshots: FNV-1a over every field
 * with its length, so that no two different lists run together, then a finaliser that spreads the
 * bits. */
#include "config/servers.h"

static uint64_t mix(uint64_t h, const void *p, size_t n)
{
    const unsigned char *b = p;
    for (size_t i = 0; i < n; i++)
        h = (h ^ b[i]) * 0x100000001b3ULL;
    return h;
}

static uint64_t mix_u64(uint64_t h, uint64_t v)
{
    return mix(h, &v, sizeof(v));
}

/* NULL and "" differ. */
static uint64_t mix_string(uint64_t h, const char *s)
{
    size_t n = s ? strlen(s) : 0;
    h = mix_u64(h, s ? n + 1 : 0);
    return mix(h, s ? s : "", n);
}

static uint64_t finish(uint64_t h)
{
    h = (h ^ h >> 30) * 0xbf58476d1ce4e5b9ULL;
    h = (h ^ h >> 27) * 0x94d049bb133111ebULL;
    return h ^ h >> 31;
}

#define SEED 0xcbf29ce484222325ULL

uint64_t server_identity_hash(const struct server_config *s)
{
    uint64_t h = mix_u64(SEED, s->transport);
    h = mix_string(h, s->command);
    for (size_t i = 0; s->argv != NULL && s->argv[i] != NULL; i++)
        h = mix_string(h, s->argv[i]);
    h = mix_u64(h, s->env.n);
    for (size_t i = 0; i < s->env.n; i++)
        h = mix_string(h, s->env.v[i]);
    h = mix_string(h, s->cwd);
    h = mix_string(h, s->url);
    h = mix_u64(h, s->headers.n);
    for (size_t i = 0; i < s->headers.n; i++) {
        h = mix_string(h, s->headers.v[i].name);
        h = mix_string(h, s->headers.v[i].value);
    }
    return finish(h);
}

const void *server_section(const struct server_config *s, enum config_section section)
{
    switch (section) {
    case CONFIG_SECTION_LIMITS:
        return &s->limits;
    case CONFIG_SECTION_RESILIENCE:
        return &s->resilience;
    case CONFIG_SECTION_DEFAULTS:
        return &s->options;
    case CONFIG_SECTION_TOP:
    case CONFIG_SECTION_HTTP:
    case CONFIG_SECTION_SERVER:
        break;
    }
    return NULL;
}

uint64_t server_settings_hash(const struct server_config *s)
{
    size_t n;
    uint64_t h = SEED;
    const struct config_row *rows = config_rows(&n);
    for (size_t i = 0; i < n; i++) {
        const void *base = server_section(s, rows[i].section);
        if (base == NULL || !rows[i].per_server)
            continue;
        if (rows[i].type == CONFIG_TYPE_CHOICE)
            h = mix_string(
                h, *(const char *const *)(const void *)((const char *)base + rows[i].offset));
        else
            h = mix_u64(h, config_row_value(&rows[i], base));
    }
    return finish(h);
}
