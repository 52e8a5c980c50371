"""Every message over the wire, with right and with wrong values, seen by an independent client.

The client knows nothing but docs/protocol.md, so what passes here also shows that the document is
complete and true, its worked example included.
"""

import re
import time

import harness
from harness import check, check_equal, test
from shop import state_of
from till_client import (
    CHECKSUMS, DOCUMENT, MAGIC, OPERATOR, PROTOCOL, Client, Connection, ServerError, decode_reply,
    encode_body, encode_frame)
from xxh3 import xxh3_64

WEEK_SECONDS = 604800
BIG = 10**15
USD = 840
EUR = 978


def expect(reply, outcome, **fields):
    """Checks the outcome, and the given fields of the body."""
    check_equal(reply.outcome, outcome, f"the outcome of {reply}")
    for name, value in fields.items():
        check_equal(reply.body[name], value, f"{name} of {reply}")
    return reply


class Keys:
    """Fresh keys and ids."""

    def __init__(self, run):
        self.random = run.random

    def __call__(self):
        return self.random.getrandbits(128) | 1


def stock_up(client, key, sku, price, units, warehouse=1, currency=USD, name=""):
    expect(client.call("sku.put", key=key(), sku=sku, price=price, currency=currency, name=name),
           "OK")
    expect(client.call("stock.adjust", key=key(), sku=sku, delta=units, warehouse=warehouse), "OK")


def line(sku, quantity, price, warehouse=0):
    return {"sku": sku, "quantity": quantity, "price": price, "warehouse": warehouse}


def stock_of(client, sku, warehouse=0):
    return client.call("stock.get", rows=[{"sku": sku, "warehouse": warehouse}]).rows[0]


def hex_blocks():
    """The bytes of each fenced block of the document's example."""
    text = DOCUMENT.read_text().split("## Example")[1].split("## Tables")[0]
    blocks = re.findall(r"```\n(.*?)```", text, re.DOTALL)
    return [bytes.fromhex("".join(re.match(r"((?:[0-9a-f]{2} ?)+)", row)[1] for row in
                                  block.splitlines())) for block in blocks]


@test
def checksums_have_the_known_values(run):
    for size, expected in ((17, 0xF34C3C9CF5A112D1), (24, 0x25DA37B787C3B790),
                           (128, 0x65F3C2C00FA93185), (129, 0x28065C6EC25F5B25),
                           (240, 0x4917A75C0EF8EED7), (241, 0x541B19226F0052E8),
                           (1024, 0xDC5ACF0B043C445B), (1025, 0xE1D9CD946277AE26),
                           (8192, 0x123CF9563B488D3E)):
        check_equal(xxh3_64(bytes(i * 7 & 255 for i in range(size))), expected, f"XXH3 of {size}")


@test
def tables_are_those_of_the_source(run):
    for document in (DOCUMENT, DOCUMENT.with_name("operations.md")):
        result = run.till("protocol", "--check", document)
        check_equal(result.returncode, 0, f"the exit code for {document}; {result.stderr}")


@test
def worked_example_is_true(run):
    server = run.serve()
    key = Keys(run)
    hello, order, accepted, rejected = hex_blocks()
    with server.client() as shop:
        stock_up(shop, key, 42, 1999, 3)
    with Connection(server.address) as connection:
        connection.send(hello)
        expect(decode_reply(connection.receive()), "OK", version=1, features=0)
        connection.send(order)
        answer = connection.receive()
        ends = decode_reply(answer).body["hold_ends"]
        stated = decode_reply(accepted).body["hold_ends"]
        check_equal(answer.replace(ends.to_bytes(8, "little"), stated.to_bytes(8, "little")),
                    accepted, "the reply to the order of the example")
        # The same with another order id; its seq is the last one the server gave out.
        connection.send(order.replace((1001).to_bytes(2, "little"), (1002).to_bytes(2, "little")))
        answer = connection.receive()
        check_equal(answer[:16] + answer[24:], rejected[:16] + rejected[24:], "the rejection")
    run.finish(server)


