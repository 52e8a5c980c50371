"""The rows of engine/tables are those of the recorded schemas, and every change to them that would
break a file or a client is refused (`make schema-check`); docs/formats.md has them."""

import shutil
import subprocess
import sys
from pathlib import Path

import harness
import next_schema
from harness import check, check_equal, test

ROOT = Path(__file__).resolve().parents[2]
RECORDED = ROOT / "tests" / "schema"
sys.path.insert(0, str(RECORDED))

import docs  # noqa: E402
import rows  # noqa: E402

MESSAGES, FIELDS = "engine/tables/messages.h", "engine/tables/fields.h"
TABLES, OUTCOMES = "engine/tables/tables.h", "base/status.h"
NEXT = next_schema.NUMBER
SCHEMA = NEXT - 1


def tree(run, *changes, schema=SCHEMA):
    """A copy of the rows with changes, each (file, old text, new text), and with this SCHEMA."""
    root = run.folder()
    for path in {kind.file for kind in rows.KINDS} | {rows.SCHEMA_HEADER}:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, root / path)
    raised = (rows.SCHEMA_HEADER, f" SCHEMA = {SCHEMA} ", f" SCHEMA = {schema} ")
    for path, old, new in [*changes, raised]:
        text = (root / path).read_text()
        check(text.count(old) == 1, f"{path} has {old!r} {text.count(old)} times")
        (root / path).write_text(text.replace(old, new))
    return root


def check_refused(run, words, *changes, schema=SCHEMA):
    found = rows.problems(tree(run, *changes, schema=schema), RECORDED)
    check(any(words in line for line in found), f"{words!r} is said of {changes}: {found}")


def check_accepted(run, *changes, schema=SCHEMA, recorded=RECORDED):
    check_equal(rows.problems(tree(run, *changes, schema=schema), recorded), [], f"{changes}")


NEW_FIELD = (MESSAGES, "SHAPE_END(order_place)",
             f'FIELD(order_place, 12, u64, gift, {NEXT}, "")\nSHAPE_END(order_place)')


@test
def rows_agree_with_the_recorded_schemas(run):
    result = subprocess.run([sys.executable, RECORDED / "run"], capture_output=True, text=True,
                            check=False)
    check_equal((result.returncode, result.stderr), (0, ""), f"schema-check: {result.stdout}")
    tree_rows = rows.Rows(ROOT)
    counts = {kind.macro: len(tree_rows.of(kind.macro)) for kind in rows.KINDS}
    check(all(counts.values()), f"rows of each kind were read: {counts}")
    for macro, file in (("FIELD", MESSAGES), ("MEMBER", TABLES), ("SCALAR", TABLES)):
        written = (ROOT / file).read_text().count(f"\n{macro}(")
        check_equal(counts[macro], written, f"rows of {macro}")


@test
def a_changed_or_removed_row_is_refused(run):
    for path, old, new in (
            (MESSAGES, "FIELD(line, 2, quantity,", "FIELD(line, 2, u64,"),
            (MESSAGES, "FIELD(line, 2, quantity, quantity,", "FIELD(line, 2, quantity, units,"),
            (MESSAGES, "FIELD(line, 4, money, price, 1,", "FIELD(line, 4, money, price, 2,"),
            (FIELDS, "FIELD_TYPE(seconds, uint32_t,", "FIELD_TYPE(seconds, uint64_t,"),
            (FIELDS, "NAMED(order_state, 1, PENDING)", "NAMED(order_state, 1, WAITING)"),
            (MESSAGES, 'MESSAGE(26, order_place, "order.place"',
             'MESSAGE(26, order_place, "order.put"'),
            (MESSAGES, "FREE, 1, order_place, line,", "FREE, 1, order_place, take,"),
            (MESSAGES, "FREE, 1, order_place, line,", "FREE, 1, order_place, none,"),
            (TABLES, "MEMBER(order, 4, uint64_t, deadline_us",
             "MEMBER(order, 4, uint64_t, ends_us"),
            (TABLES, "PARTS(order_parts, piece,", "PARTS(order_parts, line,"),
            (TABLES, "TABLE(2, ARENA, stocks,", "TABLE(2, RING, stocks,"),
            (TABLES, "SCALAR(20, STATE,", "SCALAR(20, CLOCK,"),
            (TABLES, "CAPACITY(9, orders,", "CAPACITY(9, holds,"),
            (TABLES, "TIMER(0, hold, orders,", "TIMER(0, hold, payments,"),
            (OUTCOMES, "OUTCOME(17, IN_PROGRESS,", "OUTCOME(17, IN_WORK,")):
        check_refused(run, "has become", (path, old, new), schema=NEXT)
    for path, old in ((FIELDS, "NAMED(order_state, 5, DELIVERED)\n"),
                      (MESSAGES, 'FIELD(piece, 6, u16, line, 1, "1 is the first")\n'),
                      (FIELDS, "FLAGS(sale_flags)\n"),
                      (TABLES, 'MEMBER(sku, 2, int64_t, price, none, 1, "of one unit, now")\n')):
        check_refused(run, "is gone", (path, old, ""), schema=NEXT)


