/* The messages, a row each, and the shapes of their bodies, a row for each field: included again
 * wherever something follows from them. Whoever includes this file defines the macros that it
 * wants; all are undefined at its end.
 *
 *   SHAPE(shape)      begins one; its fields follow in the order of the wire
 *   FIELD(shape, number, type, name, since, text)
 *       number   what an INVALID rejection and a schema call it; never used again in this shape
 *       type     of engine/tables/fields.h
 *       since    the schema that brought it; base/schema.h tells what that means
 *       text     what it means
 *   SHAPE_END(shape)
 *   REQUIRED(shape, field)
 *       a request that has zero there, as a field that was not given has, is never accepted; a
 *       count that is required means at least one row
 *
 * A shape is little-endian, naturally aligned, a multiple of 8 bytes, its padding explicit. Fields
 * are added at the end, or where reserved bytes were. Every reply begins with the seq at which it
 * was decided.
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
 *                  server, not for the engine. LINK: between servers (net/link.h)
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
 *   request, ...   shapes; row `none`: no rows */
#ifndef SHAPE
#define SHAPE(shape)
#endif
#ifndef FIELD
#define FIELD(shape, number, type, name, since, text)
#endif
#ifndef SHAPE_END
#define SHAPE_END(shape)
#endif
#ifndef REQUIRED
#define REQUIRED(shape, field)
#endif
#ifndef MESSAGE
#define MESSAGE(number, name, text_name, KIND, role, KEY, since, request, row, rows_max, reply,    \
                reply_row, reply_rows_max, help)
#endif

/* Shapes. */

SHAPE(hello)
FIELD(hello, 1, u64, magic, 1, "the eight bytes till-rpc")
FIELD(hello, 2, u16, version, 1, "protocol version, 1")
FIELD(hello, 3, u16, features, 1,
      "bit 0: frames both ways carry a checksum; bit 1: an operator, for whom keys are reserved")
FIELD(hello, 4, zero32, reserved, 1, "")
FIELD(hello, 5, name, token, 1, "credentials; all zero, none are asked for yet")
FIELD(hello, 6, id, shop, 2, "the shop that the epoch is of; zero: none is claimed")
FIELD(hello, 7, u64, epoch, 2, "the newest epoch that this client has seen of it; 0: none")
SHAPE_END(hello)
REQUIRED(hello, magic)
REQUIRED(hello, version)

SHAPE(hello_reply)
FIELD(hello_reply, 1, u64, seq, 1, "last durable change")
FIELD(hello_reply, 2, time, time, 1, "the log's")
FIELD(hello_reply, 3, u64, epoch, 1, "the log's epoch")
FIELD(hello_reply, 4, u32, frame_size_max, 1, "bytes, header included")
FIELD(hello_reply, 5, u32, in_flight_max, 1, "requests that may be unanswered on this connection")
FIELD(hello_reply, 6, u16, version, 1, "protocol version spoken")
FIELD(hello_reply, 7, u16, features, 1, "those of the client's that are on")
FIELD(hello_reply, 8, server_role, role, 1, "PRIMARY or REPLICA")
FIELD(hello_reply, 9, zero8, reserved, 1, "")
FIELD(hello_reply, 10, zero16, reserved2, 1, "")
FIELD(hello_reply, 11, id, shop, 2, "made with the first data folder")
FIELD(hello_reply, 12, text, primary, 2, "where commands are taken, when not here and known")
SHAPE_END(hello_reply)

SHAPE(error_reply)
FIELD(error_reply, 1, u64, seq, 1, "last durable change")
FIELD(error_reply, 2, text, reason, 1, "why this connection is being closed, in English")
SHAPE_END(error_reply)

SHAPE(rejection)
FIELD(rejection, 1, u64, seq, 1, "last change the decision could see")
FIELD(rejection, 2, u64, subject, 1, "as the outcome table says")
FIELD(rejection, 3, stock, value, 1, "as the outcome table says")
SHAPE_END(rejection)

SHAPE(redirect)
FIELD(redirect, 1, u64, seq, 2, "last change the decision could see")
FIELD(redirect, 2, u64, epoch, 2, "newest epoch known here")
FIELD(redirect, 3, zero64, reserved, 2, "")
FIELD(redirect, 4, text, primary, 2, "ADDR:PORT where commands are taken; empty: not known")
SHAPE_END(redirect)

SHAPE(seq_reply)
FIELD(seq_reply, 1, u64, seq, 1, "position of the change in the log")
SHAPE_END(seq_reply)

SHAPE(empty)
FIELD(empty, 1, zero64, reserved, 1, "")
SHAPE_END(empty)

SHAPE(snapshot)
FIELD(snapshot, 1, u64, seq, 1, "that a snapshot has to show; 0: the last change there is now")
SHAPE_END(snapshot)

SHAPE(snapshot_reply)
FIELD(snapshot_reply, 1, u64, seq, 1, "the snapshot asked for shows this change, or a later one")
FIELD(snapshot_reply, 2, u64, seq_published, 1, "of the newest snapshot there is; 0: none")
FIELD(snapshot_reply, 3, u64, snapshots, 1, "published since this server started")
FIELD(snapshot_reply, 4, u64, failures, 1, "given up since this server started")
SHAPE_END(snapshot_reply)

SHAPE(member_seal)
FIELD(member_seal, 1, id, shop, 2, "the shop; zero with epoch 0")
FIELD(member_seal, 2, u64, epoch, 2, "older epochs are refused from now on; 0: only tell")
SHAPE_END(member_seal)

SHAPE(member_promote)
FIELD(member_promote, 1, id, shop, 2, "the shop")
FIELD(member_promote, 2, u64, epoch, 2, "the epoch to begin: the one this member has sealed")
SHAPE_END(member_promote)
REQUIRED(member_promote, shop)
REQUIRED(member_promote, epoch)

SHAPE(member_follow)
FIELD(member_follow, 1, text, primary, 2, "ADDR:PORT of the server to follow")
SHAPE_END(member_follow)
REQUIRED(member_follow, primary)

SHAPE(member)
FIELD(member, 1, u64, seq, 2, "last durable change")
FIELD(member, 2, id, shop, 2, "made with the first data folder")
FIELD(member, 3, id, member, 2, "made with this data folder")
FIELD(member, 4, u64, epoch, 2, "of the last durable block")
FIELD(member, 5, u64, epoch_sealed, 2, "older epochs are refused")
FIELD(member, 6, hash, checksum, 2, "of the last durable block")
FIELD(member, 7, u32, acks, 2, "replicas that a reply waits for, when this is the primary")
FIELD(member, 8, u32, members, 2, "servers of this shop, this one included")
FIELD(member, 9, server_role, role, 2, "PRIMARY or REPLICA")
FIELD(member, 10, member_state, state, 2, "what it is doing")
FIELD(member, 11, zero16, reserved, 2, "")
FIELD(member, 12, zero32, reserved2, 2, "")
FIELD(member, 13, name, name, 2, "as --name gives it")
FIELD(member, 14, text, primary, 2, "whom it follows; empty: nobody")
SHAPE_END(member)

SHAPE(replicas_reply)
FIELD(replicas_reply, 1, u64, seq, 2, "last durable change here")
FIELD(replicas_reply, 2, u64, seq_released, 2,
      "answered up to it: durable on as many as --acks asks")
FIELD(replicas_reply, 3, u64, epoch, 2, "of the log")
FIELD(replicas_reply, 4, time, time, 2, "the log's, now")
FIELD(replicas_reply, 5, u64, age, 2, "microseconds since this state was the primary's last one")
FIELD(replicas_reply, 6, u32, acks, 2, "replicas that a reply waits for")
FIELD(replicas_reply, 7, server_role, role, 2, "PRIMARY or REPLICA")
FIELD(replicas_reply, 8, member_state, state, 2, "what this server is doing")
FIELD(replicas_reply, 9, count, replica_count, 2, "that are connected to this server")
FIELD(replicas_reply, 10, u64, sync_done, 2, "bytes of a first sync that are here, of")
FIELD(replicas_reply, 11, u64, sync_bytes, 2, "so many; 0: none is under way")
FIELD(replicas_reply, 12, u64, sync_us, 2, "microseconds since it began")
FIELD(replicas_reply, 13, text, primary, 2, "whom this server follows; empty: nobody")
SHAPE_END(replicas_reply)

SHAPE(replica)
FIELD(replica, 1, name, name, 2, "as --name gives it")
FIELD(replica, 2, text, address, 2, "where its clients connect")
FIELD(replica, 3, id, member, 2, "made with its data folder")
FIELD(replica, 4, u64, seq_sent, 2, "last change sent to it")
FIELD(replica, 5, u64, seq_durable, 2, "last change that is durable there")
FIELD(replica, 6, u64, seq_applied, 2, "last change that its answers show")
FIELD(replica, 7, u64, lag_commands, 2, "changes that are durable here and not there")
FIELD(replica, 8, u64, lag_bytes, 2, "of log that they take")
FIELD(replica, 9, u64, lag_us, 2, "microseconds since it had all; 0: it has all")
FIELD(replica, 10, time, since, 2, "when its state was entered, by the log's time")
FIELD(replica, 11, u64, sync_done, 2, "bytes of a snapshot sent to it, of")
FIELD(replica, 12, u64, sync_bytes, 2, "so many; 0: none is being sent")
FIELD(replica, 13, member_state, state, 2, "SYNCING, STREAMING, BEHIND, DIVERGED or AWAY")
FIELD(replica, 14, zero8, reserved, 2, "")
FIELD(replica, 15, zero16, reserved2, 2, "")
FIELD(replica, 16, zero32, reserved3, 2, "")
SHAPE_END(replica)

