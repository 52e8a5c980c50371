/* Queries: they read, and change nothing. What they show may be held back by the server until it
 * is durable; here it is simply the state. */
#include "engine/handlers.h"
#include "engine/order.h"
#include "engine/stock.h"

static void stock_row_add(struct stock_row_body *row, const struct stock *stock, bool clamp)
{
    row->on_hand += stock->on_hand;
    row->available += clamp && stock->available < 0 ? 0 : stock->available;
    row->pooled += stock->pooled;
    row->reserved_for_orders += stock->reserved;
    row->committed += stock->committed;
    row->unsellable += stock->unsellable;
}

static void stock_row_fill(const struct engine *engine, uint32_t index, uint32_t warehouse,
                           struct stock_row_body *row)
{
    const struct sku *sku = sku_at(engine, index);
    row->sku = sku->sku;
    row->warehouse = warehouse;
    row->currency = sku->currency;
    row->price = sku->price;
    if (warehouse != 0) {
        stock_row_add(row, stock_at(engine, stock_find(engine, index, warehouse)), false);
        return;
    }
    for (uint32_t at = sku->stocks; at != 0; at = stock_at(engine, at)->next)
        stock_row_add(row, stock_at(engine, at), true);
}

enum outcome handle_stock_get(struct engine *engine, struct command *command)
{
    const struct stock_get_body *body = command->body;
    const struct item_body *items = (const struct item_body *)(body + 1);
    uint32_t skus[STOCK_ITEMS_MAX];
    uint32_t named = body->name.bytes[0] != '\0';
    uint32_t count = named + body->item_count;
    if (count == 0 || count > STOCK_ITEMS_MAX)
        return reject_field(engine, stock_get_field_item_count);
    for (uint32_t i = 0; i < body->item_count; i++) {
        if (items[i].sku == 0)
            return reject_field(engine, ROW_FIELD + item_field_sku);
    }
    if (named && (skus[0] = sku_find_name(engine, &body->name)) == 0)
        return reject(engine, OUTCOME_NOT_FOUND, 0, 0);
    for (uint32_t i = named; i < count; i++) {
        skus[i] = sku_find(engine, items[i - named].sku);
        if (skus[i] == 0)
            return reject(engine, OUTCOME_NOT_FOUND, items[i - named].sku, 0);
    }
    struct stock_get_reply_body *reply = reply_begin(
        engine, command, (uint32_t)(sizeof *reply + count * sizeof(struct stock_row_body)));
    struct stock_row_body *rows = (struct stock_row_body *)(reply + 1);
    reply->seq = engine->seq;
    reply->stock_count = (uint16_t)count;
    for (uint32_t i = 0; i < count; i++)
        stock_row_fill(engine, skus[i], i < named ? 0 : items[i - named].warehouse, &rows[i]);
    return OUTCOME_OK;
}

/* One row per piece, and one for a line that got none; returns how many. */
static uint16_t piece_rows(const struct engine *engine, const struct order *order,
                           struct piece_body *rows)
{
    struct pieces pieces = order_pieces(engine, order);
    uint16_t count = 0;
    unsigned next = 0;
    for (uint16_t i = 0; i < order->line_count; i++) {
        struct line line = order_line(engine, order, i);
        unsigned first = next;
        for (; next < pieces.count && pieces.first[next].line == i; next++) {
        }
        for (unsigned j = first; j < next || j == first; j++) {
            bool given = j < next;
            rows[count++] = (struct piece_body){
                .sku = sku_at(engine, line.sku)->sku,
                .quantity = line.quantity,
                .warehouse = given ? stock_at(engine, pieces.first[j].stock)->warehouse : 0,
                .price = line.price,
                .allocated = given ? pieces.first[j].quantity : 0,
                .line = (uint16_t)(i + 1),
            };
        }
    }
    return count;
}

