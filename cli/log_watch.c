/* Each look compares a mark or two (engine/trace.h); only where one differs, what is there now is
 * asked for, compared with what was there before, and written.
 *
 *   log_watch_look -> look_at_orders -> order.get again, against the answer before
 *                  -> look_at_points -> points.balance, and the ledger's newest entries
 *                  -> look_at_stocks -> the rows of the stocks, against those before
 *
 * Which orders are looked at: a command that names an order changes no other; hold.expire changes
 * those whose holds are over (tests/model/trace_test.c tries both); any other may change any. A
 * customer's orders are those that he placed since the beginning, and those that the state had
 * then. An order is known by its id: one that is forgotten is told as such, and looked for as
 * before. */
#include "cli/log_watch.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/checksum.h"
#include "cli/folder.h"
#include "cli/text.h"

enum { ORDER_PLACES_MIN = 16, ROWS_MIN = 16 };

static bool is_json(const struct log_watch *watch)
{
    return watch->form == VALUE_JSON;
}

/* A list of changes: in JSON an array, as text a line for each. */
struct list {
    const char *name;
    uint32_t count;
};

static void list_item(struct log_watch *watch, struct list *list)
{
    if (is_json(watch) && list->count == 0)
        fprintf(watch->out, "%s\"%s\":[", watch->has_changed ? "," : "", list->name);
    fputs(!is_json(watch) ? "\n  " : list->count > 0 ? ",{" : "{", watch->out);
    watch->has_changed = true;
    list->count++;
}

static void list_item_end(struct log_watch *watch)
{
    if (is_json(watch))
        fputc('}', watch->out);
}

static void list_end(struct log_watch *watch, const struct list *list)
{
    if (is_json(watch) && list->count > 0)
        fputc(']', watch->out);
}

/* The value that an item begins with. */
static void write_first(struct log_watch *watch, const char *name, unsigned type, const void *value)
{
    fprintf(watch->out, is_json(watch) ? "\"%s\":" : "%s=", name);
    value_write(watch->out, watch->form, type, value);
}

static void write_next(struct log_watch *watch, const char *name, unsigned type, const void *value)
{
    fputc(is_json(watch) ? ',' : ' ', watch->out);
    write_first(watch, name, type, value);
}

/* Orders. */

/* Where the index has the number of an order, from 1; or the free place where that belongs. */
static uint32_t *order_place(const struct log_watch *watch, struct id order)
{
    uint32_t mask = watch->order_places - 1;
    uint32_t at =
        (uint32_t)fold64(order.low ^ watch->hash_seed, order.high ^ ~watch->hash_seed) & mask;
    while (watch->order_index[at] != 0 &&
           !id_equal(watch->orders[watch->order_index[at] - 1].order, order))
        at = (at + 1) & mask;
    return &watch->order_index[at];
}

/* The index has two places for each order that there is room for. */
static bool orders_grow(struct log_watch *watch)
{
    uint32_t places = watch->order_places > 0 ? 2 * watch->order_places : ORDER_PLACES_MIN;
    uint32_t *order_index = calloc(places, sizeof *order_index);
    struct watched_order *orders = realloc(watch->orders, places / 2 * sizeof *orders);
    watch->orders = orders != NULL ? orders : watch->orders;
    if (orders == NULL || order_index == NULL) {
        free(order_index);
        return false;
    }
    free(watch->order_index);
    watch->order_index = order_index;
    watch->order_places = places;
    for (uint32_t i = 0; i < watch->order_count; i++)
        *order_place(watch, orders[i].order) = i + 1;
    return true;
}

static void order_add(struct log_watch *watch, struct id order)
{
    bool has_room = watch->order_count < watch->order_places / 2 || orders_grow(watch);
    watch->lacks_memory |= !has_room;
    if (!has_room || *order_place(watch, order) != 0)
        return;
    watch->orders[watch->order_count++] = (struct watched_order){.order = order};
    *order_place(watch, order) = watch->order_count;
}