SHAPE(replica_join)
FIELD(replica_join, 1, id, shop, 2, "zero: an empty folder takes the primary's")
FIELD(replica_join, 2, id, member, 2, "made with the replica's data folder")
FIELD(replica_join, 3, name, name, 2, "as --name gives it")
FIELD(replica_join, 4, text, address, 2, "where its clients connect")
FIELD(replica_join, 5, u64, epoch, 2, "of its last block; 0: it has none")
FIELD(replica_join, 6, u64, epoch_sealed, 2, "it refuses older ones")
FIELD(replica_join, 7, u64, seq, 2, "of its last change; 0: none")
FIELD(replica_join, 8, hash, checksum, 2, "of its last block; 0: it has none")
FIELD(replica_join, 9, u32, schema, 2, "the newest that it reads")
FIELD(replica_join, 10, u32, version, 2, "of the log's blocks that it reads")
FIELD(replica_join, 11, count, capacity_count, 2, "one for each capacity")
FIELD(replica_join, 12, zero16, reserved, 2, "")
FIELD(replica_join, 13, zero32, reserved2, 2, "")
SHAPE_END(replica_join)
REQUIRED(replica_join, member)

SHAPE(capacity)
FIELD(capacity, 1, u32, number, 2, "as CAPACITY names it")
FIELD(capacity, 2, u32, records, 2, "that there is room for")
SHAPE_END(capacity)

SHAPE(replica_join_reply)
FIELD(replica_join_reply, 1, u64, seq, 2, "last durable change of the sender")
FIELD(replica_join_reply, 2, id, shop, 2, "the sender's")
FIELD(replica_join_reply, 3, u64, epoch, 2, "of the sender's last block")
FIELD(replica_join_reply, 4, u64, fork_epoch, 2, "FORK: the newest epoch that both may have, and")
FIELD(replica_join_reply, 5, u64, fork_seq, 2, "its last change in the sender's history")
FIELD(replica_join_reply, 6, u64, snapshot_seq, 2,
      "SNAPSHOT: of the newest published one; 0: none yet")
FIELD(replica_join_reply, 7, u32, acks, 2, "replicas that the primary waits for")
FIELD(replica_join_reply, 8, join_answer, answer, 2, "STREAM, SNAPSHOT, FORK or REFUSED")
FIELD(replica_join_reply, 9, zero8, reserved, 2, "")
FIELD(replica_join_reply, 10, zero16, reserved2, 2, "")
FIELD(replica_join_reply, 11, text, reason, 2, "REFUSED: why, and what to change")
SHAPE_END(replica_join_reply)

SHAPE(replica_ack)
FIELD(replica_ack, 1, u64, seq_durable, 2, "last change that is durable here")
FIELD(replica_ack, 2, u64, seq_applied, 2, "last change that answers show")
FIELD(replica_ack, 3, u64, epoch_sealed, 2, "older epochs are refused")
FIELD(replica_ack, 4, member_state, state, 2, "STREAMING or DIVERGED")
FIELD(replica_ack, 5, zero8, reserved, 2, "")
FIELD(replica_ack, 6, zero16, reserved2, 2, "")
FIELD(replica_ack, 7, zero32, reserved3, 2, "")
SHAPE_END(replica_ack)

SHAPE(replica_block)
FIELD(replica_block, 1, u32, size, 2, "bytes behind this frame: one block of the log")
FIELD(replica_block, 2, zero32, reserved, 2, "")
SHAPE_END(replica_block)

SHAPE(replica_beat)
FIELD(replica_beat, 1, u64, seq, 2, "last durable change of the sender")
FIELD(replica_beat, 2, u64, age, 2, "microseconds since seq was the primary's last change")
FIELD(replica_beat, 3, u64, epoch, 2, "of the sender's last block")
FIELD(replica_beat, 4, u32, acks, 2, "replicas that the primary waits for")
FIELD(replica_beat, 5, u32, members, 2, "servers of this shop")
FIELD(replica_beat, 6, text, primary, 2, "where commands are taken; empty: at the sender's")
SHAPE_END(replica_beat)

SHAPE(replica_fetch)
FIELD(replica_fetch, 1, id, shop, 2, "the shop")
FIELD(replica_fetch, 2, u64, seq, 2, "of the snapshot to go on with; 0: the newest")
FIELD(replica_fetch, 3, u64, offset, 2, "bytes of it that are there already")
FIELD(replica_fetch, 4, hash, checksum, 2, "of its header, when there are any")
SHAPE_END(replica_fetch)

SHAPE(replica_fetch_reply)
FIELD(replica_fetch_reply, 1, u64, seq, 2, "of the snapshot that is sent; 0: there is none")
FIELD(replica_fetch_reply, 2, u64, offset, 2, "where the bytes begin that follow")
FIELD(replica_fetch_reply, 3, u64, size, 2, "of the whole file")
FIELD(replica_fetch_reply, 4, hash, checksum, 2, "of its header")
SHAPE_END(replica_fetch_reply)

SHAPE(replica_piece)
FIELD(replica_piece, 1, u32, size, 2, "bytes behind this frame: the next piece of the snapshot")
FIELD(replica_piece, 2, zero32, reserved, 2, "")
FIELD(replica_piece, 3, u64, offset, 2, "in the file")
SHAPE_END(replica_piece)

SHAPE(sku_put)
FIELD(sku_put, 1, key_or_none, key, 1, "idempotency key; zero: none is remembered")
FIELD(sku_put, 2, sku, sku, 1, "not zero")
FIELD(sku_put, 3, money, price, 1, "0 to 10^15 minor units")
FIELD(sku_put, 4, currency, currency, 1, "of the price")
FIELD(sku_put, 5, zero16, reserved, 1, "")
FIELD(sku_put, 6, zero32, reserved2, 1, "")
FIELD(sku_put, 7, name, name, 1, "up to 32 bytes, unique; empty for none")
SHAPE_END(sku_put)
REQUIRED(sku_put, sku)
REQUIRED(sku_put, currency)

SHAPE(stock_adjust)
FIELD(stock_adjust, 1, key, key, 1, "idempotency key")
FIELD(stock_adjust, 2, sku, sku, 1, "a known SKU")
FIELD(stock_adjust, 3, stock, delta, 1, "added to available; negative takes away")
FIELD(stock_adjust, 4, warehouse, warehouse, 1, "not zero")
FIELD(stock_adjust, 5, zero32, reserved, 1, "")
SHAPE_END(stock_adjust)
REQUIRED(stock_adjust, key)
REQUIRED(stock_adjust, sku)
REQUIRED(stock_adjust, delta)
REQUIRED(stock_adjust, warehouse)

SHAPE(stock_set)
FIELD(stock_set, 1, key_or_none, key, 1, "idempotency key; zero: none is remembered")
FIELD(stock_set, 2, sku, sku, 1, "a known SKU")
FIELD(stock_set, 3, stock, expected, 1, "on_hand as the caller knows it; else STALE_VERSION")
FIELD(stock_set, 4, stock, on_hand, 1, "the new on_hand")
FIELD(stock_set, 5, warehouse, warehouse, 1, "not zero")
FIELD(stock_set, 6, stock_flags, flags, 1, "ALLOW_DEFICIT: available may become negative")
FIELD(stock_set, 7, zero16, reserved, 1, "")
SHAPE_END(stock_set)
REQUIRED(stock_set, sku)
REQUIRED(stock_set, warehouse)

SHAPE(stock_level)
FIELD(stock_level, 1, u64, seq, 1, "position of the change in the log")
FIELD(stock_level, 2, stock, on_hand, 1, "after the change")
FIELD(stock_level, 3, stock, available, 1, "after the change")
FIELD(stock_level, 4, count, order_count, 1,
      "of those concerned by a deficit, the newest first, 32 at most")
FIELD(stock_level, 5, zero16, reserved, 1, "")
FIELD(stock_level, 6, u32, orders_concerned, 1, "by a deficit in all")
SHAPE_END(stock_level)

SHAPE(order_id)
FIELD(order_id, 1, id, order, 1, "an order")
SHAPE_END(order_id)
REQUIRED(order_id, order)

SHAPE(stock_transfer)
FIELD(stock_transfer, 1, key, key, 3, "idempotency key")
FIELD(stock_transfer, 2, sku, sku, 3, "a known SKU")
FIELD(stock_transfer, 3, stock, quantity, 3, "units that are available in `from`, 1 or more")
FIELD(stock_transfer, 4, warehouse, from, 3, "not zero")
FIELD(stock_transfer, 5, warehouse, to, 3, "another one, not zero")
SHAPE_END(stock_transfer)
REQUIRED(stock_transfer, key)
REQUIRED(stock_transfer, sku)
REQUIRED(stock_transfer, quantity)
REQUIRED(stock_transfer, from)
REQUIRED(stock_transfer, to)

SHAPE(stock_transfer_reply)
FIELD(stock_transfer_reply, 1, u64, seq, 3, "position of the change in the log")
FIELD(stock_transfer_reply, 2, count, level_count, 3, "two: `from`, then `to`")
FIELD(stock_transfer_reply, 3, zero16, reserved, 3, "")
FIELD(stock_transfer_reply, 4, zero32, reserved2, 3, "")
SHAPE_END(stock_transfer_reply)

