"""Starting and stopping: what SIGTERM leaves behind, and the message that a second server gets."""

import signal
import socket
import threading
import time

import harness
from harness import check, check_equal, test
from shop import state_of
from till_client import Closed, Connection

harness.LAZY_MEMORY = False

USD = 840
CONNECTIONS = 4
WINDOW = 256


def set_up(server):
    with server.client() as client:
        client.call("sku.put", key=1, sku=1, price=100, currency=USD)
        client.call("stock.adjust", key=2, sku=1, delta=10**9, warehouse=1)


def place(order):
    return {"order": order, "customer": 1 + order % 1000, "currency": USD,
            "rows": [{"sku": 1, "quantity": 1, "price": 100}]}


# Some 256 MiB: it takes a moment to clear them.
MANY_ORDERS = ("--orders", "2000000")
MANY_ORDERS_BYTES = 2_000_000 * 128
MEMORY_SECONDS_MAX = 60


def stats(server):
    with server.client() as client:
        return client.call("stats").body


def keep_ordering(client, first, answered):
    """Orders numbered from first on, a window of them under way, until the server closes."""
    try:
        sent = first
        while True:
            while sent - first - len(answered) < WINDOW:
                client.queue("order.place", **place(sent))
                sent += 1
            client.flush()
            for _ in range(WINDOW // 2):
                reply = client.receive()
                check_equal(reply.outcome, "OK", "an order")
                answered.append(reply)
    except Closed:
        pass


def stop_under_load(run, server, number):
    """Returns the numbers of the orders sent, and those answered."""
    answers = [[] for _ in range(CONNECTIONS)]
    firsts = [(number * CONNECTIONS + i + 1) * 1_000_000 for i in range(CONNECTIONS)]
    clients = [server.client() for _ in range(CONNECTIONS)]
    threads = [threading.Thread(target=keep_ordering, args=arguments)
               for arguments in zip(clients, firsts, answers)]
    for thread in threads:
        thread.start()
    time.sleep(run.random.uniform(0.01, 0.3))
    server.stop_clean()
    for thread, client in zip(threads, clients):
        thread.join()
        client.close()
    return {first: len(answered) for first, answered in zip(firsts, answers)}


@test
def sigterm_under_load_answers_all_it_accepted(run):
    folder = run.folder()
    server = run.serve(folder)
    set_up(server)
    orders = 0
    for number in range(5):
        answered = stop_under_load(run, server, number)
        run.verify(folder)
        server = run.serve(folder)
        orders += sum(answered.values())
        check_equal(stats(server)["orders"], orders, "orders, each of them answered")
        with server.client() as client:
            for first, count in answered.items():
                for order in range(first, first + count, 1 + count // 100):
                    check_equal(client.call("order.place", **place(order)).outcome, "REPLAYED",
                                "an answered order")
                check_equal(client.call("order.get", order=first + count).outcome, "NOT_FOUND",
                            "the first order not answered")
    run.finish(server)


@test
def a_restart_serves_the_same_state(run):
    server = run.serve()
    set_up(server)
    with server.client() as client:
        for order in range(1, 2001):
            client.queue("order.place", **place(order))
        client.flush()
        for _ in range(2000):
            check_equal(client.receive().outcome, "OK", "an order")
    before = stats(server)
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        server.process.send_signal(signal_number)
        check_equal(server.process.wait(harness.STOP_SECONDS_MAX), 0, "the exit code")
        server = run.serve(server.folder)
        after = stats(server)
        check_equal(state_of(after), state_of(before), "stats after a restart")
    run.finish(server)


@test
def tables_get_their_memory_while_the_server_answers(run):
    """Nothing is sold, so no order touches the memory; a lazy server never takes it."""
    lazy = run.serve(options=(*MANY_ORDERS, "--lazy-memory"))
    server = run.serve(options=MANY_ORDERS)
    stats(server)
    deadline = time.monotonic() + MEMORY_SECONDS_MAX
    while server.memory_bytes() < MANY_ORDERS_BYTES:
        check(time.monotonic() < deadline, f"only {server.memory_bytes()} bytes were taken")
        time.sleep(0.02)
    stats(lazy)
    check(lazy.memory_bytes() < MANY_ORDERS_BYTES, "the lazy server takes its memory at once")
    run.finish(server)


@test
def a_server_stops_while_its_tables_get_their_memory(run):
    server = run.serve(options=MANY_ORDERS)
    run.finish(server)


@test
def sigterm_waits_for_no_client(run):
    """Idle ones, half a frame, and one that reads nothing."""
    server = run.serve()
    set_up(server)
    idle = [server.client() for _ in range(50)]
    silent = [Connection(server.address) for _ in range(50)]
    for connection in silent:
        connection.send(b"\x40\0\0")
    lazy = server.client()
    lazy.queue("stock.get", rows=[{"sku": 1}] * 64)
    request = lazy.queued.pop()
    lazy.socket.settimeout(0.5)
    try:
        while True:
            lazy.socket.sendall(request * 64)
    except (TimeoutError, ConnectionError):
        pass
    server.stop_clean()
    for connection in (*idle, *silent, lazy):
        connection.close()
    run.verify(server.folder)


@test
def a_folder_has_one_server(run):
    server = run.serve()
    set_up(server)
    second = run.till("serve", "--data", server.folder, "--listen", "127.0.0.1:0")
    check_equal(second.returncode, 1, "the exit code of a second server")
    check(str(server.folder) in second.stderr, f"the folder is named: {second.stderr}")
    check("listening" not in second.stdout, "it never listens")
    check_equal(stats(server)["skus"], 1, "SKUs in the first server")
    run.finish(server)


@test
def a_port_in_use_is_named(run):
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        result = run.till("serve", "--data", run.folder(), "--listen", address)
    check_equal(result.returncode, 1, "the exit code")
    check(address in result.stderr, f"the address is named: {result.stderr}")


@test
def a_missing_folder_is_not_made_by_readers(run):
    folder = run.folder()
    for name in ("verify", "log"):
        result = run.till(name, folder)
        check_equal(result.returncode, 1, f"the exit code of {name}")
        check(str(folder) in result.stderr, f"{name} names the folder")
    check(not folder.exists(), "the folder was not made")


harness.main()
