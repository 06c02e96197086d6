/* The directories that mcpoold keeps its files in. */
#ifndef DAEMON_DIRECTORIES_H
#define DAEMON_DIRECTORIES_H

/* Makes the directory, with its parents, when it is missing (mode 0700). One that is there must
 * belong to us or root and be closed to the writes of others. 0, or -errno (logged). */
int directory_ensure(const char *path);

#endif
