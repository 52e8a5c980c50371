/* Every invariant of the state, restated as plainly as can be and checked over everything: first
 * that records can be followed (bounds.c) and the numbers beside them (totals.c), then what they
 * mean. Sums are made anew from the orders and compared with what the tables say. A sum that leaves
 * its range is a violation, whatever it is compared with.
 *
 * What is named, and how, says engine/invariants.h. What can fail beside: memory for the sums. */
#include <inttypes.h>
#include <stdlib.h>

#include "engine/forget.h"
#include "engine/image.h"
#include "engine/invariants.h"
#include "engine/keys.h"
#include "engine/memory.h"
#include "engine/order.h"
#include "engine/payment.h"
#include "engine/points.h"
#include "engine/sale.h"
#include "engine/source.h"
#include "engine/stock.h"
#include "engine/tally.h"
#include "engine/timers.h"

struct check {
    const struct engine *engine;
    struct report report;
    int64_t *reserved; /* by stock */
    int64_t *committed;
    int64_t *pooled;
    int64_t *taken;    /* by pool */
    int64_t *tally;    /* by tally */
    int64_t *captured; /* by order, by its payments: captured, and how many are parked */
    int64_t *parked;
    int64_t *ledger;    /* by customer */
    bool *has_deadline; /* by order */
};

/* The transitions of order.c's drawing, those that leave the state as it is included: to which
 * states each leads. */
static const uint32_t transitions[order_state_CANCELLED + 1] = {
    [order_state_PENDING] = 1u << order_state_PENDING | 1u << order_state_CONFIRMED |
                            1u << order_state_EXPIRED | 1u << order_state_FAILED |
                            1u << order_state_CANCELLED,
    [order_state_CONFIRMED] = 1u << order_state_CONFIRMED | 1u << order_state_CANCELLED,
    [order_state_EXPIRED] = 1u << order_state_EXPIRED | 1u << order_state_CONFIRMED,
    [order_state_FAILED] = 1u << order_state_FAILED | 1u << order_state_CONFIRMED,
    [order_state_CANCELLED] = 1u << order_state_CANCELLED,
};

static bool is_legal(uint8_t from, uint8_t to)
{
    return (transitions[from] >> to & 1) != 0;
}

static bool order_has(const struct order *order)
{
    return order->state == order_state_PENDING || order->state == order_state_CONFIRMED;
}

static bool sum_pieces(struct check *check, const struct order *order)
{
    const struct engine *engine = check->engine;
    struct report *report = &check->report;
    struct pieces pieces = order_pieces(engine, order);
    for (uint32_t i = 0; i < pieces.count; i++) {
        const struct piece *piece = &pieces.first[i];
        int64_t *sums = order->state == order_state_PENDING ? check->reserved : check->committed;
        report_add(report, &sums[piece->stock], piece->quantity);
        if (piece->pool != 0)
            report_add(report, &check->taken[piece->pool], piece->quantity);
        if (order->sale == 0 || !sale_at(engine, order->sale)->counted)
            continue;
        uint32_t sku = stock_at(engine, piece->stock)->sku;
        uint32_t of_sku = tally_find(engine, order->customer, order->sale, sku);
        uint32_t of_sale = tally_find(engine, order->customer, order->sale, 0);
        if (of_sku == 0 || of_sale == 0)
            return report_violated(report, INVARIANT_tally_quantity, "%u units are not counted",
                                   piece->quantity);
        report_add(report, &check->tally[of_sku], piece->quantity);
        report_add(report, &check->tally[of_sale], piece->quantity);
    }
    return true;
}

