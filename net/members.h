/* What this server is among the servers of its shop: the primary, which decides commands, or a
 * replica, which answers queries; and which requests it takes as such. */
#ifndef TILL_NET_MEMBERS_H
#define TILL_NET_MEMBERS_H

#include <stdint.h>

#include "base/id.h"
#include "base/status.h"
#include "engine/messages.h"

struct server;

/* May this request be decided here, now? OK, or the outcome that it is rejected with. It is called
 * for messages whose kind has a bit in server->kinds_asked: nothing is asked while there is
 * none, so that this costs a primary a test of one number for each request. */
enum outcome members_admit(const struct server *server, const struct message_info *message);

/* The body of a NOT_PRIMARY rejection. */
void members_redirect(const struct server *server, struct redirect_body *reply);

/* Someone else has seen this epoch of that shop: a primary of an older one stops deciding. */
void members_meet(struct server *server, struct id shop, uint64_t epoch);

/* What the reply to hello says of the shop: epoch, role, shop and primary. */
void members_greet(const struct server *server, struct hello_reply_body *reply);

/* Microseconds since the engine's state was the primary's last one; 0 on the primary. */
uint64_t members_age_us(const struct server *server);

#endif
