/* Reading a log from another place than its end while a server writes, archives and releases it:
 * every block of the chain comes once, in order, byte for byte, as soon as it is durable; what has
 * gone is told, and where the files end the ring in memory goes on. */
#include "wal/cursor.h"

#include <string.h>

#include "tests/sim/member.h"

enum {
    ROUNDS = 12,
    LIVES = 4,
    GAP = 24,
    ROOM_SIZE = 2 * (WAL_BLOCK_SIZE_MAX + GAP),
    RING_SIZE = 2 * WAL_BLOCK_SIZE_MAX,
};

/* A replica that is behind, without the replica: what the member has of the chain comes to it. */
struct pursuit {
    struct member *member;
    bool leads; /* the member, or it follows another one */
    struct wal_cursor cursor;
    uint32_t next; /* link of the chain */
    uint32_t gone_count;
    uint32_t read_count;
    uint32_t ring_count;
};

static uint8_t room[ROOM_SIZE];

/* The link that the oldest segment begins with. */
static uint32_t first_of_log(const struct pursuit *pursuit)
{
    const struct member *member = pursuit->member;
    uint64_t seq_first = wal_seq_first(member->wal);
    uint32_t first = 0;
    while (first < member->durable && member->chain->links[first].block.seq_first < seq_first)
        first++;
    return first;
}

/* May a segment be gone that the log counts still? Its event is on the way then. */
static bool is_releasing(const struct pursuit *pursuit)
{
    return !wal_idle(pursuit->member->wal);
}

/* Seeks the place before a link. */
static enum wal_cursor_result seek(struct pursuit *pursuit, uint32_t index)
{
    const struct member *member = pursuit->member;
    const struct link *link = &member->chain->links[index];
    bool is_end = index == member->durable;
    uint64_t seq = index == 0 ? 0 : link_seq_last(link - 1);
    uint64_t checksum = index == 0 ? 0 : link[-1].block.checksum;
    /* A replica with a snapshot inside a block knows no checksum. */
    if (!is_end && link->block.command_count > 1 && sim_chance(member->machine, 30)) {
        seq += sim_random_below(member->machine, link->block.command_count);
        checksum = seq + 1 == link->block.seq_first ? checksum : 0;
    }
    enum wal_cursor_result result = wal_cursor_seek(&pursuit->cursor, seq, checksum);
    if (result == WAL_CURSOR_ERROR)
        test_fail(__FILE__, __LINE__, "%s", pursuit->cursor.error);
    CHECK(result != WAL_CURSOR_OTHER);
    if (result == WAL_CURSOR_GONE) {
        CHECK(member->archive == NULL);
        CHECK(index < first_of_log(pursuit) || is_releasing(pursuit));
    } else {
        CHECK(index >= first_of_log(pursuit) || member->archive != NULL);
        CHECK_EQUAL(pursuit->cursor.checksum, index == 0 ? 0 : link[-1].block.checksum);
        pursuit->next = index;
    }
    return result;
}

/* Seeks any place, and some that are none. */
static void seek_anywhere(struct pursuit *pursuit)
{
    const struct member *member = pursuit->member;
    uint32_t count = member->durable;
    if (count == 0)
        return;
    uint32_t index = (uint32_t)sim_random_below(member->machine, count + 1);
    if (index > first_of_log(pursuit) && sim_chance(member->machine, 30)) {
        const struct link *link = &member->chain->links[index - 1];
        enum wal_cursor_result result =
            wal_cursor_seek(&pursuit->cursor, link_seq_last(link), 4711);
        CHECK(result == WAL_CURSOR_OTHER || (result == WAL_CURSOR_GONE && is_releasing(pursuit)));
    }
    while (seek(pursuit, index) == WAL_CURSOR_GONE) {
        pursuit->gone_count++;
        index = index + (count - index + 1) / 2;
    }
}

/* Compares blocks that were read with the chain. */
static void compare(struct pursuit *pursuit, size_t size_read)
{
    const struct chain *chain = pursuit->member->chain;
    size_t at = 0;
    while (at < size_read) {
        CHECK(pursuit->next < pursuit->member->durable);
        const struct link *link = &chain->links[pursuit->next++];
        at += GAP;
        CHECK(at + link->block.block_size <= size_read);
        CHECK(memcmp(room + at, link->image, link->block.block_size) == 0);
        at += link->block.block_size;
    }
}

/* Are all further blocks of the member without commands? A follower may have taken such blocks, and
 * not the one that is chained to them. */
static bool is_at_end(const struct pursuit *pursuit)
{
    const struct member *member = pursuit->member;
    uint32_t index = pursuit->next;
    while (index < member->durable && member->chain->links[index].block.command_count == 0)
        index++;
    return index == member->durable;
}

