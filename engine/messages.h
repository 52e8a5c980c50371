/* The messages of till, declared once.
 *
 * From the tables below come: the C structs (which are the wire layout), the asserted sizes, the
 * log's record codec (engine/codec.h), the shell, the printed log, the JSON names, and the message
 * tables of docs/protocol.md (`till protocol` prints them). Adding a command is one row here, one
 * handler in the engine, one script under tests/scripts.
 *
 * A message's body is a shape: fixed fields, little-endian, naturally aligned, a multiple of 8
 * bytes, with explicit zero fields as padding. A shape with a `count` field is followed by that
 * many rows of a second shape. The frame header before the body is net/frame.h's. */
#ifndef TILL_ENGINE_MESSAGES_H
#define TILL_ENGINE_MESSAGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/id.h"
#include "base/limits.h"

struct name {
    char bytes[NAME_SIZE]; /* zero-padded; all zero is "no name" */
};

struct text {
    char bytes[96]; /* zero-terminated */
};

/* TYPE(name, C type, coding, separator): coding is how the log writes it; the separator stands
 * before the field when a row is written as text, as in line=7x2@1999. */
#define FIELD_TYPES(TYPE)                                                                          \
    TYPE(id, struct id, IDENTITY, ':')                                                             \
    TYPE(key, struct id, IDENTITY, ':')                                                            \
    TYPE(key_or_none, struct id, IDENTITY, ':')                                                    \
    TYPE(u64, uint64_t, UNSIGNED, ':')                                                             \
    TYPE(u32, uint32_t, UNSIGNED, ':')                                                             \
    TYPE(u16, uint16_t, UNSIGNED, ':')                                                             \
    TYPE(hash, uint64_t, UNSIGNED, ':')                                                            \
    TYPE(sku, uint64_t, UNSIGNED, ':')                                                             \
    TYPE(warehouse, uint32_t, UNSIGNED, '/')                                                       \
    TYPE(quantity, uint32_t, UNSIGNED, 'x')                                                        \
    TYPE(stock, int64_t, SIGNED, ':')                                                              \
    TYPE(money, int64_t, SIGNED, '@')                                                              \
    TYPE(points, int64_t, SIGNED, ':')                                                             \
    TYPE(time, uint64_t, UNSIGNED, ':')                                                            \
    TYPE(seconds, uint32_t, UNSIGNED, ':')                                                         \
    TYPE(currency, uint16_t, UNSIGNED, ':')                                                        \
    TYPE(count, uint16_t, UNSIGNED, ':')                                                           \
    TYPE(name, struct name, BYTES, ':')                                                            \
    TYPE(text, struct text, BYTES, ':')                                                            \
    TYPE(place_flags, uint16_t, UNSIGNED, ':')                                                     \
    TYPE(sale_flags, uint16_t, UNSIGNED, ':')                                                      \
    TYPE(stock_flags, uint16_t, UNSIGNED, ':')                                                     \
    TYPE(allocation, uint8_t, UNSIGNED, ':')                                                       \
    TYPE(order_state, uint8_t, UNSIGNED, ':')                                                      \
    TYPE(money_state, uint8_t, UNSIGNED, ':')                                                      \
    TYPE(sale_state, uint8_t, UNSIGNED, ':')                                                       \
    TYPE(payment_status, uint8_t, UNSIGNED, ':')                                                   \
    TYPE(server_role, uint8_t, UNSIGNED, ':')                                                      \
    TYPE(zero8, uint8_t, ZERO, ':')                                                                \
    TYPE(zero16, uint16_t, ZERO, ':')                                                              \
    TYPE(zero32, uint32_t, ZERO, ':')                                                              \
    TYPE(zero64, uint64_t, ZERO, ':')

/* NAMED(P, type, number, NAME): the values of enumerated types, and the bits of flag types; P is
 * handed through from the expansion. */
#define NAMED_VALUES(NAMED, P)                                                                     \
    NAMED(P, order_state, 1, PENDING)                                                              \
    NAMED(P, order_state, 2, CONFIRMED)                                                            \
    NAMED(P, order_state, 3, PARTIALLY_SHIPPED)                                                    \
    NAMED(P, order_state, 4, SHIPPED)                                                              \
    NAMED(P, order_state, 5, DELIVERED)                                                            \
    NAMED(P, order_state, 6, EXPIRED)                                                              \
    NAMED(P, order_state, 7, FAILED)                                                               \
    NAMED(P, order_state, 8, CANCELLED)                                                            \
    NAMED(P, money_state, 0, NONE)                                                                 \
    NAMED(P, money_state, 1, DUE)                                                                  \
    NAMED(P, money_state, 2, CAPTURED)                                                             \
    NAMED(P, money_state, 3, REFUND_DUE)                                                           \
    NAMED(P, money_state, 4, PARTIALLY_REFUNDED)                                                   \
    NAMED(P, money_state, 5, REFUNDED)                                                             \
    NAMED(P, sale_state, 1, READY)                                                                 \
    NAMED(P, sale_state, 2, OPEN)                                                                  \
    NAMED(P, sale_state, 3, PAUSED)                                                                \
    NAMED(P, sale_state, 4, CLOSED)                                                                \
    NAMED(P, payment_status, 1, SUCCESS)                                                           \
    NAMED(P, payment_status, 2, FAILURE)                                                           \
    NAMED(P, allocation, 0, SINGLE)                                                                \
    NAMED(P, allocation, 1, RANK)                                                                  \
    NAMED(P, allocation, 2, EXPLICIT)                                                              \
    NAMED(P, server_role, 1, PRIMARY)                                                              \
    NAMED(P, server_role, 2, REPLICA)                                                              \
    NAMED(P, place_flags, 1, PARTIAL)                                                              \
    NAMED(P, place_flags, 2, PAID)                                                                 \
    NAMED(P, place_flags, 4, POINTS_EXACT)                                                         \
    NAMED(P, sale_flags, 1, FAIL_AT_ONCE)                                                          \
    NAMED(P, stock_flags, 1, ALLOW_DEFICIT)

