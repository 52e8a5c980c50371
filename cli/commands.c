/* The tables of the subcommands' options, made from their rows. */
#include "cli/commands.h"

#include <sched.h>

#include "base/limits.h"
#include "net/client.h"

#include "cli/tables/as_rows.h"

#include "cli/tables/options.h"

#undef TEXT_OF
#undef COUNT_OF
#include "cli/tables/as_tables.h"

#include "cli/tables/options.h"
