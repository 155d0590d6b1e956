package io.deisa.bridge.internal;

import org.apache.arrow.c.ArrowArray;
import org.apache.arrow.c.ArrowSchema;
import org.apache.arrow.c.Data;
import org.apache.arrow.memory.BufferAllocator;
import org.apache.arrow.vector.FieldVector;

/** The two structs of Arrow's C Data Interface, for one array at a time, in memory of an arena. Not thread-safe. */
public final class VectorExport {
  private static final long ARRAY_BYTES = 80;
  private static final long SCHEMA_BYTES = 72;

  private final ArrowArray array;
  private final ArrowSchema schema;

  /** Valid as long as the arena. */
  public VectorExport(NativeArena arena) {
    array = ArrowArray.wrap(arena.allocate(ARRAY_BYTES).address());
    schema = ArrowSchema.wrap(arena.allocate(SCHEMA_BYTES).address());
  }

  /** Exports the vector, which is retained until whoever takes the structs, or {@link #release()}, releases them. */
  public void fill(FieldVector vector) {
    Data.exportVector(vector.getAllocator(), vector, null, array, schema);
  }

  /** The address of the ArrowArray. */
  public long array() {
    return array.memoryAddress();
  }

  /** The address of the ArrowSchema. */
  public long schema() {
    return schema.memoryAddress();
  }

  /** Makes a vector of what somebody else exported into the structs; the vector takes it over. */
  public FieldVector take(BufferAllocator allocator) {
    return Data.importVector(allocator, array, schema, null);
  }

  /** Releases what nobody took. */
  public void release() {
    if (array.snapshot().release != 0) {
      array.release();
    }
    if (schema.snapshot().release != 0) {
      schema.release();
    }
  }
}