/* F(S, type, name, text), where S is the struct that the field belongs to. Every reply begins with
 * the seq at which it was decided. */
#define HELLO_FIELDS(F, S)                                                                         \
    F(S, u64, magic, "the eight bytes till-rpc")                                                   \
    F(S, u16, version, "protocol version, 1")                                                      \
    F(S, u16, features,                                                                            \
      "bit 0: frames both ways carry a checksum; bit 1: an operator, for whom keys are reserved")  \
    F(S, zero32, reserved, "")                                                                     \
    F(S, name, token, "credentials; all zero, none are asked for yet")

#define HELLO_REPLY_FIELDS(F, S)                                                                   \
    F(S, u64, seq, "last durable change")                                                          \
    F(S, time, time, "the log's")                                                                  \
    F(S, u64, epoch, "the log's epoch")                                                            \
    F(S, u32, frame_size_max, "bytes, header included")                                            \
    F(S, u32, in_flight_max, "requests that may be unanswered on this connection")                 \
    F(S, u16, version, "protocol version spoken")                                                  \
    F(S, u16, features, "those of the client's that are on")                                       \
    F(S, server_role, role, "PRIMARY or REPLICA")                                                  \
    F(S, zero8, reserved, "")                                                                      \
    F(S, zero16, reserved2, "")

#define ERROR_FIELDS(F, S)                                                                         \
    F(S, u64, seq, "last durable change")                                                          \
    F(S, text, reason, "why this connection is being closed, in English")

#define REJECTION_FIELDS(F, S)                                                                     \
    F(S, u64, seq, "last change the decision could see")                                           \
    F(S, u64, subject, "as the outcome table says")                                                \
    F(S, stock, value, "as the outcome table says")

#define SEQ_FIELDS(F, S) F(S, u64, seq, "position of the change in the log")

#define EMPTY_FIELDS(F, S) F(S, zero64, reserved, "")

#define SKU_PUT_FIELDS(F, S)                                                                       \
    F(S, key_or_none, key, "idempotency key; zero: none is remembered")                            \
    F(S, sku, sku, "not zero")                                                                     \
    F(S, money, price, "0 to 10^15 minor units")                                                   \
    F(S, currency, currency, "of the price")                                                       \
    F(S, zero16, reserved, "")                                                                     \
    F(S, zero32, reserved2, "")                                                                    \
    F(S, name, name, "up to 32 bytes, unique; empty for none")

#define STOCK_ADJUST_FIELDS(F, S)                                                                  \
    F(S, key, key, "idempotency key")                                                              \
    F(S, sku, sku, "a known SKU")                                                                  \
    F(S, stock, delta, "added to available; negative takes away")                                  \
    F(S, warehouse, warehouse, "not zero")                                                         \
    F(S, zero32, reserved, "")

#define STOCK_SET_FIELDS(F, S)                                                                     \
    F(S, key_or_none, key, "idempotency key; zero: none is remembered")                            \
    F(S, sku, sku, "a known SKU")                                                                  \
    F(S, stock, expected, "on_hand as the caller knows it; else STALE_VERSION")                    \
    F(S, stock, on_hand, "the new on_hand")                                                        \
    F(S, warehouse, warehouse, "not zero")                                                         \
    F(S, stock_flags, flags, "ALLOW_DEFICIT: available may become negative")                       \
    F(S, zero16, reserved, "")

#define STOCK_LEVEL_FIELDS(F, S)                                                                   \
    F(S, u64, seq, "position of the change in the log")                                            \
    F(S, stock, on_hand, "after the change")                                                       \
    F(S, stock, available, "after the change")                                                     \
    F(S, count, order_count, "of those concerned by a deficit, the newest first, 32 at most")      \
    F(S, zero16, reserved, "")                                                                     \
    F(S, u32, orders_concerned, "by a deficit in all")

#define ORDER_ID_FIELDS(F, S) F(S, id, order, "an order")

#define STOCK_GET_FIELDS(F, S)                                                                     \
    F(S, name, name, "a SKU's name, answered first; empty for none")                               \
    F(S, count, item_count, "up to 64 with the name")                                              \
    F(S, zero16, reserved, "")                                                                     \
    F(S, zero32, reserved2, "")

