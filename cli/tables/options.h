/* The options of the subcommands of till, one row each: the values, their defaults and bounds, the
 * parser, --help and docs/options.md follow from it. An option is one row and its use.
 *
 *   COMMAND(command, title, operands, least, most)
 *       begins the rows of one command: struct <command>_options holds the values, and
 *       <command>_table describes them (cli/commands.h)
 *       title     what messages and help call it
 *       operands  what the usage line shows behind it; least and most: how many there may be
 *   COMMAND_END(command)
 *
 *   GROUP(command, title)
 *       a heading in help and docs over the rows that follow
 *   FLAG(command, name, help)
 *       bool: false unless given
 *   TEXT(command, name, default, value, help)
 *       const char *, not empty; default NULL: not given
 *   ADDRESS(command, name, default, value, help)
 *       the same, of the form ADDR:PORT (base/address.h)
 *   COUNT(command, name, default, minimum, maximum, value, help)
 *       uint32_t; a suffix k, m or g multiplies by 1024. A default outside the bounds is one that
 *       cannot be typed: the option was not given
 *   CAPACITIES(command)
 *       struct engine_options capacities. The rows of engine/tables/tables.h that are included
 *       behind it are its options, by way of
 *   CAPACITY_OPTION(command, number, name, default, help)
 *
 *   name      with underscores, which are typed as dashes
 *   value     what help calls the value; it tells the unit
 *
 * Whoever includes this file defines the macros that it wants, mostly by including one of
 * cli/tables/as_*.h before; all are undefined at its end. */
#include "cli/tables/as_nothing.h"

COMMAND(serve, "till serve", "", 0, 0)
TEXT(serve, data, "till-data", "DIR", "the data folder; created if it does not exist")
COUNT(serve, core, OPTION_NOT_GIVEN, 0, CPU_SETSIZE - 1, "N",
      "pin the event loop, which decides all orders, to this core, and helper threads to others")
FLAG(serve, quiet, "do not print the memory table")
GROUP(serve, "Network")
ADDRESS(serve, listen, CLIENT_ADDRESS_DEFAULT, "ADDR:PORT",
        "where clients connect; [ADDR]:PORT for IPv6, port 0 for any free port")
FLAG(serve, insecure,
     "let other machines connect: whoever does may read and change everything, as there are no "
     "users and no encryption yet")
COUNT(serve, connections, 16 << 10, 1, CONNECTIONS_MAX, "N", "open at the same time, at most")
COUNT(serve, spin, 200, 0, US_PER_SECOND, "US",
      "microseconds to poll before sleeping, so that a few clients wait less; 0: off")
GROUP(serve, "Memory")
COUNT(serve, output_chunks, 4 << 10, 16, 1u << 20, "N",
      "chunks of 32 KiB for replies, shared by all connections")
FLAG(serve, lazy_memory,
     "allocate memory only when it is first used: slower orders, a smaller process")
GROUP(serve, "Durability (the log)")
COUNT(serve, log_writes, WAL_WRITES_DEFAULT, 1, WAL_WRITES_MAX, "N",
      "blocks of the log being written to the disk at the same time, at most")
COUNT(serve, log_segment, WAL_SEGMENT_SIZE >> 20, 4, 1024, "MIB",
      "size of one segment file of the log")
FLAG(serve, rewrite_log_note,
     "when log-note.till is lost: write a new one, and accept the log as complete as it is")
GROUP(serve, "Snapshots")
COUNT(serve, snapshot_every, 300, 0, UINT32_MAX, "SECONDS",
      "from one snapshot to the next; 0: not by time")
COUNT(serve, snapshot_log, 1u << 30, 0, UINT32_MAX, "BYTES",
      "take a snapshot earlier when the log has grown by this much; 0: not by size")
COUNT(serve, snapshot_memory, 64u << 20, 1u << 20, UINT32_MAX, "BYTES",
      "for old versions of what changes while a snapshot is written")
FLAG(serve, no_snapshots,
     "take none, not even at a stop: the whole log is kept, and read again at each start")
