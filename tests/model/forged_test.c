/* Images with right checksums and wrong records: whatever a file contains, it is refused with a
 * message, or the engine continues from it without a fault.
 *
 * A shop of random requests is taken as an image. Then, round by round, some of its numbers are
 * changed: bytes of records, or the numbers beside them, mostly to values that are near to right.
 * What is not refused is checked, asked about everything, and given the rest of the requests to
 * decide; under the sanitizers no access outside of a table and no overflow goes unseen. */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "engine/sum.h"
#include "tests/model/play.h"
#include "tests/model/shop.h"
#include "tests/test.h"

enum {
    REQUESTS = 500,
    DECIDED_LATER = 120,
    ROUNDS = 100,
    ROUNDS_MAX = 10 * ROUNDS,
    CHANGES_MAX = 3,
    SHOPS_MAX = 50,
    ERROR_SIZE = 512,
};

struct forgery {
    struct shop shop; /* its engine is loaded again for each round */
    unsigned refused;
    unsigned violated; /* images that were not refused, but violate other invariants */
    unsigned sound;
};

static void forgery_init(struct forgery *forgery, const struct profile *profile)
{
    memset(forgery, 0, sizeof *forgery);
    shop_init(&forgery->shop, profile, REQUESTS, DECIDED_LATER);
}

/* A value next to the present one, or at a bound. */
static uint64_t wrong_value(uint64_t value)
{
    static const uint64_t values[] = {0,          1,          2,          UINT32_MAX, 1ULL << 31,
                                      INT64_MAX,  1ULL << 63, UINT64_MAX, 1ULL << 62, 0x7f,
                                      POINTS_MAX, PRICE_MAX,  9999,       3};
    switch (test_random_below(5)) {
    case 0:
        return values[test_random_below(sizeof values / sizeof values[0])];
    case 1:
        return value + 1;
    case 2:
        return value - 1;
    case 3:
        return value ^ 1ULL << test_random_below(64);
    default:
        return test_random_below(200);
    }
}

static void change_bytes(uint8_t *bytes, size_t size)
{
    static const size_t sizes[] = {1, 2, 4, 4, 4, 8, 8};
    size_t width = sizes[test_random_below(sizeof sizes / sizeof sizes[0])];
    width = width < size ? width : size;
    size_t at = test_random_below(size / width) * width;
    uint64_t value = 0;
    memcpy(&value, bytes + at, width);
    value = wrong_value(value);
    memcpy(bytes + at, &value, width);
}

/* A record of a random table, so that small ones come as often as large ones. */
static void change_record(struct imager *imager)
{
    uint32_t table = (uint32_t)test_random_below(ENGINE_TABLE_COUNT);
    for (uint32_t tries = 0; tries < imager->chunk_count; tries++) {
        struct imager_chunk *chunk = &imager->chunks[test_random_below(imager->chunk_count)];
        if (chunk->place.table != table)
            continue;
        uint32_t size = chunk->place.size_bytes / chunk->place.count;
        uint64_t record = test_random_below(chunk->place.count);
        change_bytes(chunk->bytes + record * size, size);
        return;
    }
}

/* Puts a record in the place of another one of its chunk: ids, keys and numbers are there twice. */
static void repeat_record(struct imager *imager)
{
    struct imager_chunk *chunk = &imager->chunks[test_random_below(imager->chunk_count)];
    uint32_t size = chunk->place.size_bytes / chunk->place.count;
    uint64_t from = test_random_below(chunk->place.count);
    uint64_t to = test_random_below(chunk->place.count);
    memcpy(chunk->bytes + to * size, chunk->bytes + from * size, size);
}

static void change_scalar(struct imager *imager)
{
    uint64_t *scalar = &imager->scalars[test_random_below(ENGINE_SCALAR_COUNT)];
    *scalar = wrong_value(*scalar);
}

static void ask(struct engine *engine, uint16_t number, const void *body, size_t size)
{
    static uint64_t room[FRAME_SIZE_MAX / 8];
    struct reply_sink sink = {(uint8_t *)room, 0};
    struct command command = {
        .body = body, .sink = &sink, .size = (uint32_t)size, .number = number};
    engine_decide(engine, 0, &command, 1);
    TILL_ASSERT((uint8_t *)sink.cursor <= (uint8_t *)room + sizeof room);
}

