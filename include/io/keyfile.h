/* The secret key of an installation, in a file that is made when it is missing. */
#ifndef IO_KEYFILE_H
#define IO_KEYFILE_H

#include <stddef.h>

#define KEYFILE_SIZE 32

enum keyfile_result {
    KEYFILE_OK,
    KEYFILE_UNSAVED, /* there is none and it cannot be written: a new key, for this process only */
    KEYFILE_BAD,     /* what is there must not or cannot be used; no key */
};

/* The key in file NAME of credentials_dir, where the service manager puts credentials (NULL: there
 * is no such directory), or else of dir, where it is made: written beside its place, flushed to the
 * disk and then linked there, so that it is never seen half and of several processes that start at
 * once all get the same one. In dir it must be a plain file of exactly KEYFILE_SIZE bytes that
 * belongs to the user of this process and that nobody else can read. why: a sentence that says what
 * is wrong and what to do about it, unless KEYFILE_OK. */
enum keyfile_result keyfile_load(const char *dir, const char *credentials_dir, const char *name,
                                 unsigned char out[KEYFILE_SIZE], char *why, size_t why_size);

#endif