@test
def records_that_were_only_added_may_be_given_back(run):
    was = 'TABLE(1, ARENA, skus,'
    for kind in ("POOL", "RUNS", "BESIDE"):
        check_accepted(run, (TABLES, was, was.replace("ARENA", kind)))
    check_refused(run, "has become", (TABLES, "TABLE(8, POOL,", "TABLE(8, ARENA,"))
    check_refused(run, "has become", (TABLES, was, was.replace("ARENA, skus", "POOL, things")))


@test
def a_request_without_rows_may_get_them(run):
    old = "order_cancel, \"order.cancel\", COMMAND, order, KEYED, 1, order_change, none, 0,"
    new = old.replace("none, 0", "units, 4")
    found = rows.problems(tree(run, (MESSAGES, old, new), schema=NEXT), RECORDED)
    check_equal([line for line in found if "has become" in line], [], "the rows of order.cancel")


@test
def a_field_that_is_moved_is_refused(run):
    first = 'FIELD(order_change, 1, key, key, 1, "idempotency key")\n'
    second = 'FIELD(order_change, 2, id, order, 1, "a known order")\n'
    check_refused(run, "has become", (MESSAGES, first + second, second + first), schema=NEXT)


@test
def a_number_or_a_key_used_twice_is_refused(run):
    for path, old, new in (
            (MESSAGES, *NEW_FIELD[1:2], NEW_FIELD[2].replace("12", "9")),
            (TABLES, "RECORD_END(sale)", f'MEMBER(sale, 3, uint64_t, gift, none, {NEXT}, "")\n'
             "RECORD_END(sale)"),
            (FIELDS, "FLAGS(place_flags)", "NAMED(order_state, 8, LOST)\nFLAGS(place_flags)"),
            (TABLES, "INDEX(sku_index, skus)",
             f'TABLE(19, ARENA, gifts, sku, skus, {NEXT}, "")\nINDEX(sku_index, skus)')):
        check_refused(run, "has the number of", (path, old, new), schema=NEXT)


@test
def a_new_row_must_be_of_the_next_schema(run):
    check_accepted(run, NEW_FIELD, schema=NEXT)
    check_refused(run, "is since a later schema than SCHEMA", NEW_FIELD)
    check_refused(run, f"is not in the recorded schema {SCHEMA}",
                  (*NEW_FIELD[:2], NEW_FIELD[2].replace(f"gift, {NEXT}", f"gift, {SCHEMA}")),
                  schema=NEXT)
    named = (FIELDS, "FLAGS(place_flags)", "NAMED(order_state, 9, LOST)\nFLAGS(place_flags)")
    check_refused(run, f"is not in the recorded schema {SCHEMA}", named)
    check_accepted(run, named, schema=NEXT)
    check_refused(run, "one at a time", NEW_FIELD, schema=NEXT + 1)


