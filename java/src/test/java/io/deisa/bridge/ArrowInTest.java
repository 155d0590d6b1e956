package io.deisa.bridge;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import org.apache.arrow.memory.ArrowBuf;
import org.apache.arrow.memory.BufferAllocator;
import org.apache.arrow.memory.RootAllocator;
import org.apache.arrow.vector.BigIntVector;
import org.apache.arrow.vector.BitVector;
import org.apache.arrow.vector.FieldVector;
import org.apache.arrow.vector.FixedWidthVector;
import org.apache.arrow.vector.Float2Vector;
import org.apache.arrow.vector.Float4Vector;
import org.apache.arrow.vector.Float8Vector;
import org.apache.arrow.vector.IntVector;
import org.apache.arrow.vector.SmallIntVector;
import org.apache.arrow.vector.TinyIntVector;
import org.apache.arrow.vector.UInt1Vector;
import org.apache.arrow.vector.UInt2Vector;
import org.apache.arrow.vector.UInt4Vector;
import org.apache.arrow.vector.UInt8Vector;
import org.apache.arrow.vector.complex.FixedSizeListVector;
import org.apache.arrow.vector.types.Types.MinorType;
import org.apache.arrow.vector.types.pojo.ArrowType;
import org.apache.arrow.vector.types.pojo.FieldType;
import org.apache.arrow.vector.util.TransferPair;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/** Vectors of Arrow Java as they arrive at the node actor. */
@Tag("fake")
class ArrowInTest {
    private static byte[] arrived(long timestep) throws Exception {
        return Fake.written("written", timestep).array();
    }

    // Sends one vector as the chunk of an array of this type and shape; returns the bytes that arrive.
    private static byte[] send(FieldVector vector, DType dtype, long... shape) throws Exception {
        try (Bridge bridge = Fake.open(Fake.raising(), Fake.array("written", dtype, shape))) {
            int references = vector.getFieldBuffers().get(0).refCnt();
            assertEquals(Status.OK, bridge.send("written", vector, 1));
            bridge.flush();
            assertEquals(references, vector.getFieldBuffers().get(0).refCnt(), "released");
            return arrived(1);
        }
    }

    private static void refuse(String reason, FieldVector vector, DType dtype, long... shape) {
        try (Bridge bridge = Fake.open(Fake.raising(), Fake.array("written", dtype, shape))) {
            ContractException thrown = assertThrows(ContractException.class, () -> bridge.send("written", vector, 1));
            assertTrue(thrown.getMessage().contains(reason), thrown.getMessage());
            assertEquals("written", thrown.array());
        }
    }

    // Counts up in the data buffer; all values are there.
    private static <V extends FieldVector & FixedWidthVector> V filled(V vector, int count) {
        vector.allocateNew(count);
        vector.setValueCount(count);
        vector.getValidityBuffer().setOne(0, vector.getValidityBuffer().capacity());
        for (long i = 0; i < vector.getDataBuffer().capacity() && i < 64; i++) {
            vector.getDataBuffer().setByte(i, (int) i + 1);
        }
        return vector;
    }

    private static byte[] counting(int bytes) {
        byte[] expected = new byte[bytes];
        for (int i = 0; i < bytes; i++) {
            expected[i] = (byte) (i + 1);
        }
        return expected;
    }

    @Test
    void primitiveVectors() throws Exception {
        try (BufferAllocator allocator = new RootAllocator()) {
            Map<DType, FieldVector> vectors = Map.ofEntries(
                    Map.entry(DType.INT8, filled(new TinyIntVector("v", allocator), 4)),
                    Map.entry(DType.INT16, filled(new SmallIntVector("v", allocator), 4)),
                    Map.entry(DType.INT32, filled(new IntVector("v", allocator), 4)),
                    Map.entry(DType.INT64, filled(new BigIntVector("v", allocator), 4)),
                    Map.entry(DType.UINT8, filled(new UInt1Vector("v", allocator), 4)),
                    Map.entry(DType.UINT16, filled(new UInt2Vector("v", allocator), 4)),
                    Map.entry(DType.UINT32, filled(new UInt4Vector("v", allocator), 4)),
                    Map.entry(DType.UINT64, filled(new UInt8Vector("v", allocator), 4)),
                    Map.entry(DType.FLOAT16, filled(new Float2Vector("v", allocator), 4)),
                    Map.entry(DType.FLOAT32, filled(new Float4Vector("v", allocator), 4)),
                    Map.entry(DType.FLOAT64, filled(new Float8Vector("v", allocator), 4)));
            for (Map.Entry<DType, FieldVector> each : vectors.entrySet()) {
                byte[] expected = counting(4 * each.getKey().size());
                assertArrayEquals(expected, send(each.getValue(), each.getKey(), 2, 2), () -> each.getKey()
                        .toString());
                each.getValue().close();
            }
        }
    }

    private static FixedSizeListVector list(BufferAllocator allocator, MinorType type, int size, int count) {
        FixedSizeListVector list = FixedSizeListVector.empty("list", size, allocator);
        FieldVector values = (FieldVector)
                list.addOrGetVector(FieldType.notNullable(type.getType())).getVector();
        values.setInitialCapacity(size * count);
        list.allocateNew();
        values.setValueCount(size * count);
        values.getValidityBuffer().setOne(0, values.getValidityBuffer().capacity());
        for (long i = 0; i < values.getDataBuffer().capacity() && i < 64; i++) {
            values.getDataBuffer().setByte(i, (int) i + 1);
        }
        for (int i = 0; i < count; i++) {
            list.setNotNull(i);
        }
        list.setValueCount(count);
        return list;
    }