@test
def hello_tells_limits_and_agrees_on_features(run):
    server = run.serve()
    asked = ({}, 0), ({"checksum": True}, CHECKSUMS), ({"operator": True}, OPERATOR)
    for options, features in asked:
        with Client(server.address, **options) as client:
            check_equal(client.hello["version"], 1, "version")
            check_equal(client.hello["features"], features, "features")
            check_equal(client.hello["frame_size_max"], 8192, "frame_size_max")
            check_equal(client.hello["role"], "PRIMARY", "role")
            check(client.in_flight_max >= 64, "in_flight_max is large enough to pipeline")
            check(abs(client.hello["time"] / 1e6 - time.time()) < 60, "the server knows the time")
            expect(client.call("stats"), "OK", orders=0)
    run.finish(server)


@test
def every_message_does_its_work(run):
    server = run.serve(options=("--indexes", "on"))
    key = Keys(run)
    customer, order, other = key(), key(), key()
    used = {"hello"}
    with Client(server.address, checksum=True) as client:

        def call(name, /, rows=(), **fields):
            used.add(name)
            return expect(client.call(name, rows, **fields), "OK")

        def told(reply, **fields):
            expect(reply, "OK", **fields)

        told(call("tables"), table_count=26)
        told(call("sku.put", key=key(), sku=7, price=1999, currency=USD, name="shoe"), seq=1)
        told(call("stock.adjust", key=key(), sku=7, delta=10, warehouse=1), seq=2, on_hand=10,
             available=10, order_count=0)
        told(call("stock.set", key=key(), sku=7, expected=0, on_hand=5, warehouse=2), on_hand=5)
        terms = {"sale": 3, "hold": 600, "hold_max": 1200, "points_share": 5000, "rate_points": 1,
                 "rate_money": 1, "customer_sku_max": 4, "customer_sale_max": 6}
        told(call("sale.put", key=key(), rows=[{"sku": 7, "quantity": 6, "warehouse": 1}], **terms),
             state="READY")
        told(call("sale.open", key=key(), sale=3), state="OPEN")
        told(call("sale.pause", key=key(), sale=3), state="PAUSED")
        told(call("sale.open", key=key(), sale=3), state="OPEN")
        told(call("points.credit", key=key(), customer=customer, points=500), balance=500,
             available=500)
        told(call("points.adjust", key=key(), customer=customer, delta=100, reason="goodwill"),
             balance=600)
        told(call("points.adjust", key=key(), customer=customer, delta=-100, reason="a slip"),
             balance=500)
        placed = call("order.place", order=order, customer=customer, points=300, sale=3,
                      currency=USD, rows=[line(7, 2, 1999)])
        told(placed, total=3998, points_used=300, points_value=300, money_due=3698,
             state="PENDING", currency=USD, take_count=1)
        check_equal(placed.rows, [{"line": 1, "reserved": 0, "quantity": 2, "warehouse": 1,
                                   "reserved2": 0}], "takes")
        told(call("points.balance", customer=customer), balance=500, held=300, available=200,
             next_expiry=0)
        told(call("hold.extend", key=key(), order=order, hold=1000), state="PENDING", version=2,
             money="DUE")
        told(call("payment.event", event=key(), order=order, amount=3698, provider=1,
                  status="SUCCESS", currency=USD), state="CONFIRMED", money="CAPTURED", hold_ends=0)
        shown = call("order.get", order=order)
        told(shown, customer=customer, total=3998, captured=3698, state="CONFIRMED",
             money="CAPTURED", sale=3, version=3)
        check_equal(shown.rows[0]["allocated"], 2, "pieces allocated")
        told(call("order.cancel", key=key(), order=order), state="CANCELLED", money="REFUND_DUE",
             refund_due=3698)
        steps = call("order.history", order=order).rows
        check_equal([step["state"] for step in steps],
                    ["PENDING", "PENDING", "CONFIRMED", "CANCELLED"], "history")
        check_equal([step["version"] for step in steps], [1, 2, 3, 4], "versions")
        call("order.place", order=other, customer=customer, rows=[line(7, 1, 1999, 2)])
        told(call("hold.release", key=key(), order=other), state="EXPIRED")
        levels = call("stock.get", name="shoe", rows=[{"sku": 7, "warehouse": 1}]).rows
        check_equal([level["on_hand"] for level in levels], [15, 10], "on_hand")
        check_equal([level["available"] for level in levels], [9, 4], "available")
        call("points.terms", key=key(), earn_points=1, earn_money=10, return_window=60)
        call("order.place", order=key(), customer=customer, flags="PAID",
             rows=[line(7, 1, 1999, 2)])
        told(call("points.balance", customer=customer), balance=500, promised=199, owed=0)
        lots = call("points.lots", customer=customer).rows
        check_equal([lot["left"] for lot in lots], [400, 100], "lots")
        entries = call("points.ledger", customer=customer).rows
        check_equal([entry["kind"] for entry in entries],
                    ["RETURN", "SPEND", "HOLD", "ADJUST", "ADJUST", "CREDIT"], "the ledger")
        told(call("sale.close", key=key(), sale=3), state="CLOSED")
        check_equal(stock_of(client, 7, 1)["available"], 10, "available after the sale")
        moved = call("stock.transfer", key=key(), sku=7, quantity=3, **{"from": 1, "to": 2})
        check_equal([(level["warehouse"], level["on_hand"], level["available"])
                     for level in moved.rows], [(1, 7, 7), (2, 8, 7)], "levels")
        told(call("stock.unsellable", key=key(), sku=7, delta=1, warehouse=2), on_hand=8,
             available=6)
        told(call("refund.begin", refund=order, order=order, kind="DUE"), amount=3698,
             state="CANCELLED", money="CAPTURED")
        told(call("refund.finish", refund=order, status="SUCCESS"), state="SUCCEEDED",
             money="REFUNDED")
        told(call("refund.get", refund=order), order=order, amount=3698, kind="DUE")
        told(call("order.money", order=order), refunded=3698, refund_count=1)
        sold, event = key(), key()
        call("order.place", order=sold, customer=customer, rows=[line(7, 2, 1999, 1)])
        client.call("payment.event", event=event, order=sold, amount=3000, provider=1,
                    status="SUCCESS", currency=USD, opaque_count=1, opaque_size=2,
                    rows=[{"bytes": 0x6261}])
        concerns = call("attention.list", kind="PARKED").rows
        check_equal([(row["order"], row["event"], row["amount"]) for row in concerns],
                    [(sold, event, 3000)], "what is parked")
        told(call("payment.settle", key=key(), event=event, provider=1, settlement="ACCEPT"),
             state="CONFIRMED")
        kept = call("payment.get", event=event, provider=1)
        told(kept, order=sold, settlement="ACCEPT", opaque_size=2)
        check_equal(kept.rows, [{"bytes": 0x6261}], "the bytes of the event")
        told(call("order.reallocate", key=key(), order=sold, warehouse=1, allocation="RANK"),
             version=4)
        told(call("order.ship", key=key(), order=sold, courier=2, tracking="T1"), state="SHIPPED")
        told(call("order.deliver", key=key(), order=sold), state="DELIVERED")
        told(call("order.return", key=key(), order=sold,
                  rows=[{"line": 1, "quantity": 1, "fate": "RESTOCK"}]), state="DELIVERED")
        parcels = call("order.parcels", order=sold).rows
        check_equal([(parcel["state"], parcel["units"], parcel["tracking"]) for parcel in parcels],
                    [("DELIVERED", 2, ""), ("SHIPPED", 2, "T1")], "parcels")
        told(call("warehouse.put", key=key(), warehouse=1, state="DRAINING"), state="DRAINING",
             orders=0, units=0)
        call("zone.put", key=key(), zone=200,
             rows=[{"warehouse": 2, "cost": 490}, {"warehouse": 1, "cost": 350}])
        placed = call("order.place", order=key(), customer=customer, allocation="CHEAPEST",
                      zone=200, rows=[line(7, 1, 1999)])
        check_equal(placed.rows[0]["warehouse"], 2, "the warehouse that takes orders")
        told(call("sale.get", sale=3), state="CLOSED", pools=1, cancelled=1, indexed=1)
        found = call("order.list", customer=customer, state="DELIVERED")
        told(found, next=0)
        check_equal([row["order"] for row in found.rows], [sold], "orders delivered")
        told(call("stats"), skus=1, stocks=2, sales=1, customers=1, orders=5, expired=1,
             cancelled=1, payments=2, refund_orders=0)
        asked = call("snapshot")
        deadline = time.monotonic() + 30
        seq = asked.body["seq"]
        while call("snapshot", seq=seq).body["seq_published"] < seq:
            check(time.monotonic() < deadline, "the snapshot is published")
            time.sleep(0.01)
    # Those between servers, and those that decide which of them is the primary, need two servers.
    outside = {"error", "member.seal", "member.promote", "member.follow", "replicas"}
    outside |= {name for name, message in PROTOCOL.messages.items()
                if message.kind in ("INTERNAL", "LINK")}
    check_equal(used, PROTOCOL.messages.keys() - outside, "messages used")
    run.finish(server)


