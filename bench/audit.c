/* The audit.
 *
 * Orders first: each cart that was ever answered with an acceptance must be there once, with the
 * amounts and the allocation of that answer, and at least as new as the newest answer; each other
 * cart must not exist. One that was paid after its hold had ended may have its units from other
 * warehouses than it had them from first: those count then. An order that is there with less than
 * was acknowledged counts as lost, with more than was asked for as doubled. Then the sums: what the
 * confirmed orders took from each (SKU, warehouse), less what was shipped since, must be what the
 * server says it committed, all of it no more than was put in, and nothing may be held any more.
 * Last, each customer's points less what his confirmed orders spent must be his balance. */
#include "bench/audit.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "bench/load.h"

#define TIMEOUT_NS 30000000000ULL

enum { IN_FLIGHT = 64, TURN_MS = 1000, ROWS_PER_CALL = STOCK_ITEMS_MAX };

static bool next_question(void *context, struct frame *frame, uint64_t *token)
{
    struct audit *audit = context;
    if (audit->asked == CARTS + AUDIT_ACCOUNTS)
        return false;
    *token = audit->asked++;
    bool order = *token < CARTS;
    uint32_t number = (uint32_t)*token;
    *(struct id *)(frame + 1) = order
                                    ? crowd_order(audit->crowd, number)
                                    : crowd_customer(audit->crowd, (number - CARTS) * POINTS_EVERY);
    frame->type = order ? MESSAGE_order_get : MESSAGE_points_balance;
    frame->size = sizeof *frame + sizeof(struct id);
    return true;
}

static bool same_places(const struct cart *cart, const struct order_get_reply_body *order,
                        const struct piece_body *pieces)
{
    bool same = order->piece_count == cart->take_count;
    for (uint32_t i = 0; same && i < cart->take_count; i++)
        same = pieces[i].line == cart->takes[i].line &&
               pieces[i].warehouse == cart->takes[i].warehouse &&
               pieces[i].allocated == cart->takes[i].quantity;
    return same;
}

/* A hold that ends and a payment after it are two versions more. */
static bool was_sold_late(const struct order_get_reply_body *order)
{
    return order->version >= 3 && order->captured > 0;
}

/* Notes where an order has its units now; false when they are not as many of each line. */
static bool take_over_places(struct cart *cart, const struct order_get_reply_body *order,
                             const struct piece_body *pieces)
{
    int64_t units[PLAN_LINES_MAX + 1] = {0};
    if (order->piece_count > CART_TAKES_MAX)
        return false;
    for (uint32_t i = 0; i < cart->take_count; i++)
        units[cart->takes[i].line] += cart->takes[i].quantity;
    for (uint32_t i = 0; i < order->piece_count; i++) {
        units[pieces[i].line] -= pieces[i].allocated;
        cart->takes[i].line = (uint8_t)pieces[i].line;
        cart->takes[i].warehouse = (uint8_t)pieces[i].warehouse;
        cart->takes[i].quantity = (uint16_t)pieces[i].allocated;
    }
    cart->take_count = (uint8_t)order->piece_count;
    for (uint32_t line = 0; line <= PLAN_LINES_MAX; line++) {
        if (units[line] != 0)
            return false;
    }
    return true;
}

/* Is the order what the first acceptance said? */
static bool same_terms(const struct audit *audit, uint32_t number,
                       const struct order_get_reply_body *order, size_t size)
{
    struct cart *cart = &audit->crowd->carts[number];
    const struct piece_body *pieces = (const void *)(order + 1);
    bool same = size == sizeof *order + order->piece_count * sizeof *pieces &&
                order->total == cart->total && order->points_used == cart->points_used &&
                order->points_value == cart->points_value && order->money_due == cart->money_due &&
                order->sale == SALE && order->currency == CURRENCY_EUR &&
                id_equal(order->customer, crowd_customer(audit->crowd, crowd_buyer(number)));
    for (uint32_t i = 0; same && i < order->piece_count; i++) {
        uint64_t sku = crowd_line_sku(audit->crowd, number, pieces[i].line);
        same = pieces[i].line <= PLAN_LINES_MAX && pieces[i].sku == sku &&
               pieces[i].price == crowd_price(sku);
    }
    if (same && was_sold_late(order))
        same = take_over_places(cart, order, pieces);
    return same && same_places(cart, order, pieces);
}

/* Every act that took effect is one version; an expiry may be one more. */
static void check_versions(struct crowd *crowd, uint32_t number,
                           const struct order_get_reply_body *order)
{
    const struct cart *cart = &crowd->carts[number];
    uint32_t version = 1 + (uint32_t)__builtin_popcount(cart->applied);
    if (order->version < version || order->version < cart->version)
        crowd_complain(crowd, &crowd->lost, number, "version %u after %u changes", order->version,
                       version);
    else if (order->version > version + 1)
        crowd_complain(crowd, &crowd->doubled, number, "version %u after %u changes",
                       order->version, version);
    else if (order->version == cart->version &&
             (order->state != cart->state || order->money != cart->money ||
              order->refund_due != cart->refund_due))
        crowd_complain(crowd, &crowd->lost, number, "another state than was answered");
}

