/* The records of the engine's tables as C structs: engine/tables/tables.h declares them, and says
 * what each field means. A record of 0 refers to none. */
#ifndef TILL_ENGINE_RECORDS_H
#define TILL_ENGINE_RECORDS_H

#include "engine/messages.h"

enum {
    PIECE_IS_FIXED = 1,   /* the request named this warehouse for it */
    PIECE_ZONE_SHIFT = 8, /* the zone of the request stands from here on */
};

/* Flags of an order: how it was placed, where its parts are, and what has happened to it. */
enum {
    ORDER_BORN_CONFIRMED = 1,
    ORDER_BORN_PAID = 2, /* money that was due is captured from the placing on */
    ORDER_IS_INLINE = 4,
    ORDER_IS_TOLD = 8,    /* an event has confirmed the payment that it was placed with */
    ORDER_IS_MOVED = 16,  /* it was taken from other places since: its money has the pieces */
    ORDER_HAS_LOOSE = 32, /* events, but no money that lists them: payment_loose finds them */
    ORDER_ALLOCATION_SHIFT = 6,
};

enum { DEADLINE_CHUNK_ORDERS = 13, KEY_REPLY_SIZE = 32 };

struct deadline_orders {
    uint32_t at[DEADLINE_CHUNK_ORDERS];
};

struct zone_costs {
    int64_t at[ZONE_WAREHOUSES_MAX];
};

struct zone_warehouses {
    uint32_t at[ZONE_WAREHOUSES_MAX];
};

enum { OPAQUE_PART_SIZE = 56 };

struct opaque_part {
    uint8_t bytes[OPAQUE_PART_SIZE];
};

struct key_reply {
    uint8_t bytes[KEY_REPLY_SIZE];
};

union payment_reply {
    struct order_status_body applied;
    struct rejection_body parked;
};

#define PARTS(name, record, first, second)                                                         \
    union name {                                                                                   \
        struct record record;                                                                      \
        struct {                                                                                   \
            uint32_t first;                                                                        \
            uint32_t second;                                                                       \
        };                                                                                         \
    };
#define RECORD(record)                                          struct record {
#define MEMBER(record, number, type, name, refers, since, text) type name;
#define RECORD_END(record)                                                                         \
    }                                                                                              \
    ;
#include "engine/tables/tables.h"

/* No padding anywhere, so that equal records are equal bytes. */
#define RECORD(record) static_assert(sizeof(struct record) == 0
#define MEMBER(record, number, type, name, refers, since, text) +sizeof(type)
#define RECORD_END(record)                                      , "padding is explicit");
#include "engine/tables/tables.h"

static_assert(sizeof(struct order) == 128, "two cache lines an order");
static_assert(sizeof(struct money) == 80, "most of it in one cache line");
static_assert(sizeof(struct opaque) == 64, "one cache line");
static_assert(sizeof(struct key_record) == 64, "one cache line");

#endif
