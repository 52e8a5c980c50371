/* One connection, one request, one answer. A server that does not answer in time is treated as one
 * that cannot be reached: whether it has done what it was asked is not known then. */
#include "cli/members.h"

#include <string.h>
#include <time.h>

#include "base/address.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/status.h"
#include "net/client.h"

bool member_address(const char *address, struct text *text)
{
    struct address parts;
    size_t size = strlen(address);
    *text = (struct text){""};
    if (size >= sizeof text->bytes || !address_split(&parts, address) || parts.host[0] == '\0')
        return false;
    memcpy(text->bytes, address, size);
    return true;
}

static bool take_answer(const struct client_reply *answer, struct member_body *reply,
                        char error[MEMBER_ERROR_SIZE])
{
    if (answer->outcome == OUTCOME_OK && answer->size >= sizeof *reply) {
        memcpy(reply, answer->body, sizeof *reply);
        return true;
    }
    if (answer->outcome >= OUTCOME_COUNT || answer->outcome == OUTCOME_OK)
        return error_set(error, MEMBER_ERROR_SIZE, "its answer is not one to this request");
    return error_set(error, MEMBER_ERROR_SIZE, "it answers %s: %s", outcome_name(answer->outcome),
                     outcome_info(answer->outcome)->text);
}

/* The reason alone: a client's error begins with the address, and so do the lines made from this.
 */
static const char *without(const char *error, const char *address)
{
    size_t size = strlen(address);
    bool is_there = strncmp(error, address, size) == 0 && strncmp(error + size, ": ", 2) == 0;
    return is_there ? error + size + 2 : error;
}

/* *is_behind: it has answered REPLICA_BEHIND. */
static bool ask_once(const char *address, unsigned number, const void *body, uint32_t size,
                     struct member_body *reply, bool *is_behind, char error[MEMBER_ERROR_SIZE])
{
    struct client client;
    struct client_reply answer;
    uint32_t request = 0;
    *is_behind = false;
    if (!client_open_within(&client, address, FRAME_FEATURE_OPERATOR, MEMBER_ASK_MS))
        return error_set(error, MEMBER_ERROR_SIZE, "%s", without(client.error, address));
    bool is_answered = client_queue(&client, number, body, size, &request) &&
                       client_receive(&client, &answer, MEMBER_ASK_MS);
    if (!is_answered)
        error_set(error, MEMBER_ERROR_SIZE, "%s", client.error);
    bool is_done = is_answered && take_answer(&answer, reply, error);
    *is_behind = is_answered && answer.outcome == OUTCOME_REPLICA_BEHIND;
    client_close(&client);
    return is_done;
}

bool member_ask_again(const char *address, unsigned number, const void *body, uint32_t size,
                      struct member_body *reply, uint32_t wait_ms, char error[MEMBER_ERROR_SIZE])
{
    enum { PAUSE_MS = 20 };
    const struct timespec pause = {.tv_nsec = PAUSE_MS * 1000 * 1000};
    uint64_t end_us = clock_monotonic_us() + wait_ms * 1000ULL;
    bool is_behind = false;
    while (!ask_once(address, number, body, size, reply, &is_behind, error)) {
        if (!is_behind || clock_monotonic_us() >= end_us)
            return false;
        nanosleep(&pause, NULL);
    }
    return true;
}

bool member_ask(const char *address, unsigned number, const void *body, uint32_t size,
                struct member_body *reply, char error[MEMBER_ERROR_SIZE])
{
    return member_ask_again(address, number, body, size, reply, 0, error);
}
