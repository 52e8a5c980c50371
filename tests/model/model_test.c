/* The engine compared with the model: random sequences of several kinds, with every capacity in
 * turn made tiny, and malformed requests. A sequence that fails is shrunk and printed with its
 * seed. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "tests/model/generate.h"
#include "tests/model/play.h"
#include "tests/model/report.h"
#include "tests/test.h"

/* Plays `times` sequences of at least `count` requests. */
static void play_many(const struct profile *profile, int times, int count, int check_every,
                      struct play_counts *counts)
{
    struct play_options options = play_options_for(count);
    options.check_every = check_every;
    for (int i = 0; i < times; i++) {
        struct sequence sequence;
        sequence_generate(&sequence, profile, test_random(), count);
        struct failure failure = play(&sequence, &options, counts);
        if (failure.fault != FAULT_NONE)
            report(&sequence, &options, &failure, profile->name);
        sequence_deinit(&sequence);
        CHECK(failure.fault == FAULT_NONE);
    }
}

TEST(engine_decides_as_the_model_in_many_short_sequences)
{
    static const uint8_t expected[] = {
        OUTCOME_OK,
        OUTCOME_REPLAYED,
        OUTCOME_SOLD_OUT,
        OUTCOME_INSUFFICIENT_STOCK,
        OUTCOME_CUSTOMER_LIMIT,
        OUTCOME_SALE_NOT_OPEN,
        OUTCOME_INSUFFICIENT_POINTS,
        OUTCOME_POINTS_CAP,
        OUTCOME_PRICE_MISMATCH,
        OUTCOME_CURRENCY_MISMATCH,
        OUTCOME_AMOUNT_MISMATCH,
        OUTCOME_EVENT_CONFLICT,
        OUTCOME_IDEM_MISMATCH,
        OUTCOME_HOLD_EXPIRED,
        OUTCOME_BAD_TRANSITION,
        OUTCOME_REFUND_EXCEEDS,
        OUTCOME_STALE_VERSION,
        OUTCOME_STOCK_BELOW_RESERVED,
        OUTCOME_OVERFLOW,
        OUTCOME_INVALID,
        OUTCOME_NOT_FOUND,
    };
    struct play_counts counts = {0};
    play_many(&profiles[PROFILE_MIXED], 200, 400, 1, &counts);
    check_reached(&counts, expected, sizeof expected);
}

/* With batches of one command, the checks between batches run after every command. */
TEST(engine_keeps_every_invariant_after_each_command)
{
    const struct profile *const kinds[] = {&profiles[PROFILE_MIXED], &profiles[PROFILE_POINTS],
                                           &profiles[PROFILE_HOLDS]};
    struct play_options options = play_options_for(1500);
    options.check_every = 1;
    for (int round = 0; round < 42; round++) {
        struct sequence sequence;
        const struct profile *profile = kinds[round % 3];
        sequence_generate(&sequence, profile, test_random(), 1500);
        for (int i = 0; i < sequence.count; i++)
            sequence.items[i].ends_batch = true;
        struct failure failure = play(&sequence, &options, NULL);
        if (failure.fault != FAULT_NONE)
            report(&sequence, &options, &failure, profile->name);
        sequence_deinit(&sequence);
        CHECK(failure.fault == FAULT_NONE);
    }
}

TEST(engine_decides_as_the_model_with_many_points)
{
    struct play_counts counts = {0};
    play_many(&profiles[PROFILE_POINTS], 100, 800, 4, &counts);
}

TEST(engine_decides_as_the_model_with_many_holds)
{
    struct play_counts counts = {0};
    play_many(&profiles[PROFILE_HOLDS], 100, 800, 4, &counts);
}

TEST(engine_decides_as_the_model_with_many_pieces)
{
    static const uint8_t expected[] = {OUTCOME_CAPACITY};
    struct play_counts counts = {0};
    play_many(&profiles[PROFILE_PIECES], 80, 800, 4, &counts);
    /* An order with too many pieces occurs in one of forty sequences, so a run may have none. */
    for (int more = 0; more < 40 && counts.outcomes[OUTCOME_CAPACITY] == 0; more++)
        play_many(&profiles[PROFILE_PIECES], 10, 800, 4, &counts);
    check_reached(&counts, expected, sizeof expected);
}

TEST(engine_decides_as_the_model_with_prices_and_points_at_their_bounds)
{
    static const uint8_t expected[] = {OUTCOME_OVERFLOW, OUTCOME_INSUFFICIENT_POINTS};
    struct play_counts counts = {0};
    play_many(&profiles[PROFILE_WEALTH], 70, 600, 4, &counts);
    check_reached(&counts, expected, sizeof expected);
}

TEST(engine_decides_as_the_model_in_long_sequences)
{
    struct play_counts counts = {0};
    play_many(&profiles[PROFILE_LONG], 2, 100000, 100, &counts);
}

