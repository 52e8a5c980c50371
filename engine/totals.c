/* The numbers that are kept beside the records, made anew from them: how many orders are in each
 * state, what is reserved so that they can end, all stock together, and everybody's points.
 *
 * What is decided relies on them without looking: room that was reserved is there, points that a
 * customer has are in the lots. So they are checked before a loaded state decides anything, and by
 * engine_check. The records are followed as engine_check_bounds has found them. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "engine/image.h"
#include "engine/state.h"

struct totals {
    const struct engine *engine;
    char *error;
    size_t error_size;
    int64_t *held; /* by lot: by PENDING orders */
    int64_t *left; /* by customer: in lots, held of lots, spent by CONFIRMED orders */
    int64_t *held_of;
    int64_t *spent;
    uint64_t states[order_state_CANCELLED + 1];
    uint64_t refund_orders;
    uint64_t parked;
    uint64_t extended;       /* orders PENDING whose first step is taken */
    uint64_t takes_held;     /* by orders PENDING */
    uint64_t takes_expiring; /* of them, from lots that may expire */
    bool has_wrapped;        /* some sum has left its range */
};

/* Always false. */
__attribute__((format(printf, 2, 3))) static bool violated(struct totals *totals,
                                                           const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(totals->error, totals->error_size, format, arguments);
    va_end(arguments);
    return false;
}

static void sum_add(struct totals *totals, int64_t *sum, int64_t amount)
{
    totals->has_wrapped |= __builtin_add_overflow(*sum, amount, sum);
}

static bool sum_takes(struct totals *totals, uint32_t index)
{
    const struct engine *engine = totals->engine;
    const struct order *order = order_at(engine, index);
    const struct money *money = money_at(engine, order->money);
    bool is_pending = order->state == order_state_PENDING;
    int64_t points = 0;
    for (uint32_t at = money->takes; at != 0; at = point_take_at(engine, at)->next) {
        const struct point_take *take = point_take_at(engine, at);
        const struct lot *lot = lot_at(engine, take->lot);
        if (lot->customer != order->customer)
            return violated(totals,
                            "record %u of table orders: it has taken points of another "
                            "customer",
                            index);
        sum_add(totals, &points, take->points);
        sum_add(totals, is_pending ? &totals->held[take->lot] : &totals->spent[order->customer],
                take->points);
        totals->takes_held += is_pending;
        totals->takes_expiring += is_pending && lot->expires_us != UINT64_MAX;
    }
    bool has = is_pending || order->state == order_state_CONFIRMED;
    if (points != (has ? money->points_used : 0))
        return violated(totals,
                        "record %u of table orders: it used %" PRId64 " points and has taken "
                        "%" PRId64,
                        index, money->points_used, points);
    return true;
}

static bool sum_orders(struct totals *totals)
{
    const struct engine *engine = totals->engine;
    for (uint32_t i = 1; i <= engine->orders.count; i++) {
        const struct order *order = order_at(engine, i);
        totals->states[order->state]++;
        totals->extended += order->state == order_state_PENDING && order->version > 1;
        if (order->money == 0)
            continue;
        const struct money *money = money_at(engine, order->money);
        totals->refund_orders += money->refund_due > 0;
        totals->parked += money->parked;
        if (!sum_takes(totals, i))
            return false;
    }
    return true;
}

static bool check_counts(struct totals *totals)
{
    const struct engine *engine = totals->engine;
    for (unsigned state = 1; state <= order_state_CANCELLED; state++) {
        if (totals->states[state] != engine->orders_by_state[state])
            return violated(totals, "%" PRIu64 " orders are %s, %" PRIu64 " are counted",
                            totals->states[state], named_value_name(FIELD_order_state, state),
                            engine->orders_by_state[state]);
    }
    if (engine->steps_reserved != totals->extended)
        return violated(totals,
                        "steps are reserved for %u orders, not for those PENDING and extended",
                        engine->steps_reserved);
    if (engine->ledger_reserved != 2 * totals->takes_held)
        return violated(totals, "%u ledger entries are reserved for %" PRIu64 " held takes",
                        engine->ledger_reserved, totals->takes_held);
    if (engine->lots_reserved != totals->takes_expiring)
        return violated(totals, "%u lots are reserved for %" PRIu64 " takes that may expire",
                        engine->lots_reserved, totals->takes_expiring);
    if (totals->refund_orders != engine->refund_order_count)
        return violated(totals, "%" PRIu64 " orders have a refund due, %" PRIu64 " are counted",
                        totals->refund_orders, engine->refund_order_count);
    if (totals->parked != engine->parked_count)
        return violated(totals, "%" PRIu64 " payments are parked, %" PRIu64 " are counted",
                        totals->parked, engine->parked_count);
    return true;
}

