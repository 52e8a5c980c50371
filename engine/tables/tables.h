/* The engine's tables, indexes, numbers and capacities, one row each, and the records of the
 * tables, a row for each field: included again wherever something follows from them. Whoever
 * includes this file defines the macros that it wants; all are undefined at its end.
 *
 *   RECORD(record)         begins one; its fields follow in the order of the struct
 *   MEMBER(record, number, type, name, refers, since, text)
 *       number   what an image calls it; never used again in this record
 *       type     a C type of a fixed size, without padding
 *       refers   the table whose record it is the index of, 0 for none; `none` for any other value
 *       since    the schema that brought it: a record of an older image has zero there
 *       text     what it means
 *   RECORD_END(record)
 *   PARTS(name, record, first, second)
 *       a union of a record and of two indexes
 *
 * Structs, their asserted sizes, the layout of images, the check of references in what was loaded,
 * and the tables of docs/formats.md follow. A field may be added at the end, or where reserved
 * bytes were.
 *
 *   TABLE(number, KIND, name, record, capacity, since, text)
 *       number    what an image calls it; never used again
 *       KIND      ARENA: records by index, from 1
 *                 POOL: an arena whose records are given back and used again; one that is free is
 *                 zero but for its LINK. <name>_free and <name>_free_count are rows of SCALAR
 *                 RUNS: records taken and given back several in a row (engine/runs.h). They have a
 *                 row of RUN; <name>_free_0 to _6 and <name>_free_count are rows of SCALAR
 *                 BESIDE: the rest of the records of another table, with the same indexes. Those
 *                 that were not written yet are zero, and not counted
 *                 RING: records that are forgotten in the order in which they came
 *                 (engine/memory_ring.h), with an index of its own, whose hash is <name>_hash in
 *                 engine/rebuild.c; <name>_first and <name>_end are rows of SCALAR
 *                 BUCKETS, CHUNKS: of the deadlines (engine/deadlines.h)
 *       record    one of those below
 *       capacity  the option that sizes it
 *       since     the schema that brought it
 *     In the order in which an image has them: what is changed most comes first, so that a snapshot
 *     soon has passed it; what is only ever added to comes last.
 *
 *   LINK(record, member)
 *       of a POOL: the uint32_t that links its free records
 *   RUN(record, links, used)
 *       of RUNS: where the three words of a free block begin, and the uint32_t that is not zero in
 *       any record in use
 *
 *   INDEX(name, table)
 *       finds records of the table: uint64_t <name>_hash(engine, record) tells where, in
 *       engine/rebuild.c
 *   ID_INDEX(name, table)
 *       the same by an id that is not zero, and has it beside the record's number, so that nothing
 *       else is touched: struct id <name>_id(engine, record) tells it, in engine/rebuild.c
 *
 *   TERMS(table)
 *       what an order's terms are judged by stands in records of the table, or is reached from them
 *       alone: a change of one makes every offer void (engine/offer.c). Whoever links a stock to
 *       its SKU, or a pool to its sale, changes these too
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
#ifndef RECORD
#define RECORD(record)
#endif
#ifndef MEMBER
#define MEMBER(record, number, type, name, refers, since, text)
#endif
#ifndef RECORD_END
#define RECORD_END(record)
#endif
#ifndef PARTS
#define PARTS(name, record, first, second)
#endif
#ifndef TABLE
#define TABLE(number, KIND, name, record, capacity, since, text)
#endif
#ifndef LINK
#define LINK(record, member)
#endif
#ifndef RUN
#define RUN(record, links, used)
#endif
#ifndef INDEX
#define INDEX(name, table)
#endif
#ifndef ID_INDEX
#define ID_INDEX(name, table)
#endif
#ifndef TERMS
#define TERMS(table)
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

/* Records. */

