/* What can be typed behind each subcommand: its values, and the table that describes them, both
 * from the rows in cli/tables/options.h. */
#ifndef TILL_CLI_COMMANDS_H
#define TILL_CLI_COMMANDS_H

#include "cli/options.h"
#include "engine/engine.h"

#include "cli/tables/as_structs.h"

#include "cli/tables/options.h"

#endif
