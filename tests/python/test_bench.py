"""`till bench` refuses a shop that already has data, unless it is told to use it."""

import json

import harness
from harness import check, check_equal, test
from shop import state_of

USD = 840


def bench(run, address, *options):
    return run.till("bench", "--connect", "{}:{}".format(*address), "--count", 200, "--warm-up", 1,
                    "--connections", 2, "--in-flight", 4, "--customers", 500, "--json", *options)


def stats(server):
    with server.client() as client:
        return state_of(client.call("stats").body)


def check_refused(run, server, *parts):
    before = stats(server)
    result = bench(run, server.address)
    check_equal((result.returncode, result.stdout), (1, ""), "a bench in a live shop")
    for part in ("--into-a-live-shop", "{}:{}".format(*server.address), *parts):
        check(part in result.stderr, f"it says {part!r}: {result.stderr}")
    check_equal(stats(server), before, "the shop afterwards")


def check_measures(run, server, *options):
    before = stats(server)["orders"]
    result = bench(run, server.address, *options)
    check_equal(result.returncode, 0, f"the exit code, with {result.stderr},")
    check_equal(json.loads(result.stdout)["wrong_answers"], 0, "wrong answers")
    check(stats(server)["orders"] > before, "orders were placed")


@test
def a_shop_with_nothing_in_it_is_measured(run):
    server = run.serve()
    check_measures(run, server)
    run.finish(server)


@test
def a_shop_with_stock_or_orders_is_refused(run):
    server = run.serve()
    with server.client() as client:
        client.call("sku.put", key=1, sku=1, price=100, currency=USD)
        check_refused(run, server, "0 orders", "1 SKUs with stock in 0 places")
        client.call("stock.adjust", key=2, sku=1, delta=10, warehouse=1)
        check_refused(run, server, "0 orders", "1 SKUs with stock in 1 places")
        reply = client.call("order.place", order=1, customer=7, currency=USD,
                            rows=[{"sku": 1, "quantity": 1, "price": 100}])
        check_equal(reply.outcome, "OK", "an order")
    check_refused(run, server, "1 orders", "1 customers")
    run.finish(server)


@test
def a_shop_with_customers_alone_is_refused(run):
    server = run.serve()
    with server.client() as client:
        client.call("points.credit", key=1, customer=7, points=100)
    check_refused(run, server, "1 customers")
    run.finish(server)


@test
def a_live_shop_is_measured_when_it_is_meant(run):
    server = run.serve()
    with server.client() as client:
        client.call("sku.put", key=1, sku=1, price=100, currency=USD)
        client.call("stock.adjust", key=2, sku=1, delta=10, warehouse=1)
    check_measures(run, server, "--into-a-live-shop")
    check_refused(run, server)
    with server.client() as client:
        reply = client.call("stock.get", rows=[{"sku": 1}])
        check_equal(reply.rows[0]["available"], 10, "the shop's own stock")
    run.finish(server)


COUNTERS_SAID = ("no hardware counters on this machine", "hardware counters are not permitted",
                 "instructions", "cache misses")


def check_counters(result, text, prefix):
    """The report says once what was counted, or that nothing was; JSON has the figures or null."""
    lines = [line for line in text.splitlines() if line.startswith("  its counters ")]
    check_equal(len(lines), 1, f"lines about counters in {text!r}")
    check(any(said in lines[0] for said in COUNTERS_SAID), lines[0])
    for name in ("instructions", "cache_misses"):
        for per in ("order", "request"):
            value = result[f"{prefix}_{name}_per_{per}"]
            check(value is None or value >= 0, f"{name} per {per}: {value}")
    known = result[f"{prefix}_counters_have_kernel"]
    counted = result[f"{prefix}_instructions_per_order"], result[f"{prefix}_cache_misses_per_order"]
    check_equal(known is None, counted == (None, None), "nothing was counted")


@test
def counters_of_the_hardware_are_told_or_missed(run):
    own = ("bench", "--folder", run.root, "--count", 2000, "--warm-up", 1, "--customers", 500,
           "--connections", 4, "--in-flight", 4)
    alone = ("bench", "--engine-only", "--count", 20000, "--customers", 500)
    for options, prefix in ((own, "server"), (alone, "decide")):
        text, line = run.till(*options), run.till(*options, "--json")
        check_equal((text.returncode, line.returncode), (0, 0), f"{text.stderr} {line.stderr}")
        check_counters(json.loads(line.stdout), text.stdout, prefix)


@test
def a_server_that_was_there_before_is_not_counted(run):
    server = run.serve()
    result = json.loads(bench(run, server.address).stdout)
    for name in ("server_instructions_per_order", "server_counters_have_kernel"):
        check_equal(result[name], None, name)
    run.finish(server)


@test
def options_that_need_another_server_say_so(run):
    for options in (["--into-a-live-shop"], ["--allow-remote"], ["--stages"],
                    ["--clients", 9, "--connections", 3],
                    ["--engine-only", "--connect", "127.0.0.1:1"]):
        result = run.till("bench", *options)
        check_equal((result.returncode, result.stdout), (2, ""), f"till bench {options}")
        check(options[0] in result.stderr, f"till bench {options}: {result.stderr}")


if __name__ == "__main__":
    harness.main()
