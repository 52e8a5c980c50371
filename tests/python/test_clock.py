"""A machine's clock that is wrong: ahead or behind, for a while or permanently, while a server runs
and across its restarts. A small library that is preloaded into the server sets its clocks."""

import time

import harness
from clocks import Clocks, another_boot
from harness import check, check_equal, test

USD = 840
SECOND = 10**6
HOUR = 3600 * SECOND
HOLD_SECONDS = 1
PATIENCE_SECONDS = 20


def credit(client, key):
    return client.call("points.credit", key=key, customer=7, points=100).outcome


def pay(client, event, order):
    return client.call("payment.event", event=event, order=order, provider=1, amount=100,
                       status="SUCCESS", currency=USD).outcome


def place(client, order, hold):
    reply = client.call("order.place", order=order, customer=7, currency=USD, hold=hold,
                        rows=[{"sku": 1, "quantity": 1, "price": 100}])
    check_equal(reply.outcome, "OK", "an order")
    return order


def set_up(client):
    client.call("sku.put", key=1, sku=1, price=100, currency=USD)
    client.call("stock.adjust", key=2, sku=1, delta=1000, warehouse=1)
    check_equal(credit(client, 3), "OK", "a credit")


def state(client, order):
    return client.call("order.get", order=order).body["state"]


def wait_for_the_end_of(client, order):
    """Waits until the hold has ended: a hold that never ends fails the test."""
    began = time.monotonic()
    while state(client, order) == "PENDING":
        check(time.monotonic() - began < PATIENCE_SECONDS, "the hold does not end")
        time.sleep(0.05)
    return time.monotonic() - began


@test
def clock_a_day_ahead_for_a_moment_makes_no_command_be_done_twice(run):
    clocks = Clocks(run)
    server = clocks.serve()
    with server.client() as client:
        set_up(client)
        check_equal(pay(client, 4, place(client, 1, 600)), "OK", "a payment")
        clocks.jump(25 * HOUR)
        time.sleep(0.2)
        for number in range(10, 15):
            credit(client, number)
        check_equal(credit(client, 3), "REPLAYED", "the credit sent again")
        clocks.jump(7 * 24 * HOUR)
        time.sleep(0.2)
        check_equal(pay(client, 4, 1), "REPLAYED", "the payment sent again")
        clocks.jump(-8 * 24 * HOUR - HOUR)
        order = place(client, 2, HOLD_SECONDS)
        wait_for_the_end_of(client, order)
        check_equal(credit(client, 3), "REPLAYED", "the credit sent once more")
    run.finish(server)


@test
def hold_is_not_cut_short_by_a_clock_that_is_ahead_for_a_moment(run):
    clocks = Clocks(run)
    server = clocks.serve()
    with server.client() as client:
        set_up(client)
        order = place(client, 1, 600)
        clocks.jump(25 * HOUR)
        time.sleep(0.5)
        check_equal(credit(client, 10), "OK", "a credit meanwhile")
        check_equal(state(client, order), "PENDING", "the order")
        clocks.jump(-25 * HOUR)
        time.sleep(0.5)
        check_equal(state(client, order), "PENDING", "the order")
    run.finish(server)


@test
def hold_ends_when_its_time_has_passed_though_the_clock_went_back_an_hour(run):
    clocks = Clocks(run)
    server = clocks.serve()
    with server.client() as client:
        set_up(client)
        order = place(client, 1, HOLD_SECONDS)
        clocks.jump(-HOUR)
        wait_for_the_end_of(client, order)
        wait_for_the_end_of(client, place(client, 2, HOLD_SECONDS))
    run.finish(server)


def wait_until_said(server, words):
    began = time.monotonic()
    while words not in server.log.read_text():
        check(time.monotonic() - began < PATIENCE_SECONDS, f"'{words}' is not said: "
              f"{server.errors()}")
        time.sleep(0.05)


def jumps(server):
    with server.client() as client:
        return client.call("stats").body["clock_jumps"]


@test
def jump_is_said_once_counted_and_its_end_is_said(run):
    clocks = Clocks(run)
    server = clocks.serve()
    check_equal(jumps(server), 0, "jumps at first")
    clocks.jump(5 * SECOND)
    time.sleep(0.2)
    check_equal(jumps(server), 0, "jumps after a step within the bound")
    clocks.jump(-5 * SECOND)
    for count, (far, word) in enumerate([(HOUR, "ahead"), (-HOUR, "behind")], 1):
        clocks.jump(far)
        wait_until_said(server, f"1 h 0 min {word}: it says")
        time.sleep(0.2)
        check_equal(jumps(server), count, "jumps")
        clocks.jump(-far)
        began = time.monotonic()
        while server.log.read_text().count("the wall clock is right again") < count:
            check(time.monotonic() - began < PATIENCE_SECONDS, server.errors())
            time.sleep(0.05)
    check_equal(server.log.read_text().count("--accept-clock"), 2, "words about a jump")
    run.finish(server)


