package io.deisa.examples;

import java.io.IOException;
import java.nio.DoubleBuffer;
import java.nio.FloatBuffer;

/**
 * One rank's block of the heat equation on a square of n x n cells with insulated edges. It computes in memory that it is
 * given: no temperature is ever copied.
 *
 * <p>Gives the numbers of examples/heat/problem.c and serial.py to the last bit: each expression has its twin there, with the
 * same order of operations.
 */
final class Block {
    /** Of one timestep: even, so that the last one writes where {@link #timestep} was told to. */
    static final int SUBSTEPS = 50;

    private static final double DIFFUSION = 0.2; // diffusivity * time / area of a cell; stable up to 0.25
    private static final double SOURCE_RATE = 0.02; // kelvin per sub-step

    final int rows;
    final int columns;
    private final boolean[] heated;
    private final DoubleBuffer scratch;
    private DoubleBuffer temperature; // rows x columns, the newest
    // The cells of the neighbours along each edge of the block.
    private final double[] above;
    private final double[] below;
    private final double[] left;
    private final double[] right;

    /** The block whose first cell is (row, column) of a square of size x size. Its temperature goes to {@code first}. */
    Block(int size, Grid.Part row, Grid.Part column, DoubleBuffer first) {
        rows = row.length();
        columns = column.length();
        heated = new boolean[rows * columns];
        scratch = DoubleBuffer.allocate(rows * columns);
        above = new double[columns];
        below = new double[columns];
        left = new double[rows];
        right = new double[rows];
        temperature = first;
        for (int i = 0; i < rows; i++) {
            for (int j = 0; j < columns; j++) {
                temperature.put(i * columns + j, initial(size, row.first() + i, column.first() + j));
                heated[i * columns + j] = isHeated(size, row.first() + i, column.first() + j);
            }
        }
    }

    // A disc of radius 0.15 n around (0.4 n, 0.6 n), in integers so that every language agrees.
    private static boolean isHeated(long n, long i, long j) {
        long y = 10 * i + 5 - 4 * n;
        long x = 10 * j + 5 - 6 * n;
        return 4 * (y * y + x * x) <= 9 * n * n;
    }

    // A warm rectangle, so that a field that is mirrored or transposed is not the same field.
    private static double initial(long n, long i, long j) {
        return 10 * i >= 6 * n && 10 * i < 8 * n && 10 * j >= n && 10 * j < 4 * n ? 4.0 : 0.0;
    }

    /** The temperature of cell (i, j), -1 ... rows and -1 ... columns, but for the corners. */
    double get(int i, int j) {
        if (i < 0) {
            return above[j];
        }
        if (i == rows) {
            return below[j];
        }
        if (j < 0) {
            return left[i];
        }
        return j == columns ? right[i] : temperature.get(i * columns + j);
    }

    /** Sets a neighbour's cell: (i, j) with i -1 or rows, or j -1 or columns. */
    void setGhost(int i, int j, double value) {
        if (i < 0) {
            above[j] = value;
        } else if (i == rows) {
            below[j] = value;
        } else if (j < 0) {
            left[i] = value;
        } else {
            right[i] = value;
        }
    }

    /** What brings the neighbours' cells up to date. */
    interface Exchange {
        void run(Block block) throws IOException;
    }

    /**
     * One timestep, whose temperature is written to {@code next}. Reads where the last one was written, which may be the same
     * memory. Afterwards the neighbours' cells are up to date.
     */
    void timestep(DoubleBuffer next, boolean sourceIsOn, Exchange exchange) throws IOException {
        for (int substep = 0; substep < SUBSTEPS; substep++) {
            exchange.run(this);
            substep(substep % 2 == 0 ? scratch : next, sourceIsOn);
        }
        exchange.run(this);
    }

    /** One explicit sub-step into {@code next}. The neighbours' cells must be up to date before; they are not after. */
    void substep(DoubleBuffer next, boolean sourceIsOn) {
        for (int i = 0; i < rows; i++) {
            for (int j = 0; j < columns; j++) {
                double here = get(i, j);
                double around = (get(i - 1, j) + get(i + 1, j)) + (get(i, j - 1) + get(i, j + 1));
                double value = here + DIFFUSION * (around - 4.0 * here);
                int c = i * columns + j;
                next.put(c, sourceIsOn && heated[c] ? value + SOURCE_RATE : value);
            }
        }
        temperature = next;
    }

    /** Computes the magnitude of the temperature's gradient. The neighbours' cells must be up to date. */
    void computeFlux(FloatBuffer flux) {
        for (int i = 0; i < rows; i++) {
            for (int j = 0; j < columns; j++) {
                double y = 0.5 * (get(i + 1, j) - get(i - 1, j));
                double x = 0.5 * (get(i, j + 1) - get(i, j - 1));
                flux.put(i * columns + j, (float) Math.sqrt(y * y + x * x));
            }
        }
    }
}
