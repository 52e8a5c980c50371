/* The options of `till bench`, `till demo` and the programs that are built beside till: rows as in
 * cli/tables/options.h, which says what they mean. */
#include "cli/tables/as_nothing.h"

COMMAND(bench, "till bench", "", 0, 0)
GROUP(bench, "The load")
TEXT(bench, workload, "hot", "NAME", "one of those listed below")
COUNT(bench, connections, 64, 1, BENCH_CONNECTIONS_MAX, "N", "open connections")
COUNT(bench, in_flight, 64, 1, FRAME_IN_FLIGHT_MAX, "N", "unanswered requests on each, at most")
COUNT(bench, rate, 0, 1, UINT32_MAX, "N",
      "open loop: send this many requests a second; latency counts from when each was due")
COUNT(bench, seconds, 5, 1, BENCH_SECONDS_MAX, "N", "length of the measured part")
COUNT(bench, count, 0, 1, UINT32_MAX, "N", "its length in requests instead")
COUNT(bench, warm_up, 0, 0, BENCH_SECONDS_MAX, "N",
      "seconds before it; 0: one, or a quarter of a run shorter than four")
COUNT(bench, clients, 1, 1, CLIENTS_MAX, "N", "client threads, with a core each")
COUNT(bench, skus, 1000, 1, WORKLOAD_SKUS_MAX, "N", "SKUs of zipf, cart, lifecycle and read")
COUNT(bench, customers, 4u << 20, 1, UINT32_MAX, "N", "customers, all equally likely")
COUNT(bench, lines, 8, 1, ORDER_LINES_MAX, "N", "lines of a cart, at most")
GROUP(bench, "The server: one is started and removed afterwards, unless --connect names one")
TEXT(bench, folder, ".", "DIR", "where to put its data during the run")
COUNT(bench, snapshot_log, 0, 1, UINT32_MAX, "BYTES",
      "take a snapshot whenever its log has grown by this much; without it, none is taken")
FLAG(bench, indexes, "with lists of orders (--indexes on)")
FLAG(bench, unpinned, "let server and clients run on any core, not on one each")
FLAG(bench, engine_only, "no server: the engine in this process, without network and log")
FLAG(bench, stages, "with --engine-only: measure each stage of deciding an order by itself")
ADDRESS(bench, connect, NULL, "ADDR:PORT", "measure this server, which is running already")
FLAG(bench, into_a_live_shop,
     "with --connect: even if it has stock or orders; what the bench adds to them stays")
FLAG(bench, allow_remote, "with --connect: even if it is another machine")
GROUP(bench, "The report")
FLAG(bench, json, "print one line of JSON")
TEXT(bench, plot, NULL, "FILE.svg", "draw latency and throughput")
COMMAND_END(bench)

COMMAND(demo, "till demo", "", 0, 0)
TEXT(demo, folder, ".", "DIR", "where to put the server's data during the run")
FLAG(demo, keep, "do not remove that data at the end")
FLAG(demo, json, "print the report as one line of JSON")
COMMAND_END(demo)

COMMAND(soak, "soak", "", 0, 0)
TEXT(soak, till, "./till", "FILE", "the binary that serves")
TEXT(soak, folder, ".", "DIR", "where to put its data during the run")
COUNT(soak, seconds, 60, 4, 24 * 3600, "N", "for all phases together")
TEXT(soak, kinds, NULL, "A,B", "only these of the kinds listed below")
COUNT(soak, rate, 0, 0, UINT32_MAX, "N",
      "honest requests a second; 0: a quarter of the measured maximum")
COUNT(soak, stall_ms, 1000, 1, UINT32_MAX, "N",
      "the run fails when for this long nothing, or a hello, is not answered")
FLAG(soak, strict, "the run fails when a p99 is above twice that of the calm phases around it")
FLAG(soak, json, "print one line of JSON, and on stderr a line at the beginning of each phase")
COMMAND_END(soak)

COMMAND(limit, "limit", "", 0, 0)
TEXT(limit, folder, ".", "DIR", "where to put the log")
COUNT(limit, port, 0, 0, UINT16_MAX, "N", "on 127.0.0.1; 0: any free port")
COUNT(limit, connections, 1024, 1, CONNECTIONS_MAX, "N", "open at the same time, at most")
COUNT(limit, log_bytes, 44, 1, LIMIT_LOG_BYTES_MAX, "N", "written for each order")
COUNT(limit, writes, 2, 1, LIMIT_WRITES_MAX, "N", "blocks being written to the disk, at most")
FLAG(limit, echo, "answer without writing a log")
COMMAND_END(limit)

COMMAND(peer, "peer-client", "", 0, 0)
TEXT(peer, protocol, NULL, "NAME", "redis, postgres or tarantool")
ADDRESS(peer, connect, NULL, "ADDR:PORT", "the server")
TEXT(peer, procedure, "place", "NAME", "what is called for each order")
COUNT(peer, connections, 64, 1, PEER_CONNECTIONS_MAX, "N", "open connections")
COUNT(peer, in_flight, 64, 1, PEER_IN_FLIGHT_MAX, "N", "unanswered requests on each, at most")
COUNT(peer, skus, 1, 1, UINT32_MAX, "N", "SKUs, numbered from 1, all equally likely")
COUNT(peer, seconds, 3, 1, UINT32_MAX, "N", "length, after a warm-up of a quarter of it")
COMMAND_END(peer)

#include "cli/tables/as_end.h"
