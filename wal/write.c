/* Starting and ending a write, and counting those that are under way or refused. */
#include "wal/write.h"

#include "base/assert.h"

void wal_write_start(struct wal_writes *writes, struct wal_write *write)
{
    TILL_ASSERT(write->state != WRITE_UNDER_WAY);
    writes->refused_count -= write->state == WRITE_REFUSED;
    writes->under_way_count++;
    write->state = WRITE_UNDER_WAY;
    io_write(writes->io, writes->disk, write->file, write->offset, write->bytes, write->size_bytes,
             write->user);
}

int wal_write_finish(struct wal_writes *writes, struct wal_write *write, int result)
{
    if (result < 0 && !wal_write_is_refusal(result))
        return result;
    TILL_ASSERT(write->state == WRITE_UNDER_WAY && writes->under_way_count > 0);
    writes->under_way_count--;
    write->state = result < 0 ? WRITE_REFUSED : WRITE_IDLE;
    if (result < 0) {
        writes->refused_count++;
        writes->refused_us = io_time_us(writes->io);
    }
    return result;
}
