/* The terminal, or what stands in for one. */
#ifndef CTL_SCREEN_H
#define CTL_SCREEN_H

#include "base/slice.h"
#include "base/time.h"
#include "ctl/table.h"

#include <stdbool.h>

/* What stdout is: its width (COLUMNS comes first; no limit where there is no terminal), whether it
 * is to have colours (a terminal, and NO_COLOR is not set), and whether it shows UTF-8. */
struct style screen_style(void);

/* Whether stdout is a terminal that a page can be redrawn on. */
bool screen_is_page(void);

/* Takes the terminal for pages: the alternate screen, no cursor. It is given back by screen_end,
 * and by every signal that ends or stops this process. */
void screen_begin(void);
void screen_end(void);

/* Shows the text instead of what was shown, cut to the terminal's width and height. */
bool screen_draw(struct slice text);

/* Waits that long, or until the terminal has another size. */
void screen_wait(usec_t span);

/* After screen_begin: keys come as they are typed and are not shown, until screen_end. false: stdin
 * is no terminal, there are none. */
bool screen_begin_keys(void);

/* The same as screen_wait; returns a key that was typed, SCREEN_RESIZED, or 0 when the time is
 * over. */
#define SCREEN_RESIZED (-1)
int screen_wait_key(usec_t span);

#endif
