"""The archive of a real log: what is copied there, what can be restored from it for any moment of
the past, how it is kept within bounds, and how damaged, foreign and full archives are handled."""

import itertools
import json
import shutil
import subprocess
import threading
import time

import harness
from harness import check, check_equal, in_memory, test, wait_until
from shop import (flip, order_id, place, place_one_by_one, segments, set_up, snapshot, snapshots,
                  stats)
from till_client import Closed

SEGMENT_MIB = 4
SMALL_SEGMENTS = ("--log-segment", SEGMENT_MIB)
ORDERS_PER_SEGMENT = SEGMENT_MIB * 256  # one by one, each is a block of 4 KiB
KILLS = 15
KILLS_MAX = 150  # until there is enough in the archive, however slow the machine is


def options(archive, *more):
    return tuple(map(str, (*SMALL_SEGMENTS, "--archive", archive, *more)))


def archived(archive):
    """Oldest first, as (first seq, last seq, path)."""
    return [(*map(int, path.stem.split("-")[1:]), path)
            for path in sorted(archive.glob("log-*.till"))]


def wait_archived(archive, seq):
    """Waits until the archive goes up to at least this seq."""
    wait_until(lambda: (archived(archive) or [(0, 0, "")])[-1][1] >= seq,
               f"seq {seq} in the archive")


def wait_labelled(archive):
    """Waits until the label names the newest file: before that its loss cannot be detected."""
    wait_until(lambda: str(archived(archive)[-1][1]) in
               (archive / "archive.till").read_text(errors="replace"), "the archive's label")


def moment(server):
    """The present state of the shop: seq, digest and time."""
    with server.client() as client:
        body = client.call("stats").body
    return {name: body[name] for name in ("seq", "digest", "time", "orders")}


def ask_folder(run, folder, *arguments):
    """The stats of a folder at a moment, without a server."""
    result = run.till_with_input("stats\n", "shell", "--json", "--data", folder, *arguments)
    check_equal(result.returncode, 0, f"till shell: {result.stderr}")
    return json.loads(result.stdout)


def is_same(asked, then):
    return asked["seq"] == then["seq"] and int(asked["digest"], 16) == then["digest"]


def grown(run, segment_count=3, *more):
    """A server with an archive, and moments of a history of some segments."""
    archive = run.folder()
    server = run.serve(options=options(archive, *more))
    set_up(server)
    moments = [moment(server)]
    for number in range(segment_count):
        outcomes = place_one_by_one(server, 1 + number * ORDERS_PER_SEGMENT, ORDERS_PER_SEGMENT)
        check_equal(outcomes, {"OK"}, "orders")
        moments.append(moment(server))
    return server, archive, moments


@test
def every_change_is_in_the_archive_or_the_log_while_segments_are_written_again(run):
    server, archive, moments = grown(run)
    snapshot(run, server)
    place_one_by_one(server, 100_001, 2 * ORDERS_PER_SEGMENT)
    snapshot(run, server)
    place_one_by_one(server, 200_001, 2 * ORDERS_PER_SEGMENT)
    wait_archived(archive, moments[-1]["seq"])
    first = segments(server.folder)[0].name
    check(first != "wal-0000000001.log", f"{first} is still there")
    server.kill()
    files = archived(archive)
    check_equal(files[0][0], 1, "the first seq of the archive")
    for before, after in zip(files, files[1:]):
        check_equal(after[0], before[1] + 1, "the seq after a file's last")
    for arguments in ((archive,), (server.folder, "--archive", archive), (server.folder,)):
        result = run.till("verify", *arguments)
        check_equal(result.returncode, 0, f"verify: {result.stderr}")
    listed = run.till("log", archive).stdout.splitlines()
    check_equal([json.loads(line)["seq"] for line in listed], list(range(1, files[-1][1] + 1)),
                "the seqs in the archive")


def place_until_killed(server, first, answered):
    """Places orders one by one, and records the moment of each answer."""
    try:
        with server.client() as client:
            for order in itertools.count(first):
                reply = client.call("order.place", order=order_id(order), customer=7, currency=840,
                                    rows=[{"sku": 1, "quantity": 1, "price": 100}])
                check_equal(reply.outcome, "OK", "an order")
                answered.append(order)
    except (Closed, ConnectionError):
        pass


