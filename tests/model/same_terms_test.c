/* Orders of the same terms, in batches, compared with the model and with an engine that decides one
 * by one; also with each table in turn so small that it fills up. */
#include <stdio.h>
#include <string.h>

#include "tests/model/play.h"
#include "tests/model/report.h"
#include "tests/model/same_terms.h"
#include "tests/test.h"

enum { CHECK_EVERY = 4 };

static void play_same_terms(struct play_options *options, int count, struct play_counts *counts)
{
    static unsigned played_count;
    char kind[64];
    struct sequence sequence;
    snprintf(kind, sizeof kind, "same terms, sequence %u", ++played_count);
    options->check_every = CHECK_EVERY;
    options->has_single = true;
    sequence_of_same_terms(&sequence, test_random(), count);
    struct failure failure = play(&sequence, options, counts);
    if (failure.fault != FAULT_NONE)
        report(&sequence, options, &failure, kind);
    sequence_deinit(&sequence);
    CHECK(failure.fault == FAULT_NONE);
}

TEST(same_terms_mean_what_they_mean_now)
{
    enum { TIMES = 150, REQUESTS = 900 };
    static const uint8_t expected[] = {
        OUTCOME_OK,
        OUTCOME_REPLAYED,
        OUTCOME_SOLD_OUT,
        OUTCOME_INSUFFICIENT_STOCK,
        OUTCOME_CUSTOMER_LIMIT,
        OUTCOME_SALE_NOT_OPEN,
        OUTCOME_PRICE_MISMATCH,
        OUTCOME_CURRENCY_MISMATCH,
        OUTCOME_IDEM_MISMATCH,
        OUTCOME_INSUFFICIENT_POINTS,
        OUTCOME_INVALID,
        OUTCOME_NOT_FOUND,
    };
    struct play_counts counts = {0};
    for (int i = 0; i < TIMES; i++) {
        struct play_options options = play_options_for(REQUESTS + BATCH_COMMANDS_MAX);
        play_same_terms(&options, REQUESTS, &counts);
    }
    /* Points are asked for exactly, and are not there, in one of a hundred sequences. */
    for (int i = 0; i < 6 * TIMES && counts.outcomes[OUTCOME_INSUFFICIENT_POINTS] == 0; i++) {
        struct play_options options = play_options_for(REQUESTS + BATCH_COMMANDS_MAX);
        play_same_terms(&options, REQUESTS, &counts);
    }
    check_reached(&counts, expected, sizeof expected);
}

TEST(same_terms_find_tables_that_are_full)
{
    enum { TIMES = 10, REQUESTS = 500 };
    static const struct {
        size_t offset;
        int number;
        uint32_t room; /* 1 to so many records */
    } tables[] = {
        {offsetof(struct engine_options, customers), CAPACITY_customers, 60},
        {offsetof(struct engine_options, orders), CAPACITY_orders, 200},
        {offsetof(struct engine_options, deadlines), CAPACITY_deadlines, 200},
        {offsetof(struct engine_options, tallies), CAPACITY_tallies, 4},
        {offsetof(struct engine_options, steps), CAPACITY_steps, 4},
        {offsetof(struct engine_options, moneys), CAPACITY_moneys, 6},
        {offsetof(struct engine_options, pieces), CAPACITY_pieces, 4},
        {offsetof(struct engine_options, lines), CAPACITY_lines, 6},
        {offsetof(struct engine_options, pools), CAPACITY_pools, 4},
        {offsetof(struct engine_options, stocks), CAPACITY_stocks, 6},
    };
    for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++) {
        struct play_counts counts = {0};
        for (int round = 0;
             round < TIMES || (round < 20 * TIMES && counts.outcomes[OUTCOME_CAPACITY] == 0);
             round++) {
            struct play_options options = play_options_for(REQUESTS + BATCH_COMMANDS_MAX);
            uint32_t room = 1 + (uint32_t)test_random_below(tables[i].room);
            options.tiny = tables[i].number;
            memcpy((uint8_t *)&options.engine + tables[i].offset, &room, sizeof room);
            play_same_terms(&options, REQUESTS, &counts);
        }
        if (counts.outcomes[OUTCOME_CAPACITY] == 0)
            fprintf(stderr, "  capacity %d was never reached\n", tables[i].number);
        CHECK(counts.outcomes[OUTCOME_CAPACITY] > 0);
    }
}
