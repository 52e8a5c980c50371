/* Which connections are closed when they take too much: net/pressure.c. */
#ifndef TILL_NET_PRESSURE_H
#define TILL_NET_PRESSURE_H

#include <stdbool.h>
#include <stdint.h>

struct server;
struct session;

/* Before a connection is accepted: those that have been silent for too long make room. */
void pressure_close_silent(struct server *server);

/* Is a send under way that waits for its reader? */
bool pressure_is_stuck(const struct server *server, const struct session *session);

/* Once a second: nobody is silent or stuck for ever, however much room there is. */
void pressure_each_second(struct server *server);

/* Once a turn. is_settled: the turn has seen all that had happened when it began, so that a send
 * which was begun before it and has not ended waits for its reader. */
void pressure_turn(struct server *server, bool is_settled);

/* How long the next turn may wait, so that the next look for slow readers is not late. */
uint64_t pressure_wait_us(const struct server *server);

#endif
