/* order.list: orders that have one thing in common, page by page.
 *
 * The list is that of the customer, else of the SKU, the sale, the warehouse, the state: of the
 * first that is asked for, which mostly has the fewest orders. What else is asked for says which
 * of them are shown. */
#include "engine/handlers.h"
#include "engine/list_page.h"
#include "engine/order.h"
#include "engine/points.h"
#include "engine/sale.h"
#include "engine/stock.h"
#include "engine/warehouse.h"

/* What is asked for, by index; 0: anything. */
struct wanted {
    uint32_t customer;
    uint32_t sku;
    uint32_t sale;
    uint32_t warehouse; /* its number */
    uint8_t state;
};

static uint32_t order_of_piece(const struct engine *engine, uint32_t node)
{
    return node <= engine->orders.capacity ? node : node_piece(engine, node)->order;
}

static struct list_key key_placed(const struct engine *engine, uint32_t node)
{
    return (struct list_key){.key = order_at(engine, node)->placed_seq};
}

static struct list_key key_sku(const struct engine *engine, uint32_t node)
{
    return key_placed(engine, order_of_piece(engine, node));
}

static struct list_key key_warehouse(const struct engine *engine, uint32_t node)
{
    uint32_t capacity = engine->orders.capacity;
    uint64_t moved = node > capacity ? engine->lists->moved[node - capacity] : 0;
    struct list_key key = key_sku(engine, node);
    if (moved != 0)
        key.key = moved;
    return key;
}

static struct list_key key_state(const struct engine *engine, uint32_t node)
{
    return (struct list_key){.key = engine->lists->entered[node], .tie = node};
}

static bool is_of_customer(const struct engine *engine, const struct list_page *page, uint32_t node)
{
    return order_at(engine, node)->customer == page->list;
}

static bool is_of_sku(const struct engine *engine, const struct list_page *page, uint32_t node)
{
    return stock_at(engine, node_piece(engine, node)->stock)->sku == page->list;
}

static bool is_of_sale(const struct engine *engine, const struct list_page *page, uint32_t node)
{
    return order_at(engine, node)->sale == page->list;
}

static bool is_of_warehouse(const struct engine *engine, const struct list_page *page,
                            uint32_t node)
{
    return engine->lists->warehouse_of[node_piece(engine, node)->stock] == page->list;
}

static bool is_in_state(const struct engine *engine, const struct list_page *page, uint32_t node)
{
    return order_at(engine, node)->state == page->list;
}

static void page_begin(const struct engine *engine, const struct wanted *wanted, struct id cursor,
                       struct list_page *page)
{
    const struct lists *lists = engine->lists;
    list_is_there *is_there = is_in_state;
    *page = (struct list_page){&lists->states, key_state, .list = wanted->state};
    if (wanted->customer != 0) {
        *page = (struct list_page){&lists->customers, key_placed, .list = wanted->customer};
        is_there = is_of_customer;
    } else if (wanted->sku != 0) {
        *page = (struct list_page){&lists->skus, key_sku, .list = wanted->sku};
        is_there = is_of_sku;
    } else if (wanted->sale != 0) {
        *page = (struct list_page){&lists->sales, key_placed, .list = wanted->sale};
        is_there = is_of_sale;
    } else if (wanted->warehouse != 0) {
        uint32_t list = warehouse_find(engine, wanted->warehouse);
        *page = (struct list_page){&lists->warehouses, key_warehouse, .list = list};
        is_there = is_of_warehouse;
    }
    list_page_begin(page, engine, cursor, is_there);
}

/* Did the order take units of the SKU? 0: of any. */
static bool has_sku(const struct engine *engine, const struct order *order, uint32_t sku)
{
    struct pieces pieces = order_pieces_placed(engine, order);
    bool has = sku == 0;
    for (uint32_t i = 0; i < pieces.count && !has; i++)
        has = stock_at(engine, pieces.first[i].stock)->sku == sku;
    return has;
}

