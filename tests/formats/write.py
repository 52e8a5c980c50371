#!/usr/bin/env python3
"""Writes a folder of the format that a till has, for tests/python/test_formats.py to keep:

    python3 tests/formats/write.py ./till NAME

Run once per release that changes a format, with the binary of that release and from its sources,
since the client reads docs/protocol.md. It writes NAME.tar.xz, the data folder and the archive of a
shop, and NAME.json, the answers that they must give. Ids and amounts are the same each time; the
times, and so checksums and digests, depend on when it runs.

The shop trades twice, so that every logged command is in the log before the snapshot and after it:

    segment 1  first trade | snapshot | filling, one order to a block
    segment 2  second trade, which goes on with the orders of the first      (the server is killed)

Before each trade the machine was switched off for a while, by its clock: the log has time.jump.
Then the server was made the primary of a newer epoch: the log has epoch.begin.

The archive has segment 1. The log has the time of each decision, and digests depend on it; but what
is read from the folder does not depend on when it is read. For lots to expire and holds to end, the
script really waits.
"""

import argparse
import json
import sys
import tarfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "python"))

import formats
import harness
from clocks import Clocks, another_boot
from harness import check, check_equal, wait_until
from shop import order_id, segments, snapshots
from till_client import PROTOCOL

SEGMENT_MIB = 4
PAGE = 4096
PAGES_PER_SEGMENT = SEGMENT_MIB * 2**20 // PAGE
SETTLE_SECONDS = 2  # longer than from a deadline to its hold.expire
JUMP_SECONDS = 90  # what a time.jump is logged for, from a minute on
FAR_US = 4102444800 * 10**6  # the year 2100

TEE, CUP, BOOK, SEAT, FILL, SHORT, RARE, LAMP = range(1, 9)
PRICES = {TEE: 2000, CUP: 500, BOOK: 700, SEAT: 9900, FILL: 100, SHORT: 50, RARE: 12345,
          LAMP: 4500}
WAREHOUSES = (1, 2, 3)
EUR, USD = 978, 840
ALLOCATIONS = ("SINGLE", "RANK", "EXPLICIT")
PLACE_FLAGS = ("PARTIAL", "PAID", "POINTS_EXACT")
PROVIDER = 5

# Customers, by what they have: points that do not expire, a lot that an order holds while it
# expires, and one that nobody holds; and one who earns points.
BUYER, SAVER, HOLDER, LOSER, EARNER = 1, 2, 3, 4, 5


def customer(act, role):
    return order_id(10**6 * act + role)


def order(act, number):
    return order_id(10**3 * act + number)


