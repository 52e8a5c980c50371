/* One hash table for SKUs and for rows; its keys are 128-bit hashes of kind and ids, which are
 * taken to be unique. */
#include "cli/load_seen.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { SLOTS_MIN = 1024 };

enum seen_what { SEEN_SKU = 1, SEEN_STOCK, SEEN_POINTS };

/* The terms recorded for a row that adds; no row that sets can have them. */
#define TERMS_ADDED UINT64_MAX

struct seen_slot {
    struct id key; /* zero: the slot is free */
    uint64_t terms;
    uint64_t name; /* of a SKU, hashed; 0: the row has none */
    struct load_place place;
};

void load_seen_deinit(struct load_seen *seen)
{
    free(seen->slots);
    *seen = (struct load_seen){0};
}

static struct seen_slot *find_slot(struct seen_slot *slots, size_t slot_count, struct id key)
{
    size_t at = key.low & (slot_count - 1);
    while (!id_is_zero(slots[at].key) && !id_equal(slots[at].key, key))
        at = (at + 1) & (slot_count - 1);
    return &slots[at];
}

static bool grow(struct load_seen *seen)
{
    size_t slot_count = seen->slot_count > 0 ? 2 * seen->slot_count : SLOTS_MIN;
    struct seen_slot *slots = calloc(slot_count, sizeof *slots);
    if (slots == NULL)
        return false;
    for (size_t i = 0; i < seen->slot_count; i++) {
        if (!id_is_zero(seen->slots[i].key))
            *find_slot(slots, slot_count, seen->slots[i].key) = seen->slots[i];
    }
    free(seen->slots);
    seen->slots = slots;
    seen->slot_count = slot_count;
    return true;
}

/* The slot of this key, which is added if it is new. NULL when there is not enough memory. */
static struct seen_slot *find(struct load_seen *seen, const uint64_t words[4],
                              const struct load_place *place, uint64_t terms, bool *is_new)
{
    XXH128_hash_t hash = XXH3_128bits(words, 4 * sizeof *words);
    struct id key = {.low = hash.low64, .high = hash.high64 | 1};
    if (2 * seen->count >= seen->slot_count && !grow(seen))
        return NULL;
    struct seen_slot *slot = find_slot(seen->slots, seen->slot_count, key);
    *is_new = id_is_zero(slot->key);
    if (*is_new) {
        *slot = (struct seen_slot){.key = key, .terms = terms, .place = *place};
        seen->count++;
    }
    return slot;
}

static bool no_memory(struct load_report *report, const struct load_row *row)
{
    return load_error(report, &row->place, "no memory to remember this row");
}

static bool seen_points(struct load_seen *seen, const struct load_row *row,
                        struct load_report *report)
{
    const uint64_t words[] = {SEEN_POINTS, row->customer.low, row->customer.high, row->expires};
    char customer[ID_TEXT_SIZE];
    bool is_new = false;
    const struct seen_slot *slot = find(seen, words, &row->place, 0, &is_new);
    if (slot == NULL)
        return no_memory(report, row);
    if (!is_new)
        load_warning(report, &row->place,
                     "customer %s has points with this expiry on %s:%" PRIu64
                     " too; both are credited",
                     id_format(row->customer, customer), slot->place.path, slot->place.line);
    return true;
}

/* All rows of a SKU must have the same terms. */
static bool seen_sku(struct load_seen *seen, const struct load_row *row, struct load_report *report,
                     bool *is_new)
{
    const uint64_t words[] = {SEEN_SKU, row->sku, 0, 0};
    const uint64_t terms_of[] = {(uint64_t)row->price, row->currency};
    uint64_t terms = checksum64(terms_of, sizeof terms_of);
    uint64_t name = row->name.bytes[0] != '\0' ? checksum64(&row->name, sizeof row->name) : 0;
    struct seen_slot *slot = find(seen, words, &row->place, terms, is_new);
    if (slot == NULL)
        return no_memory(report, row);
    if (slot->name == 0)
        slot->name = name;
    if (slot->terms != terms || (name != 0 && name != slot->name))
        return load_error(report, &row->place,
                          "sku %" PRIu64 " has another price, currency or name than on %s:%" PRIu64,
                          row->sku, slot->place.path, slot->place.line);
    return true;
}

static bool seen_stock(struct load_seen *seen, const struct load_row *row,
                       struct load_report *report)
{
    const uint64_t words[] = {SEEN_STOCK, row->sku, row->warehouse, 0};
    uint64_t terms = row->kind == LOAD_SET ? (uint64_t)row->units : TERMS_ADDED;
    bool is_new = false;
    const struct seen_slot *slot = find(seen, words, &row->place, terms, &is_new);
    if (slot == NULL)
        return no_memory(report, row);
    if (!is_new && terms != TERMS_ADDED && slot->terms != TERMS_ADDED && slot->terms != terms)
        return load_error(report, &row->place,
                          "sku %" PRIu64 " in warehouse %" PRIu32
                          " has another on_hand than on %s:%" PRIu64,
                          row->sku, row->warehouse, slot->place.path, slot->place.line);
    if (!is_new)
        load_warning(report, &row->place,
                     "sku %" PRIu64 " in warehouse %" PRIu32 " is on %s:%" PRIu64 " too%s",
                     row->sku, row->warehouse, slot->place.path, slot->place.line,
                     terms == TERMS_ADDED && slot->terms == TERMS_ADDED ? "; both are added" : "");
    return true;
}

bool load_seen_row(struct load_seen *seen, const struct load_row *row, struct load_report *report,
                   bool *is_new_sku)
{
    *is_new_sku = false;
    if (row->kind == LOAD_POINTS)
        return seen_points(seen, row, report);
    return seen_sku(seen, row, report, is_new_sku) && seen_stock(seen, row, report);
}