/* Queries everything that the records name; tables without records are skipped. */
static void ask_everything(struct engine *engine)
{
    struct engine_table_view skus = engine_table_view(engine, TABLE_skus);
    struct engine_table_view orders = engine_table_view(engine, TABLE_orders);
    struct engine_table_view customers = engine_table_view(engine, TABLE_customer_ids);
    for (uint32_t i = 1; i < skus.count; i++) {
        struct {
            struct stock_get_body fixed;
            struct item_body items[2];
        } stock = {.fixed = {.item_count = 2}};
        stock.items[0].sku = stock.items[1].sku = engine_sku_number(engine, i);
        stock.items[1].warehouse = 1;
        ask(engine, MESSAGE_stock_get, &stock, sizeof stock);
    }
    for (uint32_t i = 1; i < orders.count; i++) {
        struct order_id_body order; /* an order's id is at its beginning */
        memcpy(&order, orders.records + (size_t)i * orders.record_size, sizeof order);
        struct order_history_body history = {.order = order.order};
        ask(engine, MESSAGE_order_get, &order, sizeof order);
        for (; history.cursor < 200; history.cursor += 50)
            ask(engine, MESSAGE_order_history, &history, sizeof history);
    }
    for (uint32_t i = 1; i < customers.count; i++) {
        struct points_balance_body customer;
        memcpy(&customer, customers.records + (size_t)i * customers.record_size, sizeof customer);
        ask(engine, MESSAGE_points_balance, &customer, sizeof customer);
    }
    struct empty_body stats = {0};
    ask(engine, MESSAGE_stats, &stats, sizeof stats);
}

/* Loads the forged image and, when it is not refused, continues with it. */
static void live_with(struct forgery *forgery)
{
    struct engine *engine = forgery->shop.engine;
    int count = forgery->shop.sequence.count;
    char error[ERROR_SIZE] = "";
    CHECK(engine_clear(engine));
    if (!imager_load(&forgery->shop.imager, engine, error, sizeof error)) {
        CHECK(error[0] != '\0');
        forgery->refused++;
        return;
    }
    if (engine_check(engine, error, sizeof error))
        forgery->sound++;
    else
        forgery->violated++;
    ask_everything(engine);
    shop_decide(&forgery->shop, engine, count - DECIDED_LATER, count);
    ask_everything(engine);
}

/* A copy of the image with its own chunks, so that they may be changed. */
static struct imager imager_copy(const struct imager *imager)
{
    struct imager copy = *imager;
    copy.chunks = calloc(imager->chunk_count, sizeof *copy.chunks);
    TILL_ASSERT(copy.chunks != NULL);
    for (uint32_t i = 0; i < imager->chunk_count; i++) {
        copy.chunks[i] = imager->chunks[i];
        copy.chunks[i].bytes = malloc(copy.chunks[i].place.size_bytes);
        TILL_ASSERT(copy.chunks[i].bytes != NULL);
        memcpy(copy.chunks[i].bytes, imager->chunks[i].bytes, copy.chunks[i].place.size_bytes);
    }
    return copy;
}

static void copy_deinit(struct imager *copy)
{
    for (uint32_t i = 0; i < copy->chunk_count; i++)
        free(copy->chunks[i].bytes);
    free(copy->chunks);
}

static bool saw_both(const struct forgery *forgery, unsigned rounds)
{
    return forgery->refused > 0 && forgery->refused < rounds;
}

static void forge_rounds(const struct profile *profile, void (*change)(struct imager *imager))
{
    struct forgery forgery;
    forgery_init(&forgery, profile);
    struct imager original = forgery.shop.imager;
    live_with(&forgery);
    CHECK_EQUAL(forgery.sound, 1);
    /* Most are refused, and some are not: on until both cases have occurred. */
    unsigned round = 0;
    for (; round < ROUNDS || (!saw_both(&forgery, round) && round < ROUNDS_MAX); round++) {
        forgery.shop.imager = imager_copy(&original);
        for (uint64_t changes = 1 + test_random_below(CHANGES_MAX); changes > 0; changes--)
            change(&forgery.shop.imager);
        live_with(&forgery);
        copy_deinit(&forgery.shop.imager);
    }
    CHECK(saw_both(&forgery, round));
    forgery.shop.imager = original;
    shop_deinit(&forgery.shop);
}

/* Sets every field of a record in turn to values that point far away. */
static void forge_fields(struct forgery *forgery, const struct imager *original, uint32_t chunk,
                         uint32_t record)
{
    static const uint64_t values[] = {UINT32_MAX, 0x7fffff};
    const struct imager_chunk *from = &original->chunks[chunk];
    uint32_t size = from->place.size_bytes / from->place.count;
    for (uint32_t at = 0; at < size; at += sizeof(uint32_t)) {
        size_t width =
            at % 8 == 0 && size - at > sizeof(uint32_t) ? sizeof(uint64_t) : sizeof(uint32_t);
        for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
            uint8_t *bytes = forgery->shop.imager.chunks[chunk].bytes;
            memcpy(bytes + (size_t)record * size + at, &values[i], sizeof(uint32_t));
            live_with(forgery);
            memcpy(bytes, from->bytes, from->place.size_bytes);
        }
        uint64_t all = UINT64_MAX;
        memcpy(forgery->shop.imager.chunks[chunk].bytes + (size_t)record * size + at, &all, width);
        live_with(forgery);
        memcpy(forgery->shop.imager.chunks[chunk].bytes, from->bytes, from->place.size_bytes);
    }
}

