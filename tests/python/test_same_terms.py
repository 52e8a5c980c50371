"""Orders of the same terms, whose judgement the server remembers: how their frames come, and what
comes beside them on other connections, changes no answer.

A stream is what one client sends: runs of orders that differ in their two ids alone, and between
them changes of whatever they are judged by, payments, repeated requests and questions. Streams name
nothing that another one names, so the answers to each follow from it alone. They are sent to two
servers: to one all at once, in pieces that end anywhere, on connections with different features; to
the other one frame at a time, each answered before the next is sent."""

import harness
from harness import check, check_equal, in_memory, test
from shop import stats
from till_client import (
    CHECKSUMS, FRESH, HEADER, MAGIC, PROTOCOL, REPLY, VERSION, Connection, ServerError,
    decode_reply, encode_body, encode_frame)

FEATURES = ({}, {}, {"checksum": True}, {"fresh": True}, {"checksum": True, "fresh": True},
            {"operator": True})
REQUESTS = 500  # of a stream
SKUS, WAREHOUSES, SALES, CUSTOMERS, KINDS = 3, 3, 2, 12, 5
EURO, DOLLAR = 978, 840
LATER = 4 * 10**15  # after any time that this test is run at


class Stream:
    """Draws requests, each a (name, body). Its number is a part of all that it names."""

    def __init__(self, random, number):
        self.random = random
        self.number = number
        self.requests = []
        self.ids = 0
        self.orders = []
        for sku in range(1, SKUS + 1):
            self.sku_put(sku, 100)
            self.stock_adjust(sku, 150)
        for sale in range(1, SALES + 1):
            self.add("sale.put", key=self.fresh(), sale=self.own(sale))
            self.sale_change("sale.open", sale)
        self.kinds = [self.kind() for _ in range(KINDS)]
        while len(self.requests) < REQUESTS:
            self.run()
            self.random.choice((self.edit, self.edit, self.edit, self.order_change, self.ask))()

    def add(self, name, rows=(), **fields):
        self.requests.append((name, encode_body(name, rows, **fields)))

    def one_in(self, count):
        return self.random.randrange(count) == 0

    def any(self, count):
        return self.random.randint(1, count)

    def own(self, number):
        return 100 * self.number + number

    def fresh(self):
        self.ids += 1
        return self.own(0) << 64 | self.ids

    def kind(self):
        """Terms that orders have from now on."""
        fields = {"sale": self.own(self.any(SALES)) if self.one_in(2) else 0,
                  "hold": 0 if self.one_in(2) else 3600, "points": 30 if self.one_in(10) else 0,
                  "flags": self.random.choice(("PARTIAL", "PAID")) if self.one_in(6) else 0,
                  "allocation": "RANK" if self.one_in(8) else "SINGLE"}
        row = {"sku": self.own(self.any(SKUS)), "quantity": self.any(3), "price": 100,
               "warehouse": self.any(WAREHOUSES) if self.one_in(4) else 0}
        return fields, row

    def run(self):
        """Orders of one kind; now and then one whose id is another's, or none."""
        if self.one_in(8):
            self.kinds[self.random.randrange(KINDS)] = self.kind()
        fields, row = self.random.choice(self.kinds)
        for _ in range(self.any(self.random.choice((4, 30)))):
            order = self.fresh() if not self.one_in(15) else self.random.choice(
                self.orders[-30:] or [0])
            customer = self.own(self.any(CUSTOMERS)) if not self.one_in(100) else 0
            self.add("order.place", order=order, customer=customer, rows=[row], **fields)
            self.orders.append(order)
            if self.one_in(30):
                self.requests.append(self.requests[-self.any(min(40, len(self.requests)))])

    def sku_put(self, sku, price, currency=EURO):
        self.add("sku.put", key=self.fresh(), sku=self.own(sku), price=price, currency=currency)

    def stock_adjust(self, sku, delta):
        self.add("stock.adjust", key=self.fresh(), sku=self.own(sku), delta=delta,
                 warehouse=self.any(WAREHOUSES))

    def sale_put(self, sale):
        pools = [{"sku": self.own(self.any(SKUS)), "warehouse": self.any(WAREHOUSES),
                  "quantity": self.random.randrange(40)}] if self.one_in(2) else []
        self.add("sale.put", pools, key=self.fresh(), sale=self.own(sale),
                 opens=LATER if self.one_in(12) else 0, closes=1 if self.one_in(12) else 0,
                 hold=1800 if self.one_in(3) else 0, points_share=10000, rate_points=1,
                 rate_money=1, customer_sku_max=4 if self.one_in(8) else 0)

    def sale_change(self, name, sale):
        self.add(name, key=self.fresh(), sale=self.own(sale))

    def edit(self):
        sale = self.any(SALES)
        choice = self.random.randrange(8)
        if choice == 0:
            self.sku_put(self.any(SKUS), self.random.choice((100, 100, 100, 120)),
                         DOLLAR if self.one_in(8) else EURO)
        elif choice < 4:
            self.stock_adjust(self.any(SKUS), self.random.randint(-20, 100))
        elif choice == 4:
            self.sale_put(sale)
        elif choice == 5:
            self.sale_change("sale.close" if self.one_in(20) else "sale.pause", sale)
        elif choice == 6:
            self.sale_change("sale.open", sale)
        else:
            self.add("points.credit", key=self.fresh(), customer=self.own(self.any(CUSTOMERS)),
                     points=50)

    def order_change(self):
        order = self.random.choice(self.orders[-60:])
        if self.one_in(2):
            self.add("payment.event", event=self.fresh(), order=order, provider=1, amount=100,
                     status=self.random.choice(("SUCCESS", "FAILURE")), currency=EURO)
        else:
            self.add(self.random.choice(("order.cancel", "hold.release")), key=self.fresh(),
                     order=order)

    def ask(self):
        if self.one_in(2):
            self.add("order.get", order=self.random.choice(self.orders))
        else:
            self.add("stock.get", rows=[{"sku": self.own(self.any(SKUS))}])


