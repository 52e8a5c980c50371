/* Random sequences of requests: mostly sensible ones, because only those reach the states worth
 * testing, with repeated, late, spoiled and absurd ones in between. The model runs along, so that
 * the generator knows what would be sensible. The same seed and profile give the same sequence. */
#ifndef TILL_TESTS_MODEL_GENERATE_H
#define TILL_TESTS_MODEL_GENERATE_H

#include "tests/model/sequence.h"

struct profile {
    const char *name;
    uint32_t skus;
    uint32_t warehouses;
    uint32_t sales; /* that are not closed, at a time */
    uint32_t customers;
    uint32_t lines_max;
    uint32_t lines_many;   /* percent of orders that have up to lines_max */
    uint32_t quantity_max; /* of most lines */
    uint32_t hostile;      /* of 1000 requests, how many have a field twisted */
    uint32_t stock_max;    /* units added to a (SKU, warehouse) at a time */
    uint32_t hold_max;     /* seconds */
    uint64_t step_max;     /* usual maximum of microseconds between batches */
    uint32_t leaps;        /* of 1000 batches, how many follow a pause of hours or days */
    bool has_big_points;
    bool is_wealthy; /* prices and points at their bounds, holds and leaps of days */
    uint8_t weights[MESSAGE_NUMBER_MAX + 1]; /* by message number */
};

enum profile_name {
    PROFILE_MIXED,
    PROFILE_POINTS,
    PROFILE_HOLDS,
    PROFILE_PIECES,
    PROFILE_LONG,
    PROFILE_WEALTH,
    PROFILE_COUNT
};

extern const struct profile profiles[PROFILE_COUNT];

void sequence_generate(struct sequence *sequence, const struct profile *profile, uint64_t seed,
                       int count);

#endif
