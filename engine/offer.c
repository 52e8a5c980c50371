/* Orders on known terms.
 *
 * An offer holds what order.place decided on terms, and decides the next order with the same terms
 * without judging them again. Nothing but speed may follow from it, so this is what must hold: as
 * long as an offer is used, handle_order_place would come to the same. What that looks at, and why
 * it is the same:
 *
 *   the terms            compared word by word
 *   the SKU, its price, currency, and list of stocks; the sale, its hold, its pools, whether it
 *   counts for limits    are in records of the tables that have a row of TERMS in
 *                        engine/tables/tables.h, or linked from these: each change of such a record
 *                        raises terms_generation, in its `_edit`, and the offer is void
 *   its warehouse        takes orders: the same holds for the records of warehouses
 *   the sale's window    compared with the time
 *   units in the place   read for each order. An offer is made only where the order fixes its
 *                        place, or gets all from the first one: while that has enough, no other is
 *                        looked at
 *   the ids              not zero, and the order's is not in the index, nor one with the same hash
 *   room in the tables   looked at for each order
 *   points, flags, limits per customer, several lines: no offer is made
 *
 * Where one of these is otherwise, the command is left to handle_order_place, which answers; only
 * SOLD_OUT and INSUFFICIENT_STOCK, with which a sale ends, are answered here as well, where the
 * SKU has one place only.
 *
 * Offers are no part of the state: an image does not have them, and a loaded engine has none. */
#include "engine/offer.h"

#include "engine/handlers.h"
#include "engine/piece_list.h"
#include "engine/plan.h"
#include "engine/plant.h"
#include "engine/points.h"
#include "engine/source.h"
#include "engine/timers.h"

static bool came_before(struct engine *engine, const void *body)
{
    struct terms *seen = &engine->offers->seen[terms_row(body)];
    bool again = terms_equal(seen, body);
    *seen = terms_of(body);
    return again;
}

/* Do the terms alone decide where the units come from, and does the order wait for its payment? */
static bool is_simple(const struct engine *engine, const struct plan *plan)
{
    const struct order_place_body *body = plan->body;
    uint32_t first = sku_at(engine, plan->skus[0])->stocks;
    bool is_counted = plan->sale != 0 && sale_at(engine, plan->sale)->counted;
    return plan->is_inline && !plan->is_confirmed &&
           (body->points == 0 || OFFER_PLANT(POINTS_UNSEEN)) &&
           (body->flags == 0 || OFFER_PLANT(FLAGS_UNSEEN)) &&
           body->allocation == allocation_SINGLE && (!is_counted || OFFER_PLANT(LIMITS_UNSEEN)) &&
           (plan->lines[0].warehouse != 0 || plan->pieces[0].stock == first);
}

/* Terms are laid out as they were in the first schema, over which the fingerprint is taken. */
static bool has_grown(void)
{
    return order_place_has_grown || line_has_grown;
}

void offer_keep(struct engine *engine, const struct plan *plan, uint32_t index)
{
    const void *body = plan->body;
    if (has_grown() || plan->body->line_count != 1 || !came_before(engine, body) ||
        !is_simple(engine, plan))
        return;
    const struct planned_piece *piece = &plan->pieces[0];
    const struct sale *sale = sale_at(engine, plan->sale);
    const struct stock *first = stock_at(engine, sku_at(engine, plan->skus[0])->stocks);
    struct offer *offer = &engine->offers->rows[terms_row(body)];
    *offer = (struct offer){
        .terms = terms_of(body),
        .generation = engine->terms_generation,
        .from_us = plan->sale != 0 ? sale->opens_us : 0,
        .span_us = plan->sale != 0 ? sale->closes_us - sale->opens_us : UINT64_MAX,
        .hold_us = plan->hold_s * US_PER_SECOND,
        .fingerprint = checksum80_rest(body),
        .stock = piece->stock,
        .pool = piece->pool,
        .quantity = piece->quantity,
        .warehouse = warehouse_find(engine, stock_at(engine, piece->stock)->warehouse),
        .is_only = plan->lines[0].warehouse != 0 || first->next == 0 || OFFER_PLANT(PLACES_UNSEEN),
        .order = *order_at(engine, index),
        .reply = {.place = {.total = plan->total,
                            .money_due = plan->total,
                            .state = order_state_PENDING,
                            .currency = plan->currency,
                            .take_count = 1},
                  .take = {.line = 1,
                           .quantity = piece->quantity,
                           .warehouse = stock_at(engine, piece->stock)->warehouse}},
    };
}

