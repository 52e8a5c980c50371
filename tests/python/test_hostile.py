"""Clients that break the rules, on purpose or by accident: each costs its own connection and
nothing else. After every one of them a good connection still works, old or new, and at the end
the server stops as it should and its folder is sound."""

import contextlib
import signal
import socket
import struct
import threading
import time

import harness
from harness import check, check_equal, test
from till_client import (CHECKSUMS, HEADER, MAGIC, PROTOCOL, REPLY, Closed, Connection,
                         ServerError, decode_reply, encode_body, encode_frame)

harness.LAZY_MEMORY = False

USD = 840
SKU = 0x5E11E12  # the witness's, which no random frame hits
STATS = PROTOCOL.messages["stats"].number
PLACE = PROTOCOL.messages["order.place"].number
GET = PROTOCOL.messages["stock.get"].number
WAREHOUSE = 777  # that no random request shuts or empties
ATTEMPTS = 3000
BATCH = 64  # requests that the server decides together
SALE_POOLS_MAX = 64
# Rows with which a request of an earlier schema, whose body was shorter, is as long as one of today
# without rows.
ROWS_BEFORE = {"sale.put": 1}
MEMORY_BYTES_MAX = 256 << 20  # for connections, whatever they do


class Witness:
    """A server with a good connection that stays open, and the check that nothing else was
    harmed."""

    def __init__(self, run, options=()):
        self.run = run
        self.server = run.serve(options=options)
        self.client = self.server.client()
        self.random = run.random
        self.calls = 0
        self.check_call("sku.put", key=self.key(), sku=SKU, price=100, currency=USD)
        for warehouse in (1, WAREHOUSE):
            self.check_call("stock.adjust", key=self.key(), sku=SKU, delta=10**9,
                            warehouse=warehouse)

    def key(self):
        return self.random.getrandbits(128) | 1

    def check_call(self, name, /, **fields):
        reply = self.client.call(name, **fields)
        check_equal(reply.outcome, "OK", f"the outcome of the witness's {name}")
        return reply

    def check_alive(self):
        check(self.server.is_alive(), "the server died")
        self.calls += 1
        self.check_call("order.place", **place(self.key()))
        with self.server.client(checksum=self.calls % 2 == 0) as other:
            check_equal(other.call("stats").outcome, "OK", "stats on a new connection")

    def seq(self):
        return self.check_call("stats").body["seq"]

    def finish(self):
        self.check_alive()
        self.client.close()
        self.run.finish(self.server)


def place(order):
    return {"order": order, "customer": 9, "currency": USD,
            "rows": [{"sku": SKU, "quantity": 1, "price": 100}]}


def hello_frame(body=None, number=1, **fields):
    fields = {"magic": MAGIC, "version": 1} | fields
    return encode_frame(number, 1, body or encode_body("hello", **fields))


def read_to_the_end(connection, checksum=False):
    """Every frame until the server closes; they must all be well-formed. Returns the outcomes and
    the reason of the error frame, None when there was none."""
    outcomes = []
    while True:
        try:
            reply = decode_reply(connection.receive(), checksum)
            outcomes.append(reply.outcome)
            if reply.message == "hello" and reply.outcome == "OK":
                checksum = bool(reply.body["features"] & CHECKSUMS)
        except ServerError as error:
            with contextlib.suppress(Closed):
                connection.receive()
                check(False, "something follows the error frame")
            return outcomes, str(error)
        except Closed:
            return outcomes, None


def expect_error(witness, label, data, hello=True):
    """Checks that the data ends its connection with an error frame, and changes nothing."""
    before = witness.seq()
    with Connection(witness.server.address) as connection:
        connection.send((hello_frame() if hello else b"") + data)
        outcomes, reason = read_to_the_end(connection)
    check_equal(outcomes, ["OK"] if hello else [], f"the replies before {label}")
    check(reason, f"{label} is closed without a reason")
    check_equal(witness.seq(), before, f"seq after {label}")
    witness.check_alive()


