/* Memory for tables and snapshots is allocated at the start; memory for connections when they are
 * used, up to a bound. */
#include "cli/memory_need.h"

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "cli/memory_limit.h"
#include "cli/options.h"
#include "cli/units.h"
#include "engine/tables.h"
#include "net/server.h"

enum {
    LARGEST_SHOWN = 4,
    REST_MIB = 48, /* receive buffers, the ring, the blocks of the log, the program */
};

struct memory_need {
    uint64_t tables_bytes;
    uint64_t snapshots_bytes;
    uint64_t rest_bytes;
    uint64_t connections_bytes; /* replies and requests that wait, at most */
};

static uint64_t start_bytes(const struct memory_need *need)
{
    return need->tables_bytes + need->snapshots_bytes + need->rest_bytes;
}

/* The options that size the largest tables, as a list. */
static void print_largest(const struct engine *engine)
{
    size_t count = 0;
    const struct capacity_info *capacities = capacity_infos(&count);
    bool is_shown[CAPACITY_COUNT] = {false};
    char name[OPTION_NAME_SIZE];
    for (unsigned shown = 0; shown < LARGEST_SHOWN && shown < count; shown++) {
        size_t largest = count;
        for (size_t i = 0; i < count; i++) {
            if (!is_shown[i] &&
                (largest == count || engine_capacity_bytes(engine, capacities[i].number) >
                                         engine_capacity_bytes(engine, capacities[largest].number)))
                largest = i;
        }
        is_shown[largest] = true;
        fprintf(stderr, "%s--%s (%.1f MiB)", shown > 0 ? ", " : "",
                option_spell(capacities[largest].name, name),
                mebibytes(engine_capacity_bytes(engine, capacities[largest].number)));
    }
}

static bool judge(const struct memory_need *need, const struct memory_limit *limit, bool is_lazy,
                  const struct engine *engine)
{
    uint64_t at_start = start_bytes(need);
    if (limit->left_bytes >= at_start + need->connections_bytes)
        return true;
    if (limit->left_bytes >= at_start) {
        fprintf(
            stderr,
            "till serve: many connections together may take another %.1f MiB, and %.1f MiB are "
            "left: %s. Lower --output-chunks and --connections; otherwise the kernel may kill the "
            "server\n",
            mebibytes(need->connections_bytes), mebibytes(limit->left_bytes - at_start),
            limit->reason);
        return true;
    }
    fprintf(stderr,
            "till serve: %.1f MiB are needed%s (tables %.1f, snapshots %.1f, the rest %.1f), and "
            "%.1f MiB are left: %s. Raise that, or lower ",
            mebibytes(at_start), is_lazy ? " when the tables are full" : "",
            mebibytes(need->tables_bytes), mebibytes(need->snapshots_bytes),
            mebibytes(need->rest_bytes), mebibytes(limit->left_bytes), limit->reason);
    print_largest(engine);
    if (need->snapshots_bytes > 0)
        fputs(", --snapshot-memory", stderr);
    if (is_lazy)
        fputs("; otherwise the kernel kills the server when it needs more\n", stderr);
    else
        fputs("; --lazy-memory starts anyway, and the kernel kills it when it needs more\n",
              stderr);
    return is_lazy;
}

bool memory_suffices(const struct server_options *options, bool is_replica, const char *root)
{
    char error[256];
    struct memory_limit limit;
    struct engine *engine = engine_create(&options->engine, error, sizeof error);
    if (engine == NULL) {
        fprintf(stderr, "till serve: %s\n", error);
        return false;
    }
    const bool has_lists = options->indexes == SERVER_INDEXES_ON ||
                           (options->indexes == SERVER_INDEXES_OF_ROLE && is_replica);
    const struct memory_need need = {
        .tables_bytes =
            engine_memory_bytes(engine) + (has_lists ? engine_lists_bytes(&options->engine) : 0),
        .snapshots_bytes = options->snapshot_memory,
        .rest_bytes = (uint64_t)REST_MIB << 20,
        .connections_bytes = server_connections_bytes(options),
    };
    memory_limit_look(&limit, root);
    bool suffices = judge(&need, &limit, options->lazy_memory, engine);
    engine_destroy(engine);
    return suffices;
}
