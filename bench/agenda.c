/* The agenda is a ring of slots. slot_now advances only when its slot is empty, so overdue entries
 * are still found; an entry for a time in the past is put into slot_now. In the links, index 0
 * means none. */
#include "bench/agenda.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

bool agenda_init(struct agenda *agenda, uint32_t capacity)
{
    memset(agenda, 0, sizeof *agenda);
    agenda->capacity = capacity;
    agenda->entries = calloc((size_t)capacity + 1, sizeof *agenda->entries);
    return agenda->entries != NULL;
}

void agenda_deinit(struct agenda *agenda)
{
    free(agenda->entries);
    agenda->entries = NULL;
}

void agenda_put(struct agenda *agenda, uint64_t due_ms, uint64_t token)
{
    uint64_t slot = due_ms / AGENDA_SLOT_MS;
    if (slot < agenda->slot_now)
        slot = agenda->slot_now;
    if (slot - agenda->slot_now >= AGENDA_SLOTS)
        slot = agenda->slot_now + AGENDA_SLOTS - 1;

    uint32_t index = agenda->free;
    if (index != 0) {
        agenda->free = agenda->entries[index].next;
    } else {
        TILL_ASSERT(agenda->used < agenda->capacity);
        index = ++agenda->used;
    }
    agenda->entries[index] = (struct agenda_entry){.token = token};
    uint32_t place = (uint32_t)(slot % AGENDA_SLOTS);
    if (agenda->first[place] == 0)
        agenda->first[place] = index;
    else
        agenda->entries[agenda->last[place]].next = index;
    agenda->last[place] = index;
    agenda->count++;
}

bool agenda_take(struct agenda *agenda, uint64_t now_ms, uint64_t *token)
{
    uint64_t slot_due = now_ms / AGENDA_SLOT_MS;
    uint32_t place = (uint32_t)(agenda->slot_now % AGENDA_SLOTS);
    while (agenda->first[place] == 0 && agenda->slot_now < slot_due) {
        agenda->slot_now = agenda->count == 0 ? slot_due : agenda->slot_now + 1;
        place = (uint32_t)(agenda->slot_now % AGENDA_SLOTS);
    }
    uint32_t index = agenda->first[place];
    if (index == 0 || agenda->slot_now > slot_due)
        return false;
    struct agenda_entry *entry = &agenda->entries[index];
    *token = entry->token;
    agenda->first[place] = entry->next;
    entry->next = agenda->free;
    agenda->free = index;
    agenda->count--;
    return true;
}
