package io.deisa.bridge;

import io.deisa.bridge.internal.Deisa;
import java.nio.ByteBuffer;
import java.util.HashSet;
import java.util.Objects;
import java.util.Set;
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
 * }
 * }</pre>
 *
 * <p>{@link #close()} hands the step over when every array of this rank was put. When one is missing (an exception left the
 * block, say), it hands over <em>nothing</em> and throws a {@link ContractException}; inside a try-with-resources that an
 * exception leaves, Java adds it to that exception as a suppressed one. The step then stays open: {@link #end()} hands over
 * what was put after all, and {@link Bridge#close()} gives up; {@link Bridge#beginStep} and {@link Bridge#finish} refuse until
 * then. For a step that leaves arrays out on purpose, call {@link #end()} inside the block.
 */
public final class Step implements AutoCloseable {
    private final Bridge bridge;
    private final long timestep;
    private final Status begun;
    private final Set<String> missing;
    private boolean ended;

    Step(Bridge bridge, long timestep, Status begun, Set<String> arrays) {
        this.bridge = bridge;
        this.timestep = timestep;
        this.begun = begun;
        this.missing = begun == Status.OK ? new HashSet<>(arrays) : new HashSet<>();
    }

    /** The timestep. */
    public long timestep() {
        return timestep;
    }

    /**
     * Whether this step is left out: it was dropped on every rank alike ({@link Status#SKIPPED}), or it could not begin and
     * the failure went to the error handler ({@link Status#REPORTED}). Puts then do nothing, and need not be made.
     */
    public boolean isLeftOut() {
        return begun != Status.OK;
    }

    /**
     * Copies this rank's chunk into the step; the vector may be changed on return. As {@link Bridge#send(String, FieldVector,
     * long)} otherwise.
     */
    public Status put(String name, FieldVector vector) {
        return done(name, bridge.put(name, vector));
    }

    /** As {@link Bridge#send(String, ArrowBuf, long)}. */
    public Status put(String name, ArrowBuf buffer) {
        return done(name, bridge.put(name, buffer, timestep));
    }

    /** As {@link Bridge#send(String, ByteBuffer, long)}. */
    public Status put(String name, ByteBuffer buffer) {
        return done(name, bridge.put(name, buffer, timestep));
    }

    /**
     * Puts what a lent buffer holds, without a copy: it is another one afterwards, unless the step is left out. As {@link
     * Bridge#send(LentBuffer, long)}.
     */
    public Status put(LentBuffer lent) {
        Objects.requireNonNull(lent, "lent");
        return done(lent.name(), bridge.put(lent));
    }

    private synchronized Status done(String name, Status status) {
        missing.remove(name);
        return status;
    }

    /** Hands over what was put. A step may be empty: it tells the others not to wait for this rank. Once; then nothing. */
    public synchronized Status end() {
        if (ended) {
            return Status.OK;
        }
        Status status = bridge.endStep();
        ended = true;
        return status;
    }

    /**
     * As {@link #end()}, but returns when the step is handed over, with a future as {@link Bridge#sendAsync(String,
     * org.apache.arrow.vector.FieldVector, long)} returns one.
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
     * value. Views, without a copy, of memory that stays mapped until the batch is closed, also after the bridge has ended;
     * their values are those that were put until the next send or put of their array. No column in a step that is left out,
     * and with {@code DEISA_DISABLE=1}. The batch is the caller's to close.
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
        session.check(Deisa.deisa_export_step(session.handle(), array, schema, session.error()));
    }

    /** {@link #end()}, when every array was put. */
    @Override
    public synchronized void close() {
        if (ended) {
            return;
        }
        if (!missing.isEmpty()) {
            throw bridge.session()
                    .contract(
                            missing.iterator().next(),
                            timestep,
                            "timestep " + timestep + " was closed without " + missing
                                    + ", so nothing of it was handed over: expected a put of"
                                    + " every array, or end() for a step that leaves arrays out on purpose");
        }
        end();
    }
}