/* Lines against pieces: nothing allocated beyond what was asked for, and the total is theirs. */
static bool check_lines(struct check *check, const struct order *order, struct pieces pieces)
{
    const struct engine *engine = check->engine;
    struct report *report = &check->report;
    uint64_t allocated[ORDER_LINES_MAX] = {0};
    int64_t total = 0;
    for (uint32_t i = 0; i < pieces.count; i++) {
        const struct piece *piece = &pieces.first[i];
        struct line line = order_line(engine, order, piece->line);
        if (stock_at(engine, piece->stock)->sku != line.sku)
            return report_violated(report, INVARIANT_line_piece, "line %u", piece->line + 1u);
        allocated[piece->line] += piece->quantity;
        int64_t price = 0;
        if (__builtin_mul_overflow(line.price, piece->quantity, &price))
            price = INT64_MAX;
        report_add(report, &total, price);
    }
    for (unsigned i = 0; i < order->line_count; i++) {
        uint32_t quantity = order_line(engine, order, i).quantity;
        if (allocated[i] > quantity)
            return report_violated(report, INVARIANT_line_allocated,
                                   "%" PRIu64 " allocated of %u on line %u", allocated[i], quantity,
                                   i + 1);
    }
    return total == order->total ||
           report_violated(report, INVARIANT_order_total, "%" PRId64 ", the lines make %" PRId64,
                           order->total, total);
}

/* The points of a money record are worth what the order's rate says. */
static bool check_points_value(struct check *check, const struct money *money)
{
    __int128 value = 0;
    if (money->rate_points != 0)
        value = (__int128)money->points_used * money->rate_money / money->rate_points;
    if (value == money->points_value)
        return true;
    return report_violated(&check->report, INVARIANT_points_value,
                           "%" PRId64 " for %" PRId64 " points at %u to %u", money->points_value,
                           money->points_used, money->rate_points, money->rate_money);
}

static bool check_order_money(struct check *check, uint32_t index)
{
    const struct order *order = order_at(check->engine, index);
    const struct money *money = money_at(check->engine, order->money);
    struct report *report = &check->report;
    bool has_word_to_come = (order->flags & (ORDER_BORN_PAID | ORDER_IS_TOLD)) == ORDER_BORN_PAID;
    int64_t due = order->total - money->points_value;
    int64_t told = check->captured[index];
    int64_t kept = order->state == order_state_CONFIRMED ? due : 0;
    if (order->money != 0)
        report_look(report, TABLE_moneys, order->money);
    report_add(report, &told, has_word_to_come ? due : 0);
    if (!check_points_value(check, money))
        return false;
    if (money->captured != told)
        return report_violated(report, INVARIANT_money_captured,
                               "%" PRId64 " captured, its payments make %" PRId64, money->captured,
                               told);
    if (money->captured - money->refund_due != kept)
        return report_violated(report, INVARIANT_money_kept,
                               "%" PRId64 " captured, %" PRId64 " due for refund, %" PRId64
                               " to be kept",
                               money->captured, money->refund_due, kept);
    return money->parked == check->parked[index] ||
           report_violated(report, INVARIANT_money_parked, "%u, its payments make %" PRId64,
                           money->parked, check->parked[index]);
}

/* The steps from the newest back to the second version, which stands in the order, as the first
 * does. */
static bool check_history(struct check *check, const struct order *order)
{
    const struct engine *engine = check->engine;
    struct report *report = &check->report;
    uint32_t version = order->version;
    uint64_t seq = UINT64_MAX;
    uint8_t newest = order->steps != 0 ? step_at(engine, order->steps)->state : order->first_state;
    uint8_t placed =
        (order->flags & ORDER_BORN_CONFIRMED) != 0 ? order_state_CONFIRMED : order_state_PENDING;
    if (version > 1 && newest != order->state)
        return report_violated(report, INVARIANT_history_whole, "the newest is into another state");
    for (uint32_t at = order->steps; at != 0; at = step_at(engine, at)->previous, version--) {
        const struct step *step = step_at(engine, at);
        if (step->seq > seq || step->seq < order->first_seq)
            return report_violated(report, INVARIANT_history_whole, "it breaks at version %u",
                                   version);
        uint8_t from =
            step->previous != 0 ? step_at(engine, step->previous)->state : order->first_state;
        if (!is_legal(from, step->state))
            return report_violated(report, INVARIANT_history_legal, "%s to %s, version %u",
                                   named_value_name(FIELD_order_state, from),
                                   named_value_name(FIELD_order_state, step->state), version);
        seq = step->seq;
    }
    if (version > 2 || (version == 2) != (order->first_seq >= order->placed_seq))
        return report_violated(report, INVARIANT_history_whole, "version %u, and %u steps",
                               order->version, order->version - version + 1);
    uint8_t next = version == 2 ? order->first_state : order->state;
    if (version == 2 ? is_legal(placed, next) : next == placed)
        return true;
    return report_violated(report, INVARIANT_history_legal, "placed %s, then %s",
                           named_value_name(FIELD_order_state, placed),
                           named_value_name(FIELD_order_state, next));
}