#define ITEM_FIELDS(F, S)                                                                          \
    F(S, sku, sku, "a known SKU, else NOT_FOUND")                                                  \
    F(S, warehouse, warehouse, "0: summed over all, available clamped at zero in each")            \
    F(S, zero32, reserved, "")

#define STOCK_GET_REPLY_FIELDS(F, S)                                                               \
    F(S, u64, seq, "last change the answer shows")                                                 \
    F(S, count, stock_count, "as many as were asked for, in that order")                           \
    F(S, zero16, reserved, "")                                                                     \
    F(S, zero32, reserved2, "")

#define STOCK_ROW_FIELDS(F, S)                                                                     \
    F(S, sku, sku, "")                                                                             \
    F(S, warehouse, warehouse, "as asked")                                                         \
    F(S, currency, currency, "of the price")                                                       \
    F(S, zero16, reserved, "")                                                                     \
    F(S, money, price, "now")                                                                      \
    F(S, stock, on_hand, "available + pooled + reserved + committed + unsellable")                 \
    F(S, stock, available, "may be promised")                                                      \
    F(S, stock, pooled, "set aside for sales")                                                     \
    F(S, stock, reserved_for_orders, "held by PENDING orders")                                     \
    F(S, stock, committed, "sold, not shipped")                                                    \
    F(S, stock, unsellable, "damaged or returned unfit")

#define SALE_PUT_FIELDS(F, S)                                                                      \
    F(S, key, key, "idempotency key")                                                              \
    F(S, time, opens, "orders before it answer SALE_NOT_OPEN; 0: no bound")                        \
    F(S, time, closes, "orders from it on answer SALE_NOT_OPEN; 0: no bound")                      \
    F(S, points, points_max, "cap of points per order; 0: no cap")                                 \
    F(S, u32, sale, "not zero")                                                                    \
    F(S, seconds, hold, "a hold's length; 0: 900")                                                 \
    F(S, seconds, hold_max, "its cap, from the placing on; 0: 604800")                             \
    F(S, u32, points_share, "cap as a share of the total, in 1/10000; 0: none may be used")        \
    F(S, u32, rate_points, "this many points ...")                                                 \
    F(S, u32, rate_money, "... are worth this many minor units; both 0: no points")                \
    F(S, quantity, customer_sku_max, "units of one SKU per customer; 0: no limit")                 \
    F(S, quantity, customer_sale_max, "units in all per customer; 0: no limit")                    \
    F(S, sale_flags, flags, "FAIL_AT_ONCE: a failed payment fails the order")                      \
    F(S, count, pool_count, "up to 64; pools not named stay as they are")                          \
    F(S, zero32, reserved, "")

#define POOL_FIELDS(F, S)                                                                          \
    F(S, sku, sku, "a known SKU with stock in the warehouse")                                      \
    F(S, quantity, quantity, "the pool's new size, sold and held included")                        \
    F(S, warehouse, warehouse, "not zero")

#define SALE_CHANGE_FIELDS(F, S)                                                                   \
    F(S, key, key, "idempotency key")                                                              \
    F(S, u32, sale, "")                                                                            \
    F(S, zero32, reserved, "")

#define SALE_REPLY_FIELDS(F, S)                                                                    \
    F(S, u64, seq, "position of the change in the log")                                            \
    F(S, sale_state, state, "after the change")                                                    \
    F(S, zero8, reserved, "")                                                                      \
    F(S, zero16, reserved2, "")                                                                    \
    F(S, zero32, reserved3, "")

#define POINTS_CREDIT_FIELDS(F, S)                                                                 \
    F(S, key, key, "idempotency key")                                                              \
    F(S, id, customer, "")                                                                         \
    F(S, points, points, "1 to 10^15")                                                             \
    F(S, time, expires, "of this lot; 0: never")

#define POINTS_CREDIT_REPLY_FIELDS(F, S)                                                           \
    F(S, u64, seq, "position of the change in the log")                                            \
    F(S, points, balance, "after the change")                                                      \
    F(S, points, available, "balance less what orders hold")

#define POINTS_BALANCE_FIELDS(F, S) F(S, id, customer, "")

#define POINTS_BALANCE_REPLY_FIELDS(F, S)                                                          \
    F(S, u64, seq, "last change the answer shows")                                                 \
    F(S, points, balance, "sum of the lots that have not expired")                                 \
    F(S, points, held, "by PENDING orders")                                                        \
    F(S, points, available, "balance less held")                                                   \
    F(S, time, next_expiry, "when the first lot expires; 0: never")                                \
    F(S, points, expiring, "available points that go then")

