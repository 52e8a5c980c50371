/* When the server takes snapshots, and how much of its time they get: net/snapshots.c. */
#ifndef TILL_NET_SNAPSHOTS_H
#define TILL_NET_SNAPSHOTS_H

#include <stdbool.h>
#include <stdint.h>

#include "snapshot/loader.h"

struct server;

/* After the replay, with what the loader found. False without memory, with the server's error. */
bool snapshots_open(struct server *server, const struct loader *loader);

/* Once a turn. is_idle: the turn had nothing else to do. */
void snapshots_turn(struct server *server, bool is_idle);
void snapshots_archive_turn(struct server *server);

/* Before each batch. False: the disk is behind, so nothing may be decided now. */
bool snapshots_make_room(struct server *server);

/* How long a turn may wait. */
uint64_t snapshots_wait_us(const struct server *server);

/* While the server stops: true when no snapshot is under way, or wanted. */
bool snapshots_stop(struct server *server);

#endif