static void check_money(struct crowd *crowd, uint32_t number,
                        const struct order_get_reply_body *order)
{
    const struct cart *cart = &crowd->carts[number];
    int64_t kept = order->captured - order->refund_due;
    if (order->captured > cart->captured)
        crowd_complain(crowd, &crowd->doubled, number,
                       "captured %" PRId64 " for payments of %" PRId64, order->captured,
                       cart->captured);
    else if (order->captured < cart->captured)
        crowd_complain(crowd, &crowd->lost, number, "captured %" PRId64 " of payments of %" PRId64,
                       order->captured, cart->captured);
    else if (kept != (order->state == order_state_CONFIRMED ? order->money_due : 0))
        crowd_complain(crowd, &crowd->wrong, number, "keeps %" PRId64 " of the buyer's money",
                       kept);
}

/* Adds a confirmed order to the sums. */
static void add_up(struct audit *audit, uint32_t number)
{
    const struct cart *cart = &audit->crowd->carts[number];
    uint32_t buyer = crowd_buyer(number);
    for (uint32_t i = 0; i < cart->take_count; i++) {
        uint64_t sku = crowd_line_sku(audit->crowd, number, cart->takes[i].line);
        audit->units[sku][cart->takes[i].warehouse].sold += cart->takes[i].quantity;
    }
    if (buyer % POINTS_EVERY == 0)
        audit->points_spent[buyer / POINTS_EVERY] += cart->points_used;
}

static void check_order(struct audit *audit, uint32_t number, const struct frame *frame)
{
    struct crowd *crowd = audit->crowd;
    struct cart *cart = &crowd->carts[number];
    const struct order_get_reply_body *order = (const void *)(frame + 1);
    size_t size = frame->size - sizeof *frame;
    if (cart->seq == 0) {
        if (frame->outcome != OUTCOME_NOT_FOUND)
            crowd_complain(crowd, &crowd->wrong, number, "exists, though every answer was a no");
        return;
    }
    if (frame->outcome != OUTCOME_OK || size < sizeof *order ||
        !same_terms(audit, number, order, size)) {
        crowd_complain(crowd, &crowd->lost, number, "acknowledged, and not there as it was");
        return;
    }
    check_versions(crowd, number, order);
    check_money(crowd, number, order);
    cart->state = order->state;
    cart->refund_due = order->refund_due;
    cart->has_parked = order->parked != 0;
    audit->refunds += order->refund_due != 0;
    for (uint32_t act = 0; act < ACT_COUNT; act++)
        audit->payments[act] += cart->applied >> act & 1;
    if (order->state < AUDIT_STATES)
        audit->orders[order->state]++;
    if (order->state == order_state_CONFIRMED)
        add_up(audit, number);
    else if (order->state == order_state_PENDING)
        crowd_complain(crowd, &crowd->wrong, number, "still PENDING after its hold has ended");
}

static void take_answer(void *context, const struct load_reply *reply)
{
    struct audit *audit = context;
    struct crowd *crowd = audit->crowd;
    uint32_t number = (uint32_t)reply->token;
    if (number < CARTS) {
        check_order(audit, number, reply->frame);
        return;
    }
    /* All orders were asked for before the first balance, but answers overtake each other between
     * connections: the balances are noted here, and compared when every answer is in. */
    const struct points_balance_reply_body *points = (const void *)(reply->frame + 1);
    if (reply->frame->outcome != OUTCOME_OK ||
        reply->frame->size != sizeof *reply->frame + sizeof *points || points->held != 0)
        crowd_complain(crowd, &crowd->wrong, NO_CART, "a customer's points are held or not there");
    else
        audit->points_spent[number - CARTS] += points->balance - POINTS_CREDITED;
}

static void lose_question(void *context, uint64_t token)
{
    (void)context;
    (void)token;
}

bool audit_ask(const struct load_driver *driver, const char *text, uint32_t connections,
               char *error, size_t error_size)
{
    struct load load;
    struct load_address address;
    if (!load_address_read(&address, text) || !load_init(&load, driver, connections, IN_FLIGHT)) {
        snprintf(error, error_size, "%s cannot be asked", text);
        return false;
    }
    uint64_t end_ns = load_clock_ns() + TIMEOUT_NS;
    bool goes_on = load_connect(&load, &address);
    load_fill(&load);
    while (goes_on && load.in_flight != 0) {
        goes_on = load_turn(&load, TURN_MS) && load_clock_ns() < end_ns;
        load_fill(&load);
    }
    if (!goes_on)
        snprintf(error, error_size, "%s", load.error[0] != '\0' ? load.error : "no answer");
    load_deinit(&load);
    return goes_on;
}