class Shop:
    """A client that knows what each command should be answered with; it numbers keys and events."""

    def __init__(self, run, folder, options):
        self.folder = folder
        self.options = options
        self.clocks = Clocks(run)
        self.serve()
        self.key_count = 0
        self.event_count = 0
        self.outcomes = []  # expected of what is queued
        self.seq_settled = 0
        self.placed = {}  # the fields and rows of each order, by its id

    def serve(self):
        self.server = self.clocks.serve(self.folder, *self.options)
        self.client = self.server.client()
        self.address = "%s:%d" % self.server.address

    def come_back_later(self):
        """The machine was switched off for so long that the log gets a time.jump."""
        self.server.kill()
        self.client.close()
        another_boot(self.folder)
        self.clocks.jump(JUMP_SECONDS * 10**6)
        self.serve()

    def begin_epoch(self):
        """The server is made the primary of a newer epoch, as if it had taken over."""
        member = self.call("member.seal").body
        epoch = max(member["epoch"], member["epoch_sealed"]) + 1
        self.call("member.seal", shop=member["shop"], epoch=epoch)
        self.call("member.promote", shop=member["shop"], epoch=epoch)
        wait_until(lambda: self.call("member.seal").body["epoch"] == epoch, "the epoch")

    def now_us(self):
        """The log's time."""
        return time.time_ns() // 1000 + self.clocks.wall

    def complete(self, name, fields):
        if "key" in PROTOCOL.messages[name].request.names:
            self.key_count += 1
            fields.setdefault("key", order_id(10**9 + self.key_count))

    def call(self, name, /, outcome="OK", rows=(), **fields):
        self.complete(name, fields)
        reply = self.client.call(name, rows=rows, **fields)
        check_equal(reply.outcome, outcome, f"the outcome of {name} {fields} {rows}: {reply}")
        return reply

    def queue(self, name, /, rows=(), **fields):
        self.complete(name, fields)
        self.outcomes.append(name)
        self.client.queue(name, rows=rows, **fields)

    def flush(self):
        """Sends what is queued at once; the replies."""
        self.client.flush()
        replies = [self.client.receive() for _ in self.outcomes]
        for name, reply in zip(self.outcomes, replies):
            check_equal(reply.outcome, "OK", f"the outcome of {name}: {reply}")
        self.outcomes = []
        return replies

    def placing(self, number, lines, **fields):
        """The request for an order of lines (sku, quantity, warehouse)."""
        rows = [{"sku": sku, "quantity": quantity, "warehouse": warehouse, "price": PRICES[sku]}
                for sku, quantity, warehouse in lines]
        fields = {"order": number, "currency": EUR, **fields}
        self.placed[number] = (fields, rows)
        return fields, rows

    def place(self, number, *lines, outcome="OK", **fields):
        fields, rows = self.placing(number, lines, **fields)
        return self.call("order.place", outcome, rows, **fields).body

    def pay(self, number, amount, outcome="OK", status="SUCCESS", currency=EUR, provider=PROVIDER):
        self.event_count += 1
        return self.call("payment.event", outcome, event=order_id(10**8 + self.event_count),
                         order=number, amount=amount, provider=provider, status=status,
                         currency=currency).body

    def pay_with_bytes(self, number, amount, text, **fields):
        """A payment event that carries bytes of the provider's own."""
        self.event_count += 1
        rows = [{"bytes": int.from_bytes(text[i:i + 8], "little")} for i in range(0, len(text), 8)]
        event = order_id(10**8 + self.event_count)
        self.call("payment.event", "AMOUNT_MISMATCH", rows, event=event, order=number,
                  amount=amount, provider=PROVIDER, status="SUCCESS", currency=EUR,
                  opaque_size=len(text), **fields)
        return event

    def get(self, number):
        return self.call("order.get", order=number).body

    def wait_expired(self, number):
        wait_until(lambda: self.get(number)["state"] == "EXPIRED", "the end of a hold")

    def settle(self):
        """Waits until hold.expire has nothing more to do, so that the log's end is defined."""
        while (seq := self.call("stats").body["seq"]) != self.seq_settled:
            self.seq_settled = seq
            time.sleep(SETTLE_SECONDS)

    def snapshot(self, folder):
        """Requested once: `till snapshot` asks until the snapshot is there, and may get another
        one."""
        seq = self.call("snapshot").body["seq"]
        wait_until(lambda: snapshots(folder), "the snapshot")
        check_equal(list(map(formats.image_seq, snapshots(folder))), [seq], "the snapshots")
        return seq


def open_shop(shop):
    """SKUs, with and without a name, renamed; stock, added, taken and set."""
    shop.call("sku.put", sku=TEE, price=1, currency=USD, name="shirt")
    shop.call("sku.put", sku=TEE, price=PRICES[TEE], currency=EUR, name="tee")
    shop.call("sku.put", sku=CUP, price=PRICES[CUP], currency=EUR, name="shirt")
    shop.call("sku.put", sku=CUP, price=PRICES[CUP], currency=EUR)
    shop.call("sku.put", sku=BOOK, price=PRICES[BOOK], currency=USD, name="x" * 32)
    for sku in (SEAT, FILL, SHORT, RARE, LAMP):
        shop.call("sku.put", sku=sku, price=PRICES[sku], currency=EUR)
    for warehouse in (3, 1, 2):
        shop.call("stock.adjust", sku=TEE, warehouse=warehouse, delta=400)
    for warehouse in (1, 2):
        shop.call("stock.adjust", sku=CUP, warehouse=warehouse, delta=5000)
    shop.call("stock.adjust", sku=CUP, warehouse=1, delta=-4000)
    shop.call("stock.set", sku=CUP, warehouse=3, expected=0, on_hand=500)
    shop.call("stock.set", sku=CUP, warehouse=2, expected=5000, on_hand=700)
    shop.call("stock.adjust", sku=BOOK, warehouse=2, delta=10**12)
    shop.call("stock.adjust", sku=FILL, warehouse=1, delta=10**12)
    shop.call("stock.adjust", sku=RARE, warehouse=1, delta=8)


