import io.deisa.bridge.ArrayMetadata;
import io.deisa.bridge.Bridge;
import io.deisa.bridge.DType;
import io.deisa.bridge.DeisaException;
import io.deisa.bridge.Feedback;
import io.deisa.bridge.Loan;
import io.deisa.bridge.NdArray;
import io.deisa.bridge.Order;
import io.deisa.bridge.Statistics;
import io.deisa.bridge.Status;
import io.deisa.bridge.Step;
import java.math.BigInteger;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.arrow.memory.BufferAllocator;
import org.apache.arrow.memory.RootAllocator;
import org.apache.arrow.vector.FieldVector;

/** As rows.c, in Java. */
class Rows {
    private static final long[] SHAPE = {2, 3};
    private static final long[] ONE = {1, 1};
    private static final long[] ZERO = {0, 0};

    private static void expect(boolean holds, String row) {
        if (!holds) {
            throw new AssertionError(row + " is wrong");
        }
    }

    private static void done(String row) {
        System.out.println("row " + row);
    }

    private static ArrayMetadata array(String row, DType dtype) {
        return ArrayMetadata.of("written-" + row, dtype, SHAPE, ONE, ZERO);
    }

    private static ByteBuffer memory(int bytes) {
        return ByteBuffer.allocateDirect(bytes).order(ByteOrder.nativeOrder());
    }

    private static ByteBuffer chunk() {
        ByteBuffer chunk = memory(48);
        for (int k = 0; k < 6; k++) {
            chunk.putDouble(8 * k, 10 * (k / 3) + k % 3);
        }
        return chunk;
    }

    private static void feedback(Feedback feedback) {
        expect(feedback.getDouble("number", 0) == 2.5, "number");
        done("number");
        expect(feedback.getLong("integer", 0) == -7, "integer");
        done("integer");
        expect(feedback.getBoolean("logical", false), "logical");
        done("logical");
        expect(feedback.getString("text", "").equals("h\u00e9"), "text");
        done("text");
        NdArray array = (NdArray) feedback.get("array", null);
        expect(array.shape().equals(List.of(2L, 3L)) && array.data().getDouble(40) == 5, "array");
        done("NumPy array");
        Map<?, ?> tree = (Map<?, ?>) feedback.get("tree", null);
        expect(((List<?>) tree.get("a")).get(1) == null, "tree");
        expect(((byte[]) feedback.get("bytes", null)).length == 3, "bytes");
        expect(BigInteger.TWO.pow(64).subtract(BigInteger.ONE).equals(feedback.get("most", null)), "most");
        done("any value");
        Feedback exact = feedback.at(3).waiting(Duration.ofSeconds(20));
        expect(exact.getDouble("gain", 0) == 0.25, "timestep");
        done("timestep and wait");
        expect(exact.collective().getDouble("gain", 0) == 0.25, "collective");
        done("collective");
        List<Feedback.Kept> all = feedback.getAll("gain");
        expect(
                all.size() == 2
                        && all.get(1).timestep() == 3
                        && all.get(0).value().equals(0.5),
                "all");
        done("all kept values");
        feedback.delete("number");
        expect(feedback.getDouble("number", -1) == -1, "delete");
        done("delete");
    }

    public static void main(String[] arguments) {
        AtomicInteger reported = new AtomicInteger();
        Map<String, Object> strided =
                new LinkedHashMap<>(array("strides", DType.FLOAT64).toMap());
        strided.put("strides", List.of(48, 16));
        try (Bridge refused = Bridge.builder()
                .array(array("aggregate", DType.FLOAT64).withAggregate("all"))
                .open()) {
            expect(refused == null, "aggregate");
        } catch (DeisaException failure) {
            expect(failure.getMessage().contains("aggregate"), "aggregate");
        }
        try (BufferAllocator allocator = new RootAllocator();
                Bridge bridge = Bridge.builder()
                        .errorHandler(failure -> reported.addAndGet(failure.status() == Status.RESOURCE ? 1 : 0))
                        .array(array("halo", DType.FLOAT64).withHalo(ONE, ONE))
                        .array(ArrayMetadata.ofStart("written-start", DType.FLOAT64, SHAPE, SHAPE, ZERO))
                        .array(array("aggregate", DType.FLOAT64).withAggregate("node"))
                        .array(array("order", DType.FLOAT64).withOrder(Order.FORTRAN))
                        .arrays(Map.of("written-strides", strided))
                        .array(array("loan", DType.FLOAT64))
                        .array(array("asynchronous", DType.FLOAT64))
                        .array(array("steps", DType.FLOAT64))
                        .array(array("arrow", DType.FLOAT64))
                        .array(array("unsigned", DType.UINT16))
                        .open();
                Loan loan = bridge.loan("written-loan", allocator)) {
            ByteBuffer chunk = chunk();
            ByteBuffer block = memory(4 * 5 * 8);
            ByteBuffer turned = memory(48);
            ByteBuffer sparse = memory(96);
            ByteBuffer numbers = memory(12);
            for (int i = 0; i < 2; i++) {
                for (int j = 0; j < 3; j++) {
                    block.putDouble(8 * (5 * (i + 1) + j + 1), 10 * i + j);
                    turned.putDouble(8 * (2 * j + i), 10 * i + j);
                    sparse.putDouble(48 * i + 16 * j, 10 * i + j);
                    numbers.putShort(2 * (3 * i + j), (short) (65500 + 10 * i + j));
                }
            }
            bridge.send("written-start", chunk, 0);
            done("start");
            bridge.send("written-aggregate", chunk, 0);
            done("aggregate");
            bridge.send("written-halo", block, 0);
            done("halo");
            bridge.send("written-order", turned, 0);
            done("order");
            bridge.send("written-strides", sparse, 0);
            done("strides");
            loan.bytes().put(chunk.duplicate());
            bridge.send(loan, 0);
            done("loan");
            expect(bridge.sendAsync("written-asynchronous", chunk, 0).join() == Status.OK, "asynchronous");
            done("asynchronous");
            bridge.send("written-unsigned", numbers, 0);
            done("unsigned types");
            loan.bytes().put(chunk.duplicate());
            try (FieldVector tensor = loan.tensor(allocator)) {
                done("Arrow out");
                bridge.send("written-arrow", tensor, 0);
                done("Arrow in");
            }
            try (Step step = bridge.beginStep(1)) {
                step.put("written-steps", chunk);
                step.end();
            }
            done("steps");
            try (Step step = bridge.beginStep(2)) {
                step.put("written-steps", chunk);
            }
            done("abandoned step");
            bridge.send("written-steps", chunk, 66); // which the node actor refuses
            bridge.flush();
            expect(reported.get() == 1, "error handler");
            done("error handler");
            feedback(bridge.feedback());
            Statistics now = bridge.statistics();
            expect(now.chunksSent() == 11 && now.chunksFailed() == 1 && now.stepsSkipped() == 1, "statistics");
            done("statistics");
            bridge.close(100);
        }
    }
}