#define ORDER_PLACE_FIELDS(F, S)                                                                   \
    F(S, id, order, "the order's id and its idempotency key")                                      \
    F(S, id, customer, "")                                                                         \
    F(S, points, points, "points the buyer wants to spend, 0 or more")                             \
    F(S, u32, sale, "0: none")                                                                     \
    F(S, seconds, hold, "0: the sale's; capped by the sale")                                       \
    F(S, place_flags, flags,                                                                       \
      "PARTIAL fills what is there; PAID confirms at once; POINTS_EXACT "                          \
      "refuses when fewer points could be used than asked for")                                    \
    F(S, currency, currency, "of the prices; 0: whatever the SKUs have, if it is one")             \
    F(S, count, line_count, "1 to 32")                                                             \
    F(S, allocation, allocation,                                                                   \
      "SINGLE: one warehouse for the order, the first that can; RANK: "                            \
      "from the warehouses by ascending number; EXPLICIT: each line's own")                        \
    F(S, zero8, reserved, "")

#define LINE_FIELDS(F, S)                                                                          \
    F(S, sku, sku, "a known SKU")                                                                  \
    F(S, quantity, quantity, "1 or more")                                                          \
    F(S, warehouse, warehouse, "required with EXPLICIT, else 0 or the only one to take from")      \
    F(S, money, price, "of one unit, as the buyer saw it")

#define ORDER_PLACE_REPLY_FIELDS(F, S)                                                             \
    F(S, u64, seq, "position of the order in the log")                                             \
    F(S, money, total, "sum of allocated quantity x price")                                        \
    F(S, points, points_used, "held or spent")                                                     \
    F(S, money, points_value, "what they are worth")                                               \
    F(S, money, money_due, "total less points_value")                                              \
    F(S, time, hold_ends, "0 when confirmed at once")                                              \
    F(S, order_state, state, "PENDING or CONFIRMED, as first decided")                             \
    F(S, zero8, reserved, "")                                                                      \
    F(S, currency, currency, "of the money")                                                       \
    F(S, count, take_count, "where the stock was taken")                                           \
    F(S, zero16, reserved2, "")

#define TAKE_FIELDS(F, S)                                                                          \
    F(S, u16, line, "1 is the first")                                                              \
    F(S, zero16, reserved, "")                                                                     \
    F(S, quantity, quantity, "")                                                                   \
    F(S, warehouse, warehouse, "")                                                                 \
    F(S, zero32, reserved2, "")

#define PAYMENT_EVENT_FIELDS(F, S)                                                                 \
    F(S, id, event, "the provider's event id")                                                     \
    F(S, id, order, "")                                                                            \
    F(S, money, amount, "0 or more")                                                               \
    F(S, u32, provider, "not zero; (provider, event) is the key")                                  \
    F(S, payment_status, status, "SUCCESS or FAILURE")                                             \
    F(S, zero8, reserved, "")                                                                      \
    F(S, currency, currency, "of the amount")

#define ORDER_CHANGE_FIELDS(F, S)                                                                  \
    F(S, key, key, "idempotency key")                                                              \
    F(S, id, order, "")

#define HOLD_EXTEND_FIELDS(F, S)                                                                   \
    F(S, key, key, "idempotency key")                                                              \
    F(S, id, order, "")                                                                            \
    F(S, seconds, hold, "from now on; capped by the sale, counted from the placing")               \
    F(S, zero32, reserved, "")

#define ORDER_STATUS_FIELDS(F, S)                                                                  \
    F(S, u64, seq, "position of the change in the log")                                            \
    F(S, order_state, state, "after the change")                                                   \
    F(S, money_state, money, "after the change")                                                   \
    F(S, zero16, reserved, "")                                                                     \
    F(S, u32, version, "after the change")                                                         \
    F(S, time, hold_ends, "0 unless PENDING")                                                      \
    F(S, money, refund_due, "to be paid back in all")

#define ORDER_GET_REPLY_FIELDS(F, S)                                                               \
    F(S, u64, seq, "last change the answer shows")                                                 \
    F(S, id, customer, "")                                                                         \
    F(S, money, total, "sum of allocated quantity x price")                                        \
    F(S, points, points_used, "held, spent or given back, by state")                               \
    F(S, money, points_value, "what they were worth at placing")                                   \
    F(S, money, money_due, "total less points_value, as placed")                                   \
    F(S, money, captured, "in all")                                                                \
    F(S, money, refund_due, "to be paid back in all")                                              \
    F(S, time, placed, "")                                                                         \
    F(S, time, hold_ends, "0 unless PENDING")                                                      \
    F(S, u32, version, "1 when placed, one more for each change")                                  \
    F(S, u32, sale, "0: none")                                                                     \
    F(S, u32, parked, "payments that wait for a person, not part of captured")                     \
    F(S, order_state, state, "")                                                                   \
    F(S, money_state, money, "")                                                                   \
    F(S, currency, currency, "")                                                                   \
    F(S, count, piece_count, "")                                                                   \
    F(S, zero16, reserved, "")                                                                     \
    F(S, zero32, reserved2, "")

#define PIECE_FIELDS(F, S)                                                                         \
    F(S, sku, sku, "")                                                                             \
    F(S, quantity, quantity, "asked for on the line")                                              \
    F(S, warehouse, warehouse, "taken from; 0: nothing was")                                       \
    F(S, money, price, "of one unit, as placed")                                                   \
    F(S, quantity, allocated, "from this warehouse")                                               \
    F(S, u16, line, "1 is the first")                                                              \
    F(S, zero16, reserved, "")

