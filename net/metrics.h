/* The server's metrics: each layer fills in its own, and all are published once a turn
 * (base/metrics.h). */
#ifndef TILL_NET_METRICS_H
#define TILL_NET_METRICS_H

#include <stdint.h>

struct server;

/* Before the first turn. */
void metrics_open(struct server *server);

/* At the end of each turn, with the number of events that it handled. */
void metrics_turn(struct server *server, uint32_t events);

#endif
