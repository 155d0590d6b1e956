import io.deisa.bridge.ArrayMetadata;
import io.deisa.bridge.Bridge;
import io.deisa.bridge.BridgeStatus;
import io.deisa.bridge.DType;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Locale;
import org.apache.arrow.memory.RootAllocator;
import org.apache.arrow.vector.Float8Vector;

/**
 * One rank of a Java simulation that sends one field, cut into as many chunks as there are ranks, to the analytics of the C
 * example. The ranks find each other by Gloo, at DEISA_MASTER_ADDRESS and DEISA_MASTER_PORT. Debian's Open MPI has no Java
 * bindings to exchange ghost cells with, so each rank computes the whole square, and sends only its part of it.
 *
 * <p>Arguments: rank, ranks, size, steps, least seconds per timestep, file for rank 0's report.
 */
public final class Heat {
  private record Part(int rank, int ranks, int size) {
    /** The part's first row: rank r has row block r. */
    int firstRow() {
      return Arrays.stream(Square.parts(size, ranks), 0, rank).sum();
    }

    int rows() {
      return Square.parts(size, ranks)[rank];
    }

    ArrayMetadata metadata() {
      return ArrayMetadata.of(
          "temperature", DType.FLOAT64, new long[] {rows(), size}, new long[] {ranks, 1}, new long[] {rank, 0});
    }

    void copy(Square square, Float8Vector vector) {
      int first = firstRow();
      for (int i = 0; i < rows(); i++) {
        for (int j = 0; j < size; j++) {
          vector.set(i * size + j, square.at(first + i, j));
        }
      }
      vector.setValueCount(rows() * size);
    }
  }

  public static void main(String[] args) throws IOException, InterruptedException {
    if (args.length != 6) {
      System.err.println("usage: Heat RANK RANKS SIZE STEPS PACE REPORT");
      System.exit(2);
    }
    Part part = new Part(Integer.parseInt(args[0]), Integer.parseInt(args[1]), Integer.parseInt(args[2]));
    int steps = Integer.parseInt(args[3]);
    double pace = Double.parseDouble(args[4]);
    if (part.size() < part.ranks()) {
      System.err.println("Heat: " + part.size() + " rows are too few for " + part.ranks() + " ranks");
      System.exit(1);
    }

    Square square = new Square(part.size());
    long sourceOffStep = -1;
    try (RootAllocator allocator = new RootAllocator();
        Float8Vector vector = new Float8Vector("temperature", allocator);
        Bridge bridge =
            Bridge.builder().bridgeId(part.rank()).worldSize(part.ranks()).array(part.metadata()).open()) {
      vector.allocateNew(part.rows() * part.size());
      for (int step = 0; step < steps; step++) {
        long end = System.nanoTime() + (long) (pace * 1e9);
        // Collective: rank 0 reads and all ranks get the same answer, so they obey at the same step.
        if (sourceOffStep < 0 && bridge.feedback().collective().getDouble("source_off", 0.0) != 0.0) {
          sourceOffStep = step;
        }
        square.advance(sourceOffStep < 0);
        part.copy(square, vector);
        long left = (end - System.nanoTime()) / 1_000_000;
        if (left > 0) {
          Thread.sleep(left);
        }
        bridge.send("temperature", vector, step);
        if (part.rank() == 0) {
          System.out.println("timestep " + step + " sent, source " + (sourceOffStep < 0 ? "on" : "off"));
        }
      }
      BridgeStatus status = bridge.status();
      bridge.finish(steps);
      if (part.rank() == 0) {
        Files.writeString(Path.of(args[5]), report(part, steps, sourceOffStep, status));
      }
    }
  }

  private static String report(Part part, int steps, long sourceOffStep, BridgeStatus status) {
    return String.format(
        Locale.ROOT,
        "{\"size\": %d, \"steps\": %d, \"grid\": [%d, 1], \"source_off_step\": %d,%n"
            + " \"chunks_sent\": %d, \"bytes_sent\": %d, \"seconds_blocked\": %.6f}%n",
        part.size(), steps, part.ranks(), sourceOffStep, status.chunksSent(), status.bytesSent(),
        status.secondsBlocked());
  }

  private Heat() {}
}
