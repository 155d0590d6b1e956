package io.deisa.bridge;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotSame;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Map;
import org.apache.arrow.memory.ArrowBuf;
import org.apache.arrow.memory.BufferAllocator;
import org.apache.arrow.memory.RootAllocator;
import org.apache.arrow.vector.Float8Vector;
import org.apache.arrow.vector.VectorSchemaRoot;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/** With DEISA_DISABLE=1 (see pom.xml): the whole API runs without Ray, and leaks nothing. */
@Tag("disabled")
class DisabledTest {
    private static final ArrayMetadata FIELD =
            ArrayMetadata.of("field", DType.FLOAT64, new long[] {3}, new long[] {1}, new long[] {0});

    @Test
    void sendsNothingSuccessfully() {
        ByteBuffer direct = ByteBuffer.allocateDirect(24).order(ByteOrder.nativeOrder());
        try (BufferAllocator allocator = new RootAllocator();
                Float8Vector vector = new Float8Vector("v", allocator);
                ArrowBuf buffer = allocator.buffer(24);
                Bridge bridge = Bridge.builder().array(FIELD).open()) {
            vector.allocateNew(3);
            vector.setValueCount(3);
            int own = vector.getDataBuffer().refCnt();
            for (long t = 0; t < 3; t++) {
                assertEquals(Status.OK, bridge.send("field", vector, t));
                assertEquals(Status.OK, bridge.send("field", buffer, t));
                assertEquals(Status.OK, bridge.send("field", direct, t));
            }
            try (Step step = bridge.beginStep(3)) {
                assertFalse(step.isSkipped());
                assertEquals(Status.OK, step.put("field", vector));
                assertEquals(Status.OK, step.put("field", direct));
                assertEquals(Status.OK, step.end());
            }
            assertEquals(own, vector.getDataBuffer().refCnt(), "the native library released what it took");
            assertEquals(0, direct.position());
            assertEquals(Status.OK, bridge.flush());
            assertEquals(Status.OK, bridge.close(4));
            assertEquals(Status.OK, bridge.close(4));
        } // RootAllocator.close() throws when anything has leaked
    }

    @Test
    void acceptsWhatItCannotCheck() {
        try (Bridge bridge =
                Bridge.builder().masterPort(-7).arrays(Map.of("x", Map.of())).open()) {
            assertEquals(
                    Status.OK,
                    bridge.send("unknown", ByteBuffer.allocateDirect(1).order(ByteOrder.nativeOrder()), 0));
            bridge.beginStep(1).close();
            assertEquals(0, bridge.statistics().chunksSent());
        }
    }

    @Test
    void lendsOrdinaryMemoryThatTakesTurns() {
        try (BufferAllocator allocator = new RootAllocator()) {
            ArrowBuf last;
            try (Bridge bridge = Bridge.builder().array(FIELD).open();
                    Loan field = bridge.loan("field", allocator)) {
                field.buffer().setDouble(0, 0);
                for (long t = 0; t < 5; t++) {
                    last = field.buffer();
                    assertEquals(
                            Status.OK,
                            t % 2 == 0
                                    ? bridge.send(field, t)
                                    : bridge.sendAsync(field, t).join());
                    assertNotSame(last, field.buffer());
                    field.buffer().setDouble(0, last.getDouble(0) + 1);
                }
                assertEquals(5, field.buffer().getDouble(0), "what was sent can be read, as with analytics");
                try (Step step = bridge.beginStep(5)) {
                    step.put(field);
                    try (VectorSchemaRoot batch = step.batch(allocator)) {
                        assertEquals(0, batch.getSchema().getFields().size());
                    }
                    step.end();
                }
                assertThrows(ContractException.class, () -> bridge.loan("unknown", allocator));
                last = field.buffer();
                last.getReferenceManager().retain();
            }
            last.setDouble(16, 1.5); // still there
            assertEquals(1.5, last.getDouble(16));
            last.close();
        }
    }

    @Test
    void asynchronousSendsAreDone() {
        ByteBuffer direct = ByteBuffer.allocateDirect(24).order(ByteOrder.nativeOrder());
        try (Bridge bridge = Bridge.builder().array(FIELD).open()) {
            assertEquals(Status.OK, bridge.sendAsync("field", direct, 0).getNow(null));
            assertEquals(Status.OK, bridge.beginStep(1).endAsync().getNow(null));
        }
    }

    @Test
    void returnsFallbacks() {
        try (Bridge bridge = Bridge.builder().open()) {
            Feedback feedback = bridge.feedback().at(3).collective();
            assertEquals(0.5, feedback.getDouble("key", 0.5));
            assertEquals(-7, feedback.getLong("key", -7));
            assertEquals(true, feedback.getBoolean("key", true));
            assertEquals("none", feedback.getString("key", "none"));
            assertArrayEquals(new long[] {1}, (long[]) feedback.get("key", new long[] {1}));
            assertEquals(Status.OK, feedback.delete("key"));
            assertThrows(InvalidArgumentException.class, () -> feedback.getDouble("k\0", 0));
        }
    }

    @Test
    void refusesCallsAfterTheEnd() {
        Bridge bridge = Bridge.builder().array(FIELD).open();
        bridge.close();
        bridge.close();
        assertEquals(Status.OK, bridge.close(0));
        assertThrows(ContractException.class, bridge::flush);
        assertThrows(ContractException.class, () -> bridge.beginStep(0));
        assertEquals(0, bridge.statistics().stepsSent());
    }

    @Test
    void refusesBuffersThatItWouldMisread() {
        try (Bridge bridge = Bridge.builder().array(FIELD).open()) {
            assertThrows(InvalidArgumentException.class, () -> bridge.send("field", ByteBuffer.allocate(24), 0));
            ByteBuffer wrongOrder = ByteBuffer.allocateDirect(24).order(ByteOrder.BIG_ENDIAN);
            assertThrows(InvalidArgumentException.class, () -> bridge.send("field", wrongOrder, 0));
        }
    }
}
