package io.deisa.bridge;

import io.deisa.bridge.internal.LoanMemory;
import io.deisa.bridge.internal.Native;
import io.deisa.bridge.internal.NativeArena;
import java.lang.ref.Reference;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.time.Duration;
import java.util.HashMap;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.CompletableFuture;
import java.util.function.IntFunction;
import org.apache.arrow.memory.ArrowBuf;
import org.apache.arrow.memory.BufferAllocator;
import org.apache.arrow.memory.util.MemoryUtil;
import org.apache.arrow.vector.FieldVector;
import org.bytedeco.javacpp.PointerPointer;

/**
 * One rank's connection to the analytics.
 *
 * <pre>{@code
 * try (Bridge bridge = Bridge.builder().bridgeId(rank).worldSize(ranks).array(temperature).open()) { // collective
 *   for (long t = 0; t < steps; t++) {
 *     bridge.send("temperature", vector, t);
 *   }
 *   bridge.close(steps); // collective
 * }
 * }</pre>
 *
 * <p><b>Collective</b> are {@link BridgeBuilder#open()}, {@link #close(long)} and reading collective {@link Feedback}: every rank
 * calls them, in the same order. All other calls are local, also {@link #close()}, which abandons.
 *
 * <p><b>Ownership</b>: memory that is sent is borrowed during the call, copied once, and may be reused on return. A
 * {@link #loan} is sent without a copy. A bridge uses native memory until it is closed.
 *
 * <p><b>Threads</b>: a bridge may be used from several threads; its calls are serialised.
 *
 * <p><b>Errors</b>: a violation of the contract is thrown. Any other failure goes to the {@link ErrorHandler}, and the call
 * returns {@link Status#REPORTED}; or it is thrown, with {@link ErrorMode#RETURN}. With {@code DEISA_DISABLE=1} in
 * the environment every call is a no-op that succeeds.
 *
 * <p><b>Java heap</b>: sending an {@link ArrowBuf}, a {@link ByteBuffer} or a {@link Loan} allocates no object. Sending a
 * vector allocates at most 4 KiB, nearly all by Arrow; a step or a future at most 512 bytes.
 *
 * <p>The JVM needs {@code --add-opens=java.base/java.nio=ALL-UNNAMED}, for Arrow.
 */
public final class Bridge implements AutoCloseable {
    private final Session session;
    private final Completions completions;
    private final Map<String, Loan> loans = new HashMap<>(); // within a call

    /** Starts the description of a bridge. */
    public static BridgeBuilder builder() {
        return new BridgeBuilder();
    }

    Bridge(BridgeBuilder builder) {
        session = new Session(builder);
        completions = new Completions(session);
    }

    // ---- Sends ------------------------------------------------------------------------------------

    /**
     * Sends this rank's chunk of an array: a primitive vector of the chunk's elements, or fixed-size lists of its shape.
     * Elements are in C order, without ghost cells. BOOL is an Int1 vector of Arrow's extension type bool8, COMPLEX64 and COMPLEX128 are lists of
     * two. The vector still belongs to the caller and may be changed on return.
     *
     * <p>Nulls are refused. After filling a vector through its data buffer, set its validity bits, too, or send the data
     * buffer itself: {@code send(name, vector.getDataBuffer(), timestep)}.
     *
     * @return {@link Status#OK}, or {@link Status#REPORTED} when a failure went to the error handler
     * @throws ContractException when the array is not known, its chunk has another type or shape, or nulls, or the timestep is
     *     not newer than the last one
     */
    public Status send(String name, FieldVector vector, long timestep) {
        Objects.requireNonNull(name, "name");
        Objects.requireNonNull(vector, "vector");
        session.enter();
        try {
            long address = session.chunk(name).nameAddress();
            session.export().fill(vector);
            long source = session.source().arrow(session.export());
            return session.check(
                    Native.deisa_send_from(session.handle(), address, source, timestep, null, session.error()));
        } finally {
            session.export().release();
            session.exit();
        }
    }

    /**
     * As above, from the readable bytes of a buffer, in native byte order: the chunk's elements in C order, or the memory that
     * {@link ArrayMetadata} describes: the block with its ghost cells, of which the chunk is copied.
     */
    public Status send(String name, ArrowBuf buffer, long timestep) {
        Objects.requireNonNull(name, "name");
        Objects.requireNonNull(buffer, "buffer");
        return send(name, address(buffer), buffer.readableBytes(), buffer, timestep);
    }