@test
def wrong_values_are_rejected_and_change_nothing(run):
    """Each rejection of rules.md that a single request can cause, with its subject and value."""
    server = run.serve()
    key = Keys(run)
    customer, pending, ended, paid = key(), key(), key(), key()
    event = key()
    with Client(server.address) as client:
        stock_up(client, key, 1, 100, 5, name="one")
        stock_up(client, key, 2, 200, 50, currency=EUR)
        expect(client.call("sale.put", key=key(), sale=1, points_share=10000, rate_points=1,
                           rate_money=1, points_max=50, customer_sku_max=2), "OK")
        expect(client.call("sale.open", key=key(), sale=1), "OK")
        expect(client.call("sale.put", key=key(), sale=2), "OK")
        expect(client.call("points.credit", key=key(), customer=customer, points=80), "OK")
        for order in (pending, ended, paid):
            expect(client.call("order.place", order=order, customer=customer, currency=USD,
                               rows=[line(1, 1, 100)]), "OK")
        expect(client.call("hold.release", key=key(), order=ended), "OK")
        expect(client.call("warehouse.put", key=key(), warehouse=9, state="OFFLINE"), "OK")
        payment = {"provider": 1, "status": "SUCCESS", "currency": USD}
        expect(client.call("payment.event", event=event, order=paid, amount=100, **payment), "OK")
        before = client.call("stats").body

        def reject(outcome, name, /, rows=(), subject=None, value=None, **fields):
            reply = expect(client.call(name, rows, **fields), outcome, seq=before["seq"])
            if subject is not None:
                check_equal(reply.body["subject"], subject, f"subject of {reply}")
            if value is not None:
                check_equal(reply.body["value"], value, f"value of {reply}")

        def place(outcome, rows, subject=None, value=None, **fields):
            fields = {"order": key(), "customer": customer, "currency": USD} | fields
            reject(outcome, "order.place", rows, subject, value, **fields)

        reject("INVALID", "stock.adjust", subject=1, sku=1, warehouse=1, delta=1)
        reject("INVALID", "sku.put", subject=2, key=key(), price=1, currency=USD)
        reject("INVALID", "sku.put", subject=3, key=key(), sku=1, price=-1, currency=USD)
        reject("INVALID", "sku.put", subject=3, key=key(), sku=1, price=BIG + 1, currency=USD)
        reject("INVALID", "sku.put", subject=4, key=key(), sku=1, price=1)
        reject("INVALID", "sku.put", subject=4, key=key(), sku=1, price=1, currency=1000)
        reject("INVALID", "sku.put", subject=7, key=key(), sku=3, price=1, currency=1, name="one")
        reject("NOT_FOUND", "stock.adjust", key=key(), sku=9, delta=1, warehouse=1)
        reject("INVALID", "stock.adjust", subject=3, key=key(), sku=1, warehouse=1)
        reject("INVALID", "stock.adjust", subject=4, key=key(), sku=1, delta=1)
        reject("STOCK_BELOW_RESERVED", "stock.adjust", subject=1, value=2, key=key(), sku=1,
               delta=-4, warehouse=1)
        reject("OVERFLOW", "stock.adjust", value=10**12, key=key(), sku=1, delta=10**12,
               warehouse=1)
        reject("STALE_VERSION", "stock.set", value=5, key=key(), sku=1, expected=4, on_hand=9,
               warehouse=1)
        reject("INVALID", "stock.set", subject=4, key=key(), sku=1, expected=5, on_hand=-1,
               warehouse=1)
        reject("STOCK_BELOW_RESERVED", "stock.set", subject=1, value=2, key=key(), sku=1,
               expected=5, on_hand=1, warehouse=1)
        reject("NOT_FOUND", "stock.get", name="two")
        reject("NOT_FOUND", "stock.get", subject=9, rows=[{"sku": 9}])
        reject("INVALID", "stock.get")
        reject("INVALID", "sale.put", subject=5, key=key())
        reject("INVALID", "sale.put", subject=3, key=key(), sale=5, opens=10, closes=10)
        reject("INVALID", "sale.put", subject=6, key=key(), sale=5, hold=WEEK_SECONDS + 1)
        reject("INVALID", "sale.put", subject=8, key=key(), sale=5, points_share=10001)
        reject("INVALID", "sale.put", key=key(), sale=5, rate_points=1)
        reject("NOT_FOUND", "sale.put", [{"sku": 9, "quantity": 1, "warehouse": 1}], subject=9,
               key=key(), sale=5)
        reject("INSUFFICIENT_STOCK", "sale.put", [{"sku": 1, "quantity": 4, "warehouse": 1}],
               subject=1, value=3, key=key(), sale=5)
        for name in ("sale.open", "sale.pause", "sale.close"):
            reject("NOT_FOUND", name, key=key(), sale=77)
        reject("BAD_TRANSITION", "sale.pause", subject=1, key=key(), sale=2)
        reject("BAD_TRANSITION", "sale.open", subject=2, key=key(), sale=1)
        reject("INVALID", "points.credit", subject=2, key=key(), points=1)
        reject("INVALID", "points.credit", subject=3, key=key(), customer=1)
        reject("INVALID", "points.credit", subject=4, key=key(), customer=1, points=1, expires=1)
        reject("OVERFLOW", "points.credit", value=BIG, key=key(), customer=customer, points=BIG)
        reject("NOT_FOUND", "points.balance", customer=key())
        place("INVALID", [line(1, 1, 100)], 1, order=0)
        place("INVALID", [line(1, 1, 100)], 2, customer=0)
        place("INVALID", [line(1, 1, 100)], 3, points=-1)
        place("INVALID", [line(1, 1, 100)], 5, hold=WEEK_SECONDS + 1)
        place("INVALID", [], 8)
        place("INVALID", [line(0, 1, 100)])
        place("INVALID", [line(1, 0, 100)])
        place("INVALID", [line(1, 1, -1)])
        place("INVALID", [line(1, 1, 100)], allocation="EXPLICIT")
        place("INVALID", [line(1, 1, 100)], subject=11, allocation="CHEAPEST")
        place("INVALID", [line(1, 1, 100)], subject=11, zone=5)
        place("NOT_FOUND", [line(1, 1, 100)], subject=5, allocation="CHEAPEST", zone=5)
        place("WAREHOUSE_OFFLINE", [line(1, 1, 100), line(1, 1, 100, 9)], subject=9,
              allocation="RANK")
        reject("INVALID", "stock.transfer", subject=5, key=key(), sku=1, quantity=1,
               **{"from": 1, "to": 1})
        reject("INSUFFICIENT_STOCK", "stock.transfer", subject=1, key=key(), sku=1, quantity=99,
               **{"from": 1, "to": 2})
        reject("INSUFFICIENT_STOCK", "stock.unsellable", subject=1, value=0, key=key(), sku=1,
               delta=-1, warehouse=1)
        reject("INVALID", "zone.put", subject=256 + 1, key=key(), zone=5,
               rows=[{"warehouse": 1, "cost": 0}, {"warehouse": 1, "cost": 0}])
        place("INVALID", [line(1, 1, 100, 1), line(1, 1, 100, 2)])
        place("IDEM_MISMATCH", [line(1, 2, 100)], order=pending)
        place("NOT_FOUND", [line(1, 1, 100)], 8, sale=8)
        place("SALE_NOT_OPEN", [line(1, 1, 100)], 2, 0, sale=2)
        place("NOT_FOUND", [line(9, 1, 100)], 9)
        place("CURRENCY_MISMATCH", [line(2, 1, 200)], 2, EUR)
        place("PRICE_MISMATCH", [line(1, 1, 99)], 1, 100)
        place("INSUFFICIENT_STOCK", [line(1, 4, 100)], 1, 3)
        place("SOLD_OUT", [line(1, 1, 100, 2)], 1, 0)
        place("CUSTOMER_LIMIT", [line(1, 3, 100)], 1, 2, sale=1)
        place("INSUFFICIENT_POINTS", [line(1, 1, 100)], value=80, points=90, flags="POINTS_EXACT")
        place("POINTS_CAP", [line(1, 1, 100)], value=50, points=60, sale=1, flags="POINTS_EXACT")
        reject("INVALID", "payment.event", subject=1, order=pending, amount=1, **payment)
        reject("INVALID", "payment.event", subject=2, event=key(), amount=1, **payment)
        reject("INVALID", "payment.event", subject=3, event=key(), order=1, amount=-1, **payment)
        reject("NOT_FOUND", "payment.event", event=key(), order=key(), amount=1, **payment)
        reject("EVENT_CONFLICT", "payment.event", event=event, order=paid, amount=99, **payment)
        for name in ("order.cancel", "hold.release"):
            reject("INVALID", name, subject=1, order=pending)
            reject("NOT_FOUND", name, key=key(), order=key())
        reject("BAD_TRANSITION", "order.cancel", subject=6, key=key(), order=ended)
        reject("HOLD_EXPIRED", "hold.release", key=key(), order=ended)
        reject("BAD_TRANSITION", "hold.extend", subject=2, key=key(), order=paid, hold=60)
        reject("INVALID", "hold.extend", subject=3, key=key(), order=pending)
        reject("NOT_FOUND", "hold.extend", key=key(), order=key(), hold=60)
        reject("FORBIDDEN", "hold.expire", holds=1)
        reject("FORBIDDEN", "time.jump", jump=1)
        reject("FORBIDDEN", "epoch.begin", epoch=2)
        reject("FORBIDDEN", "replica.block", size=8192)
        reject("FORBIDDEN", "replica.beat", seq=1)
        reject("FORBIDDEN", "replica.piece", size=8192)
        reject("NOT_FOUND", "order.get", order=key())
        reject("NOT_FOUND", "order.history", order=key())
        after = client.call("stats").body
        check_equal(state_of(after), state_of(before), "stats after the rejections")
        # The exception that its outcome's text names: the event is recorded as parked.
        expect(client.call("payment.event", event=key(), order=pending, amount=99, **payment),
               "AMOUNT_MISMATCH", subject=USD, value=100)
        expect(client.call("stats"), "OK", parked=1, seq=before["seq"] + 1)
    run.finish(server)


