"""Several real servers of one shop: what the tests of replicas and of promotions have in common.

A member keeps its folder, its port and its command line, however often it is started. Its port is
below those that the system gives to outgoing connections: one of those could take it while the
server is down, and even connect to itself there."""

import contextlib
import json
import random
import signal
import socket
import threading
from pathlib import Path

from harness import check, check_equal, wait_until
from till_client import Client, Closed

PIECE = 64 << 10
PORT_FIRST = 10_000
PORT_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")


def free_port(taken=set()):
    """A port that nobody listens at, and no earlier call has returned."""
    end = int(PORT_RANGE.read_text().split()[0])
    for port in random.sample(range(PORT_FIRST, max(end, PORT_FIRST + 1000)), 200):
        try:
            with socket.create_server(("127.0.0.1", port)):
                pass
        except OSError:
            continue
        if port not in taken:
            taken.add(port)
            return port
    raise AssertionError("no port is free")


class Proxy:
    """Stands between a replica and the server that it follows, and passes on so many bytes of what
    that one sends, in all: the rest waits until there may be more."""

    def __init__(self, member):
        self.port = member.port
        self.listener = socket.create_server(("127.0.0.1", free_port()))
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        self.left = None  # None: no limit
        self.alter = lambda data: data  # what becomes of each piece that the server sends
        self.passed = 0
        self.ends = []
        self.change = threading.Condition()
        threading.Thread(target=self.accept, daemon=True).start()

    def allow(self, count):
        """So many bytes more; None: any number."""
        with self.change:
            self.left = count
            self.change.notify_all()

    def cut(self):
        """Ends all connections; new ones are taken."""
        with self.change:
            ends, self.ends = self.ends, []
        for end in ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self):
        """Ends all connections, and takes no more."""
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.cut()

    def take(self):
        """How many bytes may be passed on now; waits until there are any."""
        with self.change:
            self.change.wait_for(lambda: self.left != 0)
            return PIECE if self.left is None else min(PIECE, self.left)

    def note(self, count):
        with self.change:
            self.passed += count
            if self.left is not None:
                self.left = max(0, self.left - count)

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                try:
                    server = socket.create_connection(("127.0.0.1", self.port))
                except OSError:
                    client.close()
                    continue
                with self.change:
                    self.ends += [client, server]
                for source, target, is_limited in ((client, server, False), (server, client, True)):
                    threading.Thread(target=self.pump, args=(source, target, is_limited),
                                     daemon=True).start()

    def pump(self, source, target, is_limited):
        with contextlib.suppress(OSError):
            while data := source.recv(self.take() if is_limited else PIECE):
                target.sendall(self.alter(data) if is_limited else data)
                if is_limited:
                    self.note(len(data))
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


class Member:
    """A server of the shop, running or not."""

    def __init__(self, run, name, *options, of=None, folder=None, disk_mebibytes=None):
        self.run = run
        self.name = name
        self.folder = folder or run.folder()
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        self.options = ["--name", name, *map(str, options)]
        if of is not None:
            self.options += ["--replica-of", of.address]
        self.disk_mebibytes = disk_mebibytes
        self.server = None

    def start(self, *options):
        """Starts it, with these options besides its own."""
        options = ["--listen", self.address, *self.options, *map(str, options)]
        if self.disk_mebibytes is None:
            self.server = self.run.serve(self.folder, options)
        else:
            self.server = self.run.serve_on_small_disk(self.disk_mebibytes, self.folder.parent,
                                                       self.folder, options)
        return self

    def forget(self):
        self.run.servers.remove(self.server)
        self.server = None

    def kill(self):
        self.server.kill()
        self.forget()

    def stop(self):
        self.server.stop_clean()
        self.forget()

    def suspend(self):
        self.server.process.send_signal(signal.SIGSTOP)

    def resume(self):
        self.server.process.send_signal(signal.SIGCONT)

    def client(self, **options):
        return Client(("127.0.0.1", self.port), **options)

    def said(self):
        """What its servers have written to stderr so far."""
        return Path(f"{self.folder}.log").read_text(errors="replace")

    def status(self):
        """What `till replicas --json` says; waits for a server that starts again in place."""
        results = []

        def is_answered():
            check(self.server.is_alive(), f"{self.name} has ended: {self.said()[-1000:]}")
            results.append(self.run.till("replicas", "--connect", self.address, "--json"))
            return results[-1].returncode == 0

        wait_until(is_answered, lambda: f"till replicas of {self.name}: {results[-1].stderr}")
        return json.loads(results[-1].stdout)

    def row(self, replica):
        """What it says of the replica; None when it knows of none of this name. A replica that
        fetches a snapshot may have two rows, and the one of its link has the name."""
        rows = [row for row in self.status()["replicas"] if row["name"] == replica.name]
        check(len(rows) <= 1, f"{replica.name} has the rows {rows}")
        return rows[0] if rows else None

    def stats(self):
        with self.client() as client:
            return client.call("stats")

    def seq(self):
        return self.stats().body["seq"]


def is_level(upstream, replica):
    """Does the replica stream, and have all that the other has? Not while it starts in place."""
    row = upstream.row(replica)
    if row is None or row["state"] != "STREAMING":
        return False
    try:
        reply = replica.stats()
    except (Closed, OSError):  # it starts again in place
        return False
    return reply.outcome == "OK" and reply.body["seq"] == upstream.seq()


def wait_level(upstream, *replicas):
    """Waits until all have the same state, and compares it."""
    for replica in replicas:
        wait_until(lambda: is_level(upstream, replica),
                   lambda: f"{replica.name} to stream: {upstream.status()}, it says "
                           f"{replica.said()[-500:]}")
        ours, theirs = replica.stats().body, upstream.stats().body
        check_equal((ours["seq"], ours["digest"]), (theirs["seq"], theirs["digest"]),
                    f"the state of {replica.name}")