GROUP(serve, "Archive")
TEXT(serve, archive, NULL, "DIR",
     "keep a copy of the log there, to restore any moment from; without it, old log is overwritten")
COUNT(serve, archive_days, 0, 0, 100 * 365, "DAYS",
      "remove archived log that is older than this; 0: keep it whatever its age")
COUNT(serve, archive_mib, 64u << 10, 0, UINT32_MAX, "MIB",
      "remove the oldest archived log beyond this size; 0: keep it whatever its size")
GROUP(serve, "Retention: how long what is over stays in memory. It is a part of the shop's state,\n"
             "which replicas and later starts have too: what is not given stays as it is")
COUNT(serve, retain_orders, OPTION_NOT_GIVEN, 1, RETAIN_MAX_S, "SECONDS",
      "forget closed orders so long after their last change; 30 days in a new shop")
COUNT(serve, retain_orders_max, OPTION_NOT_GIVEN, 0, UINT32_MAX - 1, "N",
      "keep so many closed orders at most; 0: any number, as in a new shop")
COUNT(serve, retain_keys, OPTION_NOT_GIVEN, KEY_RETENTION_US / US_PER_SECOND, RETAIN_MAX_S,
      "SECONDS", "forget idempotency keys after so long; 24 hours in a new shop")
GROUP(serve, "Replicas")
ADDRESS(serve, replica_of, NULL, "ADDR:PORT",
        "be a replica of that server, whatever the data folder was before. It is obeyed once: what "
        "`till promote` and `till follow` make of this server later stays, also when it is started "
        "with the same option again")
TEXT(serve, name, NULL, "NAME", "what `till replicas` calls this server: up to 32 bytes")
ADDRESS(serve, advertise, NULL, "ADDR:PORT",
        "where clients reach this server, as it tells them and others; by default where it listens")
COUNT(serve, acks, 0, 0, REPLICAS_MAX - 1, "K",
      "a reply waits until its change is durable on so many replicas, too; 0: only here")
COUNT(serve, acks_wait_ms, 1000, 0, 3600 * 1000, "MS",
      "when fewer replicas have followed for so long, requests are answered NO_QUORUM")
COUNT(serve, members, 0, 0, REPLICAS_MAX, "N",
      "servers of this shop, this one included, for promotions; 0: one more than --acks")
COUNT(serve, min_seq_wait_ms, 1000, 0, 3600 * 1000, "MS",
      "a request that demands a change waits for it so long, and is then answered REPLICA_BEHIND")
COUNT(serve, replica_keep_mib, 1024, 0, UINT32_MAX, "MIB",
      "log that is kept for replicas that are behind; beyond it they begin from a snapshot")
GROUP(serve, "Time")
COUNT(serve, clock_bound, CLOCK_BOUND_US / US_PER_SECOND, 1, CLOCK_SILENCE_US / US_PER_SECOND,
      "SECONDS", "a wall clock that jumps by more than this is not followed")
FLAG(serve, accept_clock,
     "for this start: the wall clock is right, though it jumped or is far from the log's time")
GROUP(serve, "Capacities: how many of each there is room for, which decides how much memory is\n"
             "taken (suffixes k, m, g). A CAPACITY answer carries the number of the table that\n"
             "is full; the first of these has number 1")
CAPACITIES(serve)
#define CAPACITY(...) CAPACITY_OPTION(serve, __VA_ARGS__)
#include "engine/tables/tables.h"
COMMAND_END(serve)

COMMAND(load, "till load", "FILE.csv...", 1, UINT32_MAX)
ADDRESS(load, connect, CLIENT_ADDRESS_DEFAULT, "ADDR:PORT", "the server")
FLAG(load, dry_run, "say what would be done, row by row; change nothing")
FLAG(load, strict, "send nothing when a line is wrong or appears twice")
COUNT(load, errors, 20, 0, UINT32_MAX, "N", "how many errors and warnings to show")
COMMAND_END(load)