TEST(forged_fields_are_refused_or_lived_with)
{
    struct forgery forgery;
    forgery_init(&forgery, &profiles[PROFILE_MIXED]);
    struct imager original = forgery.shop.imager;
    forgery.shop.imager = imager_copy(&original);
    uint32_t table = UINT32_MAX;
    for (uint32_t chunk = 0; chunk < original.chunk_count; chunk++) {
        const struct keep_chunk *place = &original.chunks[chunk].place;
        if (place->table == table)
            continue;
        table = place->table;
        CHECK(place->count > 1);
        forge_fields(&forgery, &original, chunk, 1 + (uint32_t)test_random_below(place->count - 1));
    }
    CHECK_EQUAL(table, ENGINE_TABLE_COUNT - 1);
    copy_deinit(&forgery.shop.imager);
    forgery.shop.imager = original;
    shop_deinit(&forgery.shop);
}

TEST(forged_records_are_refused_or_lived_with)
{
    forge_rounds(&profiles[PROFILE_MIXED], change_record);
    forge_rounds(&profiles[PROFILE_POINTS], change_record);
    forge_rounds(&profiles[PROFILE_HOLDS], change_record);
    forge_rounds(&profiles[PROFILE_PIECES], change_record);
}

TEST(repeated_records_are_refused_or_lived_with)
{
    forge_rounds(&profiles[PROFILE_MIXED], repeat_record);
    forge_rounds(&profiles[PROFILE_POINTS], repeat_record);
}

TEST(forged_numbers_are_refused_or_lived_with)
{
    forge_rounds(&profiles[PROFILE_MIXED], change_scalar);
    forge_rounds(&profiles[PROFILE_POINTS], change_scalar);
}

/* Does any bit that differs in this record change the sum of its chunk? A byte in turn, one of its
 * bits. */
static bool record_is_summed(const struct imager *imager, const struct imager_chunk *chunk,
                             uint32_t record)
{
    const struct keep_chunk *place = &chunk->place;
    enum engine_table table = (enum engine_table)place->table;
    uint32_t capacity = imager->counts.capacity[table];
    uint32_t size = place->size_bytes / place->count;
    uint8_t *bytes = chunk->bytes + (size_t)record * size;
    uint64_t before =
        sum_records(imager->scalars, table, capacity, place->first, place->count, chunk->bytes);
    bool is_summed = true;
    for (uint32_t i = 0; is_summed && i < size; i++) {
        uint8_t bit = (uint8_t)(1u << test_random_below(8));
        bytes[i] ^= bit;
        is_summed = sum_records(imager->scalars, table, capacity, place->first, place->count,
                                chunk->bytes) != before;
        bytes[i] ^= bit;
    }
    return is_summed;
}

/* In these tables, records that nothing refers to any more are not part of the state. */
static bool may_be_unsummed(enum engine_table table)
{
    return table == TABLE_keys || table == TABLE_deadline_buckets;
}

/* Checks some records of each chunk, and counts those of each table that are summed. */
static void count_summed(const struct profile *profile, uint32_t summed[ENGINE_TABLE_COUNT])
{
    enum { RECORDS_OF_A_CHUNK = 20 };
    struct forgery forgery;
    forgery_init(&forgery, profile);
    const struct imager *imager = &forgery.shop.imager;
    for (uint32_t i = 0; i < imager->chunk_count; i++) {
        const struct imager_chunk *chunk = &imager->chunks[i];
        enum engine_table table = (enum engine_table)chunk->place.table;
        uint32_t skipped = chunk->place.first == 0;
        for (uint32_t tries = 0; tries < RECORDS_OF_A_CHUNK; tries++) {
            uint32_t record = skipped + (uint32_t)test_random_below(chunk->place.count - skipped);
            bool is_summed = record_is_summed(imager, chunk, record);
            CHECK(is_summed || may_be_unsummed(table));
            summed[table] += is_summed;
        }
    }
    shop_deinit(&forgery.shop);
}

static bool is_each_summed(const uint32_t summed[ENGINE_TABLE_COUNT])
{
    unsigned i = 0;
    while (i < ENGINE_TABLE_COUNT && (summed[i] > 0 || i == TABLE_deadline_buckets))
        i++;
    return i == ENGINE_TABLE_COUNT;
}

/* A random shop may do without some tables: then the next one has them. */
TEST(checksum_covers_every_byte_of_every_record_in_use)
{
    uint32_t summed[ENGINE_TABLE_COUNT] = {0};
    for (int shops = 0; !is_each_summed(summed); shops++) {
        CHECK(shops < SHOPS_MAX);
        count_summed(&profiles[PROFILE_MIXED], summed);
        count_summed(&profiles[PROFILE_POINTS], summed);
    }
}