@test
def a_recorded_schema_is_not_gone_back_behind(run):
    recorded = run.folder()
    recorded.mkdir()
    for path in RECORDED.glob("*.txt"):
        shutil.copy(path, recorded)
    newer = tree(run, NEW_FIELD, schema=NEXT)
    (recorded / f"{NEXT}.txt").write_text("".join(f"{line}\n" for line in
                                                  rows.Rows(newer).lines()))
    check_accepted(run, NEW_FIELD, schema=NEXT, recorded=recorded)
    for changes, schema, words in (((), NEXT, "is gone"),
                                   ((NEW_FIELD,), SCHEMA, f"schema {NEXT} is recorded")):
        found = rows.problems(tree(run, *changes, schema=schema), recorded)
        check(any(words in line for line in found), f"{words!r}: {found}")


@test
def reserved_bytes_may_be_given_a_meaning_and_their_number_is_not_used_again(run):
    old = 'FIELD(sale_reply, 3, zero8, reserved, 1, "")'
    check_accepted(run, (MESSAGES, old, f'FIELD(sale_reply, 6, u8x, gift, {NEXT}, "")'),
                   (FIELDS, "FIELD_TYPE(zero8,", "FIELD_TYPE(u8x, uint8_t, UNSIGNED, ':')\n"
                    "FIELD_TYPE(zero8,"), schema=NEXT)
    old = 'FIELD(stock_adjust, 5, zero32, reserved, 1, "")'
    check_accepted(run, (MESSAGES, old, f'FIELD(stock_adjust, 6, u16, gift, {NEXT}, "")\n'
                         'FIELD(stock_adjust, 5, zero16, reserved, 1, "")'), schema=NEXT)
    new = f'FIELD(stock_adjust, 5, u32, gift, {NEXT}, "")'
    check_refused(run, "has become", (MESSAGES, old, new), schema=NEXT)
    check_refused(run, "has become", (MESSAGES, old, old.replace("zero32", "zero64")), schema=NEXT)


@test
def what_older_clients_could_not_give_or_read_is_refused(run):
    required = (MESSAGES, "REQUIRED(order_place, order)",
                "REQUIRED(order_place, order)\nREQUIRED(order_place, gift)")
    check_refused(run, "clients of schema 1 cannot give it", NEW_FIELD, required, schema=NEXT)
    check_refused(run, "names no field", required)
    check_refused(run, "order_get_reply has grown",
                  (MESSAGES, "SHAPE_END(order_get_reply)",
                   f'FIELD(order_get_reply, 20, u64, gift, {NEXT}, "")\n'
                   'SHAPE_END(order_get_reply)'),
                  schema=NEXT)
    check_accepted(run, (MESSAGES, "SHAPE_END(points_balance_reply)",
                         f'FIELD(points_balance_reply, 9, u64, gift, {NEXT}, "")\n'
                         'SHAPE_END(points_balance_reply)'),
                   schema=NEXT)


@test
def rows_of_the_made_up_schema_are_accepted(run):
    folder = run.folder()
    next_schema.write_sources(folder)
    check_equal(rows.problems(folder, RECORDED), [], "problems of the next schema")


@test
def formats_page_has_the_tables_of_the_sources(run):
    check(docs.is_current(ROOT), "the tables in docs/formats.md are not those of the sources: run "
          "tests/schema/run --docs")
    root = run.folder()
    for path in (*docs.HEADERS, docs.DOCUMENT, rows.SCHEMA_HEADER,
                 *{kind.file for kind in rows.KINDS}):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, root / path)
    text = (root / TABLES).read_text()
    (root / TABLES).write_text(text.replace('"units in the warehouse"', '"units there"'))
    check(not docs.is_current(root), "a changed meaning is seen")
    docs.write(root)
    check(docs.is_current(root) and "units there" in (root / docs.DOCUMENT).read_text(),
          "the page is written")


@test
def described_headers_are_the_structs(run):
    """The offsets and sizes in the comments of block.h and image.h."""
    described = 0
    for path in docs.HEADERS:
        text = (ROOT / path).read_text()
        for name, found in docs.header_tables(text):
            described += 1
            check_equal([row[:3] for row in found], list(docs.struct_fields(text, name)),
                        f"struct {name}")
    check_equal(described, 6, "structs that are described")


harness.main()