def change_stock(shop, act):
    """New names and prices, and a deficit."""
    shop.call("sku.put", sku=BOOK, price=PRICES[BOOK] + act, currency=USD, name=f"book-{act}")
    shop.call("stock.adjust", sku=SEAT, warehouse=1, delta=4 * act)
    shop.call("stock.adjust", sku=TEE, warehouse=3, delta=-act)
    shop.call("stock.adjust", sku=CUP, warehouse=1, delta=1000)
    available = shop.call("stock.get", rows=[{"sku": SEAT, "warehouse": 1}]).rows[0]
    shop.place(order(act, 1), (SEAT, available["available"], 0), customer=customer(act, BUYER))
    concerned = shop.call("stock.set", sku=SEAT, warehouse=1, expected=available["on_hand"],
                          on_hand=available["on_hand"] - 2, flags="ALLOW_DEFICIT")
    check_equal(concerned.rows[0], {"order": order(act, 1)}, "the order of the deficit")
    shop.call("stock.set", sku=SEAT, warehouse=1, expected=available["on_hand"] - 2,
              on_hand=available["on_hand"] - 1, flags="ALLOW_DEFICIT")


def credit_points(shop, act):
    shop.call("points.credit", customer=customer(act, BUYER), points=10**6)
    shop.call("points.credit", customer=customer(act, SAVER), points=300, expires=FAR_US)
    shop.call("points.credit", customer=customer(act, SAVER), points=500)
    shop.call("points.credit", customer=customer(act, SAVER), points=200, expires=FAR_US - 9)


def place_all_kinds(shop, act):
    """Every allocation with all flags that there are, sent at once; an order that is PARTIAL asks
    for more of the SKU that runs short. Returns what the server answered in the middle of it."""
    number = 100
    for allocation in ALLOCATIONS:
        for bits in range(2 ** len(PLACE_FLAGS)):
            flags = [name for bit, name in enumerate(PLACE_FLAGS) if bits >> bit & 1]
            is_explicit = allocation == "EXPLICIT"
            lines = [(TEE, 2, 1 if is_explicit else 0), (CUP, 1 + bits, 2 if is_explicit else 0)]
            if "PARTIAL" in flags:
                shop.queue("stock.adjust", sku=SHORT, warehouse=1, delta=3)
                shop.queue("stock.adjust", sku=SHORT, warehouse=2, delta=2)
                lines += [(SHORT, 90, 1 if is_explicit else 0), (TEE, 1, 2 if is_explicit else 0),
                          (SHORT, 1, 1 if is_explicit else 0)]
            number += 1
            fields, rows = shop.placing(order(act, number), lines, allocation=allocation,
                                        flags="|".join(flags) or 0, points=10 * bits,
                                        currency=EUR if bits % 2 else 0,
                                        customer=customer(act, BUYER))
            shop.queue("order.place", rows, **fields)
        if allocation == "RANK":
            shop.queue("stats")
    told = next(reply.body for reply in shop.flush() if reply.message == "stats")
    shop.place(order(act, 150), (TEE, 1, 2), customer=customer(act, BUYER), hold=604800)
    shop.place(order(act, 151), (CUP, 700, 0), customer=customer(act, BUYER), allocation="RANK",
               hold=600)
    return told


def place_at_once(shop, act, number, buyer=None):
    """Orders of many lines that go into one block of some pages, which is worth compressing; when
    they have the same buyer, its ids too."""
    for one in (order(act, number + i) for i in range(40)):
        lines = [(FILL, 1 + (one >> 2 * i) % 2**27, 0) for i in range(32)]
        fields, rows = shop.placing(one, lines, customer=buyer or one ^ 2**127, flags="PAID")
        shop.queue("order.place", rows, **fields)
    shop.flush()


