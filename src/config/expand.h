/* ${VAR} in the values of a server's entry. */
#ifndef CONFIG_EXPAND_H
#define CONFIG_EXPAND_H

#include "config/arena.h"
#include "config/diag.h"

/* What all expansions of one file share. */
struct expand {
    struct config_arena *arena;
    struct config_errors *errs;
    const char *(*getenv)(void *arg, const char *name);
    void *getenv_arg;
    bool lenient; /* a variable that is not set is empty */
    size_t total; /* bytes that variables brought in so far */
};

/* The string `s`, which stands at pos, with ${VAR} and ${VAR:-default} replaced; in the arena. What
 * a variable brings in is not looked at again. `key` names the value in complaints. NULL after a
 * complaint. */
const char *expand_string(struct expand *e, struct config_pos pos, const char *key, const char *s);

/* Whether s refers to a variable. */
bool expand_refers(const char *s);

#endif