/* Reads from the files; false at their end. */
static bool read_files(struct pursuit *pursuit)
{
    const struct member *member = pursuit->member;
    size_t size = GAP + WAL_BLOCK_SIZE_MAX + sim_random_below(member->machine, WAL_BLOCK_SIZE_MAX);
    size_t size_read;
    enum wal_cursor_result result = wal_cursor_read(&pursuit->cursor, wal_seq_durable(member->wal),
                                                    GAP, room, size, &size_read);
    compare(pursuit, size_read);
    pursuit->read_count += size_read > 0;
    if (result == WAL_CURSOR_GONE) {
        CHECK(member->archive == NULL);
        pursuit->gone_count++;
        seek_anywhere(pursuit);
        return true;
    }
    if (result != WAL_CURSOR_READY)
        test_fail(__FILE__, __LINE__, "result %u: %s", result, pursuit->cursor.error);
    CHECK(size_read > 0 || is_at_end(pursuit));
    return size_read > 0;
}

/* Where the files end, or before, the ring goes on; then the cursor again from there. */
static void read_ring(struct pursuit *pursuit)
{
    struct member *member = pursuit->member;
    struct wal_cursor *cursor = &pursuit->cursor;
    uint64_t number;
    size_t size_read;
    enum wal_ring_result result =
        wal_ring_find(member->ring, cursor->seq, cursor->checksum, &number);
    CHECK(result != WAL_RING_OTHER);
    if (result == WAL_RING_GONE)
        return;
    CHECK_EQUAL(wal_ring_read(member->ring, &number, GAP, room, sizeof room, &size_read),
                WAL_RING_FOUND);
    compare(pursuit, size_read);
    pursuit->ring_count += size_read > 0;
    if (seek(pursuit, pursuit->next) == WAL_CURSOR_GONE)
        seek_anywhere(pursuit);
}

static void life(struct pursuit *pursuit)
{
    struct member *member = pursuit->member;
    struct wal_ring ring;
    CHECK(wal_ring_init(&ring, RING_SIZE));
    member->ring = &ring;
    CHECK(member_open(member, pursuit->leads));
    CHECK(wal_cursor_init(&pursuit->cursor, member->disk, member->archive_disk));
    for (uint32_t i = (uint32_t)sim_random_below(member->machine, 150); i > 0; i--) {
        if (pursuit->leads)
            member_lead(member, 1);
        else
            member_follow(member, 1);
        if (pursuit->cursor.state == CURSOR_LOST || sim_chance(member->machine, 3))
            seek_anywhere(pursuit);
        if (pursuit->cursor.state == CURSOR_LOST || sim_chance(member->machine, 30))
            continue;
        if (sim_chance(member->machine, 20))
            read_ring(pursuit);
        while (read_files(pursuit) && sim_chance(member->machine, 50))
            continue;
    }
    wal_cursor_deinit(&pursuit->cursor);
    if (sim_chance(member->machine, 50))
        member_crash(member);
    else
        member_close(member);
    wal_ring_deinit(&ring);
}

/* The chain that the member follows. */
static void make_chain(const struct member *member)
{
    struct member leader = {.machine = member->machine, .chain = member->chain, .folder = "leader"};
    CHECK(member_open(&leader, true));
    member_lead(&leader, 200);
    member_close(&leader);
}

/* How often each thing happened, over all rounds. */
static struct pursuit play(const char *archive_folder, bool leads)
{
    static struct chain chain;
    struct pursuit sum = {0};
    for (int round = 0; round < ROUNDS; round++) {
        struct member member = {.machine = sim_machine_create(test_random()),
                                .chain = &chain,
                                .folder = "data",
                                .archive_folder = archive_folder};
        struct pursuit pursuit = {.member = &member, .leads = leads};
        if (!leads)
            make_chain(&member);
        for (int i = 0; i < LIVES; i++)
            life(&pursuit);
        sum.gone_count += pursuit.gone_count;
        sum.read_count += pursuit.read_count;
        sum.ring_count += pursuit.ring_count;
        chain_cut(&chain, 0);
        sim_machine_destroy(member.machine);
    }
    return sum;
}

TEST(log_is_read_from_any_place_while_it_is_written_and_released)
{
    struct pursuit sum = play(NULL, true);
    CHECK(sum.read_count > 0 && sum.ring_count > 0);
}

TEST(log_is_read_from_any_place_while_it_is_written_archived_and_released)
{
    struct pursuit sum = play("archive", true);
    CHECK(sum.read_count > 0 && sum.ring_count > 0);
    CHECK_EQUAL(sum.gone_count, 0);
}

TEST(log_of_taken_blocks_is_read_from_any_place_while_it_takes_more)
{
    struct pursuit sum = play(NULL, false);
    CHECK(sum.read_count > 0 && sum.ring_count > 0);
    sum = play("archive", false);
    CHECK_EQUAL(sum.gone_count, 0);
}
