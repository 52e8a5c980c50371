"""The end of the log: loss or damage there is named and refused, whichever file it is in, and the
message claims no more than is known."""

import shutil
import struct
import time

import harness
from harness import check, check_equal, in_memory, test
from shop import place, place_one_by_one, segments, set_up, snapshot, snapshots, stats

SEGMENT_MIB = 4
SEGMENT_BYTES = SEGMENT_MIB << 20
OPTIONS = ("--log-segment", str(SEGMENT_MIB))
ORDERS = 2_500  # two segments and a half: each alone in its block of 4 KiB
WAIT_SECONDS_MAX = 60
NOTE = "log-note.till"
MAGIC = b"tillblk1"
PAGE = 4096


def wait_sealed(run, folder):
    deadline = time.monotonic() + WAIT_SECONDS_MAX
    while "end      sealed" not in run.till("verify", folder).stdout:
        check(time.monotonic() < deadline, "waited in vain for the seal")
        time.sleep(0.02)


def killed_when_idle(run, *options):
    """A folder with three segments, of a server that was killed some time after its last answer."""
    server = run.serve(options=(*OPTIONS, *options))
    set_up(server)
    check_equal(place_one_by_one(server, 1, ORDERS), {"OK"}, "orders")
    wait_sealed(run, server.folder)
    server.kill()
    check(len(segments(server.folder)) >= 3, f"segments: {segments(server.folder)}")
    return server.folder


def used(folder):
    """The segments that have blocks, and the offset of the last block in the newest one."""
    found, last = [], 0
    for path in segments(folder):
        data = path.read_bytes()
        if data[:8] != MAGIC:
            break
        found.append(path)
        last = max(at for at in range(0, len(data), PAGE)
                   if data[at : at + 8] == MAGIC and struct.unpack_from("<I", data, at + 64)[0] > 0)
    return found, last


def write(path, offset, data):
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)