SHAPE(level)
FIELD(level, 1, warehouse, warehouse, 3, "its number")
FIELD(level, 2, zero32, reserved, 3, "")
FIELD(level, 3, stock, on_hand, 3, "after the change; of an answer that is REPLAYED, now")
FIELD(level, 4, stock, available, 3, "as on_hand")
SHAPE_END(level)

SHAPE(stock_unsellable)
FIELD(stock_unsellable, 1, key, key, 3, "idempotency key")
FIELD(stock_unsellable, 2, sku, sku, 3, "a known SKU")
FIELD(stock_unsellable, 3, stock, delta, 3,
      "from available to unsellable; negative takes from unsellable")
FIELD(stock_unsellable, 4, warehouse, warehouse, 3, "not zero")
FIELD(stock_unsellable, 5, stock_flags, flags, 3,
      "DISCARD: what is taken from unsellable leaves the warehouse, else it becomes available")
FIELD(stock_unsellable, 6, zero16, reserved, 3, "")
SHAPE_END(stock_unsellable)
REQUIRED(stock_unsellable, key)
REQUIRED(stock_unsellable, sku)
REQUIRED(stock_unsellable, delta)
REQUIRED(stock_unsellable, warehouse)

SHAPE(warehouse_put)
FIELD(warehouse_put, 1, key, key, 3, "idempotency key")
FIELD(warehouse_put, 2, warehouse, warehouse, 3, "not zero")
FIELD(warehouse_put, 3, warehouse_state, state, 3,
      "ONLINE, or DRAINING or OFFLINE: it takes no new orders")
FIELD(warehouse_put, 4, zero8, reserved, 3, "")
FIELD(warehouse_put, 5, zero16, reserved2, 3, "")
SHAPE_END(warehouse_put)
REQUIRED(warehouse_put, key)
REQUIRED(warehouse_put, warehouse)
REQUIRED(warehouse_put, state)

SHAPE(warehouse_put_reply)
FIELD(warehouse_put_reply, 1, u64, seq, 3, "position of the change in the log")
FIELD(warehouse_put_reply, 2, u64, orders, 3, "that hold units there, or have them to be shipped")
FIELD(warehouse_put_reply, 3, stock, units, 3, "promised to them: reserved and committed")
FIELD(warehouse_put_reply, 4, warehouse_state, state, 3, "after the change")
FIELD(warehouse_put_reply, 5, zero8, reserved, 3, "")
FIELD(warehouse_put_reply, 6, zero16, reserved2, 3, "")
FIELD(warehouse_put_reply, 7, zero32, reserved3, 3, "")
SHAPE_END(warehouse_put_reply)

SHAPE(zone_put)
FIELD(zone_put, 1, key, key, 3, "idempotency key")
FIELD(zone_put, 2, zone, zone, 3, "not zero")
FIELD(zone_put, 3, zero8, reserved, 3, "")
FIELD(zone_put, 4, count, warehouse_count, 3,
      "up to 32, in place of those that it had; without any it gives nothing")
FIELD(zone_put, 5, zero32, reserved2, 3, "")
SHAPE_END(zone_put)
REQUIRED(zone_put, key)
REQUIRED(zone_put, zone)

SHAPE(zone_warehouse)
FIELD(zone_warehouse, 1, warehouse, warehouse, 3, "not zero, and not twice")
FIELD(zone_warehouse, 2, zero32, reserved, 3, "")
FIELD(zone_warehouse, 3, money, cost, 3, "of sending from there, 0 to 10^15: the cheapest is first")
SHAPE_END(zone_warehouse)
REQUIRED(zone_warehouse, warehouse)

SHAPE(stock_get)
FIELD(stock_get, 1, name, name, 1, "a SKU's name, answered first; empty for none")
FIELD(stock_get, 2, count, item_count, 1, "up to 64 with the name")
FIELD(stock_get, 3, zero16, reserved, 1, "")
FIELD(stock_get, 4, zero32, reserved2, 1, "")
SHAPE_END(stock_get)

SHAPE(item)
FIELD(item, 1, sku, sku, 1, "a known SKU, else NOT_FOUND")
FIELD(item, 2, warehouse, warehouse, 1, "0: summed over all, available clamped at zero in each")
FIELD(item, 3, zero32, reserved, 1, "")
SHAPE_END(item)
REQUIRED(item, sku)

SHAPE(stock_get_reply)
FIELD(stock_get_reply, 1, u64, seq, 1, "last change the answer shows")
FIELD(stock_get_reply, 2, count, stock_count, 1, "as many as were asked for, in that order")
FIELD(stock_get_reply, 3, zero16, reserved, 1, "")
FIELD(stock_get_reply, 4, zero32, reserved2, 1, "")
SHAPE_END(stock_get_reply)

SHAPE(stock_row)
FIELD(stock_row, 1, sku, sku, 1, "its number")
FIELD(stock_row, 2, warehouse, warehouse, 1, "as asked")
FIELD(stock_row, 3, currency, currency, 1, "of the price")
FIELD(stock_row, 4, zero16, reserved, 1, "")
FIELD(stock_row, 5, money, price, 1, "now")
FIELD(stock_row, 6, stock, on_hand, 1, "available + pooled + reserved + committed + unsellable")
FIELD(stock_row, 7, stock, available, 1, "may be promised")
FIELD(stock_row, 8, stock, pooled, 1, "set aside for sales")
FIELD(stock_row, 9, stock, reserved_for_orders, 1, "held by PENDING orders")
FIELD(stock_row, 10, stock, committed, 1, "sold, not shipped")
FIELD(stock_row, 11, stock, unsellable, 1, "damaged or returned unfit")
SHAPE_END(stock_row)

SHAPE(sale_put)
FIELD(sale_put, 1, key, key, 1, "idempotency key")
FIELD(sale_put, 2, time, opens, 1, "orders before it answer SALE_NOT_OPEN; 0: no bound")
FIELD(sale_put, 3, time, closes, 1, "orders from it on answer SALE_NOT_OPEN; 0: no bound")
FIELD(sale_put, 4, points, points_max, 1, "cap of points per order; 0: no cap")
FIELD(sale_put, 5, u32, sale, 1, "not zero")
FIELD(sale_put, 6, seconds, hold, 1, "a hold's length; 0: 900")
FIELD(sale_put, 7, seconds, hold_max, 1, "its cap, from the placing on; 0: 604800")
FIELD(sale_put, 8, u32, points_share, 1,
      "cap as a share of the total, in 1/10000; 0: none may be used")
FIELD(sale_put, 9, u32, rate_points, 1, "this many points ...")
FIELD(sale_put, 10, u32, rate_money, 1, "... are worth this many minor units; both 0: no points")
FIELD(sale_put, 11, quantity, customer_sku_max, 1, "units of one SKU per customer; 0: no limit")
FIELD(sale_put, 12, quantity, customer_sale_max, 1, "units in all per customer; 0: no limit")
FIELD(sale_put, 13, sale_flags, flags, 1, "FAIL_AT_ONCE: a failed payment fails the order")
FIELD(sale_put, 14, count, pool_count, 1, "up to 64; pools not named stay as they are")
FIELD(sale_put, 15, zero32, reserved, 1, "")
FIELD(sale_put, 16, u32, earn_points, 3, "this many points are earned ...")
FIELD(sale_put, 17, u32, earn_money, 3, "... by this many minor units paid; both 0: none")
FIELD(sale_put, 18, seconds, return_window, 3,
      "earned points may be spent this long after the delivery, or the confirmation where nothing "
      "is shipped")
FIELD(sale_put, 19, seconds, earn_life, 3, "and expire this long after that; 0: never")
SHAPE_END(sale_put)
REQUIRED(sale_put, key)
REQUIRED(sale_put, sale)

SHAPE(pool)
FIELD(pool, 1, sku, sku, 1, "a known SKU with stock in the warehouse")
FIELD(pool, 2, quantity, quantity, 1, "the pool's new size, sold and held included")
FIELD(pool, 3, warehouse, warehouse, 1, "not zero")
SHAPE_END(pool)
REQUIRED(pool, sku)
REQUIRED(pool, warehouse)

SHAPE(sale_change)
FIELD(sale_change, 1, key, key, 1, "idempotency key")
FIELD(sale_change, 2, u32, sale, 1, "a known sale")
FIELD(sale_change, 3, zero32, reserved, 1, "")
SHAPE_END(sale_change)
REQUIRED(sale_change, key)
REQUIRED(sale_change, sale)

SHAPE(sale_reply)
FIELD(sale_reply, 1, u64, seq, 1, "position of the change in the log")
FIELD(sale_reply, 2, sale_state, state, 1, "after the change")
FIELD(sale_reply, 3, zero8, reserved, 1, "")
FIELD(sale_reply, 4, zero16, reserved2, 1, "")
FIELD(sale_reply, 5, zero32, reserved3, 1, "")
SHAPE_END(sale_reply)

SHAPE(points_credit)
FIELD(points_credit, 1, key, key, 1, "idempotency key")
FIELD(points_credit, 2, id, customer, 1, "added when it is not known yet")
FIELD(points_credit, 3, points, points, 1, "1 to 10^15")
FIELD(points_credit, 4, time, expires, 1, "of this lot; 0: never")
SHAPE_END(points_credit)
REQUIRED(points_credit, key)
REQUIRED(points_credit, customer)
REQUIRED(points_credit, points)

SHAPE(points_credit_reply)
FIELD(points_credit_reply, 1, u64, seq, 1, "position of the change in the log")
FIELD(points_credit_reply, 2, points, balance, 1, "after the change")
FIELD(points_credit_reply, 3, points, available, 1, "balance less what orders hold")
SHAPE_END(points_credit_reply)