enum outcome handle_order_get(struct engine *engine, struct command *command)
{
    const struct order_id_body *body = command->body;
    if (id_is_zero(body->order))
        return reject_field(engine, order_id_field_order);
    uint32_t index = order_find(engine, body->order);
    if (index == 0)
        return reject(engine, OUTCOME_NOT_FOUND, 0, 0);
    const struct order *order = order_at(engine, index);
    const struct money *money = money_at(engine, order->money);
    struct piece_body rows[ORDER_PIECES_MAX + ORDER_LINES_MAX];
    uint16_t count = piece_rows(engine, order, rows);
    struct order_get_reply_body *reply =
        reply_begin(engine, command, (uint32_t)(sizeof *reply + count * sizeof rows[0]));
    memcpy(reply + 1, rows, count * sizeof rows[0]);
    *reply = (struct order_get_reply_body){
        .seq = engine->seq,
        .customer = customer_id_at(engine, order->customer)->id,
        .total = order->total,
        .points_used = money->points_used,
        .points_value = money->points_value,
        .money_due = order_money_due(engine, order),
        .captured = money->captured,
        .refund_due = money->refund_due,
        .placed = order->placed_us,
        .hold_ends = order->state == order_state_PENDING ? order->deadline_us : 0,
        .version = order->version,
        .sale = sale_at(engine, order->sale)->sale,
        .parked = money->parked,
        .state = order->state,
        .money = order_money_state(engine, order),
        .currency = order->currency,
        .piece_count = count,
    };
    return OUTCOME_OK;
}

/* The step of the placing, which follows from the order. */
static struct step_body step_1(const struct order *order)
{
    bool confirmed = (order->flags & ORDER_BORN_CONFIRMED) != 0;
    bool paid = (order->flags & ORDER_BORN_PAID) != 0;
    return (struct step_body){
        .seq = order->placed_seq,
        .time = order->placed_us,
        .version = 1,
        .state = confirmed ? order_state_CONFIRMED : order_state_PENDING,
        .money = !confirmed ? money_state_DUE
                 : paid     ? money_state_CAPTURED
                            : money_state_NONE,
    };
}

/* The step of the first transition, which the order has too. */
static struct step_body step_2(const struct order *order)
{
    return (struct step_body){.seq = order->first_seq,
                              .time = order->first_us,
                              .version = 2,
                              .state = order->first_state,
                              .money = order->first_money};
}

/* Fills rows with the steps of the versions from `first` on, `count` of them. */
static void step_rows(const struct engine *engine, const struct order *order, uint32_t first,
                      uint16_t count, struct step_body *rows)
{
    uint32_t version = first + count - 1;
    uint32_t at = step_find(engine, order->steps, version);
    for (; version >= first && version > 2; version--) {
        const struct step *step = step_at(engine, at);
        rows[version - first] = (struct step_body){.seq = step->seq,
                                                   .time = step->time_us,
                                                   .version = version,
                                                   .state = step->state,
                                                   .money = step->money};
        at = step->previous;
    }
    if (first <= 2 && version == 2)
        rows[2 - first] = step_2(order);
    if (first == 1)
        rows[0] = step_1(order);
}

/* A cursor is the version that the page begins with. */
enum outcome handle_order_history(struct engine *engine, struct command *command)
{
    const struct order_history_body *body = command->body;
    if (id_is_zero(body->order))
        return reject_field(engine, order_history_field_order);
    uint32_t index = order_find(engine, body->order);
    if (index == 0)
        return reject(engine, OUTCOME_NOT_FOUND, 0, 0);
    const struct order *order = order_at(engine, index);
    uint64_t first = body->cursor != 0 ? body->cursor : 1;
    uint64_t left = first <= order->version ? order->version - first + 1 : 0;
    uint16_t count = (uint16_t)(left < HISTORY_ROWS_MAX ? left : HISTORY_ROWS_MAX);
    struct order_history_reply_body *reply =
        reply_begin(engine, command, (uint32_t)(sizeof *reply + count * sizeof(struct step_body)));
    reply->seq = engine->seq;
    reply->next = left > count ? first + count : 0;
    reply->step_count = count;
    if (count > 0)
        step_rows(engine, order, (uint32_t)first, count, (struct step_body *)(reply + 1));
    return OUTCOME_OK;
}

/* The metrics of the engine's layer: a function each, by the rows. */

#define METRIC_IS(name, value)                                                                     \
    uint64_t metric_of_##name(struct engine *engine)                                               \
    {                                                                                              \
        return value;                                                                              \
    }
