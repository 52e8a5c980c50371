/* The tables of their options, made from their rows. */
#include "bench/options.h"

#include "bench/clients.h"
#include "bench/workload.h"
#include "net/frame.h"

#include "cli/tables/as_rows.h"

#include "bench/tables/options.h"

#undef TEXT_OF
#undef COUNT_OF
#include "cli/tables/as_tables.h"

#include "bench/tables/options.h"