@test
def hello_of_the_first_schema_is_answered(run):
    """Hello has grown since: a client that does not know more sends 48 bytes."""
    server = run.serve()
    body = encode_body("hello", magic=MAGIC, version=1)
    for size in range(8, len(body) + 9, 8):
        with Connection(server.address) as connection:
            connection.send(encode_frame(1, 5, (body + bytes(8))[:size]))
            if size in (48, len(body)):
                expect(decode_reply(connection.receive()), "OK", version=1, role="PRIMARY")
                connection.send(encode_frame(PROTOCOL.messages["stats"].number, 6, bytes(8)))
                expect(decode_reply(connection.receive()), "OK", orders=0)
                continue
            try:
                check(False, f"hello of {size} bytes: {decode_reply(connection.receive())}")
            except ServerError as error:
                check("size" in str(error) or "short" in str(error), f"{size} bytes: {error}")
    run.finish(server)


@test
def operators_have_keys_when_others_have_none_left(run):
    options = ("--keys", "64")
    server = run.serve(options=options)

    def credit(client, key):
        return client.call("points.credit", key=key, customer=1, points=1)

    with Client(server.address) as client, Client(server.address, operator=True) as operator:
        for key in range(1, 61):
            expect(credit(client, key), "OK")
        expect(credit(client, 61), "CAPACITY", subject=17, value=60)
        expect(credit(client, 60), "REPLAYED")
        expect(client.call("sku.put", sku=1, price=100, currency=USD), "OK")
        expect(client.call("stock.set", sku=1, warehouse=1, on_hand=5), "OK")
        expect(client.call("stock.set", sku=1, warehouse=1, on_hand=6), "STALE_VERSION", value=5)
        for key in range(61, 65):
            expect(credit(operator, key), "OK")
        expect(credit(operator, 65), "CAPACITY", subject=17, value=64)
    server.kill()
    server = run.serve(server.folder, options)
    with Client(server.address) as client:
        expect(client.call("points.balance", customer=1), "OK", balance=64)
        expect(client.call("stats"), "OK", keys=64)
    run.finish(server)


