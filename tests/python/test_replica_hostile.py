"""Replication against those that break its rules: clients that claim to be replicas, and servers
that claim to be the primary. Each costs its own connection and nothing else: the server goes on, a
good replica follows it, and what a replica is sent is believed only when it is proven."""

import contextlib
import json
import struct

import harness
from cluster import Member, wait_level
from formats import BLOCK, Block, blocks
from harness import check, check_equal, in_memory, test, wait_until
from scripted_server import ScriptedServer
from shop import place, place_one_by_one, segments, set_up, snapshot, snapshots
from till_client import (HEADER, MAGIC, PROTOCOL, Closed, Connection, ServerError, decode_reply,
                         encode_body, encode_frame)
from xxh3 import xxh3_64

U32, U64 = 2**32 - 1, 2**64 - 1
EPOCH_MAX = U64 // 4  # that is ever sealed
LINKS_MAX = 16
PAGE = 4096
PIECE = 64 * 1024
JOIN, ACK = PROTOCOL.messages["replica.join"], PROTOCOL.messages["replica.ack"]
FETCH = PROTOCOL.messages["replica.fetch"]
BLOCK_FRAME = PROTOCOL.messages["replica.block"]
BEAT, PIECE_FRAME = PROTOCOL.messages["replica.beat"], PROTOCOL.messages["replica.piece"]


# Clients that claim to be replicas.


def greeted(member, **fields):
    """A connection whose hello is answered, and the shop."""
    connection = Connection(("127.0.0.1", member.port))
    connection.send(encode_frame(1, 1, encode_body("hello", magic=MAGIC, version=1, **fields)))
    return connection, decode_reply(connection.receive()).body["shop"]


def join_frame(shop, **fields):
    """A join of an empty replica with room for everything, but for these fields."""
    fields = {"shop": shop, "member": 5, "schema": U32, "version": U32, "name": "hostile",
              "rows": [{"number": number, "records": U32} for number in range(1, 30)]} | fields
    return encode_frame(JOIN.number, 2, encode_body("replica.join", **fields))


def ack_frame(**fields):
    body = ACK.request.pack({"state": "STREAMING"} | fields)
    return encode_frame(ACK.number, 0, body)


def join(server, **fields):
    """A connection that has joined, and the answer."""
    connection, shop = greeted(server)
    connection.send(join_frame(fields.pop("shop", shop), **fields))
    return connection, decode_reply(connection.receive()).body


def first_of_log(connection):
    """Waits for the first block that comes on a link, or for its end; True: it came."""
    with contextlib.suppress(Closed):
        while True:
            _, number, *_ = HEADER.unpack_from(connection.receive())
            if number == BLOCK_FRAME.number:
                return True
    return False


def wait_end(connection):
    """Reads what comes until the server closes the connection."""
    while not connection.ended:
        connection.received.clear()
        connection.read()


def check_well(member):
    check(member.server.is_alive(), f"{member.name} died: {member.said()[-500:]}")
    check_equal(member.status()["role"], "PRIMARY", f"the role of {member.name}")
    check_equal(member.stats().outcome, "OK", f"a query of {member.name}")


def raw_blocks(folder):
    """The blocks of a folder's log: (header, bytes)."""
    return [(block, path.read_bytes()[block.offset : block.offset + block.block_size])
            for path in segments(folder) for block in blocks(path)]


def finish(run, *members):
    for member in members:
        member.stop()
        run.verify(member.folder)


