package io.deisa.bridge;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.BrokenBarrierException;
import java.util.concurrent.CyclicBarrier;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.function.IntFunction;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** Ranks with a communicator of the program's own, as threads: they meet, and disagree before anybody needs Ray. */
@Timeout(60)
class AgreementTest {
    private static final int RANKS = 3;

    /** A meeting of threads. What a rank gives lies in the room until all have come a second time. */
    private static final class Room {
        final CyclicBarrier barrier = new CyclicBarrier(RANKS);
        final ByteBuffer[] given = new ByteBuffer[RANKS];

        void meet(Duration timeout) throws InterruptedException, BrokenBarrierException, TimeoutException {
            barrier.await(timeout.toMillis(), TimeUnit.MILLISECONDS);
        }

        Communicator seat(int rank) {
            return new Communicator() {
                @Override
                public int rank() {
                    return rank;
                }

                @Override
                public int size() {
                    return RANKS;
                }

                @Override
                public void barrier(Duration timeout) throws Exception {
                    meet(timeout);
                }

                @Override
                public void gather(ByteBuffer sent, ByteBuffer received, int root, Duration timeout) throws Exception {
                    given[rank] = sent;
                    meet(timeout);
                    if (rank == root) {
                        for (ByteBuffer one : given) {
                            received.put(one.duplicate());
                        }
                    }
                    meet(timeout);
                }

                @Override
                public void broadcast(ByteBuffer data, int root, Duration timeout) throws Exception {
                    given[rank] = data;
                    meet(timeout);
                    if (rank != root) {
                        data.put(given[root].duplicate());
                    }
                    meet(timeout);
                }
            };
        }
    }

    private static List<DeisaException> open(int ranks, IntFunction<ArrayMetadata> array, Duration timeout)
            throws Exception {
        Room room = new Room();
        ExecutorService threads = Executors.newFixedThreadPool(ranks);
        try {
            List<Future<DeisaException>> futures = new ArrayList<>();
            for (int i = 0; i < ranks; i++) {
                BridgeBuilder builder = Bridge.builder()
                        .array(array.apply(i))
                        .communicator(room.seat(i))
                        .commTimeout(timeout);
                futures.add(threads.submit(() -> {
                    try (Bridge bridge = builder.open()) {
                        return null;
                    } catch (DeisaException thrown) {
                        return thrown;
                    }
                }));
            }
            List<DeisaException> thrown = new ArrayList<>();
            for (Future<DeisaException> future : futures) {
                thrown.add(future.get());
            }
            return thrown;
        } finally {
            threads.shutdownNow();
        }
    }

    private static ArrayMetadata chunk(int position, DType dtype) {
        return ArrayMetadata.of("field", dtype, new long[] {4}, new long[] {RANKS}, new long[] {position});
    }

    @Test
    void ofBridgesThatDisagreeEachThrowsTheSame() throws Exception {
        List<DeisaException> all =
                open(RANKS, i -> chunk(i == 2 ? 1 : i, i == 1 ? DType.INT8 : DType.INT16), Duration.ofSeconds(30));
        for (DeisaException thrown : all) {
            assertInstanceOf(ContractException.class, thrown);
            assertTrue(
                    thrown.getMessage().contains("array 'field': dtype = int8 on rank 1, but int16 on rank 0"),
                    thrown::getMessage);
            assertEquals(all.get(0).getMessage(), thrown.getMessage());
        }
        for (DeisaException thrown : open(RANKS, i -> chunk(i == 2 ? 1 : i, DType.INT8), Duration.ofSeconds(30))) {
            assertInstanceOf(ContractException.class, thrown);
            assertTrue(
                    thrown.getMessage().contains("chunk_position = (1) on rank 1 and on rank 2"), thrown::getMessage);
            assertTrue(thrown.getMessage().contains("no bridge has chunk_position (2)"), thrown::getMessage);
        }
    }

    @Test
    void ofChunksThatOverlapEachThrowsTheSame() throws Exception {
        List<DeisaException> all = open(
                RANKS,
                i -> ArrayMetadata.ofStart(
                        "field", DType.INT8, new long[] {4}, new long[] {4 * RANKS}, new long[] {i == 2 ? 6 : 4 * i}),
                Duration.ofSeconds(30));
        for (DeisaException thrown : all) {
            assertInstanceOf(ContractException.class, thrown);
            assertTrue(
                    thrown.getMessage().contains("the chunks of rank 1 (start (4), chunk_shape (4)) and rank 2"),
                    thrown::getMessage);
        }
    }

    @Test
    void aRankThatDoesNotComeEndsTheWaitOfTheOthers() throws Exception {
        for (DeisaException thrown : open(RANKS - 1, i -> chunk(i, DType.INT8), Duration.ofMillis(300))) {
            assertInstanceOf(CommunicatorException.class, thrown);
            Throwable cause = thrown.getCause();
            assertTrue(
                    cause instanceof TimeoutException || cause instanceof BrokenBarrierException,
                    () -> "cause: " + cause);
        }
    }
}
