/* Creates the goods over the protocol. */
#include "bench/soak/goods.h"

static bool put_sku(const struct shop *shop, uint64_t sku)
{
    return shop_put_sku(shop, sku, GOODS_PRICE, GOODS_CURRENCY);
}

bool goods_put(const struct shop *shop)
{
    const int64_t plenty = QUANTITY_MAX / 2;
    bool done = true;
    for (uint64_t i = 0; done && i < GOODS_COMMON_COUNT; i++)
        done = put_sku(shop, GOODS_COMMON_FIRST + i) &&
               shop_put_stock(shop, GOODS_COMMON_FIRST + i, GOODS_WAREHOUSE, plenty);
    done = done && put_sku(shop, GOODS_GONE) &&
           shop_put_stock(shop, GOODS_GONE, GOODS_WAREHOUSE, 1) &&
           shop_put_stock(shop, GOODS_GONE, GOODS_WAREHOUSE, -1);
    for (uint64_t i = 0; done && i < GOODS_POOLED_COUNT; i++)
        done = put_sku(shop, GOODS_POOLED_FIRST + i) &&
               shop_put_stock(shop, GOODS_POOLED_FIRST + i, GOODS_WAREHOUSE, plenty);
    for (uint64_t i = 0; done && i < GOODS_SPREAD_COUNT; i++) {
        done = put_sku(shop, GOODS_SPREAD_FIRST + i);
        for (uint32_t warehouse = 1; done && warehouse <= GOODS_SPREAD_WAREHOUSES; warehouse++)
            done = shop_put_stock(shop, GOODS_SPREAD_FIRST + i, warehouse, GOODS_SPREAD_UNITS);
    }
    return done;
}