@test
def a_command_sent_again_is_answered_again(run):
    server = run.serve()
    key = Keys(run)
    order, extended, released = key(), key(), key()
    place = {"customer": 5, "currency": USD, "rows": [line(1, 1, 100)]}
    commands = [
        ("sku.put", {"key": key(), "sku": 1, "price": 100, "currency": USD}, {"price": 101}),
        ("stock.adjust", {"key": key(), "sku": 1, "delta": 50, "warehouse": 1}, {"delta": 51}),
        ("stock.set", {"key": key(), "sku": 1, "expected": 50, "on_hand": 40, "warehouse": 1},
         {"on_hand": 41}),
        ("stock.adjust", {"key": key(), "sku": 1, "delta": 9, "warehouse": 3}, {"delta": 8}),
        ("stock.transfer", {"key": key(), "sku": 1, "quantity": 2, "from": 3, "to": 4},
         {"quantity": 3}),
        ("stock.unsellable", {"key": key(), "sku": 1, "delta": 1, "warehouse": 1},
         {"delta": 2}),
        ("warehouse.put", {"key": key(), "warehouse": 3, "state": "OFFLINE"}, {"state": "ONLINE"}),
        ("zone.put", {"key": key(), "zone": 1, "rows": [{"warehouse": 3, "cost": 5}]},
         {"zone": 2}),
        ("sale.put", {"key": key(), "sale": 1}, {"hold": 60}),
        ("sale.open", {"key": key(), "sale": 1}, {"sale": 2}),
        ("sale.pause", {"key": key(), "sale": 1}, {"sale": 2}),
        ("sale.close", {"key": key(), "sale": 1}, {"sale": 2}),
        ("points.credit", {"key": key(), "customer": 5, "points": 9}, {"points": 8}),
        ("order.place", {"order": order, **place}, {"customer": 6}),
        ("order.place", {"order": extended, **place}, {"hold": 6}),
        ("order.place", {"order": released, **place}, {"flags": "PAID"}),
        ("hold.extend", {"key": key(), "order": extended, "hold": 60}, {"hold": 61}),
        ("hold.release", {"key": key(), "order": released}, {"order": extended}),
        ("payment.event", {"event": key(), "order": order, "amount": 100, "provider": 1,
                           "status": "SUCCESS", "currency": USD}, {"amount": 99}),
        ("order.cancel", {"key": key(), "order": order}, {"order": extended}),
    ]
    first = []
    with Client(server.address) as client:
        for name, fields, _ in commands:
            first.append(expect(client.call(name, **fields), "OK"))
    # The second time on another connection, and the third time after a restart.
    for restart in (False, True):
        if restart:
            server.stop_clean()
            server = run.serve(server.folder)
        with Client(server.address) as client:
            for (name, fields, change), answer in zip(commands, first):
                again = expect(client.call(name, **fields), "REPLAYED")
                check_equal((again.body, again.rows), (answer.body, answer.rows),
                            f"the second answer to {name}")
                other = "EVENT_CONFLICT" if name == "payment.event" else "IDEM_MISMATCH"
                expect(client.call(name, **fields | change), other)
            expect(client.call("stats"), "OK", seq=len(commands))
    run.finish(server)