RECORD(sku)
MEMBER(sku, 1, uint64_t, sku, none, 1, "the SKU's number")
MEMBER(sku, 2, int64_t, price, none, 1, "of one unit, now")
MEMBER(sku, 3, uint32_t, stocks, stocks, 1, "first of its stocks, by ascending warehouse")
MEMBER(sku, 4, uint16_t, currency, none, 1, "of the price")
MEMBER(sku, 5, uint16_t, zero, none, 1, "")
MEMBER(sku, 6, struct name, name, none, 1, "all zero: none")
MEMBER(sku, 7, uint64_t, zero2, none, 1, "")
RECORD_END(sku)

/* on_hand = available + pooled + reserved + committed + unsellable, always. */
RECORD(stock)
MEMBER(stock, 1, int64_t, on_hand, none, 1, "units in the warehouse")
MEMBER(stock, 2, int64_t, available, none, 1, "may be promised; below zero only by a deficit")
MEMBER(stock, 3, int64_t, pooled, none, 1, "left in pools of sales")
MEMBER(stock, 4, int64_t, reserved, none, 1, "held by PENDING orders")
MEMBER(stock, 5, int64_t, committed, none, 1, "sold, not shipped")
MEMBER(stock, 6, int64_t, unsellable, none, 1, "damaged, or returned unfit")
MEMBER(stock, 7, uint32_t, sku, skus, 1, "the SKU that these are units of")
MEMBER(stock, 8, uint32_t, warehouse, none, 1, "its number")
MEMBER(stock, 9, uint32_t, next, stocks, 1, "of the same SKU")
MEMBER(stock, 10, uint32_t, pieces, none, 1, "where its newest piece is, for piece_of")
RECORD_END(stock)

RECORD(sale)
MEMBER(sale, 1, uint64_t, opens_us, none, 1, "orders before it are refused")
MEMBER(sale, 2, uint64_t, closes_us, none, 1, "orders from it on are refused; UINT64_MAX: never")
MEMBER(sale, 3, int64_t, points_max, none, 1, "points an order may use")
MEMBER(sale, 4, uint32_t, sale, none, 1, "its number")
MEMBER(sale, 5, uint32_t, hold_s, none, 1, "a hold's length, in seconds")
MEMBER(sale, 6, uint32_t, hold_max_s, none, 1, "its cap, from the placing on")
MEMBER(sale, 7, uint32_t, points_share, none, 1, "of the total, in 1/10000")
MEMBER(sale, 8, uint32_t, rate_points, none, 1, "so many points ...")
MEMBER(sale, 9, uint32_t, rate_money, none, 1, "... are worth so many minor units")
MEMBER(sale, 10, uint32_t, customer_sku_max, none, 1, "units of one SKU a customer; 0: no limit")
MEMBER(sale, 11, uint32_t, customer_sale_max, none, 1, "units in all a customer; 0: no limit")
MEMBER(sale, 12, uint32_t, pools, pools, 1, "newest of its pools")
MEMBER(sale, 13, uint16_t, flags, none, 1, "of sale.put")
MEMBER(sale, 14, uint8_t, state, none, 1, "sale_state")
MEMBER(sale, 15, uint8_t, counted, none, 1, "1: it has, or had, limits per customer")
MEMBER(sale, 16, uint8_t, has_orders, none, 1, "1: one at least was placed in it")
MEMBER(sale, 17, uint8_t, zero, none, 1, "")
MEMBER(sale, 18, uint16_t, zero2, none, 1, "")
MEMBER(sale, 19, uint32_t, zero3, none, 1, "")
RECORD_END(sale)

/* What a sale may give of a stock: size = left + taken; stock.pooled sums the `left`s. */
RECORD(pool)
MEMBER(pool, 1, int64_t, left, none, 1, "units not taken")
MEMBER(pool, 2, int64_t, taken, none, 1, "units held and sold")
MEMBER(pool, 3, uint32_t, sale, sales, 1, "the sale that may give them")
MEMBER(pool, 4, uint32_t, stock, stocks, 1, "the stock that it takes them from")
MEMBER(pool, 5, uint32_t, next, pools, 1, "of the same sale")
MEMBER(pool, 6, uint32_t, zero, none, 1, "")
RECORD_END(pool)