COMMAND(shell, "till shell", "", 0, 0)
ADDRESS(shell, connect, CLIENT_ADDRESS_DEFAULT, "ADDR:PORT", "the server")
TEXT(shell, data, NULL, "DIR", "answer queries from this folder instead of a server; no changes")
FLAG(shell, json, "answer each line with one JSON object")
FLAG(shell, fail, "exit with 1 when an outcome is neither OK nor REPLAYED")
GROUP(shell, "With replicas")
FLAG(shell, age, "tell at the end of each answer how many microseconds old its state is")
TEXT(shell, min_seq, NULL, "N",
     "demand answers that show the change with this number; a server that does not reach it in "
     "time answers REPLICA_BEHIND")
FLAG(shell, follow,
     "when a replica tells where commands are taken, go there; each line then waits for the answer "
     "to the one before")
GROUP(shell, "With --data: the moment to answer for, and capacities that are at least those that\n"
             "the server ran with")
MOMENT(shell)
CAPACITIES(shell)
#define CAPACITY(...) CAPACITY_OPTION(shell, __VA_ARGS__)
#include "engine/tables/tables.h"
COMMAND_END(shell)

COMMAND(snapshot, "till snapshot", "", 0, 0)
ADDRESS(snapshot, connect, CLIENT_ADDRESS_DEFAULT, "ADDR:PORT", "the server")
COUNT(snapshot, wait, 600, 1, UINT32_MAX, "SECONDS", "how long to wait until it is published")
COMMAND_END(snapshot)

COMMAND(replicas, "till replicas", "", 0, 0)
ADDRESS(replicas, connect, CLIENT_ADDRESS_DEFAULT, "ADDR:PORT", "the server")
FLAG(replicas, json, "answer with one JSON object, as the shell does")
COMMAND_END(replicas)

COMMAND(follow, "till follow", "ADDR:PORT", 1, 1)
ADDRESS(follow, connect, CLIENT_ADDRESS_DEFAULT, "ADDR:PORT", "the server that shall follow")
COMMAND_END(follow)

COMMAND(promote, "till promote", "--members ADDR:PORT,...", 0, 0)
TEXT(promote, members, NULL, "LIST",
     "all servers of the shop, dead ones too, with commas between them, by the addresses at which "
     "they reach each other")
ADDRESS(promote, connect, NULL, "ADDR:PORT",
        "which of them is to be the primary; by default one that has most")
FLAG(promote, force, "go on where changes may be lost, and say which")
COMMAND_END(promote)

COMMAND(backup, "till backup", "DIR", 1, 1)
TEXT(backup, data, "till-data", "DIR", "the data folder of the server")
COUNT(backup, rate, 128, 0, UINT32_MAX, "MIB", "copied per second, at most; 0: no limit")
COMMAND_END(backup)

COMMAND(restore, "till restore", "--from DIR", 0, 0)
TEXT(restore, from, NULL, "DIR", "a backup, a data folder, or an archive that has the whole log")
TEXT(restore, data, "till-data", "DIR", "the new data folder")
MOMENT(restore)
GROUP(restore, "Capacities that are at least those that the server ran with")
CAPACITIES(restore)
#define CAPACITY(...) CAPACITY_OPTION(restore, __VA_ARGS__)
#include "engine/tables/tables.h"
COMMAND_END(restore)

COMMAND(log, "till log", "DIR", 1, 1)
COMMAND_END(log)

COMMAND(verify, "till verify", "DIR", 1, 1)
ARCHIVE(verify)
GROUP(verify, "Capacities that are at least those that the server ran with")
CAPACITIES(verify)
#define CAPACITY(...) CAPACITY_OPTION(verify, __VA_ARGS__)
#include "engine/tables/tables.h"
COMMAND_END(verify)

COMMAND(protocol, "till protocol", "", 0, 0)
TEXT(protocol, write, NULL, "FILE", "put the tables between the two markers in FILE")
TEXT(protocol, check, NULL, "FILE", "fail when the tables in FILE differ")
COMMAND_END(protocol)

#include "cli/tables/as_end.h"
