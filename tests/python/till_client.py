"""A till client written from docs/protocol.md alone, whose tables it reads to know the messages.

    client = Client(("127.0.0.1", 7411))
    reply = client.call("order.place", order=1001, customer=7, rows=[{"sku": 42, ...}])
    reply.outcome, reply.body["seq"], reply.rows

In the reply to `stats`, each metric is a field of the body too, by its name.

Fields that are not named are zero. Ids are integers, names and texts strings; enumerated values and
flags may be given by name. To pipeline: queue() requests, flush(), then receive() in that order.
"""

import select
import socket
import struct
from pathlib import Path

from xxh3 import xxh3_64

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "protocol.md"
MAGIC = int.from_bytes(b"till-rpc", "little")
VERSION = 1
CHECKSUMS = 1
OPERATOR = 2
FRESH = 4
REPLY = 0x8000
HEADER = struct.Struct("<IHHII")
FRESHNESS = struct.Struct("<Q")  # between header and body, with FRESH: min_seq, or an age
FRAME_SIZE_MAX = 8192


def markdown_tables(text):
    """Yields (the heading above it, rows) for each table, each row a list of cells."""
    heading, rows = "", []
    for line in [*text.splitlines(), ""]:
        if line.startswith("|"):
            rows.append([cell.strip() for cell in line.strip().strip("|").split("|")])
            continue
        if rows:
            yield heading, rows[2:]
            rows = []
        if line.startswith("#"):
            heading = line.lstrip("#").strip()


class Type:
    """How a field of one type is packed, and the names of its values."""

    def __init__(self, name, size, coding):
        self.name = name
        self.size = size
        self.coding = coding
        self.by_name = {}
        self.by_value = {}
        codes = {1: "B", 2: "H", 4: "I", 8: "Q"}
        code = codes.get(size, f"{size}s")
        self.code = code.lower() if coding == "signed" else code

    def pack(self, value):
        if self.coding == "identity":
            return value.to_bytes(16, "little")
        if self.coding == "bytes":
            return value.encode() if isinstance(value, str) else value
        if isinstance(value, str):
            return sum(self.by_name[part] for part in value.split("|"))
        return value

    def unpack(self, value):
        if self.coding == "identity":
            return int.from_bytes(value, "little")
        if self.coding == "bytes":
            return value.split(b"\0")[0].decode()
        return self.by_value.get(value, value)

    def zero(self):
        return b"" if self.coding == "bytes" else 0


class Shape:
    """A fixed list of fields: a body, or a row."""

    def __init__(self, name, fields):
        self.name = name
        self.fields = fields  # (name, Type)
        self.struct = struct.Struct("<" + "".join(kind.code for _, kind in fields))
        self.size = self.struct.size
        self.count = next((name for name, kind in fields if kind.name == "count"), None)
        self.names = {name for name, _ in fields}

    def pack(self, values):
        unknown = values.keys() - self.names
        if unknown:
            raise KeyError(f"{self.name} has no {unknown}")
        return self.struct.pack(*[kind.pack(values.get(name, kind.zero()))
                                  for name, kind in self.fields])

    def unpack(self, data, offset):
        values = self.struct.unpack_from(data, offset)
        return {name: kind.unpack(value)
                for (name, kind), value in zip(self.fields, values)}


class Message:
    def __init__(self, number, name, kind, request, request_row, reply, reply_row):
        self.number = number
        self.name = name
        self.kind = kind
        self.request = request
        self.request_row, self.request_rows_max = request_row
        self.reply = reply
        self.reply_row, self.reply_rows_max = reply_row


