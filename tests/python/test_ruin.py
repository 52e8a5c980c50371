"""Ruined folders: one file of a data folder, a backup or an archive is missing, cut, zeroed,
changed, swapped, stale or misplaced. Every command that opens the folder either refuses it and
names the file, or has everything that was acknowledged. docs/formats.md has the table of outcomes.

    test_ruin.py ./till --cases 10000 --jobs 2     the long run
    test_ruin.py ./till --seed S --case N          one case of it again
"""

import collections
import itertools
import multiprocessing
import os
import shutil
import tempfile
import threading
import time
from pathlib import Path

import harness
import ruin
from harness import check, check_equal, test
from till_client import Closed

USD = 840
SKUS = {sku: 100 * sku for sku in range(1, 9)}
CUSTOMERS = range(1, 101)
WAREHOUSE = 1
HOLD = 7 * 86400
IDLE_SECONDS = 0.3  # until an idle server has finished its idle work (the seal)
SINGLES = 800       # in a block of their own each
PIPELINED = 200
LOAD_SECONDS = 0.5
LOAD_CLIENTS = 4
WAIT_SECONDS_MAX = 60
FAILURES_SHOWN = 40
FOLDERS_KEPT = 8
OPTIONS = ("--log-segment", "4", *ruin.ROOM)
SNAPSHOTS = ("--snapshot-log", "6m")


class Shop:
    """A server, and all that it has acknowledged."""

    def __init__(self, run, folder, *options):
        self.run = run
        self.random = run.random
        self.folder = folder
        self.options = (*OPTIONS, *options)
        self.orders = {}
        self.seq = 0
        self.lock = threading.Lock()
        self.server = run.serve(folder, self.options)

    def open(self):
        with self.server.client() as client:
            for sku, price in SKUS.items():
                self.change(client, "sku.put", sku=sku, price=price, currency=USD)
                self.change(client, "stock.adjust", sku=sku, delta=10**9, warehouse=WAREHOUSE)
            for customer in CUSTOMERS:
                self.change(client, "points.credit", customer=customer, points=10**6)
        return self

    def change(self, client, name, /, **fields):
        reply = client.call(name, key=self.random.getrandbits(128) | 1, **fields)
        check_equal(reply.outcome, "OK", name)
        self.seq = max(self.seq, reply.body["seq"])
        return reply

    def order(self):
        skus = self.random.sample(list(SKUS), self.random.choice((1, 1, 1, 2, 3)))
        return {"order": self.random.getrandbits(128) | 1,
                "customer": self.random.choice(CUSTOMERS), "currency": USD, "hold": HOLD,
                "rows": [{"sku": sku, "quantity": self.random.randint(1, 3), "price": SKUS[sku]}
                         for sku in skus]}

    def note(self, fields, reply):
        check_equal(reply.outcome, "OK", "an order")
        rows = [(row["sku"], row["quantity"]) for row in fields["rows"]]
        with self.lock:
            self.orders[fields["order"]] = (fields["customer"], reply.body["state"], rows)
            self.seq = max(self.seq, reply.body["seq"])

    def end_some(self, client, fields, reply):
        """Some orders are paid, some cancelled."""
        draw = self.random.random()
        if draw < 0.1:
            ended = client.call("payment.event", event=self.random.getrandbits(128) | 1,
                                order=fields["order"], provider=1, status="SUCCESS", currency=USD,
                                amount=reply.body["money_due"])
        elif draw < 0.15:
            ended = client.call("order.cancel", key=self.random.getrandbits(128) | 1,
                                order=fields["order"])
        else:
            return
        self.note(fields, ended)

    def live(self, singles=SINGLES, pipelined=PIPELINED):
        """Orders one by one, then many together, then a pause."""
        with self.server.client() as client:
            for _ in range(singles):
                fields = self.order()
                reply = client.call("order.place", **fields)
                self.note(fields, reply)
                self.end_some(client, fields, reply)
            queued = [self.order() for _ in range(pipelined)]
            for fields in queued:
                client.queue("order.place", **fields)
            client.flush()
            for fields in queued:
                self.note(fields, client.receive())
        time.sleep(IDLE_SECONDS)

    def load(self):
        """One client under load, until the server is gone."""
        try:
            with self.server.client() as client:
                for _ in itertools.count():
                    queued = [self.order() for _ in range(self.random.randint(1, 12))]
                    for fields in queued:
                        client.queue("order.place", **fields)
                    client.flush()
                    for fields in queued:
                        self.note(fields, client.receive())
        except (Closed, OSError):
            pass

    def kill_under_load(self):
        threads = [threading.Thread(target=self.load) for _ in range(LOAD_CLIENTS)]
        for thread in threads:
            thread.start()
        time.sleep(LOAD_SECONDS)
        self.kill()
        for thread in threads:
            thread.join()

    def kill(self):
        self.server.kill()

    def goes_on_in(self, folder):
        """Another server on a copy of the folder, with the same past."""
        shutil.copytree(self.folder, folder)
        other = Shop(self.run, folder, *self.options)
        other.orders, other.seq = dict(self.orders), self.seq
        return other


