/* Bodies: where they end, without copying a byte. Chunked coding is a byte-driven state machine
 * over the framing and hands out chunk data as slices; every line end must be exactly CRLF, sizes
 * exactly hex digits. Extensions and trailers are checked for shape and bounded, and nobody ever
 * sees them: a trailer field must not become a header (RFC 9110 section 6.5.1), and an unbounded
 * extension is a way to send for free.
 *
 *   SIZE -> [EXT] -> SIZE_LF -> DATA -> DATA_CR -> DATA_LF -> SIZE ...
 *                      \-> (size 0) TRAILER_START -> END_LF -> DONE
 *                                       \-> TRAILER_NAME -> TRAILER_VALUE -> TRAILER_LF ->
 * TRAILER_START */
#include "wire/http1_internal.h"

enum state {
    STATE_DATA,
    STATE_SIZE,
    STATE_EXT,
    STATE_SIZE_LF,
    STATE_DATA_CR,
    STATE_DATA_LF,
    STATE_TRAILER_START,
    STATE_TRAILER_NAME,
    STATE_TRAILER_VALUE,
    STATE_TRAILER_LF,
    STATE_END_LF,
    STATE_DONE,
    STATE_FAILED,
};

#define SIZE_DIGITS_MAX 16

void http1_body_init(struct http1_body *b, enum http1_framing framing, uint64_t content_length)
{
    *b = (struct http1_body){.framing = framing};
    if (framing == HTTP1_BODY_LENGTH)
        b->left = content_length;
    b->state = framing == HTTP1_BODY_CHUNKED ? STATE_SIZE : STATE_DATA;
    if (framing == HTTP1_BODY_NONE || (framing == HTTP1_BODY_LENGTH && content_length == 0)) {
        b->state = STATE_DONE;
        b->done = true;
    }
}

static void finish(struct http1_body *b)
{
    b->state = STATE_DONE;
    b->done = true;
}

static enum http1_error on_size(struct http1_body *b, char c)
{
    if (http1_is(c, HTTP1_C_HEX)) {
        if (b->digits == SIZE_DIGITS_MAX)
            return HTTP1_E_CHUNK_SIZE;
        b->left = b->left << 4 | http1_hex(c);
        b->digits++;
        return HTTP1_OK;
    }
    if (b->digits == 0 || (c != '\r' && c != ';'))
        return HTTP1_E_CHUNK_SIZE;
    if (b->left > INT64_MAX - b->total)
        return HTTP1_E_CHUNK_SIZE;
    b->ext = 0;
    b->state = c == ';' ? STATE_EXT : STATE_SIZE_LF;
    return HTTP1_OK;
}

static enum http1_error on_ext(struct http1_body *b, char c)
{
    if (c == '\r') {
        b->state = STATE_SIZE_LF;
        return HTTP1_OK;
    }
    if (http1_check_text(slice_of(&c, 1)) != HTTP1_OK || ++b->ext > HTTP1_CHUNK_EXT_MAX ||
        ++b->ext_total > HTTP1_CHUNK_EXT_TOTAL_MAX)
        return HTTP1_E_CHUNK_EXTENSION;
    return HTTP1_OK;
}

static enum http1_error on_size_lf(struct http1_body *b, char c)
{
    if (c != '\n')
        return HTTP1_E_CHUNK_END;
    b->digits = 0;
    b->state = b->left > 0 ? STATE_DATA : STATE_TRAILER_START;
    return HTTP1_OK;
}

/* Any byte of the trailer section; the empty line at its end included. */
static enum http1_error on_trailer(struct http1_body *b, char c)
{
    bool ok = ++b->trailer <= HTTP1_TRAILER_MAX;

    switch ((enum state)b->state) {
    case STATE_TRAILER_START:
        ok = ok && (c == '\r' || http1_is(c, HTTP1_C_TOKEN));
        b->state = c == '\r' ? STATE_END_LF : STATE_TRAILER_NAME;
        break;
    case STATE_TRAILER_NAME:
        ok = ok && (c == ':' || http1_is(c, HTTP1_C_TOKEN));
        if (c == ':')
            b->state = STATE_TRAILER_VALUE;
        break;
    case STATE_TRAILER_VALUE:
        ok = ok && (c == '\r' || http1_check_text(slice_of(&c, 1)) == HTTP1_OK);
        if (c == '\r')
            b->state = STATE_TRAILER_LF;
        break;
    case STATE_TRAILER_LF:
        ok = ok && c == '\n';
        b->state = STATE_TRAILER_START;
        break;
    case STATE_END_LF:
        ok = ok && c == '\n';
        if (ok)
            finish(b);
        break;
    case STATE_DATA:
    case STATE_SIZE:
    case STATE_EXT:
    case STATE_SIZE_LF:
    case STATE_DATA_CR:
    case STATE_DATA_LF:
    case STATE_DONE:
    case STATE_FAILED:
        ok = false;
        break;
    }
    return ok ? HTTP1_OK : HTTP1_E_TRAILER;
}

/* One byte that is not body data. */
static enum http1_error on_framing(struct http1_body *b, char c)
{
    switch ((enum state)b->state) {
    case STATE_SIZE:
        return on_size(b, c);
    case STATE_EXT:
        return on_ext(b, c);
    case STATE_SIZE_LF:
        return on_size_lf(b, c);
    case STATE_DATA_CR:
        b->state = STATE_DATA_LF;
        return c == '\r' ? HTTP1_OK : HTTP1_E_CHUNK_END;
    case STATE_DATA_LF:
        b->state = STATE_SIZE;
        return c == '\n' ? HTTP1_OK : HTTP1_E_CHUNK_END;
    case STATE_TRAILER_START:
    case STATE_TRAILER_NAME:
    case STATE_TRAILER_VALUE:
    case STATE_TRAILER_LF:
    case STATE_END_LF:
        return on_trailer(b, c);
    case STATE_DATA:
    case STATE_DONE:
    case STATE_FAILED:
        break;
    }
    return HTTP1_E_CHUNK_END;
}

/* A run of body bytes at the start of in. */
static struct slice take_run(struct http1_body *b, struct slice in)
{
    struct slice run = in;

    if (b->framing != HTTP1_BODY_CLOSE) {
        if (run.n > b->left)
            run.n = (size_t)b->left;
        b->left -= run.n;
    }
    b->total += run.n;
    if (b->framing == HTTP1_BODY_CHUNKED && b->left == 0)
        b->state = STATE_DATA_CR;
    if (b->framing == HTTP1_BODY_LENGTH && b->left == 0)
        finish(b);
    return run;
}

enum http1_error http1_body_feed(struct http1_body *b, struct slice in, size_t *ret_consumed,
                                 struct slice *ret_run)
{
    size_t at = 0;

    *ret_run = (struct slice){0};
    *ret_consumed = 0;
    if (b->state == STATE_FAILED)
        return (enum http1_error)b->error;
    while (at < in.n && !b->done) {
        enum http1_error err;

        if (b->state == STATE_DATA) {
            *ret_run = take_run(b, slice_of(in.p + at, in.n - at));
            at += ret_run->n;
            break;
        }
        if ((err = on_framing(b, in.p[at])) != HTTP1_OK) {
            b->state = STATE_FAILED;
            b->error = (int8_t)err;
            return err;
        }
        at++;
    }
    *ret_consumed = at;
    return HTTP1_OK;
}

enum http1_error http1_body_eof(struct http1_body *b)
{
    if (b->framing == HTTP1_BODY_CLOSE)
        finish(b);
    return b->done ? HTTP1_OK : HTTP1_E_TRUNCATED;
}
