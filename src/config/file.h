/* The file that a configuration comes from. */
#ifndef CONFIG_FILE_H
#define CONFIG_FILE_H

#include "config/config.h"

/* Reads the file at path as config_load promises. 0 with *ret_text malloc'ed and owned by the
 * caller, *ret_n bytes; -errno after a complaint in errs. */
int file_read(const char *path, uid_t uid, char **ret_text, size_t *ret_n,
              struct config_errors *errs);

#endif