TEST(full_tables_answer_capacity_and_change_nothing)
{
    enum { REQUESTS = 400, ROUNDS = 9 };
    static const uint32_t rooms[ROUNDS] = {1, 2, 3, 5, 8, 13, 25, 50, 100};
    static const size_t offsets[] = {
#define CAPACITY(number, name, default, text) offsetof(struct engine_options, name),
#include "engine/tables/tables.h"
    };
    int capacity_count = sizeof offsets / sizeof offsets[0];
    /* The rounds use the profiles listed before that of the pieces, which fills tables too fast. */
    for (int capacity = 0; capacity < capacity_count; capacity++) {
        struct play_counts counts = {0};
        for (int round = 0; round < ROUNDS; round++) {
            struct play_options options = play_options_for(REQUESTS);
            struct sequence sequence;
            options.tiny = capacity + 1;
            memcpy((uint8_t *)&options.engine + offsets[capacity], &rooms[round], sizeof rooms[0]);
            sequence_generate(&sequence, &profiles[round % PROFILE_PIECES], test_random(),
                              REQUESTS);
            struct failure failure = play(&sequence, &options, &counts);
            if (failure.fault != FAULT_NONE) {
                fprintf(stderr, "  capacity %d is %u\n", capacity + 1, rooms[round]);
                report(&sequence, &options, &failure, "tiny");
            }
            sequence_deinit(&sequence);
            CHECK(failure.fault == FAULT_NONE);
        }
        if (counts.outcomes[OUTCOME_CAPACITY] == 0)
            fprintf(stderr, "  capacity %d was never reached\n", capacity + 1);
        CHECK(counts.outcomes[OUTCOME_CAPACITY] > 0);
    }
}

/* After the first zero byte all bytes are zero. */
static bool name_is_padded(const char *name)
{
    for (int i = 1; i < NAME_SIZE; i++) {
        if (name[i - 1] == '\0' && name[i] != '\0')
            return false;
    }
    return true;
}

/* A plain restatement of message_check_request, from the tables alone. */
static bool fields_are_valid(const struct shape_info *shape, const uint8_t *body)
{
    for (int i = 0; i < shape->field_count; i++) {
        const struct field_info *field = &shape->fields[i];
        const struct field_type_info *type = field_type_info(field->type);
        size_t named_count;
        const struct named_value_info *named = named_values(&named_count);
        uint64_t value = 0;
        uint64_t flags = 0;
        bool is_enumerated = false;
        bool is_one = false;
        if (field->type == FIELD_name && !name_is_padded((const char *)body + field->offset))
            return false;
        if (type->size_bytes > sizeof value)
            continue;
        memcpy(&value, body + field->offset, type->size_bytes);
        for (size_t n = 0; n < named_count; n++) {
            if (named[n].type != field->type)
                continue;
            is_enumerated = true;
            is_one |= named[n].value == value;
            flags |= named[n].value;
        }
        if (field_type_is_flags(field->type))
            is_one = (value & ~flags) == 0;
        if ((type->coding == CODING_ZERO && value != 0) || (is_enumerated && !is_one))
            return false;
    }
    return true;
}

static bool request_is_valid(const struct message_info *message, const uint8_t *body, size_t size)
{
    size_t at = message->request->size_bytes;
    if (size < at || !fields_are_valid(message->request, body))
        return false;
    uint16_t rows = shape_rows(message->request, body);
    if (rows > message->request_rows_max)
        return false;
    for (uint16_t i = 0; i < rows; i++, at += message->request_row->size_bytes) {
        if (at + message->request_row->size_bytes > size ||
            !fields_are_valid(message->request_row, body + at))
            return false;
    }
    return at == size;
}

TEST(malformed_requests_are_refused)
{
    struct sequence sequence;
    uint64_t body[FRAME_SIZE_MAX / 8];
    unsigned refused_count = 0;
    sequence_generate(&sequence, &profiles[PROFILE_MIXED], test_random(), 20000);
    for (int i = 0; i < sequence.count; i++) {
        struct model_request request = sequence_request(&sequence, i);
        const struct message_info *message = message_info(request.number);
        const char *reason = NULL;
        size_t size = request.size;
        memset(body, 0, sizeof body);
        memcpy(body, request.body, size);
        for (uint64_t twists = 1 + test_random_below(2); twists > 0; twists--)
            ((uint8_t *)body)[test_random_below(size)] ^= (uint8_t)(1u << test_random_below(8));
        if (test_random_below(4) == 0)
            size = 8 * test_random_below(size / 8 + 8);
        bool is_valid = request_is_valid(message, (const uint8_t *)body, size);
        CHECK_EQUAL(message_check_request(message, body, size, &reason), is_valid);
        CHECK(is_valid || reason != NULL);
        refused_count += !is_valid;
    }
    sequence_deinit(&sequence);
    CHECK(refused_count > 0);
}
