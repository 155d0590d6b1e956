package io.deisa.bridge.internal;

import org.apache.arrow.c.ArrowArray;
import org.apache.arrow.c.ArrowSchema;
import org.apache.arrow.c.Data;
import org.apache.arrow.memory.BufferAllocator;
import org.apache.arrow.vector.FieldVector;
import org.apache.arrow.vector.VectorSchemaRoot;

/**
 * The two structs of Arrow's C Data Interface, for one array at a time, in memory of an arena. Not
 * thread-safe.
 */
public final class VectorExport {
    private static final long ARRAY_BYTES = 80;
    private static final long SCHEMA_BYTES = 72;

    // Arrow Java's views of the structs end with each export or import.
    private final long array;
    private final long schema;

    /** Valid as long as the arena. */
    public VectorExport(NativeArena arena) {
        array = arena.allocate(ARRAY_BYTES).address();
        schema = arena.allocate(SCHEMA_BYTES).address();
    }

    /** Exports the vector, which is retained until the consumer of the structs, or {@link #release()}, releases them. */
    public void fill(FieldVector vector) {
        Data.exportVector(vector.getAllocator(), vector, null, ArrowArray.wrap(array), ArrowSchema.wrap(schema));
    }

    /** The address of the ArrowArray. */
    public long array() {
        return array;
    }

    /** The address of the ArrowSchema. */
    public long schema() {
        return schema;
    }

    /** Makes a vector of what was exported into the structs, and takes ownership of them. */
    public FieldVector take(BufferAllocator allocator) {
        return Data.importVector(allocator, ArrowArray.wrap(array), ArrowSchema.wrap(schema), null);
    }

    /** Makes a batch of a struct array that was exported into the structs, and takes ownership of them. */
    public VectorSchemaRoot takeBatch(BufferAllocator allocator) {
        return Data.importVectorSchemaRoot(allocator, ArrowArray.wrap(array), ArrowSchema.wrap(schema), null);
    }

    /** Releases the structs that no consumer took. */
    public void release() {
        ArrowArray leftArray = ArrowArray.wrap(array);
        if (leftArray.snapshot().release != 0) {
            leftArray.release();
        }
        ArrowSchema leftSchema = ArrowSchema.wrap(schema);
        if (leftSchema.snapshot().release != 0) {
            leftSchema.release();
        }
    }
}