class Studio:
    """Builds the subjects, in a folder of its own."""

    def __init__(self, run, root):
        self.run = run
        self.root = root
        self.subjects = []
        self.photos = 0

    def photo(self, folder):
        self.photos += 1
        copy = self.root / "photos" / f"{self.photos}-{folder.name}"
        shutil.copytree(folder, copy)
        return copy

    def till(self, *arguments):
        done = ruin.till(self.run.binary, *arguments)
        check_equal(done.code, 0, f"till {arguments}: {done.text}")

    def add(self, name, folder, shop, probes, older=(), **more):
        subject = ruin.Subject(self.run.binary, name, folder, more.pop("orders", shop.orders),
                               more.pop("seq", shop.seq), probes, older, **more)
        self.subjects.append(subject)
        return subject

    def build(self):
        data = self.build_main()
        self.build_young()
        self.build_restored(data)
        self.build_archive()
        return self.subjects

    DATA_PROBES = ((ruin.probe_verify, 1), (ruin.probe_serve, ruin.SERVE_SHARE),
                   (ruin.probe_backup, ruin.BACKUP_SHARE))
    BACKUP_PROBES = ((ruin.probe_verify, 1), (ruin.probe_restore, ruin.RESTORE_SHARE),
                     (ruin.probe_serve, ruin.SERVE_SHARE))

    def build_main(self):
        """One shop with snapshots and recycled segments, stopped in three ways, and a backup of it
        that was brought up to date after each part."""
        shop = Shop(self.run, self.root / "main", *SNAPSHOTS).open()
        backup, photos, backups = self.root / "backup", [], []
        for number in range(6):
            shop.live()
            photos.append(self.photo(shop.folder))
            if number >= 2:
                self.till("backup", backup, "--data", shop.folder, "--rate", 0)
                backups.append(self.photo(backup))
                self.early = (dict(shop.orders), shop.seq) if number == 2 else self.early
        shop.kill()
        loaded = shop.goes_on_in(self.root / "loaded")
        seq_rested = loaded.seq
        loaded.kill_under_load()
        stopped = shop.goes_on_in(self.root / "stopped")
        stopped.live(200, 200)
        stopped.server.stop_clean()
        self.add("data, killed when idle", shop.folder, shop, self.DATA_PROBES, photos)
        self.add("data, killed under load", loaded.folder, loaded, self.DATA_PROBES, photos,
                 seq_rested=seq_rested)
        self.add("data, stopped", stopped.folder, stopped, self.DATA_PROBES, photos)
        self.add("backup", backup, shop, self.BACKUP_PROBES, backups)
        self.first_backup = backups[0]
        return photos[-1]

    def build_young(self):
        """A log that begins with the first change."""
        shop = Shop(self.run, self.root / "young", "--no-snapshots").open()
        photos = []
        for _ in range(3):
            shop.live()
            photos.append(self.photo(shop.folder))
        shop.kill()
        self.add("data, without snapshots", shop.folder, shop, self.DATA_PROBES, photos)

    def build_restored(self, data):
        """A restored shop that goes on, with files of the former history available."""
        folder, archive = self.root / "restored", self.root / "restored-archive"
        self.till("restore", "--from", self.first_backup, "--data", folder, *ruin.ROOM)
        shop = Shop(self.run, folder, *SNAPSHOTS, "--archive", str(archive))
        shop.orders, shop.seq = dict(self.early[0]), self.early[1]
        photos = [data, self.photo(folder)]
        self.live_until_archived(shop, archive, 1, [])
        shop.kill()
        self.add("data, restored", folder, shop, self.DATA_PROBES, photos)
        self.add("archive, of a restored shop", archive, shop, ((ruin.probe_verify_archive, 1),),
                 orders={}, seq=self.end_of(archive))

    def live_until_archived(self, shop, archive, count, photos):
        """Waits until there are this many segments in the archive."""
        deadline = time.monotonic() + WAIT_SECONDS_MAX
        while len(list(archive.glob("log-*"))) < count:
            check(time.monotonic() < deadline, f"the archive gets {count} segments")
            shop.live()
            photos.append(self.photo(archive))

    def build_archive(self):
        """An archive, and a backup of the same age."""
        archive, backup = self.root / "archive", self.root / "archive-backup"
        shop = Shop(self.run, self.root / "archived", *SNAPSHOTS, "--archive", str(archive)).open()
        shop.live(50, 0)
        self.till("backup", backup, "--data", shop.folder, "--rate", 0)
        early, photos = {"orders": dict(shop.orders), "seq": shop.seq}, []
        self.live_until_archived(shop, archive, 4, photos)
        shop.kill()
        late = {"orders": {}, "seq": self.end_of(archive)}
        self.add("backup, made once", backup, shop, self.BACKUP_PROBES, **early)
        self.add("archive", archive, shop, ((ruin.probe_verify_archive, 1),), photos, **late)
        self.add("archive, with a backup", archive, shop, ((ruin.probe_archive, 1),), photos,
                 beside=backup, **late)

    def end_of(self, archive):
        lines = ruin.till(self.run.binary, "log", archive).out.splitlines()
        return ruin.json.loads(lines[-1])["seq"]


