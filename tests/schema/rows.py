"""The rows of engine/tables, base/tables and base/status.h, read from the sources: the parts of
each row that a file or a client can see, and the rules for their numbers."""

import re
from collections import namedtuple

# kind; the arguments that identify a row of this kind, its number last; the others that must not
# change; the position of `since`. Arguments that only the sources of this till see (texts, roles,
# defaults, the most rows) are not part of it.
Kind = namedtuple("Kind", "macro file key value since")
KINDS = [
    Kind("FIELD_TYPE", "engine/tables/fields.h", (0,), (1, 2), None),
    Kind("NAMED", "engine/tables/fields.h", (0, 1), (2,), None),
    Kind("FLAGS", "engine/tables/fields.h", (0,), (), None),
    Kind("FIELD", "engine/tables/messages.h", (0, 1), (2, 3), 4),
    Kind("MESSAGE", "engine/tables/messages.h", (0,), (1, 2, 3, 5, 7, 8, 10, 11), 6),
    Kind("MEMBER", "engine/tables/tables.h", (0, 1), (2, 3), 5),
    Kind("PARTS", "engine/tables/tables.h", (0,), (1, 2, 3), None),
    Kind("TABLE", "engine/tables/tables.h", (0,), (1, 2, 3), 5),
    Kind("SCALAR", "engine/tables/tables.h", (0,), (1, 2), 4),
    Kind("CAPACITY", "engine/tables/tables.h", (0,), (1,), None),
    Kind("TIMER", "engine/tables/tables.h", (0,), (1, 2), 3),
    Kind("OUTCOME", "base/status.h", (0,), (1,), None),
    Kind("METRIC", "base/tables/metrics.h", (0,), (2, 3, 4), None),
]
BY_MACRO = {kind.macro: kind for kind in KINDS}
SCHEMA_HEADER = "base/schema.h"
SIZES = {"struct id": 16, "struct name": 32, "struct text": 96}
ALIGN = 8  # of bodies and rows

# A macro, its arguments as written, and for a field its place in the body.
Row = namedtuple("Row", "macro arguments offset size")


def strip_comments(text):
    return re.sub(r"/\*.*?\*/", " ", text, flags=re.DOTALL)


TOKEN = re.compile(r'"(?:\\.|[^"\\])*"|.', flags=re.DOTALL)


def split_arguments(text, start):
    """The arguments of a macro, from after its parenthesis; adjacent strings are joined."""
    arguments, current, depth = [], "", 1
    for found in TOKEN.finditer(text, start):
        token = found[0]
        depth += {"(": 1, ")": -1}.get(token, 0)
        if depth == 0:
            break
        if token == "," and depth == 1:
            arguments.append(current)
            current = ""
        else:
            current += token
    arguments = [" ".join(argument.split()) for argument in [*arguments, current]]
    return [re.sub(r'" "', "", argument) for argument in arguments]


def macro_rows(text, macros):
    """(macro, arguments) of each row, in order; definitions of the macros are not rows."""
    text = strip_comments(text).replace("\\\n", "\n")
    for found in re.finditer(rf"^ *({'|'.join(macros)})\(", text, flags=re.MULTILINE):
        yield found[1], split_arguments(text, found.end())


def type_size(c_type):
    found = re.fullmatch(r"u?int(\d+)_t", c_type)
    return int(found[1]) // 8 if found else SIZES[c_type]


class Rows:
    """All rows of a tree of sources."""

    def __init__(self, root):
        self.schema = int(re.search(r"\bSCHEMA = (\d+)",
                                    (root / SCHEMA_HEADER).read_text())[1])
        self.rows, self.required = [], []
        self.sizes, self.codings = {}, {}
        for file in dict.fromkeys(kind.file for kind in KINDS):
            self.read((root / file).read_text())

    def read(self, text):
        offsets = {}
        for macro, arguments in macro_rows(text, [*BY_MACRO, "REQUIRED"]):
            offset = size = None
            if macro == "REQUIRED":
                self.required.append(tuple(arguments))
                continue
            if macro == "FIELD_TYPE":
                self.sizes[arguments[0]] = type_size(arguments[1])
                self.codings[arguments[0]] = arguments[2]
            if macro == "FIELD":
                offset, size = offsets.get(arguments[0], 0), self.sizes[arguments[2]]
                offsets[arguments[0]] = offset + size
            self.rows.append(Row(macro, arguments, offset, size))

    def of(self, macro):
        return [row for row in self.rows if row.macro == macro]

    def is_reserved(self, row):
        """Bytes without a meaning, which later fields may take."""
        if row.macro == "FIELD":
            return self.codings[row.arguments[2]] == "ZERO"
        return row.macro == "MEMBER" and re.fullmatch(r"zero\d*", row.arguments[3]) is not None

    def line(self, row):
        """The row as it is recorded."""
        kind = BY_MACRO[row.macro]
        words = [row.macro.lower(), *(row.arguments[i] for i in kind.key), ":",
                 *(row.arguments[i] for i in kind.value)]
        if kind.since is not None:
            words += ["since", row.arguments[kind.since]]
        if row.offset is not None:
            words += ["at", f"{row.offset}+{row.size}"]
        if self.is_reserved(row):
            words.append("reserved")
        return " ".join(words)

    def lines(self):
        return [self.line(row) for row in self.rows]


