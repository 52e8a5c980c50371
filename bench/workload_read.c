/* read: questions to a shop with READ_ORDERS orders of READ_CUSTOMERS customers with points.
 *
 * Everything about a prepared order and customer follows from its number, and nothing changes while
 * the questions are asked, so each answer is compared with what was put, field by field. */
#include "base/status.h"
#include "bench/workload_kind.h"

enum { STOCK_PERCENT = 60, ORDER_PERCENT = 25, ITEMS_MAX = 4, HOLD_READ_S = HOLD_MAX_S };

enum question { ASK_STOCK, ASK_ORDER, ASK_POINTS };

/* What was asked: the number of an order or a customer, or a random one that items follow from. */
union read_token {
    uint64_t bits;
    struct {
        uint64_t question : 2;
        uint64_t number : 62;
    };
};

static_assert(sizeof(union read_token) == sizeof(uint64_t), "a token is one word");

/* How many items a question for stock has, and the SKU of each: drawn again for its answer, so that
 * the token need not have room for them. */
static uint32_t token_item_count(union read_token token)
{
    return 1 + token.number % ITEMS_MAX;
}

static uint32_t token_sku(const struct workload *workload, union read_token token, uint32_t item)
{
    return sku_draw(workload, random_mix(token.bits + (uint64_t)item * RANDOM_STEP));
}

static uint32_t sku_of_order(const struct workload *workload, uint32_t number)
{
    return sku_draw(workload, random_mix(workload->seed ^ number));
}

static uint32_t quantity_of_order(uint32_t number)
{
    return 1 + number % 3;
}

static struct id customer_of(const struct workload *workload, uint32_t number)
{
    return random_id_of(workload->seed, ID_CUSTOMER, number % READ_CUSTOMERS);
}

static int64_t points_of(uint32_t customer)
{
    return 1 + (int64_t)customer;
}

bool read_prepare(struct workload *workload, const struct shop *shop)
{
    bool done = true;
    for (uint32_t i = 0; done && i < READ_CUSTOMERS; i++)
        done = shop_credit_points(shop, customer_of(workload, i), points_of(i));
    for (uint32_t i = 0; done && i < READ_ORDERS; i++) {
        uint32_t sku = sku_of_order(workload, i);
        const struct {
            struct order_place_body place;
            struct line_body line;
        } order = {
            .place = {.order = random_id_of(workload->seed, ID_ORDER, i),
                      .customer = customer_of(workload, i),
                      .hold = HOLD_READ_S,
                      .line_count = 1},
            .line = {.sku = workload->sku_first + sku,
                     .quantity = quantity_of_order(i),
                     .price = price_of(sku)},
        };
        workload->sold[sku] += quantity_of_order(i);
        done = shop->ask(shop->context, MESSAGE_order_place, &order, sizeof order);
    }
    return done;
}

static union read_token ask_stock(struct workload_share *share, struct frame *frame)
{
    struct stock_get_body *get = (void *)(frame + 1);
    struct item_body *items = (void *)(get + 1);
    const struct workload *workload = share->workload;
    union read_token token = {.bits = random_next(&share->random)};
    token.question = ASK_STOCK;
    uint32_t count = token_item_count(token);
    *get = (struct stock_get_body){.item_count = (uint16_t)count};
    for (uint32_t i = 0; i < count; i++)
        items[i] = (struct item_body){.sku = workload->sku_first + token_sku(workload, token, i)};
    frame->type = MESSAGE_stock_get;
    frame->size = (uint32_t)(sizeof *frame + sizeof *get + count * sizeof *items);
    return token;
}

