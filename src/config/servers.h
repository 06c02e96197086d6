/* The entries of mcpServers. */
#ifndef CONFIG_SERVERS_H
#define CONFIG_SERVERS_H

#include "config/section.h"

/* Reads the object that stands under "mcpServers" into cfg->servers and cfg->by_name. The global
 * sections must have been read, as the servers inherit from them. */
void servers_read(struct config_reader *r, const struct jsonc_member *m);

/* Reads what says how to reach the server (type command args env cwd url headers) from the entry
 * that stands at path `where` (endpoint.c). */
void endpoint_read(struct config_reader *r, const struct jsonc_member *entry, const char *where,
                   struct server_config *s);

/* Whether key is a spelling that some client uses for one of those. */
bool endpoint_is_alias(const char *key);

/* The struct that holds a server's values of a section's rows; NULL for a section that servers have
 * none of (hash.c). */
const void *server_section(const struct server_config *s, enum config_section section);

/* server_config.identity_hash and .settings_hash (hash.c). */
uint64_t server_identity_hash(const struct server_config *s);
uint64_t server_settings_hash(const struct server_config *s);

#endif
