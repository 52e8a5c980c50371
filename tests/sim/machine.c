/* The simulation and its machines: time, randomness, crashes.
 *
 * All randomness of a run comes from the one generator here, and nothing depends on addresses, on
 * real time or on the process, so a seed reproduces a run exactly. */
#include "tests/sim/machine.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

struct sim_machine *sim_machine_current;

struct sim *sim_create(uint64_t seed)
{
    struct sim *sim = calloc(1, sizeof *sim);
    TILL_ASSERT(sim != NULL);
    sim->random_state = seed;
    return sim;
}

struct sim_machine *sim_machine_add(struct sim *sim, const char *name)
{
    static const uint64_t write_delays_us[] = {0, 20, 300, 5000};
    static const uint64_t network_delays_us[] = {0, 50, 500};
    struct sim_machine *machine = calloc(1, sizeof *machine);
    TILL_ASSERT(machine != NULL);
    TILL_ASSERT(sim->machine_count < SIM_MACHINES_MAX && strlen(name) < SIM_NAME_SIZE);
    strcpy(machine->name, name);
    machine->sim = sim;
    machine->index = sim->machine_count++;
    sim->machines[machine->index] = machine;
    machine->boot_number = 1;
    machine->clock_us = 1700000000000000;
    machine->write_delay_us_max = write_delays_us[sim_random_below(machine, 4)];
    machine->network_delay_us_max = network_delays_us[sim_random_below(machine, 3)];
    sim_use(machine);
    return machine;
}

struct sim_machine *sim_machine_create(uint64_t seed)
{
    return sim_machine_add(sim_create(seed), "localhost");
}

void sim_use(struct sim_machine *machine)
{
    sim_machine_current = machine;
}

static void machine_destroy(struct sim_machine *machine)
{
    TILL_ASSERT(machine->io == NULL && machine->disks == NULL);
    while (machine->client_count > 0) {
        struct sim_client *client = machine->clients[0];
        client->state = SIM_GONE;
        sim_client_free(client);
    }
    for (uint32_t i = 0; i < machine->folder_count; i++) {
        struct sim_folder *folder = &machine->folders[i];
        while (folder->files != NULL) {
            struct sim_file *file = folder->files;
            folder->files = file->next;
            sim_file_release(file);
        }
    }
    if (sim_machine_current == machine)
        sim_machine_current = NULL;
    free(machine);
}

void sim_destroy(struct sim *sim)
{
    for (uint32_t i = 0; i < sim->machine_count; i++)
        machine_destroy(sim->machines[i]);
    free(sim);
}

void sim_machine_destroy(struct sim_machine *machine)
{
    TILL_ASSERT(machine->sim->machine_count == 1);
    sim_destroy(machine->sim);
}

/* SplitMix64 (Steele, Lea, Flood 2014). */
uint64_t sim_random(struct sim_machine *machine)
{
    uint64_t z = (machine->sim->random_state += 0x9e3779b97f4a7c15ULL);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31);
}

uint64_t sim_random_below(struct sim_machine *machine, uint64_t bound)
{
    __extension__ typedef unsigned __int128 wide;
    return (uint64_t)((wide)sim_random(machine) * bound >> 64);
}

bool sim_chance(struct sim_machine *machine, unsigned percent)
{
    return sim_random_below(machine, 100) < percent;
}

uint64_t sim_delay_us(struct sim_machine *machine, uint64_t us_max)
{
    uint64_t bound = sim_chance(machine, 80) ? us_max / 16 : us_max;
    return sim_random_below(machine, bound + 1);
}

void sim_disk_slow(struct sim_machine *machine, uint64_t us_max)
{
    machine->write_delay_us_max = us_max;
}

void sim_crash(struct sim_machine *machine)
{
    if (machine->io != NULL)
        sim_io_crash(machine->io);
    sim_disk_crash(machine);
    machine->boot_us = machine->sim->now_us;
    machine->boot_number++;
}

void sim_stop(struct sim_machine *machine)
{
    machine->stop_asked = true;
}

uint64_t sim_time_us(const struct sim_machine *machine)
{
    return machine->sim->now_us;
}

void sim_time_pass(struct sim_machine *machine, uint64_t us)
{
    machine->sim->now_us += us;
}

void sim_clock_step(struct sim_machine *machine, int64_t us)
{
    machine->clock_us += us;
}
