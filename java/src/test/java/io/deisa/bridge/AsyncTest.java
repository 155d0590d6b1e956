package io.deisa.bridge;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.ConcurrentLinkedQueue;
import org.apache.arrow.memory.ArrowBuf;
import org.apache.arrow.memory.BufferAllocator;
import org.apache.arrow.memory.RootAllocator;
import org.apache.arrow.vector.Float8Vector;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

@Tag("fake")
class AsyncTest {
    private static final ArrayMetadata FIELD = Fake.array("field", DType.FLOAT64, 3);

    private static BridgeBuilder stored() {
        return Fake.raising().acknowledge(Acknowledge.STORED);
    }

    private final ByteBuffer data = Fake.doubles(1, 2, 3);

    private static Throwable failureOf(CompletableFuture<Status> future) {
        return assertThrows(CompletionException.class, future::join).getCause();
    }

    private static List<Thread> completionThreads() {
        return Thread.getAllStackTraces().keySet().stream()
                .filter(t -> t.getName().equals("deisa-completions"))
                .toList();
    }

    @Test
    void aStepThatIsNotEndedIsAbandoned() {
        try (Bridge bridge = Fake.open(Fake.raising(), FIELD)) {
            try (Step step = bridge.beginStep(3)) {
                step.put("field", Fake.doubles(1, 2, 3));
            }
            assertEquals(0, bridge.statistics().chunksSent());
            assertEquals(1, bridge.statistics().stepsSkipped());
            assertThrows(ContractException.class, () -> bridge.send("field", Fake.doubles(1, 2, 3), 3));
            assertEquals(Status.OK, bridge.send("field", Fake.doubles(1, 2, 3), 4));
            assertEquals(Status.OK, bridge.close(5));
        }
    }

    @Test
    void everyKindOfMemoryIsAcknowledged() {
        try (BufferAllocator allocator = new RootAllocator();
                Bridge bridge = Fake.open(stored(), FIELD);
                ArrowBuf buffer = allocator.buffer(24).writerIndex(24);
                Float8Vector vector = new Float8Vector("v", allocator);
                Loan lent = bridge.loan("field", allocator)) {
            vector.allocateNew(3);
            for (int i = 0; i < 3; i++) {
                vector.set(i, i);
            }
            vector.setValueCount(3);
            List<CompletableFuture<Status>> futures = new ArrayList<>();
            futures.add(bridge.sendAsync("field", data, 0));
            futures.add(bridge.sendAsync("field", buffer, 1));
            futures.add(bridge.sendAsync("field", vector, 2));
            futures.add(bridge.sendAsync(lent, 3));
            Step step = bridge.beginStep(4);
            step.put("field", data);
            futures.add(step.endAsync());
            assertEquals(Status.OK, step.endAsync().join(), "ended already");
            futures.forEach(future -> assertEquals(Status.OK, future.join()));
            assertEquals(5, bridge.statistics().chunksStored());
            assertEquals(Status.OK, bridge.close(5));
        }
    }

    @Test
    void oneThreadServesABridge() throws Exception {
        assertEquals(List.of(), completionThreads());
        try (Bridge bridge = Fake.open(stored(), FIELD)) {
            assertEquals(List.of(), completionThreads(), "none before it is needed");
            for (long t = 0; t < 100; t++) {
                bridge.sendAsync("field", data, t);
            }
            List<Thread> threads = completionThreads();
            assertEquals(1, threads.size());
            assertTrue(threads.get(0).isDaemon());
            CompletableFuture<Thread> dependent =
                    bridge.sendAsync("field", data, 100).thenApply(s -> Thread.currentThread());
            assertTrue(List.of(threads.get(0), Thread.currentThread()).contains(dependent.join()));
            bridge.close(101);
            threads.get(0).join(20_000);
            assertFalse(threads.get(0).isAlive(), "ends with the bridge");
        }
    }

    @Test
    void aFailureArrivesAtItsFuture() {
        try (Bridge bridge = Fake.open(stored(), FIELD)) {
            CompletableFuture<Status> refused = bridge.sendAsync("field", data, Fake.REFUSED);
            CompletableFuture<Status> next = bridge.sendAsync("field", data, Fake.REFUSED + 1);
            DeisaException failure = assertInstanceOf(DeisaException.class, failureOf(refused));
            assertEquals(Status.RESOURCE, failure.status());
            assertEquals("field", failure.array());
            assertEquals(Fake.REFUSED, failure.timestep().getAsLong());
            assertEquals(0, failure.rank());
            assertTrue(failure.getMessage().contains("refused on request"), failure.getMessage());
            assertEquals(Status.OK, next.join(), "and at no other one");
            assertEquals(Status.OK, bridge.flush());
            assertEquals(Status.OK, bridge.close(1000));
        }
    }