def hold_sales(shop, act):
    """A sale with all terms and pools, one with none, and one that ends."""
    terms = {"opens": act, "closes": FAR_US, "points_max": 400, "hold": 600, "hold_max": 3600,
             "points_share": 5000, "rate_points": 3, "rate_money": 2, "customer_sku_max": 4,
             "customer_sale_max": 6, "flags": "FAIL_AT_ONCE"}
    full, plain, short = 10 * act + 1, 10 * act + 2, 10 * act + 3
    buyer, saver = customer(act, BUYER), customer(act, SAVER)
    shop.call("sale.put", sale=full, **terms,
              rows=[{"sku": TEE, "warehouse": 1, "quantity": 30},
                    {"sku": TEE, "warehouse": 2, "quantity": 10},
                    {"sku": CUP, "warehouse": 1, "quantity": 8}])
    shop.call("sale.open", sale=full)
    shop.place(order(act, 201), (TEE, 2, 0), sale=full, customer=buyer, points=10_000)
    shop.place(order(act, 202), (TEE, 2, 0), (CUP, 2, 0), sale=full, customer=buyer, hold=9999)
    shop.place(order(act, 203), (TEE, 1, 0), sale=full, customer=buyer, outcome="CUSTOMER_LIMIT")
    shop.place(order(act, 203), (TEE, 4, 0), sale=full, customer=saver, points=100, hold=50)
    shop.place(order(act, 204), (TEE, 38, 0), sale=full, customer=order(act, 204),
               allocation="RANK", flags="PARTIAL", outcome="CUSTOMER_LIMIT")
    shop.call("sale.pause", sale=full)
    shop.call("sale.put", sale=full, **{**terms, "hold": 700, "points_max": 90},
              rows=[{"sku": TEE, "warehouse": 1, "quantity": 20}])
    shop.call("sale.open", sale=full)
    shop.place(order(act, 204), (TEE, 1, 0), (TEE, 1, 0), sale=full, customer=order(act, 204))
    shop.call("hold.extend", order=order(act, 201), hold=604800)
    shop.pay(order(act, 202), 1, status="FAILURE")
    shop.pay(order(act, 203), 1, status="FAILURE")
    shop.pay(order(act, 203), shop.get(order(act, 203))["money_due"])

    shop.call("sale.put", sale=plain)
    shop.call("sale.open", sale=plain)
    shop.place(order(act, 211), (TEE, 3, 0), (CUP, 3, 0), sale=plain, customer=buyer,
               allocation="RANK")
    shop.place(order(act, 212), (TEE, 1, 0), sale=plain, customer=buyer, flags="PAID")
    shop.call("order.cancel", order=order(act, 211))

    shop.call("sale.put", sale=short, customer_sale_max=9,
              rows=[{"sku": CUP, "warehouse": 2, "quantity": 5}])
    shop.call("sale.open", sale=short)
    shop.place(order(act, 221), (CUP, 2, 0), sale=short, customer=buyer)
    shop.place(order(act, 222), (CUP, 1, 0), sale=short, customer=buyer)
    shop.call("sale.close", sale=short)
    shop.call("order.cancel", order=order(act, 221))


def spend_points(shop, act):
    """Points are held, spent, given back and returned, from several lots."""
    saver = customer(act, SAVER)
    due = shop.place(order(act, 301), (TEE, 1, 0), customer=saver, points=350)["money_due"]
    shop.pay(order(act, 301), due)
    shop.call("order.cancel", order=order(act, 301))
    shop.place(order(act, 302), (CUP, 1, 0), customer=saver, points=5000)
    check_equal(shop.get(order(act, 302))["state"], "CONFIRMED", "an order that points pay")
    shop.place(order(act, 303), (TEE, 1, 0), customer=saver, points=150, flags="POINTS_EXACT")
    shop.call("hold.release", order=order(act, 303))
    shop.pay(order(act, 303), PRICES[TEE] - 150)
    check_equal(shop.get(order(act, 303))["state"], "CONFIRMED", "an order with points, retaken")
    shop.place(order(act, 304), (TEE, 1, 0), customer=saver, points=50)


def orders_in_every_state(shop, act, number):
    """One order of each state that there is, in a fixed order, each of one tee."""
    numbers = [order(act, number + i) for i in range(5)]
    pending, confirmed, expired, failed, cancelled = numbers
    for one in numbers:
        sale = {"sale": 10 * act + 1} if one == failed else {}
        shop.place(one, (TEE, 1, 0), customer=one, **sale)
    shop.pay(confirmed, PRICES[TEE], provider=PROVIDER + 1)
    shop.call("hold.release", order=expired)
    shop.pay(failed, PRICES[TEE], status="FAILURE")
    shop.call("order.cancel", order=cancelled)
    states = [shop.get(one)["state"] for one in numbers]
    check_equal(states, ["PENDING", "CONFIRMED", "EXPIRED", "FAILED", "CANCELLED"], "the states")
    return numbers


