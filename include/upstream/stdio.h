/* Servers that are child processes: newline-delimited JSON-RPC over pipes (protocol.md 2.12). */
#ifndef UPSTREAM_STDIO_H
#define UPSTREAM_STDIO_H

#include "upstream/transport.h"

/* The table; its open wants a struct loop * as tr_arg. */
extern const struct transport_ops stdio_transport;

#endif