/* The loop over orders is compiled twice, each time with all of its parts: see offers_decide. */
#define ALWAYS_INLINE __attribute__((always_inline)) static inline

/* The numbers of the engine that each order changes: in registers from one order to the next. */
struct run {
    uint64_t time_us;
    uint64_t seq;
    uint64_t digest;
};

/* Counts the orders that were decided on an offer, all at once: those since engine->seq. Apart from
 * the loop, which has no register left for it. */
__attribute__((noinline)) static void offer_count(struct engine *engine, const struct offer *offer,
                                                  uint64_t seq)
{
    uint64_t orders = seq - engine->seq;
    if (orders == 0)
        return;
    engine->seq = seq;
    engine->changed_us = engine->time_us;
    engine->orders_by_state[order_state_PENDING] += orders;
    warehouse_promise(engine, offer->warehouse, (int64_t)orders,
                      (int64_t)(orders * offer->quantity));
}

/* The offer for an order of one line; NULL when there is none that holds. */
static const struct offer *offer_for(const struct engine *engine, const void *body)
{
    const struct offer *offer = &engine->offers->rows[terms_row(body)];
    bool holds = offer->generation == engine->terms_generation &&
                 (engine->time_us - offer->from_us < offer->span_us || OFFER_PLANT(TIME_UNSEEN)) &&
                 terms_equal(&offer->terms, body);
    return holds ? offer : NULL;
}

bool offer_refuses(const struct engine *engine, const struct command *command)
{
    if (!terms_are_of(command->number, command->size))
        return false;
    const struct offer *offer = offer_for(engine, command->body);
    return offer != NULL && offer->is_only &&
           source_left(engine, offer->pool, offer->stock) < offer->quantity;
}

/* The first place has less than the order asks for. False when there may be another place. */
static bool offer_refuse(struct engine *engine, uint64_t seq, struct command *command,
                         const struct offer *offer, int64_t gives)
{
    if (!offer->is_only)
        return false;
    const struct line_body *line =
        (const struct line_body *)((const struct order_place_body *)command->body + 1);
    struct rejection_body *reply = reply_room(engine, command, sizeof *reply);
    *reply = rejection_make(seq, line->sku, gives);
    command->outcome = gives == 0 ? OUTCOME_SOLD_OUT : OUTCOME_INSUFFICIENT_STOCK;
    command->accepted = false;
    engine->rejected_count++;
    return true;
}

/* The customer's index; 0: a new one, for which there is no room. */
ALWAYS_INLINE uint32_t customer_of(struct engine *engine, const struct command *command)
{
    const struct order_place_body *body = command->body;
    uint32_t customer = customer_find(engine, body->customer, command->customer_hash);
    if (customer == 0 && arena_room(&engine->customers) > 0)
        customer = customer_add(engine, body->customer, command->customer_hash);
    return customer;
}

/* Writes the order: everything was looked at. */
ALWAYS_INLINE void offer_take(struct engine *engine, struct run *run, const struct command *command,
                              const struct offer *offer, uint32_t index, uint32_t customer,
                              bool is_plain)
{
    const struct order_place_body *body = command->body;
    uint64_t fingerprint = checksum80(offer->fingerprint, body);
    struct order *order = order_new(engine, index);
    struct stock *stock =
        is_plain ? stock_new(engine, offer->stock) : stock_edit(engine, offer->stock);
    run->digest = digest_mixed(run->digest, ++run->seq, run->time_us);
    *order = offer->order;
    order->id = body->order;
    order->placed_seq = run->seq;
    order->placed_us = run->time_us;
    if (!OFFER_PLANT(DEADLINE_KEPT))
        order->deadline_us = run->time_us + offer->hold_us;
    order->fingerprint = fingerprint;
    order->customer = customer;
    piece_push(engine, stock, &order->parts.piece, index, is_plain);
    source_take(engine, stock, offer->pool, offer->quantity);
    run->digest = stock_mixed(run->digest, stock, offer->stock);
    run->digest = digest_mixed(run->digest, fingerprint, (uint64_t)offer->order.total);
    timer_set(engine, TIMER_hold, index, run->time_us + offer->hold_us);
}