def pay_in_every_way(shop, numbers):
    """docs/rules.md's table of payments, all of it."""
    for one in numbers:
        is_pending = shop.get(one)["state"] == "PENDING"
        shop.pay(one, PRICES[TEE], currency=USD, outcome="AMOUNT_MISMATCH")
        shop.pay(one, PRICES[TEE] - 1, outcome="AMOUNT_MISMATCH" if is_pending else "OK")
        if shop.get(one)["state"] != "FAILED":
            shop.pay(one, PRICES[TEE], status="FAILURE")
        shop.pay(one, PRICES[TEE])
    states = [shop.get(one)["state"] for one in numbers]
    check_equal(states, ["CONFIRMED"] * 4 + ["CANCELLED"], "the states when paid")


def pay_what_is_gone(shop, act):
    """Money for an order whose units another order has by now is due for refund."""
    shop.call("stock.adjust", sku=RARE, warehouse=2, delta=1)
    shop.place(order(act, 401), (RARE, 1, 2), customer=customer(act, BUYER))
    shop.call("hold.release", order=order(act, 401))
    shop.place(order(act, 402), (RARE, 1, 2), customer=customer(act, SAVER), flags="PAID")
    shop.pay(order(act, 401), PRICES[RARE])
    check_equal(shop.get(order(act, 401))["money"], "REFUND_DUE", "what was paid too late")


def move_stock(shop, act):
    """Units that are moved, set aside, brought back and discarded; warehouses that take no orders;
    a zone, and orders that are sent from the cheapest of its warehouses and then from another."""
    buyer = customer(act, BUYER)
    shop.call("stock.adjust", sku=LAMP, warehouse=1, delta=30)
    shop.call("stock.transfer", sku=LAMP, quantity=20, **{"from": 1, "to": 2})
    shop.call("stock.unsellable", sku=LAMP, warehouse=2, delta=5)
    shop.call("stock.unsellable", sku=LAMP, warehouse=2, delta=-2)
    shop.call("stock.unsellable", sku=LAMP, warehouse=2, delta=-1, flags="DISCARD")
    shop.call("zone.put", zone=act, rows=[{"warehouse": 1, "cost": 900},
                                          {"warehouse": 2, "cost": 400}])
    shop.place(order(act, 901), (LAMP, 2, 0), (LAMP, 1, 0), customer=buyer, zone=act,
               allocation="CHEAPEST", flags="PAID")
    shop.call("warehouse.put", warehouse=2, state="DRAINING")
    shop.place(order(act, 902), (LAMP, 1, 0), customer=buyer, zone=act, allocation="CHEAPEST")
    shop.call("warehouse.put", warehouse=2, state="OFFLINE")
    shop.call("order.reallocate", order=order(act, 901), allocation="RANK")
    shop.call("warehouse.put", warehouse=2, state="ONLINE")
    shop.call("order.reallocate", order=order(act, 902), warehouse=1, to=2,
              allocation="EXPLICIT")
    shop.call("warehouse.put", warehouse=9, state="OFFLINE")


def ship_and_refund(shop, act):
    """Orders on their way and back, with money that goes back in each way that there is."""
    buyer = customer(act, BUYER)
    refunds = iter(range(10**7 * act + 1, 10**7 * act + 99))

    def refund(number, kind, status=None, rows=(), **fields):
        one = order_id(next(refunds))
        shop.call("refund.begin", rows=rows, refund=one, order=number, kind=kind, **fields)
        if status is not None:
            shop.call("refund.finish", refund=one, status=status)

    whole, parts, once = (order(act, number) for number in (911, 912, 913))
    for one in (whole, parts):
        shop.place(one, (TEE, 3, 1), (CUP, 4, 2), (TEE, 1, 0), customer=buyer, points=70,
                   allocation="RANK")
        shop.pay(one, shop.get(one)["money_due"])
    shop.call("order.ship", order=whole, courier=3, tracking=f"parcel-{act}")
    shop.call("order.deliver", order=whole)
    shop.call("order.return", order=whole, rows=[
        {"line": 1, "quantity": 1, "fate": "RESTOCK"},
        {"line": 2, "quantity": 2, "fate": "SCRAP", "warehouse": 3}])
    refund(whole, "LINES", "SUCCESS", rows=[{"line": 1, "quantity": 1}, {"line": 2, "quantity": 2}])
    refund(whole, "AMOUNT", "FAILURE", amount=100, reason="late")
    refund(whole, "DUE")
    shop.call("order.ship", order=parts, rows=[{"line": 1, "quantity": 2},
                                               {"line": 2, "quantity": 1, "warehouse": 2}])
    shop.call("order.deliver", order=parts, rows=[{"line": 1, "quantity": 1}])
    refund(parts, "LINES", rows=[{"line": 2, "quantity": 1}])
    shop.place(once, (TEE, 1, 0), customer=buyer, flags="PAID")
    shop.call("order.ship", order=once)

    accepted, refused = order(act, 914), order(act, 915)
    for one, settlement in ((accepted, "ACCEPT"), (refused, "REFUND")):
        shop.place(one, (TEE, 1, 0), customer=buyer)
        event = shop.pay_with_bytes(one, PRICES[TEE] - 1, b"reference of the provider")
        shop.call("payment.settle", event=event, provider=PROVIDER, settlement=settlement)
    shop.call("order.cancel", order=refused)


