/* The check of --listen before the server binds: as there are no users and no encryption yet,
 * whoever can connect can do everything. */
#ifndef TILL_CLI_LISTEN_H
#define TILL_CLI_LISTEN_H

#include "base/address.h"

enum { LISTEN_ERROR_SIZE = 512 };

enum listen_verdict {
    LISTEN_INSIDE,  /* only programs on this machine reach it */
    LISTEN_OUTSIDE, /* other machines may reach it: error says by which address */
    LISTEN_UNKNOWN, /* no address can be found for the name: error says why */
};

struct listen {
    enum listen_verdict verdict;
    char address[ADDRESS_TEXT_SIZE]; /* LISTEN_INSIDE: what to bind, in numbers, so that no name is
                                        looked up a second time */
    char error[LISTEN_ERROR_SIZE];
};

/* Resolves the host, and judges all of its addresses. */
void listen_look(struct listen *listen, const struct address *address);

#endif
