/* The board of metrics under threads: a reader sees the figures of a single publication and never
 * older ones than before, however often is published meanwhile. */
#include <pthread.h>
#include <sched.h>
#include <string.h>

#include "base/metrics.h"
#include "tests/test.h"

enum { READERS = 2, CHANGES = 2000, PUBLICATIONS_MAX = 100000000 };

struct reading {
    const struct metrics_board *board;
    atomic_bool *stop;
    _Atomic uint64_t changes; /* reads that gave newer figures than the read before */
    uint64_t torn;
    uint64_t backwards;
    pthread_t thread;
};

static void fill(struct metrics *metrics, uint64_t value)
{
    uint64_t words[METRIC_COUNT];
    for (unsigned i = 0; i < METRIC_COUNT; i++)
        words[i] = value;
    memcpy(metrics, words, sizeof words);
}

static bool is_whole(const struct metrics *metrics)
{
    bool whole = true;
    for (unsigned i = 1; i < METRIC_COUNT; i++)
        whole &= metric_value(metrics, &metric_table[i]) == metric_value(metrics, &metric_table[0]);
    return whole;
}

static void *read_on(void *context)
{
    struct reading *reading = context;
    uint64_t last = 0;
    while (!atomic_load_explicit(reading->stop, memory_order_relaxed)) {
        struct metrics metrics;
        metrics_read(reading->board, &metrics);
        uint64_t value = metric_value(&metrics, &metric_table[0]);
        reading->torn += !is_whole(&metrics);
        reading->backwards += value < last;
        if (value > last)
            atomic_fetch_add_explicit(&reading->changes, 1, memory_order_relaxed);
        last = value;
    }
    return NULL;
}

static bool have_seen_enough(const struct reading *readings)
{
    bool enough = true;
    for (unsigned i = 0; i < READERS; i++)
        enough &= atomic_load_explicit(&readings[i].changes, memory_order_relaxed) >= CHANGES;
    return enough;
}

TEST(board_gives_whole_copies_that_never_go_back_while_it_is_published_on)
{
    static struct metrics_board board;
    static struct reading readings[READERS];
    atomic_bool stop = false;
    for (unsigned i = 0; i < READERS; i++) {
        readings[i] = (struct reading){.board = &board, .stop = &stop};
        CHECK_EQUAL(pthread_create(&readings[i].thread, NULL, read_on, &readings[i]), 0);
    }
    for (uint64_t i = 1; i < PUBLICATIONS_MAX && !have_seen_enough(readings); i++) {
        struct metrics metrics;
        fill(&metrics, i);
        metrics_publish(&board, &metrics);
        if (i % 4 == 0)
            sched_yield();
    }
    bool enough = have_seen_enough(readings);
    atomic_store(&stop, true);
    for (unsigned i = 0; i < READERS; i++)
        pthread_join(readings[i].thread, NULL);
    CHECK(enough);
    for (unsigned i = 0; i < READERS; i++) {
        CHECK_EQUAL(readings[i].torn, 0);
        CHECK_EQUAL(readings[i].backwards, 0);
    }
}

TEST(board_that_nothing_was_published_on_gives_zeros)
{
    static struct metrics_board board;
    struct metrics metrics;
    fill(&metrics, 7);
    metrics_read(&board, &metrics);
    CHECK(is_whole(&metrics));
    CHECK_EQUAL(metrics.orders, 0);
}
