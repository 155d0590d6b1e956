import io.deisa.bridge.ArrayMetadata;
import io.deisa.bridge.Bridge;
import io.deisa.bridge.BridgeBuilder;
import io.deisa.bridge.DType;
import io.deisa.bridge.DeisaException;
import io.deisa.bridge.Failure;
import io.deisa.bridge.Status;
import io.deisa.bridge.Step;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** formula.c in Java: rank, world, array, cells, steps, pace, step and stop. */
public final class Formula {
    private static final FileOutputStream OUT = new FileOutputStream(FileDescriptor.out);

    private final Map<String, String> options = new HashMap<>();
    private final List<List<Integer>> members = new ArrayList<>();
    private final List<Integer> mine = new ArrayList<>();
    private final int rank;
    private final int cells;
    private final ByteBuffer chunk;
    private volatile boolean reported;

    private Formula(String[] arguments) {
        for (String argument : arguments) {
            String[] parts = argument.split("=", 2);
            options.put(parts[0], parts[1]);
            if (parts[0].equals("array")) {
                members.add(
                        Arrays.stream(parts[1].split(",")).map(Integer::valueOf).toList());
            }
        }
        rank = number("rank");
        cells = number("cells");
        chunk = ByteBuffer.allocateDirect(cells * Double.BYTES).order(ByteOrder.nativeOrder());
        for (int i = 0; i < members.size(); i++) {
            if (members.get(i).contains(rank)) {
                mine.add(i);
            }
        }
    }

    private int number(String name) {
        return Integer.parseInt(options.get(name));
    }

    private static synchronized void say(String text) {
        String line = String.format("%.6f %s%n", System.nanoTime() * 1e-9, text.replace('\n', ' '));
        try {
            OUT.write(line.getBytes(StandardCharsets.UTF_8));
        } catch (IOException failure) {
            System.exit(9);
        }
    }

    private void handle(Failure failure) {
        reported = true;
        say("reported " + failure.status().code() + " " + failure.rank() + " " + failure.timestepOrNone() + " "
                + failure.message());
    }

    private void fill(int array, int timestep) {
        double base = ((array * 64.0 + rank) * 4096.0 + timestep) * 65536.0;
        chunk.clear();
        for (int i = 0; i < cells; i++) {
            chunk.putDouble(base + i);
        }
        chunk.flip();
    }

    private void sent(int array, int timestep, Status status) {
        say("sent " + array + " " + timestep + " " + status.code());
    }

    private void sendStep(Bridge bridge, int timestep) {
        try (Step step = bridge.beginStep(timestep)) {
            if (step.isSkipped()) {
                say("skipped " + timestep);
                return;
            }
            for (int array : mine) {
                fill(array, timestep);
                step.put("a" + array, chunk);
            }
            Status status = step.end();
            mine.forEach(array -> sent(array, timestep, status));
        }
    }

    private void sendEach(Bridge bridge, int timestep) {
        for (int array : mine) {
            fill(array, timestep);
            sent(array, timestep, bridge.send("a" + array, chunk, timestep));
        }
    }

    private int simulate() throws InterruptedException {
        BridgeBuilder builder =
                Bridge.builder().bridgeId(rank).worldSize(number("world")).errorHandler(this::handle);
        for (int array : mine) {
            List<Integer> ranks = members.get(array);
            builder.array(ArrayMetadata.of(
                    "a" + array, DType.FLOAT64, new long[] {cells}, new long[] {ranks.size()}, new long[] {
                        ranks.indexOf(rank)
                    }));
        }
        try (Bridge bridge = builder.open()) {
            if (reported) {
                return 3;
            }
            say("ready");
            int steps = number("steps");
            for (int timestep = 0; timestep < steps; timestep++) {
                Thread.sleep((long) (1000 * Double.parseDouble(options.get("pace"))));
                if (number("step") == 1) {
                    sendStep(bridge, timestep);
                } else {
                    sendEach(bridge, timestep);
                }
                if (reported && number("stop") == 1) {
                    bridge.abandon();
                    return 3;
                }
            }
            say("closed " + bridge.close(steps).code());
        }
        return 0;
    }

    /** One rank. */
    public static void main(String[] arguments) throws InterruptedException {
        System.setProperty("slf4j.internal.verbosity", "ERROR");
        int status;
        try {
            status = new Formula(arguments).simulate();
        } catch (DeisaException failure) {
            say("failed call " + failure.status().code() + " " + failure.getMessage());
            status = 2;
        }
        System.exit(status);
    }
}