ALWAYS_INLINE void offer_reply(struct engine *engine, const struct run *run,
                               struct command *command, const struct offer *offer)
{
    command->outcome = OUTCOME_OK;
    command->accepted = true;
    if (command->sink == NULL) {
        command->reply = NULL;
        command->reply_size = 0;
        return;
    }
    struct order_place_reply_body *reply = reply_room(engine, command, OFFER_REPLY_SIZE);
    memcpy(reply, &offer->reply, OFFER_REPLY_SIZE);
    reply->seq = run->seq;
    reply->hold_ends = run->time_us + offer->hold_us;
}

/* Decides one order; false, with nothing done, when it needs another look. `is_plain`: no record is
 * used again, and no snapshot has to keep what changes. */
ALWAYS_INLINE bool offer_decide(struct engine *engine, struct run *run, struct command *command,
                                const struct offer *offer, bool is_plain)
{
    const struct order_place_body *body = command->body;
    unsigned place = 0;
    struct index_line *line = index_vacancy(&engine->order_index, command->order_hash, &place);
    if (line == NULL || id_is_zero(body->order) ||
        (id_is_zero(body->customer) && !OFFER_PLANT(ZERO_UNSEEN)))
        return false;
    int64_t gives = source_left(engine, offer->pool, offer->stock);
    if (gives < offer->quantity && !OFFER_PLANT(SHORT_UNSEEN))
        return offer_refuse(engine, run->seq, command, offer, gives);
    if ((is_plain ? arena_room(&engine->orders) : order_room(engine)) == 0 ||
        (!deadlines_has_room(&engine->deadlines) && !OFFER_PLANT(ROOM_UNSEEN)))
        return false;
    uint32_t customer = customer_of(engine, command);
    if (customer == 0)
        return false;
    uint32_t index = is_plain ? ++engine->orders.count : order_alloc(engine); /* there is room */
    command->order = index;
    offer_take(engine, run, command, offer, index, customer, is_plain);
    index_put(line, place, OFFER_PLANT(ID_UNSEEN) ? 1 : command->order_hash, index);
    offer_reply(engine, run, command, offer);
    return true;
}

/* An offer that holds is not voided on the way: orders change nothing that terms are judged by. */
ALWAYS_INLINE uint32_t run_decide(struct engine *engine, struct command *commands, uint32_t count,
                                  bool is_plain)
{
    struct run run = {.time_us = engine->time_us, .seq = engine->seq, .digest = engine->digest};
    const struct offer *offer = NULL;
    uint32_t decided = 0;
    for (; decided < count; decided++) {
        struct command *command = &commands[decided];
        if (!terms_are_of(command->number, command->size))
            break;
        if (offer == NULL || !terms_equal(&offer->terms, command->body)) {
            offer_count(engine, offer, run.seq);
            offer = offer_for(engine, command->body);
        }
        if (offer == NULL || !offer_decide(engine, &run, command, offer, is_plain))
            break;
    }
    offer_count(engine, offer, run.seq);
    if (decided > 0)
        engine->offers->refuses = !commands[decided - 1].accepted;
    engine->digest = run.digest;
    return decided;
}

__attribute__((noinline)) static uint32_t run_decide_any(struct engine *engine,
                                                         struct command *commands, uint32_t count)
{
    return run_decide(engine, commands, count, false);
}

/* Most of the time no record is used again, and no snapshot is written: then neither is looked
 * for at each order. */
uint32_t offers_decide(struct engine *engine, struct command *commands, uint32_t count)
{
    if (engine->orders_free != 0 || engine->keeper != NULL)
        return run_decide_any(engine, commands, count);
    return run_decide(engine, commands, count, true);
}
