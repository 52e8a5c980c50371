/* The messages, one row each: included again wherever something follows from them. Whoever includes
 * this file defines MESSAGE; it is undefined at its end.
 *
 *   MESSAGE(number, name, "text name", KIND, role, KEY, since,
 *           request, row, rows_max, reply, reply_row, reply_rows_max, "help")
 *
 *   number         of the frame and of the log; never used again
 *
 *   name           in C. Its handler is handle_<name>(engine, command), if the engine decides it
 *
 *   KIND           SESSION: belongs to a connection. QUERY: reads. COMMAND: changes state, logged
 *                  when accepted. INTERNAL: logged, made by the server alone. ADMIN: for the
 *                  server, not for the engine
 *
 *   role           which category of user may send it: engine/messages.h lists them
 *
 *   KEY            KEYED: its first field, `key`, is an idempotency key, and the answer is kept
 *                  with it, but for a zero of the type key_or_none. KEYED_ROWS: the same, and the
 *                  answer's rows, which are not kept, are made again by
 *                  replay_rows_<name>(engine, command). FREE: without a key
 *
 *   since          the schema that brought it
 *
 *   request, ...   shapes of engine/tables/shapes.h; row `none`: no rows */
#ifndef MESSAGE
#define MESSAGE(number, name, text_name, KIND, role, KEY, since, request, row, rows_max, reply,    \
                reply_row, reply_rows_max, help)
#endif

MESSAGE(1, hello, "hello", SESSION, any, FREE, 1, hello, none, 0, hello_reply, none, 0,
        "opens a connection; the first frame on it")
MESSAGE(2, error, "error", SESSION, any, FREE, 1, empty, none, 0, error_reply, none, 0,
        "sent by the server before it closes a connection")
MESSAGE(3, snapshot, "snapshot", ADMIN, admin, FREE, 1, snapshot, none, 0, snapshot_reply, none, 0,
        "asks for a snapshot that shows a change, unless there is one or one is under way. "
        "Answered at once: published when a later answer's seq_published has reached seq")
MESSAGE(16, sku_put, "sku.put", COMMAND, stock, KEYED, 1, sku_put, none, 0, seq_reply, none, 0,
        "adds a SKU, or changes its price, currency and name")
MESSAGE(17, stock_adjust, "stock.adjust", COMMAND, stock, KEYED, 1, stock_adjust, none, 0,
        stock_level, order_id, CONCERNED_ORDERS_MAX, "adds to or takes from what may be promised")
MESSAGE(18, stock_set, "stock.set", COMMAND, stock, KEYED_ROWS, 1, stock_set, none, 0, stock_level,
        order_id, CONCERNED_ORDERS_MAX, "sets on_hand if it is what the caller expects")
MESSAGE(19, stock_get, "stock.get", QUERY, read, FREE, 1, stock_get, item, STOCK_ITEMS_MAX,
        stock_get_reply, stock_row, STOCK_ITEMS_MAX, "stock and price of up to 64 SKUs")
MESSAGE(20, sale_put, "sale.put", COMMAND, sale, KEYED, 1, sale_put, pool, SALE_POOLS_MAX,
        sale_reply, none, 0, "adds a sale or changes its terms and pools")
MESSAGE(21, sale_open, "sale.open", COMMAND, sale, KEYED, 1, sale_change, none, 0, sale_reply, none,
        0, "lets orders in")
MESSAGE(22, sale_pause, "sale.pause", COMMAND, sale, KEYED, 1, sale_change, none, 0, sale_reply,
        none, 0, "keeps orders out for a while")
MESSAGE(23, sale_close, "sale.close", COMMAND, sale, KEYED, 1, sale_change, none, 0, sale_reply,
        none, 0, "ends it; what is left in its pools becomes available")
MESSAGE(24, points_credit, "points.credit", COMMAND, points, KEYED, 1, points_credit, none, 0,
        points_credit_reply, none, 0, "adds a lot of points to a customer")
MESSAGE(25, points_balance, "points.balance", QUERY, read, FREE, 1, points_balance, none, 0,
        points_balance_reply, none, 0, "a customer's points")
MESSAGE(26, order_place, "order.place", COMMAND, order, FREE, 1, order_place, line, ORDER_LINES_MAX,
        order_place_reply, take, ORDER_PIECES_MAX, "decides one order, all or nothing")
MESSAGE(27, payment_event, "payment.event", COMMAND, payment, FREE, 1, payment_event, none, 0,
        order_status, none, 0, "what a payment provider says about an order")
MESSAGE(28, order_cancel, "order.cancel", COMMAND, order, KEYED, 1, order_change, none, 0,
        order_status, none, 0, "gives everything back; money captured becomes due for refund")
MESSAGE(29, hold_extend, "hold.extend", COMMAND, order, KEYED, 1, hold_extend, none, 0,
        order_status, none, 0, "moves a hold's deadline")
MESSAGE(30, hold_release, "hold.release", COMMAND, order, KEYED, 1, order_change, none, 0,
        order_status, none, 0, "ends a hold now; the order is EXPIRED")
MESSAGE(31, hold_expire, "hold.expire", INTERNAL, server, FREE, 1, hold_expire, none, 0, seq_reply,
        none, 0, "does what is due: ends the holds whose deadline has passed")
MESSAGE(32, order_get, "order.get", QUERY, read, FREE, 1, order_id, none, 0, order_get_reply, piece,
        ORDER_PIECES_MAX + ORDER_LINES_MAX, "an order with its lines")
MESSAGE(33, order_history, "order.history", QUERY, read, FREE, 1, order_history, none, 0,
        order_history_reply, step, HISTORY_ROWS_MAX, "every transition of an order, page by page")
MESSAGE(34, stats, "stats", QUERY, read, FREE, 1, empty, none, 0, stats_reply, metric,
        METRIC_NUMBER_MAX, "all metrics, the last seq and the state digest")
MESSAGE(35, time_jump, "time.jump", INTERNAL, server, FREE, 1, time_jump, none, 0, seq_reply, none,
        0, "the clock jumped ahead while the server was down: keys do not age by that")
MESSAGE(36, tables, "tables", QUERY, read, FREE, 1, empty, none, 0, tables_reply, table, TABLES_MAX,
        "how full each table is")

#undef MESSAGE
