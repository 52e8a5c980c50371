"""The tables of docs/formats.md: those of the engine's records, tables and numbers come from the
rows of engine/tables, those of the headers of blocks and images from the tables above their
structs."""

import re

from rows import Rows, macro_rows, strip_comments, type_size

BEGIN, END = "<!-- rows -->\n", "<!-- /rows -->"
DOCUMENT = "docs/formats.md"
HEADERS = ["wal/block.h", "snapshot/image.h"]


def header_tables(text):
    """Each struct that a header's comments describe, with its rows (offset, size, field, text)."""
    for comment in re.findall(r"/\*.*?\*/", text, flags=re.DOTALL):
        name, found = None, []
        for line in [*comment.splitlines(), " *   struct end"]:
            heading = re.match(r" \*   struct (\w+)", line)
            row = re.match(r" \*   +(\d+) +(\d+) (\w+) *(.*)", line)
            more = re.match(r" \* {20,}(\S.*)", line)
            if heading:
                if found:
                    yield name, found
                name, found = heading[1], []
            elif name is not None and row:
                found.append((int(row[1]), int(row[2]), row[3], row[4]))
            elif found and more:
                found[-1] = (*found[-1][:3], f"{found[-1][3]} {more[1]}")


def struct_fields(text, name):
    """(offset, size, field) of a struct whose fields are plain numbers in their order."""
    body = re.search(rf"^struct {name} {{(.*?)^}};", strip_comments(text),
                     flags=re.DOTALL | re.MULTILINE)[1]
    offset = 0
    for c_type, field in re.findall(r"^ +(\w+) (\w+);", body, flags=re.MULTILINE):
        yield offset, type_size(c_type), field
        offset += type_size(c_type)


def table(head, body):
    yield f"| {' | '.join(head)} |"
    yield "|---" * len(head) + "|"
    for cells in body:
        yield "| " + " | ".join(str(cell) for cell in cells) + " |"
    yield ""


def text_of(argument):
    """The value of a string literal of the sources."""
    return argument[1:-1].replace('\\"', '"')


def header_lines(root):
    for path in HEADERS:
        for name, found in header_tables((root / path).read_text()):
            yield from (f"### struct {name}", f"In [{path}](../{path}).", "")
            yield from table(("offset", "size", "field", "meaning"), found)


def table_lines(rows):
    yield from ("### Tables", "In the order in which an image has them.", "")
    yield from table(("number", "table", "kind", "record", "since", "meaning"),
                     [(number, name, kind, record, since, text_of(text)) for
                      number, kind, name, record, _, since, text in
                      (row.arguments for row in rows.of("TABLE"))])
    yield from ("### Numbers beside the tables", "")
    yield from table(("number", "name", "since", "meaning"),
                     [(number, name, since, text_of(text)) for number, _, name, _, since, text in
                      (row.arguments for row in rows.of("SCALAR"))])
    yield from ("### Timers", "")
    yield from table(("number", "timer", "table", "since", "meaning"),
                     [(number, name, of, since, text_of(text)) for number, name, of, since, text in
                      (row.arguments for row in rows.of("TIMER"))])


def record_lines(root, rows):
    yield from ("### Records", "A field that refers to a table has the index of one of its "
                "records, 0 for none.", "")
    text = (root / "engine" / "tables" / "tables.h").read_text()
    for _, (record,) in macro_rows(text, ["RECORD"]):
        members = [row.arguments[1:] for row in rows.of("MEMBER") if row.arguments[0] == record]
        yield from (f"#### {record}", "")
        yield from table(("number", "type", "field", "refers to", "since", "meaning"),
                         [(number, kind, name, "" if of == "none" else of, since, text_of(meaning))
                          for number, kind, name, of, since, meaning in members])


def tables(root):
    """The text between the markers."""
    rows = Rows(root)
    return "\n".join(["", *header_lines(root), *table_lines(rows), *record_lines(root, rows), ""])


def cut(root):
    """The document in three parts: before the tables, the tables, and after them."""
    head, _, rest = (root / DOCUMENT).read_text().partition(BEGIN)
    between, found, tail = rest.partition(END)
    if not found:
        raise ValueError(f"{DOCUMENT} lacks {BEGIN.strip()} with {END} behind it")
    return head, between, tail


def is_current(root):
    return cut(root)[1] == tables(root)


def write(root):
    head, _, tail = cut(root)
    (root / DOCUMENT).write_text(head + BEGIN + tables(root) + END + tail)
