package io.deisa.bridge;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotSame;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.DoubleBuffer;
import org.apache.arrow.c.ArrowArray;
import org.apache.arrow.c.ArrowSchema;
import org.apache.arrow.memory.ArrowBuf;
import org.apache.arrow.memory.BufferAllocator;
import org.apache.arrow.memory.OutOfMemoryException;
import org.apache.arrow.memory.RootAllocator;
import org.apache.arrow.vector.FieldVector;
import org.apache.arrow.vector.Float8Vector;
import org.apache.arrow.vector.complex.FixedSizeListVector;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

@Tag("fake")
class LoanTest {
    private static final ArrayMetadata FIELD = Fake.array("written-field", DType.FLOAT64, 2, 3);
    private static final long BYTES = 48;

    @Test
    void isSentWithoutACopyAndThenAnother() throws Exception {
        try (BufferAllocator allocator = new RootAllocator();
                Bridge bridge = Fake.open(Fake.raising(), FIELD);
                Loan field = bridge.loan("written-field", allocator)) {
            assertSame(field, bridge.loan("written-field", allocator), "one for each array");
            assertEquals(BYTES, field.size());
            for (long t = 0; t < 10; t++) {
                ArrowBuf buffer = field.buffer();
                assertSame(buffer, field.buffer());
                assertEquals(BYTES, buffer.readableBytes());
                for (int i = 0; i < 6; i++) {
                    buffer.setDouble(i * Double.BYTES, 10 * t + i);
                }
                if (t % 2 == 0) {
                    assertEquals(Status.OK, bridge.send(field, t));
                } else {
                    try (Step step = bridge.beginStep(t)) {
                        assertEquals(Status.OK, step.put(field));
                        step.end();
                    }
                }
                assertNotSame(buffer, field.buffer());
            }
            assertEquals(0, bridge.statistics().bytesCopied());
            assertEquals(10 * BYTES, bridge.statistics().bytesSent());
            bridge.close(10);
            for (long t = 0; t < 10; t++) {
                DoubleBuffer values = Fake.written("written-field", t).asDoubleBuffer();
                assertEquals(10 * t, values.get(0));
                assertEquals(10 * t + 5, values.get(5));
            }
        } // RootAllocator.close() throws when anything has leaked
    }

    @Test
    void otherMemoryIsCopiedOnce() {
        try (BufferAllocator allocator = new RootAllocator();
                Bridge bridge = Fake.open(Fake.raising(), FIELD);
                ArrowBuf buffer = allocator.buffer(BYTES).writerIndex(BYTES);
                Float8Vector vector = new Float8Vector("v", allocator)) {
            vector.allocateNew(6);
            for (int i = 0; i < 6; i++) {
                vector.set(i, i);
            }
            vector.setValueCount(6);
            bridge.send("written-field", Fake.doubles(0, 1, 2, 3, 4, 5), 0);
            assertEquals(BYTES, bridge.statistics().bytesCopied());
            bridge.send("written-field", buffer, 1);
            assertEquals(2 * BYTES, bridge.statistics().bytesCopied());
            bridge.send("written-field", vector, 2);
            assertEquals(3 * BYTES, bridge.statistics().bytesCopied());
            bridge.close(3);
        }
    }

    @Test
    void whatWasSentCanBeReadUntilTheNextSend() throws Exception {
        try (BufferAllocator allocator = new RootAllocator();
                Bridge bridge = Fake.open(Fake.raising(), FIELD);
                Loan field = bridge.loan("written-field", allocator)) {
            field.bytes().asDoubleBuffer().put(new double[6]);
            for (long t = 0; t < 50; t++) {
                DoubleBuffer last = field.bytes().asDoubleBuffer();
                bridge.send(field, t);
                bridge.flush(); // stored, so the slot is free
                DoubleBuffer now = field.bytes().asDoubleBuffer();
                for (int i = 0; i < 6; i++) {
                    now.put(i, last.get(i) + 1);
                }
                assertEquals(
                        t, Fake.written("written-field", t).asDoubleBuffer().get(3));
            }
            assertEquals(0, bridge.statistics().bytesCopied());
        }
    }

