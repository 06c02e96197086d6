/* Where the daemon's sockets are. */
#ifndef CTL_PLACE_H
#define CTL_PLACE_H

#include <stdbool.h>
#include <stddef.h>

#define PLACE_PATHS_MAX 4

struct place {
    char *paths[PLACE_PATHS_MAX]; /* to be tried in this order */
    size_t n;
    size_t max_request_bytes, max_response_bytes; /* as configured; 0 = not known */
    char *warning; /* what was wrong with the configuration; NULL = nothing */
};

/* From --socket, else from the file of --config, else from the file that mcpoold would read, else
 * from the defaults (also where a service manager has started us). false: a file that was named
 * cannot be read, and that was said on stderr. */
bool place_find(struct place *p, const char *socket, const char *config);

/* The same for the socket that leads to one server, or, without a name, to the endpoint of all; but
 * what is wrong with a file that was named is left in p->warning, unsaid. */
bool place_find_server(struct place *p, const char *socket, const char *config, const char *name);
void place_done(struct place *p);

#endif
