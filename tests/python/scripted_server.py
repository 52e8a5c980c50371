"""A server scripted by a test, for behaviour that a real server does not show on demand: it answers
late, with its own window, with what the test chooses, or not at all."""

import select
import socket

from harness import check
from till_client import FRESH, FRESHNESS, HEADER, MAGIC, PROTOCOL, REPLY, VERSION

OUTCOMES = {name: number for number, (name, *_) in PROTOCOL.outcomes.items()}
WAIT_SECONDS_MAX = 30
QUIET_SECONDS = 0.3


class Request:
    def __init__(self, name, number, body, rows, min_seq):
        self.name = name
        self.number = number
        self.body = body
        self.rows = rows
        self.min_seq = min_seq


def decode_request(frame, fresh=False):
    _, kind, _, number, _ = HEADER.unpack_from(frame)
    message = PROTOCOL.by_number[kind]
    offset = HEADER.size + FRESHNESS.size * fresh
    min_seq = FRESHNESS.unpack_from(frame, HEADER.size)[0] if fresh else 0
    body = message.request.unpack(frame, offset)
    row, offset = message.request_row, offset + message.request.size
    count = body[message.request.count] if row else 0
    rows = [row.unpack(frame, offset + i * row.size) for i in range(count)]
    return Request(message.name, number, body, rows, min_seq)


class ScriptedServer:
    """Listens at once; `accept` takes the client, or its next connection, and answers its hello."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = "%s:%d" % self.listener.getsockname()
        self.connection = None
        self.received = b""
        self.fresh = False

    def accept(self, in_flight_max=4096, **fields):
        """The hello's reply has these fields, too; of the features, freshness may be on."""
        self.listener.settimeout(WAIT_SECONDS_MAX)
        self.close_connection()
        self.connection, _ = self.listener.accept()
        self.connection.settimeout(WAIT_SECONDS_MAX)
        self.received, self.fresh = b"", False
        hello = self.request()
        check(hello.name == "hello" and hello.body["magic"] == MAGIC, f"not a hello: {hello.body}")
        self.answer(hello, version=VERSION, in_flight_max=in_flight_max, frame_size_max=8192,
                    **fields)
        self.fresh = bool(fields.get("features", 0) & FRESH)
        return hello

    def request(self):
        """The next request; the test fails when none comes."""
        while len(self.received) < 4 or len(self.received) < int.from_bytes(self.received[:4],
                                                                            "little"):
            data = self.connection.recv(65536)
            check(data, "the client closed the connection")
            self.received += data
        size = int.from_bytes(self.received[:4], "little")
        frame, self.received = self.received[:size], self.received[size:]
        return decode_request(frame, self.fresh)

    def request_or_end(self):
        """The next request; None when the client sends no more."""
        if not self.received:
            self.received = self.connection.recv(65536)
        return self.request() if self.received else None

    def requests(self, count):
        return [self.request() for _ in range(count)]

    def check_quiet(self):
        """The client sends nothing more while it waits for answers."""
        ready, _, _ = select.select([self.connection], [], [], QUIET_SECONDS)
        check(not self.received and not ready, "a request comes before an answer to others")

    def answer(self, request, outcome="OK", rows=(), age_us=0, **fields):
        message = PROTOCOL.messages[request.name]
        done = outcome in ("OK", "REPLAYED")
        rejection = PROTOCOL.shapes["redirect" if outcome == "NOT_PRIMARY" else "rejection"]
        shape = message.reply if done else rejection
        if done and shape.count is not None:
            fields.setdefault(shape.count, len(rows))
        body = FRESHNESS.pack(age_us) * self.fresh + shape.pack(fields)
        body += b"".join(message.reply_row.pack(row) for row in rows)
        self.connection.sendall(HEADER.pack(HEADER.size + len(body), message.number | REPLY,
                                            OUTCOMES[outcome], request.number, 0) + body)

    def check_not_called(self):
        """Nobody has connected since the last `accept`; who might have, has ended."""
        self.listener.setblocking(False)
        try:
            self.listener.accept()
        except BlockingIOError:
            return
        raise AssertionError("there is one more connection")

    def close_connection(self):
        if self.connection:
            self.connection.close()

    def close(self):
        self.close_connection()
        self.listener.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