    @Test
    void outlivesItsBridgeAndItsOwnEnd() {
        try (BufferAllocator allocator = new RootAllocator()) {
            ArrowBuf kept;
            Loan field;
            try (Bridge bridge = Fake.open(Fake.raising(), FIELD)) {
                field = bridge.loan("written-field", allocator);
                field.buffer().setDouble(8, 2.5);
                kept = field.buffer();
                kept.getReferenceManager().retain();
            }
            assertEquals(2.5, field.buffer().getDouble(8), "the bridge is closed");
            field.close();
            field.close();
            assertEquals(2.5, kept.getDouble(8), "the lent buffer too");
            assertThrows(IllegalStateException.class, field::buffer);
            assertTrue(kept.getReferenceManager().release(), "the last reference");
        }
    }

    @Test
    void canBeTakenAgainAfterItsEnd() {
        try (BufferAllocator allocator = new RootAllocator();
                Bridge bridge = Fake.open(Fake.raising(), FIELD)) {
            Loan first = bridge.loan("written-field", allocator);
            first.buffer().setDouble(0, 7);
            first.close();
            assertEquals(0, allocator.getAllocatedMemory());
            try (Loan second = bridge.loan("written-field", allocator)) {
                assertEquals(7, second.buffer().getDouble(0), "the same memory");
                assertEquals(BYTES, allocator.getAllocatedMemory(), "accounted for");
            }
        }
    }

    @Test
    void isExportedAsATensor() {
        try (BufferAllocator allocator = new RootAllocator();
                ArrowArray array = ArrowArray.allocateNew(allocator);
                ArrowSchema schema = ArrowSchema.allocateNew(allocator)) {
            FieldVector tensor;
            try (Bridge bridge = Fake.open(Fake.raising(), FIELD);
                    Loan field = bridge.loan("written-field", allocator)) {
                tensor = field.tensor(allocator);
                field.buffer().setDouble(40, -1.5);
                field.export(array, schema);
                assertEquals(field.buffer().memoryAddress(), values(tensor).getDataBufferAddress());
            }
            assertEquals(-1.5, values(tensor).get(5), "a view that outlives the bridge");
            tensor.close();
            array.release();
            schema.release();
        }
    }

    private static Float8Vector values(FieldVector tensor) {
        return (Float8Vector) ((FixedSizeListVector) tensor).getDataVector();
    }

    @Test
    void staysTheSimulationsWhenItIsNotTaken() {
        try (BufferAllocator allocator = new RootAllocator();
                Bridge bridge = Fake.open(Fake.raising(), FIELD);
                Loan field = bridge.loan("written-field", allocator)) {
            bridge.send(field, 5);
            ArrowBuf buffer = field.buffer();
            buffer.setDouble(0, 3);
            ContractException thrown = assertThrows(ContractException.class, () -> bridge.send(field, 5));
            assertEquals(5, thrown.timestep().getAsLong());
            assertSame(buffer, field.buffer());
            assertEquals(3, buffer.getDouble(0));
            assertEquals(Status.OK, bridge.send(field, 6));
        }
    }

    @Test
    void refusesWhatItCannotLend() {
        try (BufferAllocator allocator = new RootAllocator();
                BufferAllocator small = allocator.newChildAllocator("small", 0, BYTES);
                Bridge bridge = Fake.open(Fake.raising(), FIELD);
                Bridge other = Fake.open(Fake.raising(), FIELD);
                Loan field = bridge.loan("written-field", small)) {
            assertThrows(ContractException.class, () -> bridge.loan("unknown", allocator));
            InvalidArgumentException thrown = assertThrows(InvalidArgumentException.class, () -> other.send(field, 0));
            assertTrue(thrown.getMessage().contains("another bridge's"), thrown.getMessage());
            bridge.send(field, 0);
            assertThrows(
                    OutOfMemoryException.class, field::buffer, "a second chunk is more than the allocator may have");
            small.setLimit(10 * BYTES);
            field.buffer().setDouble(0, 1);
            assertEquals(Status.OK, bridge.send(field, 1));
        }
    }
}
