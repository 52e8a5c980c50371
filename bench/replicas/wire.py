"""The two messages that the measurement itself exchanges with a server, as bytes: hello and
replicas. Layouts are those of engine/tables/messages.h."""

import socket
import struct
from typing import NamedTuple

FRAME = struct.Struct("<IHHII")  # size, type, outcome, request, checksum
HELLO = struct.Struct("<QHHI32s16sQ")
REPLICAS = struct.Struct("<QQQQQIBBHQQQ96s")
REPLICA = struct.Struct("<32s96s16sQQQQQQQQQB7x")

MAGIC = int.from_bytes(b"till-rpc", "little")
HELLO_TYPE, REPLICAS_TYPE = 1, 7
STREAMING = 5


class Wrong(Exception):
    pass


class Replica(NamedTuple):
    """A row of the answer to `replicas`."""

    name: bytes
    address: bytes
    member: bytes
    seq_sent: int
    seq_durable: int
    seq_applied: int
    lag_commands: int
    lag_bytes: int
    lag_us: int
    since: int
    sync_done: int
    sync_bytes: int
    state: int


def frame(number, body, request=0):
    return FRAME.pack(FRAME.size + len(body), number, 0, request, 0) + body


class Connection:
    """One connection to a server, which has said hello."""

    def __init__(self, address):
        host, port = address.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)), 10)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.ask(HELLO_TYPE, HELLO.pack(MAGIC, 1, 0, 0, b"", b"", 0))

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def receive(self, size):
        data = self.socket.recv(size, socket.MSG_WAITALL)
        if len(data) < size:
            raise Wrong("the server has closed the connection")
        return data

    def ask(self, number, body):
        """The body of the answer, which is OK."""
        self.socket.sendall(frame(number, body, 1))
        size, _, outcome, _, _ = FRAME.unpack(self.receive(FRAME.size))
        body = self.receive(size - FRAME.size)
        if outcome != 0:
            raise Wrong(f"message {number} was answered with outcome {outcome}")
        return body

    def replicas(self):
        """(seq that is durable there, rows of its replicas)"""
        body = self.ask(REPLICAS_TYPE, bytes(8))
        seq, count = REPLICAS.unpack_from(body)[0], REPLICAS.unpack_from(body)[8]
        rows = body[REPLICAS.size : REPLICAS.size + count * REPLICA.size]
        return seq, [Replica(*row) for row in REPLICA.iter_unpack(rows)]
