/* Zones.
 *
 * A zone's warehouses stand in the order in which CHEAPEST takes from them, so that an order only
 * has to follow it. They need not have any stock yet. */
#include "engine/zone.h"

#include "engine/keys.h"

static enum outcome check_rows(struct engine *engine, const struct zone_put_body *body)
{
    const struct zone_warehouse_body *rows = (const struct zone_warehouse_body *)(body + 1);
    for (unsigned i = 0; i < body->warehouse_count; i++) {
        if (rows[i].warehouse == 0)
            return reject_field(engine, ROW_FIELD + zone_warehouse_field_warehouse);
        if (rows[i].cost < 0 || rows[i].cost > PRICE_MAX)
            return reject_field(engine, ROW_FIELD + zone_warehouse_field_cost);
        for (unsigned j = 0; j < i; j++) {
            if (rows[j].warehouse == rows[i].warehouse)
                return reject_field(engine, ROW_FIELD + zone_warehouse_field_warehouse);
        }
    }
    return OUTCOME_OK;
}

/* Adds a warehouse at the end and moves it to its place. */
static void warehouse_insert(struct zone *zone, uint32_t warehouse, int64_t cost)
{
    uint32_t at = zone->count++;
    zone->warehouses.at[at] = warehouse;
    zone->costs.at[at] = cost;
    for (; at > 0 && zone_is_ordered(zone, at, at - 1); at--) {
        zone->warehouses.at[at] = zone->warehouses.at[at - 1];
        zone->costs.at[at] = zone->costs.at[at - 1];
        zone->warehouses.at[at - 1] = warehouse;
        zone->costs.at[at - 1] = cost;
    }
}

enum outcome handle_zone_put(struct engine *engine, struct command *command)
{
    const struct zone_put_body *body = command->body;
    const struct zone_warehouse_body *rows = (const struct zone_warehouse_body *)(body + 1);
    if (body->zone == 0)
        return reject_field(engine, zone_put_field_zone);
    enum outcome outcome = check_rows(engine, body);
    if (outcome != OUTCOME_OK)
        return outcome;
    uint32_t index = zone_find(engine, body->zone);
    if (index == 0 && arena_room(&engine->zones) == 0)
        return REJECT_FULL(engine, zones);
    if (!key_accept(engine))
        return reject_keys_full(engine);

    if (index == 0) {
        index = arena_take(&engine->zones, 1);
        index_insert(&engine->zone_index, zone_hash(engine, body->zone), index);
    }
    struct zone *zone = zone_edit(engine, index);
    *zone = (struct zone){.zone = body->zone};
    digest_mix(engine, body->zone, body->warehouse_count);
    for (unsigned i = 0; i < body->warehouse_count; i++) {
        warehouse_insert(zone, rows[i].warehouse, rows[i].cost);
        digest_mix(engine, rows[i].warehouse, (uint64_t)rows[i].cost);
    }
    struct seq_reply_body *reply = reply_begin(engine, command, sizeof *reply);
    reply->seq = engine->seq;
    return OUTCOME_OK;
}
