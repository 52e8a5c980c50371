/* A network address as a person writes it: ADDR:PORT, [ADDR]:PORT for IPv6, or :PORT for every
 * address of this machine. Text in, text out: no name is looked up here. */
#ifndef TILL_BASE_ADDRESS_H
#define TILL_BASE_ADDRESS_H

#include <stdbool.h>

enum {
    ADDRESS_HOST_SIZE = 256, /* a name in the DNS has at most 253 characters */
    ADDRESS_PORT_SIZE = sizeof "65535",
    ADDRESS_TEXT_SIZE = ADDRESS_HOST_SIZE + ADDRESS_PORT_SIZE + sizeof "[]:",
};

struct address {
    char host[ADDRESS_HOST_SIZE]; /* a name or an address, without brackets; may be empty */
    char port[ADDRESS_PORT_SIZE]; /* decimal, 0 to 65535 */
};

/* False when the text is not an address. An IPv6 address needs its brackets: without them nobody
 * can tell where its port begins. */
bool address_split(struct address *address, const char *text);

/* The text that address_split takes apart into the same host and port. */
char *address_join(const char *host, unsigned port, char text[ADDRESS_TEXT_SIZE]);

#endif