/* Does some bit of this field, in some record of the table that was loaded, change what its record
 * adds to the checksum? */
static bool member_is_summed(const struct forgery *forgery, enum engine_table table,
                             const struct member_info *member)
{
    struct engine_table_view view = engine_table_view(forgery->shop.engine, table);
    const uint64_t *scalars = forgery->shop.imager.scalars;
    bool is_summed = false;
    for (uint32_t i = 1; !is_summed && i < view.count; i++) {
        uint8_t *record = view.records + (uint64_t)i * view.record_size;
        uint8_t *byte = record + member->offset + test_random_below(member->size_bytes);
        uint8_t bit = (uint8_t)(1u << test_random_below(8));
        uint64_t before = sum_records(scalars, table, view.capacity, i, 1, record);
        *byte ^= bit;
        is_summed = sum_records(scalars, table, view.capacity, i, 1, record) != before;
        *byte ^= bit;
        if (!may_be_unsummed(table))
            break;
    }
    return is_summed;
}

/* Does the image have records of every table, and a bucket that is in use? */
static bool has_all_tables(const struct imager *imager)
{
    unsigned i = 0;
    if (imager->scalars[SCALAR_near_count] + imager->scalars[SCALAR_far_count] == 0)
        return false;
    while (i < ENGINE_TABLE_COUNT && imager->counts.count[i] > 1)
        i++;
    return i == ENGINE_TABLE_COUNT;
}

TEST(field_that_a_loader_spoils_changes_the_checksum)
{
    char error[ERROR_SIZE] = "";
    struct forgery forgery;
    forgery_init(&forgery, &profiles[PROFILE_MIXED]);
    for (int shops = 1; !has_all_tables(&forgery.shop.imager); shops++) {
        CHECK(shops < SHOPS_MAX);
        shop_deinit(&forgery.shop);
        forgery_init(&forgery, &profiles[PROFILE_MIXED]);
    }
    CHECK(imager_load(&forgery.shop.imager, forgery.shop.engine, error, sizeof error));
    for (unsigned i = 0; i < ENGINE_TABLE_COUNT; i++) {
        const struct record_info *record = table_info((enum engine_table)i)->record;
        for (unsigned j = 0; j < record->member_count; j++) {
            if (!member_is_summed(&forgery, (enum engine_table)i, &record->members[j]))
                test_fail(__FILE__, __LINE__, "%s.%s adds nothing",
                          table_info((enum engine_table)i)->name, record->members[j].name);
        }
    }
    shop_deinit(&forgery.shop);
}

TEST(checksum_covers_every_number_of_the_state)
{
    struct forgery forgery;
    forgery_init(&forgery, &profiles[PROFILE_MIXED]);
    uint64_t *scalars = forgery.shop.imager.scalars;
    uint64_t before = sum_scalars(scalars);
    for (unsigned i = 0; i < ENGINE_SCALAR_COUNT; i++) {
        for (unsigned bit = 0; bit < 64; bit++) {
            scalars[i] ^= 1ULL << bit;
            CHECK_EQUAL(sum_scalars(scalars) != before, i != SCALAR_time_us);
            scalars[i] ^= 1ULL << bit;
        }
    }
    shop_deinit(&forgery.shop);
}

/* A PENDING order whose hold was extended has a step reserved for its end: tables with room only
 * for the existing records are too small. In some random shops no such order is left at the end:
 * then the next shop is tried. */
TEST(image_needs_room_for_what_its_orders_need_to_end)
{
    char error[ERROR_SIZE] = "";
    struct forgery forgery;
    forgery_init(&forgery, &profiles[PROFILE_HOLDS]);
    for (int shops = 1; forgery.shop.imager.scalars[SCALAR_steps_reserved] == 0; shops++) {
        CHECK(shops < SHOPS_MAX);
        shop_deinit(&forgery.shop);
        forgery_init(&forgery, &profiles[PROFILE_HOLDS]);
    }
    uint32_t reserved = (uint32_t)forgery.shop.imager.scalars[SCALAR_steps_reserved];
    uint32_t count = forgery.shop.imager.counts.count[TABLE_steps] - 1;
    for (uint32_t less = 0; less < 2; less++) {
        struct engine_options options = play_options_for(REQUESTS).engine;
        options.steps = count + reserved - less;
        struct engine *engine = engine_create(&options, error, sizeof error);
        CHECK(engine != NULL);
        bool is_loaded = imager_load(&forgery.shop.imager, engine, error, sizeof error);
        CHECK_EQUAL(is_loaded, less == 0);
        CHECK(is_loaded || strstr(error, "steps to end") != NULL);
        engine_destroy(engine);
    }
    shop_deinit(&forgery.shop);
}
