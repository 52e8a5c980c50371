/* What a test of the model says of a sequence that failed, and of states that it did not reach. */
#ifndef TILL_TESTS_MODEL_REPORT_H
#define TILL_TESTS_MODEL_REPORT_H

#include "tests/model/play.h"

/* Shrinks the sequence and prints what is left of it, with the name of its kind. */
void report(const struct sequence *sequence, const struct play_options *options,
            const struct failure *failure, const char *profile);

/* Each of these outcomes was decided at least once. */
void check_reached(const struct play_counts *counts, const uint8_t *outcomes, size_t count);

#endif
