"""Damaging ("ruining") the files of folders, and checking the consequences.

A Subject is a folder that a real server, backup or restore has left, with all that is known about
it: what was acknowledged, its earlier states, and the probes, which are the commands that a person
would open it with. A way of ruin is a function registered with @way, which changes one file of a
copy. A case is drawn by its number: a subject, a kind of file, a way, a file, a place.

A probe either refuses the ruined folder, and then its message must name the file (or the folder,
where a file is gone), or accepts it, and then everything that was acknowledged must be there. What
is there is compared by seq and digest, and for a share of the cases order by order. Nothing here
knows the purpose of a file: files are of the same kind when their names differ only in numbers, and
cases are distinguished only by their outcomes."""

import json
import os
import random
import re
import shutil
import subprocess
from collections import namedtuple
from pathlib import Path

from formats import BLOCK, BLOCK_MAGIC, Block
from till_client import Client

PAGE = 4096
SECONDS_MAX = 60
TEXT_MAX = 400     # characters of a message that are shown
ORDERS_ASKED = 200  # of a server, besides the last ones

CAPACITIES = {"skus": 64, "stocks": 256, "sales": 16, "pools": 64, "tallies": 64,
              "customers": 1024, "lots": 1024, "ledger": 4096, "orders": 65536, "lines": 65536,
              "pieces": 65536, "point-takes": 4096, "moneys": 65536, "steps": 65536,
              "deadlines": 131072, "payments": 65536, "keys": 65536,
              "earnings": 4096}
ROOM = [part for name, value in CAPACITIES.items() for part in (f"--{name}", str(value))]

# Shares of the cases in which the more expensive checks are made.
ORDERS_SHARE, SERVE_SHARE, BACKUP_SHARE, RESTORE_SHARE = 0.25, 0.25, 0.1, 0.3


class Done(namedtuple("Done", "code text out")):
    """A command that has ended: its exit code, all it printed, and its stdout alone."""


def till(binary, *arguments, text=None):
    try:
        result = subprocess.run([binary, *map(str, arguments)], capture_output=True, text=True,
                                errors="replace", timeout=SECONDS_MAX, input=text or "")
    except subprocess.TimeoutExpired:
        return Done("hangs", "", "")
    return Done(result.returncode, result.stderr + result.stdout, result.stdout)


def id_text(number):
    digits = f"{number:032x}"
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def ask(binary, folder, queries, *where):
    """The answers of the shell to queries about a folder, as its lines; None when it refuses."""
    done = till(binary, "shell", "--json", "--data", folder, *where, *ROOM,
                text="\n".join(queries) + "\n")
    return done.out.splitlines() if done.code == 0 else None


def headers(path):
    """The headers of blocks in a file, at whatever offset."""
    data = path.read_bytes()
    for at in range(0, len(data) - BLOCK.size + 1, PAGE):
        if data.startswith(b"tillblk1", at):
            block = Block(*BLOCK.unpack_from(data, at), at)
            if block.magic == BLOCK_MAGIC:
                yield block


