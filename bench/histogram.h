/* A log-linear histogram of durations: constant time to record, at most 1 % off, any range.
 *
 * A value below 128 has a bucket of its own. Above that every power of two is cut into 128 equal
 * buckets, so that a bucket is never wider than 1/128 of its values. Values are nanoseconds here,
 * up to 2^42 (73 minutes); larger ones count as that. */
#ifndef TILL_BENCH_HISTOGRAM_H
#define TILL_BENCH_HISTOGRAM_H

#include <stdint.h>

enum {
    HISTOGRAM_BITS = 7,
    HISTOGRAM_SPLIT = 1 << HISTOGRAM_BITS,
    HISTOGRAM_VALUE_BITS = 42,
    HISTOGRAM_BUCKETS = (HISTOGRAM_VALUE_BITS - HISTOGRAM_BITS + 1) * HISTOGRAM_SPLIT,
};

struct histogram {
    uint64_t count;
    uint64_t maximum; /* exact */
    uint64_t buckets[HISTOGRAM_BUCKETS];
};

void histogram_init(struct histogram *histogram);

static inline uint32_t histogram_bucket(uint64_t value)
{
    if (value < HISTOGRAM_SPLIT)
        return (uint32_t)value;
    if (value >= 1ULL << HISTOGRAM_VALUE_BITS)
        return HISTOGRAM_BUCKETS - 1;
    uint32_t shift = 63 - HISTOGRAM_BITS - (uint32_t)__builtin_clzll(value);
    return shift * HISTOGRAM_SPLIT + (uint32_t)(value >> shift);
}

static inline void histogram_record(struct histogram *histogram, uint64_t value)
{
    histogram->count++;
    histogram->maximum = value > histogram->maximum ? value : histogram->maximum;
    histogram->buckets[histogram_bucket(value)]++;
}

/* Adds what another one has recorded. */
void histogram_add(struct histogram *histogram, const struct histogram *other);

/* The value that a share (0 to 1) of the recorded ones do not exceed, by the upper edge of its
 * bucket and never above the maximum; 0 when nothing was recorded. */
uint64_t histogram_percentile(const struct histogram *histogram, double share);

#endif
