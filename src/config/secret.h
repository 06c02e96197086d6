/* Files that hold secrets: one a line, and nobody else's to read. */
#ifndef CONFIG_SECRET_H
#define CONFIG_SECRET_H

#include "base/slice.h"

#include <stddef.h>
#include <sys/types.h>

#define SECRET_MIN 16
#define SECRET_MAX 4096

/* Largest file. */
#define SECRET_FILE_MAX ((size_t)256 * 1024)

enum secret_result {
    SECRET_OK,
    SECRET_BAD,
    SECRET_FOREIGN, /* as far as this user can see there is nothing wrong but that it is not his */
};

/* Reads the whole file: a regular one of at most SECRET_FILE_MAX. With `judged` it must also belong
 * to root or uid, be closed to others, and to its group unless it is root's, who then chose that
 * group to read it. SECRET_OK with *ret malloc'ed, *ret_n bytes: for secret_forget. Otherwise why
 * completes the sentence "the file …". */
enum secret_result secret_read(const char *path, bool judged, uid_t uid, char **ret, size_t *ret_n,
                               char *why, size_t why_n);

/* Overwrites and frees. Accepts NULL. */
void secret_forget(char *text, size_t n);

/* Takes the next line of text, trimmed; blank ones are passed over. false at the end. *line counts
 * the lines of the file. */
bool secret_next(struct slice *text, struct slice *ret, unsigned *line);

/* What is wrong with a secret, as it completes "it …"; NULL when nothing is. */
const char *secret_fault(struct slice s);

#endif
