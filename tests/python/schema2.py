"""A till of a made-up schema 2, built from a copy of the sources: order.place and its lines have a
field more, and so have a record, a reply and the rows of another; there is one more number, one
more table with its record, and one more command, gift.put, that fills it."""

import os
import shutil
import subprocess
from pathlib import Path

from harness import check

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("base", "engine", "wal", "snapshot", "net", "cli", "bench")

# A file, a line of it, and what is put before that line.
ROWS = [
    ("engine/tables/shapes.h", "SHAPE_END(order_place)", """
FIELD(order_place, 11, u32, gift, 2, "made up")
FIELD(order_place, 12, zero32, reserved2, 2, "")
"""),
    ("engine/tables/shapes.h", "SHAPE_END(line)", 'FIELD(line, 5, u64, note, 2, "made up")'),
    ("engine/tables/shapes.h", "SHAPE_END(piece)", 'FIELD(piece, 8, u64, note, 2, "made up")'),
    ("engine/tables/shapes.h", "SHAPE_END(stats_reply)",
     'FIELD(stats_reply, 21, u64, gifts, 2, "made up")'),
    ("engine/tables/shapes.h", "#undef SHAPE", """
SHAPE(gift_put)
FIELD(gift_put, 1, key, key, 2, "idempotency key")
FIELD(gift_put, 2, u64, value, 2, "made up")
SHAPE_END(gift_put)
SHAPE(gift_reply)
FIELD(gift_reply, 1, u64, seq, 2, "position of the change in the log")
FIELD(gift_reply, 2, u64, total, 2, "of all gifts")
SHAPE_END(gift_reply)
"""),
    ("engine/tables/messages.h", "#undef MESSAGE", """
MESSAGE(37, gift_put, "gift.put", COMMAND, order, KEYED, 2, gift_put, none, 0, gift_reply, none, 0,
        "made up")
"""),
    ("engine/tables/records.h", "RECORD_END(sale)",
     'MEMBER(sale, 20, uint64_t, gift, none, 2, "made up")'),
    ("engine/tables/records.h", "#undef RECORD", """
RECORD(gift)
MEMBER(gift, 1, uint64_t, seq, none, 2, "of the change")
MEMBER(gift, 2, uint64_t, value, none, 2, "made up")
RECORD_END(gift)
"""),
    ("engine/tables/tables.h", "INDEX(sku_index, skus)",
     'TABLE(20, ARENA, gifts, gift, skus, 2, "made up")'),
    ("engine/tables/tables.h", 'TIMER(0, hold, orders, 1, "the hold of a PENDING order")',
     'SCALAR(31, STATE, gift_total, gift_total, 2, "of all gifts")'),
    ("engine/state.h", "    uint64_t parked_count;", "    uint64_t gift_total;"),
    ("engine/query.c", "        .digest = engine->digest,",
     "        .gifts = engine->gifts.count,"),
]

HANDLER = """/* A made-up command: adds a record. */
#include "engine/state.h"

enum outcome handle_gift_put(struct engine *engine, struct command *command)
{
    const struct gift_put_body *body = command->body;
    if (arena_room(&engine->gifts) == 0 || !key_has_room(engine))
        return reject(engine, OUTCOME_CAPACITY, 0, 0);
    engine_accept(engine);
    engine->gift_total += body->value;
    *gift_new(engine, arena_take(&engine->gifts, 1)) =
        (struct gift){.seq = engine->seq, .value = body->value};
    digest_mix(engine, body->value, engine->gift_total);
    struct gift_reply_body *reply = reply_begin(engine, command, sizeof *reply);
    *reply = (struct gift_reply_body){.seq = engine->seq, .total = engine->gift_total};
    return OUTCOME_OK;
}
"""


def put_before(path, anchor, text):
    lines = path.read_text().splitlines()
    check(lines.count(anchor) == 1, f"{path} has one line {anchor!r}")
    at = lines.index(anchor)
    path.write_text("\n".join([*lines[:at], *text.strip("\n").splitlines(), *lines[at:]]) + "\n")


def write_sources(folder):
    """A copy of the sources with the rows of schema 2."""
    folder.mkdir()
    for name in FOLDERS:
        shutil.copytree(ROOT / name, folder / name)
    for name in ("main.c", "Makefile"):
        shutil.copy(ROOT / name, folder / name)
    for path, anchor, text in ROWS:
        put_before(folder / path, anchor, text)
    (folder / "engine" / "gift.c").write_text(HANDLER)
    header = folder / "base" / "schema.h"
    header.write_text(header.read_text().replace(" SCHEMA = 1 ", " SCHEMA = 2 "))


def build(folder):
    """The till of schema 2; without optimisation, which would take most of the time. (gcc 12 then
    crashes in the pass behind -Wformat.)"""
    write_sources(folder)
    binary = folder / "build" / "till"
    environment = {name: value for name, value in os.environ.items()
                   if not name.startswith("MAKE") and name not in ("MODE", "MFLAGS")}
    result = subprocess.run(["make", "-C", str(folder), "-j2", "B=build",
                             "CFLAGS=-O0 -g0 -Wno-format", "build/till"], capture_output=True,
                            text=True, check=False, env=environment)
    check(result.returncode == 0 and binary.exists(), f"schema 2 is not built: {result.stderr}")
    return binary
