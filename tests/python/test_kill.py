"""kill -9 in a loop: the real binary, a real disk, under load, again and again on one folder.

Each round several connections pipeline orders, payments, cancellations and extensions; after a
random number of answers the server is killed, and started again. Then
* every order that was acknowledged is there, as it was acknowledged,
* everything that was sent is sent again in the same order: what was acknowledged is REPLAYED with
  the same answer, and on one connection nothing that was lost comes before something that was kept,
* there are as many orders as were kept, and stock and points add up to exactly those,
* in every few rounds `till verify` finds the stopped folder sound.
Some rounds kill the server once more while it recovers."""

import itertools
import signal
import subprocess
import threading
import time

import harness
from harness import check, check_equal, test
from till_client import PROTOCOL, Closed, encode_body

harness.LAZY_MEMORY = False

USD = 840
CONNECTIONS = 4
OPERATIONS_PER_ROUND = 400  # of each connection
WINDOW = 128
ANSWERS_MAX = CONNECTIONS * (OPERATIONS_PER_ROUND - WINDOW)  # before a kill
SCARCE = 1
SKUS = {SCARCE: (1999, 3_000), 2: (500, 10**9), 3: (120_000, 10**9)}  # price and stock
WAREHOUSE = 1
CUSTOMERS = range(1, 21)
POINTS = 10**12
HOLD = 7 * 86400
KILL_SECONDS_MAX = 60
VERIFY_EVERY = 10


class Operation:
    """A request, and its reply once there is one."""

    def __init__(self, name, /, **fields):
        self.name = name
        self.fields = fields
        self.number = PROTOCOL.messages[name].number
        self.body = encode_body(name, **fields)
        self.reply = None
        self.is_scarce = any(row["sku"] == SCARCE for row in fields.get("rows", ()))

    def is_accepted(self):
        return self.reply is not None and self.reply.outcome in ("OK", "REPLAYED")


def make_operations(random):
    """What one connection sends in one round: orders, and changes to orders shortly after them."""
    operations, orders = [], []
    while len(operations) < OPERATIONS_PER_ROUND:
        if orders and random.random() < 0.4:
            operations.append(make_change(random, random.choice(orders[-20:])))
            continue
        lines = []
        for sku in random.sample(list(SKUS), random.choice((1, 1, 1, 2))):
            lines.append({"sku": sku, "quantity": random.randint(1, 3), "price": SKUS[sku][0]})
        operation = Operation("order.place", order=random.getrandbits(128) | 1,
                              customer=random.choice(CUSTOMERS), currency=USD, hold=HOLD,
                              points=random.choice((0, 0, 0, 17, 2000)),
                              flags=random.choice((0, 0, "PAID")), rows=lines)
        operations.append(operation)
        orders.append(operation)
    return operations


def make_change(random, order):
    """A change to an order; it may be refused only if the order was, or for the order's state."""
    change = make_change_of(random, order)
    change.is_scarce = order.is_scarce
    return change


def make_change_of(random, order):
    fields = {"order": order.fields["order"]}
    name = random.choice(("payment.event", "payment.event", "order.cancel", "hold.extend"))
    if name == "payment.event":
        total = sum(row["quantity"] * row["price"] for row in order.fields["rows"])
        amount = max(0, total - order.fields["points"])
        return Operation(name, event=random.getrandbits(128) | 1, provider=1, amount=amount,
                         status=random.choice(("SUCCESS", "SUCCESS", "FAILURE")), currency=USD,
                         **fields)
    if name == "hold.extend":
        fields["hold"] = HOLD
    return Operation(name, key=random.getrandbits(128) | 1, **fields)


def exchange(client, operations):
    """Sends all requests, a window at a time, and yields the replies as they come."""
    sent = 0
    for received in range(len(operations)):
        if sent - received <= WINDOW // 2 and sent < len(operations):
            for operation in operations[sent : received + WINDOW]:
                client.queue_body(operation.number, operation.body)
            sent = min(received + WINDOW, len(operations))
            client.flush()
        yield operations[received], client.receive()


class Moment:
    """A moment under load: when this many answers have come, on all connections together."""

    def __init__(self, answers):
        self.answers = answers
        self.counter = itertools.count(1)  # next() is one step, whatever other threads do
        self.is_there = threading.Event()

    def note_answer(self):
        if next(self.counter) == self.answers:
            self.is_there.set()


