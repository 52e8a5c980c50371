/* The terms of an order of one line: its request but the two ids that stand first. In a sale nearly
 * all orders have the same terms, one after the other, so what follows from terms alone is worth
 * keeping: in a table by terms_row, when the same come a second time in a row, so that a crowd of
 * different ones costs little. */
#ifndef TILL_ENGINE_TERMS_H
#define TILL_ENGINE_TERMS_H

#include "engine/messages.h"

enum {
    TERMS_BODY_SIZE = sizeof(struct order_place_body) + sizeof(struct line_body),
    TERMS_OFFSET = 2 * sizeof(struct id),
    TERMS_WORDS = (TERMS_BODY_SIZE - TERMS_OFFSET) / sizeof(uint64_t),
    TERMS_ROWS_LOG = 8,
    TERMS_ROWS = 1 << TERMS_ROWS_LOG,
};

static_assert(offsetof(struct order_place_body, order) == 0 &&
                  offsetof(struct order_place_body, customer) == sizeof(struct id),
              "two ids, then the terms");

struct terms {
    uint64_t words[TERMS_WORDS];
};

/* Is it an order of one line, as far as its size tells? */
static inline bool terms_are_of(unsigned number, uint32_t size)
{
    return number == MESSAGE_order_place && size == TERMS_BODY_SIZE;
}

static inline const uint64_t *terms_words(const void *body)
{
    return (const uint64_t *)body + TERMS_OFFSET / sizeof(uint64_t);
}

static inline struct terms terms_of(const void *body)
{
    struct terms terms;
    memcpy(&terms, terms_words(body), sizeof terms);
    return terms;
}

static inline bool terms_equal(const struct terms *terms, const void *body)
{
    const uint64_t *words = terms_words(body);
    uint64_t differ = 0;
#pragma GCC unroll 8
    for (unsigned i = 0; i < TERMS_WORDS; i++)
        differ |= terms->words[i] ^ words[i];
    return differ == 0;
}

/* Where they stand in a table: by the SKU, of which few are sold at once. */
static inline uint32_t terms_row(const void *body)
{
    const struct line_body *line =
        (const struct line_body *)((const struct order_place_body *)body + 1);
    return (uint32_t)(line->sku * 0x9e3779b97f4a7c15ULL >> (64 - TERMS_ROWS_LOG));
}

#endif