def ruins(folder):
    """Kinds of damage to the newest segment, each with what must be named."""
    found, last = used(folder)
    newest, before = found[-1], found[-2]
    data = newest.read_bytes()

    def flipped(at):
        write(newest, at, bytes([data[at] ^ 4]))

    return {
        "missing": (newest.unlink, newest.name),
        "zeroed": (lambda: newest.write_bytes(bytes(len(data))), newest.name),
        "cut in half": (lambda: newest.write_bytes(data[: len(data) // 2]), newest.name),
        "cut to nothing": (lambda: newest.write_bytes(b""), newest.name),
        "a copy of the one before": (lambda: shutil.copyfile(before, newest), newest.name),
        "zeroed from a block on": (lambda: write(newest, last, bytes(len(data) - last)),
                                   newest.name),
        "noise from a block on": (lambda: write(newest, last, b"\x5a" * (len(data) - last)),
                                  newest.name),
        "a bit of the last block": (lambda: flipped(last + 100), newest.name),
        "a bit of the last block's header": (lambda: flipped(last + 33), newest.name),
        "the first bit of the last block": (lambda: flipped(last), newest.name),
        "the padding of the last block": (lambda: flipped(block_end(data, last) - 1), newest.name),
    }


def block_end(data, at):
    return at + struct.unpack_from("<I", data, at + 68)[0]


def refused(run, folder, name):
    """verify and serve both name the file, and change nothing."""
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    for arguments in (("verify", folder), ("serve", "--data", folder, "--listen", "127.0.0.1:0")):
        result = run.till(*arguments)
        check(result.returncode == 1 and name in result.stderr and "ackup" in result.stderr,
              f"{arguments[0]}: {result.stdout} {result.stderr}")
    after = {path.name: path.read_bytes() for path in folder.iterdir()}
    check(before == after, "something was changed")


def copies(run, folder, kinds):
    """A fresh copy of the folder for each kind."""
    for kind in kinds:
        copy = run.folder()
        shutil.copytree(folder, copy)
        yield kind, copy
        shutil.rmtree(copy)


@test
@in_memory
def ruined_end_of_a_log_that_was_killed_when_idle_is_named_and_refused(run):
    folder = killed_when_idle(run)
    for kind, copy in copies(run, folder, ruins(folder)):
        ruin, name = ruins(copy)[kind]
        ruin()
        print(f"   {kind}", flush=True)
        refused(run, copy, name)


@test
def ruined_end_of_a_stopped_log_is_named_and_refused(run):
    server = run.serve(options=(*OPTIONS, "--no-snapshots"))
    set_up(server)
    check_equal(place_one_by_one(server, 1, ORDERS), {"OK"}, "orders")
    server.stop_clean()
    for kind, copy in copies(run, server.folder, ruins(server.folder)):
        ruin, name = ruins(copy)[kind]
        ruin()
        refused(run, copy, name)


@test
@in_memory
def log_without_its_note_is_refused_until_a_person_has_it_made_anew(run):
    folder = killed_when_idle(run)
    kinds = {
        "missing": lambda path: path.unlink(),
        "empty": lambda path: path.write_bytes(b""),
        "zeroed": lambda path: path.write_bytes(bytes(2 * PAGE)),
        "flipped in both pages": lambda path: [write(path, at, b"\xff") for at in (60, PAGE + 60)],
    }
    for kind, copy in copies(run, folder, kinds):
        kinds[kind](copy / NOTE)
        refused(run, copy, NOTE)
        server = run.serve(copy, (*OPTIONS, "--rewrite-log-note"))
        check_equal(stats(server)["orders"], ORDERS, f"orders with a note that is {kind}")
        run.finish(server)
        run.finish(run.serve(copy, OPTIONS))


@test
@in_memory
def note_with_one_ruined_page_is_used(run):
    folder = killed_when_idle(run)
    for page, copy in copies(run, folder, (0, 1)):
        write(copy / NOTE, page * PAGE + 60, b"\xff")
        server = run.serve(copy, OPTIONS)
        check_equal(stats(server)["orders"], ORDERS, "orders")
        server.stop_clean()


@test
def what_is_said_of_an_end_without_a_seal_is_what_is_known(run):
    server = run.serve(options=OPTIONS)
    set_up(server)
    place(server, 1, 100)
    server.kill()
    found, last = used(server.folder)
    note = server.folder / NOTE
    sealed = "end      sealed" in run.till("verify", server.folder).stdout
    if sealed:  # the seal was written before the kill: remove it
        data = found[-1].read_bytes()
        write(found[-1], block_end(data, last), bytes(PAGE))
    said = run.till("verify", server.folder).stdout
    check("not sealed" in said and "acknowledged" not in said, f"verify says: {said}")
    check(note.exists(), "the note")
    write(found[-1], block_end(found[-1].read_bytes(), last), b"\x5a" * PAGE)
    said = run.till("verify", server.folder).stdout
    check("cannot tell" in said and "never acknowledged" not in said, f"verify says: {said}")
    run.finish(run.serve(server.folder, OPTIONS))


@test
@in_memory
def log_of_the_time_before_a_restore_is_refused(run):
    folder = killed_when_idle(run)
    restored = run.folder()
    result = run.till("restore", "--from", folder, "--seq", "1000", "--data", restored)
    check_equal(result.returncode, 0, f"restore: {result.stderr}")
    for path in [*segments(folder), folder / NOTE]:
        shutil.copy(path, restored)
    for arguments in (("verify", restored), ("serve", "--data", restored)):
        result = run.till(*arguments)
        check(result.returncode == 1 and "epoch 1" in result.stderr and "wal-" in result.stderr,
              f"{arguments[0]}: {result.stdout} {result.stderr}")


@test
@in_memory
def snapshot_of_the_time_before_a_restore_is_refused(run):
    server = run.serve(options=OPTIONS)
    set_up(server)
    place(server, 1, 1000)
    server.stop_clean()
    restored = run.folder()
    result = run.till("restore", "--from", server.folder, "--seq", "500", "--data", restored)
    check_equal(result.returncode, 0, f"restore: {result.stderr}")
    shutil.copy(snapshots(server.folder)[-1], restored)
    result = run.till("serve", "--data", restored)
    check(result.returncode == 1 and "epoch 2" in result.stderr and "snapshot-" in result.stderr,
          f"serve: {result.stdout} {result.stderr}")


@test
def log_that_does_not_lead_to_the_state_it_was_written_from_is_named(run):
    other = run.serve()
    set_up(other)
    place(other, 1, 50)
    snapshot(run, other)
    other.stop_clean()
    server = run.serve(options=("--no-snapshots",))
    set_up(server)
    place(server, 101, 100)
    server.kill()
    shutil.copy(snapshots(other.folder)[-1], server.folder)
    shutil.copy(other.folder / "shop.till", server.folder)  # else that is what is told
    names = (snapshots(server.folder)[-1].name, segments(server.folder)[0].name)
    for name, arguments in zip(names, (("verify", server.folder),
                                       ("serve", "--data", server.folder))):
        result = run.till(*arguments)
        check(result.returncode == 1 and name in result.stderr,
              f"{arguments[0]}: {result.stdout} {result.stderr}")


harness.main()
