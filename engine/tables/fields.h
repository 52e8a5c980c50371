/* The types of fields, and the names of their values: rows to be included again wherever something
 * follows from them. Whoever includes this file defines the macros of the rows that it wants; all
 * are undefined at its end.
 *
 *   FIELD_TYPE(name, C type, coding, separator)
 *       coding     how the log writes it (engine/codec.c)
 *       separator  stands before the field when a row is written as text, as in line=7x2@1999
 *   NAMED(type, number, NAME)
 *       a value of an enumerated type, or a bit of a type of flags. Numbers are never used again
 *   FLAGS(type)
 *       a type of flags: its named values are bits that combine */
#include "base/status.h"

#ifndef FIELD_TYPE
#define FIELD_TYPE(name, c_type, coding, separator)
#endif
#ifndef NAMED
#define NAMED(type, number, NAME)
#endif
#ifndef FLAGS
#define FLAGS(type)
#endif

FIELD_TYPE(id, struct id, IDENTITY, ':')
FIELD_TYPE(key, struct id, IDENTITY, ':')
FIELD_TYPE(key_or_none, struct id, IDENTITY, ':')
FIELD_TYPE(u64, uint64_t, UNSIGNED, ':')
FIELD_TYPE(u32, uint32_t, UNSIGNED, ':')
FIELD_TYPE(u16, uint16_t, UNSIGNED, ':')
FIELD_TYPE(u8, uint8_t, UNSIGNED, ':')
FIELD_TYPE(hash, uint64_t, UNSIGNED, ':')
FIELD_TYPE(sku, uint64_t, UNSIGNED, ':')
FIELD_TYPE(warehouse, uint32_t, UNSIGNED, '/')
FIELD_TYPE(quantity, uint32_t, UNSIGNED, 'x')
FIELD_TYPE(stock, int64_t, SIGNED, ':')
FIELD_TYPE(money, int64_t, SIGNED, '@')
FIELD_TYPE(points, int64_t, SIGNED, ':')
FIELD_TYPE(time, uint64_t, UNSIGNED, ':')
FIELD_TYPE(seconds, uint32_t, UNSIGNED, ':')
FIELD_TYPE(currency, uint16_t, UNSIGNED, ':')
FIELD_TYPE(count, uint16_t, UNSIGNED, ':')
FIELD_TYPE(name, struct name, BYTES, ':')
FIELD_TYPE(text, struct text, BYTES, ':')
FIELD_TYPE(place_flags, uint16_t, UNSIGNED, ':')
FIELD_TYPE(sale_flags, uint16_t, UNSIGNED, ':')
FIELD_TYPE(stock_flags, uint16_t, UNSIGNED, ':')
FIELD_TYPE(allocation, uint8_t, UNSIGNED, ':')
FIELD_TYPE(order_state, uint8_t, UNSIGNED, ':')
FIELD_TYPE(money_state, uint8_t, UNSIGNED, ':')
FIELD_TYPE(sale_state, uint8_t, UNSIGNED, ':')
FIELD_TYPE(payment_status, uint8_t, UNSIGNED, ':')
FIELD_TYPE(server_role, uint8_t, UNSIGNED, ':')
FIELD_TYPE(member_state, uint8_t, UNSIGNED, ':')
FIELD_TYPE(join_answer, uint8_t, UNSIGNED, ':')
FIELD_TYPE(metric, uint16_t, UNSIGNED, ':')
FIELD_TYPE(cursor, struct id, IDENTITY, ':')
FIELD_TYPE(attention, uint8_t, UNSIGNED, ':')
FIELD_TYPE(outcome, uint16_t, UNSIGNED, ':')
FIELD_TYPE(zero8, uint8_t, ZERO, ':')
FIELD_TYPE(zero16, uint16_t, ZERO, ':')
FIELD_TYPE(zero32, uint32_t, ZERO, ':')
FIELD_TYPE(zero64, uint64_t, ZERO, ':')

FLAGS(place_flags)
FLAGS(sale_flags)
FLAGS(stock_flags)

NAMED(order_state, 0, ANY)
NAMED(order_state, 1, PENDING)
NAMED(order_state, 2, CONFIRMED)
NAMED(order_state, 3, PARTIALLY_SHIPPED)
NAMED(order_state, 4, SHIPPED)
NAMED(order_state, 5, DELIVERED)
NAMED(order_state, 6, EXPIRED)
NAMED(order_state, 7, FAILED)
NAMED(order_state, 8, CANCELLED)
NAMED(money_state, 0, NONE)
NAMED(money_state, 1, DUE)
NAMED(money_state, 2, CAPTURED)
NAMED(money_state, 3, REFUND_DUE)
NAMED(money_state, 4, PARTIALLY_REFUNDED)
NAMED(money_state, 5, REFUNDED)
NAMED(sale_state, 1, READY)
NAMED(sale_state, 2, OPEN)
NAMED(sale_state, 3, PAUSED)
NAMED(sale_state, 4, CLOSED)
NAMED(payment_status, 1, SUCCESS)
NAMED(payment_status, 2, FAILURE)
NAMED(allocation, 0, SINGLE)
NAMED(allocation, 1, RANK)
NAMED(allocation, 2, EXPLICIT)
NAMED(server_role, 1, PRIMARY)
NAMED(server_role, 2, REPLICA)
NAMED(member_state, 0, SERVING)
NAMED(member_state, 1, WAITING)
NAMED(member_state, 2, FENCED)
NAMED(member_state, 3, CONNECTING)
NAMED(member_state, 4, SYNCING)
NAMED(member_state, 5, STREAMING)
NAMED(member_state, 6, BEHIND)
NAMED(member_state, 7, DIVERGED)
NAMED(member_state, 8, AWAY)
NAMED(join_answer, 1, STREAM)
NAMED(join_answer, 2, SNAPSHOT)
NAMED(join_answer, 3, FORK)
NAMED(join_answer, 4, REFUSED)
NAMED(place_flags, 1, PARTIAL)
NAMED(place_flags, 2, PAID)
NAMED(place_flags, 4, POINTS_EXACT)
NAMED(sale_flags, 1, FAIL_AT_ONCE)
NAMED(stock_flags, 1, ALLOW_DEFICIT)
NAMED(attention, 1, PARKED)
NAMED(attention, 2, REFUND_DUE)
NAMED(attention, 3, REFUND_FAILED)
NAMED(attention, 4, OFFLINE)
NAMED(attention, 5, DEFICIT)

/* Whatever outcomes there are. */
#define OUTCOME_VALUE(number, NAME, ...) NAMED(outcome, number, NAME)
OUTCOMES(OUTCOME_VALUE)
#undef OUTCOME_VALUE

/* Whatever metrics there are. */
#define METRIC(number, layer, kind, unit, name, help) NAMED(metric, number, name)
#include "base/tables/metrics.h"

#undef FIELD_TYPE
#undef NAMED
#undef FLAGS
