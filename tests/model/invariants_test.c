/* Each invariant of the state, broken once: engine_check names the invariant and the record.
 *
 * A case changes one record or number of a sound state so that nothing but its invariant is broken.
 * In some random shops there is nothing that a case could change: then it tries the next shop. An
 * invariant without a case fails the test. */
#include <stdlib.h>
#include <string.h>

#include "engine/image.h"
#include "engine/invariants.h"
#include "engine/keys.h"
#include "engine/order.h"
#include "engine/order_parts.h"
#include "engine/state.h"
#include "engine/stock.h"
#include "engine/tally.h"
#include "tests/model/shop.h"
#include "tests/test.h"

enum { REQUESTS = 700, SHOPS_MAX = 60, ERROR_SIZE = 1024, DOCS_SIZE = 1 << 18 };

/* What a case has changed, and where engine_check must see it. */
static const struct report_place nothing = {TABLE_none, ENGINE_SCALAR_COUNT};

static struct report_place record(enum engine_table table, uint32_t index)
{
    return index != 0 ? (struct report_place){table, index} : nothing;
}

static struct report_place number(enum engine_scalar scalar)
{
    return (struct report_place){TABLE_none, (uint32_t)scalar};
}

/* The first record, from 1 on, for which this is true; 0: there is none. */
static uint32_t find(const struct engine *engine, uint32_t count,
                     bool (*is_so)(const struct engine *engine, uint32_t index))
{
    uint32_t index = 1;
    while (index <= count && !is_so(engine, index))
        index++;
    return index <= count ? index : 0;
}

static struct report_place break_none(struct engine *engine)
{
    sku_edit(engine, 0)->price = 1;
    return (struct report_place){TABLE_skus, 0};
}

static struct report_place break_price(struct engine *engine)
{
    sku_edit(engine, 1)->price = PRICE_MAX + 1;
    return record(TABLE_skus, 1);
}

static struct report_place break_reserved_bytes(struct engine *engine)
{
    sku_edit(engine, 1)->zero = 1;
    return record(TABLE_skus, 1);
}

static bool payment_is_there(const struct engine *engine, uint32_t index)
{
    return !id_is_zero(payment_at(engine, index)->event);
}

static struct report_place break_reference(struct engine *engine)
{
    uint32_t payment = find(engine, engine->payments.count, payment_is_there);
    if (payment != 0)
        payment_edit(engine, payment)->order = engine->orders.count + 1;
    return record(TABLE_payments, payment);
}

static bool sku_has_stocks(const struct engine *engine, uint32_t index)
{
    return sku_at(engine, index)->stocks != 0;
}

static struct report_place break_list(struct engine *engine)
{
    uint32_t sku = find(engine, engine->skus.count, sku_has_stocks);
    uint32_t stock = sku_at(engine, sku)->stocks;
    if (stock != 0)
        stock_edit(engine, stock)->next = stock;
    return record(TABLE_stocks, stock);
}

static bool stock_has_next(const struct engine *engine, uint32_t index)
{
    return stock_at(engine, index)->next != 0;
}

static struct report_place break_membership(struct engine *engine)
{
    uint32_t stock = find(engine, engine->stocks.count, stock_has_next);
    uint32_t next = stock_at(engine, stock)->next;
    if (stock != 0)
        stock_edit(engine, stock)->next = 0;
    return record(TABLE_stocks, next);
}

static struct report_place break_free_takes(struct engine *engine)
{
    engine->point_takes_free_count++;
    return number(SCALAR_point_takes_free_count);
}

static struct report_place break_key_numbers(struct engine *engine)
{
    engine->keys.first = engine->keys.end + 1;
    return number(SCALAR_keys_end);
}

static struct report_place break_near_count(struct engine *engine)
{
    engine->deadlines.near.count++;
    return number(SCALAR_near_count);
}

static struct report_place break_far_count(struct engine *engine)
{
    engine->deadlines.far.count++;
    return number(SCALAR_far_count);
}

static bool payment_counts(const struct payment *payment)
{
    return payment->status == payment_status_SUCCESS && payment->outcome == OUTCOME_OK;
}

