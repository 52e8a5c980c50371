/* A host is judged by the addresses that the system resolves it to, not by its text: `0`, `127.1`
 * and names are hosts too. It is inside when all of its addresses are loopback addresses. The
 * server binds the first IPv4 address of these, or the first of all if none is IPv4. */
#include "cli/listen.h"

#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/assert.h"

static bool is_loopback(const struct addrinfo *info)
{
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    if (info->ai_family == AF_INET && info->ai_addrlen == sizeof v4) {
        memcpy(&v4, info->ai_addr, sizeof v4);
        return ntohl(v4.sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
    }
    if (info->ai_family != AF_INET6 || info->ai_addrlen != sizeof v6)
        return false;
    memcpy(&v6, info->ai_addr, sizeof v6);
    if (IN6_IS_ADDR_V4MAPPED(&v6.sin6_addr))
        return v6.sin6_addr.s6_addr[12] == IN_LOOPBACKNET;
    return IN6_IS_ADDR_LOOPBACK(&v6.sin6_addr);
}

/* The address in numbers. */
static void format_host(const struct addrinfo *info, char host[ADDRESS_HOST_SIZE])
{
    if (getnameinfo(info->ai_addr, info->ai_addrlen, host, ADDRESS_HOST_SIZE, NULL, 0,
                    NI_NUMERICHOST) != 0)
        snprintf(host, ADDRESS_HOST_SIZE, "an address of family %d", info->ai_family);
}

static void judge(struct listen *listen, const struct addrinfo *infos, unsigned port)
{
    char host[ADDRESS_HOST_SIZE];
    const struct addrinfo *chosen = infos;
    TILL_ASSERT(infos != NULL); /* getaddrinfo found something */
    for (const struct addrinfo *info = infos; info != NULL; info = info->ai_next) {
        if (!is_loopback(info)) {
            format_host(info, host);
            bool is_any = strcmp(host, "0.0.0.0") == 0 || strcmp(host, "::") == 0;
            snprintf(listen->error, sizeof listen->error, "%s, which is %s", host,
                     is_any ? "every interface of this machine" : "not this machine alone");
            listen->verdict = LISTEN_OUTSIDE;
            return;
        }
        if (chosen->ai_family != AF_INET && info->ai_family == AF_INET)
            chosen = info;
    }
    format_host(chosen, host);
    address_join(host, port, listen->address);
    listen->verdict = LISTEN_INSIDE;
}

void listen_look(struct listen *listen, const struct address *address)
{
    const char *host = address->host[0] == '\0' ? NULL : address->host;
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
                                   .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *infos = NULL;
    int failure = getaddrinfo(host, address->port, &hints, &infos);
    *listen = (struct listen){.verdict = LISTEN_UNKNOWN};
    if (failure != 0) {
        snprintf(listen->error, sizeof listen->error, "%s", gai_strerror(failure));
        return;
    }
    judge(listen, infos, (unsigned)atoi(address->port));
    freeaddrinfo(infos);
}
