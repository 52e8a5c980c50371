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

#define HANDLER_SESSION(name, reply_rows_max)
#define HANDLER_QUERY(name, reply_rows_max)
#define HANDLER_COMMAND(name, reply_rows_max)
#define HANDLER_INTERNAL(name, reply_rows_max)
#define HANDLER_ADMIN(name, reply_rows_max)                                                        \
    admin_handler admin_##name;                                                                    \
    static_assert((reply_rows_max) == 0, #name ": the reply of an ADMIN message has no rows");
#define MESSAGE(number, name, text_name, KIND, role, KEY, since, request, row, rows_max, reply,    \
                reply_row, reply_rows_max, help)                                                   \
    HANDLER_##KIND(name, reply_rows_max)
#include "engine/tables/messages.h"
#undef HANDLER_ADMIN

/* Room for any of their replies. */
union admin_reply {
    struct rejection_body rejection;
#define HANDLER_ADMIN(name, reply) struct reply##_body name;
#define MESSAGE(number, name, text_name, KIND, role, KEY, since, request, row, rows_max, reply,    \
                ...)                                                                               \
    HANDLER_##KIND(name, reply)
#include "engine/tables/messages.h"
#undef HANDLER_SESSION
#undef HANDLER_QUERY
#undef HANDLER_COMMAND
#undef HANDLER_INTERNAL
#undef HANDLER_ADMIN
};

#endif