/* The first two successful payments of one order, whose sum overflows. */
static struct report_place break_sum(struct engine *engine)
{
    for (uint32_t i = 1; i <= engine->moneys.count; i++) {
        uint32_t first = 0;
        uint32_t second = 0;
        for (uint32_t at = money_at(engine, i)->payments; at != 0;) {
            if (payment_counts(payment_at(engine, at))) {
                second = first;
                first = at;
            }
            at = payment_at(engine, at)->next;
        }
        if (second == 0)
            continue;
        payment_edit(engine, first)->amount = payment_edit(engine, second)->amount = INT64_MAX;
        return record(TABLE_payments, first > second ? first : second);
    }
    return nothing;
}

static struct report_place break_stock_parts(struct engine *engine)
{
    stock_edit(engine, 1)->available++;
    return record(TABLE_stocks, 1);
}

static struct report_place break_stock_range(struct engine *engine)
{
    stock_edit(engine, 1)->unsellable = -1;
    return record(TABLE_stocks, 1);
}

/* Each part is within its range, but the sum of what is promised is not. */
static struct report_place break_stock_promised(struct engine *engine)
{
    struct stock *stock = stock_edit(engine, 1);
    int64_t more = QUANTITY_MAX - stock->unsellable;
    stock->unsellable += more;
    stock->available -= more;
    bool is_broken = stock_promised(stock) > QUANTITY_MAX && stock->available >= -QUANTITY_MAX;
    stock->unsellable -= is_broken ? 0 : more;
    stock->available += is_broken ? 0 : more;
    return is_broken ? record(TABLE_stocks, 1) : nothing;
}

static struct report_place break_stock_total(struct engine *engine)
{
    engine->on_hand_total++;
    return number(SCALAR_on_hand_total);
}

static struct report_place break_reserved(struct engine *engine)
{
    stock_edit(engine, 1)->reserved++;
    stock_edit(engine, 1)->available--;
    return record(TABLE_stocks, 1);
}

static struct report_place break_committed(struct engine *engine)
{
    stock_edit(engine, 1)->committed++;
    stock_edit(engine, 1)->available--;
    return record(TABLE_stocks, 1);
}

static struct report_place break_pooled(struct engine *engine)
{
    stock_edit(engine, 1)->pooled++;
    stock_edit(engine, 1)->available--;
    return record(TABLE_stocks, 1);
}

/* A record of the order's first line, if that line has a record of its own. */
static uint64_t first_line_allocated(const struct engine *engine, const struct order *order)
{
    struct pieces pieces = order_pieces_placed(engine, order);
    uint64_t allocated = 0;
    for (uint32_t i = 0; i < pieces.count; i++)
        allocated += pieces.first[i].line == 0 ? pieces.first[i].quantity : 0;
    return order_is_inline(order) ? 0 : allocated;
}

static bool line_has_two(const struct engine *engine, uint32_t index)
{
    return first_line_allocated(engine, order_at(engine, index)) > 1;
}

static struct report_place break_line_quantity(struct engine *engine)
{
    uint32_t index = find(engine, engine->orders.count, line_has_two);
    const struct order *order = order_at(engine, index);
    if (index != 0)
        line_edit(engine, order->parts.lines)->quantity =
            (uint32_t)first_line_allocated(engine, order) - 1;
    return record(TABLE_orders, index);
}

static struct report_place break_line_sku(struct engine *engine)
{
    uint32_t index = find(engine, engine->orders.count, line_has_two);
    struct line *line = line_edit(engine, order_at(engine, index)->parts.lines);
    if (index != 0)
        line->sku = line->sku % engine->skus.count + 1;
    return engine->skus.count > 1 ? record(TABLE_orders, index) : nothing;
}

static struct report_place break_piece_line(struct engine *engine)
{
    struct order *order = order_edit(engine, 1);
    if (engine->orders.count == 0)
        return nothing;
    order_pieces_edit(engine, order)->line = order->line_count;
    return record(TABLE_orders, 1);
}

static struct report_place break_pool_taken(struct engine *engine)
{
    if (engine->pools.count > 0)
        pool_edit(engine, 1)->taken++;
    return record(TABLE_pools, engine->pools.count > 0);
}

static struct report_place break_pool_left(struct engine *engine)
{
    if (engine->pools.count > 0)
        pool_edit(engine, 1)->left = -1;
    return record(TABLE_pools, engine->pools.count > 0);
}

static struct report_place break_tally(struct engine *engine)
{
    if (engine->tallies.count > 0)
        tally_edit(engine, 1)->quantity++;
    return record(TABLE_tallies, engine->tallies.count > 0);
}

