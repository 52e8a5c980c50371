/* The outcomes of a command: the one table behind the enum, the text, the docs and the clients.
 *
 * OUTCOME(number, NAME, retry, known, subject, value, text)
 *   retry   may the client send the same request again: never, later (when something changed),
 *           same (the identical bytes, any time), elsewhere (another server)
 *   known   is it certain whether the command took effect: yes, or no
 *   subject, value   the names of the two numbers a rejection carries ("" where there is none)
 * A rejection leaves no trace, with one exception that says so: AMOUNT_MISMATCH on payment.event
 * records the event as parked. */
#ifndef TILL_BASE_STATUS_H
#define TILL_BASE_STATUS_H

#include <stdint.h>

#define OUTCOMES(OUTCOME)                                                                          \
    OUTCOME(0, OK, same, yes, "", "", "done")                                                      \
    OUTCOME(1, REPLAYED, same, yes, "", "", "done before; the first answer again")                 \
    OUTCOME(2, SOLD_OUT, later, yes, "sku", "remaining", "nothing of this SKU is left to sell")    \
    OUTCOME(3, INSUFFICIENT_STOCK, later, yes, "sku", "remaining",                                 \
            "fewer are left than asked for")                                                       \
    OUTCOME(4, WAREHOUSE_OFFLINE, later, yes, "warehouse", "", "the warehouse takes no orders")    \
    OUTCOME(5, CUSTOMER_LIMIT, never, yes, "sku", "remaining",                                     \
            "more than one customer may take; sku 0 is the limit of the whole sale")               \
    OUTCOME(6, CUSTOMER_BLOCKED, never, yes, "", "", "the customer may not buy")                   \
    OUTCOME(7, SALE_NOT_OPEN, later, yes, "sale", "opens", "the sale is not open now")             \
    OUTCOME(8, NOT_ADMITTED, later, yes, "sale", "position", "the sale needs an admitted ticket")  \
    OUTCOME(9, RATE_LIMITED, later, yes, "limit", "retry_us", "too many requests in the window")   \
    OUTCOME(10, INSUFFICIENT_POINTS, never, yes, "", "available", "fewer points than asked for")   \
    OUTCOME(11, POINTS_CAP, never, yes, "", "cap", "more points than this order may use")          \
    OUTCOME(12, PRICE_MISMATCH, never, yes, "sku", "price", "the price is another one now")        \
    OUTCOME(13, CURRENCY_MISMATCH, never, yes, "sku", "currency",                                  \
            "another currency than the SKU's, or the order's")                                     \
    OUTCOME(14, AMOUNT_MISMATCH, never, yes, "currency", "expected",                               \
            "not the amount or currency due; the payment is parked for a person")                  \
    OUTCOME(15, EVENT_CONFLICT, never, yes, "provider", "",                                        \
            "this event id came before with other content")                                        \
    OUTCOME(16, IDEM_MISMATCH, never, yes, "", "", "this key was used before with other content")  \
    OUTCOME(17, IN_PROGRESS, later, yes, "", "ends", "someone else holds the claim")               \
    OUTCOME(18, HOLD_EXPIRED, never, yes, "", "ended", "the hold has ended")                       \
    OUTCOME(19, BAD_TRANSITION, never, yes, "state", "", "not possible in this state")             \
    OUTCOME(20, REFUND_EXCEEDS, never, yes, "", "refundable", "more than was captured")            \
    OUTCOME(21, STALE_VERSION, never, yes, "", "current", "the expected old value is not current") \
    OUTCOME(22, STOCK_BELOW_RESERVED, never, yes, "sku", "promised", "less than is promised")      \
    OUTCOME(23, OVERFLOW, never, yes, "", "maximum", "a number would leave its range")             \
    OUTCOME(24, INVALID, never, yes, "field", "sku",                                               \
            "a field is not what it must be; a name that is taken tells whose it is, a row's "     \
            "quantity how many are left")                                                          \
    OUTCOME(25, NOT_FOUND, later, yes, "", "", "there is no such thing")                           \
    OUTCOME(26, FORBIDDEN, never, yes, "", "", "not allowed on this connection")                   \
    OUTCOME(27, NOT_PRIMARY, elsewhere, yes, "epoch", "",                                          \
            "this server takes no commands; the body `redirect` tells where they are taken")       \
    OUTCOME(28, REPLICA_BEHIND, later, yes, "", "seq", "this replica has not reached min_seq")     \
    OUTCOME(29, OVERLOADED, later, yes, "", "", "too much is waiting")                             \
    OUTCOME(30, CAPACITY, later, yes, "table", "limit", "a table is full")                         \
    OUTCOME(31, STORAGE_FULL, later, yes, "", "", "the log's disk is full")                        \
    OUTCOME(32, NO_QUORUM, later, yes, "", "",                                                     \
            "fewer replicas follow than --acks asks for: nothing was decided")                     \
    OUTCOME(33, NOT_INDEXED, elsewhere, yes, "", "",                                               \
            "this server keeps no lists (--indexes): ask one that does, mostly a replica")

#define OUTCOME_ENUM(number, NAME, ...) OUTCOME_##NAME = (number),
enum outcome { OUTCOMES(OUTCOME_ENUM) };
#undef OUTCOME_ENUM

/* Numbers go from 0 on without a gap. */
#define OUTCOME_ONE(number, NAME, ...) +1
enum { OUTCOME_COUNT = 0 OUTCOMES(OUTCOME_ONE) };
#undef OUTCOME_ONE

struct outcome_info {
    const char *name;
    const char *retry;
    const char *known;
    const char *subject;
    const char *value;
    const char *text;
};

/* The row of an outcome; number < OUTCOME_COUNT. */
const struct outcome_info *outcome_info(unsigned number);

/* Its name, or "UNKNOWN". */
const char *outcome_name(unsigned number);

#endif
