"""Ten thousand connections at once. All of them are idle except for one request each; the server's
memory stays bounded, and when they close, everything they took is freed."""

import time

import harness
from harness import check, check_equal, test
from till_client import Closed

harness.LAZY_MEMORY = False

COUNT = 10_000
FILES_BESIDE = 256  # that the test and the server have open besides
SOURCES = 20  # addresses 127.0.0.2 and on, so that ports are no limit
WAIT_SECONDS_MAX = 30

# What connections may take in the server, whatever they do: the pieces of 32 KiB for replies and
# the receive buffers of 16 KiB that all share, and what a connection has to itself: a page for the
# request that it has sent in parts, or while a turn was full. Then the orders, one each in two
# turns, since the memory of the tables is taken as they fill. An idle connection holds no piece and
# no buffer.
OUTPUT_CHUNKS = 1024
ORDER_BYTES = 256
MEMORY_BYTES_MAX = (OUTPUT_CHUNKS * 32 * 1024 + 1024 * 16 * 1024 + COUNT * 4 * 1024 +
                    2 * COUNT * ORDER_BYTES)


def place(order):
    return {"order": order, "customer": 1 + order % 1000, "currency": 840,
            "rows": [{"sku": 1, "quantity": 1, "price": 100}]}


def open_all(server, count):
    return [server.client(source=f"127.0.0.{2 + i % SOURCES}", timeout=WAIT_SECONDS_MAX)
            for i in range(count)]


def ask_all(clients, name, fields_of):
    """Sends one request on every connection before it reads the first reply."""
    for i, client in enumerate(clients):
        client.queue(name, **fields_of(i))
        client.flush()
    return [client.receive() for client in clients]


@test
def ten_thousand_connections_are_served(run):
    harness.allow_files(COUNT + FILES_BESIDE)
    server = run.serve(options=("--output-chunks", str(OUTPUT_CHUNKS)))
    sockets = server.open_sockets()
    with server.client() as shop:
        shop.call("sku.put", key=1, sku=1, price=100, currency=840)
        shop.call("stock.adjust", key=2, sku=1, delta=10**9, warehouse=1)
    memory = server.wait_for_memory()
    for turn in range(2):
        clients = open_all(server, COUNT)
        replies = ask_all(clients, "order.place", lambda i: place(1 + turn * COUNT + i))
        check_equal({reply.outcome for reply in replies}, {"OK"}, "outcomes")
        check_equal(len({reply.body["seq"] for reply in replies}), COUNT, "distinct seq")
        # Ids prove that no connection got another one's reply.
        replies = ask_all(clients, "order.get", lambda i: {"order": 1 + turn * COUNT + i})
        check_equal([reply.body["customer"] for reply in replies],
                    [1 + (1 + turn * COUNT + i) % 1000 for i in range(COUNT)], "customers")
        grown = server.memory_bytes() - memory
        print(f"   {COUNT} connections with an order each: {grown // COUNT} bytes each")
        check(grown < MEMORY_BYTES_MAX, f"memory grew by {grown} bytes")
        for client in clients:
            client.close()
        server.wait_for_sockets(sockets)
    with server.client() as client:
        check_equal(client.call("stats").body["orders"], 2 * COUNT, "orders")
    run.finish(server)


@test
def connections_beyond_the_limit_are_closed(run):
    limit = 8
    server = run.serve(options=("--connections", str(limit)))
    clients = open_all(server, limit)
    try:
        server.client()
        check(False, "there is one connection more than allowed")
    except Closed:
        pass
    replies = ask_all(clients, "stats", lambda i: {})
    check_equal({reply.outcome for reply in replies}, {"OK"}, "outcomes of the others")
    clients.pop().close()
    deadline = time.monotonic() + WAIT_SECONDS_MAX
    while len(clients) < limit:
        check(time.monotonic() < deadline, "the place that became free can be taken")
        try:
            clients.append(server.client())
        except Closed:
            time.sleep(0.01)
    for client in clients:
        client.close()
    run.finish(server)


harness.main()
