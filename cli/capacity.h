/* The engine's capacities as options of the command line: --orders 10m and so on, shared by the
 * subcommands that create an engine. */
#ifndef TILL_CLI_CAPACITY_H
#define TILL_CLI_CAPACITY_H

#include "cli/options.h"
#include "engine/engine.h"

#define CAPACITY_TERM(name, value, text) +1
enum { CAPACITY_COUNT = 0 ENGINE_CAPACITIES(CAPACITY_TERM) };
#undef CAPACITY_TERM

/* Fills one row for each capacity, in the table's order; their targets are members of options. */
void capacity_rows(struct engine_options *options, struct option_row rows[CAPACITY_COUNT]);

/* The name of the capacity that a CAPACITY rejection calls by this number, from 1; NULL when there
 * is none. */
const char *capacity_name(uint64_t number);

#endif
