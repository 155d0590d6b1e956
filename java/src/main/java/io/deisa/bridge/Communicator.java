package io.deisa.bridge;

import java.nio.ByteBuffer;
import java.time.Duration;

/**
 * How ranks synchronise. A program with MPI or another library implements this; without a communicator, the bridge uses Gloo, or
 * nothing for a single rank.
 *
 * <p>The methods are called by one thread at a time, inside calls of the bridge, by all ranks in the same order. They must
 * return within about {@code timeout}, or throw. What they throw becomes a {@link CommunicatorException} of the call on the
 * bridge, with the cause; after that the communicator stays broken. They must not call into the bridge.
 *
 * <p>Buffers are direct and in native byte order, and are valid during the call only. The program owns the communicator:
 * the bridge never closes it.
 */
public interface Communicator {
    /** This rank, 0 ... size-1. */
    int rank();

    /** The number of ranks. */
    int size();

    /** Returns when every rank has reached the barrier. */
    void barrier(Duration timeout) throws Exception;

    /**
     * Every rank gives the same number of bytes; on {@code root} they are put into {@code received} in rank order.
     *
     * @param sent this rank's bytes, read-only
     * @param received size times as many bytes on {@code root}, null elsewhere
     */
    void gather(ByteBuffer sent, ByteBuffer received, int root, Duration timeout) throws Exception;

    /** The bytes of {@code data} go from {@code root} to every rank. */
    void broadcast(ByteBuffer data, int root, Duration timeout) throws Exception;

    /** A single rank, which performs no communication. */
    static Communicator single() {
        return new Communicator() {
            @Override
            public int rank() {
                return 0;
            }

            @Override
            public int size() {
                return 1;
            }

            @Override
            public void barrier(Duration timeout) {}

            @Override
            public void gather(ByteBuffer sent, ByteBuffer received, int root, Duration timeout) {
                received.put(sent);
            }

            @Override
            public void broadcast(ByteBuffer data, int root, Duration timeout) {}
        };
    }
}
