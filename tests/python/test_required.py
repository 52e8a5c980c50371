"""Required fields: those that docs/protocol.md marks are needed and are enough, and the shell's
help marks the same."""

import re

import harness
from harness import check, check_equal, test
from till_client import DOCUMENT, PROTOCOL, ServerError, markdown_tables

USD = 840
PRICE = 100

# A value for each required field; no other field is set.
VALUES = {
    "sku.put": {"sku": 9, "currency": USD},
    "stock.adjust": {"key": 1, "sku": 1, "delta": 5, "warehouse": 1},
    "stock.set": {"sku": 2, "warehouse": 1},
    "stock.transfer": {"key": 1, "sku": 1, "quantity": 5, "from": 1, "to": 2},
    "stock.unsellable": {"key": 1, "sku": 1, "delta": 5, "warehouse": 1},
    "warehouse.put": {"key": 1, "warehouse": 1, "state": "OFFLINE"},
    "zone.put": {"key": 1, "zone": 5},
    "stock.get": {},
    "sale.put": {"key": 1, "sale": 5},
    "sale.open": {"key": 1, "sale": 1},
    "sale.pause": {"key": 1, "sale": 2},
    "sale.close": {"key": 1, "sale": 2},
    "sale.get": {"sale": 1},
    "points.credit": {"key": 1, "customer": 7, "points": 5},
    "points.balance": {"customer": 7},
    "points.adjust": {"key": 1, "customer": 7, "delta": 5, "reason": "goodwill"},
    "points.lots": {"customer": 7},
    "points.ledger": {"customer": 7},
    "points.terms": {"key": 1},
    "order.place": {"order": 5, "customer": 7},
    "payment.event": {"event": 1, "order": 1, "provider": 1, "status": "FAILURE", "currency": USD},
    "order.cancel": {"key": 1, "order": 1},
    "hold.extend": {"key": 1, "order": 1, "hold": 100},
    "hold.release": {"key": 1, "order": 1},
    "order.get": {"order": 1},
    "order.history": {"order": 1},
    "order.list": {},
    "attention.list": {"kind": "PARKED"},
    "order.reallocate": {"key": 1, "order": 2, "warehouse": 1, "allocation": "RANK"},
    "order.ship": {"key": 1, "order": 2},
    "order.deliver": {"key": 1, "order": 3},
    "order.return": {"key": 1, "order": 3},
    "order.parcels": {"order": 3},
    "order.money": {"order": 2},
    "refund.begin": {"refund": 2, "order": 3, "kind": "DUE"},
    "refund.finish": {"refund": 1, "status": "FAILURE"},
    "refund.get": {"refund": 1},
    "payment.settle": {"key": 1, "event": 3, "provider": 1, "settlement": "REFUND"},
    "payment.get": {"event": 3, "provider": 1},
    "stats": {},
    "tables": {},
    "snapshot": {},
    "replicas": {},
    "member.seal": {},
    "member.promote": {"shop": 1, "epoch": 2},
    "member.follow": {"primary": "127.0.0.1:1"},
}
# One of several fields is needed, which no mark tells.
ONE_OF = {"order.list": {"customer": 7}}
# What these do depends on other servers.
MEMBERS = {"replicas", "member.seal", "member.promote", "member.follow"}
ROWS = {
    "zone.put": {"warehouse": 1},
    "stock.get": {"sku": 1},
    "sale.put": {"sku": 1, "warehouse": 1},
    "order.place": {"sku": 3, "quantity": 1},
    "order.return": {"line": 1, "quantity": 1, "fate": "SCRAP"},
}


def required_by_shape():
    """For each shape, the names of the fields that the document marks."""
    text = DOCUMENT.read_text().split("### Bodies and rows")[1]
    return {heading.split()[0]: [row[3] for row in rows if re.match("required(:|$)", row[4])]
            for heading, rows in markdown_tables(text)}