#define ORDER_HISTORY_FIELDS(F, S)                                                                 \
    F(S, id, order, "")                                                                            \
    F(S, u64, cursor, "0: from the first step on; else the `next` of the answer before")

#define ORDER_HISTORY_REPLY_FIELDS(F, S)                                                           \
    F(S, u64, seq, "last change the answer shows")                                                 \
    F(S, u64, next, "0: there are no more; else ask again with this cursor")                       \
    F(S, count, step_count, "the oldest first, 64 at most")                                        \
    F(S, zero16, reserved, "")                                                                     \
    F(S, zero32, reserved2, "")

#define STEP_FIELDS(F, S)                                                                          \
    F(S, u64, seq, "")                                                                             \
    F(S, time, time, "")                                                                           \
    F(S, u32, version, "")                                                                         \
    F(S, order_state, state, "entered, or kept")                                                   \
    F(S, money_state, money, "entered, or kept")                                                   \
    F(S, zero16, reserved, "")

#define HOLD_EXPIRE_FIELDS(F, S)                                                                   \
    F(S, u32, holds, "at most this many, the oldest deadlines first")                              \
    F(S, zero32, reserved, "")

#define TIME_JUMP_FIELDS(F, S)                                                                     \
    F(S, u64, jump, "microseconds of the time since the last change that nothing has shown to pass")

#define STATS_FIELDS(F, S)                                                                         \
    F(S, u64, seq, "last change")                                                                  \
    F(S, hash, digest, "of the state at seq")                                                      \
    F(S, time, time, "of the last change or query")                                                \
    F(S, u64, skus, "")                                                                            \
    F(S, u64, stocks, "(SKU, warehouse) pairs")                                                    \
    F(S, u64, sales, "")                                                                           \
    F(S, u64, customers, "")                                                                       \
    F(S, u64, orders, "in memory, all states")                                                     \
    F(S, u64, pending, "")                                                                         \
    F(S, u64, confirmed, "")                                                                       \
    F(S, u64, expired, "")                                                                         \
    F(S, u64, failed, "")                                                                          \
    F(S, u64, cancelled, "")                                                                       \
    F(S, u64, payments, "events in memory")                                                        \
    F(S, u64, parked, "payments that wait for a person")                                           \
    F(S, u64, refund_orders, "orders with money to pay back")                                      \
    F(S, u64, keys, "idempotency keys in memory")                                                  \
    F(S, u64, holds_due, "whose deadline has passed and that hold.expire has not reached yet")     \
    F(S, u64, rejected, "commands rejected since this server started")                             \
    F(S, u64, clock_jumps, "of the wall clock, not followed, since this server started")

#define TABLES_FIELDS(F, S)                                                                        \
    F(S, u64, seq, "last change the answer shows")                                                 \
    F(S, count, table_count, "one for each capacity, in their order")                              \
    F(S, zero16, reserved, "")                                                                     \
    F(S, zero32, reserved2, "")

#define TABLE_FIELDS(F, S)                                                                         \
    F(S, name, name, "of the capacity, as CAPACITY names it")                                      \
    F(S, u64, used, "what is kept for orders to end included, what is to be forgotten not")        \
    F(S, u64, capacity, "")                                                                        \
    F(S, u64, reserve, "of the capacity, kept for operators")

#define SNAPSHOT_FIELDS(F, S)                                                                      \
    F(S, u64, seq, "that a snapshot has to show; 0: the last change there is now")

#define SNAPSHOT_REPLY_FIELDS(F, S)                                                                \
    F(S, u64, seq, "the snapshot asked for shows this change, or a later one")                     \
    F(S, u64, seq_published, "of the newest snapshot there is; 0: none")                           \
    F(S, u64, snapshots, "published since this server started")                                    \
    F(S, u64, failures, "given up since this server started")

