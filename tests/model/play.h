/* Plays a sequence on the engine and on the model side by side, and then once more from what a log
 * would have kept of it. */
#ifndef TILL_TESTS_MODEL_PLAY_H
#define TILL_TESTS_MODEL_PLAY_H

#include "engine/engine.h"
#include "tests/model/sequence.h"

enum fault {
    FAULT_NONE,
    FAULT_REPLY,     /* the engine answers otherwise than the model */
    FAULT_STATE,     /* seq, time, digest or holds due are not what they must be */
    FAULT_INVARIANT, /* engine_check */
    FAULT_ASSERTION, /* the engine stopped itself */
    FAULT_REPLAY,    /* the log's commands do not lead to the same state */
};

struct play_options {
    struct engine_options engine;
    int check_every; /* batches between two engine_check */
    int tiny;        /* the number of the capacity that is tiny and may answer CAPACITY; 0: none */
};

struct failure {
    enum fault fault;
    int item; /* of the sequence */
    uint64_t seed;
    char text[4096];
};

/* How often each outcome was decided, and commands accepted: whether a test reaches what it is
 * meant to. */
struct play_counts {
    uint64_t outcomes[OUTCOME_COUNT];
    uint64_t accepted;
};

/* Room for any sequence of that many requests. */
struct play_options play_options_for(int count);

/* Plays all of it; counts may be NULL. */
struct failure play(const struct sequence *sequence, const struct play_options *options,
                    struct play_counts *counts);

/* The fewest requests found, in a bounded number of attempts, that still end in the same fault.
 * The result is the caller's. */
struct sequence play_shrink(const struct sequence *sequence, const struct play_options *options,
                            enum fault fault);

#endif
