package io.deisa.bridge;

import io.deisa.bridge.internal.LoanMemory;
import io.deisa.bridge.internal.Native;
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
 * Memory of the library for one chunk of an array, which is shared with the node actor. A simulation computes in it, and
 * sending it needs no copy. See {@link Bridge#loan}.
 *
 * <p><b>After a send</b>: {@link Bridge#send(Loan, long)}, {@link Bridge#sendAsync(Loan, long)} and {@link
 * Step#put(Loan)} take the memory. From then on {@link #buffer()} is another buffer, whose contents are undefined:
 * zeros, or data of an earlier timestep. Memory that was sent must not be written any more. It may be read until the next
 * send or put of the array, so that a timestep can be computed from the previous one:
 *
 * <pre>{@code
 * ArrowBuf last = field.buffer();
 * bridge.send(field, t);
 * advance(last, field.buffer());  // reads the first, writes the second
 * }</pre>
 *
 * <p>If {@link #buffer()} is unchanged, it was not taken (the call failed, or the step is skipped): the simulation keeps
 * it with its data. A simulation that computes from the previous timestep then reads and writes the same memory.
 *
 * <p><b>Ownership</b>: this object has a reference to each buffer that it has returned, and {@link #close()} releases
 * them; the bridge never closes it. The memory stays mapped until these and all other references to the buffers are
 * released and the bridge has ended, in any order. The allocator accounts for a chunk for each buffer (at most {@link
 * BridgeBuilder#maxInFlight(int)} + 1 of them), but provides no memory.
 *
 * <p>Not thread-safe, apart from {@link #close()}.
 */
public final class Loan implements AutoCloseable {
    private final Session session;
    private final String name;
    private final LoanMemory memory;
    private long address; // of the current loan

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
     * The current loan: one chunk in C order and native byte order, with its reader index at the first byte and its writer
     * index at the end. The same memory is always the same object. This object owns it: retain it to keep it for
     * longer.
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
     * The current loan, as one fixed-shape tensor: a vector of length 1. A view, without a copy, that also shows what is
     * computed there later. The caller closes the vector, at any time.
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
        session.check(Native.deisa_export(session.handle(), nameAddress, array, schema, session.error()));
    }

    /** Releases its references to the buffers. A no-op the second time. */
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
