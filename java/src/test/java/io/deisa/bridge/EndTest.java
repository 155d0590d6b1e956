package io.deisa.bridge;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.sun.management.ThreadMXBean;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.CompletableFuture;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import javax.management.JMException;
import javax.management.ObjectName;
import org.apache.arrow.memory.ArrowBuf;
import org.apache.arrow.memory.BufferAllocator;
import org.apache.arrow.memory.RootAllocator;
import org.apache.arrow.vector.Float8Vector;
import org.apache.arrow.vector.VectorSchemaRoot;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** What many sends and many bridges cost in the end: Java's heap, descriptors, mappings, references. */
@Tag("fake")
@Timeout(120)
class EndTest {
    private static final ArrayMetadata FIELD = Fake.array("field", DType.FLOAT64, 8);
    private static final int SENDS = 10_000;

    /** A send of a timestep. */
    private interface Send {
        void send(long timestep);
    }

    // Bytes of Java's heap that one send takes, of this thread, when everything has been compiled and loaded.
    private static double heapPerSend(Send each) {
        ThreadMXBean threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
        for (long t = 0; t < 1000; t++) {
            each.send(t);
        }
        long before = threads.getCurrentThreadAllocatedBytes();
        for (long t = 0; t < SENDS; t++) {
            each.send(1000 + t);
        }
        return (threads.getCurrentThreadAllocatedBytes() - before) / (double) SENDS;
    }

    private static void assertAtMost(double bound, double measured, String what) {
        assertTrue(
                measured <= bound, () -> what + ": " + measured + " bytes of heap per send, expected at most " + bound);
    }

    @Test
    void aSendMakesNoObjects() {
        ByteBuffer data = Fake.doubles(1, 2, 3, 4, 5, 6, 7, 8);
        try (BufferAllocator allocator = new RootAllocator();
                ArrowBuf buffer = allocator.buffer(64).writerIndex(64);
                Float8Vector vector = new Float8Vector("v", allocator)) {
            vector.allocateNew(8);
            for (int i = 0; i < 8; i++) {
                vector.set(i, i);
            }
            vector.setValueCount(8);
            try (Bridge bridge = Fake.open(Fake.raising(), FIELD)) {
                assertAtMost(1, heapPerSend(t -> bridge.send("field", data, t)), "a ByteBuffer");
            }
            try (Bridge bridge = Fake.open(Fake.raising(), FIELD)) {
                assertAtMost(1, heapPerSend(t -> bridge.send("field", buffer, t)), "an ArrowBuf");
            }
            try (Bridge bridge = Fake.open(Fake.raising(), FIELD);
                    Loan lent = bridge.loan("field", allocator)) {
                assertAtMost(
                        1,
                        heapPerSend(t -> {
                            lent.buffer().setDouble(0, t);
                            bridge.send(lent, t);
                        }),
                        "a Loan");
            }
            try (Bridge bridge = Fake.open(Fake.raising(), FIELD)) {
                assertAtMost(4096, heapPerSend(t -> bridge.send("field", vector, t)), "a vector");
            }
            try (Bridge bridge = Fake.open(Fake.raising(), FIELD)) {
                Send step = t -> {
                    try (Step one = bridge.beginStep(t)) {
                        one.put("field", data);
                        one.end();
                    }
                };
                assertAtMost(512, heapPerSend(step), "a step of a ByteBuffer");
            }
            try (Bridge bridge = Fake.open(Fake.raising(), FIELD)) {
                assertAtMost(
                        512, heapPerSend(t -> bridge.sendAsync("field", data, t).join()), "a future");
            }
        }
    }

    /** What the process holds. */
    private record Held(long descriptors, long memfds, long globalReferences, long threads) {
        static Held now() throws IOException, JMException {
            System.gc();
            try (Stream<Path> descriptors = Files.list(Path.of("/proc/self/fd"));
                    Stream<String> maps = Files.lines(Path.of("/proc/self/maps"), StandardCharsets.ISO_8859_1)) {
                return new Held(
                        descriptors.count(),
                        maps.filter(line -> line.contains("memfd:")).count(),
                        countGlobalReferences(),
                        Thread.getAllStackTraces().size());
            }
        }

        // The last line of a thread dump.
        private static long countGlobalReferences() throws JMException {
            String dump = (String) ManagementFactory.getPlatformMBeanServer()
                    .invoke(
                            new ObjectName("com.sun.management:type=DiagnosticCommand"),
                            "threadPrint",
                            new Object[] {new String[0]},
                            new String[] {String[].class.getName()});
            Matcher matcher = Pattern.compile("JNI global refs: (\\d+)").matcher(dump);
            assertTrue(matcher.find(), dump);
            return Long.parseLong(matcher.group(1));
        }
    }

    // All that a bridge can hold. Every second one is abandoned.
    private static void live(BufferAllocator allocator, int number) {
        ByteBuffer data = Fake.doubles(1, 2, 3, 4, 5, 6, 7, 8);
        try (Bridge bridge = Bridge.builder()
                        .errorHandler(failure -> {})
                        .communicator(Communicator.single())
                        .array(FIELD)
                        .open();
                Loan lent = bridge.loan("field", allocator)) {
            lent.buffer().setDouble(0, number);
            bridge.send(lent, 0);
            CompletableFuture<Status> future = bridge.sendAsync("field", data, 1);
            VectorSchemaRoot batch;
            try (Step step = bridge.beginStep(2)) {
                step.put("field", data);
                batch = step.batch(allocator);
                step.end();
            }
            batch.close();
            future.join();
            if (number % 2 == 0) {
                assertEquals(Status.OK, bridge.close(3));
            }
        }
    }

    @Test
    void aThousandBridgesLeaveNothingBehind() throws Exception {
        try (BufferAllocator allocator = new RootAllocator()) {
            for (int i = 0; i < 20; i++) {
                live(allocator, i);
            }
            Held before = Held.now();
            for (int i = 0; i < 1000; i++) {
                live(allocator, i);
            }
            Held after = Held.now();
            // The last rank's end may still be under way at the node actor, which is in this process too.
            assertTrue(after.descriptors() <= before.descriptors() + 3, "descriptors: " + before + " " + after);
            assertTrue(after.memfds() <= before.memfds() + 3, "mappings: " + before + " " + after);
            assertTrue(
                    after.globalReferences() <= before.globalReferences() + 5, "references: " + before + " " + after);
            assertTrue(after.threads() <= before.threads() + 3, "threads: " + before + " " + after);
        } // RootAllocator.close() throws when anything has leaked
    }
}