METRIC_IS(skus, engine->skus.count)
METRIC_IS(stocks, engine->stocks.count)
METRIC_IS(sales, engine->sales.count)
METRIC_IS(customers, engine->customers.count)
METRIC_IS(orders,
          engine->orders.count - engine->orders_free_count - (engine->orders_forgetting != 0))
METRIC_IS(pending, engine->orders_by_state[order_state_PENDING])
METRIC_IS(confirmed, engine->orders_by_state[order_state_CONFIRMED])
METRIC_IS(expired, engine->orders_by_state[order_state_EXPIRED])
METRIC_IS(failed, engine->orders_by_state[order_state_FAILED])
METRIC_IS(cancelled, engine->orders_by_state[order_state_CANCELLED])
METRIC_IS(payments, engine->payments.count - engine->payments_free_count)
METRIC_IS(parked, engine->parked_count)
METRIC_IS(refund_orders, engine->refund_order_count)
METRIC_IS(keys, memory_ring_count(&engine->keys))
METRIC_IS(holds_due, deadlines_due(&engine->deadlines, engine->time_us))
METRIC_IS(rejected, engine->rejected_count)
METRIC_IS(orders_closed, engine->closing_count)
METRIC_IS(orders_forgotten, engine->orders_forgotten)
#undef METRIC_IS

#define FILL_engine(name) metrics->name = metric_of_##name(engine);
#define FILL_wal(name)
#define FILL_snapshot(name)
#define FILL_archive(name)
#define FILL_loop(name)
#define FILL_connections(name)
void engine_metrics(struct engine *engine, struct metrics *metrics)
{
#define METRIC(number, layer, kind, unit, name, help) FILL_##layer(name)
#include "base/tables/metrics.h"
}
#undef FILL_engine
#undef FILL_wal
#undef FILL_snapshot
#undef FILL_archive
#undef FILL_loop
#undef FILL_connections

/* The engine's own as they are now, and those of the other layers as they were published last. */
static uint16_t metric_rows(struct engine *engine, struct metric_body rows[METRIC_COUNT])
{
    struct metrics metrics = {0};
    bool has_others = engine->metrics_shown != NULL;
    uint16_t count = 0;
    if (has_others)
        metrics = *engine->metrics_shown;
    engine_metrics(engine, &metrics);
    for (unsigned i = 0; i < METRIC_COUNT; i++) {
        const struct metric_info *info = &metric_table[i];
        if (has_others || info->layer == LAYER_engine)
            rows[count++] =
                (struct metric_body){.metric = info->number, .value = metric_value(&metrics, info)};
    }
    return count;
}

enum outcome handle_stats(struct engine *engine, struct command *command)
{
    struct metric_body rows[METRIC_COUNT];
    uint16_t count = metric_rows(engine, rows);
    struct stats_reply_body *reply =
        reply_begin(engine, command, (uint32_t)(sizeof *reply + count * sizeof rows[0]));
    memcpy(reply + 1, rows, count * sizeof rows[0]);
    *reply = (struct stats_reply_body){.seq = engine->seq,
                                       .digest = engine->digest,
                                       .time = engine->time_us,
                                       .metric_count = count};
    return OUTCOME_OK;
}

static_assert((int)CAPACITY_COUNT <= (int)TABLES_MAX, "each has a row");

enum outcome handle_tables(struct engine *engine, struct command *command)
{
    size_t count = 0;
    const struct capacity_info *capacities = capacity_infos(&count);
    struct tables_reply_body *reply =
        reply_begin(engine, command, (uint32_t)(sizeof *reply + count * sizeof(struct table_body)));
    struct table_body *rows = (struct table_body *)(reply + 1);
    reply->seq = engine->seq;
    reply->table_count = (uint16_t)count;
    for (size_t i = 0; i < count; i++) {
        struct table_fill fill = engine_table_fill(engine, capacities[i].number);
        rows[i].used = fill.used;
        rows[i].capacity = fill.capacity;
        rows[i].reserve = fill.reserve;
        memcpy(rows[i].name.bytes, fill.name, strnlen(fill.name, NAME_SIZE));
    }
    return OUTCOME_OK;
}
