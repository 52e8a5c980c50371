"""A till of a made-up schema, the one after SCHEMA, built from a copy of the sources: it has the
worked example of CONTRIBUTING.md, which is a command with a record, a timer and a metric, and
beside it one more field in order.place and its lines, in a record, in a reply and in the rows of
another, and one more number."""

import os
import re
import shutil
import subprocess
from pathlib import Path

from formats import schema_written
from harness import check

NUMBER = schema_written() + 1
ROOT = Path(__file__).resolve().parents[2]
CONTRIBUTING = ROOT / "CONTRIBUTING.md"
FOLDERS = ("base", "engine", "wal", "snapshot", "net", "cli", "bench")

# Gifts can be fetched for years here, so that their timers are set in far buckets.
HOLD_SECONDS_MAX = 20 * 365 * 24 * 3600

# A file, a line of it, and what is put before that line.
ROWS = [
    ("engine/tables/messages.h", "SHAPE_END(order_place)", f"""
FIELD(order_place, 11, u32, gift, {NUMBER}, "made up")
FIELD(order_place, 12, zero32, reserved2, {NUMBER}, "")
"""),
    ("engine/tables/messages.h", "SHAPE_END(line)",
     f'FIELD(line, 5, u64, note, {NUMBER}, "made up")'),
    ("engine/tables/messages.h", "SHAPE_END(piece)",
     f'FIELD(piece, 8, u64, note, {NUMBER}, "made up")'),
    ("engine/tables/messages.h", "SHAPE_END(points_balance_reply)",
     f'FIELD(points_balance_reply, 7, u64, gift, {NUMBER}, "made up")'),
    ("engine/tables/tables.h", "RECORD_END(sale)",
     f'MEMBER(sale, 20, uint64_t, gift, none, {NUMBER}, "made up")'),
    ("engine/tables/tables.h", 'TIMER(0, hold, orders, 1, "the hold of a PENDING order")',
     f'SCALAR(120, STATE, gift_total, gift_total, {NUMBER}, "of all gifts")'),
    ("engine/state.h", "    uint64_t parked_count;", "    uint64_t gift_total;"),
    ("engine/gift.c", "    timer_set(engine, TIMER_gift, index, ends_us);",
     "    engine->gift_total += body->value;"),
]


def worked_example():
    """The diff in CONTRIBUTING.md."""
    found = re.findall(r"^```diff\n(.*?)^```$", CONTRIBUTING.read_text(),
                       re.DOTALL | re.MULTILINE)
    check(len(found) == 1, "CONTRIBUTING.md has one diff")
    return found[0]


def put_before(path, anchor, text):
    lines = path.read_text().splitlines()
    check(lines.count(anchor) == 1, f"{path} has one line {anchor!r}")
    at = lines.index(anchor)
    path.write_text("\n".join([*lines[:at], *text.strip("\n").splitlines(), *lines[at:]]) + "\n")


def write_sources(folder):
    """A copy of the sources with the rows of the next schema."""
    folder.mkdir()
    for name in FOLDERS:
        shutil.copytree(ROOT / name, folder / name)
    for name in ("main.c", "Makefile"):
        shutil.copy(ROOT / name, folder / name)
    (folder / "tests").mkdir()
    shutil.copy(ROOT / "tests" / "run_scripts.py", folder / "tests")
    applied = subprocess.run(["git", "apply", "--unidiff-zero", "-"], cwd=folder, text=True,
                             input=worked_example(), capture_output=True, check=False)
    check(applied.returncode == 0, f"the diff in CONTRIBUTING.md: {applied.stderr}")
    for path, anchor, text in ROWS:
        put_before(folder / path, anchor, text)
    handler = folder / "engine" / "gift.c"
    check("> HOLD_MAX_S" in handler.read_text(), "the handler bounds the hold")
    handler.write_text(handler.read_text().replace("> HOLD_MAX_S", f"> {HOLD_SECONDS_MAX}"))
    header = folder / "base" / "schema.h"
    header.write_text(header.read_text().replace(f" SCHEMA = {NUMBER - 1} ",
                                                 f" SCHEMA = {NUMBER} "))


def build(folder):
    """The till of the next schema; without optimisation, which would take most of the time. (gcc
    12 then crashes in the pass behind -Wformat.)"""
    write_sources(folder)
    binary = folder / "build" / "till"
    environment = {name: value for name, value in os.environ.items()
                   if not name.startswith("MAKE") and name not in ("MODE", "MFLAGS")}
    result = subprocess.run(["make", "-C", str(folder), "-j2", "B=build",
                             "CFLAGS=-O0 -g0 -Wno-format", "build/till"], capture_output=True,
                            text=True, check=False, env=environment)
    check(result.returncode == 0 and binary.exists(),
          f"schema {NUMBER} is not built: {result.stderr}")
    return binary
