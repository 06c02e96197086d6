/* The status page: front/page/index.html, which the assembler takes into the program as it is.
 *
 * Its policy (CSP) lets it do what it has to and nothing else: run the one script and apply the one
 * style that are in it, known by their digests, and ask the daemon that it came from. Were a server
 * to get markup into the page by way of its name or its errors, none of it would run, load or post
 * anything; and there is no sink for it, because scripts may set no HTML at all (trusted types). */
#include "base/base64url.h"
#include "base/digest.h"
#include "base/util.h"
#include "front/admin_priv.h"

#include <stdio.h>

__asm__(".pushsection .rodata, \"a\"\n"
        "admin_page_begin: .incbin \"src/front/page/index.html\"\n"
        "admin_page_end: .balign 8\n"
        "admin_page_size: .quad admin_page_end - admin_page_begin\n"
        ".popsection\n");
extern const char admin_page_begin[] __attribute__((visibility("hidden")));
extern const uint64_t admin_page_size __attribute__((visibility("hidden")));

/* What stands between the first `open` and the first `close` after it, as a source of the policy:
 * 'sha256-...'. */
static void write_source(struct buf *out, struct slice page, const char *open, const char *close)
{
    unsigned char digest[DIGEST_SIZE];
    char text[BASE64URL_LEN(DIGEST_SIZE)];
    const char *from = memmem(page.p, page.n, open, strlen(open)) + strlen(open);
    const char *to = memmem(from, (size_t)(page.p + page.n - from), close, strlen(close));
    digest_sha256(slice_of(from, (size_t)(to - from)), digest);
    base64url_encode(digest, sizeof(digest), text);
    buf_appendf(out, "'sha256-%.*s='", (int)sizeof(text), text);
}

static const char *policy(struct slice page)
{
    static char text[512];
    struct buf b = BUF_INIT;
    if (text[0])
        return text;
    buf_append_str(&b, "default-src 'none'; script-src ");
    write_source(&b, page, "<script>", "</script>");
    buf_append_str(&b, "; style-src ");
    write_source(&b, page, "<style>", "</style>");
    buf_append_str(&b, "; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; "
                       "frame-ancestors 'none'; require-trusted-types-for 'script'; "
                       "trusted-types 'none'");
    snprintf(text, sizeof(text), "%.*s", (int)buf_len(&b), buf_peek(&b).p);
    buf_done(&b);
    return text;
}

void admin_page(struct admin_reply *ret)
{
    const struct slice page = slice_of(admin_page_begin, admin_page_size);
    ret->content_type = "text/html; charset=utf-8";
    ret->csp = policy(page);
    buf_append_slice(&ret->body, page);
}