@test
def kill_9_at_any_moment_leaves_no_hole_between_archive_and_log(run):
    archive, folder, answered = run.folder(), run.folder(), []
    for number in itertools.count():
        if number >= KILLS and len(archived(archive)) >= 2:
            break
        check(number < KILLS_MAX, f"the archive has {archived(archive)}")
        server = run.serve(folder, options(archive, "--snapshot-log", "2m"))
        if number == 0:
            set_up(server)
        orders = threading.Thread(target=place_until_killed,
                                  args=(server, 1 + 100_000 * number, answered))
        orders.start()
        time.sleep(run.random.uniform(0.1, 1.0))
        server.kill()
        orders.join()
    result = run.till("verify", folder, "--archive", archive)
    check_equal(result.returncode, 0, f"verify: {result.stderr}")
    known, seqs = set(), set()
    for place_of_log in (archive, folder):
        for line in run.till("log", place_of_log).stdout.splitlines():
            change = json.loads(line)
            seqs.add(change["seq"])
            known.add(change.get("order"))
    check_equal(len(seqs), max(seqs), "seqs in the archive and the log, without a hole")
    server = run.serve(folder, options(archive))
    with server.client() as client:
        for order in answered[::50]:
            check_equal(client.call("order.get", order=order_id(order)).outcome, "OK",
                        "an order that was answered")
    check(len(known) > len(answered), "orders in the log")
    run.finish(server)


@test
@in_memory
def any_moment_of_the_past_comes_back(run):
    server, archive, moments = grown(run)
    snapshot(run, server)
    moments.append(moment(server))
    place_one_by_one(server, 100_001, 2 * ORDERS_PER_SEGMENT)
    wait_archived(archive, moments[2]["seq"])
    before = moment(server)
    server.kill()
    for number, then in enumerate([*moments, before]):
        by_seq = ("--seq", then["seq"]) if number % 2 == 0 else ("--at", then["time"])
        restored = run.folder()
        result = run.till("restore", "--from", archive if number == 1 else server.folder,
                          "--archive", archive, "--data", restored, *by_seq)
        check_equal(result.returncode, 0, f"restore: {result.stderr}")
        check(f"seq {then['seq']} " in result.stdout, result.stdout)
        run.verify(restored)
        check(is_same(ask_folder(run, restored), then), f"the restored state at {then}")
        asked = ask_folder(run, server.folder, "--archive", archive, *by_seq)
        check(is_same(asked, then), f"the folder's state at {then}")


@test
@in_memory
def killed_restore_leaves_nothing_or_all_of_it(run):
    server, archive, moments = grown(run, 2)
    wait_archived(archive, moments[1]["seq"] - 10)
    then = moments[1]
    server.kill()
    for _ in range(8):
        restored = run.folder()
        arguments = ("restore", "--from", server.folder, "--archive", archive,
                     "--seq", then["seq"], "--data", restored)
        process = subprocess.Popen([run.binary, *map(str, arguments)], stdout=subprocess.DEVNULL)
        time.sleep(run.random.uniform(0, 0.1))
        process.kill()
        process.wait()
        again = run.till(*arguments)
        check(again.returncode == 0 or "not empty" in again.stderr, again.stderr)
        check(is_same(ask_folder(run, restored), then), "the restored state")