def earn_points(shop, act):
    """Points that are promised, earned, taken back, owed and corrected."""
    earner, sale = customer(act, EARNER), 10 * act + 4
    shop.call("points.terms", earn_points=1, earn_money=10, return_window=1, earn_life=86400)
    shop.call("sale.put", sale=sale, earn_points=3, earn_money=7, return_window=604800)
    shop.call("sale.open", sale=sale)
    for number, fields in ((921, {}), (922, {}), (923, {"sale": sale}), (924, {"sale": sale})):
        shop.place(order(act, number), (TEE, 1, 0), customer=earner, flags="PAID", **fields)
    wait_until(lambda: shop.call("points.balance", customer=earner).body["balance"] > 0,
               "the end of a return window")
    shop.call("points.adjust", customer=earner, delta=-150, reason="a slip")
    for number in (921, 923):
        shop.call("order.cancel", order=order(act, number))
    shop.call("points.adjust", customer=earner, delta=500, expires=FAR_US,
              reason="goodwill")
    shop.call("points.terms")


def let_time_pass(shop, act):
    """Holds that end, and lots that expire, one of them while an order holds points of it."""
    buyer, holder, loser = (customer(act, role) for role in (BUYER, HOLDER, LOSER))
    soon = shop.now_us() + 1_500_000
    for one in (holder, loser):
        shop.call("points.credit", customer=one, points=100, expires=soon)
    shop.place(order(act, 501), (TEE, 1, 0), customer=holder, points=60)
    shop.place(order(act, 502), (TEE, 1, 0), (CUP, 2, 0), customer=buyer, hold=1, points=7)
    shop.place(order(act, 503), (TEE, 2, 0), customer=buyer, hold=1)
    shop.place(order(act, 504), (TEE, 1, 0), customer=buyer)
    shop.place(order(act, 505), (TEE, 1, 0), customer=buyer, hold=1)
    shop.call("hold.extend", order=order(act, 504), hold=1)
    shop.call("hold.extend", order=order(act, 505), hold=3600)
    for number in (502, 503, 504):
        shop.wait_expired(order(act, number))
    time.sleep(max(0, soon - shop.now_us()) / 10**6 + 0.1)
    shop.call("order.cancel", order=order(act, 501))
    shop.call("points.credit", customer=loser, points=50)
    shop.place(order(act, 506), (TEE, 1, 0), customer=loser, points=40)


def pay_as_the_hold_ends(shop, act):
    """A payment that comes before hold.expire ends the hold itself: two steps of one seq."""
    for number in range(600, 620):
        one = order(act, number)
        ends = shop.place(one, (TEE, 1, 0), customer=customer(act, BUYER), hold=1)["hold_ends"]
        time.sleep(max(0, ends - shop.now_us()) / 10**6 + 0.002)
        shop.pay(one, PRICES[TEE])
        steps = shop.call("order.history", order=one).rows
        if len(steps) == 3 and steps[1]["seq"] == steps[2]["seq"]:
            return
    raise AssertionError("hold.expire is always earlier")


def trade(shop, act):
    """Every command, in every variant; returns what the server answered in the middle of a
    block."""
    change_stock(shop, act)
    credit_points(shop, act)
    told = place_all_kinds(shop, act)
    place_at_once(shop, act, 700, customer(act, BUYER))
    hold_sales(shop, act)
    spend_points(shop, act)
    pay_in_every_way(shop, orders_in_every_state(shop, act, 410))
    pay_what_is_gone(shop, act)
    move_stock(shop, act)
    ship_and_refund(shop, act)
    earn_points(shop, act)
    let_time_pass(shop, act)
    pay_as_the_hold_ends(shop, act)
    shop.settle()
    return told


