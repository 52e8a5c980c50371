/* What a row would do, for a person: printed on stdout, and counted as if it were done. */
#ifndef TILL_CLI_LOAD_DRY_H
#define TILL_CLI_LOAD_DRY_H

#include "cli/load_send.h"

/* What is known of a row's SKU, its name and its stock. */
struct load_found {
    bool has_sku;
    uint64_t name_sku; /* the SKU that has the name; 0: none, or not asked for */
    struct stock_row_body stock;
};

bool load_has_name(const struct load_row *row);

/* Does the SKU differ from the row? A row without a name does not change the SKU's name. */
bool load_terms_differ(const struct load_row *row, const struct load_found *found);

void load_dry_stock(struct loader *loader, const struct load_work *work,
                    const struct load_found *found);
void load_dry_points(struct loader *loader, const struct load_row *row, int64_t balance);

#endif
