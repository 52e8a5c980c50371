/* The histogram: how exact it is, that its buckets leave no gap, and that parts add up. */
#include "bench/histogram.h"

#include <string.h>

#include "tests/test.h"

TEST(histogram_percentiles_are_within_one_percent)
{
    static struct histogram histogram;
    const double shares[] = {0.01, 0.5, 0.9, 0.99, 0.999};
    for (uint64_t top = 100; top < 1000000000000ULL; top *= 30) {
        histogram_init(&histogram);
        for (uint64_t i = 1; i <= 10000; i++)
            histogram_record(&histogram, top * i / 10000);
        for (uint32_t i = 0; i < sizeof shares / sizeof shares[0]; i++) {
            double exact = (double)top * shares[i];
            double told = (double)histogram_percentile(&histogram, shares[i]);
            CHECK(told >= exact * 0.99 - 1 && told <= exact * 1.01 + 1);
        }
        CHECK_EQUAL(histogram_percentile(&histogram, 1), top);
        CHECK_EQUAL(histogram.maximum, top);
    }
}

TEST(histogram_buckets_are_in_order_and_without_gaps)
{
    uint32_t last = 0;
    for (uint64_t value = 0; value < 1u << 20; value++) {
        uint32_t bucket = histogram_bucket(value);
        CHECK(bucket == last || bucket == last + 1);
        last = bucket;
    }
    for (uint32_t bits = 20; bits < 64; bits++) {
        CHECK(histogram_bucket((1ULL << bits) - 1) <= histogram_bucket(1ULL << bits));
        CHECK(histogram_bucket(1ULL << bits) < HISTOGRAM_BUCKETS);
    }
    CHECK_EQUAL(histogram_bucket(UINT64_MAX), HISTOGRAM_BUCKETS - 1);
}

TEST(histogram_that_is_empty_says_zero_and_one_value_says_itself)
{
    static struct histogram histogram;
    histogram_init(&histogram);
    CHECK_EQUAL(histogram_percentile(&histogram, 0.5), 0);
    histogram_record(&histogram, 123456789);
    CHECK_EQUAL(histogram_percentile(&histogram, 0.001), 123456789);
    CHECK_EQUAL(histogram_percentile(&histogram, 0.999), 123456789);
    CHECK_EQUAL(histogram.count, 1);
}

TEST(histograms_add_up_to_what_one_would_have_recorded)
{
    static struct histogram parts[2], sum, whole;
    histogram_init(&parts[0]);
    histogram_init(&parts[1]);
    histogram_init(&sum);
    histogram_init(&whole);
    for (uint32_t i = 0; i < 10000; i++) {
        uint64_t value = test_random() >> (20 + i % 40);
        histogram_record(&parts[i % 2], value);
        histogram_record(&whole, value);
    }
    histogram_add(&sum, &parts[0]);
    histogram_add(&sum, &parts[1]);
    CHECK(memcmp(&sum, &whole, sizeof sum) == 0);
}
