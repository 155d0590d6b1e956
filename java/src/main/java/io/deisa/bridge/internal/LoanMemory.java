package io.deisa.bridge.internal;

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.arrow.memory.ArrowBuf;
import org.apache.arrow.memory.BufferAllocator;
import org.apache.arrow.memory.ForeignAllocation;

/**
 * The memory that a bridge lends for one array, as Arrow sees them. An exported ArrowArray keeps their memory mapped, until
 * the last of them is released.
 */
public final class LoanMemory implements AutoCloseable {
    private final BufferAllocator allocator;
    private final long bytes;
    private final NativeArena arena = new NativeArena();
    private final VectorExport keeper = new VectorExport(arena);
    private final AtomicInteger users = new AtomicInteger(1); // this object, and each view
    private final List<ArrowBuf> views = new ArrayList<>(); // one for each slot that was a loan; guarded by this
    private boolean closed; // guarded by this

    /**
     * For chunks of {@code bytes} bytes. {@link #keeper()} must be filled in with what deisa_export exports; if that
     * fails, this must be closed.
     */
    public LoanMemory(BufferAllocator allocator, long bytes) {
        this.allocator = allocator;
        this.bytes = bytes;
    }

    /** Where to export to. */
    public VectorExport keeper() {
        return keeper;
    }

    /** Bytes of a chunk. */
    public long bytes() {
        return bytes;
    }

    /** The buffer of the loan at an address; the same object each time. This object owns it. */
    public synchronized ArrowBuf view(long address) {
        if (closed) {
            throw new IllegalStateException("this loan is closed");
        }
        for (int i = 0; i < views.size(); i++) {
            if (views.get(i).memoryAddress() == address) {
                return views.get(i);
            }
        }
        Slot slot = new Slot(address);
        try {
            ArrowBuf view = allocator.wrapForeignAllocation(slot);
            view.writerIndex(bytes);
            views.add(view);
            return view;
        } catch (RuntimeException failure) {
            slot.release0();
            throw failure;
        }
    }

    private final class Slot extends ForeignAllocation {
        private final AtomicBoolean used = new AtomicBoolean(true);

        Slot(long address) {
            super(bytes, address);
            users.incrementAndGet();
        }

        @Override
        protected void release0() {
            if (used.getAndSet(false)) {
                leave();
            }
        }
    }

    private void leave() {
        if (users.decrementAndGet() == 0) {
            keeper.release();
            arena.close();
        }
    }

    /** Whether it is closed. */
    public synchronized boolean isClosed() {
        return closed;
    }

    /** Releases the views of this object. A no-op the second time. */
    @Override
    public synchronized void close() {
        if (!closed) {
            closed = true;
            views.forEach(ArrowBuf::close);
            views.clear();
            leave();
        }
    }
}