    @Test
    void aReportedFailureIsTheFuturesStatus() {
        ConcurrentLinkedQueue<Failure> reported = new ConcurrentLinkedQueue<>();
        BridgeBuilder options = Bridge.builder().acknowledge(Acknowledge.STORED).errorHandler(reported::add);
        try (Bridge bridge = Fake.open(options, FIELD)) {
            assertEquals(
                    Status.REPORTED,
                    bridge.sendAsync("field", data, Fake.REFUSED).join());
            assertEquals(1, reported.size());
            assertEquals(Fake.REFUSED, reported.peek().timestepOrNone());
        }
    }

    @Test
    void whatIsWrongWithTheCallIsThrown() {
        try (Bridge bridge = Fake.open(stored(), FIELD)) {
            assertEquals(Status.OK, bridge.sendAsync("field", data, 3).join());
            assertThrows(ContractException.class, () -> bridge.sendAsync("field", data, 3));
            assertThrows(ContractException.class, () -> bridge.sendAsync("other", data, 4));
            assertThrows(ContractException.class, () -> bridge.sendAsync("field", Fake.doubles(1), 4));
            assertThrows(InvalidArgumentException.class, () -> bridge.sendAsync("field", ByteBuffer.allocate(24), 4));
        }
    }

    @Test
    void nothingIsWaitedForLongerThanTheSendTimeout() {
        BridgeBuilder options = stored().sendTimeout(Duration.ofMillis(200)).maxInFlight(1);
        try (Bridge bridge = Fake.open(options, FIELD)) {
            CompletableFuture<Status> held = bridge.sendAsync("field", data, Fake.HELD);
            DeisaTimeoutException full =
                    assertThrows(DeisaTimeoutException.class, () -> bridge.sendAsync("field", data, Fake.HELD + 1));
            assertTrue(full.getMessage().contains("max_in_flight is 1"), "bounded in flight: " + full.getMessage());
            DeisaException late = assertInstanceOf(DeisaTimeoutException.class, failureOf(held));
            assertEquals(Fake.HELD, late.timestep().getAsLong());
        }
    }

    @Test
    void flushAndFinishWaitForWhatIsUnderWay() {
        try (Bridge bridge = Fake.open(stored().maxInFlight(5), FIELD)) {
            CompletableFuture<Status> refused = bridge.sendAsync("field", data, Fake.REFUSED);
            CompletableFuture<Status> stored = bridge.sendAsync("field", data, Fake.REFUSED + 1);
            assertEquals(Status.OK, bridge.flush(), "the failure is the future's");
            assertEquals(2, bridge.statistics().chunksSent());
            assertEquals(0, bridge.statistics().chunksInFlight());
            assertInstanceOf(DeisaException.class, failureOf(refused));
            assertEquals(Status.OK, stored.join());
            CompletableFuture<Status> last = bridge.sendAsync("field", data, Fake.REFUSED + 2);
            assertEquals(Status.OK, bridge.close(1000));
            assertEquals(Status.OK, last.join());
        }
    }

    @Test
    void closeFailsWhatIsUnderWay() {
        CompletableFuture<Status> held;
        try (Bridge bridge = Fake.open(stored(), FIELD)) {
            held = bridge.sendAsync("field", data, Fake.HELD);
        }
        Throwable failure = failureOf(held);
        assertInstanceOf(ConnectionException.class, failure);
        assertTrue(
                failure.getMessage().contains("before this asynchronous send was acknowledged"), failure.getMessage());
    }

    @Test
    void dependentActionsMayUseTheBridge() {
        try (Bridge bridge = Fake.open(stored(), FIELD)) {
            CompletableFuture<Status> chain = bridge.sendAsync("field", data, 0)
                    .thenCompose(status -> bridge.sendAsync("field", data, 1))
                    .thenApply(status -> bridge.send("field", data, 2));
            assertEquals(Status.OK, chain.join());
            assertEquals(3, bridge.statistics().chunksSent());
        }
    }
}
