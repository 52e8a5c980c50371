/* What a shop needs before it can sell: SKUs, stock, sales and points.
 *
 * The requests go wherever the shop's `ask` takes them: to a server, or into an engine in this
 * process. Every function is false when something was not answered OK. */
#ifndef TILL_BENCH_SHOP_H
#define TILL_BENCH_SHOP_H

#include "bench/random.h"
#include "engine/messages.h"
#include "net/client.h"

struct shop {
    void *context;
    struct random *random; /* for keys */
    bool (*ask)(void *context, unsigned number, const void *body, uint32_t size);
    /* Asks and waits for the answer: the whole body of an OK reply, of at most reply_size bytes;
     * the rest of them become zero. */
    bool (*look)(void *context, unsigned number, const void *body, uint32_t size, void *reply,
                 uint32_t reply_size);
};

/* A shop behind a client: as many requests are in flight as the server allows. On failure the
 * client's error says what was asked and what came back. shop_settle takes the answers that are
 * still out. */
struct shop shop_of_client(struct client *client, struct random *random);
bool shop_settle(struct client *client);

bool shop_put_sku(const struct shop *shop, uint64_t sku, int64_t price, uint16_t currency);
bool shop_put_stock(const struct shop *shop, uint64_t sku, uint32_t warehouse, int64_t units);
bool shop_credit_points(const struct shop *shop, struct id customer, int64_t points);

/* Puts a sale with its pools (sale->pool_count of them) and opens it; the key is filled in. */
bool shop_open_sale(const struct shop *shop, struct sale_put_body *sale,
                    const struct pool_body *pools);

/* The stock of count SKUs with numbers in a row, STOCK_ITEMS_MAX at most, over all warehouses. */
bool shop_stock(const struct shop *shop, uint64_t sku_first, uint32_t count,
                struct stock_row_body *rows);

#endif
