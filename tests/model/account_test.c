/* Giving back what belongs to an order: what no command does by itself. */
#include "engine/account.h"
#include "engine/payment.h"
#include "engine/refund.h"
#include "tests/model/shop.h"
#include "tests/test.h"

enum { REQUESTS = 3000 };

static void load(struct shop *shop)
{
    char error[512] = "";
    shop_init(shop, &profiles[PROFILE_MIXED], REQUESTS, 0);
    CHECK(engine_clear(shop->engine));
    CHECK(imager_load(&shop->imager, shop->engine, error, sizeof error));
}

TEST(account_is_given_back_with_all_that_belongs_to_it)
{
    struct shop shop;
    load(&shop);
    struct engine *engine = shop.engine;
    struct id refund = {.low = 0};
    for (uint32_t i = 1; i <= engine->orders.count; i++) {
        uint32_t first = order_account(engine, order_at(engine, i))->refunds;
        if (first != 0)
            refund = refund_at(engine, first)->id;
        if (order_at(engine, i)->money != 0)
            account_forget(engine, i);
        CHECK_EQUAL(order_account(engine, order_at(engine, i))->order, 0);
    }
    CHECK(engine->accounts.count > 0 && engine->parcels.count > 0 && engine->refunds.count > 0);
    CHECK_EQUAL(engine->accounts_free_count, engine->accounts.count);
    CHECK_EQUAL(engine->parcels_free_count, engine->parcels.count);
    CHECK_EQUAL(engine->refunds_free_count, engine->refunds.count);
    CHECK(refund_find(engine, refund) == 0);
    CHECK(engine->fulfilments.records.count > 0);
    CHECK_EQUAL(runs_used(&engine->fulfilments), 0);
    shop_deinit(&shop);
}

TEST(bytes_of_an_event_are_given_back)
{
    struct shop shop;
    char error[512] = "";
    load(&shop);
    struct engine *engine = shop.engine;
    for (uint32_t i = 1; i <= engine->payments.count; i++)
        opaques_forget(engine, i);
    CHECK(engine->opaques.count > 0);
    CHECK_EQUAL(engine->opaques_free_count, engine->opaques.count);
    if (!engine_check(engine, error, sizeof error))
        test_fail(__FILE__, __LINE__, "%s", error);
    shop_deinit(&shop);
}
