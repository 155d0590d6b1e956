package io.deisa.examples;

import org.apache.arrow.vector.Float4Vector;
import org.apache.arrow.vector.Float8Vector;

/**
 * One rank's block of the heat equation on a square of n x n cells with insulated edges, with a frame of one ghost cell.
 *
 * <p>Gives the numbers of examples/heat/problem.c and serial.py to the last bit: each expression has its twin there, with the
 * same order of operations.
 */
final class Block {
  static final int SUBSTEPS = 50;
  private static final double DIFFUSION = 0.2; // diffusivity * time / area of a cell; stable up to 0.25
  private static final double SOURCE_RATE = 0.02; // kelvin per sub-step

  final int rows;
  final int columns;
  private final int width; // of a row with its two ghost cells
  private final boolean[] heated;
  private double[] temperature;
  private double[] next;

  /** The block whose first cell is (row, column) of a square of size x size. */
  Block(int size, Grid.Part row, Grid.Part column) {
    rows = row.length();
    columns = column.length();
    width = columns + 2;
    heated = new boolean[rows * columns];
    temperature = new double[(rows + 2) * width];
    next = new double[temperature.length];
    for (int i = 0; i < rows; i++) {
      for (int j = 0; j < columns; j++) {
        temperature[index(i, j)] = initial(size, row.first() + i, column.first() + j);
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

  private int index(int i, int j) {
    return (i + 1) * width + j + 1;
  }

  /** The temperature of cell (i, j), -1 ... rows and -1 ... columns, ghosts included. */
  double get(int i, int j) {
    return temperature[index(i, j)];
  }

  void set(int i, int j, double value) {
    temperature[index(i, j)] = value;
  }

  /** One explicit sub-step. The ghost cells must be up to date before; they are not after. */
  void substep(boolean sourceIsOn) {
    double[] t = temperature;
    for (int i = 0; i < rows; i++) {
      int c = index(i, 0);
      for (int j = 0; j < columns; j++, c++) {
        double around = (t[c - width] + t[c + width]) + (t[c - 1] + t[c + 1]);
        next[c] = t[c] + DIFFUSION * (around - 4.0 * t[c]);
        if (sourceIsOn && heated[i * columns + j]) {
          next[c] = next[c] + SOURCE_RATE;
        }
      }
    }
    temperature = next;
    next = t;
  }

  /** Writes the temperature, without ghost cells, into a vector of rows * columns elements. */
  void copyTemperature(Float8Vector to) {
    for (int i = 0; i < rows; i++) {
      for (int j = 0; j < columns; j++) {
        to.set(i * columns + j, get(i, j));
      }
    }
  }

  /** Computes the magnitude of the temperature's gradient into such a vector. The ghost cells must be up to date. */
  void computeFlux(Float4Vector to) {
    double[] t = temperature;
    for (int i = 0; i < rows; i++) {
      int c = index(i, 0);
      for (int j = 0; j < columns; j++, c++) {
        double y = 0.5 * (t[c + width] - t[c - width]);
        double x = 0.5 * (t[c + 1] - t[c - 1]);
        to.set(i * columns + j, (float) Math.sqrt(y * y + x * x));
      }
    }
  }
}
