/* ctl/table: widths, columns that leave, colours. */
#include "unit/ctl/ctl_test.h"

#include "base/util.h"

static const struct table_column columns[] = {{"NAME", 0}, {"N", 2}, {"STATE", 1}, {"ERROR", 0}};

/* Two rows, laid out for such a terminal. */
static const char *layout(struct style style, unsigned indent)
{
    struct buf b = BUF_INIT;
    struct table t;
    table_init(&t, &style, columns, ARRAY_LEN(columns));
    table_cell(&t, COLOUR_NONE, "a");
    table_cellf(&t, COLOUR_NONE, "%d", 12);
    table_cell(&t, COLOUR_RED, "open");
    table_cell(&t, COLOUR_NONE, "cannot start the program");
    table_cell(&t, COLOUR_NONE, "日本");
    table_cell(&t, COLOUR_NONE, "");
    table_cell(&t, COLOUR_GREEN, "closed");
    table_cell(&t, COLOUR_NONE, NULL);
    table_write(&t, indent, &b);
    table_done(&t);
    return taken(&b);
}

START_TEST(columns_are_as_wide_as_their_widest_cell)
{
    ck_assert_str_eq(layout((struct style){.utf8 = true}, 0),
                     "NAME  N   STATE   ERROR\n"
                     "a     12  open    cannot start the program\n"
                     "日本  -   closed  -\n");
    ck_assert_str_eq(layout((struct style){.utf8 = true}, 2),
                     "  NAME  N   STATE   ERROR\n"
                     "  a     12  open    cannot start the program\n"
                     "  日本  -   closed  -\n");
}
END_TEST

START_TEST(the_last_column_is_cut_first)
{
    ck_assert_str_eq(layout((struct style){.utf8 = true, .columns = 42}, 0),
                     "NAME  N   STATE   ERROR\n"
                     "a     12  open    cannot start the program\n"
                     "日本  -   closed  -\n");
    ck_assert_str_eq(layout((struct style){.utf8 = true, .columns = 41}, 0),
                     "NAME  N   STATE   ERROR\n"
                     "a     12  open    cannot start the progr…\n"
                     "日本  -   closed  -\n");
    ck_assert_str_eq(layout((struct style){.utf8 = true, .columns = 38}, 0),
                     "NAME  N   STATE   ERROR\n"
                     "a     12  open    cannot start the pr…\n"
                     "日本  -   closed  -\n");
}
END_TEST

START_TEST(then_columns_leave_in_their_order)
{
    ck_assert_str_eq(layout((struct style){.utf8 = true, .columns = 37}, 0),
                     "NAME  STATE   ERROR\n"
                     "a     open    cannot start the progr…\n"
                     "日本  closed  -\n");
    ck_assert_str_eq(layout((struct style){.utf8 = true, .columns = 33}, 0),
                     "NAME  ERROR\n"
                     "a     cannot start the program\n"
                     "日本  -\n");
    /* What has to stay stays, however narrow the terminal. */
    ck_assert_str_eq(layout((struct style){.utf8 = true, .columns = 5}, 0),
                     "NAME  ERROR\n"
                     "a     cannot start the pr…\n"
                     "日本  -\n");
}
END_TEST

START_TEST(without_utf8_a_cell_is_as_wide_as_its_escapes)
{
    ck_assert_str_eq(layout((struct style){.columns = 33}, 0),
                     "NAME                      ERROR\n"
                     "a                         cannot start the ...\n"
                     "\\xe6\\x97\\xa5\\xe6\\x9c\\xac  -\n");
}
END_TEST

START_TEST(colours_take_no_room)
{
    ck_assert_str_eq(layout((struct style){.utf8 = true, .colour = true}, 0),
                     "\x1b[1mNAME\x1b[0m  \x1b[1mN\x1b[0m   \x1b[1mSTATE\x1b[0m   "
                     "\x1b[1mERROR\x1b[0m\n"
                     "a     12  \x1b[31mopen\x1b[0m    cannot start the program\n"
                     "日本  -   \x1b[32mclosed\x1b[0m  -\n");
}
END_TEST

START_TEST(a_table_without_rows_has_titles)
{
    static const struct style style;
    struct buf b = BUF_INIT;
    struct table t;
    table_init(&t, &style, columns, ARRAY_LEN(columns));
    table_write(&t, 0, &b);
    table_done(&t);
    ck_assert_str_eq(taken(&b), "NAME  N  STATE  ERROR\n");
}
END_TEST

static void add(TCase *c)
{
    tcase_add_test(c, columns_are_as_wide_as_their_widest_cell);
    tcase_add_test(c, the_last_column_is_cut_first);
    tcase_add_test(c, then_columns_leave_in_their_order);
    tcase_add_test(c, without_utf8_a_cell_is_as_wide_as_its_escapes);
    tcase_add_test(c, colours_take_no_room);
    tcase_add_test(c, a_table_without_rows_has_titles);
}

int main(void)
{
    return run_cases("table", add);
}
