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
