"""till beside its peers and the machine's own limit, in one run: Markdown tables and a plot.

    python3 bench/peers/peers.py [--seconds N] [--only NAME,...] [--folder DIR] [--plots DIR]

Each server in turn: started on a free port of 127.0.0.1 with a new folder on the real disk, pinned
to one core; its client is pinned to another. After each point the peer's stock, orders and units by
customer are held against the number of orders that its client saw accepted: a row whose sums
differ is an error. Peers that are not installed are installed from Debian. Everything that was
started is ended by its process id, and the folder is removed.
"""

import argparse
import mmap
import os
import platform
import pwd
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path

from servers import (
    LOADS, STOCK, Failed, Limit, LimitEcho, Server, Till, cores, install_package, output_of, say
)

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

import plots  # noqa: E402

PRICE = 1999
SKUS_SPREAD = 1000


class Redis(Server):
    name = "Redis, always"
    package = "redis-server"
    protocol = "redis"
    fsync = "always"

    def installed(self):
        return shutil.which("redis-server")

    def version(self):
        return output_of("redis-server", "--version").split("v=")[1].split()[0]

    def ask(self, *words):
        return output_of("redis-cli", "-p", self.port, *words)

    def start(self):
        options = {
            "port": self.port,
            "bind": "127.0.0.1",
            "dir": self.folder,
            "appendonly": "yes",
            "appendfsync": self.fsync,
            "auto-aof-rewrite-percentage": 0,
            "save": "",
        }
        words = [word for name, value in options.items() for word in (f"--{name}", value)]
        self.spawn("redis-server", *words)
        self.await_that(lambda: self.ask("PING") == "PONG", "answer PING")
        self.procedure = self.ask("SCRIPT", "LOAD", (HERE / "redis.lua").read_text())
        self.ask("HSET", "s:1", "price", PRICE, "stock", STOCK)

    def audit(self):
        sums = (
            "local orders, bought, cursor = 0, 0, '0' repeat "
            "local page = redis.call('SCAN', cursor, 'COUNT', 10000) cursor = page[1] "
            "for _, key in ipairs(page[2]) do local kind = key:sub(1, 1) "
            "if kind == 'o' then orders = orders + 1 "
            "elseif kind == 'c' then bought = bought + redis.call('GET', key) end end "
            "until cursor == '0' "
            "return redis.call('HGET', 's:1', 'stock') .. ' ' .. orders .. ' ' .. bought"
        )
        return [int(word) for word in self.ask("EVAL", sums, 0).split()]


class RedisEverysec(Redis):
    name = "Redis, everysec"
    fsync = "everysec"
    durable = False


class Postgres(Server):
    name = "PostgreSQL, one SKU"
    package = "postgresql"
    protocol = "postgres"
    procedure = "place"
    stop_signal = signal.SIGINT  # ends sessions rather than waiting for them

    def programs(self):
        return sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda at: int(at.parent.name))

    def installed(self):
        return self.programs() and shutil.which("psql")

    def version(self):
        return output_of(self.programs()[-1] / "postgres", "--version").split()[2]

    def ask(self, *words, database="till"):
        where = ["-h", "127.0.0.1", "-p", self.port, "-U", "till", "-d", database]
        return output_of("psql", *where, "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", *words)

    def start(self):
        programs = self.programs()[-1]
        if os.geteuid() == 0:
            self.user = "postgres"
            os.chown(self.folder, pwd.getpwnam(self.user).pw_uid, -1)
        data = self.folder / "data"
        output_of(
            *(programs / "initdb", "-D", data, "-U", "till", "-A", "trust", "--no-sync"),
            user=self.user,
            cwd=self.folder,
        )
        options = {
            "port": self.port,
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "max_connections": 200,
            "shared_buffers": "2GB",
            "max_wal_size": "16GB",
            "checkpoint_timeout": "30min",
            "synchronous_commit": "on",
            "fsync": "on",
        }
        words = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
        self.spawn(programs / "postgres", "-D", data, *words)
        self.await_that(lambda: self.ask("-c", "SELECT 1", database="postgres") == "1", "answer")
        self.ask("-c", "CREATE DATABASE till", database="postgres")
        self.ask("-f", HERE / "postgres.sql")
        rows = f"SELECT sku, {PRICE}, {STOCK} FROM generate_series(1, {self.skus}) AS sku"
        self.ask("-c", f"INSERT INTO skus {rows}")

    def audit(self):
        sums = (
            "SELECT (SELECT sum(stock) FROM skus), (SELECT count(*) FROM orders), "
            "(SELECT coalesce(sum(bought), 0) FROM customers)"
        )
        return [int(word) for word in self.ask("-c", sums).split("|")]


