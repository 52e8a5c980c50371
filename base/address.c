/* The last colon separates host and port. A host that has a colon itself is an IPv6 address, and is
 * refused without its brackets; empty brackets are refused too, as they name no host. */
#include "base/address.h"

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool port_is_valid(const char *port)
{
    size_t digits = strspn(port, "0123456789");
    return digits > 0 && digits < ADDRESS_PORT_SIZE && port[digits] == '\0' &&
           atoi(port) <= UINT16_MAX;
}

bool address_split(struct address *address, const char *text)
{
    const char *colon = strrchr(text, ':');
    if (colon == NULL || !port_is_valid(colon + 1))
        return false;
    const char *host = text;
    size_t size = (size_t)(colon - text);
    if (size > 2 && host[0] == '[' && host[size - 1] == ']') {
        host++;
        size -= 2;
    } else if (memchr(host, ':', size) != NULL || memchr(host, '[', size) != NULL) {
        return false;
    }
    if (size >= ADDRESS_HOST_SIZE)
        return false;
    snprintf(address->host, sizeof address->host, "%.*s", (int)size, host);
    snprintf(address->port, sizeof address->port, "%s", colon + 1);
    return true;
}

char *address_join(const char *host, unsigned port, char text[ADDRESS_TEXT_SIZE])
{
    bool is_v6 = strchr(host, ':') != NULL;
    snprintf(text, ADDRESS_TEXT_SIZE, "%s%s%s:%u", is_v6 ? "[" : "", host, is_v6 ? "]" : "", port);
    return text;
}
