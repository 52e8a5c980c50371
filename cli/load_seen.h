/* What earlier rows of a load had: the terms of each SKU, and each (SKU, warehouse) and
 * (customer, expiry), to find contradictions and rows that appear twice. */
#ifndef TILL_CLI_LOAD_SEEN_H
#define TILL_CLI_LOAD_SEEN_H

#include "cli/load_file.h"

struct seen_slot;

struct load_seen {
    struct seen_slot *slots;
    size_t slot_count; /* a power of two */
    size_t count;
};

/* All zero before the first call. */
void load_seen_deinit(struct load_seen *seen);

/* Looks a row up and remembers it. False after a message: it contradicts an earlier one, or there
 * is no memory. *is_new_sku: it is the first row of its SKU. */
bool load_seen_row(struct load_seen *seen, const struct load_row *row, struct load_report *report,
                   bool *is_new_sku);

#endif