SHAPE(points_balance)
FIELD(points_balance, 1, id, customer, 1, "a known customer")
SHAPE_END(points_balance)
REQUIRED(points_balance, customer)

SHAPE(points_balance_reply)
FIELD(points_balance_reply, 1, u64, seq, 1, "last change the answer shows")
FIELD(points_balance_reply, 2, points, balance, 1, "sum of the lots that have not expired")
FIELD(points_balance_reply, 3, points, held, 1, "by PENDING orders")
FIELD(points_balance_reply, 4, points, available, 1, "balance less held")
FIELD(points_balance_reply, 5, time, next_expiry, 1, "when the first lot expires; 0: never")
FIELD(points_balance_reply, 6, points, expiring, 1, "available points that go then")
FIELD(points_balance_reply, 7, points, promised, 3, "earned, by orders whose return window is open")
FIELD(points_balance_reply, 8, points, owed, 3, "taken from what is earned next")
SHAPE_END(points_balance_reply)

SHAPE(points_adjust)
FIELD(points_adjust, 1, key, key, 3, "idempotency key")
FIELD(points_adjust, 2, id, customer, 3, "added when it is not known yet and is given points")
FIELD(points_adjust, 3, points, delta, 3,
      "added as a lot; negative: taken, first what expires first")
FIELD(points_adjust, 4, time, expires, 3, "of the lot that is added; 0: never")
FIELD(points_adjust, 5, name, reason, 3, "kept in the log")
SHAPE_END(points_adjust)
REQUIRED(points_adjust, key)
REQUIRED(points_adjust, customer)
REQUIRED(points_adjust, delta)
REQUIRED(points_adjust, reason)

SHAPE(points_terms)
FIELD(points_terms, 1, key, key, 3, "idempotency key")
FIELD(points_terms, 2, u32, earn_points, 3, "orders without a sale earn this many points ...")
FIELD(points_terms, 3, u32, earn_money, 3, "... by this many minor units paid; both 0: none")
FIELD(points_terms, 4, seconds, return_window, 3, "as of sale.put")
FIELD(points_terms, 5, seconds, earn_life, 3, "as of sale.put")
SHAPE_END(points_terms)
REQUIRED(points_terms, key)

SHAPE(points_page)
FIELD(points_page, 1, id, customer, 3, "a known customer")
FIELD(points_page, 2, id, cursor, 3, "zero: from the first row on; else the `next` of a page")
SHAPE_END(points_page)
REQUIRED(points_page, customer)

SHAPE(points_lots_reply)
FIELD(points_lots_reply, 1, u64, seq, 3, "last change the answer shows")
FIELD(points_lots_reply, 2, id, next, 3, "zero: there are no more; else ask again with this cursor")
FIELD(points_lots_reply, 3, count, lot_count, 3, "what expires first comes first, 64 at most")
FIELD(points_lots_reply, 4, zero16, reserved, 3, "")
FIELD(points_lots_reply, 5, zero32, reserved2, 3, "")
SHAPE_END(points_lots_reply)

SHAPE(lot)
FIELD(lot, 1, points, left, 3, "that may be spent")
FIELD(lot, 2, points, held, 3, "of this lot, by PENDING orders")
FIELD(lot, 3, time, expires, 3, "0: never")
FIELD(lot, 4, u64, granted, 3, "position in the log of the change that made it; 0: not known")
FIELD(lot, 5, id, order, 3, "that earned it; zero: none")
SHAPE_END(lot)

SHAPE(points_ledger_reply)
FIELD(points_ledger_reply, 1, u64, seq, 3, "last change the answer shows")
FIELD(points_ledger_reply, 2, id, next, 3,
      "zero: there are no more; else ask again with this cursor")
FIELD(points_ledger_reply, 3, count, entry_count, 3, "the newest first, 64 at most")
FIELD(points_ledger_reply, 4, zero16, reserved, 3, "")
FIELD(points_ledger_reply, 5, zero32, reserved2, 3, "")
SHAPE_END(points_ledger_reply)

SHAPE(entry)
FIELD(entry, 1, u64, seq, 3, "position of the change in the log")
FIELD(entry, 2, time, time, 3, "of the change")
FIELD(entry, 3, points, balance, 3, "what it added to the balance; below zero: took from it")
FIELD(entry, 4, points, available, 3, "what it added to what may be spent, or took from it")
FIELD(entry, 5, id, order, 3, "whose points these are; zero: none's")
FIELD(entry, 6, time, expires, 3, "of the lot; 0: never")
FIELD(entry, 7, ledger_kind, kind, 3, "why")
FIELD(entry, 8, zero8, reserved, 3, "")
FIELD(entry, 9, zero16, reserved2, 3, "")
FIELD(entry, 10, zero32, reserved3, 3, "")
SHAPE_END(entry)

SHAPE(order_place)
FIELD(order_place, 1, id, order, 1, "the order's id and its idempotency key")
FIELD(order_place, 2, id, customer, 1, "added when it is not known yet")
FIELD(order_place, 3, points, points, 1, "points the buyer wants to spend, 0 or more")
FIELD(order_place, 4, u32, sale, 1, "0: none")
FIELD(order_place, 5, seconds, hold, 1, "0: the sale's; capped by the sale")
FIELD(order_place, 6, place_flags, flags, 1,
      "PARTIAL fills what is there; PAID confirms at once; POINTS_EXACT refuses when fewer points "
      "could be used than asked for")
FIELD(order_place, 7, currency, currency, 1,
      "of the prices; 0: whatever the SKUs have, if it is one")
FIELD(order_place, 8, count, line_count, 1, "1 to 32")
FIELD(order_place, 9, allocation, allocation, 1,
      "SINGLE: one warehouse for the order, the first that can; RANK: from the warehouses by "
      "ascending number; EXPLICIT: each line's own; CHEAPEST: from those of the zone, by cost")
FIELD(order_place, 11, zone, zone, 3, "with CHEAPEST a known zone, else 0")
SHAPE_END(order_place)
REQUIRED(order_place, order)
REQUIRED(order_place, customer)
REQUIRED(order_place, line_count)

SHAPE(line)
FIELD(line, 1, sku, sku, 1, "a known SKU")
FIELD(line, 2, quantity, quantity, 1, "1 or more")
FIELD(line, 3, warehouse, warehouse, 1,
      "required with EXPLICIT, else 0 or the only one to take from")
FIELD(line, 4, money, price, 1, "of one unit, as the buyer saw it")
SHAPE_END(line)
REQUIRED(line, sku)
REQUIRED(line, quantity)

SHAPE(order_place_reply)
FIELD(order_place_reply, 1, u64, seq, 1, "position of the order in the log")
FIELD(order_place_reply, 2, money, total, 1, "sum of allocated quantity x price")
FIELD(order_place_reply, 3, points, points_used, 1, "held or spent")
FIELD(order_place_reply, 4, money, points_value, 1, "what they are worth")
FIELD(order_place_reply, 5, money, money_due, 1, "total less points_value")
FIELD(order_place_reply, 6, time, hold_ends, 1, "0 when confirmed at once")
FIELD(order_place_reply, 7, order_state, state, 1, "PENDING or CONFIRMED, as first decided")
FIELD(order_place_reply, 8, zero8, reserved, 1, "")
FIELD(order_place_reply, 9, currency, currency, 1, "of the money")
FIELD(order_place_reply, 10, count, take_count, 1, "where the stock was taken")
FIELD(order_place_reply, 11, zero16, reserved2, 1, "")
SHAPE_END(order_place_reply)

SHAPE(take)
FIELD(take, 1, u16, line, 1, "1 is the first")
FIELD(take, 2, zero16, reserved, 1, "")
FIELD(take, 3, quantity, quantity, 1, "units taken there for the line")
FIELD(take, 4, warehouse, warehouse, 1, "where they were taken")
FIELD(take, 5, zero32, reserved2, 1, "")
SHAPE_END(take)

SHAPE(payment_event)
FIELD(payment_event, 1, id, event, 1, "the provider's event id")
FIELD(payment_event, 2, id, order, 1, "the order that was paid for")
FIELD(payment_event, 3, money, amount, 1, "0 or more")
FIELD(payment_event, 4, u32, provider, 1, "not zero; (provider, event) is the key")
FIELD(payment_event, 5, payment_status, status, 1, "SUCCESS or FAILURE")
FIELD(payment_event, 6, zero8, reserved, 1, "")
FIELD(payment_event, 7, currency, currency, 1, "of the amount")
FIELD(payment_event, 8, count, opaque_count, 3, "0 to 32: opaque_size by eight, rounded up")
FIELD(payment_event, 9, u16, opaque_size, 3, "bytes of the provider's own that follow, 0 to 256")
FIELD(payment_event, 10, zero32, reserved2, 3, "")
SHAPE_END(payment_event)
REQUIRED(payment_event, event)
REQUIRED(payment_event, order)
REQUIRED(payment_event, provider)
REQUIRED(payment_event, status)
REQUIRED(payment_event, currency)

SHAPE(opaque)
FIELD(opaque, 1, hash, bytes, 3, "the next eight; those behind opaque_size are zero")
SHAPE_END(opaque)

SHAPE(order_change)
FIELD(order_change, 1, key, key, 1, "idempotency key")
FIELD(order_change, 2, id, order, 1, "a known order")
SHAPE_END(order_change)
REQUIRED(order_change, key)
REQUIRED(order_change, order)

