/* Shrinks what failed, and prints it. */
#include "tests/model/report.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "tests/test.h"

/* Hides the engine's assertion message, which would be repeated at each attempt to shrink. */
static struct sequence shrink_in_silence(const struct sequence *sequence,
                                         const struct play_options *options, enum fault fault)
{
    fflush(stderr);
    int kept = dup(STDERR_FILENO);
    FILE *nowhere = freopen("/dev/null", "w", stderr);
    CHECK(kept >= 0 && nowhere != NULL);
    struct sequence shrunk = play_shrink(sequence, options, fault);
    fflush(stderr);
    dup2(kept, STDERR_FILENO);
    close(kept);
    return shrunk;
}

void report(const struct sequence *sequence, const struct play_options *options,
            const struct failure *failure, const char *profile)
{
    fprintf(stderr, "  %s, sequence seed %" PRIu64 ", request %d: %s\n", profile, failure->seed,
            failure->item, failure->text);
    struct sequence shrunk = shrink_in_silence(sequence, options, failure->fault);
    struct failure again = play(&shrunk, options, NULL);
    fprintf(stderr, "  shrunk to %d requests:\n", shrunk.count);
    sequence_print(stderr, &shrunk);
    fprintf(stderr, "  at request %d: %s\n", again.item, again.text);
    sequence_deinit(&shrunk);
}

void check_reached(const struct play_counts *counts, const uint8_t *outcomes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (counts->outcomes[outcomes[i]] == 0)
            fprintf(stderr, "  %s was never decided\n", outcome_name(outcomes[i]));
        CHECK(counts->outcomes[outcomes[i]] > 0);
    }
}