class Protocol:
    """The tables of the document."""

    def __init__(self, path=DOCUMENT):
        text = path.read_text().split("<!-- tables -->")[1].split("<!-- /tables -->")[0]
        self.types, self.shapes, self.outcomes, self.messages = {}, {}, {}, {}
        tables = list(markdown_tables(text))
        sections = {heading: rows for heading, rows in tables}
        for name, size, coding in sections.pop("Types"):
            self.types[name] = Type(name, int(size), coding)
        for name, value, text in sections.pop("Named values"):
            self.types[name].by_name[text] = int(value)
            self.types[name].by_value[int(value)] = text
        for number, name, *rest in sections.pop("Outcomes"):
            self.outcomes[int(number)] = (name, *rest)
        messages = sections.pop("Messages")
        for heading, rows in sections.items():
            self.add_shape(heading, rows)
        for number, name, kind, request, rows, reply, reply_rows, _ in messages:
            self.messages[name] = Message(int(number), name, kind, self.shapes[request],
                                          self.row(rows), self.shapes[reply], self.row(reply_rows))
        self.by_number = {message.number: message for message in self.messages.values()}

    def add_shape(self, heading, rows):
        name = heading.split()[0]
        shape = Shape(name, [(field, self.types[kind]) for _, _, kind, field, _ in rows])
        offset = 0
        for stated_offset, stated_size, kind, field, _ in rows:
            if int(stated_offset) != offset or int(stated_size) != self.types[kind].size:
                raise ValueError(f"{name}.{field} does not stand where the document says")
            offset += int(stated_size)
        self.shapes[name] = shape

    def row(self, text):
        """The row shape and the most rows, from a cell such as "0 to 32 line"."""
        if text in ("", "none"):
            return None, 0
        _, _, most, name = text.split()
        return self.shapes[name], int(most)


PROTOCOL = Protocol()


class Closed(Exception):
    """The server closed the connection."""


class ServerError(Closed):
    """The server closed the connection and said why."""


class Reply:
    def __init__(self, request, message, outcome, body, rows, age):
        self.request = request
        self.message = message
        self.outcome = outcome
        self.body = body
        self.rows = rows
        self.age = age  # in microseconds; None on a connection without FRESH

    def __repr__(self):
        return f"{self.message} {self.outcome} {self.body} {self.rows}"


def encode_body(name, /, rows=(), **fields):
    """A request's body; the count of rows is filled in unless it is given."""
    message = PROTOCOL.messages[name]
    if message.request.count is not None:
        fields.setdefault(message.request.count, len(rows))
    packed = [message.request.pack(fields)]
    packed += [message.request_row.pack(row) for row in rows]
    return b"".join(packed)


def encode_frame(number, request, body, checksum=False, outcome=0):
    size = HEADER.size + len(body)
    frame = HEADER.pack(size, number, outcome, request, 0) + body
    if not checksum:
        return frame
    return HEADER.pack(size, number, outcome, request, xxh3_64(frame) & 0xFFFFFFFF) + body


def decode_reply(frame, checksum=False, fresh=False):
    size, number, outcome_number, request, stated = HEADER.unpack_from(frame)
    zeroed = HEADER.pack(size, number, outcome_number, request, 0) + frame[HEADER.size :]
    if stated != (xxh3_64(zeroed) & 0xFFFFFFFF if checksum else 0):
        raise ValueError("the checksum of a reply is wrong")
    age = FRESHNESS.unpack_from(frame, HEADER.size)[0] if fresh else None
    if fresh:
        frame = frame[: HEADER.size] + frame[HEADER.size + FRESHNESS.size :]
        size = len(frame)
    message = PROTOCOL.by_number[number - REPLY]
    outcome = PROTOCOL.outcomes[outcome_number][0]
    if message.name == "error":
        raise ServerError(message.reply.unpack(frame, HEADER.size)["reason"])
    shape, row = message.reply, message.reply_row
    if outcome not in ("OK", "REPLAYED"):
        # Those of commands tell the primary; others, as those of ADMIN messages, need not.
        longer = outcome == "NOT_PRIMARY" and size - HEADER.size >= PROTOCOL.shapes["redirect"].size
        shape, row = PROTOCOL.shapes["redirect" if longer else "rejection"], None
    body = shape.unpack(frame, HEADER.size)
    count = body[shape.count] if row else 0
    offset = HEADER.size + shape.size
    # A server of a newer schema sends more: longer rows or, without rows, a longer body.
    row_size = (size - offset) // count if count else 0
    if (count and (row_size < row.size or size != offset + count * row_size)) or size < offset:
        raise ValueError(f"the size of a {message.name} reply does not match its rows")
    rows = [row.unpack(frame, offset + i * row_size) for i in range(count)]
    if row and row.name == "metric":
        body |= {metric["metric"]: metric["value"] for metric in rows}
    return Reply(request, message.name, outcome, body, rows, age)


