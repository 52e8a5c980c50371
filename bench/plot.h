/* Draws a bench's figures as one SVG file: latency by percentile, throughput over time, and latency
 * over time. */
#ifndef TILL_BENCH_PLOT_H
#define TILL_BENCH_PLOT_H

#include "bench/figures.h"

/* False when the file cannot be written; errno is set. */
bool plot_write(const char *path, const struct figures *figures);

#endif
