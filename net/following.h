/* The connections of a replica to the server that it follows: net/following.c. */
#ifndef TILL_NET_FOLLOWING_H
#define TILL_NET_FOLLOWING_H

#include <stdbool.h>
#include <stdint.h>

#include "base/io.h"

struct server;

bool following_open(struct server *server);
void following_close(struct server *server);

/* Connects, handles what came and waits for room in the log, acknowledges: once a turn, after the
 * events. */
void following_turn(struct server *server);
uint64_t following_wait_us(const struct server *server);

/* IO_CONNECTED, IO_RECEIVED, IO_SENT, IO_CLOSED of its two connections; IO_WORKED of its lane. */
void following_event(struct server *server, const struct io_event *event);

/* Ends both connections, at a stop and when the role changes: true when nothing is under way. */
bool following_stop(struct server *server);

#endif
