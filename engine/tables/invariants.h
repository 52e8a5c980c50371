/* What must always hold of the state, one row each: included again wherever something follows from
 * it. Whoever includes this file defines INVARIANT; it is undefined at the end.
 *
 *   INVARIANT(number, part, name, text)
 *       number  of the invariant in docs/rules.md; 0: the records can be followed at all
 *       part    of it, from 1: what is checked as one
 *       name    in messages, and of the test that breaks it (tests/model/invariants_test.c)
 *       text    what holds, in messages and in docs/rules.md */
#ifndef INVARIANT
#define INVARIANT(number, part, name, text)
#endif

INVARIANT(0, 1, record_none, "record 0 of a table stands for none, and is zero")
INVARIANT(0, 2, record_range, "a number of a record is within its range")
INVARIANT(0, 3, record_zero, "reserved bytes are zero")
INVARIANT(0, 4, record_refers, "a record refers to records that are in use, and its own")
INVARIANT(0, 5, record_list, "a list goes through records that are in no other list, and ends")
INVARIANT(0, 6, record_listed, "a record that belongs to a list or an order is found there")
INVARIANT(0, 7, free_count, "the free records of a table are as many as are counted")
INVARIANT(0, 8, key_ring, "keys forgotten <= keys added <= seq, and there is room for the rest")
INVARIANT(0, 9, deadline_count, "the numbers of the deadlines are those of the buckets in use")
INVARIANT(0, 10, sum_range, "a sum stays a number of 64 bits")

INVARIANT(1, 1, stock_parts, "on_hand = available + pooled + reserved + committed + unsellable")
INVARIANT(1, 2, stock_range, "nothing of a stock is below zero but available, or above 10^12")
INVARIANT(1, 3, stock_total, "on_hand of all stock is what its records make, at most 10^18")

INVARIANT(2, 1, stock_reserved, "reserved = sum over PENDING orders")
INVARIANT(2, 2, stock_committed, "committed = sum over CONFIRMED orders")
INVARIANT(2, 3, stock_pooled, "pooled = sum over the sales' pools")

INVARIANT(3, 1, line_allocated, "allocated <= quantity of a line")
INVARIANT(3, 2, line_piece, "a piece is of a line of its order, and of that line's SKU")

INVARIANT(4, 1, pool_taken, "sold + held of a pool = sum over its orders")
INVARIANT(4, 2, pool_range, "sold + held <= the pool: neither they nor what is left is below zero")
INVARIANT(4, 3, tally_quantity, "what a customer has of a sale with limits = sum over its orders")
INVARIANT(4, 4, sale_counted, "a sale with limits counts what each customer has")
INVARIANT(4, 5, sale_has_orders, "a sale with orders is marked as one")

INVARIANT(5, 1, points_range, "points are not below zero, and a customer's at most 10^15")
INVARIANT(5, 2, points_lots, "a customer's points = sum of the lots")
INVARIANT(5, 3, points_ledger, "a customer's points = sum of the ledger")
INVARIANT(5, 4, points_held, "points held of a lot = sum over PENDING orders")
INVARIANT(5, 5, points_spent, "points spent by a customer = sum over CONFIRMED orders")
INVARIANT(5, 6, points_taken, "points taken of lots = points used, of a PENDING or CONFIRMED order")
INVARIANT(5, 7, points_owner, "points are taken of lots of the order's customer")

INVARIANT(6, 1, order_total, "total = sum of allocated quantity x price")
INVARIANT(6, 2, points_value, "points value = points used at the order's rate, at most its total")

INVARIANT(7, 1, money_captured, "captured = sum of the payments that succeeded")
INVARIANT(7, 2, money_refund, "0 <= refund due <= captured")
INVARIANT(7, 3, money_kept, "captured - refund due = money due of a CONFIRMED order, 0 of others")
INVARIANT(7, 4, money_parked, "payments parked of an order are as many as it counts")
INVARIANT(7, 5, money_counts, "orders with a refund due and parked payments are as many as counted")

INVARIANT(8, 1, order_once, "one order per order id")
INVARIANT(8, 2, payment_once, "one effect per provider and payment event")
INVARIANT(8, 3, key_once, "one effect per key, in the order in which keys came")
INVARIANT(8, 4, customer_once, "one customer per customer id")
INVARIANT(8, 5, number_once, "one record per SKU, name, (SKU, warehouse), sale, pool and count")

INVARIANT(9, 1, history_whole, "one step per version, by ascending seq, the newest into the state")
INVARIANT(9, 2, history_legal, "an order makes only legal transitions")
INVARIANT(9, 3, hold_deadline, "a PENDING order has its deadline to come")
INVARIANT(9, 4, end_reserved, "steps, ledger entries and lots that PENDING orders need are kept")
INVARIANT(9, 5, order_counts, "orders of each state are as many as are counted")

INVARIANT(10, 1, time_order, "jumps <= time of the last change <= time, and within range like seq")
INVARIANT(10, 2, epoch_order,
          "epochs ascend from 2 on, as do their first changes; none is yet to come")

INVARIANT(14, 1, closing_queue,
          "closed orders are in the queue, by their last change, and no others")

#undef INVARIANT