/* One row of stock against what was put in and what the orders add up to. */
static void check_stock(struct audit *audit, const struct stock_row_body *row)
{
    struct crowd *crowd = audit->crowd;
    const struct audit_units *units = &audit->units[row->sku][row->warehouse];
    int64_t put_in = crowd_stock(row->sku, row->warehouse);
    int64_t promised = row->reserved_for_orders + row->committed;
    int64_t given = promised + units->shipped;
    int64_t most = units->sold > given ? units->sold : given;
    if (most > put_in)
        audit->oversold += (uint64_t)(most - put_in);
    int64_t on_hand = put_in - units->shipped + units->restocked + units->scrapped;
    int64_t committed = units->sold - units->shipped;
    if (row->on_hand != on_hand || row->committed != committed || row->reserved_for_orders != 0 ||
        row->available < 0 || row->pooled < 0 || row->unsellable != units->scrapped ||
        row->available + row->pooled + promised + row->unsellable != row->on_hand)
        crowd_complain(crowd, &crowd->wrong, NO_CART,
                       "SKU %" PRIu64 " in %u: %" PRId64 " of %" PRId64
                       " committed, the orders say %" PRId64 " of %" PRId64,
                       row->sku, row->warehouse, row->committed, row->on_hand, committed, on_hand);
    if (crowd_is_hot(row->sku))
        audit->hot_left += (uint64_t)(row->available + row->pooled - units->restocked);
}

bool audit_stocks(struct audit *audit, struct client *client)
{
    struct {
        struct stock_get_body get;
        struct item_body items[ROWS_PER_CALL];
    } question;
    uint32_t rows = SKUS * WAREHOUSES, done = 0;
    while (done < rows) {
        uint32_t count = rows - done < ROWS_PER_CALL ? rows - done : ROWS_PER_CALL;
        struct client_reply reply;
        question.get = (struct stock_get_body){.item_count = (uint16_t)count};
        for (uint32_t i = 0; i < count; i++)
            question.items[i] = (struct item_body){.sku = 1 + (done + i) / WAREHOUSES,
                                                   .warehouse = 1 + (done + i) % WAREHOUSES};
        if (!client_call(client, MESSAGE_stock_get, &question,
                         (uint32_t)(sizeof question.get + count * sizeof question.items[0]),
                         &reply))
            return false;
        const struct stock_get_reply_body *answer = reply.body;
        const struct stock_row_body *row = (const void *)(answer + 1);
        if (reply.outcome != OUTCOME_OK || answer->stock_count != count) {
            snprintf(client->error, sizeof client->error, "stock.get answers %s",
                     outcome_name(reply.outcome));
            return false;
        }
        for (uint32_t i = 0; i < count; i++)
            check_stock(audit, &row[i]);
        done += count;
    }
    return true;
}

/* Units of a SKU that a cart has bought. */
static uint32_t bought(const struct crowd *crowd, uint32_t number, uint64_t sku)
{
    const struct cart *cart = &crowd->carts[number];
    uint32_t units = 0;
    for (uint32_t i = 0; cart->state == order_state_CONFIRMED && i < cart->take_count; i++) {
        if (sku == 0 || crowd_line_sku(crowd, number, cart->takes[i].line) == sku)
            units += cart->takes[i].quantity;
    }
    return units;
}

/* A returner wants the same SKUs as the first time, so his two carts are all there is to add. */
static void check_limits(struct crowd *crowd)
{
    for (uint32_t number = 0; number < CARTS; number++) {
        uint32_t first = crowd_buyer(number);
        for (uint32_t line = 0; line <= PLAN_LINES_MAX; line++) {
            uint64_t sku = line == 0 ? 0 : crowd_line_sku(crowd, number, line);
            if (line != 0 && sku == 0)
                continue;
            uint32_t units = bought(crowd, number, sku);
            units += first != number ? bought(crowd, first, sku) : 0;
            if (units > (uint32_t)(line == 0 ? CUSTOMER_SALE_MAX : CUSTOMER_SKU_MAX))
                crowd_complain(crowd, &crowd->wrong, number, "more than a customer may buy");
        }
    }
}

bool audit_run(struct audit *audit, struct crowd *crowd, const char *address, uint32_t connections,
               char *error, size_t error_size)
{
    struct client client;
    memset(audit, 0, sizeof *audit);
    audit->crowd = crowd;
    const struct load_driver driver = {audit, next_question, take_answer, lose_question};
    if (!audit_ask(&driver, address, connections, error, error_size))
        return false;
    bool whole = client_open(&client, address, 0);
    if (whole) {
        whole = audit_stocks(audit, &client);
        client_close(&client);
    }
    if (!whole)
        snprintf(error, error_size, "the audit of the stock: %s", client.error);
    check_limits(crowd);
    for (uint32_t i = 0; i < AUDIT_ACCOUNTS; i++) {
        if (audit->points_spent[i] != 0)
            crowd_complain(crowd, &crowd->wrong, NO_CART, "a balance is %" PRId64 " points off",
                           audit->points_spent[i]);
    }
    return whole;
}