@test
def pipelined_replies_come_in_order(run):
    server = run.serve()
    key = Keys(run)
    with Client(server.address) as client:
        stock_up(client, key, 1, 100, 10**6)
        for depth in (2, 63, 64, 65, 1000, client.in_flight_max):
            expected = []
            for i in range(depth):
                name = run.random.choice(("order.place", "stock.get", "stats", "order.get"))
                fields = {"order.place": {"order": key(), "customer": 1 + i % 50, "currency": USD,
                                          "rows": [line(1, 1, 100)]},
                          "stock.get": {"rows": [{"sku": 1}] * run.random.randint(1, 64)},
                          "stats": {}, "order.get": {"order": key()}}[name]
                expected.append((client.queue(name, **fields), name))
            client.flush()
            replies = [client.receive() for _ in range(depth)]
            check_equal([(reply.request, reply.message) for reply in replies], expected, "replies")
            changes = [reply.body["seq"] for reply in replies if reply.message == "order.place"]
            check_equal(changes, sorted(set(changes)), "the seq of orders on one connection")
    run.finish(server)


@test
def largest_messages_fit(run):
    server = run.serve()
    key = Keys(run)
    order = key()
    with Client(server.address, checksum=True) as client:
        for sku in range(1, 65):
            for warehouse in (1, 2):
                stock_up(client, key, sku, 100, 2, warehouse)
        levels = client.call("stock.get", rows=[{"sku": 1 + i} for i in range(64)]).rows
        check_equal([level["sku"] for level in levels], list(range(1, 65)), "SKUs of 64 rows")
        pools = [{"sku": 1 + i, "quantity": 1, "warehouse": 1} for i in range(64)]
        expect(client.call("sale.put", pools, key=key(), sale=1), "OK")
        lines = [line(33 + i, 2, 100) for i in range(32)]
        placed = expect(client.call("order.place", lines, order=order, customer=1,
                                    allocation="RANK"), "OK", take_count=64, total=6400)
        check_equal(sum(take["quantity"] for take in placed.rows), 64, "units taken")
        check_equal(len(client.call("order.get", order=order).rows), 64, "pieces shown")
        for i in range(140):
            expect(client.call("hold.extend", key=key(), order=order, hold=600 + i), "OK")
        page = client.call("order.history", order=order)
        check_equal(len(page.rows), 64, "steps shown")
        versions = [step["version"] for step in page.rows]
        while page.body["next"]:
            page = client.call("order.history", order=order, cursor=page.body["next"])
            versions += [step["version"] for step in page.rows]
        check_equal(versions, list(range(1, 142)), "versions of all pages")
    run.finish(server)


@test
def an_error_is_told_before_the_close(run):
    server = run.serve()
    unknown = min(set(range(1, 64)) - {one.number for one in PROTOCOL.messages.values()})
    with Client(server.address) as client:
        client.queue("stats")
        client.queue_body(unknown, bytes(8))
        client.queue("stats")
        client.flush()
        check_equal(client.receive().outcome, "OK", "the request before the bad one")
        try:
            client.receive()
            check(False, "an unknown message was answered")
        except ServerError as error:
            check(str(error) != "", "the error has a reason")
    run.finish(server)


harness.main()
