package io.deisa.examples;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.net.ServerSocket;
import java.nio.DoubleBuffer;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Ranks that exchange ghost cells compute what one rank computes, to the last bit. */
class BlockTest {
    private static final int SIZE = 19; // not a multiple of any grid below
    private static final int STEPS = 3;

    private static double[][] solve(int rank, int ranks, int port, boolean turns) throws IOException {
        Grid grid = Grid.of(rank, ranks);
        int cells = grid.rows(SIZE).length() * grid.columns(SIZE).length();
        // Two buffers in turns, as a bridge lends them.
        DoubleBuffer[] lent = {DoubleBuffer.allocate(cells), DoubleBuffer.allocate(cells)};
        Block block = new Block(SIZE, grid.rows(SIZE), grid.columns(SIZE), lent[0]);
        try (Halo halo = new Halo(grid, port)) {
            for (int step = 0; step < STEPS; step++) {
                block.timestep(lent[turns ? step % 2 : 0], step == 0, halo::exchange);
                fill(lent[turns ? (step + 1) % 2 : 1], Double.NaN); // undefined contents
            }
        }
        double[][] values = new double[block.rows][block.columns];
        for (int i = 0; i < block.rows; i++) {
            for (int j = 0; j < block.columns; j++) {
                values[i][j] = block.get(i, j);
            }
        }
        return values;
    }

    private static void fill(DoubleBuffer buffer, double value) {
        for (int i = 0; i < buffer.capacity(); i++) {
            buffer.put(i, value);
        }
    }

    // The first of `count` neighbouring ports that are free now.
    private static int freePorts(int count) throws IOException {
        for (int first = 20000 + (int) (ProcessHandle.current().pid() % 10000); first < 32000; first += count) {
            List<ServerSocket> open = new ArrayList<>();
            try {
                for (int i = 0; i < count; i++) {
                    open.add(new ServerSocket(first + i));
                }
                return first;
            } catch (IOException taken) {
                continue;
            } finally {
                for (ServerSocket socket : open) {
                    socket.close();
                }
            }
        }
        throw new IOException("no free ports");
    }

    @ParameterizedTest
    @ValueSource(ints = {2, 3, 4, 6, 9})
    void severalRanksComputeWhatOneDoes(int ranks) throws Exception {
        double[][] whole = solve(0, 1, 1, false);
        int port = freePorts(ranks);
        ExecutorService threads = Executors.newFixedThreadPool(ranks);
        try {
            List<Future<double[][]>> blocks = new ArrayList<>();
            for (int rank = 0; rank < ranks; rank++) {
                int own = rank;
                blocks.add(threads.submit(() -> solve(own, ranks, port, true)));
            }
            for (int rank = 0; rank < ranks; rank++) {
                Grid grid = Grid.of(rank, ranks);
                double[][] block = blocks.get(rank).get();
                for (int i = 0; i < block.length; i++) {
                    for (int j = 0; j < block[i].length; j++) {
                        assertEquals(
                                whole[grid.rows(SIZE).first() + i][
                                        grid.columns(SIZE).first() + j],
                                block[i][j]);
                    }
                }
            }
        } finally {
            threads.shutdownNow();
        }
    }

    @Test
    void heatComesFromTheSourceOnly() {
        double before = 0.0;
        double after = 0.0;
        Grid grid = Grid.of(0, 1);
        Block block = new Block(20, grid.rows(20), grid.columns(20), DoubleBuffer.allocate(400));
        for (int i = 0; i < 20; i++) {
            for (int j = 0; j < 20; j++) {
                before += block.get(i, j);
            }
        }
        block.substep(DoubleBuffer.allocate(400), true);
        for (int i = 0; i < 20; i++) {
            for (int j = 0; j < 20; j++) {
                after += block.get(i, j);
            }
        }
        assertEquals(4.0 * 4 * 6, before);
        assertTrue(after > before);
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 2, 3, 4, 6, 7, 12})
    void gridIsAsMpiWouldArrangeIt(int ranks) {
        Grid grid = Grid.of(ranks - 1, ranks);
        assertEquals(ranks, grid.rowsOfRanks() * grid.columnsOfRanks());
        assertTrue(grid.rowsOfRanks() >= grid.columnsOfRanks());
        assertEquals(Grid.NONE, grid.below());
        assertEquals(Grid.NONE, grid.right());
    }
}
