/* ctl/lines: lines out of any pieces, and the ids of those that are too long. */
#include "ctl/lines.h"
#include "unit/ctl/ctl_test.h"

#define MAX ((size_t)200 * 1024)

static struct buf got;
static struct lines l;

static void on_line(void *arg, struct slice line)
{
    (void)arg;
    buf_appendf(&got, "<%zu:%c%c>", line.n, line.n ? line.p[0] : '-',
                line.n ? line.p[line.n - 1] : '-');
}

static void on_oversize(void *arg, struct slice id)
{
    (void)arg;
    buf_append_str(&got, "!");
    buf_append_slice(&got, id);
    buf_append_str(&got, "!");
}

static const struct lines_ops ops = {on_line, on_oversize};

static void feed(struct slice s, size_t piece)
{
    while (s.n > 0) {
        size_t n = piece < s.n ? piece : s.n;
        memcpy(lines_reserve(&l, n), s.p, n);
        lines_added(&l, n);
        s = slice_of(s.p + n, s.n - n);
    }
}

/* A line of that many bytes, from a to z, with an id somewhere, and its end. */
static void put_line(struct buf *b, size_t n)
{
    static const char head[] = "{\"id\":\"k\",\"x\":\"";
    buf_append_str(b, head);
    for (size_t i = sizeof(head) - 1; i + 2 < n; i++)
        buf_append(b, "y", 1);
    buf_append_str(b, "\"}\n");
}

static const size_t pieces[] = {1, 7, 4096, 65536, 1 << 20};

START_TEST(whole_lines_come_out_of_any_pieces)
{
    struct buf b = BUF_INIT;
    lines_init(&l, MAX, &ops, NULL);
    buf_append_str(&b, "ab\r\n\n  \ncd\n");
    put_line(&b, 70000);
    put_line(&b, MAX);
    put_line(&b, MAX + 1);
    buf_append_str(&b, "ef\n");
    feed(buf_peek(&b), pieces[_i]);
    ck_assert_str_eq(taken(&got), "<2:ab><2:cd><70000:{}><204800:{}>!\"k\"!<2:ef>");
    feed(SLICE("gh"), 1);
    ck_assert_str_eq(taken(&got), "");
    lines_end(&l); /* ends the line as well */
    ck_assert_str_eq(taken(&got), "<2:gh>");
    lines_end(&l);
    ck_assert_str_eq(taken(&got), "");
    lines_done(&l);
    buf_done(&b);
}
END_TEST

START_TEST(a_long_line_that_ends_with_the_input)
{
    struct buf b = BUF_INIT;
    lines_init(&l, MAX, &ops, NULL);
    put_line(&b, 100000);
    feed(slice_of(buf_peek(&b).p, 99999), pieces[_i]);
    lines_end(&l);
    ck_assert_str_eq(taken(&got), "<99999:{\">");
    put_line(&b, MAX + 1000);
    feed(slice_of(buf_peek(&b).p + 100001, MAX + 100), pieces[_i]);
    lines_end(&l);
    ck_assert_str_eq(taken(&got), "!\"k\"!");
    lines_done(&l);
    buf_done(&b);
}
END_TEST

START_TEST(a_new_input_begins_anew)
{
    struct buf b = BUF_INIT;
    lines_init(&l, MAX, &ops, NULL);
    put_line(&b, MAX + 1000);
    for (size_t n = 10; n < MAX + 500; n += MAX / 3) {
        feed(slice_of(buf_peek(&b).p, n), 65536);
        lines_reset(&l);
        feed(SLICE("ab\n"), 1);
        ck_assert_str_eq(taken(&got), "<2:ab>");
    }
    lines_done(&l);
    buf_done(&b);
}
END_TEST

static void add(TCase *tc)
{
    int n = (int)(sizeof(pieces) / sizeof(pieces[0]));
    tcase_add_loop_test(tc, whole_lines_come_out_of_any_pieces, 0, n);
    tcase_add_loop_test(tc, a_long_line_that_ends_with_the_input, 0, n);
    tcase_add_test(tc, a_new_input_begins_anew);
}

int main(void)
{
    return run_cases("ctl/lines", add);
}
