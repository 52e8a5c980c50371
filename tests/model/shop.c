/* The engine that the image is loaded into has another hash seed than the engine that it was taken
 * from. */
#include "tests/model/shop.h"

#include <string.h>

#include "tests/model/play.h"
#include "tests/test.h"

enum { ERROR_SIZE = 512 };

void shop_decide(const struct shop *shop, struct engine *engine, int first, int last)
{
    static uint64_t room[FRAME_SIZE_MAX / 8];
    for (int i = first; i < last; i++) {
        struct model_request request = sequence_request(&shop->sequence, i);
        struct reply_sink sink = {(uint8_t *)room, 0};
        struct command command = {
            .body = request.body, .sink = &sink, .size = request.size, .number = request.number};
        engine_decide(engine, shop->sequence.items[i].time, &command, 1);
    }
}

void shop_init(struct shop *shop, const struct profile *profile, int requests, int later)
{
    char error[ERROR_SIZE];
    struct play_options options = play_options_for(requests);
    struct engine *engine = engine_create(&options.engine, error, sizeof error);
    memset(shop, 0, sizeof *shop);
    CHECK(engine != NULL);
    sequence_generate(&shop->sequence, profile, test_random(), requests);
    shop_decide(shop, engine, 0, shop->sequence.count - later);
    imager_init(&shop->imager, engine);
    imager_begin(&shop->imager, engine);
    imager_step(&shop->imager, engine, UINT32_MAX);
    CHECK(shop->imager.is_done);
    engine_destroy(engine);
    options.engine.hash_seed ^= 77;
    shop->engine = engine_create(&options.engine, error, sizeof error);
    CHECK(shop->engine != NULL);
}

void shop_deinit(struct shop *shop)
{
    engine_destroy(shop->engine);
    imager_deinit(&shop->imager);
    sequence_deinit(&shop->sequence);
}