/* An entry in a far bucket is set again before its time. */
static void note_deadline(void *context, uint64_t bucket_us, bool is_far, uint32_t entry)
{
    struct check *check = context;
    uint32_t index = deadline_record(entry);
    if (deadline_timer(entry) != TIMER_hold || index > check->engine->orders.count)
        return;
    uint64_t deadline_us = order_at(check->engine, index)->deadline_us;
    check->has_deadline[index] |=
        is_far ? bucket_us <= deadline_us : bucket_us == deadline_bucket_us(deadline_us);
}

static bool check_order(struct check *check, uint32_t index)
{
    const struct engine *engine = check->engine;
    const struct order *order = order_at(engine, index);
    struct report *report = &check->report;
    report_look(report, TABLE_orders, index);
    if (order_find(engine, order->id) != index)
        return report_broken(report, INVARIANT_order_once);
    if (!check_lines(check, order, order_pieces_placed(engine, order)) ||
        !check_lines(check, order, order_pieces(engine, order)) || !check_history(check, order))
        return false;
    if (order->sale != 0 && !sale_at(engine, order->sale)->has_orders)
        return report_broken(report, INVARIANT_sale_has_orders);
    if (order->state == order_state_PENDING && !check->has_deadline[index])
        return report_broken(report, INVARIANT_hold_deadline);
    if (order_has(order) && !sum_pieces(check, order))
        return false;
    return check_order_money(check, index);
}

static bool check_orders(struct check *check)
{
    deadlines_each(&check->engine->deadlines, note_deadline, check);
    for (uint32_t i = 1; i <= check->engine->orders.count; i++) {
        if (!order_is_there(check->engine, i))
            continue;
        if (!check_order(check, i))
            return false;
    }
    return report_sums_hold(&check->report);
}

static bool check_payments(struct check *check)
{
    const struct engine *engine = check->engine;
    for (uint32_t i = 1; i <= engine->payments.count; i++) {
        const struct payment *payment = payment_at(engine, i);
        if (!order_is_there(engine, payment->order))
            continue;
        bool is_parked = payment->outcome != OUTCOME_OK;
        report_look(&check->report, TABLE_payments, i);
        if (payment_find(engine, payment->event, payment->provider) != i)
            return report_broken(&check->report, INVARIANT_payment_once);
        if (payment->status == payment_status_SUCCESS && !is_parked)
            report_add(&check->report, &check->captured[payment->order], payment->amount);
        check->parked[payment->order] += is_parked;
    }
    return report_sums_hold(&check->report);
}

/* The ring is in order, and of the records that are still kept, its last ones, each is the one that
 * its key finds. */
