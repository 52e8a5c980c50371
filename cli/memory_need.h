/* Does what a server takes fit into the memory that is left? The kernel ends a process that takes
 * more, without a word, so this is asked before. */
#ifndef TILL_CLI_MEMORY_NEED_H
#define TILL_CLI_MEMORY_NEED_H

#include <stdbool.h>

#include "net/server.h"

/* False after a message on stderr: what is needed, what is left and why, and what can be lowered.
 * A server of lazy memory, and what only many connections take, is warned of and let go on. root
 * is memory_limit_look's. */
bool memory_suffices(const struct server_options *options, const char *root);

#endif
