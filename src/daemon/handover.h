/* How clients survive us: the descriptor store of the service manager and the ledger in it. */
#ifndef DAEMON_HANDOVER_H
#define DAEMON_HANDOVER_H

#include "front/front.h"

struct handover;

/* Takes up what an earlier process left in `inherited`, or begins anew, and has the front keep its
 * connections from now on. Directly after front_new. NULL when the service manager keeps no
 * descriptors for us (FDSTORE in the environment says how many): then nothing is changed. Borrows
 * loop and front until handover_free. */
struct handover *handover_start(struct loop *loop, struct front *front,
                                struct inherited *inherited);

/* After front_free. Accepts NULL. */
void handover_free(struct handover *h);

#endif