/* An order's units in a sale that counts units by customer, counted for another customer. */
static struct report_place break_tally_owner(struct engine *engine)
{
    for (uint32_t i = 1; i <= engine->orders.count; i++) {
        const struct order *order = order_at(engine, i);
        uint32_t tally = tally_find(engine, order->customer, order->sale, 0);
        if (!sale_at(engine, order->sale)->counted ||
            (order->state != order_state_PENDING && order->state != order_state_CONFIRMED))
            continue;
        tally_edit(engine, tally)->customer = order->customer % engine->customers.count + 1;
        return engine->customers.count > 1 ? record(TABLE_orders, i) : nothing;
    }
    return nothing;
}

static bool sale_has_limits(const struct engine *engine, uint32_t index)
{
    return sale_at(engine, index)->customer_sku_max + sale_at(engine, index)->customer_sale_max > 0;
}

static struct report_place break_sale_counted(struct engine *engine)
{
    uint32_t sale = find(engine, engine->sales.count, sale_has_limits);
    if (sale != 0)
        sale_edit(engine, sale)->counted = 0;
    return record(TABLE_sales, sale);
}

static bool order_has_sale(const struct engine *engine, uint32_t index)
{
    return order_at(engine, index)->sale != 0;
}

static struct report_place break_sale_has_orders(struct engine *engine)
{
    uint32_t order = find(engine, engine->orders.count, order_has_sale);
    if (order != 0)
        sale_edit(engine, order_at(engine, order)->sale)->has_orders = 0;
    return record(TABLE_orders, order);
}

static struct report_place break_lot_left(struct engine *engine)
{
    if (engine->lots.count > 0)
        lot_edit(engine, 1)->left = -1;
    return record(TABLE_lots, engine->lots.count > 0);
}

static struct report_place break_points_below_zero(struct engine *engine)
{
    if (engine->customers.count > 0)
        customer_edit(engine, 1)->spendable = -1;
    return record(TABLE_customers, engine->customers.count > 0);
}

static bool points_have_room(const struct engine *engine, uint32_t index)
{
    const struct customer *customer = customer_at(engine, index);
    return customer->spendable + customer->held + customer->spent < POINTS_MAX;
}

static struct report_place break_points_lots(struct engine *engine)
{
    uint32_t customer = find(engine, engine->customers.count, points_have_room);
    if (customer != 0)
        customer_edit(engine, customer)->spendable++;
    return record(TABLE_customers, customer);
}

static struct report_place break_points_spent(struct engine *engine)
{
    uint32_t customer = find(engine, engine->customers.count, points_have_room);
    if (customer != 0)
        customer_edit(engine, customer)->spent++;
    return record(TABLE_customers, customer);
}

static bool entry_is_small_credit(const struct engine *engine, uint32_t index)
{
    const struct ledger_entry *entry = ledger_entry_at(engine, index);
    return entry->kind == LEDGER_CREDIT && entry->points < POINTS_MAX;
}

static struct report_place break_ledger(struct engine *engine)
{
    uint32_t entry = find(engine, engine->ledger.count, entry_is_small_credit);
    if (entry != 0)
        ledger_entry_edit(engine, entry)->points++;
    return record(TABLE_customers, lot_at(engine, ledger_entry_at(engine, entry)->lot)->customer);
}

static bool lot_has_room(const struct engine *engine, uint32_t index)
{
    return points_have_room(engine, lot_at(engine, index)->customer);
}

static struct report_place break_lot_held(struct engine *engine)
{
    uint32_t lot = find(engine, engine->lots.count, lot_has_room);
    if (lot != 0) {
        lot_edit(engine, lot)->held++;
        customer_edit(engine, lot_at(engine, lot)->customer)->held++;
    }
    return record(TABLE_lots, lot);
}

static bool order_has_takes(const struct engine *engine, uint32_t index)
{
    return money_at(engine, order_at(engine, index)->money)->takes != 0;
}

static struct report_place break_points_used(struct engine *engine)
{
    uint32_t order = find(engine, engine->orders.count, order_has_takes);
    if (order != 0)
        money_edit(engine, order_at(engine, order)->money)->points_used++;
    return record(TABLE_orders, order);
}

