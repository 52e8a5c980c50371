/* Where a server is told to listen, looked at before it does: while there are no users and no
 * encryption, whoever reaches it may do everything. */
#ifndef TILL_CLI_LISTEN_H
#define TILL_CLI_LISTEN_H

#include <stdbool.h>

enum { LISTEN_TEXT_SIZE = 128, LISTEN_ERROR_SIZE = 512 };

enum listen_verdict {
    LISTEN_INSIDE,  /* only programs on this machine reach it */
    LISTEN_OUTSIDE, /* others do: error says by which address */
    LISTEN_UNKNOWN, /* no address can be found for the name: error says why */
    LISTEN_WRONG,   /* not ADDR:PORT, [ADDR]:PORT or :PORT */
};

struct listen {
    enum listen_verdict verdict;
    char address[LISTEN_TEXT_SIZE]; /* what to bind, in numbers, so that no name is looked up again;
                                       of LISTEN_INSIDE alone */
    char error[LISTEN_ERROR_SIZE];
};

/* Looks a text up, and judges all the addresses that it stands for. */
void listen_look(struct listen *listen, const char *text);

#endif