    /**
     * As above, from a direct buffer in native byte order, from its position to its limit, which do not change.
     *
     * @throws InvalidArgumentException when the buffer is not direct, or not in native byte order
     */
    public Status send(String name, ByteBuffer buffer, long timestep) {
        Objects.requireNonNull(name, "name");
        Objects.requireNonNull(buffer, "buffer");
        return send(name, address(name, buffer), buffer.remaining(), buffer, timestep);
    }

    private Status send(String name, long address, long bytes, Object owner, long timestep) {
        session.enter();
        try {
            long nameAddress = session.sized(name, bytes, timestep).nameAddress();
            return session.check(Native.deisa_send(session.handle(), nameAddress, address, timestep, session.error()));
        } finally {
            Reference.reachabilityFence(owner);
            session.exit();
        }
    }

    /**
     * As above, from a {@link #loan}, without a copy: its buffer is another one afterwards.
     *
     * @throws InvalidArgumentException when the loan is another bridge's
     */
    public Status send(Loan loan, long timestep) {
        long name = enter(loan);
        try {
            long source = session.source().loan(loan.cell());
            return session.check(
                    Native.deisa_send_from(session.handle(), name, source, timestep, null, session.error()));
        } finally {
            loan.swap();
            session.exit();
        }
    }

    // ---- Asynchronous sends -----------------------------------------------------------------------

    /**
     * As {@link #send(String, FieldVector, long)}, but returns when the chunk is copied and handed over. The future
     * completes with the {@link Status} or the exception of the blocking call; with a {@link DeisaTimeoutException}
     * after the send timeout; with a {@link ConnectionException} if the bridge is closed first. An error in the
     * call itself is thrown here.
     *
     * <p>If {@link BridgeBuilder#maxInFlight} chunks of an array are in flight, the call waits for space, up to the send
     * timeout. One daemon thread of this bridge completes futures within a few milliseconds and runs their dependent
     * actions; run long actions on another thread ({@code thenAcceptAsync}). {@link #flush()} and {@link #close(long)} wait
     * for all sends in flight. Cancelling or discarding a future has no effect: the chunk has been sent.
     */
    public CompletableFuture<Status> sendAsync(String name, FieldVector vector, long timestep) {
        Objects.requireNonNull(name, "name");
        Objects.requireNonNull(vector, "vector");
        Status status;
        long request;
        session.enter();
        try {
            long address = session.chunk(name).nameAddress();
            session.export().fill(vector);
            session.request().put(0);
            long source = session.source().arrow(session.export());
            status = session.check(Native.deisa_send_from(
                    session.handle(), address, source, timestep, session.request(), session.error()));
            request = session.request().get();
        } finally {
            session.export().release();
            session.exit();
        }
        return future(status, request);
    }

    /** As above, from what {@link #send(String, ArrowBuf, long)} takes. */
    public CompletableFuture<Status> sendAsync(String name, ArrowBuf buffer, long timestep) {
        Objects.requireNonNull(name, "name");
        Objects.requireNonNull(buffer, "buffer");
        return sendAsync(name, address(buffer), buffer.readableBytes(), buffer, timestep);
    }

    /** As above, from what {@link #send(String, ByteBuffer, long)} takes. */
    public CompletableFuture<Status> sendAsync(String name, ByteBuffer buffer, long timestep) {
        Objects.requireNonNull(name, "name");
        Objects.requireNonNull(buffer, "buffer");
        return sendAsync(name, address(name, buffer), buffer.remaining(), buffer, timestep);
    }

    private CompletableFuture<Status> sendAsync(String name, long address, long bytes, Object owner, long timestep) {
        Status status;
        long request;
        session.enter();
        try {
            long nameAddress = session.sized(name, bytes, timestep).nameAddress();
            session.request().put(0);
            long source = session.source().data(address);
            status = session.check(Native.deisa_send_from(
                    session.handle(), nameAddress, source, timestep, session.request(), session.error()));
            request = session.request().get();
        } finally {
            Reference.reachabilityFence(owner);
            session.exit();
        }
        return future(status, request);
    }