static bool check_keys(struct check *check)
{
    const struct engine *engine = check->engine;
    const struct memory_ring *ring = &engine->keys;
    uint64_t kept_first = ring->end - keys_kept(engine);
    uint64_t before_us = 0;
    for (uint64_t position = ring->first; position < ring->end; position++) {
        uint32_t slot = memory_ring_slot(ring, position);
        const struct key_record *key = key_record_at(engine, slot);
        report_look(&check->report, TABLE_keys, slot);
        if (key->kept_us < before_us)
            return report_violated(&check->report, INVARIANT_key_once, "older than the one before");
        if (position >= kept_first && key_find(engine, key->key) != key)
            return report_violated(&check->report, INVARIANT_key_once, "there twice, or not found");
        before_us = key->kept_us;
    }
    return true;
}

static bool check_sales(struct check *check)
{
    const struct engine *engine = check->engine;
    for (uint32_t i = 1; i <= engine->sales.count; i++) {
        const struct sale *sale = sale_at(engine, i);
        bool has_limits = sale->customer_sku_max != 0 || sale->customer_sale_max != 0;
        report_look(&check->report, TABLE_sales, i);
        if (sale_find(engine, sale->sale) != i)
            return report_broken(&check->report, INVARIANT_number_once);
        if (has_limits && !sale->counted)
            return report_broken(&check->report, INVARIANT_sale_counted);
    }
    return true;
}

static bool check_pools(struct check *check)
{
    const struct engine *engine = check->engine;
    for (uint32_t i = 1; i <= engine->pools.count; i++) {
        const struct pool *pool = pool_at(engine, i);
        report_look(&check->report, TABLE_pools, i);
        if (pool_find(engine, pool->sale, pool->stock) != i)
            return report_broken(&check->report, INVARIANT_number_once);
        if (pool->taken != check->taken[i])
            return report_violated(&check->report, INVARIANT_pool_taken,
                                   "%" PRId64 " taken, orders have %" PRId64, pool->taken,
                                   check->taken[i]);
        report_add(&check->report, &check->pooled[pool->stock], pool->left);
    }
    return report_sums_hold(&check->report);
}

static bool check_tallies(struct check *check)
{
    const struct engine *engine = check->engine;
    for (uint32_t i = 1; i <= engine->tallies.count; i++) {
        if (table_record_is_free(engine, TABLE_tallies, i))
            continue;
        const struct tally *tally = tally_at(engine, i);
        report_look(&check->report, TABLE_tallies, i);
        if (tally_find(engine, tally->customer, tally->sale, tally->sku) != i)
            return report_broken(&check->report, INVARIANT_number_once);
        if ((int64_t)tally->quantity != check->tally[i])
            return report_violated(&check->report, INVARIANT_tally_quantity,
                                   "%" PRIu64 ", orders have %" PRId64, tally->quantity,
                                   check->tally[i]);
    }
    return true;
}

static bool check_skus(struct check *check)
{
    const struct engine *engine = check->engine;
    for (uint32_t i = 1; i <= engine->skus.count; i++) {
        const struct sku *sku = sku_at(engine, i);
        report_look(&check->report, TABLE_skus, i);
        if (sku_find(engine, sku->sku) != i ||
            (sku->name.bytes[0] != '\0' && sku_find_name(engine, &sku->name) != i))
            return report_broken(&check->report, INVARIANT_number_once);
    }
    return true;
}

static bool check_sum(struct check *check, enum invariant invariant, int64_t kept, int64_t sum)
{
    return kept == sum || report_violated(&check->report, invariant,
                                          "%" PRId64 ", the sum is %" PRId64, kept, sum);
}

static bool check_stocks(struct check *check)
{
    const struct engine *engine = check->engine;
    for (uint32_t i = 1; i <= engine->stocks.count; i++) {
        const struct stock *stock = stock_at(engine, i);
        int64_t promised = stock_promised(stock);
        report_look(&check->report, TABLE_stocks, i);
        if (stock_find(engine, stock->sku, stock->warehouse) != i)
            return report_broken(&check->report, INVARIANT_number_once);
        if (!check_sum(check, INVARIANT_stock_parts, stock->on_hand, stock->available + promised))
            return false;
        if (promised > QUANTITY_MAX)
            return report_violated(&check->report, INVARIANT_stock_range, "%" PRId64 " promised",
                                   promised);
        if (!check_sum(check, INVARIANT_stock_reserved, stock->reserved, check->reserved[i]) ||
            !check_sum(check, INVARIANT_stock_committed, stock->committed, check->committed[i]) ||
            !check_sum(check, INVARIANT_stock_pooled, stock->pooled, check->pooled[i]))
            return false;
    }
    return true;
}