/* Units that a customer holds or has in a sale: of one SKU, or (sku 0) in all. */
RECORD(tally)
MEMBER(tally, 1, uint32_t, customer, customers, 1, "who holds or has the units")
MEMBER(tally, 2, uint32_t, sale, sales, 1, "the sale they were taken in")
MEMBER(tally, 3, uint32_t, sku, skus, 1, "0: of all SKUs")
MEMBER(tally, 4, uint32_t, zero, none, 1, "")
MEMBER(tally, 5, uint64_t, quantity, none, 1, "units")
RECORD_END(tally)

/* A customer's points. The ids stand in a table of their own, under the same index: most orders use
 * no points, and then touch 16 bytes of a customer and change none. */
RECORD(customer)
MEMBER(customer, 1, int64_t, spendable, none, 1, "sum of `left` over lots, expired ones included")
MEMBER(customer, 2, int64_t, held, none, 1, "sum of `held` over lots")
MEMBER(customer, 3, int64_t, spent, none, 1, "by CONFIRMED orders; cancelled, they bring them back")
MEMBER(customer, 4, uint32_t, lots, lots, 1, "by ascending expiry; only those with points")
MEMBER(customer, 5, uint32_t, ledger, ledger, 1, "newest entry")
RECORD_END(customer)

RECORD(customer_id)
MEMBER(customer_id, 1, struct id, id, none, 1, "of the customer with the same index")
RECORD_END(customer_id)

/* Points of one credit, or what came back of one that had expired by then. Its expiry never
 * changes. */
RECORD(lot)
MEMBER(lot, 1, int64_t, left, none, 1, "points that may be spent")
MEMBER(lot, 2, int64_t, held, none, 1, "points held by PENDING orders")
MEMBER(lot, 3, uint64_t, expires_us, none, 1, "UINT64_MAX: never")
MEMBER(lot, 4, uint32_t, customer, customers, 1, "whose points these are")
MEMBER(lot, 5, uint32_t, next, lots, 1, "of the same customer")
MEMBER(lot, 6, uint32_t, linked, none, 1, "1 while in its customer's list")
MEMBER(lot, 7, uint32_t, origin, lots, 1,
       "the credit's lot that it came back of, too late; 0: a credit")
RECORD_END(lot)

RECORD(ledger_entry)
MEMBER(ledger_entry, 1, uint64_t, seq, none, 1, "of the change")
MEMBER(ledger_entry, 2, uint64_t, time_us, none, 1, "of the change")
MEMBER(ledger_entry, 3, int64_t, points, none, 1, "how many")
MEMBER(ledger_entry, 4, uint32_t, order, orders, 1,
       "0: none; one that was placed after `seq` has only the record of what it was")
MEMBER(ledger_entry, 5, uint32_t, lot, lots, 1, "the lot whose points moved")
MEMBER(ledger_entry, 6, uint32_t, previous, ledger, 1, "of the same customer")
MEMBER(ledger_entry, 7, uint32_t, kind, none, 1, "ledger_kind")
RECORD_END(ledger_entry)

/* Points that an order took from a lot. */
RECORD(point_take)
MEMBER(point_take, 1, int64_t, points, none, 1, "how many")
MEMBER(point_take, 2, uint32_t, lot, lots, 1, "where they were taken")
MEMBER(point_take, 3, uint32_t, next, point_takes, 1, "of the same order, or in the free list")
RECORD_END(point_take)

RECORD(line)
MEMBER(line, 1, int64_t, price, none, 1, "of one unit, as the buyer saw it")
MEMBER(line, 2, uint32_t, sku, skus, 1, "what was asked for")
MEMBER(line, 3, uint32_t, quantity, none, 1, "asked for")
RECORD_END(line)

