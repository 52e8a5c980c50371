/* The links to the replicas that follow this server: net/replicas.c. Also what follows from their
 * acknowledgements: which blocks may be answered, and which log they still need. */
#ifndef TILL_NET_REPLICAS_H
#define TILL_NET_REPLICAS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/io.h"
#include "base/limits.h"
#include "net/link.h"
#include "net/request.h"

struct server;

/* The ring of blocks that all links share, which has memory as it fills; and all that is taken with
 * REPLICAS_MAX links: a send buffer each, and a cursor's window. */
enum { REPLICAS_RING_SIZE = 32 * 1024 * 1024, REPLICAS_LINK_SIZE = LINK_OUT_SIZE + 1024 * 1024 };

#define REPLICAS_BYTES_MAX (REPLICAS_RING_SIZE + (uint64_t)REPLICAS_MAX * REPLICAS_LINK_SIZE)

bool replicas_open(struct server *server);
void replicas_close(struct server *server);

/* A replica.join or replica.fetch has come, well-formed, on an open session without features, all
 * of whose replies are sent: from here on what is received belongs to links_received, and the
 * session's output is not used. False: no replica may join here. */
bool links_begin(struct server *server, uint32_t session, const struct request *request);

/* Bytes that came on a session that is a link, its sends, and its end. */
void links_received(struct server *server, uint32_t session, uint8_t *bytes, uint32_t size);
void links_sent(struct server *server, uint32_t session, int32_t result);
void links_closed(struct server *server, uint32_t session);

/* Sends what can be sent: at the end of each turn, after the log. */
void replicas_turn(struct server *server);
uint64_t replicas_wait_us(const struct server *server);

/* IO_WORKED of the lane LINK. */
void replicas_event(struct server *server, const struct io_event *event);
bool replicas_await_event(const struct server *server);

/* At a stop, when everything else is done: true when the links are caught up and closed. */
bool replicas_stop(struct server *server);

/* Every block up to it is durable here and, with --acks K, on K replicas: its replies may be
 * released. And the last change of it. */
uint64_t replicas_block_released(const struct server *server);
uint64_t replicas_seq_released(const struct server *server);

/* The first seq of the log that links still need; 0: none is needed. */
uint64_t replicas_seq_needed(const struct server *server);

#endif