static struct report_place break_take_owner(struct engine *engine)
{
    uint32_t order = find(engine, engine->orders.count, order_has_takes);
    uint32_t take = money_at(engine, order_at(engine, order)->money)->takes;
    for (uint32_t lot = 1; order != 0 && lot <= engine->lots.count; lot++) {
        if (lot_at(engine, lot)->customer == order_at(engine, order)->customer)
            continue;
        point_take_edit(engine, take)->lot = lot;
        return record(TABLE_orders, order);
    }
    return nothing;
}

static bool order_has_lines(const struct engine *engine, uint32_t index)
{
    return !order_is_inline(order_at(engine, index)) && order_at(engine, index)->total < TOTAL_MAX;
}

static struct report_place break_total(struct engine *engine)
{
    uint32_t order = find(engine, engine->orders.count, order_has_lines);
    if (order != 0)
        order_edit(engine, order)->total++;
    return record(TABLE_orders, order);
}

static bool points_are_worth(const struct engine *engine, uint32_t index)
{
    return money_at(engine, index)->points_value > 0;
}

static struct report_place break_points_value(struct engine *engine)
{
    uint32_t money = find(engine, engine->moneys.count, points_are_worth);
    if (money != 0)
        money_edit(engine, money)->points_value--;
    return record(TABLE_moneys, money);
}

static struct report_place break_points_value_max(struct engine *engine)
{
    uint32_t money = find(engine, engine->moneys.count, points_are_worth);
    uint32_t order = money_at(engine, money)->order;
    if (money == 0 || order_at(engine, order)->total == TOTAL_MAX)
        return nothing;
    money_edit(engine, money)->points_value = order_at(engine, order)->total + 1;
    return record(TABLE_orders, order);
}

static struct report_place break_captured(struct engine *engine)
{
    if (engine->moneys.count == 0 || money_at(engine, 1)->captured == TOTAL_MAX)
        return nothing;
    money_edit(engine, 1)->captured++;
    return record(TABLE_moneys, 1);
}

static struct report_place break_refund_due(struct engine *engine)
{
    if (engine->moneys.count > 0)
        money_edit(engine, 1)->refund_due = money_at(engine, 1)->captured + 1;
    return record(TABLE_moneys, engine->moneys.count > 0);
}

static bool refund_is_large(const struct engine *engine, uint32_t index)
{
    return money_at(engine, index)->refund_due > 1;
}

static struct report_place break_kept(struct engine *engine)
{
    uint32_t money = find(engine, engine->moneys.count, refund_is_large);
    if (money != 0)
        money_edit(engine, money)->refund_due--;
    return record(TABLE_moneys, money);
}

static struct report_place break_parked(struct engine *engine)
{
    if (engine->moneys.count == 0)
        return nothing;
    money_edit(engine, 1)->parked++;
    engine->parked_count++;
    return record(TABLE_moneys, 1);
}

static struct report_place break_parked_count(struct engine *engine)
{
    engine->parked_count++;
    return number(SCALAR_parked_count);
}

static struct report_place break_refund_count(struct engine *engine)
{
    engine->refund_order_count++;
    return number(SCALAR_refund_order_count);
}

static struct report_place break_order_id(struct engine *engine)
{
    if (engine->orders.count < 2)
        return nothing;
    order_edit(engine, 2)->id = order_at(engine, 1)->id;
    return record(TABLE_orders, 2);
}

static struct report_place break_payment_id(struct engine *engine)
{
    if (engine->payments.count < 2)
        return nothing;
    payment_edit(engine, 2)->event = payment_at(engine, 1)->event;
    payment_edit(engine, 2)->provider = payment_at(engine, 1)->provider;
    return record(TABLE_payments, 2);
}

static uint32_t key_slot(const struct engine *engine, uint64_t position)
{
    return (uint32_t)(position % engine->keys.records.capacity) + 1;
}

static struct report_place break_key(struct engine *engine)
{
    uint32_t older = key_slot(engine, engine->keys.end - 2);
    uint32_t newer = key_slot(engine, engine->keys.end - 1);
    if (keys_kept(engine) < 2)
        return nothing;
    key_record_edit(engine, newer)->key = key_record_at(engine, older)->key;
    return record(TABLE_keys, newer);
}

