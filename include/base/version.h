/* The version of mcpool, as programs print it and servers are told it. */
#ifndef BASE_VERSION_H
#define BASE_VERSION_H

#ifndef MCPOOL_VERSION
#define MCPOOL_VERSION "0.1.0"
#endif

#endif
