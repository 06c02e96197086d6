/* config/value: numbers with units are exact. */
#include "config/value.h"
#include "unit/config/reading.h"

#include "base/util.h"

#include <inttypes.h>

enum kind { NUMBER, SECONDS, DURATION, SIZE };

static const struct {
    enum kind kind;
    const char *text;
    enum value_result result;
    uint64_t value;
} cases[] = {
    {NUMBER, "0", VALUE_OK, 0},
    {NUMBER, "-0", VALUE_OK, 0},
    {NUMBER, "-0.0", VALUE_OK, 0},
    {NUMBER, "16", VALUE_OK, 16},
    {NUMBER, "1e3", VALUE_OK, 1000},
    {NUMBER, "1E+3", VALUE_OK, 1000},
    {NUMBER, "1500e-2", VALUE_OK, 15},
    {NUMBER, "1.0", VALUE_OK, 1},
    {NUMBER, "9007199254740993", VALUE_OK, 9007199254740993},
    {NUMBER, "18446744073709551615", VALUE_OK, UINT64_MAX},
    {NUMBER, "18446744073709551616", VALUE_RANGE, 0},
    {NUMBER, "1e20", VALUE_RANGE, 0},
    {NUMBER, "1e999999999999", VALUE_RANGE, 0},
    {NUMBER, "0e999999999999", VALUE_OK, 0},
    {NUMBER, "1e-999999999999", VALUE_FRACTION, 0},
    {NUMBER, "1.5", VALUE_FRACTION, 0},
    {NUMBER, "1.00000000000000000000000000000000000000000000000000", VALUE_OK, 1},
    {NUMBER, "0.00000000000000000000000000000000000000000000000001", VALUE_FRACTION, 0},
    {NUMBER, "99999999999999999999999999999999999999999999999999", VALUE_RANGE, 0},
    {NUMBER, "-1", VALUE_NEGATIVE, 0},
    {NUMBER, "-1e-9", VALUE_NEGATIVE, 0},
    {SECONDS, "0.1", VALUE_OK, 100000},
    {SECONDS, "0.000001", VALUE_OK, 1},
    {SECONDS, "0.0000001", VALUE_FRACTION, 0},
    {SECONDS, "1.000001", VALUE_OK, 1000001},
    {SECONDS, "30", VALUE_OK, 30000000},
    {SECONDS, "18446744073709.551615", VALUE_OK, UINT64_MAX},
    {SECONDS, "18446744073709.551616", VALUE_RANGE, 0},
    {DURATION, "500ms", VALUE_OK, 500000},
    {DURATION, "0s", VALUE_OK, 0},
    {DURATION, "7us", VALUE_OK, 7},
    {DURATION, "30s", VALUE_OK, 30000000},
    {DURATION, "5m", VALUE_OK, 300000000},
    {DURATION, "1.5h", VALUE_OK, 5400000000},
    {DURATION, "1d", VALUE_OK, 86400000000},
    {DURATION, "0.5us", VALUE_FRACTION, 0},
    {DURATION, "0.3333ms", VALUE_FRACTION, 0},
    {DURATION, "0.333ms", VALUE_OK, 333},
    {DURATION, "1e3ms", VALUE_OK, 1000000},
    {DURATION, "999999999999d", VALUE_RANGE, 0},
    {DURATION, "-1s", VALUE_NEGATIVE, 0},
    {DURATION, "30", VALUE_UNIT, 0},
    {DURATION, "", VALUE_SYNTAX, 0},
    {DURATION, "s", VALUE_SYNTAX, 0},
    {DURATION, "-", VALUE_SYNTAX, 0},
    {DURATION, "30 s", VALUE_SYNTAX, 0},
    {DURATION, " 30s", VALUE_SYNTAX, 0},
    {DURATION, "30s ", VALUE_SYNTAX, 0},
    {DURATION, "30S", VALUE_SYNTAX, 0},
    {DURATION, "1h30m", VALUE_SYNTAX, 0},
    {DURATION, "+1s", VALUE_SYNTAX, 0},
    {DURATION, ".5s", VALUE_SYNTAX, 0},
    {DURATION, "1.s", VALUE_SYNTAX, 0},
    {DURATION, "0x10s", VALUE_SYNTAX, 0},
    {DURATION, "4MiB", VALUE_SYNTAX, 0},
    {SIZE, "4MiB", VALUE_OK, 4194304},
    {SIZE, "4mib", VALUE_OK, 4194304},
    {SIZE, "4MB", VALUE_OK, 4000000},
    {SIZE, "4m", VALUE_OK, 4194304},
    {SIZE, "64k", VALUE_OK, 65536},
    {SIZE, "64K", VALUE_OK, 65536},
    {SIZE, "64kB", VALUE_OK, 64000},
    {SIZE, "1.5GiB", VALUE_OK, 1610612736},
    {SIZE, "512B", VALUE_OK, 512},
    {SIZE, "0.5B", VALUE_FRACTION, 0},
    {SIZE, "1024", VALUE_UNIT, 0},
    {SIZE, "1TiB", VALUE_SYNTAX, 0},
    {SIZE, "1e12GiB", VALUE_RANGE, 0},
};

START_TEST(C04_texts_have_their_value)
{
    uint64_t v = 77;
    enum value_result r = VALUE_OK;
    struct slice text = slice_str(cases[_i].text);
    switch (cases[_i].kind) {
    case NUMBER:
        r = value_number(text, 1, &v);
        break;
    case SECONDS:
        r = value_number(text, USEC_PER_SEC, &v);
        break;
    case DURATION:
        r = value_duration(text, &v);
        break;
    case SIZE:
        r = value_size(text, &v);
        break;
    }
    ck_assert_msg(r == cases[_i].result, "\"%s\" gives result %d", cases[_i].text, r);
    uint64_t expected = r == VALUE_OK ? cases[_i].value : 77;
    ck_assert_msg(v == expected, "\"%s\" gives %" PRIu64, cases[_i].text, v);
}
END_TEST

START_TEST(formatted_values_read_back_the_same)
{
    static const uint64_t values[] = {0,       1,        999,        1000,        1023,
                                      1024,    60000000, 3600000000, 86400000000, 1048576,
                                      1500000, 90000000, 1073741824, UINT64_MAX};
    char text[VALUE_FORMAT_MAX];
    for (size_t i = 0; i < ARRAY_LEN(values); i++) {
        uint64_t v = 1;
        ck_assert_int_eq(value_duration(slice_str(value_format_duration(values[i], text)), &v),
                         VALUE_OK);
        ck_assert_uint_eq(v, values[i]);
        ck_assert_int_eq(value_size(slice_str(value_format_size(values[i], text)), &v), VALUE_OK);
        ck_assert_uint_eq(v, values[i]);
    }
    ck_assert_str_eq(value_format_duration(5 * 60 * USEC_PER_SEC, text), "5m");
    ck_assert_str_eq(value_format_duration(1500 * USEC_PER_MSEC, text), "1500ms");
    ck_assert_str_eq(value_format_size(4 << 20, text), "4MiB");
}
END_TEST

static void add(TCase *c)
{
    tcase_add_loop_test(c, C04_texts_have_their_value, 0, ARRAY_LEN(cases));
    tcase_add_test(c, formatted_values_read_back_the_same);
}

int main(void)
{
    return run_cases("value", add);
}
