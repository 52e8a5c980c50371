/* The percentile walk of the histogram. Bucket b holds the values from (128 + b % 128) << shift on,
 * shift = b / 128 - 1, for b from 128 on; below that it holds b alone. */
#include "bench/histogram.h"

#include <string.h>

void histogram_init(struct histogram *histogram)
{
    memset(histogram, 0, sizeof *histogram);
}

void histogram_add(struct histogram *histogram, const struct histogram *other)
{
    histogram->count += other->count;
    if (other->maximum > histogram->maximum)
        histogram->maximum = other->maximum;
    for (uint32_t bucket = 0; bucket < HISTOGRAM_BUCKETS; bucket++)
        histogram->buckets[bucket] += other->buckets[bucket];
}

static uint64_t bucket_last_value(uint32_t bucket)
{
    if (bucket < HISTOGRAM_SPLIT)
        return bucket;
    uint32_t shift = bucket / HISTOGRAM_SPLIT - 1;
    uint64_t mantissa = HISTOGRAM_SPLIT + bucket % HISTOGRAM_SPLIT;
    return ((mantissa + 1) << shift) - 1;
}

uint64_t histogram_percentile(const struct histogram *histogram, double share)
{
    double wanted = share * (double)histogram->count;
    uint64_t seen = 0;
    for (uint32_t bucket = 0; bucket + 1 < HISTOGRAM_BUCKETS; bucket++) {
        seen += histogram->buckets[bucket];
        if (seen != 0 && (double)seen >= wanted) {
            uint64_t value = bucket_last_value(bucket);
            return value < histogram->maximum ? value : histogram->maximum;
        }
    }
    return histogram->maximum;
}
