/* Sending and receiving while a connection begins: whole or not at all. */
#include "bench/peers/protocol.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

bool protocol_send(int fd, const void *bytes, size_t size, char error[PROTOCOL_ERROR_SIZE])
{
    if (send(fd, bytes, size, MSG_NOSIGNAL) == (ssize_t)size)
        return true;
    snprintf(error, PROTOCOL_ERROR_SIZE, "send: %s", strerror(errno));
    return false;
}

bool protocol_receive(int fd, void *bytes, size_t size, char error[PROTOCOL_ERROR_SIZE])
{
    ssize_t got = recv(fd, bytes, size, MSG_WAITALL);
    if (got == (ssize_t)size)
        return true;
    snprintf(error, PROTOCOL_ERROR_SIZE, "receive: %s", got < 0 ? strerror(errno) : "it closed");
    return false;
}
