package io.deisa.bridge.internal;

import org.apache.arrow.memory.util.MemoryUtil;
import org.bytedeco.javacpp.Loader;
import org.bytedeco.javacpp.LongPointer;

/**
 * A {@code deisa_source} that is filled in anew for each call, without making an object. Not thread-safe; valid as long as its
 * arena.
 */
public final class SourceMemory {
    private static final long DATA = Loader.offsetof(Native.deisa_source.class, "data");
    private static final long LOAN = Loader.offsetof(Native.deisa_source.class, "loan");
    private static final long ARRAY = Loader.offsetof(Native.deisa_source.class, "array");
    private static final long SCHEMA = Loader.offsetof(Native.deisa_source.class, "schema");

    private final long address;

    /** As DEISA_SOURCE_INIT. */
    public SourceMemory(NativeArena arena) {
        long size = Loader.sizeof(Native.deisa_source.class);
        address =
                new Native.deisa_source(arena.allocate(size)).struct_size(size).address();
    }

    /** Memory that lies as the array was defined. */
    public long data(long memory) {
        return set(memory, 0, 0, 0);
    }

    /** A loan, which the call exchanges for the next one. */
    public long loan(LongPointer memory) {
        return set(0, memory.address(), 0, 0);
    }

    /** What a vector was exported to. */
    public long arrow(VectorExport vector) {
        return set(0, 0, vector.array(), vector.schema());
    }

    private long set(long data, long loan, long array, long schema) {
        MemoryUtil.putLong(address + DATA, data);
        MemoryUtil.putLong(address + LOAN, loan);
        MemoryUtil.putLong(address + ARRAY, array);
        MemoryUtil.putLong(address + SCHEMA, schema);
        return address;
    }
}