class PostgresSpread(Postgres):
    name = "PostgreSQL, 1,000 SKUs"
    skus = SKUS_SPREAD


class Tarantool(Server):
    name = "Tarantool, fsync"
    package = "tarantool"
    protocol = "tarantool"
    procedure = "place"
    wal_mode = "fsync"

    def installed(self):
        return shutil.which("tarantool")

    def version(self):
        return output_of("tarantool", "--version").split()[1].split("-")[0]

    def start(self):
        self.spawn(
            *("tarantool", HERE / "tarantool.lua"),
            env={
                "ADDRESS": self.address,
                "CONSOLE": f"unix/:{self.folder}/console",
                "FOLDER": str(self.folder),
                "WAL_MODE": self.wal_mode,
                "SKUS": str(self.skus),
                "PRICE": str(PRICE),
                "STOCK": str(STOCK),
            },
        )
        self.await_that(lambda: self.audit() == [self.skus * STOCK, 0, 0], "set the shop up")

    def audit(self):
        """Through its console: a line in, YAML that ends with '...' out."""
        with socket.socket(socket.AF_UNIX) as console:
            console.settimeout(60)
            console.connect(str(self.folder / "console"))
            console.sendall(b"audit()\n")
            text = b""
            while not text.endswith(b"...\n"):
                piece = console.recv(4096)
                if not piece:
                    raise Failed("the console closed")
                text += piece
        lines = [line for line in text.decode().splitlines() if line.startswith("- ")]
        if not lines:
            raise Failed(f"the console says {text.decode()}")
        return [int(word) for word in lines[0][2:].strip("'\" ").split()]


class TarantoolWrite(Tarantool):
    name = "Tarantool, write"
    wal_mode = "write"
    durable = False


SERVERS = [
    Till,
    Limit,
    LimitEcho,
    Tarantool,
    TarantoolWrite,
    Redis,
    RedisEverysec,
    Postgres,
    PostgresSpread,
]


def install(server):
    """True when it is there or could be installed; else the reason."""
    if server.installed():
        return True
    problem = install_package(server.package)
    if problem is not None:
        return problem
    return True if server.installed() else "not installed: the package has no such program"


def flush_us(folder):
    """Median time of a durable 4 KiB write, one after the other: what the disk gives anyone."""
    path = Path(folder) / f"till-flush-{os.getpid()}"
    page = mmap.mmap(-1, 4096)
    file = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_DIRECT | os.O_DSYNC, 0o600)
    times = []
    try:
        os.pwrite(file, page, 0)
        for _ in range(200):
            start = time.perf_counter()
            os.pwrite(file, page, 0)
            times.append((time.perf_counter() - start) * 1e6)
    finally:
        os.close(file)
        path.unlink()
    return statistics.median(times)


def processor():
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def file_system(folder):
    return output_of("stat", "-f", "-c", "%T", folder)


def conditions(folder, seconds):
    """Where and how, in one line: stands above every table."""
    server, client = cores()
    return (
        f"{time.strftime('%Y-%m-%d %H:%M')}, Linux {platform.release()}, {processor()}, "
        f"{os.cpu_count()} cores: servers on core {server}, clients on core {client}; "
        f"{file_system(folder)}, a durable 4 KiB write takes {flush_us(folder):.0f} us; "
        f"load average {os.getloadavg()[0]:.1f} at the start; {seconds} s a point."
    )


