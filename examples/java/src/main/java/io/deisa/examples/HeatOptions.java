package io.deisa.examples;

import java.nio.file.Path;

/**
 * The command line.
 *
 * @param rank this process
 * @param ranks the number of processes
 * @param size cells of the square per dimension
 * @param steps timesteps to send
 * @param pace seconds that a timestep takes at least
 * @param masterPort where the bridges meet, on this machine
 * @param haloPort the first of {@code ranks} ports for the exchange of ghost cells
 * @param report where rank 0 writes what it did, or null
 */
record HeatOptions(int rank, int ranks, int size, long steps, double pace, int masterPort, int haloPort, Path report) {
    static final String USAGE =
            "usage: Heat [--rank RANK] [--ranks RANKS] [--size CELLS] [--steps STEPS] [--pace SECONDS] [--master-port PORT]"
                    + " [--halo-port PORT] [--report FILE]";

    static HeatOptions parse(String[] arguments) {
        int rank = 0;
        int ranks = 1;
        int size = 256;
        long steps = 20;
        double pace = 0.0;
        int masterPort = 29400;
        int haloPort = 29500;
        Path report = null;
        for (int i = 0; i < arguments.length; i += 2) {
            if (i + 1 == arguments.length) {
                throw new IllegalArgumentException("a value is missing after " + arguments[i]);
            }
            String value = arguments[i + 1];
            try {
                switch (arguments[i]) {
                    case "--rank" -> rank = Integer.parseInt(value);
                    case "--ranks" -> ranks = Integer.parseInt(value);
                    case "--size" -> size = Integer.parseInt(value);
                    case "--steps" -> steps = Long.parseLong(value);
                    case "--pace" -> pace = Double.parseDouble(value);
                    case "--master-port" -> masterPort = Integer.parseInt(value);
                    case "--halo-port" -> haloPort = Integer.parseInt(value);
                    case "--report" -> report = Path.of(value);
                    default -> throw new IllegalArgumentException("unknown option " + arguments[i]);
                }
            } catch (NumberFormatException problem) {
                throw new IllegalArgumentException("'" + value + "' is no value for " + arguments[i], problem);
            }
        }
        if (ranks < 1 || rank < 0 || rank >= ranks || steps < 1 || !(pace >= 0.0 && pace < 1e6)) {
            throw new IllegalArgumentException("expected 0 <= rank < ranks, steps >= 1 and 0 <= pace < 1e6");
        }
        if (masterPort < 1 || masterPort > 65535 || haloPort < 1 || haloPort + ranks > 65536) {
            throw new IllegalArgumentException("expected ports of 1 ... 65535");
        }
        Grid grid = Grid.of(rank, ranks);
        if (size < grid.rowsOfRanks() || size > 30000) {
            throw new IllegalArgumentException("expected a size of " + grid.rowsOfRanks() + " ... 30000 cells");
        }
        return new HeatOptions(rank, ranks, size, steps, pace, masterPort, haloPort, report);
    }
}