SHAPE(hold_extend)
FIELD(hold_extend, 1, key, key, 1, "idempotency key")
FIELD(hold_extend, 2, id, order, 1, "a known order")
FIELD(hold_extend, 3, seconds, hold, 1, "from now on; capped by the sale, counted from the placing")
FIELD(hold_extend, 4, zero32, reserved, 1, "")
SHAPE_END(hold_extend)
REQUIRED(hold_extend, key)
REQUIRED(hold_extend, order)
REQUIRED(hold_extend, hold)

SHAPE(order_status)
FIELD(order_status, 1, u64, seq, 1, "position of the change in the log")
FIELD(order_status, 2, order_state, state, 1, "after the change")
FIELD(order_status, 3, money_state, money, 1, "after the change")
FIELD(order_status, 4, zero16, reserved, 1, "")
FIELD(order_status, 5, u32, version, 1, "after the change")
FIELD(order_status, 6, time, hold_ends, 1, "0 unless PENDING")
FIELD(order_status, 7, money, refund_due, 1, "owed, without a refund that has begun")
SHAPE_END(order_status)

SHAPE(order_get_reply)
FIELD(order_get_reply, 1, u64, seq, 1, "last change the answer shows")
FIELD(order_get_reply, 2, id, customer, 1, "who placed it")
FIELD(order_get_reply, 3, money, total, 1, "sum of allocated quantity x price")
FIELD(order_get_reply, 4, points, points_used, 1, "held, spent or given back, by state")
FIELD(order_get_reply, 5, money, points_value, 1, "what they were worth at placing")
FIELD(order_get_reply, 6, money, money_due, 1, "total less points_value, as placed")
FIELD(order_get_reply, 7, money, captured, 1, "in all")
FIELD(order_get_reply, 8, money, refund_due, 1, "owed, without a refund that has begun")
FIELD(order_get_reply, 9, time, placed, 1, "when it was placed")
FIELD(order_get_reply, 10, time, hold_ends, 1, "0 unless PENDING")
FIELD(order_get_reply, 11, u32, version, 1, "1 when placed, one more for each change")
FIELD(order_get_reply, 12, u32, sale, 1, "0: none")
FIELD(order_get_reply, 13, u32, parked, 1, "payments that wait for a person, not part of captured")
FIELD(order_get_reply, 14, order_state, state, 1, "now")
FIELD(order_get_reply, 15, money_state, money, 1, "now")
FIELD(order_get_reply, 16, currency, currency, 1, "of the money")
FIELD(order_get_reply, 17, count, piece_count, 1,
      "rows that follow: one for each line and warehouse")
FIELD(order_get_reply, 18, zero16, reserved, 1, "")
FIELD(order_get_reply, 19, zero32, reserved2, 1, "")
SHAPE_END(order_get_reply)

SHAPE(piece)
FIELD(piece, 1, sku, sku, 1, "the line's SKU")
FIELD(piece, 2, quantity, quantity, 1, "asked for on the line")
FIELD(piece, 3, warehouse, warehouse, 1, "taken from; 0: nothing was")
FIELD(piece, 4, money, price, 1, "of one unit, as placed")
FIELD(piece, 5, quantity, allocated, 1, "from this warehouse")
FIELD(piece, 6, u16, line, 1, "1 is the first")
FIELD(piece, 7, zero16, reserved, 1, "")
FIELD(piece, 8, quantity, shipped, 3, "of the allocated ones")
FIELD(piece, 9, quantity, delivered, 3, "of the shipped ones")
FIELD(piece, 10, quantity, returned, 3, "of the shipped ones")
FIELD(piece, 11, quantity, refunded, 3, "of the allocated ones, by refunds of lines")
SHAPE_END(piece)

SHAPE(order_history)
FIELD(order_history, 1, id, order, 1, "a known order")
FIELD(order_history, 2, u64, cursor, 1,
      "0: from the first step on; else the `next` of the answer before")
SHAPE_END(order_history)
REQUIRED(order_history, order)

SHAPE(order_history_reply)
FIELD(order_history_reply, 1, u64, seq, 1, "last change the answer shows")
FIELD(order_history_reply, 2, u64, next, 1, "0: there are no more; else ask again with this cursor")
FIELD(order_history_reply, 3, count, step_count, 1, "the oldest first, 64 at most")
FIELD(order_history_reply, 4, zero16, reserved, 1, "")
FIELD(order_history_reply, 5, zero32, reserved2, 1, "")
SHAPE_END(order_history_reply)

SHAPE(step)
FIELD(step, 1, u64, seq, 1, "position of the change in the log")
FIELD(step, 2, time, time, 1, "of the change")
FIELD(step, 3, u32, version, 1, "the order's, after the change")
FIELD(step, 4, order_state, state, 1, "entered, or kept")
FIELD(step, 5, money_state, money, 1, "entered, or kept")
FIELD(step, 6, zero16, reserved, 1, "")
SHAPE_END(step)

SHAPE(order_reallocate)
FIELD(order_reallocate, 1, key, key, 3, "idempotency key")
FIELD(order_reallocate, 2, id, order, 3, "a known order")
FIELD(order_reallocate, 3, warehouse, warehouse, 3,
      "that its unshipped units are to leave; 0: each that is not ONLINE")
FIELD(order_reallocate, 4, warehouse, to, 3, "EXPLICIT: the one to take from instead")
FIELD(order_reallocate, 5, allocation, allocation, 3,
      "RANK: from the others by ascending number; EXPLICIT: from one")
FIELD(order_reallocate, 6, zero8, reserved, 3, "")
FIELD(order_reallocate, 7, zero16, reserved2, 3, "")
FIELD(order_reallocate, 8, zero32, reserved3, 3, "")
SHAPE_END(order_reallocate)
REQUIRED(order_reallocate, key)
REQUIRED(order_reallocate, order)
REQUIRED(order_reallocate, warehouse)
REQUIRED(order_reallocate, allocation)

SHAPE(order_ship)
FIELD(order_ship, 1, key, key, 3, "idempotency key")
FIELD(order_ship, 2, id, order, 3, "a known order")
FIELD(order_ship, 3, name, tracking, 3, "the courier's reference, up to 32 bytes; empty for none")
FIELD(order_ship, 4, u32, courier, 3, "its number; 0: none")
FIELD(order_ship, 5, count, units_count, 3, "up to 64; none: all units that it can be done with")
FIELD(order_ship, 6, zero16, reserved, 3, "")
SHAPE_END(order_ship)
REQUIRED(order_ship, key)
REQUIRED(order_ship, order)

SHAPE(units)
FIELD(units, 1, u16, line, 3, "1 is the first")
FIELD(units, 2, zero16, reserved, 3, "")
FIELD(units, 3, quantity, quantity, 3, "1 or more of the line")
FIELD(units, 4, warehouse, warehouse, 3, "taken from; 0: from any, in the order of order.get")
FIELD(units, 5, zero32, reserved2, 3, "")
SHAPE_END(units)
REQUIRED(units, line)
REQUIRED(units, quantity)

SHAPE(order_return)
FIELD(order_return, 1, key, key, 3, "idempotency key")
FIELD(order_return, 2, id, order, 3, "a known order")
FIELD(order_return, 3, count, returned_count, 3, "1 to 64")
FIELD(order_return, 4, zero16, reserved, 3, "")
FIELD(order_return, 5, zero32, reserved2, 3, "")
SHAPE_END(order_return)
REQUIRED(order_return, key)
REQUIRED(order_return, order)
REQUIRED(order_return, returned_count)

SHAPE(returned)
FIELD(returned, 1, u16, line, 3, "1 is the first")
FIELD(returned, 2, zero16, reserved, 3, "")
FIELD(returned, 3, quantity, quantity, 3, "1 or more of the line")
FIELD(returned, 4, warehouse, warehouse, 3, "where it arrives; 0: where it was taken from")
FIELD(returned, 5, fate, fate, 3, "RESTOCK: available again; SCRAP: unsellable")
FIELD(returned, 6, zero8, reserved2, 3, "")
FIELD(returned, 7, zero16, reserved3, 3, "")
SHAPE_END(returned)
REQUIRED(returned, line)
REQUIRED(returned, quantity)
REQUIRED(returned, fate)

SHAPE(order_page)
FIELD(order_page, 1, id, order, 3, "a known order")
FIELD(order_page, 2, u64, cursor, 3, "0: from the newest on; else the `next` of the answer before")
SHAPE_END(order_page)
REQUIRED(order_page, order)

SHAPE(order_parcels_reply)
FIELD(order_parcels_reply, 1, u64, seq, 3, "last change the answer shows")
FIELD(order_parcels_reply, 2, u64, next, 3, "0: there are no more; else ask again with this cursor")
FIELD(order_parcels_reply, 3, count, parcel_count, 3, "the newest first, 64 at most")
FIELD(order_parcels_reply, 4, zero16, reserved, 3, "")
FIELD(order_parcels_reply, 5, zero32, reserved2, 3, "")
SHAPE_END(order_parcels_reply)

SHAPE(parcel)
FIELD(parcel, 1, u64, seq, 3, "position of the change in the log")
FIELD(parcel, 2, time, time, 3, "of the change")
FIELD(parcel, 3, order_state, state, 3, "SHIPPED: it left; DELIVERED: it arrived")
FIELD(parcel, 4, zero8, reserved, 3, "")
FIELD(parcel, 5, zero16, reserved2, 3, "")
FIELD(parcel, 6, u32, version, 3, "the order's, after the change")
FIELD(parcel, 7, u64, units, 3, "in it")
FIELD(parcel, 8, u32, courier, 3, "as given")
FIELD(parcel, 9, zero32, reserved3, 3, "")
FIELD(parcel, 10, name, tracking, 3, "as given")
SHAPE_END(parcel)

