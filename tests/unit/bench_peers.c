/* The protocols of the other systems (peers): their answers, cut at every byte, and the requests to
 * them. */
#include <string.h>

#include "bench/peers/protocol.h"
#include "tests/test.h"

static const struct peer_order order = {
    .order = {.low = 0x0a0d0a0d2a24ULL, .high = 7},
    .customer = {.low = 0, .high = 9},
    .sku = 12,
    .quantity = 3,
    .price = 1999,
};

struct sample {
    const struct protocol *protocol;
    const char *bytes;
    size_t size;
    uint32_t number;
    bool is_accepted;
    const char *error;
};

#define SAMPLE(protocol, text, number, is_accepted, error)                                         \
    {                                                                                              \
        &protocol, text, sizeof text - 1, number, is_accepted, error                               \
    }

#define BOUND    "2\0\0\0\4"
#define COMPLETE "C\0\0\0\xdSELECT 1\0"
#define READY    "Z\0\0\0\5I"

static const struct sample samples[] = {
    SAMPLE(protocol_redis, ":1\r\n", 5, true, ""),
    SAMPLE(protocol_redis, ":2\r\n", 5, false, ":2"),
    SAMPLE(protocol_redis, "-NOSCRIPT No such script\r\n", 5, false, "-NOSCRIPT No such script"),
    SAMPLE(protocol_postgres, BOUND "D\0\0\0\xe\0\1\0\0\0\4\0\0\0\1" COMPLETE READY, 5, true, ""),
    SAMPLE(protocol_postgres, BOUND "D\0\0\0\xe\0\1\0\0\0\4\0\0\0\2" COMPLETE READY, 5, false,
           "outcome 2"),
    SAMPLE(protocol_postgres, BOUND "E\0\0\0\x11SERROR\0Mwhy\0\0" READY, 5, false, "why"),
    SAMPLE(protocol_tarantool,
           "\xce\0\0\0\x1f\x83\0\xce\0\0\0\0\1\xcf\0\0\0\0\0\0\0\x8\5\xce\0\0\0\x50"
           "\x81\x30\xdd\0\0\0\1\1",
           8, true, ""),
    SAMPLE(protocol_tarantool,
           "\xce\0\0\0\x1f\x83\0\xce\0\0\0\0\1\xcf\0\0\0\0\0\0\0\x8\5\xce\0\0\0\x50"
           "\x81\x30\xdd\0\0\0\1\4",
           8, false, "outcome 4"),
    SAMPLE(protocol_tarantool, "\xce\0\0\0\xd\x82\0\xcd\x80\x2a\1\x8\x81\x31\xa3why", 8, false,
           "why"),
};

TEST(peer_answers_are_read_whole_or_not_at_all)
{
    for (size_t i = 0; i < sizeof samples / sizeof samples[0]; i++) {
        const struct sample *sample = &samples[i];
        for (size_t size = 0; size <= sample->size; size++) {
            struct peer_answer answer = {.number = 5};
            int64_t taken = sample->protocol->answer((const uint8_t *)sample->bytes, size, &answer);
            CHECK_EQUAL(taken, size == sample->size ? (int64_t)size : 0);
            if (taken == 0)
                continue;
            CHECK_EQUAL(answer.number, sample->number);
            CHECK_EQUAL(answer.is_accepted, sample->is_accepted);
            CHECK(strcmp(answer.error, sample->error) == 0);
        }
    }
}

TEST(peer_answers_that_are_none_are_malformed)
{
    struct peer_answer answer = {0};
    CHECK_EQUAL(protocol_redis.answer((const uint8_t *)"$3\r\n", 4, &answer), -1);
    CHECK_EQUAL(protocol_postgres.answer((const uint8_t *)"D\xff\0\0\0", 5, &answer), -1);
    CHECK_EQUAL(protocol_tarantool.answer((const uint8_t *)"\xce\xff\0\0\0", 5, &answer), -1);
}

TEST(peer_requests_fit_their_bound_and_carry_the_ids_as_they_are)
{
    static const struct protocol *const protocols[] = {&protocol_redis, &protocol_postgres,
                                                       &protocol_tarantool};
    char error[PROTOCOL_ERROR_SIZE];
    CHECK(protocol_redis.begin(-1, "0123456789012345678901234567890123456789", error));
    CHECK(!protocol_redis.begin(-1, "place", error));
    for (size_t i = 0; i < sizeof protocols / sizeof protocols[0]; i++) {
        uint8_t bytes[PROTOCOL_REQUEST_SIZE_MAX];
        size_t size = protocols[i]->request(bytes, 8, &order);
        CHECK(size < sizeof bytes);
        CHECK(memmem(bytes, size, &order.order, sizeof order.order) != NULL);
        CHECK(memmem(bytes, size, &order.customer, sizeof order.customer) != NULL);
    }
}
