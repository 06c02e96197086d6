/* See the header. */
#include "ctl/doc.h"

#include "ctl/text.h"

/* Doubles hold every integer up to here. */
#define LARGEST 9007199254740992.0

const cJSON *doc_get(const cJSON *obj, const char *name)
{
    return cJSON_GetObjectItemCaseSensitive(obj, name);
}

const char *doc_str(const cJSON *obj, const char *name)
{
    return cJSON_GetStringValue(doc_get(obj, name));
}

/* In units of 1/scale. */
static bool number(const cJSON *obj, const char *name, double scale, uint64_t *ret)
{
    const cJSON *item = doc_get(obj, name);
    if (!cJSON_IsNumber(item))
        return false;
    double v = item->valuedouble * scale;
    *ret = v > 0 ? (uint64_t)(v < LARGEST ? v : LARGEST) : 0;
    return true;
}

uint64_t doc_count(const cJSON *obj, const char *name)
{
    uint64_t v = 0;
    number(obj, name, 1, &v);
    return v;
}

bool doc_true(const cJSON *obj, const char *name)
{
    return cJSON_IsTrue(doc_get(obj, name));
}

bool doc_msec(const cJSON *obj, const char *name, usec_t *ret)
{
    return number(obj, name, (double)USEC_PER_MSEC, ret);
}

bool doc_seconds(const cJSON *obj, const char *name, usec_t *ret)
{
    return number(obj, name, (double)USEC_PER_SEC, ret);
}

bool doc_time(const cJSON *obj, const char *name, usec_t *ret)
{
    return text_parse_time(doc_str(obj, name), ret);
}