SHAPE(refund_begin)
FIELD(refund_begin, 1, id, refund, 3, "the refund's id and its idempotency key")
FIELD(refund_begin, 2, id, order, 3, "a known order")
FIELD(refund_begin, 3, money, amount, 3,
      "AMOUNT: so much of the total. DUE: of the money that is due; 0: all of it")
FIELD(refund_begin, 4, name, reason, 3, "kept with it, up to 32 bytes; empty for none")
FIELD(refund_begin, 5, refund_kind, kind, 3,
      "AMOUNT or LINES: of what was sold; DUE: what the order owes without anyone asking")
FIELD(refund_begin, 6, zero8, reserved, 3, "")
FIELD(refund_begin, 7, count, line_count, 3, "LINES: 1 to 32")
FIELD(refund_begin, 8, zero32, reserved2, 3, "")
SHAPE_END(refund_begin)
REQUIRED(refund_begin, refund)
REQUIRED(refund_begin, order)
REQUIRED(refund_begin, kind)

SHAPE(refund_line)
FIELD(refund_line, 1, u16, line, 3, "1 is the first")
FIELD(refund_line, 2, zero16, reserved, 3, "")
FIELD(refund_line, 3, quantity, quantity, 3, "1 or more of the line, shipped or not")
SHAPE_END(refund_line)
REQUIRED(refund_line, line)
REQUIRED(refund_line, quantity)

SHAPE(refund_begin_reply)
FIELD(refund_begin_reply, 1, u64, seq, 3, "position of the change in the log")
FIELD(refund_begin_reply, 2, money, amount, 3, "to be paid back now")
FIELD(refund_begin_reply, 3, points, points, 3, "that come back when it has succeeded")
FIELD(refund_begin_reply, 4, order_state, state, 3, "the order's, after the change")
FIELD(refund_begin_reply, 5, money_state, money, 3, "the order's, after the change")
FIELD(refund_begin_reply, 6, zero16, reserved, 3, "")
FIELD(refund_begin_reply, 7, u32, version, 3, "the order's, after the change")
SHAPE_END(refund_begin_reply)

SHAPE(refund_finish)
FIELD(refund_finish, 1, id, refund, 3, "a known refund")
FIELD(refund_finish, 2, payment_status, status, 3,
      "SUCCESS: the money has gone back. FAILURE: it has not, and is due again")
FIELD(refund_finish, 3, zero8, reserved, 3, "")
FIELD(refund_finish, 4, zero16, reserved2, 3, "")
FIELD(refund_finish, 5, zero32, reserved3, 3, "")
SHAPE_END(refund_finish)
REQUIRED(refund_finish, refund)
REQUIRED(refund_finish, status)

SHAPE(refund_finish_reply)
FIELD(refund_finish_reply, 1, u64, seq, 3, "position of the change in the log")
FIELD(refund_finish_reply, 2, money, amount, 3, "paid back, or due again")
FIELD(refund_finish_reply, 3, points, points, 3, "that have come back, or are due again")
FIELD(refund_finish_reply, 4, refund_state, state, 3, "SUCCEEDED or FAILED")
FIELD(refund_finish_reply, 5, money_state, money, 3, "the order's, after the change")
FIELD(refund_finish_reply, 6, zero16, reserved, 3, "")
FIELD(refund_finish_reply, 7, u32, version, 3, "the order's, after the change")
SHAPE_END(refund_finish_reply)

SHAPE(refund_id)
FIELD(refund_id, 1, id, refund, 3, "a known refund")
SHAPE_END(refund_id)
REQUIRED(refund_id, refund)

SHAPE(refund_get_reply)
FIELD(refund_get_reply, 1, u64, seq, 3, "last change the answer shows")
FIELD(refund_get_reply, 2, id, order, 3, "whose money it is")
FIELD(refund_get_reply, 3, refund_kind, kind, 3, "as begun")
FIELD(refund_get_reply, 4, refund_state, state, 3, "now")
FIELD(refund_get_reply, 5, currency, currency, 3, "of the money")
FIELD(refund_get_reply, 6, zero32, reserved, 3, "")
FIELD(refund_get_reply, 7, money, amount, 3, "paid back, or to be")
FIELD(refund_get_reply, 8, points, points, 3, "that come back with it")
FIELD(refund_get_reply, 9, money, worth, 3, "of the order's total; 0: of what was due")
FIELD(refund_get_reply, 10, time, begun, 3, "when it began")
FIELD(refund_get_reply, 11, time, finished, 3, "when it ended; 0: it has not")
FIELD(refund_get_reply, 12, name, reason, 3, "as begun")
SHAPE_END(refund_get_reply)

SHAPE(order_money_reply)
FIELD(order_money_reply, 1, u64, seq, 3, "last change the answer shows")
FIELD(order_money_reply, 2, u64, next, 3, "0: there are no more; else ask again with this cursor")
FIELD(order_money_reply, 3, money, total, 3, "sum of allocated quantity x price")
FIELD(order_money_reply, 4, money, money_due, 3, "total less the points' value, as placed")
FIELD(order_money_reply, 5, money, waived, 3, "of the money due: accepted as paid without it")
FIELD(order_money_reply, 6, money, captured, 3, "in all: kept + refunded + refunding + refund_due")
FIELD(order_money_reply, 7, money, kept, 3, "neither refunded, nor on its way, nor due")
FIELD(order_money_reply, 8, money, refunded, 3, "has gone back")
FIELD(order_money_reply, 9, money, refunding, 3, "of refunds that have begun and not ended")
FIELD(order_money_reply, 10, money, refund_due, 3, "owed, without a refund that has begun")
FIELD(order_money_reply, 11, money, refundable, 3,
      "of the total, not in any refund by amount or lines")
FIELD(order_money_reply, 12, points, points_used, 3, "held, spent or given back, by state")
FIELD(order_money_reply, 13, points, points_back, 3, "of those used, have come back")
FIELD(order_money_reply, 14, points, points_refunding, 3,
      "of refunds that have begun and not ended")
FIELD(order_money_reply, 15, points, points_due, 3, "owed, since refunds failed")
FIELD(order_money_reply, 16, u32, refunds_failed, 3, "how many did")
FIELD(order_money_reply, 17, u32, parked, 3, "payments that wait for a person")
FIELD(order_money_reply, 18, money_state, money, 3, "now")
FIELD(order_money_reply, 19, order_state, state, 3, "now")
FIELD(order_money_reply, 20, currency, currency, 3, "of the money")
FIELD(order_money_reply, 21, count, refund_count, 3, "the newest first, 64 at most")
FIELD(order_money_reply, 22, zero16, reserved, 3, "")
SHAPE_END(order_money_reply)

SHAPE(refund)
FIELD(refund, 1, id, refund, 3, "its id")
FIELD(refund, 2, money, amount, 3, "paid back, or to be")
FIELD(refund, 3, points, points, 3, "that come back with it")
FIELD(refund, 4, time, begun, 3, "when it began")
FIELD(refund, 5, refund_kind, kind, 3, "as begun")
FIELD(refund, 6, refund_state, state, 3, "now")
FIELD(refund, 7, zero16, reserved, 3, "")
FIELD(refund, 8, zero32, reserved2, 3, "")
SHAPE_END(refund)

SHAPE(payment_settle)
FIELD(payment_settle, 1, key, key, 3, "idempotency key")
FIELD(payment_settle, 2, id, event, 3, "of a payment that is parked")
FIELD(payment_settle, 3, u32, provider, 3, "whose event it is")
FIELD(payment_settle, 4, settlement, settlement, 3,
      "ACCEPT: as paid, the order is confirmed; REFUND: due for refund")
FIELD(payment_settle, 5, zero8, reserved, 3, "")
FIELD(payment_settle, 6, zero16, reserved2, 3, "")
SHAPE_END(payment_settle)
REQUIRED(payment_settle, key)
REQUIRED(payment_settle, event)
REQUIRED(payment_settle, provider)
REQUIRED(payment_settle, settlement)

SHAPE(payment_id)
FIELD(payment_id, 1, id, event, 3, "a known event")
FIELD(payment_id, 2, u32, provider, 3, "whose event it is")
FIELD(payment_id, 3, zero32, reserved, 3, "")
SHAPE_END(payment_id)
REQUIRED(payment_id, event)
REQUIRED(payment_id, provider)

SHAPE(payment_get_reply)
FIELD(payment_get_reply, 1, u64, seq, 3, "last change the answer shows")
FIELD(payment_get_reply, 2, id, order, 3, "the order that was paid for")
FIELD(payment_get_reply, 3, payment_status, status, 3, "as the event tells")
FIELD(payment_get_reply, 4, settlement, settlement, 3, "of one that was parked; 0: none")
FIELD(payment_get_reply, 5, u16, parked, 3, "1 while it waits for a person")
FIELD(payment_get_reply, 6, currency, currency, 3, "of the amount")
FIELD(payment_get_reply, 7, count, opaque_count, 3, "opaque_size by eight, rounded up")
FIELD(payment_get_reply, 8, money, amount, 3, "as the event tells")
FIELD(payment_get_reply, 9, time, time, 3, "when it came")
FIELD(payment_get_reply, 10, u16, opaque_size, 3, "bytes that the event carried")
FIELD(payment_get_reply, 11, zero16, reserved, 3, "")
FIELD(payment_get_reply, 12, zero32, reserved2, 3, "")
SHAPE_END(payment_get_reply)

