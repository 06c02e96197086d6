/* Who may connect: tokens, addresses that others can reach, the port of the admin interface. */
#ifndef CONFIG_ACCESS_H
#define CONFIG_ACCESS_H

#include "config/section.h"

/* Reads the object under "tokens" into cfg->tokens and cfg->secrets. m may be NULL. The servers
 * must have been read, as the entries name them. */
void access_read_tokens(struct config_reader *r, const struct jsonc_member *m);

/* Reads "admin_listen". */
void access_read_admin_listen(struct config_reader *r, const struct jsonc_member *m);

/* Judges the addresses under "listen" by whether there are tokens: refuses those that others can
 * reach when there are none. The rest of the top of the file must have been read. */
void access_check_listen(struct config_reader *r, const struct jsonc_value *top);

#endif