@test
def a_join_may_say_anything(run):
    """Also that it has a newer epoch at a place where the log was of an older one."""
    primary = Member(run, "a").start()
    set_up(primary)
    place_one_by_one(primary, 1, 20)
    result = run.till("promote", "--connect", primary.address, "--members", primary.address)
    check_equal(result.returncode, 0, result.stderr)
    place_one_by_one(primary, 101, 20)
    place_of = {block.seq_first: block.checksum for block, _ in raw_blocks(primary.folder)
                if block.command_count == 1}
    seq = primary.seq()
    own = {"seq": 10, "checksum": place_of[10], "epoch": 1}
    for answer, cases in {
        "STREAM": ({}, own, own | {"epoch": 2}, own | {"checksum": 0}, {"shop": 0, "epoch": U64},
                   {"shop": 0, "epoch": U64, "epoch_sealed": U64},
                   {"epoch": 2, "address": "\x1b[2J" * 20}),
        "REFUSED": ({"member": 0}, {"rows": []}, {"schema": 0}, {"version": 0}, {"shop": 7},
                    {"shop": 7, "epoch": U64}, {"epoch": U64}, {"epoch_sealed": U64},
                    {"epoch_sealed": EPOCH_MAX + 1}, own | {"epoch": 0}, own | {"shop": 0},
                    own | {"epoch": 2, "seq": seq + 1}, own | {"epoch": 2, "seq": U64},
                    {"rows": [{"number": U32, "records": U32}] * 64},
                    {"rows": [{"number": 1, "records": 1}] * 64}),
        "FORK": (own | {"seq": U64}, own | {"seq": seq}),
    }.items():
        for fields in cases:
            connection, reply = join(primary, **fields)
            check_equal(reply["answer"], answer, f"the answer to a join with {fields}")
            check_equal(first_of_log(connection), answer == "STREAM", f"blocks for {fields}")
            connection.close()
            check_well(primary)
    for answer, fields in (("FORK", own), ("REFUSED", own | {"epoch": 2, "seq": 30})):
        _, reply = join(primary, **fields | {"checksum": 1})
        check_equal(reply["answer"], answer, f"the answer to a place of another log, {fields}")
    replica = Member(run, "b", of=primary).start()
    wait_level(primary, replica)
    finish(run, replica, primary)


def no_acknowledgements(shop):
    ack = ack_frame()
    return {
        "more than was sent": ack_frame(seq_durable=U64),
        "more applied than was sent": ack_frame(seq_applied=U64),
        "no state": ack_frame(state=0),
        "a state of none": ack_frame(state="AWAY"),
        "a reserved byte": ack_frame(reserved=1),
        "an outcome": encode_frame(ACK.number, 0, ack[HEADER.size :], outcome=3),
        "a checksum": encode_frame(ACK.number, 0, ack[HEADER.size :], checksum=True),
        "a body cut short": encode_frame(ACK.number, 0, ack[HEADER.size : -8]),
        "a second join": join_frame(shop),
        "a query": encode_frame(PROTOCOL.messages["stats"].number, 3, encode_body("stats")),
        "a block": encode_frame(BLOCK_FRAME.number, 0, bytes(BLOCK_FRAME.request.size)),
        "an odd size": struct.pack("<IHHII", 20, ACK.number, 0, 0, 0) + bytes(4),
        "no size": bytes(64),
        "a huge size": struct.pack("<IHHII", U32, ACK.number, 0, 0, 0) + bytes(999),
    }


@test
def what_is_no_acknowledgement_ends_the_link(run):
    primary = Member(run, "a").start()
    set_up(primary)
    place(primary, 1, 50)
    _, shop = greeted(primary)
    for label, frame in no_acknowledgements(shop).items():
        connection, reply = join(primary)
        check_equal(reply["answer"], "STREAM", f"the answer before {label}")
        connection.send(frame)
        wait_end(connection)
        connection, _ = greeted(primary)
        connection.send(join_frame(shop) + frame)  # before the answer
        wait_end(connection)
        check_well(primary)
    connection, _ = join(primary, name="\x1b[2J")
    connection.send(ack_frame(state=0))
    wait_said(primary, "the replica ?[2J is closed")
    connection, _ = join(primary, member=6)
    connection.send(ack_frame(epoch_sealed=EPOCH_MAX + 1))
    connection.send(ack_frame()[:13])
    check_well(primary)
    finish(run, primary)


@test
def messages_of_links_are_refused_where_they_do_not_belong(run):
    primary = Member(run, "a").start()
    for frame, features in ((ack_frame(), 0), (join_frame(7), 4), (join_frame(7), 1)):
        connection, _ = greeted(primary, features=features)
        connection.send(frame)
        wait_end(connection)
        check_well(primary)
    for message in (BLOCK_FRAME, BEAT, PIECE_FRAME):
        connection, _ = greeted(primary)
        connection.send(encode_frame(message.number, 2, bytes(message.request.size)))
        check_equal(decode_reply(connection.receive()).outcome, "FORBIDDEN", message.name)
    finish(run, primary)


