/* Simulated machines below the I/O seam: folders whose writes a crash tears, a network between them
 * and to clients that the test drives, time that moves in random small steps, and one random
 * generator that decides all of it, so that the same seed gives the same run.
 *
 * base/io.h and base/disk.h are implemented on them (io_sim.c, disk_sim.c). io_create and disk_open
 * name no machine: they act on the one that sim_use selected, or that was made last. All other
 * calls act on the machine of their handle. A machine exists longer than the servers that run on
 * it, one at a time:
 *
 *   sim_machine_create -> disk_open, io_create, server ... -> sim_crash -> free the dead server's
 *   memory -> disk_open, io_create, the next server ... -> sim_machine_destroy
 *
 * Several machines share the time and the random numbers, and reach each other by their names:
 *
 *   sim_create -> sim_machine_add, ... -> sim_use, io_create, server ... -> sim_destroy
 *
 * The test lets their servers take turns. What happens to one happens in its own io_wait, which may
 * let time pass for all of them: the others are late then, as processes are that have to wait for a
 * core.
 *
 * After sim_crash, the dead server's io reports success for everything pending or failed, and its
 * disk returns -EIO, both without any effect, so that its memory can be freed by the ordinary
 * functions.
 */
#ifndef TILL_TESTS_SIM_SIM_H
#define TILL_TESTS_SIM_SIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sim;
struct sim_machine;
struct sim_client;

enum { SIM_MACHINES_MAX = 8 };

struct sim *sim_create(uint64_t seed);

/* Frees all machines with their files and clients; disks and ios on them have been closed. */
void sim_destroy(struct sim *sim);

/* The name is what other machines connect to: "name:port". */
struct sim_machine *sim_machine_add(struct sim *sim, const char *name);
void sim_use(struct sim_machine *machine);

/* A simulation of one machine. */
struct sim_machine *sim_machine_create(uint64_t seed);
void sim_machine_destroy(struct sim_machine *machine);

/* The simulation's own random numbers, for tests whose whole run must depend on its seed. */
uint64_t sim_random(struct sim_machine *machine);
uint64_t sim_random_below(struct sim_machine *machine, uint64_t bound);
bool sim_chance(struct sim_machine *machine, unsigned percent);

/* The power fails: every page of a write under way is kept, lost or torn on its own; a file being
 * prepared exists whole or not at all; sends in flight were sent in part; connections break, after
 * what had reached the client, and other machines may notice that only seconds later; the locks of
 * all folders are free again. The machine is switched on again at once. */
void sim_crash(struct sim_machine *machine);

/* The process is asked to stop: IO_STOP. */
void sim_stop(struct sim_machine *machine);

/* Simulated time since the simulation began. sim_time_pass lets time pass, in which everything
 * pending makes progress. */
uint64_t sim_time_us(const struct sim_machine *machine);
void sim_time_pass(struct sim_machine *machine, uint64_t us);

/* The network from one machine to another: cut, what is sent waits, and what was received is not
 * confirmed, so that sends the other way stall as well; connecting fails when its time is over.
 * Half of the ends that a cut concerns give their connection up after some seconds, if it lasts;
 * the far end notices that later still. Healed, what waited arrives soon. Slow, everything takes
 * up to that much longer. */
void sim_path_cut(struct sim_machine *from, struct sim_machine *to);
void sim_path_heal(struct sim_machine *from, struct sim_machine *to);
void sim_path_slow(struct sim_machine *from, struct sim_machine *to, uint64_t us_max);

/* Sets the wall clock forwards or backwards, and nothing else. */
void sim_clock_step(struct sim_machine *machine, int64_t us);

/* Disk faults. A folder is named by the path that disk_open gets, and each has room of its own. A
 * full folder refuses new files, and refuses completely a write by which a partial file would grow;
 * the nth write from now on (1: the next, 0: none) to files of the folder whose names begin with
 * `name`, which stays valid, fails with -EIO after an unknown part of it; the given percentage of
 * the writes through io_write to such files is refused with -ENOSPC, likewise after a part; the
 * given percentage of the renames and removals of such files is refused with -ENOSPC, before or
 * after they took effect; the nth blocking change from now on, of whatever folder, is cut short by
 * a crash: it and everything after it fails with -EIO in all folders until sim_crash. */
void sim_disk_fill(struct sim_machine *machine, const char *path, bool full);
void sim_disk_fail_write(struct sim_machine *machine, const char *path, const char *name,
                         uint32_t nth);
void sim_disk_refuse_writes(struct sim_machine *machine, const char *path, const char *name,
                            unsigned percent);
void sim_disk_refuse_changes(struct sim_machine *machine, const char *path, const char *name,
                             unsigned percent);
void sim_disk_crash_at(struct sim_machine *machine, uint32_t nth);

/* From now on writes take up to this time, most of them at most a sixteenth of it. */
void sim_disk_slow(struct sim_machine *machine, uint64_t us_max);

/* Inverts one bit of a file at rest; the file and the offset exist. */
void sim_disk_flip(struct sim_machine *machine, const char *path, const char *name, uint64_t offset,
                   unsigned bit);

/* A new connection to the server that listens now or later; accepted after a while. The test owns
 * the handle until sim_client_free. */
struct sim_client *sim_connect(struct sim_machine *machine);
/* Bytes that the client's side holds before the server's sends stall, and the most that is
 * transferred at once; both are random unless set. */
void sim_client_limit(struct sim_client *client, size_t window, size_t piece);

void sim_client_send(struct sim_client *client, const void *bytes, size_t size);

/* Takes what has arrived: the number of bytes, 0 when nothing is there yet, and at the end of the
 * stream -ENOTCONN when the server closed, -ECONNRESET when the connection broke. A client that
 * does not receive is a slow reader: the server's sends stall once the window is full. */
int64_t sim_client_receive(struct sim_client *client, void *bytes, size_t size);

/* True when the server closed or the connection broke; some of what the server had sent may be left
 * to receive. */
bool sim_client_is_over(const struct sim_client *client);

/* Ends the stream after what was sent (the server may go on sending), or breaks it at once. */
void sim_client_finish(struct sim_client *client);
void sim_client_reset(struct sim_client *client);

/* Resets the connection if it is still up, and gives up the handle. */
void sim_client_free(struct sim_client *client);

#endif
