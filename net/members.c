/* Stubs until the members' file is written. */
#include "net/admin.h"
#include "net/server_state.h"

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