/* Each part by itself: no sum over some of the stocks is larger. */
static bool check_stocks(struct totals *totals)
{
    const struct engine *engine = totals->engine;
    int64_t sums[6] = {0};
    for (uint32_t i = 1; i <= engine->stocks.count; i++) {
        const struct stock *stock = stock_at(engine, i);
        sum_add(totals, &sums[0], stock->on_hand);
        sum_add(totals, &sums[1], stock->available > 0 ? stock->available : 0);
        sum_add(totals, &sums[2], stock->pooled);
        sum_add(totals, &sums[3], stock->reserved);
        sum_add(totals, &sums[4], stock->committed);
        sum_add(totals, &sums[5], stock->unsellable);
    }
    if (totals->has_wrapped)
        return violated(totals, "a sum of stock leaves its range");
    if (sums[0] != engine->on_hand_total || sums[0] > STOCK_TOTAL_MAX)
        return violated(totals, "on_hand is %" PRId64 " in all, %" PRId64 " is counted", sums[0],
                        engine->on_hand_total);
    return true;
}

static bool check_points(struct totals *totals)
{
    const struct engine *engine = totals->engine;
    for (uint32_t i = 1; i <= engine->lots.count; i++) {
        const struct lot *lot = lot_at(engine, i);
        sum_add(totals, &totals->left[lot->customer], lot->left);
        sum_add(totals, &totals->held_of[lot->customer], lot->held);
        if (lot->held != totals->held[i])
            return violated(totals,
                            "record %u of table lots: %" PRId64 " held, orders hold %" PRId64, i,
                            lot->held, totals->held[i]);
    }
    if (totals->has_wrapped)
        return violated(totals, "a sum of points leaves its range");
    for (uint32_t i = 1; i <= engine->customers.count; i++) {
        const struct customer *customer = customer_at(engine, i);
        if (customer->spendable != totals->left[i] || customer->held != totals->held_of[i])
            return violated(
                totals, "record %u of table customers: its points are not the sum of its lots", i);
        if (customer->spent != totals->spent[i])
            return violated(totals,
                            "record %u of table customers: it spent %" PRId64 " points, its orders "
                            "%" PRId64,
                            i, customer->spent, totals->spent[i]);
    }
    return true;
}

static bool sums_init(struct totals *totals)
{
    const struct engine *engine = totals->engine;
    totals->held = calloc(engine->lots.count + 1u, sizeof(int64_t));
    totals->left = calloc(engine->customers.count + 1u, sizeof(int64_t));
    totals->held_of = calloc(engine->customers.count + 1u, sizeof(int64_t));
    totals->spent = calloc(engine->customers.count + 1u, sizeof(int64_t));
    bool is_made = totals->held != NULL && totals->left != NULL && totals->held_of != NULL &&
                   totals->spent != NULL;
    return is_made || violated(totals, "no memory to check it");
}

static void sums_deinit(struct totals *totals)
{
    free(totals->held);
    free(totals->left);
    free(totals->held_of);
    free(totals->spent);
}

bool engine_check_totals(const struct engine *engine, char *error, size_t error_size)
{
    struct totals totals = {.engine = engine, .error = error, .error_size = error_size};
    bool hold = sums_init(&totals) && sum_orders(&totals) && check_counts(&totals) &&
                check_stocks(&totals) && check_points(&totals);
    sums_deinit(&totals);
    return hold;
}
