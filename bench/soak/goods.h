/* The goods of a soak: what the shop has, so that honest clients find what they expect and hostile
 * ones can ask for as much as a request may. */
#ifndef TILL_BENCH_SOAK_GOODS_H
#define TILL_BENCH_SOAK_GOODS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/limits.h"
#include "bench/shop.h"

enum {
    GOODS_CURRENCY = 978,
    GOODS_PRICE = 1999,

    /* On sale to everyone, in warehouse 1. */
    GOODS_COMMON_FIRST = 1,
    GOODS_COMMON_COUNT = 1000,
    GOODS_WAREHOUSE = 1,

    /* Sold out. */
    GOODS_GONE = 2000,

    /* For a sale with as many pools as there may be. */
    GOODS_POOLED_FIRST = 3000,
    GOODS_POOLED_COUNT = SALE_POOLS_MAX,
    GOODS_SALES = 16, /* numbered from 1 */
    GOODS_POOL_MAX = 64,

    /* For orders with as many pieces as there may be: each SKU lies a few units at a time in many
     * warehouses, and an order's line takes one of them and a half. */
    GOODS_SPREAD_FIRST = 4000,
    GOODS_SPREAD_COUNT = ORDER_LINES_MAX,
    GOODS_SPREAD_UNITS = 10,
    GOODS_SPREAD_QUANTITY = 15,
    GOODS_SPREAD_ORDERS = 128,
    GOODS_SPREAD_WAREHOUSES = GOODS_SPREAD_ORDERS * GOODS_SPREAD_QUANTITY / GOODS_SPREAD_UNITS + 2,
};

static_assert(2 * GOODS_SPREAD_COUNT == ORDER_PIECES_MAX, "two pieces a line are all there may be");

/* False when something was not answered OK. */
bool goods_put(const struct shop *shop);

#endif