    @Test
    void listsAreDimensionsOrComplexNumbers() throws Exception {
        try (BufferAllocator allocator = new RootAllocator();
                FixedSizeListVector rows = list(allocator, MinorType.FLOAT4, 3, 2);
                FixedSizeListVector pairs = list(allocator, MinorType.FLOAT8, 2, 4)) {
            assertArrayEquals(counting(24), send(rows, DType.FLOAT32, 2, 3));
            assertArrayEquals(counting(64), send(pairs, DType.COMPLEX128, 4));
            refuse("of shape (2, 3); expected (3, 2)", rows, DType.FLOAT32, 3, 2);
        }
    }

    @Test
    void tensorsRoundTrip() throws Exception {
        ByteBuffer memory = Fake.doubles(1, 2, 3, 4, 5, 6);
        ArrayMetadata metadata = Fake.array("written", DType.FLOAT64, 2, 3);
        try (BufferAllocator allocator = new RootAllocator();
                FieldVector tensor = ArrowExport.tensor(allocator, metadata, memory)) {
            byte[] expected = new byte[48];
            memory.duplicate().get(expected);
            assertArrayEquals(expected, send(tensor, DType.FLOAT64, 2, 3));
            refuse("expected (3, 2)", tensor, DType.FLOAT64, 3, 2);
        }
    }

    @Test
    void bool8IsBoolAndBitsAreRefused() throws Exception {
        FieldType bool8 = new FieldType(
                false,
                new ArrowType.Int(8, true),
                null,
                Map.of("ARROW:extension:name", "arrow.bool8", "ARROW:extension:metadata", ""));
        try (BufferAllocator allocator = new RootAllocator();
                TinyIntVector booleans = new TinyIntVector("v", bool8, allocator);
                TinyIntVector integers = new TinyIntVector("v", allocator);
                BitVector bits = new BitVector("v", allocator)) {
            for (TinyIntVector vector : List.of(booleans, integers)) {
                vector.allocateNew(3);
                vector.set(0, 1);
                vector.set(1, 0);
                vector.set(2, 2);
                vector.setValueCount(3);
            }
            bits.allocateNew(3);
            bits.setValueCount(3);
            bits.setRangeToOne(0, 3);
            assertArrayEquals(new byte[] {1, 0, 1}, send(booleans, DType.BOOL, 3));
            refuse("expected elements of bool", integers, DType.BOOL, 3);
            refuse("bit-packed booleans", bits, DType.BOOL, 3);
        }
    }

    @Test
    void errorsNameTheArrayAndTheTypesInWords() {
        try (BufferAllocator allocator = new RootAllocator();
                IntVector integers = filled(new IntVector("v", allocator), 3)) {
            refuse(
                    "array 'written': The Arrow array is int32; expected elements of float32",
                    integers,
                    DType.FLOAT32,
                    3);
        }
    }

    @Test
    void aBufferWithoutAWriterIndexHearsOfIt() {
        try (BufferAllocator allocator = new RootAllocator();
                ArrowBuf buffer = allocator.buffer(24);
                Bridge bridge = Fake.open(Fake.raising(), Fake.array("written", DType.FLOAT64, 3))) {
            DeisaException thrown = assertThrows(DeisaException.class, () -> bridge.send("written", buffer, 1));
            assertTrue(thrown.getMessage().contains("0 bytes were given"), thrown.getMessage());
            assertTrue(thrown.getMessage().contains("writerIndex"), thrown.getMessage());
            for (String[] call : new String[][] {{"name", null}, {"buffer", "written"}}) {
                ArrowBuf given = call[1] == null ? buffer : null;
                NullPointerException none =
                        assertThrows(NullPointerException.class, () -> bridge.send(call[1], given, 1));
                assertEquals(call[0], none.getMessage());
            }
        }
    }

    @Test
    void slicesAreHonoured() throws Exception {
        try (BufferAllocator allocator = new RootAllocator();
                IntVector whole = filled(new IntVector("v", allocator), 16)) {
            for (int first : new int[] {0, 3, 8}) {
                TransferPair pair = whole.getTransferPair(allocator);
                pair.splitAndTransfer(first, 5);
                try (FieldVector slice = (FieldVector) pair.getTo()) {
                    assertArrayEquals(
                            Arrays.copyOfRange(counting(64), 4 * first, 4 * first + 20), send(slice, DType.INT32, 5));
                }
            }
        }
    }

    @Test
    void nullsAndOtherTypesAreRefused() throws Exception {
        try (BufferAllocator allocator = new RootAllocator();
                Float8Vector vector = new Float8Vector("v", allocator)) {
            vector.allocateNew(3);
            vector.setValueCount(3);
            for (int i = 0; i < 3; i++) {
                vector.getDataBuffer().setDouble(8L * i, i); // the validity bits are not set by that
            }
            refuse("has 3 nulls", vector, DType.FLOAT64, 3);
            vector.set(0, 1);
            vector.set(2, 1);
            refuse("has 1 nulls", vector, DType.FLOAT64, 3);
            vector.set(1, 1);
            assertEquals(24, send(vector, DType.FLOAT64, 3).length);
            refuse("expected elements of float32", vector, DType.FLOAT32, 3);
            refuse("expected (4)", vector, DType.FLOAT64, 4);
        }
    }
}