class Connection:
    """Frames over a socket, and nothing about their meaning."""

    def __init__(self, address, source=None, timeout=20):
        self.socket = socket.create_connection(address, timeout, source and (source, 0))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.received = bytearray()
        self.ended = None  # why there is nothing more to receive

    def read(self):
        """Reads what the socket has, waiting for at least one byte."""
        try:
            data = self.socket.recv(65536)
            self.ended = None if data else "end of stream"
        except (BrokenPipeError, ConnectionResetError) as error:
            data, self.ended = b"", str(error)
        self.received += data

    def send(self, data):
        """Reads while it writes, since a server whose replies are not read stops reading. Ends
        early when the server closes the connection; receive() then reports that, in order."""
        rest = memoryview(data)
        poll = select.poll()
        poll.register(self.socket, select.POLLIN | select.POLLOUT)
        while rest and not self.ended:
            events = poll.poll(1000 * self.socket.gettimeout())
            if not events:
                raise TimeoutError("the server neither reads nor writes")
            if events[0][1] & ~select.POLLOUT:
                self.read()
                continue
            try:
                rest = rest[self.socket.send(rest, socket.MSG_DONTWAIT) :]
            except BlockingIOError:
                continue
            except (BrokenPipeError, ConnectionResetError):
                return

    def receive(self):
        """The next whole frame."""
        while True:
            have = len(self.received)
            size = int.from_bytes(self.received[:4], "little") if have >= 4 else have + 1
            if have >= 4 and (size % 8 != 0 or not HEADER.size < size <= FRAME_SIZE_MAX):
                raise ValueError(f"the server sent a frame of {size} bytes")
            if have >= size:
                frame = bytes(self.received[:size])
                del self.received[:size]
                return frame
            if self.ended:
                raise Closed(self.ended)
            self.read()

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Client(Connection):
    """With fresh, every request demands the change `min_seq`, which is 0 until it is set."""

    def __init__(self, address, checksum=False, source=None, timeout=20, operator=False,
                 fresh=False):
        super().__init__(address, source, timeout)
        self.checksum = False
        self.fresh = False
        self.min_seq = 0
        self.request_last = 0
        self.queued = []
        hello = self.call("hello", magic=MAGIC, version=VERSION,
                          features=CHECKSUMS * checksum + OPERATOR * operator + FRESH * fresh)
        if hello.outcome != "OK":
            raise Closed(f"the server answers hello with {hello.outcome}")
        self.hello = hello.body
        self.checksum = bool(self.hello["features"] & CHECKSUMS)
        self.fresh = bool(self.hello["features"] & FRESH)
        self.in_flight_max = self.hello["in_flight_max"]

    def queue(self, name, /, rows=(), **fields):
        return self.queue_body(PROTOCOL.messages[name].number, encode_body(name, rows, **fields))

    def queue_body(self, number, body):
        self.request_last += 1
        if self.fresh:
            body = FRESHNESS.pack(self.min_seq) + body
        self.queued.append(encode_frame(number, self.request_last, body, self.checksum))
        return self.request_last

    def flush(self):
        data = b"".join(self.queued)
        self.queued = []
        self.send(data)

    def receive(self):
        return decode_reply(super().receive(), self.checksum, self.fresh)

    def call(self, name, /, rows=(), **fields):
        request = self.queue(name, rows, **fields)
        self.flush()
        reply = self.receive()
        if reply.request != request:
            raise ValueError(f"request {request} got the reply to {reply.request}")
        return reply