def bytes_of(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def wait_until_noted(folder):
    began = time.monotonic()
    note = folder / "clock-note.till"
    while not note.exists() or len(note.read_bytes()) != 4096:
        check(time.monotonic() - began < PATIENCE_SECONDS, "the clock is not noted")
        time.sleep(0.05)


def stopped_shop(clocks, hold=HOLD_SECONDS):
    """A folder with a credit of key 3 and an order 1 that is held."""
    server = clocks.serve(None, "--log-segment", "4")
    with server.client() as client:
        set_up(client)
        place(client, 1, hold)
    wait_until_noted(server.folder)
    server.stop_clean()
    return server.folder


@test
def start_with_a_clock_behind_the_log_needs_a_word(run):
    clocks = Clocks(run)
    folder = stopped_shop(clocks)
    another_boot(folder)
    clocks.jump(-HOUR)
    before = bytes_of(folder)
    said = clocks.refused(folder)
    check("earlier than it must be" in said and "--accept-clock" in said, said)
    check(said.count("T") >= 2 and said.count("Z") >= 2, f"both times are named: {said}")
    check(bytes_of(folder) == before, "a refused start leaves the folder as it was")
    server = clocks.serve(folder, "--accept-clock", "--log-segment", "4")
    wait_until_said(server, "behind the log's time, which goes 5 % slower")
    with server.client() as client:
        wait_for_the_end_of(client, 1)
        wait_for_the_end_of(client, place(client, 2, HOLD_SECONDS))
        check_equal(credit(client, 3), "REPLAYED", "the credit sent again")
    server.stop_clean()
    server = clocks.serve(folder, "--log-segment", "4")
    check_equal(jumps(server), 0, "jumps after a word was given")
    run.finish(server)


@test
def start_with_a_clock_days_ahead_needs_a_word_and_forgets_nothing(run):
    clocks = Clocks(run)
    folder = stopped_shop(clocks, hold=600)
    another_boot(folder)
    clocks.jump(3 * 24 * HOUR + 5 * HOUR)
    before = bytes_of(folder)
    said = clocks.refused(folder)
    check("3 days 5 h" in said and "--accept-clock" in said, said)
    check(bytes_of(folder) == before, "a refused start leaves the folder as it was")
    server = clocks.serve(folder, "--accept-clock", "--log-segment", "4")
    wait_until_said(server, "the log's time goes ahead by 3 days 5 h")
    with server.client() as client:
        check_equal(credit(client, 3), "REPLAYED", "the credit sent again")
        wait_for_the_end_of(client, 1)
    run.finish(server)
    check('"time.jump"' in run.till("log", folder).stdout, "the jump stands in the log")
    server = clocks.serve(folder, "--log-segment", "4")
    with server.client() as client:
        check_equal(credit(client, 3), "REPLAYED", "the credit after one more start")
    run.finish(server)


@test
def start_hours_later_in_another_boot_needs_no_word_and_forgets_nothing(run):
    clocks = Clocks(run)
    folder = stopped_shop(clocks)
    for _ in range(2):
        another_boot(folder)
        clocks.jump(20 * HOUR)
        server = clocks.serve(folder, "--log-segment", "4")
        with server.client() as client:
            check_equal(credit(client, 3), "REPLAYED", "the credit sent again")
            wait_for_the_end_of(client, 1)
        wait_until_noted(folder)
        run.finish(server)


@test
def start_in_the_same_boot_needs_no_word_however_long_it_took(run):
    clocks = Clocks(run)
    folder = stopped_shop(clocks)
    clocks.pass_time(90 * 24 * HOUR)
    server = clocks.serve(folder, "--log-segment", "4")
    with server.client() as client:
        check_equal(credit(client, 3), "OK", "the credit, after the day that its key was kept")
        wait_for_the_end_of(client, 1)
    check_equal(jumps(server), 0, "jumps")
    run.finish(server)


@test
def start_with_clock_ahead_is_one_after_that_time(run):
    server = run.serve(None, ("--log-segment", "4"))
    with server.client() as client:
        set_up(client)
        place(client, 1, 600)
    wait_until_noted(server.folder)
    server.stop_clean()
    server = run.serve(server.folder, ("--log-segment", "4", "--clock-ahead", str(25 * 3600)))
    wait_until_said(server, "90000 s ahead of the clock")
    with server.client() as client:
        check_equal(credit(client, 3), "OK", "the credit, after the day that its key was kept")
        wait_for_the_end_of(client, 1)
    check_equal(jumps(server), 0, "jumps")
    run.finish(server)


@test
def start_in_the_same_boot_follows_no_clock_that_jumped_meanwhile(run):
    clocks = Clocks(run)
    folder = stopped_shop(clocks, hold=600)
    for far, word in ((25 * HOUR, "ahead"), (-HOUR, "behind")):
        clocks.jump(far)
        server = clocks.serve(folder, "--log-segment", "4")
        wait_until_said(server, f"min {word}: it says")
        check_equal(jumps(server), 1, "jumps")
        with server.client() as client:
            check_equal(state(client, 1), "PENDING", "the order")
            wait_for_the_end_of(client, place(client, 10 + abs(far), HOLD_SECONDS))
            check_equal(credit(client, 3), "REPLAYED", "the credit sent again")
        clocks.jump(-far)
        run.finish(server)


@test
def damaged_note_of_the_clock_is_passed_over(run):
    clocks = Clocks(run)
    folder = stopped_shop(clocks)
    note = folder / "clock-note.till"
    whole = note.read_bytes()
    for damaged in (b"", whole[:-1], whole + b"\0", bytes([whole[50] ^ 1]) + whole[1:]):
        note.write_bytes(damaged)
        server = clocks.serve(folder, "--log-segment", "4")
        wait_until_said(server, "clock-note.till is damaged and passed over")
        wait_until_noted(folder)
        run.finish(server)


harness.main()
