/* Prints one line per row, in the order of the rows: what would happen to its SKU, then to its
 * stock; nothing for a row that would change nothing. A row that the server would reject is an
 * error, as far as queries can find that out. */
#include "cli/load_dry.h"

#include <inttypes.h>
#include <stdio.h>

#include "cli/value.h"

bool load_has_name(const struct load_row *row)
{
    return !value_is_zero(FIELD_name, &row->name);
}

bool load_terms_differ(const struct load_row *row, const struct load_found *found)
{
    return !found->has_sku || found->stock.price != row->price ||
           found->stock.currency != row->currency ||
           (load_has_name(row) && found->name_sku != row->sku);
}

static void print_terms(const struct load_row *row)
{
    printf("%" PRId64 " ", row->price);
    value_write(stdout, VALUE_TEXT, FIELD_currency, &row->currency);
}

/* The part of the line that says what would happen to the row's SKU. */
static void print_sku(const struct load_work *work, const struct load_found *found)
{
    const struct load_row *row = &work->row;
    printf("sku %" PRIu64, row->sku);
    if (!work->is_new_sku || !load_terms_differ(&work->row, found))
        return;
    fputs(found->has_sku ? ":" : " is new: ", stdout);
    if (found->has_sku &&
        (found->stock.price != row->price || found->stock.currency != row->currency)) {
        printf(" price %" PRId64 " ", found->stock.price);
        value_write(stdout, VALUE_TEXT, FIELD_currency, &found->stock.currency);
        fputs(" becomes ", stdout);
        print_terms(row);
    } else if (!found->has_sku) {
        print_terms(row);
    } else {
        fputs(" its name is put", stdout);
    }
    if (load_has_name(row)) {
        fputs(", name ", stdout);
        value_write(stdout, VALUE_TEXT, FIELD_name, &row->name);
    }
}

static void print_stock(const struct load_work *work, const struct load_found *found, bool puts_sku)
{
    const struct load_row *row = &work->row;
    bool adds = row->kind == LOAD_ADD;
    if (adds ? row->units == 0 : row->units == found->stock.on_hand)
        return;
    printf("%s in warehouse %" PRIu32 ": ", puts_sku ? ";" : "", row->warehouse);
    if (adds)
        printf("%" PRId64 " are added to %" PRId64, row->units, found->stock.on_hand);
    else
        printf("on_hand %" PRId64 " becomes %" PRId64, found->stock.on_hand, row->units);
}

/* Would the server accept the row, as far as queries can find out? False after an error. */
static bool row_is_possible(struct loader *loader, const struct load_work *work,
                            const struct load_found *found)
{
    const struct load_row *row = &work->row;
    const struct stock_row_body *stock = &found->stock;
    int64_t promised =
        stock->pooled + stock->reserved_for_orders + stock->committed + stock->unsellable;
    if (found->name_sku != 0 && found->name_sku != row->sku)
        return load_error(&loader->report, &row->place,
                          "name %.32s is sku %" PRIu64 "'s: expected one that no other SKU has",
                          row->name.bytes, found->name_sku);
    if (row->kind == LOAD_SET && row->units != stock->on_hand && row->units < promised)
        return load_error(&loader->report, &row->place,
                          "on_hand is %" PRId64 ": expected %" PRId64
                          " at least, which are promised",
                          row->units, promised);
    return true;
}

void load_dry_stock(struct loader *loader, const struct load_work *work,
                    const struct load_found *found)
{
    const struct load_row *row = &work->row;
    bool adds = row->kind == LOAD_ADD;
    if (!row_is_possible(loader, work, found))
        return;
    bool puts_sku = work->is_new_sku && load_terms_differ(&work->row, found);
    bool changes = adds ? row->units > 0 : row->units != found->stock.on_hand;
    loader->counts.rows++;
    loader->counts.skus += puts_sku || (adds && work->is_new_sku);
    loader->counts.added += adds && changes;
    loader->counts.units += adds ? (uint64_t)row->units : 0;
    loader->counts.set += !adds && changes;
    loader->counts.unchanged += !changes && !puts_sku;
    if (!changes && !puts_sku)
        return;
    printf("%s:%" PRIu64 ": ", row->place.path, row->place.line);
    print_sku(work, found);
    print_stock(work, found, puts_sku);
    putchar('\n');
}

void load_dry_points(struct loader *loader, const struct load_row *row, int64_t balance)
{
    char customer[ID_TEXT_SIZE];
    printf("%s:%" PRIu64 ": customer %s: %" PRId64 " points that ", row->place.path,
           row->place.line, id_format(row->customer, customer), row->points);
    fputs(row->expires == 0 ? "never expire" : "expire ", stdout);
    if (row->expires != 0)
        value_write(stdout, VALUE_TEXT, FIELD_time, &row->expires);
    printf(", beside a balance of %" PRId64 "\n", balance);
    loader->counts.rows++;
    loader->counts.credits++;
    loader->counts.points += (uint64_t)row->points;
}
