/* Does the memory that a server will need fit into what is left? The kernel kills a process that
 * takes more, without a message, so this is checked at the start. */
#ifndef TILL_CLI_MEMORY_NEED_H
#define TILL_CLI_MEMORY_NEED_H

#include <stdbool.h>

#include "net/server.h"

/* False after a message on stderr: what is needed, what is left and why, and which options lower
 * it. With --lazy-memory, or when only many connections together need too much, it is a warning and
 * the result is true. is_replica: the server starts as one. root: see memory_limit_look. */
bool memory_suffices(const struct server_options *options, bool is_replica, const char *root);

#endif
