"""kill -9 in a loop over three servers of one shop: the real binaries, under load, with promotions.

In each round clients send orders, additions to stock and cancellations; each retries with the same
key, at whatever server it is led to, until it has an answer. Meanwhile something happens: the
primary is killed and another one promoted, or it is killed and started again, or a replica is, or
both, or the primary is held up while another one is promoted, and goes on then. The killed ones are
started again with their old command lines, and made to follow where they do not by themselves.
After each round
* every client has got all its answers,
* all three have the same state, and what was answered is there, once: orders, stock and sums are
  exactly those of the answers,
* in every few rounds all of the shop's orders are looked at, on each server.
At the end `till verify` finds each folder sound."""

import itertools
import threading
import time

import harness
from cluster import Member, wait_level
from harness import check, check_equal, test, wait_until
from till_client import Client, Closed

USD = 840
MEMBERS = "abc"
CLIENTS = 3
OPERATIONS = 20  # of each client, in a round
SELLS, GROWS = 1, 2  # a SKU for orders, and one whose stock is added to
STOCK = 10**9
OPTIONS = ("--acks", "1", "--members", "3", "--acks-wait-ms", "500", "--log-segment", "4")
ANSWER_SECONDS_MAX = 1  # before a client asks another server
STUCK_SECONDS = 60
CHECK_ALL_EVERY = 10
FOLLOW_SECONDS = 0.5  # a server that does not follow by itself in this time is told to


class Operation:
    """A request, sent until it is answered."""

    def __init__(self, name, **fields):
        self.name = name
        self.fields = fields
        self.reply = None
        self.sent = 0


class Buyer(threading.Thread):
    """A client: one request after the other, each until it is done."""

    def __init__(self, shop, operations):
        super().__init__(daemon=True)
        self.shop = shop
        self.random = shop.run.random
        self.operations = operations
        self.addresses = itertools.cycle([member.port for member in shop.members])
        self.port = next(self.addresses)
        self.client = None
        self.problem = None

    def run(self):
        try:
            for operation in self.operations:
                while operation.reply is None and not self.shop.is_over:
                    self.send(operation)
                if operation.reply is not None:
                    self.shop.answered()
        except Exception as error:
            self.problem = f"{operation.name} {operation.fields}: {error!r}"
        finally:
            self.leave()

    def leave(self, port=None):
        if self.client:
            self.client.close()
        self.client = None
        self.port = port or next(self.addresses)

    def send(self, operation):
        operation.sent += 1
        try:
            if self.client is None:
                self.client = Client(("127.0.0.1", self.port), timeout=ANSWER_SECONDS_MAX)
            reply = self.client.call(operation.name, **operation.fields)
        except (Closed, OSError):
            self.leave()
            time.sleep(0.02)
            return
        if reply.outcome == "NOT_PRIMARY":
            primary = reply.body["primary"]
            self.leave(int(primary.rsplit(":", 1)[1]) if primary else None)
        elif reply.outcome in ("NO_QUORUM", "REPLICA_BEHIND"):
            self.leave()
        elif reply.outcome in ("OK", "REPLAYED"):
            check(reply.outcome == "OK" or operation.sent > 1, "sent once, and done twice")
            operation.reply = reply
            return
        else:
            raise AssertionError(f"it is answered {reply}")
        time.sleep(0.02)


