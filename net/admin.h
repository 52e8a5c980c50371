/* The handlers of ADMIN messages, which are for the server and not for the engine.
 *
 * Each row of that kind in engine/tables/messages.h has one, admin_<name>, in whichever file of the
 * server it concerns; net/input.c calls it. The request has passed the structural check, everything
 * before it is decided, and there is room for the reply: the handler fills in the message's reply
 * body and returns OK, or fills in a rejection and returns another outcome. */
#ifndef TILL_NET_ADMIN_H
#define TILL_NET_ADMIN_H

#include <assert.h>

#include "base/status.h"
#include "engine/messages.h"

struct server;

typedef enum outcome admin_handler(struct server *server, const void *request, void *reply);

#define HANDLER_SESSION(name)
#define HANDLER_QUERY(name)
#define HANDLER_COMMAND(name)
#define HANDLER_INTERNAL(name)
#define HANDLER_LINK(name)
#define HANDLER_ADMIN(name)                         admin_handler admin_##name;
#define MESSAGE(number, name, text_name, KIND, ...) HANDLER_##KIND(name)
#include "engine/tables/messages.h"
#undef HANDLER_ADMIN

/* Room for any of their replies, rows included. */
union admin_reply {
    struct rejection_body rejection;
#define HANDLER_ADMIN(name, reply) struct reply##_body name;
#undef HANDLER_SESSION
#undef HANDLER_QUERY
#undef HANDLER_COMMAND
#undef HANDLER_INTERNAL
#undef HANDLER_LINK
#define HANDLER_SESSION(name, reply)
#define HANDLER_QUERY(name, reply)
#define HANDLER_COMMAND(name, reply)
#define HANDLER_INTERNAL(name, reply)
#define HANDLER_LINK(name, reply)
#define MESSAGE(number, name, text_name, KIND, role, KEY, since, request, row, rows_max, reply,    \
                ...)                                                                               \
    HANDLER_##KIND(name, reply)
#include "engine/tables/messages.h"
#undef HANDLER_SESSION
#undef HANDLER_QUERY
#undef HANDLER_COMMAND
#undef HANDLER_INTERNAL
#undef HANDLER_ADMIN
#undef HANDLER_LINK
    struct {
        struct replicas_reply_body fixed;
        struct replica_body rows[REPLICAS_MAX];
    } replicas_with_rows;
};

#endif
