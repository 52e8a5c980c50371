/* The metrics of all layers as C sees them, and the board on which one thread publishes them for
 * others.
 *
 * Each is declared once, in base/tables/metrics.h. A layer's function fills its own figures in a
 * struct metrics; the loop of the server calls them all once a turn and publishes the result. */
#ifndef TILL_BASE_METRICS_H
#define TILL_BASE_METRICS_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

enum metric_layer {
    LAYER_engine = 1,
    LAYER_wal,
    LAYER_snapshot,
    LAYER_archive,
    LAYER_loop,
    LAYER_connections,
    LAYER_end
};

enum metric_kind { METRIC_KIND_COUNTER = 1, METRIC_KIND_GAUGE };

enum metric_unit {
    METRIC_UNIT_COUNT = 1,
    METRIC_UNIT_BYTES,
    METRIC_UNIT_US,
    METRIC_UNIT_SEQ,
    METRIC_UNIT_PERCENT,
    METRIC_UNIT_BOOL
};

enum metric_number {
#define METRIC(number, layer, kind, unit, name, help) METRIC_##name = (number),
#include "base/tables/metrics.h"
};

/* The figures, in the order of the rows. */
struct metrics {
#define METRIC(number, layer, kind, unit, name, help) uint64_t name;
#include "base/tables/metrics.h"
};

enum { METRIC_COUNT = sizeof(struct metrics) / sizeof(uint64_t) };

struct metric_info {
    const char *name;
    const char *help;
    uint16_t number;
    uint16_t offset; /* in struct metrics */
    uint8_t layer;   /* enum metric_layer */
    uint8_t kind;
    uint8_t unit;
};

/* All of them, METRIC_COUNT, in the order of the rows. */
extern const struct metric_info metric_table[METRIC_COUNT];

const char *metric_layer_name(unsigned layer);
const char *metric_kind_name(unsigned kind);
const char *metric_unit_name(unsigned unit);

static inline uint64_t metric_value(const struct metrics *metrics, const struct metric_info *info)
{
    return *(const uint64_t *)(const void *)((const uint8_t *)metrics + info->offset);
}

/* A sequence lock: the version is odd while the words are being written. One thread publishes and
 * never waits; any number of threads read. What a reader gets is what one call of metrics_publish
 * was given, whole, and not older than the last one that had returned when the read began. All
 * zero: a board on which nothing was published yet, and reads give zeros. */
struct metrics_board {
    _Atomic uint64_t version;
    _Atomic uint64_t words[METRIC_COUNT];
};

/* By the one thread that publishes on this board. */
void metrics_publish(struct metrics_board *board, const struct metrics *metrics);

/* By any thread. Reads again while a publication passes, for as long as that takes: some tens of
 * nanoseconds, or until the publishing thread runs again if it lost its core in the middle. */
void metrics_read(const struct metrics_board *board, struct metrics *metrics);

#endif