class Shop:
    """Three servers, and what the clients know of the shop."""

    def __init__(self, run):
        self.run = run
        first = Member(run, MEMBERS[0], *OPTIONS)
        self.members = [first]
        self.members += [Member(run, name, *OPTIONS, of=first) for name in MEMBERS[1:]]
        self.primary = first
        self.orders = {}  # the answered ones that are held: by id, the quantity
        self.cancelled = {}
        self.added = 0
        self.is_over = False
        self.lock = threading.Lock()
        self.answers = 0
        self.counts = dict.fromkeys(("answered", "lost", "doubled", "stuck", "promotions"), 0)

    def answered(self):
        with self.lock:
            self.answers += 1

    def open(self):
        for member in self.members:
            member.start()
        self.settle()
        with self.primary.client() as client:
            for sku in (SELLS, GROWS):
                reply = client.call("sku.put", key=sku, sku=sku, price=100, currency=USD)
                check_equal(reply.outcome, "OK", "sku.put")
                reply = client.call("stock.adjust", key=10 + sku, sku=sku, delta=STOCK, warehouse=1)
                check_equal(reply.outcome, "OK", "stock.adjust")

    def others(self):
        return [member for member in self.members if member is not self.primary]

    # Trouble.

    def promote(self, *options):
        addresses = ",".join(member.address for member in self.members)
        result = self.run.till("promote", "--members", addresses, *options)
        check("is the primary of epoch" in result.stdout,
              f"till promote: {result.stdout}{result.stderr}")
        line = next(line for line in result.stdout.splitlines() if "is the primary of" in line)
        self.primary = next(member for member in self.members if line.startswith(member.address))
        self.counts["promotions"] += 1

    def follow(self, member):
        result = self.run.till("follow", self.primary.address, "--connect", member.address)
        check_equal(result.returncode, 0, f"till follow: {result.stderr}")

    def settle(self):
        """Waits until all follow the primary, and tells those to that do not by themselves."""
        for member in self.others():
            deadline = time.monotonic() + FOLLOW_SECONDS
            while self.primary.row(member) is None:
                if time.monotonic() > deadline:
                    self.follow(member)
                    deadline += harness.WAIT_SECONDS_MAX
                time.sleep(0.02)
        wait_level_all(self)

    def lose_primary(self):
        old = self.primary
        old.kill()
        self.promote()
        old.start()

    def restart_primary(self):
        self.primary.kill()
        self.primary.start()

    def lose_replica(self):
        replica = self.run.random.choice(self.others())
        replica.kill()
        replica.start()

    def lose_both(self):
        old, replica = self.primary, self.run.random.choice(self.others())
        for member in self.run.random.sample((old, replica), 2):
            member.kill()
        replica.start()
        self.promote()
        old.start()

    def hold_up_primary(self):
        old = self.primary
        old.suspend()
        self.promote()
        old.resume()

    def trouble(self):
        kinds = {self.lose_primary: 60, self.restart_primary: 10, self.lose_replica: 15,
                 self.lose_both: 10, self.hold_up_primary: 5}
        self.run.random.choices(list(kinds), kinds.values())[0]()

    # Load.

    def operations(self):
        random, made = self.run.random, []
        known = list(self.orders)
        for order in random.sample(known, min(len(known), OPERATIONS // 10)):
            made.append(Operation("order.cancel", key=random.getrandbits(128) | 1, order=order))
            self.cancelled[order] = self.orders.pop(order)
        while len(made) < OPERATIONS:
            if random.random() < 0.3:
                made.append(Operation("stock.adjust", key=random.getrandbits(128) | 1, sku=GROWS,
                                      delta=1, warehouse=1))
                continue
            line = {"sku": SELLS, "quantity": random.randint(1, 3), "price": 100}
            made.append(Operation("order.place", order=random.getrandbits(128) | 1,
                                  customer=random.randint(1, 1000), currency=USD, hold=7 * 86400,
                                  rows=[line]))
        random.shuffle(made)
        return made

    def play_round(self):
        self.answers = 0
        buyers = [Buyer(self, self.operations()) for _ in range(CLIENTS)]
        for buyer in buyers:
            buyer.start()
        moment = self.run.random.randint(0, CLIENTS * OPERATIONS // 2)
        wait_until(lambda: self.answers >= moment, "answers before the trouble")
        self.trouble()
        self.join(buyers)
        for operation in itertools.chain(*(buyer.operations for buyer in buyers)):
            if operation.name == "order.place":
                self.orders[operation.fields["order"]] = operation.fields["rows"][0]["quantity"]
            self.added += operation.name == "stock.adjust"
        self.counts["answered"] += CLIENTS * OPERATIONS
        self.settle()
        self.check_sums()

    def join(self, buyers):
        deadline = time.monotonic() + STUCK_SECONDS
        for buyer in buyers:
            buyer.join(max(0, deadline - time.monotonic()))
            self.counts["stuck"] += buyer.is_alive()
        self.is_over = True
        problems = [buyer.problem for buyer in buyers if buyer.problem]
        states = [member.status() for member in self.members] if self.counts["stuck"] else ""
        check(not problems and not self.counts["stuck"], f"{problems} {self.counts} {states}")
        self.is_over = False

    # What must hold.

    def check_sums(self):
        with self.primary.client() as client:
            placed = client.call("stats").body["orders"]
            rows = [client.call("stock.get", rows=[{"sku": sku, "warehouse": 1}]).rows[0]
                    for sku in (SELLS, GROWS)]
        known = len(self.orders) + len(self.cancelled)
        added = rows[1]["on_hand"] - STOCK
        for found, expected in ((placed, known), (added, self.added)):
            self.counts["lost"] += max(0, expected - found)
            self.counts["doubled"] += max(0, found - expected)
        check_equal((placed, added), (known, self.added), "orders placed and stock added")
        check_equal(rows[0]["reserved_for_orders"], sum(self.orders.values()), "units held")

    def check_all(self, member):
        """Each order there is, as one server shows it."""
        with member.client(timeout=20) as client:
            for states, expected in ((self.orders, "PENDING"), (self.cancelled, "CANCELLED")):
                for order, quantity in states.items():
                    reply = client.call("order.get", order=order)
                    self.counts["lost"] += reply.outcome != "OK"
                    check_equal((reply.outcome, reply.body.get("state"),
                                 [row["allocated"] for row in reply.rows]),
                                ("OK", expected, [quantity]), f"order {order:#x} on {member.name}")


def wait_level_all(shop):
    wait_level(shop.primary, *shop.others())


def play(run, shop, rounds):
    began = time.monotonic()
    shop.open()
    done = 0
    try:
        for done in range(1, rounds + 1):
            shop.play_round()
            if done % CHECK_ALL_EVERY == 0 or done == rounds:
                for member in shop.members:
                    shop.check_all(member)
    finally:
        print(f"   {done} rounds in {time.monotonic() - began:.0f} s: {shop.counts}", flush=True)
    for member in (*shop.others(), shop.primary):
        member.stop()
    for member in shop.members:
        run.verify(member.folder)


@test
def what_was_answered_survives_kill_9_of_each_and_promotions(run):
    play(run, Shop(run), run.arguments.rounds)


harness.main(("rounds", 100, "how often something happens to a server"))
