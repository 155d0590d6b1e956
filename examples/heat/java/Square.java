import java.util.Arrays;

/** The heat equation of problem.c on the whole square, with the same numbers to the last bit. */
final class Square {
  private static final int SUBSTEPS = 50;
  private static final double DIFFUSION = 0.2;
  private static final double SOURCE_RATE = 0.02;

  private final int size;
  private final boolean[] heated;
  private double[] temperature;
  private double[] next;

  Square(int size) {
    this.size = size;
    heated = new boolean[size * size];
    temperature = new double[size * size];
    next = new double[size * size];
    long n = size;
    for (int i = 0; i < size; i++) {
      for (int j = 0; j < size; j++) {
        long y = 10L * i + 5 - 4 * n;
        long x = 10L * j + 5 - 6 * n;
        heated[i * size + j] = 4 * (y * y + x * x) <= 9 * n * n;
        boolean warm = 10L * i >= 6 * n && 10L * i < 8 * n && 10L * j >= n && 10L * j < 4 * n;
        temperature[i * size + j] = warm ? 4.0 : 0.0;
      }
    }
  }

  double at(int i, int j) {
    return temperature[i * size + j];
  }

  /** One timestep. */
  void advance(boolean sourceIsOn) {
    for (int substep = 0; substep < SUBSTEPS; substep++) {
      for (int i = 0; i < size; i++) {
        int above = Math.max(i - 1, 0) * size;
        int below = Math.min(i + 1, size - 1) * size;
        for (int j = 0; j < size; j++) {
          int cell = i * size + j;
          double vertical = temperature[above + j] + temperature[below + j];
          double horizontal =
              temperature[i * size + Math.max(j - 1, 0)] + temperature[i * size + Math.min(j + 1, size - 1)];
          double around = vertical + horizontal;
          double value = temperature[cell] + DIFFUSION * (around - 4.0 * temperature[cell]);
          next[cell] = sourceIsOn && heated[cell] ? value + SOURCE_RATE : value;
        }
      }
      double[] swapped = temperature;
      temperature = next;
      next = swapped;
    }
  }

  /** The lengths of `parts` parts of 0 ... size that differ by at most one: 10 over 4 is 3, 3, 2, 2. */
  static int[] parts(int size, int parts) {
    int[] lengths = new int[parts];
    Arrays.setAll(lengths, index -> size / parts + (index < size % parts ? 1 : 0));
    return lengths;
  }
}