@test
def links_and_fetches_that_are_over_give_their_places_back(run):
    """Whether they were answered and stay, or join and never say anything more."""
    primary = Member(run, "a").start()
    set_up(primary)
    replica = Member(run, "b", of=primary).start()
    wait_level(primary, replica)
    replica.stop()
    seq = snapshot(run, primary.server)
    held = []
    for number in range(LINKS_MAX):
        connection, shop = greeted(primary)
        sought = shop if number % 2 == 0 else 7
        connection.send(encode_frame(FETCH.number, 2, encode_body("replica.fetch", shop=sought)))
        check_equal(decode_reply(connection.receive()).body["seq"], seq if sought == shop else 0,
                    "the snapshot there is")
        held.append(connection)
    for connection in held:
        wait_end(connection)
    held = [join(primary, member=100 + number, name="", epoch=1, seq=seq)[0]
            for number in range(LINKS_MAX)]
    connection, shop = greeted(primary)
    connection.send(join_frame(shop, name="more"))
    try:
        decode_reply(connection.receive())
        raise AssertionError("there are more links than there may be")
    except ServerError as error:
        check(str(LINKS_MAX) in str(error), f"it says {error}")
    check_equal(len(primary.status()["replicas"]), LINKS_MAX, "links")
    replica.start()
    wait_level(primary, replica)
    for connection in held:
        wait_end(connection)
    finish(run, replica, primary)


@test
@in_memory
def a_fetch_may_ask_for_anything(run):
    primary = Member(run, "a").start()
    set_up(primary)
    place(primary, 1, 2000)
    seq = snapshot(run, primary.server)
    size = snapshots(primary.folder)[0].stat().st_size
    checksum = struct.unpack_from("<Q", snapshots(primary.folder)[0].read_bytes(), 8)[0]
    _, shop = greeted(primary)
    part = {"shop": shop, "seq": seq, "checksum": checksum}
    for expected, cases in {
        (seq, 0): ({"shop": shop}, {"shop": shop, "seq": 99}, {"shop": shop, "seq": U64},
                   part | {"offset": 1}, part | {"offset": PAGE + 8}, part | {"offset": U64},
                   part | {"offset": 2**63}, part | {"offset": size + PAGE},
                   part | {"offset": PAGE, "checksum": 1}, {"shop": shop, "offset": PAGE}),
        (seq, PAGE): (part | {"offset": PAGE},),
        (seq, size): (part | {"offset": size},),
        (0, 0): ({"shop": 0}, {"shop": 7}, part | {"shop": 7}),
    }.items():
        for fields in cases:
            connection, _ = greeted(primary)
            connection.send(encode_frame(FETCH.number, 2, encode_body("replica.fetch", **fields)))
            reply = decode_reply(connection.receive()).body
            check_equal((reply["seq"], reply["offset"]), expected, f"the answer to {fields}")
            connection.close()
            check_well(primary)
    finish(run, primary)


@test
def epochs_of_others_and_beyond_all_bounds_stop_nobody(run):
    primary = Member(run, "a").start()
    set_up(primary)
    _, shop = greeted(primary)
    for fields in ({"shop": 7, "epoch": 9}, {"shop": 0, "epoch": 9}, {"shop": shop, "epoch": U64},
                   {"shop": shop, "epoch": EPOCH_MAX + 1}, {"shop": shop, "epoch": 1}):
        greeted(primary, **fields)[0].close()
        check_equal(primary.status()["state"], "SERVING", f"the state after a hello with {fields}")
    with primary.client(operator=True) as client:
        for name, fields, outcome in (
                ("member.seal", {"shop": shop, "epoch": U64}, "INVALID"),
                ("member.seal", {"shop": shop, "epoch": EPOCH_MAX + 1}, "INVALID"),
                ("member.seal", {"shop": 7, "epoch": 9}, "NOT_FOUND"),
                ("member.seal", {"shop": shop, "epoch": 1}, "STALE_VERSION"),
                ("member.promote", {"shop": shop, "epoch": U64}, "STALE_VERSION"),
                ("member.promote", {"shop": 7, "epoch": 1}, "NOT_FOUND"),
                ("member.follow", {"primary": "nowhere"}, "INVALID"),
                ("member.follow", {"primary": b"\xff" * 96}, "INVALID")):
            check_equal(client.call(name, **fields).outcome, outcome, f"{name} {fields}")
    check_well(primary)
    check_equal(place(primary, 1, 3), ["OK"] * 3, "orders")
    finish(run, primary)


# Servers that claim to be the primary.