ORDER = (
    "One order: id not seen, price as the buyer saw it, stock there; takes the stock, keeps the "
    "order, counts the customer's units. \"Durable\": a power cut right after the answer loses "
    "nothing. All answers were checked, and each peer's stock against its orders.\n"
)


def run_server(kind, parent, build, seconds, results):
    server = kind(parent, build)
    there = install(server)
    if there is not True:
        for load in kind.loads:
            results[load][kind] = there
        return
    version = server.version()
    for load in kind.loads:
        results[load][kind] = "not measured"
    try:
        with server:
            for load in kind.loads:
                say(f"{kind.name}, {load[0]} x {load[1]}")
                results[load][kind] = dict(server.measure(*load, seconds), version=version)
    except (Failed, OSError, subprocess.TimeoutExpired) as failure:
        say(f"{kind.name}: {failure}")
        for load in kind.loads:
            if results[load][kind] == "not measured":
                results[load][kind] = f"failed: {str(failure).splitlines()[-1][:120]}"


def print_table(load, rows):
    connections, in_flight = load
    own = rows.get(Till)
    base = own["orders_per_second"] if isinstance(own, dict) else None
    print(f"### {connections} connections x {in_flight} in flight, closed loop\n")
    print("| server | version | durable | orders/s | p50 us | p99 us | till is |")
    print("|---|---|---|--:|--:|--:|--:|")
    for kind, row in rows.items():
        durable = "yes" if kind.durable else "no"
        if isinstance(row, str):
            print(f"| {kind.name} | | {durable} | {row} | | | |")
            continue
        rate = row["orders_per_second"]
        ratio = f"{base / rate:.2f} x" if base and rate else ""
        print(
            f"| {kind.name} | {row['version']} | {durable} | {rate:,.0f} | {row['p50_us']:,.0f} "
            f"| {row['p99_us']:,.0f} | {ratio} |"
        )
    print(flush=True)


def print_plot(results, folder):
    """All loads in one plot, a bar for each server and load."""
    series = {}
    for (connections, in_flight), rows in results.items():
        measured = [
            (kind.name if kind.durable else f"{kind.name} (not durable)", row["orders_per_second"])
            for kind, row in rows.items()
            if isinstance(row, dict)
        ]
        if measured:
            series[f"{connections} x {in_flight}"] = measured
    figure = {
        "kind": "bars",
        "title": "Orders per second, connections x in flight",
        "x": "orders/s, logarithmic",
        "y": "",
        "series": series,
        "size": (8, 8),
    }
    print(plots.draw(folder / "peers.svg", figure, say, install_package))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=4, help="length of each point")
    parser.add_argument("--folder", default=".", help="where the servers' folders go, on a disk")
    parser.add_argument("--build", default="build/release", help="where limit and peer-client are")
    parser.add_argument("--plots", default="build/plots", help="the folder for the plot")
    parser.add_argument("--only", default="", help="names that begin so, separated by commas")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that servers are ended on the way
    wanted = tuple(arguments.only.lower().split(",")) if arguments.only else ("",)
    results = {load: {} for load in LOADS}
    build = Path(arguments.build).resolve()
    print(f"{conditions(arguments.folder, arguments.seconds)}\n{ORDER}", flush=True)
    for kind in SERVERS:
        if kind.name.lower().startswith(wanted):
            parent = Path(arguments.folder).resolve()
            run_server(kind, parent, build, arguments.seconds, results)
    for load, rows in results.items():
        if rows:
            print_table(load, rows)
    print_plot(results, Path(arguments.plots))
    print(f"Load average at the end: {os.getloadavg()[0]:.1f}.")
    failed = [row for rows in results.values() for row in rows.values() if isinstance(row, str)]
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