def go_on_with_the_first_trade(shop, left):
    """The log after the snapshot uses orders, sales and lots that the snapshot has."""
    pay_in_every_way(shop, left)
    shop.call("hold.release", order=order(1, 201))
    shop.call("hold.extend", order=order(1, 150), hold=1)
    shop.call("order.cancel", order=order(1, 302))
    shop.pay(order(1, 304), PRICES[TEE] - 50)
    shop.call("order.cancel", order=order(1, 222))
    shop.place(order(2, 1000), (TEE, 1, 0), sale=11, customer=customer(1, BUYER), points=9000)
    shop.place(order(2, 1001), (TEE, 4, 0), sale=11, customer=customer(1, BUYER),
               outcome="CUSTOMER_LIMIT")
    shop.call("sale.close", sale=11)
    shop.wait_expired(order(1, 150))


def pages_left(segment):
    """The end of the last block that has commands; a seal after it is overwritten."""
    end = [block for block in formats.blocks(segment) if block.command_count > 0][-1]
    return (segment.stat().st_size - end.offset - end.block_size) // PAGE


def fill_the_segment(shop, folder, archive):
    """One order to a block until one page is left, then a block that is larger: it goes to the next
    segment, and the archive gets this one."""
    number = 1
    while (left := pages_left(segments(folder)[0])) > 1:
        for number in range(number, number + max(1, left // 2)):
            shop.place(number, (FILL, 1, 1), customer=1 + number % 50, flags="PAID")
        number += 1
    place_at_once(shop, 1, 800)
    wait_until(lambda: list(archive.glob("log-*.till")), "the archive")


def queries():
    asked = ["stats", "stock.get name=tee " + " ".join(
        f"item={sku}/{warehouse}" for sku in PRICES for warehouse in (0, *WAREHOUSES))]
    for act in (1, 2):
        asked += [f"points.balance customer={customer(act, role):032x}"
                  for role in (BUYER, SAVER, HOLDER, LOSER, EARNER)]
        asked += [f"{name} customer={customer(act, EARNER):032x}"
                  for name in ("points.lots", "points.ledger")]
        asked += [f"{name} order={order(act, number):032x}" for number in (911, 912)
                  for name in ("order.parcels", "order.money")]
        asked.append(f"refund.get refund={order_id(10**7 * act + 1):032x}")
        for number in (113, 203, 301, 303, 401, 413, 414, 502, 901, 902, 911, 912, 914, 915, 923):
            asked += [f"{name} order={order(act, number):032x}"
                      for name in ("order.get", "order.history")]
    return asked


def check_log_covers(run, folder, seq):
    """Checks that every logged command is in the log up to the seq of the snapshot, and after
    it."""
    due = {message.name for message in PROTOCOL.messages.values()
           if message.kind in ("COMMAND", "INTERNAL")}
    logged = [json.loads(line) for line in run.till("log", folder).stdout.splitlines()]
    for part in ([row for row in logged if row["seq"] <= seq],
                 [row for row in logged if row["seq"] > seq]):
        missing = due - {row["command"] for row in part}
        check(not missing, f"the log of seq {part[0]['seq']} on lacks {sorted(missing)}")


def check_blocks_cover(folder, seq):
    """Blocks of one page and of several, raw and compressed, on both sides of the snapshot, and a
    first segment that the log has left."""
    segment = segments(folder)[0]
    check(pages_left(segment) <= 1, "the first segment is not full")
    every = [block for path in segments(folder) for block in formats.blocks(path)]
    for part in ([block for block in every if block.seq_first <= seq],
                 [block for block in every if block.seq_first > seq]):
        check(any(block.block_size > PAGE for block in part), "no block has two pages")
        check(any(block.ids_stored < block.ids_size for block in part), "no ids are compressed")
        check(any(block.fields_stored < block.fields_size for block in part),
              "no fields are compressed")


def check_covers(run, folder):
    image = snapshots(folder)[0]
    seq = formats.image_seq(image)
    empty = [name for name, count in formats.image_tables(image).items() if count < 2]
    check(not empty, f"the snapshot has no records of {empty}")
    check_log_covers(run, folder, seq)
    check_blocks_cover(folder, seq)


def check_inside(folder, seq):
    last = {block.seq_first + block.command_count - 1
            for path in segments(folder) for block in formats.blocks(path)}
    check(seq not in last, f"seq {seq} should be inside of a block: run it again")


def check_same(recorded, live):
    """A folder answers as the server did. Only the time in stats is left out: where the log is
    replayed to that moment it is the time of the last change, elsewhere that of the query, or of
    the snapshot."""
    del live["stats"]["time"]
    del recorded["stats"]["time"]
    for query, answer in live.items():
        check(formats.is_told(answer, recorded[query]), f"{query}: {recorded[query]}, not {answer}")


def record_moments(run, folder, archive, told):
    """What the folder answers at each moment, compared with what the server answered then: all its
    answers, or, in the middle of a block, its stats alone."""
    moments = []
    for what, then in told:
        seq = then["seq"] if "seq" in then else then["stats"]["seq"]
        answers = formats.ask(run, queries(), "--data", folder, "--archive", archive, "--seq", seq,
                              *formats.capacity_options(harness.SMALL))
        if "stats" in then:
            check_same(answers, then)
        else:
            check_inside(folder, seq)
            check_equal(int(answers["stats"]["digest"], 16), then["digest"], "the digest")
        moments.append({"what": what, "seq": seq, "answers": answers})
    return moments


def write_shop(run):
    """The folders, and the record of them."""
    folder, archive = run.root / "data", run.root / "archive"
    shop = Shop(run, folder, ("--log-segment", str(SEGMENT_MIB), "--archive", str(archive),
                              "--snapshot-every", "0"))
    open_shop(shop)
    shop.come_back_later()
    shop.begin_epoch()
    told = [("inside of a block before the snapshot", trade(shop, 1))]
    left = orders_in_every_state(shop, 1, 420)
    told.append(("the snapshot", formats.ask(run, queries(), "--connect", shop.address)))
    check_equal(shop.snapshot(folder), told[-1][1]["stats"]["seq"], "the snapshot's seq")
    fill_the_segment(shop, folder, archive)
    go_on_with_the_first_trade(shop, left)
    shop.come_back_later()
    shop.begin_epoch()
    told.append(("inside of a block behind the snapshot", trade(shop, 2)))
    told.append(("the end", formats.ask(run, queries(), "--connect", shop.address)))
    again = []
    for number in (order(1, 113), order(2, 124)):
        fields, rows = shop.placed[number]
        reply = shop.call("order.place", "REPLAYED", rows, **fields)
        again.append({"fields": fields, "rows": rows, "reply": reply.body,
                      "reply_rows": reply.rows})
    shop.server.kill()
    run.verify(folder)
    check_covers(run, folder)
    return {"capacities": harness.SMALL, "segment_mib": SEGMENT_MIB,
            "moments": record_moments(run, folder, archive, told), "again": again}


def dump(record):
    """As JSON with one answer a line, so that a person can read it."""
    text = json.dumps({name: value for name, value in record.items() if name != "moments"})
    moments = []
    for moment in record["moments"]:
        answers = ",\n".join(f"   {json.dumps(query)}: {json.dumps(answer)}"
                             for query, answer in moment["answers"].items())
        moments.append(f'  {{"what": {json.dumps(moment["what"])}, "seq": {moment["seq"]}, '
                       f'"answers": {{\n{answers}\n  }}}}')
    return text[:-1] + ',\n "moments": [\n' + ",\n".join(moments) + "\n ]}\n"


def anonymous(entry):
    """The owner and times of the files are not kept, nor are half-made files."""
    if entry.name.endswith(".partial"):
        return None
    entry.mtime = entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    return entry


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("binary", type=Path)
    parser.add_argument("name", help="the next number; its files must not be there yet")
    parser.add_argument("--scratch", help="where the shop is made (a real disk)")
    arguments = parser.parse_args()
    arguments.binary = str(arguments.binary.resolve())
    arguments.seed = 0
    packed = formats.FOLDER / f"{arguments.name}.tar.xz"
    if packed.exists():
        parser.error(f"{packed} is there: what a release wrote is not written again")
    written = []

    def write(run):
        written.append(write_shop(run))
        for note in (run.root / "data").glob("clock*"):
            note.unlink()  # it names this machine
        with tarfile.open(packed, "w:xz", preset=9) as target:
            for part in ("data", "archive"):
                target.add(run.root / part, part, filter=anonymous)

    if not harness.run_one(write, arguments):
        sys.exit(1)
    packed.with_name(f"{arguments.name}.json").write_text(dump(written[0]))
    print(f"{packed}: {packed.stat().st_size} bytes, {written[0]['moments'][-1]['seq']} changes")


main()
