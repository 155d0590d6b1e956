package io.deisa.bridge;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.arrow.memory.ArrowBuf;
import org.apache.arrow.memory.BufferAllocator;
import org.apache.arrow.memory.RootAllocator;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/** Chunks inside of larger memory: ghost cells, Fortran's order, strides. */
@Tag("fake")
class GhostCellsTest {
    private static final String NAME = "written-inside";
    private static final long CHUNK_BYTES = 6 * Double.BYTES;

    // 2 x 3 elements inside of 4 x 6.
    private static final ArrayMetadata INSIDE =
            Fake.array(NAME, DType.FLOAT64, 2, 3).withHalo(new long[] {1, 2}, new long[] {1, 1});

    // Element (i, j) of the whole block is 10 i + j; ghost cells too.
    private static ByteBuffer block(int rows, int columns) {
        ByteBuffer bytes =
                ByteBuffer.allocateDirect(rows * columns * Double.BYTES).order(ByteOrder.nativeOrder());
        for (int i = 0; i < rows; i++) {
            for (int j = 0; j < columns; j++) {
                bytes.putDouble(10 * i + j);
            }
        }
        return bytes.flip();
    }

    private static double[] written(long timestep) throws Exception {
        double[] values = new double[6];
        Fake.written(NAME, timestep).asDoubleBuffer().get(values);
        return values;
    }

    @Test
    void onlyTheChunkIsCopied() throws Exception {
        double[] expected = {12, 13, 14, 22, 23, 24};
        try (BufferAllocator allocator = new RootAllocator();
                ArrowBuf buffer = allocator.buffer(24 * Double.BYTES);
                Bridge bridge = Fake.open(Fake.raising(), INSIDE)) {
            bridge.send(NAME, block(4, 6), 0);
            buffer.setBytes(0, block(4, 6));
            buffer.writerIndex(24 * Double.BYTES);
            bridge.send(NAME, buffer, 1);
            try (Step step = bridge.beginStep(2)) {
                step.put(NAME, block(4, 6));
                step.end();
            }
            bridge.sendAsync(NAME, buffer, 3).join();
            assertEquals(4 * CHUNK_BYTES, bridge.statistics().bytesCopied(), "ghost cells are not moved");
            bridge.close(4);
        }
        for (long t = 0; t < 4; t++) {
            assertArrayEquals(expected, written(t));
        }
    }

    @Test
    void fortransOrder() throws Exception {
        // Memory of 3 x 2 in C order is 2 x 3 in Fortran's.
        ArrayMetadata transposed = Fake.array(NAME, DType.FLOAT64, 2, 3).withOrder(Order.FORTRAN);
        try (Bridge bridge = Fake.open(Fake.raising(), transposed)) {
            bridge.send(NAME, block(3, 2), 10);
            bridge.close(11);
        }
        assertArrayEquals(new double[] {0, 10, 20, 1, 11, 21}, written(10));
    }

    @Test
    void stridesAndOffsetOfAMap() throws Exception {
        Map<String, Object> metadata =
                new HashMap<>(Fake.array(NAME, DType.FLOAT64, 2, 3).toMap());
        metadata.put("strides", new int[] {2 * 48, -16}); // every other row, every other column backwards
        metadata.put("offset", 5 * Double.BYTES);
        try (Bridge bridge = Fake.raising().arrays(Map.of(NAME, metadata)).open()) {
            bridge.send(NAME, block(4, 6), 20);
            ContractException thrown = assertThrows(ContractException.class, () -> bridge.send(NAME, block(2, 6), 21));
            assertTrue(
                    thrown.getMessage().contains("96 bytes were given: its strides reach 144 bytes"),
                    thrown.getMessage());
            bridge.close(22);
        }
        assertArrayEquals(new double[] {5, 3, 1, 25, 23, 21}, written(20));
    }

    @Test
    void memoryOfAnotherSizeIsRefused() {
        ByteBuffer onlyTheChunk = block(2, 3);
        try (Bridge bridge = Fake.open(Fake.raising(), INSIDE)) {
            ContractException thrown = assertThrows(ContractException.class, () -> bridge.send(NAME, onlyTheChunk, 0));
            assertTrue(
                    thrown.getMessage().contains("48 bytes were given: a chunk with its ghost cells has 192 bytes"),
                    thrown.getMessage());
            assertEquals(NAME, thrown.array());
            assertThrows(ContractException.class, () -> bridge.send(NAME, block(5, 6), 0));
        }
        Map<String, Object> before =
                new HashMap<>(Fake.array(NAME, DType.FLOAT64, 2, 3).toMap());
        before.put("offset", -8);
        try (Bridge bridge = Fake.raising().arrays(Map.of(NAME, before)).open()) {
            ContractException thrown = assertThrows(ContractException.class, () -> bridge.send(NAME, block(2, 3), 0));
            assertTrue(thrown.getMessage().contains("8 bytes before the memory"), thrown.getMessage());
        }
    }

    @Test
    void problemsOfGhostCellsAreNamed() {
        ArrayMetadata wrong = Fake.array("field", DType.INT8, 2, 3).withHalo(new long[] {-1, 0}, new long[] {1});
        InvalidArgumentException thrown =
                assertThrows(InvalidArgumentException.class, () -> Fake.open(Fake.raising(), wrong));
        for (String part : List.of("'field'", "halo_before", "halo_after")) {
            assertTrue(thrown.getMessage().contains(part), thrown.getMessage());
        }
    }

    @Test
    void cannotBeLent() {
        try (BufferAllocator allocator = new RootAllocator();
                Bridge bridge = Fake.open(Fake.raising(), INSIDE)) {
            DeisaException thrown = assertThrows(DeisaException.class, () -> bridge.loan(NAME, allocator));
            assertEquals(Status.UNSUPPORTED, thrown.status());
        }
    }
}