static struct report_place break_key_order(struct engine *engine)
{
    uint32_t older = key_slot(engine, engine->keys.end - 2);
    uint32_t newer = key_slot(engine, engine->keys.end - 1);
    if (keys_kept(engine) < 2)
        return nothing;
    key_record_edit(engine, newer)->kept_us = key_record_at(engine, older)->kept_us - 1;
    return record(TABLE_keys, newer);
}

static struct report_place break_customer_id(struct engine *engine)
{
    if (engine->customers.count < 2)
        return nothing;
    customer_id_edit(engine, 2)->id = customer_id_at(engine, 1)->id;
    return record(TABLE_customer_ids, 2);
}

static struct report_place break_sku_number(struct engine *engine)
{
    if (engine->skus.count < 2)
        return nothing;
    sku_edit(engine, 2)->sku = sku_at(engine, 1)->sku;
    return record(TABLE_skus, 2);
}

static struct report_place break_sku_name(struct engine *engine)
{
    if (engine->skus.count < 2 || sku_at(engine, 1)->name.bytes[0] == '\0')
        return nothing;
    sku_edit(engine, 2)->name = sku_at(engine, 1)->name;
    return record(TABLE_skus, 2);
}

static bool stock_is_last(const struct engine *engine, uint32_t index)
{
    return stock_at(engine, index)->next == 0 && stock_at(engine, index)->warehouse < UINT32_MAX;
}

static struct report_place break_warehouse(struct engine *engine)
{
    uint32_t stock = find(engine, engine->stocks.count, stock_is_last);
    if (stock != 0)
        stock_edit(engine, stock)->warehouse = UINT32_MAX;
    return record(TABLE_stocks, stock);
}

static struct report_place break_sale_number(struct engine *engine)
{
    if (engine->sales.count < 2)
        return nothing;
    sale_edit(engine, 2)->sale = sale_at(engine, 1)->sale;
    return record(TABLE_sales, 2);
}

/* Has no order ever taken units from it? */
static bool pool_is_untouched(const struct engine *engine, uint32_t pool)
{
    for (uint32_t i = 1; i <= engine->orders.count; i++) {
        const struct order *order = order_at(engine, i);
        if (order->sale == pool_at(engine, pool)->sale)
            return false;
    }
    return pool_at(engine, pool)->next != 0;
}

static struct report_place break_pool_number(struct engine *engine)
{
    uint32_t pool = find(engine, engine->pools.count, pool_is_untouched);
    if (pool != 0)
        pool_edit(engine, pool)->stock = pool_at(engine, pool_at(engine, pool)->next)->stock;
    return record(TABLE_pools, pool);
}

static bool tally_is_zero(const struct engine *engine, uint32_t index)
{
    return index > 1 && tally_at(engine, index)->quantity == 0;
}

static struct report_place break_tally_number(struct engine *engine)
{
    uint32_t tally = find(engine, engine->tallies.count, tally_is_zero);
    if (tally != 0) {
        *tally_edit(engine, tally) = *tally_at(engine, 1);
        tally_edit(engine, tally)->quantity = 0;
    }
    return record(TABLE_tallies, tally);
}

static bool is_of_two_steps(const struct engine *engine, uint32_t index)
{
    const struct order *order = order_at(engine, index);
    return order->version == 2 && order->state != order_state_PENDING;
}

static struct report_place break_version(struct engine *engine)
{
    uint32_t order = find(engine, engine->orders.count, is_of_two_steps);
    if (order != 0)
        order_edit(engine, order)->version = 1;
    return record(TABLE_orders, order);
}

static struct report_place break_newest_step(struct engine *engine)
{
    uint32_t order = find(engine, engine->orders.count, is_of_two_steps);
    if (order != 0)
        order_edit(engine, order)->first_state = order_state_PENDING;
    return record(TABLE_orders, order);
}

static bool order_has_steps(const struct engine *engine, uint32_t index)
{
    return order_at(engine, index)->steps != 0;
}

static struct report_place break_step_seq(struct engine *engine)
{
    uint32_t order = find(engine, engine->orders.count, order_has_steps);
    if (order != 0)
        step_edit(engine, order_at(engine, order)->steps)->seq = 0;
    return record(TABLE_orders, order);
}

static bool is_changed_again(const struct engine *engine, uint32_t index)
{
    const struct order *order = order_at(engine, index);
    return order->version == 3 && order->state != order_state_CANCELLED;
}

