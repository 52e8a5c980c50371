/* The agenda of a load: each entry comes out once, when it is due. */
#include "bench/agenda.h"
#include "tests/test.h"

TEST(agenda_gives_everything_once_when_due_and_in_order)
{
    static struct agenda agenda;
    static uint64_t due_ms[2000];
    uint64_t token, now_ms = 123456, taken = 0, last_slot = 0;
    CHECK(agenda_init(&agenda, 2000));
    CHECK(!agenda_take(&agenda, now_ms, &token));
    for (uint32_t i = 0; i < 2000; i++) {
        due_ms[i] = now_ms + test_random_below(20000);
        agenda_put(&agenda, due_ms[i], i);
    }
    while (agenda.count != 0) {
        while (agenda_take(&agenda, now_ms, &token)) {
            CHECK(due_ms[token] / AGENDA_SLOT_MS <= now_ms / AGENDA_SLOT_MS);
            CHECK(due_ms[token] / AGENDA_SLOT_MS >= last_slot);
            last_slot = due_ms[token] / AGENDA_SLOT_MS;
            due_ms[token] = UINT64_MAX;
            taken++;
        }
        now_ms += test_random_below(300);
    }
    CHECK_EQUAL(taken, 2000);
    agenda_deinit(&agenda);
}

TEST(agenda_entries_of_the_past_are_due_at_once_and_first_in_first_out)
{
    static struct agenda agenda;
    uint64_t token;
    CHECK(agenda_init(&agenda, 3));
    agenda_take(&agenda, 1000, &token);
    for (uint32_t round = 0; round < 10; round++) {
        agenda_put(&agenda, 5, 1);
        agenda_put(&agenda, 0, 2);
        agenda_put(&agenda, 1000, 3);
        for (uint64_t expected = 1; expected <= 3; expected++) {
            CHECK(agenda_take(&agenda, 1000, &token));
            CHECK_EQUAL(token, expected);
        }
        CHECK(!agenda_take(&agenda, 1000, &token));
    }
    agenda_deinit(&agenda);
}
