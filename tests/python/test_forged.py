"""Snapshots with right checksums and wrong records: every command that reads them names the record,
or uses the snapshot before; none crashes."""

import struct

import formats
import harness
from harness import check, check_equal, test
from shop import place, segments, set_up, snapshot, snapshots, stats
from xxh3 import xxh3_64

HEADER_SIZE = formats.IMAGE_HEADER_SIZE
ALIGN = 4096
CHUNK = struct.Struct("<QQIIIIII")
END = 2**32 - 1
RANDOM_FORGERIES = 30


def mix64(a, b):
    product = (a ^ 0x9E3779B97F4A7C15) * (b ^ 0xE7037ED1A0B428DB)
    return (product ^ product >> 64) & 2**64 - 1


def lz4_unpack(data, size):
    """The LZ4 block format: literals and matches in turn."""
    out, at = bytearray(), 0

    def length(nibble):
        nonlocal at
        total, byte = nibble, 255
        while nibble == 15 and byte == 255:
            byte = data[at]
            at += 1
            total += byte
        return total

    while at < len(data):
        token = data[at]
        at += 1
        literals = length(token >> 4)
        out += data[at:at + literals]
        at += literals
        if at >= len(data):
            break
        start = len(out) - (data[at] | data[at + 1] << 8)
        at += 2
        for i in range(start, start + length(token & 15) + 4):
            out.append(out[i])
    check_equal(len(out), size, "bytes of a chunk")
    return out