static struct report_place break_transition(struct engine *engine)
{
    uint32_t order = find(engine, engine->orders.count, is_changed_again);
    if (order != 0)
        order_edit(engine, order)->first_state = order_state_CANCELLED;
    return record(TABLE_orders, order);
}

static bool order_is_fresh(const struct engine *engine, uint32_t index)
{
    const struct order *order = order_at(engine, index);
    return order->state == order_state_PENDING && order->version == 1;
}

static struct report_place break_placing(struct engine *engine)
{
    uint32_t order = find(engine, engine->orders.count, order_is_fresh);
    if (order != 0)
        order_edit(engine, order)->flags |= ORDER_BORN_CONFIRMED;
    return record(TABLE_orders, order);
}

static struct report_place break_deadline(struct engine *engine)
{
    uint32_t order = find(engine, engine->orders.count, order_is_fresh);
    if (order != 0)
        order_edit(engine, order)->deadline_us = 0;
    return record(TABLE_orders, order);
}

static struct report_place break_steps_reserved(struct engine *engine)
{
    engine->steps_reserved++;
    return number(SCALAR_steps_reserved);
}

static struct report_place break_ledger_reserved(struct engine *engine)
{
    engine->ledger_reserved++;
    return number(SCALAR_ledger_reserved);
}

static struct report_place break_lots_reserved(struct engine *engine)
{
    engine->lots_reserved++;
    return number(SCALAR_lots_reserved);
}

static struct report_place break_order_count(struct engine *engine)
{
    engine->orders_by_state[order_state_EXPIRED]++;
    return number(SCALAR_orders_EXPIRED);
}

static struct report_place break_time(struct engine *engine)
{
    engine->jumped_us = engine->changed_us + 1;
    return number(SCALAR_changed_us);
}

/* The newest epoch, if there are two at least. */
static uint32_t second_epoch(const struct engine *engine)
{
    return engine->epochs.count > 1 ? engine->epochs.count : 0;
}

static struct report_place break_epoch_number(struct engine *engine)
{
    uint32_t epoch = second_epoch(engine);
    if (epoch != 0)
        epoch_edit(engine, epoch)->epoch = epoch_at(engine, epoch - 1)->epoch;
    return record(TABLE_epochs, epoch);
}

static struct report_place break_first_epoch(struct engine *engine)
{
    if (engine->epochs.count == 0)
        return nothing;
    epoch_edit(engine, 1)->epoch = 1;
    return record(TABLE_epochs, 1);
}

static struct report_place break_epoch_seq(struct engine *engine)
{
    uint32_t epoch = second_epoch(engine);
    if (epoch != 0)
        epoch_edit(engine, epoch)->seq = epoch_at(engine, epoch - 1)->seq;
    return record(TABLE_epochs, epoch);
}

static struct report_place break_epoch_to_come(struct engine *engine)
{
    uint32_t epoch = second_epoch(engine);
    if (epoch != 0)
        epoch_edit(engine, epoch)->seq = engine->seq + 1;
    return record(TABLE_epochs, epoch);
}

static struct report_place break_epoch_time(struct engine *engine)
{
    uint32_t epoch = second_epoch(engine);
    if (epoch != 0)
        epoch_edit(engine, epoch)->time_us = epoch_at(engine, epoch - 1)->time_us - 1;
    return record(TABLE_epochs, epoch);
}

/* The first two closed orders change their places. */
static struct report_place break_queue_order(struct engine *engine)
{
    uint32_t first = engine->closing_first;
    uint32_t second = closing_at(engine, first)->newer;
    uint32_t third = closing_at(engine, second)->newer;
    if (third == 0 || order_changed_seq(engine, order_at(engine, first)) ==
                          order_changed_seq(engine, order_at(engine, second)))
        return nothing;
    engine->closing_first = second;
    *closing_edit(engine, second) = (struct closing){.newer = first};
    *closing_edit(engine, first) = (struct closing){.older = second, .newer = third};
    closing_edit(engine, third)->older = first;
    return record(TABLE_orders, first);
}

static struct report_place break_queue_count(struct engine *engine)
{
    engine->closing_count++;
    return number(SCALAR_closing_count);
}

static struct report_place break_free_runs(struct engine *engine)
{
    engine->lines.free_count++;
    return number(SCALAR_lines_free_count);
}