def timeless(shape, values):
    """What does not depend on when it was decided, and on what others sent."""
    kinds = dict(shape.fields) if shape is not None else {}
    return {name: value for name, value in values.items()
            if "seq" not in name and name in kinds and kinds[name].name != "time"}


def answer(reply):
    message = PROTOCOL.messages[reply.message]
    shape = message.reply
    if reply.outcome not in ("OK", "REPLAYED"):
        shape = PROTOCOL.shapes["rejection"]
    body = timeless(shape, reply.body)
    if reply.outcome == "HOLD_EXPIRED":
        del body["value"]  # when it ended
    return (reply.message, reply.outcome, body,
            [timeless(message.reply_row, row) for row in reply.rows])


def number(name):
    return PROTOCOL.messages[name].number


def send_one_by_one(clients, streams):
    answers = [[] for _ in streams]
    for at in range(max(len(stream.requests) for stream in streams)):
        for client, stream, told in zip(clients, streams, answers):
            if at < len(stream.requests):
                name, body = stream.requests[at]
                client.queue_body(number(name), body)
                client.flush()
                told.append(answer(client.receive()))
    return answers


def send_in_pieces(clients, streams, random):
    """All streams side by side, in pieces of any size."""
    rest = {}
    for client, stream in zip(clients, streams):
        for name, body in stream.requests:
            client.queue_body(number(name), body)
        rest[client] = memoryview(b"".join(client.queued))
        client.queued = []
    while rest:
        client = random.choice(list(rest))
        size = random.randint(1, random.choice((40, 200, 5000, 40000)))
        client.send(rest[client][:size])
        rest[client] = rest[client][size:]
        if not rest[client]:
            del rest[client]
    return [[answer(client.receive()) for _ in stream.requests]
            for client, stream in zip(clients, streams)]


def ask_everything(server, streams):
    """What the streams have left: stock, and each order."""
    with server.client() as client:
        for stream in streams:
            for sku in range(1, SKUS + 1):
                client.queue("stock.get", rows=[{"sku": stream.own(sku), "warehouse": warehouse}
                                                for warehouse in range(WAREHOUSES + 1)])
            for order in sorted(set(stream.orders)):
                client.queue("order.get", order=order)
        count = len(client.queued)
        client.flush()
        return [answer(client.receive()) for _ in range(count)]


def play(run, streams, features, options=()):
    """Returns the answers that both servers gave, in a list for each stream."""
    pieces, single = run.serve(options=options), run.serve(options=options)
    clients = [pieces.client(**these) for these in features]
    told = send_in_pieces(clients, streams, run.random)
    others = [single.client(**these) for these in features]
    expected = send_one_by_one(others, streams)
    for client in clients + others:
        client.close()
    for stream, (one, other) in enumerate(zip(told, expected)):
        for at, (this, that) in enumerate(zip(one, other)):
            check_equal(this, that, f"answer {at} of stream {stream}, to requests in pieces,")
    check_equal(ask_everything(pieces, streams), ask_everything(single, streams), "what is left")
    before, beside = stats(pieces), stats(single)
    differing = {name for name in before if before[name] != beside[name]} - {"digest"}
    check_equal(differing, set(), "what differs of the counts")
    pieces.kill()
    again = run.serve(pieces.folder, options)
    check_equal(stats(again), before, "the state after a replay")
    run.finish(again)
    run.finish(single)
    return expected