/* SHAPE(name, FIELDS) */
#define SHAPES(SHAPE)                                                                              \
    SHAPE(hello, HELLO_FIELDS)                                                                     \
    SHAPE(hello_reply, HELLO_REPLY_FIELDS)                                                         \
    SHAPE(error_reply, ERROR_FIELDS)                                                               \
    SHAPE(rejection, REJECTION_FIELDS)                                                             \
    SHAPE(seq_reply, SEQ_FIELDS)                                                                   \
    SHAPE(empty, EMPTY_FIELDS)                                                                     \
    SHAPE(snapshot, SNAPSHOT_FIELDS)                                                               \
    SHAPE(snapshot_reply, SNAPSHOT_REPLY_FIELDS)                                                   \
    SHAPE(sku_put, SKU_PUT_FIELDS)                                                                 \
    SHAPE(stock_adjust, STOCK_ADJUST_FIELDS)                                                       \
    SHAPE(stock_set, STOCK_SET_FIELDS)                                                             \
    SHAPE(stock_level, STOCK_LEVEL_FIELDS)                                                         \
    SHAPE(order_id, ORDER_ID_FIELDS)                                                               \
    SHAPE(stock_get, STOCK_GET_FIELDS)                                                             \
    SHAPE(item, ITEM_FIELDS)                                                                       \
    SHAPE(stock_get_reply, STOCK_GET_REPLY_FIELDS)                                                 \
    SHAPE(stock_row, STOCK_ROW_FIELDS)                                                             \
    SHAPE(sale_put, SALE_PUT_FIELDS)                                                               \
    SHAPE(pool, POOL_FIELDS)                                                                       \
    SHAPE(sale_change, SALE_CHANGE_FIELDS)                                                         \
    SHAPE(sale_reply, SALE_REPLY_FIELDS)                                                           \
    SHAPE(points_credit, POINTS_CREDIT_FIELDS)                                                     \
    SHAPE(points_credit_reply, POINTS_CREDIT_REPLY_FIELDS)                                         \
    SHAPE(points_balance, POINTS_BALANCE_FIELDS)                                                   \
    SHAPE(points_balance_reply, POINTS_BALANCE_REPLY_FIELDS)                                       \
    SHAPE(order_place, ORDER_PLACE_FIELDS)                                                         \
    SHAPE(line, LINE_FIELDS)                                                                       \
    SHAPE(order_place_reply, ORDER_PLACE_REPLY_FIELDS)                                             \
    SHAPE(take, TAKE_FIELDS)                                                                       \
    SHAPE(payment_event, PAYMENT_EVENT_FIELDS)                                                     \
    SHAPE(order_change, ORDER_CHANGE_FIELDS)                                                       \
    SHAPE(hold_extend, HOLD_EXTEND_FIELDS)                                                         \
    SHAPE(order_status, ORDER_STATUS_FIELDS)                                                       \
    SHAPE(order_get_reply, ORDER_GET_REPLY_FIELDS)                                                 \
    SHAPE(piece, PIECE_FIELDS)                                                                     \
    SHAPE(order_history, ORDER_HISTORY_FIELDS)                                                     \
    SHAPE(order_history_reply, ORDER_HISTORY_REPLY_FIELDS)                                         \
    SHAPE(step, STEP_FIELDS)                                                                       \
    SHAPE(hold_expire, HOLD_EXPIRE_FIELDS)                                                         \
    SHAPE(time_jump, TIME_JUMP_FIELDS)                                                             \
    SHAPE(stats_reply, STATS_FIELDS)                                                               \
    SHAPE(tables_reply, TABLES_FIELDS)                                                             \
    SHAPE(table, TABLE_FIELDS)

/* MESSAGE(number, name, "text name", KIND, request, row, rows_max, reply, row, rows_max, "help")
 * SESSION messages belong to net; QUERY reads; COMMAND changes state and is logged when accepted;
 * INTERNAL is logged but made by the server alone; ADMIN is for the server, not for the engine. Row
 * shape `none` stands for no rows. */
