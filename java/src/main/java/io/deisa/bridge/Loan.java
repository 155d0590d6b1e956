package io.deisa.bridge;

import io.deisa.bridge.internal.Deisa;
import io.deisa.bridge.internal.LoanMemory;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import org.apache.arrow.c.ArrowArray;
import org.apache.arrow.c.ArrowSchema;
import org.apache.arrow.memory.ArrowBuf;
import org.apache.arrow.memory.BufferAllocator;
import org.apache.arrow.memory.util.MemoryUtil;
import org.apache.arrow.vector.FieldVector;
import org.bytedeco.javacpp.LongPointer;

/**
 * Memory of the library for one chunk of an array, shared with the node actor already: a simulation computes in it, and
 * sending it costs no copy. See {@link Bridge#loan}.
 *
 * <p><b>What comes back</b>: {@link Bridge#send(Loan, long)}, {@link Bridge#sendAsync(Loan, long)} and {@link
 * Step#put(Loan)} take the memory, and {@link #buffer()} is another one from then on, whose contents are undefined:
 * zeros, or data of an earlier timestep. Memory that was taken must not be written any more. It may be read until the next
 * send or put of the array, so that a timestep can be computed from the last one in place:
 *
 * <pre>{@code
 * ArrowBuf last = field.buffer();
 * bridge.send(field, t);
 * advance(last, field.buffer());  // reads the one, writes the other
 * }</pre>
 *
 * <p>When {@link #buffer()} is the same as before, it was not taken (the call failed, or the step is skipped): it and its
 * data are still the simulation's. A simulation that reads the last timestep then reads and writes the same memory.
 *
 * <p><b>Ownership</b>: this object holds a reference to each buffer that it has handed out, and {@link #close()} gives them
 * back; the bridge never closes it. The memory stays mapped until they and all other references to the buffers are released
 * and the bridge has ended, in any order. The allocator accounts for it, a chunk for each buffer (at most {@link
 * BridgeBuilder#maxInFlight(int)} + 1 of them), but gives none of its own memory.
 *
 * <p>Not thread-safe, apart from {@link #close()}.
 */
public final class Loan implements AutoCloseable {
    private final Session session;
    private final String name;
    private final LoanMemory memory;
    private long address; // of what is lent now

    Loan(Session session, String name, long address, LoanMemory memory) {
        this.session = session;
        this.name = name;
        this.address = address;
        this.memory = memory;
    }

    /** The array's name. */
    public String name() {
        return name;
    }

    /** Bytes of a chunk. */
    public long size() {
        return memory.bytes();
    }

    /**
     * What is lent now: one chunk in C order and native byte order, with its reader index at the first byte and its writer
     * index at the end. The same object each time that the same memory is lent. It stays this object's: whoever keeps it for
     * longer retains it.
     *
     * @throws org.apache.arrow.memory.OutOfMemoryException when the allocator may not account for another chunk
     * @throws IllegalStateException when this is closed
     */
    public ArrowBuf buffer() {
        return memory.view(address);
    }

    /**
     * The same as a buffer of Java, in native byte order, from its first to its last byte. A new view each time, which must
     * not be used after {@link #close()}.
     *
     * @throws IllegalStateException when this is closed, or a chunk has 2 GiB or more
     */
    public ByteBuffer bytes() {
        if (size() > Integer.MAX_VALUE) {
            throw new IllegalStateException(
                    "array '" + name + "': a chunk has " + size() + " bytes: too many for a ByteBuffer");
        }
        return MemoryUtil.directBuffer(buffer().memoryAddress(), (int) size()).order(ByteOrder.nativeOrder());
    }

    /**
     * What is lent now, as one fixed-shape tensor: a vector of length 1. A view, without a copy, that shows what is computed
     * there later, too. The vector is the caller's to close, at any time.
     *
     * @param allocator accounts for the vector; no chunk memory is taken from it
     */
    public FieldVector tensor(BufferAllocator allocator) {
        session.enter();
        try {
            export(session.export().array(), session.export().schema());
            return session.export().take(allocator);
        } finally {
            session.export().release();
            session.exit();
        }
    }

    /** The same through Arrow's C Data Interface. The structs must be empty; the caller releases both, in any order. */
    public void export(ArrowArray array, ArrowSchema schema) {
        session.enter();
        try {
            export(array.memoryAddress(), schema.memoryAddress());
        } finally {
            session.exit();
        }
    }

    private void export(long array, long schema) {
        long nameAddress = session.knownChunk(name).nameAddress();
        session.check(Deisa.deisa_export(session.handle(), nameAddress, array, schema, session.error()));
    }

    /** Gives back its references to the buffers. Does nothing the second time. */
    @Override
    public void close() {
        memory.close();
    }

    boolean isClosed() {
        return memory.isClosed();
    }

    // ---- Within a call of the session -------------------------------------------------------------

    /** Whether this is a buffer of that bridge. */
    boolean isOf(Session other) {
        return session == other;
    }

    /** The address, as a void** in C; {@link #swap} afterwards, whatever happens. */
    LongPointer cell() {
        return session.buffer().put(address);
    }

    /** Goes over to what the native library lends now. */
    void swap() {
        address = session.buffer().get();
    }
}
