/* What becomes different when one configuration takes the place of another: the plan of a reload,
 * as it is logged, printed by `mcpoolctl reload --dry-run`, and acted on by proxy_apply and
 * front_apply. It comes from the option table, so no row can be forgotten. */
#ifndef CONFIG_DIFF_H
#define CONFIG_DIFF_H

#include "base/buf.h"
#include "config/config.h"

/* What a change costs. */
enum config_effect {
    CONFIG_EFFECT_LIVE,  /* acts from now on, nothing is interrupted */
    CONFIG_EFFECT_RENEW, /* the server's connections are replaced, each when its calls have ended */
    CONFIG_EFFECT_RESTART, /* acts when mcpoold is started again; the old value stays in force */
};

/* "live", "renew" or "restart". */
const char *config_effect_name(enum config_effect e);

/* A key that differs. Values are not told: they may be secrets. */
struct config_change {
    char *key; /* as in the file: "resilience.call_timeout", "args", "listen" */
    enum config_effect effect;
};

enum config_server_fate {
    CONFIG_SERVER_ADDED,   /* enabled now, was not there or disabled before */
    CONFIG_SERVER_REMOVED, /* not there any more, or disabled */
    CONFIG_SERVER_CHANGED,
    CONFIG_SERVER_UNTOUCHED,
};

/* "added", "removed", "changed" or "untouched". */
const char *config_server_fate_name(enum config_server_fate f);

struct config_server_plan {
    const char *name; /* borrowed of the new configuration, of the old one for a removed server */
    enum config_server_fate fate;
    enum config_effect effect; /* the costliest of its changes; CHANGED only */
    size_t changes_n;          /* CHANGED only */
    struct config_change *changes;
};

struct config_plan {
    size_t servers_n; /* in the order of the new file, then the removed ones */
    struct config_server_plan *servers;
    size_t changes_n; /* of keys at the top and in the global sections, except where they only reach
                         servers, which the servers' own changes show */
    struct config_change *changes;
    unsigned added, removed, changed, untouched;
};

/* Compares two snapshots. The plan borrows names of both. */
void config_plan_make(const struct config *old, const struct config *new_config,
                      struct config_plan *ret);
void config_plan_done(struct config_plan *p);

/* Gives next the values that old has wherever a change needs a restart, so that it describes what
 * is in force once it has been applied. Global rows, and those of servers that are enabled in both.
 * After config_plan_make; nobody else may have a reference to next yet. */
void config_keep(const struct config *old, struct config *next);

/* Whether nothing at all differs. */
bool config_plan_is_empty(const struct config_plan *p);

/* Appends the plan for people, a line per server that is touched and per key, the last line being
 * the sums: "1 added, 0 removed, 1 changed, 5 untouched". */
void config_plan_write(const struct config_plan *p, struct buf *out);

#endif
