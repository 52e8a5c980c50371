"""A small shop on a server, and the files of its folder: what the tests of snapshots, archives and
backups have in common."""

from harness import check_equal

USD = 840

# The metrics that describe the state, as opposed to what a server has done.
COUNTS = ("skus", "stocks", "sales", "customers", "orders", "pending", "confirmed", "expired",
          "failed", "cancelled", "payments", "parked", "refund_orders", "keys", "holds_due")


def set_up(server):
    with server.client() as client:
        client.call("sku.put", key=1, sku=1, price=100, currency=USD)
        client.call("stock.adjust", key=2, sku=1, delta=10**9, warehouse=1)


def order_id(number):
    """Ids that look random, so that the log is as long as that of a real shop."""
    return (number * 0x9E3779B97F4A7C15F39CC0605CEDC835) % 2**128


def place(server, first, count):
    with server.client() as client:
        for order in range(first, first + count):
            client.queue("order.place", order=order_id(order), customer=1 + order % 100,
                         currency=USD, rows=[{"sku": 1, "quantity": 1, "price": 100}])
        client.flush()
        return [client.receive().outcome for _ in range(count)]


def place_one_by_one(server, first, count):
    """Each order in a block of its own: much log for few orders. Returns the outcomes."""
    outcomes = set()
    with server.client() as client:
        for order in range(first, first + count):
            reply = client.call("order.place", order=order_id(order), customer=1 + order % 100,
                                currency=USD, rows=[{"sku": 1, "quantity": 1, "price": 100}])
            outcomes.add(reply.outcome)
    return outcomes


def state_of(stats):
    """The part of the answer to `stats` that is the same after a restart."""
    return {name: value for name, value in stats.items() if name in ("seq", "digest", *COUNTS)}


def stats(server):
    with server.client() as client:
        return state_of(client.call("stats").body)


def snapshot(run, server):
    result = run.till("snapshot", "--connect", "%s:%d" % server.address)
    check_equal(result.returncode, 0, f"till snapshot: {result.stderr}")
    return int(result.stdout.split()[-1])


def snapshots(folder):
    """Oldest first."""
    return sorted(folder.glob("snapshot-*.till"))


def segments(folder):
    return sorted(folder.glob("wal-*.log"))


def flip(path, offset):
    data = bytearray(path.read_bytes())
    data[offset] ^= 4
    path.write_bytes(data)