@test
def malformed_headers_are_told_and_closed(run):
    witness = Witness(run)
    body = encode_body("stats")
    for size in (0, 1, 7, 8, 15, 16, 17, 20, 23, 25, 28, 8193, 8196, 8200, 65536, 2**31, 2**32 - 8,
                 2**32 - 1):
        expect_error(witness, f"a size of {size}", HEADER.pack(size, STATS, 0, 2, 0) + body)
    for number in (0, 4, 15, 48, 63, 64, 255, 0x7FFF, 0xFFFF, STATS | REPLY, 1 | REPLY, 2 | REPLY):
        expect_error(witness, f"the type {number:#x}", encode_frame(number, 2, body))
    for outcome in (1, 2, 0xFFFF):
        expect_error(witness, f"the outcome {outcome}",
                     encode_frame(STATS, 2, body, outcome=outcome))
    expect_error(witness, "an error frame from the client", encode_frame(2, 2, bytes(8)))
    witness.finish()


@test
def malformed_hellos_are_told_and_closed(run):
    witness = Witness(run)
    good = encode_body("hello", magic=MAGIC, version=1)
    for label, frame in {
        "no hello": encode_frame(STATS, 1, encode_body("stats")),
        "an order for a hello": encode_frame(PLACE, 1, encode_body("order.place", **place(5))),
        "HTTP": b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "another magic": hello_frame(magic=MAGIC ^ 1),
        "version 0": hello_frame(version=0),
        "version 2": hello_frame(version=2),
        "unknown features": hello_frame(features=CHECKSUMS | 8),
        "a reserved byte": hello_frame(reserved=1),
        "a token": hello_frame(token="secret"),
        "an outcome": encode_frame(1, 1, good, outcome=1),
        "a checksum": encode_frame(1, 1, good, checksum=True),
        "a short hello": hello_frame(good[:-8]),
        "a long hello": hello_frame(good + bytes(8)),
    }.items():
        expect_error(witness, label, frame, hello=False)
    expect_error(witness, "a second hello", hello_frame())
    witness.finish()


@test
def malformed_bodies_are_told_and_closed(run):
    """Every message: each reserved byte, undefined flags and values, wrong counts of rows, other
    sizes."""
    witness = Witness(run)
    for message in PROTOCOL.messages.values():
        if message.kind not in ("QUERY", "COMMAND"):
            continue

        def broken(label, body):
            expect_error(witness, f"{message.name} with {label}",
                         encode_frame(message.number, 2, body))

        good = message.request.pack({})
        broken("a body cut short", good[:-8] if len(good) > 8 else b"")
        broken("bytes behind its body", good + bytes(8))
        offset = 0
        for name, kind in message.request.fields:
            wrong = None
            if kind.coding == "zero":
                wrong = 1 << run.random.randrange(8 * kind.size)
            elif kind.by_value:
                wrong = (1 << 8 * kind.size) - 1
            if wrong is not None:
                patch = wrong.to_bytes(kind.size, "little")
                broken(f"{name} {wrong}", good[:offset] + patch + good[offset + kind.size :])
            if kind.name == "count":
                for count in (1, message.request_rows_max, message.request_rows_max + 1, 65535):
                    patch = count.to_bytes(2, "little")
                    if count == ROWS_BEFORE.get(message.name):
                        continue
                    broken(f"{count} rows and none", good[:offset] + patch + good[offset + 2 :])
            offset += kind.size
        if message.request_row:
            row = message.request_row.pack({})
            broken("a row not counted", good + row)
            most = message.request_rows_max
            broken("too many rows", encode_body(message.name, [{}] * (most + 1))[: 8192 - 16])
    broken_row = encode_body("stock.get", [{"sku": 1, "reserved": 1}])
    expect_error(witness, "a reserved byte in a row",
                 encode_frame(PROTOCOL.messages["stock.get"].number, 2, broken_row))
    witness.finish()


@test
def damaged_checksums_are_told_and_closed(run):
    witness = Witness(run)
    for _ in range(200):
        with witness.server.client(checksum=True) as client:
            frame = bytearray(encode_frame(PLACE, 7, encode_body("order.place",
                                                                 **place(witness.key())), True))
            at = run.random.randrange(4, len(frame))
            frame[at] ^= 1 << run.random.randrange(8)
            before = witness.seq()
            client.send(frame)
            outcomes, reason = read_to_the_end(client, checksum=True)
            check_equal(outcomes, [], "replies")
            check(reason, f"a flipped bit in byte {at} is closed without a reason")
            check_equal(witness.seq(), before, "seq after a damaged frame")
    with witness.server.client() as plain:
        plain.send(encode_frame(STATS, 7, encode_body("stats"), True))
        outcomes, reason = read_to_the_end(plain)
        check(outcomes == [] and reason, "a checksum that was not agreed on is refused")
    witness.finish()


