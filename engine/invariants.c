/* Reports. The state that they tell of may be of any kind: a record's name in the shop is found
 * only through what is in use. */
#include "engine/invariants.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "engine/image.h"
#include "engine/state.h"

enum { PLACE_TEXT_SIZE = 160, NAME_TEXT_SIZE = 2 * ID_TEXT_SIZE };

static const struct invariant_info invariants[] = {
    [INVARIANT_holds] = {"holds", "", 0, 0},
#define INVARIANT(number, part, name, text) [INVARIANT_##name] = {#name, text, number, part},
#include "engine/tables/invariants.h"
};

const struct invariant_info *invariant_info(enum invariant invariant)
{
    TILL_ASSERT(invariant < INVARIANT_END);
    return &invariants[invariant];
}

void report_look(struct report *report, enum engine_table table, uint32_t record)
{
    report->place = (struct report_place){table, record};
}

void report_look_number(struct report *report, enum engine_scalar scalar)
{
    report->place = (struct report_place){TABLE_none, (uint32_t)scalar};
}

/* The record, or 0 where there is no such one. */
static uint32_t in_use(const struct arena *arena, uint32_t record)
{
    return record <= arena->count ? record : 0;
}

static void write_id(char name[NAME_TEXT_SIZE], const char *what, struct id id)
{
    char text[ID_TEXT_SIZE];
    snprintf(name, NAME_TEXT_SIZE, " (%s %s)", what, id_format(id, text));
}

static void write_order(const struct engine *engine, uint32_t order, char name[NAME_TEXT_SIZE])
{
    write_id(name, "order", order_at(engine, in_use(&engine->orders, order))->id);
}

static void write_customer(const struct engine *engine, uint32_t customer,
                           char name[NAME_TEXT_SIZE])
{
    uint32_t index = in_use(&engine->customer_ids, customer);
    write_id(name, "customer", customer_id_at(engine, index)->id);
}

static void write_sale(const struct engine *engine, uint32_t sale, char name[NAME_TEXT_SIZE])
{
    snprintf(name, NAME_TEXT_SIZE, " (sale %u)",
             sale_at(engine, in_use(&engine->sales, sale))->sale);
}

static void write_stock(const struct engine *engine, uint32_t index, char name[NAME_TEXT_SIZE])
{
    const struct stock *stock = stock_at(engine, index);
    uint64_t sku = sku_at(engine, in_use(&engine->skus, stock->sku))->sku;
    snprintf(name, NAME_TEXT_SIZE, " (SKU %" PRIu64 " in warehouse %u)", sku, stock->warehouse);
}

static void write_payment(const struct engine *engine, uint32_t index, char name[NAME_TEXT_SIZE])
{
    const struct payment *payment = payment_at(engine, index);
    char text[ID_TEXT_SIZE];
    snprintf(name, NAME_TEXT_SIZE, " (event %s of provider %u)", id_format(payment->event, text),
             payment->provider);
}

/* What the shop calls a record by, or whose it is; nothing where that is not known. */
static void write_name(const struct engine *engine, struct report_place place,
                       char name[NAME_TEXT_SIZE])
{
    uint32_t index = place.index;
    switch (place.table) {
    case TABLE_skus:
        snprintf(name, NAME_TEXT_SIZE, " (SKU %" PRIu64 ")", sku_at(engine, index)->sku);
        break;
    case TABLE_stocks:
        write_stock(engine, index, name);
        break;
    case TABLE_sales:
        write_sale(engine, index, name);
        break;
    case TABLE_pools:
        write_sale(engine, pool_at(engine, index)->sale, name);
        break;
    case TABLE_tallies:
        write_customer(engine, tally_at(engine, index)->customer, name);
        break;
    case TABLE_customers:
    case TABLE_customer_ids:
        write_customer(engine, index, name);
        break;
    case TABLE_lots:
        write_customer(engine, lot_at(engine, index)->customer, name);
        break;
    case TABLE_orders:
        write_order(engine, index, name);
        break;
    case TABLE_moneys:
        write_order(engine, money_at(engine, index)->order, name);
        break;
    case TABLE_accounts:
        write_order(engine, account_at(engine, index)->order, name);
        break;
    case TABLE_fulfilments:
        write_order(engine, fulfilment_at(engine, index)->order, name);
        break;
    case TABLE_parcels:
        write_order(engine, parcel_at(engine, index)->order, name);
        break;
    case TABLE_refunds:
        write_order(engine, refund_at(engine, index)->order, name);
        break;
    case TABLE_pieces:
        write_order(engine, piece_at(engine, index)->order, name);
        break;
    case TABLE_payments:
        write_payment(engine, index, name);
        break;
    case TABLE_opaques:
        write_payment(engine, in_use(&engine->payments, opaque_at(engine, index)->payment), name);
        break;
    case TABLE_keys:
        write_id(name, "key", key_record_at(engine, index)->key);
        break;
    default:
        break;
    }
}

static void write_place(const struct report *report, char text[PLACE_TEXT_SIZE])
{
    struct report_place place = report->place;
    char name[NAME_TEXT_SIZE] = "";
    if (place.table == TABLE_none) {
        snprintf(text, PLACE_TEXT_SIZE, "number %s",
                 scalar_info((enum engine_scalar)place.index)->name);
        return;
    }
    /* What a list leads to need not be a record. */
    if (place.index != 0 && place.index < engine_table_view(report->engine, place.table).count)
        write_name(report->engine, place, name);
    snprintf(text, PLACE_TEXT_SIZE, "record %u of table %s%s", place.index,
             table_info(place.table)->name, name);
}

bool report_violated(struct report *report, enum invariant invariant, const char *format, ...)
{
    const struct invariant_info *info = invariant_info(invariant);
    char place[PLACE_TEXT_SIZE];
    char found[PLACE_TEXT_SIZE];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(found, sizeof found, format, arguments);
    va_end(arguments);
    write_place(report, place);
    snprintf(report->error, report->error_size, "%s: invariant %u.%u, %s: %s (%s)", place,
             info->number, info->part, info->name, found, info->text);
    return false;
}

bool report_broken(struct report *report, enum invariant invariant)
{
    return report_violated(report, invariant, "does not hold");
}

bool report_no_memory(struct report *report)
{
    snprintf(report->error, report->error_size, "no memory to check the state");
    return false;
}

void report_add(struct report *report, int64_t *sum, int64_t amount)
{
    if (!__builtin_add_overflow(*sum, amount, sum) || report->has_wrapped)
        return;
    report->has_wrapped = true;
    report->wrapped = report->place;
}

bool report_sums_hold(struct report *report)
{
    if (!report->has_wrapped)
        return true;
    report->place = report->wrapped;
    return report_broken(report, INVARIANT_sum_range);
}
