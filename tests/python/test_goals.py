"""The goals (bench/goals): a figure is compared with its goal, log bytes are those of the log's
blocks; and a plot that cannot be drawn does not affect the tables."""

import sys
from pathlib import Path

import harness
from harness import check, check_equal, test

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "bench" / name) for name in ("goals", "peers", ".")]

import goals  # noqa: E402
import plots  # noqa: E402

USD = 840
ORDERS = 300
BLOCK_ALIGN = 4096


def measured(rate, full=False):
    return {"orders_per_second": rate, "client_core_full": full}


@test
def ratio_is_the_median_of_pairs(run):
    pairs = [(measured(till), measured(1000)) for till in (100, 750, 2000)]
    row = goals.ratio_row(pairs, "hot", "0.75 of the limit", 0.75)
    check_equal(row.met, True, "at the goal")
    check(row.measured.startswith("0.75 (0.10 - 2.00); 750/s to 1,000/s"), row.measured)
    below = [(measured(749), measured(1000))]
    check_equal(goals.ratio_row(below, "hot", "", 0.75).met, False, "below the goal")


@test
def full_client_is_told(run):
    runs = [measured(10), measured(20, True), measured(30, True)]
    row = goals.rate_row(runs, "hot", 25, "25")
    check_equal(row.met, False, "the median below the goal")
    check(row.measured.endswith("the client's core was full in 2 of 3 runs"), row.measured)
    check_equal(goals.rate_row(runs, "hot", 20, "20").met, True, "the median at the goal")


class Once:
    """Measurements that were made before."""

    def __init__(self, server, engine):
        self.server = server
        self.engine = engine

    def pairs(self, kind, load):
        return [(run, measured(1)) for run in self.server]

    def once(self, key, make):
        return self.engine


def counts(prefix, instructions, misses, kernel):
    return {f"{prefix}_instructions_per_order": instructions,
            f"{prefix}_cache_misses_per_order": misses, f"{prefix}_counters_have_kernel": kernel}


@test
def counters_are_told_where_there_are_some(run):
    server = [counts("server", number, None, True) for number in (1000, 3000, 2000)]
    engine = [counts("decide", 447, 2.25, False)]
    found = {row.figure.rsplit(": ")[-1]: row.measured
             for row in goals.counters_rows(Once(server, engine))}
    check_equal(found, {
        "the server, hot, 64 x 64": "2,000.0 (1,000.0 - 3,000.0) instructions",
        "the server, hot, 16 x 1,024": "2,000.0 (1,000.0 - 3,000.0) instructions",
        "the engine alone": "447.0 instructions, 2.2 cache misses, without the kernel's",
    }, "the rows")
    none = Once([counts("server", None, None, None)], [counts("decide", None, None, None)])
    rows = list(goals.counters_rows(none))
    check_equal([row.measured for row in rows], ["no hardware counters on this machine"],
                "the rows of a machine without")


@test
def log_size_is_that_of_its_blocks(run):
    folder = run.folder()
    server = run.serve(folder)
    with server.client() as client:
        client.call("sku.put", key=1, sku=1, price=100, currency=USD)
        client.call("stock.adjust", key=2, sku=1, delta=10**9, warehouse=1)
        rows = [{"sku": 1, "quantity": 1, "price": 100}]
        for order in range(1, ORDERS + 1):
            client.queue("order.place", rows, order=order, customer=order, currency=USD)
        client.flush()
        for _ in range(ORDERS):
            check_equal(client.receive().outcome, "OK", "an order")
    server.stop_clean()
    size, commands = goals.log_size(folder)
    check_equal(commands, ORDERS + 2, "the commands in the log")
    check(size > 0 and size % BLOCK_ALIGN == 0, f"{size} bytes of log")


@test
def plot_that_cannot_be_drawn_is_left_out(run):
    said, path = [], run.folder() / "none.svg"
    is_installed, plots.is_installed = plots.is_installed, lambda: False
    try:
        shown = plots.draw(path, {"title": "none"}, said.append, lambda package: f"no {package}")
    finally:
        plots.is_installed = is_installed
    check_equal(shown, "", "the Markdown")
    check_equal(said, [f"no plot {path}: no {plots.PACKAGE}"], "what was said")
    check(not path.exists(), "there is a file")


if __name__ == "__main__":
    harness.main()