@test
def the_servers_own_command_is_forbidden(run):
    witness = Witness(run)
    with witness.server.client() as client:
        check_equal(client.call("hold.expire", holds=1).outcome, "FORBIDDEN", "hold.expire")
        check_equal(client.call("stats").outcome, "OK", "stats on the same connection")
    witness.finish()


def is_harmless(message):
    """Makes neither the connection another one, as a replica's messages do, nor the server."""
    return message.kind != "LINK" and not message.name.startswith("member.")


def sample_frames(random):
    """A well-formed frame of some message, its values small so that some of them are known."""
    message = random.choice([m for m in PROTOCOL.messages.values()
                             if m.name != "error" and is_harmless(m)])

    def values(shape):
        chosen = {}
        for name, kind in shape.fields:
            if kind.coding == "bytes":
                chosen[name] = random.choice(("", "one", "two"))
            elif kind.by_value:
                chosen[name] = random.choice(list(kind.by_value))
            elif kind.coding != "zero" and kind.name != "count":
                known = (0, 1, 2, 9, 100, USD)
                chosen[name] = random.choice([one for one in known if one < 256**kind.size])
        return chosen

    rows = []
    if message.request_row:
        rows = [values(message.request_row)
                for _ in range(random.randint(0, min(4, message.request_rows_max)))]
    body = encode_body(message.name, rows, **values(message.request))
    return encode_frame(message.number, random.getrandbits(32), body)


def mutate(random, data):
    data = bytearray(data)
    for _ in range(random.randint(1, 4)):
        at = random.randrange(len(data)) if data else 0
        way = random.randrange(6)
        if way == 0 and data:
            data[at] ^= 1 << random.randrange(8)
        elif way == 1 and data:
            data[at] = random.choice((0, 1, 0x7F, 0x80, 0xFF))
        elif way == 2:
            del data[at : at + random.choice((1, 4, 8, 16))]
        elif way == 3:
            data[at:at] = random.randbytes(random.choice((1, 8, 24)))
        elif way == 4 and len(data) >= 4:
            struct.pack_into("<I", data, 0, random.choice((16, 24, 40, 8192, len(data))))
        else:
            data += data[at : at + 64]
    return bytes(data)


@test
def random_bytes_do_no_harm(run):
    witness = Witness(run)
    for i in range(ATTEMPTS // 4):
        with Connection(witness.server.address) as connection:
            if run.random.random() < 0.5:
                connection.send(hello_frame())
            with contextlib.suppress(OSError):
                connection.send(run.random.randbytes(run.random.randint(1, 20_000)))
                connection.socket.shutdown(socket.SHUT_WR)
            read_to_the_end(connection)
        if i % 50 == 0:
            witness.check_alive()
    witness.finish()


@test
def random_mutations_do_no_harm(run):
    """Streams of valid frames with a few changes; every answer is well-formed."""
    witness = Witness(run)
    seen = {}
    for i in range(ATTEMPTS):
        frames = [sample_frames(run.random) for _ in range(run.random.randint(1, 8))]
        at = run.random.randrange(len(frames))
        frames[at] = mutate(run.random, frames[at])
        start = hello_frame() if run.random.random() < 0.9 else mutate(run.random, hello_frame())
        with Connection(witness.server.address) as connection:
            with contextlib.suppress(OSError):
                connection.send(start + b"".join(frames))
                connection.socket.shutdown(socket.SHUT_WR)
            outcomes, reason = read_to_the_end(connection)
        for outcome in [*outcomes, "closed with a reason" if reason else "closed"]:
            seen[outcome] = seen.get(outcome, 0) + 1
        if i % 100 == 0:
            witness.check_alive()
    print("  ", ", ".join(f"{count} {outcome}" for outcome, count in sorted(seen.items())))
    witness.finish()


@test
def valid_frames_in_any_pieces_are_answered(run):
    """One byte at a time, and in random pieces: TCP does not preserve frames."""
    witness = Witness(run)
    frames = [encode_frame(PLACE, i, encode_body("order.place", **place(witness.key())))
              for i in range(2, 40)]
    stream = hello_frame() + b"".join(frames)
    for longest in (1, 3, 17, 200):
        with Connection(witness.server.address) as connection:
            at = 0
            while at < len(stream):
                size = run.random.randint(1, longest)
                connection.send(stream[at : at + size])
                at += size
            replies = [decode_reply(connection.receive()) for _ in range(1 + len(frames))]
        check_equal([reply.request for reply in replies], list(range(1, 40)), "requests answered")
        expected = "OK" if longest == 1 else "REPLAYED"
        check_equal({reply.outcome for reply in replies[1:]}, {expected}, "outcomes")
        witness.check_alive()
    witness.finish()


@test
def frames_cut_by_a_close_do_nothing(run):
    witness = Witness(run)
    frame = encode_frame(PLACE, 2, encode_body("order.place", **place(witness.key())))
    for cut in range(len(frame)):
        before = witness.seq()
        with Connection(witness.server.address) as connection:
            connection.send(hello_frame() + frame[:cut])
            check_equal(decode_reply(connection.receive()).outcome, "OK", "hello")
            if cut % 2:
                # Ends in a reset instead of a regular close.
                connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                             struct.pack("ii", 1, 0))
        check_equal(witness.seq(), before, f"seq after a frame cut at {cut}")
    witness.finish()


