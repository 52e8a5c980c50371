/* Publishing the metrics.
 *
 * The writer makes the version odd, stores the words, makes it even. The release fence keeps every
 * word behind the odd version; the release store keeps it before the even one. A reader takes the
 * words between two equal even versions: the acquire load keeps them behind the first look, the
 * acquire fence before the second. A word that is newer than the first look brings its odd version
 * with it to the second one, which then differs. The words are relaxed atomics, since they are read
 * while they are written. */
#include "base/metrics.h"

#include <assert.h>
#include <sched.h>
#include <string.h>

#include "base/assert.h"
#include "base/limits.h"

#define METRIC(number, layer, kind, unit, name, help)                                              \
    static_assert((number) >= 1 && (number) <= METRIC_NUMBER_MAX, #name ": its number");
#include "base/tables/metrics.h"

/* Two rows with one number, or with one name, do not compile: no two cases, no two members. */
__attribute__((unused)) static void numbers_differ(unsigned number)
{
    switch (number) {
#define METRIC(number, layer, kind, unit, name, help) case (number):
#include "base/tables/metrics.h"
        break;
    }
}

const struct metric_info metric_table[METRIC_COUNT] = {
#define METRIC(metric_number, metric_layer, metric_kind, metric_unit, metric_name, metric_help)    \
    {.name = #metric_name,                                                                         \
     .help = metric_help,                                                                          \
     .number = metric_number,                                                                      \
     .offset = offsetof(struct metrics, metric_name),                                              \
     .layer = LAYER_##metric_layer,                                                                \
     .kind = METRIC_KIND_##metric_kind,                                                            \
     .unit = METRIC_UNIT_##metric_unit},
#include "base/tables/metrics.h"
};

const char *metric_layer_name(unsigned layer)
{
    static const char *const names[LAYER_end] = {
        [LAYER_engine] = "engine",   [LAYER_wal] = "wal",   [LAYER_snapshot] = "snapshot",
        [LAYER_archive] = "archive", [LAYER_loop] = "loop", [LAYER_connections] = "connections",
    };
    TILL_ASSERT(layer < LAYER_end && names[layer] != NULL);
    return names[layer];
}

const char *metric_kind_name(unsigned kind)
{
    return kind == METRIC_KIND_COUNTER ? "counter" : "gauge";
}

const char *metric_unit_name(unsigned unit)
{
    static const char *const names[] = {
        [METRIC_UNIT_COUNT] = "count",     [METRIC_UNIT_BYTES] = "bytes",
        [METRIC_UNIT_US] = "us",           [METRIC_UNIT_SEQ] = "seq",
        [METRIC_UNIT_PERCENT] = "percent", [METRIC_UNIT_BOOL] = "0 or 1",
    };
    TILL_ASSERT(unit < sizeof names / sizeof names[0] && names[unit] != NULL);
    return names[unit];
}

void metrics_publish(struct metrics_board *board, const struct metrics *metrics)
{
    uint64_t words[METRIC_COUNT];
    memcpy(words, metrics, sizeof words);
    uint64_t version = atomic_load_explicit(&board->version, memory_order_relaxed);
    atomic_store_explicit(&board->version, version + 1, memory_order_relaxed);
    atomic_thread_fence(memory_order_release);
    for (unsigned i = 0; i < METRIC_COUNT; i++)
        atomic_store_explicit(&board->words[i], words[i], memory_order_relaxed);
    atomic_store_explicit(&board->version, version + 2, memory_order_release);
}

void metrics_read(const struct metrics_board *board, struct metrics *metrics)
{
    uint64_t words[METRIC_COUNT];
    for (;;) {
        uint64_t before = atomic_load_explicit(&board->version, memory_order_acquire);
        for (unsigned i = 0; i < METRIC_COUNT; i++)
            words[i] = atomic_load_explicit(&board->words[i], memory_order_relaxed);
        atomic_thread_fence(memory_order_acquire);
        uint64_t after = atomic_load_explicit(&board->version, memory_order_relaxed);
        if (before == after && before % 2 == 0)
            break;
        sched_yield();
    }
    memcpy(metrics, words, sizeof words);
}
