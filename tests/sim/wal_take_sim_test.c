/* A log that takes the blocks of another one, over the simulated disk: whatever a crash leaves of
 * several writes in flight, recovery finds a beginning of the primary's chain that has everything
 * that was told durable, byte for byte, and never calls it damage; and the log can lead and follow
 * in turn. */
#include "tests/sim/member.h"

enum { ROUNDS = 25, LIVES = 5 };

/* Lives that lead or follow, most of them ended by a crash. */
static void live(struct member *member, bool leads, int lives)
{
    struct sim_machine *machine = member->machine;
    for (int i = 0; i < lives; i++) {
        if (sim_chance(machine, 20))
            sim_disk_crash_at(machine, 1 + (uint32_t)sim_random_below(machine, 4));
        bool is_open = member_open(member, leads);
        sim_disk_crash_at(machine, 0);
        if (is_open && leads)
            member_lead(member, (uint32_t)sim_random_below(machine, 60));
        else if (is_open)
            member_follow(member, (uint32_t)sim_random_below(machine, 120));
        if (!is_open || sim_chance(machine, 70))
            member_crash(member);
        else
            member_close(member);
    }
}

/* Follows until it has all of the chain. */
static void follow_to_end(struct member *member)
{
    CHECK(member_open(member, false));
    while (member->durable < member->chain->count)
        member_follow(member, 1);
    member_close(member);
    CHECK(member_open(member, false));
    uint32_t count = member->chain->count;
    while (count > member->first && member->chain->links[count - 1].block.command_count == 0)
        count--;
    CHECK(member->durable >= count);
    member_close(member);
}

/* A member that has a snapshot with some seq of the chain, and no log yet. */
static void begin_anywhere(struct member *member)
{
    if (member->chain->count == 0 || sim_chance(member->machine, 30))
        return;
    uint64_t seq_last = link_seq_last(&member->chain->links[member->chain->count - 1]);
    member->seq_known = sim_random_below(member->machine, seq_last);
    while (link_seq_last(&member->chain->links[member->first]) <= member->seq_known)
        member->first++;
    member->taken = member->durable = member->first;
}

/* Is anything of it durable? Else its own blocks would begin a chain. */
static bool has_commands(const struct member *member)
{
    const struct link *links = member->chain->links;
    uint32_t count = member->durable;
    return count > member->first && link_seq_last(&links[count - 1]) > member->seq_known;
}

/* One log leads; another one follows it through crashes, and is promoted where it has come to; then
 * a third one follows that. */
static void play(bool refuses)
{
    static struct chain chain;
    struct sim_machine *machine = sim_machine_create(test_random());
    struct member members[3];
    static const char *const folders[] = {"first", "second", "third"};
    for (int i = 0; i < 3; i++)
        members[i] = (struct member){.machine = machine, .chain = &chain, .folder = folders[i]};
    chain.count = 0;
    live(&members[0], true, LIVES);
    for (int i = 1; i < 3; i++) {
        begin_anywhere(&members[i]);
        if (refuses)
            sim_disk_refuse_writes(machine, folders[i], "",
                                   (unsigned)sim_random_below(machine, 40));
        live(&members[i], false, LIVES);
        sim_disk_refuse_writes(machine, folders[i], "", 0);
        if (sim_chance(machine, 50))
            follow_to_end(&members[i]);
        members[i].epoch = members[i - 1].epoch;
        if (has_commands(&members[i]) && sim_chance(machine, 80))
            live(&members[i], true, LIVES);
    }
    chain_cut(&chain, 0);
    sim_machine_destroy(machine);
}

TEST(log_of_taken_blocks_keeps_what_it_told_durable_through_crashes)
{
    for (int round = 0; round < ROUNDS; round++)
        play(false);
}

TEST(log_of_taken_blocks_on_storage_that_refuses_writes_keeps_what_it_told_durable)
{
    for (int round = 0; round < ROUNDS; round++)
        play(true);
}

TEST(log_of_taken_blocks_says_that_the_disk_is_full_and_goes_on_when_there_is_room)
{
    static struct chain chain;
    struct sim_machine *machine = sim_machine_create(test_random());
    struct member leader = {.machine = machine, .chain = &chain, .folder = "first"};
    struct member member = {.machine = machine, .chain = &chain, .folder = "second"};
    CHECK(member_open(&leader, true));
    while (leader.durable == 0 || wal_closed_count(leader.wal, 0) == 0 ||
           link_seq_last(&chain.links[chain.count - 1]) < 60000)
        member_lead(&leader, 10);
    member_close(&leader);
    CHECK(member_open(&member, false));
    sim_disk_fill(machine, member.folder, true);
    enum wal_room room = WAL_ROOM;
    while (room != WAL_ROOM_FULL) {
        member_follow(&member, 1);
        CHECK(member.taken < chain.count);
        room = wal_take_room(member.wal, &chain.links[member.taken].block);
    }
    sim_disk_fill(machine, member.folder, false);
    sim_time_pass(machine, US_PER_SECOND);
    while (member.durable < chain.count)
        member_follow(&member, 1);
    member_crash(&member);
    follow_to_end(&member);
    chain_cut(&chain, 0);
    sim_machine_destroy(machine);
}

/* A link that the log can be cut before: one that it still has, behind one with commands. 0: none.
 */
static uint32_t find_fork(const struct member *member)
{
    const struct chain *chain = member->chain;
    uint32_t first = 0;
    while (first < chain->count && chain->links[first].block.seq_first < member->seq_released)
        first++;
    first++;
    if (first >= chain->count)
        return 0;
    uint32_t fork = first + (uint32_t)sim_random_below(member->machine, chain->count - first);
    while (fork > first && chain->links[fork - 1].block.command_count == 0)
        fork--;
    return chain->links[fork - 1].block.command_count == 0 ? 0 : fork;
}

/* Cuts the log, through crashes. */
static void cut(struct member *member, uint32_t fork)
{
    bool is_open = false;
    for (int crashes_left = 4; !is_open; crashes_left--) {
        member->cut_at = fork;
        if (crashes_left > 0)
            sim_disk_crash_at(member->machine, 1 + (uint32_t)sim_random_below(member->machine, 12));
        is_open = member_open(member, true);
        sim_disk_crash_at(member->machine, 0);
        if (!is_open || sim_chance(member->machine, 30)) {
            member_crash(member);
            continue;
        }
        member_close(member);
    }
    member->cut_at = 0;
    CHECK(member_open(member, true));
    CHECK_EQUAL(member->durable, fork);
    member_crash(member);
}

TEST(log_is_cut_at_a_fork_through_crashes_and_goes_on)
{
    static struct chain chain;
    uint32_t cut_count = 0;
    for (int round = 0; round < ROUNDS; round++) {
        struct member member = {
            .machine = sim_machine_create(test_random()), .chain = &chain, .folder = "data"};
        for (int i = 0; i < LIVES; i++) {
            live(&member, true, 2);
            CHECK(member_open(&member, true));
            member_close(&member);
            uint32_t fork = find_fork(&member);
            if (fork > 0)
                cut(&member, fork);
            cut_count += fork > 0;
        }
        chain_cut(&chain, 0);
        sim_machine_destroy(member.machine);
    }
    CHECK(cut_count > 0);
}
