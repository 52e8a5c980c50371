/* Warehouses of a shop that had none: those that an image of an older schema gets. */
#include <string.h>

#include "engine/image.h"
#include "engine/state.h"
#include "engine/warehouse.h"
#include "tests/model/shop.h"
#include "tests/test.h"

enum { REQUESTS = 700, SHOPS = 24, ERROR_SIZE = 512 };

static void load(struct shop *shop)
{
    char error[ERROR_SIZE] = "";
    CHECK(engine_clear(shop->engine));
    CHECK(imager_load(&shop->imager, shop->engine, error, sizeof error));
}

/* The state as an image without warehouses would have left it. */
static void forget_warehouses(struct engine *engine)
{
    for (uint32_t i = 1; i <= engine->warehouses.count; i++)
        index_remove(&engine->warehouse_index,
                     warehouse_hash(engine, warehouse_at(engine, i)->warehouse), i);
    memset(warehouse_edit(engine, 1), 0, engine->warehouses.count * sizeof(struct warehouse));
    memset(warehouse_promise_edit(engine, 1), 0,
           engine->warehouses.count * sizeof(struct warehouse_promise));
    engine->warehouses.count = engine->warehouse_promises.count = engine->warehouses_shut = 0;
}

TEST(warehouses_that_are_added_have_what_orders_have_there)
{
    for (int i = 0; i < SHOPS; i++) {
        struct shop shop;
        char error[ERROR_SIZE] = "";
        shop_init(&shop, &profiles[i % PROFILE_COUNT], REQUESTS, 0);
        load(&shop);
        forget_warehouses(shop.engine);
        CHECK(engine_check_bounds(shop.engine, error, sizeof error));
        CHECK(!engine_check_totals(shop.engine, error, sizeof error));
        CHECK(engine_add_warehouses(shop.engine, error, sizeof error));
        if (!engine_check(shop.engine, error, sizeof error))
            test_fail(__FILE__, __LINE__, "%s", error);
        shop_deinit(&shop);
    }
}

TEST(warehouses_that_do_not_fit_are_told)
{
    struct shop shop;
    char error[ERROR_SIZE] = "";
    shop_init(&shop, &profiles[PROFILE_MIXED], REQUESTS, 0);
    load(&shop);
    forget_warehouses(shop.engine);
    shop.engine->warehouses.capacity = shop.engine->options.warehouses = 1;
    CHECK(!engine_add_warehouses(shop.engine, error, sizeof error));
    CHECK(strstr(error, "more warehouses than there is room for, which is 1") != NULL);
    shop_deinit(&shop);
}