@test
def silent_connections_disturb_nobody(run):
    """Half-open ones: nothing sent, part of a hello, a hello and part of a frame."""
    witness = Witness(run)
    starts = (b"", hello_frame()[:3], hello_frame()[:40], hello_frame(),
              hello_frame() + encode_frame(STATS, 2, encode_body("stats"))[:20])
    with contextlib.ExitStack() as stack:
        for i in range(500):
            connection = stack.enter_context(Connection(witness.server.address))
            connection.send(starts[i % len(starts)])
        for _ in range(20):
            witness.check_alive()
    for _ in range(1000):
        Connection(witness.server.address).close()
    witness.finish()


@test
def a_half_closed_connection_gets_its_replies(run):
    """Requests sent completely are answered, the partial frame after them is dropped."""
    witness = Witness(run)
    frames = [encode_frame(PLACE, i, encode_body("order.place", **place(witness.key())))
              for i in range(2, 500)]
    for tail in (b"", frames[0][:50]):
        with Connection(witness.server.address) as connection:
            connection.send(hello_frame() + b"".join(frames) + tail)
            connection.socket.shutdown(socket.SHUT_WR)
            outcomes, reason = read_to_the_end(connection)
            expected = "REPLAYED" if tail else "OK"
            check_equal(outcomes, ["OK"] + [expected] * len(frames), "outcomes")
            check_equal(reason, None, "the reason of an error")
    witness.finish()


@contextlib.contextmanager
def one_turn(server):
    """Everything that is sent in the `with` block reaches the server at once, in one turn of its
    loop."""
    server.process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        server.process.send_signal(signal.SIGCONT)


def largest_body(random, message):
    """The largest well-formed request; keys are new, SKUs are the witness's."""
    def value(name, kind):
        if kind.coding == "identity":
            return random.getrandbits(127) + 1
        return SKU if name == "sku" else next(iter(kind.by_value), kind.zero())

    def values(shape):
        return {name: value(name, kind) for name, kind in shape.fields if kind.name != "count"}

    rows = [values(message.request_row) for _ in range(message.request_rows_max)]
    return encode_body(message.name, rows, **values(message.request))


@test
def the_largest_requests_of_many_at_once_are_answered(run):
    """The largest request of every message, on a connection each and all on one."""
    witness = Witness(run)
    messages = [m for m in PROTOCOL.messages.values() if m.kind in ("QUERY", "COMMAND")]
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(witness.server.client()) for _ in range(BATCH)]
        for message in messages:
            for senders in (clients * 2, clients[:1] * BATCH):
                with one_turn(witness.server):
                    for client in senders:
                        client.queue_body(message.number, largest_body(run.random, message))
                        client.flush()
                for client in senders:
                    check_equal(client.receive().message, message.name, "the reply's message")
            witness.check_alive()
        # A random mix of all of them.
        for _ in range(50):
            with one_turn(witness.server):
                senders = run.random.choices(clients, k=4 * BATCH)
                for client in senders:
                    message = run.random.choice(messages)
                    client.queue_body(message.number, largest_body(run.random, message))
                    client.flush()
            for client in senders:
                client.receive()
        witness.check_alive()
    witness.finish()


