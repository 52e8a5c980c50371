/* Random sequences in which nearly all orders have one of a few terms, in runs, as in a sale: what
 * an order means is changed between two orders that say the same. The model runs along, so that
 * most terms are those that the shop has just then. The same seed gives the same sequence. */
#ifndef TILL_TESTS_MODEL_SAME_TERMS_H
#define TILL_TESTS_MODEL_SAME_TERMS_H

#include "tests/model/sequence.h"

void sequence_of_same_terms(struct sequence *sequence, uint64_t seed, int count);

#endif