@test
@in_memory
def restored_shop_goes_on_in_a_history_of_its_own(run):
    server, archive, moments = grown(run)
    wait_archived(archive, moments[1]["seq"])
    server.stop_clean()
    restored, fresh = run.folder(), run.folder()
    result = run.till("restore", "--from", archive, "--seq", moments[1]["seq"], "--data", restored)
    check_equal(result.returncode, 0, f"restore: {result.stderr}")
    refused = run.till("serve", "--data", restored, *options(archive), "--listen", "127.0.0.1:0")
    check_equal(refused.returncode, 1, "the exit code with the other history's archive")
    check("another history" in refused.stderr, refused.stderr)
    server = run.serve(restored, options(fresh))
    with server.client() as client:
        check_equal(client.call("order.get", order=order_id(1)).outcome, "OK", "an old order")
        check_equal(client.call("order.get", order=order_id(ORDERS_PER_SEGMENT + 1)).outcome,
                    "NOT_FOUND", "an order of the future that is not")
    place_one_by_one(server, 500_001, ORDERS_PER_SEGMENT + 10)
    wait_archived(fresh, moments[1]["seq"] + 1)
    check_equal(archived(fresh)[0][0], moments[1]["seq"] + 1, "the first seq of the new archive")
    last = moment(server)
    server.kill()
    run.verify(restored)
    again = run.folder()
    result = run.till("restore", "--from", restored, "--archive", fresh, "--data", again)
    check_equal(result.returncode, 0, f"restore: {result.stderr}")
    check("epoch 3" in result.stdout, result.stdout)
    check(is_same(ask_folder(run, again), last), "the state restored from the new history")


@test
@in_memory
def restore_refuses_what_it_cannot_do_and_changes_nothing(run):
    server, archive, moments = grown(run, 2)
    server.stop_clean()
    full = run.folder()
    full.mkdir()
    (full / "something").write_text("of value")
    last = moments[-1]["seq"]
    for arguments, words in (
        (("--seq", last + 1000), "ends at"),
        (("--at", 5), "nothing yet"),
        (("--seq", 1, "--at", 5), "one of them"),
        (("--seq", "x"), "a number"),
        (("--at", "yesterday"), "a time"),
    ):
        result = run.till("restore", "--from", server.folder, "--archive", archive,
                          "--data", run.folder(), *arguments)
        check(result.returncode != 0 and words in result.stderr, f"{arguments}: {result.stderr}")
    result = run.till("restore", "--from", server.folder, "--data", full)
    check(result.returncode == 1 and "not empty" in result.stderr, result.stderr)
    check_equal([path.name for path in full.iterdir()], ["something"],
                "what the folder holds")
    result = run.till("restore", "--from", run.root / "nowhere", "--data", run.folder())
    check(result.returncode == 1 and "nowhere" in result.stderr, result.stderr)
    served = run.till("serve", "--data", archive, "--listen", "127.0.0.1:0")
    check(served.returncode == 1 and "is an archive" in served.stderr, served.stderr)


@test
@in_memory
def damage_in_the_archive_is_named_and_what_lies_before_it_is_of_use(run):
    server, archive, moments = grown(run, 4)
    wait_archived(archive, moments[3]["seq"])
    server.kill()
    files = archived(archive)
    damaged = run.folder()
    for kind in ("flipped", "cut", "missing"):
        shutil.rmtree(damaged, ignore_errors=True)
        shutil.copytree(archive, damaged)
        victim = damaged / files[1][2].name
        if kind == "flipped":
            flip(victim, 5 * 4096 + run.random.randrange(40, 100))
        elif kind == "cut":
            victim.write_bytes(victim.read_bytes()[:-4096 * run.random.randint(1, 9)])
        else:
            victim.unlink()
        result = run.till("verify", damaged)
        check_equal(result.returncode, 1, f"verify of a {kind} file")
        named = files[2][2].name if kind == "missing" else victim.name
        check(named in result.stderr, f"{kind}: {result.stderr}")
        result = run.till("restore", "--from", damaged, "--data", run.folder())
        check_equal(result.returncode, 1, f"restore over a {kind} file")
        before = run.folder()
        result = run.till("restore", "--from", damaged, "--data", before,
                          "--seq", files[0][1] - 7)
        check_equal(result.returncode, 0, f"restore before a {kind} file: {result.stderr}")