@test
def a_sale_of_many_pools_from_many_is_decided(run):
    """Accepted requests of the largest size: in the log they take no more than a block."""
    witness = Witness(run)
    pools = [{"sku": SKU, "warehouse": 1 + i, "quantity": 1} for i in range(SALE_POOLS_MAX)]
    for warehouse in range(1, SALE_POOLS_MAX + 1):
        witness.check_call("stock.adjust", key=witness.key(), sku=SKU, delta=1000,
                           warehouse=warehouse)
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(witness.server.client()) for _ in range(BATCH)]
        with one_turn(witness.server):
            for client in clients * 2:
                number = 1 + clients.index(client)
                client.queue("sale.put", pools, key=number, sale=number, rate_points=1,
                             rate_money=1)
                client.flush()
        for expected in ("OK", "REPLAYED"):
            check_equal({client.receive().outcome for client in clients}, {expected}, "outcomes")
    witness.finish()


def send_until_stuck(connection, request):
    """Sends requests and reads no reply until the socket takes no more for half a second. Returns
    how many were sent completely, and the rest of the last one; None when it was closed."""
    data = request * 500
    sent = 0
    connection.socket.settimeout(0.5)
    while True:
        try:
            sent += connection.socket.send(data[sent % len(request) :])
        except TimeoutError:
            return sent
        except OSError:
            return None


class Crowd:
    """Connections that ask for large replies and read none of them."""

    def __init__(self, witness, count):
        self.witness = witness
        self.sockets = []
        self.request = encode_frame(GET, 5, encode_body("stock.get", [{"sku": SKU}] * 64))
        self.stream = hello_frame() + self.request * 500
        self.sent = {}
        self.ended = 0  # by the server
        for i in range(count):
            self.open()
            if i % 32 == 0:
                witness.check_alive()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for member in self.sockets:
            member.close()

    def open(self):
        member = socket.socket()
        member.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        member.connect(self.witness.server.address)
        member.setblocking(False)
        self.sockets.append(member)
        self.sent[member] = 0
        self.push(member)

    def push(self, member):
        """Continues to send where it stopped, as much as the socket takes."""
        hello = len(self.stream) - 500 * len(self.request)
        with contextlib.suppress(BlockingIOError):
            while True:
                at = self.sent[member]
                if at >= hello:
                    at = hello + (at - hello) % len(self.request)
                self.sent[member] += member.send(self.stream[at:])

    def push_all(self):
        """Opens new connections for those that the server has closed."""
        for i, member in enumerate(list(self.sockets)):
            try:
                self.push(member)
            except OSError:
                self.ended += 1
                self.close(member)
                self.open()
            if i % 32 == 0:
                self.witness.check_alive()

    def close(self, member):
        """Closes with a reset, so that no port stays occupied."""
        member.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        member.close()
        self.sockets.remove(member)
        del self.sent[member]


def never_read(run, count, options=()):
    witness = Witness(run, options)
    memory = witness.server.wait_for_memory()
    with Crowd(witness, count) as crowd:
        began = time.monotonic()
        while time.monotonic() - began < 1:
            crowd.push_all()
        grown = witness.server.memory_bytes() - memory
        print(f"   {max(crowd.sent.values()) >> 10} KiB sent at most, {crowd.ended} closed by the "
              f"server, whose memory grew by {grown >> 20} MiB")
        check(grown < MEMORY_BYTES_MAX, "what is kept for those that never read is bounded")
    witness.finish()


@test
def sixty_four_readers_that_never_read_keep_nobody_waiting(run):
    never_read(run, 64)


@test
def three_hundred_readers_that_never_read_keep_nobody_waiting(run):
    never_read(run, 300)


@test
def a_thousand_readers_that_never_read_keep_nobody_waiting(run):
    never_read(run, 1000)


@test
def readers_that_never_read_lose_when_there_is_too_little_for_all(run):
    """More connections than chunks: some must be closed."""
    never_read(run, 300, ("--output-chunks", "64"))


@test
def readers_that_never_read_and_connect_again_keep_nobody_waiting(run):
    witness = Witness(run, ("--output-chunks", "64"))
    with Crowd(witness, 300) as crowd:
        for _ in range(400):
            crowd.close(run.random.choice(crowd.sockets))
            crowd.open()
            witness.check_alive()
    witness.finish()


