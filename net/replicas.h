/* The connections that replicas have opened: links, which carry blocks of the log, and those on
 * which a snapshot is fetched. */
#ifndef TILL_NET_REPLICAS_H
#define TILL_NET_REPLICAS_H

#include <stdbool.h>
#include <stdint.h>

#include "net/request.h"

struct server;

/* A replica.join or replica.fetch has come, well-formed, on an open session without features, all
 * of whose replies are sent. True: session->link is set, and from here on what is received belongs
 * to links_received, and the session's output is not used. False: no replica may join here. */
bool links_begin(struct server *server, uint32_t number, const struct request *request);

/* Bytes that came on a link, in whatever pieces; they are valid until the call returns. Their end
 * is not told: the session is then DRAINING or CLOSING. */
void links_received(struct server *server, uint32_t number, uint8_t *bytes, uint32_t size);

#endif