def ends(archive):
    """Ways to damage the ends of an archive: the action, and the words that must be in the
    message."""
    files = archived(archive)
    first, last = files[0][2], files[-1][2]
    label = archive / "archive.till"

    def add(path, data):
        path.write_bytes(path.read_bytes() + data)

    return (
        (first.unlink, f"nothing of seq 1 to {files[0][1]}"),
        (last.unlink, f"nothing of seq {files[-1][0]} to {files[-1][1]}"),
        (lambda: [path.unlink() for _, _, path in files], "nothing of seq 1 to"),
        (lambda: add(last, bytes(4096)), last.name),
        (lambda: add(first, bytes(100)), first.name),
        (lambda: add(first, last.read_bytes()[:8192]), first.name),
        (lambda: first.write_bytes(last.read_bytes()), first.name),
        (label.unlink, "archive.till, which says what the archive has, is missing"),
        (lambda: flip(label, 70), "archive.till, which says what the archive has, is damaged"),
        (lambda: label.write_bytes(b""), "the archive has, is damaged"),
    )


@test
@in_memory
def what_is_lost_at_the_ends_of_an_archive_is_named(run):
    server, archive, moments = grown(run, 4)
    wait_archived(archive, moments[3]["seq"])
    wait_labelled(archive)
    server.kill()
    kept = run.folder()
    shutil.copytree(archive, kept)
    for number in range(len(ends(archive))):
        ruin, words = ends(archive)[number]
        ruin()
        for arguments in (("verify", archive), ("log", archive),
                          ("restore", "--from", archive, "--data", run.folder()),
                          ("verify", server.folder, "--archive", archive)):
            result = run.till(*arguments)
            check_equal(result.returncode, 1, f"{arguments} of ruin {number}")
            check(words in result.stderr, f"{arguments} of ruin {number}: {result.stderr}")
        shutil.rmtree(archive)
        shutil.copytree(kept, archive)
    run.verify(archive)


@test
@in_memory
def archive_that_lost_its_label_still_gives_any_moment_that_is_in_it(run):
    server, archive, moments = grown(run, 3)
    wait_archived(archive, moments[2]["seq"])
    server.kill()
    (archive / "archive.till").unlink()
    restored = run.folder()
    result = run.till("restore", "--from", archive, "--data", restored, "--seq", moments[1]["seq"])
    check_equal(result.returncode, 0, f"restore: {result.stderr}")
    check(is_same(ask_folder(run, restored), moments[1]), "the restored state")
    refused = run.till("serve", "--data", server.folder, *options(archive),
                       "--listen", "127.0.0.1:0", "--lazy-memory")
    check(refused.returncode == 1 and "archive.till" in refused.stderr, refused.stderr)


@test
@in_memory
def refused_archive_leaves_everything_as_it_was(run):
    server, archive, moments = grown(run, 2)
    wait_archived(archive, moments[1]["seq"])
    server.stop_clean()
    restored, other, new = run.folder(), run.folder(), run.folder()
    result = run.till("restore", "--from", archive, "--seq", moments[1]["seq"] - 9,
                      "--data", restored)
    check_equal(result.returncode, 0, f"restore: {result.stderr}")
    shutil.copytree(server.folder, other)
    (run.root / "deep").mkdir()
    for data, wrong, words in (
        (restored, archive, "another history"),
        (new, archive, "another history"),
        (restored, other, "it is no archive"),
        (restored, restored / "archive", "lies in"),
        (restored, restored, "are one folder"),
        (other, run.root, "lies in"),
        (other, run.root / "deep" / ".." / other.name / "x", "lies in"),
    ):
        def everything(paths=(data, wrong)):
            return {path: path.read_bytes() for folder in paths
                    for path in sorted(folder.glob("*")) if path.suffix in (".till", ".log")}
        before = everything()
        refused = run.till("serve", "--data", data, *options(wrong), "--listen", "127.0.0.1:0",
                           "--lazy-memory", "--quiet")
        check_equal(refused.returncode, 1, f"the exit code with {wrong} for {data}")
        check(words in refused.stderr, f"{words!r} in {refused.stderr}")
        after = everything()
        check_equal(sorted(after), sorted(before), "the files")
        check(after == before, "what is in them")
    check(not new.exists() and not (restored / "archive").exists(), "folders that were made")


@test
@in_memory
def archive_keeps_to_its_size(run):
    server, archive, moments = grown(run, 6, "--archive-mib", 2 * SEGMENT_MIB + 1)
    wait_archived(archive, moments[5]["seq"])
    wait_until(lambda: len(archived(archive)) <= 2, "the oldest files of the archive to go")
    check_equal(run.till("verify", archive).returncode, 0, "verify without the beginning")
    server.kill()
    run.verify(server.folder)