/* Do units of the order come from the warehouse? 0: from any. */
static bool has_warehouse(const struct engine *engine, const struct order *order,
                          uint32_t warehouse)
{
    struct pieces pieces = order_pieces(engine, order);
    bool has = warehouse == 0;
    for (uint32_t i = 0; i < pieces.count && !has; i++)
        has = stock_at(engine, pieces.first[i].stock)->warehouse == warehouse;
    return has;
}

static bool is_wanted(const struct engine *engine, const struct wanted *wanted,
                      const struct order *order)
{
    return (wanted->customer == 0 || order->customer == wanted->customer) &&
           (wanted->sale == 0 || order->sale == wanted->sale) &&
           (wanted->state == 0 || order->state == wanted->state) &&
           has_sku(engine, order, wanted->sku) && has_warehouse(engine, order, wanted->warehouse);
}

static enum outcome check_wanted(struct engine *engine, const struct order_list_body *body,
                                 struct wanted *wanted)
{
    bool has_customer = !id_is_zero(body->customer);
    if (!has_customer && body->sku == 0 && body->sale == 0 && body->warehouse == 0 &&
        body->state == 0)
        return reject_field(engine, order_list_field_customer);
    if (body->wanted > LIST_ROWS_MAX)
        return reject_field(engine, order_list_field_wanted);
    if (engine->lists == NULL)
        return reject(engine, OUTCOME_NOT_INDEXED, 0, 0);
    *wanted = (struct wanted){.warehouse = body->warehouse, .state = body->state};
    if (has_customer) {
        wanted->customer = customer_find(engine, body->customer, hash_id(engine, body->customer));
        if (wanted->customer == 0)
            return reject(engine, OUTCOME_NOT_FOUND, 0, 0);
    }
    if (body->sku != 0 && (wanted->sku = sku_find(engine, body->sku)) == 0)
        return reject(engine, OUTCOME_NOT_FOUND, body->sku, 0);
    if (body->sale != 0 && (wanted->sale = sale_find(engine, body->sale)) == 0)
        return reject(engine, OUTCOME_NOT_FOUND, body->sale, 0);
    return OUTCOME_OK;
}

static struct order_body order_row(const struct engine *engine, const struct order *order)
{
    return (struct order_body){
        .order = order->id,
        .state = order->state,
        .money = order_money_state(engine, order),
        .currency = order->currency,
        .version = order->version,
        .total = order->total,
        .customer = customer_id_at(engine, order->customer)->id,
        .placed_seq = order->placed_seq,
        .placed = order->placed_us,
        .sale = sale_at(engine, order->sale)->sale,
    };
}

enum outcome handle_order_list(struct engine *engine, struct command *command)
{
    const struct order_list_body *body = command->body;
    struct order_body rows[LIST_ROWS_MAX];
    struct wanted wanted;
    struct list_page page;
    enum outcome outcome = check_wanted(engine, body, &wanted);
    if (outcome != OUTCOME_OK)
        return outcome;
    uint16_t most = body->wanted != 0 ? body->wanted : LIST_ROWS_MAX;
    uint16_t count = 0;
    uint32_t node = 0;
    page_begin(engine, &wanted, body->cursor, &page);
    bool is_of_pieces = page.key_of == key_sku || page.key_of == key_warehouse;
    while (count < most && (node = list_page_next(&page, engine)) != 0) {
        const struct order *order =
            order_at(engine, is_of_pieces ? order_of_piece(engine, node) : node);
        if (is_wanted(engine, &wanted, order))
            rows[count++] = order_row(engine, order);
    }
    struct order_list_reply_body *reply =
        reply_begin(engine, command, (uint32_t)(sizeof *reply + count * sizeof rows[0]));
    memcpy(reply + 1, rows, count * sizeof rows[0]);
    *reply = (struct order_list_reply_body){
        .seq = engine->seq, .next = list_page_cursor(&page), .order_count = count};
    return OUTCOME_OK;
}
