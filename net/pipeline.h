/* From commands to decisions, the log and replies: net/pipeline.c. */
#ifndef TILL_NET_PIPELINE_H
#define TILL_NET_PIPELINE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "net/frame.h"
#include "net/output.h"
#include "net/request.h"

struct server;

/* Adds a request to the batch, unless there is no room for its reply or, beside the other commands,
 * in a block of the log: then the result tells what must happen first. */
enum output_room pipeline_add(struct server *server, uint32_t number,
                              const struct request *request);

/* Decides and logs the batch, and writes its replies. False when the log has no room yet: the batch
 * stays as it is, and is_stalled is set. */
bool pipeline_decide(struct server *server);

/* Begin a batch with a command of the server itself, if one is due: epoch.begin, the first of an
 * epoch; time.jump, before anything else
 * is decided after a start; retention.put, when this server was told another retention than the
 * shop has; hold.expire, when deadlines have passed, and memory.forget, when closed orders are due,
 * in turns. */
void pipeline_log_epoch(struct server *server);
void pipeline_log_jump(struct server *server);
void pipeline_log_retention(struct server *server);
void pipeline_expire_holds(struct server *server);

/* How long until pipeline_expire_holds may have something to expire or forget; now_us is the log's
 * time. */
uint64_t pipeline_expire_wait_us(const struct server *server, uint64_t now_us);

/* Writes a reply that does not come from the engine: to the request of this header. The batch must
 * be empty, and the room reserved in the session's output. */
void pipeline_answer(struct server *server, uint32_t number, const struct frame *request,
                     enum outcome outcome, const void *body, uint32_t size);

/* Releases the replies that waited for blocks which are durable now; starts sending what is
 * released. */
void pipeline_release(struct server *server);
void pipeline_send(struct server *server);

#endif
