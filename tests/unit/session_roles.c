/* Which messages a session may send, by the roles of the messages' rows. */
#include "net/session.h"

#include "tests/test.h"

/* Messages that a session with these roles may send. */
static unsigned allowed(uint32_t roles, bool (*expected)(const struct message_info *message))
{
    const struct session session = {.roles = roles};
    unsigned count = 0;
    for (unsigned number = 0; number <= MESSAGE_NUMBER_MAX; number++) {
        const struct message_info *message = message_info(number);
        if (message == NULL)
            continue;
        bool may = session_may_send(&session, message);
        if (may != expected(message))
            test_fail(__FILE__, __LINE__, "%s: %d", message->name, may);
        count += may;
    }
    return count;
}

static bool is_the_servers(const struct message_info *message)
{
    return message->kind == KIND_INTERNAL || message->number == MESSAGE_replica_block ||
           message->number == MESSAGE_replica_beat || message->number == MESSAGE_replica_piece;
}

static bool is_not_the_servers(const struct message_info *message)
{
    return !is_the_servers(message);
}

static bool is_a_replicas(const struct message_info *message)
{
    return message->kind == KIND_LINK && !is_the_servers(message);
}

static bool is_none(const struct message_info *message)
{
    (void)message;
    return false;
}

static bool is_query(const struct message_info *message)
{
    return message->kind == KIND_QUERY;
}

TEST(client_may_send_whatever_is_not_the_servers_own)
{
    CHECK(allowed(SESSION_ROLES_CLIENT, is_not_the_servers) > 0);
}

TEST(session_without_roles_may_send_nothing)
{
    CHECK_EQUAL(allowed(0, is_none), 0);
}

TEST(session_of_one_role_may_send_what_that_role_may)
{
    CHECK(allowed(1u << ROLE_read, is_query) > 0);
    CHECK(allowed(1u << ROLE_server, is_the_servers) > 0);
    CHECK_EQUAL(allowed(1u << ROLE_replica, is_a_replicas), 3);
}
