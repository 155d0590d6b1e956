import io.deisa.bridge.ArrayMetadata;
import io.deisa.bridge.Bridge;
import io.deisa.bridge.DType;
import io.deisa.bridge.Loan;
import io.deisa.bridge.Step;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import org.apache.arrow.memory.BufferAllocator;
import org.apache.arrow.memory.RootAllocator;

/** mixed.c in Java: Mixed RANK RANKS. The field lies inside of ghost cells, the number in lent memory. */
public final class Mixed {
    private static final int ROWS = 3;
    private static final int COLUMNS = 4;
    private static final int STEPS = 3;

    private Mixed() {}

    private static void fill(ByteBuffer block, int rank, int step, double gain) {
        block.clear();
        for (int i = -1; i <= ROWS; i++) {
            for (int j = -1; j <= COLUMNS; j++) {
                boolean inside = i >= 0 && i < ROWS && j >= 0 && j < COLUMNS;
                block.putDouble(inside ? gain * (1000 * step + 10 * (rank * ROWS + i) + j + 0.25) : -1.0);
            }
        }
        block.flip();
    }

    /** One rank. */
    public static void main(String[] arguments) {
        System.setProperty("slf4j.internal.verbosity", "ERROR");
        int rank = Integer.parseInt(arguments[0]);
        int ranks = Integer.parseInt(arguments[1]);
        long[] ghosts = {1, 1};
        ArrayMetadata field = ArrayMetadata.of(
                        "field", DType.FLOAT64, new long[] {ROWS, COLUMNS}, new long[] {ranks, 1}, new long[] {rank, 0})
                .withHalo(ghosts, ghosts);
        ArrayMetadata number =
                ArrayMetadata.of("number", DType.INT32, new long[] {1}, new long[] {ranks}, new long[] {rank});
        ByteBuffer block = ByteBuffer.allocateDirect((ROWS + 2) * (COLUMNS + 2) * Double.BYTES)
                .order(ByteOrder.nativeOrder());
        try (BufferAllocator allocator = new RootAllocator();
                Bridge bridge = Bridge.builder()
                        .bridgeId(rank)
                        .worldSize(ranks)
                        .array(field)
                        .array(number)
                        .open();
                Loan mine = bridge.loan("number", allocator)) {
            for (int t = 0; t < STEPS; t++) {
                fill(block, rank, t, bridge.feedback().collective().getDouble("gain", 1.0));
                mine.buffer().setInt(0, 100 * t + rank);
                try (Step step = bridge.beginStep(t)) {
                    step.put("field", block);
                    step.put(mine);
                    step.end();
                }
            }
            bridge.close(STEPS);
        }
        System.out.println("rank " + rank + " in Java is done");
    }
}