/* Stock that a line took from one place. */
RECORD(piece)
MEMBER(piece, 1, uint32_t, stock, stocks, 1, "the SKU and warehouse it was taken from")
MEMBER(piece, 2, uint32_t, quantity, none, 1, "units")
MEMBER(piece, 3, uint32_t, next, none, 1, "where this stock's next older piece is")
MEMBER(piece, 4, uint32_t, order, orders, 1,
       "the order that took it; inside of that: where this stock's next newer piece is")
MEMBER(piece, 5, uint32_t, pool, pools, 1, "it was taken from; 0: from what was available")
MEMBER(piece, 6, uint16_t, line, none, 1, "of the order, from 0")
MEMBER(piece, 7, uint16_t, flags, none, 1, "PIECE_*")
RECORD_END(piece)

/* The rest of a piece that is not inside of its order. */
RECORD(piece_link)
MEMBER(piece_link, 1, uint32_t, newer, none, 3, "where this stock's next newer piece is; 0: none")
RECORD_END(piece_link)

PARTS(order_parts, piece, lines, pieces)

/* 128 bytes, all of the most common order: one line from one warehouse, and the first transition.
 * Such a line follows from the piece: its SKU is the stock's, its quantity the piece's, and the
 * price is the total by it. Other orders have their lines and pieces in tables of their own, and
 * all have further transitions in theirs. */
RECORD(order)
MEMBER(order, 1, struct id, id, none, 1, "the client's id of it")
MEMBER(order, 2, uint64_t, placed_seq, none, 1, "of its placing")
MEMBER(order, 3, uint64_t, placed_us, none, 1, "time of its placing")
MEMBER(order, 4, uint64_t, deadline_us, none, 1, "of its hold")
MEMBER(order, 5, uint64_t, fingerprint, none, 1, "of the order.place that made it")
MEMBER(order, 6, int64_t, total, none, 1, "sum of allocated quantity x price")
MEMBER(order, 7, uint32_t, customer, customers, 1, "who placed it")
MEMBER(order, 8, uint32_t, sale, sales, 1, "0: none")
MEMBER(order, 9, uint32_t, money, moneys, 1, "0: no points and no payment")
MEMBER(order, 10, uint32_t, steps, steps, 1, "newest transition after the first; 0: none")
MEMBER(order, 11, uint32_t, version, none, 1, "transitions, the placing included")
MEMBER(order, 12, uint32_t, hold_s, none, 1, "as first decided")
MEMBER(order, 13, uint16_t, currency, none, 1, "of its money")
MEMBER(order, 14, uint8_t, state, none, 1, "order_state")
MEMBER(order, 15, uint8_t, flags, none, 1,
       "ORDER_*, and the allocation from ORDER_ALLOCATION_SHIFT on")
MEMBER(order, 16, uint8_t, line_count, none, 1, "lines of the request")
MEMBER(order, 17, uint8_t, piece_count, none, 1, "pieces that it was placed with")
MEMBER(order, 18, uint8_t, first_state, none, 1, "order_state after the first transition")
MEMBER(order, 19, uint8_t, first_money, none, 1, "money_state after that transition")
MEMBER(order, 20, uint64_t, first_seq, none, 1, "of that transition")
MEMBER(order, 21, uint64_t, first_us, none, 1, "time of that transition")
MEMBER(order, 22, union order_parts, parts, none, 1, "a piece, or where lines and pieces stand")
RECORD_END(order)

/* The place of a closed order in the queue of those that are to be forgotten. */
RECORD(closing)
MEMBER(closing, 1, uint32_t, older, orders, 3, "the order that is forgotten before it")
MEMBER(closing, 2, uint32_t, newer, orders, 3, "the order that is forgotten after it")
RECORD_END(closing)

