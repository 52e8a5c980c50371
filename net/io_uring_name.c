/* Names of hosts. getaddrinfo blocks, for many seconds when no name server answers, and cannot be
 * interrupted, so each name is looked up on a thread of its own.
 *
 * Good path: lookup_start makes the thread; when it has the addresses it wakes the io, whose loop
 * takes them and frees the lookup.
 *
 * What can fail: the thread may be refused, the name may be unknown. If the io is destroyed first,
 * it does not wait: it abandons the lookup, which the thread then frees.
 *
 * What must hold: the thread uses the io only under the mutex and only while `io` is not NULL; one
 * of the two sides frees the lookup, the one that finds the other's mark. */
#include "net/io_uring.h"

#include <errno.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>

struct lookup {
    pthread_mutex_t mutex; /* guards what follows, but `address`, which nobody changes */
    struct io *io;         /* NULL: abandoned */
    bool is_done;
    int result;
    struct host_addresses addresses;
    struct address address;
};

static void keep_first(struct host_addresses *addresses, const struct addrinfo *infos)
{
    *addresses = (struct host_addresses){.count = 0};
    for (const struct addrinfo *info = infos; info != NULL; info = info->ai_next) {
        if (addresses->count == HOST_ADDRESSES_MAX)
            break;
        if (info->ai_family == AF_INET || info->ai_family == AF_INET6)
            memcpy(&addresses->all[addresses->count++], info->ai_addr, info->ai_addrlen);
    }
}

static int look_up(struct host_addresses *addresses, const struct address *address, int flags)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV | flags};
    struct addrinfo *infos = NULL;
    int failure = getaddrinfo(address->host, address->port, &hints, &infos);
    if (failure != 0)
        return failure == EAI_SYSTEM ? -errno : -EHOSTUNREACH;
    keep_first(addresses, infos);
    freeaddrinfo(infos);
    return addresses->count > 0 ? 0 : -EHOSTUNREACH;
}

int host_addresses_of_number(struct host_addresses *addresses, const struct address *address)
{
    return look_up(addresses, address, AI_NUMERICHOST);
}

static void lookup_free(struct lookup *lookup)
{
    pthread_mutex_destroy(&lookup->mutex);
    free(lookup);
}

static void *lookup_run(void *argument)
{
    struct lookup *lookup = argument;
    struct host_addresses addresses = {.count = 0};
    int result = look_up(&addresses, &lookup->address, 0);
    pthread_mutex_lock(&lookup->mutex);
    lookup->addresses = addresses;
    lookup->result = result;
    lookup->is_done = true;
    bool is_abandoned = lookup->io == NULL;
    if (!is_abandoned)
        io_wake(lookup->io);
    pthread_mutex_unlock(&lookup->mutex);
    if (is_abandoned)
        lookup_free(lookup);
    return NULL;
}

struct lookup *lookup_start(struct io *io, const struct address *address)
{
    pthread_t thread;
    struct lookup *lookup = calloc(1, sizeof *lookup);
    if (lookup == NULL)
        return NULL;
    lookup->io = io;
    lookup->address = *address;
    pthread_mutex_init(&lookup->mutex, NULL);
    if (pthread_create(&thread, NULL, lookup_run, lookup) != 0) {
        lookup_free(lookup);
        return NULL;
    }
    (void)pthread_detach(thread);
    return lookup;
}

bool lookup_take(struct lookup *lookup, struct host_addresses *addresses, int *result)
{
    pthread_mutex_lock(&lookup->mutex);
    bool is_done = lookup->is_done;
    *addresses = lookup->addresses;
    *result = lookup->result;
    pthread_mutex_unlock(&lookup->mutex);
    if (is_done)
        lookup_free(lookup);
    return is_done;
}

void lookup_abandon(struct lookup *lookup)
{
    pthread_mutex_lock(&lookup->mutex);
    bool is_done = lookup->is_done;
    lookup->io = NULL;
    pthread_mutex_unlock(&lookup->mutex);
    if (is_done)
        lookup_free(lookup);
}