def check_sound(subject, root):
    """Without any ruin, every probe accepts the folder with all that was acknowledged."""
    for number, (probe, _) in enumerate(subject.probes):
        work = root / f"sound-{number}"
        work.mkdir()
        found = probe(subject, ruin.random.Random(0), subject.folder, work)
        check(found.what == ruin.ACCEPTED and found.seq >= subject.seq and not found.text,
              f"{subject.name}, sound: {probe.__name__}: {found}")
        shutil.rmtree(work)
    if not subject.orders:
        return  # an archive
    truth = subject.truth(subject.seq, True)
    check(truth is not None and len(truth) == 1 + len(subject.orders), f"{subject.name}'s orders")
    for (order, (customer, state, _)), line in zip(subject.orders.items(), truth[1:]):
        shown = ruin.json.loads(line)
        check(shown["outcome"] == "OK" and shown["state"] == state,
              f"{subject.name}: order {order:#x} of {customer} is {line}, not {state}")


BUILT = []


def try_one(arguments):
    seed, number, root = arguments
    return ruin.try_case(BUILT, seed, number, Path(root) / f"case-{number}")


def try_all(run, root, numbers):
    tasks = [(run.arguments.seed, number, str(root)) for number in numbers]
    with multiprocessing.get_context("fork").Pool(run.arguments.jobs) as pool:
        yield from pool.imap_unordered(try_one, tasks, chunksize=4)


def keep_failures(run, failures):
    """Keeps the ruined folders of the first failures, so that they can be tried again."""
    for case in failures[:FOLDERS_KEPT]:
        kept = run.root / f"case-{case.number}"
        shutil.copytree(case.folder, kept)
        print(f"   case {case.number} is kept in {kept}")


# The columns of the table: ways that are alike.
COLUMNS = {
    "missing": ("missing", "missing with all after it"),
    "cut": ("cut", "cut at a page"),
    "zeroed": ("zeroed", "page zeroed", "zeroed from a page on"),
    "changed": ("page of garbage", "bit flipped", "byte changed"),
    "another's": ("swapped", "replaced by another", "replaced by a stranger"),
    "stale": ("stale",),
    "longer": ("zeros behind it", "garbage behind it"),
    "misplaced": ("renamed", "doubled", "put back"),
}


def print_table(cases):
    """Markdown: how often each kind of file was named, whole, and so on, by the way of its ruin."""
    column_of = {how: column for column, ways in COLUMNS.items() for how in ways}
    cells = collections.defaultdict(collections.Counter)
    for case in cases:
        cells[case.subject.split(",")[0], case.kind, column_of[case.how]][case.verdict()] += 1
    print("| folder | file | " + " | ".join(COLUMNS) + " |")
    print("|---|---|" + "---|" * len(COLUMNS))
    for folder, kind in sorted({key[:2] for key in cells}):
        texts = [", ".join(f"{count} {verdict}" for verdict, count
                           in sorted(cells[folder, kind, column].items()))
                 for column in COLUMNS]
        print(f"| {folder} | `{kind}` | " + " | ".join(texts) + " |")


def of_each_sort(failures):
    """The first failure of each sort, then the others."""
    sorts = {}
    for case in failures:
        sorts.setdefault((case.subject, case.kind, case.how, case.verdict()), case)
    return [*sorts.values(), *(case for case in failures if case not in sorts.values())]


@test
def ruined_files_are_named_or_lose_nothing(run):
    place = harness.memory_folder() or run.root
    with tempfile.TemporaryDirectory(prefix="till-ruin-", dir=place) as root:
        root = Path(root)
        began = time.monotonic()
        try:
            BUILT[:] = Studio(run, root).build()
        finally:
            for server in run.servers:
                server.kill()
            run.servers.clear()  # their logs go with this folder
        for subject in BUILT:
            check_sound(subject, root)
        print(f"   {len(BUILT)} folders in {time.monotonic() - began:.1f} s")
        began = time.monotonic()
        only = run.arguments.case
        numbers = [only] if only >= 0 else range(run.arguments.cases)
        cases = sorted(try_all(run, root, numbers), key=lambda case: case.number)
        failures = [case for case in cases if case.failures()]
        check_equal({how for ways in COLUMNS.values() for how in ways}, set(ruin.WAYS), "ways")
        print_table(cases)
        print(f"   {len(cases)} cases in {time.monotonic() - began:.1f} s")
        for case in of_each_sort(failures)[:FAILURES_SHOWN]:
            print(case)
        keep_failures(run, of_each_sort(failures))
        check_equal(len(failures), 0, f"failures of {len(cases)} cases, seed {run.arguments.seed},")


harness.main(("cases", 350, "how many are tried"), ("jobs", os.cpu_count(), "at a time"),
             ("case", -1, "the only one to try"))
