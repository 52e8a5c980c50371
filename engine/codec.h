/* How a command stands in the log: two byte columns instead of the wire layout.
 *
 * Ids are noise to a compressor, and everything else is small or repeats. So each record's ids go
 * to one column and its other fields, as varints, to another; each column is then stored raw or
 * LZ4-compressed, whichever pays (wal/block.h).
 *
 *   fields column   record := number:u8 fields rows          a command, in the message's order
 *                           | 0:u8 delta_us:varint           time passed since the block's time,
 *                                                            or the record before of this kind
 *   ids column      16 bytes per id or key field, in the same order
 *
 * UNSIGNED fields are varints, SIGNED ones zigzag varints, BYTES fields their length without
 * trailing zeros (u8) and those bytes; zero fields are not written. */
#ifndef TILL_ENGINE_CODEC_H
#define TILL_ENGINE_CODEC_H

#include "base/bytes.h"
#include "base/schema.h"
#include "engine/messages.h"

struct column_writer {
    uint8_t *ids;
    uint8_t *fields;
};

struct known;
struct known_table;

struct column_reader {
    struct reader ids;
    struct reader fields;
    uint64_t time_us;          /* of the record last read */
    uint32_t schema;           /* that the records were written in, SCHEMA at most */
    struct known_table *known; /* engine/known.h, of earlier records, for speed; NULL: none */
    const struct known *last;  /* the terms that came last; NULL to begin with */
};

/* A decoded command: its body is laid out as on the wire. */
struct logged_command {
    uint64_t time_us;
    uint32_t size;
    uint16_t number;
    uint64_t body[FRAME_SIZE_MAX / 8];
};

/* The most bytes that encoding a request of size_bytes adds to either column. */
#define COMMAND_ENCODED_MAX(size_bytes) (2 * (size_bytes) + 16)

static inline size_t command_encoded_max(size_t size_bytes)
{
    return COMMAND_ENCODED_MAX(size_bytes);
}

/* Appends; both cursors have command_encoded_max bytes of room. The body has passed
 * message_check_request. */
void command_encode(unsigned number, const void *body, struct column_writer *writer);

/* Appends a passage of time. */
void time_encode(uint64_t delta_us, struct column_writer *writer);

/* Reads the next command, moving time on as told. False at the end of the fields column, or when
 * the bytes are not a well-formed record; *malformed tells which. */
bool command_decode(struct column_reader *reader, struct logged_command *command, bool *malformed);

#endif
