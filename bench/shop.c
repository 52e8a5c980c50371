/* Setting up a shop. Over a client as many requests are in flight as the server allows; any answer
 * but OK ends it. */
#include "bench/shop.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/status.h"

enum { ANSWER_TIMEOUT_MS = 10 * 1000 };

/* Takes one answer, which must be OK. */
static bool take_answer(struct client *client)
{
    struct client_reply reply;
    if (!client_receive(client, &reply, ANSWER_TIMEOUT_MS))
        return false;
    if (reply.outcome == OUTCOME_OK)
        return true;
    const struct rejection_body *rejection = reply.body;
    const struct message_info *message = message_info(reply.number);
    snprintf(client->error, sizeof client->error, "%s answers %s (%" PRIu64 ", %" PRId64 ")",
             message != NULL ? message->name : "an unknown message", outcome_name(reply.outcome),
             rejection->subject, rejection->value);
    return false;
}

static bool ask_client(void *context, unsigned number, const void *body, uint32_t size)
{
    struct client *client = context;
    uint32_t request;
    if (client->in_flight >= client->in_flight_max &&
        (!client_flush(client) || !take_answer(client)))
        return false;
    return client_queue(client, number, body, size, &request);
}

static bool look_client(void *context, unsigned number, const void *body, uint32_t size,
                        void *reply, uint32_t reply_size)
{
    struct client *client = context;
    struct client_reply got;
    if (!shop_settle(client) || !client_call(client, number, body, size, &got))
        return false;
    if (got.outcome != OUTCOME_OK || got.size > reply_size) {
        snprintf(client->error, sizeof client->error, "%s with %u bytes, not OK with at most %u",
                 outcome_name(got.outcome), got.size, reply_size);
        return false;
    }
    memset(reply, 0, reply_size);
    memcpy(reply, got.body, got.size);
    return true;
}

struct shop shop_of_client(struct client *client, struct random *random)
{
    return (struct shop){
        .context = client, .random = random, .ask = ask_client, .look = look_client};
}

bool shop_settle(struct client *client)
{
    bool settled = client_flush(client);
    while (settled && client->in_flight != 0)
        settled = take_answer(client);
    return settled;
}

bool shop_put_sku(const struct shop *shop, uint64_t sku, int64_t price, uint16_t currency)
{
    const struct sku_put_body body = {
        .key = random_id(shop->random), .sku = sku, .price = price, .currency = currency};
    return shop->ask(shop->context, MESSAGE_sku_put, &body, sizeof body);
}

bool shop_put_stock(const struct shop *shop, uint64_t sku, uint32_t warehouse, int64_t units)
{
    const struct stock_adjust_body body = {
        .key = random_id(shop->random), .sku = sku, .delta = units, .warehouse = warehouse};
    return shop->ask(shop->context, MESSAGE_stock_adjust, &body, sizeof body);
}

bool shop_credit_points(const struct shop *shop, struct id customer, int64_t points)
{
    const struct points_credit_body body = {
        .key = random_id(shop->random), .customer = customer, .points = points};
    return shop->ask(shop->context, MESSAGE_points_credit, &body, sizeof body);
}

bool shop_open_sale(const struct shop *shop, struct sale_put_body *sale,
                    const struct pool_body *pools)
{
    struct {
        struct sale_put_body sale;
        struct pool_body pools[SALE_POOLS_MAX];
    } put;
    TILL_ASSERT(sale->pool_count <= SALE_POOLS_MAX);
    sale->key = random_id(shop->random);
    put.sale = *sale;
    if (sale->pool_count != 0)
        memcpy(put.pools, pools, sale->pool_count * sizeof *pools);
    uint32_t size = (uint32_t)(sizeof *sale + sale->pool_count * sizeof *pools);
    const struct sale_change_body change = {.key = random_id(shop->random), .sale = sale->sale};
    return shop->ask(shop->context, MESSAGE_sale_put, &put, size) &&
           shop->ask(shop->context, MESSAGE_sale_open, &change, sizeof change);
}

bool shop_stock(const struct shop *shop, uint64_t sku_first, uint32_t count,
                struct stock_row_body *rows)
{
    struct {
        struct stock_get_body get;
        struct item_body items[STOCK_ITEMS_MAX];
    } request = {.get = {.item_count = (uint16_t)count}};
    struct {
        struct stock_get_reply_body head;
        struct stock_row_body rows[STOCK_ITEMS_MAX];
    } reply;
    TILL_ASSERT(count <= STOCK_ITEMS_MAX);
    for (uint32_t i = 0; i < count; i++)
        request.items[i].sku = sku_first + i;
    if (!shop->look(shop->context, MESSAGE_stock_get, &request,
                    (uint32_t)(sizeof request.get + count * sizeof request.items[0]), &reply,
                    (uint32_t)(sizeof reply.head + count * sizeof reply.rows[0])))
        return false;
    memcpy(rows, reply.rows, count * sizeof *rows);
    return true;
}
