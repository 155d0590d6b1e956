package io.deisa.bridge;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import org.apache.arrow.memory.ArrowBuf;
import org.apache.arrow.memory.BufferAllocator;
import org.apache.arrow.memory.RootAllocator;
import org.apache.arrow.memory.util.MemoryUtil;
import org.apache.arrow.vector.FieldVector;
import org.apache.arrow.vector.Float8Vector;
import org.apache.arrow.vector.complex.FixedSizeListVector;
import org.junit.jupiter.api.Test;

class ArrowExportTest {
    private static ArrayMetadata field(long... shape) {
        return ArrayMetadata.of("field", DType.FLOAT64, shape, new long[shape.length], new long[shape.length]);
    }

    private static Float8Vector values(FieldVector tensor) {
        FixedSizeListVector list = (FixedSizeListVector) tensor;
        assertEquals(1, list.getValueCount());
        return (Float8Vector) list.getDataVector();
    }

    @Test
    void viewsAnArrowBufferAtItsAddress() {
        try (BufferAllocator allocator = new RootAllocator();
                ArrowBuf data = allocator.buffer(24 * Double.BYTES)) {
            data.writerIndex(24 * Double.BYTES);
            data.setDouble(23 * Double.BYTES, 2.5);
            try (FieldVector tensor = ArrowExport.tensor(allocator, field(4, 6), data)) {
                assertEquals(24, ((FixedSizeListVector) tensor).getListSize());
                assertEquals(data.memoryAddress(), values(tensor).getDataBufferAddress());
                assertEquals(2.5, values(tensor).get(23));
                data.setDouble(0, -1.0);
                assertEquals(-1.0, values(tensor).get(0));
            }
        } // RootAllocator.close() throws when anything has leaked
    }

    @Test
    void viewsADirectBufferFromItsPosition() {
        ByteBuffer data = ByteBuffer.allocateDirect(9 * Double.BYTES).order(ByteOrder.nativeOrder());
        data.position(Double.BYTES);
        try (BufferAllocator allocator = new RootAllocator();
                FieldVector tensor = ArrowExport.tensor(allocator, field(8), data)) {
            assertEquals(
                    MemoryUtil.getByteBufferAddress(data) + Double.BYTES,
                    values(tensor).getDataBufferAddress());
        }
    }

    @Test
    void refusesAChunkInsideGhostCells() {
        ByteBuffer data = ByteBuffer.allocateDirect(6 * Double.BYTES).order(ByteOrder.nativeOrder());
        ArrayMetadata inside = field(2, 2).withHalo(new long[] {0, 1}, new long[] {0, 0});
        try (BufferAllocator allocator = new RootAllocator()) {
            DeisaException thrown =
                    assertThrows(DeisaException.class, () -> ArrowExport.tensor(allocator, inside, data));
            assertEquals(Status.UNSUPPORTED, thrown.status());
            ArrayMetadata transposed = field(2, 3).withOrder(Order.FORTRAN);
            assertThrows(DeisaException.class, () -> ArrowExport.tensor(allocator, transposed, data));
        }
    }

    @Test
    void refusesWhatIsNoChunk() {
        ByteBuffer small = ByteBuffer.allocateDirect(8).order(ByteOrder.nativeOrder());
        ByteBuffer wrongOrder = ByteBuffer.allocateDirect(8).order(ByteOrder.BIG_ENDIAN);
        try (BufferAllocator allocator = new RootAllocator()) {
            InvalidArgumentException thrown =
                    assertThrows(InvalidArgumentException.class, () -> ArrowExport.tensor(allocator, field(2), small));
            assertTrue(thrown.getMessage().contains("8 bytes were given: a chunk has 16 bytes"), thrown.getMessage());
            assertThrows(InvalidArgumentException.class, () -> ArrowExport.tensor(allocator, field(1), wrongOrder));
            assertThrows(
                    InvalidArgumentException.class,
                    () -> ArrowExport.tensor(allocator, field(1), ByteBuffer.allocate(8)));
            assertThrows(InvalidArgumentException.class, () -> ArrowExport.tensor(allocator, field(0), small));
        }
    }
}
