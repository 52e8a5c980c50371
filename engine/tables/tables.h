/* The engine's tables, indexes, numbers and capacities, one row each: included again wherever
 * something follows from them. Whoever includes this file defines the macros that it wants; all are
 * undefined at its end.
 *
 *   TABLE(number, KIND, name, record, capacity, since, text)
 *       number    what an image calls it; never used again
 *       KIND      ARENA: records by index, from 1
 *                 POOL: an arena whose records are given back and used again. They have a member
 *                 `next`; <name>_free and <name>_free_count are rows of SCALAR
 *                 RING: records that are forgotten in the order in which they came
 *                 (engine/memory_ring.h), with an index of its own, whose hash is <name>_hash in
 *                 engine/rebuild.c; <name>_first and <name>_end are rows of SCALAR
 *                 BUCKETS, CHUNKS: of the deadlines (engine/deadlines.h)
 *       record    of engine/tables/records.h
 *       capacity  the option that sizes it
 *       since     the schema that brought it
 *     In the order in which an image has them: what is changed most comes first, so that a snapshot
 *     soon has passed it; what is only ever added to comes last.
 *
 *   INDEX(name, table)
 *       finds records of the table: uint64_t <name>_hash(engine, record) tells where, in
 *       engine/rebuild.c
 *
 *   SCALAR(number, KIND, name, place, since, text)
 *       a number of the state that is in no record; the count of a table is kept with it
 *       KIND      STATE: it follows from the log. CLOCK: a query may move it on, so that it is no
 *                 part of the state's checksum
 *
 *   CAPACITY(number, name, default, text)
 *       number    what a CAPACITY rejection carries; never used again
 *       an option of `till serve`, and a row of the memory table it prints
 *
 *   TIMER(number, name, table, since, text)
 *       something of a record of the table ends at a time (engine/deadlines.h)
 *       number    0 to 15, part of each entry; never used again
 *       uint64_t timer_<name>_us(engine, record) tells when, 0 if never, and
 *       void timer_<name>(engine, record) does what is due, if it is: a bounded amount of work
 *     Entries are not taken out when a record changes, so either may be called for a record whose
 *     time was moved, that has ended, or, in a POOL, is free or in use for something else. Both
 *     judge by the record alone, and whoever moves its time sets a new entry. hold.expire runs the
 *     entries of all timers, each counted once */
#ifndef TABLE
#define TABLE(number, KIND, name, record, capacity, since, text)
#endif
#ifndef INDEX
#define INDEX(name, table)
#endif
#ifndef SCALAR
#define SCALAR(number, KIND, name, place, since, text)
#endif
#ifndef CAPACITY
#define CAPACITY(number, name, default, text)
#endif
#ifndef TIMER
#define TIMER(number, name, table, since, text)
#endif

TABLE(1, ARENA, skus, sku, skus, 1, "what is sold")
TABLE(2, ARENA, stocks, stock, stocks, 1, "units of a SKU in a warehouse")
TABLE(3, ARENA, sales, sale, sales, 1, "terms of sales")
TABLE(4, ARENA, pools, pool, pools, 1, "what a sale may give of a stock")
TABLE(5, ARENA, tallies, tally, tallies, 1, "units that a customer has in a sale")
TABLE(6, ARENA, customers, customer, customers, 1, "points of customers")
TABLE(7, ARENA, lots, lot, lots, 1, "lots of points")
TABLE(8, POOL, point_takes, point_take, point_takes, 1, "points that orders took from lots")
TABLE(9, BUCKETS, deadline_buckets, deadline_bucket, deadlines, 1, "near and far times")
TABLE(10, CHUNKS, deadline_chunks, deadline_chunk, deadlines, 1, "what ends at those times")
TABLE(11, ARENA, moneys, money, moneys, 1, "money of orders that have points or payments")
TABLE(12, ARENA, orders, order, orders, 1, "orders")
TABLE(13, RING, keys, key_record, keys, 1, "idempotency keys with their first answers")
TABLE(14, ARENA, pieces, piece, pieces, 1, "allocations of orders that have more than one")
TABLE(15, ARENA, lines, line, lines, 1, "lines of orders that have more than one")
TABLE(16, ARENA, ledger, ledger_entry, ledger, 1, "movements of points")
TABLE(17, ARENA, steps, step, steps, 1, "transitions of orders after their first")
TABLE(18, ARENA, payments, payment, payments, 1, "payment events with their first answers")
TABLE(19, ARENA, customer_ids, customer_id, customers, 1, "ids of customers")

INDEX(sku_index, skus)
INDEX(name_index, skus)
INDEX(stock_index, stocks)
INDEX(sale_index, sales)
INDEX(pool_index, pools)
INDEX(tally_index, tallies)
INDEX(customer_index, customer_ids)
INDEX(order_index, orders)
INDEX(payment_index, payments)

