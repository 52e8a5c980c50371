/* Stubs until the members' file is written. */
#include "net/members.h"

#include "net/admin.h"
#include "net/replicas.h"
#include "net/server_state.h"

enum outcome members_admit(const struct server *server, const struct message_info *message)
{
    (void)server;
    (void)message;
    return OUTCOME_OK;
}

void members_redirect(const struct server *server, struct redirect_body *reply)
{
    *reply = (struct redirect_body){.seq = engine_seq(server->engine)};
}

void members_meet(struct server *server, struct id shop, uint64_t epoch)
{
    (void)server;
    (void)shop;
    (void)epoch;
}

void members_greet(const struct server *server, struct hello_reply_body *reply)
{
    reply->epoch = server->start.epoch;
    reply->role = server_role_PRIMARY;
}

uint64_t members_age_us(const struct server *server)
{
    (void)server;
    return 0;
}

bool links_begin(struct server *server, uint32_t number, const struct request *request)
{
    (void)server;
    (void)number;
    (void)request;
    return false;
}

void links_received(struct server *server, uint32_t number, uint8_t *bytes, uint32_t size)
{
    (void)server;
    (void)number;
    (void)bytes;
    (void)size;
}

enum outcome admin_member_seal(struct server *server, const void *request, void *reply)
{
    (void)server;
    (void)request;
    (void)reply;
    return OUTCOME_INVALID;
}
enum outcome admin_member_promote(struct server *server, const void *request, void *reply)
{
    (void)server;
    (void)request;
    (void)reply;
    return OUTCOME_INVALID;
}
enum outcome admin_member_follow(struct server *server, const void *request, void *reply)
{
    (void)server;
    (void)request;
    (void)reply;
    return OUTCOME_INVALID;
}
enum outcome admin_replicas(struct server *server, const void *request, void *reply)
{
    (void)server;
    (void)request;
    (void)reply;
    return OUTCOME_INVALID;
}
