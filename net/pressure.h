/* Which connections are closed when they take too much: net/pressure.c. */
#ifndef TILL_NET_PRESSURE_H
#define TILL_NET_PRESSURE_H

#include <stdbool.h>
#include <stdint.h>

struct server;
struct session;

/* Before a connection is accepted: closes those that have been silent for too long. */
void pressure_close_silent(struct server *server);

/* Is a send under way that waits because the client does not read? */
bool pressure_is_stuck(const struct server *server, const struct session *session);

/* Once a second: closes connections that are silent or stuck, also while nothing is short. */
void pressure_each_second(struct server *server);

/* Once a turn. is_settled: the turn has taken in all events that there were when it began; so a
 * send that began earlier and has not ended is one that waits for its reader. */
void pressure_turn(struct server *server, bool is_settled);

/* How long the next turn may wait for events, so that the next look for slow readers is in time. */
uint64_t pressure_wait_us(const struct server *server);

#endif
