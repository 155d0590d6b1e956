package io.deisa.bridge;

import io.deisa.bridge.internal.Native;
import java.nio.ByteBuffer;
import java.util.concurrent.CompletableFuture;
import org.apache.arrow.c.ArrowArray;
import org.apache.arrow.c.ArrowSchema;
import org.apache.arrow.memory.ArrowBuf;
import org.apache.arrow.memory.BufferAllocator;
import org.apache.arrow.vector.FieldVector;
import org.apache.arrow.vector.VectorSchemaRoot;

/**
 * One open step of a bridge; see {@link Bridge#beginStep}. Made for try-with-resources:
 *
 * <pre>{@code
 * try (Step step = bridge.beginStep(t)) {
 *   step.put("temperature", temperature);
 *   step.put("flux", flux);
 *   step.end();
 * }
 * }</pre>
 *
 * <p>{@link #end()} sends the step. A step without {@code end()}, for example after an exception, is {@linkplain
 * #abandon() abandoned}: nothing of it is sent.
 */
public final class Step implements AutoCloseable {
    private final Bridge bridge;
    private final long timestep;
    private final Status begun;
    private final long number;
    private boolean ended;

    Step(Bridge bridge, long timestep, Status begun, long number) {
        this.bridge = bridge;
        this.timestep = timestep;
        this.begun = begun;
        this.number = number;
    }

    /** The timestep. */
    public long timestep() {
        return timestep;
    }

    /**
     * Whether this step is skipped: on every rank alike ({@link Status#SKIPPED}), or on this rank, because it could not begin and
     * the failure went to the error handler ({@link Status#REPORTED}). Then puts and {@link #end()} do nothing and are optional.
     */
    public boolean isSkipped() {
        return begun != Status.OK;
    }

    /**
     * Copies this rank's chunk into the step; the vector may be changed on return. As {@link Bridge#send(String, FieldVector,
     * long)} otherwise.
     */
    public Status put(String name, FieldVector vector) {
        return bridge.put(name, vector);
    }

    /** As {@link Bridge#send(String, ArrowBuf, long)}. */
    public Status put(String name, ArrowBuf buffer) {
        return bridge.put(name, buffer, timestep);
    }

    /** As {@link Bridge#send(String, ByteBuffer, long)}. */
    public Status put(String name, ByteBuffer buffer) {
        return bridge.put(name, buffer, timestep);
    }

    /**
     * Puts a loan, without a copy: its buffer is another one afterwards, unless the step is skipped. As {@link
     * Bridge#send(Loan, long)}.
     */
    public Status put(Loan loan) {
        return bridge.put(loan);
    }

    /** Sends what was put. A step may be empty: then the others do not wait for this rank. A no-op the second time. */
    public synchronized Status end() {
        if (ended) {
            return Status.OK;
        }
        Status status = bridge.endStep();
        ended = true;
        return status;
    }

    /**
     * As {@link #end()}, but returns when the step is handed over, with a future like that of {@link Bridge#sendAsync(String,
     * org.apache.arrow.vector.FieldVector, long)}.
     */
    public synchronized CompletableFuture<Status> endAsync() {
        if (ended) {
            return CompletableFuture.completedFuture(Status.OK);
        }
        CompletableFuture<Status> future = bridge.endStepAsync();
        ended = true;
        return future;
    }

    /**
     * What was put so far, as one batch: a column for each array, in the order of the puts, with one fixed-shape tensor as its
     * value. Views, without a copy, of memory that stays mapped until the batch is closed, even after the bridge has ended;
     * their values are those that were put until the next send or put of their array. It has no columns in a skipped step,
     * and with {@code DEISA_DISABLE=1}. The caller closes the batch.
     *
     * @param allocator accounts for the batch; no chunk memory is taken from it
     * @throws ContractException when the step has ended
     */
    public synchronized VectorSchemaRoot batch(BufferAllocator allocator) {
        Session session = bridge.session();
        session.enter();
        try {
            export(session, session.export().array(), session.export().schema());
            return session.export().takeBatch(allocator);
        } finally {
            session.export().release();
            session.exit();
        }
    }

    /** The same through Arrow's C Data Interface. The structs must be empty; the caller releases both, in any order. */
    public synchronized void export(ArrowArray array, ArrowSchema schema) {
        Session session = bridge.session();
        session.enter();
        try {
            export(session, array.memoryAddress(), schema.memoryAddress());
        } finally {
            session.exit();
        }
    }

    private void export(Session session, long array, long schema) {
        if (ended) {
            throw session.contract(
                    "", timestep, "timestep " + timestep + " has ended: expected an export before end()");
        }
        session.check(Native.deisa_export(session.handle(), 0, array, schema, session.error()));
    }

    /**
     * Ends the step without sending it: this rank skips the timestep, and what was put is discarded. Never throws;
     * does nothing after {@link #end()}.
     */
    public synchronized void abandon() {
        if (!ended) {
            ended = true;
            bridge.abandonStep(number);
        }
    }

    /** {@link #abandon()}, unless the step has ended. */
    @Override
    public void close() {
        abandon();
    }
}
