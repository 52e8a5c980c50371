/* What a command asks one server of a shop, for an answer of a line: the messages whose reply is
 * `member`. */
#ifndef TILL_CLI_MEMBERS_H
#define TILL_CLI_MEMBERS_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/messages.h"

/* How long connecting may take, and each answer. */
enum { MEMBER_ASK_MS = 3000, MEMBER_ERROR_SIZE = 512 };

/* Asks the server at this address, on a connection of its own. False without an answer OK; the
 * error says why, and does not name the address. */
bool member_ask(const char *address, unsigned number, const void *body, uint32_t size,
                struct member_body *reply, char error[MEMBER_ERROR_SIZE]);

/* The same, and again for up to wait_ms while it answers REPLICA_BEHIND: what it has decided is on
 * the way to its disk, or a snapshot is being loaded. */
bool member_ask_again(const char *address, unsigned number, const void *body, uint32_t size,
                      struct member_body *reply, uint32_t wait_ms, char error[MEMBER_ERROR_SIZE]);

/* An address as messages carry it; false when it is none, or is longer than they can carry. */
bool member_address(const char *address, struct text *text);

#endif