#define MESSAGES(MESSAGE)                                                                          \
    MESSAGE(1, hello, "hello", SESSION, hello, none, 0, hello_reply, none, 0,                      \
            "opens a connection; the first frame on it")                                           \
    MESSAGE(2, error, "error", SESSION, empty, none, 0, error_reply, none, 0,                      \
            "sent by the server before it closes a connection")                                    \
    MESSAGE(3, snapshot, "snapshot", ADMIN, snapshot, none, 0, snapshot_reply, none, 0,            \
            "asks for a snapshot that shows a change, unless there is one or one is under way. "   \
            "Answered at once: published when a later answer's seq_published has reached seq")     \
    MESSAGE(16, sku_put, "sku.put", COMMAND, sku_put, none, 0, seq_reply, none, 0,                 \
            "adds a SKU, or changes its price, currency and name")                                 \
    MESSAGE(17, stock_adjust, "stock.adjust", COMMAND, stock_adjust, none, 0, stock_level,         \
            order_id, CONCERNED_ORDERS_MAX, "adds to or takes from what may be promised")          \
    MESSAGE(18, stock_set, "stock.set", COMMAND, stock_set, none, 0, stock_level, order_id,        \
            CONCERNED_ORDERS_MAX, "sets on_hand if it is what the caller expects")                 \
    MESSAGE(19, stock_get, "stock.get", QUERY, stock_get, item, STOCK_ITEMS_MAX, stock_get_reply,  \
            stock_row, STOCK_ITEMS_MAX, "stock and price of up to 64 SKUs")                        \
    MESSAGE(20, sale_put, "sale.put", COMMAND, sale_put, pool, SALE_POOLS_MAX, sale_reply, none,   \
            0, "adds a sale or changes its terms and pools")                                       \
    MESSAGE(21, sale_open, "sale.open", COMMAND, sale_change, none, 0, sale_reply, none, 0,        \
            "lets orders in")                                                                      \
    MESSAGE(22, sale_pause, "sale.pause", COMMAND, sale_change, none, 0, sale_reply, none, 0,      \
            "keeps orders out for a while")                                                        \
    MESSAGE(23, sale_close, "sale.close", COMMAND, sale_change, none, 0, sale_reply, none, 0,      \
            "ends it; what is left in its pools becomes available")                                \
    MESSAGE(24, points_credit, "points.credit", COMMAND, points_credit, none, 0,                   \
            points_credit_reply, none, 0, "adds a lot of points to a customer")                    \
    MESSAGE(25, points_balance, "points.balance", QUERY, points_balance, none, 0,                  \
            points_balance_reply, none, 0, "a customer's points")                                  \
    MESSAGE(26, order_place, "order.place", COMMAND, order_place, line, ORDER_LINES_MAX,           \
            order_place_reply, take, ORDER_PIECES_MAX, "decides one order, all or nothing")        \
    MESSAGE(27, payment_event, "payment.event", COMMAND, payment_event, none, 0, order_status,     \
            none, 0, "what a payment provider says about an order")                                \
    MESSAGE(28, order_cancel, "order.cancel", COMMAND, order_change, none, 0, order_status, none,  \
            0, "gives everything back; money captured becomes due for refund")                     \
    MESSAGE(29, hold_extend, "hold.extend", COMMAND, hold_extend, none, 0, order_status, none, 0,  \
            "moves a hold's deadline")                                                             \
    MESSAGE(30, hold_release, "hold.release", COMMAND, order_change, none, 0, order_status, none,  \
            0, "ends a hold now; the order is EXPIRED")                                            \
    MESSAGE(31, hold_expire, "hold.expire", INTERNAL, hold_expire, none, 0, seq_reply, none, 0,    \
            "ends the holds whose deadline has passed")                                            \
    MESSAGE(32, order_get, "order.get", QUERY, order_id, none, 0, order_get_reply, piece,          \
            ORDER_PIECES_MAX + ORDER_LINES_MAX, "an order with its lines")                         \
    MESSAGE(33, order_history, "order.history", QUERY, order_history, none, 0,                     \
            order_history_reply, step, HISTORY_ROWS_MAX,                                           \
            "every transition of an order, page by page")                                          \
    MESSAGE(34, stats, "stats", QUERY, empty, none, 0, stats_reply, none, 0,                       \
            "counts, the last seq and the state digest")                                           \
    MESSAGE(35, time_jump, "time.jump", INTERNAL, time_jump, none, 0, seq_reply, none, 0,          \
            "the log's time went ahead at a start: what is kept for a while is no older for it")   \
    MESSAGE(36, tables, "tables", QUERY, empty, none, 0, tables_reply, table, TABLES_MAX,          \
            "how full each table is")

enum { MESSAGE_NUMBER_MAX = 63 };

enum message_number {
#define MESSAGE_ENUM(number, name, ...) MESSAGE_##name = (number),
    MESSAGES(MESSAGE_ENUM)
#undef MESSAGE_ENUM
};

enum message_kind { KIND_SESSION = 1, KIND_QUERY, KIND_COMMAND, KIND_INTERNAL, KIND_ADMIN };

/* REQUIRED(shape, field): a request with zero there, which is what a field that is not given has,
 * is never accepted. A count stands for at least one row. */
#define REQUIRED_FIELDS(REQUIRED)                                                                  \
    REQUIRED(hello, magic)                                                                         \
    REQUIRED(hello, version)                                                                       \
    REQUIRED(sku_put, sku)                                                                         \
    REQUIRED(sku_put, currency)                                                                    \
    REQUIRED(stock_adjust, key)                                                                    \
    REQUIRED(stock_adjust, sku)                                                                    \
    REQUIRED(stock_adjust, delta)                                                                  \
    REQUIRED(stock_adjust, warehouse)                                                              \
    REQUIRED(stock_set, sku)                                                                       \
    REQUIRED(stock_set, warehouse)                                                                 \
    REQUIRED(item, sku)                                                                            \
    REQUIRED(sale_put, key)                                                                        \
    REQUIRED(sale_put, sale)                                                                       \
    REQUIRED(pool, sku)                                                                            \
    REQUIRED(pool, warehouse)                                                                      \
    REQUIRED(sale_change, key)                                                                     \
    REQUIRED(sale_change, sale)                                                                    \
    REQUIRED(points_credit, key)                                                                   \
    REQUIRED(points_credit, customer)                                                              \
    REQUIRED(points_credit, points)                                                                \
    REQUIRED(points_balance, customer)                                                             \
    REQUIRED(order_place, order)                                                                   \
    REQUIRED(order_place, customer)                                                                \
    REQUIRED(order_place, line_count)                                                              \
    REQUIRED(line, sku)                                                                            \
    REQUIRED(line, quantity)                                                                       \
    REQUIRED(payment_event, event)                                                                 \
    REQUIRED(payment_event, order)                                                                 \
    REQUIRED(payment_event, provider)                                                              \
    REQUIRED(payment_event, status)                                                                \
    REQUIRED(payment_event, currency)                                                              \
    REQUIRED(order_change, key)                                                                    \
    REQUIRED(order_change, order)                                                                  \
    REQUIRED(hold_extend, key)                                                                     \
    REQUIRED(hold_extend, order)                                                                   \
    REQUIRED(hold_extend, hold)                                                                    \
    REQUIRED(order_history, order)                                                                 \
    REQUIRED(order_id, order)