@test
@in_memory
def pieces_and_other_connections_change_no_answer(run):
    streams = [Stream(run.random, number + 1) for number in range(len(FEATURES))]
    answers = play(run, streams, FEATURES)
    outcomes = {outcome for stream in answers for _, outcome, _, _ in stream}
    wanted = {"OK", "REPLAYED", "SOLD_OUT", "SALE_NOT_OPEN", "IDEM_MISMATCH"}
    check(wanted <= outcomes, f"{wanted - outcomes} were never answered")


@test
@in_memory
def pieces_change_no_answer_while_tables_fill_up(run):
    full = set()
    for capacities in {"customers": 8, "deadlines": 40}, {"orders": 60}:
        options = [part for name, count in capacities.items() for part in (f"--{name}", str(count))]
        answers, = play(run, [Stream(run.random, 1)], FEATURES[:1], options)
        full |= {body["subject"] for _, outcome, body, _ in answers if outcome == "CAPACITY"}
    check(full, "no table filled up")


def place_frame(order, quantity, checksum=False, outcome=0, shape=lambda body: body):
    body = encode_body("order.place", order=order, customer=1, currency=EURO,
                       rows=[{"sku": 1, "quantity": quantity, "price": 100}])
    return encode_frame(number("order.place"), 2, shape(body), checksum, outcome)


def hello(features):
    return encode_frame(number("hello"), 1, encode_body("hello", magic=MAGIC, version=VERSION,
                                                        features=features))


def with_header(frame, kind=None, checksum=0):
    size, own, outcome, request, _ = HEADER.unpack_from(frame)
    return HEADER.pack(size, kind or own, outcome, request, checksum) + frame[HEADER.size :]


def end_of(server, data, features):
    """How many of the frames the server answers before it closes the connection, and why it
    closes it."""
    count = 0
    with Connection(server.address) as connection:
        connection.send(data)
        try:
            while True:
                frame = connection.receive()
                if int.from_bytes(frame[4:6], "little") == REPLY | number("error"):
                    features = features if count > 0 else 0
                    decode_reply(frame, bool(features & CHECKSUMS), bool(features & FRESH))
                count += 1
        except ServerError as error:
            return count, str(error)


@test
@in_memory
def a_frame_that_breaks_the_protocol_is_refused_on_known_terms_as_on_others(run):
    server = run.serve()
    known, other = 1, 2  # quantities
    with server.client() as client:
        client.call("sku.put", key=1, sku=1, price=100, currency=EURO)
        client.call("stock.adjust", key=2, sku=1, delta=10**6, warehouse=1)
        for order in range(1, 9):
            client.queue("order.place", order=order, customer=1, currency=EURO,
                         rows=[{"sku": 1, "quantity": known, "price": 100}])
        client.flush()
        check_equal({client.receive().outcome for _ in range(8)}, {"OK"}, "the first orders")
    ask = number("stock.get")
    broken = {
        "an outcome": (0, lambda units: place_frame(50, units, outcome=1)),
        "a checksum that was not agreed on": (0, lambda units: place_frame(50, units, True)),
        "no checksum": (CHECKSUMS, lambda units: place_frame(50, units)),
        "a wrong checksum": (CHECKSUMS, lambda units: with_header(place_frame(50, units),
                                                                  checksum=1)),
        "no min_seq": (FRESH, lambda units: place_frame(50, units)),
        "eight bytes more": (0, lambda units: place_frame(50, units, shape=lambda b: b + bytes(8))),
        "eight bytes less": (0, lambda units: place_frame(50, units, shape=lambda b: b[:-8])),
        "another type": (0, lambda units: with_header(place_frame(50, units), ask)),
        "the type of a reply": (0, lambda units: with_header(
            place_frame(50, units), REPLY | number("order.place"))),
    }
    with server.client() as witness:
        before = witness.call("stats").body["seq"]
        for label, (features, frame) in broken.items():
            ends = [end_of(server, hello(features) + frame(units) + place_frame(60, units),
                           features) for units in (known, other)]
            check_equal(ends[0], ends[1], f"the end with {label} on known terms")
            check_equal(ends[0][0], 1, f"the number of answers with {label}")
        ends = [end_of(server, place_frame(50, units), 0) for units in (known, other)]
        check_equal(ends[0], ends[1], "the end without a hello on known terms")
        # Behind frames that are right, these are answered first.
        right = b"".join(place_frame(order, known) for order in range(1, 9))
        count, _ = end_of(server, hello(0) + right + place_frame(50, known, outcome=1) + right, 0)
        check_equal(count, 9, "the number of answers before the broken frame")
        check_equal(witness.call("stats").body["seq"], before, "seq after all of them")
    run.finish(server)


if __name__ == "__main__":
    harness.main()