class Pretender(ScriptedServer):
    """A server that says that it is the primary of a shop."""

    def __init__(self, shop):
        super().__init__()
        self.shop = shop

    def meet(self, **fields):
        """The next request of a replica, which connects and says hello before it."""
        self.accept(**{"shop": self.shop, "epoch": 1, "role": "PRIMARY"} | fields)
        return self.request()

    def joined(self, answer="STREAM", **fields):
        request = self.meet()
        check_equal(request.name, "replica.join", "the request")
        self.answer(request, **{"answer": answer, "shop": self.shop, "epoch": 1} | fields)
        return request

    def request_end(self):
        """Reads until the replica closes the connection: None then, as its requests are acks."""
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            while self.connection.recv(65536):
                pass
        self.received = b""

    def send(self, data):
        with contextlib.suppress(OSError):  # it may have closed the connection
            self.connection.sendall(data)

    def send_block(self, image, size=None):
        body = BLOCK_FRAME.request.pack({"size": len(image) if size is None else size})
        self.send(encode_frame(BLOCK_FRAME.number, 0, body) + image)

    def send_beat(self, **fields):
        body = BEAT.request.pack({"epoch": 1, "members": 2} | fields)
        self.send(encode_frame(BEAT.number, 0, body))

    def send_piece(self, offset, data, size=None):
        body = PIECE_FRAME.request.pack({"offset": offset,
                                         "size": len(data) if size is None else size})
        self.send(encode_frame(PIECE_FRAME.number, 0, body) + data)

    def fetched(self, **fields):
        """Sends the replica for a snapshot, and answers its fetch."""
        self.joined("SNAPSHOT", snapshot_seq=fields["seq"])
        request = self.meet()
        check_equal(request.name, "replica.fetch", "the request")
        self.answer(request, **fields)


def real_log(run, count):
    """The shop and the blocks of a real server, which is stopped then; all of one command."""
    primary = Member(run, "a", "--no-snapshots").start()
    set_up(primary)
    place_one_by_one(primary, 1, count)
    _, shop = greeted(primary)
    primary.stop()
    return shop, [(block, image) for block, image in raw_blocks(primary.folder)
                  if block.command_count > 0]


def forged(image, data=None, **fields):
    """The block with other fields and another payload, and the checksum that makes it whole."""
    header = Block(*BLOCK.unpack_from(image), 0)._replace(**fields)
    image = bytearray(BLOCK.pack(*header[:-1]) + (data or image[BLOCK.size :]))
    struct.pack_into("<Q", image, 8, xxh3_64(bytes(image[16:])))
    return bytes(image)


def chained(log):
    """The blocks without the seals that stood between them, each chained to the one before."""
    previous = 0
    for _, image in log:
        image = forged(image, previous=previous)
        previous = Block(*BLOCK.unpack_from(image), 0).checksum
        yield image


def check_shows(replica, seq, role="REPLICA"):
    check(replica.server.is_alive(), f"the replica died: {replica.said()[-500:]}")
    status = replica.status()
    check_equal((status["role"], status["seq"]), (role, seq), "what the replica shows")


def wait_said(replica, text, count=1):
    wait_until(lambda: replica.said().count(text) >= count,
               lambda: f"{text!r} in {replica.said()[-500:]}")


@test
def a_block_that_is_not_the_next_one_is_not_taken(run):
    shop, log = real_log(run, 8)
    images = list(chained(log))
    image = images[3]
    block = Block(*BLOCK.unpack_from(image), 0)
    flipped = bytearray(image)
    flipped[200] ^= 1
    wrong = {
        "is damaged": (bytes(flipped), forged(image, version=9), forged(image, schema=0),
                       forged(image, time_us=U64), forged(image, command_count=0),
                       forged(image, seq_durable=block.seq_first), forged(image, seq_first=U64),
                       forged(image, fields_stored=block.fields_size + 1),
                       forged(image, image[BLOCK.size : -1] + b"x")),
        "by a newer till": (forged(image, schema=9),),
        "does not continue": (forged(image, seq_first=block.seq_first + 1), images[2], images[4],
                              forged(image, previous=1), forged(image, epoch=0)),
    }
    with Pretender(shop) as primary:
        replica = Member(run, "b", of=primary).start()
        primary.joined()
        for good in images[:3]:
            primary.send_block(good)
        wait_until(lambda: replica.seq() == 3, "the first blocks")
        for text, bad in wrong.items():
            for image in bad:
                primary.send_block(image)
                primary.send_beat(seq=99)
                check_equal(primary.request_end(), None, "the end of the link")
                check_equal(primary.joined().body["seq"], 3, "the seq that it joins with")
                primary.send_beat(seq=3)
                wait_said(replica, text)
                check_shows(replica, 3)
        for size in (0, 1, PAGE - 1, PAGE + 1, 2**30, U32):
            primary.send_block(bytes(PAGE), size=size)
            wait_said(replica, f"a block of {size} bytes")
            primary.joined()
            primary.send_beat(seq=3)
        for good in images[3:]:
            primary.send_block(good)
        wait_until(lambda: replica.seq() == len(images), "all blocks")
    finish(run, replica)


