package io.deisa.bridge.internal;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import org.bytedeco.javacpp.BytePointer;
import org.bytedeco.javacpp.Loader;
import org.bytedeco.javacpp.LongPointer;
import org.bytedeco.javacpp.Pointer;

/**
 * Native memory that is freed together. It bypasses JavaCPP's accounting, which refuses memory when the process (and so the
 * simulation's own arrays) is much larger than the Java heap. Not thread-safe.
 */
public final class NativeArena implements AutoCloseable {
    private final List<Pointer> blocks = new ArrayList<>();

    static {
        Loader.load(Native.class); // before its structs are used; JavaCPP's memory functions are in its library too
    }

    /** Zeroed memory. */
    public Pointer allocate(long bytes) {
        Pointer block = Pointer.calloc(1, Math.max(1, bytes));
        if (block == null || block.isNull()) {
            throw new OutOfMemoryError("no native memory for " + bytes + " bytes");
        }
        blocks.add(block);
        return block;
    }

    /** The address of a NUL-terminated copy in UTF-8; 0 for null. The string must not contain NUL. */
    public long string(String text) {
        if (text == null) {
            return 0;
        }
        byte[] utf8 = text.getBytes(StandardCharsets.UTF_8);
        return new BytePointer(allocate(utf8.length + 1L))
                .put(utf8, 0, utf8.length)
                .address();
    }

    /** A copy of the values; null for null. */
    public LongPointer longs(List<Long> values) {
        if (values == null) {
            return null;
        }
        LongPointer copy = new LongPointer(allocate(values.size() * (long) Long.BYTES));
        for (int i = 0; i < values.size(); i++) {
            copy.put(i, values.get(i));
        }
        return copy;
    }

    @Override
    public void close() {
        blocks.forEach(Pointer::free);
        blocks.clear();
    }
}
