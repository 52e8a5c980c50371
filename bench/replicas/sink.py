#!/usr/bin/env python3
"""A replica that is none: it joins, takes what it is sent, and acknowledges it at once.

    sink.py ADDR:PORT

It decides nothing and writes nothing, so that beside it only the cost of sending is seen. The
server keeps its whole log and has no snapshot, so an empty replica is sent all of it. The sink ends
when the connection does.
"""

import os
import sys

import wire

BUFFER_SIZE = 4 << 20


class Sink:
    def __init__(self, connection):
        self.connection = connection
        self.seq = 0
        self.buffer = bytearray(BUFFER_SIZE)
        self.view = memoryview(self.buffer)
        self.size = 0

    def parse(self):
        """Goes over whole frames with their blocks, and returns how many; what is left moves to the
        front."""
        offset = count = 0
        while offset + wire.FRAME.size + wire.RAW.size <= self.size:
            size, number = wire.FRAME.unpack_from(self.buffer, offset)[:2]
            block = offset + size
            if number == wire.BLOCK_TYPE:
                size += wire.RAW.unpack_from(self.buffer, offset + wire.FRAME.size)[0]
            if offset + size > self.size:
                break
            if number == wire.BLOCK_TYPE:
                header = wire.BLOCK.unpack_from(self.buffer, block)
                self.seq = header[4] + header[8] - 1
            offset += size
            count += 1
        self.view[: self.size - offset] = self.view[offset : self.size]
        self.size -= offset
        return count

    def run(self):
        while True:
            received = self.connection.socket.recv_into(self.view[self.size :])
            if received == 0:
                return
            self.size += received
            if self.parse() == 0:
                continue
            # Beats are acknowledged as well: a link that is silent is closed.
            ack = wire.ACK.pack(self.seq, self.seq, 0, wire.STREAMING)
            self.connection.socket.sendall(wire.frame(wire.ACK_TYPE, ack))


def join(connection):
    body = wire.JOIN.pack(
        connection.shop, os.urandom(16), b"sink", b"", 0, 0, 0, 0, wire.SCHEMA,
        wire.LOG_VERSION, wire.CAPACITIES,
    )
    for number in range(wire.CAPACITIES):
        body += wire.CAPACITY.pack(number + 1, wire.CAPACITY_MOST)
    reply = wire.JOIN_REPLY.unpack(connection.ask(wire.JOIN_TYPE, body))
    if reply[7] != wire.ANSWER_STREAM:
        raise wire.Wrong(f"the join was answered {reply[7]}: {reply[8].decode()}")


def main():
    with wire.Connection(sys.argv[1]) as connection:
        join(connection)
        connection.socket.settimeout(None)
        Sink(connection).run()


if __name__ == "__main__":
    main()
