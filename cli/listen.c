/* What counts is what the system makes of a text, not how it looks: `0`, `127.1` and names are
 * addresses too. A text is inside when every address that it stands for is a loopback one. Of those
 * the first of IPv4 is bound, else the first. */
#include "cli/listen.h"

#include <netdb.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/assert.h"

/* Cuts a text into host, which may be empty, and port; NULL when it is none. */
static const char *cut(const char *text, char host[LISTEN_TEXT_SIZE])
{
    const char *colon = strrchr(text, ':');
    if (colon == NULL || colon - text >= LISTEN_TEXT_SIZE)
        return NULL;
    size_t size = (size_t)(colon - text);
    bool is_bracketed = size >= 2 && text[0] == '[' && colon[-1] == ']';
    if (!is_bracketed && memchr(text, ':', size) != NULL)
        return NULL; /* IPv6 without its brackets */
    snprintf(host, LISTEN_TEXT_SIZE, "%.*s", (int)(is_bracketed ? size - 2 : size),
             is_bracketed ? text + 1 : text);
    size_t digits = strspn(colon + 1, "0123456789");
    unsigned port = 0;
    if (digits == 0 || digits > 5 || colon[1 + digits] != '\0' ||
        sscanf(colon + 1, "%u", &port) != 1 || port > UINT16_MAX)
        return NULL;
    return colon + 1;
}

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
static void format_host(const struct addrinfo *info, char host[LISTEN_TEXT_SIZE])
{
    if (getnameinfo(info->ai_addr, info->ai_addrlen, host, LISTEN_TEXT_SIZE, NULL, 0,
                    NI_NUMERICHOST) != 0)
        snprintf(host, LISTEN_TEXT_SIZE, "an address of family %d", info->ai_family);
}

static void judge(struct listen *listen, const struct addrinfo *infos, const char *port)
{
    char host[LISTEN_TEXT_SIZE];
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
    bool is_v6 = chosen->ai_family == AF_INET6;
    int size = snprintf(listen->address, sizeof listen->address, "%s%s%s:%s", is_v6 ? "[" : "",
                        host, is_v6 ? "]" : "", port);
    listen->verdict = size < (int)sizeof listen->address ? LISTEN_INSIDE : LISTEN_WRONG;
}

void listen_look(struct listen *listen, const char *text)
{
    char host[LISTEN_TEXT_SIZE];
    const char *port = cut(text, host);
    *listen = (struct listen){.verdict = LISTEN_WRONG};
    if (port == NULL)
        return;
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
                                   .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *infos = NULL;
    int failure = getaddrinfo(host[0] == '\0' ? NULL : host, port, &hints, &infos);
    if (failure != 0) {
        snprintf(listen->error, sizeof listen->error, "%s", gai_strerror(failure));
        listen->verdict = LISTEN_UNKNOWN;
        return;
    }
    judge(listen, infos, port);
    freeaddrinfo(infos);
}