def set_up(server):
    """SKU 1 has stock and a price, SKU 3 costs nothing, sale 2 is open, order 1 is PENDING and has
    a parked payment, order 2 is sold and has a refund that has begun, order 3 is shipped and was
    paid twice."""
    paid = {"customer": 7, "flags": 2}
    payment = {"provider": 1, "status": "SUCCESS", "amount": PRICE, "currency": USD}
    units = [{"sku": 1, "quantity": 1, "price": PRICE}]
    with server.client() as client:
        for name, rows, fields in (
            ("sku.put", (), {"key": 100, "sku": 1, "price": PRICE, "currency": USD}),
            ("sku.put", (), {"key": 101, "sku": 2, "price": PRICE, "currency": USD}),
            ("sku.put", (), {"key": 102, "sku": 3, "price": 0, "currency": USD}),
            ("stock.adjust", (), {"key": 103, "sku": 1, "delta": 100, "warehouse": 1}),
            ("stock.adjust", (), {"key": 104, "sku": 3, "delta": 100, "warehouse": 1}),
            ("sale.put", (), {"key": 105, "sale": 1}),
            ("sale.put", (), {"key": 106, "sale": 2}),
            ("sale.open", (), {"key": 107, "sale": 2}),
            ("points.credit", (), {"key": 108, "customer": 7, "points": 5}),
            ("stock.adjust", (), {"key": 109, "sku": 1, "delta": 100, "warehouse": 2}),
            ("order.place", units, {"order": 1, "customer": 7}),
            ("order.place", units, {"order": 2, **paid}),
            ("order.place", units, {"order": 3, **paid}),
            ("order.ship", (), {"key": 110, "order": 3}),
            ("payment.event", (), {"event": 1001, "order": 3, **payment}),
            ("payment.event", (), {"event": 1002, "order": 3, **payment}),
            ("refund.begin", (), {"refund": 1, "order": 2, "kind": "AMOUNT", "amount": 5}),
            ("payment.event", (), {"event": 3, "order": 1, **payment, "amount": 1}),
        ):
            reply = client.call(name, rows, **fields)
            wanted = "AMOUNT_MISMATCH" if fields.get("event") == 3 else "OK"
            check_equal(reply.outcome, wanted, f"{name} of the shop")


def ask(server, name, fields, row):
    """The outcome; INVALID for a frame that is no valid request."""
    with server.client() as client:
        try:
            return client.call(name, [row] if row is not None else (), **fields).outcome
        except ServerError:
            return "INVALID"


def without(fields, name):
    return {key: value for key, value in fields.items() if key != name}


@test
def required_fields_are_needed(run):
    """A request that is refused leaves no trace, so one shop is enough for all of them."""
    required = required_by_shape()
    server = run.serve()
    set_up(server)
    with server.client() as client:
        before = client.call("stats").body["seq"]
    for name, fields in VALUES.items():
        row = ROWS.get(name)
        message = PROTOCOL.messages[name]
        for field in required[message.request.name]:
            if field == message.request.count:
                outcome = ask(server, name, fields, None)
            else:
                outcome = ask(server, name, without(fields, field), row)
            check(outcome not in ("OK", "REPLAYED"), f"{name} without {field}: {outcome}")
        for field in required[message.request_row.name] if row is not None else ():
            outcome = ask(server, name, fields, without(row, field))
            check(outcome not in ("OK", "REPLAYED"), f"{name}, a row without {field}: {outcome}")
        if name in ONE_OF:
            check_equal(ask(server, name, fields, row), "INVALID", f"{name} with none of several")
    with server.client() as client:
        check_equal(client.call("stats").body["seq"], before, "the last change")
    run.finish(server)


@test
def required_fields_are_enough(run):
    required = required_by_shape()
    names = {name for name, message in PROTOCOL.messages.items()
             if message.kind in ("COMMAND", "QUERY", "ADMIN")}
    check_equal(names, VALUES.keys(), "the messages that are tried")
    for name, fields in VALUES.items():
        message = PROTOCOL.messages[name]
        count = message.request.count
        check_equal(set(required[message.request.name]) - {count}, fields.keys(),
                    f"what {name} requires")
        if name in ROWS:
            check_equal(set(required[message.request_row.name]), ROWS[name].keys(),
                        f"what a row of {name} requires")
        if name in MEMBERS:
            continue
        server = run.serve(options=("--indexes", "on"))
        set_up(server)
        fields = fields | ONE_OF.get(name, {})
        check_equal(ask(server, name, fields, ROWS.get(name)), "OK", f"{name} with these alone")
        server.kill()


@test
def the_shells_help_marks_them(run):
    required = required_by_shape()
    server = run.serve()
    for name in VALUES:
        message = PROTOCOL.messages[name]
        result = run.till_with_input(f"help {name}\n", "shell", "--connect",
                                     "{}:{}".format(*server.address))
        check_equal(result.returncode, 0, f"help {name}: {result.stderr}")
        lines = result.stdout.split("Values:")[0].splitlines()
        marked = [re.match(r" *\* (\w+)", line)[1] for line in lines
                  if re.match(r" *\* \w+(=| {2})", line)]
        types = dict(message.request.fields)
        wanted = [field.removesuffix("_count") for field in required[message.request.name]
                  if types[field].name != "key"]
        if message.request_row is not None:
            wanted += required[message.request_row.name]
        check_equal(sorted(marked), sorted(wanted), f"what help {name} marks")
    server.kill()


if __name__ == "__main__":
    harness.main()
