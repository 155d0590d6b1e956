/* What a simulation of bench/compare's overhead-128MiB computes, in C and from Python alike. */
#ifndef DEISA_BENCH_STENCIL_H
#define DEISA_BENCH_STENCIL_H

/* Averages the four neighbours of each cell `sweeps` times, and then writes `scale` times the cells
 * to `field`. The ranks of `communicator`, a Fortran handle, have one block of rows each, and
 * exchange their outer rows before every sweep. `cells` and `other` have `rows` + 2 rows of
 * `columns`, `field` has `rows`. `sweeps` is even: it computes there and back. */
__attribute__((visibility("default"))) void stencil_run(int communicator, double* cells,
                                                        double* other, double* field, long rows,
                                                        long columns, int sweeps, double scale);

#endif