@test
def a_block_that_is_decided_otherwise_here_stops_the_replica_until_a_restart(run):
    shop, log = real_log(run, 5)
    images = list(chained(log))
    block = Block(*BLOCK.unpack_from(images[3]), 0)
    end = BLOCK.size + block.ids_stored + block.fields_stored
    for bad in (forged(images[3], digest=block.digest ^ 1), forged(images[3], time_us=0),
                forged(images[3], command_count=2), forged(images[3], command_count=U32),
                forged(images[3], b"\xff" * (end - BLOCK.size) + bytes(PAGE - end))):
        with Pretender(shop) as primary:
            replica = Member(run, "b", of=primary).start()
            primary.joined()
            for image in (*images[:3], bad):
                primary.send_block(image)
            wait_until(lambda: replica.status()["state"] == "DIVERGED", "the replica to stop")
            check_equal(replica.stats().outcome, "REPLICA_BEHIND", "a query of it")
            kept, = replica.folder.glob("rejected-*.till")
            check_equal(kept.read_bytes(), bad, "the block that is kept")
            result = run.till("snapshot", "--connect", replica.address)
            check_equal(result.returncode, 1, "the result of a snapshot of it")
            replica.stop()
            replica.start()
            check_equal(primary.joined().body["seq"], 3, "the seq that it joins with")
            for image in images[3:]:
                primary.send_block(image)
            wait_until(lambda: replica.status()["seq"] == len(images), "the right blocks")
        finish(run, replica)


@test
def an_answer_that_makes_no_sense_is_not_followed(run):
    shop, log = real_log(run, 5)
    images = list(chained(log))
    with Pretender(shop) as primary:
        replica = Member(run, "b", of=primary).start()
        primary.joined()
        for image in images:
            primary.send_block(image)
        primary.send_beat()
        wait_until(lambda: replica.seq() == len(images), "the blocks")
        for text, fields in {
            "it answered 0 to": {"answer": 0},
            "it answered 9 to": {"answer": 9},
            "is of shop": {"shop": shop ^ 1},
            "it is of epoch 0": {"epoch": 0},
            f"seq {U64} of epoch 1, where nothing": {"answer": "FORK", "fork_epoch": 1,
                                                      "fork_seq": U64},
            "no, ?[2J thanks": {"answer": "REFUSED", "reason": b"no, \x1b[2J thanks"},
        }.items():
            primary.close_connection()
            primary.joined(**fields)
            wait_said(replica, text)
            check_shows(replica, len(images))
        primary.answer(primary.meet(), outcome="NOT_PRIMARY")
        wait_said(replica, "it answered NOT_PRIMARY")
        for data in (struct.pack("<IHHII", U32, BEAT.number, 0, 0, 0), b"HTTP/1.1 400 Bad\r\n" * 9):
            primary.joined()
            primary.send(data)
            check_equal(primary.request_end(), None, "the end of the link")
        primary.joined()
        for number in range(5000):
            primary.send_beat(seq=number, age=U64 * (number % 2), acks=U32, members=U32,
                              primary=b"\x1b[2J" * 24)
        wait_until(lambda: replica.status()["primary"].startswith("?[2J"), "the beats")
        check_shows(replica, len(images))
        check("\x1b" not in replica.said(), "what the other side says is printed as it is")
    finish(run, replica)


@test
def forks_in_a_row_set_everything_aside_and_end(run):
    shop, log = real_log(run, 4)
    images = list(chained(log))
    with Pretender(shop) as primary:
        replica = Member(run, "b", "--no-snapshots", of=primary).start()
        primary.joined()
        for image in images:
            primary.send_block(image)
        wait_until(lambda: replica.seq() == len(images), "the blocks")
        for seq in range(len(images), 0, -1):
            request = primary.joined("FORK", epoch=2, fork_epoch=1, fork_seq=seq - 1)
            check_equal(request.body["seq"], seq, "the seq that it joins with")
        check_equal(primary.joined("FORK", epoch=2).body["seq"], 0, "the seq in the end")
        wait_said(replica, "where nothing is to be given up")
        check_shows(replica, 0)
        tails = sorted(int(path.stem.split("-")[-1]) for path in
                       replica.folder.glob("diverged-00*.till"))
        check_equal(tails, list(range(2, len(images) + 1)), "the blocks that were set aside")
    finish(run, replica)