/* An order's money, from the first points or payment on, a parked one included. */
RECORD(money)
MEMBER(money, 1, int64_t, points_used, none, 1, "held, spent or given back, by state")
MEMBER(money, 2, int64_t, points_value, none, 1, "what they are worth")
MEMBER(money, 3, int64_t, captured, none, 1, "paid so far")
MEMBER(money, 4, int64_t, refund_due, none, 1, "to be paid back in all")
MEMBER(money, 5, uint32_t, rate_points, none, 1, "of the sale when the order was placed")
MEMBER(money, 6, uint32_t, rate_money, none, 1, "of the sale when the order was placed")
MEMBER(money, 7, uint32_t, takes, point_takes, 1, "the first")
MEMBER(money, 8, uint32_t, order, orders, 1, "whose money it is")
MEMBER(money, 9, uint32_t, parked, none, 1, "payments that wait for a person")
MEMBER(money, 10, uint32_t, pieces, pieces, 1, "first of those that an ORDER_IS_MOVED has now")
MEMBER(money, 11, uint32_t, piece_count, none, 1, "of those")
MEMBER(money, 20, uint32_t, payments, payments, 3, "newest event of the order")
RECORD_END(money)

/* One of an order's versions after the second, which stand in the order. `jump` leads to an older
 * step, so that any version is found in a few leaps: see step_find. */
RECORD(step)
MEMBER(step, 1, uint64_t, seq, none, 1, "of the change")
MEMBER(step, 2, uint64_t, time_us, none, 1, "of the change")
MEMBER(step, 3, uint32_t, previous, steps, 1, "of the same order")
MEMBER(step, 4, uint32_t, jump, steps, 1, "an older one, of the same order")
MEMBER(step, 5, uint32_t, version, none, 1, "of the order after it")
MEMBER(step, 6, uint8_t, state, none, 1, "order_state after it")
MEMBER(step, 7, uint8_t, money, none, 1, "money_state after it")
MEMBER(step, 8, uint16_t, zero, none, 1, "")
RECORD_END(step)

/* An event of an order; it is known as long as its order is. */
RECORD(payment)
MEMBER(payment, 1, struct id, event, none, 1, "the provider's id of it")
MEMBER(payment, 2, uint64_t, time_us, none, 1, "when it came")
MEMBER(payment, 3, int64_t, amount, none, 1, "as the event tells")
MEMBER(payment, 4, uint32_t, provider, none, 1, "its number")
MEMBER(payment, 5, uint32_t, order, orders, 1, "the order that was paid for")
MEMBER(payment, 6, uint8_t, status, none, 1, "payment_status")
MEMBER(payment, 7, uint8_t, outcome, none, 1, "OK, or AMOUNT_MISMATCH: parked")
MEMBER(payment, 8, uint16_t, currency, none, 1, "of the amount")
MEMBER(payment, 11, uint32_t, next, payments, 3, "older one of the same order, or free one")
MEMBER(payment, 10, union payment_reply, reply, none, 1, "its first answer")
RECORD_END(payment)

RECORD(key_record)
MEMBER(key_record, 1, struct id, key, none, 1, "the idempotency key")
MEMBER(key_record, 2, uint64_t, fingerprint, none, 1, "of the command that it came with")
MEMBER(key_record, 3, uint64_t, kept_us, none, 1, "engine_kept_us when it was added")
MEMBER(key_record, 4, struct key_reply, reply, none, 1, "the first answer, without rows")
RECORD_END(key_record)

RECORD(deadline_bucket)
MEMBER(deadline_bucket, 1, uint32_t, head, deadline_chunks, 1, "first chunk of its chain")
MEMBER(deadline_bucket, 2, uint32_t, tail, deadline_chunks, 1, "last chunk of its chain")
MEMBER(deadline_bucket, 3, uint32_t, count, none, 1, "entries")
RECORD_END(deadline_bucket)