@test
def slow_writers_keep_nobody_waiting(run):
    """A thousand connections, more than there are receive buffers, that send their frames a few
    bytes at a time."""
    witness = Witness(run)
    frame = encode_frame(GET, 5, encode_body("stock.get", [{"sku": SKU}] * 64))
    with contextlib.ExitStack() as stack:
        writers = []
        for i in range(1100):
            writers.append(stack.enter_context(Connection(witness.server.address)))
            writers[-1].send(hello_frame() + frame[: 1 + i % (len(frame) - 1)])
            if i % 16 == 0:
                witness.check_alive()
        for turn in range(3):
            for i, writer in enumerate(writers):
                at = 1 + i % (len(frame) - 1) + turn
                writer.send(frame[at : at + 1])
                if i % 16 == 0:
                    witness.check_alive()
        for i, writer in enumerate(writers[:100]):
            writer.send(frame[1 + i % (len(frame) - 1) + 3 :])
            check_equal(decode_reply(writer.receive()).outcome, "OK", "hello")
            check_equal(len(decode_reply(writer.receive()).rows), 64, "rows")
    witness.finish()


@test
def silent_connections_do_not_take_every_place(run):
    """They never say hello, and connect again and again."""
    witness = Witness(run, ("--connections", "64"))
    silent = []
    for turn in range(600):
        silent.append(socket.create_connection(witness.server.address))
        if turn % 20 != 0:
            continue
        for _ in range(50):
            try:
                witness.check_alive()
                break
            except Closed:
                time.sleep(0.01)
        else:
            check(False, "there is no place for one that says hello")
    for member in silent:
        member.close()
    witness.server.wait_for_sockets(witness.server.open_sockets())
    witness.finish()


@test
def one_connection_s_flood_keeps_nobody_waiting(run):
    """Sends as many requests as fit the sockets, again and again, and reads the replies."""
    witness = Witness(run)
    flood = encode_frame(STATS, 5, encode_body("stats")) * 20_000
    stop = threading.Event()

    def send_and_read():
        with Connection(witness.server.address) as connection:
            connection.send(hello_frame())
            while not stop.is_set():
                connection.send(flood)
                connection.received.clear()

    sender = threading.Thread(target=send_and_read, daemon=True)
    sender.start()
    began = time.monotonic()
    while time.monotonic() - began < 2:
        witness.check_alive()
    stop.set()
    sender.join(20)
    check(not sender.is_alive(), "the flood is taken")
    witness.finish()


@test
def readers_that_never_read_stop_only_themselves(run):
    witness = Witness(run)
    rows = [{"sku": SKU}] * 64
    number = PROTOCOL.messages["stock.get"].number
    request = encode_frame(number, 5, encode_body("stock.get", rows))
    memory = witness.server.wait_for_memory()
    with contextlib.ExitStack() as stack:
        lazy = [stack.enter_context(Connection(witness.server.address)) for _ in range(8)]
        stuck = []
        for connection in lazy:
            connection.send(hello_frame())
            stuck.append(send_until_stuck(connection, request))
            check(stuck[-1] is None or stuck[-1] > 0, "something was sent")
            witness.check_alive()
        grown = witness.server.memory_bytes() - memory
        print(f"   stuck after {stuck} bytes; server memory grew by {grown >> 20} MiB")
        check(grown < 256 << 20, "what is kept for readers that never read is bounded")
        began = time.monotonic()
        while time.monotonic() - began < 2:
            witness.check_alive()
        # The first one reads after all: it gets the replies to all that it sent completely.
        if stuck[0] is not None:
            lazy[0].socket.settimeout(20)
            check_equal(decode_reply(lazy[0].receive()).outcome, "OK", "hello")
            for _ in range(stuck[0] // len(request)):
                check_equal(len(decode_reply(lazy[0].receive()).rows), 64, "rows")
        witness.check_alive()
    witness.finish()


@test
def the_silent_and_the_stuck_are_closed_in_the_end(run):
    """Connections that never say hello, and those that never read, are closed; merely idle ones
    stay."""
    witness = Witness(run)
    sockets = witness.server.open_sockets()
    number = PROTOCOL.messages["stock.get"].number
    request = encode_frame(number, 5, encode_body("stock.get", [{"sku": SKU}] * 64))
    with contextlib.ExitStack() as stack:
        idle = stack.enter_context(witness.server.client())
        for start in (b"", hello_frame()[:3], hello_frame()[:40]):
            stack.enter_context(Connection(witness.server.address)).send(start)
        lazy = stack.enter_context(witness.server.client())
        send_until_stuck(lazy, request)
        witness.server.wait_for_sockets(sockets + 1)
        check_equal(idle.call("stats").outcome, "OK", "stats on the idle connection")
    witness.finish()


harness.main()
