/* The machine that a bench runs on; its properties are reported with the figures. */
#ifndef TILL_BENCH_MACHINE_H
#define TILL_BENCH_MACHINE_H

#include <stdint.h>
#include <sys/types.h>

struct machine {
    char kernel[80];
    char processor[80];
    uint32_t cores;  /* that this process may use */
    double flush_us; /* median of a durable 4 KiB write in the folder; below 0: not measured */
    uint64_t memory_bytes; /* available to this process */
};

/* folder: where to measure the flush; NULL: nowhere. */
void machine_look(struct machine *machine, const char *folder);

/* How long a process's first thread has been ready to run without a core to run on, since it
 * started; 0 when the kernel does not say. pid 0: the calling thread. */
uint64_t machine_wait_ns(pid_t pid);

#endif