RECORD(deadline_chunk)
MEMBER(deadline_chunk, 1, uint32_t, next, deadline_chunks, 1, "of the chain, or in the free list")
MEMBER(deadline_chunk, 2, uint16_t, first, none, 1, "entries before it are done")
MEMBER(deadline_chunk, 3, uint16_t, end, none, 1, "entries from it on are unused")
MEMBER(deadline_chunk, 4, struct deadline_orders, orders, none, 1, "the entries")
MEMBER(deadline_chunk, 5, uint32_t, zero, none, 1, "")
RECORD_END(deadline_chunk)

RECORD(epoch)
MEMBER(epoch, 1, uint64_t, epoch, none, 2, "its number, 2 or more")
MEMBER(epoch, 2, uint64_t, seq, none, 2, "of its first change, the epoch.begin")
MEMBER(epoch, 3, uint64_t, previous, none, 2, "checksum of the last block before it")
MEMBER(epoch, 4, uint64_t, time_us, none, 2, "when it began")
RECORD_END(epoch)

/* Tables and what belongs to them. */

TABLE(1, ARENA, skus, sku, skus, 1, "what is sold")
TABLE(2, ARENA, stocks, stock, stocks, 1, "units of a SKU in a warehouse")
TABLE(3, ARENA, sales, sale, sales, 1, "terms of sales")
TABLE(4, ARENA, pools, pool, pools, 1, "what a sale may give of a stock")
TABLE(5, POOL, tallies, tally, tallies, 1, "units that a customer has in a sale")
TABLE(6, ARENA, customers, customer, customers, 1, "points of customers")
TABLE(7, POOL, lots, lot, lots, 1, "lots of points")
TABLE(8, POOL, point_takes, point_take, point_takes, 1, "points that orders took from lots")
TABLE(9, BUCKETS, deadline_buckets, deadline_bucket, deadlines, 1, "near and far times")
TABLE(10, CHUNKS, deadline_chunks, deadline_chunk, deadlines, 1, "what ends at those times")
TABLE(11, POOL, moneys, money, moneys, 1, "money of orders that have points or payments")
TABLE(22, BESIDE, closings, closing, orders, 3, "the queue of closed orders")
TABLE(12, POOL, orders, order, orders, 1, "orders")
TABLE(13, RING, keys, key_record, keys, 1, "idempotency keys with their first answers")
TABLE(21, BESIDE, piece_links, piece_link, pieces, 3,
      "links of the pieces of orders that have more than one")
TABLE(14, RUNS, pieces, piece, pieces, 1, "allocations of orders that have more than one")
TABLE(15, RUNS, lines, line, lines, 1, "lines of orders that have more than one")
TABLE(16, POOL, ledger, ledger_entry, ledger, 1, "movements of points")
TABLE(17, POOL, steps, step, steps, 1, "transitions of orders after their first")
TABLE(18, POOL, payments, payment, payments, 1, "payment events with their first answers")
TABLE(19, ARENA, customer_ids, customer_id, customers, 1, "ids of customers")
TABLE(20, ARENA, epochs, epoch, epochs, 2, "epochs after the first")

LINK(tally, customer)
LINK(lot, next)
LINK(point_take, next)
LINK(money, takes)
LINK(order, sale)
LINK(ledger_entry, previous)
LINK(step, previous)
LINK(payment, next)

RUN(piece, next, quantity)
RUN(line, price, quantity)

INDEX(sku_index, skus)
INDEX(name_index, skus)
INDEX(stock_index, stocks)
INDEX(sale_index, sales)
INDEX(pool_index, pools)
INDEX(tally_index, tallies)
ID_INDEX(customer_index, customer_ids)
INDEX(order_index, orders)
INDEX(payment_index, payments)