class Image:
    """A snapshot's records, which may be changed and written again with right checksums."""

    def __init__(self, path):
        data = path.read_bytes()
        self.header = bytearray(data[:HEADER_SIZE])
        self.tables = [row[:2] for row in formats.image_rows(data)]  # (name, record size)
        self.numbers = {name: number for number, name in formats.table_names().items()}
        self.chunks = []  # [table, first, count, records]
        at = HEADER_SIZE
        while True:
            _, _, _, table, first, count, raw, stored = CHUNK.unpack_from(data, at)
            at += CHUNK.size
            if table == END:
                self.sum = struct.unpack_from("<Q", data, at)[0]  # of the state
                break
            records = data[at:at + stored]
            if stored != raw:
                records = lz4_unpack(records, raw)
            self.chunks.append([table, first, count, bytearray(records)])
            at += (stored + 7) // 8 * 8

    def places(self, name):
        """Every record of a table: (its number, the chunk's bytes, its offset in them)."""
        for table, first, count, records in self.chunks:
            if self.tables[table][0] == name:
                size = self.tables[table][1]
                for i in range(count):
                    yield first + i, records, i * size

    def record_sum(self, name, number, record):
        """What a record adds to the checksum of the state: in the ring, which has not wrapped
        around yet, the place of slot 1 is 0."""
        if not any(record):
            return 0
        place = number - 1 if name == "keys" else number
        return xxh3_64(bytes(record), mix64(self.numbers[name], place))

    def flip(self, name, place, bit):
        """Flips a bit of a record that `places` gave, and corrects the checksum of the state."""
        number, records, at = place
        size = dict(self.tables)[name]
        before = self.record_sum(name, number, records[at:at + size])
        records[at + bit // 8] ^= 1 << bit % 8
        self.sum += self.record_sum(name, number, records[at:at + size]) - before

    def put(self, name, record, offset, code, value, keeps_sum=False):
        """Sets a field of a record, and corrects the checksum of the state, unless that is to be
        kept."""
        size = dict(self.tables)[name]
        for number, records, at in self.places(name):
            if number != record:
                continue
            before = self.record_sum(name, number, records[at:at + size])
            struct.pack_into("<" + code, records, at + offset, value)
            if not keeps_sum:
                self.sum += self.record_sum(name, number, records[at:at + size]) - before
            return
        raise AssertionError(f"no record {record} of {name}")

    def write(self, path):
        """Chunks are stored as they are, which the format allows."""
        struct.pack_into("<Q", self.header, 8, xxh3_64(bytes(self.header[16:])))
        out = bytearray(self.header)
        previous = struct.unpack_from("<Q", self.header, 8)[0]
        end = [END, 0, len(self.chunks), struct.pack("<Q", self.sum % 2**64)]
        for number, (table, first, count, records) in enumerate([*self.chunks, end], 1):
            size = len(records)
            body = CHUNK.pack(0, previous, number, table, first, count, size, size) + records
            body += bytes(-len(body) % 8)
            previous = xxh3_64(bytes(body[8:]))
            out += struct.pack("<Q", previous) + body[8:]
        path.write_bytes(out + bytes(-len(out) % ALIGN))


def set_up_orders(server):
    """Orders of every kind: with points, of several lines, paid, cancelled, in a sale, shipped and
    refunded, one that earns points; a zone."""
    set_up(server)
    with server.client() as client:
        client.call("zone.put", key=9, zone=1, rows=[{"warehouse": 1, "cost": 5}])
        line = {"sku": 1, "quantity": 1, "price": 100}
        client.call("sale.put", key=10, sale=1, customer_sku_max=100, rate_points=1, rate_money=1,
                    points_share=10000, rows=[{"sku": 1, "quantity": 1000, "warehouse": 1}])
        client.call("sale.open", key=11, sale=1)
        client.call("points.credit", key=12, customer=7, points=1000, expires=2**60)
        for order in range(1, 9):
            client.call("order.place", order=order, customer=7, sale=order % 2, points=10,
                        rows=[line] * (1 + order % 3))
        client.call("payment.event", event=1, order=1, amount=180, provider=1, status=1,
                    currency=840)
        for order in (3, 4):
            client.call("hold.extend", key=20 + order, order=order, hold=1000)
            client.call("hold.extend", key=30 + order, order=order, hold=2000)
        client.call("order.cancel", key=40, order=3)
        client.call("points.terms", key=50, earn_points=1, earn_money=10, return_window=1000)
        client.call("order.place", order=9, customer=7, flags=2, rows=[line, line])
        client.call("order.ship", key=41, order=9, tracking="T1",
                    rows=[{"line": 1, "quantity": 1}])
        client.call("refund.begin", refund=1, order=9, kind="LINES",
                    rows=[{"line": 2, "quantity": 1}])
        client.call("payment.event", event=2, order=2, amount=1, provider=1, status="FAILURE",
                    currency=840, opaque_count=1, opaque_size=3, rows=[{"bytes": 0x636261}])


def folder_with_two(run):
    """A dead server's folder: orders, a snapshot, more, a snapshot."""
    server = run.serve()
    set_up_orders(server)
    snapshot(run, server)
    place(server, 1, 20)
    snapshot(run, server)
    before = stats(server)
    server.kill()
    return server.folder, before


# A table, a record of it, the offset of one of its fields, and the forged value.
FORGERIES = [
    ("orders", 1, 56, "I", 2**32 - 1),   # its customer
    ("orders", 1, 60, "I", 77),          # its sale
    ("orders", 1, 64, "I", 2**31),       # its money
    ("orders", 9, 104, "I", 2**32 - 1),  # the stock of the piece inside of it
    ("orders", 9, 108, "I", 0),          # the piece's quantity, which divides the total
    ("orders", 4, 104, "I", 2**32 - 1),  # the first of its lines in the arena
    ("orders", 4, 85, "B", 255),         # how many pieces it has
    ("stocks", 1, 48, "I", 2**32 - 1),   # its SKU
    ("stocks", 1, 60, "I", 2**31),       # the newest piece that was taken from it
    ("customers", 1, 0, "q", -9222744073709551616),  # its points, as a sum that has overflowed
    ("customers", 1, 24, "I", 2**30),    # the first of its lots
    ("lots", 1, 24, "I", 2**32 - 1),     # its customer
    ("ledger", 1, 28, "I", 2**32 - 1),   # its lot
    ("moneys", 1, 40, "I", 2**32 - 1),   # the first of the points taken
    ("steps", 1, 16, "I", 1),            # the step before it: itself
    ("pools", 1, 20, "I", 2**32 - 1),    # its stock
    ("stocks", 1, 52, "I", 77),          # its warehouse, of which there is no record
    ("warehouses", 1, 4, "B", 0),        # its state
    ("zones", 1, 388, "I", 33),          # how many warehouses it has
]


@test
def forged_record_is_named_and_the_snapshot_before_is_used(run):
    folder, before = folder_with_two(run)
    newer = snapshots(folder)[1]
    original = newer.read_bytes()
    for table, record, offset, code, value in FORGERIES:
        what = f"record {record} of {table}, byte {offset} = {value}"
        newer.write_bytes(original)
        image = Image(newer)
        image.put(table, record, offset, code, value)
        image.write(newer)
        result = run.till("verify", folder)
        check_equal(result.returncode, 1, f"{what}: the exit code of verify, {result.stderr}")
        named = newer.name in result.stderr and "forged or damaged" in result.stderr
        check(named and "record " in result.stderr, f"{what}: {result.stderr}")
    server = run.serve(folder)
    check("forged or damaged" in server.errors(), f"the server names it: {server.errors()}")
    check_equal(stats(server), before, "stats")
    check(not newer.exists(), "the forged one is out of the way")
    run.finish(server)


@test
def invariants_hold_behind_each_snapshot(run):
    """A possible number that is not the sum of the payments: the log alone does not show it."""
    folder, _ = folder_with_two(run)
    newer = snapshots(folder)[1]
    image = Image(newer)
    image.put("moneys", 1, 16, "q", 1)  # captured
    image.write(newer)
    result = run.till("verify", folder)
    check_equal(result.returncode, 1, f"the exit code of verify, {result.stderr}")
    told = (newer.name, "record 1 of table moneys (order 1)", "invariant 7.1, money_captured",
            "1 captured, its payments make 0")
    check(all(text in result.stderr for text in told), result.stderr)


@test
def invariants_hold_in_what_a_snapshot_shows(run):
    """It is found in the loaded state, even where the log after it would correct it."""
    server = run.serve()
    set_up_orders(server)
    snapshot(run, server)
    with server.client() as client:
        client.call("order.cancel", key=50, order=5)
    server.kill()
    older = snapshots(server.folder)[0]
    image = Image(older)
    image.put("orders", 5, 32, "Q", 0)  # its deadline
    image.write(older)
    result = run.till("verify", server.folder)
    check_equal(result.returncode, 1, f"the exit code of verify, {result.stderr}")
    told = (older.name, "record 5 of table orders (order 5)", "invariant 9.3, hold_deadline")
    check(all(text in result.stderr for text in told), result.stderr)


@test
def what_no_invariant_forbids_is_told_by_the_checksum_of_the_state(run):
    """A possible price: detected by the checksum, or, where that was forged too, by the log."""
    folder, before = folder_with_two(run)
    newer = snapshots(folder)[1]
    original = newer.read_bytes()
    for keeps_sum in (True, False):
        newer.write_bytes(original)
        image = Image(newer)
        image.put("skus", 1, 8, "q", 101, keeps_sum)
        image.write(newer)
        result = run.till("verify", folder)
        told = ((newer.name, "not the one that it was written of") if keeps_sum
                else (f"{newer.name} shows a state of checksum",))
        check(all(text in result.stderr for text in told), f"it is told: {result.stderr}")
        check_equal(result.returncode, 1, "the exit code of verify")


@test
def what_the_log_has_changed_since_is_told_of_a_snapshot(run):
    """A price that the log changes after the snapshot: the states at the end are the same."""
    server = run.serve()
    set_up_orders(server)
    snapshot(run, server)
    with server.client() as client:
        client.call("sku.put", sku=1, price=100, currency=840)
    server.kill()
    older = snapshots(server.folder)[0]
    run.verify(server.folder)
    image = Image(older)
    image.put("skus", 1, 8, "q", 101)  # its price
    image.write(older)
    result = run.till("verify", server.folder)
    check_equal(result.returncode, 1, f"the exit code of verify, {result.stderr}")
    told = f"{older.name} shows a state of checksum"
    check(told in result.stderr, result.stderr)


def check_told(run, folder, image, newer, what):
    image.write(newer)
    result = run.till("verify", folder)
    check_equal(result.returncode, 1, f"{what}: the exit code of verify, {result.stderr}")
    check(newer.name in result.stderr, f"{what}: {result.stderr}")


def live_places(image, name, size):
    """The records of a table that are part of the state; what an emptied bucket still contains is
    not."""
    for number, records, at in image.places(name):
        if name == "deadline_buckets" and not any(records[at + 8:at + 12]):
            continue
        if any(records[at:at + size]):
            yield number, records, at


def filled_tables(image):
    """Those that a shop with one server fills, with the sizes of their records: a promotion alone
    begins an epoch."""
    return [(name, size) for name, size in image.tables if name != "epochs"]


@test
def field_of_any_record_is_told_though_every_checksum_follows(run):
    """As if the loader, or the server that wrote the snapshot, had spoiled it: some field of each
    table. That the checksum of the state covers every field is tested in tests/model."""
    folder, _ = folder_with_two(run)
    newer = snapshots(folder)[1]
    image = Image(newer)
    fields = list(formats.image_fields(newer.read_bytes()))
    for name, record_size in filled_tables(image):
        _, number, offset, size = run.random.choice([row for row in fields if row[0] == name])
        place = run.random.choice(list(live_places(image, name, record_size)))
        bit = 8 * offset + run.random.randrange(8 * size)
        image.flip(name, place, bit)
        image.write(newer)
        image.flip(name, place, bit)
        what = f"bit {bit} of record {place[0]} of {name}, in field {number}"
        result = run.till("verify", folder)
        check_equal(result.returncode, 1, f"{what}: the exit code of verify, {result.stderr}")
        check(result.stderr and "not the one that it was written of" not in result.stderr,
              f"{what}: the checksum of the state follows: {result.stderr}")


@test
def record_of_any_table_is_told_when_a_bit_of_it_differs(run):
    folder, _ = folder_with_two(run)
    newer = snapshots(folder)[1]
    original = newer.read_bytes()
    for name, size in filled_tables(Image(newer)):
        newer.write_bytes(original)
        image = Image(newer)
        places = list(live_places(image, name, size))
        check(places, f"the shop has {name}")
        number, records, at = run.random.choice(places)
        bit = run.random.randrange(8 * size)
        records[at + bit // 8] ^= 1 << bit % 8
        check_told(run, folder, image, newer, f"bit {bit} of record {number} of {name}")


@test
def number_beside_the_records_is_told_when_a_bit_of_it_differs(run):
    folder, _ = folder_with_two(run)
    newer = snapshots(folder)[1]
    original = newer.read_bytes()
    for i in range(formats.image_scalar_count(original)):
        if formats.image_scalar_number(original, i) >= formats.IMAGE_FOLDER_NUMBERS:
            continue  # of the folder, and not of the state: test_folders changes it
        newer.write_bytes(original)
        image = Image(newer)
        bit = run.random.randrange(64)
        at = formats.IMAGE_FIXED_SIZE + formats.IMAGE_SCALAR_SIZE * i + 8
        image.header[at + bit // 8] ^= 1 << bit % 8
        check_told(run, folder, image, newer, f"bit {bit} of number {i}")


@test
def what_was_not_forged_is_believed(run):
    folder, before = folder_with_two(run)
    for path in snapshots(folder):
        Image(path).write(path)
    run.verify(folder)
    server = run.serve(folder)
    check_equal(stats(server), before, "stats")
    run.finish(server)


def folder_with_one_alone(run):
    """A snapshot, without a log: its state is what verify checks."""
    folder, _ = folder_with_two(run)
    for path in [*segments(folder), snapshots(folder)[0]]:
        path.unlink()
    return folder, snapshots(folder)[0]


@test
def forged_snapshot_without_a_log_starts_nothing(run):
    folder, newer = folder_with_one_alone(run)
    image = Image(newer)
    image.put("orders", 1, 56, "I", 2**32 - 1)
    image.write(newer)
    for command in (["verify", folder], ["serve", "--data", folder, "--listen", "127.0.0.1:0"]):
        result = run.till(*command)
        check_equal(result.returncode, 1, f"{command[0]}: the exit code, {result.stderr}")
        check("record 1 of table orders" in result.stderr, f"{command[0]}: {result.stderr}")


@test
def nothing_that_is_forged_crashes_verify(run):
    folder, newer = folder_with_one_alone(run)
    original = newer.read_bytes()
    for _ in range(RANDOM_FORGERIES):
        newer.write_bytes(original)
        image = Image(newer)
        wrong = []
        for _ in range(run.random.randint(1, 3)):
            table, first, _, records = run.random.choice(image.chunks)
            at = run.random.randrange(len(records) // 4) * 4
            value = run.random.choice((0, 1, 2**31, 2**32 - 1, run.random.getrandbits(32)))
            struct.pack_into("<I", records, at, value)
            wrong.append((image.tables[table][0], first, at, value))
        image.write(newer)
        result = run.till("verify", folder)
        check(result.returncode in (0, 1), f"{wrong}: verify ends with {result.returncode}")
        check(result.returncode == 0 or result.stderr, f"{wrong}: verify says nothing")


harness.main()
