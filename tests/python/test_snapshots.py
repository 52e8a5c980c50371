"""Snapshots of a real folder: taken on demand, periodically and at the stop; loaded, skipped when
damaged, refused when another version of till wrote them; and the log that they make unnecessary."""

import itertools
import struct

import formats
import harness
from harness import check, check_equal, test
from shop import flip, place, place_one_by_one, segments, set_up, snapshot, snapshots, stats
from xxh3 import xxh3_64

HEADER_SIZE = formats.IMAGE_HEADER_SIZE
VERSION_AT, CHECKSUM_AT, CHECKSUM_FROM = 16, 8, 16


def folder_with_two(run):
    """A dead server's folder: orders, a snapshot, orders, a snapshot, orders in the log alone."""
    server = run.serve()
    set_up(server)
    for first in (1, 1001):
        place(server, first, 1000)
        check_equal(snapshot(run, server), stats(server)["seq"], "the snapshot's seq")
    place(server, 2001, 1000)
    before = stats(server)
    server.kill()
    return server.folder, before


@test
def demand_publishes_a_snapshot_of_this_moment(run):
    server = run.serve()
    set_up(server)
    seq = snapshot(run, server)
    check_equal(seq, stats(server)["seq"], "seq")
    check_equal(snapshot(run, server), seq, "a second one, without news")
    check_equal(len(snapshots(server.folder)), 1, "snapshots")
    run.finish(server)


@test
def waiting_for_a_snapshot_starts_no_other(run):
    server = run.serve()
    set_up(server)
    with server.client() as client:
        seq = client.call("snapshot").body["seq"]
        answer = {"seq_published": 0}
        for order in itertools.count(1):
            if answer["seq_published"] >= seq:
                break
            place(server, order, 1)
            answer = client.call("snapshot", seq=seq).body
            check_equal(answer["seq"], seq, "the seq asked for")
        place(server, order, 100)
        check_equal(client.call("snapshot", seq=seq).body["snapshots"], 1, "snapshots published")
        check_equal(snapshot(run, server), stats(server)["seq"], "one of now")
        check_equal(client.call("snapshot", seq=seq).body["snapshots"], 2, "snapshots published")
    run.finish(server)


@test
def stop_takes_a_last_snapshot_and_the_start_reads_no_log(run):
    server = run.serve()
    set_up(server)
    place(server, 1, 2000)
    before = stats(server)
    server.stop_clean()
    check_equal(len(snapshots(server.folder)), 1, "snapshots")
    run.verify(server.folder)
    server = run.serve(server.folder)
    check_equal(stats(server), before, "stats")
    check_equal(place(server, 1, 2000), ["REPLAYED"] * 2000, "orders sent again")
    run.finish(server)


@test
def folder_with_a_snapshot_alone_goes_on_from_it(run):
    server = run.serve()
    set_up(server)
    place(server, 1, 1000)
    before = stats(server)
    server.stop_clean()
    for path in segments(server.folder):
        path.unlink()
    result = run.till("verify", server.folder)
    check(result.returncode == 1 and "log-note.till says" in result.stderr,
          f"verify of a folder that has lost its log: {result.stderr}")
    (server.folder / "log-note.till").unlink()
    run.verify(server.folder)
    server = run.serve(server.folder)
    check_equal(stats(server), before, "stats")
    check_equal(place(server, 1, 1001), ["REPLAYED"] * 1000 + ["OK"], "orders sent again")
    run.finish(server)
    server = run.serve(server.folder)
    check_equal(stats(server)["orders"], 1001, "orders")
    run.finish(server)


@test
def folder_with_the_log_alone_is_read_from_its_beginning(run):
    folder, before = folder_with_two(run)
    for path in snapshots(folder):
        path.unlink()
    run.verify(folder)
    server = run.serve(folder)
    check_equal(stats(server), before, "stats")
    run.finish(server)