SHAPE(hold_expire)
FIELD(hold_expire, 1, u32, holds, 1,
      "deadlines to look at, at most, the earliest first; those of ended holds count")
FIELD(hold_expire, 2, zero32, reserved, 1, "")
SHAPE_END(hold_expire)

SHAPE(time_jump)
FIELD(time_jump, 1, u64, jump, 1,
      "microseconds by which the clock jumped ahead since the last change")
SHAPE_END(time_jump)

SHAPE(epoch_begin)
FIELD(epoch_begin, 1, u64, epoch, 2, "newer than all before it; the first one, 1, is not begun")
FIELD(epoch_begin, 2, hash, previous, 2, "checksum of the last block before it; 0: there is none")
SHAPE_END(epoch_begin)
REQUIRED(epoch_begin, epoch)

SHAPE(stats_reply)
FIELD(stats_reply, 1, u64, seq, 1, "last change")
FIELD(stats_reply, 2, hash, digest, 1, "of the state at seq")
FIELD(stats_reply, 3, time, time, 1, "of the last change or query")
FIELD(stats_reply, 4, count, metric_count, 1, "one for each metric that there is")
FIELD(stats_reply, 5, zero16, reserved, 1, "")
FIELD(stats_reply, 6, zero32, reserved2, 1, "")
SHAPE_END(stats_reply)

SHAPE(metric)
FIELD(metric, 1, metric, metric, 1, "which one")
FIELD(metric, 2, zero16, reserved, 1, "")
FIELD(metric, 3, zero32, reserved2, 1, "")
FIELD(metric, 4, u64, value, 1, "in its unit")
SHAPE_END(metric)

SHAPE(tables_reply)
FIELD(tables_reply, 1, u64, seq, 1, "last change the answer shows")
FIELD(tables_reply, 2, count, table_count, 1, "one for each capacity, in their order")
FIELD(tables_reply, 3, zero16, reserved, 1, "")
FIELD(tables_reply, 4, zero32, reserved2, 1, "")
SHAPE_END(tables_reply)

SHAPE(table)
FIELD(table, 1, name, name, 1, "of the capacity, as CAPACITY names it")
FIELD(table, 2, u64, used, 1,
      "records in use; reserved ones count, those due to be forgotten do not")
FIELD(table, 3, u64, capacity, 1, "records that there is room for")
FIELD(table, 4, u64, reserve, 1, "part of the capacity that only operators may use")
SHAPE_END(table)

SHAPE(order_list)
FIELD(order_list, 1, cursor, cursor, 3, "zero: the newest; else the `next` of the answer before")
FIELD(order_list, 2, id, customer, 3, "a known customer; zero: of any")
FIELD(order_list, 3, sku, sku, 3, "a known SKU of which the order took units; 0: of any")
FIELD(order_list, 4, u32, sale, 3, "a known sale; 0: in any or none")
FIELD(order_list, 5, warehouse, warehouse, 3, "where the order's units come from; 0: from any")
FIELD(order_list, 6, order_state, state, 3, "of the order; ANY: whatever it is")
FIELD(order_list, 7, zero8, reserved, 3, "")
FIELD(order_list, 8, u16, wanted, 3, "orders to show, at most 64; 0: 64")
FIELD(order_list, 9, zero32, reserved2, 3, "")
SHAPE_END(order_list)

SHAPE(order_list_reply)
FIELD(order_list_reply, 1, u64, seq, 3, "last change the answer shows")
FIELD(order_list_reply, 2, cursor, next, 3, "zero: there are no more; else ask again with it")
FIELD(order_list_reply, 3, count, order_count, 3, "the newest first")
FIELD(order_list_reply, 4, zero16, reserved, 3, "")
FIELD(order_list_reply, 5, zero32, reserved2, 3, "")
SHAPE_END(order_list_reply)

SHAPE(order)
FIELD(order, 1, id, order, 3, "its id")
FIELD(order, 2, order_state, state, 3, "now")
FIELD(order, 3, money_state, money, 3, "now")
FIELD(order, 4, currency, currency, 3, "of its money")
FIELD(order, 5, u32, version, 3, "1 when placed, one more for each change")
FIELD(order, 6, money, total, 3, "sum of allocated quantity x price")
FIELD(order, 7, id, customer, 3, "who placed it")
FIELD(order, 8, u64, placed_seq, 3, "position of its placing in the log")
FIELD(order, 9, time, placed, 3, "when it was placed")
FIELD(order, 10, u32, sale, 3, "0: none")
FIELD(order, 11, zero32, reserved, 3, "")
SHAPE_END(order)

SHAPE(sale_get)
FIELD(sale_get, 1, u32, sale, 3, "a known sale")
FIELD(sale_get, 2, zero32, reserved, 3, "")
SHAPE_END(sale_get)
REQUIRED(sale_get, sale)

SHAPE(sale_get_reply)
FIELD(sale_get_reply, 1, u64, seq, 3, "last change the answer shows")
FIELD(sale_get_reply, 2, sale_state, state, 3, "now")
FIELD(sale_get_reply, 3, u8, indexed, 3,
      "1: this server keeps lists; 0: what follows from them is zero")
FIELD(sale_get_reply, 4, sale_flags, flags, 3, "as sale.put has it")
FIELD(sale_get_reply, 5, u32, pools, 3, "how many it has")
FIELD(sale_get_reply, 6, stock, left, 3, "units in its pools that nobody has")
FIELD(sale_get_reply, 7, stock, taken, 3, "units of its pools that orders hold or have")
FIELD(sale_get_reply, 8, stock, held, 3, "indexed: units of PENDING orders, from pools or not")
FIELD(sale_get_reply, 9, stock, sold, 3, "indexed: units of orders CONFIRMED to DELIVERED")
FIELD(sale_get_reply, 10, u32, pending, 3, "indexed: orders in this state")
FIELD(sale_get_reply, 11, u32, confirmed, 3, "indexed: orders in this state")
FIELD(sale_get_reply, 12, u32, partially_shipped, 3, "indexed: orders in this state")
FIELD(sale_get_reply, 13, u32, shipped, 3, "indexed: orders in this state")
FIELD(sale_get_reply, 14, u32, delivered, 3, "indexed: orders in this state")
FIELD(sale_get_reply, 15, u32, expired, 3, "indexed: orders in this state")
FIELD(sale_get_reply, 16, u32, failed, 3, "indexed: orders in this state")
FIELD(sale_get_reply, 17, u32, cancelled, 3, "indexed: orders in this state")
FIELD(sale_get_reply, 18, time, opens, 3, "0: no bound")
FIELD(sale_get_reply, 19, time, closes, 3, "0: no bound")
FIELD(sale_get_reply, 20, points, points_max, 3, "cap of points per order; 0: no cap")
FIELD(sale_get_reply, 21, seconds, hold, 3, "a hold's length")
FIELD(sale_get_reply, 22, seconds, hold_max, 3, "its cap, from the placing on")
FIELD(sale_get_reply, 23, u32, points_share, 3, "cap as a share of the total, in 1/10000")
FIELD(sale_get_reply, 24, u32, rate_points, 3, "this many points ...")
FIELD(sale_get_reply, 25, u32, rate_money, 3, "... are worth this many minor units")
FIELD(sale_get_reply, 26, quantity, customer_sku_max, 3, "units of one SKU per customer")
FIELD(sale_get_reply, 27, quantity, customer_sale_max, 3, "units in all per customer")
FIELD(sale_get_reply, 28, count, rejection_count, 3, "one for each outcome that it had")
FIELD(sale_get_reply, 29, zero16, reserved, 3, "")
FIELD(sale_get_reply, 30, u32, earn_points, 3, "this many points are earned ...")
FIELD(sale_get_reply, 31, u32, earn_money, 3, "... by this many minor units paid; both 0: none")
FIELD(sale_get_reply, 32, seconds, return_window, 3, "before they may be spent")
FIELD(sale_get_reply, 33, seconds, earn_life, 3, "and how long; 0: ever")
SHAPE_END(sale_get_reply)

SHAPE(rejected)
FIELD(rejected, 1, outcome, outcome, 3, "of order.place in this sale")
FIELD(rejected, 2, zero16, reserved, 3, "")
FIELD(rejected, 3, zero32, reserved2, 3, "")
FIELD(rejected, 4, u64, count, 3, "how often, since this server keeps lists")
SHAPE_END(rejected)

SHAPE(attention_list)
FIELD(attention_list, 1, cursor, cursor, 3,
      "zero: the first page; else the `next` of the answer before")
FIELD(attention_list, 2, attention, kind, 3,
      "PARKED: payments; REFUND_DUE: orders; REFUND_FAILED: of these, orders with a failed refund; "
      "OFFLINE: offline warehouses that orders wait for; DEFICIT: stock")
FIELD(attention_list, 3, zero8, reserved, 3, "")
FIELD(attention_list, 4, u16, wanted, 3, "rows to show, at most 64; 0: 64")
FIELD(attention_list, 5, zero32, reserved2, 3, "")
SHAPE_END(attention_list)
REQUIRED(attention_list, kind)

SHAPE(attention_list_reply)
FIELD(attention_list_reply, 1, u64, seq, 3, "last change the answer shows")
FIELD(attention_list_reply, 2, cursor, next, 3, "zero: there are no more; else ask again with it")
FIELD(attention_list_reply, 3, count, concern_count, 3,
      "the newest first; of DEFICIT by when the stock was added")