    /** As above, from a {@link #loan}, without a copy: its buffer is another one afterwards. */
    public CompletableFuture<Status> sendAsync(Loan loan, long timestep) {
        Status status;
        long request;
        long name = enter(loan);
        try {
            session.request().put(0);
            long source = session.source().loan(loan.cell());
            status = session.check(Native.deisa_send_from(
                    session.handle(), name, source, timestep, session.request(), session.error()));
            request = session.request().get();
        } finally {
            loan.swap();
            session.exit();
        }
        return future(status, request);
    }

    private CompletableFuture<Status> future(Status status, long request) {
        return request == 0 ? CompletableFuture.completedFuture(status) : completions.add(request);
    }

    // ---- Loans ------------------------------------------------------------------------------------

    /**
     * Lends memory for one chunk of an array, to compute in: sending it needs no copy. There is one loan for each array: a
     * second call returns the same object, until that is closed. {@link Loan} describes what a send does to it.
     *
     * @param allocator accounts for the memory; it must not be closed before the {@link Loan} is
     * @throws ContractException when the array is not known
     * @throws DeisaException with {@link Status#UNSUPPORTED}, when it was defined with strides or ghost cells
     */
    public Loan loan(String name, BufferAllocator allocator) {
        Objects.requireNonNull(name, "name");
        Objects.requireNonNull(allocator, "allocator");
        session.enter();
        try {
            Loan known = loans.get(name);
            if (known != null && !known.isClosed()) {
                return known;
            }
            Session.Chunk chunk = session.knownChunk(name);
            long handle = session.handle();
            PointerPointer<?> buffer = new PointerPointer<>(session.buffer());
            session.check(Native.deisa_loan(handle, chunk.nameAddress(), buffer, null, session.error()));
            LoanMemory memory = new LoanMemory(allocator, chunk.bytes());
            try {
                long array = memory.keeper().array();
                long schema = memory.keeper().schema();
                session.check(Native.deisa_export(handle, chunk.nameAddress(), array, schema, session.error()));
                Loan loan = new Loan(session, name, session.buffer().get(), memory);
                loan.buffer();
                loans.put(name, loan);
                return loan;
            } catch (Throwable failure) {
                memory.close();
                throw failure;
            }
        } finally {
            session.exit();
        }
    }

    // Begins a call with this buffer; returns the address of its array's name.
    private long enter(Loan loan) {
        Objects.requireNonNull(loan, "loan");
        session.enter();
        try {
            if (!loan.isOf(session)) {
                String message = "array '" + loan.name() + "': the loan is another bridge's: expected one of loan()";
                throw session.failure(Status.ARGUMENT, loan.name(), Failure.NO_TIMESTEP, message);
            }
            return session.chunk(loan.name()).nameAddress();
        } catch (Throwable failure) {
            session.exit();
            throw failure;
        }
    }

    // ---- Steps ------------------------------------------------------------------------------------

    /**
     * Begins a step: all chunks put into it are sent in one message. May wait, up to the send timeout.
     *
     * @throws ContractException when a step is open, or the timestep is not newer than the last one
     */
    public Step beginStep(long timestep) {
        session.enter();
        try {
            Status status = session.check(Native.deisa_begin_step(session.handle(), timestep, session.error()));
            return new Step(this, timestep, status, session.countStep());
        } finally {
            session.exit();
        }
    }

    Status put(String name, FieldVector vector) {
        Objects.requireNonNull(name, "name");
        Objects.requireNonNull(vector, "vector");
        session.enter();
        try {
            long address = session.chunk(name).nameAddress();
            session.export().fill(vector);
            long source = session.source().arrow(session.export());
            return session.check(Native.deisa_put_from(session.handle(), address, source, session.error()));
        } finally {
            session.export().release();
            session.exit();
        }
    }

    Status put(String name, ArrowBuf buffer, long timestep) {
        Objects.requireNonNull(name, "name");
        Objects.requireNonNull(buffer, "buffer");
        return put(name, address(buffer), buffer.readableBytes(), buffer, timestep);
    }

    Status put(String name, ByteBuffer buffer, long timestep) {
        Objects.requireNonNull(name, "name");
        Objects.requireNonNull(buffer, "buffer");
        return put(name, address(name, buffer), buffer.remaining(), buffer, timestep);
    }