@test
def damaged_snapshot_is_named_and_the_one_before_is_used(run):
    for offset in (0, 17, 100, HEADER_SIZE + 20, -5000):
        folder, before = folder_with_two(run)
        older, newer = snapshots(folder)
        flip(newer, offset)
        result = run.till("verify", folder)
        check_equal(result.returncode, 1, "verify of damage")
        check(newer.name in result.stderr, f"verify names it: {result.stderr}")
        server = run.serve(folder)
        check(newer.name in server.errors(), f"the server names it: {server.errors()}")
        check_equal(stats(server), before, "stats")
        check(older.exists() and not newer.exists(), "the damaged one is out of the way")
        run.finish(server)


@test
def both_damaged_and_the_log_whole_loses_nothing(run):
    folder, before = folder_with_two(run)
    for path in snapshots(folder):
        flip(path, HEADER_SIZE + 50)
    server = run.serve(folder)
    check_equal(stats(server), before, "stats")
    run.finish(server)


@test
def snapshot_of_a_newer_version_is_refused_and_kept(run):
    folder, _ = folder_with_two(run)
    newer = snapshots(folder)[-1]
    data = bytearray(newer.read_bytes())
    version = formats.version_written("IMAGE_VERSION") + 1
    struct.pack_into("<I", data, VERSION_AT, version)
    struct.pack_into("<Q", data, CHECKSUM_AT, xxh3_64(bytes(data[CHECKSUM_FROM:HEADER_SIZE])))
    newer.write_bytes(data)
    result = run.till("serve", "--data", folder, "--listen", "127.0.0.1:0")
    check_equal(result.returncode, 1, "the exit code")
    check(f"version {version}" in result.stderr and newer.name in result.stderr, result.stderr)
    check_equal(newer.read_bytes(), bytes(data), "the file")


@test
def snapshot_with_more_than_there_is_room_for_says_so(run):
    folder, _ = folder_with_two(run)
    result = run.till("serve", "--data", folder, "--listen", "127.0.0.1:0", "--orders", 1500)
    check_equal(result.returncode, 1, "the exit code")
    check("orders" in result.stderr and "room for 1500" in result.stderr, result.stderr)


@test
def tables_may_grow_between_starts(run):
    folder, before = folder_with_two(run)
    server = run.serve(folder, ("--orders", "1m", "--keys", "1m", "--payments", "1m",
                                "--deadlines", "1m"))
    check_equal(stats(server), before, "stats")
    check_equal(place(server, 1, 3001), ["REPLAYED"] * 3000 + ["OK"], "orders sent again")
    server.stop_clean()
    verified = run.till("verify", folder, "--orders", "1m", "--deadlines", "1m")
    check_equal(verified.returncode, 0, verified.stderr)


@test
def segments_behind_two_snapshots_are_written_again(run):
    """Recycling keeps the folder from growing, and the log without its beginning still serves."""
    options = ("--log-segment", "4", "--snapshot-log", "1m")
    server = run.serve(options=options)
    set_up(server)
    seen = set()
    for number in range(12):
        outcomes = place(server, 1 + 10_000 * number, 2000)
        check_equal(outcomes, ["OK"] * 2000, "orders")
        outcomes = place_one_by_one(server, 2001 + 10_000 * number, 400)
        check_equal(outcomes, {"OK"}, "orders in blocks of their own")
        snapshot(run, server)
        seen.update(path.name for path in segments(server.folder))
    check(len(seen) > 2, f"the log went on: {sorted(seen)}")
    check(len(segments(server.folder)) <= 4, f"segments: {segments(server.folder)}")
    check("wal-0000000001.log" not in {path.name for path in segments(server.folder)},
          "the first segment is still there")
    before = stats(server)
    server.kill()
    run.verify(server.folder)
    listed = run.till("log", server.folder)
    check_equal(listed.returncode, 0, f"till log: {listed.stderr}")
    server = run.serve(server.folder, options)
    check_equal(stats(server), before, "stats")
    server.kill()
    for path in snapshots(server.folder):
        path.unlink()
    result = run.till("serve", "--data", server.folder, "--listen", "127.0.0.1:0")
    check_equal(result.returncode, 1, "the exit code without snapshots")
    check("no valid snapshot" in result.stderr, result.stderr)


harness.main()