/* Takes over what is there now; NULL: the order is not in memory. */
static void order_keep(struct log_watch *watch, struct watched_order *order, const void *reply,
                       uint32_t version)
{
    const struct message_info *message = message_info(MESSAGE_order_get);
    size_t size = 0;
    if (reply != NULL)
        size = message->reply->size_bytes +
               (size_t)shape_rows(message->reply, reply) * message->reply_row->size_bytes;
    free(order->reply);
    order->version = version;
    order->reply = reply != NULL ? malloc(size) : NULL;
    order->ends_us = reply != NULL ? ((const struct order_get_reply_body *)reply)->hold_ends : 0;
    watch->lacks_memory |= reply != NULL && order->reply == NULL;
    if (order->reply != NULL)
        memcpy(order->reply, reply, size);
}

static void look_at_order(struct log_watch *watch, struct watched_order *order, struct list *list)
{
    uint32_t version = trace_order(watch->engine, order->order);
    if (version == order->version)
        return;
    const struct order_id_body get = {.order = order->order};
    const void *reply =
        version != 0 ? folder_ask(watch->engine, MESSAGE_order_get, &get, sizeof get, watch->room)
                     : NULL;
    list_item(watch, list);
    write_first(watch, "order", FIELD_id, &order->order);
    if (reply != NULL)
        text_write_changes(watch->out, watch->form, message_info(MESSAGE_order_get), order->reply,
                           reply);
    else
        fputs(is_json(watch) ? ",\"forgotten\":true" : " forgotten", watch->out);
    list_item_end(watch);
    order_keep(watch, order, reply, version);
}

/* The order that the command names; zero: none. */
static struct id order_named(const struct log_watch *watch, const struct command *command)
{
    struct id order = {0, 0};
    int16_t offset = command != NULL ? watch->order_offset[command->number] : -1;
    if (offset >= 0)
        memcpy(&order, (const uint8_t *)command->body + offset, sizeof order);
    return order;
}

/* Can a command that names no order have changed this one? */
static bool may_have_changed(const struct log_watch *watch, const struct watched_order *order,
                             const struct command *command)
{
    return command == NULL || command->number != MESSAGE_hold_expire ||
           (order->ends_us > 0 && order->ends_us <= engine_time_us(watch->engine));
}

static void look_at_orders(struct log_watch *watch, const struct command *command)
{
    struct list list = {.name = "orders"};
    struct id named = order_named(watch, command);
    if (command != NULL && command->number == MESSAGE_order_place &&
        log_subject_is_named(watch->subject, command->number, command->body))
        order_add(watch, named);
    if (watch->order_count == 0)
        return;
    uint32_t number = id_is_zero(named) ? 0 : *order_place(watch, named);
    if (number > 0)
        look_at_order(watch, &watch->orders[number - 1], &list);
    for (uint32_t i = 0; id_is_zero(named) && i < watch->order_count; i++) {
        if (may_have_changed(watch, &watch->orders[i], command))
            look_at_order(watch, &watch->orders[i], &list);
    }
    list_end(watch, &list);
}

/* Points. */

/* All movements of the last change, the newest first; returns how many. */
static uint32_t find_movements(struct log_watch *watch)
{
    struct trace_movement movement;
    uint32_t cursor = 0;
    uint32_t count = 0;
    while (trace_next_movement(watch->engine, watch->subject->id, &cursor, &movement)) {
        if (count == watch->movements_max) {
            uint32_t max = count > 0 ? 2 * count : ROWS_MIN;
            void *movements = realloc(watch->movements, max * sizeof movement);
            watch->lacks_memory |= movements == NULL;
            if (movements == NULL)
                break;
            watch->movements = movements;
            watch->movements_max = max;
        }
        watch->movements[count++] = movement;
    }
    return count;
}