TERMS(skus)
TERMS(sales)

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
SCALAR(31, STATE, pieces_free_0, pieces.free[0], 3, "first free block of 1")
SCALAR(32, STATE, pieces_free_1, pieces.free[1], 3, "first free block of 2")
SCALAR(33, STATE, pieces_free_2, pieces.free[2], 3, "first free block of 4")
SCALAR(34, STATE, pieces_free_3, pieces.free[3], 3, "first free block of 8")
SCALAR(35, STATE, pieces_free_4, pieces.free[4], 3, "first free block of 16")
SCALAR(36, STATE, pieces_free_5, pieces.free[5], 3, "first free block of 32")
SCALAR(37, STATE, pieces_free_6, pieces.free[6], 3, "first free block of 64")
SCALAR(38, STATE, pieces_free_count, pieces.free_count, 3, "records in free blocks")
SCALAR(39, STATE, lines_free_0, lines.free[0], 3, "first free block of 1")
SCALAR(40, STATE, lines_free_1, lines.free[1], 3, "first free block of 2")
SCALAR(41, STATE, lines_free_2, lines.free[2], 3, "first free block of 4")
SCALAR(42, STATE, lines_free_3, lines.free[3], 3, "first free block of 8")
SCALAR(43, STATE, lines_free_4, lines.free[4], 3, "first free block of 16")
SCALAR(44, STATE, lines_free_5, lines.free[5], 3, "first free block of 32")
SCALAR(45, STATE, lines_free_6, lines.free[6], 3, "first free block of 64")
SCALAR(46, STATE, lines_free_count, lines.free_count, 3, "records in free blocks")
SCALAR(47, STATE, orders_free, orders_free, 3, "the record that was given back last")
SCALAR(48, STATE, orders_free_count, orders_free_count, 3, "records given back")
SCALAR(49, STATE, moneys_free, moneys_free, 3, "the record that was given back last")
SCALAR(50, STATE, moneys_free_count, moneys_free_count, 3, "records given back")
SCALAR(51, STATE, steps_free, steps_free, 3, "the record that was given back last")
SCALAR(52, STATE, steps_free_count, steps_free_count, 3, "records given back")
SCALAR(53, STATE, payments_free, payments_free, 3, "the record that was given back last")
SCALAR(54, STATE, payments_free_count, payments_free_count, 3, "records given back")
SCALAR(55, STATE, lots_free, lots_free, 3, "the record that was given back last")
SCALAR(56, STATE, lots_free_count, lots_free_count, 3, "records given back")
SCALAR(57, STATE, ledger_free, ledger_free, 3, "the record that was given back last")
SCALAR(58, STATE, ledger_free_count, ledger_free_count, 3, "records given back")
SCALAR(59, STATE, tallies_free, tallies_free, 3, "the record that was given back last")
SCALAR(60, STATE, tallies_free_count, tallies_free_count, 3, "records given back")
SCALAR(61, STATE, orders_forgotten, orders_forgotten, 3, "orders that have left memory")
SCALAR(62, STATE, orders_forgetting, orders_forgetting, 3, "its steps and events are still there")
SCALAR(63, STATE, closing_first, closing_first, 3,
       "first of the closed orders: changed longest ago")
SCALAR(64, STATE, closing_last, closing_last, 3, "last of the closed orders")
SCALAR(65, STATE, closing_count, closing_count, 3, "closed orders")
SCALAR(66, STATE, retain_orders_us, retain_orders_us, 3, "how long they are kept; 0: 30 days")
SCALAR(67, STATE, retain_orders_max, retain_orders_max, 3, "how many at most; 0: any number")
SCALAR(68, STATE, retain_ledger_us, retain_ledger_us, 3, "how long entries are kept; 0: 30 days")
SCALAR(69, STATE, retain_keys_us, retain_keys_us, 3, "how long keys are kept; 0: 24 hours")
SCALAR(70, STATE, keys_known_us, keys_known_us, 3, "keys kept before it are forgotten")

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
CAPACITY(18, epochs, 4u << 10, "epochs, one for each promotion, ever")

#undef RECORD
#undef MEMBER
#undef RECORD_END
#undef PARTS
#undef TABLE
#undef LINK
#undef RUN
#undef INDEX
#undef ID_INDEX
#undef TERMS
#undef SCALAR
#undef CAPACITY
#undef TIMER