FIELD(attention_list_reply, 4, zero16, reserved, 3, "")
FIELD(attention_list_reply, 5, zero32, reserved2, 3, "")
SHAPE_END(attention_list_reply)

SHAPE(concern)
FIELD(concern, 1, id, order, 3, "whose order; zero: OFFLINE and DEFICIT")
FIELD(concern, 2, order_state, state, 3, "the order's, now")
FIELD(concern, 3, money_state, money, 3, "the order's, now")
FIELD(concern, 4, currency, currency, 3, "of the amount")
FIELD(concern, 5, u32, provider, 3, "PARKED: of the payment")
FIELD(concern, 6, id, event, 3, "PARKED: the payment's event")
FIELD(concern, 7, money, amount, 3, "parked, or due for refund")
FIELD(concern, 8, u64, since, 3, "position in the log of what brought it here; 0: not kept")
FIELD(concern, 9, sku, sku, 3, "DEFICIT: of which there is too little")
FIELD(concern, 10, stock, available, 3, "DEFICIT: below zero")
FIELD(concern, 11, warehouse, warehouse, 3, "DEFICIT, OFFLINE: where")
FIELD(concern, 12, zero32, reserved, 3, "")
FIELD(concern, 13, u64, orders, 3, "OFFLINE: that have units there which were not shipped")
FIELD(concern, 14, stock, units, 3, "OFFLINE: how many")
SHAPE_END(concern)

/* Messages. */

MESSAGE(1, hello, "hello", SESSION, any, FREE, 1, hello, none, 0, hello_reply, none, 0,
        "opens a connection; the first frame on it")
MESSAGE(2, error, "error", SESSION, any, FREE, 1, empty, none, 0, error_reply, none, 0,
        "sent by the server before it closes a connection")
MESSAGE(3, snapshot, "snapshot", ADMIN, admin, FREE, 1, snapshot, none, 0, snapshot_reply, none, 0,
        "asks for a snapshot that shows a change, unless there is one or one is under way. "
        "Answered at once: published when a later answer's seq_published has reached seq")
MESSAGE(4, member_seal, "member.seal", ADMIN, admin, FREE, 2, member_seal, none, 0, member, none, 0,
        "promises to refuse epochs before this one, durably, and tells what this server has")
MESSAGE(5, member_promote, "member.promote", ADMIN, admin, FREE, 2, member_promote, none, 0, member,
        none, 0, "makes this replica the primary of the epoch that it has sealed")
MESSAGE(6, member_follow, "member.follow", ADMIN, admin, FREE, 2, member_follow, none, 0, member,
        none, 0, "makes this server a replica of another one")
MESSAGE(7, replicas, "replicas", ADMIN, admin, FREE, 2, empty, none, 0, replicas_reply, replica,
        REPLICAS_MAX, "the replicas that follow this server, and how far they are")
MESSAGE(8, replica_join, "replica.join", LINK, replica, FREE, 2, replica_join, capacity, TABLES_MAX,
        replica_join_reply, none, 0,
        "from a replica: makes this connection a link, on which blocks of the log follow")
MESSAGE(9, replica_fetch, "replica.fetch", LINK, replica, FREE, 2, replica_fetch, none, 0,
        replica_fetch_reply, none, 0,
        "from a replica: makes this connection one on which a snapshot follows, piece by piece")
MESSAGE(10, replica_ack, "replica.ack", LINK, replica, FREE, 2, replica_ack, none, 0, empty, none,
        0, "from a replica, on its link: how far it is. It is not answered")
MESSAGE(11, replica_block, "replica.block", LINK, server, FREE, 2, replica_block, none, 0, empty,
        none, 0, "to a replica, on its link: a block of the log follows this frame")
MESSAGE(12, replica_beat, "replica.beat", LINK, server, FREE, 2, replica_beat, none, 0, empty, none,
        0, "to a replica, on its link, several times a second")
MESSAGE(13, replica_piece, "replica.piece", LINK, server, FREE, 2, replica_piece, none, 0, empty,
        none, 0, "to a replica that fetches: a piece of the snapshot follows this frame")
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
MESSAGE(27, payment_event, "payment.event", COMMAND, payment, FREE, 1, payment_event, opaque,
        OPAQUE_ROWS_MAX, order_status, none, 0, "what a payment provider says about an order")
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
MESSAGE(37, epoch_begin, "epoch.begin", INTERNAL, server, FREE, 2, epoch_begin, none, 0, seq_reply,
        none, 0, "the first change of a new primary: what follows is of the next epoch")
MESSAGE(44, order_reallocate, "order.reallocate", COMMAND, order, KEYED, 3, order_reallocate, none,
        0, order_status, none, 0, "takes unshipped units from other warehouses, all or nothing")
MESSAGE(45, order_ship, "order.ship", COMMAND, order, KEYED, 3, order_ship, units, ORDER_PIECES_MAX,
        order_status, none, 0, "units leave their warehouses")
MESSAGE(46, order_deliver, "order.deliver", COMMAND, order, KEYED, 3, order_ship, units,
        ORDER_PIECES_MAX, order_status, none, 0, "shipped units have arrived")
MESSAGE(47, order_return, "order.return", COMMAND, order, KEYED, 3, order_return, returned,
        ORDER_PIECES_MAX, order_status, none, 0, "shipped units come back, to be sold again or not")
MESSAGE(48, refund_begin, "refund.begin", COMMAND, payment, FREE, 3, refund_begin, refund_line,
        ORDER_LINES_MAX, refund_begin_reply, none, 0,
        "decides what of an order's money and points comes back, and sets it aside")
MESSAGE(49, refund_finish, "refund.finish", COMMAND, payment, FREE, 3, refund_finish, none, 0,
        refund_finish_reply, none, 0, "the money has gone back, or has not")
MESSAGE(50, refund_get, "refund.get", QUERY, read, FREE, 3, refund_id, none, 0, refund_get_reply,
        none, 0, "a refund")
MESSAGE(51, payment_settle, "payment.settle", COMMAND, payment, KEYED, 3, payment_settle, none, 0,
        order_status, none, 0, "decides about a payment that is parked")
MESSAGE(52, payment_get, "payment.get", QUERY, read, FREE, 3, payment_id, none, 0,
        payment_get_reply, opaque, OPAQUE_ROWS_MAX, "a payment event, and what has become of it")
MESSAGE(53, order_parcels, "order.parcels", QUERY, read, FREE, 3, order_page, none, 0,
        order_parcels_reply, parcel, PARCEL_ROWS_MAX,
        "what was shipped and delivered of an order, page by page")
MESSAGE(63, order_money, "order.money", QUERY, read, FREE, 3, order_page, none, 0,
        order_money_reply, refund, REFUND_ROWS_MAX,
        "an order's money and points, and its refunds, page by page")
MESSAGE(40, stock_transfer, "stock.transfer", COMMAND, stock, KEYED_ROWS, 3, stock_transfer, none,
        0, stock_transfer_reply, level, 2, "moves units from one warehouse to another")
MESSAGE(41, stock_unsellable, "stock.unsellable", COMMAND, stock, KEYED, 3, stock_unsellable, none,
        0, stock_level, order_id, CONCERNED_ORDERS_MAX,
        "sets units aside that are damaged, brings them back, or discards them")
MESSAGE(42, warehouse_put, "warehouse.put", COMMAND, stock, KEYED, 3, warehouse_put, none, 0,
        warehouse_put_reply, none, 0, "lets a warehouse take orders, or no new ones")
MESSAGE(43, zone_put, "zone.put", COMMAND, stock, KEYED, 3, zone_put, zone_warehouse,
        ZONE_WAREHOUSES_MAX, seq_reply, none, 0,
        "the warehouses that a zone is sent to from, and what that costs")
MESSAGE(54, points_adjust, "points.adjust", COMMAND, points, KEYED, 3, points_adjust, none, 0,
        points_credit_reply, none, 0, "corrects a customer's points by hand")
MESSAGE(55, points_lots, "points.lots", QUERY, read, FREE, 3, points_page, none, 0,
        points_lots_reply, lot, POINTS_ROWS_MAX, "a customer's lots, page by page")
MESSAGE(56, points_ledger, "points.ledger", QUERY, read, FREE, 3, points_page, none, 0,
        points_ledger_reply, entry, POINTS_ROWS_MAX,
        "every movement of a customer's points, page by page")
MESSAGE(57, points_terms, "points.terms", COMMAND, points, KEYED, 3, points_terms, none, 0,
        seq_reply, none, 0, "what orders without a sale earn from now on")
MESSAGE(59, order_list, "order.list", QUERY, read, FREE, 3, order_list, none, 0, order_list_reply,
        order, LIST_ROWS_MAX,
        "orders of a customer, a SKU, a sale, a warehouse or a state, page by page")
MESSAGE(60, sale_get, "sale.get", QUERY, read, FREE, 3, sale_get, none, 0, sale_get_reply, rejected,
        OUTCOMES_MAX, "a sale: its terms, what is left, sold and held, and what was rejected")
MESSAGE(61, attention_list, "attention.list", QUERY, read, FREE, 3, attention_list, none, 0,
        attention_list_reply, concern, LIST_ROWS_MAX, "what a person must look at, page by page")

#undef SHAPE
#undef FIELD
#undef SHAPE_END
#undef REQUIRED
#undef MESSAGE