static void sum_ledger(struct check *check)
{
    const struct engine *engine = check->engine;
    for (uint32_t i = 1; i <= engine->ledger.count; i++) {
        if (table_record_is_free(engine, TABLE_ledger, i))
            continue;
        const struct ledger_entry *entry = ledger_entry_at(engine, i);
        int64_t sign = entry->kind == LEDGER_CREDIT || entry->kind == LEDGER_RETURN  ? 1
                       : entry->kind == LEDGER_SPEND || entry->kind == LEDGER_EXPIRE ? -1
                                                                                     : 0;
        report_look(&check->report, TABLE_ledger, i);
        report_add(&check->report, &check->ledger[lot_at(engine, entry->lot)->customer],
                   sign * entry->points);
    }
}

static bool check_customers(struct check *check)
{
    const struct engine *engine = check->engine;
    sum_ledger(check);
    if (!report_sums_hold(&check->report))
        return false;
    for (uint32_t i = 1; i <= engine->customers.count; i++) {
        const struct customer *customer = customer_at(engine, i);
        struct id id = customer_id_at(engine, i)->id;
        report_look(&check->report, TABLE_customer_ids, i);
        if (customer_find(engine, id, hash_id(engine, id)) != i)
            return report_broken(&check->report, INVARIANT_customer_once);
        report_look(&check->report, TABLE_customers, i);
        if (!check_sum(check, INVARIANT_points_ledger, customer->spendable + customer->held,
                       check->ledger[i]))
            return false;
    }
    return true;
}

static bool sums_init(struct check *check)
{
    const struct engine *engine = check->engine;
    struct {
        int64_t **sums;
        uint32_t count;
    } all[] = {
        {&check->reserved, engine->stocks.count}, {&check->committed, engine->stocks.count},
        {&check->pooled, engine->stocks.count},   {&check->taken, engine->pools.count},
        {&check->tally, engine->tallies.count},   {&check->captured, engine->orders.count},
        {&check->parked, engine->orders.count},   {&check->ledger, engine->customers.count},
    };
    bool made = true;
    for (unsigned i = 0; i < sizeof all / sizeof all[0]; i++) {
        *all[i].sums = calloc(all[i].count + 1u, sizeof(int64_t));
        made &= *all[i].sums != NULL;
    }
    check->has_deadline = calloc(engine->orders.count + 1u, sizeof(bool));
    made &= check->has_deadline != NULL;
    return made || report_no_memory(&check->report);
}

static void sums_deinit(struct check *check)
{
    free(check->reserved);
    free(check->committed);
    free(check->pooled);
    free(check->taken);
    free(check->tally);
    free(check->captured);
    free(check->parked);
    free(check->ledger);
    free(check->has_deadline);
}

static bool check_meaning(const struct engine *engine, char *error, size_t error_size)
{
    struct check check = {
        .engine = engine,
        .report = {.engine = engine, .error = error, .error_size = error_size},
    };
    bool holds = sums_init(&check) && check_keys(&check) && check_payments(&check) &&
                 check_sales(&check) && check_skus(&check) && check_orders(&check) &&
                 check_pools(&check) && check_tallies(&check) && check_stocks(&check) &&
                 check_customers(&check);
    sums_deinit(&check);
    return holds;
}

bool engine_check(const struct engine *engine, char *error, size_t error_size)
{
    return engine_check_bounds(engine, error, error_size) &&
           engine_check_totals(engine, error, error_size) &&
           check_meaning(engine, error, error_size);
}
