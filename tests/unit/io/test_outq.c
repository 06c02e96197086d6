/* io/outq: what was copied and what is only referred to, in order; whose the buffer is. */
#include "base/util.h"
#include "io/outq.h"
#include "io_test.h"

static void copy(struct outq *q, const char *s)
{
    memcpy(outq_extend(q, strlen(s)), s, strlen(s));
}

/* All that is queued, as one string; takes it in steps of at most `step` bytes. */
static void drain(struct outq *q, size_t step, char *out)
{
    struct iovec iov[3];
    size_t at = 0;

    while (q->n > 0) {
        size_t sum, n = 0;
        int count = outq_peek(q, iov, ARRAY_LEN(iov), step + 1, &sum);

        ck_assert_int_gt(count, 0);
        ck_assert_uint_le(sum, step + 1);
        for (int i = 0; i < count && n < step; i++) {
            size_t part = iov[i].iov_len < step - n ? iov[i].iov_len : step - n;

            memcpy(out + at + n, iov[i].iov_base, part);
            n += part;
        }
        ck_assert_uint_le(n, sum);
        ck_assert(n == sum || n == step);
        outq_consume(q, n);
        at += n;
    }
    out[at] = '\0';
}

START_TEST(bytes_leave_in_the_order_of_their_coming)
{
    struct blob *b = blob_new("0123456789", 10);
    struct outq q;
    char out[64];

    outq_init(&q);
    ck_assert(outq_is_flat(&q));
    copy(&q, "ab");
    outq_ref(&q, b, 0, 4);
    outq_ref(&q, b, 7, 3);
    copy(&q, "cde");
    outq_ref(&q, b, 4, 1);
    copy(&q, "f");
    ck_assert(!outq_is_flat(&q));
    ck_assert_uint_eq(q.n, 14);
    drain(&q, (size_t)_i, out);
    ck_assert_str_eq(out, "ab0123789cde4f");
    ck_assert(outq_is_flat(&q));
    ck_assert_uint_eq(b->refs, 1);
    outq_done(&q);
    blob_unref(b);
}
END_TEST

START_TEST(an_empty_queue_owns_no_buffer)
{
    struct outq a, b;
    char out[64];
    const char *was;

    outq_init(&a);
    outq_init(&b);
    copy(&a, "first");
    was = a.copied.data;
    drain(&a, 2, out);
    ck_assert_str_eq(out, "first");
    ck_assert_ptr_null(a.copied.data);
    copy(&b, "next");
    ck_assert_ptr_eq(b.copied.data, was);
    copy(&a, "both");
    ck_assert_ptr_ne(a.copied.data, was);
    drain(&a, 64, out);
    ck_assert_str_eq(out, "both");
    drain(&b, 64, out);
    ck_assert_str_eq(out, "next");
}
END_TEST

START_TEST(a_big_buffer_is_not_kept)
{
    static char bytes[256 * 1024 + 1];
    struct outq q;

    outq_init(&q);
    memset(bytes, 'x', sizeof(bytes) - 1);
    copy(&q, bytes);
    outq_consume(&q, q.n);
    ck_assert_ptr_null(q.copied.data);
    copy(&q, "y");
    ck_assert_uint_le(q.copied.cap, 16 * 1024);
    outq_done(&q);
}
END_TEST

START_TEST(who_waits_holds_little)
{
    static char bytes[12000 + 1];
    struct blob *b = blob_new("0123", 4);
    struct outq q;
    char out[64];

    outq_init(&q);
    memset(bytes, 'x', sizeof(bytes) - 1);
    copy(&q, bytes);
    copy(&q, "left");
    outq_wait(&q);
    ck_assert_uint_eq(q.n, 12004);
    outq_ref(&q, b, 1, 2);
    copy(&q, "over");
    outq_consume(&q, 12001);
    outq_wait(&q);
    ck_assert_uint_le(q.copied.cap, 1024);
    drain(&q, 3, out);
    ck_assert_str_eq(out, "eft12over");
    blob_unref(b);
}
END_TEST

int main(void)
{
    TCase *tc = tcase_create("outq");

    tcase_add_loop_test(tc, bytes_leave_in_the_order_of_their_coming, 1, 16);
    tcase_add_test(tc, an_empty_queue_owns_no_buffer);
    tcase_add_test(tc, a_big_buffer_is_not_kept);
    tcase_add_test(tc, who_waits_holds_little);
    return run_suite("io/outq", tc);
}