static const struct {
    enum invariant invariant;
    struct report_place (*change)(struct engine *engine);
} cases[] = {
    {INVARIANT_record_none, break_none},
    {INVARIANT_record_range, break_price},
    {INVARIANT_record_zero, break_reserved_bytes},
    {INVARIANT_record_refers, break_reference},
    {INVARIANT_record_list, break_list},
    {INVARIANT_record_listed, break_membership},
    {INVARIANT_free_count, break_free_takes},
    {INVARIANT_free_count, break_free_runs},
    {INVARIANT_closing_queue, break_queue_order},
    {INVARIANT_closing_queue, break_queue_count},
    {INVARIANT_key_ring, break_key_numbers},
    {INVARIANT_deadline_count, break_near_count},
    {INVARIANT_deadline_count, break_far_count},
    {INVARIANT_sum_range, break_sum},
    {INVARIANT_stock_parts, break_stock_parts},
    {INVARIANT_stock_range, break_stock_range},
    {INVARIANT_stock_range, break_stock_promised},
    {INVARIANT_stock_total, break_stock_total},
    {INVARIANT_stock_reserved, break_reserved},
    {INVARIANT_stock_committed, break_committed},
    {INVARIANT_stock_pooled, break_pooled},
    {INVARIANT_line_allocated, break_line_quantity},
    {INVARIANT_line_piece, break_line_sku},
    {INVARIANT_line_piece, break_piece_line},
    {INVARIANT_pool_taken, break_pool_taken},
    {INVARIANT_pool_range, break_pool_left},
    {INVARIANT_tally_quantity, break_tally},
    {INVARIANT_tally_quantity, break_tally_owner},
    {INVARIANT_sale_counted, break_sale_counted},
    {INVARIANT_sale_has_orders, break_sale_has_orders},
    {INVARIANT_points_range, break_lot_left},
    {INVARIANT_points_range, break_points_below_zero},
    {INVARIANT_points_lots, break_points_lots},
    {INVARIANT_points_ledger, break_ledger},
    {INVARIANT_points_held, break_lot_held},
    {INVARIANT_points_spent, break_points_spent},
    {INVARIANT_points_taken, break_points_used},
    {INVARIANT_points_owner, break_take_owner},
    {INVARIANT_order_total, break_total},
    {INVARIANT_points_value, break_points_value},
    {INVARIANT_points_value, break_points_value_max},
    {INVARIANT_money_captured, break_captured},
    {INVARIANT_money_refund, break_refund_due},
    {INVARIANT_money_kept, break_kept},
    {INVARIANT_money_parked, break_parked},
    {INVARIANT_money_counts, break_parked_count},
    {INVARIANT_money_counts, break_refund_count},
    {INVARIANT_order_once, break_order_id},
    {INVARIANT_payment_once, break_payment_id},
    {INVARIANT_key_once, break_key},
    {INVARIANT_key_once, break_key_order},
    {INVARIANT_customer_once, break_customer_id},
    {INVARIANT_number_once, break_sku_number},
    {INVARIANT_number_once, break_sku_name},
    {INVARIANT_number_once, break_warehouse},
    {INVARIANT_number_once, break_sale_number},
    {INVARIANT_number_once, break_pool_number},
    {INVARIANT_number_once, break_tally_number},
    {INVARIANT_history_whole, break_version},
    {INVARIANT_history_whole, break_newest_step},
    {INVARIANT_history_whole, break_step_seq},
    {INVARIANT_history_legal, break_transition},
    {INVARIANT_history_legal, break_placing},
    {INVARIANT_hold_deadline, break_deadline},
    {INVARIANT_end_reserved, break_steps_reserved},
    {INVARIANT_end_reserved, break_ledger_reserved},
    {INVARIANT_end_reserved, break_lots_reserved},
    {INVARIANT_order_counts, break_order_count},
    {INVARIANT_time_order, break_time},
    {INVARIANT_epoch_order, break_epoch_number},
    {INVARIANT_epoch_order, break_first_epoch},
    {INVARIANT_epoch_order, break_epoch_seq},
    {INVARIANT_epoch_order, break_epoch_to_come},
    {INVARIANT_epoch_order, break_epoch_time},
};

enum { CASE_COUNT = sizeof cases / sizeof cases[0] };

