/* Lines of a journal. Every line stands for itself, so damage costs what it hit and nothing behind
 * it; blank lines are nothing, which lets a writer end a line that was cut by writing an LF. */
#include "journal_text.h"

#define SUM_DIGITS 16
#define LINE_MAX_N (SUM_DIGITS + 1 + STORE_RECORD_MAX)

static uint64_t checksum(struct slice s)
{
    uint64_t h = 0xcbf29ce484222325u;
    for (size_t i = 0; i < s.n; i++)
        h = (h ^ (unsigned char)s.p[i]) * 0x100000001b3u;
    return h;
}

static void put_sum(struct slice record, char out[SUM_DIGITS])
{
    static const char hex[] = "0123456789abcdef";
    uint64_t h = checksum(record);
    for (int i = SUM_DIGITS; i-- > 0; h >>= 4)
        out[i] = hex[h & 15];
}

void journal_write_line(struct buf *out, struct slice record)
{
    char sum[SUM_DIGITS];
    put_sum(record, sum);
    buf_append(out, sum, sizeof(sum));
    buf_append_str(out, " ");
    buf_append_slice(out, record);
    buf_append_str(out, "\n");
}

static void take_line(struct journal_reader *r, struct slice line)
{
    char sum[SUM_DIGITS];
    if (line.n == 0)
        return;
    if (line.n > SUM_DIGITS && line.n <= LINE_MAX_N && line.p[SUM_DIGITS] == ' ') {
        struct slice record = slice_of(line.p + SUM_DIGITS + 1, line.n - SUM_DIGITS - 1);
        put_sum(record, sum);
        if (memcmp(sum, line.p, sizeof(sum)) == 0) {
            r->take(r->arg, record);
            return;
        }
    }
    r->damaged++;
}

/* Keeps the beginning of a line that goes on in the next piece. */
static void keep(struct journal_reader *r, struct slice part)
{
    if (buf_len(&r->line) + part.n > LINE_MAX_N) {
        r->too_long = true;
        buf_reset(&r->line);
    }
    if (!r->too_long)
        buf_append_slice(&r->line, part);
}

void journal_feed(struct journal_reader *r, struct slice bytes)
{
    while (bytes.n > 0) {
        const char *lf = memchr(bytes.p, '\n', bytes.n);
        size_t n = lf ? (size_t)(lf - bytes.p) : bytes.n;
        struct slice part = slice_of(bytes.p, n);
        bool whole = lf && buf_len(&r->line) == 0 && !r->too_long;
        if (whole)
            take_line(r, part);
        else
            keep(r, part);
        if (lf && !whole) {
            if (r->too_long)
                r->damaged++;
            else
                take_line(r, buf_peek(&r->line));
            buf_reset(&r->line);
            r->too_long = false;
        }
        n += lf != NULL;
        bytes = slice_of(bytes.p + n, bytes.n - n);
    }
}

void journal_feed_end(struct journal_reader *r)
{
    if (r->too_long)
        r->damaged++;
    else
        take_line(r, buf_peek(&r->line)); /* whole but for its end, perhaps */
    buf_done(&r->line);
    r->too_long = false;
}