def key(line):
    """The part of a recorded row that identifies it among rows of its kind."""
    return line.split(" : ")[0].removesuffix(" :")


def since(line):
    found = re.search(r" since (\d+)", line)
    return int(found[1]) if found else None


def place(line):
    """The place of a field: its first byte, and the one after its last."""
    found = re.search(r" at (\d+)\+(\d+)", line)
    return (int(found[1]), int(found[1]) + int(found[2])) if found else (0, 0)


def is_reserved(line):
    return line.endswith(" reserved")


# The word of a recorded message that names the rows of its request.
ROW_AT = 8


def may_take_place(old, new):
    """Reserved bytes may become fewer; what is left of them stays where it was."""
    return (is_reserved(old) and is_reserved(new) and since(old) == since(new) and
            place(old)[0] <= place(new)[0] and place(new)[1] <= place(old)[1])


def may_be_reused(old, new):
    """Records that were only ever added may be given back: an older file has none that are free."""
    found = re.fullmatch(r"(table \d+ : )ARENA( .*)", old)
    return found is not None and new in [found[1] + kind + found[2]
                                         for kind in ("POOL", "RUNS", "BESIDE")]


def may_get_rows(old, new):
    """A request that had no rows may be followed by rows: their count, which is a new field, is
    zero in a request of an older schema."""
    old, new = old.split(), new.split()
    return (old[0] == "message" and len(old) == len(new) and
            [i for i in range(len(old)) if old[i] != new[i]] == [ROW_AT] and old[ROW_AT] == "none")


def compare(recorded, lines, schema):
    """What is wrong with rows, compared with the recorded schemas: {number: lines}."""
    last = max(recorded, default=0)
    now = {key(line): line for line in lines}
    then = {key(line): line for number in sorted(recorded) for line in recorded[number]}
    for line in then.values():
        new = now.get(key(line))
        if new is None and not is_reserved(line):
            yield f"`{line}` is gone: files and clients of schema {last} have it"
        elif (new is not None and new != line and not may_take_place(line, new) and
              not may_be_reused(line, new) and not may_get_rows(line, new)):
            yield (f"`{line}` has become `{new}`: give what is new a number of its own, "
                   f"and leave the recorded row as it is")
    added = [line for line in lines if key(line) not in then]
    for line in added:
        if (since(line) or schema) <= last:
            yield (f"`{line}` is not in the recorded schema {last}: a new row is since schema "
                   f"{last + 1}, and SCHEMA in {SCHEMA_HEADER} is raised to it")
        elif (since(line) or schema) > schema:
            yield f"`{line}` is since a later schema than SCHEMA, which is {schema}"
    if schema < last:
        yield f"SCHEMA is {schema}, and schema {last} is recorded"
    if schema > last + 1:
        yield f"SCHEMA is {schema}, and the last that is recorded is {last}: one at a time"


def twice(lines):
    """Numbers, and names in the same scope, that more than one row has."""
    seen = {}
    for line in lines:
        if key(line) in seen:
            yield f"`{line}` has the number of `{seen[key(line)]}`"
        seen[key(line)] = line


def shape_size(fields, schema):
    """Bytes of a body whose fields are these, in a schema (engine/layout.c does the same)."""
    end = max((row.offset + row.size for row in fields if int(row.arguments[4]) <= schema),
              default=0)
    return (end + ALIGN - 1) // ALIGN * ALIGN


def unreadable(rows):
    """Problems that clients of an older schema would have with requests or replies."""
    shapes = {}
    for row in rows.of("FIELD"):
        shapes.setdefault(row.arguments[0], []).append(row)
    born = {name: min(int(row.arguments[4]) for row in fields) for name, fields in shapes.items()}
    for name, field in rows.required:
        row = next((row for row in shapes.get(name, ()) if row.arguments[3] == field), None)
        if row is None:
            yield f"REQUIRED({name}, {field}) names no field"
        elif int(row.arguments[4]) > born[name]:
            yield (f"REQUIRED({name}, {field}): clients of schema {born[name]} cannot give it; "
                   f"zero must have a meaning")
    for row in rows.of("MESSAGE"):
        reply, reply_row = row.arguments[10], row.arguments[11]
        if reply_row == "none" or reply not in shapes:
            continue
        sizes = [shape_size(shapes[reply], schema) for schema in (born[reply], rows.schema)]
        if sizes[0] != sizes[1]:
            yield (f"{reply} has grown from {sizes[0]} to {sizes[1]} bytes, and rows follow it: an "
                   f"older client would not find them. Use its reserved bytes, the rows, or "
                   f"another message")


def read_recorded(folder):
    return {int(path.stem): path.read_text().splitlines() for path in folder.glob("*.txt")}


def problems(root, folder):
    """Everything that is wrong with the rows of a tree, by the schemas recorded in a folder."""
    rows = Rows(root)
    lines = rows.lines()
    return [*twice(lines), *compare(read_recorded(folder), lines, rows.schema), *unreadable(rows)]
