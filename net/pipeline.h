/* From commands to decisions, the log and replies: net/pipeline.c. */
#ifndef TILL_NET_PIPELINE_H
#define TILL_NET_PIPELINE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "net/frame.h"
#include "net/output.h"

struct server;

/* Adds a request to the batch; without room for its reply, or beside the others in a block of the
 * log, tells what must happen first. */
enum output_room pipeline_add(struct server *server, uint32_t number, const struct frame *frame);

/* Decides the batch. False when the log has no room yet: the batch stays, and is_stalled is set. */
bool pipeline_decide(struct server *server);

/* The server's own commands, which begin a batch: time.jump, first of all that is decided after a
 * start, and hold.expire, when deadlines have passed. Nothing when there is no cause. */
void pipeline_log_jump(struct server *server);
void pipeline_expire_holds(struct server *server);

/* Writes a reply that the engine has no part in. The batch is empty, and the session's output has
 * reserved room for it. */
void pipeline_answer(struct server *server, uint32_t number, const struct frame *request,
                     enum outcome outcome, const void *body, uint32_t size);

/* Releases the replies that waited for blocks which are durable by now; sends what is released. */
void pipeline_release(struct server *server);
void pipeline_send(struct server *server);

#endif
