/* From tree to typed values, by the rows of the table: what config.c and servers.c share. */
#ifndef CONFIG_SECTION_H
#define CONFIG_SECTION_H

#include "config/config.h"
#include "config/diag.h"
#include "config/expand.h"
#include "config/jsonc.h"
#include "config/table.h"

/* One reading of one file. */
struct config_reader {
    struct config *cfg;
    struct config_arena *arena; /* the snapshot's */
    struct config_errors *errs;
    struct expand expand;
    uid_t uid;
    const char *base_dir; /* absolute */
    bool without_servers, check_only;
    bool (*is_loopback_name)(const char *host); /* NULL: that is not known */
};

/* Room for "mcpServers.NAME.limits.KEY". */
#define SECTION_PATH_MAX 192

/* Gives every stored member of the section at base its default. Paths are left to the caller. */
void section_defaults(struct config_arena *arena, enum config_section section, void *base);

/* Reads the members of value, which stands at path `where` ("" = the top of the file), into the
 * section at base. Sections and the types without an offset are skipped; unknown keys, types and
 * ranges are complained about. in_server: in a server's entry, where only some rows are allowed. */
void section_read(struct config_reader *r, enum config_section section,
                  const struct jsonc_value *value, void *base, const char *where, bool in_server);

/* Reads one member as its row says. */
void section_read_row(struct config_reader *r, const struct config_row *row,
                      const struct jsonc_member *m, void *base, const char *where);

/* Complains about a key that no row of the given sections has, naming the one that was meant if one
 * is near. */
void section_unknown_key(struct config_reader *r, const struct jsonc_member *m, const char *where,
                         const enum config_section *sections, size_t sections_n);

/* Complains that m has another type than `what`. */
void section_wrong_type(struct config_reader *r, const struct jsonc_member *m, const char *where,
                        const char *what);

/* "where.key", or the key alone at the top; long keys are cut. Returns out. */
const char *section_path(char out[static SECTION_PATH_MAX], const char *where, const char *key);

/* m's value as a string; NULL after a complaint. */
const char *section_string(struct config_reader *r, const struct jsonc_member *m,
                           const char *where);

/* Whether the string at pos is an absolute path that a unix socket can have; complains if not. */
bool section_check_socket_path(struct config_reader *r, struct config_pos pos, const char *path);

/* What is wrong with the name of a server or client, which none of `taken` may be, as it completes
 * "the name …"; NULL when nothing is (servers.c). */
const char *section_judge_name(const char *name, const char *const *taken, size_t taken_n);

/* A TCP address that stands at pos under `key`; false after a complaint (config.c). */
bool section_parse_tcp(struct config_reader *r, struct config_pos pos, const char *key,
                       const char *text, struct config_listen *ret);

/* Values of the addresses in a configuration (address.c); true when well-formed. */
bool address_is_host(struct slice s); /* "name", "10.0.0.1", "[::1]" */
bool address_is_port(struct slice s, uint16_t *ret);
/* Splits "host" or "host:port"; *ret_port.p == NULL without a port. false when the shape is wrong.
 */
bool address_split(struct slice s, struct slice *ret_host, struct slice *ret_port);
bool address_is_loopback(struct slice host);

#endif