@test
@in_memory
def archive_without_its_beginning_is_of_use_with_a_backup_that_was_taken_later(run):
    archive, backup = run.folder(), run.folder()
    server = run.serve(options=options(archive, "--archive-mib", 2 * SEGMENT_MIB + 1))
    set_up(server)
    check_equal(run.till("verify", archive).returncode, 0, "verify of an archive with nothing yet")
    for number in range(3):
        place_one_by_one(server, 1 + number * ORDERS_PER_SEGMENT, ORDERS_PER_SEGMENT)
    snapshot(run, server)
    result = run.till("backup", backup, "--data", server.folder)
    check_equal(result.returncode, 0, f"backup: {result.stderr}")
    copied = moment(server)
    for number in range(3, 5):
        place_one_by_one(server, 1 + number * ORDERS_PER_SEGMENT, ORDERS_PER_SEGMENT)
    wait_archived(archive, copied["seq"] + ORDERS_PER_SEGMENT // 2)
    server.kill()
    last = archived(archive)[-1][1]
    check(archived(archive)[0][0] > 1, "the archive's beginning is gone")
    for folder, seq in ((backup, last), (server.folder, None)):
        result = run.till("verify", folder, "--archive", archive)
        check_equal(result.returncode, 0, f"verify: {result.stderr}")
        check("archive  seq" in result.stdout or seq is None, result.stdout)
        check(seq is None or f"state    seq {seq}," in result.stdout, result.stdout)
    asked = ask_folder(run, backup, "--archive", archive)
    check_equal(asked["seq"], last, "the last seq of both")
    check(is_same(ask_folder(run, backup), copied), "the backup by itself")


@test
@in_memory
def restored_shop_that_is_beyond_its_archive_goes_on_with_it(run):
    """Only its snapshot shows that it is later than the archive: there is no block."""
    server, archive, moments = grown(run, 2)
    wait_archived(archive, moments[1]["seq"])
    place_one_by_one(server, 100_001, 20)
    server.stop_clean()
    restored = run.folder()
    result = run.till("restore", "--from", server.folder, "--data", restored)
    check_equal(result.returncode, 0, f"restore: {result.stderr}")
    server = run.serve(restored, options(archive))
    check_equal(place(server, 200_001, 1), ["OK"], "an order after it")
    run.finish(server)


@test
@in_memory
def archive_that_was_off_for_a_while_says_what_it_lacks(run):
    server, archive, moments = grown(run, 2)
    wait_archived(archive, moments[1]["seq"])
    server.stop_clean()
    last = archived(archive)[-1][1]
    server = run.serve(server.folder, tuple(map(str, SMALL_SEGMENTS)))
    for first in (100_001, 200_001, 300_001):
        place_one_by_one(server, first, ORDERS_PER_SEGMENT)
        snapshot(run, server)
    wait_until(lambda: segments(server.folder)[0].name > "wal-0000000003.log", "released segments")
    server.stop_clean()
    server = run.serve(server.folder, options(archive))
    wait_until(lambda: f"nothing of seq {last + 1} to" in server.errors(), server.errors())
    place_one_by_one(server, 400_001, 2 * ORDERS_PER_SEGMENT)
    wait_archived(archive, last + ORDERS_PER_SEGMENT)
    now = moment(server)
    server.kill()
    result = run.till("verify", archive)
    check(result.returncode == 1 and "does not follow" in result.stderr, result.stderr)
    asked = ask_folder(run, server.folder, "--archive", archive)
    check(is_same(asked, now), "the state with the archive that has a hole")
    result = run.till("restore", "--from", archive, "--data", run.folder(), "--seq", now["seq"])
    check(result.returncode == 1, "a restore over the hole")


@test
@in_memory
def full_archive_makes_room_for_what_is_newer(run):
    archive = run.root / "small"
    # Their age is looked at as well, of files that are still far too young to go.
    server = run.serve_on_small_disk(14, archive, options=options(archive, "--archive-days", "30"))
    set_up(server)
    seen = set()
    for number in range(8):
        place_one_by_one(server, 1 + number * ORDERS_PER_SEGMENT, ORDERS_PER_SEGMENT)
        seen.update(path.name for _, _, path in archived(server.sees(archive)))
    wait_until(lambda: (archived(server.sees(archive)) or [(0, 0)])[-1][1] > 7000,
               "the newest segments in the archive")
    files = archived(server.sees(archive))
    check(files[0][0] > 1 and len(files) <= 3, f"the archive has {files}")
    check(len(seen) >= 4, f"it had {seen}")
    kept = run.folder()
    server.stop_clean_and_copy(archive, kept)
    check_equal(run.till("verify", kept).returncode, 0, "verify of what is kept")
    run.verify(server.folder)


@test
@in_memory
def archive_without_any_room_is_told_and_nothing_is_released(run):
    archive = run.root / "tiny"
    server = run.serve_on_small_disk(2, archive, options=options(archive))
    set_up(server)
    for number in range(3):
        outcomes = place_one_by_one(server, 1 + number * ORDERS_PER_SEGMENT, ORDERS_PER_SEGMENT)
        check_equal(outcomes, {"OK"}, "orders")
        snapshot(run, server)
    wait_until(lambda: "No space left" in server.errors(), server.errors())
    check_equal(segments(server.folder)[0].name, "wal-0000000001.log", "the oldest segment")
    run.finish(server)


@test
def small_disk_never_fills_by_itself(run):
    """Only two snapshots and the log after them are kept, however long the shop runs."""
    folder = run.root / "disk" / "data"
    folder.parent.mkdir()
    server = run.serve_on_small_disk(56, folder.parent, folder,
                                     (*map(str, SMALL_SEGMENTS), "--snapshot-log", "6m"))
    set_up(server)
    for number in range(14):
        outcomes = place_one_by_one(server, 1 + number * ORDERS_PER_SEGMENT, ORDERS_PER_SEGMENT)
        check_equal(outcomes, {"OK"}, f"orders of segment {number}")
    seen = server.sees(folder)
    wait_until(lambda: len(segments(seen)) < 10, "segments to be released")
    wait_until(lambda: len(snapshots(seen)) <= 2, "snapshots to be removed")
    kept = run.folder()
    before = stats(server)
    server.stop_clean_and_copy(folder, kept)
    run.verify(kept)
    server = run.serve(kept)
    check_equal(stats(server), before, "stats")
    run.finish(server)


@test
def full_disk_answers_STORAGE_FULL_and_service_resumes_when_there_is_room(run):
    folder = run.root / "disk" / "data"
    folder.parent.mkdir()
    server = run.serve_on_small_disk(30, folder.parent, folder,
                                     (*map(str, SMALL_SEGMENTS), "--no-snapshots"))
    ballast = server.sees(folder).parent / "ballast"
    ballast.write_bytes(bytes(10 << 20))
    set_up(server)
    accepted = 2
    for number in range(6):
        outcomes = place_one_by_one(server, 1 + number * ORDERS_PER_SEGMENT, ORDERS_PER_SEGMENT)
        check(outcomes <= {"OK", "STORAGE_FULL"}, f"outcomes: {outcomes}")
        accepted = stats(server)["seq"]
        if "STORAGE_FULL" in outcomes:
            break
    check_equal(place(server, 900_001, 5), ["STORAGE_FULL"] * 5, "orders on a full disk")
    check_equal(place(server, 1, 1), ["STORAGE_FULL"], "an order that was placed, sent again")
    check_equal(stats(server)["seq"], accepted, "what queries tell meanwhile")
    ballast.unlink()
    wait_until(lambda: place(server, 900_001, 1) != ["STORAGE_FULL"], "service")
    check_equal(place(server, 900_001, 3), ["REPLAYED", "OK", "OK"], "orders with room again")
    before = stats(server)
    kept = run.folder()
    server.stop_clean_and_copy(folder, kept)
    run.verify(kept)
    check(before["seq"] > accepted, "it went on")


harness.main()