/* The C structs. */
#define FIELD_TYPE_OF(name, c_type, coding, separator) typedef c_type field_##name;
FIELD_TYPES(FIELD_TYPE_OF)
#undef FIELD_TYPE_OF

#define STRUCT_FIELD(S, type, name, text) field_##type name;
#define SHAPE_STRUCT(name, FIELDS)                                                                 \
    struct name##_body {                                                                           \
        FIELDS(STRUCT_FIELD, name##_body)                                                          \
    };                                                                                             \
    static_assert(sizeof(struct name##_body) % 8 == 0, "bodies keep frames aligned");
SHAPES(SHAPE_STRUCT)
#undef SHAPE_STRUCT
#undef STRUCT_FIELD

/* No padding anywhere: the sum of the fields is the size. */
#define FIELD_SIZE(S, type, name, text) +sizeof(field_##type)
#define SHAPE_SIZE(name, FIELDS)                                                                   \
    static_assert(sizeof(struct name##_body) == 0 FIELDS(FIELD_SIZE, name##_body),                 \
                  "padding is explicit");
SHAPES(SHAPE_SIZE)
#undef SHAPE_SIZE
#undef FIELD_SIZE

/* The number of each field in its shape, from 1: what an INVALID rejection names. */
#define FIELD_ENUM(S, type, name, text) S##_field_##name,
#define SHAPE_ENUM(name, FIELDS)                                                                   \
    enum name##_field{name##_field_none, FIELDS(FIELD_ENUM, name) name##_field_end};
SHAPES(SHAPE_ENUM)
#undef SHAPE_ENUM
#undef FIELD_ENUM

#define NAMED_ENUM(P, type, number, NAME) type##_##NAME = (number),
enum named_value { NAMED_VALUES(NAMED_ENUM, ) };
#undef NAMED_ENUM

/* The same as data, for whatever must walk messages it does not know. */
#define FIELD_TYPE_ENUM(name, c_type, coding, separator) FIELD_##name,
enum field_type { FIELD_TYPES(FIELD_TYPE_ENUM) FIELD_TYPE_COUNT };
#undef FIELD_TYPE_ENUM

enum field_coding { CODING_IDENTITY, CODING_UNSIGNED, CODING_SIGNED, CODING_BYTES, CODING_ZERO };

struct field_type_info {
    const char *name;
    uint8_t size_bytes;
    uint8_t coding;
    char separator;
};

struct field_info {
    const char *name;
    const char *text;
    uint8_t type;
    uint8_t offset;
};

struct shape_info {
    const char *name;
    const struct field_info *fields;
    uint16_t field_count;
    uint16_t size_bytes;
    int16_t count_offset;            /* of the `count` field; -1 when rows never follow */
    bool (*check)(const void *body); /* reserved bytes zero, enumerated values known */
};

struct message_info {
    const char *name; /* NULL: no such message */
    const char *help;
    uint8_t number;
    uint8_t kind;
    uint16_t request_rows_max;
    uint16_t reply_rows_max;
    const struct shape_info *request;
    const struct shape_info *request_row; /* NULL: none */
    const struct shape_info *reply;
    const struct shape_info *reply_row; /* NULL: none */
};

struct named_value_info {
    const char *name;
    uint8_t type;
    uint16_t value;
};

const struct field_type_info *field_type_info(unsigned type);
/* The shape of every reply that is neither OK nor REPLAYED. */
const struct shape_info *rejection_shape(void);

/* By number; read through message_info. */
extern const struct message_info message_table[MESSAGE_NUMBER_MAX + 1];

/* NULL when there is no message of that number or name. */
static inline const struct message_info *message_info(unsigned number)
{
    if (number > MESSAGE_NUMBER_MAX || message_table[number].name == NULL)
        return NULL;
    return &message_table[number];
}

const struct message_info *message_find(const char *name, size_t size);

/* All named values, in table order; the name of one (NULL when it has none), or one by its name. */
const struct named_value_info *named_values(size_t *count);
const char *named_value_name(unsigned type, uint64_t value);
bool named_value_find(unsigned type, const char *name, size_t size, uint16_t *value);

/* True for types whose named values are bits that combine. */
bool field_type_is_flags(unsigned type);

/* Is the shape's field of this index one of REQUIRED_FIELDS? */
bool field_is_required(const struct shape_info *shape, unsigned index);

/* Rows that follow a body of this shape: the value of its count field, 0 without one. */
static inline uint16_t shape_rows(const struct shape_info *shape, const void *body)
{
    uint16_t rows = 0;
    if (shape->count_offset >= 0)
        memcpy(&rows, (const uint8_t *)body + shape->count_offset, sizeof rows);
    return rows;
}

/* Is this a well-formed request of that message: known enum values and flags, reserved bytes zero,
 * row count within its bound and consistent with size? On failure *reason says what is wrong. */
bool message_check_request(const struct message_info *message, const void *body, size_t size,
                           const char **reason);

#endif