    private Status put(String name, long address, long bytes, Object owner, long timestep) {
        session.enter();
        try {
            long nameAddress = session.sized(name, bytes, timestep).nameAddress();
            return session.check(Native.deisa_put(session.handle(), nameAddress, address, session.error()));
        } finally {
            Reference.reachabilityFence(owner);
            session.exit();
        }
    }

    Status put(Loan loan) {
        long name = enter(loan);
        try {
            long source = session.source().loan(loan.cell());
            return session.check(Native.deisa_put_from(session.handle(), name, source, session.error()));
        } finally {
            loan.swap();
            session.exit();
        }
    }

    Status endStep() {
        session.enter();
        try {
            return session.check(Native.deisa_end_step(session.handle(), null, session.error()));
        } finally {
            session.exit();
        }
    }

    CompletableFuture<Status> endStepAsync() {
        Status status;
        long request;
        session.enter();
        try {
            session.request().put(0);
            status = session.check(Native.deisa_end_step(session.handle(), session.request(), session.error()));
            request = session.request().get();
        } finally {
            session.exit();
        }
        return future(status, request);
    }

    // A no-op when the bridge has ended. Leaving a scope must not throw.
    void abandonStep(long number) {
        session.abandonStep(number);
    }

    Session session() {
        return session;
    }

    // ---- The rest ---------------------------------------------------------------------------------

    /** Waits until everything that was sent has been announced, up to the send timeout. */
    public Status flush() {
        session.requireOutside();
        completions.settle();
        session.enter();
        try {
            return session.check(Native.deisa_flush(session.handle(), session.error()));
        } finally {
            session.exit();
        }
    }

    /** The values that the analytics have set, as this rank sees them now. */
    public Feedback feedback() {
        return new Feedback(this, Native.DEISA_LATEST, Duration.ZERO, false);
    }

    /** A call that reads or deletes feedback. */
    interface FeedbackCall<T> {
        T run(long bridge, NativeArena temporary, Native.deisa_error error, IntFunction<Status> check);
    }

    <T> T feedback(FeedbackCall<T> call) {
        session.enter();
        try (NativeArena temporary = new NativeArena()) {
            return call.run(session.handle(), temporary, session.error(), session::check);
        } finally {
            session.exit();
        }
    }

    /**
     * The counters. {@link #close(long)} freezes them when it is called; call {@link #flush()} before
     * it to get the final values.
     */
    public Statistics statistics() {
        return session.statistics();
    }

    /**
     * Ends the session. Collective: flushes, waits for every rank, sends the end marker with {@code timestep} (at least the
     * newest that was sent), and frees the bridge. Does nothing when the bridge has ended.
     *
     * @throws ContractException when a step is open or the timestep is too old; then nothing was done
     * @throws DeisaException in mode {@link ErrorMode#RETURN}, when something failed; the bridge is freed in any case
     */
    public Status close(long timestep) {
        session.requireOutside();
        completions.settle();
        try {
            return session.close(timestep);
        } finally {
            if (session.isClosed()) {
                completions.end();
            }
        }
    }

    /**
     * Ends the bridge at once, without synchronising: for a rank that ends early. When bridge 0 abandons, its node actor
     * sends the end marker after everything that it received. Does nothing when the bridge has ended.
     */
    public void abandon() {
        completions.end();
        session.abandon();
    }

    /** {@link #abandon()}: called at the end of a try-with-resources; no effect after {@link #close(long)}. */
    @Override
    public void close() {
        abandon();
    }

    private static long address(ArrowBuf buffer) {
        return buffer.memoryAddress() + buffer.readerIndex();
    }

    private long address(String name, ByteBuffer buffer) {
        if (!buffer.isDirect() || buffer.order() != ByteOrder.nativeOrder()) {
            String message = "array '" + name
                    + "': expected a direct ByteBuffer in native byte order: ByteBuffer.allocateDirect(bytes)"
                    + ".order(ByteOrder.nativeOrder())";
            throw session.failure(Status.ARGUMENT, String.valueOf(name), Failure.NO_TIMESTEP, message);
        }
        return MemoryUtil.getByteBufferAddress(buffer) + buffer.position();
    }
}