static void write_movement(struct log_watch *watch, const struct trace_movement *movement)
{
    fprintf(watch->out, is_json(watch) ? "\"kind\":\"%s\"" : "ledger %s",
            movement->kind != NULL ? movement->kind : "OTHER");
    write_next(watch, "points", FIELD_points, &movement->points);
    if (!id_is_zero(movement->order))
        write_next(watch, "order", FIELD_id, &movement->order);
    if (movement->expires_us != UINT64_MAX)
        write_next(watch, "expires", FIELD_time, &movement->expires_us);
}

static void write_movements(struct log_watch *watch)
{
    struct list list = {.name = "ledger"};
    for (uint32_t i = find_movements(watch); i-- > 0;) {
        list_item(watch, &list);
        write_movement(watch, &watch->movements[i]);
        list_item_end(watch);
    }
    list_end(watch, &list);
}

static void look_at_points(struct log_watch *watch, const struct command *command)
{
    struct id customer = watch->subject->id;
    uint64_t points = trace_points(watch->engine, customer);
    if (points == watch->points)
        return;
    const struct points_balance_body get = {.customer = customer};
    watch->points = points;
    fprintf(watch->out, is_json(watch) ? "%s\"points\":{" : "\n  ", watch->has_changed ? "," : "");
    watch->has_changed = true;
    write_first(watch, "customer", FIELD_id, &customer);
    if (points != 0)
        text_write_changes(
            watch->out, watch->form, message_info(MESSAGE_points_balance), NULL,
            folder_ask(watch->engine, MESSAGE_points_balance, &get, sizeof get, watch->room));
    else
        fputs(is_json(watch) ? ",\"forgotten\":true" : " forgotten", watch->out);
    list_item_end(watch);
    if (command != NULL && points != 0)
        write_movements(watch);
}

/* Stocks. */

static bool rows_grow(struct log_watch *watch)
{
    uint32_t rows_max = watch->rows_max > 0 ? 2 * watch->rows_max : ROWS_MIN;
    struct stock_row_body *rows = realloc(watch->rows, rows_max * sizeof *rows);
    if (rows == NULL)
        return false;
    watch->rows = rows;
    struct stock_row_body *rows_now = realloc(watch->rows_now, rows_max * sizeof *rows_now);
    if (rows_now == NULL)
        return false;
    watch->rows_now = rows_now;
    watch->rows_max = rows_max;
    return true;
}

/* The numbers of a stock that differ from those before, by how much. */
static void write_moved(struct log_watch *watch, const struct stock_row_body *before,
                        const struct stock_row_body *now)
{
    const struct shape_info *shape = message_info(MESSAGE_stock_get)->reply_row;
    const char *separator = "";
    fputs(is_json(watch) ? ",\"moved\":{" : ": moved", watch->out);
    for (uint16_t i = 0; i < shape->field_count; i++) {
        const struct field_info *field = &shape->fields[i];
        int64_t numbers[2];
        if (field->type != FIELD_stock)
            continue;
        memcpy(&numbers[0], (const uint8_t *)before + field->offset, sizeof numbers[0]);
        memcpy(&numbers[1], (const uint8_t *)now + field->offset, sizeof numbers[1]);
        int64_t moved = numbers[1] - numbers[0];
        if (moved == 0)
            continue;
        if (is_json(watch))
            fprintf(watch->out, "%s\"%s\":%" PRId64, separator, field->name, moved);
        else
            fprintf(watch->out, " %s=%+" PRId64, field->name, moved);
        separator = ",";
    }
    if (is_json(watch))
        fputc('}', watch->out);
}

static void write_stock(struct log_watch *watch, const struct stock_row_body *now)
{
    const struct shape_info *shape = message_info(MESSAGE_stock_get)->reply_row;
    write_first(watch, "warehouse", FIELD_warehouse, &now->warehouse);
    for (uint16_t i = 0; i < shape->field_count; i++) {
        const struct field_info *field = &shape->fields[i];
        const void *value = (const uint8_t *)now + field->offset;
        if (field->type == FIELD_stock && (is_json(watch) || !value_is_zero(field->type, value)))
            write_next(watch, field->name, field->type, value);
    }
}

