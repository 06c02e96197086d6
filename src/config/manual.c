/* mcpool.json(5), made from the reference page: the little Markdown that config_write_reference
 * writes (headings, paragraphs, bullets, fences, `code` and *emphasis*) as a manual page, so that
 * page and manual say the same. Rows become tagged paragraphs, chapters sections. */
#include "config/config.h"

#include "base/slice.h"
#include "base/util.h"
#include "base/version.h"

#include <stdlib.h>
#include <string.h>

struct manual {
    FILE *f;
    bool code;    /* between fences */
    bool bullet;  /* the line before belongs to one */
    bool open;    /* the line before is text that this one may go on with */
    bool literal; /* between backquotes, which may span lines */
};

/* Text outside of markup. Hyphens of code are minus signs, lest they become hyphens. */
static void put_char(const struct manual *m, char c, bool first)
{
    if (first && (c == '.' || c == '\''))
        fputs("\\&", m->f);
    if (c == '\\')
        fputs("\\e", m->f);
    else if (c == '-' && (m->literal || m->code))
        fputs("\\-", m->f);
    else if (c == '~')
        fputs("\\(ti", m->f);
    else if (c == '^')
        fputs("\\(ha", m->f);
    else if (c == '"' && (m->literal || m->code))
        fputs("\\(dq", m->f);
    else
        fputc(c, m->f);
}

/* A character beyond ASCII, by its number: what troff reads is ASCII. Returns its bytes. */
static size_t put_wide(const struct manual *m, struct slice s)
{
    unsigned char lead = (unsigned char)s.p[0];
    size_t n = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
    unsigned number = lead & (0x7fU >> n);
    for (size_t i = 1; i < n && i < s.n; i++)
        number = number << 6 | ((unsigned char)s.p[i] & 0x3fU);
    fprintf(m->f, "\\[u%04X]", number);
    return n < s.n ? n : s.n;
}

/* `code` in bold, *emphasis* in italics; what opens neither stands for itself. */
static void put_text(struct manual *m, struct slice s)
{
    bool italic = false, first = true;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if ((unsigned char)c >= 0x80) {
            i += put_wide(m, slice_of(s.p + i, s.n - i)) - 1;
            continue;
        }
        if (c == '*' && i + 1 < s.n && s.p[i + 1] == '*' && !m->literal)
            i++; /* strong emphasis is emphasis */
        bool emphasis = c == '*' && !italic && !m->literal && i + 1 < s.n && s.p[i + 1] != ' ';
        if (c == '`') {
            m->literal = !m->literal;
            fputs(m->literal ? "\\fB" : "\\fR", m->f);
        } else if (emphasis || (c == '*' && italic && !m->literal)) {
            italic = !italic;
            fputs(italic ? "\\fI" : "\\fR", m->f);
        } else {
            put_char(m, c, first);
        }
        first = false;
    }
    if (italic)
        fputs("\\fR", m->f);
}

static void put_line(struct manual *m, struct slice s)
{
    put_text(m, s);
    fputc('\n', m->f);
}

static void put_code(struct manual *m, struct slice s)
{
    for (size_t i = 0; i < s.n; i++)
        put_char(m, s.p[i], i == 0);
    fputc('\n', m->f);
}

/* A fence opens or closes. */
static void turn_code(struct manual *m)
{
    m->code = !m->code;
    fputs(m->code ? ".PP\n.in +4n\n.EX\n" : ".EE\n.in\n", m->f);
    m->open = m->bullet = false;
}

/* Section names are in capitals, and have no markup. */
static void put_section(struct manual *m, struct slice s)
{
    fputs(".SH \"", m->f);
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (c != '`')
            fputc(c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c, m->f);
    }
    fputs("\"\n", m->f);
    m->open = m->bullet = false;
}

static void put_option(struct manual *m, struct slice s)
{
    fputs(".TP\n", m->f);
    put_line(m, s);
    m->open = true; /* what follows is the tag's paragraph */
    m->bullet = false;
}

static struct slice after(struct slice s, size_t n)
{
    return slice_of(s.p + n, s.n - n);
}

static void put_markdown(struct manual *m, struct slice s, bool *in_row)
{
    if (slice_starts(s, "```")) {
        turn_code(m);
    } else if (m->code) {
        put_code(m, s);
    } else if (s.n == 0) {
        m->bullet = false;
        m->open = m->open && *in_row;
        if (!m->open)
            m->literal = false;
    } else if (slice_starts(s, "# ") || slice_starts(s, "<!--")) {
        return;
    } else if (slice_starts(s, "## ")) {
        *in_row = false;
        put_section(m, after(s, 3));
    } else if (slice_starts(s, "### ")) {
        *in_row = true;
        put_option(m, after(s, 4));
    } else if (slice_starts(s, "* ")) {
        if (*in_row)
            fputs(m->open ? ".RS\n.PD 0\n.IP \\(bu 2\n" : ".IP \\(bu 2\n", m->f);
        else
            fputs(".IP \\(bu 2\n", m->f);
        m->open = false;
        m->bullet = true;
        put_line(m, after(s, 2));
    } else {
        if (!m->open && !m->bullet && !*in_row)
            fputs(".PP\n", m->f);
        m->open = true;
        put_line(m, slice_trim(s));
    }
}

/* Rows with bullets indent them; what follows must not be indented. */
static void end_row(struct manual *m, bool *indented)
{
    if (*indented)
        fputs(".RE\n.PD\n", m->f);
    *indented = false;
}

static void write_head(FILE *f)
{
    fputs(".\\\" Generated by mcpoold --config-manual from src/config/table.c: do not edit.\n"
          ".TH MCPOOL.JSON 5 \"\" \"mcpool " MCPOOL_VERSION "\" \"File Formats\"\n"
          ".SH NAME\n"
          "mcpool.json \\- configuration of mcpoold\n"
          ".SH DESCRIPTION\n",
          f);
}

static void write_foot(FILE *f)
{
    fputs(".SH FILES\n"
          ".TP\n.I \\(ti/.config/mcpool/mcpool.json\n.TQ\n.I /etc/mcpool/mcpool.json\n"
          "The first of these that exists is read, if no other is named.\n"
          ".SH \"SEE ALSO\"\n"
          ".BR mcpoold (8),\n"
          ".BR mcpoolctl (1)\n",
          f);
}

void config_write_manual(FILE *f)
{
    struct manual m = {.f = f};
    char *text = NULL;
    size_t n = 0;
    bool in_row = false, indented = false;
    FILE *page = open_memstream(&text, &n);
    if (!page)
        return;
    config_write_reference(page);
    fclose(page);
    write_head(f);
    for (struct slice rest = slice_of(text, n); rest.n > 0;) {
        const char *end = memchr(rest.p, '\n', rest.n);
        struct slice line = slice_of(rest.p, end ? (size_t)(end - rest.p) : rest.n);
        rest = after(rest, line.n + (end != NULL));
        if (slice_starts(line, "##") && !m.code)
            end_row(&m, &indented);
        indented = indented || (in_row && m.open && slice_starts(line, "* "));
        put_markdown(&m, line, &in_row);
    }
    end_row(&m, &indented);
    write_foot(f);
    free(text);
}
