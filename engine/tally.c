/* Tallies.
 *
 * A tally is made with the first unit and stays, at zero too. So an order needs room for one of
 * each of its lines, and for one of all, at most. */
#include "engine/tally.h"

#include "engine/order_parts.h"

uint32_t tally_hash(const struct engine *engine, uint32_t customer, uint32_t sale, uint32_t sku)
{
    return hash_words(engine, (uint64_t)customer << 32 | sale, sku);
}

uint32_t tally_find(const struct engine *engine, uint32_t customer, uint32_t sale, uint32_t sku)
{
    struct index_walk walk =
        index_walk(&engine->tally_index, tally_hash(engine, customer, sale, sku));
    uint32_t index = 0;
    while ((index = index_next(&walk)) != 0) {
        const struct tally *tally = tally_at(engine, index);
        if (tally->customer == customer && tally->sale == sale && tally->sku == sku)
            return index;
    }
    return 0;
}

uint64_t tally_of(const struct engine *engine, uint32_t customer, uint32_t sale, uint32_t sku)
{
    return tally_at(engine, tally_find(engine, customer, sale, sku))->quantity;
}

void tally_add(struct engine *engine, uint32_t customer, uint32_t sale, uint32_t sku,
               int64_t quantity)
{
    uint32_t index = tally_find(engine, customer, sale, sku);
    if (index == 0) {
        index = tally_alloc(engine);
        TILL_ASSERT(index != 0);
        *tally_new(engine, index) =
            (struct tally){.customer = customer, .sale = sale, .sku = sku, .quantity = 0};
        index_insert(&engine->tally_index, tally_hash(engine, customer, sale, sku), index);
    }
    tally_edit(engine, index)->quantity += (uint64_t)quantity;
}

void order_tally(struct engine *engine, uint32_t index)
{
    const struct order *order = order_at(engine, index);
    struct pieces pieces = order_pieces(engine, order);
    for (uint32_t i = 0; i < pieces.count; i++)
        piece_tally(engine, order, &pieces.first[i], 1);
}
