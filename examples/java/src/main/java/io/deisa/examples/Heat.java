package io.deisa.examples;

import io.deisa.bridge.ArrayMetadata;
import io.deisa.bridge.Bridge;
import io.deisa.bridge.DType;
import io.deisa.bridge.DeisaException;
import io.deisa.bridge.Loan;
import io.deisa.bridge.Statistics;
import io.deisa.bridge.Step;
import java.io.IOException;
import java.nio.file.Files;
import java.util.Locale;
import java.util.concurrent.TimeUnit;
import org.apache.arrow.memory.BufferAllocator;
import org.apache.arrow.memory.RootAllocator;

/**
 * The heat equation on a 2-D grid of Java processes, the twin of examples/heat/heat.c: after each timestep every rank sends
 * its block of two fields to the analytics, which steer back: they set the feedback value "source_off", and the simulation
 * then switches its heat source off.
 */
public final class Heat {
    private final HeatOptions options;
    private final Grid grid;
    private final Grid.Part rows;
    private final Grid.Part columns;
    private long sourceOffStep = -1;

    private Heat(HeatOptions options) {
        this.options = options;
        grid = Grid.of(options.rank(), options.ranks());
        rows = grid.rows(options.size());
        columns = grid.columns(options.size());
    }

    // Both arrays lie on the same grid of chunks. Their global shapes follow from the chunks of all ranks.
    private ArrayMetadata array(String name, DType dtype) {
        return ArrayMetadata.of(
                name,
                dtype,
                new long[] {rows.length(), columns.length()},
                new long[] {grid.rowsOfRanks(), grid.columnsOfRanks()},
                new long[] {grid.row(), grid.column()});
    }

    private Bridge open() {
        return Bridge.builder()
                .bridgeId(options.rank())
                .worldSize(options.ranks())
                .masterPort(options.masterPort())
                .array(array("temperature", DType.FLOAT64))
                .array(array("flux", DType.FLOAT32))
                .open(); // collective
    }

    private void run() throws IOException, InterruptedException {
        try (BufferAllocator allocator = new RootAllocator();
                Halo halo = new Halo(grid, options.haloPort());
                Bridge bridge = open();
                Loan temperature = bridge.loan("temperature", allocator);
                Loan flux = bridge.loan("flux", allocator)) {
            Block block =
                    new Block(options.size(), rows, columns, temperature.bytes().asDoubleBuffer());
            for (long step = 0; step < options.steps(); step++) {
                long start = System.nanoTime();
                obey(bridge, step);
                // What was sent last can still be read, so a timestep needs no copy of the one before it.
                block.timestep(temperature.bytes().asDoubleBuffer(), sourceOffStep < 0, halo::exchange);
                block.computeFlux(flux.bytes().asFloatBuffer());
                TimeUnit.NANOSECONDS.sleep(start + (long) (options.pace() * 1e9) - System.nanoTime());
                try (Step sent = bridge.beginStep(step)) {
                    sent.put(temperature); // from here on it is another buffer
                    sent.put(flux);
                    sent.end();
                }
                if (options.rank() == 0) {
                    System.out.println("timestep " + step + " sent, source " + (sourceOffStep < 0 ? "on" : "off"));
                }
            }
            Statistics status = bridge.statistics();
            bridge.close(options.steps()); // collective
            report(status);
        }
    }

    // Collective: rank 0 reads and all ranks get the same answer, so they obey at the same step.
    private void obey(Bridge bridge, long step) {
        if (sourceOffStep < 0 && bridge.feedback().collective().getDouble("source_off", 0.0) != 0.0) {
            sourceOffStep = step;
        }
    }

    // What rank 0 has to tell the program that started it. A step of -1: the source was never off.
    private void report(Statistics status) throws IOException {
        if (options.rank() != 0 || options.report() == null) {
            return;
        }
        Files.writeString(
                options.report(),
                String.format(
                        Locale.ROOT,
                        "{\"size\": %d, \"steps\": %d, \"grid\": [%d, %d], \"source_off_step\": %d,%n"
                                + " \"chunks_sent\": %d, \"bytes_sent\": %d, \"bytes_copied\": %d, \"seconds_blocked\": %.6f}%n",
                        options.size(),
                        options.steps(),
                        grid.rowsOfRanks(),
                        grid.columnsOfRanks(),
                        sourceOffStep,
                        status.chunksSent(),
                        status.bytesSent(),
                        status.bytesCopied(),
                        status.secondsBlocked()));
    }

    /** One rank. Ends with 1 when something fails, and 2 for a wrong command line. */
    public static void main(String[] arguments) {
        // Arrow logs through SLF4J, which would say that nobody has set up a log.
        System.setProperty("slf4j.internal.verbosity", "ERROR");
        if (arguments.length == 1 && arguments[0].equals("--help")) {
            System.out.println(HeatOptions.USAGE);
            return;
        }
        HeatOptions options;
        try {
            options = HeatOptions.parse(arguments);
        } catch (IllegalArgumentException problem) {
            System.err.println("heat: " + problem.getMessage() + System.lineSeparator() + HeatOptions.USAGE);
            System.exit(2);
            return;
        }
        try {
            new Heat(options).run();
        } catch (DeisaException | IOException | InterruptedException failure) {
            System.err.println("heat: rank " + options.rank() + ": " + failure.getMessage());
            System.exit(1);
        }
    }
}
