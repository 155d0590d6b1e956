package io.deisa.bridge.internal;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import org.apache.arrow.memory.BufferAllocator;
import org.apache.arrow.memory.RootAllocator;
import org.apache.arrow.vector.FieldVector;
import org.apache.arrow.vector.IntVector;
import org.junit.jupiter.api.Test;

class VectorExportTest {
    @Test
    void retainsTheVectorUntilItIsReleased() {
        try (BufferAllocator allocator = new RootAllocator();
                NativeArena arena = new NativeArena();
                IntVector vector = new IntVector("v", allocator)) {
            VectorExport export = new VectorExport(arena);
            vector.allocateNew(5);
            vector.setValueCount(5);
            int own = vector.getDataBuffer().refCnt();
            for (int round = 0; round < 3; round++) { // the structs are used again
                export.fill(vector);
                assertTrue(own < vector.getDataBuffer().refCnt());
                export.release();
                assertEquals(own, vector.getDataBuffer().refCnt());
                export.release();
                assertEquals(own, vector.getDataBuffer().refCnt());
            }
        } // RootAllocator.close() throws when anything has leaked
    }

    @Test
    void importsAtTheSameAddress() {
        try (BufferAllocator allocator = new RootAllocator();
                NativeArena arena = new NativeArena();
                IntVector vector = new IntVector("v", allocator)) {
            VectorExport export = new VectorExport(arena);
            vector.allocateNew(5);
            vector.setValueCount(5);
            export.fill(vector);
            try (FieldVector same = export.take(allocator)) {
                assertEquals(vector.getDataBufferAddress(), same.getDataBufferAddress());
            }
        }
    }
}