uint64_t read_request(struct workload_share *share, struct frame *frame)
{
    const struct workload *workload = share->workload;
    uint32_t percent = random_below(&share->random, 100);
    union read_token token = {.question = ASK_ORDER};
    if (percent < STOCK_PERCENT)
        return ask_stock(share, frame).bits;
    if (percent < STOCK_PERCENT + ORDER_PERCENT) {
        struct order_id_body *body = (void *)(frame + 1);
        uint32_t number = random_below(&share->random, READ_ORDERS);
        token.number = number;
        body->order = random_id_of(workload->seed, ID_ORDER, number);
        frame->type = MESSAGE_order_get;
        frame->size = (uint32_t)(sizeof *frame + sizeof *body);
    } else {
        struct points_balance_body *body = (void *)(frame + 1);
        uint32_t number = random_below(&share->random, READ_CUSTOMERS);
        token.question = ASK_POINTS;
        token.number = number;
        body->customer = customer_of(workload, number);
        frame->type = MESSAGE_points_balance;
        frame->size = (uint32_t)(sizeof *frame + sizeof *body);
    }
    return token.bits;
}

static bool stock_is_right(const struct workload *workload, const struct frame *frame,
                           union read_token token)
{
    const struct stock_get_reply_body *reply = (const void *)(frame + 1);
    const struct stock_row_body *rows = (const void *)(reply + 1);
    uint32_t count = token_item_count(token);
    bool right = frame->type == (MESSAGE_stock_get | FRAME_REPLY) &&
                 frame->size == sizeof *frame + sizeof *reply + count * sizeof *rows &&
                 reply->stock_count == count;
    for (uint32_t i = 0; right && i < count; i++) {
        uint32_t sku = token_sku(workload, token, i);
        int64_t sold = workload->sold[sku];
        right = rows[i].sku == workload->sku_first + sku && rows[i].price == price_of(sku) &&
                rows[i].currency == CURRENCY && rows[i].on_hand == workload->units &&
                rows[i].available == workload->units - sold &&
                rows[i].reserved_for_orders == sold && rows[i].pooled == 0 &&
                rows[i].committed == 0 && rows[i].unsellable == 0;
    }
    return right;
}

static bool order_is_right(const struct workload *workload, const struct frame *frame,
                           union read_token token)
{
    const struct order_get_reply_body *order = (const void *)(frame + 1);
    const struct piece_body *piece = (const void *)(order + 1);
    uint32_t number = (uint32_t)token.number;
    uint32_t sku = sku_of_order(workload, number), quantity = quantity_of_order(number);
    int64_t total = price_of(sku) * quantity;
    return frame->type == (MESSAGE_order_get | FRAME_REPLY) &&
           frame->size == sizeof *frame + sizeof *order + sizeof *piece &&
           id_equal(order->customer, customer_of(workload, number)) && order->total == total &&
           order->points_used == 0 && order->money_due == total && order->captured == 0 &&
           order->refund_due == 0 && order->hold_ends > order->placed && order->version == 1 &&
           order->sale == 0 && order->state == order_state_PENDING &&
           order->money == money_state_DUE && order->currency == CURRENCY &&
           order->piece_count == 1 && piece->sku == workload->sku_first + sku &&
           piece->quantity == quantity && piece->allocated == quantity &&
           piece->warehouse == WAREHOUSE && piece->price == price_of(sku) && piece->line == 1;
}

static bool points_are_right(const struct frame *frame, union read_token token)
{
    const struct points_balance_reply_body *reply = (const void *)(frame + 1);
    int64_t points = points_of((uint32_t)token.number);
    return frame->type == (MESSAGE_points_balance | FRAME_REPLY) &&
           frame->size == sizeof *frame + sizeof *reply && reply->balance == points &&
           reply->held == 0 && reply->available == points && reply->next_expiry == 0 &&
           reply->expiring == 0;
}

enum verdict read_answer(struct workload_share *share, const struct workload_answer *answer)
{
    const struct workload *workload = share->workload;
    const struct frame *frame = answer->frame;
    const union read_token token = {.bits = answer->token};
    bool right = frame->outcome == OUTCOME_OK && seq_grows(share, answer);
    if (token.question == ASK_STOCK)
        right = right && stock_is_right(workload, frame, token);
    else if (token.question == ASK_ORDER)
        right = right && order_is_right(workload, frame, token);
    else
        right = right && points_are_right(frame, token);
    return right ? VERDICT_RIGHT : VERDICT_WRONG;
}