SCALAR(1, STATE, seq, seq, 1, "of the last change")
SCALAR(2, STATE, digest, digest, 1, "after it")
SCALAR(3, CLOCK, time_us, time_us, 1, "of the last decision")
SCALAR(4, STATE, changed_us, changed_us, 1, "time_us of the last change")
SCALAR(5, STATE, jumped_us, jumped_us, 1, "what jumps of the clock have added to time_us in all")
SCALAR(6, STATE, point_takes_free, point_takes_free, 1, "the record that was given back last")
SCALAR(7, STATE, point_takes_free_count, point_takes_free_count, 1, "records given back")
SCALAR(8, STATE, steps_reserved, steps_reserved, 1, "steps that PENDING orders need to end")
SCALAR(9, STATE, ledger_reserved, ledger_reserved, 1, "ledger entries that PENDING orders need")
SCALAR(10, STATE, lots_reserved, lots_reserved, 1, "lots that PENDING orders may need")
SCALAR(11, STATE, orders_PENDING, orders_by_state[order_state_PENDING], 1, "orders in this state")
SCALAR(12, STATE, orders_CONFIRMED, orders_by_state[order_state_CONFIRMED], 1,
       "orders in this state")
SCALAR(13, STATE, orders_PARTIALLY_SHIPPED, orders_by_state[order_state_PARTIALLY_SHIPPED], 1,
       "orders in this state")
SCALAR(14, STATE, orders_SHIPPED, orders_by_state[order_state_SHIPPED], 1, "orders in this state")
SCALAR(15, STATE, orders_DELIVERED, orders_by_state[order_state_DELIVERED], 1,
       "orders in this state")
SCALAR(16, STATE, orders_EXPIRED, orders_by_state[order_state_EXPIRED], 1, "orders in this state")
SCALAR(17, STATE, orders_FAILED, orders_by_state[order_state_FAILED], 1, "orders in this state")
SCALAR(18, STATE, orders_CANCELLED, orders_by_state[order_state_CANCELLED], 1,
       "orders in this state")
SCALAR(19, STATE, on_hand_total, on_hand_total, 1, "on_hand of all stock")
SCALAR(20, STATE, parked_count, parked_count, 1, "payment events parked")
SCALAR(21, STATE, refund_order_count, refund_order_count, 1, "orders with a refund due")
SCALAR(22, STATE, keys_first, keys.first, 1, "keys ever forgotten")
SCALAR(23, STATE, keys_end, keys.end, 1, "keys ever added")
SCALAR(24, STATE, near_first, deadlines.near.first, 1, "first near bucket in use")
SCALAR(25, STATE, near_last, deadlines.near.last, 1, "last near bucket in use")
SCALAR(26, STATE, near_count, deadlines.near.count, 1, "entries in near buckets")
SCALAR(27, STATE, deadlines_chunks_free, deadlines.chunks_free, 1, "first of the free list")
SCALAR(28, STATE, far_first, deadlines.far.first, 1, "first far bucket in use")
SCALAR(29, STATE, far_last, deadlines.far.last, 1, "last far bucket in use")
SCALAR(30, STATE, far_count, deadlines.far.count, 1, "entries in far buckets")

TIMER(0, hold, orders, 1, "the hold of a PENDING order")

CAPACITY(1, skus, 64u << 10, "SKUs")
CAPACITY(2, stocks, 128u << 10, "(SKU, warehouse) pairs")
CAPACITY(3, sales, 4u << 10, "sales")
CAPACITY(4, pools, 128u << 10, "(sale, SKU, warehouse) pools")
CAPACITY(5, tallies, 1u << 20, "(customer, sale, SKU) counts for per-customer limits")
CAPACITY(6, customers, 1u << 20, "customers")
CAPACITY(7, lots, 1u << 20, "lots of points, late returns counted")
CAPACITY(8, ledger, 2u << 20, "entries of the points ledger")
CAPACITY(9, orders, 2u << 20, "orders")
CAPACITY(10, lines, 1u << 20, "lines of orders that have more than one")
CAPACITY(11, pieces, 1u << 20, "allocations of orders that have more than one")
CAPACITY(12, point_takes, 512u << 10, "points taken from a lot by an order")
CAPACITY(13, moneys, 2u << 20, "orders with points or payments")
CAPACITY(14, steps, 2u << 20, "transitions of orders after their first")
CAPACITY(15, deadlines, 4u << 20, "deadlines of holds, extensions counted")
CAPACITY(16, payments, 2u << 20, "payment events of the orders in memory")
CAPACITY(17, keys, 1u << 20, "idempotency keys in the last 24 hours")

#undef TABLE
#undef INDEX
#undef SCALAR
#undef CAPACITY
#undef TIMER
