/* Plays a sequence on the engine and on the model side by side, and then a second time from what a
 * log would contain. */
#ifndef TILL_TESTS_MODEL_PLAY_H
#define TILL_TESTS_MODEL_PLAY_H

#include "engine/engine.h"
#include "tests/model/sequence.h"

enum fault {
    FAULT_NONE,
    FAULT_REPLY,     /* the engine's answer differs from the model's */
    FAULT_STATE,     /* seq, time, digest or holds due are not what they must be */
    FAULT_INVARIANT, /* engine_check */
    FAULT_ASSERTION, /* an assertion in the engine failed */
    FAULT_BATCH,     /* deciding the batch's commands one by one comes to something else */
    FAULT_REPLAY,    /* the log's commands do not lead to the same state */
};

struct play_options {
    struct engine_options engine;
    int check_every; /* batches between two engine_check */
    int tiny;        /* the number of the capacity that is tiny and may answer CAPACITY; 0: none */
    bool has_single; /* a further engine decides the same commands one by one */
};

struct failure {
    enum fault fault;
    int item; /* of the sequence */
    uint64_t seed;
    char text[4096];
};

/* How often each outcome was decided, and how many commands were accepted: shows whether a test
 * reaches the states it is meant for. */
struct play_counts {
    uint64_t outcomes[OUTCOME_COUNT];
    uint64_t accepted;
};

/* Room for any sequence of that many requests. */
struct play_options play_options_for(int count);

/* Plays the whole sequence; counts may be NULL. */
struct failure play(const struct sequence *sequence, const struct play_options *options,
                    struct play_counts *counts);

/* The fewest requests found, in a bounded number of attempts, that still end in the same fault. The
 * caller frees the result. */
struct sequence play_shrink(const struct sequence *sequence, const struct play_options *options,
                            enum fault fault);

#endif