static void load(struct shop *shop)
{
    char error[ERROR_SIZE] = "";
    CHECK(engine_clear(shop->engine));
    if (!imager_load(&shop->imager, shop->engine, error, sizeof error) ||
        !engine_check(shop->engine, error, sizeof error))
        test_fail(__FILE__, __LINE__, "before anything is broken: %s", error);
}

/* The beginning of a message about this place. */
static void place_print(const struct engine *engine, struct report_place place, char *text)
{
    char id[ID_TEXT_SIZE];
    if (place.table == TABLE_none)
        snprintf(text, ERROR_SIZE,
                 "number %s: ", scalar_info((enum engine_scalar)place.index)->name);
    else if (place.table == TABLE_orders)
        snprintf(text, ERROR_SIZE, "record %u of table orders (order %s): ", place.index,
                 id_format(order_at(engine, place.index)->id, id));
    else
        snprintf(text, ERROR_SIZE, "record %u of table %s", place.index,
                 table_info(place.table)->name);
}

/* False when this shop has nothing that the case could change. */
static bool break_once(struct engine *engine, unsigned number_of_case)
{
    const struct invariant_info *info = invariant_info(cases[number_of_case].invariant);
    char error[ERROR_SIZE] = "";
    char place[ERROR_SIZE];
    char name[ERROR_SIZE];
    struct report_place changed = cases[number_of_case].change(engine);
    if (changed.table == TABLE_none && changed.index == ENGINE_SCALAR_COUNT)
        return false;
    place_print(engine, changed, place);
    snprintf(name, sizeof name, ": invariant %u.%u, %s: ", info->number, info->part, info->name);
    if (engine_check(engine, error, sizeof error))
        test_fail(__FILE__, __LINE__, "%s, broken in %s, is not seen", info->name, place);
    bool is_named = strncmp(error, place, strlen(place)) == 0 && strstr(error, name) != NULL &&
                    strstr(error, info->text) != NULL;
    if (!is_named)
        test_fail(__FILE__, __LINE__, "%s, broken in %s, is told as: %s", info->name, place, error);
    return true;
}

TEST(each_invariant_is_named_when_it_is_broken)
{
    bool is_done[CASE_COUNT] = {false};
    unsigned left = CASE_COUNT;
    for (int shops = 0; left > 0; shops++) {
        struct shop shop;
        if (shops == SHOPS_MAX) {
            unsigned first = 0;
            while (is_done[first])
                first++;
            test_fail(__FILE__, __LINE__, "no shop of %d has what case %u, of %s, changes",
                      SHOPS_MAX, first, invariant_info(cases[first].invariant)->name);
        }
        shop_init(&shop, &profiles[shops % PROFILE_COUNT], REQUESTS, 0);
        load(&shop);
        for (unsigned i = 0; i < CASE_COUNT; i++) {
            if (is_done[i] || !break_once(shop.engine, i))
                continue;
            is_done[i] = true;
            left--;
            load(&shop);
        }
        shop_deinit(&shop);
    }
}

TEST(no_invariant_is_without_a_case)
{
    bool has_case[INVARIANT_END] = {[INVARIANT_holds] = true};
    for (unsigned i = 0; i < CASE_COUNT; i++)
        has_case[cases[i].invariant] = true;
    for (unsigned i = 0; i < INVARIANT_END; i++) {
        if (!has_case[i])
            test_fail(__FILE__, __LINE__, "no case breaks %s",
                      invariant_info((enum invariant)i)->name);
    }
}

TEST(invariants_are_documented_as_they_are_declared)
{
    static char docs[DOCS_SIZE];
    char rows[DOCS_SIZE / 8];
    size_t size = 0;
    FILE *file = fopen("docs/rules.md", "r");
    CHECK(file != NULL);
    docs[fread(docs, 1, sizeof docs - 1, file)] = '\0';
    fclose(file);
    for (unsigned i = INVARIANT_holds + 1; i < INVARIANT_END; i++) {
        const struct invariant_info *info = invariant_info((enum invariant)i);
        size += (size_t)snprintf(rows + size, sizeof rows - size, "| %u.%u | %s | %s |\n",
                                 info->number, info->part, info->name, info->text);
        CHECK(size < sizeof rows);
    }
    if (strstr(docs, rows) == NULL)
        test_fail(__FILE__, __LINE__, "docs/rules.md has not these rows:\n%s", rows);
}
