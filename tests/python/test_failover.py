"""kill -9 in a loop over three servers of one shop: the real binaries, under load, with promotions.

In each round clients send orders, additions to stock and cancellations; each retries with the same
key, at whatever server it is led to, until it has an answer. Meanwhile something happens: the
primary is killed and another one promoted, or it is killed and started again, or a replica is, or
both, or all three, or the primary is held up while another one is promoted, and goes on then. The
killed ones are started again with their old command lines, and made to follow where they do not by
themselves.
After each round
* every client has got all its answers, and wherever it looked for an order right after its answer,
  demanding that change, it was there,
* all three have the same state, and what was answered is there, once: orders, stock and sums are
  exactly those of the answers,
* in every few rounds each order is looked at, on each server.
At the end all of them are looked at, and `till verify` finds each folder sound."""

import itertools
import json
import random
import re
import threading
import time
import uuid

import harness
from cluster import Member, Proxy, wait_level
from harness import check, check_equal, in_memory, test, wait_until
from shop import order_id, place, place_one_by_one, set_up, snapshot, snapshots
from till_client import Client, Closed

USD = 840
MEMBERS = "abc"
CLIENTS = 6
OPERATIONS = 10  # of each client, in a round
SELLS, GROWS = 1, 2  # a SKU for orders, and one whose stock is added to
STOCK = 10**9
READS = 0.3  # of the orders are looked for at once, at any server
OPTIONS = ("--acks", "1", "--members", "3", "--acks-wait-ms", "500", "--log-segment", "4")
ANSWER_SECONDS_MAX = 1  # before a client asks another server
STUCK_SECONDS = 60
CHECK_EVERY = 10
WINDOW = 100
TAIL = 500_001  # the first order that only an old primary has
FOLLOW_SECONDS = 0.25  # a server that does not follow by itself in this time is told to


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
        self.random = random.Random(shop.run.random.getrandbits(64))
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
                if operation.name == "order.place" and self.random.random() < READS:
                    self.read(operation)
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


    def read(self, operation):
        """Asks any server for an order, and demands to see it: who answers at all, shows it."""
        member = self.random.choice(self.shop.members)
        seq = operation.reply.body["seq"]
        try:
            with Client(("127.0.0.1", member.port), timeout=ANSWER_SECONDS_MAX,
                        fresh=True) as client:
                client.min_seq = seq
                reply = client.call("order.get", order=operation.fields["order"])
        except (Closed, OSError):
            return
        if reply.outcome in ("NO_QUORUM", "NOT_PRIMARY", "REPLICA_BEHIND"):
            return
        check(reply.outcome == "OK" and reply.body["seq"] >= seq,
              f"an order of seq {seq} is read as {reply} from {member.name}")
        with self.shop.lock:
            self.shop.counts["read"] += 1