static bool has_moved(const struct stock_row_body *before, const struct stock_row_body *now)
{
    size_t start = offsetof(struct stock_row_body, on_hand);
    return memcmp((const uint8_t *)before + start, (const uint8_t *)now + start,
                  sizeof *now - start) != 0;
}

/* What a stock was when it was looked at last, if it was there. `seen` goes on from row to row. */
static struct stock_row_body row_before(const struct log_watch *watch,
                                        const struct stock_row_body *now, uint32_t *seen)
{
    while (*seen < watch->row_count && watch->rows[*seen].warehouse < now->warehouse)
        (*seen)++;
    bool is_known = *seen < watch->row_count && watch->rows[*seen].warehouse == now->warehouse;
    return is_known ? watch->rows[*seen] : (struct stock_row_body){.warehouse = now->warehouse};
}

static void look_at_stocks(struct log_watch *watch, const struct command *command)
{
    uint64_t sku = watch->subject->sku;
    uint64_t stocks = trace_stocks(watch->engine, sku);
    struct list list = {.name = "stocks"};
    uint32_t count = 0;
    uint32_t cursor = 0;
    uint32_t seen = 0;
    if (stocks == watch->stocks)
        return;
    watch->stocks = stocks;
    for (struct stock_row_body now; trace_next_stock(watch->engine, sku, &cursor, &now);) {
        if (count == watch->rows_max && !rows_grow(watch)) {
            watch->lacks_memory = true;
            return;
        }
        watch->rows_now[count++] = now;
        const struct stock_row_body before = row_before(watch, &now, &seen);
        if (command != NULL && !has_moved(&before, &now))
            continue;
        list_item(watch, &list);
        write_stock(watch, &now);
        if (command != NULL)
            write_moved(watch, &before, &now);
        list_item_end(watch);
    }
    list_end(watch, &list);
    struct stock_row_body *rows = watch->rows;
    watch->rows = watch->rows_now;
    watch->rows_now = rows;
    watch->row_count = count;
}

void log_watch_init(struct log_watch *watch)
{
    struct id order;
    uint32_t cursor = 0;
    watch->out = open_memstream(&watch->changes, &watch->changes_size);
    watch->lacks_memory = watch->out == NULL;
    for (unsigned number = 0; number <= MESSAGE_NUMBER_MAX; number++)
        watch->order_offset[number] = log_subject_offset(SUBJECT_ORDER, number);
    if (watch->subject->kind == SUBJECT_ORDER)
        order_add(watch, watch->subject->id);
    while (watch->subject->kind == SUBJECT_CUSTOMER &&
           trace_next_order(watch->engine, watch->subject->id, &cursor, &order))
        order_add(watch, order);
}

void log_watch_deinit(struct log_watch *watch)
{
    for (uint32_t i = 0; i < watch->order_count; i++)
        free(watch->orders[i].reply);
    free(watch->orders);
    free(watch->order_index);
    free(watch->rows);
    free(watch->rows_now);
    free(watch->movements);
    if (watch->out != NULL)
        fclose(watch->out);
    free(watch->changes);
}

static void look(struct log_watch *watch, const struct command *command)
{
    if (watch->subject->kind == SUBJECT_SKU) {
        look_at_stocks(watch, command);
        return;
    }
    look_at_orders(watch, command);
    if (watch->subject->kind == SUBJECT_CUSTOMER)
        look_at_points(watch, command);
}

void log_watch_look(struct log_watch *watch, const struct command *command)
{
    if (watch->lacks_memory)
        return;
    if (watch->has_changed)
        rewind(watch->out);
    watch->has_changed = false;
    look(watch, command);
    if (watch->has_changed)
        watch->lacks_memory |= fflush(watch->out) != 0;
}