@test
@in_memory
def a_snapshot_that_comes_damaged_is_told_and_fetched_again(run):
    source = Member(run, "a").start()
    set_up(source)
    place(source, 1, 2000)
    seq = snapshot(run, source.server)
    _, shop = greeted(source)
    source.stop()
    image = snapshots(source.folder)[0].read_bytes()
    checksum = struct.unpack_from("<Q", image, 8)[0]
    flipped = bytearray(image)
    flipped[len(image) // 2] ^= 1
    whole = {"seq": seq, "size": len(image), "checksum": checksum}
    with Pretender(shop) as primary:
        replica = Member(run, "b", of=primary).start()
        for text, data, fields in (
                ("is damaged", bytes(flipped), whole),
                ("not that of its seq", image, whole | {"seq": seq + 9}),
                (f"to send a snapshot of {U64} bytes", b"", whole | {"size": U64}),
                (f"from offset {PAGE}", b"", whole | {"offset": PAGE})):
            request = primary.meet()
            while request.name == "replica.join":
                primary.answer(request, answer="SNAPSHOT", shop=shop, epoch=1, snapshot_seq=seq)
                request = primary.meet()
            primary.answer(request, **fields)
            for offset in range(0, len(data), PIECE):
                primary.send_piece(offset, data[offset : offset + PIECE])
            wait_said(replica, text)
            check_equal(snapshots(replica.folder), [], f"snapshots when {text!r}")
            check_shows(replica, 0)
        primary.answer(primary.meet(), **whole)
        primary.send_piece(0, bytes(PAGE), size=2**20)
        wait_said(replica, f"a piece of {2**20} bytes at offset 0")
        primary.answer(primary.meet(), **whole)
        for offset in range(0, len(image), PIECE):
            primary.send_piece(offset, image[offset : offset + PIECE])
        check_equal(primary.joined().body["seq"], seq, "the seq that it joins with")
        check_shows(replica, seq)
    finish(run, replica)


# Operators.


def has_state(member, state):
    """Not while it begins anew in place, as a former primary does before it follows."""
    result = member.run.till("replicas", "--connect", member.address, "--json")
    return result.returncode == 0 and json.loads(result.stdout)["state"] == state


@test
def members_that_follow_in_a_circle_are_led_out_of_it(run):
    first = Member(run, "a").start()
    set_up(first)
    place(first, 1, 20)
    second = Member(run, "b", of=first).start()
    third = Member(run, "c", of=second).start()
    members = (first, second, third)
    wait_level(first, second)
    wait_level(second, third)
    for upstream in (second.address, second.address.replace("127.0.0.1", "localhost")):
        with second.client(operator=True) as client:
            client.call("member.follow", primary=upstream)
    wait_said(second, "you cannot follow yourself")
    for member, upstream in ((first, third), (second, first)):
        result = run.till("follow", upstream.address, "--connect", member.address)
        check_equal(result.returncode, 0, result.stderr)
    # The third began empty, and followed no primary: nobody knows whether it has all.
    for member, state in zip(members, ("STREAMING", "STREAMING", "SYNCING")):
        wait_until(lambda member=member, state=state: has_state(member, state), "the circle")
    check_equal(place(first, 21, 1), ["NOT_PRIMARY"], "an order in a circle")
    promote = ("promote", "--connect", third.address, "--members",
               ",".join(member.address for member in members))
    result = run.till(*promote)
    check_equal(result.returncode, 1, "without force: " + result.stdout)
    check(f"missing: {third.address}" in result.stderr, result.stderr)
    result = run.till(*promote, "--force")
    check_equal(result.returncode, 0, result.stderr)
    wait_level(third, first, second)
    check_equal(place(third, 1, 21), ["REPLAYED"] * 20 + ["OK"], "orders of the new primary")
    wait_level(third, first, second)
    finish(run, first, second, third)


if __name__ == "__main__":
    harness.main()