class Shop:
    """Three servers, and what the clients know of the shop."""

    def __init__(self, run, *options):
        self.run = run
        first = Member(run, MEMBERS[0], *OPTIONS, *options)
        self.members = [first]
        self.members += [Member(run, name, *OPTIONS, *options, of=first) for name in MEMBERS[1:]]
        self.primary = first
        self.orders = {}  # the answered ones that are held: by id, the quantity
        self.cancelled = {}
        self.recent = []
        self.added = 0
        self.is_over = False
        self.had_snapshots = False
        self.lock = threading.Lock()
        self.answers = 0
        self.counts = dict.fromkeys(("answered", "read", "lost", "doubled", "stuck",
                                     "promotions"), 0)

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

    def lose_all(self):
        """First the replicas are held up for a moment, so that they lose what has come to them: an
        answer that did not wait for one of them would be lost with it."""
        old, replicas = self.primary, self.others()
        for replica in replicas:
            replica.suspend()
        time.sleep(self.run.random.uniform(0, 0.05))
        for member in self.run.random.sample(self.members, len(self.members)):
            member.kill()
        for replica in replicas:
            replica.start()
        self.promote()
        old.start()

    def hold_up_primary(self):
        old = self.primary
        old.suspend()
        self.promote()
        old.resume()

    def promote_for_nothing(self):
        """With all there: whoever has most is promoted, mostly the one that is the primary."""
        self.promote()

    def trouble(self):
        kinds = {self.promote_for_nothing: 5, self.lose_primary: 45, self.restart_primary: 10,
                 self.lose_replica: 10, self.lose_both: 10, self.lose_all: 15,
                 self.hold_up_primary: 5}
        self.run.random.choices(list(kinds), kinds.values())[0]()

    # Load.

    def operations(self):
        chance, made = self.run.random, []
        known = list(self.orders)
        for order in chance.sample(known, min(len(known), OPERATIONS // 10)):
            made.append(Operation("order.cancel", key=chance.getrandbits(128) | 1, order=order))
            self.cancelled[order] = self.orders.pop(order)
        while len(made) < OPERATIONS:
            if chance.random() < 0.3:
                made.append(Operation("stock.adjust", key=chance.getrandbits(128) | 1, sku=GROWS,
                                      delta=1, warehouse=1))
                continue
            line = {"sku": SELLS, "quantity": chance.randint(1, 3), "price": 100}
            made.append(Operation("order.place", order=chance.getrandbits(128) | 1,
                                  customer=chance.randint(1, 1000), currency=USD, hold=7 * 86400,
                                  rows=[line]))
        chance.shuffle(made)
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
                self.recent.append(operation.fields["order"])
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

    def check_orders(self, member, orders):
        """Each of these orders, as one server shows it."""
        orders = list(orders)
        with member.client(timeout=20) as client:
            for at in range(0, len(orders), WINDOW):
                for order in orders[at : at + WINDOW]:
                    client.queue("order.get", order=order)
                client.flush()
                for order in orders[at : at + WINDOW]:
                    self.check_order(member, order, client.receive())

    def check_order(self, member, order, reply):
        self.counts["lost"] += reply.outcome != "OK"
        check_equal(reply.outcome, "OK", f"order {order:#x} on {member.name}")
        state = "CANCELLED" if order in self.cancelled else "PENDING"
        quantity = self.cancelled[order] if order in self.cancelled else self.orders[order]
        check_equal((reply.body["state"], [row["allocated"] for row in reply.rows]),
                    (state, [quantity]), f"order {order:#x} on {member.name}")

    def check_recent(self):
        """On each server, the orders since the last call."""
        for member in self.members:
            self.check_orders(member, self.recent)
        self.recent = []

    def check_all(self):
        for member in self.members:
            self.check_orders(member, self.orders | self.cancelled)


def wait_level_all(shop):
    wait_level(shop.primary, *shop.others())


def play(run, shop, rounds):
    began = time.monotonic()
    shop.open()
    done = 0
    try:
        for done in range(1, rounds + 1):
            shop.play_round()
            if done % CHECK_EVERY == 0:
                shop.check_recent()
        shop.check_all()
    finally:
        print(f"   {done} rounds in {time.monotonic() - began:.0f} s: {shop.counts}", flush=True)
    shop.had_snapshots = bool(snapshots(shop.primary.folder))
    for member in (*shop.others(), shop.primary):
        member.stop()
    for member in shop.members:
        run.verify(member.folder)


@test
def what_was_answered_survives_kill_9_of_each_and_promotions(run):
    play(run, Shop(run), run.arguments.rounds)


@test
def what_was_answered_survives_while_snapshots_are_taken(run):
    shop = Shop(run, "--snapshot-log", "16k", "--replica-keep-mib", "0")
    play(run, shop, max(1, run.arguments.rounds // 4))
    check(shop.had_snapshots, "the primary took snapshots")


def replace(run, old, new):
    old.kill()
    new.start()
    members = f"{old.address},{new.address}"
    refused = run.till("promote", "--members", members)
    check_equal(refused.returncode, 1, f"a promotion that may lose something: {refused.stdout}")
    result = run.till("promote", "--members", members, "--force")
    check_equal(result.returncode, 0, result.stderr)
    check("is lost" in result.stderr, f"what is lost is said: {result.stderr}")


def rejoin(run, old, new):
    """The old primary comes back, and follows. Returns what was set aside, by what it says."""
    old.start()
    check_equal(old.status()["state"], "SERVING", "the old primary, which has met nobody")
    result = run.till("follow", new.address, "--connect", old.address)
    check_equal(result.returncode, 0, result.stderr)
    wait_level(new, old)
    return re.findall(r"seq (\d+) to (\d+), .* set aside as (\S+): (\d+) orders", old.said())


def check_aside(run, aside, first, count):
    """The orders that were set aside are told, and can be read."""
    check_equal(len(aside), 1, f"tails that were set aside: {aside}")
    seq_first, seq_last, path, orders = aside[0]
    check_equal((int(orders), int(seq_last) - int(seq_first) + 1), (count, count), "what is told")
    result = run.till("log", path)
    check_equal(result.returncode, 0, result.stderr)
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    placed = [line for line in lines if line.get("command") == "order.place"]
    check_equal(len(placed), count, f"orders in {lines[:2]}")
    for number in (first, first + count - 1):
        check(format_id(order_id(number)) in result.stdout, f"order {number} is in it")


def format_id(value):
    return str(uuid.UUID(int=value))


def come_back(run, options, alone):
    """A whole life with a forced promotion: what `alone` does, only the old primary has, and the
    other one has none of it. Returns the old one, and what it said that it set aside."""
    old = Member(run, "a", *options).start()
    new = Member(run, "b", *options, of=old).start()
    set_up(old)
    place(old, 1, 100)
    wait_level(old, new)
    new.kill()
    alone(old)
    replace(run, old, new)
    check_equal(place(new, 600_001, 20), ["OK"] * 20, "orders of the new primary")
    aside = rejoin(run, old, new)
    with old.client() as client:
        for number, outcome in ((5, "OK"), (TAIL, "NOT_FOUND"), (600_001, "OK")):
            check_equal(client.call("order.get", order=order_id(number)).outcome, outcome,
                        f"order {number} on the old primary")
    check_equal(place(new, 700_001, 20), ["OK"] * 20, "orders with both again")
    wait_level(new, old)
    old.kill()
    old.start()
    wait_level(new, old)
    for member in (old, new):
        member.stop()
    for member in (old, new):
        run.verify(member.folder)
    return old, aside


def names(member):
    return sorted(path.name for path in member.folder.iterdir())


@test
def an_old_primary_sets_aside_what_only_it_had_and_follows(run):
    old, aside = come_back(run, (), lambda old: place(old, TAIL, 30))
    check_aside(run, aside, TAIL, 30)
    check(not any(name.startswith("diverged-snapshot") for name in names(old)), names(old))


@test
def a_snapshot_of_what_only_the_old_primary_had_is_set_aside(run):
    def alone(old):
        place(old, TAIL, 30)
        snapshot(run, old.server)

    old, aside = come_back(run, (), alone)
    check_aside(run, aside, TAIL, 30)
    check(any(name.startswith("diverged-snapshot") for name in names(old)), names(old))


@test
def an_old_primary_that_went_on_answering_follows(run):
    old = Member(run, "a").start()
    proxy = Proxy(old)
    new = Member(run, "b", "--replica-of", proxy.address).start()
    set_up(old)
    place(old, 1, 100)
    wait_level(old, new)
    proxy.close()
    result = run.till("promote", "--members", new.address, "--force")
    check_equal(result.returncode, 0, result.stderr)
    check_equal(place(new, 201, 10), ["OK"] * 10, "orders of the new primary")
    check_equal((old.stats().outcome, old.status()["state"]), ("OK", "SERVING"), "the old one")
    result = run.till("follow", new.address, "--connect", old.address)
    check_equal(result.returncode, 0, result.stderr)
    wait_level(new, old)
    for member in (old, new):
        member.stop()
    for member in (old, new):
        run.verify(member.folder)


@test
@in_memory
def an_old_primary_that_cannot_go_back_begins_anew(run):
    def alone(old):
        for number in range(4):
            place_one_by_one(old, TAIL + number * 1024, 1024)
            snapshot(run, old.server)
        wait_until(lambda: "wal-0000000001.log" not in names(old), "segments to be released")

    options = ("--log-segment", "4", "--snapshot-every", "0", "--snapshot-log", "0",
               "--replica-keep-mib", "0")
    old, _ = come_back(run, options, alone)
    check("the folder begins anew" in old.said(), f"it is told: {old.said()}")
    moved = [name for name in names(old) if name.startswith("diverged-wal-")]
    check(moved, f"segments that were set aside: {names(old)}")
    lines = sum(run.till("log", old.folder / name).stdout.count("order.place") for name in moved)
    check(lines > 1024, f"{lines} orders are in what was set aside")


harness.main(("rounds", 100, "how often something happens to a server"))
