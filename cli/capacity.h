/* The engine's capacities as options of the command line: --orders 10m and so on, shared by the
 * subcommands that create an engine. */
#ifndef TILL_CLI_CAPACITY_H
#define TILL_CLI_CAPACITY_H

#include "cli/options.h"
#include "engine/engine.h"
#include "engine/tables.h"

/* Fills one row for each capacity, in the table's order; their targets are members of options. */
void capacity_rows(struct engine_options *options, struct option_row rows[CAPACITY_COUNT]);

#endif
