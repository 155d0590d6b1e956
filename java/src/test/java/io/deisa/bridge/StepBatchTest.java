package io.deisa.bridge;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import org.apache.arrow.c.ArrowArray;
import org.apache.arrow.c.ArrowSchema;
import org.apache.arrow.memory.BufferAllocator;
import org.apache.arrow.memory.RootAllocator;
import org.apache.arrow.vector.BigIntVector;
import org.apache.arrow.vector.FieldVector;
import org.apache.arrow.vector.Float8Vector;
import org.apache.arrow.vector.VectorSchemaRoot;
import org.apache.arrow.vector.complex.FixedSizeListVector;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

@Tag("fake")
class StepBatchTest {
    private static FieldVector values(VectorSchemaRoot batch, String column) {
        return ((FixedSizeListVector) batch.getVector(column)).getDataVector();
    }

    @Test
    void isAViewOfWhatWasPut() {
        ByteBuffer numbers = ByteBuffer.allocateDirect(16).order(ByteOrder.nativeOrder());
        numbers.asLongBuffer().put(new long[] {7, -8});
        try (BufferAllocator allocator = new RootAllocator();
                ArrowArray array = ArrowArray.allocateNew(allocator);
                ArrowSchema schema = ArrowSchema.allocateNew(allocator)) {
            VectorSchemaRoot half;
            VectorSchemaRoot whole;
            try (Bridge bridge = Fake.open(
                            Fake.raising(), Fake.array("field", DType.FLOAT64, 2, 2), Fake.array("n", DType.INT64, 2));
                    Loan field = bridge.loan("field", allocator)) {
                Step step = bridge.beginStep(3);
                step.put("n", numbers);
                half = step.batch(allocator);
                field.bytes().asDoubleBuffer().put(new double[] {1, 2, 3, 4});
                step.put(field);
                whole = step.batch(allocator);
                step.export(array, schema);
                step.end();
                assertThrows(ContractException.class, () -> step.batch(allocator));
                assertEquals(48 - 32, bridge.statistics().bytesCopied());
                bridge.close(4);
            }
            assertEquals(1, half.getSchema().getFields().size());
            assertEquals(1, whole.getRowCount());
            assertEquals("n", whole.getSchema().getFields().get(0).getName());
            assertEquals(-8, ((BigIntVector) values(whole, "n")).get(1));
            half.close();
            assertEquals(
                    4.0, ((Float8Vector) values(whole, "field")).get(3), "the bridge and the other batch are gone");
            schema.release();
            whole.close();
            array.release();
        }
    }
}