def load(address, operations, ready, go, moment):
    try:
        with harness.Client(address) as client:
            ready.release()
            go.wait()
            for operation, reply in exchange(client, operations):
                operation.reply = reply
                moment.note_answer()
    except (Closed, OSError):
        pass


class Shop:
    """What must be in the folder: the orders that were kept, and what they hold."""

    def __init__(self, run, options=()):
        self.run = run
        self.options = options
        self.random = run.random
        self.folder = run.folder()
        self.orders = {}  # id -> (the body of order.get without seq, its rows)
        self.seq_acknowledged = 0
        self.acknowledged = 0
        self.kept_unanswered = 0
        self.lost = 0

    def start(self):
        return self.run.serve(self.folder, self.options)

    def open(self):
        server = self.start()
        with server.client() as client:
            for sku, (price, units) in SKUS.items():
                self.setup(client, "sku.put", sku=sku, price=price, currency=USD)
                self.setup(client, "stock.adjust", sku=sku, delta=units, warehouse=WAREHOUSE)
            for customer in CUSTOMERS:
                self.setup(client, "points.credit", customer=customer, points=POINTS)
        return server

    def setup(self, client, name, /, **fields):
        reply = client.call(name, key=self.random.getrandbits(128) | 1, **fields)
        check_equal(reply.outcome, "OK", name)

    def crash(self, server):
        """A round of load, cut short; returns what each connection sent."""
        sent = [make_operations(self.random) for _ in range(CONNECTIONS)]
        ready, go = threading.Semaphore(0), threading.Event()
        moment = Moment(self.random.randint(1, ANSWERS_MAX))
        threads = [threading.Thread(target=load,
                                    args=(server.address, operations, ready, go, moment))
                   for operations in sent]
        for thread in threads:
            thread.start()
        for _ in threads:
            check(ready.acquire(timeout=30), "a connection was opened")
        go.set()
        check(moment.is_there.wait(KILL_SECONDS_MAX), f"{moment.answers} answers came")
        server.kill()
        for thread in threads:
            thread.join()
        return sent

    def crash_in_recovery(self):
        command = [*harness.serve_command(self.run.binary, self.folder), *self.options]
        process = subprocess.Popen(command,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(self.random.uniform(0, 0.05))
        process.send_signal(signal.SIGKILL)
        process.wait()

    def get(self, client, orders):
        """What the server shows for each order: None, or (body, rows)."""
        operations = [Operation("order.get", order=order) for order in orders]
        shown = {}
        for operation, reply in exchange(client, operations):
            seq = reply.body.pop("seq")
            check(seq >= self.seq_acknowledged, f"seq {seq} is below what was acknowledged")
            found = (reply.body, reply.rows) if reply.outcome == "OK" else None
            shown[operation.fields["order"]] = found
        return shown

    def check_kept(self, client, sent):
        """Checks that acknowledged orders are there as acknowledged, and that nothing is there that
        was not sent."""
        placed = [operation for operations in sent for operation in operations
                  if operation.name == "order.place"]
        shown = self.get(client, [operation.fields["order"] for operation in placed])
        kept = sum(found is not None for found in shown.values())
        check_equal(client.call("stats").body["orders"], len(self.orders) + kept, "orders kept")
        for operation in placed:
            found = shown[operation.fields["order"]]
            if operation.is_accepted():
                check(found is not None, f"acknowledged order {operation.reply} is gone")
            if found is not None:
                check_content(operation, *found)
            self.acknowledged += operation.is_accepted()
            self.kept_unanswered += found is not None and operation.reply is None
            self.lost += found is None
        for operations in sent:
            for operation in operations:
                if operation.is_accepted():
                    seq = operation.reply.body["seq"]
                    self.seq_acknowledged = max(self.seq_acknowledged, seq)

    def send_again(self, client, operations):
        """Checks that on each connection the kept requests are a prefix of those sent, and get
        their first answers again; the rest is done now. Rejections left no trace and are skipped. A
        request that was refused because of another connection may succeed now; that proves no
        loss."""
        again = [operation for operation in operations
                 if operation.reply is None or operation.is_accepted()]
        was_lost = False
        for operation, reply in exchange(client, again):
            first, operation.reply = operation.reply, reply
            if first is not None:
                check_equal(reply.outcome, "REPLAYED", f"the second outcome of {first}")
                check_equal((reply.body, reply.rows), (first.body, first.rows), "second answer")
            if reply.outcome == "REPLAYED":
                check(not was_lost, f"{reply} was kept, but something before it was lost")
            if reply.outcome == "OK" and not operation.is_scarce:
                was_lost = True

    def settle(self, client, sent):
        """Remembers the orders as they are now, and checks that everything adds up to them."""
        orders = [operation.fields["order"] for operations in sent for operation in operations
                  if operation.name == "order.place"]
        shown = self.get(client, orders)
        check_versions(sent, shown)
        self.orders |= {order: found for order, found in shown.items() if found is not None}
        check_equal(client.call("stats").body["orders"], len(self.orders), "orders in all")
        for sku, (_, units) in SKUS.items():
            level = client.call("stock.get", rows=[{"sku": sku, "warehouse": WAREHOUSE}]).rows[0]
            sums = {"PENDING": 0, "CONFIRMED": 0}
            for body, rows in self.orders.values():
                if body["state"] in sums:
                    sums[body["state"]] += sum(row["allocated"] for row in rows
                                               if row["sku"] == sku)
            check_equal(level["on_hand"], units, f"on_hand of {sku}")
            check_equal(level["reserved_for_orders"], sums["PENDING"], f"reserved of {sku}")
            check_equal(level["committed"], sums["CONFIRMED"], f"committed of {sku}")
            check(level["available"] >= 0, f"{sku} was sold more often than it was there")
        held = dict.fromkeys(CUSTOMERS, 0)
        spent = dict.fromkeys(CUSTOMERS, 0)
        for body, _ in self.orders.values():
            if body["state"] == "PENDING":
                held[body["customer"]] += body["points_used"]
            if body["state"] == "CONFIRMED":
                spent[body["customer"]] += body["points_used"]
        for customer in CUSTOMERS:
            points = client.call("points.balance", customer=customer).body
            check_equal(points["held"], held[customer], f"points held of {customer}")
            check_equal(points["balance"], POINTS - spent[customer], f"points of {customer}")

    def check_all(self, client):
        for order, found in self.get(client, self.orders).items():
            check_equal(found, self.orders[order], f"order {order:#x} at the end")


def check_content(operation, body, rows):
    """An order as shown against the order as sent, and as acknowledged if it was."""
    fields = operation.fields
    check_equal(body["customer"], fields["customer"], "customer")
    asked = [(row["sku"], row["quantity"], row["price"]) for row in fields["rows"]]
    check_equal([(row["sku"], row["allocated"], row["price"]) for row in rows], asked, "lines")
    check_equal(body["total"], sum(quantity * price for _, quantity, price in asked), "total")
    if operation.is_accepted():
        for name in ("total", "points_used", "points_value", "money_due", "currency"):
            check_equal(body[name], operation.reply.body[name], name)


def check_versions(sent, shown):
    """Checks that the order shows what the newest answer about it says."""
    newest = {}
    for operations in sent:
        for operation in operations:
            if operation.is_accepted():
                body = {"version": 1} | operation.reply.body
                order = operation.fields["order"]
                if order not in newest or newest[order]["version"] <= body["version"]:
                    newest[order] = body
    for order, body in newest.items():
        check_equal(shown[order][0]["version"], body["version"], "version")
        check_equal(shown[order][0]["state"], body["state"], "state")


def play_rounds(run, shop, rounds):
    server = shop.open()
    began = time.monotonic()
    for number in range(1, rounds + 1):
        sent = shop.crash(server)
        if number % VERIFY_EVERY == 0:
            run.verify(shop.folder)
        if run.random.random() < 0.3:
            shop.crash_in_recovery()
        run.servers.remove(server)
        server = shop.start()
        with server.client() as client:
            shop.check_kept(client, sent)
            for operations in sent:
                shop.send_again(client, operations)
            shop.settle(client, sent)
    with server.client() as client:
        shop.check_all(client)
    print(f"   {rounds} rounds in {time.monotonic() - began:.0f} s: "
          f"of the orders {shop.acknowledged} were acknowledged before the kill, "
          f"{shop.kept_unanswered} kept without an answer, {shop.lost} not done")
    run.finish(server)


@test
def what_was_acknowledged_survives_kill_9(run):
    play_rounds(run, Shop(run), run.arguments.rounds)


@test
def what_was_acknowledged_survives_kill_9_while_snapshots_are_taken(run):
    shop = Shop(run, ("--snapshot-log", "16k", "--log-segment", "4", "--lazy-memory"))
    play_rounds(run, shop, max(1, run.arguments.rounds // 2))
    check(len(list(shop.folder.glob("snapshot-*.till"))) == 2, "two snapshots are kept")


harness.main(("rounds", 50, "how often the server is killed"))
