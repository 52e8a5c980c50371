/* An agenda: what is to be done when, in slots of a few milliseconds; first in, first out within a
 * slot. Entries are 64-bit tokens of the caller's. */
#ifndef TILL_BENCH_AGENDA_H
#define TILL_BENCH_AGENDA_H

#include <stdbool.h>
#include <stdint.h>

/* 32 s in all; entries further ahead become due at 32 s. */
enum { AGENDA_SLOT_MS = 4, AGENDA_SLOTS = 8192 };

struct agenda_entry {
    uint64_t token;
    uint32_t next; /* index + 1; 0: the last of its slot */
};

struct agenda {
    uint32_t count;

    /* Private. */
    struct agenda_entry *entries;
    uint64_t slot_now; /* since time 0 */
    uint32_t capacity;
    uint32_t used;
    uint32_t free;
    uint32_t first[AGENDA_SLOTS];
    uint32_t last[AGENDA_SLOTS];
};

/* False when there is no memory. */
bool agenda_init(struct agenda *agenda, uint32_t capacity);
void agenda_deinit(struct agenda *agenda);

/* The agenda must have room. */
void agenda_put(struct agenda *agenda, uint64_t due_ms, uint64_t token);

/* Takes the next entry that is due; false when there is none. now_ms never goes back. */
bool agenda_take(struct agenda *agenda, uint64_t now_ms, uint64_t *token);

#endif