def used_pages(path):
    data = path.read_bytes()
    return [number for number in range((len(data) + PAGE - 1) // PAGE)
            if data[number * PAGE : (number + 1) * PAGE].strip(b"\0")]


def kind_of(name):
    return re.sub(r"\d+", "N", name)


class Subject:
    def __init__(self, binary, name, folder, orders, seq, probes, older=(), beside=None,
                 seq_rested=None):
        self.binary = binary
        self.name = name
        self.folder = folder
        self.orders = orders    # id -> (customer, state, rows), all acknowledged
        self.seq = seq          # acknowledged
        self.probes = probes    # (function, share of the cases)
        self.beside = beside    # another folder that a probe needs
        self.seq_rested = seq_rested  # when the log last rested; None: at the end
        self.files = {}         # kind -> names
        self.pages = {}         # name -> pages that are not all zero
        self.stale = {}         # kind -> (name, path of an older version of it)
        self.gone = {}          # kind -> path of a file that was there once
        self.truths = {}        # seq -> answers
        for path in sorted(folder.iterdir()):
            self.files.setdefault(kind_of(path.name), []).append(path.name)
            self.pages[path.name] = used_pages(path)
        for path in (path for photo in older for path in sorted(photo.iterdir())):
            now = folder / path.name
            known = self.stale if now.exists() else self.gone
            if not now.exists() or now.read_bytes() != path.read_bytes():
                known.setdefault(kind_of(path.name), []).append((path.name, path))
        self.look_at_the_end()

    def look_at_the_end(self):
        """Where the log ends, and up to which seq its own blocks say that it is durable."""
        blocks = [(block, name) for name in self.pages for block in headers(self.folder / name)]
        ends = [(block.seq_first + block.command_count, block.offset, name)
                for block, name in blocks]
        self.end_file = max(ends)[2] if ends else None
        self.seq_sealed = max((block.seq_durable for block, _ in blocks), default=0)

    def queries(self, everything):
        orders = self.orders if everything else ()
        return ["stats", *(f"order.get order={id_text(order)}" for order in orders)]

    def where(self):
        return ("--archive", self.folder) if self.beside else ()

    def base(self, folder=None):
        """The shell's arguments: this folder, or the one beside it with this as its archive."""
        return self.beside or folder or self.folder

    def truth(self, seq, everything):
        """The answers of the sound folder at this seq; None when the folder does not reach it."""
        if (seq, everything) not in self.truths:
            self.truths[seq, everything] = ask(self.binary, self.base(), self.queries(everything),
                                               *self.where(), "--seq", seq)
        return self.truths[seq, everything]


# The outcome of a probe: REFUSED with a message, ACCEPTED up to a seq, LATER when it was accepted
# first and is refused afterwards, with nothing lost; BROKEN must never occur.
REFUSED, ACCEPTED, LATER, BROKEN = "refused", "accepted", "later", "broken"
Found = namedtuple("Found", "what text seq")


def refused(done):
    """Exit code 1 is a refusal; any other code than 0 and 1 is a failure."""
    return Found(REFUSED if done.code == 1 else BROKEN, f"exit code {done.code}: {done.text}", 0)


def judge_state(subject, rng, folder, *where):
    """The state that an accepted folder leads to."""
    everything = rng.random() < ORDERS_SHARE
    answers = ask(subject.binary, folder, subject.queries(everything), *where)
    if answers is None:
        return Found(BROKEN, "verify accepts it and the shell does not", 0)
    seq = json.loads(answers[0])["seq"]
    if seq == 0:
        return Found(ACCEPTED, "as an empty folder", 0)
    truth = subject.truth(seq, everything)
    if truth is None:
        return Found(BROKEN, f"there never was a seq {seq}", seq)
    if answers != truth:
        return Found(BROKEN, f"it is another state at seq {seq}", seq)
    return Found(ACCEPTED, "", seq)


# Probes: each takes the subject, randomness, the folder, and a place for what it makes.

def probe_verify(subject, rng, folder, _):
    done = till(subject.binary, "verify", folder, *ROOM)
    return refused(done) if done.code != 0 else judge_state(subject, rng, folder)


def probe_verify_archive(subject, _rng, folder, _):
    """An archive alone leads to no state: its content is compared."""
    done = till(subject.binary, "verify", folder, *ROOM)
    if done.code != 0:
        return refused(done)
    listed = till(subject.binary, "log", folder)
    if listed.code != 0:
        return Found(BROKEN, f"verify accepts it and log does not: {listed.text}", 0)
    if "listed" not in subject.truths:
        subject.truths["listed"] = till(subject.binary, "log", subject.folder).out
    if listed.out == subject.truths["listed"]:
        return Found(ACCEPTED, "", subject.seq)
    lines = listed.out.splitlines()
    whole = subject.truths["listed"].splitlines()
    seq = json.loads(lines[-1])["seq"] if lines else 0
    if lines == whole[: len(lines)] or lines == whole[len(whole) - len(lines) :]:
        return Found(ACCEPTED, "a part of it", min(seq, len(lines)))
    return Found(BROKEN, "verify accepts another history", seq)


def probe_archive(subject, rng, folder, work):
    """The state that the backup beside it leads to with this archive."""
    done = till(subject.binary, "restore", "--from", subject.beside, "--archive", folder,
                "--data", work / "restored", *ROOM)
    if done.code != 0:
        return refused(done)
    return judge_state(subject, rng, work / "restored")


def probe_restore(subject, rng, folder, work):
    done = till(subject.binary, "restore", "--from", folder, "--data", work / "restored", *ROOM)
    if done.code != 0:
        return refused(done)
    return judge_state(subject, rng, work / "restored")


def probe_backup(subject, rng, folder, work):
    done = till(subject.binary, "backup", work / "backup", "--data", folder, "--rate", 0)
    if done.code != 0:
        return refused(done)
    return judge_state(subject, rng, work / "backup")


class Server:
    """A server on a folder; the folder's damage may prevent its start."""

    def __init__(self, binary, folder):
        self.folder = folder
        with open(f"{folder}.log", "wb") as log:
            self.process = subprocess.Popen(
                [binary, "serve", "--data", str(folder), "--listen", "127.0.0.1:0", *ROOM,
                 "--lazy-memory"], stdout=subprocess.PIPE, stderr=log, text=True)
        self.address = None
        for line in self.process.stdout:
            if line.startswith("listening on "):
                host, port = line.split()[2].rsplit(":", 1)
                self.address = (host, int(port))
                break
        self.code = None if self.address else self.process.wait(SECONDS_MAX)
        self.log = Path(f"{folder}.log")

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


def wrong_order(subject, rng, client):
    """Queries the last of the acknowledged orders and some others; returns what has changed."""
    orders = list(subject.orders.items())
    asked = orders[-ORDERS_ASKED:] + rng.sample(orders, min(ORDERS_ASKED, len(orders)))
    for order, _ in asked:
        client.queue("order.get", order=order)
    client.flush()
    for order, known in asked:
        reply = client.receive()
        shown = reply.outcome == "OK" and (
            reply.body["customer"], reply.body["state"],
            [(row["sku"], row["allocated"]) for row in reply.rows])
        if shown != known:
            return f"order {id_text(order)} is {shown}, not {known}"
    return ""


def digest_of(answers):
    return int(json.loads(answers[0])["digest"], 16) if answers else None


def is_as_it_was(subject, folder, stats):
    """Is the served state right for its seq, except for the server's own commands? The server logs
    a jump of its clock when it has lost the note of it, and ends holds."""
    if digest_of(subject.truth(stats["seq"], False)) == stats["digest"]:
        return True
    seq = stats["seq"]
    for line in reversed(till(subject.binary, "log", folder).out.splitlines()):
        if json.loads(line)["command"] not in ("time.jump", "hold.expire"):
            break
        seq = json.loads(line)["seq"] - 1
    then = ask(subject.binary, folder, ["stats"], "--seq", seq)
    return seq < stats["seq"] and then is not None and (
        digest_of(then) == digest_of(subject.truth(seq, False)))


def serve_and_go_on(subject, rng, server):
    """The served state, and the seq after three more orders."""
    with Client(server.address) as client:
        stats = client.call("stats").body
        if stats["seq"] == 0:
            return Found(ACCEPTED, "as an empty folder", 0), 3
        if not is_as_it_was(subject, server.folder, stats):
            return Found(BROKEN, f"served is another state at seq {stats['seq']}", 0), 0
        if stats["seq"] >= subject.seq:
            wrong = wrong_order(subject, rng, client)
            if wrong:
                return Found(BROKEN, wrong, 0), 0
        for _ in range(3):
            client.call("order.place", order=rng.getrandbits(128) | 1, customer=1, currency=840,
                        rows=[{"sku": 1, "quantity": 1, "price": 100}])
        return Found(ACCEPTED, "", stats["seq"]), client.call("stats").body["seq"]


def probe_serve(subject, rng, folder, work):
    """A server starts on the folder, serves what was acknowledged, takes more orders, is killed,
    and leaves a sound folder."""
    shutil.copytree(folder, work / "served")
    server = Server(subject.binary, work / "served")
    try:
        if server.address is None:
            return refused(Done(server.code, server.log.read_text(errors="replace"), ""))
        found, seq_after = serve_and_go_on(subject, rng, server)
    except (OSError, ValueError) as error:
        return Found(BROKEN, f"a server that breaks: {error} {server.log.read_text()}", 0)
    finally:
        server.kill()
    if found.what == BROKEN or found.text:
        return found
    if seq_after != found.seq + 3:
        return Found(BROKEN, f"three orders lead from seq {found.seq} to {seq_after}", found.seq)
    answers = ask(subject.binary, work / "served", ["stats"])
    if not answers or json.loads(answers[0])["seq"] < seq_after:
        return Found(BROKEN, f"of seq {seq_after}, going on and a kill left {answers}", found.seq)
    done = till(subject.binary, "verify", work / "served", *ROOM)
    return found if done.code == 0 else refused(done)._replace(seq=found.seq, what=LATER)


# Ways of ruin: each takes a Ruin, changes a file, and returns what it did; None: not possible.

WAYS = {}


def way(function):
    WAYS[function.__name__.replace("_", " ")] = function
    return function


class Ruin:
    def __init__(self, subject, strangers, rng, folder, name):
        self.subject = subject
        self.strangers = strangers
        self.rng = rng
        self.folder = folder
        self.name = name
        self.path = folder / name
        self.names = {name}  # a message must contain one of these

    def read(self):
        return bytearray(self.path.read_bytes())

    def write(self, data, path=None):
        """The files of a copy are hard links: a file is replaced before it is changed."""
        path = path or self.path
        path.unlink(missing_ok=True)
        path.write_bytes(data)

    def same_kind(self):
        names = self.subject.files[kind_of(self.name)]
        return [name for name in names if name != self.name]

    def page(self):
        """Mostly a page that is used, and often one of the last of those."""
        used = self.subject.pages[self.name]
        pages = max(1, (self.path.stat().st_size + PAGE - 1) // PAGE)
        draw = self.rng.random()
        if draw < 0.2 or not used:
            return self.rng.randrange(pages)
        return self.rng.choice(used[-6:] if draw < 0.55 else used)

    def place(self):
        """The offset of a byte: at the beginning of a page, where headers are, or anywhere."""
        size = self.path.stat().st_size
        within = self.rng.randrange(128 if self.rng.random() < 0.4 else PAGE)
        return min(self.page() * PAGE + within, size - 1)

    def gone(self):
        """A file is missing, or one is where none was: then the message may name the folder
        instead."""
        self.names.add(f"{self.folder.parent}/")


@way
def missing(ruin):
    ruin.path.unlink()
    ruin.gone()
    return "removed"


@way
def missing_with_all_after_it(ruin):
    names = sorted([ruin.name, *ruin.same_kind()])
    for name in names[names.index(ruin.name) :]:
        (ruin.folder / name).unlink()
    ruin.gone()
    return "removed with all after it"


@way
def cut(ruin):
    data = ruin.read()
    at = min(len(data) - 1, ruin.page() * PAGE + ruin.rng.randrange(PAGE)) if data else None
    if at is None:
        return None
    ruin.write(data[:at])
    return f"cut at byte {at}"


@way
def cut_at_a_page(ruin):
    data, at = ruin.read(), ruin.page() * PAGE
    if not data:
        return None
    ruin.write(data[:at])
    return f"cut at page {at // PAGE}"


@way
def zeroed(ruin):
    if not ruin.subject.pages[ruin.name]:
        return None
    ruin.write(bytes(len(ruin.read())))
    return "zeroed"


def zero_pages(ruin, first, count):
    data = ruin.read()
    at, end = first * PAGE, min((first + count) * PAGE, len(data))
    if not any(data[at:end]):
        return False
    data[at:end] = bytes(end - at)
    ruin.write(data)
    return True


@way
def page_zeroed(ruin):
    page = ruin.page()
    return f"page {page} zeroed" if zero_pages(ruin, page, 1) else None


@way
def zeroed_from_a_page_on(ruin):
    page = ruin.page()
    return f"zeroed from page {page} on" if zero_pages(ruin, page, 1 << 30) else None


@way
def page_of_garbage(ruin):
    data, at = ruin.read(), ruin.page() * PAGE
    if not data:
        return None
    data[at : at + PAGE] = ruin.rng.randbytes(len(data[at : at + PAGE]))
    ruin.write(data)
    return f"page {at // PAGE} overwritten"


@way
def bit_flipped(ruin):
    data = ruin.read()
    if not data:
        return None
    at, bit = ruin.place(), ruin.rng.randrange(8)
    data[at] ^= 1 << bit
    ruin.write(data)
    return f"bit {bit} of byte {at} flipped"


@way
def byte_changed(ruin):
    data = ruin.read()
    if not data:
        return None
    at, change = ruin.place(), ruin.rng.randrange(1, 256)
    data[at] ^= change
    ruin.write(data)
    return f"byte {at} changed by {change:#x}"


@way
def swapped(ruin):
    others = ruin.same_kind()
    if not others:
        return None
    other = ruin.rng.choice(others)
    mine, its = ruin.read(), (ruin.folder / other).read_bytes()
    if mine == its:
        return None
    ruin.write(its)
    ruin.write(mine, ruin.folder / other)
    ruin.names.add(other)
    return f"swapped with {other}"


@way
def replaced_by_another(ruin):
    others = ruin.same_kind()
    if not others:
        return None
    other = ruin.rng.choice(others)
    data = (ruin.folder / other).read_bytes()
    if data == ruin.read():
        return None
    ruin.write(data)
    ruin.names.add(other)
    return f"replaced by a copy of {other}"


@way
def replaced_by_a_stranger(ruin):
    """Another shop's file of the same kind, or of another branch of the same past."""
    mine = ruin.read()
    strangers = [subject.folder / name for subject in ruin.strangers
                 for name in subject.files.get(kind_of(ruin.name), ())]
    strangers = [path for path in strangers if path.read_bytes() != mine]
    if not strangers:
        return None
    path = ruin.rng.choice(strangers)
    ruin.write(path.read_bytes())
    return f"replaced by {path.parent.name}/{path.name}"


@way
def stale(ruin):
    """Replaces the file with an older version of itself."""
    older = ruin.subject.stale.get(kind_of(ruin.name))
    if not older:
        return None
    ruin.name, path = ruin.rng.choice(older)
    ruin.path = ruin.folder / ruin.name
    ruin.names = {ruin.name}
    ruin.write(path.read_bytes())
    return f"as it was earlier, in {path.parent.name}"


@way
def zeros_behind_it(ruin):
    size = ruin.rng.choice((1, PAGE, 5 * PAGE + 100))
    ruin.write(ruin.read() + bytes(size))
    return f"{size} zeros appended"


@way
def garbage_behind_it(ruin):
    size = ruin.rng.choice((1, 100, PAGE, 5 * PAGE + 100))
    ruin.write(ruin.read() + ruin.rng.randbytes(size))
    return f"{size} bytes appended"


def other_name(ruin):
    """A name of the same kind that is not there: the last number differs."""
    numbers = list(re.finditer(r"\d+", ruin.name))
    if not numbers:
        return f"{ruin.name}.bak"
    last = numbers[-1]
    for _ in range(20):
        number = max(1, int(last[0]) + ruin.rng.choice((-3, -2, -1, 1, 2, 3, 10, 1000)))
        name = ruin.name[: last.start()] + str(number).zfill(len(last[0])) + \
            ruin.name[last.end() :]
        if not (ruin.folder / name).exists():
            return name
    return f"{ruin.name}.bak"


@way
def renamed(ruin):
    name = other_name(ruin) if ruin.rng.random() < 0.7 else f"{ruin.name}.bak"
    ruin.path.rename(ruin.folder / name)
    ruin.names.add(name)
    ruin.gone()
    return f"renamed {name}"


@way
def doubled(ruin):
    name = other_name(ruin)
    ruin.write(ruin.read(), ruin.folder / name)
    ruin.names.add(name)
    ruin.gone()
    return f"copied to {name}"


@way
def put_back(ruin):
    """A file that was there once."""
    gone = ruin.subject.gone.get(kind_of(ruin.name))
    if not gone:
        return None
    name, path = ruin.rng.choice(gone)
    ruin.write(path.read_bytes(), ruin.folder / name)
    ruin.names = {name}
    ruin.name = name
    ruin.gone()
    return f"there again, from {path.parent.name}"


# What cannot be detected in principle, and is counted separately: (name, why, test). The test is
# given the ruin, its way, and the earlier seq that was accepted, whose state is what it was at that
# seq. Only a log that was being written at the very end has such cases: there is no exception for a
# log that was idle, a backup or an archive.

EXCEPTIONS = (
    ("last instant",
     "the blocks that no later one calls durable look as if their writing had been torn, and what "
     "was torn was never acknowledged",
     lambda ruin, how, seq: seq >= ruin.subject.seq_sealed),
    ("since it rested",
     "what was written last stands in one file, so that one flush makes it durable: an older state "
     "of its end is what the folder was then",
     lambda ruin, how, seq: how in ("stale", "zeroed from a page on") and
     seq >= ruin.subject.seq_rested),
)

Outcome = namedtuple("Outcome", "verdict text")
NAMED, WHOLE, UNNAMED, LOST, FAILED = "named", "whole", "unnamed", "lost", "broken"


def judge(ruin, how, found):
    """The outcome of one probe."""
    if found.what == BROKEN:
        return Outcome(FAILED, found.text)
    if found.what == REFUSED:
        is_named = any(name in found.text for name in ruin.names)
        return Outcome(NAMED if is_named else UNNAMED, found.text)
    subject = ruin.subject
    if found.seq >= subject.seq and found.what == LATER:
        is_named = any(name in found.text for name in ruin.names)
        return Outcome(WHOLE if is_named else UNNAMED, f"after going on: {found.text}")
    if found.seq >= subject.seq and not found.text:
        return Outcome(WHOLE, "")
    excepted = subject.seq_rested is not None and ruin.name == subject.end_file
    for name, _, test in EXCEPTIONS if excepted else ():
        if test(ruin, how, found.seq):
            return Outcome(name, f"seq {found.seq} of {subject.seq}")
    return Outcome(LOST, f"accepted with seq {found.seq} of {subject.seq} {found.text}")


class Case(namedtuple("Case", "number subject kind name how what outcomes folder")):
    """A case that was tried; outcomes are (probe, Outcome)."""

    def failures(self):
        return [(probe, outcome) for probe, outcome in self.outcomes
                if outcome.verdict in (UNNAMED, LOST, FAILED)]

    def verdict(self):
        """The first outcome that is wrong, else that of the first probe."""
        bad = self.failures()
        return (bad or self.outcomes)[0][1].verdict

    def __str__(self):
        lines = [f"case {self.number}: {self.subject}: {self.name} {self.what}"]
        for probe, outcome in self.failures():
            text = " ".join(outcome.text.split())[:TEXT_MAX]
            lines.append(f"      {probe}: {outcome.verdict}: {text}")
        return "\n".join(lines)


def combinations(subjects):
    """Everything that a case may be drawn from."""
    return [(subject, kind, how) for subject in subjects
            for kind in sorted(set(subject.files) | set(subject.gone)) for how in WAYS]


def link_copy(folder, copy):
    copy.mkdir(parents=True)
    for path in folder.iterdir():
        os.link(path, copy / path.name)


def make(subjects, seed, number, work):
    """Copies a subject's folder and ruins the copy. When a way does not apply, another one is
    drawn."""
    rng = random.Random(seed * 1_000_003 + number)
    choices = combinations(subjects)
    subject, kind, how = choices[number % len(choices)]
    while True:
        folder = work / "folder"
        link_copy(subject.folder, folder)
        name = rng.choice(subject.files.get(kind) or [subject.gone[kind][0][0]])
        strangers = [other for other in subjects if other.folder != subject.folder]
        ruin = Ruin(subject, strangers, rng, folder, name)
        if kind in subject.files or how == "put back":
            what = WAYS[how](ruin)
            if what is not None:
                return ruin, kind, how, what
        shutil.rmtree(folder)
        subject, kind, how = rng.choice(choices)


def try_case(subjects, seed, number, work):
    work.mkdir(parents=True)
    ruin, kind, how, what = make(subjects, seed, number, work)
    outcomes = []
    for probe, share in ruin.subject.probes:
        if ruin.rng.random() < share:
            found = probe(ruin.subject, ruin.rng, ruin.folder, work)
            outcomes.append((probe.__name__.removeprefix("probe_"), judge(ruin, how, found)))
    case = Case(number, ruin.subject.name, kind, ruin.name, how, what, outcomes,
                str(work / "folder"))
    if not case.failures():
        shutil.rmtree(work)
    return case
